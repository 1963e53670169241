#include "feedback/complaint_spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"

#define SETTLED_US (2 * US_PER_S)
/* A file that cannot be removed is remembered for so long. */
#define REMEMBER_US (30 * 86400 * US_PER_S)

static int take_file(struct complaint_desk *desk, const char *path, int64_t now_us)
{
	struct file_view view;
	struct complaint_result result;
	int r = file_view_regular(path, LIMIT_COMPLAINT_BYTES, &view);
	if (r < 0)
		return r;
	struct complaint c = {.octets = view.bytes};
	r = complaint_take(desk, &c, now_us, &result);
	file_view_close(&view);
	if (r == 0)
		log_info("complaint.taken", "id=%s outcome=%s", result.id,
			 complaint_outcome_name(result.outcome));
	return r;
}

/* What is wrong with the one file, and stays wrong; all else (Redis, the disk) is wrong with all. */
static bool is_its_own(int r)
{
	return r == -EFBIG || r == -EACCES || r == -EPERM || r == -ENOTSUP;
}

/* 1: taken; 0: not its turn; negative errno. */
static int look_at(struct complaint_desk *desk, const char *path, bool writable, int64_t now_us)
{
	struct stat st;
	char name[PATH_MAX + 80];
	bool first = true;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	int64_t changed_us = st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / 1000;
	if (!S_ISREG(st.st_mode) || (changed_us <= now_us && changed_us > now_us - SETTLED_US))
		return 0;
	snprintf(name, sizeof(name), "spool %s %lld %lld", path, (long long)st.st_size,
		 (long long)changed_us);
	int r = writable ? 0 : queue_once(desk->queue, span_of(name), now_us, REMEMBER_US, &first);
	if (r < 0 || !first)
		return r;
	r = take_file(desk, path, now_us);
	if (is_its_own(r)) { /* the others are taken all the same; it is told once */
		int trouble = r;
		r = writable ? queue_once(desk->queue, span_of(name), now_us, REMEMBER_US, &first) : 0;
		if (r == 0 && first)
			log_warn("complaint.passed-over", "file=%s error=%s", path,
				 strerror(-trouble));
		return r;
	}
	if (r == 0 && writable && unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	/* not taken: the next round may try again */
	if (r < 0 && !writable && queue_once_undo(desk->queue, span_of(name)) < 0)
		log_warn("complaint.lost", "file=%s error=\"the queue cannot be written\"", path);
	return r < 0 ? r : 1;
}

static int take_folder(struct complaint_desk *desk, const char *folder, int64_t now_us,
		       unsigned *taken)
{
	char path[PATH_MAX];
	int first = 0;
	/* of a Maildir only what nobody has seen yet */
	snprintf(path, sizeof(path), "%s/new", folder);
	const char *from = access(path, F_OK) == 0 ? path : folder;
	char place[PATH_MAX];
	snprintf(place, sizeof(place), "%s", from);
	DIR *dir = opendir(place);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	bool writable = faccessat(AT_FDCWD, place, W_OK | X_OK, AT_EACCESS) == 0;
	int64_t until_us = clock_mono_us() + LIMIT_COLLECT_US;
	for (struct dirent *e; (e = readdir(dir)) && *taken < LIMIT_SPOOL_FILES &&
			       clock_mono_us() < until_us;) {
		if (e->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", place, e->d_name) >= (int)sizeof(path))
			continue;
		int r = look_at(desk, path, writable, now_us);
		if (r < 0) {
			log_warn("complaint.kept", "file=%s error=%s", path, strerror(-r));
			first = r;
			break; /* Redis, the disk: the next one fares no better */
		}
		*taken += r == 1;
	}
	closedir(dir);
	return first;
}

int complaint_spool_take(struct complaint_desk *desk, int64_t now_us, unsigned *taken_r)
{
	int first = 0;
	*taken_r = 0;
	for (size_t i = 0; i < desk->config->spool_complaints.n; i++) {
		int r = take_folder(desk, desk->config->spool_complaints.v[i], now_us, taken_r);
		first = first ? first : r;
	}
	return first;
}
