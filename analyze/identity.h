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
/* For address_find(), of one line that has digits: in East Asian characters; and of any line,
 * behind a label that ends at `label`. */
bool address_east(struct span line, struct text_range *place_r);
bool address_labelled(struct span line, size_t label, struct text_range *place_r);
struct text_range credit_code_find(struct span folded);
struct text_range icp_find(struct span folded, const struct phrase_hits *hits);
/* GB 32100 with its check digit; lower or upper case. */
bool credit_code_valid(struct span code);
/* The line of `at` is quoted from another mail: ">" in front of it, or "From:" and its like. */
bool is_quoted(struct span s, size_t at);

/* --- names: many are in a body, one is the sender's (identity_name.c) ------------------------ */

/* What makes a piece of text a name. */
enum name_how {
	NAME_REGISTERED,    /* an East Asian legal form: ...有限公司, 株式会社... */
	NAME_PAYER,	    /* "paid for by": who pays must be named */
	NAME_BRAND,	    /* the word of From's domain, written as a name */
	NAME_DISPLAY,	    /* From's whole display name */
	NAME_OWNER,	    /* behind a copyright sign */
	NAME_ADDRESSEE,	    /* before the postal address in its line */
	NAME_ABOVE_ADDRESS, /* in the line above it */
	NAME_FORM,	    /* a legal form in letters: "... Co., Ltd." */
	NAME_WORDS,	    /* some words of From's display name */
	NAME_SPEAKER,	    /* "... is proud to", ...敬上 */
	NAME_SENDER,	    /* "sent by", "published by" */
	NAME_SUBSCRIBED,    /* "subscribed to", "emails from" */
	NAME_LINKED,	    /* the word of the domain that most links lead to */
	NAME_ROLE,	    /* in a signature below a person's role */
	NAME_SIGNATURE,	    /* below "Regards," */
	NAME_HOUSE,	    /* a word for houses at its end: ...公司, ...工作室, ...学校 */
	NAME_SITE,	    /* a word for sites at its end: ...网; a name before its URL */
	NAME_HEADING,	    /* the first line, alone */
	NAME_HOWS
};

struct name_candidate {
	struct text_range range;
	enum name_how how;
	int score;
};

/* Folded words of From's display name and domain. */
#define NAME_HINTS 8
#define NAME_CANDIDATES 8

/* What the finders read, and the best that they have offered. */
struct name_search {
	struct span text, original; /* folded; as written */
	const struct folded *map;   /* leads from folded to written */
	const struct phrase_hits *hits;
	struct span hints[NAME_HINTS];
	size_t n_hints;
	struct span subject;	   /* folded */
	struct span brand, linked; /* letters of the domains' words, nothing between */
	bool wide;		   /* East Asian characters are in it */
	struct text_range address, phone;
	struct name_candidate best[NAME_CANDIDATES];
	size_t n_best;
};

/* Takes `r` among the best when it may be the sender's; `more` is what the finder adds. */
void name_offer(struct name_search *n, struct text_range r, enum name_how how, int more);
/* The one with the most evidence; none when all have little. */
struct text_range name_choose(const struct name_search *n);
/* The last place that writes `name` as words of its own and not in an address. */
struct text_range name_written(struct span s, struct span name);
/* The same of a domain's word; where it is not written whole, the first place that has its letters
 * with blanks or signs between: "Blue-Widget Works" is "bluewidgetworks". */
struct text_range name_spelled(struct span s, struct span letters);
/* The letter there is a capital, or has no capitals. */
bool name_capital(const struct name_search *n, size_t at);

/* Names beside marks and legal forms: in letters, in East Asian characters. */
void name_find_latin(struct name_search *n);
void name_find_east(struct name_search *n);
