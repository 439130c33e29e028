/* process.c - other processes of this host, by what /proc says of them. Whose descriptors may be read: one's own user's, anybody's with
 * CAP_SYS_PTRACE.
 */
#include "hactl/base/base.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTENERS = 16, TCP_LISTEN = 0x0a };

static size_t listeners(const char *table, int port, unsigned long *inode, size_t n)
{
	auto_file FILE *f = fopen(table, "re");
	char line[512];
	while (f && n < LISTENERS && fgets(line, sizeof(line), f)) {
		unsigned local, state;
		unsigned long found;
		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local, &state,
			    &found) == 3 &&
			state == TCP_LISTEN && (int)local == port)
			inode[n++] = found;
	}
	return n;
}

static bool has_socket(pid_t pid, const unsigned long *inode, size_t n)
{
	char path[64], target[64];
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	bool found = false;
	for (struct dirent *entry; d && !found && (entry = readdir(d));) {
		ssize_t len = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';
		for (size_t i = 0; i < n; i++) {
			char wanted[64];
			snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode[i]);
			found = found || str_eq(target, wanted);
		}
	}
	if (d)
		closedir(d);
	return found;
}

bool process_called(pid_t pid, const char *const *names)
{
	char path[64];
	auto_free char *comm = NULL;
	size_t len;
	struct err e;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (file_read(path, 64, &comm, &len, &e) < 0)
		return false;
	for (; *names; names++)
		if (str_starts(comm, *names))
			return true;
	return false;
}

pid_t listener_process(int port, const char *const *names)
{
	unsigned long inode[LISTENERS];
	size_t n = listeners("/proc/net/tcp", port, inode, 0);
	pid_t pid = NOBODY;
	n = listeners("/proc/net/tcp6", port, inode, n);
	DIR *d = n ? opendir("/proc") : NULL;
	for (struct dirent *entry; d && pid == NOBODY && (entry = readdir(d));) {
		pid_t p = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)atoi(entry->d_name) : 0;
		if (p > 0 && process_called(p, names) && has_socket(p, inode, n))
			pid = p;
	}
	if (d)
		closedir(d);
	return pid;
}

/* The kernel notes who began to listen; a server that stands still has not to answer for that. */
pid_t socket_process(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct ucred who;
	socklen_t len = sizeof(who);

	if (fd < 0 || !STR_COPY(un.sun_path, path) || connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		return NOBODY;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.pid <= 0) /* 0: in no namespace of ours */
		return NOBODY;
	return who.pid;
}

us_t process_started(pid_t pid)
{
	auto_free char *stat = NULL;
	char path[64];
	const char *after;
	unsigned long long ticks;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, 4096, &stat, NULL, NULL) < 0)
		return US_UNKNOWN;
	after = strrchr(stat, ')'); /* the name may hold anything; the 22nd field is the 20th behind it */
	if (!after ||
		sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			&ticks) != 1)
		return US_UNKNOWN;
	return (us_t)(ticks * (unsigned long long)US_PER_SEC / (unsigned long long)sysconf(_SC_CLK_TCK));
}
