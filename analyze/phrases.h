/*
 * phrases - finds the phrases of rules/lists/phrases.txt in folded text, all in one pass.
 *
 * A line of the list is `kind language phrase`. "remove ... from ... list" matches with up to
 * PHRASE_GAP_BYTES in each gap. A phrase that begins with a letter of an alphabet begins at a
 * word; it may end inside one ("unsubscribe" finds "unsubscribed") unless '|' is its last sign.
 *
 * The table is made at the first use and lives as long as the process.
 */
#pragma once

#include "base/arena.h"

#define PHRASE_GAP_BYTES 40

#define PHRASE_KINDS(P) \
	P(UNSUB, "unsub", "a wish to get no more mail") \
	P(REPLY, "reply", "unsubscribing by an answer") \
	P(ANSWER, "answer", "asks for an answer; a way only beside a wish") \
	P(LOGIN, "login", "unsubscribing in the settings of an account") \
	P(NOWAY, "noway", "looks like a way to unsubscribe and is none") \
	P(HERE, "here", "link text that means the sentence around it") \
	P(COMPLAINT, "complaint", "where to complain") \
	P(PRIVACY, "privacy", "a privacy policy") \
	P(BASIS, "basis", "why the recipient gets this mail") \
	P(PROMO, "promo", "praise of goods, prices, discounts") \
	P(ACTION, "action", "asks to buy, order, register") \
	P(PERIODIC, "periodic", "an issue of something that comes regularly") \
	P(MEMBER, "member", "points, levels, members") \
	P(ACCOUNT, "account", "about the recipient's account") \
	P(ORDER, "order", "about the recipient's order or delivery") \
	P(BILLING, "billing", "about the recipient's bill or payment") \
	P(ALCOHOL, "alcohol", "lexicon: alcohol") \
	P(TOBACCO, "tobacco", "lexicon: tobacco") \
	P(ADULT, "adult", "lexicon: adult content") \
	P(GAMBLING, "gambling", "lexicon: gambling") \
	P(FRAUD, "fraud", "lexicon: typical fraud") \
	P(MEDICAL, "medical", "lexicon: miracle medicine") \
	P(INVOICES, "invoices", "lexicon: trade in invoices") \
	P(LOANS, "loans", "lexicon: loans without security") \
	P(PYRAMID, "pyramid", "lexicon: pyramid selling") \
	P(WEAPONS, "weapons", "lexicon: weapons") \
	P(GUARANTEE, "guarantee", "lexicon: profit without risk") \
	P(ABSOLUTE, "absolute", "lexicon: the best, the first (Advertising Law, article 9)") \
	P(WARNING, "warning", "in front of a lexicon phrase: it is warned of") \
	P(HARVEST, "harvest", "the recipient's address was collected or bought") \
	P(MINORS, "minors", "an age notice") \
	P(OWNER, "owner", "before the name of who owns the rights") \
	P(PAYER, "payer", "before the name of who pays") \
	P(SUBSCRIBED, "subscribed", "before the name of what one is subscribed to") \
	P(COMPANY, "company", "legal form behind a name of ideographs") \
	P(HOUSE, "house", "word behind the name of a house, weaker than a legal form") \
	P(KAISHA, "kaisha", "legal form on either side of a name") \
	P(FORM, "form", "legal form behind a name in letters") \
	P(CLOSING, "closing", "above a signature") \
	P(PLACE, "place", "before a postal address") \
	P(POSTBOX, "postbox", "a box at a post office") \
	P(FILING, "filing", "in an ICP filing number") \
	P(SENDER, "sender", "before the name of who sends") \
	P(SPEAKER, "speaker", "behind the name of who speaks") \
	P(GROUP, "group", "word behind the name of a workshop, school, shop and their like") \
	P(SITE, "site", "word behind the name of a site or an institution, in sentences too")

enum phrase_kind {
#define P(id, name, meaning) PHRASE_##id,
	PHRASE_KINDS(P)
#undef P
	PHRASE_KIND_COUNT
};

struct phrase_hit {
	uint32_t from, to; /* in the folded text */
	uint16_t row;
	uint8_t kind;
	char language[3];
};

struct phrase_hits {
	struct phrase_hit *v;
	size_t n, cap;
	uint32_t count[PHRASE_KIND_COUNT];
};

/* All phrases in `folded`, in the order of their ends. */
void phrases_find(struct span folded, struct arena *a, struct phrase_hits *hits_r);
const char *phrase_kind_name(enum phrase_kind kind);
/* 0, or the number of the first line of the list that is not understood. */
size_t phrases_check(struct span list);
