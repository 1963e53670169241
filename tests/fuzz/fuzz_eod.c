/* The end of data: what is found must not depend on how the octets are cut into pieces, and in the
 * strict reading must be what a few lines of plain code find. */
#include <stdint.h>
#include <stdlib.h>

#include "capture/eod.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	struct txn *t;
	size_t left;
	bool end, candidate;
	uint32_t flags;
};

static struct result run(enum eod_mode mode, struct span rest, size_t piece)
{
	struct eod e = {0};
	struct octets *o = octets_create(true, false);
	struct result r = {.t = txn_create(TXN_PCAP, 0)};
	if (!o || !r.t)
		abort();
	eod_start(&e, mode);
	while (rest.n && !r.end) {
		struct span s = span_sub(rest, 0, piece);
		size_t before = s.n;
		r.end = eod_feed(&e, o, &s);
		rest = span_sub(rest, before - s.n, rest.n);
	}
	r.left = rest.n;
	r.candidate = e.candidate;
	r.flags = e.flags;
	eod_free(&e);
	octets_give(o, r.t, r.end);
	return r;
}

/* RFC 5321 section 4.5.2, word for word. False when there is no end. */
static bool plain(struct span s, struct buf *out, size_t *left_r)
{
	for (size_t at = 0; at <= s.n;) {
		struct span line = span_sub(s, at, s.n);
		size_t end = span_find(line, SPAN("\r\n"));
		if (end == SIZE_MAX)
			return false;
		if (end == 1 && line.p[0] == '.') {
			*left_r = line.n - 3;
			return true;
		}
		size_t dot = end && line.p[0] == '.';
		buf_add(out, span_sub(line, dot, end + 2));
		at += end + 2;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	enum eod_mode mode = data[0] % 3;
	size_t piece = 1 + data[1], left = 0;
	struct span s = {(const char *)data + 2, size - 2};
	struct result a = run(mode, s, SIZE_MAX), b = run(mode, s, piece);
	if (a.end != b.end || a.left != b.left || a.candidate != b.candidate || a.flags != b.flags ||
	    a.t->size != b.t->size || !span_eq(a.t->message, b.t->message))
		abort();
	struct buf want = BUF_INIT;
	if (mode == EOD_STRICT) {
		bool end = plain(s, &want, &left);
		if (end != a.end || (end && (left != a.left ||
					     !span_eq(buf_span(&want), a.t->message))))
			abort();
	}
	buf_free(&want);
	txn_free(a.t);
	txn_free(b.t);
	return 0;
}
