/*
 * identity_sender - where the sender's name can stand in a body, and what From and the links say of
 * it.
 *
 * What From says is the best hint: its display name where the body repeats it, the word of its
 * domain where the body writes it, single words of both. Where most links lead is another. And a
 * name stands where people write theirs: before or above the postal address, below "Regards,", in
 * the picture on top. The names of mail providers' domains are nobody's. identity_name.c weighs.
 */
#include "analyze/content_parts.h"
#include "analyze/identity.h"
#include "analyze/identity_words.h"

/* Domains that anybody can have an address in, without their ends. */
static bool is_provider(struct span name)
{
	static const char *const names[] = {
		"gmail", "googlemail", "yahoo",	  "ymail",    "hotmail", "outlook",
		"live",	 "msn",	       "aol",	  "icloud",   "gmx",	 "web",
		"mail",	 "email",      "163",	  "126",      "139",	 "189",
		"yeah",	 "qq",	       "foxmail", "sina",     "sohu",	 "tom",
		"21cn",	 "263",	       "vip",	  "aliyun",   "yandex",	 "naver",
		"daum",	 "hanmail",    "orange",  "wanadoo",  "free",	 "libero",
		"juno",	 "excite",     "lycos",	  "netscape", "proton",	 "protonmail",
		"zoho",	 "t-online",   "comcast", "att",      "verizon", "newsletter",
		"news",	 "example",    NULL};
	return is_one_of(name, names);
}

/* Words that say what a mail is, or in whose name somebody writes, and not who that is. */
static bool is_common(struct span word)
{
	static const char *const words[] = {
		"the",	     "team",	  "news",    "newsletter", "newsletters", "info",
		"mail",	     "email",	  "service", "support",	   "weekly",	  "daily",
		"alert",     "alerts",	  "from",    "your",	   "update",	  "updates",
		"customer",  "sales",	  "online",  "company",	   "free",	  "offer",
		"offers",    "store",	  "shop",    "club",	   "list",	  "and",
		"for",	     "important", "message", "admin",	   "contact",	  "marketing",
		"community", "today",	  "group",   "press",	   "deals",	  "with",
		"contest",   "new",	  "product", "products",   "software",	  "special",
		"network",   "mailing",	  "lists",   "us",	   "客服",	  "客服部",
		"客户服务",  "管理员",	  "业务部",  "市场部",	   "财务部",	  "技术部",
		"编辑部",    "网站",	  "会员",    "北京",	   "上海",	  "广州",
		"深圳",	     NULL};
	return is_one_of(word, words);
}

/* The name in "news.mail.example.co.uk": the label before the public end. */
static struct span domain_name(struct span domain)
{
	static const char *const second[] = {"co",  "com", "net", "org", "gov",
					     "edu", "ac",  "or",  "ne",  NULL};
	struct span label = SPAN_NONE, rest = domain;
	for (int level = 0; level < 3; level++) {
		size_t dot = span_rfind_char(rest, '.');
		label = dot == SIZE_MAX ? rest : span_sub(rest, dot + 1, rest.n);
		bool shared = level == 0 || (level == 1 && is_one_of(label, second));
		if (!shared || dot == SIZE_MAX)
			break;
		rest = span_sub(rest, 0, dot);
	}
	return label;
}

/* The letters of a domain's word; none when everybody can have an address there. */
static struct span brand_of(struct arena *a, struct span domain)
{
	struct span name = domain_name(domain), word;
	char *letters =
		is_provider(name) || is_common(name) || name.n < 4 ? NULL : arena_room(a, name.n);
	size_t n = 0;
	for (struct span rest = name; letters && next_word(&rest, &word); n += word.n)
		memcpy(letters + n, word.p, word.n);
	return n >= 4 ? (struct span){letters, n} : SPAN_NONE;
}

static void add_hint(struct name_search *n, struct span word)
{
	if (n->n_hints < NAME_HINTS && word.n >= 3 && !is_common(word))
		n->hints[n->n_hints++] = word;
}

/* --- what From says ------------------------------------------------------------------- */

#define WORDS 8

static bool all_common(const struct span *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_common(words[i]))
			return false;
	return true;
}

/* A second capital in the word there: "ExampleNet", "ABC", and not a word that is shouted. */
#define ACRONYM_BYTES 5
static bool is_marked(const struct name_search *n, struct text_range r)
{
	size_t capitals = 0;
	for (size_t i = r.from; i < r.to; i++)
		capitals += ascii_is_alpha(n->text.p[i]) && name_capital(n, i);
	return capitals > 1 && (capitals < r.to - r.from || r.to - r.from <= ACRONYM_BYTES);
}

/* Runs of words of the display name that the body writes. One word alone is a common one more
 * often than a name: it has its capital, and the domain has it too; or it is the first and has
 * more than one capital. */
static void offer_words(struct name_search *n, struct span display)
{
	struct span words[WORDS], rest = display;
	size_t n_words = 0;
	while (n_words < WORDS && next_word(&rest, &words[n_words]))
		n_words++;
	for (size_t from = 0; from < n_words; from++)
		for (size_t to = n_words; to > from; to--) {
			const char *end = words[to - 1].p + words[to - 1].n;
			struct span run = {words[from].p, (size_t)(end - words[from].p)};
			bool alone = to - from == 1, domain = span_find(n->brand, run) != SIZE_MAX;
			if ((alone && (run.n < 4 || (!domain && from > 0))) ||
			    to - from == n_words || all_common(words + from, to - from))
				continue;
			struct text_range r = name_written(n->text, run);
			if (r.to && name_capital(n, r.from) &&
			    (!alone || domain || is_marked(n, r)))
				name_offer(n, r, NAME_WORDS, alone ? -10 : 5 * (int)(to - from));
		}
}

/* The most frequent surnames, four fifths of all Chinese. */
static const char *const surnames[] = {
	"王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "徐", "孙", "马", "朱",
	"胡", "郭", "何", "林", "罗", "梁", "宋", "郑", "谢", "韩", "唐", "冯", "于", "董",
	"萧", "程", "曹", "袁", "邓", "许", "傅", "沈", "曾", "彭", "吕", "苏", "卢", "蒋",
	"蔡", "贾", "丁", "魏", "薛", "叶", "阎", "余", "潘", "杜", "戴", "夏", "钟", "汪",
	"田", "任", "姜", "范", "石", "姚", "谭", "廖", "邹", "熊", "陆", "郝", "孔", "崔",
	"康", "毛", "邱", "秦", "江", "史", "顾", "侯", "邵", "孟", "張", "劉", "陳", "楊",
	"黃", "趙", "吳", "孫", "馬", "羅", "鄭", "謝", "韓", "馮", "許", NULL};

/* A surname and one or two characters more, or a title behind: a person whom the body names as
 * its contact. */
static bool is_person(struct span display)
{
	static const char *const titles[] = {"先生", "小姐", "女士", "经理", "老师", NULL};
	return (display.n <= 10 && is_one_of(span_sub(display, 0, 3), surnames)) ||
	       (display.n <= 12 && has_any(display, titles));
}

static void offer_from(struct name_search *n, struct span display)
{
	struct span word;
	add_hint(n, n->brand);
	if (n->brand.n)
		name_offer(n, name_spelled(n->text, n->brand), NAME_BRAND, 0);
	if (span_find_char(display, '@') != SIZE_MAX || display.n < 3 ||
	    ((display.p[0] & 0x80) && display.n < 6) || is_person(display))
		return;
	for (struct span rest = display; next_word(&rest, &word);)
		add_hint(n, word);
	struct text_range r = name_written(n->text, display);
	if (!is_common(display) && r.to &&
	    (name_capital(n, r.from) || span_find(n->brand, display) != SIZE_MAX))
		name_offer(n, r, NAME_DISPLAY, 0);
	else
		offer_words(n, display);
}

/* --- where the links lead --------------------------------------------------------------- */

/* "http://www.example.com/x" -> "www.example.com"; .p NULL: no URL. */
static struct span host_of(struct span url)
{
	size_t slashes = span_find(span_sub(url, 0, 12), SPAN("://"));
	if (slashes == SIZE_MAX)
		return SPAN_NONE;
	struct span host = span_sub(url, slashes + 3, url.n);
	size_t end = 0;
	for (; end < host.n; end++) {
		char c = host.p[end];
		if (c == '/' || c == '?' || c == '#' || c == ':')
			break;
	}
	return span_sub(host, 0, end);
}

/* The word of the domain that half of the links or more lead to: what remains when different ones
 * are struck out in pairs (Boyer and Moore), if it is so many. */
static struct span most_linked(struct arena *a, const struct view *v)
{
	struct span most = SPAN_NONE, name;
	size_t lead = 0, same = 0, all = 0;
	for (size_t i = 0; i < v->n_links; i++) {
		if (!(name = domain_name(host_of(v->links[i].target))).n)
			continue;
		all++;
		if (!lead)
			most = name;
		lead = span_case_eq(most, name) ? lead + 1 : lead - 1;
	}
	for (size_t i = 0; i < v->n_links && most.n; i++)
		same += span_case_eq(most, domain_name(host_of(v->links[i].target)));
	return same * 2 > all ? brand_of(a, arena_lower(a, most)) : SPAN_NONE;
}

/* A word with a capital stands before: "Irish Example Users" is not Example. */
static bool is_inside(const struct name_search *n, size_t at)
{
	if (at < 2 || n->text.p[at - 1] != ' ' || !ascii_is_alpha(n->text.p[at - 2]))
		return false;
	size_t end = at - 1;
	for (at--; at > 0 && ascii_is_alpha(n->text.p[at - 1]);)
		at--;
	return name_capital(n, at) && !is_of_sentence(span_sub(n->text, at, end));
}

static void offer_linked(struct name_search *n)
{
	struct text_range r = {0, 0};
	if (span_eq(n->linked, n->brand))
		n->linked = SPAN_NONE; /* it says nothing more */
	if (n->linked.n)
		r = name_spelled(n->text, n->linked);
	if (r.to && name_capital(n, r.from) && !is_inside(n, r.from))
		name_offer(n, r, NAME_LINKED, 0);
}

/* --- where names stand ------------------------------------------------------------------ */

/* Up to six words with a capital at the start, and not a sentence. */
#define LABEL_BYTES 50
static bool looks_named(const struct name_search *n, size_t from, size_t to)
{
	struct span s = span_sub(n->text, from, to), word;
	size_t words = 0, common = 0, first = from;
	while (first < to && !is_word_char(n->text.p[first]))
		first++;
	if (s.n < 3 || s.n > LABEL_BYTES || first == to || (n->text.p[first] & 0x80) ||
	    ascii_is_digit(n->text.p[first]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (memchr(":@/?!\"<>#\n", s.p[i], 9))
			return false;
	while (span_next_word(&s, &word)) {
		words++;
		common += is_common(word);
	}
	return words <= 6 && common < words && name_capital(n, first);
}

static bool is_role(struct span line)
{
	static const char *const words[] = {"manager",	   "director",
					    "president",   "administrator",
					    "editor",	   "ceo",
					    "officer",	   "publisher",
					    "founder",	   "chairman",
					    "secretary",   "treasurer",
					    "engineer",	   "representative",
					    "coordinator", "webmaster",
					    "owner",	   "assistant",
					    NULL};
	return has_word(line, words);
}

/* The name before the postal address in its line, or alone in the line above. */
static void offer_addressee(struct name_search *n)
{
	struct span s = n->text;
	size_t end = n->address.from;
	bool above = false;
	while (end > 0 && memchr(" ,:|-\n", s.p[end - 1], 6)) {
		above |= s.p[end - 1] == '\n';
		end--;
	}
	size_t from = end;
	while (from > 0 && end - from <= LABEL_BYTES && s.p[from - 1] != '\n' &&
	       s.p[from - 1] != '|')
		from--;
	while (from < end && s.p[from] == ' ')
		from++;
	while (end > from + 1 && span_ends(span_sub(s, from, end), SPAN("·")))
		end -= 2;
	struct span role = span_sub(s, from, end);
	if (looks_named(n, from, end) && !(is_role(role) && span_find_char(role, ' ') == SIZE_MAX))
		name_offer(n, (struct text_range){from, end},
			   above ? NAME_ABOVE_ADDRESS : NAME_ADDRESSEE, 0);
}

/* The lines below "Regards,": a person, a role, whom they write for. */
#define SIGNATURE_LINES 4
static void offer_signature(struct name_search *n, size_t at)
{
	struct span s = n->text;
	bool role = false;
	while (at < s.n && memchr(" ,.!-", s.p[at], 5))
		at++;
	/* "Thanks for being with us!" and the name below */
	size_t words = at;
	while (words < s.n && words - at < LABEL_BYTES && !memchr("\n.!,", s.p[words], 4))
		words++;
	bool more = words > at && words + 1 < s.n && s.p[words] != '\n' && s.p[words + 1] == '\n';
	if (more)
		at = words + 1;
	bool block = at < s.n && s.p[at] == '\n';
	for (size_t lines = 0; lines < (block ? SIGNATURE_LINES : 1); lines++) {
		while (at < s.n && memchr(" -\n", s.p[at], 3))
			at++;
		size_t from = at, to;
		while (at < s.n && at - from <= LABEL_BYTES && s.p[at] != '\n')
			at++;
		for (to = at; to > from && memchr(" .,", s.p[to - 1], 3);)
			to--;
		if (!looks_named(n, from, to))
			break;
		if (is_role(span_sub(s, from, to)))
			role = true;
		else if (lines == 0 || role)
			name_offer(n, (struct text_range){from, to},
				   role ? NAME_ROLE : NAME_SIGNATURE, more ? -5 : 0);
	}
}

/* A first line that says no more than a name, as on a letterhead. */
static void offer_heading(struct name_search *n)
{
	size_t from = 0, to;
	while (from < n->text.n && memchr(" \n", n->text.p[from], 2))
		from++;
	for (to = from; to < n->text.n && to - from <= LABEL_BYTES && n->text.p[to] != '\n';)
		to++;
	while (to > from && memchr(" .,", n->text.p[to - 1], 3))
		to--;
	if (looks_named(n, from, to) &&
	    span_find_char(span_sub(n->text, from, to), '.') == SIZE_MAX)
		name_offer(n, (struct text_range){from, to}, NAME_HEADING, 0);
}

/* What stands for pictures, where they show the name that From has: the line of it. */
static struct span in_pictures(const struct name_search *n, const struct reading *r,
			       struct span display)
{
	struct span alt = r->alt.text, line;
	struct text_range found = name_spelled(alt, n->brand);
	if (!found.to && display.n >= 6 && !is_common(display))
		found = name_written(alt, display);
	if (!found.to)
		return SPAN_NONE;
	size_t from = found.from, to = found.to;
	while (from > 0 && alt.p[from - 1] != '\n')
		from--;
	while (to < alt.n && alt.p[to] != '\n')
		to++;
	if (to - from > LABEL_BYTES) { /* it tells of a picture */
		from = found.from;
		to = found.to;
	}
	line = (struct span){r->view.alt, r->view.n_alt};
	return span_trim(span_sub(line, fold_from(&r->alt, from), fold_from(&r->alt, to)));
}

struct found_text sender_name_find(struct content *c, struct text_range address,
				   struct text_range phone)
{
	const struct message *m = c->message;
	const struct reading *r = &c->shown;
	struct span display = SPAN_NONE;
	struct name_search n = {
		.text = r->text.text,
		.original = view_text(&r->view),
		.map = &r->text,
		.hits = &r->hits,
		.address = address,
		.phone = phone,
		.wide = c->language[0] == 'z' || c->language[0] == 'j' || c->language[0] == 'k',
	};
	n.subject = fold_text(c->arena, m->subject).text;
	n.linked = most_linked(c->arena, &r->view);
	offer_heading(&n);
	name_find_latin(&n);
	name_find_east(&n);
	if (m->from.n) {
		display = span_trim(fold_text(c->arena, m->from.v[0].name).text);
		n.brand = brand_of(c->arena, m->from.v[0].domain);
		offer_from(&n, display);
	}
	offer_linked(&n);
	if (address.to)
		offer_addressee(&n);
	for (size_t k = 0; k < r->hits.n; k++)
		if (r->hits.v[k].kind == PHRASE_CLOSING)
			offer_signature(&n, r->hits.v[k].to);
	struct found_text name = content_place(c, name_choose(&n));
	if (!name.text.p && r->alt.text.n)
		name.text = in_pictures(&n, r, display);
	return name;
}
