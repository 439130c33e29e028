/* verdict.c - what results mean: rise and fall, expected statuses, names. Pure. */
#include "probes/run.h"

#include <ctype.h>

const char *const probe_layer_names[PL_COUNT] = {
	[PL_OK] = "ok",
	[PL_SOCKET] = "socket",
	[PL_TIMEOUT] = "timeout",
	[PL_REFUSED] = "refused",
	[PL_TLS] = "tls",
	[PL_PROTOCOL] = "protocol",
	[PL_STATUS] = "status",
	[PL_EXEC] = "exec",
};

/* HAProxy, src/check.c, set_server_check_status(): below rise is bad. A success that reaches rise restores full health, a
 * failure that falls below rise leaves none; so both changes take a whole run of results the other way. */
int health_next(int health, bool ok, int fall, int rise)
{
	if (ok)
		return health + 1 >= rise ? rise + fall - 1 : health + 1;
	return health - 1 < rise ? 0 : health - 1;
}

/* Reads "NNN" at *at and moves on; -1 when there are not exactly three digits of a status. */
static long take_status(const char **at)
{
	long n = 0;

	for (int i = 0; i < 3; i++, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return -1;
		n = n * 10 + (**at - '0');
	}
	return n >= 100 && !isdigit((unsigned char)**at) ? n : -1;
}

/* Walks a list like "200-399,401". -1: malformed. Otherwise whether status is in it. */
static int expect_holds(const char *expect, long status)
{
	const char *at = expect;
	int held = 0;

	for (;;) {
		long low = take_status(&at), high = low;

		if (low >= 0 && *at == '-') {
			at++;
			high = take_status(&at);
		}
		if (low < 0 || high < low)
			return -1;
		held |= status >= low && status <= high;
		if (*at == '\0')
			return held;
		if (*at++ != ',')
			return -1;
	}
}

int http_expect_check(const char *expect, struct err *e)
{
	if (expect_holds(expect, 0) < 0)
		return err_set(e, "\"%s\" is no list of HTTP statuses; write for example \"200-399,401\"", expect);
	return 0;
}

bool http_status_expected(const char *expect, long status)
{
	return expect_holds(expect, status) == 1;
}

/* --- standing ----------------------------------------------------------------------------------------------------- */

static const us_t soonest = 50 * US_PER_MS; /* suspicion asks no oftener than this */

static int full_health(const struct probe_spec *s)
{
	return s->rise + s->fall - 1;
}

/* Somebody was there and spoke, whatever he said. */
static bool answered(const struct probe_state *s)
{
	return s->checked_at && s->last.layer != PL_SOCKET && s->last.layer != PL_TIMEOUT &&
	       s->last.layer != PL_REFUSED;
}

/* The first result decides at once: standing "unknown" for rise or fall intervals after a restart helps nobody. */
static void take(struct probe_state *s, const struct probe_result *r, us_t now)
{
	const struct probe_spec *spec = s->spec;
	int was = (int)s->state;

	if (s->state == PS_UNKNOWN)
		s->health = r->ok ? full_health(spec) : 0;
	else
		s->health = health_next(s->health, r->ok, spec->fall, spec->rise);
	s->state = s->health >= spec->rise ? PS_UP : PS_DOWN;
	s->checked_at = now;
	if ((int)s->state != was)
		s->changed_at = now;
	s->last = *r;
}

us_t state_take(struct probe_state *s, const struct probe_result *r, us_t now)
{
	/* a server that spoke and now refuses has just ended, or restarts: ask again at once */
	bool confirm = r->layer == PL_REFUSED && answered(s);
	us_t interval = s->spec->interval, quick = interval / 4 > soonest ? interval / 4 : soonest;

	take(s, r, now);
	if (confirm)
		return 0;
	bool suspect = s->state == PS_UP && s->health < full_health(s->spec);
	return suspect && quick < interval ? quick : interval;
}
