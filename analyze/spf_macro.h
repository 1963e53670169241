/*
 * spf_macro - the macro language of SPF: reading, checking and expanding it.
 *
 * Ownership: expansions lie in the arena; env is the caller's.
 * Standard:  RFC 7208 section 7.
 */
#pragma once

#include "base/arena.h"
#include "base/ip.h"

/* One piece of a macro-string. */
struct spf_macro {
	char letter;         /* of "%{letter...}", lower case; 0: `literal` stands for itself */
	bool escape;         /* the letter was upper case: URL-escape what comes out */
	bool reverse;        /* "r" */
	unsigned keep;       /* right-hand parts that stay; 0: all */
	struct span delims;  /* "" means "." */
	struct span literal; /* run of letters, or what "%%", "%_", "%-" stand for */
};

/* What macros stand for. */
struct spf_env {
	struct ip ip;
	struct span local, sender_domain; /* of <sender>: %{l}, %{o} */
	struct span domain;               /* <domain>: %{d} */
	struct span helo;                 /* %{h} */
	struct span validated;            /* %{p}; see spf_macro_uses() */
	struct span receiver;             /* %{r} */
	int64_t time_us;                  /* %{t} */
};

/* Takes the next piece off `rest`. 1: here it is; 0: nothing is left; -1: a fault. With
 * `explanation` the letters c, r, t and blanks are allowed. */
int spf_macro_next(struct span *rest, bool explanation, struct spf_macro *macro_r);

/* The whole text follows the grammar. */
bool spf_macro_valid(struct span text, bool explanation);

/* Some macro of a valid text has this letter (lower case). */
bool spf_macro_uses(struct span text, char letter);

/* `text` must be valid. .p NULL when the arena is full. */
struct span spf_macro_expand(struct span text, bool explanation, const struct spf_env *env,
			     struct arena *arena);
