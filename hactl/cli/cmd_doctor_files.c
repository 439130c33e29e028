/* cmd_doctor_files.c - what a server's own files say, read where the server reads them.
 *
 * The server is the process that listens on its port in our network namespace; its files are found below its root directory
 * (/proc/PID/root), links resolved within it, so that a server in a chroot or beside us in another mount namespace is read as it reads
 * itself. A server behind a published port is a proxy's process to us: then nothing is known, and that is said.
 * Which files and groups: MySQL manual "Using Option Files", MariaDB "Configuring MariaDB with Option Files"; Redis: redis.conf.
 */
#include "hactl/cli/cmd_doctor.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, DEPTH_MAX = 8 };

/* --- the process ------------------------------------------------------------------------------------------------------------- */

pid_t server_of_port(int port, const char *const *names, int *root)
{
	pid_t pid = listener_process(port, names);
	char path[64];

	*root = -1;
	if (pid == NOBODY)
		return NOBODY;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	*root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *root < 0 ? NOBODY : pid;
}

/* --- files below a root ------------------------------------------------------------------------------------------------------- */

static int open_below(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static char *read_below(int root, const char *path)
{
	auto_close int fd = open_below(root, path, O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return NULL;
	char *text = xcalloc(1, (size_t)st.st_size + 1);
	size_t len = 0;
	for (ssize_t n; len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0;)
		len += (size_t)n;
	return text;
}

/* --- one file's text -------------------------------------------------------------------------------------------------------------- */

bool option_on(const char *value)
{
	return !*value || str_eq(value, "1") || !strcasecmp(value, "ON") || !strcasecmp(value, "TRUE") ||
	       !strcasecmp(value, "YES");
}

static char *trim(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	for (char *end = s + strlen(s); end > s && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	return s;
}

static void unquote(char *s)
{
	size_t n = strlen(s);
	if (n < 2 || (s[0] != '"' && s[0] != '\'') || s[n - 1] != s[0])
		return;
	memmove(s, s + 1, n - 2);
	s[n - 2] = '\0';
}

/* "name = value", "skip-name", "loose-name": dashes are underscores, "skip" stays part of the name. */
static void option_put(json_t *options, char *text, const char *path)
{
	char *equals = strchr(text, '='), *name, *value = (char[]){ "" };
	json_t *v;
	if (equals) {
		*equals = '\0';
		value = trim(equals + 1);
		unquote(value);
	}
	name = trim(text);
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : (char)tolower((unsigned char)*p);
	if (str_starts(name, "loose_"))
		name += strlen("loose_");
	v = *name ? json_pack("{s:s, s:s}", "value", value, "path", path) : NULL;
	if (v)
		json_object_set_new(options, name, v);
}

static bool group_read(const char *group, bool mariadb, int version)
{
	static const char *const both[] = { "mysqld", "server" }, *const maria[] = { "mariadb", "mariadbd",
		"client-server" };
	char suffix[16];
	snprintf(suffix, sizeof(suffix), "-%d.%d", version / 10000, version / 100 % 100);
	for (size_t i = 0; i < ARRAY_LEN(both) + (mariadb ? ARRAY_LEN(maria) : 0); i++) {
		const char *name = i < ARRAY_LEN(both) ? both[i] : maria[i - ARRAY_LEN(both)];
		if (str_starts(group, name) &&
			(str_eq(group + strlen(name), "") || str_eq(group + strlen(name), suffix)))
			return true;
	}
	return false;
}

static void option_line(char *line, const char *path, bool *ours, bool mariadb, int version, json_t *options,
	include_fn *include, void *arg)
{
	char *end;
	line = trim(line);
	if (*line == '#' || *line == ';' || !*line)
		return;
	if (*line == '[' && (end = strchr(line, ']'))) {
		*end = '\0';
		*ours = group_read(trim(line + 1), mariadb, version);
	} else if (str_starts(line, "!includedir") && include) {
		include(arg, trim(line + strlen("!includedir")), true);
	} else if (str_starts(line, "!include") && include) {
		include(arg, trim(line + strlen("!include")), false);
	} else if (*line != '!' && *ours) {
		end = strstr(line, " #"); /* a comment may follow a value */
		if (end)
			*end = '\0';
		option_put(options, line, path);
	}
}

void options_parse(
	const char *text, const char *path, bool mariadb, int version, json_t *options, include_fn *include, void *arg)
{
	auto_free char *copy = xstrdup(text);
	bool ours = false;
	for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
		option_line(line, path, &ours, mariadb, version, options, include, arg);
}

void directives_parse(const char *text, const char *path, json_t *options, include_fn *include, void *arg)
{
	auto_free char *copy = xstrdup(text);
	for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
		char *name = trim(line), *value = name + strcspn(name, " \t");
		if (*name == '#' || !*name)
			continue;
		if (*value)
			*value++ = '\0';
		value = trim(value);
		unquote(value);
		for (char *p = name; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		json_t *v = json_pack("{s:s, s:s}", "value", value, "path", path);
		if (str_eq(name, "include") && include)
			include(arg, value, false);
		if (v)
			json_object_set_new(options, name, v);
	}
}

/* --- all files of a server --------------------------------------------------------------------------------------------------------- */

struct reading {
	int root, depth, version;
	bool mariadb, redis;
	json_t *options;
	char where[256]; /* the files that were there */
	size_t len;
};

static void read_one(struct reading *r, const char *path);

static int only_cnf(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);
	return n > 4 && str_eq(entry->d_name + n - 4, ".cnf");
}

static void read_folder(struct reading *r, const char *path)
{
	struct dirent **list = NULL;
	char magic[64];
	auto_close int fd = open_below(r->root, path, O_RDONLY | O_DIRECTORY);
	snprintf(magic, sizeof(magic), "/proc/self/fd/%d", fd);
	int n = fd < 0 ? 0 : scandir(magic, &list, only_cnf, alphasort);
	for (int i = 0; i < n; i++) {
		auto_free char *file = str_printf("%s/%s", path, list[i]->d_name);
		read_one(r, file);
		free(list[i]);
	}
	free(list);
}

static void on_include(void *arg, const char *path, bool folder)
{
	struct reading *r = arg;
	if (r->depth >= DEPTH_MAX)
		return;
	if (folder)
		read_folder(r, path);
	else
		read_one(r, path);
}

static void read_one(struct reading *r, const char *path)
{
	auto_free char *text = read_below(r->root, path);
	if (!text)
		return;
	if (r->depth == 0)
		str_add(r->where, sizeof(r->where), &r->len, "%s%s", r->len ? ", " : "", path);
	r->depth++;
	if (r->redis)
		directives_parse(text, path, r->options, on_include, r);
	else
		options_parse(text, path, r->mariadb, r->version, r->options, on_include, r);
	r->depth--;
}

/* The command line comes last; --defaults-file alone replaces the usual files. */
static void read_mysql(struct reading *r, char *command, size_t len)
{
	const char *file = NULL, *extra = NULL;
	char *end = command + len;
	bool none = false;
	for (char *a = command; a < end; a += strlen(a) + 1) {
		if (str_starts(a, "--defaults-file="))
			file = strchr(a, '=') + 1;
		else if (str_starts(a, "--defaults-extra-file="))
			extra = strchr(a, '=') + 1;
		none = none || str_eq(a, "--no-defaults");
	}
	if (file) {
		read_one(r, file);
	} else if (!none) {
		read_one(r, "/etc/my.cnf");
		read_one(r, "/etc/mysql/my.cnf");
		if (extra)
			read_one(r, extra);
	}
	for (char *a = command + strlen(command) + 1; a < end;) {
		char *next = a + strlen(a) + 1;
		if (str_starts(a, "--") && !str_starts(a, "--defaults"))
			option_put(r->options, a + 2, "command line");
		a = next;
	}
}

static json_t *seen(struct reading *r)
{
	return json_pack(
		"{s:b, s:s, s:o}", "seen", 1, "where", r->len ? r->where : "its command line", "options", r->options);
}

static json_t *not_seen(int port)
{
	return json_pack("{s:b, s:o}", "seen", 0, "why",
		json_sprintf("no such server's process is seen here on port %d (in a container, or this is not root)",
			port));
}

json_t *options_of_server(int port, bool mariadb, int version)
{
	static const char *const names[] = { "mysqld", "mariadbd", NULL };
	auto_close int root = -1;
	pid_t pid = server_of_port(port, names, &root);
	struct reading r = { .root = root, .version = version, .mariadb = mariadb };
	auto_free char *command = NULL;
	char path[64];
	size_t len;
	struct err e;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (pid == NOBODY || file_read(path, FILE_MAX, &command, &len, &e) < 0)
		return not_seen(port);
	r.options = json_object();
	read_mysql(&r, command, len);
	return seen(&r);
}

json_t *directives_of_server(int port, const char *path)
{
	static const char *const names[] = { "redis", "valkey", NULL };
	auto_close int root = -1;
	struct reading r = { .redis = true };
	if (server_of_port(port, names, &root) == NOBODY)
		return not_seen(port);
	r.root = root;
	r.options = json_object();
	if (*path)
		read_one(&r, path);
	return seen(&r);
}
