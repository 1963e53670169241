#include "feedback/eventlog_zstd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "base/limits.h"

#define LEVEL 6 /* a segment of 64 MB in a second, a fifteenth of its size */
#define PIECE ((size_t)128 << 10)

struct pipe {
	char in[PIECE], out[PIECE];
	off_t at; /* where in `from` to go on */
	ZSTD_inBuffer from;
};

/* The next piece: 1, 0 at the end, negative errno. */
static int read_piece(int fd, struct pipe *p)
{
	ssize_t n;
	do
		n = pread(fd, p->in, sizeof(p->in), p->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	p->at += n;
	p->from = (ZSTD_inBuffer){p->in, (size_t)n, 0};
	return n > 0;
}

static int compress_all(ZSTD_CCtx *z, struct pipe *p, int from, int to)
{
	int more;
	do {
		more = read_piece(from, p);
		if (more < 0)
			return more;
		size_t left;
		do {
			ZSTD_outBuffer out = {p->out, sizeof(p->out), 0};
			left = ZSTD_compressStream2(z, &out, &p->from,
						    more ? ZSTD_e_continue : ZSTD_e_end);
			int r = ZSTD_isError(left) ? -EIO :
						     file_write_fd(to, (struct span){p->out, out.pos});
			if (r < 0)
				return r;
		} while (more ? p->from.pos < p->from.size : left > 0);
	} while (more);
	return 0;
}

int eventlog_compress(int from, int to)
{
	struct pipe *p = calloc(1, sizeof(*p));
	ZSTD_CCtx *z = ZSTD_createCCtx();
	int r = -ENOMEM;
	if (p && z) {
		ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, LEVEL);
		ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
		r = compress_all(z, p, from, to);
	}
	ZSTD_freeCCtx(z);
	free(p);
	return r;
}

static int decompress_all(ZSTD_DCtx *z, struct pipe *p, int from, int to)
{
	size_t hint = 1, size = 0;
	int more;
	while ((more = read_piece(from, p)) > 0) {
		bool full;
		do {
			ZSTD_outBuffer out = {p->out, sizeof(p->out), 0};
			hint = ZSTD_decompressStream(z, &out, &p->from);
			if (ZSTD_isError(hint))
				return -EBADMSG;
			size += out.pos;
			if (size > LIMIT_LOG_SEGMENT_BYTES + LIMIT_EVENT_BYTES)
				return -EFBIG;
			int r = file_write_fd(to, (struct span){p->out, out.pos});
			if (r < 0)
				return r;
			full = out.pos == out.size;
		} while (p->from.pos < p->from.size || full);
	}
	return more < 0 ? more : hint ? -EBADMSG : 0; /* not 0: the frame goes on */
}

int eventlog_decompress(int from, int to)
{
	struct pipe *p = calloc(1, sizeof(*p));
	ZSTD_DCtx *z = ZSTD_createDCtx();
	int r = p && z ? decompress_all(z, p, from, to) : -ENOMEM;
	ZSTD_freeDCtx(z);
	free(p);
	return r;
}
