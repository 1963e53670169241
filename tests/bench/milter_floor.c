/*
 * milter_floor SOCKET - a filter that does nothing, with the steps and actions of ours: what libmilter
 * and the MTA's way of talking cost before anybody looks at a message. milter_ours measures it
 * beside `assay run`.
 */
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
			     unsigned long f2, unsigned long f3, unsigned long *actions_r,
			     unsigned long *steps_r, unsigned long *f2_r, unsigned long *f3_r)
{
	(void)ctx;
	(void)f2;
	(void)f3;
	*f2_r = *f3_r = 0;
	*actions_r = actions & (SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE);
	*steps_r = steps & (SMFIP_NODATA | SMFIP_NOUNKNOWN | SMFIP_RCPT_REJ | SMFIP_NR_CONN |
			    SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_HDR |
			    SMFIP_NR_EOH | SMFIP_NR_BODY | SMFIP_HDR_LEADSPC);
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)ctx;
	(void)host;
	(void)address;
	return SMFIS_NOREPLY;
}

static sfsistat on_hello(SMFICTX *ctx, char *name)
{
	(void)ctx;
	(void)name;
	return SMFIS_NOREPLY;
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
	(void)ctx;
	(void)argv;
	return SMFIS_NOREPLY;
}

static sfsistat on_recipient(SMFICTX *ctx, char **argv)
{
	(void)ctx;
	(void)argv;
	return SMFIS_NOREPLY;
}

static sfsistat on_field(SMFICTX *ctx, char *name, char *value)
{
	(void)ctx;
	(void)name;
	(void)value;
	return SMFIS_NOREPLY;
}

static sfsistat on_end_of_fields(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_NOREPLY;
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *octets, size_t n)
{
	(void)ctx;
	(void)octets;
	(void)n;
	return SMFIS_NOREPLY;
}

static sfsistat on_end(SMFICTX *ctx)
{
	static char results[] = "Authentication-Results", verdict[] = "X-Assay-Verdict";
	static char value[] = " mx.mailbox.test; none";
	smfi_insheader(ctx, 0, results, value);
	smfi_insheader(ctx, 0, verdict, value);
	return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
	static char name[] = "floor";
	static const struct smfiDesc filter = {
		.xxfi_name = name, .xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE,
		.xxfi_connect = on_connect, .xxfi_helo = on_hello, .xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_recipient, .xxfi_header = on_field, .xxfi_eoh = on_end_of_fields,
		.xxfi_body = on_body, .xxfi_eom = on_end, .xxfi_negotiate = on_negotiate,
	};
	if (argc != 2 || smfi_register(filter) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS)
		return 64;
	return smfi_main() == MI_SUCCESS ? 0 : 69;
}
