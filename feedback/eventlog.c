/*
 * Appending takes the lock of the folder for the few microseconds of a write: so a short write
 * (disk full) or a line torn by kill -9 in another process can be cut away before anything stands
 * behind it, and the segment can be changed between two lines. Where the file does not end as we left
 * it, its last octet tells whether a line was torn. A process learns that another one began a new
 * segment from the mode of the old one, which is read-only then: one fstat() serves both questions.
 */
#include "feedback/eventlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "feedback/eventlog_private.h"

struct eventlog {
	int folder; /* O_PATH-like handle of STATE/log */
	int lock;   /* STATE/log/.lock */
	int fd;     /* the segment that is being written, or -1 */
	off_t end;  /* of the segment behind our last line; 0: look for a torn one */
	char segment[EVENTLOG_NAME_BYTES];
	int64_t begun_us; /* of the segment, from its name */
	uid_t uid; /* of the state folder: what root makes there belongs to it */
	gid_t gid;
};

/* --- names and positions ------------------------------------------------------ */

static void name_of_time(int64_t us, char out[EVENTLOG_NAME_BYTES])
{
	time_t s = (time_t)(us / US_PER_S);
	struct tm tm;
	gmtime_r(&s, &tm);
	char stamp[20];
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	snprintf(out, EVENTLOG_NAME_BYTES, "%.15s-%06u.jsonl", stamp,
		 (unsigned)(us % US_PER_S));
}

/* What stands behind the name of a segment; NULL when it is none. */
static const char *behind_name(const char *name)
{
	static const char form[] = "dddddddd-dddddd-dddddd.jsonl";
	size_t i = 0;
	for (; form[i] && name[i]; i++)
		if (form[i] == 'd' ? !ascii_is_digit(name[i]) : form[i] != name[i])
			return NULL;
	return form[i] ? NULL : name + i;
}

static bool name_is_segment(const char *name)
{
	const char *behind = behind_name(name);
	return behind && !*behind;
}

static int64_t time_of_name(const char *name)
{
	struct tm tm = {0};
	unsigned us = 0;
	if (sscanf(name, "%4d%2d%2d-%2d%2d%2d-%6u", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &us) != 7)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t)timegm(&tm) * US_PER_S + us;
}

const char *eventlog_position_text(const struct eventlog_position *p,
				   char out[EVENTLOG_POSITION_BYTES])
{
	out[0] = '\0';
	if (p->segment[0])
		snprintf(out, EVENTLOG_POSITION_BYTES, "%s:%llu", p->segment,
			 (unsigned long long)p->offset);
	return out;
}

bool eventlog_position_parse(struct span s, struct eventlog_position *p_r)
{
	*p_r = (struct eventlog_position){.offset = 0};
	if (s.n == 0)
		return true;
	size_t colon = span_rfind_char(s, ':');
	if (colon >= EVENTLOG_NAME_BYTES ||
	    !span_number(span_sub(s, colon + 1, s.n), INT64_MAX, &p_r->offset))
		return false;
	memcpy(p_r->segment, s.p, colon);
	return name_is_segment(p_r->segment);
}

int eventlog_position_cmp(const struct eventlog_position *a, const struct eventlog_position *b)
{
	int order = strcmp(a->segment, b->segment);
	return order ? order : (a->offset > b->offset) - (a->offset < b->offset);
}

/* --- the folder ----------------------------------------------------------------- */

int eventlog_folder_open(const char *state)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/log", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int64_t eventlog_begun_us(const struct eventlog_position *at)
{
	return time_of_name(at->segment);
}

/* One pass over the folder. `see` gets each segment: its name, and the file's where it is compressed.
 * Returns 0 or negative errno. */
static int each_segment(int folder, void (*see)(void *arg, const char *name, const char *file),
			void *arg)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		const char *behind = behind_name(entry->d_name);
		if (!behind || (*behind && strcmp(behind, EVENTLOG_ZST) != 0))
			continue;
		char name[EVENTLOG_NAME_BYTES];
		snprintf(name, sizeof(name), "%.*s", (int)(behind - entry->d_name), entry->d_name);
		see(arg, name, entry->d_name);
	}
	closedir(dir);
	return 0;
}

struct search {
	const char *after; /* NULL: the last one is looked for */
	char *name_r;
};

static void see_name(void *arg, const char *name, const char *file)
{
	const struct search *s = arg;
	(void)file;
	if (s->after && strcmp(name, s->after) <= 0)
		return;
	bool better = s->after ? strcmp(name, s->name_r) < 0 : strcmp(name, s->name_r) > 0;
	if (!s->name_r[0] || better)
		memcpy(s->name_r, name, strlen(name) + 1);
}

/* A segment's name from the folder: the first one behind `after` (*name_r is "" when there is
 * none), or with `after` NULL the last one. */
int eventlog_folder_find(int folder, const char *after, char name_r[EVENTLOG_NAME_BYTES])
{
	struct search s = {after, name_r};
	name_r[0] = '\0';
	return each_segment(folder, see_name, &s);
}

struct moment {
	char limit[EVENTLOG_NAME_BYTES]; /* the name that a segment begun just then has */
	char first[EVENTLOG_NAME_BYTES], last[EVENTLOG_NAME_BYTES];
};

static void see_moment(void *arg, const char *name, const char *file)
{
	struct moment *m = arg;
	(void)file;
	if (!m->first[0] || strcmp(name, m->first) < 0)
		memcpy(m->first, name, strlen(name) + 1);
	if (strcmp(name, m->limit) <= 0 && strcmp(name, m->last) > 0)
		memcpy(m->last, name, strlen(name) + 1);
}

int eventlog_at_time(const char *state, int64_t us, struct eventlog_position *at_r)
{
	struct moment m = {.first = ""};
	*at_r = (struct eventlog_position){.offset = 0};
	int folder = eventlog_folder_open(state);
	if (folder < 0)
		return folder;
	name_of_time(us, m.limit);
	int r = each_segment(folder, see_moment, &m);
	close(folder);
	memcpy(at_r->segment, m.last[0] ? m.last : m.first, sizeof(at_r->segment));
	return r;
}

struct rest {
	int folder;
	const struct eventlog_position *at;
	uint64_t octets;
};

static void see_rest(void *arg, const char *name, const char *file)
{
	struct rest *rest = arg;
	struct stat st;
	int order = strcmp(name, rest->at->segment);
	if (order < 0 || fstatat(rest->folder, file, &st, 0) < 0)
		return;
	uint64_t size = (uint64_t)st.st_size, before = order == 0 ? rest->at->offset : 0;
	rest->octets += size > before ? size - before : 0;
}

int eventlog_behind(const char *state, const struct eventlog_position *at, uint64_t *octets_r)
{
	struct rest rest = {eventlog_folder_open(state), at, 0};
	*octets_r = 0;
	if (rest.folder < 0)
		return rest.folder;
	int r = each_segment(rest.folder, see_rest, &rest);
	close(rest.folder);
	*octets_r = rest.octets;
	return r;
}

int eventlog_folder_open_file(int folder, const char *name, bool *compressed_r)
{
	char zst[EVENTLOG_FILE_BYTES];
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	*compressed_r = fd < 0 && errno == ENOENT;
	if (*compressed_r) {
		snprintf(zst, sizeof(zst), "%s" EVENTLOG_ZST, name);
		fd = openat(folder, zst, O_RDONLY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* --- writing ------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What root makes belongs to the owner of the state folder, or the daemon could not use it. */
static int give_to_owner(const struct eventlog *log, int fd)
{
	return geteuid() == 0 && fchown(fd, log->uid, log->gid) < 0 ? -errno : 0;
}

static int segment_begin(struct eventlog *log, const char *last)
{
	int64_t now = clock_now_us();
	/* A clock that was set back must not put the new segment before the old one. */
	if (last[0] && time_of_name(last) >= now)
		now = time_of_name(last) + 1;
	name_of_time(now, log->segment);
	log->begun_us = now;
	log->fd = openat(log->folder, log->segment,
			 O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (log->fd < 0)
		return -errno;
	int r = give_to_owner(log, log->fd);
	/* The name must outlive a power cut before a line in the file can. */
	if (r == 0 && fsync(log->folder) < 0)
		r = -errno;
	return r;
}

/* Under the lock: the newest segment, made when there is none. */
static int segment_newest(struct eventlog *log)
{
	char last[EVENTLOG_NAME_BYTES];
	close_fd(&log->fd);
	log->end = 0;
	int r = eventlog_folder_find(log->folder, NULL, last);
	if (r < 0)
		return r;
	struct stat st;
	if (last[0]) {
		log->fd = openat(log->folder, last, O_RDWR | O_APPEND | O_CLOEXEC);
		/* read-only; or compressed, where somebody removed the newer ones */
		if (log->fd < 0 && errno != EACCES && errno != ENOENT)
			return -errno;
		if (log->fd >= 0 && fstat(log->fd, &st) < 0)
			return -errno;
		if (log->fd >= 0 && st.st_mode & S_IWUSR) {
			memcpy(log->segment, last, sizeof(last));
			log->begun_us = time_of_name(last);
			return 0;
		}
		/* finished by somebody who died before he began the next one */
		close_fd(&log->fd);
	}
	return segment_begin(log, last);
}

/* Back to the last LF, which is near: a torn line is at most one event long. */
static int cut_torn_line(int fd, off_t *size)
{
	char block[4096];
	off_t end = *size;
	while (end > 0) {
		size_t n = end < (off_t)sizeof(block) ? (size_t)end : sizeof(block);
		ssize_t got = pread(fd, block, n, end - (off_t)n);
		if (got != (ssize_t)n)
			return got < 0 ? -errno : -EIO;
		const char *lf = memrchr(block, '\n', n);
		if (lf) {
			end += lf + 1 - (block + n);
			break;
		}
		end -= (off_t)n;
	}
	if (end < *size && ftruncate(fd, end) < 0)
		return -errno;
	*size = end;
	return 0;
}

/* Under the lock: a segment with room for a line, its end clean; *size_r is its size. */
static int segment_ready(struct eventlog *log, off_t *size_r)
{
	struct stat st = {0};
	if (log->fd >= 0 && fstat(log->fd, &st) < 0)
		return -errno;
	/* st_nlink is 0 when somebody removed the file under us: what is written there is lost. */
	if (log->fd < 0 || !(st.st_mode & S_IWUSR) || st.st_nlink == 0) {
		int r = segment_newest(log);
		if (r < 0)
			return r;
		if (fstat(log->fd, &st) < 0)
			return -errno;
	}
	int r = st.st_size == log->end ? 0 : cut_torn_line(log->fd, &st.st_size);
	if (r < 0)
		return r;
	int64_t age = clock_now_us() - log->begun_us;
	if (st.st_size > 0 && (st.st_size >= LIMIT_LOG_SEGMENT_BYTES ||
			       age >= LIMIT_LOG_SEGMENT_US)) {
		char last[EVENTLOG_NAME_BYTES];
		memcpy(last, log->segment, sizeof(last));
		if (fchmod(log->fd, 0440) < 0)
			return -errno;
		close_fd(&log->fd);
		if ((r = segment_begin(log, last)) < 0)
			return r;
		st.st_size = 0;
	}
	*size_r = st.st_size;
	return 0;
}

int eventlog_open(struct eventlog **log_r, const char *state)
{
	char path[PATH_MAX];
	struct stat st;
	off_t size;
	int r;
	if (snprintf(path, sizeof(path), "%s/log", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	struct eventlog *log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->folder = log->lock = log->fd = -1;
	if ((r = file_make_folder(path, 0750)) < 0)
		goto out;
	r = -errno;
	if (stat(state, &st) < 0)
		goto out_errno;
	log->uid = st.st_uid;
	log->gid = st.st_gid;
	if ((log->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		goto out_errno;
	log->lock = openat(log->folder, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (log->lock < 0)
		goto out_errno;
	if ((r = give_to_owner(log, log->folder)) < 0 || (r = give_to_owner(log, log->lock)) < 0)
		goto out;
	if (flock(log->lock, LOCK_EX) < 0)
		goto out_errno;
	r = segment_ready(log, &size);
	flock(log->lock, LOCK_UN);
	goto out;
out_errno:
	r = -errno;
out:
	if (r < 0) {
		eventlog_close(log);
		log = NULL;
	}
	*log_r = log;
	return r;
}

void eventlog_close(struct eventlog *log)
{
	if (!log)
		return;
	close_fd(&log->fd);
	close_fd(&log->lock);
	close_fd(&log->folder);
	free(log);
}

static int write_line(struct eventlog *log, off_t size, struct span line)
{
	ssize_t n;
	do
		n = write(log->fd, line.p, line.n);
	while (n < 0 && errno == EINTR);
	log->end = n == (ssize_t)line.n ? size + n : 0;
	if (log->end)
		return 0;
	int r = n < 0 ? -errno : -ENOSPC;
	if (n > 0 && ftruncate(log->fd, size) < 0)
		return -errno;
	return r;
}

int eventlog_append_at(struct eventlog *log, struct span line, struct eventlog_position *at_r)
{
	char *copy = NULL;
	off_t size = 0;
	if (line.n && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n == 0 || memchr(line.p, '\n', line.n))
		return -EINVAL;
	if (line.n >= LIMIT_EVENT_BYTES)
		return -EMSGSIZE;
	/* One write with the LF in it, or a crash between two could join two lines. */
	if (!(copy = malloc(line.n + 1)))
		return -ENOMEM;
	memcpy(copy, line.p, line.n);
	copy[line.n] = '\n';
	int r = flock(log->lock, LOCK_EX) < 0 ? -errno : segment_ready(log, &size);
	if (r == 0) {
		memcpy(at_r->segment, log->segment, sizeof(at_r->segment));
		at_r->offset = (uint64_t)size;
		r = write_line(log, size, (struct span){copy, line.n + 1});
	}
	flock(log->lock, LOCK_UN);
	free(copy);
	return r;
}

int eventlog_append(struct eventlog *log, struct span line)
{
	struct eventlog_position at;
	return eventlog_append_at(log, line, &at);
}
