/* sql_events.c - scheduled events on the side where they belong.
 *
 * A replica takes every event that arrives as SLAVESIDE_DISABLED (8.4: REPLICA_SIDE_DISABLED), also one that its owner had disabled: what it
 * was on the primary only the primary knows, and the caller has asked it (measured on MariaDB 10.11 and MySQL 9.7). ALTER EVENT without a
 * DEFINER takes the event for its own, and it stores the session's character set: both are repeated as they were. All of it stays out of
 * the binary log: the other side has its own truth.
 *
 * MySQL's scheduler stops by itself when super_read_only is on and goes on when it is off (8.0.26+), and nobody can alter an event
 * meanwhile. MariaDB's goes on under read_only, and an event whose definer passes read_only writes to a standby.
 */
#include "replication/routines.h"

enum { NAME_QUOTED = 2 * 64 * 4 + 3, ALTER_MAX = 2 * 64 * 4 + 4 * NAME_QUOTED };

static const us_t spare = 300 * US_PER_MS; /* to end in time */

static bool away(const json_t *event)
{
	return strstr(row_text(event, "status"), "SIDE_DISABLED") != NULL;
}

/* `name`, with the quotes inside it doubled. */
static void identifier(const char *name, size_t n, char out[NAME_QUOTED])
{
	size_t at = 0;
	out[at++] = '`';
	for (size_t i = 0; i < n && at + 4 < NAME_QUOTED; i++) {
		if (name[i] == '`')
			out[at++] = '`';
		out[at++] = name[i];
	}
	out[at++] = '`';
	out[at] = '\0';
}

static bool ascii(const char *s)
{
	while (*s && (unsigned char)*s < 128)
		s++;
	return !*s;
}

/* As the event was made; names outside ASCII are sent as we send everything. */
static int speak_like(struct task *t, const json_t *event, const char *names, struct err *e)
{
	if (!ascii(names))
		return sql_run(t->db, e, "SET NAMES utf8mb4");
	return sql_run(t->db, e, "SET SESSION character_set_client = %s, collation_connection = %s",
		row_text(event, "charset"), row_text(event, "collation"));
}

static int alter(struct task *t, const json_t *event, const char *how, struct err *e)
{
	const char *definer = row_text(event, "definer"), *at = strrchr(definer, '@');
	const char *schema = row_text(event, "db"), *name = row_text(event, "name");
	char q[4][NAME_QUOTED];
	auto_free char *names = str_printf("%s%s%s", definer, schema, name);

	if (!at)
		return err_set(e, "its definer \"%.100s\" is no account", definer);
	identifier(definer, (size_t)(at - definer), q[0]);
	identifier(at + 1, strlen(at + 1), q[1]);
	identifier(schema, strlen(schema), q[2]);
	identifier(name, strlen(name), q[3]);
	if (speak_like(t, event, names, e) < 0)
		return -1;
	return sql_run(t->db, e, "ALTER DEFINER = %s@%s EVENT %s.%s %s", q[0], q[1], q[2], q[3], how);
}

struct tally {
	size_t changed, kept, refused, len;
	char why[SENTENCE_MAX];
};

static void refused(struct tally *y, const json_t *event, const struct err *why)
{
	if (!y->refused++)
		str_add(y->why, sizeof(y->why), &y->len, "event %s.%s (definer %s): %.160s", row_text(event, "db"),
			row_text(event, "name"), row_text(event, "definer"), why->text);
}

/* What to do with an event, as ALTER EVENT says it; NULL: nothing. */
typedef const char *verdict_fn(const struct task *t, const json_t *event, void *arg);

static int each_event(struct task *t, verdict_fn *verdict, void *arg, struct tally *y, struct err *e)
{
	struct err why, late = { "no time was left" };
	json_t *sets, *event;
	size_t i;
	int r;

	*y = (struct tally){ 0 };
	sets = sql_fetch(t->db, e, task_stmt(t, ST_EVENTS));
	if (!sets)
		return -1;
	r = sql_run(t->db, e, "SET SESSION sql_log_bin = 0, lock_wait_timeout = 2");
	json_array_foreach(json_array_get(sets, 0), i, event)
	{
		const char *how = r < 0 ? NULL : verdict(t, event, arg);
		if (!how)
			y->kept++;
		else if (task_left(t) < spare)
			refused(y, event, &late);
		else if (alter(t, event, how, &why) < 0)
			refused(y, event, &why);
		else
			y->changed++;
	}
	json_decref(sets);
	/* the connection serves other routines afterwards */
	if (sql_run(t->db, &why, "SET SESSION sql_log_bin = 1; SET NAMES utf8mb4") < 0 && r == 0)
		r = err_set(e, "%s", why.text);
	return r;
}

static const char *send_away(const struct task *t, const json_t *event, void *arg)
{
	(void)arg;
	return str_eq(row_text(event, "status"), "ENABLED") ? task_stmt(t, ST_EVENT_AWAY) : NULL;
}

int events_away(struct task *t, char *left, size_t size, struct err *e)
{
	struct tally y;
	int ro = read_only(t, e);

	left[0] = '\0';
	if (ro < 0)
		return -1;
	if (!t->dialect->mariadb && ro != WRITES_OPEN)
		return 0;
	if (each_event(t, send_away, NULL, &y, e) < 0)
		return -1;
	str_copy(left, size, y.why);
	return 0;
}

int routine_events_off(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	struct err why = { "" };
	char left[SENTENCE_MAX];

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	if (events_away(&t, left, sizeof(left), &why) < 0)
		STR_COPY(left, why.text);
	return task_say(&t, "%s", left);
}

/* known: the states on the primary before; an event that is not in it is newer than it and enabled. */
static const char *bring_back(const struct task *t, const json_t *event, void *known)
{
	auto_free char *name = str_printf("%s.%s", row_text(event, "db"), row_text(event, "name"));

	(void)t;
	if (!away(event))
		return NULL;
	return str_eq(row_text(known, name), "DISABLED") ? "DISABLE" : "ENABLE";
}

static const char *count_away(const struct task *t, const json_t *event, void *count)
{
	(void)t;
	*(size_t *)count += away(event);
	return NULL;
}

int routine_events_on(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	json_t *known;
	struct tally y;
	size_t waiting = 0;
	int r;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	if (read_only(&t, e) != WRITES_OPEN)
		return e->text[0] ? -1 : err_set(e, "this server is read-only: its events stay disabled");
	known = json_loads(task_text(&t, "known"), 0, NULL);
	r = each_event(&t, known ? bring_back : count_away, known ? (void *)known : &waiting, &y, e);
	json_decref(known);
	if (r < 0)
		return -1;
	if (waiting)
		return err_set(e,
			"%zu scheduled events came by replication and nobody knows which of them were enabled on the "
			"primary: see information_schema.EVENTS, and ALTER EVENT … ENABLE",
			waiting);
	if (y.refused)
		return err_set(e, "%zu scheduled events stay disabled: %s", y.refused, y.why);
	if (!y.changed)
		return 0;
	return task_say(&t, "%zu scheduled events are again what they were on the last primary", y.changed);
}

int routine_events(void *db, const char *args, char *out, size_t cap, struct err *e)
{
	auto_task struct task t;
	json_t *sets, *event, *states;
	size_t i, len;

	if (task_open(&t, db, args, out, cap, e) < 0)
		return -1;
	sets = sql_fetch(db, e, task_stmt(&t, ST_EVENTS));
	if (!sets)
		return -1;
	states = json_object();
	json_array_foreach(json_array_get(sets, 0), i, event)
	{
		auto_free char *name = str_printf("%s.%s", row_text(event, "db"), row_text(event, "name"));
		json_object_set_new(
			states, name, json_string(away(event) ? "SLAVESIDE_DISABLED" : row_text(event, "status")));
	}
	json_decref(sets);
	len = json_dumpb(states, out, cap - 1, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(states);
	if (len >= cap)
		return err_set(e, "there are too many scheduled events to carry their states");
	out[len] = '\0';
	return 0;
}
