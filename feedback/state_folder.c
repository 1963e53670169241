#include "feedback/state_folder.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/file.h"

/* Makes the folder when it is missing; its owner. */
static int make_folder(const struct config *config, struct stat *st)
{
	if (stat(config->state, st) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	int r = file_make_folder(config->state, 0755);
	if (r < 0)
		return r;
	const struct passwd *user =
		geteuid() == 0 && config->user ? getpwnam(config->user) : NULL;
	if (user && chown(config->state, user->pw_uid, user->pw_gid) < 0)
		return -errno;
	return stat(config->state, st) < 0 ? -errno : 0;
}

int state_folder_enter(const struct config *config)
{
	struct stat st;
	int r = make_folder(config, &st);
	if (r < 0)
		return r;
	if (geteuid() != 0 || st.st_uid == 0)
		return 0;
	if (setgroups(1, &st.st_gid) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
		return -errno;
	return 0;
}

int state_folder_step_in(const struct config *config)
{
	struct stat st;
	int r = make_folder(config, &st);
	if (r < 0 || geteuid() != 0 || st.st_uid == 0)
		return r;
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return -errno;
	return 0;
}

void state_folder_step_out(void)
{
	/* only who began as root can come back; nobody else has left */
	if (getuid() == 0 && geteuid() != 0 && (seteuid(0) < 0 || setegid(getgid()) < 0))
		abort();
}
