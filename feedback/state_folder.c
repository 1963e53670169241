#include "feedback/state_folder.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/file.h"

int state_folder_enter(const struct config *config)
{
	struct stat st;
	if (stat(config->state, &st) < 0) {
		if (errno != ENOENT)
			return -errno;
		int r = file_make_folder(config->state, 0755);
		if (r < 0)
			return r;
		const struct passwd *user =
			geteuid() == 0 && config->user ? getpwnam(config->user) : NULL;
		if (user && chown(config->state, user->pw_uid, user->pw_gid) < 0)
			return -errno;
		if (stat(config->state, &st) < 0)
			return -errno;
	}
	if (geteuid() != 0 || st.st_uid == 0)
		return 0;
	if (setgroups(1, &st.st_gid) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		return -errno;
	return 0;
}
