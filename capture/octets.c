#include "capture/octets.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"

/* Holes told apart in one message; further ones are told as one of unknown length. */
#define HOLES 64

struct octets {
	struct buf memory;
	int fd; /* -1: nothing was spilled */
	bool keep, lost;
	uint64_t size, kept;
	uint64_t missing; /* in holes of known length */
	struct sha256 *hash;
	struct txn_hole *holes; /* HOLES, once there is one */
	unsigned n_holes;
	/* the marked place */
	uint64_t marked_size, marked_kept, marked_missing;
	struct sha256 *marked_hash;
	unsigned marked_holes;
};

struct octets *octets_create(bool keep, bool hash)
{
	struct octets *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->fd = -1;
	o->keep = keep;
	if (hash && !(o->hash = sha256_create())) {
		free(o);
		return NULL;
	}
	return o;
}

void octets_free(struct octets *o)
{
	if (!o)
		return;
	buf_free(&o->memory);
	if (o->fd >= 0)
		close(o->fd);
	free(o->holes);
	sha256_free(o->hash);
	sha256_free(o->marked_hash);
	free(o);
}

uint64_t octets_size(const struct octets *o)
{
	return o->size;
}

/* A file with what lies in memory so far, or -1. */
static int spill_open(struct span memory)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = memfd_create("assay-message", MFD_CLOEXEC);
	if (fd < 0 || file_write_fd(fd, memory) == 0)
		return fd;
	close(fd);
	return -1;
}

/* No room: judged as far as it is kept, and said so. The file has `kept` octets and perhaps some more
 * of a write that was cut short, never less: what is mapped of it is there. */
static void spill(struct octets *o, struct span s)
{
	if (o->fd < 0) {
		o->fd = spill_open(buf_span(&o->memory));
		if (o->fd >= 0)
			buf_free(&o->memory);
	}
	if (o->fd < 0 || file_write_fd(o->fd, s) < 0)
		o->lost = true;
}

void octets_add(struct octets *o, struct span s)
{
	o->size += s.n;
	if (o->hash)
		sha256_add(o->hash, s);
	if (!o->keep || o->lost)
		return;
	if (o->kept + s.n > LIMIT_MESSAGE_BYTES) {
		o->lost = true;
		return;
	}
	if (o->fd < 0 && o->kept + s.n <= LIMIT_SPILL_BYTES)
		buf_add(&o->memory, s);
	else
		spill(o, s);
	if (o->memory.failed)
		o->lost = true;
	if (!o->lost)
		o->kept += s.n;
}

void octets_hole(struct octets *o, uint64_t length)
{
	if (!o->holes)
		o->holes = calloc(HOLES, sizeof(*o->holes));
	if (o->holes && o->n_holes < HOLES)
		o->holes[o->n_holes] = (struct txn_hole){o->size + o->missing, length};
	else if (o->holes)
		o->holes[HOLES - 1].length = 0;
	o->n_holes += o->n_holes < HOLES;
	o->missing += length;
}

bool octets_spilled(const struct octets *o)
{
	return o->fd >= 0;
}

bool octets_has_hole(const struct octets *o)
{
	return o && o->n_holes > 0;
}

void octets_mark(struct octets *o)
{
	o->marked_size = o->size;
	o->marked_kept = o->kept;
	o->marked_missing = o->missing;
	o->marked_holes = o->n_holes;
	sha256_free(o->marked_hash);
	o->marked_hash = o->hash ? sha256_copy(o->hash) : NULL;
}

void octets_cut(struct octets *o)
{
	o->size = o->marked_size;
	o->missing = o->marked_missing;
	if (o->fd >= 0) {
		if (ftruncate(o->fd, (off_t)o->marked_kept) < 0 ||
		    lseek(o->fd, (off_t)o->marked_kept, SEEK_SET) < 0)
			o->lost = true;
	} else {
		o->memory.n = o->marked_kept;
	}
	o->kept = o->marked_kept;
	o->n_holes = o->marked_holes;
	sha256_free(o->hash);
	o->hash = o->marked_hash;
	o->marked_hash = NULL;
}

/* What a transaction holds until txn_free(). */
struct owner {
	void *mapped;
	size_t n;
};

static void release(void *arg)
{
	struct owner *owner = arg;
	munmap(owner->mapped, owner->n);
	free(owner);
}

static void give_mapped(struct octets *o, struct txn *t)
{
	struct owner *owner = malloc(sizeof(*owner));
	void *p = owner ? mmap(NULL, o->kept, PROT_READ, MAP_SHARED, o->fd, 0) : MAP_FAILED;
	if (p == MAP_FAILED) {
		free(owner);
		t->flags |= TXN_TRUNCATED;
		return;
	}
	*owner = (struct owner){p, o->kept};
	t->message = (struct span){p, o->kept};
	t->owner = owner;
	t->release = release;
}

void octets_give(struct octets *o, struct txn *t, bool ended)
{
	t->size = o->size;
	t->complete = ended && o->n_holes == 0;
	for (unsigned i = 0; i < o->n_holes; i++)
		txn_add_hole(t, o->holes ? o->holes[i].offset : 0, o->holes ? o->holes[i].length : 0);
	if (o->hash && t->complete) {
		sha256_finish(o->hash, t->sha256);
		t->hashed = true;
	}
	if (o->keep && o->lost)
		t->flags |= TXN_TRUNCATED;
	if (o->fd >= 0 && o->kept) {
		give_mapped(o, t);
	} else if (o->keep) {
		t->message = o->memory.p ? buf_span(&o->memory) : SPAN("");
		t->owner = o->memory.p;
		t->release = o->memory.p ? free : NULL;
		o->memory = BUF_INIT;
	}
	octets_free(o);
}
