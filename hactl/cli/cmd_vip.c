/* cmd_vip.c - `hactl vip release`: this host stops answering for the virtual addresses; for ExecStopPost and for emergencies. */
#include "hactl/cli/cli.h"

#define RELEASE_LIFETIME (60 * US_PER_SEC) /* nothing is added here; the value is not used */

/* The gate goes only when no address is left: it shuts an address that could not be removed. */
static int release(struct loop *l, const struct conf *conf, int node, struct err *e)
{
	struct vip_spec specs[CONF_MAX_VIPS];
	size_t n = specs_vips(conf, node, specs);
	struct vips *v = vips_new(l, specs, n, RELEASE_LIFETIME, NULL, NULL, e);
	if (!v)
		return -1;
	int r = vips_remove(v, e);
	if (r == 0 && vips_held_any(v))
		r = err_set(e, "an address is still there after its removal");
	vips_free(v);
	char name[NAME_MAX_LEN + 8];
	specs_gate_name(conf, node, name);
	return r < 0 ? r : gate_remove(name, e);
}

static int release_all(const struct conf *conf, const char *node_name, struct err *e)
{
	int node = conf_self(conf, node_name, e);
	if (node == NOBODY)
		return -1;
	struct loop *l = loop_new(e);
	if (!l)
		return -1;
	int r = release(l, conf, node, e);
	loop_free(l);
	return r;
}

int cli_vip(struct cli *c, int argc, char **argv)
{
	if (cli_parse(c, &argc, argv, NULL) < 0)
		return EXIT_USAGE;
	if (argc != 2 || !str_eq(argv[1], "release"))
		return cli_usage(c, "the only thing to do is `vip release`");
	struct conf *conf = cli_conf(c);
	if (!conf)
		return EXIT_REFUSED;
	struct err e = { "" };
	int r = release_all(conf, c->node, &e);
	if (r < 0)
		fprintf(stderr, "hactl: %s\n", e.text);
	conf_free(conf);
	return r < 0 ? EXIT_REFUSED : EXIT_DONE;
}
