/*
 * identity_address - postal addresses in letters, by the parts that each country writes.
 *
 *   US, CA   [street] City, ST 12345 / A1A 1A1; P.O. Box
 *   UK       ... SW1A 1AA
 *   Europe   street word and a five- or four-digit code before the town, one line or two
 *   English forms of Chinese ones: Room/Floor, No., Road, District, China
 *
 * Lines are looked at once, with the line before for the street; linear. Of several addresses in
 * letters the last is taken, which is the footer's; what stands above are events and other people.
 * In East Asian characters (identity_address_east.c) the first is taken.
 */
#include "analyze/identity.h"
#include "analyze/identity_words.h"

static const char *const streets_en[] = {
	"street",  "st",       "avenue",   "ave",      "road",	 "rd",	  "blvd",	"boulevard",
	"drive",   "dr",       "lane",	   "ln",       "suite",	 "ste",	  "floor",	"way",
	"parkway", "pkwy",     "plaza",	   "square",   "sq",	 "court", "ct",		"highway",
	"hwy",	   "broadway", "building", "bldg",     "circle", "place", "pl",		"terrace",
	"house",   "center",   "centre",   "room",     "rm",	 "unit",  "expressway", "route",
	"trail",   "park",     "row",	   "crescent", "close",	 "wharf", "box",	NULL};

/* A number and a street word within one piece of text: "620 eighth avenue". */
static bool is_street(struct span s)
{
	return has_digit(s) && s.n < 200 && has_word(s, streets_en);
}

static const char states[] =
	" al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn "
	"ms mo mt ne nv nh nj nm ny nc nd oh ok or pa ri sc sd tn tx ut vt va wa wv wi wy dc pr "
	"ab bc mb nb nl ns on pe qc sk ";

static const char *const state_names[] = {
	"alabama",  "arizona",	 "california", "colorado",	"connecticut",	"delaware",
	"florida",  "georgia",	 "illinois",   "indiana",	"iowa",		"kansas",
	"kentucky", "louisiana", "maryland",   "massachusetts", "michigan",	"minnesota",
	"missouri", "nebraska",	 "nevada",     "hampshire",	"jersey",	"york",
	"carolina", "ohio",	 "oklahoma",   "oregon",	"pennsylvania", "tennessee",
	"texas",    "utah",	 "vermont",    "virginia",	"washington",	"wisconsin",
	"ontario",  "quebec",	 "columbia",   "calif",		"mass",		"conn",
	"fla",	    NULL};

/* The word before `at`, without dots and commas. */
static struct span word_before(struct span s, size_t at)
{
	while (at > 0 && (s.p[at - 1] == ' ' || s.p[at - 1] == '.' || s.p[at - 1] == ',' ||
			  s.p[at - 1] == '\n'))
		at--;
	size_t from = at;
	while (from > 0 && ascii_is_alpha(s.p[from - 1]))
		from--;
	if (at - from == 1 && from >= 2 && s.p[from - 1] == '.' && ascii_is_alpha(s.p[from - 2]) &&
	    at < s.n && s.p[at] == '.')
		return span_sub(s, from - 2, at + 1); /* "d.c." */
	return span_sub(s, from, at);
}

static bool is_state(struct span word)
{
	char padded[5] = {' ', 0, 0, ' ', 0};
	if (word.n == 4 && word.p[1] == '.' && word.p[3] == '.') { /* "d.c." */
		padded[1] = word.p[0];
		padded[2] = word.p[2];
		return strstr(states, padded) != NULL;
	}
	if (word.n == 2) {
		padded[1] = word.p[0];
		padded[2] = word.p[1];
		return strstr(states, padded) != NULL;
	}
	return word.n > 2 && is_one_of(word, state_names);
}

/* Up to two lines above the one that begins at `from`, while they look like an address. */
static size_t with_street_above(struct span s, size_t from)
{
	size_t best = from;
	for (int lines = 0; lines < 2 && from > 0; lines++) {
		size_t above = line_start(s, from - 1);
		struct span line = span_sub(s, above, from - 1);
		if (line.n > 100)
			break;
		if (is_street(line))
			best = above;
		from = above;
	}
	return best;
}

/* Cuts long lines so that the evidence is the address and not the paragraph. */
static struct text_range clip(struct span s, size_t from, size_t to)
{
	if (to - from > 160)
		from = to - 160;
	while (from < to && (s.p[from] & 0xc0) == 0x80)
		from++;
	return (struct text_range){from, to};
}

/* "Postal address:" stands up to six lines above: what follows needs no street. */
static size_t below_label(struct span s, size_t at)
{
	static const char *const words[] = {"postal address", "mailing address", "postanschrift",
					    "adresse postale", NULL};
	size_t from = at;
	for (int lines = 0; lines < 6 && from > 0; lines++) {
		size_t above = line_start(s, from - 1);
		struct span line = span_sub(s, above, from - 1);
		if (line.n > 60 || (lines && has_any(line, words)))
			return line.n > 60 ? 0 : from;
		from = above;
	}
	return 0;
}

/* "ny 10018", "ny, 10018-1405", "ontario m5v 2t6" that ends at digits [at, end). */
static bool north_american(struct span s, size_t at, size_t end, struct text_range *place_r)
{
	size_t digits = 0;
	while (at + digits < end && ascii_is_digit(s.p[at + digits]))
		digits++;
	if (digits != 5 || (at > 0 && is_word_char(s.p[at - 1])) ||
	    (at + 5 < s.n && is_word_char(s.p[at + 5])) || !is_state(word_before(s, at)))
		return false;
	size_t from = line_start(s, at), to = at + 5;
	if (to + 5 <= s.n && s.p[to] == '-' && ascii_is_digit(s.p[to + 1]))
		to += 5;
	struct span line = span_sub(s, from, at);
	if (line.n > 150)
		line = span_sub(line, line.n - 150, line.n);
	if (!is_street(line)) {
		size_t above = with_street_above(s, from);
		/* A town with state and code alone is an address if the line holds no more. */
		size_t label = above == from ? below_label(s, from) : 0;
		if (above == from && !label && (line.n > 45 || !memchr(s.p + from, ',', at - from)))
			return false;
		from = label ? label : above;
	}
	*place_r = clip(s, from, to);
	return true;
}

static bool postcode_uk_ca(struct span s, size_t at)
{
	/* "a9 9aa", "aa9a 9aa", "a9a 9a9" around the blank at `at` */
	size_t from = at;
	while (from > 0 && (ascii_is_alpha(s.p[from - 1]) || ascii_is_digit(s.p[from - 1])))
		from--;
	struct span left = span_sub(s, from, at), right = span_sub(s, at + 1, at + 4);
	bool ends = at + 4 >= s.n || !is_word_char(s.p[at + 4]);
	if (right.n != 3 || !ends || left.n < 2 || left.n > 4 || !ascii_is_alpha(left.p[0]))
		return false;
	bool uk = ascii_is_digit(right.p[0]) && ascii_is_alpha(right.p[1]) &&
		  ascii_is_alpha(right.p[2]) && has_digit(left) &&
		  (ascii_is_digit(left.p[left.n - 1]) || ascii_is_digit(left.p[left.n - 2]));
	bool ca = left.n == 3 && ascii_is_digit(left.p[1]) && ascii_is_alpha(left.p[2]) &&
		  ascii_is_digit(right.p[0]) && ascii_is_alpha(right.p[1]) &&
		  ascii_is_digit(right.p[2]);
	return uk || ca;
}

static const char *const streets_eu[] = {
	"strasse",   "str",	 "weg",	   "platz", "allee",  "gasse",	 "rue",	   "avenue",
	"boulevard", "bd",	 "place",  "quai",  "calle",  "avenida", "avda",   "plaza",
	"via",	     "viale",	 "piazza", "corso", "straat", "laan",	 "gracht", "ul",
	"rua",	     "av",	 "ring",   "ufer",  "damm",   "chemin",	 "cours",  "paseo",
	"largo",     "travessa", "route",  "ulica", "aleja",  "al",	 NULL};

static bool ends_street_eu(struct span s)
{
	static const char *const parts[] = {
		"strasse ", "straat ", "str. ",	 "weg ",    "platz ", "allee ",	  "gasse ",
		"laan ",    "gracht ", "kade ",	 "singel ", "vagen ", "gatan ",	  "gade ",
		"vej ",	    "veien ",  "gata ",	 "katu ",   "tie ",   "damm ",	  "ring ",
		"ufer ",    "markt ",  "plein ", "ул. ",    "улица",  "проспект", "пр-т",
		"переулок", "бульвар", "шоссе",	 NULL};
	return has_any(s, parts) || has_word(s, streets_eu);
}

/* Bytes of a postal code of Europe or Brazil at the digits [at, ...): "10115", "1015", "00-838",
 * "111 57", "1000-100", "01305-000"; 0: none. */
static size_t code_bytes(struct span s, size_t at)
{
	size_t n = 0, more = 0;
	while (n < 8 && at + n < s.n && ascii_is_digit(s.p[at + n]))
		n++;
	char mark = at + n < s.n ? s.p[at + n] : ' ';
	while (more < 5 && at + n + 1 + more < s.n && ascii_is_digit(s.p[at + n + 1 + more]))
		more++;
	if ((mark == '-' &&
	     ((n == 2 && more == 3) || (n == 4 && more == 3) || (n == 5 && more == 3))) ||
	    (mark == ' ' && n == 3 && more == 2))
		return n + 1 + more;
	return n == 5 || n == 4 || n == 6 ? n : 0;
}

/* "10115 berlin" with a street before it on this line or the line above. */
static bool european(struct span s, size_t at, struct text_range *place_r)
{
	size_t digits = code_bytes(s, at);
	if (!digits || (at > 0 && is_word_char(s.p[at - 1])) || at + digits + 2 > s.n ||
	    s.p[at + digits] != ' ' ||
	    !(ascii_is_alpha(s.p[at + digits + 1]) || s.p[at + digits + 1] & 0x80))
		return false;
	size_t from = line_start(s, at);
	struct span before = span_sub(s, at - from > 80 ? at - 80 : from, at);
	if (!has_digit(before) || !ends_street_eu(before)) {
		if (from == 0 || at - from > 6)
			return false;
		size_t above = line_start(s, from - 1);
		struct span line = span_sub(s, above, from - 1);
		if (line.n > 80 || !has_digit(line) || !ends_street_eu(line))
			return false;
		before = span_sub(s, above, at);
	}
	size_t to = at + digits + 1;
	for (int words = 0; words < 2; words++) { /* "São Paulo", "CR Amsterdam" */
		size_t first = to;
		while (to < s.n && (ascii_is_alpha(s.p[to]) || s.p[to] & 0x80 || s.p[to] == '-'))
			to++;
		bool more = to < s.n && s.p[to] == ' ' && to + 1 < s.n && words == 0 &&
			    (ascii_is_alpha(s.p[to + 1]) || s.p[to + 1] & 0x80) && to - first < 4;
		if (!more)
			break;
		to++;
	}
	*place_r = clip(s, (size_t)(before.p - s.p), to);
	return true;
}

/* Where the address of a box at `at` ends: behind its postal code, else with its line. */
static size_t box_end(struct span s, size_t at)
{
	size_t stop = at + 90 < s.n ? at + 90 : s.n, digits = 0, first_line = stop;
	for (size_t i = at; i < stop; i++) {
		if (s.p[i] == '\n' && first_line == stop)
			first_line = i;
		digits = ascii_is_digit(s.p[i]) ? digits + 1 : 0;
		bool ends = i + 1 == s.n || !ascii_is_digit(s.p[i + 1]);
		if (digits == 5 && ends && is_state(word_before(s, i - 4)))
			return i + 1 + (i + 6 <= s.n && s.p[i + 1] == '-' ? 5 : 0);
	}
	return first_line;
}

/* English and other Latin forms without a code that another test knows. */
static bool latin_line(struct span s, struct span line, size_t base, struct text_range *place_r)
{
	static const char *const countries[] = {
		"china",    "singapore",     "hong kong",      "india",	      "usa",
		"u.s.a",    "united states", "united kingdom", "canada",      "australia",
		"ireland",  "germany",	     "israel",	       "japan",	      "taiwan",
		"malaysia", "netherlands",   "france",	       "new zealand", NULL};
	for (size_t i = 1; i + 3 < line.n; i++)
		if (line.p[i] == ' ' && ascii_is_digit(line.p[i + 1]) && postcode_uk_ca(line, i)) {
			struct span before = span_sub(line, i > 120 ? i - 120 : 0, i);
			size_t above = with_street_above(s, base);
			if (!is_street(before) && above == base && !memchr(before.p, ',', before.n))
				continue;
			*place_r = clip(s, is_street(before) ? base : above, base + i + 4);
			return true;
		}
	if (line.n < 200 && memchr(line.p, ',', line.n) && is_street(line) &&
	    has_any(line, countries)) {
		*place_r = (struct text_range){base, base + line.n};
		return true;
	}
	return false;
}

/* Words between a number and the street word that it belongs to. */
#define STREET_WORDS 4

/* A number followed by a street word within a few words, or the other way round: "1234 s. broadway
 * st", "bld. 99". */
static bool numbered_street(struct span line)
{
	static const char *const words[] = {
		"street",    "st",	"avenue",   "ave",     "road",	"rd",	    "blvd",
		"boulevard", "drive",	"dr",	    "lane",    "ln",	"suite",    "ste",
		"floor",     "parkway", "pkwy",	    "highway", "hwy",	"broadway", "building",
		"bldg",	     "bld",	"terrace",  "court",   "ct",	"square",   "sq",
		"place",     "pl",	"crescent", "level",   "tower", NULL};
	size_t since_number = STREET_WORDS + 1, since_street = 2;
	for (struct span word; next_word(&line, &word);) {
		bool number = ascii_is_digit(word.p[0]) && word.n <= 6;
		bool street = is_one_of(word, words);
		if ((number && since_street < 2) || (street && since_number <= STREET_WORDS))
			return true;
		since_number = number ? 1 : since_number + 1;
		since_street = street ? 1 : since_street + 1;
	}
	return false;
}

/* A short line that begins with a number and ends with a street word. */
static bool is_street_line(struct span line)
{
	struct span word, last = SPAN_NONE, rest = line;
	size_t words = 0;
	while (span_next_word(&rest, &word)) {
		last = word;
		words++;
	}
	while (last.n && (last.p[last.n - 1] == '.' || last.p[last.n - 1] == ','))
		last.n--;
	return line.n < 50 && words >= 3 && words <= 6 && ascii_is_digit(line.p[0]) &&
	       numbered_street(line) && last.n && is_one_of(last, streets_en);
}

/* Streets in a footer's short line without a code that another test knows: with a code of its
 * own between commas ("creative city 9000"), or in a block of two lines. */
static bool footer_line(struct span s, struct span line, size_t base, struct text_range *place_r)
{
	static const char *const states_au[] = {"nsw", "vic", "qld", "tas", NULL};
	const char *comma = line.n <= 140 ? memchr(line.p, ',', line.n) : NULL;
	if (line.n > 140 || (!comma && !(line.n && ascii_is_digit(line.p[0]))) ||
	    !has_digit(line) || !numbered_street(line))
		return false;
	if (comma) {
		struct span rest = span_sub(line, (size_t)(comma - line.p), line.n);
		size_t digits = 0, best = 0;
		for (size_t i = 0; i <= rest.n; i++) {
			bool digit = i < rest.n && ascii_is_digit(rest.p[i]);
			if (!digit && digits >= 4 && digits <= 6)
				best = i;
			digits = digit ? digits + 1 : 0;
		}
		if (best || has_word(rest, states_au)) {
			*place_r = (struct text_range){base, base + line.n};
			return true;
		}
	}
	if (!is_street_line(line))
		return false;
	static const char *const rooms[] = {"suite", "ste", "floor", "unit", "room", "apt", NULL};
	size_t from = base + line.n + 1;
	struct span next = span_sub(s, from, s.n), below;
	if (!span_next_line(&next, &below) || below.n > 30 || below.n < 3)
		return false;
	size_t words = 0;
	for (struct span rest = below, word; span_next_word(&rest, &word);)
		words++;
	if (!has_word(below, rooms) && (words > 3 || has_digit(below)))
		return false;
	*place_r = (struct text_range){base, from + below.n};
	return true;
}

/* The first hit at or behind hits[k] that is a mark of an address. */
static size_t next_mark(const struct phrase_hits *hits, size_t k)
{
	while (k < hits->n && hits->v[k].kind != PHRASE_PLACE && hits->v[k].kind != PHRASE_POSTBOX)
		k++;
	return k;
}

static bool marked(struct span s, struct span line, size_t base, const struct phrase_hit *hit,
		   struct text_range *place_r)
{
	if (hit->kind == PHRASE_PLACE) {
		bool found = address_labelled(line, hit->to - base, place_r);
		place_r->from += base;
		place_r->to += base;
		return found;
	}
	if (!has_digit(span_sub(s, hit->from, hit->from + 24)))
		return false;
	*place_r = (struct text_range){hit->from, box_end(s, hit->from)};
	return true;
}

/* Without the name that stands before it in its line: "Example Society 12 Main St ...", "Example
 * Society, P.O. Box 7 ...". */
static struct text_range without_name(struct span s, struct text_range r)
{
	static const char *const boxes[] = {"p.o.", "po box", "p. o.", NULL};
	struct span text = span_sub(s, r.from, r.to);
	size_t at = 0;
	while (at < text.n && !ascii_is_digit(text.p[at]))
		at++;
	struct span before = span_sub(text, 0, at);
	for (const char *const *box = boxes; *box; box++) {
		size_t found = span_find(before, span_of(*box));
		if (found != SIZE_MAX && found > 0 &&
		    !has_word(span_sub(before, 0, found), streets_en))
			return (struct text_range){r.from + found, r.to};
	}
	static const char *const parts[] = {"flat", "apartment", "level", "tower",  "block",
					    "pier", "door",	 "gate",  "number", NULL};
	for (size_t i = 0; i < before.n; i++)
		if (memchr("=<>", before.p[i], 3))
			return r;
	bool named = span_trim(before).n >= 4 && !(before.p[0] & 0x80) &&
		     !has_word(before, streets_en) && !ends_street_eu(before) &&
		     !has_word(before, parts);
	struct span rest = span_sub(text, at, text.n);
	rest = span_sub(rest, 0, span_find_char(rest, '\n'));
	return named && numbered_street(rest) ? (struct text_range){r.from + at, r.to} : r;
}

/* "Delivery address" stands in the line or in the two lines above: it is the reader's. *labels:
 * whether the text has such words at all; negative: not known yet. */
static bool is_readers(struct span s, size_t at, int *labels)
{
	static const char *const words[] = {"delivery address",
					    "shipping address",
					    "billing address",
					    "ship to:",
					    "bill to:",
					    "deliver to:",
					    "lieferadresse",
					    "rechnungsadresse",
					    "adresse de livraison",
					    "收货地址",
					    "收件地址",
					    "配送地址",
					    "送货地址",
					    "收貨地址",
					    "お届け先",
					    NULL};
	if (*labels < 0)
		*labels = has_any(s, words);
	size_t from = at;
	for (int lines = 0; *labels && lines < 3 && from > 0; lines++)
		from = line_start(s, from - 1);
	return *labels && has_any(span_sub(s, at - from > 160 ? at - 160 : from, at), words);
}

struct text_range address_find(struct span s, const struct phrase_hits *hits)
{
	struct text_range place = {0, 0}, footer = {0, 0}, last = {0, 0};
	struct span rest = s, line;
	size_t mark = next_mark(hits, 0);
	int labels = -1;
	while (span_next_line(&rest, &line)) {
		size_t base = (size_t)(line.p - s.p);
		bool digits = false;
		for (size_t i = 0; (i = span_find_digit(line, i)) < line.n; i++) {
			digits = true;
			if (i && is_word_char(line.p[i - 1]))
				continue;
			bool found = north_american(s, base + i, base + line.n, &place);
			if (found)
				place = without_name(s, place);
			if ((found || european(s, base + i, &place)) &&
			    !is_readers(s, place.from, &labels))
				last = place;
		}
		for (; mark < hits->n && hits->v[mark].from < base + line.n;
		     mark = next_mark(hits, mark + 1))
			if (hits->v[mark].from >= base &&
			    marked(s, line, base, &hits->v[mark], &place) &&
			    !is_readers(s, place.from, &labels))
				return place;
		struct span head = span_sub(line, 0, 4000);
		if (!digits)
			continue;
		if (address_east(head, &place) && !is_readers(s, base + place.from, &labels))
			return (struct text_range){base + place.from, base + place.to};
		if (latin_line(s, head, base, &place) && !is_readers(s, place.from, &labels))
			last = place;
		if (!footer.to && footer_line(s, head, base, &place) &&
		    !is_readers(s, place.from, &labels))
			footer = without_name(s, place);
	}
	return last.to ? last : footer;
}
