#include "feedback/registry_copy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/redis.h"
#include "feedback/registry_private.h"

#define KEY SPAN("{registry}copy")

struct registry_copy {
	const struct config *config;
	struct registry *registry;
	struct redis *redis;
	char refused[SHA256_TEXT_BYTES]; /* what was said of this one is not said again */
};

/* What is copied, and the columns in their order. Those of `claim` hold octets. */
static const struct table {
	const char *name, *select, *insert;
	int columns;
} tables[] = {
	{"sender",
	 "SELECT key, state, name, holds, waits, token, filed_us, reason, receipt, since_us, until_us,"
	 " standing, due_us FROM sender ORDER BY key",
	 "INSERT INTO sender (key, state, name, holds, waits, token, filed_us, reason, receipt,"
	 " since_us, until_us, standing, due_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
	 " ?12, ?13)", 13},
	{"filing",
	 "SELECT id, key, text, filed_us, effective_us, expires_us, decided FROM filing WHERE id IN"
	 " (SELECT holds FROM sender UNION SELECT waits FROM sender) ORDER BY id",
	 "INSERT INTO filing (id, key, text, filed_us, effective_us, expires_us, decided) VALUES (?1,"
	 " ?2, ?3, ?4, ?5, ?6, ?7)", 7},
	{"claim",
	 "SELECT filing, kind, lower(hex(subject)), bits, key, since_us FROM claim"
	 " ORDER BY filing, kind, subject, bits",
	 "INSERT INTO claim (filing, kind, subject, bits, key, since_us) VALUES (?1, ?2, ?3, ?4, ?5,"
	 " ?6)", 6},
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))
#define CLAIM 2
#define CLAIM_SUBJECT 2
#define FILING 1
#define FILING_TEXT 2

struct head {
	int64_t seq; /* 0: none */
	char origin[SHA256_TEXT_BYTES];
};

static int read_head(struct registry *reg, const char *sql, struct head *head)
{
	*head = (struct head){.seq = 0};
	struct db_query *q = db_query(reg->db, sql);
	int r = db_step(q);
	if (r == DB_ROW) {
		head->seq = db_int(q, 0);
		snprintf(head->origin, sizeof(head->origin), "%.*s", SPAN_ARG(db_text(q, 1)));
	}
	db_end(q);
	return r < 0 ? r : 0;
}

static int own_head(struct registry *reg, struct head *head)
{
	return read_head(reg, "SELECT head.seq, audit.hash FROM head, audit WHERE audit.seq = 1", head);
}

static int copied_head(struct registry *reg, struct head *head)
{
	return read_head(reg, "SELECT seq, origin FROM copied", head);
}

static int refuse(struct registry_copy *c, const char *hash, const char *why)
{
	if (strcmp(c->refused, hash) != 0)
		log_error("registry.copy", "refused why=\"%s\"", why);
	snprintf(c->refused, sizeof(c->refused), "%s", hash);
	return REGISTRY_COPY_E_REFUSED;
}

/* --- Redis --------------------------------------------------------------------------------- */

/* One command; the answer lives until the next. */
static int ask(struct registry_copy *c, size_t argc, const struct span *argv,
	       const struct redis_answer **answer_r)
{
	int r = c->redis ? 0 : redis_open(&c->redis, c->config, 0);
	if (r < 0)
		return r;
	redis_queue(c->redis, KEY, argc, argv);
	r = redis_exchange(c->redis);
	*answer_r = r == 0 ? redis_answer(c->redis, 0) : NULL;
	if (r == 0 && redis_answer_error(*answer_r).p)
		r = -EPROTO;
	if (r < 0) {
		redis_close(c->redis);
		c->redis = NULL;
	}
	return r;
}

static int published_head(struct registry_copy *c, struct head *head)
{
	const struct span argv[] = {SPAN("HMGET"), KEY, SPAN("seq"), SPAN("origin")};
	const struct redis_answer *answer;
	*head = (struct head){.seq = 0};
	int r = ask(c, 4, argv, &answer);
	if (r < 0)
		return r;
	head->seq = redis_answer_int(redis_answer_at(answer, 0));
	snprintf(head->origin, sizeof(head->origin), "%.*s",
		 SPAN_ARG(redis_answer_text(redis_answer_at(answer, 1))));
	return 0;
}

/* --- publishing ------------------------------------------------------------------------------ */

/* ["sender", "esp", "active", ...] */
static int write_table(struct registry *reg, const struct table *table, struct buf *text)
{
	struct db_query *q = db_query(reg->db, table->select);
	int r;
	while ((r = db_step(q)) == DB_ROW) {
		struct json j = JSON_INIT(text);
		json_open(&j, NULL, '[');
		json_cstr(&j, NULL, table->name);
		for (int i = 0; i < table->columns; i++)
			json_text(&j, NULL, db_text(q, i));
		json_close(&j, ']');
		buf_addc(text, '\n');
	}
	db_end(q);
	return r < 0 ? r : text->failed ? -ENOMEM : 0;
}

static int publish(struct registry_copy *c, bool *done_r)
{
	struct head published, own;
	struct buf text = BUF_INIT;
	struct registry *reg = c->registry;
	const struct redis_answer *answer;
	int r = published_head(c, &published);
	if (r == 0)
		r = db_exec(reg->db, "BEGIN"); /* one view of the tables and the head */
	if (r < 0)
		return r;
	r = own_head(reg, &own);
	bool same = r == 0 && published.seq == own.seq && strcmp(published.origin, own.origin) == 0;
	for (size_t i = 0; i < TABLES && r == 0 && own.seq && !same; i++)
		r = write_table(reg, &tables[i], &text);
	db_rollback(reg->db);
	if (r == 0 && own.seq && published.seq && strcmp(published.origin, own.origin) != 0)
		r = refuse(c, published.origin, "Redis has the copy of another registry");
	if (r == 0 && own.seq && !same) {
		char seq[24], hash[SHA256_TEXT_BYTES];
		snprintf(seq, sizeof(seq), "%lld", (long long)own.seq);
		sha256_text(buf_span(&text), hash);
		const struct span argv[] = {SPAN("HSET"), KEY, SPAN("seq"), span_of(seq),
					    SPAN("origin"), span_of(own.origin), SPAN("sha256"),
					    span_of(hash), SPAN("text"), buf_span(&text)};
		r = ask(c, 10, argv, &answer);
		*done_r = r == 0;
	}
	buf_free(&text);
	return r;
}

/* --- taking ---------------------------------------------------------------------------------- */

static int unhex(struct span s, char *out)
{
	for (size_t i = 0; i + 1 < s.n; i += 2) {
		unsigned octet;
		if (sscanf((char[]){s.p[i], s.p[i + 1], 0}, "%2x", &octet) != 1)
			return -EBADMSG;
		out[i / 2] = (char)octet;
	}
	return s.n % 2 ? -EBADMSG : 0;
}

static bool filing_good(struct span text)
{
	struct arena arena;
	struct filings all;
	struct diag diag = {.out = NULL};
	arena_init(&arena, LIMIT_ARENA_BYTES);
	filings_read(&all, text, "copy", &arena, &diag);
	bool good = all.n == 1 && !all.faults;
	arena_free(&arena);
	return good;
}

/* Numbers are texts; the columns make them numbers again. */
static int take_row(struct registry *reg, struct span line)
{
	struct json_value *v = json_in_parse(line, NULL);
	struct span name = json_in_text(json_in_at(v, 0));
	size_t t = 0;
	int r = -EBADMSG;
	while (t < TABLES && !span_eq(name, span_of(tables[t].name)))
		t++;
	if (t == TABLES || json_in_count(v) != (size_t)tables[t].columns + 1 ||
	    (t == FILING && !filing_good(json_in_text(json_in_at(v, 1 + FILING_TEXT)))))
		goto out;
	char octets[CLAIM_BYTES];
	struct db_query *q = db_query(reg->db, tables[t].insert);
	r = 0;
	for (int i = 0; i < tables[t].columns && r == 0; i++) {
		struct span s = json_in_text(json_in_at(v, (size_t)i + 1));
		if (t == CLAIM && i == CLAIM_SUBJECT) {
			r = s.n > 2 * sizeof(octets) ? -EBADMSG : unhex(s, octets);
			db_bind_blob(q, i + 1, (struct span){octets, s.n / 2});
		} else {
			db_bind_text(q, i + 1, s);
		}
	}
	if (r == 0)
		r = db_run(q);
	else
		db_end(q);
out:
	json_in_free(v);
	return r;
}

static int apply(struct registry *reg, const struct head *head, struct span text)
{
	static const char *const deletes[] = {"DELETE FROM sender", "DELETE FROM filing",
					      "DELETE FROM claim", "DELETE FROM approval"};
	struct span line;
	int r = db_begin(reg->db);
	if (r < 0)
		return r;
	for (size_t i = 0; i < 4 && r == 0; i++)
		r = db_exec(reg->db, deletes[i]);
	while (r == 0 && span_next_line(&text, &line))
		r = take_row(reg, line);
	if (r == 0) {
		struct db_query *q = db_query(reg->db, "INSERT OR REPLACE INTO copied (one, seq, origin)"
						       " VALUES (1, ?1, ?2)");
		db_bind_int(q, 1, head->seq);
		db_bind_text(q, 2, span_of(head->origin));
		r = db_run(q);
	}
	return db_finish(reg->db, r);
}

static int take(struct registry_copy *c, bool *done_r)
{
	const struct span argv[] = {SPAN("HMGET"), KEY, SPAN("sha256"), SPAN("text"), SPAN("seq"),
				    SPAN("origin")};
	const struct redis_answer *answer;
	struct head published, ours;
	char hash[SHA256_TEXT_BYTES];
	int r = published_head(c, &published);
	if (r == 0)
		r = copied_head(c->registry, &ours);
	if (r < 0 || published.seq == 0 ||
	    (published.seq == ours.seq && strcmp(published.origin, ours.origin) == 0))
		return r;
	if ((r = ask(c, 6, argv, &answer)) < 0)
		return r;
	struct span said = redis_answer_text(redis_answer_at(answer, 0));
	struct span text = redis_answer_text(redis_answer_at(answer, 1));
	sha256_text(text, hash);
	published.seq = redis_answer_int(redis_answer_at(answer, 2));
	if (!span_eq(said, span_of(hash)))
		return refuse(c, hash, "the hash is not that of its text");
	if (ours.seq && strcmp(published.origin, ours.origin) != 0)
		return refuse(c, hash, "it is the copy of another registry");
	if (published.seq < ours.seq)
		return refuse(c, hash, "it is older than ours");
	if (!ours.seq && registry_number(c->registry, "SELECT count(*) FROM sender WHERE filed_us > ?1", 0,
					  SPAN_NONE) != 0)
		return refuse(c, hash, "this gateway has a registry of its own");
	r = apply(c->registry, &published, text);
	if (r == -EBADMSG || r == -EEXIST)
		return refuse(c, hash, "a row or filing of it is wrong");
	*done_r = r == 0;
	if (r == 0)
		log_info("registry.copy", "taken seq=%lld", (long long)published.seq);
	return r;
}

/* --- life ------------------------------------------------------------------------------------- */

int registry_copy_create(struct registry_copy **c_r, const struct config *config)
{
	struct registry_copy *c = calloc(1, sizeof(*c));
	*c_r = c;
	if (!c)
		return -ENOMEM;
	c->config = config;
	int r = registry_open(config->state, &c->registry);
	if (r == 0)
		return 0;
	free(c);
	*c_r = NULL;
	return r;
}

void registry_copy_free(struct registry_copy *c)
{
	if (!c)
		return;
	redis_close(c->redis);
	registry_close(c->registry);
	free(c);
}

int registry_copy_work(struct registry_copy *c, bool *done_r)
{
	*done_r = false;
	if (c->config->redis.kind == REDIS_SPAWN) /* nobody else sees that one */
		return 0;
	return c->config->registry_copied ? take(c, done_r) : publish(c, done_r);
}
