/*
 * identity_name_east - names in East Asian characters: legal forms, words for houses and sites.
 *
 * Nothing parts the words of these scripts, so a name is read from its end back: over all
 * characters that names have, up to the last word that no name holds ("我们是...有限公司"). A legal
 * form makes a name sure. A word for houses or sites is in sentences too ("最便宜的销售集团网站"):
 * there it counts whether the name stands alone, with an edge on either side.
 */
#include "analyze/identity.h"
#include "analyze/identity_words.h"

#define WIDE_CHARS 20

/* Bytes of the character that ends at `at`, when names have it: ideographs, kana, hangul, letters,
 * digits, parentheses. */
static size_t name_char_before(struct span s, size_t at)
{
	unsigned char c = at >= 3 ? (unsigned char)s.p[at - 3] : 0;
	if ((c >= 0xe4 && c <= 0xed) || (c == 0xe3 && (unsigned char)s.p[at - 2] != 0x80))
		return 3;
	return at > 0 && (ascii_is_alpha(s.p[at - 1]) || ascii_is_digit(s.p[at - 1]) ||
			  s.p[at - 1] == '(' || s.p[at - 1] == ')');
}

static size_t name_char_at(struct span s, size_t at)
{
	unsigned char c = at + 3 <= s.n ? (unsigned char)s.p[at] : 0;
	if ((c >= 0xe4 && c <= 0xed) || (c == 0xe3 && (unsigned char)s.p[at + 1] != 0x80))
		return 3;
	return at < s.n && (ascii_is_alpha(s.p[at]) || ascii_is_digit(s.p[at]));
}

/* Bytes of the word of `words` that `s` starts with, three bytes or more; 0: none. */
static size_t word_bytes(struct span s, const char *const *words)
{
	for (; *words; words++)
		if ((*words)[2] == s.p[2] && (*words)[1] == s.p[1] &&
		    span_starts(s, span_of(*words)))
			return strlen(*words);
	return 0;
}

/* Words that no name holds: what stands right before names, the rest of sentences; and longer ones
 * that have their characters and may. */
static const char *const before_names[] = {"是",   "到",   "由",   "联系人", "联系", "欢迎", "访问",
					   "登陆", "登录", "光临", "关于",   "来自", "经理", NULL};
static const char *const of_sentences[] = {"系", "的", "我", "您",   "你",   "们", "本",
					   "贵", "请", "为", "公司", "招聘", NULL};
static const char *const kept_whole[] = {"系统", "系列", "华为", "日本", "资本",   "基本",
					 "自由", "本草", "本田", "到家", "经理人", "美的", NULL};
/* Words of descriptions that legal names may well hold: "有个公司", "受多家公司", "大型进出口公司".
 */
static const char *const of_descriptions[] = {
	"个", "各", "从", "受", "如",	"与",	"在",	"了",	"有",	"多",	"家",	"些",
	"等", "给", "让", "向", "大型", "著名", "知名", "专业", "專業", "某",	"一名", "别",
	"不", "没", "后", "去", "就",	"也",	"很",	"整个", "所有", "全部", "每",	"该",
	"或", "对", "而", "以", "包括", "此",	"接入", "协助", "适逢", "帮",	"做",	NULL};

/* Where the name begins that ends at `at`: behind the last word that none holds. *cut_r: it is the
 * rest of a sentence, and has no edge there. */
static size_t name_start(struct span s, size_t at, bool described, bool *cut_r)
{
	size_t from = at, n, chars = 0;
	while (chars++ < WIDE_CHARS && (n = name_char_before(s, from)))
		from -= n;
	*cut_r = false;
	for (size_t i = from; i + 3 <= at; i++) {
		struct span rest = span_sub(s, i, at);
		size_t whole = word_bytes(rest, kept_whole);
		size_t edge = word_bytes(rest, before_names);
		size_t word = edge ? edge : word_bytes(rest, of_sentences);
		if (!word && described)
			word = word_bytes(rest, of_descriptions);
		if (whole) {
			i += whole - 1;
		} else if (word) {
			from = i + word;
			*cut_r = !edge;
			i += word - 1;
		}
	}
	while (from < at && s.p[from] == ')')
		from++;
	return from;
}

/* "深圳市...", "北京...": with its region in front a bare ...公司 is a registered name. */
static bool has_region(struct span name)
{
	static const char *const regions[] = {"北京", "上海", "广州", "深圳",
					      "天津", "重庆", "香港", NULL};
	static const char *const levels[] = {"省", "市", NULL};
	if (starts_with_any(name, regions))
		return true;
	for (size_t i = 6; i <= 9 && i < name.n; i += 3)
		if (starts_with_any(span_sub(name, i, name.n), levels))
			return true;
	return false;
}

/* Behind the name stands no more of a word: a mark, a line's end, or what is said of it. */
static bool ends_alone(struct span s, size_t at)
{
	static const char *const words[] = {"是",   "为您", "欢迎", "敬",   "版权", "将",   "诚",
					    "全体", "致力", "成立", "位于", "现",   "竭诚", "特",
					    "提供", "主办", "推出", "拥有", "专业", "简介", "自",
					    "本着", "http", "www.", NULL};
	return !name_char_at(s, at) || s.p[at] == '(' ||
	       starts_with_any(span_sub(s, at, s.n), words);
}

static bool is_person(struct span name)
{
	static const char *const words[] = {"先生", "小姐", "女士", "经理", "老师", "生", NULL};
	return name.n <= 12 && ending(name, words);
}

/* Who speaks, by no name. */
static bool is_general(struct span name)
{
	static const char *const words[] = {"因特", "局域", "电信",	"宽带", "移动", "软件",
					    "产品", "演示", "更多",	"详细", "加盟", "注册",
					    "留言", "详情", "下载",	"广告", "服务", "交友",
					    "社区", "免费", "免费加盟", "聊天", NULL};
	return is_one_of(name, words) || span_ends(name, SPAN("联")) || span_ends(name, SPAN("上"));
}

/* ...有限公司, ...公司, ...学校: `hit` is the end of the name. */
static void offer_form(struct name_search *n, const struct phrase_hit *hit)
{
	struct span s = n->text;
	bool cut, bare = hit->kind != PHRASE_COMPANY, ends = ends_alone(s, hit->to);
	if (hit->kind == PHRASE_SITE && !ends)
		return; /* ...网 and ...网站 are in every sentence about the Internet */
	size_t from = name_start(s, hit->from, bare, &cut), bytes = hit->from - from;
	struct text_range r = {from, hit->to};
	size_t least = span_eq(span_sub(s, hit->from, hit->to), SPAN("公司")) ? 12 : 6;
	if (bytes < least || bytes > 3 * WIDE_CHARS || is_general(span_sub(s, from, hit->from)) ||
	    (from && memchr("./@_", s.p[from - 1], 4)))
		return;
	bool region = has_region(span_sub(s, from, hit->to)) && bytes >= 12;
	if (!bare || (region && hit->kind == PHRASE_HOUSE)) {
		while (r.from < r.to && ascii_is_digit(s.p[r.from]))
			r.from++;
		name_offer(n, r, NAME_REGISTERED, bare ? -10 : 0);
		return;
	}
	if (hit->kind != PHRASE_SITE)
		name_offer(n, r, NAME_HOUSE, (cut ? -10 : 10) + 10 * ends);
	else if (!cut)
		name_offer(n, r, NAME_SITE, 12);
}

/* 株式会社..., 주식회사... */
static struct text_range behind_form(struct span s, size_t at, size_t form)
{
	size_t to = at + form, n, chars = 0;
	to += to < s.n && s.p[to] == ' ';
	size_t first = to;
	while (chars++ < WIDE_CHARS && (n = name_char_at(s, to)))
		to += n;
	return to - first >= 3 ? (struct text_range){at, to} : (struct text_range){0, 0};
}

/* Forms that stand on either side. */
static void offer_either(struct name_search *n, const struct phrase_hit *hit)
{
	bool cut;
	size_t from = name_start(n->text, hit->from, false, &cut);
	struct text_range r = behind_form(n->text, hit->from, hit->to - hit->from);
	if (hit->from - from >= 6)
		r = (struct text_range){from, hit->to};
	name_offer(n, r, NAME_REGISTERED, 0);
}

/* The name before 敬上 and its like, over "全体员工" and an URL in parentheses. */
static void offer_speaker(struct name_search *n, const struct phrase_hit *hit)
{
	static const char *const staff[] = {"全体员工", "全体同仁", "全体", "员工", "团队", NULL};
	struct span s = n->text;
	size_t end = hit->from;
	bool cut, more = true;
	while (more && end) {
		size_t bytes = ending(span_sub(s, 0, end), staff);
		end -= bytes;
		more = bytes > 0;
		if (!more && memchr(" ,", s.p[end - 1], 2)) {
			end--;
			more = true;
		}
		size_t open = s.p[end ? end - 1 : 0] == ')'
				      ? span_rfind_char(span_sub(s, 0, end), '(')
				      : SIZE_MAX;
		if (open != SIZE_MAX && end - open < 50) {
			end = open;
			more = true;
		}
	}
	size_t from = name_start(s, end, true, &cut);
	struct span name = span_sub(s, from, end);
	if (name.n >= 6 && (name.p[0] & 0x80) && !is_person(name) && !is_general(name))
		name_offer(n, (struct text_range){from, end}, NAME_SPEAKER, 0);
}

static size_t find_from(struct span s, size_t at, struct span word)
{
	size_t found = span_find(span_sub(s, at, s.n), word);
	return found == SIZE_MAX ? found : at + found;
}

#define URLS 8
#define SITE_NAME_BYTES 42

/* The name in front of a site's address: "...网 (http://...", "...: www....". More than three are
 * a list of other people's. */
static void offer_before_urls(struct name_search *n)
{
	static const char *const labels[] = {"网址", "网站", "主页", "地址", "首页", "网页",
					     "点击", "链接", "公司", "路径", "登入", "电话",
					     "详情", "下载", "注册", "号",   "留言", NULL};
	static const char *const ends[] = {"网",     "网络", "科技",   "在线", "设计",
					   "软件",   "商城", "論壇",   "社区", "之家",
					   "工作室", "中心", "俱乐部", "網",   NULL};
	struct span s = n->text;
	struct text_range found[URLS];
	int bonus[URLS];
	size_t n_found = 0, at = 1, http = 0, www = 0;
	for (size_t urls = 0; urls < 3 * URLS && n_found < URLS; urls++) {
		http = http < at ? find_from(s, at, SPAN("http")) : http;
		www = www < at ? find_from(s, at, SPAN("www.")) : www;
		size_t end = http < www ? http : www;
		if (end == SIZE_MAX)
			break;
		at = end + 4;
		if (end && memchr("/.", s.p[end - 1], 2))
			continue;
		while (end && memchr(" (:<[-,", s.p[end - 1], 7))
			end--;
		for (size_t bytes; (bytes = ending(span_sub(s, 0, end), labels));)
			end -= bytes;
		bool cut;
		size_t from = name_start(s, end, true, &cut);
		struct span name = span_sub(s, from, end);
		if (name.n < 6 || name.n > SITE_NAME_BYTES || !(name.p[0] & 0x80) || cut ||
		    has_any(name, labels) || is_general(name) || is_person(name))
			continue;
		bonus[n_found] = 5 * (from == 0 || s.p[from - 1] == '\n') +
				 10 * (ending(name, ends) > 0);
		found[n_found++] = (struct text_range){from, end};
	}
	for (size_t i = 0; i < n_found && n_found <= 3; i++)
		name_offer(n, found[i], NAME_SITE, 2 + bonus[i]);
}

void name_find_east(struct name_search *n)
{
	for (size_t i = 0; i < n->hits->n; i++) {
		const struct phrase_hit *hit = &n->hits->v[i];
		if (hit->kind == PHRASE_COMPANY || hit->kind == PHRASE_HOUSE ||
		    hit->kind == PHRASE_GROUP || hit->kind == PHRASE_SITE)
			offer_form(n, hit);
		else if (hit->kind == PHRASE_KAISHA)
			offer_either(n, hit);
		else if (hit->kind == PHRASE_SPEAKER && hit->language[0] == 'z')
			offer_speaker(n, hit);
	}
	if (n->wide)
		offer_before_urls(n);
}
