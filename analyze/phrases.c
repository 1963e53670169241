#include "analyze/phrases.h"
#include "analyze/fold.h"
#include "analyze/tables.h"

#include <stdlib.h>

#define PIECES 4  /* of one phrase */
#define HITS 4000 /* kept of one text; a page of nothing but phrases says no more than that */

static const char *const kind_names[] = {
#define P(id, name, meaning) name,
	PHRASE_KINDS(P)
#undef P
};

struct piece {
	uint16_t row;
	uint8_t index;	/* in its phrase */
	bool whole_end; /* a word ends here */
	bool word_start;
	uint16_t bytes;
	int32_t next; /* another piece that ends at the same node, index + 1 */
};

struct row {
	uint8_t kind, pieces;
	char language[3];
};

/* The automaton: nodes x classes; bytes that no phrase holds are class 0. */
static struct {
	bool ready;
	uint8_t class_of[256];
	size_t classes;
	uint16_t *next;	   /* [node * classes + class] */
	int32_t *ends;	   /* first piece that ends at the node, index + 1 */
	uint16_t *shorter; /* nearest suffix node with an end */
	uint16_t *hit;	   /* the node itself when it has an end, else `shorter`; 0: none */
	size_t n_nodes, cap_nodes;
	struct piece *pieces;
	size_t n_pieces, cap_pieces;
	struct row *rows;
	size_t n_rows, cap_rows;
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

/* Child of `node` in the trie that is being made; 0 when memory is out. */
static uint16_t trie_child(uint16_t node, uint8_t class)
{
	uint16_t *slot = &machine.next[node * machine.classes + class];
	if (!*slot && machine.n_nodes < machine.cap_nodes)
		*slot = (uint16_t)machine.n_nodes++;
	return *slot;
}

static bool is_letter(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

static void add_piece(struct span text, size_t row, size_t index, bool whole_end)
{
	uint16_t node = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i] == '\n' ? ' ' : text.p[i];
		node = trie_child(node, machine.class_of[(unsigned char)c]);
	}
	if (!node || !arena_grow(&machine.arena, (void **)&machine.pieces, machine.n_pieces,
				 &machine.cap_pieces, sizeof(*machine.pieces)))
		return;
	/* Cyrillic is folded to U+0430..U+045F: lead bytes 0xd0 and 0xd1. */
	unsigned char lead = (unsigned char)text.p[0];
	machine.pieces[machine.n_pieces] = (struct piece){
		(uint16_t)row,	  (uint8_t)index,
		whole_end,	  is_letter(text.p[0]) || lead == 0xd0 || lead == 0xd1,
		(uint16_t)text.n, machine.ends[node]};
	machine.ends[node] = (int32_t)++machine.n_pieces;
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
	machine.n_rows++;
}

/* Failure links breadth first, then a full transition table. */
static void link_nodes(void)
{
	size_t classes = machine.classes, n = machine.n_nodes;
	uint16_t *fail = calloc(n, sizeof(*fail)), *queue = calloc(n, sizeof(*queue));
	size_t head = 0, tail = 0;
	if (!fail || !queue) {
		machine.n_nodes = 1;
		memset(machine.next, 0, classes * sizeof(*machine.next));
		goto out;
	}
	for (size_t c = 0; c < classes; c++)
		if (machine.next[c])
			queue[tail++] = machine.next[c];
	while (head < tail) {
		uint16_t node = queue[head++];
		machine.shorter[node] =
			machine.ends[fail[node]] ? fail[node] : machine.shorter[fail[node]];
		for (size_t c = 0; c < classes; c++) {
			uint16_t *slot = &machine.next[node * classes + c];
			uint16_t other = machine.next[fail[node] * classes + c];
			if (*slot) {
				fail[*slot] = other;
				queue[tail++] = *slot;
			} else {
				*slot = other;
			}
		}
	}
out:
	free(fail);
	free(queue);
}

static void machine_make(struct span list)
{
	struct span rest = list, line, language, phrase;
	int kind;
	bool bad;
	machine.ready = true;
	arena_init(&machine.arena, (size_t)64 << 20);
	char *all = arena_alloc(&machine.arena, list.n + 1);
	if (!all)
		return;
	size_t folded = fold_into(all, list);
	machine.classes = 1;
	for (size_t i = 0; i < folded; i++) {
		uint8_t *class = &machine.class_of[(unsigned char)all[i]];
		if (!*class && machine.classes < 255)
			*class = (uint8_t)machine.classes++;
	}
	machine.class_of['\n'] = machine.class_of[' '];
	machine.cap_nodes = folded + 1 < UINT16_MAX ? folded + 1 : UINT16_MAX;
	machine.next = calloc(machine.cap_nodes * machine.classes, sizeof(*machine.next));
	machine.ends = calloc(machine.cap_nodes, sizeof(*machine.ends));
	machine.shorter = calloc(machine.cap_nodes, sizeof(*machine.shorter));
	machine.hit = calloc(machine.cap_nodes, sizeof(*machine.hit));
	if (!machine.next || !machine.ends || !machine.shorter || !machine.hit)
		return;
	machine.n_nodes = 1;
	while (span_next_line(&rest, &line))
		if (read_line(line, &kind, &language, &phrase, &bad))
			add_phrase(kind, language, phrase);
	link_nodes();
	for (size_t node = 0; node < machine.n_nodes; node++)
		machine.hit[node] = machine.ends[node] ? (uint16_t)node : machine.shorter[node];
}

/* How far each phrase has come. */
struct progress {
	uint32_t from, end;
	uint8_t pieces;
};

static void found(struct phrase_hits *hits, struct arena *a, struct progress *progress,
		  const struct piece *piece, uint32_t from, uint32_t to)
{
	const struct row *row = &machine.rows[piece->row];
	struct progress *p = &progress[piece->row];
	if (piece->index == 0) {
		/* A second beginning does not undo a first that still waits for its end. */
		if (p->pieces <= 1 || from - p->end > PHRASE_GAP_BYTES)
			*p = (struct progress){from, to, 1};
	} else if (p->pieces == piece->index && from >= p->end &&
		   from - p->end <= PHRASE_GAP_BYTES) {
		p->end = to;
		p->pieces++;
	} else {
		return;
	}
	if (p->pieces < row->pieces)
		return;
	p->pieces = 0;
	hits->count[row->kind]++;
	if (hits->n < HITS &&
	    arena_grow(a, (void **)&hits->v, hits->n, &hits->cap, sizeof(*hits->v)))
		hits->v[hits->n++] = (struct phrase_hit){p->from,
							 to,
							 piece->row,
							 row->kind,
							 {row->language[0], row->language[1], 0}};
}

void phrases_find(struct span s, struct arena *a, struct phrase_hits *hits)
{
	*hits = (struct phrase_hits){.n = 0};
	if (!machine.ready)
		machine_make(table_phrases());
	struct progress *progress = s.n ? ARENA_ARRAY(a, struct progress, machine.n_rows) : NULL;
	if (machine.n_nodes < 2 || !progress)
		return;
	const uint16_t *next = machine.next, *hit = machine.hit;
	const uint8_t *class_of = machine.class_of;
	size_t node = 0, classes = machine.classes;
	for (size_t i = 0; i < s.n; i++) {
		node = next[node * classes + class_of[(unsigned char)s.p[i]]];
		for (size_t end = hit[node]; end; end = machine.shorter[end])
			for (int32_t k = machine.ends[end]; k; k = machine.pieces[k - 1].next) {
				const struct piece *piece = &machine.pieces[k - 1];
				size_t from = i + 1 - piece->bytes;
				unsigned char before = from ? (unsigned char)s.p[from - 1] : ' ';
				bool inside = piece->word_start &&
					      (is_letter((char)before) ||
					       (before >= 0x80 && (s.p[from] & 0x80)));
				bool runs_on =
					piece->whole_end && i + 1 < s.n && is_letter(s.p[i + 1]);
				if (!inside && !runs_on)
					found(hits, a, progress, piece, (uint32_t)from,
					      (uint32_t)(i + 1));
			}
	}
}
