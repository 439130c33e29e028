/* test_config.h - what the tests of hactl/config share: a folder with secret files, and the mistakes of a text. */
#ifndef TEST_CONFIG_H
#define TEST_CONFIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hactl/config/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOLD_MOST = 256 };

struct told {
	int n;
	int line[TOLD_MOST];
	char file[TOLD_MOST][CONF_PATH];
	char sentence[TOLD_MOST][600];
};

struct place { /* a folder of its own; removed with what make_file put there */
	char dir[64];
};

static inline void tell(void *arg, const char *file, int line, const char *sentence)
{
	struct told *t = arg;

	assert_true(t->n < TOLD_MOST);
	t->line[t->n] = line;
	STR_COPY(t->file[t->n], file);
	STR_COPY(t->sentence[t->n], sentence);
	t->n++;
}

static inline void make_file(const struct place *p, const char *name, mode_t mode, const char *text, size_t len)
{
	auto_free char *path = str_printf("%s/%s", p->dir, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
}

static inline void make_text(const struct place *p, const char *name, const char *text)
{
	make_file(p, name, 0600, text, strlen(text));
}

#define KEY_TEXT "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100"

static inline int place_setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	STR_COPY(p->dir, "/tmp/hactl-config-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	make_text(p, "cluster.key", KEY_TEXT "\n");
	make_text(p, "mysql.pw", "mysql secret\n");
	make_text(p, "repl.pw", "repl secret");
	make_text(p, "redis.pw", "redis secret\r\n");
	make_text(p, "etcd.pw", "etcd secret\n");
	make_text(p, "etcd-key.pem", "-----BEGIN\nkey\n");
	make_file(p, "open.pw", 0640, "seen by all", 11);
	make_text(p, "empty.pw", "\n");
	make_text(p, "short.key", "0011\n");
	make_text(p, "long.key", KEY_TEXT "00\n");
	make_text(p, "text.key", "zz112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100\n");
	*state = p;
	return 0;
}

static inline int place_teardown(void **state)
{
	struct place *p = *state;
	auto_free char *command = str_printf("rm -r '%s'", p->dir);
	int rc = system(command);

	free(p);
	return rc;
}

/* Text with every FIND replaced. Caller frees. */
static inline char *replaced(const char *text, const char *find, const char *with)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	assert_non_null(f);
	for (const char *at; (at = strstr(text, find)); text = at + strlen(find)) {
		fwrite(text, 1, (size_t)(at - text), f);
		fputs(with, f);
	}
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return out;
}

/* Loads text, in which DIR stands for the folder, from a file in it. */
static inline struct conf *load_text(const struct place *p, const char *text, struct told *t)
{
	auto_free char *there = replaced(text, "DIR", p->dir);
	auto_free char *path = str_printf("%s/hactl.conf", p->dir);

	*t = (struct told){ 0 };
	make_text(p, "hactl.conf", there);
	return conf_load(path, tell, t);
}

static inline void print_told(const struct told *t)
{
	for (int i = 0; i < t->n; i++)
		print_error("  %d: %s\n", t->line[i], t->sentence[i]);
}

#endif
