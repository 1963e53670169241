/*
 * identity_address - postal addresses, by the parts that each country writes.
 *
 *   China    省 市 区 县 ... 路 街 道 ... 号 楼 室 大厦, at least two kinds, or behind 地址
 *   US, CA   [street] City, ST 12345 / A1A 1A1; P.O. Box
 *   UK       ... SW1A 1AA
 *   Europe   street word and a five- or four-digit code before the town, one line or two
 *   JP, KR   〒100-0001, 東京都…区…; 서울…구…로 12
 *   English forms of Chinese ones: Room/Floor, No., Road, District, China
 *
 * Lines are looked at once, with the line before for the street; linear. Of several addresses in
 * letters the last is taken, which is the footer's; what stands above are events and other people.
 */
#include "analyze/charset.h"
#include "analyze/identity.h"

static bool has(struct span s, const char *const *words)
{
	for (; *words; words++)
		if (span_find(s, span_of(*words)) != SIZE_MAX)
			return true;
	return false;
}

static unsigned count(struct span s, const char *const *words)
{
	unsigned n = 0;
	for (; *words; words++)
		n += span_find(s, span_of(*words)) != SIZE_MAX;
	return n;
}

static bool is_word_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

static bool is_one_of(struct span word, const char *const *words)
{
	for (; *words; words++)
		if (**words == word.p[0] && span_eq(word, span_of(*words)))
			return true;
	return false;
}

/* A whole word of `words` in `s`. */
static bool has_word(struct span s, const char *const *words)
{
	for (size_t i = 0; i < s.n;) {
		if (!is_word_char(s.p[i])) {
			i++;
			continue;
		}
		size_t from = i;
		while (i < s.n && is_word_char(s.p[i]))
			i++;
		if (is_one_of((struct span){s.p + from, i - from}, words))
			return true;
	}
	return false;
}

static bool has_digit(struct span s)
{
	return span_find_digit(s, 0) < s.n;
}

/* Whether it has characters of East Asia. */
static bool has_wide(struct span s)
{
	for (size_t i = charset_ascii_run(s); i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0xe3 && c <= 0xed)
			return true;
	}
	return false;
}

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

/* No address is longer; without a bound a line of 30 kB would be walked for each number. */
#define LINE_BACK_BYTES 300

static size_t line_start(struct span s, size_t at)
{
	size_t stop = at > LINE_BACK_BYTES ? at - LINE_BACK_BYTES : 0;
	while (at > stop && s.p[at - 1] != '\n')
		at--;
	return at;
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
		if (above == from && (line.n > 45 || !memchr(s.p + from, ',', at - from)))
			return false;
		from = above;
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

static const char *const cn_admin[] = {"省",   "市", "区", "县", "北京", "上海", "深圳",
				       "广州", "镇", "區", "縣", "香港", "乡",	 NULL};
static const char *const cn_street[] = {"路",	"街",	  "大道",   "巷",   "弄", "村",
					"胡同", "开发区", "工业区", "路口", "道", NULL};
static const char *const cn_number[] = {"号", "楼",   "室", "大厦", "层",   "座", "广场", "號",
					"樓", "大廈", "栋", "宾馆", "中心", "幢", NULL};
static const char *const cn_provinces[] = {
	"广东", "浙江", "江苏", "山东", "河北", "河南", "湖北", "湖南", "福建", "四川", "安徽",
	"江西", "辽宁", "吉林", "黑龙江", "陕西", "山西", "甘肃", "云南", "贵州", "广西", "海南",
	"重庆", "天津", "内蒙", "新疆", "西藏", "宁夏", "青海", "台灣", "台湾", "臺灣", "九龍",
	"guangdong", "zhejiang", "jiangsu", "shanghai", "beijing", "shenzhen", "guangzhou", "fujian",
	"shandong", "sichuan", "hangzhou", "tianjin", "hong kong", "taipei", NULL};

/* Where the piece around the number at `at` begins: behind the last mark or blank that leaves an
 * address whole. A blank behind "北京市" is inside of one. */
static size_t cn_piece_start(struct span line, size_t from, size_t at)
{
	for (size_t i = from; i < at; i++) {
		size_t mark = memchr(" ,;:)", line.p[i], 5) ? 1 : 0;
		struct span rest = span_sub(line, i, at), head = span_sub(line, from, i);
		if (!mark && (span_starts(rest, SPAN("。")) || span_starts(rest, SPAN("、"))))
			mark = 3;
		bool inside = false;
		for (const char *const *w = cn_admin; *w && mark == 1; w++)
			inside |= span_ends(head, span_of(*w));
		for (const char *const *w = cn_provinces; *w && mark == 1; w++)
			inside |= span_ends(head, span_of(*w));
		if (mark && !inside && has(rest, cn_street) && has(rest, cn_admin))
			from = i + mark;
	}
	return from;
}

/* Bytes of the address at `from`: up to the next thing that a footer says. */
static size_t cn_length(struct span line, size_t from)
{
	static const char *const next[] = {"电话", "电 话", "手机", "手 机",  "邮编",  "邮 编",
					   "传真", "传 真", "联系", "电邮",   "网址",  "業務",
					   "业务", "联 系", "邮箱", "邮政",   "。",    "電話",
					   "郵",   "tel",   "fax",  "e-mail", "email", "http",
					   "www.", "qq",    "icp",  "客服",  "客户服",
					   "客戶服", "热线", "熱線", "网站",  "網站",
					   "主页", "微信",  "咨询电", "收件人", "营业时间",
					   "乘车", "版权",  "备案", "退订",  "另有", NULL};
	struct span s = span_sub(line, from, from + 150);
	size_t n = s.n;
	for (const char *const *w = next; *w; w++) {
		size_t at = span_find(s, span_of(*w));
		n = at < n ? at : n;
	}
	/* behind the number and a blank: a room and its number go on, a name does not */
	for (size_t i = 0; i < n; i++)
		if (s.p[i] == ' ' && has(span_sub(s, 0, i), cn_number)) {
			struct span tail = span_sub(s, i, n);
			if (!has_digit(tail) && !has(tail, cn_number))
				n = i;
		}
	while (n > 0 && memchr(" ,;|(", s.p[n - 1], 5))
		n--;
	while (n > 0 && n < s.n && (s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* What stands behind 地址 or "Address:", from `label` of the line on. */
static bool labelled(struct span line, size_t label, struct text_range *place_r)
{
	struct span tail = span_sub(line, label, label + 150);
	if (count(tail, cn_admin) + count(tail, cn_street) + count(tail, cn_number) < 2 &&
	    !has(span_sub(tail, 0, 80), cn_provinces))
		return false;
	size_t from = label;
	while (from < line.n && (line.p[from] == ':' || line.p[from] == ' '))
		from++;
	struct span address = span_sub(line, from, from + cn_length(line, from));
	if (address.n < 12 || memchr(address.p, '@', address.n))
		return false; /* an e-mail address or a web address */
	*place_r = (struct text_range){from, from + address.n};
	return true;
}

/* Level, street and number within 90 bytes before the number. */
static bool chinese(struct span line, struct text_range *place_r)
{
	static const char *const hao[] = {"号", "號", NULL};
	for (const char *const *w = hao; *w; w++) {
		size_t at = span_find(line, span_of(*w));
		if (at == SIZE_MAX || at == 0 || !ascii_is_digit(line.p[at - 1]))
			continue;
		size_t from = cn_piece_start(line, at > 90 ? at - 90 : 0, at);
		struct span before = span_sub(line, from, at);
		if (!has(before, cn_street) || !has(before, cn_admin))
			continue;
		size_t to = at + 3;
		while (to < line.n && to < at + 60 && line.p[to] != ' ' && line.p[to] != ',' &&
		       line.p[to] != '(')
			to++;
		size_t whole = from + cn_length(line, from);
		to = whole > at && whole < to ? whole : to;
		*place_r = (struct text_range){from, to};
		return true;
	}
	return false;
}

static const char *const streets_eu[] = {
	"strasse",   "str",   "weg",	"platz", "allee",  "gasse",   "rue",	"avenue",
	"boulevard", "bd",    "place",	"quai",	 "calle",  "avenida", "avda",	"plaza",
	"via",	     "viale", "piazza", "corso", "straat", "laan",    "gracht", "ul",
	"rua",	     "av",    "ring",	"ufer",	 "damm",   "chemin",  "cours",
	"paseo",     "largo", "travessa", "route", "ulica", "aleja",  "al",	NULL};

static bool ends_street_eu(struct span s)
{
	static const char *const parts[] = {"strasse ", "straat ", "str. ",  "weg ",
					    "platz ",	"allee ",  "gasse ", "laan ",
					    "gracht ",	"kade ",   "singel ", "vagen ",
					    "gatan ",	"gade ",   "vej ",   "veien ",
					    "gata ",	"katu ",   "tie ",   "damm ",
					    "ring ",	"ufer ",   "markt ", "plein ",
					    "ул. ",	"улица",   "проспект", "пр-т",
					    "переулок",	"бульвар", "шоссе",  NULL};
	return has(s, parts) || has_word(s, streets_eu);
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
	if ((mark == '-' && ((n == 2 && more == 3) || (n == 4 && more == 3) || (n == 5 && more == 3))) ||
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

static bool asian_line(struct span line, struct text_range *place_r)
{
	static const char *const jp[] = {"都", "道", "府", "県", NULL};
	static const char *const jp_ward[] = {"区", "市", "町", NULL};
	static const char *const jp_block[] = {"丁目", "番地", NULL};
	static const char *const kr_city[] = {"서울", "특별시", "광역시", "경기도", NULL};
	static const char *const kr_street[] = {"로 ", "길 ", "동 ", NULL};
	size_t mark = span_find(line, SPAN("〒"));
	bool found = mark != SIZE_MAX && has_digit(span_sub(line, mark, mark + 12));
	found |= has(line, jp) && has(line, jp_ward) && has_digit(line) &&
		 (has(line, jp_block) || span_find_char(line, '-') != SIZE_MAX) && line.n < 160;
	found |= has(line, kr_city) && has(line, kr_street) && has_digit(line) && line.n < 200;
	size_t from = mark != SIZE_MAX ? mark : 0;
	if (found)
		*place_r = (struct text_range){from, line.n < from + 160 ? line.n : from + 160};
	return found;
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
	    has(line, countries)) {
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
		"street", "st",  "avenue", "ave", "road",  "rd",      "blvd",  "boulevard", "drive",
		"dr",     "lane", "ln",    "suite", "ste", "floor",   "parkway", "pkwy",    "highway",
		"hwy",    "broadway", "building", "bldg", "bld", "terrace", "court", "ct",   "square",
		"sq",     "place", "pl",   "crescent", "level", "tower", NULL};
	size_t since_number = STREET_WORDS + 1, since_street = 2;
	for (size_t i = 0; i < line.n;) {
		if (!is_word_char(line.p[i])) {
			i++;
			continue;
		}
		size_t from = i;
		while (i < line.n && is_word_char(line.p[i]))
			i++;
		struct span word = span_sub(line, from, i);
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
	if (line.n > 140 || !has_digit(line) || !numbered_street(line))
		return false;
	const char *comma = memchr(line.p, ',', line.n);
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
		bool found = labelled(line, hit->to - base, place_r);
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
		if (found != SIZE_MAX && found > 0 && !has_word(span_sub(before, 0, found), streets_en))
			return (struct text_range){r.from + found, r.to};
	}
	bool named = span_find_char(span_trim(before), ' ') != SIZE_MAX &&
		     !has_word(before, streets_en) && !has_word(before, streets_eu);
	struct span rest = span_sub(text, at, text.n);
	rest = span_sub(rest, 0, span_find_char(rest, '\n'));
	return named && numbered_street(rest) ? (struct text_range){r.from + at, r.to} : r;
}

struct text_range address_find(struct span s, const struct phrase_hits *hits)
{
	struct text_range place = {0, 0}, footer = {0, 0}, last = {0, 0};
	struct span rest = s, line;
	size_t mark = next_mark(hits, 0);
	while (span_next_line(&rest, &line)) {
		size_t base = (size_t)(line.p - s.p), first = SIZE_MAX;
		for (size_t i = 0; (i = span_find_digit(line, i)) < line.n; i++) {
			if (i && is_word_char(line.p[i - 1]))
				continue;
			first = first < i ? first : i;
			if (north_american(s, base + i, base + line.n, &place))
				last = without_name(s, place);
			else if (european(s, base + i, &place))
				last = place;
		}
		for (; mark < hits->n && hits->v[mark].from < base + line.n;
		     mark = next_mark(hits, mark + 1))
			if (hits->v[mark].from >= base &&
			    marked(s, line, base, &hits->v[mark], &place))
				return place;
		struct span head = span_sub(line, 0, 4000);
		if (has_wide(head) && (chinese(head, &place) || asian_line(head, &place)))
			return (struct text_range){base + place.from, base + place.to};
		if (first == SIZE_MAX && !has_digit(head))
			continue;
		if (latin_line(s, head, base, &place))
			last = place;
		if (!footer.to && footer_line(s, head, base, &place))
			footer = without_name(s, place);
	}
	return last.to ? last : footer;
}
