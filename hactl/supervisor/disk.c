/* disk.c - the core's few words that must survive a power cut: one small JSON file, replaced whole and fsynced, under a lock.
 * It is replaced four times while a planned change holds up writes. */
#include "hactl/supervisor/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	STATE_VERSION = 2, /* of the file: rises when a member is added that an older file lacks */
	STATE_BLOCK = 1024 /* its length is a multiple, so that it hardly ever changes: blanks before the last brace */
};

static int lock_state(struct sup *s, const char *dir, struct err *e)
{
	auto_free char *path = str_printf("%s/lock", dir);

	if (mkdir(dir, 0750) && errno != EEXIST)
		return err_set(e, "state directory %s cannot be made: %s", dir, strerror(errno));
	s->state_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->state_lock < 0)
		return err_set(e, "%s cannot be opened: %s", path, strerror(errno));
	if (flock(s->state_lock, LOCK_EX | LOCK_NB))
		return err_set(e, "another hactl runs with the state directory %s; one node has one supervisor", dir);
	return 0;
}

/* 64-bit numbers as text: JSON readers elsewhere would round them */
static int get_u64(const json_t *o, const char *key, uint64_t *out)
{
	const char *t = json_string_value(json_object_get(o, key));
	char *end;

	if (!t || *t < '0' || *t > '9') /* strtoull would take a sign and wrap it round */
		return -1;
	errno = 0;
	*out = strtoull(t, &end, 10);
	return *end || errno ? -1 : 0;
}

json_t *text_json(const char *text)
{
	char safe[4 * SENTENCE_MAX];
	json_t *t = json_string(text);

	if (t)
		return t;
	str_escape(text, strlen(text), safe, sizeof(safe));
	return json_string(safe);
}

static void set_u64(json_t *o, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	json_object_set_new(o, key, json_string(text));
}

static int get_node(const json_t *o, const char *key, int8_t *out)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < NOBODY || json_integer_value(v) >= NODES)
		return -1;
	*out = (int8_t)json_integer_value(v);
	return 0;
}

/* A pause that was lost would let this node take over in the middle of somebody's maintenance. */
static int get_bool(const json_t *o, const char *key, bool *out)
{
	const json_t *v = json_object_get(o, key);

	*out = json_is_true(v);
	return json_is_boolean(v) ? 0 : -1;
}

/* Every number that must survive; one table both ways. bound_db is signed and kept by its bits. */
#define NUMBER(member, version)                                                                                        \
	{                                                                                                              \
#member, offsetof(struct core_disk, member), version                                                   \
	}
static const struct {
	const char *key;
	size_t offset;
	int since; /* version of the file; an older one lacks it, which is 0 */
} numbers[] = {
	NUMBER(term, 1),
	NUMBER(other_term, 1),
	NUMBER(released, 1),
	NUMBER(void_term, 1),
	NUMBER(void_seq, 1),
	NUMBER(held, 1),
	NUMBER(served, 1),
	NUMBER(bound_db, 1),
	NUMBER(bound_prev, 1),
	NUMBER(sync_floor, 1),
	NUMBER(alone, 2),
	NUMBER(held_boot, 2),
};

static int parse(const char *path, const char *text, size_t len, struct core_disk *d, struct err *e)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *reason = json_string_value(json_object_get(o, "pause_reason"));
	int version = (int)json_integer_value(json_object_get(o, "version"));
	int bad = get_node(o, "voted", &d->voted) || get_node(o, "owner", &d->owner) ||
		  get_bool(o, "paused", &d->paused) || get_bool(o, "pause_mine", &d->pause_mine) ||
		  get_bool(o, "flap", &d->flap) || !reason;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		bad |= version >= numbers[i].since &&
		       get_u64(o, numbers[i].key, (uint64_t *)((char *)d + numbers[i].offset));
	STR_COPY(d->pause_reason, reason ? reason : "");
	json_decref(o);
	if (version > STATE_VERSION)
		return err_set(e,
			"%s was written by a newer hactl (version %d of the file, this one knows %d): install that one",
			path, version, STATE_VERSION);
	if (bad || version < 1)
		return err_set(e,
			"%s is damaged. This node no longer knows what it promised: make sure the other node is "
			"primary, then remove the file and start again",
			path);
	return 0;
}

int disk_open(struct sup *s, const char *dir, struct core_disk *out, struct err *e)
{
	auto_free char *text = NULL, *spare = NULL;
	struct core_disk d = { .voted = NOBODY, .owner = NOBODY };
	size_t len;

	if (lock_state(s, dir, e))
		return -1;
	if ((size_t)snprintf(s->state_file, sizeof(s->state_file), "%s/authority.json", dir) >= sizeof(s->state_file))
		return err_set(e, "state directory %.100s...: the name is too long", dir);
	spare = file_spare(s->state_file);
	if (unlink(spare) && errno != ENOENT)
		return err_set(e, "%s: cannot be removed: %s", spare, strerror(errno));
	if (access(s->state_file, F_OK)) {
		if (errno != ENOENT)
			return err_set(e, "%s: %s", s->state_file, strerror(errno));
		*out = d;
		return 0;
	}
	if (file_read(s->state_file, 65536, &text, &len, e) || parse(s->state_file, text, len, &d, e))
		return -1;
	*out = d;
	return 0;
}

int disk_store(struct sup *s, const struct core_disk *d, struct err *e)
{
	char text[4 * STATE_BLOCK + SENTENCE_MAX * 6];
	auto_free char *dump = NULL;
	size_t len, width;
	json_t *o = json_pack("{s:i, s:i, s:i, s:b, s:b, s:b, s:o}", "version", STATE_VERSION, "voted", d->voted,
		"owner", d->owner, "paused", d->paused, "pause_mine", d->pause_mine, "flap", d->flap, "pause_reason",
		text_json(d->pause_reason));

	if (!o)
		return err_set(e, "state could not be written as JSON");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		set_u64(o, numbers[i].key, *(const uint64_t *)((const char *)d + numbers[i].offset));
	dump = json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(o);
	if (!dump)
		return err_set(e, "state could not be written as JSON");
	len = strlen(dump);
	width = (len / STATE_BLOCK + 1) * STATE_BLOCK;
	if (width >= sizeof(text))
		return err_set(e, "state is too long to be written");
	snprintf(text, sizeof(text), "%.*s%*s\n", (int)len - 1, dump, (int)(width - len), "}");
	return file_exchange(s->state_file, text, width, 0600, e);
}

/* --- which etcd it was ------------------------------------------------------------------------------------------------------------- */

/* In a file of its own, so that an operator who has exchanged the etcd on purpose says so by removing it. */
uint64_t disk_cluster(const struct sup *s)
{
	auto_free char *path = str_printf("%s/arbiter-cluster", s->cli->state_dir);
	auto_free char *text = NULL;
	unsigned long long id = 0;

	if (file_read(path, 64, &text, NULL, NULL) || sscanf(text, "%llx", &id) != 1)
		return 0;
	return id;
}

int disk_cluster_store(const struct sup *s, uint64_t id, struct err *e)
{
	auto_free char *path = str_printf("%s/arbiter-cluster", s->cli->state_dir);
	auto_free char *text = str_printf("%llx\n", (unsigned long long)id);

	return file_replace(path, text, strlen(text), 0600, e);
}
