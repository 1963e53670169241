#include "tests/eval/corpus.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

static uint32_t hash(struct span s)
{
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)ascii_lower(s.p[i])) * 1099511628211u;
	return (uint32_t)(h >> 32);
}

static void add(struct corpus *c, const char *path, const char *set, enum label label,
		uint32_t source, struct buf *b)
{
	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 1024;
		c->v = realloc(c->v, c->cap * sizeof(*c->v));
		if (!c->v || b->failed)
			abort();
	}
	c->v[c->n++] = (struct sample){strdup(path), set, label, source, buf_span(b)};
}

static void add_lines(struct buf *b, struct span rest)
{
	struct span line;
	while (span_next_line(&rest, &line)) {
		buf_add(b, line);
		buf_adds(b, "\r\n");
	}
}

/* The list that a mail came over, else the domain of From. */
static uint32_t mail_source(struct span octets)
{
	static const char *const lists[] = {"List-Id:", "X-Mailman", "Sender:", "List-Post:"};
	struct span rest = octets, line, from = SPAN_NONE;
	while (span_next_line(&rest, &line) && line.n) {
		if (!from.p && span_case_starts(line, SPAN("From:")))
			from = line;
		for (size_t i = 0; i < 4; i++)
			if (span_case_starts(line, span_of(lists[i])) &&
			    span_case_find(line, SPAN("rssfeeds")) == SIZE_MAX)
				return hash(line);
	}
	/* One gateway of news feeds: each feed has its own author. */
	if (span_case_find(from, SPAN("rssfeeds@")) != SIZE_MAX)
		return hash(from);
	size_t at = span_rfind_char(from, '@'), end = 0;
	struct span domain = at == SIZE_MAX ? from : span_sub(from, at + 1, from.n);
	while (end < domain.n && !strchr("> \t)\"", domain.p[end]))
		end++;
	return hash(span_sub(domain, 0, end));
}

static void add_mail(struct corpus *c, const char *path, const char *set, enum label label,
		     struct span bytes)
{
	struct buf b = BUF_INIT;
	struct span rest = bytes, probe = bytes, line;
	/* a single mail with an mbox line in front */
	if (span_next_line(&probe, &line) && span_starts(line, SPAN("From ")))
		rest = probe;
	add_lines(&b, rest);
	add(c, path, set, label, mail_source(buf_span(&b)), &b);
}

/* The family of a template: sendwithus by its design, postmark by what it is for (its designs
 * hold the same texts), others by their folder. */
static uint32_t template_source(struct span path)
{
	struct span rest = path, set, folder, name;
	if (!span_next_field(&rest, '/', &set) || !span_next_field(&rest, '/', &folder))
		return hash(path);
	if (span_eq(set, SPAN("sendwithus")) && span_next_field(&rest, '/', &name))
		return hash(name);
	if (span_eq(set, SPAN("postmark"))) {
		size_t end = span_rfind_char(path, '/');
		size_t begin = span_rfind_char(span_sub(path, 0, end), '/');
		return hash(span_sub(path, begin, end));
	}
	return hash(span_eq(set, SPAN("colorlib")) ? set : path);
}

/* As a mail: only what a template has, and a From that says nothing. */
static void add_template(struct corpus *c, const char *path, enum label label, struct span bytes)
{
	struct buf b = BUF_INIT;
	struct span name = span_of(path);
	buf_addf(&b,
		 "From: Example <hello@example.com>\r\nMIME-Version: 1.0\r\n"
		 "Content-Type: text/%s; charset=utf-8\r\n\r\n",
		 span_ends(name, SPAN(".html")) ? "html" : "plain");
	add_lines(&b, bytes);
	add(c, path, "templates", label, template_source(name), &b);
}

static enum label template_label(const char *path)
{
	static const char *const transactional[] = {
		"receipt",	  "invoice", "password",
		"confirm",	  "shipped", "welcome",
		"trial-exp",	  "dunning", "comment-notification",
		"user-invitation"};
	static const char *const commercial[] = {"upsell",	"coupon",    "birthday",
						 "survey",	"reignite",  "news_feed",
						 "promotional", "colorlib/", "digest"};
	for (size_t i = 0; i < sizeof(transactional) / sizeof(transactional[0]); i++)
		if (strstr(path, transactional[i]))
			return LABEL_TRANSACTIONAL;
	for (size_t i = 0; i < sizeof(commercial) / sizeof(commercial[0]); i++)
		if (strstr(path, commercial[i]))
			return LABEL_COMMERCIAL;
	return LABEL_MARKETING;
}

static bool is_input(const char *name, bool template)
{
	static const char *const others[] = {".tsv", "SOURCE", ".json", "cmds", "README"};
	if (template)
		return strstr(name, ".html") || strcmp(name, "content.txt") == 0;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strstr(name, others[i]))
			return false;
	return true;
}

static void walk(struct corpus *c, const char *below, const char *set, enum label label);

static void take(struct corpus *c, const char *child, const char *name, const char *set,
		 enum label label)
{
	char path[4096];
	struct stat st;
	struct file_view view;
	bool template = strcmp(set, "templates") == 0;
	int length = snprintf(path, sizeof(path), "%s/%s", c->root, child);
	if (length >= (int)sizeof(path) || stat(path, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode)) {
		walk(c, child, set, label);
		return;
	}
	if (!is_input(name, template) || file_view_open(path, (size_t)64 << 20, &view) < 0)
		return;
	if (template)
		add_template(c, child + strlen("templates/"), template_label(child), view.bytes);
	else
		add_mail(c, child, set, label, view.bytes);
	file_view_close(&view);
}

static void walk(struct corpus *c, const char *below, const char *set, enum label label)
{
	char path[4096], child[4096];
	struct dirent **entries;
	int n = snprintf(path, sizeof(path), "%s/%s", c->root, below);
	n = n < (int)sizeof(path) ? scandir(path, &entries, NULL, alphasort) : -1;
	for (int i = 0; i < n; i++) {
		int length = snprintf(child, sizeof(child), "%s/%s", below, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && length < (int)sizeof(child))
			take(c, child, entries[i]->d_name, set, label);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* Our own mails: "label TAB subject TAB body", "\n" in the body is a line end. */
static void load_own(struct corpus *c, const char *path)
{
	struct file_view view;
	struct span rest, line, label, subject;
	if (file_view_open(path, (size_t)8 << 20, &view) < 0)
		return;
	rest = view.bytes;
	for (unsigned number = 1; span_next_line(&rest, &line); number++) {
		char name[32];
		struct buf b = BUF_INIT;
		if (!line.n || line.p[0] == '#' || !span_next_field(&line, '\t', &label) ||
		    !span_next_field(&line, '\t', &subject))
			continue;
		buf_addf(&b,
			 "From: Example <hello@example.com>\r\nSubject: %.*s\r\nMIME-Version: "
			 "1.0\r\n"
			 "Content-Type: text/plain; charset=utf-8\r\n\r\n",
			 SPAN_ARG(subject));
		for (size_t i = 0; i < line.n; i++) {
			bool end = line.p[i] == '\\' && i + 1 < line.n && line.p[i + 1] == 'n';
			buf_add(&b, end ? SPAN("\r\n") : span_sub(line, i, i + 1));
			i += end;
		}
		snprintf(name, sizeof(name), "own:%u", number);
		add(c, name, "own",
		    label.p[0] == 'c'	? LABEL_COMMERCIAL
		    : label.p[0] == 't' ? LABEL_TRANSACTIONAL
					: LABEL_OTHER,
		    hash(span_of(name)), &b);
	}
	file_view_close(&view);
}

/* Labels by hand, in kinds.tsv beside our own mails. */
static void correct_kinds(struct corpus *c, const char *own)
{
	struct file_view view;
	struct span rest, line, path, folder = span_of(own);
	char name[4096];
	size_t slash = span_rfind_char(folder, '/');
	folder = span_sub(folder, 0, slash == SIZE_MAX ? 0 : slash + 1);
	int length = snprintf(name, sizeof(name), "%.*skinds.tsv", SPAN_ARG(folder));
	if (length >= (int)sizeof(name) || file_view_open(name, (size_t)1 << 20, &view) < 0)
		return;
	rest = view.bytes;
	while (span_next_line(&rest, &line)) {
		if (!line.n || line.p[0] == '#' || !span_next_field(&line, '\t', &path))
			continue;
		for (size_t i = 0; i < c->n; i++)
			if (span_eq(span_of(c->v[i].path), path))
				c->v[i].label = span_starts(line, SPAN("t"))   ? LABEL_TRANSACTIONAL
						: span_starts(line, SPAN("c")) ? LABEL_COMMERCIAL
									       : LABEL_OTHER;
	}
	file_view_close(&view);
}

int corpus_load(struct corpus *c, const char *root, const char *own)
{
	*c = (struct corpus){.root = root};
	walk(c, "mail/newsletters", "newsletters", LABEL_COMMERCIAL);
	walk(c, "mail/spamassassin/data/hard-ham-1", "hard-ham", LABEL_MARKETING);
	walk(c, "mail/spamassassin/data/easy-ham-1", "ham", LABEL_OTHER);
	walk(c, "mail/spamassassin/data/easy-ham-2", "ham", LABEL_OTHER);
	walk(c, "mail/spamassassin/data/spam-1", "spam", LABEL_COMMERCIAL);
	walk(c, "mail/spamassassin/data/spam-2", "spam", LABEL_COMMERCIAL);
	walk(c, "mail/zh/normal", "zh-normal", LABEL_OTHER);
	walk(c, "mail/zh/spam", "zh-spam", LABEL_COMMERCIAL);
	walk(c, "templates", "templates", LABEL_MARKETING);
	if (own) {
		load_own(c, own);
		correct_kinds(c, own);
	}
	return c->n ? 0 : -1;
}

struct content *corpus_read(const struct corpus *c, size_t i, struct message *m, struct arena *a)
{
	if (message_parse(m, a, c->v[i].octets) < 0)
		return NULL;
	return content_read(m, a);
}

unsigned corpus_fold(const struct corpus *c, size_t i, unsigned k)
{
	return (c->v[i].source ^ c->v[i].source >> 15) % k;
}
