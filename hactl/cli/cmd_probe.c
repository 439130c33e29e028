/* cmd_probe.c - `hactl probe`: every probe once, now, all at the same time; usable as keepalived's track_script. */
#include "hactl/cli/cli.h"

#include <jansson.h>
#include <math.h>

struct run {
	const struct probe_spec *spec;
	struct probe_result result;
	struct batch *batch;
};

struct batch {
	struct loop *loop;
	size_t pending;
	struct run run[SPECS_MAX_PROBES];
	size_t n;
};

static void on_result(void *arg, const struct probe_result *r)
{
	struct run *run = arg;
	run->result = *r;
	if (--run->batch->pending == 0)
		loop_exit(run->batch->loop, 0);
}

static int batch_run(struct batch *b, struct err *e)
{
	b->loop = loop_new(e);
	if (!b->loop)
		return -1;
	b->pending = b->n;
	for (size_t i = 0; i < b->n; i++) {
		struct run *r = &b->run[i];
		struct err why = { "" };
		if (probe_once(b->loop, r->spec, on_result, r, &why) == 0)
			continue;
		r->result = (struct probe_result){ .layer = PL_EXEC };
		STR_COPY(r->result.detail, why.text);
		b->pending--;
	}
	if (b->pending)
		loop_run(b->loop);
	loop_free(b->loop);
	return 0;
}

static bool wanted(const struct probe_spec *s, int argc, char **argv)
{
	bool found = argc <= 1;
	for (int i = 1; i < argc; i++)
		found = found || str_eq(s->name, argv[i]);
	return found;
}

static int names_check(const struct conf *conf, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool known = false;
		for (int k = 0; k < conf->n_probes; k++)
			known = known || str_eq(conf->probe[k].name, argv[i]);
		if (known)
			continue;
		fprintf(stderr, "hactl: there is no probe %s in %s\n", argv[i], conf->file);
		return -1;
	}
	return 0;
}

static const char *node_of(const struct conf *conf, const struct probe_spec *s)
{
	return s->node == NOBODY ? NULL : conf->node[s->node].name;
}

static json_t *run_json(const struct conf *conf, const struct run *r)
{
	const char *node = node_of(conf, r->spec);
	json_t *detail = json_string(r->result.detail);
	double ms = round((double)r->result.took_us / 10.0) / 100.0;
	return json_pack("{s:s, s:s?, s:s, s:s, s:o, s:o, s:s}", "name", r->spec->name, "node", node, "type",
		conf_probe_type_names[r->spec->kind], "state", r->result.ok ? "up" : "down", "latency_ms",
		r->result.ok ? json_real(ms) : json_null(), "detail", detail ? detail : json_null(), "layer",
		probe_layer_names[r->result.layer]);
}

static void print(const struct conf *conf, const struct batch *b, bool json)
{
	json_t *list = json_array();
	for (size_t i = 0; i < b->n; i++) {
		const struct run *r = &b->run[i];
		const char *node = node_of(conf, r->spec);
		if (json)
			json_array_append_new(list, run_json(conf, r));
		else
			printf("%-8s %-20s %-5s %-4s %9.1f ms  %s\n", node ? node : "-", r->spec->name,
				conf_probe_type_names[r->spec->kind], r->result.ok ? "up" : "down",
				(double)r->result.took_us / 1e3, r->result.detail);
	}
	auto_free char *text = json ? json_dumps(list, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
	if (text)
		puts(text);
	json_decref(list);
}

static int probe_all(const struct conf *conf, int argc, char **argv, bool json)
{
	auto_free struct probe_spec *specs = xcalloc(SPECS_MAX_PROBES, sizeof(*specs));
	auto_free struct batch *b = xcalloc(1, sizeof(*b));
	size_t n = specs_probes(conf, specs);
	for (size_t i = 0; i < n; i++)
		if (wanted(&specs[i], argc, argv))
			b->run[b->n++] = (struct run){ .spec = &specs[i], .batch = b };
	struct err e;
	if (batch_run(b, &e) < 0) {
		fprintf(stderr, "hactl: %s\n", e.text);
		return EXIT_REFUSED;
	}
	print(conf, b, json);
	for (size_t i = 0; i < b->n; i++)
		if (!b->run[i].result.ok)
			return EXIT_REFUSED;
	return EXIT_DONE;
}

int cli_probe(struct cli *c, int argc, char **argv)
{
	bool json = false;
	const struct cli_option own[] = { { "json", 'j', NULL, &json }, { 0 } };
	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	struct conf *conf = cli_conf(c);
	if (!conf)
		return EXIT_REFUSED;
	int r = names_check(conf, argc, argv) < 0 ? EXIT_USAGE : probe_all(conf, argc, argv, json);
	conf_free(conf);
	return r;
}
