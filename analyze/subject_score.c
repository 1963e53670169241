/* subject_score - see subject.h. One pass over each text with a small table of wanted hashes. */
#include "analyze/subject.h"

#include <math.h>

#define MIN_BODY_GRAMS 40 /* a shorter body covers nothing */
#define MIN_GRAMS 4	  /* of the subject */
#define COMMON_RARITY 1.6   /* "you", "for": one mail in five has it */
#define EARLY_GRAMS 900     /* headline and first lines */
#define PIECE_GRAMS 1024 /* of a body at once */

size_t subject_chance(double rarity, double terms, double mean_terms)
{
	/* upper ends; the last step has none */
	static const double upper[SUBJECT_CHANCES - 1] = {
		0.0009, 0.0025, 0.0067, 0.0136, 0.0273, 0.0498,
		0.0907, 0.165,	0.301,	0.497,	0.705,	0.905};
	double share = exp(-rarity);
	double rate = -log(1 - (share < 0.98 ? share : 0.98)) * terms / mean_terms;
	double chance = 1 - exp(-rate);
	size_t i = 0;
	while (i < SUBJECT_CHANCES - 1 && chance > upper[i])
		i++;
	return i;
}

/* --- what is wanted ---------------------------------------------------------------- */

/* Open addressing, a power of two with room. Few n-grams of a body are wanted, and `maybe` says
 * of most that they are not. */
#define WANTED 512u
struct wanted {
	uint64_t maybe[SUBJECT_MAYBE_BITS / 64];
	struct {
		uint32_t hash;
		uint16_t count;
		bool used;
	} slot[WANTED];
};

static size_t wanted_slot(const struct wanted *w, uint32_t hash)
{
	size_t i = hash % WANTED;
	while (w->slot[i].used && w->slot[i].hash != hash)
		i = (i + 1) % WANTED;
	return i;
}

static size_t want(struct wanted *w, uint32_t hash)
{
	size_t i = wanted_slot(w, hash);
	w->slot[i].hash = hash;
	w->slot[i].used = true;
	w->maybe[hash >> 22] |= 1ull << (hash >> 16) % 64;
	return i;
}

/* What a table's octets stand for, e to the power of their logarithm. */
static double powers[256];

static void fill_powers(void)
{
	for (int b = 0; b < 256; b++)
		powers[b] = exp(-(double)b * (double)SUBJECT_LOG_STEP);
}

/* log((tf + mu p) / (n + mu) / p); with tf = 0 p cancels: `missing`. */
static double gram_value(const struct subject_table_head *head, const uint8_t *logs, uint32_t hash,
			 double tf, double n, double missing)
{
	double mu = (double)head->mu;
	if (tf == 0)
		return missing;
	double p = powers[logs[hash % head->buckets]];
	return log((tf + mu * p) / (n + mu) / p);
}

static const struct subject_table_head *table_head(struct span t)
{
	const struct subject_table_head *head =
		(const struct subject_table_head *)(const void *)t.p;
	if (t.n != sizeof(*head) + SUBJECT_BUCKETS + 2 * SUBJECT_TERM_BUCKETS ||
	    head->magic != SUBJECT_MAGIC || head->buckets != SUBJECT_BUCKETS ||
	    head->measures != SUBJECT_MEASURES)
		return NULL;
	return head;
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
	struct wanted *w;
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

static void count_grams(struct wanted *w, const struct subject_gram *grams, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t slot = wanted_slot(w, grams[i].hash);
		w->slot[slot].count += w->slot[slot].used && w->slot[slot].count < UINT16_MAX;
	}
}

/* Those of a text up to some five less than `until`. */
static void count_most(struct wanted *w, struct subject_walk *walk, size_t until)
{
	struct subject_gram grams[PIECE_GRAMS];
	size_t n;
	do {
		n = subject_next_wanted(walk, w->maybe, until, grams, PIECE_GRAMS);
		count_grams(w, grams, n);
	} while (n);
}

/* The mean value of the subject's n-grams in a text of `n`: `slots` of them in the wanted, that
 * have counted no more than this text. */
static float model(const struct judge *j, const struct subject_gram *grams, const uint16_t *slots,
		   size_t n_grams, size_t n)
{
	double mu = (double)j->head->mu, missing = log(mu / ((double)n + mu)), sum = 0;
	for (size_t i = 0; i < n_grams; i++)
		sum += gram_value(j->head, j->logs, grams[i].hash, j->w->slot[slots[i]].count,
				  (double)n, missing);
	return bounded(sum / (double)n_grams, -6, 6);
}

static bool model_measures(struct judge *j, struct span bare, struct span body, bool *wide_r)
{
	struct subject_gram grams[SUBJECT_GRAMS];
	uint16_t slots[SUBJECT_GRAMS];
	struct wanted *w = j->w;
	size_t n_grams = subject_grams(bare, grams, SUBJECT_GRAMS), wide = 0;
	if (n_grams < MIN_GRAMS)
		return false;
	memset(w, 0, sizeof(*w));
	for (size_t i = 0; i < n_grams; i++) {
		slots[i] = (uint16_t)want(w, grams[i].hash);
		wide += grams[i].wide;
	}
	struct subject_walk walk = subject_walk(body);
	count_most(w, &walk, EARLY_GRAMS);
	if (walk.n < MIN_BODY_GRAMS)
		return false;
	j->m[SUBJECT_MODEL_EARLY] = model(j, grams, slots, n_grams, walk.n);
	count_most(w, &walk, SIZE_MAX);
	j->m[SUBJECT_BIAS] = 1;
	j->m[SUBJECT_MODEL] = model(j, grams, slots, n_grams, walk.n);
	j->m[SUBJECT_BODY_LENGTH] = (float)log_length((double)walk.n, 400);
	*wide_r = wide * 2 > n_grams;
	return true;
}

/* Where a term or pair stands. */
enum place { IN_BODY = 1, IN_TITLE = 2, IN_NAMES = 4 };

#define SLOTS 512u
struct places {
	uint32_t hash[SLOTS];
	uint16_t times[SLOTS]; /* in the body */
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
	uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32) ^ (uint32_t)h;
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
		if (wanted) {
			p->at[slot] |= (uint8_t)bit;
			p->times[slot] += bit & IN_BODY && p->times[slot] < UINT16_MAX;
		}
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

/* Terms of a title, of what stands around the body. */
#define TITLE_TERMS 6
#define OTHER_TERMS 200

/* So many observations of a term weigh as much as what is known of all terms. */
#define PRIOR 3

/* Among the mails in the term's own script. */
static double rarity_in_script(const struct judge *j, const struct subject_gram *term)
{
	double r = (double)j->rarity[term->hash % SUBJECT_TERM_BUCKETS] * (double)SUBJECT_LOG_STEP -
		   (double)j->head->script_rarity[term->wide];
	return r > 0 ? r : 0;
}

/* log(P(a text of so many terms has the term or not | own) / P(... | another's)). */
static double term_odds(const struct judge *j, const struct subject_gram *term, double rarity,
			size_t text_terms, bool in_text)
{
	const struct subject_table_head *head = j->head;
	size_t step = subject_chance(rarity, (double)text_terms,
				     (double)head->mean_terms[term->wide]);
	unsigned seen = j->kept[term->hash % SUBJECT_TERM_BUCKETS], hits = seen >> 4;
	double other = (double)head->other[term->wide][step];
	double own = (hits + PRIOR * (double)head->own[term->wide][step]) /
		     (hits + (seen & 15) + PRIOR);
	double odds = in_text ? log(own / other) : log((1 - own) / (1 - other));
	return odds < -2.5 ? -2.5 : odds > 5 ? 5 : odds;
}

/* Term `i` stands nowhere. Of pairs of ideographs only what no neighbour covers is missed, and
 * those that follow each other become one word again. */
static void add_missed(struct subject_score *s, const struct span *texts, const bool *hit,
		       const bool *wide, size_t n, size_t i)
{
	struct span word = texts[i], *last = s->n_missed ? &s->missed[s->n_missed - 1] : NULL;
	if (wide[i] && i && wide[i - 1] && hit[i - 1] &&
	    texts[i - 1].p + texts[i - 1].n == word.p + 3)
		word = span_sub(word, 3, word.n);
	if (wide[i] && i + 1 < n && wide[i + 1] && hit[i + 1] && word.p + word.n == texts[i + 1].p + 3)
		word = span_sub(word, 0, word.n - 3);
	word = span_trim(word);
	if (!word.n || (!wide[i] && word.n < 3))
		return;
	if (last && word.p <= last->p + last->n && wide[i])
		last->n = (size_t)(word.p + word.n - last->p);
	else if (s->n_missed < SUBJECT_MISSED)
		s->missed[s->n_missed++] = word;
}

/* A number that tells one subject from others: of more than one digit, long, a price. */
static size_t figure_weight(struct span text, struct span bare)
{
	bool price = text.p > bare.p && text.p[-1] == '$';
	return text.n > 1 ? 1u + price + (text.n > 3) : 0;
}

static void term_measures(struct judge *j, struct span bare, const struct subject_texts *t,
			  struct subject_score *score)
{
	struct subject_gram terms[SUBJECT_TERMS];
	struct span texts[SUBJECT_TERMS];
	bool hit[SUBJECT_TERMS], wide[SUBJECT_TERMS], common[SUBJECT_TERMS];
	bool again[SUBJECT_TERMS];
	struct places p = {.used = {false}};
	size_t n = 0, end = 0, pairs = 0, numbers = 0, figures[2] = {0, 0};
	while (n < SUBJECT_TERMS && subject_next_term(bare, &end, &terms[n], &texts[n]))
		n++;
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
	mark(&p, t->title, IN_TITLE);
	mark(&p, t->names, IN_NAMES);
	bool titled = t->title.n > 3;
	double all = 0, any = 0, names = 0, times = 0;
	double most = 0, least = 0, anywhere = 0, in_title = 0;
	for (size_t i = 0; i < n; i++) {
		const struct subject_gram *g = &terms[i];
		size_t slot = place_slot(&p, g->hash);
		unsigned at = p.at[slot];
		double r = rarity_in_script(j, g);
		times += p.times[slot] ? log(1 + p.times[slot]) : 0;
		if (g->hash & SUBJECT_NUMBER) {
			numbers += at != 0;
			figures[(at & (IN_BODY | IN_TITLE)) != 0] += figure_weight(texts[i], bare);
			r *= 0.3; /* dates and versions: see the base rates of numbers */
		} else if (!again[i]) {
			double odds = term_odds(j, g, r, body_terms, at & IN_BODY);
			most = odds > most ? odds : most;
			least = odds < least ? odds : least;
			anywhere += term_odds(j, g, r, body_terms + OTHER_TERMS, at != 0);
			if (titled)
				in_title += term_odds(j, g, r, TITLE_TERMS, at & IN_TITLE);
		}
		hit[i] = at != 0;
		wide[i] = g->wide;
		common[i] = !wide[i] && r < COMMON_RARITY;
		all += r;
		any += at ? r : 0;
		names += at & IN_NAMES ? r : 0;
		pairs += i && p.at[place_slot(&p, pair_hash(terms[i - 1].hash, g->hash))];
	}
	for (size_t i = 0; i < n; i++)
		if (!hit[i] && !common[i])
			add_missed(score, texts, hit, wide, n, i);
	float *m = j->m;
	double whole = all + 1.0; /* a subject of common words has little to cover */
	double covered = any / whole;
	m[SUBJECT_COVERED] = (float)(covered * covered);
	m[SUBJECT_COVERED_AND_LENGTH] = (float)covered * (m[SUBJECT_BODY_LENGTH] - 1.5f);
	m[SUBJECT_COVERED_NAMES] = (float)(names / whole);
	m[SUBJECT_HAS_TITLE] = titled;
	m[SUBJECT_PAIRS] = (float)log_length((double)pairs, 1);
	m[SUBJECT_SUM_COVERED] = (float)log_length(any, 2);
	m[SUBJECT_SUM_MISSED] = (float)log_length(all - any, 2);
	m[SUBJECT_TIMES] = (float)(times / ((double)n + 1));
	m[SUBJECT_NUMBERS_COVERED] = (float)log_length((double)numbers, 1);
	m[SUBJECT_FIGURES_COVERED] = (float)log_length((double)figures[1], 1);
	m[SUBJECT_FIGURES_MISSED] = (float)log_length((double)figures[0], 1);
	m[SUBJECT_ODDS_MOST] = (float)(most / 4);
	m[SUBJECT_ODDS_LEAST] = (float)least;
	m[SUBJECT_ODDS_ANYWHERE] = (float)(anywhere / 4);
	m[SUBJECT_ODDS_TITLE] = (float)(in_title / 4);
}

/* Mean -log p of the 4-grams of a word that is none, like "lrmjq"; names have less. */
#define STRANGE_WORD 13.2
#define TAIL_ROUNDS 3 /* pieces of a tail: "4497vlnz2--9", "[t4are] 712" */
#define TAIL_KEEPS 8  /* octets of the subject that stay */

/* A number, digits among letters, or letters that are no word. */
static bool is_strange(const struct judge *j, struct span tail, char before)
{
	struct subject_gram grams[SUBJECT_GRAMS];
	size_t digits = 0, alphas = 0;
	for (size_t i = 0; i < tail.n; i++) {
		digits += ascii_is_digit(tail.p[i]);
		alphas += ascii_is_alpha(tail.p[i]);
	}
	if (digits == tail.n) {
		bool year = tail.n == 4 && (tail.p[0] == '1' || tail.p[0] == '2');
		return digits >= 4 && !year && before != '$' && before != '.' && before != ',';
	}
	if (digits)
		return alphas && (digits + alphas >= 6 || (before == '[' && tail.n >= 3));
	size_t n = subject_grams(tail, grams, SUBJECT_GRAMS);
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)j->logs[grams[i].hash % SUBJECT_BUCKETS] * (double)SUBJECT_LOG_STEP;
	return tail.n >= 3 && sum > STRANGE_WORD * (double)n;
}

/* The subject without what its sender hung on it to make each mail unlike the others. An order's
 * number is in the body and stays. */
static struct span without_tail(const struct judge *j, struct span s, struct span body)
{
	for (int round = 0; round < TAIL_ROUNDS; round++) {
		size_t end = s.n, from;
		while (end && !subject_letter(s.p[end - 1]))
			end--;
		for (from = end; from && !(s.p[from - 1] & 0x80) &&
				 (subject_letter(s.p[from - 1]) || s.p[from - 1] == '-');)
			from--;
		struct span tail = span_sub(s, from, end);
		if (from < TAIL_KEEPS || !tail.n || s.p[from - 1] & 0x80 ||
		    !is_strange(j, tail, s.p[from - 1]) || span_find(body, tail) != SIZE_MAX)
			break;
		s = span_sub(s, 0, from);
	}
	return s;
}

struct subject_score subject_judge(struct arena *a, struct span table, struct span bare,
				   const struct subject_texts *texts)
{
	struct subject_score s = {.abstained = true};
	struct subject_texts t = *texts;
	t.body = span_sub(t.body, 0, SUBJECT_BODY_BYTES);
	t.title = span_sub(t.title, 0, 400);
	t.names = span_sub(t.names, 0, 600);
	struct judge j = {.head = table_head(table),
			  .w = arena_room(a, sizeof(struct wanted)),
			  .m = s.measure};
	if (!j.head || !j.w)
		return s;
	if (powers[0] == 0)
		fill_powers();
	j.logs = (const uint8_t *)(j.head + 1);
	j.rarity = j.logs + SUBJECT_BUCKETS;
	j.kept = j.rarity + SUBJECT_TERM_BUCKETS;
	bare = without_tail(&j, bare, t.body);
	if (!model_measures(&j, bare, t.body, &s.wide))
		return s;
	term_measures(&j, bare, &t, &s);
	s.abstained = false;
	s.value = -SUBJECT_OFFSET;
	for (size_t i = 0; i < SUBJECT_MEASURES; i++)
		s.value += (double)(j.head->weight[s.wide][i] * s.measure[i]);
	return s;
}
