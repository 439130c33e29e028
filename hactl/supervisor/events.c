/* events.c - the database's scheduled events. Which of them are enabled only a primary knows (sql_events.c says why), so both nodes ask it
 * now and then and keep the answer; a node that has become primary enables what was. Nothing waits for it: the gate is open by then.
 */
#include "hactl/supervisor/private.h"

#include <jansson.h>

#define ASK_EVERY     (5 * US_PER_SEC)
#define ASK_TIMEOUT   (US_PER_SEC)
#define ON_TIMEOUT    (10 * US_PER_SEC)
#define AGAIN_AT_MOST (5 * 60 * US_PER_SEC)

struct events {
	struct sup *s;
	json_t *known; /* states on the primary; NULL nobody has told yet */
	char file[512];
	bool due; /* this node is or will again be primary, and its events are to be what they were */
	us_t due_at;
	int tries;
	us_t asked_at;
	struct db_call *asking, *bringing;
	char told[SENTENCE_MAX]; /* trouble said last */
};

/* --- what is known ----------------------------------------------------------------------------------------------------------------- */

static void store(struct events *v)
{
	auto_free char *text = json_dumps(v->known, JSON_INDENT(1) | JSON_SORT_KEYS);
	struct err e;

	if (text && file_replace(v->file, text, strlen(text), 0600, &e))
		log_warn("the states of the scheduled events cannot be kept: %s", e.text);
}

/* An event that its server only holds for the other one says nothing: what was known of it stays. One that is gone is forgotten. */
static void learn(struct events *v, const char *text, bool whole)
{
	json_t *heard = json_loads(text, 0, NULL), *now, *state;
	const char *name;
	bool informed;

	if (!json_is_object(heard)) {
		json_decref(heard);
		return;
	}
	now = whole || !v->known ? json_object() : json_copy(v->known);
	informed = v->known || whole;
	json_object_foreach(heard, name, state)
	{
		const char *word = json_string_value(state);
		if (word && !str_eq(word, "SLAVESIDE_DISABLED")) {
			json_object_set(now, name, state);
			informed = true;
		} else if (json_object_get(v->known, name)) {
			json_object_set(now, name, json_object_get(v->known, name));
		}
	}
	json_decref(heard);
	if (!informed || (v->known && json_equal(v->known, now))) {
		json_decref(now);
		return;
	}
	json_decref(v->known);
	v->known = now;
	store(v);
}

static struct server *server_of(struct events *v, int node)
{
	return &v->s->server[node][DB_MYSQL];
}

static bool takes_writes(struct events *v, int node)
{
	const struct db_facts *f = &server_of(v, node)->facts;
	return f->life == DB_UP && f->writable;
}

/* --- as this node's events are to be ------------------------------------------------------------------------------------------- */

static void not_yet(struct events *v, const char *why)
{
	us_t wait = US_PER_SEC << (v->tries < 9 ? v->tries++ : 9);

	v->due_at = now_us() + (wait < AGAIN_AT_MOST ? wait : AGAIN_AT_MOST);
	if (str_eq(why, v->told))
		return;
	STR_COPY(v->told, why);
	hooks_alert(v->s, LOG_LVL_WARN, "scheduled events on %s: %s", v->s->conf->node[v->s->me].name, why);
}

static void on_brought(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct events *v = arg;

	v->bringing = NULL;
	if (outcome != DB_OK) {
		not_yet(v, text);
		return;
	}
	v->due = false;
	v->told[0] = '\0';
	if (text[0])
		journal_add(v->s->journal, LOG_LVL_NOTICE, "note", NULL, "%s (%.0f ms)", text, (double)took / 1000);
}

static void bring(struct events *v)
{
	auto_free char *known = v->known ? json_dumps(v->known, JSON_COMPACT) : NULL;
	struct err e;

	v->bringing =
		db_start(server_of(v, v->s->me)->db, OP_EVENTS_ON, known ? known : "", ON_TIMEOUT, on_brought, v, &e);
	if (!v->bringing)
		not_yet(v, e.text);
}

/* The last primary, if it lives, knows best; what it has handed over already it knows no more, and then what was known counts. */
static void on_last_word(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct events *v = arg;

	(void)took;
	v->asking = NULL;
	if (outcome == DB_OK)
		learn(v, text, false);
	bring(v);
}

void events_settled(struct sup *s, const struct core_view *view)
{
	struct events *v = s->events;
	struct err e;

	if (!v || !v->due || v->asking || v->bringing || view->role != ROLE_PRIMARY || now_us() < v->due_at)
		return;
	if ((view->plan && str_eq(view->plan, "switchover")) || !takes_writes(v, s->me))
		return;
	v->asking = db_start(server_of(v, s->peer)->db, OP_EVENTS, NULL, ASK_TIMEOUT, on_last_word, v, &e);
	if (!v->asking)
		bring(v);
}

void events_role(struct sup *s, enum role to)
{
	struct events *v = s->events;

	if (!v)
		return;
	v->due = to == ROLE_PRIMARY || to == ROLE_PROMOTING;
	v->due_at = 0;
	v->tries = 0;
	v->told[0] = '\0';
	if (v->due || !v->bringing)
		return;
	db_cancel(v->bringing);
	v->bringing = NULL;
}

bool events_going(struct sup *s)
{
	if (!s->events)
		return false;
	s->events->due = true; /* should the change be undone */
	s->events->due_at = now_us();
	return true;
}

/* --- what the primary says, now and then ------------------------------------------------------------------------------------------- */

static void on_asked(void *arg, enum db_outcome outcome, us_t took, const char *text)
{
	struct events *v = arg;

	(void)took;
	v->asking = NULL;
	if (outcome == DB_OK)
		learn(v, text, true);
	else if (outcome == DB_FAILED && !str_eq(text, v->told)) {
		STR_COPY(v->told, text);
		log_warn("the states of the scheduled events cannot be seen: %s", text);
	}
}

void events_tick(struct sup *s)
{
	struct events *v = s->events;
	struct core_view view;
	us_t now = now_us();
	struct err e;

	if (!v || v->asking || v->bringing || v->due || now < v->asked_at + ASK_EVERY)
		return;
	core_look(s->core, now, &view);
	if (view.primary == NOBODY || view.plan || !takes_writes(v, view.primary))
		return;
	v->asked_at = now;
	v->asking = db_start(server_of(v, view.primary)->db, OP_EVENTS, NULL, ASK_TIMEOUT, on_asked, v, &e);
}

/* --- start and end ----------------------------------------------------------------------------------------------------------------- */

void events_open(struct sup *s)
{
	const struct conf_mysql *m = &s->conf->node[s->me].mysql;
	struct events *v;
	auto_free char *text = NULL;

	if (!m->present || m->events != EVENTS_MANAGE)
		return;
	v = s->events = xcalloc(1, sizeof(*v));
	v->s = s;
	snprintf(v->file, sizeof(v->file), "%s/scheduled-events.json", s->cli->state_dir);
	if (file_read(v->file, 1024 * 1024, &text, NULL, NULL) == 0)
		v->known = json_loads(text, 0, NULL);
}

void events_close(struct sup *s)
{
	struct events *v = s->events;

	if (!v)
		return;
	db_cancel(v->asking);
	db_cancel(v->bringing);
	json_decref(v->known);
	free(v);
	s->events = NULL;
}
