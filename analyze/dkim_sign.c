#include "analyze/dkim_sign.h"

#include <errno.h>

#include "analyze/dkim_fields.h"
#include "analyze/dkim_signature.h"
#include "base/file.h"
#include "base/limits.h"

#define MIN_RSA_BITS 1024 /* RFC 8301 section 3.2: verifiers refuse less */
#define WIDTH 76          /* columns of a folded line */

/* What a report of ours has and what RFC 6376 section 5.4.1 asks to sign. */
static const struct {
	const char *name;
	bool once_more; /* named also where no field is: none can be added */
} covered[] = {
	{"from", true},          {"to", true},           {"subject", true},
	{"date", true},          {"message-id", false},  {"mime-version", false},
	{"content-type", false}, {"auto-submitted", false}, {"reply-to", false},
};

int dkim_signer_open(struct dkim_signer *signer, struct span domain, struct span selector,
		     const char *key_file)
{
	struct file_view view;
	*signer = (struct dkim_signer){.domain = domain, .selector = selector};
	if (!dkim_domain_valid(domain, 2) || !dkim_domain_valid(selector, 1))
		return DKIM_SIGN_E_NAME;
	int r = file_view_open(key_file, LIMIT_PKEY_FILE_BYTES, &view);
	if (r < 0)
		return r;
	signer->key = pkey_load_private(view.bytes);
	file_view_close(&view);
	if (signer->key && pkey_kind(signer->key) == PKEY_RSA &&
	    pkey_bits(signer->key) < MIN_RSA_BITS)
		dkim_signer_close(signer);
	return signer->key ? 0 : DKIM_SIGN_E_KEY;
}

void dkim_signer_close(struct dkim_signer *signer)
{
	pkey_free(signer->key);
	signer->key = NULL;
}

const char *dkim_sign_trouble(int r)
{
	switch (r) {
	case DKIM_SIGN_E_KEY:
		return "no private key in PEM (RSA of 1024 bits or more, or Ed25519) without a "
		       "pass phrase";
	case DKIM_SIGN_E_NAME:
		return "domain or selector is no name of the DNS";
	case DKIM_SIGN_E_MESSAGE:
		return "the message has no From or line ends that are not CRLF";
	default:
		return strerror(-r);
	}
}

/* A field being folded: where its last line began. */
struct folded {
	struct buf *out;
	size_t line;
};

static void fold(struct folded *f)
{
	buf_adds(f->out, "\r\n\t");
	f->line = f->out->n - 1;
}

/* `word` stays in one piece. */
static void add_word(struct folded *f, struct span word)
{
	if (f->out->n - f->line + word.n > WIDTH)
		fold(f);
	buf_add(f->out, word);
}

static void add_names(struct folded *f, const struct message *m)
{
	bool first = true;
	buf_adds(f->out, " h=");
	for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++) {
		struct span name = span_of(covered[i].name);
		size_t times = covered[i].once_more;
		for (size_t k = 0; k < m->n_headers; k++)
			times += span_case_eq(m->headers[k].name, name);
		for (; times; times--) {
			if (!first)
				buf_addc(f->out, ':');
			add_word(f, name);
			first = false;
		}
	}
	buf_addc(f->out, ';');
}

/* The hash of the header: from the bottom up, as h= names the fields. */
static void hash_header(struct sha256 *hash, struct dkim_fields *fields, struct span own)
{
	dkim_fields_rewind(fields, NULL);
	sha256_restart(hash);
	for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++) {
		const struct header *h;
		while ((h = dkim_fields_take(fields, span_of(covered[i].name))))
			dkim_add_field(hash, h->field, DKIM_RELAXED);
	}
	dkim_add_signature_field(hash, own, SPAN_NONE, DKIM_RELAXED);
}

static int write_field(const struct dkim_signer *signer, const struct message *m, int64_t time_s,
		       struct sha256 *hash, struct buf *out)
{
	struct dkim_fields *fields = dkim_fields_create(m, m->arena);
	struct dkim_body_hash body;
	uint8_t digest[SHA256_BYTES], signature[PKEY_SIGNATURE_BYTES];
	size_t start = out->n;
	struct folded f = {out, start};
	if (!fields)
		return -ENOMEM;
	dkim_hash_body(hash, span_sub(m->octets, m->body_offset, m->octets.n), DKIM_RELAXED,
		       DKIM_NO_LENGTH, &body);
	struct span bh = base64_encode(m->arena, (struct span){(char *)body.digest, SHA256_BYTES});
	buf_addf(out, "DKIM-Signature: v=1; a=%s-sha256; c=relaxed/relaxed;",
		 pkey_kind(signer->key) == PKEY_RSA ? "rsa" : "ed25519");
	fold(&f);
	buf_addf(out, "d=%.*s; s=%.*s;", SPAN_ARG(signer->domain), SPAN_ARG(signer->selector));
	fold(&f);
	buf_addf(out, "t=%lld;", (long long)time_s);
	add_names(&f, m);
	fold(&f);
	buf_addf(out, "bh=%.*s;", SPAN_ARG(bh));
	fold(&f);
	buf_adds(out, "b=");
	if (out->failed)
		return -ENOMEM;
	hash_header(hash, fields, span_sub(buf_span(out), start, out->n));
	sha256_finish(hash, digest);
	size_t n = pkey_sign(signer->key, digest, signature);
	if (!n)
		return DKIM_SIGN_E_KEY;
	struct span b = base64_encode(m->arena, (struct span){(char *)signature, n});
	for (size_t at = 0; at < b.n;) {
		size_t room = WIDTH - (out->n - f.line);
		buf_add(out, span_sub(b, at, at + room));
		at += room;
		if (at < b.n)
			fold(&f);
	}
	buf_adds(out, "\r\n");
	return out->failed || m->arena->overflowed ? -ENOMEM : 0;
}

int dkim_signer_sign(const struct dkim_signer *signer, struct span message, int64_t time_s,
		     struct buf *out)
{
	struct arena arena;
	struct preflight_header head;
	struct preflight_lines lines;
	size_t before = out->n;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	preflight_header(&head, &arena, message, 0);
	preflight_lines(&lines, message);
	struct message m = {.arena = &arena, .octets = message, .headers = head.v,
			    .n_headers = head.n, .body_offset = head.body_offset};
	bool from = message_header(&m, "From", NULL) != NULL;
	struct sha256 *hash = sha256_create();
	int r = -ENOMEM;
	/* What SMTP changes on the way breaks the signature (RFC 6376 section 5.3). */
	if (!from || head.cut || lines.bare_cr != SIZE_MAX || lines.bare_lf != SIZE_MAX)
		r = DKIM_SIGN_E_MESSAGE;
	else if (hash)
		r = write_field(signer, &m, time_s, hash, out);
	if (r)
		out->n = before;
	sha256_free(hash);
	arena_free(&arena);
	return r;
}
