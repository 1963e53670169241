/* filing_more - what a sender may file beside himself: campaigns (clause 2.1.1(3)), the Internet
 * Society's certificate (2.1.4), other information (2.1.1(4)), and from when to when it holds. */
#include "analyze/topic.h"
#include "base/clock.h"
#include "feedback/filing_private.h"

/* Of Asia/Shanghai, in whose days the filings of the specification are dated. */
#define ZONE_US (8 * 3600 * US_PER_S)

bool filing_read_time(struct reader *r, const char *word, bool end, int64_t *us_r)
{
	struct span v;
	int64_t day_us;
	bool twice = *us_r != 0;
	if (!filing_value(r, word, &v))
		return true;
	if (twice)
		fault(r, "'%s' stands here twice", word);
	if (clock_parse_rfc3339(v, us_r))
		return false;
	if (clock_parse_day(v, &day_us))
		*us_r = day_us - ZONE_US + (end ? 86400 * US_PER_S : 0);
	else
		fault(r, "'%.*s' is no day; write it like 2027-01-31", SPAN_ARG(v));
	return false;
}

bool filing_read_other(struct reader *r, struct filing *f)
{
	struct span v;
	if (!filing_value(r, "other", &v))
		return true;
	if (arena_grow(r->arena, (void **)&f->other, f->n_other, &f->cap_other, sizeof(*f->other)))
		f->other[f->n_other++] = v;
	return false;
}

bool filing_read_certificate(struct reader *r, struct filing *f)
{
	static const char *const words[] = {"filing", "number", "issued", "expires"};
	filing_next(r);
	if (r->token != T_OPEN) {
		fault(r, "'certificate' needs a block { ... }");
		return true;
	}
	filing_next(r);
	while (r->token != T_CLOSE && r->token != T_END) {
		bool read = false;
		if (span_eq(r->value, SPAN("filing"))) {
			read = !filing_value(r, "filing", &f->certificate.filing);
		} else if (span_eq(r->value, SPAN("number"))) {
			read = !filing_value(r, "number", &f->certificate.number);
		} else if (span_eq(r->value, SPAN("issued"))) {
			read = filing_read_time(r, "issued", false, &f->certificate.issued_us);
		} else if (span_eq(r->value, SPAN("expires"))) {
			read = filing_read_time(r, "expires", true, &f->certificate.expires_us);
			if (f->certificate.issued_us && f->certificate.expires_us &&
			    f->certificate.expires_us <= f->certificate.issued_us)
				fault(r, "the certificate expires before it is issued");
		} else {
			filing_unknown(r, "word of 'certificate'", words, 4);
			if (r->token == T_WORD)
				filing_next(r);
		}
		if (!read)
			filing_next(r);
	}
	if (r->token == T_END)
		fault(r, "a '}' is missing");
	return false;
}

static bool read_from(struct reader *r, struct filing_campaign *c)
{
	struct span v;
	if (!filing_value(r, "from", &v))
		return true;
	v = arena_lower(r->arena, v);
	if (!mail_address_valid(v))
		fault(r, "'%.*s' is no mail address", SPAN_ARG(v));
	if (arena_grow(r->arena, (void **)&c->from, c->n_from, &c->cap_from, sizeof(*c->from)))
		c->from[c->n_from++] = v;
	return false;
}

static bool filed_within(const struct filing *f, const struct ip_prefix *range)
{
	for (size_t i = 0; i < f->n_ranges; i++)
		if (f->ranges[i].prefix.bits <= range->bits &&
		    ip_prefix_holds(&f->ranges[i].prefix, &range->ip))
			return true;
	return false;
}

static bool read_campaign_range(struct reader *r, const struct filing *f, struct filing_campaign *c)
{
	struct ip_prefix range;
	if (filing_read_prefix(r, &range))
		return true;
	if (range.ip.family && !filed_within(f, &range))
		fault(r, "'%.*s' is in no 'ip' above: a campaign uses addresses that are filed",
		      SPAN_ARG(r->value));
	if (arena_grow(r->arena, (void **)&c->ranges, c->n_ranges, &c->cap_ranges,
		       sizeof(*c->ranges)))
		c->ranges[c->n_ranges++] = range;
	return false;
}

static bool read_recipients(struct reader *r, struct filing_campaign *c)
{
	struct span v;
	if (!filing_value(r, "recipients", &v))
		return true;
	if (!span_number(v, 10000000000, &c->recipients) || c->recipients == 0)
		fault(r, "'%.*s' is no number of recipients", SPAN_ARG(v));
	return false;
}

static bool read_sample(struct reader *r, struct filing_campaign *c)
{
	struct span v;
	if (!filing_value(r, "sample", &c->sample) || !filing_value(r, "sample", &v))
		return true;
	c->sample_sha256 = v = arena_lower(r->arena, v);
	bool hex = v.n == 64;
	for (size_t i = 0; i < v.n && hex; i++)
		hex = ascii_is_digit(v.p[i]) || (v.p[i] >= 'a' && v.p[i] <= 'f');
	if (!hex)
		fault(r, "a sample is a name and the SHA-256 of the letter in hexadecimal");
	return false;
}

static bool read_topic(struct reader *r, struct filing_campaign *c)
{
	struct topic topic;
	if (!filing_value(r, "topic", &c->topic))
		return true;
	if (!topic_read(c->topic, &topic))
		fault(r, "a topic is %d hexadecimal digits ('assay sender sample LETTER' tells them)",
		      TOPIC_DIGITS);
	return false;
}

static bool read_campaign_word(struct reader *r, const struct filing *f, struct filing_campaign *c)
{
	static const char *const words[] = {"ip", "domain", "from", "helo", "recipients", "cycle",
					    "rate", "max-rate", "class", "sample", "topic"};
	const struct span word = r->value;
	if (span_eq(word, SPAN("ip")))
		return read_campaign_range(r, f, c);
	if (span_eq(word, SPAN("domain")))
		return filing_read_domain(r, "domain", &c->domains, &c->n_domains, &c->cap_domains);
	if (span_eq(word, SPAN("from")))
		return read_from(r, c);
	if (span_eq(word, SPAN("helo")))
		return filing_read_domain(r, "helo", &c->helo, &c->n_helo, &c->cap_helo);
	if (span_eq(word, SPAN("recipients")))
		return read_recipients(r, c);
	if (span_eq(word, SPAN("cycle")))
		return !filing_value(r, "cycle", &c->cycle);
	if (span_eq(word, SPAN("rate")))
		return filing_read_rate(r, "rate", &c->rate);
	if (span_eq(word, SPAN("max-rate")))
		return filing_read_rate(r, "max-rate", &c->max_rate);
	if (span_eq(word, SPAN("class")))
		return filing_read_class(r, &c->class);
	if (span_eq(word, SPAN("sample")))
		return read_sample(r, c);
	if (span_eq(word, SPAN("topic")))
		return read_topic(r, c);
	filing_unknown(r, "word of 'campaign'", words, sizeof(words) / sizeof(words[0]));
	if (r->token == T_WORD)
		filing_next(r);
	return false;
}

bool filing_read_campaign(struct reader *r, struct filing *f)
{
	struct filing_campaign c = {.name = SPAN_NONE};
	if (!filing_value(r, "campaign", &c.name))
		return true;
	for (size_t i = 0; i < f->n_campaigns; i++)
		if (span_eq(f->campaigns[i].name, c.name))
			fault(r, "campaign '%.*s' stands here twice", SPAN_ARG(c.name));
	filing_next(r);
	if (r->token != T_OPEN) {
		fault(r, "'campaign' needs a block { ... }");
		return true;
	}
	filing_next(r);
	while (r->token != T_CLOSE && r->token != T_END)
		if (!read_campaign_word(r, f, &c))
			filing_next(r);
	if (r->token == T_END)
		fault(r, "a '}' is missing");
	if (arena_grow(r->arena, (void **)&f->campaigns, f->n_campaigns, &f->cap_campaigns,
		       sizeof(*f->campaigns)))
		f->campaigns[f->n_campaigns++] = c;
	return false;
}
