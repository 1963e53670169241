#include "base/id.h"

#include <stdlib.h>
#include <sys/random.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void id_make(int64_t now_us, char out[ID_BYTES])
{
	unsigned char bytes[16];
	uint64_t ms = (uint64_t)(now_us / 1000);
	for (int i = 5; i >= 0; i--, ms >>= 8)
		bytes[i] = (unsigned char)ms;
	/* getrandom() of 10 bytes cannot be cut short or fail once the pool is ready. */
	if (getrandom(bytes + 6, 10, 0) != 10)
		abort();
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
