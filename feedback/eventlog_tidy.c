/*
 * Old segments: compressed after a while, removed later.
 *
 *     written (0640) -> finished (0440) -> NAME.zst -> gone
 *
 * Only a segment that is finished, not the newest and applied to the books is touched. The
 * compressed file stands under its name, whole and read once again, before the plain one goes, so
 * at any moment a reader finds one of them. A file's time stays that of its last line: age is
 * counted from there, so a log that was copied from elsewhere gets its time too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/eventlog_private.h"
#include "feedback/eventlog_zstd.h"

#define HALF_MADE ".compressing" /* one at a time: the recorder holds its lock */

static bool same_as(int zst, off_t size)
{
	struct stat st;
	int back = memfd_create("segment", MFD_CLOEXEC);
	bool same = back >= 0 && eventlog_decompress(zst, back) == 0 && fstat(back, &st) == 0 &&
		    st.st_size == size;
	if (back >= 0)
		close(back);
	return same;
}

static int compress_segment(int folder, const char *name, int plain, const struct stat *st)
{
	char zst[EVENTLOG_FILE_BYTES];
	snprintf(zst, sizeof(zst), "%s" EVENTLOG_ZST, name);
	unlinkat(folder, HALF_MADE, 0);
	int fd = openat(folder, HALF_MADE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
	if (fd < 0)
		return -errno;
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	int r = eventlog_compress(plain, fd);
	if (r == 0 && !same_as(fd, st->st_size))
		r = -EIO;
	if (r == 0 && (futimens(fd, times) < 0 || fsync(fd) < 0 ||
		       renameat(folder, HALF_MADE, folder, zst) < 0 || fsync(folder) < 0 ||
		       unlinkat(folder, name, 0) < 0))
		r = -errno;
	if (r < 0)
		unlinkat(folder, HALF_MADE, 0);
	close(fd);
	return r < 0 ? r : 1;
}

/* 1: something was done. */
static int tidy_segment(int folder, const char *name, int64_t compress_us, int64_t keep_us)
{
	bool compressed;
	struct stat st;
	int fd = eventlog_folder_open_file(folder, name, &compressed);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	int64_t age = clock_now_us() - ((int64_t)st.st_mtim.tv_sec * US_PER_S);
	if (r < 0 || (st.st_mode & S_IWUSR)) {
		close(fd);
		return r; /* somebody may still write: not finished */
	}
	if (keep_us && age > keep_us) {
		char file[EVENTLOG_FILE_BYTES];
		snprintf(file, sizeof(file), "%s%s", name, compressed ? EVENTLOG_ZST : "");
		r = unlinkat(folder, file, 0) < 0 ? -errno : 1;
	} else if (!compressed && compress_us && age > compress_us &&
		   st.st_size <= LIMIT_LOG_SEGMENT_BYTES + (off_t)LIMIT_EVENT_BYTES) {
		r = compress_segment(folder, name, fd, &st);
	}
	close(fd);
	return r;
}

int eventlog_tidy(const char *state, const struct eventlog_position *applied, int64_t compress_us,
		  int64_t keep_us)
{
	char newest[EVENTLOG_NAME_BYTES], name[EVENTLOG_NAME_BYTES] = "";
	int folder = eventlog_folder_open(state);
	if (folder < 0)
		return folder == -ENOENT ? 0 : folder;
	int r = eventlog_folder_find(folder, NULL, newest);
	while (r == 0) {
		char next[EVENTLOG_NAME_BYTES];
		r = eventlog_folder_find(folder, name, next);
		if (r < 0 || !next[0] || strcmp(next, newest) >= 0 ||
		    strcmp(next, applied->segment) >= 0)
			break;
		memcpy(name, next, sizeof(name));
		r = tidy_segment(folder, name, compress_us, keep_us);
	}
	close(folder);
	return r;
}
