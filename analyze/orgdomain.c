/*
 * orgdomain - the organizational domain by the public suffix list; the one file with libpsl.
 *
 * The list that Debian keeps up to date is read at the first call (8 ms); libpsl's built-in copy
 * is the fallback, and four times as slow a look-up.
 */
#include <libpsl.h>

#include "analyze/auth.h"
#include "base/log.h"

static const char *const list_files[] = {
	"/usr/share/publicsuffix/public_suffix_list.dafsa",
	"/usr/share/publicsuffix/public_suffix_list.dat",
};

static const psl_ctx_t *list(void)
{
	static const psl_ctx_t *loaded;
	for (size_t i = 0; i < 2 && !loaded; i++)
		loaded = psl_load_file(list_files[i]);
	if (!loaded) {
		loaded = psl_builtin();
		log_warn("psl.builtin", "file=%s", list_files[0]);
	}
	return loaded;
}

/* What was asked last: a mail asks for the same few domains several times, and senders send more
 * than one mail. A look-up costs 7,000 instructions. */
#define ANSWERS 1024u
#define ANSWER_BYTES 61
static struct {
	uint8_t n, org; /* octets of the name; of the organizational domain at its end */
	char name[ANSWER_BYTES + 1];
} answers[ANSWERS];

/* `name` is `n` octets in lower case with a NUL behind them. */
static size_t org_bytes(const char *name, size_t n)
{
	const char *found = psl_registrable_domain(list(), name);
	return found ? n - (size_t)(found - name) : n;
}

struct span org_domain_psl(struct span domain)
{
	char name[256];
	uint32_t h = 2166136261u;
	if (domain.n == 0 || domain.n >= sizeof(name) || memchr(domain.p, '\0', domain.n))
		return domain;
	for (size_t i = 0; i < domain.n; i++) {
		name[i] = ascii_lower(domain.p[i]);
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	}
	name[domain.n] = '\0';
	size_t slot = (h ^ h >> 16) % ANSWERS, org;
	if (domain.n > ANSWER_BYTES) {
		org = org_bytes(name, domain.n);
	} else {
		if (answers[slot].n != domain.n || memcmp(answers[slot].name, name, domain.n) != 0) {
			answers[slot].org = (uint8_t)org_bytes(name, domain.n);
			answers[slot].n = (uint8_t)domain.n;
			memcpy(answers[slot].name, name, domain.n);
		}
		org = answers[slot].org;
	}
	return span_sub(domain, domain.n - org, domain.n);
}
