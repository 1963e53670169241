/* subject_score - see subject.h. One pass over each text with a small table of wanted hashes. */
#include "analyze/subject.h"

#include <math.h>

#define MIN_BODY_GRAMS 40 /* a shorter body covers nothing */
#define MIN_GRAMS 4	  /* of the subject */
#define LINKS_BYTES 4000
#define COMMON_RARITY 1.6   /* "you", "for": one mail in five has it */
#define EARLY_BYTES 900   /* headline and first lines */
#define EARLY_GRAMS 900
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
#define WANTED 2048u
struct wanted {
	uint64_t maybe[SUBJECT_MAYBE_BITS / 64];
	struct {
		uint32_t hash;
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

/* log((tf + mu p) / (n + mu) / p); most n-grams of the cohort have tf = 0, and then p cancels:
 * `missing`. */
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
	size_t grams = (size_t)SUBJECT_COHORT * SUBJECT_COHORT_GRAMS;
	if (t.n != sizeof(*head) + SUBJECT_BUCKETS + 2 * SUBJECT_TERM_BUCKETS +
			   grams * sizeof(uint32_t) ||
	    head->magic != SUBJECT_MAGIC || head->buckets != SUBJECT_BUCKETS ||
	    head->measures != SUBJECT_MEASURES)
		return NULL;
	return head;
}

/* What every subject is compared with: wanted in every body. Made for the table that is asked for.
 * The n-grams of the subject that is judged are in it for a while (borrow(), give_back()). */
static struct {
	const struct subject_table_head *head;
	struct wanted wanted;
	uint16_t slot[SUBJECT_COHORT][SUBJECT_COHORT_GRAMS];
} cohort;

static void cohort_make(const struct subject_table_head *head, const uint32_t *grams)
{
	memset(&cohort, 0, sizeof(cohort));
	cohort.head = head;
	fill_powers();
	for (size_t k = 0; k < SUBJECT_COHORT; k++)
		for (size_t i = 0; i < head->cohort_n[k] && i < SUBJECT_COHORT_GRAMS; i++)
			cohort.slot[k][i] = (uint16_t)want(
				&cohort.wanted, grams[k * SUBJECT_COHORT_GRAMS + i]);
}

/* What the subject that is judged changed of the table, and what its body has. */
struct borrowed {
	uint16_t slots[SUBJECT_GRAMS]; /* of its n-grams */
	bool new[SUBJECT_GRAMS];
	uint64_t maybe[SUBJECT_GRAMS]; /* as it was */
	uint16_t count[WANTED];
};

static void borrow(struct borrowed *b, const struct subject_gram *grams, size_t n)
{
	struct wanted *w = &cohort.wanted;
	memset(b->count, 0, sizeof(b->count));
	for (size_t i = 0; i < n; i++) {
		b->new[i] = !w->slot[wanted_slot(w, grams[i].hash)].used;
		b->maybe[i] = w->maybe[grams[i].hash >> 22];
		b->slots[i] = (uint16_t)want(w, grams[i].hash);
	}
}

static void give_back(const struct borrowed *b, const struct subject_gram *grams, size_t n)
{
	for (size_t i = n; i-- > 0;) {
		cohort.wanted.maybe[grams[i].hash >> 22] = b->maybe[i];
		cohort.wanted.slot[b->slots[i]].used = !b->new[i];
	}
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
	struct borrowed *b;
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

static void count_grams(struct borrowed *b, const struct subject_gram *grams, size_t n)
{
	const struct wanted *w = &cohort.wanted;
	for (size_t i = 0; i < n; i++) {
		size_t slot = wanted_slot(w, grams[i].hash);
		b->count[slot] += w->slot[slot].used && b->count[slot] < UINT16_MAX;
	}
}

/* Those of a text up to some five less than `until`. */
static void count_most(struct borrowed *b, struct subject_walk *walk, size_t until)
{
	struct subject_gram grams[PIECE_GRAMS];
	size_t n;
	do {
		n = subject_next_wanted(walk, cohort.wanted.maybe, until, grams, PIECE_GRAMS);
		count_grams(b, grams, n);
	} while (n);
}

/* -log p of an n-gram that is seldom met: 1 in 13,000. */
#define RARE_GRAM 9.5

/* What the n-grams of the subject get from the first lines: no more than these are counted yet. */
static double early_model(const struct judge *j, const struct subject_gram *grams,
			  const struct borrowed *b, size_t n_grams, double n)
{
	double mu = (double)j->head->mu, missing = log(mu / (n + mu)), sum = 0;
	for (size_t i = 0; i < n_grams; i++)
		sum += gram_value(j->head, j->logs, grams[i].hash, b->count[b->slots[i]], n,
				  missing);
	return sum / (double)n_grams;
}

static bool model_measures(struct judge *j, struct span bare, struct span body, bool *wide_r)
{
	struct subject_gram grams[SUBJECT_GRAMS];
	struct borrowed *b = j->b;
	const struct subject_table_head *head = j->head;
	unsigned rare = 0, rare_hits = 0;
	size_t n_grams = subject_grams(bare, grams, SUBJECT_GRAMS), wide = 0, hits = 0;
	if (n_grams < MIN_GRAMS)
		return false;
	if (cohort.head != head)
		cohort_make(head, j->cohort);
	borrow(b, grams, n_grams);
	struct subject_walk walk = subject_walk(body);
	struct subject_gram piece[4 * SUBJECT_PIECE_LEAST];
	count_most(b, &walk, EARLY_GRAMS);
	size_t left = EARLY_GRAMS - walk.n, first = walk.n;
	size_t in_piece = subject_next_grams(&walk, piece, 4 * SUBJECT_PIECE_LEAST);
	left = left < in_piece ? left : in_piece;
	count_grams(b, piece, left);
	first += left;
	double early = early_model(j, grams, b, n_grams, (double)first);
	count_grams(b, piece + left, in_piece - left);
	count_most(b, &walk, SIZE_MAX);
	give_back(b, grams, n_grams);
	size_t n = walk.n;
	if (n < MIN_BODY_GRAMS)
		return false;
	double missing = log((double)head->mu / ((double)n + (double)head->mu));
	double sum = 0, cohort_sum = 0, cohort_squares = 0;
	for (size_t i = 0; i < n_grams; i++) {
		unsigned count = b->count[b->slots[i]];
		bool is_rare = (double)j->logs[grams[i].hash % head->buckets] *
				       (double)SUBJECT_LOG_STEP > RARE_GRAM;
		rare += is_rare;
		rare_hits += is_rare && count;
		sum += gram_value(head, j->logs, grams[i].hash, count, (double)n, missing);
		hits += count > 0;
		wide += grams[i].wide;
	}
	for (size_t k = 0; k < SUBJECT_COHORT; k++) {
		double one = 0;
		size_t m = head->cohort_n[k] < SUBJECT_COHORT_GRAMS ? head->cohort_n[k] : SUBJECT_COHORT_GRAMS;
		for (size_t i = 0; i < m; i++)
			one += gram_value(head, j->logs, j->cohort[k * SUBJECT_COHORT_GRAMS + i],
					  b->count[cohort.slot[k][i]], (double)n, missing);
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
	j->m[SUBJECT_MODEL_EARLY] = bounded(early, -6, 6);
	j->m[SUBJECT_HITS] = (float)hits / (float)n_grams;
	j->m[SUBJECT_RARE_HITS] = (float)rare_hits / ((float)rare + 3);
	j->m[SUBJECT_LENGTH] = (float)log_length((double)n_grams, 10);
	j->m[SUBJECT_BODY_LENGTH] = (float)lengths;
	j->m[SUBJECT_MODEL_AND_LENGTH] = (float)(bounded(z, -3, 9) * (lengths - 1.5));
	*wide_r = wide * 2 > n_grams;
	double share = (double)wide / (double)n_grams, shares = (double)walk.n_wides / (double)n;
	j->m[SUBJECT_SCRIPTS_DIFFER] = (float)fabs(share - shares);
	return true;
}

/* Where a term or pair stands. */
enum place { IN_BODY = 1, EARLY = 2, IN_TITLE = 4, IN_NAMES = 8, IN_LINKS = 16 };

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

/* A pair can be one of the subject's only where both its terms are. The body's first lines are
 * EARLY. Returns the text's terms. */
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
		if (at > EARLY_BYTES)
			bit &= ~(unsigned)EARLY;
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

/* Terms of a body's first lines, of a title, of what stands around the body. */
#define EARLY_TERMS 150
#define TITLE_TERMS 6
#define OTHER_TERMS 200

/* So many observations of a term weigh as much as what is known of all terms. */
#define PRIOR 3

/* log(P(a text of so many terms has the term or not | own) / P(... | another's)). */
static double term_odds(const struct judge *j, const struct subject_gram *term, double rarity,
			size_t text_terms, bool in_text)
{
	const struct subject_table_head *head = j->head;
	size_t step = subject_chance(rarity, (double)text_terms, (double)head->mean_terms);
	unsigned seen = j->kept[term->hash % SUBJECT_TERM_BUCKETS], hits = seen >> 4;
	double other = (double)head->other[term->wide][step];
	double own = (hits + PRIOR * (double)head->own[term->wide][step]) /
		     (hits + (seen & 15) + PRIOR);
	double odds = in_text ? log(own / other) : log((1 - own) / (1 - other));
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
	size_t n = 0, end = 0, pairs = 0, numbers[2] = {0, 0}, figures[2] = {0, 0};
	double anywhere = 0, early = 0, in_title = 0, pairs_rarity = 0, times = 0;
	double last = 0;
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
	size_t body_terms = mark(&p, t->body, IN_BODY | EARLY);
	size_t early_terms = body_terms < EARLY_TERMS ? body_terms : EARLY_TERMS;
	mark(&p, t->title, IN_TITLE);
	mark(&p, t->names, IN_NAMES);
	mark(&p, t->links, IN_LINKS);
	for (size_t i = 0; i < n; i++) {
		size_t slot = place_slot(&p, terms[i].hash);
		unsigned at = p.at[slot];
		double r = (double)j->rarity[terms[i].hash % SUBJECT_TERM_BUCKETS] *
			   (double)SUBJECT_LOG_STEP;
		times += p.times[slot] ? log(1 + p.times[slot]) : 0;
		if (!again[i] && !(terms[i].hash & SUBJECT_NUMBER)) {
			const struct subject_gram *g = &terms[i];
			odds_add(&odds, term_odds(j, g, r, body_terms, at & IN_BODY));
			anywhere += term_odds(j, g, r, body_terms + OTHER_TERMS, at != 0);
			early += term_odds(j, g, r, early_terms, at & (EARLY | IN_TITLE));
			if (t->title.n > 3)
				in_title += term_odds(j, g, r, TITLE_TERMS, at & IN_TITLE);
		}
		if (terms[i].hash & SUBJECT_NUMBER) {
			bool price = texts[i].p > bare.p && texts[i].p[-1] == '$';
			numbers[at != 0]++;
			if (texts[i].n > 1)
				figures[(at & (IN_BODY | IN_TITLE)) != 0] +=
					1 + price + (texts[i].n > 3);
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
		if (i && p.at[place_slot(&p, pair_hash(terms[i - 1].hash, terms[i].hash))]) {
			pairs++;
			pairs_rarity += r + last;
		}
		last = r;
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
	m[SUBJECT_TIMES] = (float)(times / ((double)n + 1));
	m[SUBJECT_PAIRS_RARITY] = (float)log_length(pairs_rarity, 4);
	m[SUBJECT_ODDS_ANYWHERE] = (float)(anywhere / 4);
	m[SUBJECT_ODDS_EARLY] = (float)(early / 4);
	m[SUBJECT_ODDS_TITLE] = (float)(in_title / 4);
	m[SUBJECT_FIGURES_COVERED] = (float)log_length((double)figures[1], 1);
	m[SUBJECT_FIGURES_MISSED] = (float)log_length((double)figures[0], 1);
	m[SUBJECT_COVERED_AND_LENGTH] = m[SUBJECT_COVERED_ANY] * (m[SUBJECT_BODY_LENGTH] - 1.5f);
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
	t.links = span_sub(t.links, 0, LINKS_BYTES);
	struct judge j = {.head = table_head(table),
			  .b = arena_room(a, sizeof(*j.b)),
			  .m = s.measure};
	if (!j.head || !j.b)
		return s;
	j.logs = (const uint8_t *)(j.head + 1);
	j.rarity = j.logs + SUBJECT_BUCKETS;
	j.kept = j.rarity + SUBJECT_TERM_BUCKETS;
	j.cohort = (const uint32_t *)(const void *)(j.kept + SUBJECT_TERM_BUCKETS);
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
