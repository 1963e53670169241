/* subject_score - see subject.h. One pass over each text with a small table of wanted hashes. */
#include "analyze/subject.h"

#include <math.h>

#define MIN_BODY_GRAMS 40 /* a shorter body covers nothing */
#define MIN_GRAMS 4	  /* of the subject */
#define LINKS_BYTES 4000
#define COMMON_RARITY 1.6   /* "you", "for": one mail in five has it */
#define EARLY_BYTES 900   /* headline and first lines */
#define STEM_LETTERS 6    /* of a word: "mortgage" and "mortgages" are one term */

/* A whole word counts as so many n-grams: swaps within one topic are found by its words. */
#define WORD_WEIGHT 2

static uint32_t mix(uint64_t h)
{
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	return (uint32_t)(h >> 32);
}

static bool is_wide(struct span s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	/* U+3040..U+D7FF without the marks of U+3000..U+303F */
	return i + 3 <= s.n && c >= 0xe3 && c <= 0xed &&
	       !(c == 0xe3 && (unsigned char)s.p[i + 1] == 0x80) && c != 0xee;
}

static uint64_t wide_char(struct span s, size_t i)
{
	return (uint64_t)(unsigned char)s.p[i] << 16 | (uint64_t)(unsigned char)s.p[i + 1] << 8 |
	       (unsigned char)s.p[i + 2];
}

struct gram_state {
	uint64_t letters, wide; /* the last four letters; the last three ideographs */
	uint64_t word;		/* hash of the word so far */
	unsigned n_letters, n_wide, n_word;
};

static bool is_letter(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

/* Blanks for what is no letter; at its place what is one. */
static char letters[256];

static void fill_letters(void)
{
	for (int c = 0; c < 256; c++)
		letters[c] = is_letter((char)c) ? (char)c : ' ';
}

size_t subject_grams(struct span s, struct subject_gram *out, size_t max)
{
	struct gram_state g = {.letters = ' ', .n_letters = 1};
	size_t n = 0;
	if (!letters['a'])
		fill_letters();
	for (size_t i = 0; i <= s.n && n + 3 + WORD_WEIGHT < max;) {
		char c = i == s.n ? ' ' : letters[(unsigned char)s.p[i]];
		bool wide = i < s.n && is_wide(s, i);
		if (g.n_word && (wide || c == ' ')) {
			for (int k = 0; k < WORD_WEIGHT && g.n_word >= 3; k++)
				out[n++] = (struct subject_gram){mix(g.word), false};
			g.word = g.n_word = 0;
		}
		if (i == s.n)
			break;
		if (wide) {
			g.n_letters = 0;
			g.wide = g.wide << 16 | (mix(wide_char(s, i) + 1) & 0xffff);
			g.n_wide++;
			for (unsigned k = 1; k <= 3 && k <= g.n_wide; k++)
				out[n++] = (struct subject_gram){
					mix((g.wide & ((1ull << 16 * k) - 1)) *
						    0x9e3779b97f4a7c15u +
					    k),
					true};
			i += 3;
			continue;
		}
		g.n_wide = 0;
		i++;
		if (c != ' ') {
			g.word = (g.word ^ (unsigned char)c) * 0x100000001b3u + 7;
			g.n_word++;
		}
		if (c == ' ' && g.n_letters && (g.letters & 0xff) == ' ')
			continue;
		g.letters = g.letters << 8 | (unsigned char)c;
		g.n_letters++;
		if (g.n_letters >= 4)
			out[n++] = (struct subject_gram){
				mix((g.letters & 0xffffffffu) * 0x9e3779b97f4a7c15u), false};
	}
	return n;
}

/* --- terms ----------------------------------------------------------------------- */

/* Numbers have the top bit set. */
#define NUMBER 0x80000000u

/* Punctuation of U+2000..U+2BFF and U+3000..U+303F. */
static bool is_mark(struct span s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	return i + 3 <= s.n &&
	       (c == 0xe2 || (c == 0xe3 && (unsigned char)s.p[i + 1] == 0x80));
}

bool subject_next_term(struct span s, size_t *at, struct subject_gram *term_r, struct span *text_r)
{
	size_t i = *at;
	while (i < s.n) {
		size_t from = i, digits = 0;
		uint64_t h = 14695981039346656037u;
		if (is_wide(s, i)) {
			i += 3;
			if (!is_wide(s, i))
				continue;
			h = (wide_char(s, from) << 24 | wide_char(s, i)) * 0x9e3779b97f4a7c15u;
			*term_r = (struct subject_gram){mix(h) & ~NUMBER, true};
			*text_r = span_sub(s, from, i + 3);
			*at = i;
			return true;
		}
		if (is_mark(s, i)) {
			i += 3;
			continue;
		}
		if (!is_letter(s.p[i])) {
			i++;
			continue;
		}
		while (i < s.n && is_letter(s.p[i]) &&
		       !(s.p[i] & 0x80 && (is_wide(s, i) || is_mark(s, i)))) {
			digits += ascii_is_digit(s.p[i]);
			if (i - from < STEM_LETTERS || digits)
				h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
			i++;
		}
		if (i - from < 2 && !digits)
			continue;
		/* the plural of a short word */
		if (!digits && i - from >= 4 && i - from <= STEM_LETTERS && s.p[i - 1] == 's') {
			h = 14695981039346656037u;
			for (size_t k = from; k < i - 1; k++)
				h = (h ^ (unsigned char)s.p[k]) * 1099511628211u;
		}
		bool number = digits == i - from;
		*term_r = (struct subject_gram){number ? mix(h) | NUMBER : mix(h) & ~NUMBER, false};
		*text_r = span_sub(s, from, i);
		*at = i;
		return true;
	}
	*at = i;
	return false;
}

size_t subject_terms(struct span s, struct subject_gram *out, size_t max)
{
	struct span text;
	size_t n = 0, at = 0;
	while (n < max && subject_next_term(s, &at, &out[n], &text))
		n++;
	return n;
}

size_t subject_chance(double rarity, double terms, double mean_terms)
{
	/* logarithms of the upper ends; the last step has none */
	static const double ends[SUBJECT_CHANCES - 1] = {-7,   -6,   -5,   -4.3, -3.6, -3,
							 -2.4, -1.8, -1.2, -0.7, -0.35, -0.1};
	double share = exp(-rarity);
	double rate = -log(1 - (share < 0.98 ? share : 0.98)) * terms / mean_terms;
	double chance = log(1 - exp(-rate) + 1e-9);
	size_t i = 0;
	while (i < SUBJECT_CHANCES - 1 && chance > ends[i])
		i++;
	return i;
}

/* --- what is wanted ---------------------------------------------------------------- */

/* Open addressing, a power of two with room. */
#define WANTED 4096u
struct wanted {
	uint32_t hash[WANTED];
	uint16_t count[WANTED];
	bool used[WANTED];
};

static size_t wanted_slot(const struct wanted *w, uint32_t hash)
{
	size_t i = hash % WANTED;
	while (w->used[i] && w->hash[i] != hash)
		i = (i + 1) % WANTED;
	return i;
}

static size_t want(struct wanted *w, uint32_t hash)
{
	size_t i = wanted_slot(w, hash);
	w->hash[i] = hash;
	w->used[i] = true;
	return i;
}

/* log((tf + mu p) / (n + mu) / p); most n-grams of the cohort have tf = 0, and then p cancels:
 * `missing`. */
static double gram_value(const struct subject_table_head *head, const uint8_t *logs, uint32_t hash,
			 double tf, double n, double missing)
{
	double mu = (double)head->mu;
	if (tf == 0)
		return missing;
	double p = exp(-(double)logs[hash % head->buckets] * (double)SUBJECT_LOG_STEP);
	return log((tf + mu * p) / (n + mu) / p);
}

static const struct subject_table_head *table_head(struct span t)
{
	const struct subject_table_head *head =
		(const struct subject_table_head *)(const void *)t.p;
	size_t grams = (size_t)SUBJECT_COHORT * SUBJECT_COHORT_GRAMS;
	if (t.n != sizeof(*head) + SUBJECT_BUCKETS + 2 * SUBJECT_TERM_BUCKETS +
			   grams * sizeof(uint32_t) ||
	    head->magic != SUBJECT_MAGIC || head->buckets != SUBJECT_BUCKETS ||
	    head->measures != SUBJECT_MEASURES)
		return NULL;
	return head;
}

/* What every subject is compared with: wanted in every body. Made for the table that is asked for. */
static struct {
	const struct subject_table_head *head;
	struct wanted wanted;
	uint16_t slot[SUBJECT_COHORT][SUBJECT_COHORT_GRAMS];
} cohort;

static void cohort_make(const struct subject_table_head *head, const uint32_t *grams)
{
	memset(&cohort, 0, sizeof(cohort));
	cohort.head = head;
	for (size_t k = 0; k < SUBJECT_COHORT; k++)
		for (size_t i = 0; i < head->cohort_n[k] && i < SUBJECT_COHORT_GRAMS; i++)
			cohort.slot[k][i] = (uint16_t)want(
				&cohort.wanted, grams[k * SUBJECT_COHORT_GRAMS + i]);
}

double subject_rarity(struct span table, uint32_t term)
{
	const struct subject_table_head *head = table_head(table);
	const uint8_t *rarity = (const uint8_t *)(head + 1) + SUBJECT_BUCKETS;
	return head ? (double)rarity[term % SUBJECT_TERM_BUCKETS] * (double)SUBJECT_LOG_STEP : 0;
}

/* --- measures ------------------------------------------------------------------------ */

struct judge {
	const struct subject_table_head *head;
	const uint8_t *logs, *rarity, *kept;
	const uint32_t *cohort;
	struct wanted *w;
	struct subject_gram *text; /* scratch for n-grams and terms of a body */
	size_t room;
	float *m;
};

static float bounded(double v, double low, double high)
{
	return (float)(v < low ? low : v > high ? high : v);
}

static double log_length(double n, double unit)
{
	return log(1 + n / unit);
}

static bool model_measures(struct judge *j, struct span bare, struct span body, bool *wide_r)
{
	struct subject_gram grams[SUBJECT_GRAMS];
	const struct subject_table_head *head = j->head;
	struct wanted *w = j->w;
	size_t n_grams = subject_grams(bare, grams, SUBJECT_GRAMS), wide = 0, hits = 0, wides = 0;
	size_t n = subject_grams(body, j->text, j->room);
	if (n_grams < MIN_GRAMS || n < MIN_BODY_GRAMS)
		return false;
	if (cohort.head != head)
		cohort_make(head, j->cohort);
	*w = cohort.wanted;
	for (size_t i = 0; i < n_grams; i++)
		want(w, grams[i].hash);
	for (size_t i = 0; i < n; i++) {
		size_t slot = wanted_slot(w, j->text[i].hash);
		w->count[slot] += w->used[slot] && w->count[slot] < UINT16_MAX;
		wides += j->text[i].wide;
	}
	double missing = log((double)head->mu / ((double)n + (double)head->mu));
	double sum = 0, cohort_sum = 0, cohort_squares = 0;
	for (size_t i = 0; i < n_grams; i++) {
		unsigned count = w->count[wanted_slot(w, grams[i].hash)];
		sum += gram_value(head, j->logs, grams[i].hash, count, (double)n, missing);
		hits += count > 0;
		wide += grams[i].wide;
	}
	for (size_t k = 0; k < SUBJECT_COHORT; k++) {
		double one = 0;
		size_t m = head->cohort_n[k] < SUBJECT_COHORT_GRAMS ? head->cohort_n[k] : SUBJECT_COHORT_GRAMS;
		for (size_t i = 0; i < m; i++)
			one += gram_value(head, j->logs, j->cohort[k * SUBJECT_COHORT_GRAMS + i],
					  w->count[cohort.slot[k][i]], (double)n, missing);
		one /= m ? (double)m : 1;
		cohort_sum += one;
		cohort_squares += one * one;
	}
	double mean = cohort_sum / SUBJECT_COHORT;
	double variance = cohort_squares / SUBJECT_COHORT - mean * mean;
	double raw = sum / (double)n_grams;
	/* Half of the way to the cohort's scale: its deviation is itself uncertain. */
	double z = (raw - mean) / (0.5 + 0.5 * sqrt(variance > 0 ? variance : 0));
	double lengths = log_length((double)n, 400);
	j->m[SUBJECT_BIAS] = 1;
	j->m[SUBJECT_MODEL] = bounded(z, -3, 9);
	j->m[SUBJECT_MODEL_RAW] = bounded(raw, -6, 6);
	j->m[SUBJECT_HITS] = (float)hits / (float)n_grams;
	j->m[SUBJECT_LENGTH] = (float)log_length((double)n_grams, 10);
	j->m[SUBJECT_BODY_LENGTH] = (float)lengths;
	j->m[SUBJECT_MODEL_AND_LENGTH] = (float)(bounded(z, -3, 9) * (lengths - 1.5));
	*wide_r = wide * 2 > n_grams;
	double share = (double)wide / (double)n_grams, shares = (double)wides / (double)n;
	j->m[SUBJECT_SCRIPTS_DIFFER] = (float)fabs(share - shares);
	return true;
}

/* Where a term or pair stands. */
enum place { IN_BODY = 1, EARLY = 2, IN_TITLE = 4, IN_NAMES = 8, IN_LINKS = 16 };

#define SLOTS 512u
struct places {
	uint32_t hash[SLOTS];
	uint8_t at[SLOTS];
	bool used[SLOTS];
};

static size_t place_slot(const struct places *p, uint32_t hash)
{
	size_t i = hash % SLOTS;
	while (p->used[i] && p->hash[i] != hash)
		i = (i + 1) % SLOTS;
	return i;
}

static uint32_t pair_hash(uint32_t a, uint32_t b)
{
	return mix(((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u) ^ 0x5bd1e995u;
}

/* A pair can be one of the subject's only where both its terms are. Returns the text's terms. */
static size_t mark(struct places *p, struct span text, unsigned bit)
{
	struct subject_gram term;
	struct span word;
	size_t at = 0, n = 0;
	uint32_t last = 0;
	bool after = false;
	for (; subject_next_term(text, &at, &term, &word); n++) {
		size_t slot = place_slot(p, term.hash);
		bool wanted = p->used[slot];
		if (wanted)
			p->at[slot] |= (uint8_t)bit;
		if (wanted && after) {
			slot = place_slot(p, pair_hash(last, term.hash));
			if (p->used[slot])
				p->at[slot] |= (uint8_t)bit;
		}
		after = wanted;
		last = term.hash;
	}
	return n;
}

/* So many observations of a term weigh as much as what is known of all terms. */
#define PRIOR 3

/* log(P(body has the term or not | own) / P(... | another's)). */
static double term_odds(const struct judge *j, const struct subject_gram *term, double rarity,
			size_t body_terms, bool in_body)
{
	const struct subject_table_head *head = j->head;
	size_t step = subject_chance(rarity, (double)body_terms, (double)head->mean_terms);
	unsigned seen = j->kept[term->hash % SUBJECT_TERM_BUCKETS], hits = seen >> 4;
	double other = (double)head->other[term->wide][step];
	double own = (hits + PRIOR * (double)head->own[term->wide][step]) /
		     (hits + (seen & 15) + PRIOR);
	double odds = in_body ? log(own / other) : log((1 - own) / (1 - other));
	return odds < -2.5 ? -2.5 : odds > 5 ? 5 : odds;
}

struct odds {
	double sum, good, bad, most, least;
	size_t n;
};

static void odds_add(struct odds *o, double v)
{
	o->sum += v;
	o->good += v > 0 ? v : 0;
	o->bad -= v < 0 ? v : 0;
	o->most = v > o->most ? v : o->most;
	o->least = v < o->least ? v : o->least;
	o->n++;
}

static void odds_measures(const struct odds *o, float *m)
{
	double n = (double)o->n + 1;
	m[SUBJECT_ODDS] = (float)(o->sum / 4);
	m[SUBJECT_ODDS_MEAN] = (float)(o->sum / n);
	m[SUBJECT_ODDS_ROOT] = (float)(o->sum / sqrt(n));
	m[SUBJECT_ODDS_FOR] = (float)log_length(o->good, 1);
	m[SUBJECT_ODDS_AGAINST] = (float)log_length(o->bad, 1);
	m[SUBJECT_ODDS_MOST] = (float)(o->most / 4);
	m[SUBJECT_ODDS_LEAST] = (float)o->least;
}

/* Term `i` stands nowhere. Of pairs of ideographs only what no neighbour covers is missed, and
 * those that follow each other become one word again. */
static void add_missed(struct subject_score *s, const struct span *texts, const bool *hit,
		       const bool *wide, size_t n, size_t i)
{
	struct span word = texts[i], *last = s->n_missed ? &s->missed[s->n_missed - 1] : NULL;
	if (wide[i] && i && wide[i - 1] && hit[i - 1] && texts[i - 1].p + 3 == word.p)
		word = span_sub(word, 3, word.n);
	if (wide[i] && i + 1 < n && wide[i + 1] && hit[i + 1] && word.p + word.n == texts[i + 1].p + 3)
		word = span_sub(word, 0, word.n - 3);
	if (!word.n || (!wide[i] && word.n < 3))
		return;
	if (last && word.p <= last->p + last->n && wide[i])
		last->n = (size_t)(word.p + word.n - last->p);
	else if (s->n_missed < SUBJECT_MISSED)
		s->missed[s->n_missed++] = word;
}

static void term_measures(struct judge *j, struct span bare, const struct subject_texts *t,
			  struct subject_score *score)
{
	struct subject_gram terms[SUBJECT_TERMS];
	struct span texts[SUBJECT_TERMS];
	bool hit[SUBJECT_TERMS], wide[SUBJECT_TERMS], common[SUBJECT_TERMS];
	bool again[SUBJECT_TERMS];
	struct odds odds = {0};
	struct places p = {.used = {false}};
	size_t n = 0, end = 0, pairs = 0, numbers[2] = {0, 0};
	while (n < SUBJECT_TERMS && subject_next_term(bare, &end, &terms[n], &texts[n]))
		n++;
	double all = 0, covered[5] = {0}, any = 0, rarest[2] = {0, 0};
	for (size_t i = 0; i < n; i++) {
		size_t slot = place_slot(&p, terms[i].hash);
		again[i] = p.used[slot];
		p.hash[slot] = terms[i].hash;
		p.used[slot] = true;
		if (i) {
			uint32_t pair = pair_hash(terms[i - 1].hash, terms[i].hash);
			slot = place_slot(&p, pair);
			p.hash[slot] = pair;
			p.used[slot] = true;
		}
	}
	size_t body_terms = mark(&p, t->body, IN_BODY);
	mark(&p, span_sub(t->body, 0, EARLY_BYTES), EARLY);
	mark(&p, t->title, IN_TITLE);
	mark(&p, t->names, IN_NAMES);
	mark(&p, t->links, IN_LINKS);
	for (size_t i = 0; i < n; i++) {
		unsigned at = p.at[place_slot(&p, terms[i].hash)];
		double r = (double)j->rarity[terms[i].hash % SUBJECT_TERM_BUCKETS] *
			   (double)SUBJECT_LOG_STEP;
		if (!again[i] && !(terms[i].hash & NUMBER))
			odds_add(&odds, term_odds(j, &terms[i], r, body_terms, at & IN_BODY));
		if (terms[i].hash & NUMBER) {
			numbers[at != 0]++;
			r *= 0.3; /* dates and versions: see the base rates of numbers */
		}
		hit[i] = at != 0;
		wide[i] = terms[i].wide;
		common[i] = !wide[i] && r < COMMON_RARITY;
		all += r;
		any += at ? r : 0;
		for (unsigned k = 0; k < 5; k++)
			covered[k] += at >> k & 1 ? r : 0;
		bool in = at & (IN_BODY | EARLY);
		rarest[in] = r > rarest[in] ? r : rarest[in];
		if (i)
			pairs += p.at[place_slot(&p, pair_hash(terms[i - 1].hash,
							      terms[i].hash))] != 0;
	}
	for (size_t i = 0; i < n; i++)
		if (!hit[i] && !common[i])
			add_missed(score, texts, hit, wide, n, i);
	float *m = j->m;
	double whole = all + 1.0; /* a subject of common words has little to cover */
	m[SUBJECT_COVERED] = (float)(covered[0] / whole);
	m[SUBJECT_COVERED_EARLY] = (float)(covered[1] / whole);
	m[SUBJECT_COVERED_TITLE] = (float)(covered[2] / whole);
	m[SUBJECT_COVERED_NAMES] = (float)(covered[3] / whole);
	m[SUBJECT_COVERED_LINKS] = (float)(covered[4] / whole);
	m[SUBJECT_COVERED_ANY] = (float)(any / whole);
	m[SUBJECT_COVERED_SQUARE] = m[SUBJECT_COVERED_ANY] * m[SUBJECT_COVERED_ANY];
	m[SUBJECT_HAS_TITLE] = t->title.n > 3;
	m[SUBJECT_COVERED_TITLE_MISSED] = t->title.n > 3 && covered[2] <= 0;
	m[SUBJECT_PAIRS] = (float)log_length((double)pairs, 1);
	m[SUBJECT_PAIRS_NONE] = pairs == 0;
	m[SUBJECT_RAREST_COVERED] = (float)(rarest[1] / 4);
	m[SUBJECT_RAREST_MISSED] = (float)(rarest[0] / 4);
	m[SUBJECT_SUM_COVERED] = (float)log_length(any, 2);
	m[SUBJECT_SUM_MISSED] = (float)log_length(all - any, 2);
	m[SUBJECT_NUMBERS_COVERED] = (float)log_length((double)numbers[1], 1);
	m[SUBJECT_NUMBERS_MISSED] = (float)log_length((double)numbers[0], 1);
	odds_measures(&odds, m);
	m[SUBJECT_COVERED_AND_LENGTH] = m[SUBJECT_COVERED_ANY] * (m[SUBJECT_BODY_LENGTH] - 1.5f);
}

struct subject_score subject_judge(struct arena *a, struct span table, struct span bare,
				   const struct subject_texts *texts)
{
	struct subject_score s = {.abstained = true};
	struct subject_texts t = *texts;
	t.body = span_sub(t.body, 0, SUBJECT_BODY_BYTES);
	t.title = span_sub(t.title, 0, 400);
	t.names = span_sub(t.names, 0, 600);
	t.links = span_sub(t.links, 0, LINKS_BYTES);
	struct judge j = {.head = table_head(table),
			  .w = arena_room(a, sizeof(struct wanted)),
			  .room = 2 * t.body.n + LINKS_BYTES,
			  .m = s.measure};
	j.text = arena_room(a, j.room * sizeof(*j.text));
	if (!j.head || !j.w || !j.text)
		return s;
	j.logs = (const uint8_t *)(j.head + 1);
	j.rarity = j.logs + SUBJECT_BUCKETS;
	j.kept = j.rarity + SUBJECT_TERM_BUCKETS;
	j.cohort = (const uint32_t *)(const void *)(j.kept + SUBJECT_TERM_BUCKETS);
	if (!model_measures(&j, bare, t.body, &s.wide))
		return s;
	term_measures(&j, bare, &t, &s);
	s.abstained = false;
	s.value = -SUBJECT_OFFSET;
	for (size_t i = 0; i < SUBJECT_MEASURES; i++)
		s.value += (double)(j.head->weight[s.wide][i] * s.measure[i]);
	return s;
}
