#include "feedback/books_lua.h"

#include "base/buf.h"
#include "base/digest.h"


static const char body[] =
#include "feedback/books_lua.inc"
	;

/* The version is the hash of the text, so a library that was changed is never taken for the
 * one that a server has already. */
const char *books_lua_version(void)
{
	static char version[SHA256_TEXT_BYTES];
	if (!version[0])
		sha256_text((struct span){body, sizeof(body) - 1}, version);
	return version;
}

const char *books_lua_text(void)
{
	static struct buf text;
	if (text.n == 0)
		buf_addf(&text, "#!lua name=assay\nlocal VERSION = '%s'\n%s", books_lua_version(),
			 body);
	return text.failed ? NULL : text.p;
}
