#include "base/date.h"

#include <time.h>

#include "base/clock.h"

static const char days[] = "MonTueWedThuFriSatSun";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* The index of a three-letter name in `table`, or -1. Longer names ("March") match too. */
static int name_index(const char *table, struct span s)
{
	for (int i = 0; s.n >= 3 && table[3 * i]; i++)
		if (span_case_starts(s, (struct span){table + 3 * i, 3}))
			return i;
	return -1;
}

enum token_kind { TOKEN_END, TOKEN_NUMBER, TOKEN_NAME, TOKEN_ZONE, TOKEN_CHAR };

struct token {
	enum token_kind kind;
	struct span text;
};

/* The next token: digits, letters, a sign with digits, or one other character; comments and
 * blanks are skipped. */
static struct token next_token(struct span *s)
{
	int depth = 0;
	while (s->n) {
		char c = s->p[0];
		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (c == '\\' && depth && s->n > 1)
			*s = span_sub(*s, 1, s->n);
		else if (!depth && !ascii_is_space(c))
			break;
		*s = span_sub(*s, 1, s->n);
	}
	if (s->n == 0)
		return (struct token){TOKEN_END, SPAN_NONE};
	char c = s->p[0];
	enum token_kind kind = TOKEN_CHAR;
	size_t n = 1;
	if (ascii_is_digit(c)) {
		kind = TOKEN_NUMBER;
		while (n < s->n && ascii_is_digit(s->p[n]))
			n++;
	} else if (ascii_is_alpha(c)) {
		kind = TOKEN_NAME;
		while (n < s->n && ascii_is_alpha(s->p[n]))
			n++;
	} else if ((c == '+' || c == '-') && s->n > 1 && ascii_is_digit(s->p[1])) {
		kind = TOKEN_ZONE;
		while (n < s->n && ascii_is_digit(s->p[n]))
			n++;
	}
	struct token t = {kind, span_sub(*s, 0, n)};
	*s = span_sub(*s, n, s->n);
	return t;
}

static int number(struct span s)
{
	uint64_t value;
	return span_number(s, 9999, &value) ? (int)value : -1;
}

/* Seconds east of UTC; `*strict` is cleared for what RFC 5322 section 4.3 calls obsolete. */
static int zone_seconds(struct token t, bool *strict)
{
	static const struct {
		const char *name;
		int hours;
	} names[] = {{"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6},
		     {"MDT", -6}, {"MST", -7}, {"PDT", -7}, {"PST", -8}};
	if (t.kind == TOKEN_ZONE && t.text.n == 5) {
		int value = number(span_sub(t.text, 1, 5));
		int seconds = (value / 100 * 60 + value % 100) * 60;
		if (value % 100 > 59 || value > 2359)
			*strict = false;
		return seconds > 86400 ? 0 : t.text.p[0] == '-' ? -seconds : seconds;
	}
	*strict = false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (t.kind == TOKEN_NAME && span_case_eq(t.text, span_of(names[i].name)))
			return names[i].hours * 3600;
	return 0;
}

static int full_year(struct span text)
{
	int year = number(text);
	if (text.n == 2)
		return year < 50 ? 2000 + year : 1900 + year;
	if (text.n == 3)
		return 1900 + year;
	return year;
}

static bool make_time(int year, int month, int day, int hour, int minute, int second, int zone,
		      int64_t *us_r)
{
	if (year < 1900 || year > 9999 || month < 0 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
	    minute < 0 || minute > 59 || second < 0 || second > 60)
		return false;
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month, .tm_mday = day, .tm_hour = hour,
			.tm_min = minute, .tm_sec = second};
	time_t t = timegm(&tm);
	if (tm.tm_mday != day && second < 60) /* 30 February */
		return false;
	*us_r = ((int64_t)t - zone) * US_PER_S;
	return true;
}

/* [day-name ","]: 0 is Monday, -1 none. Returns the first token behind it. */
static struct token read_weekday(struct span *s, int *weekday_r, bool *strict)
{
	struct token t = next_token(s);
	*weekday_r = t.kind == TOKEN_NAME ? name_index(days, t.text) : -1;
	if (*weekday_r < 0)
		return t;
	*strict = t.text.n == 3;
	t = next_token(s);
	if (t.kind == TOKEN_CHAR && t.text.p[0] == ',')
		return next_token(s);
	*strict = false;
	return t;
}

/* Whether the date in its own zone falls on that day. */
static bool on_weekday(int64_t us, int zone, int weekday)
{
	int64_t days_since = (us / US_PER_S + zone) / 86400 - ((us / US_PER_S + zone) % 86400 < 0);
	return ((days_since + 3) % 7 + 7) % 7 == weekday; /* 1 January 1970 was a Thursday */
}

bool date_read(struct span s, int64_t *us_r, unsigned *faults_r)
{
	bool strict = true;
	int day, month, weekday;
	struct token t = read_weekday(&s, &weekday, &strict);
	struct token first = t, second = next_token(&s);
	if (first.kind == TOKEN_NAME) { /* "Nov 23" */
		strict = false;
		struct token swap = first;
		first = second;
		second = swap;
	}
	while (second.kind == TOKEN_CHAR || (second.kind == TOKEN_NAME && second.text.n < 3)) {
		strict = false;
		second = next_token(&s); /* "23-Nov-2026" */
	}
	day = first.kind == TOKEN_NUMBER ? number(first.text) : -1;
	month = second.kind == TOKEN_NAME ? name_index(months, second.text) : -1;
	t = next_token(&s);
	if (t.kind == TOKEN_CHAR) {
		strict = false;
		t = next_token(&s);
	} else if (t.kind == TOKEN_ZONE) { /* "-2026" */
		strict = false;
		t = (struct token){TOKEN_NUMBER, span_sub(t.text, 1, t.text.n)};
	}
	if (day < 0 || month < 0 || t.kind != TOKEN_NUMBER)
		return false;
	strict = strict && t.text.n == 4 && first.text.n <= 2;
	int year = full_year(t.text);
	t = next_token(&s);
	if (t.kind == TOKEN_CHAR) {
		strict = false;
		t = next_token(&s);
	}
	struct token colon = next_token(&s), minute = next_token(&s);
	if (t.kind != TOKEN_NUMBER || colon.kind != TOKEN_CHAR || minute.kind != TOKEN_NUMBER)
		return false;
	strict = strict && t.text.n == 2 && minute.text.n == 2;
	int hour = number(t.text), seconds = 0;
	t = next_token(&s);
	if (t.kind == TOKEN_CHAR && (t.text.p[0] == ':' || t.text.p[0] == '.')) {
		t = next_token(&s);
		seconds = t.kind == TOKEN_NUMBER ? number(t.text) : -1;
		t = next_token(&s);
	}
	int zone = zone_seconds(t, &strict);
	if (next_token(&s).kind != TOKEN_END)
		strict = false;
	if (!make_time(year, month, day, hour, number(minute.text), seconds, zone, us_r))
		return false;
	*faults_r = strict ? 0 : DATE_OBSOLETE;
	if (weekday >= 0 && !on_weekday(*us_r, zone, weekday))
		*faults_r |= DATE_WEEKDAY;
	return true;
}

bool date_parse_strict(struct span s, int64_t *us_r, bool *strict_r)
{
	unsigned faults = 0;
	bool ok = date_read(s, us_r, &faults);
	*strict_r = faults == 0;
	return ok;
}

bool date_parse(struct span s, int64_t *us_r)
{
	unsigned faults;
	return date_read(s, us_r, &faults);
}

bool date_parse_ctime(struct span s, int64_t *us_r)
{
	struct token t = next_token(&s);
	while (t.kind != TOKEN_END && !(t.kind == TOKEN_NAME && t.text.n == 3 &&
					 name_index(months, t.text) >= 0))
		t = next_token(&s);
	int month = name_index(months, t.text);
	struct token day = next_token(&s), hour = next_token(&s), c1 = next_token(&s),
		     minute = next_token(&s), c2 = next_token(&s), second = {TOKEN_NUMBER, SPAN("0")};
	if (c1.kind != TOKEN_CHAR || c1.text.p[0] != ':')
		return false;
	if (c2.kind == TOKEN_CHAR && c2.text.p[0] == ':') {
		second = next_token(&s);
		t = next_token(&s);
	} else {
		t = c2;
	}
	while (t.kind != TOKEN_END && !(t.kind == TOKEN_NUMBER && t.text.n == 4))
		t = next_token(&s); /* a zone name before the year */
	if (t.kind == TOKEN_END)
		return false;
	return make_time(number(t.text), month, number(day.text), number(hour.text),
			 number(minute.text), number(second.text), 0, us_r);
}
