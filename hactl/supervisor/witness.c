/* witness.c - what the world around says, without an arbiter: does a reference address answer this node, and does anything show the
 * other one in service?
 *
 * Everything is asked at once and again after a third and two thirds of the time, so that one lost packet decides nothing. A sign of life
 * ends the question as soon as a reference has answered too; that there is none is known only when the time is over. Only what was sent, or shown, after the question
 * counts; the replication stream also by what arrived since the other node fell silent.
 */
#include "hactl/supervisor/private.h"

#include "hactl/witness/witness.h"

enum { ROUNDS = 3, MAX_ASKING = 4 };

struct asking {
	struct sup *s;
	bool used;
	uint32_t id;
	enum witness_kind kind;
	us_t asked_at, timeout;
	int round;
	struct timer *timer;
	struct echo *echo[CONF_MAX_REFERENCES];
	struct knock *knock[DB_KIND_COUNT];
	bool reached, veto;
	char text[SENTENCE_MAX];
};

struct witness {
	struct asking asking[MAX_ASKING];
};

static void forget(struct asking *q)
{
	for (size_t i = 0; i < ARRAY_LEN(q->echo); i++)
		echo_free(q->echo[i]);
	for (size_t i = 0; i < ARRAY_LEN(q->knock); i++)
		knock_free(q->knock[i]);
	timer_free(q->timer);
	*q = (struct asking){ 0 };
}

static void answer(struct asking *q)
{
	struct asking a = *q;

	forget(q); /* before the core hears: it may ask the next question at once */
	pump_witness(a.s, a.id, a.reached, a.veto, a.text);
}

/* Something shows the other node in service. */
static void veto(struct asking *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void veto(struct asking *q, const char *fmt, ...)
{
	va_list ap;

	if (q->veto)
		return;
	q->veto = true;
	va_start(ap, fmt);
	vsnprintf(q->text, sizeof(q->text), fmt, ap);
	va_end(ap);
	if (q->reached)
		answer(q);
}

static void on_echo(void *arg, const char *address)
{
	struct asking *q = arg;

	q->reached = true;
	if (!q->veto)
		snprintf(q->text, sizeof(q->text), "%s answers", address);
	if (q->veto || q->kind == WITNESS_REACH)
		answer(q);
}

static void on_open(void *arg, const char *address, int port)
{
	struct asking *q = arg;

	veto(q, "port %d of %s (%s) takes connections", port, q->s->conf->node[q->s->peer].name, address);
}

/* An answer, or a refusal that only a running server gives; one that hangs is left to the port itself. */
static bool server_shows_life(const struct db_facts *f, us_t since)
{
	return f->seen_at >= since && (f->life == DB_UP || f->life == DB_DENIED);
}

/* After the other's last heartbeat, and not so long ago that it may have died since. */
static bool stream_shows_life(const struct sup *s, const struct server *v, us_t asked_at)
{
	us_t fell_silent = s->heard_at + 2 * s->conf->heartbeat_interval, recent = asked_at - s->conf->lease;

	return v->moved_after > (fell_silent > recent ? fell_silent : recent);
}

static void databases_veto(struct asking *q)
{
	struct sup *s = q->s;
	const char *other = s->conf->node[s->peer].name;

	for (int k = 0; k < DB_KIND_COUNT; k++) {
		const struct server *mine = &s->server[s->me][k], *theirs = &s->server[s->peer][k];
		const char *kind = k == DB_MYSQL ? "MySQL" : "Redis";

		if (theirs->db && server_shows_life(db_look(theirs->db), q->asked_at)) {
			veto(q, "%s on %s answers", kind, other);
			return;
		}
		if (mine->db && stream_shows_life(s, mine, q->asked_at)) {
			veto(q, "%s here goes on receiving from %s", kind, other);
			return;
		}
	}
}

static void send_round(struct asking *q)
{
	struct sup *s = q->s;

	for (int i = 0; i < s->conf->n_references; i++)
		if (q->echo[i])
			echo_send(q->echo[i]);
	if (q->kind != WITNESS_CLEAR)
		return;
	if (s->vips)
		vips_probe(s->vips);
	for (int k = 0; k < DB_KIND_COUNT; k++) {
		for (int n = 0; n < NODES; n++)
			if (s->server[n][k].db)
				db_hurry(s->server[n][k].db);
		/* The connections that are open already answer in the first round. A server counts every connection that comes
		 * and goes without a word, and blocks a host that does that a hundred times (max_connect_errors). */
		if (q->knock[k] && q->round > 0)
			knock_again(q->knock[k]);
	}
}

static void nothing_reached(struct asking *q)
{
	const struct conf *c = q->s->conf;
	size_t len = 0;

	if (q->reached || q->text[0]) /* a sign of life, or why nothing could be asked */
		return;
	str_add(q->text, sizeof(q->text), &len, "no reference address answers (");
	for (int i = 0; i < c->n_references; i++)
		str_add(q->text, sizeof(q->text), &len, "%s%s", i ? ", " : "", c->reference[i]);
	str_add(q->text, sizeof(q->text), &len, ")");
}

static void on_round(void *arg, us_t now)
{
	struct asking *q = arg;
	uint32_t id = q->id;

	if (q->kind == WITNESS_CLEAR && !q->veto)
		databases_veto(q);
	if (q->id != id) /* that was the answer, and this may be the next question already */
		return;
	if (q->round == ROUNDS) {
		nothing_reached(q);
		answer(q);
		return;
	}
	send_round(q);
	q->round++;
	timer_at(q->timer, q->round == ROUNDS ? q->asked_at + q->timeout : now + q->timeout / ROUNDS);
}

static void open_question(struct asking *q)
{
	const struct conf *c = q->s->conf;
	struct err e = { "" };

	for (int i = 0; i < c->n_references; i++) {
		q->echo[i] = echo_new(q->s->loop, c->reference[i], on_echo, q, &e);
		if (!q->echo[i])
			STR_COPY(q->text, e.text);
	}
	for (int k = 0; q->kind == WITNESS_CLEAR && k < DB_KIND_COUNT; k++) {
		struct db_target t;

		specs_db(c, q->s->peer, q->s->me, (enum db_kind)k, &t);
		if (q->s->server[q->s->peer][k].db)
			q->knock[k] = knock_new(q->s->loop, t.at.host, t.at.port, on_open, q, &e);
	}
	q->timer = timer_new(q->s->loop, on_round, q);
	timer_in(q->timer, 0);
}

void witness_ask(struct sup *s, const struct core_action *a)
{
	struct asking *q = NULL;

	if (!s->witness)
		s->witness = xcalloc(1, sizeof(*s->witness));
	for (size_t i = 0; i < MAX_ASKING && !q; i++)
		q = s->witness->asking[i].used ? NULL : &s->witness->asking[i];
	if (!q) { /* the core counts an answer that does not come as not reached */
		log_error("more than %d questions to the world at once; one was left out", MAX_ASKING);
		return;
	}
	*q = (struct asking){
		.s = s,
		.used = true,
		.id = a->id,
		.kind = a->witness,
		.asked_at = now_us(),
		.timeout = a->timeout_us * 4 / 5 /* what comes at the last moment comes too late */
	};
	open_question(q);
}

/* Another MAC claims a virtual address: an announcement, or the answer to a probe. */
void witness_claimed(struct sup *s, size_t vip, const char *mac)
{
	for (size_t i = 0; s->witness && i < MAX_ASKING; i++) {
		struct asking *q = &s->witness->asking[i];

		if (q->used && q->kind == WITNESS_CLEAR)
			veto(q, "%s is answered for by %s", s->vip[vip].address, mac);
	}
}

void witness_close(struct sup *s)
{
	for (size_t i = 0; s->witness && i < MAX_ASKING; i++)
		if (s->witness->asking[i].used)
			forget(&s->witness->asking[i]);
	free(s->witness);
}
