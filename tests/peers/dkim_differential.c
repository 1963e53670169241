/*
 * Our DKIM verifier and libopendkim's on the same messages: 4,000 of them, signed by ours or by
 * libopendkim in every algorithm and form, then changed as mail is changed on its way. Both must
 * say the same. Where they do not, a row of `explained` has to say who follows which section of
 * RFC 6376; a disagreement without a row, and a row that never occurs, fail the test.
 *
 * usage: dkim_differential RSA-KEY ED25519-KEY [seed]; each row has to occur with the seed built in
 */
#include <stdio.h>
#include <time.h>

#include "analyze/dkim_sign.h"
#include "analyze/dkim_signature.h"
#include "base/file.h"
#include "tests/tools/opendkim.h"

enum { MESSAGES = 4000 };

static uint64_t seed = 223;

static uint32_t pick(uint32_t n) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * 2685821657736338717ull) >> 33) % n;
}

/* --- messages -------------------------------------------------------------------------- */

static void add_words(struct buf *b, unsigned n)
{
	static const char *const words[] = {
		"offer", "of", "the week", "a=b;", "x:y", "\"q\"", "(c)", "=20", "<a@b.example>",
		"\346\264\273\345\212\250",
	};
	static const char *const gaps[] = {" ", " ", " ", "  ", "\t", " \t "};
	for (; n; n--) {
		buf_adds(b, words[pick(10)]);
		if (n > 1)
			buf_adds(b, gaps[pick(6)]);
	}
}

static void add_field(struct buf *b, const char *name, const char *value)
{
	static const char *const colons[] = {": ", ": ", ": ", ":", ":  ", ":\t"};
	static const char *const folds[] = {"\r\n ", "\r\n\t", " \r\n ", "\r\n   "};
	buf_adds(b, name);
	buf_adds(b, colons[pick(6)]);
	buf_adds(b, value);
	for (unsigned n = pick(3); n; n--) {
		buf_adds(b, folds[pick(4)]);
		add_words(b, 1 + pick(4));
	}
	if (pick(8) == 0)
		buf_adds(b, "  ");
	buf_adds(b, "\r\n");
}

static void make_message(struct buf *b)
{
	static const char *const more[] = {
		"MIME-Version", "Content-Type", "X-A", "x-a", "Reply-To",
		"List-Unsubscribe", "Feedback-ID", "Received", "Comments",
	};
	buf_reset(b);
	for (unsigned n = pick(4); n; n--)
		add_field(b, more[pick(9)], "one");
	add_field(b, "From", "News <news@m.example>");
	add_field(b, "To", "<you@mbox.example>");
	if (pick(10))
		add_field(b, "Subject", "");
	add_field(b, "Date", "Tue, 24 Nov 2026 08:00:00 +0000");
	if (pick(5))
		add_field(b, "Message-ID", "<1@m.example>");
	for (unsigned n = pick(5); n; n--)
		add_field(b, more[pick(9)], "two");
	buf_adds(b, "\r\n");
	for (unsigned n = pick(8); n; n--) {
		if (pick(5))
			add_words(b, 1 + pick(8));
		if (pick(5) == 0)
			buf_adds(b, " \t");
		buf_adds(b, pick(5) ? "\r\n" : "\r\n\r\n");
	}
	if (pick(6) == 0)
		buf_adds(b, "no line end");
}

/* --- changes --------------------------------------------------------------------------- */

/* A signed message in its three pieces. */
struct mail {
	struct span signature, header, body; /* the header without the empty line */
	struct buf out;
};

static void replace(struct mail *m, struct span where, size_t at, size_t cut, const char *text)
{
	size_t before = (size_t)(where.p - m->signature.p) + at;
	struct span all = {m->signature.p, m->signature.n + m->header.n + 2 + m->body.n};
	buf_add(&m->out, span_sub(all, 0, before));
	buf_adds(&m->out, text);
	buf_add(&m->out, span_sub(all, before + cut, all.n));
}

/* A random place of `what` in `where`; SIZE_MAX when there is none. */
static size_t place_of(struct span where, const char *what)
{
	size_t found[64], n = 0, at = 0;
	struct span want = span_of(what);
	while (n < 64) {
		size_t next = span_find(span_sub(where, at, where.n), want);
		if (next == SIZE_MAX)
			break;
		found[n++] = at + next;
		at += next + 1;
	}
	return n ? found[pick((uint32_t)n)] : SIZE_MAX;
}

/* The beginning of a random field, and its length. */
static struct span some_field(struct span header)
{
	size_t starts[64], n = 0;
	for (size_t i = 0; i < header.n && n < 63; i++)
		if ((i == 0 || header.p[i - 1] == '\n') && header.p[i] != ' ' &&
		    header.p[i] != '\t')
			starts[n++] = i;
	starts[n] = header.n;
	size_t k = pick((uint32_t)n);
	return span_sub(header, starts[k], starts[k + 1]);
}

enum where { SIGNATURE, HEADER, BODY };

/* "from" becomes "to" at a random place; "" at the beginning, "$" at the end. */
static const struct change {
	const char *name;
	enum where where;
	const char *from, *to;
} changes[] = {
	{"none", BODY, "", ""},
	{"header: fold", HEADER, " ", "\r\n "},
	{"header: fold with a tab", HEADER, " ", "\r\n\t"},
	{"header: fold with a line of blanks", HEADER, " ", "\r\n \r\n "},
	{"header: unfold", HEADER, "\r\n ", " "},
	{"header: unfold to nothing", HEADER, "\r\n\t", ""},
	{"header: one more blank", HEADER, " ", "  "},
	{"header: a tab for a blank", HEADER, " ", "\t"},
	{"header: blank at the end of a line", HEADER, "\r\n", " \r\n"},
	{"header: no blank behind the colon", HEADER, ": ", ":"},
	{"header: blank before the colon", HEADER, ":", " :"},
	{"header: case of a name", HEADER, "Date", "dATE"},
	{"header: case of a value", HEADER, "News", "news"},
	{"header: From on top", HEADER, "", "From: x@y.example\r\n"},
	{"header: From below", HEADER, "$", "From: x@y.example\r\n"},
	{"header: X-A on top", HEADER, "", "X-A: x\r\n"},
	{"header: X-A below", HEADER, "$", "X-A: x\r\n"},
	{"header: Reply-To below", HEADER, "$", "Reply-To: x\r\n"},
	{"header: Comments below", HEADER, "$", "Comments: x\r\n"},
	{"header: LF", HEADER, "\r\n", "\n"},
	{"header: bare CR", HEADER, " ", "\r"},
	{"header: a byte", HEADER, "m.example", "n.example"},
	{"body: blank at the end of a line", BODY, "\r\n", " \r\n"},
	{"body: tab at the end of a line", BODY, "\r\n", "\t\r\n"},
	{"body: one more blank", BODY, " ", "  "},
	{"body: a tab for a blank", BODY, " ", "\t"},
	{"body: a blank gone", BODY, " ", ""},
	{"body: blank in front", BODY, "", " "},
	{"body: empty line in front", BODY, "", "\r\n"},
	{"body: empty line", BODY, "\r\n", "\r\n\r\n"},
	{"body: empty lines at the end", BODY, "$", "\r\n\r\n\r\n"},
	{"body: blank lines at the end", BODY, "$", " \r\n\t\r\n"},
	{"body: blanks at the end", BODY, "$", " \t"},
	{"body: text at the end", BODY, "$", "more\r\n"},
	{"body: CRLF at the end", BODY, "$", "\r\n"},
	{"body: CR at the end", BODY, "$", "\r"},
	{"body: LF at the end", BODY, "$", "\n"},
	{"body: LF", BODY, "\r\n", "\n"},
	{"body: bare CR", BODY, "\r\n", "\r\r\n"},
	{"body: CR in a line", BODY, " ", "\r"},
	{"body: a byte", BODY, "offer", "order"},
	{"signature: case of its name", SIGNATURE, "DKIM-Signature", "dkim-signature"},
	{"signature: folded", SIGNATURE, "; ", ";\r\n "},
	{"signature: folded again", SIGNATURE, "\r\n\t", "\r\n\t\t"},
	{"signature: blank before ;", SIGNATURE, ";", " ;"},
	{"signature: blank at =", SIGNATURE, "h=", "h= "},
	{"signature: blank before =", SIGNATURE, "h=", "h ="},
	{"signature: blank in h=", SIGNATURE, ":", ": "},
	{"signature: fold in h=", SIGNATURE, ":", ":\r\n "},
	{"signature: case in h=", SIGNATURE, "from", "From"},
	{"signature: case in d=", SIGNATURE, "m.example", "M.example"},
	{"signature: case of a=", SIGNATURE, "sha256", "SHA256"},
	{"signature: another version", SIGNATURE, "v=1", "v=2"},
	{"signature: no version", SIGNATURE, "v=1;", ""},
	{"signature: one more tag", SIGNATURE, "; h=", "; zz=1; h="},
	{"signature: ; at the end", SIGNATURE, "$", ";"},
	{"signature: a tag behind b=", SIGNATURE, "$", "; zz=1"},
	{"signature: fold in b=", SIGNATURE, "$", "\r\n "},
	{"signature: a byte of b=", SIGNATURE, "b=", "b=A"},
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* Changes that move whole fields. */
enum { MOVE_UP = CHANGES, MOVE_DOWN, DOUBLE_FIELD, DROP_FIELD, SIGNATURE_DOWN, ALL_CHANGES };
static const char *const moves[] = {"field moved up", "field moved down", "field doubled",
				    "field dropped", "signature moved down"};

static const char *change_name(unsigned c)
{
	return c < CHANGES ? changes[c].name : moves[c - CHANGES];
}

static void move(struct mail *m, unsigned c)
{
	struct span field = some_field(m->header);
	size_t at = (size_t)(field.p - m->header.p);
	struct span above = span_sub(m->header, 0, at);
	struct span below = span_sub(m->header, at + field.n, m->header.n);
	struct span pieces[5] = {m->signature, above, field, below, SPAN("")};
	if (c == MOVE_UP || c == DOUBLE_FIELD) {
		struct span again = c == MOVE_UP ? SPAN("") : field;
		struct span up[] = {m->signature, field, above, again, below};
		memcpy(pieces, up, sizeof(up));
	} else if (c == MOVE_DOWN) {
		pieces[2] = below;
		pieces[3] = field;
	} else if (c == DROP_FIELD) {
		pieces[2] = SPAN("");
	} else {
		struct span down[] = {above, m->signature, field, below, SPAN("")};
		memcpy(pieces, down, sizeof(down));
	}
	for (size_t i = 0; i < 5; i++)
		buf_add(&m->out, pieces[i]);
	buf_adds(&m->out, "\r\n");
	buf_add(&m->out, m->body);
}

/* False: this message has no such place. */
static bool change(struct mail *m, unsigned c)
{
	buf_reset(&m->out);
	if (c >= CHANGES) {
		move(m, c);
		return true;
	}
	const struct change *x = &changes[c];
	struct span where = x->where == SIGNATURE ? span_sub(m->signature, 0, m->signature.n - 2)
			    : x->where == HEADER  ? m->header
						  : m->body;
	bool end = strcmp(x->from, "$") == 0;
	size_t at = end ? where.n : !*x->from ? 0 : place_of(where, x->from);
	if (at == SIZE_MAX)
		return false;
	replace(m, where, at, end ? 0 : strlen(x->from), x->to);
	return true;
}

/* --- signers and verifiers --------------------------------------------------------------- */

struct key {
	struct dkim_signer signer;
	struct file_view pem;
	char record[1024];
};

/* Signs `message` with signer number `how`: ours, or libopendkim in one of four pairs of forms. */
static void sign(const struct key *key, bool ed25519, unsigned how, struct span message,
		 struct buf *out)
{
	DKIM_STAT r;
	u_char *field = NULL;
	size_t n = 0;
	buf_reset(out);
	if (how == 0) {
		if (dkim_signer_sign(&key->signer, message, time(NULL), out) != 0)
			abort();
		return;
	}
	opendkim_leaks(true);
	char *pem = strndup(key->pem.bytes.p, key->pem.bytes.n);
	DKIM *dkim = dkim_sign(opendkim_library, (const u_char *)"id", NULL, (dkim_sigkey_t)pem,
			       (const u_char *)"s", (const u_char *)"m.example",
			       how & 1 ? DKIM_CANON_RELAXED : DKIM_CANON_SIMPLE,
			       how & 2 ? DKIM_CANON_RELAXED : DKIM_CANON_SIMPLE,
			       ed25519 ? DKIM_SIGN_ED25519SHA256 : DKIM_SIGN_RSASHA256,
			       how & 8 ? 20 : -1, &r);
	if (!dkim || dkim_chunk(dkim, (u_char *)message.p, message.n) != DKIM_STAT_OK ||
	    dkim_chunk(dkim, NULL, 0) != DKIM_STAT_OK || dkim_eom(dkim, NULL) != DKIM_STAT_OK ||
	    dkim_getsighdr_d(dkim, 16, &field, &n) != DKIM_STAT_OK) {
		fprintf(stderr, "libopendkim does not sign: %s\n", dkim ? dkim_geterror(dkim) : "");
		exit(1);
	}
	buf_adds(out, "DKIM-Signature: ");
	/* it folds with LF, as a milter hands fields over */
	for (size_t i = 0; i < n; i++) {
		if (field[i] == '\n' && (i == 0 || field[i - 1] != '\r'))
			buf_addc(out, '\r');
		buf_addc(out, (char)field[i]);
	}
	buf_adds(out, "\r\n");
	dkim_free(dkim);
	free(pem);
	opendkim_leaks(false);
}

static bool ours(struct span octets, const char *record, const char **why_r)
{
	struct arena arena;
	struct preflight_header head;
	struct dkim_outcome out = {.result = AUTH_NONE, .reason = "no signature"};
	struct dns_record txt = {.name = span_of(record)};
	struct dns_answer key = {.status = DNS_FOUND, .records = &txt, .n = 1};
	arena_init(&arena, (size_t)8 << 20);
	preflight_header(&head, &arena, octets, 0);
	struct message m = {.arena = &arena, .octets = octets, .headers = head.v,
			    .n_headers = head.n, .body_offset = head.body_offset};
	struct header *h = message_header(&m, "DKIM-Signature", NULL);
	if (h) {
		struct dkim_signature sig;
		dkim_signature_parse(&sig, SIGNATURE_DKIM, h, &arena);
		out.reason = sig.reason;
		if (!sig.reason)
			dkim_signature_check(dkim_work_create(&m, &arena), &sig, &key, &out);
	}
	*why_r = out.reason ? out.reason : "pass";
	arena_free(&arena);
	return out.result == AUTH_PASS;
}

/* --- comparison --------------------------------------------------------------------------- */

#define CR_IS_TEXT                                                    \
	"blanks are SP and HTAB (2.8), a CR alone is text; libopendkim " \
	"drops or folds it"
#define LF_IS_TEXT                                                       \
	"lines end in CRLF (5.3), an LF alone is text; libopendkim takes it " \
	"for a line end"

/* A disagreement and who is right. */
static struct {
	const char *change; /* NULL: any, of a message that does not end in CRLF */
	bool ours;
	const char *section, *why;
	unsigned seen;
} explained[] = {
	{NULL, true, "3.4.4", "a CRLF that the body lacks is added; libopendkim wants it there", 0},
	{"body: blanks at the end", true, "3.4.4",
	 "blanks go at the end of the last line too, before a CRLF is added to it", 0},
	{"body: CR at the end", false, "3.4.4", CR_IS_TEXT, 0},
	{"body: CR in a line", false, "3.4.4", CR_IS_TEXT, 0},
	{"body: bare CR", false, "3.4.3", CR_IS_TEXT, 0},
	{"body: LF at the end", false, "3.4.3", LF_IS_TEXT, 0},
	{"body: LF", false, "3.4.3", LF_IS_TEXT, 0},
	{"header: bare CR", false, "3.4.2", CR_IS_TEXT, 0},
	{"header: bare CR", true, "3.8",
	 "a line that is no field stands among unsigned ones: a fault of the form, told elsewhere; "
	 "libopendkim refuses the message", 0},
	{"header: LF", false, "3.4.2", LF_IS_TEXT, 0},
	{"header: LF", true, "5.3",
	 "we read a field behind an LF, as mail programs do, and it is one that was signed; for "
	 "libopendkim it belongs to the field above", 0},
};
enum { EXPLAINED = sizeof(explained) / sizeof(explained[0]) };

static unsigned agreed[2], failures;

/* The row of a disagreement; EXPLAINED: none. */
static size_t explain(struct span octets, unsigned c, bool mine, DKIM_STAT theirs)
{
	bool unended = !span_ends(octets, SPAN("\r\n"));
	for (size_t i = 0; i < EXPLAINED; i++) {
		const char *name = explained[i].change;
		if (explained[i].ours == mine &&
		    (name ? strcmp(name, change_name(c)) == 0
			  : unended && theirs == DKIM_STAT_SYNTAX))
			return i;
	}
	return EXPLAINED;
}

static void compare(struct span octets, const struct key *key, unsigned c)
{
	const char *why;
	DKIM_SIGERROR error;
	bool mine = ours(octets, key->record, &why);
	DKIM_STAT theirs = opendkim_verify(octets, &error);
	if (mine == (theirs == DKIM_STAT_OK)) {
		agreed[mine]++;
		return;
	}
	size_t row = explain(octets, c, mine, theirs);
	if (row < EXPLAINED) {
		explained[row].seen++;
		return;
	}
	const char *text = dkim_sig_geterrorstr(error);
	if (failures++ < 10)
		printf("FAIL %s: ours %s, libopendkim %d (%s)\n%.*s\n", change_name(c), why, theirs,
		       text ? text : "-", SPAN_ARG(octets));
}

/* What nobody changed passes at both. */
static bool verifiable(struct span octets, const struct key *key)
{
	const char *why;
	DKIM_SIGERROR error;
	if (ours(octets, key->record, &why) || opendkim_verify(octets, &error) == DKIM_STAT_OK)
		return true;
	failures++;
	printf("FAIL unchanged, passes nowhere: %s\n%.*s\n", why, SPAN_ARG(octets));
	return false;
}

static void open_key(struct key *key, const char *path)
{
	struct arena arena;
	arena_init(&arena, 1 << 16);
	if (dkim_signer_open(&key->signer, SPAN("m.example"), SPAN("s"), path) != 0 ||
	    file_view_open(path, 1 << 16, &key->pem) != 0)
		abort();
	struct span p = base64_encode(&arena, pkey_public_bytes(key->signer.key, &arena));
	snprintf(key->record, sizeof(key->record), "v=DKIM1; k=%s; p=%.*s",
		 pkey_kind(key->signer.key) == PKEY_RSA ? "rsa" : "ed25519", SPAN_ARG(p));
	arena_free(&arena);
}

static void run(struct key keys[2])
{
	struct buf message = BUF_INIT, signature = BUF_INIT, all = BUF_INIT;
	struct mail m = {.out = BUF_INIT};
	for (unsigned i = 0; i < MESSAGES; i++) {
		bool ed25519 = pick(2);
		const struct key *key = &keys[ed25519];
		/* relaxed/relaxed of ours, then each pair of forms, some with l= */
		unsigned how = pick(2) ? 0 : 4 | pick(4) | (pick(8) == 0 ? 8 : 0);
		/* libopendkim 2.11's Ed25519 signatures with simple header fields do not pass its
		 * own verifier. */
		if (how && ed25519)
			how |= 1;
		make_message(&message);
		if (how && !span_ends(buf_span(&message), SPAN("\r\n")))
			buf_adds(&message, "\r\n"); /* libopendkim signs nothing without it */
		memcpy(opendkim_record, key->record, sizeof(key->record));
		sign(key, ed25519, how, buf_span(&message), &signature);
		buf_reset(&all);
		buf_add(&all, buf_span(&signature));
		buf_add(&all, buf_span(&message));
		struct span octets = buf_span(&all);
		if (!verifiable(octets, key))
			break;
		size_t empty = span_find(octets, SPAN("\r\n\r\n")) + 2;
		m.signature = span_sub(octets, 0, signature.n);
		m.header = span_sub(octets, signature.n, empty);
		m.body = span_sub(octets, empty + 2, octets.n);
		unsigned c = pick(ALL_CHANGES);
		if (!change(&m, c))
			change(&m, c = 0);
		compare(buf_span(&m.out), key, c);
	}
	buf_free(&message);
	buf_free(&signature);
	buf_free(&all);
	buf_free(&m.out);
}

int main(int argc, char **argv)
{
	struct key keys[2];
	if (argc < 3)
		return 2;
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 10) * 2 + 1;
	opendkim_open();
	open_key(&keys[0], argv[1]);
	open_key(&keys[1], argv[2]);
	run(keys);
	unsigned differ = 0;
	for (size_t i = 0; i < EXPLAINED; i++) {
		differ += explained[i].seen;
		printf("%4u  %s: ours %s; RFC 6376 section %s: %s\n", explained[i].seen,
		       explained[i].change ? explained[i].change : "no CRLF at the end",
		       explained[i].ours ? "pass" : "fail", explained[i].section, explained[i].why);
		if (!explained[i].seen && argc == 3) {
			printf("FAIL this row explains nothing\n");
			failures++;
		}
	}
	printf("%d messages: both pass %u, both fail %u, differ and explained %u, failures %u\n",
	       MESSAGES, agreed[1], agreed[0], differ, failures);
	for (size_t i = 0; i < 2; i++) {
		dkim_signer_close(&keys[i].signer);
		file_view_close(&keys[i].pem);
	}
	dkim_close(opendkim_library);
	return failures ? 1 : 0;
}
