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

/* What the operator's choice is safe against, in plain words (design, section 2). */
static const char *const authority_sentences[AUTHORITY_COUNT] = {
	[AUTHORITY_ARBITER] = "safe against every single fault and any cut; fails over by itself",
	[AUTHORITY_REFERENCE] = "not in this version: behaves as manual",
	[AUTHORITY_FENCE] = "not in this version: behaves as manual",
	[AUTHORITY_MANUAL] = "never fails over on silence, only on the other node's own word or yours",
};
static const char *const enforce_sentences[] = {
	[ENFORCE_NFT] = "the kernel shuts the virtual IP when the lease ends",
	[ENFORCE_ADDRESS] =
		"best effort: the virtual IP may stay up to two seconds after the lease, longer through DNAT",
	[ENFORCE_NONE] =
		"nothing shuts the virtual IP when this supervisor is stopped or starved: two nodes may answer for it",
};

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
	printf("authority %s: %s\n", conf_authority_names[conf->authority], authority_sentences[conf->authority]);
	if (conf->n_vips)
		printf("enforcement: %s\n", enforce_sentences[conf->enforce]);
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
