#include "base/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Random octets are asked for in store: a call a time is a fiftieth of what reading a capture costs. A
 * child of fork() has none of its parent's. */
static _Thread_local struct {
	unsigned char octets[1000];
	size_t left;
} store;

static void forget_store(void)
{
	store.left = 0;
}

static void forget_in_children(void)
{
	pthread_atfork(NULL, NULL, forget_store);
}

static void random_octets(unsigned char *out, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (store.left < n) {
		pthread_once(&once, forget_in_children);
		/* may be cut short by a signal only, and not fail once the pool is ready */
		ssize_t got;
		while ((got = getrandom(store.octets, sizeof(store.octets), 0)) < (ssize_t)n)
			if (got < 0 && errno != EINTR)
				abort();
		store.left = (size_t)got;
	}
	store.left -= n;
	memcpy(out, store.octets + store.left, n);
}

void id_make(int64_t now_us, char out[ID_BYTES])
{
	unsigned char bytes[16];
	uint64_t ms = (uint64_t)(now_us / 1000);
	for (int i = 5; i >= 0; i--, ms >>= 8)
		bytes[i] = (unsigned char)ms;
	random_octets(bytes + 6, 10);
	/* 128 bits are 26 characters of 5 bits, the first holds 3. */
	unsigned buffer = 0, bits = 2; /* two zero bits in front */
	size_t in = 0;
	for (int i = 0; i < 26; i++) {
		if (bits < 5) {
			buffer = (buffer << 8 | bytes[in++]) & 0xffff;
			bits += 8;
		}
		bits -= 5;
		out[i] = alphabet[buffer >> bits & 31];
	}
	out[26] = '\0';
}

bool id_valid(struct span s)
{
	if (s.n != ID_BYTES - 1)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' || !strchr(alphabet, s.p[i]))
			return false;
	return true;
}

int64_t id_time_us(struct span id)
{
	int64_t ms = 0;
	for (size_t i = 0; i < 10; i++) /* 50 bits, the first two are zero */
		ms = ms << 5 | (int64_t)(strchr(alphabet, id.p[i]) - alphabet);
	return ms * 1000;
}
