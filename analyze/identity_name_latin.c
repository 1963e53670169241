/*
 * identity_name_latin - names in letters: by a legal form, behind a mark that names are behind.
 *
 * A name is a run of words with capitals; "of", "and" and their like may stand small inside.
 * What the text says of the run decides how it is offered (identity.h).
 */
#include "analyze/identity.h"
#include "analyze/identity_words.h"

#define NAME_BYTES 80
#define RUN_WORDS 6
#define WORD_BYTES 30

static bool word_byte(char c)
{
	return is_word_char(c) || c == '\'' || c == '&' || c == '-' || c == '.';
}

/* Words that stand small inside of names. */
static bool joins_name(struct span word)
{
	static const char *const words[] = {"of", "and", "&",  "for", "the",
					    "de", "der", "du", "la",  NULL};
	return is_one_of(word, words);
}

/* --- behind a mark --------------------------------------------------------------------- */

/* The dot behind is of an initial or a title, and no end: "Dr. J. Example". */
static bool is_short(struct span before)
{
	static const char *const words[] = {"dr",   "mr",  "mrs", "ms",	 "st",	"rev",
					    "prof", "gen", "sen", "rep", "gov", NULL};
	size_t from = before.n;
	while (from && is_word_char(before.p[from - 1]))
		from--;
	struct span word = span_sub(before, from, before.n);
	return (word.n == 1 && (!from || before.p[from - 1] == ' ')) || is_one_of(word, words);
}

/* Behind "©", "copyright", "paid for by", years and "by", up to the end of the name. A work is
 * told from the word "copyright" alone by a sign, a year, "by" or the start of a line. */
static struct text_range behind_owner(struct span s, size_t at)
{
	static const char *const skip[] = {"paid for by", "copyright", "(c)", "©",
					   "by ",	  "the ",      NULL};
	static const char *const stops[] = {"all rights",
					    "rights reserved",
					    " | ",
					    " - ",
					    ";",
					    " · ",
					    " unsubscribe",
					    " privacy",
					    " and not authorized",
					    " not authorized",
					    ", p.o.",
					    ", po box",
					    "(www",
					    "<",
					    " (http",
					    " is a ",
					    " and its ",
					    "。",
					    NULL};
	bool more = true, told = !at || s.p[at - 1] == '\n' || s.p[at] != 'c';
	size_t stop_skip = at + NAME_BYTES < s.n ? at + NAME_BYTES : s.n;
	for (size_t marks = 0; at < stop_skip && more; marks++) {
		struct span rest = span_sub(s, at, s.n);
		more = false;
		for (const char *const *w = skip; *w && !more; w++)
			if (span_starts(rest, span_of(*w))) {
				at += strlen(*w);
				more = true;
				told |= marks > 0 && **w != 't';
			}
		if (!more && (ascii_is_digit(rest.p[0]) || memchr(" ,-:", rest.p[0], 4))) {
			told |= ascii_is_digit(rest.p[0]);
			at++;
			more = true;
		}
	}
	struct span line = span_sub(s, at, at + NAME_BYTES);
	size_t end = span_find_char(line, '\n');
	end = end == SIZE_MAX ? line.n : end;
	for (const char *const *w = stops; *w; w++) {
		size_t stop = span_find(span_sub(line, 0, end), span_of(*w));
		end = stop < end ? stop : end;
	}
	for (size_t i = 1; i + 1 < end; i++)
		if (line.p[i] == '.' && line.p[i + 1] == ' ' && !is_short(span_sub(line, 0, i)))
			end = i;
	/* a street and its number: "Example, Inc., 12 Main St" */
	for (size_t i = 0; i + 2 < end; i++)
		if (line.p[i] == ',' && line.p[i + 1] == ' ' && ascii_is_digit(line.p[i + 2]))
			end = i;
	while (end > 1 &&
	       (memchr(" .,|", line.p[end - 1], 4) || span_ends(span_sub(line, 0, end), SPAN("·"))))
		end -= (line.p[end - 1] & 0x80) ? 2 : 1;
	while (end > 0 && end < line.n && (line.p[end] & 0xc0) == 0x80)
		end--;
	return told && end >= 2 ? (struct text_range){at, at + end} : (struct text_range){0, 0};
}

/* The end of a name at its legal form: "Example Inc., Springfield, USA". */
static void cut_at_form(struct span s, const struct phrase_hits *hits, size_t k,
			struct text_range *r)
{
	for (; k < hits->n && hits->v[k].from < r->to; k++) {
		size_t end = hits->v[k].to;
		if (hits->v[k].kind != PHRASE_FORM || hits->v[k].from <= r->from + 1)
			continue;
		bool dot = end < s.n && s.p[end] == '.';
		if (end + dot < r->to && s.p[end + dot] == ',')
			r->to = end;
	}
}

/* Behind each of `words` that stands at `at`, one after the other. */
static size_t behind_each(struct span s, size_t at, const char *const *words)
{
	for (; *words; words++)
		at += span_starts(span_sub(s, at, s.n), span_of(*words)) ? strlen(*words) : 0;
	return at;
}

/* Words with capitals behind "subscribed to", "sent by". "Example's sites" is Example. */
static struct text_range run_behind(const struct name_search *n, size_t at)
{
	static const char *const before[] = {"one of ", "the ", NULL};
	struct span s = n->text;
	while (at < s.n && (s.p[at] == ' ' || s.p[at] == '"'))
		at++;
	at = behind_each(s, at, before);
	size_t from = at, to = at;
	for (size_t words = 0; words < RUN_WORDS && at < s.n; words++) {
		size_t first = at;
		while (at < s.n && word_byte(s.p[at]) && at - first < WORD_BYTES)
			at++;
		struct span word = span_sub(s, first, at);
		bool big = word.n && !(word.p[0] & 0x80) && name_capital(n, first) &&
			   !is_of_sentence(word);
		if (!big && (to == from || !joins_name(word)))
			break;
		if (big)
			to = at;
		if (span_ends(word, SPAN("'s"))) {
			to = at - 2;
			break;
		}
		if (at >= s.n || s.p[at] != ' ')
			break;
		at++;
	}
	while (to > from && memchr(".,-'", s.p[to - 1], 4))
		to--;
	bool number = to > from && ascii_is_digit(s.p[from]);
	return to - from >= 4 && !number ? (struct text_range){from, to}
					 : (struct text_range){0, 0};
}

/* --- before a form --------------------------------------------------------------------- */

/* Where the words with capitals that end at `i` begin; `i`: there are none. */
static size_t run_before(const struct name_search *n, size_t i)
{
	/* "and Example Ltd", "of Example, Inc." */
	static const char *const joints[] = {"and ", "of ", "for ", "& ", "the ", NULL};
	struct span s = n->text;
	size_t from = i;
	for (size_t words = 0; words < RUN_WORDS; words++) {
		size_t at = from;
		while (at > 0 && (s.p[at - 1] == ' ' || s.p[at - 1] == ','))
			at--;
		size_t stop = at;
		while (at > 0 && word_byte(s.p[at - 1]) && stop - at < WORD_BYTES)
			at--;
		struct span word = span_sub(s, at, stop);
		if (at == stop || is_of_sentence(word) || s.p[stop - 1] == '.' ||
		    (!name_capital(n, at) && !joins_name(word)))
			break;
		from = at;
	}
	return behind_each(span_sub(s, 0, i), from, joints);
}

/* Words with a capital before "Inc.", "Ltd", "GmbH" and their like. */
static struct text_range before_form(const struct name_search *n, const struct phrase_hit *hit)
{
	struct span s = n->text;
	struct text_range none = {0, 0};
	size_t i = hit->from;
	if (!i || (s.p[i - 1] != ' ' && s.p[i - 1] != ',') || !name_capital(n, i))
		return none;
	/* two letters are a form in capitals alone, "Muster AG"; behind a comma a state, "Reno, NV"
	 */
	size_t second = (size_t)fold_from(n->map, i) + 1;
	if (hit->to - i == 2 && (!(second < n->original.n && n->original.p[second] >= 'A' &&
				   n->original.p[second] <= 'Z') ||
				 s.p[i - 1] == ',' || (i > 1 && s.p[i - 2] == ',')))
		return none;
	if (hit->to < s.n && word_byte(s.p[hit->to]) && s.p[hit->to] != '.')
		return none;
	size_t from = run_before(n, i);
	return from < i ? (struct text_range){from, hit->to} : none;
}

/* "Blue Widget Works is pleased to ..." */
static struct text_range before_verb(const struct name_search *n, const struct phrase_hit *hit)
{
	size_t end = hit->from, from;
	while (end && n->text.p[end - 1] == ' ')
		end--;
	from = run_before(n, end);
	return from < end && end - from >= 4 && name_capital(n, from)
		       ? (struct text_range){from, end}
		       : (struct text_range){0, 0};
}

void name_find_latin(struct name_search *n)
{
	const struct phrase_hits *hits = n->hits;
	for (size_t i = 0; i < hits->n; i++) {
		const struct phrase_hit *hit = &hits->v[i];
		struct text_range r;
		switch ((enum phrase_kind)hit->kind) {
		case PHRASE_PAYER:
		case PHRASE_OWNER:
			r = behind_owner(n->text, hit->from);
			cut_at_form(n->text, hits, i + 1, &r);
			/* "© example.com" is a name when From or the links say so too */
			name_offer(n, r, hit->kind == PHRASE_PAYER ? NAME_PAYER : NAME_OWNER,
				   r.to && !name_capital(n, r.from) ? -30 : 0);
			break;
		case PHRASE_SUBSCRIBED:
			name_offer(n, run_behind(n, hit->to), NAME_SUBSCRIBED, 0);
			break;
		case PHRASE_SENDER:
			name_offer(n, run_behind(n, hit->to), NAME_SENDER, 0);
			break;
		case PHRASE_SPEAKER:
			if (!(hit->language[0] == 'z'))
				name_offer(n, before_verb(n, hit), NAME_SPEAKER, 0);
			break;
		case PHRASE_FORM:
			name_offer(n, before_form(n, hit), NAME_FORM, 0);
			break;
		default:
			break;
		}
	}
}
