/*
 * topic - what a letter is about, in 1,024 bits, so that a filing can hold it.
 *
 * Each different term of what the letter shows (subject.h) votes on every bit, rarer ones louder;
 * the sign of the sum is the bit (M. Charikar, Similarity estimation techniques from rounding
 * algorithms, 2002). The share of bits that differ tells the cosine of two letters; 
 * tests/eval/topic_eval measures it.
 */
#pragma once

#include "analyze/content.h"

#define TOPIC_BYTES 128
#define TOPIC_DIGITS (2 * TOPIC_BYTES)

struct topic {
	unsigned char bits[TOPIC_BYTES];
};

/* False: too few words to tell. */
bool topic_of(const struct content *c, struct topic *t);
double topic_cosine(const struct topic *a, const struct topic *b);
/* TOPIC_DIGITS hexadecimal digits; false: not that. */
bool topic_read(struct span hex, struct topic *t);
