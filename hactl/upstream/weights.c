/* weights.c - what each server of an upstream should be, from health, role and measurements. Pure. */
#include "hactl/upstream/upstream.h"

#include <math.h>

enum { TERM_RESPONSE, TERM_RESOURCES, TERM_CONNECTIONS, TERM_ERRORS, TERM_COUNT };

/* Section 3 of the design: shares of the score. */
static const double term_share[] = {
	[TERM_RESPONSE] = 0.3, [TERM_RESOURCES] = 0.3, [TERM_CONNECTIONS] = 0.2, [TERM_ERRORS] = 0.2
};
_Static_assert(ARRAY_LEN(term_share) == TERM_COUNT, "one share a term");

/* A weight stands for tenths of the total; it is kept until the measured share has left its tenth by half a tenth more. */
#define TENTHS	   10.0
#define HYSTERESIS 0.5

static double unit(double v)
{
	return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* Each term in 0..1, 1 best; NAN when it has not been measured. */
static void terms(const struct server_seen *s, double out[TERM_COUNT])
{
	out[TERM_RESPONSE] = s->response_ms >= 0 ? unit(1 - s->response_ms / 1000) : NAN;
	out[TERM_RESOURCES] = s->cpu >= 0 && s->mem >= 0 ? unit((200 - s->cpu - s->mem) / 200) : NAN;
	out[TERM_CONNECTIONS] = s->used >= 0 && s->limit > 0 ? unit(1 - s->used / s->limit) : NAN;
	out[TERM_ERRORS] = s->error_rate >= 0 ? unit(1 - s->error_rate) : NAN;
}

/* Scores of the healthy servers, from the terms that are known of every one of them: a term that one server has not measured
 * would compare a number with a guess. Returns their sum, 0 when there is nothing to compare. */
static double score(const struct conf_upstream *u, const struct server_seen *seen, double out[CONF_MAX_SERVERS])
{
	double term[CONF_MAX_SERVERS][TERM_COUNT], total = 0;

	for (int i = 0; i < u->n_servers; i++) {
		terms(&seen[i], term[i]);
		out[i] = 0;
	}
	for (int t = 0; t < TERM_COUNT; t++) {
		bool known = true;

		for (int i = 0; i < u->n_servers; i++)
			known = known && !(seen[i].healthy && isnan(term[i][t]));
		for (int i = 0; i < u->n_servers && known; i++)
			out[i] += seen[i].healthy ? term_share[t] * term[i][t] : 0;
	}
	for (int i = 0; i < u->n_servers; i++)
		total += out[i];
	return total;
}

/* Whether a weight still says what was measured, nearly. 1 is the least there is. */
static bool settled(int weight, double tenths)
{
	return (tenths >= weight - HYSTERESIS || weight == 1) && tenths < weight + 1 + HYSTERESIS;
}

static void decide_dynamic(const struct conf_upstream *u, const struct server_seen *seen, const struct server_want *now,
	int n_healthy, struct server_want *want)
{
	double points[CONF_MAX_SERVERS], total = score(u, seen, points);
	bool keep = true;

	for (int i = 0; i < u->n_servers; i++)
		want[i].weight =
			now[i].weight > 0 ? now[i].weight : u->servers[i].weight; /* HAProxy's 0: it was down */
	if (n_healthy < 2 || total <= 0)
		return; /* nothing to share out: a changed number would only cost a reload */
	for (int i = 0; i < u->n_servers; i++)
		keep = keep && (!seen[i].healthy || settled(now[i].weight, TENTHS * points[i] / total));
	for (int i = 0; i < u->n_servers && !keep; i++)
		if (seen[i].healthy)
			want[i].weight = (int)fmax(1, floor(TENTHS * points[i] / total + 1e-9));
}

/* Which servers wait behind the others: all but the primary's. The file's present choice stands while nobody is primary, or
 * when the primary has no server here. At least one stays in front: a proxy refuses an upstream of backups only. */
static void decide_backup(
	const struct conf_upstream *u, int primary, const struct server_want *now, struct server_want *want)
{
	bool fronted = false;

	for (int i = 0; i < u->n_servers; i++) {
		want[i].backup = primary == NOBODY || u->servers[i].node != primary;
		fronted = fronted || !want[i].backup;
	}
	for (int i = 0; i < u->n_servers && !fronted; i++)
		want[i].backup = now[i].backup;
	for (int i = 0; i < u->n_servers; i++)
		fronted = fronted || !want[i].backup;
	if (!fronted)
		want[0].backup = false;
}

void weights_decide(const struct conf_upstream *u, int primary, const struct server_seen *seen,
	const struct server_want *now, struct server_want *want)
{
	struct server_want w[CONF_MAX_SERVERS] = { 0 };
	int n_healthy = 0;

	for (int i = 0; i < u->n_servers; i++)
		n_healthy += seen[i].healthy;
	for (int i = 0; i < u->n_servers; i++) {
		w[i].weight = u->servers[i].weight;
		w[i].down = n_healthy > 0 && !seen[i].healthy;
	}
	if (u->policy == POLICY_ACTIVE_BACKUP)
		decide_backup(u, primary, now, w);
	if (u->policy == POLICY_DYNAMIC)
		decide_dynamic(u, seen, now, n_healthy, w);
	memcpy(want, w, sizeof(w[0]) * (size_t)u->n_servers);
}
