/* health.c - probes, and what follows from them: upstream weights, and illness where a probe says on_failure = "failover". */
#include "hactl/supervisor/private.h"

static const struct conf_probe *probe_conf(const struct sup *s, size_t i)
{
	return &s->conf->probe[specs_probe_index(s->conf, &s->probe_spec[i])];
}

static void tell(struct sup *s, const struct probe_state *p)
{
	bool up = p->state == PS_UP;
	const char *node = p->spec->node >= 0 ? s->conf->node[p->spec->node].name : p->spec->host;
	json_t *f = json_pack("{s:s, s:s, s:s}", "probe", p->spec->name, "node", node, "state", up ? "up" : "down");

	journal_add(s->journal, up ? LOG_LVL_NOTICE : LOG_LVL_WARN, "probe", f, "%s on %s is %s: %s", p->spec->name,
		node, up ? "up" : "down", p->last.detail);
}

static void on_result(void *arg, size_t i, const struct probe_state *p, int was)
{
	struct sup *s = arg;
	const struct conf_probe *c = probe_conf(s, i);

	if (p->spec->node >= 0 && s->upstreams && p->state != PS_UNKNOWN)
		upstreams_health(s->upstreams, (int)(c - s->conf->probe), p->spec->node, p->state == PS_UP,
			(double)p->last.took_us / 1000);
	if ((int)p->state == was)
		return;
	if (was != PS_UNKNOWN || p->state == PS_DOWN)
		tell(s, p);
	if (c->on_failure == ON_FAILURE_FAILOVER)
		facts_update(s);
}

bool health_ill(struct sup *s, char why[SENTENCE_MAX])
{
	for (size_t i = 0; s->prober && i < s->n_probes; i++) {
		const struct probe_state *p = prober_look(s->prober, i);

		if (p->spec->node != s->me || p->state != PS_DOWN ||
			probe_conf(s, i)->on_failure != ON_FAILURE_FAILOVER)
			continue;
		snprintf(why, SENTENCE_MAX, "probe %s on %s is down: %.150s", p->spec->name, s->conf->node[s->me].name,
			p->last.detail);
		return true;
	}
	return false;
}

static void on_upstream_note(void *arg, enum log_level level, const char *sentence)
{
	struct sup *s = arg;

	if (level <= LOG_LVL_WARN)
		hooks_alert(s, level, "%s", sentence);
	else
		journal_add(s->journal, level, "note", NULL, "%s", sentence);
}

int health_open(struct sup *s, struct err *e)
{
	s->probe_spec = xcalloc(CONF_MAX_PROBES * NODES, sizeof(*s->probe_spec));
	s->n_probes = specs_probes(s->conf, s->probe_spec);
	s->upstreams = upstreams_new(s->loop, s->conf, s->me, on_upstream_note, s);
	s->prober = prober_new(s->loop, s->probe_spec, s->n_probes, on_result, s, e);
	return s->prober ? 0 : -1;
}

void health_close(struct sup *s)
{
	prober_free(s->prober);
	upstreams_free(s->upstreams);
	free(s->probe_spec);
}
