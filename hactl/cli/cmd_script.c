/* cmd_script.c - what scripts call: `hactl is`, `hactl notify`; and the plain word for what this version lacks. */
#include "hactl/cli/cli.h"
#include "hactl/control/control.h"

#define IS_WAIT	    (2 * US_PER_SEC)
#define NOTIFY_WAIT (150 * US_PER_MS) /* keepalived neither reaps nor waits long: CONTRACT promises 200 ms */

/* A question or a message leaves nothing undecided: no last word is nobody. */
static int ask(const struct cli *c, json_t *request, us_t timeout)
{
	struct err e = { "" };
	int r = control_ask(c->socket, request, timeout, NULL, NULL, &e);
	if (*e.text)
		fprintf(stderr, "hactl: %s\n", e.text);
	return r == EXIT_DEGRADED ? EXIT_NOBODY : r;
}

int cli_is(struct cli *c, int argc, char **argv)
{
	if (cli_parse(c, &argc, argv, NULL) < 0)
		return EXIT_USAGE;
	if (argc != 2 || (!str_eq(argv[1], "primary") && !str_eq(argv[1], "standby")))
		return cli_usage(c, "ask `is primary` or `is standby`");
	return ask(c, json_pack("{s:s, s:s}", "cmd", "is", "role", argv[1]), IS_WAIT);
}

static json_t *priority_parse(const char *text)
{
	char *end;
	long n = text ? strtol(text, &end, 10) : 0;
	if (!text || end == text || *end || n < 0 || n > 1000)
		return json_null(); /* keepalived's groups have none */
	return json_integer(n);
}

int cli_notify(struct cli *c, int argc, char **argv)
{
	const char *source = NULL;
	const struct cli_option own[] = { { "source", 0, &source, NULL }, { 0 } };
	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	if (!str_eq(source, "keepalived"))
		return cli_usage(c, "the only --source is keepalived");
	if (argc < 4 || argc > 5)
		return cli_usage(c, "notify takes TYPE NAME STATE and perhaps PRIORITY, as keepalived gives them");
	json_t *r = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "cmd", "notify", "source", source, "type", argv[1],
		"name", argv[2], "state", argv[3], "priority", priority_parse(argc > 4 ? argv[4] : NULL));
	return ask(c, r, NOTIFY_WAIT);
}

int cli_later(struct cli *c, int argc, char **argv)
{
	(void)c;
	(void)argc;
	fprintf(stderr, "hactl: %s is not in this version (%s)\n", argv[0], HACTL_VERSION);
	return EXIT_REFUSED;
}
