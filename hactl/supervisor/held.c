/* held.c - what holds up or forbids a failover that is wanted, into the journal: when it begins, and with its milliseconds when it ends.
 *
 * Wanted is a failover when the primary has been silent for longer than its promise binds, seen from the standby, or when the primary
 * itself is ill, seen from there. The sentences are the core's blockers, as the status shows them before they are needed.
 */
#include "hactl/supervisor/private.h"

#include <ctype.h>

/* The same gate says other numbers a second later. */
static bool same_gate(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (isdigit((unsigned char)*a) || *a == '.')
			a++;
		while (isdigit((unsigned char)*b) || *b == '.')
			b++;
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

static bool wanted(const struct sup *s, const struct core_view *v)
{
	if (v->role == ROLE_PRIMARY)
		return s->facts.known && s->facts.ill;
	return v->role == ROLE_STANDBY && v->primary == s->peer && v->peer == PEER_SILENT &&
	       v->peer_silent_us > core_promise_us(s->core_conf.lease);
}

static void end(struct sup *s, struct held *h, us_t now)
{
	us_t took = now - h->since;

	journal_add(s->journal, LOG_LVL_NOTICE, "gate", json_pack("{s:f}", "ms", (double)took / 1000),
		"the failover was held up for %lld ms: %s", (long long)(took / US_PER_MS), h->why);
	h->since = 0;
}

static bool among(const struct held *h, const char (*why)[SENTENCE_MAX], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (same_gate(h->why, why[i]))
			return true;
	return false;
}

static void begin(struct sup *s, const char *why, us_t now)
{
	struct held *place = NULL;

	for (size_t i = 0; i < ARRAY_LEN(s->held); i++) {
		if (s->held[i].since && same_gate(s->held[i].why, why))
			return;
		if (!s->held[i].since && !place)
			place = &s->held[i];
	}
	if (!place)
		return;
	place->since = now;
	STR_COPY(place->why, why);
	journal_add(s->journal, LOG_LVL_WARN, "gate", json_pack("{s:f}", "ms", 0.0), "a failover is held up: %s", why);
}

void held_watch(struct sup *s, const struct core_view *v)
{
	char why[CORE_MAX_BLOCKERS][SENTENCE_MAX];
	size_t n = 0;
	us_t now;

	if (!wanted(s, v) && !s->holding_up)
		return;
	now = now_us();
	if (wanted(s, v))
		n = core_blockers(s->core, now, why);
	s->holding_up = n > 0;
	for (size_t i = 0; i < ARRAY_LEN(s->held); i++)
		if (s->held[i].since && !among(&s->held[i], (const char(*)[SENTENCE_MAX])why, n))
			end(s, &s->held[i], now);
	for (size_t i = 0; i < n; i++)
		if (!strstr(why[i], "does not answer")) /* that is why it is wanted */
			begin(s, why[i], now);
}
