#include "capture/smtp.h"

#include "base/clock.h"

static unsigned get16(struct span s, size_t at)
{
	return (unsigned)(unsigned char)s.p[at] << 8 | (unsigned char)s.p[at + 1];
}

static struct span version_name(struct arena *a, unsigned version)
{
	static const char *const names[] = {"SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
	if (version >= 0x0300 && version <= 0x0304)
		return span_of(names[version - 0x0300]);
	return arena_printf(a, "0x%04x", version);
}

static struct span cipher_name(struct arena *a, unsigned cipher)
{
	static const struct {
		unsigned number;
		const char *name;
	} names[] = {
		{0x1301, "TLS_AES_128_GCM_SHA256"},
		{0x1302, "TLS_AES_256_GCM_SHA384"},
		{0x1303, "TLS_CHACHA20_POLY1305_SHA256"},
		{0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
		{0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
		{0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
		{0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
		{0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
		{0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
		{0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"},
		{0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"},
		{0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"},
		{0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"},
		{0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"},
		{0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"},
		{0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
		{0x0005, "TLS_RSA_WITH_RC4_128_SHA"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == cipher)
			return span_of(names[i].name);
	return arena_printf(a, "0x%04x", cipher);
}

/* The body of a handshake message of `type` at the start of a record. */
static bool handshake(struct span *s, unsigned char type)
{
	if (s->n < 9 || s->p[0] != 0x16 || (unsigned char)s->p[5] != type)
		return false;
	size_t record = 5 + get16(*s, 3);
	*s = span_sub(*s, 9, record);
	return true;
}

static bool take(struct span *s, size_t n)
{
	if (s->n < n)
		return false;
	*s = span_sub(*s, n, s->n);
	return true;
}

/* Steps over a vector with a length of `width` octets. */
static bool skip_vector(struct span *s, size_t width)
{
	if (s->n < width)
		return false;
	size_t n = width == 1 ? (unsigned char)s->p[0] : get16(*s, 0);
	return take(s, width + n);
}

static bool next_extension(struct span *s, unsigned *type_r, struct span *body_r)
{
	if (s->n < 4)
		return false;
	*type_r = get16(*s, 0);
	size_t n = get16(*s, 2);
	*body_r = span_sub(*s, 4, 4 + n);
	return take(s, 4 + n);
}

void smtp_read_client_hello(struct span s, struct arena *a, struct txn_tls *tls)
{
	if (!handshake(&s, 1) || s.n < 34)
		return;
	unsigned version = get16(s, 0), type;
	struct span body;
	bool ok = take(&s, 34) && skip_vector(&s, 1) && skip_vector(&s, 2) && skip_vector(&s, 1);
	if (ok && take(&s, 2)) {
		while (next_extension(&s, &type, &body)) {
			/* server_name (RFC 6066 section 3): list, type 0, length, name */
			if (type == 0 && body.n > 5 && body.p[2] == 0)
				tls->sni = arena_copy(a, span_sub(body, 5, 5 + get16(body, 3)));
			for (size_t i = 1; type == 43 && i + 1 < body.n; i += 2)
				if (get16(body, i) <= 0x0304 && get16(body, i) > version)
					version = get16(body, i);
		}
	}
	tls->version = version_name(a, version);
}

void smtp_read_server_hello(struct span s, struct arena *a, struct txn_tls *tls)
{
	if (!handshake(&s, 2) || s.n < 35)
		return;
	unsigned version = get16(s, 0), type;
	struct span body;
	if (!take(&s, 34) || !skip_vector(&s, 1) || s.n < 3)
		return;
	tls->cipher = cipher_name(a, get16(s, 0));
	take(&s, 3);
	if (take(&s, 2))
		while (next_extension(&s, &type, &body))
			if (type == 43 && body.n >= 2) /* supported_versions */
				version = get16(body, 0);
	tls->version = version_name(a, version);
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 51000 25" */
static int take_proxy_1(struct span *octets, struct ip *ip, uint16_t *port)
{
	size_t lf = span_find_char(span_sub(*octets, 0, 108), '\n');
	if (lf == SIZE_MAX)
		return octets->n >= 108 ? 0 : -1;
	struct span line = span_sub(*octets, 6, lf), word[5];
	size_t n = 0;
	while (n < 5 && span_next_word(&line, &word[n]))
		n++;
	uint64_t number;
	if (n == 5 && span_starts(word[0], SPAN("TCP")) && ip_parse(word[1], ip) &&
	    span_number(word[3], 65535, &number))
		*port = (uint16_t)number;
	*octets = span_sub(*octets, lf + 1, octets->n);
	return 1;
}

int smtp_take_proxy(struct span *octets, struct ip *ip, uint16_t *port)
{
	static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	struct span s = *octets;
	size_t n = s.n < 12 ? s.n : 12;
	if (span_starts(SPAN("PROXY "), span_sub(s, 0, 6)))
		return s.n < 6 ? -1 : take_proxy_1(octets, ip, port);
	if (memcmp(s.p, signature, n) != 0)
		return 0;
	if (s.n < 16 || s.n < 16 + (size_t)get16(s, 14))
		return -1;
	size_t length = get16(s, 14);
	bool proxied = (s.p[12] & 15) == 1; /* LOCAL is the proxy's own health check */
	unsigned family = (unsigned char)s.p[13] >> 4;
	if (proxied && family == 1 && length >= 12) {
		*ip = ip_from_v4(s.p + 16);
		*port = (uint16_t)get16(s, 24);
	} else if (proxied && family == 2 && length >= 36) {
		*ip = ip_from_v6(s.p + 16);
		*port = (uint16_t)get16(s, 48);
	}
	*octets = span_sub(s, 16 + length, s.n);
	return 1;
}

void smtp_session_write(const struct smtp_session *s, bool json, struct buf *out)
{
	char time[CLOCK_TEXT_BYTES], peer[IP_TEXT_BYTES];
	clock_rfc3339(s->time_us, time);
	ip_text(&s->peer, peer);
	if (!json) {
		buf_addf(out, "%s %s:%u session without transaction, %s, last reply %d\n", time, peer,
			 s->port, s->tls.on ? "encrypted" : "plain", s->reply.code);
		return;
	}
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "session");
	json_cstr(&j, "session", s->id);
	json_cstr(&j, "time", time);
	json_cstr(&j, "peer", peer);
	json_int(&j, "port", s->port);
	json_text(&j, "helo", s->helo);
	if (s->tls.on) {
		json_open(&j, "tls", '{');
		json_text(&j, "version", s->tls.version);
		json_text(&j, "cipher", s->tls.cipher);
		json_text(&j, "sni", s->tls.sni);
		json_close(&j, '}');
	} else {
		json_null(&j, "tls");
	}
	if (s->reply.code) {
		json_open(&j, "reply", '{');
		json_int(&j, "code", s->reply.code);
		json_text(&j, "enhanced", s->reply.enhanced);
		json_text(&j, "text", s->reply.text);
		json_close(&j, '}');
	} else {
		json_null(&j, "reply");
	}
	json_int(&j, "client_octets", (int64_t)s->octets[0]);
	json_int(&j, "server_octets", (int64_t)s->octets[1]);
	json_close(&j, '}');
	buf_addc(out, '\n');
}
