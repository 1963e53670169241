#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_cpu_us(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static struct tm utc(int64_t us)
{
	time_t t = (time_t)(us / US_PER_S - (us % US_PER_S < 0));
	struct tm tm = {0};
	gmtime_r(&t, &tm);
	return tm;
}

const char *clock_rfc3339(int64_t us, char out[CLOCK_TEXT_BYTES])
{
	struct tm tm = utc(us);
	if (!strftime(out, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out[0] = '\0';
	return out;
}

const char *clock_rfc5322(int64_t us, char out[CLOCK_TEXT_BYTES])
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm = utc(us);
	snprintf(out, CLOCK_TEXT_BYTES, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday % 7],
		 tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		 tm.tm_sec);
	return out;
}

/* `digits` digits at the start of `*s`, taken off. */
static bool take_number(struct span *s, size_t digits, int *value_r)
{
	uint64_t value;
	if (s->n < digits || !span_number(span_sub(*s, 0, digits), 9999, &value))
		return false;
	*value_r = (int)value;
	*s = span_sub(*s, digits, s->n);
	return true;
}

static bool take_char(struct span *s, const char *any)
{
	if (s->n == 0 || !strchr(any, s->p[0]) || s->p[0] == '\0')
		return false;
	*s = span_sub(*s, 1, s->n);
	return true;
}

static bool take_day(struct span *s, struct tm *tm)
{
	int year, month, day;
	if (!take_number(s, 4, &year) || !take_char(s, "-") || !take_number(s, 2, &month) ||
	    !take_char(s, "-") || !take_number(s, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	*tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
	struct tm same = *tm;
	time_t t = timegm(&same);
	return t != (time_t)-1 && same.tm_mday == day;
}

bool clock_parse_day(struct span s, int64_t *us_r)
{
	struct tm tm;
	if (!take_day(&s, &tm) || s.n)
		return false;
	*us_r = (int64_t)timegm(&tm) * US_PER_S;
	return true;
}

bool clock_parse_rfc3339(struct span s, int64_t *us_r)
{
	struct tm tm;
	int hour, minute, second;
	if (!take_day(&s, &tm) || !take_char(&s, "Tt ") || !take_number(&s, 2, &hour) ||
	    !take_char(&s, ":") || !take_number(&s, 2, &minute) || !take_char(&s, ":") ||
	    !take_number(&s, 2, &second) || hour > 23 || minute > 59 || second > 60)
		return false;
	int64_t fraction = 0;
	if (take_char(&s, ".")) {
		int64_t unit = US_PER_S / 10;
		size_t digits = 0;
		for (; s.n && ascii_is_digit(s.p[0]); s = span_sub(s, 1, s.n), digits++) {
			fraction += (s.p[0] - '0') * unit;
			unit /= 10;
		}
		if (digits == 0)
			return false;
	}
	int64_t offset = 0;
	if (!take_char(&s, "Zz")) {
		int sign = s.n && s.p[0] == '-' ? -1 : 1, h, m;
		if (!take_char(&s, "+-") || !take_number(&s, 2, &h) || !take_char(&s, ":") ||
		    !take_number(&s, 2, &m) || h > 23 || m > 59)
			return false;
		offset = sign * (h * 3600 + m * 60);
	}
	if (s.n)
		return false;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	*us_r = ((int64_t)timegm(&tm) - offset) * US_PER_S + fraction;
	return true;
}
