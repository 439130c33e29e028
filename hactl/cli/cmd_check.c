/* cmd_check.c - `hactl check` and `hactl keygen`: the configuration and the key, without a supervisor. */
#include "hactl/cli/cli.h"

struct mistakes {
	FILE *to;
	int n;
};

static void on_mistake(void *arg, const char *file, int line, const char *sentence)
{
	struct mistakes *m = arg;
	m->n++;
	fprintf(m->to, "%s:%d: %s\n", file, line, sentence);
}

struct conf *cli_conf(const struct cli *c)
{
	struct mistakes m = { .to = stderr };
	struct conf *conf = conf_load(c->conf, on_mistake, &m);
	if (!conf)
		fprintf(stderr, "hactl: the configuration has %d mistake%s\n", m.n, m.n == 1 ? "" : "s");
	return conf;
}

void cli_say_safety(const struct conf *conf)
{
	struct conf_safety lines[CONF_SAFETY_LINES];
	struct core_conf core;
	size_t n;

	specs_core(conf, 0, &core);
	n = conf_safety(conf, core_promise_us(core.lease), core_alone_us(&core), lines);
	for (size_t i = 0; i < n; i++)
		printf("%-13s %s\n", lines[i].topic, lines[i].text);
}

int cli_check(struct cli *c, int argc, char **argv)
{
	if (cli_parse(c, &argc, argv, NULL) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "check takes no %s; the file is named with -c", argv[1]);
	struct mistakes m = { .to = stdout };
	struct conf *conf = conf_load(c->conf, on_mistake, &m);
	if (!conf)
		return EXIT_REFUSED;
	printf("%s: no mistakes: cluster %s, nodes %s and %s\n", c->conf, conf->cluster, conf->node[0].name,
		conf->node[1].name);
	cli_say_safety(conf);
	conf_free(conf);
	return EXIT_DONE;
}

int cli_keygen(struct cli *c, int argc, char **argv)
{
	if (cli_parse(c, &argc, argv, NULL) < 0)
		return EXIT_USAGE;
	if (argc != 2)
		return cli_usage(c, "keygen takes one file");
	struct err e;
	if (conf_keygen(argv[1], &e) < 0) {
		fprintf(stderr, "hactl: %s\n", e.text);
		return EXIT_REFUSED;
	}
	printf("wrote a new cluster key to %s; copy it to the other node, readable by its owner only\n", argv[1]);
	return EXIT_DONE;
}
