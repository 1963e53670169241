#include "feedback/complaint_drop.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"

#define FOLDER "intake"

void complaint_drop_open(const char *state)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/" FOLDER, state) >= (int)sizeof(path))
		return;
	/* The umask takes bits off mkdir(2), not off chmod(2). */
	if (mkdir(path, 0700) == 0 && chmod(path, 01733) < 0)
		log_warn("intake.closed", "path=%s error=%s", path, strerror(errno));
}

/* The words of the first line are separated by blanks; "-" stands for none. */
static void add_word(struct buf *out, struct span word)
{
	bool plain = word.n > 0;
	for (size_t i = 0; i < word.n; i++)
		plain &= (unsigned char)word.p[i] > 32;
	buf_add(out, plain ? word : SPAN("-"));
	buf_addc(out, ' ');
}

int complaint_drop(const char *state, const struct complaint *c, int64_t now_us)
{
	char path[PATH_MAX], hidden[PATH_MAX], id[ID_BYTES];
	struct buf text = BUF_INIT;
	id_make(now_us, id);
	if (snprintf(path, sizeof(path), "%s/" FOLDER "/%s", state, id) >= (int)sizeof(path) ||
	    snprintf(hidden, sizeof(hidden), "%s/" FOLDER "/.%s", state, id) >= (int)sizeof(hidden))
		return -ENAMETOOLONG;
	add_word(&text, c->kind);
	add_word(&text, c->way);
	add_word(&text, c->rcpt);
	buf_addc(&text, '\n');
	buf_add(&text, c->octets);
	FILE *f = text.failed ? NULL : fopen(hidden, "wxe");
	int r = text.failed ? -ENOMEM : f ? 0 : -errno;
	if (f) {
		r = file_write_fd(fileno(f), buf_span(&text));
		if (r == 0 && (fchmod(fileno(f), 0644) < 0 || fsync(fileno(f)) < 0))
			r = -errno;
		fclose(f);
		if (r == 0 && rename(hidden, path) < 0)
			r = -errno;
		if (r < 0)
			unlink(hidden);
	}
	buf_free(&text);
	return r;
}

static struct span read_word(struct span *line)
{
	struct span word;
	return span_next_word(line, &word) && !span_eq(word, SPAN("-")) ? word : SPAN_NONE;
}

/* Anybody may write there: what is no file, too large, or not for us to read is no complaint. A folder
 * with something in it gets a name that is passed over. */
static bool is_none(int r)
{
	return r == -ENOTSUP || r == -EFBIG || r == -EISDIR || r == -EACCES || r == -ELOOP;
}

static int throw_out(const char *path, const char *name, int why)
{
	char hidden[PATH_MAX];
	log_warn("complaint.dropped", "file=%s error=%s", path, strerror(-why));
	if (unlink(path) == 0 || (errno == EISDIR && rmdir(path) == 0))
		return 0;
	int n = snprintf(hidden, sizeof(hidden), "%.*s.%s", (int)(strlen(path) - strlen(name)), path,
			 name);
	return n < (int)sizeof(hidden) && rename(path, hidden) == 0 ? 0 : -errno;
}

static int collect_one(struct complaint_desk *desk, const char *path, const char *name,
		       int64_t now_us)
{
	struct file_view view;
	int r = file_view_regular(path, LIMIT_COMPLAINT_BYTES, &view);
	if (r < 0)
		return is_none(r) ? throw_out(path, name, r) : r;
	struct span rest = view.bytes, line = SPAN("");
	struct complaint c = {.octets = SPAN_NONE};
	struct complaint_result result;
	span_next_line(&rest, &line);
	c.kind = read_word(&line);
	c.way = read_word(&line);
	c.rcpt = read_word(&line);
	c.octets = rest;
	if (!span_eq(c.kind, SPAN("not-spam")) && !span_eq(c.kind, SPAN("abuse")))
		c.kind = SPAN_NONE;
	r = complaint_take(desk, &c, now_us, &result);
	if (r == 0) {
		log_info("complaint.taken", "id=%s outcome=%s", result.id,
			 complaint_outcome_name(result.outcome));
		if (unlink(path) < 0)
			r = -errno;
	}
	file_view_close(&view);
	return r;
}

int complaint_collect(struct complaint_desk *desk, int64_t now_us, unsigned *taken_r)
{
	char path[PATH_MAX];
	int first = 0;
	*taken_r = 0;
	snprintf(path, sizeof(path), "%s/" FOLDER, desk->config->state);
	DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	int64_t until_us = clock_mono_us() + LIMIT_COLLECT_US;
	for (struct dirent *e; clock_mono_us() < until_us && (e = readdir(dir));) {
		if (!id_valid(span_of(e->d_name)))
			continue;
		snprintf(path, sizeof(path), "%s/" FOLDER "/%s", desk->config->state, e->d_name);
		int r = collect_one(desk, path, e->d_name, now_us);
		if (r < 0) {
			log_warn("complaint.kept", "file=%s error=%s", path, strerror(-r));
			first = first ? first : r;
			continue;
		}
		++*taken_r;
	}
	closedir(dir);
	return first;
}
