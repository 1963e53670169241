#include "analyze/phrases.h"

#include <endian.h>

#include "analyze/fold.h"
#include "analyze/tables.h"

#define PIECES 4  /* of one phrase */
#define HITS 4000 /* kept of one text; a page of nothing but phrases says no more than that */

static const char *const kind_names[] = {
#define P(id, name, meaning) name,
	PHRASE_KINDS(P)
#undef P
};

struct piece {
	const char *text; /* folded */
	uint64_t head, mask; /* its first HEAD_BYTES, or all of a shorter one; which these are */
	uint16_t bytes, row;
	uint16_t next;	/* another piece of the same slot, index + 1; the last one added first */
	uint8_t index;	/* in its phrase */
	uint8_t key;	/* octets of its key: KEY_BYTES, or all of a shorter one */
	bool whole_end; /* a word ends here */
};

#define HEAD_BYTES 8

struct row {
	uint8_t kind, pieces;
	char language[3];
	uint16_t progress; /* of phrases with gaps: which one is its own */
};

#define KEY_BYTES 6
#define SLOT_BITS 12
#define MAYBE_BITS 15

/* Of an octet: whether it is of a word in ASCII, and whether phrases that begin with it begin at
 * a word. */
#define LETTER 1u
#define AT_WORD 2u

/* How far each phrase has come. */
struct progress {
	uint64_t search; /* of which search; of another it has not begun */
	uint32_t from, end;
	uint8_t pieces;
};

static struct {
	bool ready;
	uint8_t kind[256];
	uint8_t starts[256][256]; /* by two octets: which lengths of keys there are, a bit each */
	uint64_t maybe[(1u << MAYBE_BITS) / 64]; /* a bit for each key */
	uint16_t first[1u << SLOT_BITS];         /* piece by its key, index + 1 */
	struct piece *pieces;
	size_t n_pieces, cap_pieces;
	struct row *rows;
	size_t n_rows, cap_rows;
	struct progress *progress; /* of the search that is on */
	size_t n_progress;
	uint64_t searches;
	struct arena arena;
} machine;

const char *phrase_kind_name(enum phrase_kind kind)
{
	return kind_names[kind];
}

static int kind_find(struct span name)
{
	for (int k = 0; k < PHRASE_KIND_COUNT; k++)
		if (span_eq(name, span_of(kind_names[k])))
			return k;
	return -1;
}

/* One line as kind, language and phrase; false for a blank line or a comment, *bad_r when it
 * is neither. */
static bool read_line(struct span line, int *kind_r, struct span *language_r, struct span *phrase_r,
		      bool *bad_r)
{
	struct span kind;
	line = span_trim(line);
	*bad_r = false;
	if (!line.n || line.p[0] == '#')
		return false;
	*bad_r = !span_next_word(&line, &kind) || (*kind_r = kind_find(kind)) < 0 ||
		 !span_next_word(&line, language_r) || language_r->n != 2 ||
		 !(*phrase_r = span_trim(line)).n;
	return !*bad_r;
}

size_t phrases_check(struct span list)
{
	struct span line, language, phrase;
	int kind;
	bool bad;
	for (size_t number = 1; span_next_line(&list, &line); number++) {
		(void)read_line(line, &kind, &language, &phrase, &bad);
		if (bad)
			return number;
	}
	return 0;
}

static bool is_letter(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* The end of a line stands for a blank. */
static uint32_t key_byte(char c)
{
	return c == '\n' ? ' ' : (unsigned char)c;
}

/* The eight octets at `at`, the ends of lines as blanks; behind the end of the text zeros. */
static uint64_t head_at(struct span s, size_t at)
{
	uint64_t head = 0;
	if (s.n - at >= HEAD_BYTES)
		memcpy(&head, s.p + at, HEAD_BYTES);
	else
		memcpy(&head, s.p + at, s.n - at);
	head = le64toh(head);
	const uint64_t ones = 0x0101010101010101u, low = 0x7f * ones;
	uint64_t x = head ^ '\n' * ones;
	uint64_t ends = ~(((x & low) + low) | x | low); /* the top bit of each '\n' */
	return head ^ (ends >> 7) * ('\n' ^ ' ');
}

/* Of the first `n` octets of a head: its upper bits are a slot, and a bit of `maybe`. */
static uint64_t key_hash(uint64_t head, size_t n)
{
	return (head & UINT64_MAX >> (64 - 8 * n)) * 0x9e3779b97f4a7c15u;
}

static uint16_t *slot_of(uint64_t hash)
{
	return &machine.first[hash >> (64 - SLOT_BITS)];
}

static void add_piece(struct span text, size_t row, size_t index, bool whole_end)
{
	if (machine.n_pieces == UINT16_MAX || text.n > UINT16_MAX ||
	    !arena_grow(&machine.arena, (void **)&machine.pieces, machine.n_pieces,
			&machine.cap_pieces, sizeof(*machine.pieces)))
		return;
	size_t n = text.n < KEY_BYTES ? text.n : KEY_BYTES;
	uint64_t mask = text.n < HEAD_BYTES ? (1ull << 8 * text.n) - 1 : UINT64_MAX;
	uint64_t head = head_at(text, 0);
	uint64_t hash = key_hash(head, n);
	uint16_t *first = slot_of(hash);
	machine.pieces[machine.n_pieces] = (struct piece){.text = text.p,
							  .head = head,
							  .mask = mask,
							  .bytes = (uint16_t)text.n,
							  .row = (uint16_t)row,
							  .next = *first,
							  .index = (uint8_t)index,
							  .key = (uint8_t)n,
							  .whole_end = whole_end};
	*first = (uint16_t)++machine.n_pieces;
	machine.maybe[hash >> (64 - MAYBE_BITS + 6)] |= 1ull << (hash >> (64 - MAYBE_BITS)) % 64;
	/* Cyrillic is folded to U+0430..U+045F: lead bytes 0xd0 and 0xd1. */
	unsigned char lead = (unsigned char)text.p[0];
	if (is_letter(text.p[0]) || lead == 0xd0 || lead == 0xd1)
		machine.kind[lead] |= AT_WORD;
	uint8_t *starts = machine.starts[lead], bit = (uint8_t)(1u << (n - 1));
	if (n == 1)
		for (unsigned second = 0; second < 256; second++)
			starts[second] |= bit;
	else
		starts[key_byte(text.p[1])] |= bit;
	starts['\n'] = starts[' '];
}

static void add_phrase(int kind, struct span language, struct span phrase)
{
	if (!arena_grow(&machine.arena, (void **)&machine.rows, machine.n_rows, &machine.cap_rows,
			sizeof(*machine.rows)))
		return;
	struct row *row = &machine.rows[machine.n_rows];
	*row = (struct row){.kind = (uint8_t)kind, .language = {language.p[0], language.p[1], 0}};
	bool whole_end = phrase.p[phrase.n - 1] == '|';
	phrase.n -= whole_end;
	while (phrase.n && row->pieces < PIECES) {
		size_t gap = span_find(phrase, SPAN("..."));
		struct span piece =
			span_trim(span_sub(phrase, 0, gap == SIZE_MAX ? phrase.n : gap));
		phrase = gap == SIZE_MAX ? SPAN_NONE : span_sub(phrase, gap + 3, phrase.n);
		struct span folded = fold_text(&machine.arena, piece).text;
		if (folded.n)
			add_piece(folded, machine.n_rows, row->pieces++, whole_end && !phrase.n);
	}
	if (row->pieces > 1)
		row->progress = (uint16_t)machine.n_progress++;
	machine.n_rows++;
}

static void machine_make(struct span list)
{
	struct span line, language, phrase;
	int kind;
	bool bad;
	machine.ready = true;
	arena_init(&machine.arena, (size_t)64 << 20);
	for (int c = 0; c < 128; c++)
		machine.kind[c] = is_letter((char)c) ? LETTER : 0;
	while (span_next_line(&list, &line))
		if (read_line(line, &kind, &language, &phrase, &bad))
			add_phrase(kind, language, phrase);
	machine.progress = ARENA_ARRAY(&machine.arena, struct progress, machine.n_progress);
}

struct match {
	const struct piece *piece;
	uint32_t from, to;
};

/* Matches that begin within the length of a phrase; when there are more the first goes early. */
#define PENDING 64

struct search {
	struct phrase_hits *hits;
	struct arena *arena;
	struct match pending[PENDING]; /* in the order in which they are told */
	size_t n;
};

static void keep_hit(struct search *search, const struct match *m, uint32_t from)
{
	struct phrase_hits *hits = search->hits;
	const struct row *row = &machine.rows[m->piece->row];
	hits->count[row->kind]++;
	if (hits->n < HITS &&
	    arena_grow(search->arena, (void **)&hits->v, hits->n, &hits->cap, sizeof(*hits->v)))
		hits->v[hits->n++] = (struct phrase_hit){from,
							 m->to,
							 m->piece->row,
							 row->kind,
							 {row->language[0], row->language[1], 0}};
}

static void found(struct search *search, const struct match *m)
{
	const struct row *row = &machine.rows[m->piece->row];
	if (row->pieces == 1) {
		keep_hit(search, m, m->from);
		return;
	}
	struct progress *p = &machine.progress[row->progress];
	if (p->search != machine.searches)
		*p = (struct progress){.search = machine.searches};
	if (m->piece->index == 0) {
		/* A second beginning does not undo a first that still waits for its end. */
		if (p->pieces <= 1 || m->from - p->end > PHRASE_GAP_BYTES)
			*p = (struct progress){machine.searches, m->from, m->to, 1};
	} else if (p->pieces == m->piece->index && m->from >= p->end &&
		   m->from - p->end <= PHRASE_GAP_BYTES) {
		p->end = m->to;
		p->pieces++;
	} else {
		return;
	}
	if (p->pieces < row->pieces)
		return;
	p->pieces = 0;
	keep_hit(search, m, p->from);
}

/* Tells the first `n` of those that wait. */
static void tell(struct search *search, size_t n)
{
	for (size_t i = 0; i < n; i++)
		found(search, &search->pending[i]);
	search->n -= n;
	memmove(search->pending, search->pending + n, search->n * sizeof(*search->pending));
}

/* Tells those that end at or before `at`: what begins there ends behind them. */
static void tell_until(struct search *search, size_t at)
{
	size_t n = 0;
	while (n < search->n && search->pending[n].to <= at)
		n++;
	if (n)
		tell(search, n);
}

/* Matches are found in the order of their starts and told in the order of their ends. */
static void wait_for_end(struct search *search, struct match m)
{
	tell_until(search, m.from);
	if (search->n == PENDING)
		tell(search, 1);
	size_t i = search->n++;
	for (; i > 0 && search->pending[i - 1].to > m.to; i--)
		search->pending[i] = search->pending[i - 1];
	search->pending[i] = m;
}

static bool piece_stands(const struct piece *piece, struct span s, size_t at)
{
	size_t end = at + piece->bytes;
	if (end > s.n || (piece->whole_end && end < s.n && is_letter(s.p[end])))
		return false;
	for (size_t i = HEAD_BYTES; i < piece->bytes; i++)
		if (key_byte(s.p[at + i]) != (unsigned char)piece->text[i])
			return false;
	return true;
}

static void find_at(struct search *search, struct span s, size_t at, unsigned lengths)
{
	uint64_t head = head_at(s, at);
	for (unsigned rest = lengths; rest; rest &= rest - 1) {
		size_t n = (size_t)__builtin_ctz(rest) + 1;
		uint64_t hash = key_hash(head, n);
		if (!(machine.maybe[hash >> (64 - MAYBE_BITS + 6)] >> (hash >> (64 - MAYBE_BITS)) % 64 & 1))
			continue; /* nearly always */
		for (uint16_t k = *slot_of(hash); k;) {
			const struct piece *piece = &machine.pieces[k - 1];
			if ((head & piece->mask) == piece->head && piece->key == n &&
			    piece_stands(piece, s, at))
				wait_for_end(search, (struct match){piece, (uint32_t)at,
								    (uint32_t)(at + piece->bytes)});
			k = piece->next;
		}
	}
}

void phrases_find(struct span s, struct arena *a, struct phrase_hits *hits)
{
	struct search search = {.hits = hits, .arena = a};
	*hits = (struct phrase_hits){.n = 0};
	if (!machine.ready)
		machine_make(table_phrases());
	if (!s.n || !machine.progress)
		return;
	machine.searches++;
	const unsigned char *p = (const unsigned char *)s.p, *begin = p, *end = p + s.n;
	const uint8_t *kinds = machine.kind;
	unsigned before = ' ';
	while (p < end) {
		unsigned c = *p, kind = kinds[c], second = p + 1 < end ? p[1] : 0;
		unsigned lengths = machine.starts[c][second];
		bool inside = kind & AT_WORD && (kinds[before] & LETTER || before & c & 0x80);
		if (lengths && !inside)
			find_at(&search, s, (size_t)(p - begin), lengths);
		p++;
		/* inside of a word no phrase of letters begins */
		if (kind & LETTER)
			while (p < end && kinds[*p] & LETTER)
				p++;
		before = c;
	}
	tell(&search, search.n);
}
