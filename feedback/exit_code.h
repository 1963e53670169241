/* exit_code - sysexits.h for a negative errno of the state folder. */
#pragma once

#include <errno.h>
#include <string.h>
#include <sysexits.h>

/* The words for it: "Bad message" tells nobody that a file is broken. */
static inline const char *trouble_text(int r)
{
	return r == -EBADMSG ? "damaged, not as Assay wrote it" : strerror(-r);
}

static inline int exit_code(int r)
{
	switch (-r) {
	case EACCES:
	case EPERM:
	case EROFS:
		return EX_NOPERM;
	case ENOENT:
	case ENOTDIR:
		return EX_NOINPUT;
	case EBADMSG:
	case EPROTO:
		return EX_DATAERR;
	case ENOSPC:
	case EBUSY:
	case EAGAIN:
	case ECONNREFUSED:
	case ETIMEDOUT:
		return EX_TEMPFAIL;
	case ENOMEM:
		return EX_OSERR;
	default:
		return EX_IOERR;
	}
}
