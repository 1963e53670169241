/*
 * identity_address_east - postal addresses in the characters of East Asia, and what follows a
 * label.
 *
 *   China    省 市 区 县 ... 路 街 道 ... 号 楼 室 大厦, at least two kinds, or behind 地址
 *   JP, KR   〒100-0001, 東京都…区…; 서울…구…로 12
 *
 * A footer writes the telephone, the postal code and the web site into the same line: an address
 * begins behind the last mark that leaves it whole and ends before the next of these.
 */
#include "analyze/charset.h"
#include "analyze/identity.h"
#include "analyze/identity_words.h"

static unsigned count(struct span s, const char *const *words)
{
	unsigned n = 0;
	for (; *words; words++)
		n += span_find(s, span_of(*words)) != SIZE_MAX;
	return n;
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

static const char *const cn_admin[] = {"省",   "市", "区", "县", "北京", "上海", "深圳",
				       "广州", "镇", "區", "縣", "香港", "乡",	 NULL};
static const char *const cn_street[] = {"路",	"街",	  "大道",   "巷",   "弄", "村",
					"胡同", "开发区", "工业区", "路口", "道", NULL};
static const char *const cn_number[] = {"号", "楼",   "室", "大厦", "层",   "座", "广场", "號",
					"樓", "大廈", "栋", "宾馆", "中心", "幢", NULL};
static const char *const cn_provinces[] = {
	"广东",	   "浙江",     "江苏",	  "山东",      "河北",	    "河南",	 "湖北",
	"湖南",	   "福建",     "四川",	  "安徽",      "江西",	    "辽宁",	 "吉林",
	"黑龙江",  "陕西",     "山西",	  "甘肃",      "云南",	    "贵州",	 "广西",
	"海南",	   "重庆",     "天津",	  "内蒙",      "新疆",	    "西藏",	 "宁夏",
	"青海",	   "台灣",     "台湾",	  "臺灣",      "九龍",	    "guangdong", "zhejiang",
	"jiangsu", "shanghai", "beijing", "shenzhen",  "guangzhou", "fujian",	 "shandong",
	"sichuan", "hangzhou", "tianjin", "hong kong", "taipei",    NULL};

/* Where the piece around the number at `at` begins: behind the last mark or blank that leaves an
 * address whole. A blank behind "北京市" is inside of one. */
static size_t cn_piece_start(struct span line, size_t from, size_t at)
{
	for (size_t i = from; i < at; i++) {
		size_t mark = memchr(" ,;:)", line.p[i], 5) ? 1 : 0;
		struct span rest = span_sub(line, i, at), head = span_sub(line, from, i);
		if (!mark && (span_starts(rest, SPAN("。")) || span_starts(rest, SPAN("、"))))
			mark = 3;
		bool inside = mark == 1 && (ending(head, cn_admin) || ending(head, cn_provinces));
		if (mark && !inside && has_any(rest, cn_street) && has_any(rest, cn_admin))
			from = i + mark;
	}
	return from;
}

/* Bytes of the address at `from`: up to the next thing that a footer says. */
static size_t cn_length(struct span line, size_t from)
{
	static const char *const next[] = {
		"电话",	  "电 话",  "手机",	"手 机",  "邮编",  "邮 编", "传真", "传 真", "联系",
		"电邮",	  "网址",   "業務",	"业务",	  "联 系", "邮箱",  "邮政", "。",    "電話",
		"郵",	  "tel",    "fax",	"e-mail", "email", "http",  "www.", "qq",    "icp",
		"客服",	  "客户服", "客戶服",	"热线",	  "熱線",  "网站",  "網站", "主页",  "微信",
		"咨询电", "收件人", "营业时间", "乘车",	  "版权",  "备案",  "退订", "另有",  NULL};
	struct span s = span_sub(line, from, from + 150);
	size_t n = s.n;
	for (const char *const *w = next; *w; w++) {
		size_t at = span_find(s, span_of(*w));
		n = at < n ? at : n;
	}
	/* behind the number and a blank: a room and its number go on, a name does not */
	for (size_t i = 0; i < n; i++)
		if (s.p[i] == ' ' && has_any(span_sub(s, 0, i), cn_number)) {
			struct span tail = span_sub(s, i, n);
			if (!has_digit(tail) && !has_any(tail, cn_number))
				n = i;
		}
	while (n > 0 && memchr(" ,;|(", s.p[n - 1], 5))
		n--;
	while (n > 0 && n < s.n && (s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* What stands behind 地址 or "Address:", from `label` of the line on. */
bool address_labelled(struct span line, size_t label, struct text_range *place_r)
{
	struct span tail = span_sub(line, label, label + 150);
	static const char *const codes[] = {"邮编", "邮政编码", "郵編", "郵遞區號", NULL};
	if (count(tail, cn_admin) + count(tail, cn_street) + count(tail, cn_number) < 2 &&
	    !has_any(span_sub(tail, 0, 80), cn_provinces) && !has_any(tail, codes))
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
		if (!has_any(before, cn_street) || !has_any(before, cn_admin))
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

static bool japanese_or_korean(struct span line, struct text_range *place_r)
{
	static const char *const jp[] = {"都", "道", "府", "県", NULL};
	static const char *const jp_ward[] = {"区", "市", "町", NULL};
	static const char *const jp_block[] = {"丁目", "番地", NULL};
	static const char *const kr_city[] = {"서울", "특별시", "광역시", "경기도", NULL};
	static const char *const kr_street[] = {"로 ", "길 ", "동 ", NULL};
	size_t mark = span_find(line, SPAN("〒"));
	bool found = mark != SIZE_MAX && has_digit(span_sub(line, mark, mark + 12));
	found |= has_any(line, jp) && has_any(line, jp_ward) && has_digit(line) &&
		 (has_any(line, jp_block) || span_find_char(line, '-') != SIZE_MAX) && line.n < 160;
	found |= has_any(line, kr_city) && has_any(line, kr_street) && has_digit(line) &&
		 line.n < 200;
	size_t from = mark != SIZE_MAX ? mark : 0;
	if (found)
		*place_r = (struct text_range){from, line.n < from + 160 ? line.n : from + 160};
	return found;
}

bool address_east(struct span line, struct text_range *place_r)
{
	return has_wide(line) && (chinese(line, place_r) || japanese_or_korean(line, place_r));
}
