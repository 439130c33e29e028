/* deadline.c - the core's authority, written where the guard reads it. Written before the effects of a move, so that the guard never
 * freezes what the same move opens; withdrawn only when every database here has been seen frozen or dead since the last lease.
 */
#include "hactl/supervisor/private.h"

#include <unistd.h>

static void reopen(struct sup *s)
{
	struct err e;
	char path[512];

	deadline_path(s->cli, path);
	deadline_close(s->deadline);
	s->deadline = deadline_open(path, true, &e);
	if (!s->deadline && !s->deadline_trouble)
		journal_add(s->journal, LOG_LVL_ERROR, "alert", NULL,
			"without its deadline file the guard protects nothing: %s", e.text);
	s->deadline_trouble = !s->deadline;
}

/* What an earlier start wrote stands until this one knows better. */
void deadline_start(struct sup *s)
{
	reopen(s);
	if (s->deadline)
		deadline_hear(s->deadline, &s->said);
	s->said.pid = getpid();
	s->said.incarnation = s->wire.incarnation;
}

void deadline_check(struct sup *s)
{
	if (s->deadline && !deadline_lost(s->deadline))
		return;
	reopen(s);
	if (s->deadline)
		deadline_say(s->deadline, &s->said);
}

/* Every local database was seen shut or dead after writes could last be open. */
static bool shut_since(const struct sup *s)
{
	for (size_t k = 0; k < DB_KIND_COUNT; k++) {
		const struct server *v = &s->server[s->me][k];

		if (v->db && (v->ops > 0 || v->facts.seen_at <= s->may_write_at))
			return false;
	}
	return s->facts.known && s->facts.frozen;
}

void deadline_follow(struct sup *s)
{
	us_t now = now_us();
	struct core_view v;

	core_look(s->core, now, &v);
	if (v.held) {
		s->said.open = 1;
		s->said.until = now + v.remaining_us;
		s->said.maintenance = v.pause_holds;
		s->may_write_at = now;
	} else if ((v.role == ROLE_STANDBY || v.role == ROLE_QUARANTINED) && s->said.open && shut_since(s)) {
		s->said.open = s->said.maintenance = 0;
		s->said.until = 0;
	}
	s->said.alive_at = now;
	if (s->deadline)
		deadline_say(s->deadline, &s->said);
}

/* What the hand-over has shut was read back by its steps; the next observation would come too late. */
void deadline_stop(struct sup *s)
{
	struct core_view v;

	core_look(s->core, now_us(), &v);
	if (v.held || !s->facts.known || !s->facts.frozen || !s->deadline)
		return;
	s->said.open = s->said.maintenance = 0;
	s->said.until = 0;
	deadline_say(s->deadline, &s->said);
}

bool deadline_guard(struct sup *s, struct guard_beat *out, us_t now)
{
	memset(out, 0, sizeof(*out));
	if (s->deadline)
		guard_hear(s->deadline, out);
	return out->pid && now - out->alive_at < GUARD_LOST_AFTER;
}
