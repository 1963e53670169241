/*
 * content_parts - what content_read() keeps: private to content.c and the files behind it.
 *
 * `shown` is what a person sees: the HTML when there is one, and plain parts that are no
 * alternative to it. `other` holds those alternatives. Positions are bytes of the views' texts.
 */
#pragma once

#include "analyze/content.h"
#include "analyze/fold.h"
#include "analyze/identity.h"
#include "analyze/phrases.h"
#include "analyze/view.h"

/* One reading of a view: its text folded, its phrases. */
struct reading {
	struct view view;
	struct folded text, hidden, alt;
	struct phrase_hits hits, hidden_hits, alt_hits;
};

enum way_kind { WAY_LINK, WAY_MAILTO, WAY_REPLY, WAY_LOGIN, WAY_FORM };

/* One way to unsubscribe in the body. */
struct unsub_way {
	enum way_kind kind;
	bool visible, described;
	bool dead; /* a link that leads nowhere */
	float px, contrast; /* of the text that carries it; contrast 0: not known */
	struct span text;   /* what is shown: the link's text or the sentence */
	struct span target; /* .p NULL: none */
	char language[3];   /* of the phrase; "" when only the target says it */
	uint16_t part;
	uint32_t offset; /* in the part's text */
};

#define UNSUB_WAYS 16
struct unsub {
	struct unsub_way ways[UNSUB_WAYS];
	size_t n, seen;
	bool delete_only; /* "just delete it" */
};

/* A text found in the body. */
struct found_text {
	struct span text; /* .p NULL: none */
	uint16_t part;
	uint32_t offset;
};

struct identity {
	struct found_text name, address, phone, email, credit_code, icp;
	struct span phone_digits; /* the phone with ASCII digits */
};

struct classification {
	bool known; /* false: abstained */
	bool marketing, kind_known;
	const char *kind, *sub;
	double p;
	struct span reasons[8];
	size_t n_reasons;
};

/* Line ends counted up to a place of a part; see content_evidence(). */
struct line_mark {
	uint16_t part;
	uint32_t offset;
	size_t lines;
};

struct content {
	const struct message *message;
	struct arena *arena;
	struct line_mark *mark;
	struct reading shown, other;
	bool has_other, readable; /* readable: some text or HTML part was read */
	bool partial;             /* a limit cut what was read */
	const struct span *link_domains;
	size_t n_link_domains;
	char language[3]; /* by script and frequent words: zh ja ko ru en ... ; "" not known */
	struct unsub unsub;
	struct identity identity;
};

void unsub_find(struct unsub *u, struct reading *r);
void unsub_facts(const struct content *c, const struct auth *auth, struct facts *f);
/* The text of a range of what is shown, and its place in its part. */
struct found_text content_place(const struct content *c, struct text_range range);
/* The sender's name in what is shown, else in what stands for pictures; `address` and `phone` are
 * those there, or empty. */
struct found_text sender_name_find(struct content *c, struct text_range address,
				   struct text_range phone);
void identity_find(struct content *c);
void identity_facts(struct content *c, const struct txn *txn, struct facts *f);
void class_facts(struct content *c, const struct txn *txn, struct facts *f);
void subject_facts(struct content *c, struct facts *f);

/* Adds evidence with the place in the message's octets when it can be told: the part is not
 * encoded and the octets there are the text's. */
void content_evidence(const struct content *c, struct fact *fact, struct span text,
		      uint16_t part, uint32_t offset);
/* The text's piece at [from, to) widened to its line, at most LIMIT_EVIDENCE_BYTES. */
struct span view_line(struct span text, size_t from, size_t to);
