/*
 * identity - telephone numbers, postal addresses, names and codes in a text.
 *
 * Each finder reads folded text (fold.h), where full-width digits are ASCII and blanks are one,
 * and its phrases (the marks that stand beside names and addresses), and tells a place in it.
 * Grammars, no gazetteer: what looks like an address of China, North America, Europe, Japan or
 * Korea by its parts counts.
 *
 * Standard: GB 32100-2015 (unified credit code), E.164, YD/T ICP filing numbers.
 */
#pragma once

#include "analyze/fold.h"
#include "analyze/phrases.h"

struct text_range {
	size_t from, to; /* in the text; from == to: none */
};

struct text_range phone_find(struct span folded);
struct text_range address_find(struct span folded, const struct phrase_hits *hits);
/* For address_find(): of one line, in East Asian characters; behind a label that ends at `label`. */
bool address_east(struct span line, struct text_range *place_r);
bool address_labelled(struct span line, size_t label, struct text_range *place_r);
struct text_range credit_code_find(struct span folded);
struct text_range icp_find(struct span folded, const struct phrase_hits *hits);
/* GB 32100 with its check digit; lower or upper case. */
bool credit_code_valid(struct span code);

/* --- names: the best of what several finders offer ------------------------------------- */

/* Folded words of From's display name and domain. */
#define NAME_HINTS 8
struct name_hints {
	struct span words[NAME_HINTS];
	size_t n;
};

/* The best range so far; score 0: none. */
struct name_pick {
	struct text_range range;
	int score;
};

/* A Chinese legal name goes before the person that From shows; who pays must be named; a domain's
 * word or the whole display name in the body is the sender's; a legal form may be a partner's; what stands before the postal address or below "Regards," is
 * a name where nothing better is. Set by hand on the labels of tests/eval. */
enum name_score {
	NAME_SCORE_PAYER = 75, NAME_SCORE_BRAND = 74, NAME_SCORE_DISPLAY = 72,
	NAME_SCORE_WIDE = 90, NAME_SCORE_COPYRIGHT = 60, NAME_SCORE_ADDRESSEE = 55,
	NAME_SCORE_LEGAL = 50, NAME_SCORE_WORDS = 46, NAME_SCORE_BARE = 45,
	NAME_SCORE_SUBSCRIBED = 40, NAME_SCORE_SIGNATURE = 35,
	NAME_SCORE_HINT = 30, NAME_SCORE_PLACE = 10,
};

/* Takes `r` of the folded text `s` when it is the best: `score`, more for a hint in it and for
 * its place. */
void name_offer(struct name_pick *pick, const struct name_hints *hints, struct span s,
		struct text_range r, int score);
/* Companies by their legal forms ("... Co., Ltd.", ...有限公司), names behind copyright signs.
 * `original` is needed for its capital letters, `map` leads there. */
void company_find(struct name_pick *pick, const struct name_hints *hints, struct span folded,
		  struct span original, const struct folded *map, const struct phrase_hits *hits);
