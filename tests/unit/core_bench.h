/* core_bench.h - one core on a bench: events in, its last list of actions at hand. For the unit tests of hactl/core. */
#ifndef TESTS_UNIT_CORE_BENCH_H
#define TESTS_UNIT_CORE_BENCH_H

#include "hactl/core/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define D US_PER_SEC

struct bench {
	struct core *c;
	struct core_conf conf;
	struct core_out out;
	us_t now;
	struct core_facts facts;
	uint64_t counter;
	uint64_t peer_config;
	uint32_t peer_probes;
	us_t peer_hold;
	uint32_t reg_id; /* newest question to the register */
	bool reg_cas;
	struct reg_value asked;
	int64_t asked_rev;
};

static inline void remember(struct bench *b)
{
	for (size_t i = 0; i < b->out.n; i++) {
		const struct core_action *a = &b->out.act[i];

		if (a->kind != ACT_REG_READ && a->kind != ACT_REG_CAS)
			continue;
		b->reg_id = a->id;
		b->reg_cas = a->kind == ACT_REG_CAS;
		b->asked = a->value;
		b->asked_rev = a->rev;
	}
}

static inline void feed(struct bench *b, const struct core_event *ev)
{
	core_handle(b->c, ev, b->now, &b->out);
	remember(b);
}

static inline void tick(struct bench *b, us_t in)
{
	struct core_event ev = { .kind = EV_TICK };

	b->now += in;
	feed(b, &ev);
}

static inline void facts(struct bench *b)
{
	struct core_event ev = { .kind = EV_FACTS, .facts = &b->facts };

	feed(b, &ev);
}

static inline void hear(struct bench *b, enum msg_kind kind, uint64_t term, enum role role, unsigned flags, uint64_t nonce)
{
	struct msg m = { .kind = (uint8_t)kind,
		.from = 1,
		.role = (uint8_t)role,
		.term = term,
		.incarnation = 77,
		.counter = ++b->counter,
		.flags = (uint16_t)flags,
		.nonce = nonce,
		.boot = 5,
		.db_start = 6,
		.config = b->peer_config,
		.section = { [SECTION_PROBES] = b->peer_probes },
		.hold_us = (uint64_t)b->peer_hold,
		.primary = NOBODY };
	struct core_event ev = { .kind = EV_MSG, .msg = &m };

	if (kind == MSG_PROMISE || kind == MSG_VOTE || kind == MSG_HIGHER)
		m.for_incarnation = 42;
	if (role == ROLE_PRIMARY)
		m.primary = 1;
	feed(b, &ev);
}

static inline void answer(struct bench *b, enum reg_outcome outcome, int64_t rev, const struct reg_value *v)
{
	struct core_event ev = { .kind = EV_REGISTER, .reg = { b->reg_id, outcome, rev, *v } };

	feed(b, &ev);
}

static inline const struct core_action *find(const struct bench *b, enum core_action_kind kind)
{
	for (size_t i = 0; i < b->out.n; i++)
		if (b->out.act[i].kind == kind)
			return &b->out.act[i];
	return NULL;
}

static inline const struct msg *sent(const struct bench *b, enum msg_kind kind)
{
	for (size_t i = 0; i < b->out.n; i++)
		if (b->out.act[i].kind == ACT_SEND && b->out.act[i].msg.kind == kind)
			return &b->out.act[i].msg;
	return NULL;
}

static inline size_t index_of(const struct bench *b, enum core_action_kind kind)
{
	for (size_t i = 0; i < b->out.n; i++)
		if (b->out.act[i].kind == kind)
			return i;
	return b->out.n;
}

static inline struct core_view look(const struct bench *b)
{
	struct core_view v;

	core_look(b->c, b->now, &v);
	return v;
}

static inline void start(struct bench *b, const struct core_disk *disk)
{
	core_init(b->c, &b->conf, disk, 42, b->now);
	tick(b, 0);
	facts(b);
}

static inline int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || !(b->c = malloc(core_size())))
		return -1;
	b->conf = (struct core_conf){ .me = 0,
		.prefer = NOBODY,
		.name = { "n1", "n2" },
		.mode = CORE_ARBITER,
		.lease = D,
		.interval = 100 * US_PER_MS,
		.arbiter_timeout = 300 * US_PER_MS,
		.has_mysql = true,
		.has_vip = true,
		.max_freeze = D };
	b->now = 1000 * US_PER_SEC;
	b->facts = (struct core_facts){ .known = true,
		.ready = true,
		.frozen = true,
		.replicating = true,
		.db_start = 9,
		.boot = 8,
		.mysql_writable = false };
	*state = b;
	return 0;
}

static inline int teardown(void **state)
{
	struct bench *b = *state;

	free(b->c);
	free(b);
	return 0;
}

static const struct core_disk standby_disk = { .term = 5, .voted = 1, .owner = 1, .other_term = 5 };
static const struct core_disk primary_disk = { .term = 5, .voted = 0, .owner = 0, .held = 5, .served = 5 };
static const struct reg_value theirs_peer = {
	.holder = 1, .mode = REG_PEER, .term = 5, .nonce = 1, .sync = { .standby = NOBODY }
};
static const struct reg_value theirs_solo = {
	.holder = 1, .mode = REG_SOLO, .term = 5, .nonce = 2, .sync = { .standby = NOBODY }
};
static const struct reg_value nothing = { .holder = NOBODY };

/* Ticks as it asks for until it asks the register for a swap, answering reads. False: it did not within the time. */
static inline bool until_swap(struct bench *b, us_t within, int64_t rev, const struct reg_value *v)
{
	us_t end = b->now + within;

	b->reg_id = 0;
	while (b->now < end) {
		us_t wake = core_wake(b->c) < end ? core_wake(b->c) : end;

		tick(b, wake > b->now ? wake - b->now : 1);
		if (b->reg_id && b->reg_cas)
			return true;
		if (b->reg_id) {
			answer(b, REG_OK, rev, v);
			if (b->reg_id && b->reg_cas)
				return true;
			b->reg_id = 0;
		}
		facts(b);
	}
	return false;
}

#endif
