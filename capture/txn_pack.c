#include "capture/txn_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"

#define PACK_MAGIC 0x31545341u /* "AST1" */
#define PACK_HEAD_BYTES 1024 /* what stands before the message, mostly */

/*
 * The struct itself, then its arrays and texts in the order of pack(), then the message. A text is
 * its length and its octets; NONE stands for one that is not known.
 */
#define NONE UINT64_MAX

static void put(struct buf *b, const void *p, size_t n)
{
	buf_add(b, (struct span){p, n});
}

static void put_span(struct buf *b, struct span s)
{
	uint64_t n = s.p ? s.n : NONE;
	put(b, &n, sizeof(n));
	if (s.p)
		buf_add(b, s);
}

static void pack(const struct txn *t, struct buf *b)
{
	uint32_t magic = PACK_MAGIC;
	put(b, &magic, sizeof(magic));
	put(b, t, sizeof(*t));
	put_span(b, t->file);
	put_span(b, t->session);
	put_span(b, t->helo.s);
	put_span(b, t->mail_from.s);
	put_span(b, t->reply.enhanced);
	put_span(b, t->reply.text);
	put_span(b, t->tls.version);
	put_span(b, t->tls.cipher);
	put_span(b, t->tls.sni);
	put_span(b, (struct span){(const char *)t->holes, t->n_holes * sizeof(*t->holes)});
	for (size_t i = 0; i < t->n_rcpts; i++) {
		const struct txn_rcpt *rcpt = &t->rcpts[i];
		uint32_t words[2] = {(uint32_t)rcpt->prov, (uint32_t)rcpt->reply.code};
		put(b, words, sizeof(words));
		put_span(b, rcpt->to);
		put_span(b, rcpt->reply.enhanced);
		put_span(b, rcpt->reply.text);
	}
	uint64_t n = t->message.p ? t->message.n : NONE;
	put(b, &n, sizeof(n));
}

static int write_file(struct txn_packed *p, struct span message)
{
	p->fd = memfd_create("txn", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = p->fd < 0 ? -errno : file_write_fd(p->fd, buf_span(&p->octets));
	if (r == 0)
		r = file_write_fd(p->fd, message);
	if (r == 0 && fcntl(p->fd, F_ADD_SEALS,
			    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		r = -errno;
	buf_free(&p->octets);
	return r;
}

int txn_pack(const struct txn *t, struct txn_packed *p_r)
{
	int r = 0;
	*p_r = (struct txn_packed){.fd = -1};
	if (t->message.n < LIMIT_PACK_SENT_BYTES)
		buf_reserve(&p_r->octets, t->message.n + PACK_HEAD_BYTES);
	pack(t, &p_r->octets);
	if (!p_r->octets.failed && p_r->octets.n + t->message.n > LIMIT_PACK_SENT_BYTES)
		r = write_file(p_r, t->message);
	else
		buf_add(&p_r->octets, t->message);
	if (p_r->octets.failed)
		r = -ENOMEM;
	if (r < 0)
		txn_packed_free(p_r);
	return r;
}

void txn_packed_free(struct txn_packed *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	buf_free(&p->octets);
}

/* What an unpacked transaction points into. */
struct packed {
	char *p;
	size_t n;
	bool mapped; /* else allocated behind this struct */
};

static void packed_free(void *owner)
{
	struct packed *m = owner;
	if (m->mapped)
		munmap(m->p, m->n);
	free(m);
}

static int packed_copy(struct span octets, struct packed **m_r)
{
	struct packed *m = malloc(sizeof(*m) + octets.n);
	if (!m)
		return -ENOMEM;
	*m = (struct packed){(char *)(m + 1), octets.n, false};
	if (octets.n)
		memcpy(m->p, octets.p, octets.n);
	*m_r = m;
	return 0;
}

static int packed_map(int fd, struct packed **m_r)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0)
		return -EBADMSG;
	struct packed *m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct packed){NULL, (size_t)st.st_size, true};
	m->p = mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m->p == MAP_FAILED) {
		free(m);
		return -errno;
	}
	*m_r = m;
	return 0;
}

/* Takes octets off the front; NULL when there are not so many. */
static const char *take(struct span *rest, uint64_t n)
{
	if (n > rest->n)
		return NULL;
	const char *p = rest->p;
	rest->p += n;
	rest->n -= n;
	return p;
}

static bool take_span(struct span *rest, struct span *s_r)
{
	const char *head = take(rest, sizeof(uint64_t));
	uint64_t n;
	if (!head)
		return false;
	memcpy(&n, head, sizeof(n));
	*s_r = SPAN_NONE;
	if (n == NONE)
		return true;
	const char *p = take(rest, n);
	*s_r = (struct span){p, (size_t)n};
	return p != NULL;
}

static bool take_rcpts(struct span *rest, struct txn *t, size_t n)
{
	/* each takes 32 octets at least, so a count that lies cannot make us allocate */
	if (n > rest->n / 32)
		return false;
	t->rcpts = ARENA_ARRAY(&t->arena, struct txn_rcpt, n + 1);
	if (!t->rcpts)
		return false;
	for (t->n_rcpts = 0; t->n_rcpts < n; t->n_rcpts++) {
		struct txn_rcpt *rcpt = &t->rcpts[t->n_rcpts];
		uint32_t words[2];
		const char *p = take(rest, sizeof(words));
		if (!p)
			return false;
		memcpy(words, p, sizeof(words));
		rcpt->prov = (enum provenance)words[0];
		rcpt->reply.code = (int)words[1];
		if (!take_span(rest, &rcpt->to) || !take_span(rest, &rcpt->reply.enhanced) ||
		    !take_span(rest, &rcpt->reply.text))
			return false;
	}
	t->cap_rcpts = n + 1;
	return true;
}

static bool unpack(struct span rest, struct txn *t)
{
	uint32_t magic;
	struct txn packed;
	const char *head = take(&rest, sizeof(magic)), *body = take(&rest, sizeof(packed));
	if (!head || !body)
		return false;
	memcpy(&magic, head, sizeof(magic));
	memcpy(&packed, body, sizeof(packed));
	if (magic != PACK_MAGIC || packed.source > TXN_MAILDIR)
		return false;
	size_t n_rcpts = packed.n_rcpts;
	/* what the other process' pointers were */
	packed.arena = t->arena;
	packed.release = t->release;
	packed.owner = t->owner;
	packed.rcpts = NULL;
	packed.holes = NULL;
	packed.n_rcpts = packed.cap_rcpts = packed.n_holes = packed.cap_holes = 0;
	packed.id[sizeof(packed.id) - 1] = '\0';
	packed.file = packed.session = packed.helo.s = packed.mail_from.s = SPAN_NONE;
	packed.message = packed.reply.enhanced = packed.reply.text = SPAN_NONE;
	packed.tls.version = packed.tls.cipher = packed.tls.sni = SPAN_NONE;
	*t = packed;
	struct span holes;
	if (!take_span(&rest, &t->file) || !take_span(&rest, &t->session) ||
	    !take_span(&rest, &t->helo.s) || !take_span(&rest, &t->mail_from.s) ||
	    !take_span(&rest, &t->reply.enhanced) || !take_span(&rest, &t->reply.text) ||
	    !take_span(&rest, &t->tls.version) || !take_span(&rest, &t->tls.cipher) ||
	    !take_span(&rest, &t->tls.sni) || !take_span(&rest, &holes))
		return false;
	t->n_holes = t->cap_holes = holes.n / sizeof(*t->holes);
	t->holes = ARENA_ARRAY(&t->arena, struct txn_hole, t->n_holes + 1);
	if (!t->holes)
		return false;
	if (t->n_holes) /* in the file they are not aligned */
		memcpy(t->holes, holes.p, t->n_holes * sizeof(*t->holes));
	return take_rcpts(&rest, t, n_rcpts) && take_span(&rest, &t->message) && rest.n == 0;
}

int txn_unpack(struct span octets, int fd, struct txn **t_r)
{
	struct packed *m = NULL;
	*t_r = NULL;
	int r = fd < 0 ? packed_copy(octets, &m) : packed_map(fd, &m);
	if (r < 0)
		return r;
	struct txn *t = txn_create(TXN_EML, 0);
	if (!t) {
		packed_free(m);
		return -ENOMEM;
	}
	t->release = packed_free;
	t->owner = m;
	if (!unpack((struct span){m->p, m->n}, t)) {
		r = t->arena.overflowed ? -ENOMEM : -EBADMSG;
		txn_free(t);
		return r;
	}
	*t_r = t;
	return 0;
}
