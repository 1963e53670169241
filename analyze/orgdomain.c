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

struct span org_domain_psl(struct span domain)
{
	char name[256];
	if (domain.n == 0 || domain.n >= sizeof(name) || memchr(domain.p, '\0', domain.n))
		return domain;
	for (size_t i = 0; i < domain.n; i++)
		name[i] = ascii_lower(domain.p[i]);
	name[domain.n] = '\0';
	const char *found = psl_registrable_domain(list(), name);
	return found ? span_sub(domain, (size_t)(found - name), domain.n) : domain;
}
