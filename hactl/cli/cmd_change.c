/* cmd_change.c - the commands that ask the supervisor to change something: switchover, switchback, failover, pause, resume, rejoin. */
#include "hactl/cli/cli.h"
#include "hactl/control/control.h"

#define CHANGE_WAIT  (30 * US_PER_SEC) /* --timeout's default */
#define ANSWER_GRACE (5 * US_PER_SEC)  /* the supervisor ends the command by itself; its word still has to come */
#define RESEED_WAIT  (8 * 86400 * US_PER_SEC)	      /* the supervisor bounds every stage of it */
#define SHORT_WAIT   (10 * US_PER_SEC + ANSWER_GRACE) /* the supervisor gives pause and resume 10 s */

/* A step as it ends, then the last word: what was done on stdout, what was not on stderr. */
static void on_line(void *arg, json_t *line)
{
	(void)arg;
	const json_t *p = json_object_get(line, "progress"), *ms = json_object_get(p, "ms");
	const char *text = json_string_value(json_object_get(p ? p : line, "text"));
	if (p) {
		const char *step = json_string_value(json_object_get(p, "step"));
		const char *outcome = json_string_value(json_object_get(p, "outcome"));
		printf("  %-20s %9.1f ms  %s%s%s\n", step ? step : "?", json_number_value(ms), outcome ? outcome : "?",
			text && *text ? ": " : "", text ? text : "");
	} else if (text && *text) {
		bool done = json_integer_value(json_object_get(line, "exit")) == EXIT_DONE;
		fflush(stdout);
		fprintf(done ? stdout : stderr, "%s\n", text);
	}
	fflush(stdout);
}

static int ask(const struct cli *c, json_t *request, us_t timeout)
{
	struct err e = { "" };
	int r = control_ask(c->socket, request, timeout, on_line, NULL, &e);
	if (*e.text)
		fprintf(stderr, "hactl: %s%s\n", e.text,
			r == EXIT_DEGRADED
				? "; the outcome is unknown: `hactl status` and `hactl events` say what happened"
				: "");
	return r;
}

static json_t *name_or_null(const char *name)
{
	return name ? json_string(name) : json_null();
}

struct change {
	const char *to, *timeout_text;
	bool dry_run, when_quiet, force;
	us_t timeout;
};

/* Shared by the three that change the primary; -1 = usage error, said. */
static int change_parse(struct cli *c, int argc, char **argv, const struct cli_option *own, struct change *g)
{
	struct err e;
	if (cli_parse(c, &argc, argv, own) < 0)
		return -1;
	if (argc > 1) {
		cli_usage(c, "%s takes no %s; a node is named with --to", argv[0], argv[1]);
		return -1;
	}
	if (cli_timeout(g->timeout_text, CHANGE_WAIT, &g->timeout, &e) < 0) {
		cli_usage(c, "--timeout: %s", e.text);
		return -1;
	}
	return 0;
}

static int ask_switchover(const struct cli *c, const struct change *g)
{
	json_t *r = json_pack("{s:s, s:o, s:I, s:b, s:b}", "cmd", "switchover", "to", name_or_null(g->to), "timeout_ms",
		(json_int_t)(g->timeout / US_PER_MS), "dry_run", g->dry_run, "when_quiet", g->when_quiet);
	return ask(c, r, (g->when_quiet ? 2 : 1) * g->timeout + ANSWER_GRACE);
}

int cli_switchover(struct cli *c, int argc, char **argv)
{
	struct change g = { 0 };
	const struct cli_option own[] = { { "to", 't', &g.to, NULL }, { "timeout", 0, &g.timeout_text, NULL },
		{ "dry-run", 0, NULL, &g.dry_run }, { "when-quiet", 0, NULL, &g.when_quiet }, { 0 } };
	if (change_parse(c, argc, argv, own, &g) < 0)
		return EXIT_USAGE;
	return ask_switchover(c, &g);
}

int cli_switchback(struct cli *c, int argc, char **argv)
{
	struct change g = { 0 };
	const struct cli_option own[] = { { "to", 't', &g.to, NULL }, { "timeout", 0, &g.timeout_text, NULL },
		{ "dry-run", 0, NULL, &g.dry_run }, { "when-quiet", 0, NULL, &g.when_quiet }, { 0 } };
	if (change_parse(c, argc, argv, own, &g) < 0)
		return EXIT_USAGE;
	struct conf *conf = cli_conf(c);
	if (!conf)
		return EXIT_REFUSED;
	int prefer = conf_preferred(conf), r = EXIT_REFUSED;
	if (prefer == NOBODY) {
		fprintf(stderr, "hactl: no node is marked `prefer = true` in %s; use `hactl switchover --to NODE`\n",
			c->conf);
	} else if (g.to && !str_eq(g.to, conf->node[prefer].name)) {
		fprintf(stderr,
			"hactl: switchback goes to %s, the node marked prefer; use `hactl switchover --to %s`\n",
			conf->node[prefer].name, g.to);
	} else {
		g.to = conf->node[prefer].name;
		r = ask_switchover(c, &g);
	}
	conf_free(conf);
	return r;
}

static void on_loss(void *arg, json_t *line)
{
	const json_t *f = json_object_get(json_object_get(line, "status"), "failover");
	const char *loss = json_string_value(json_object_get(f, "would_lose"));
	size_t i;
	json_t *why;
	(void)arg;
	if (loss)
		printf("lost by taking over now: %s\n", loss);
	json_array_foreach(json_object_get(f, "blockers"), i, why)
		printf("not done by itself, because: %s\n", json_string_value(why));
	fflush(stdout);
}

/* Said before it is done, by the node that is asked. An unanswered question says nothing: the command itself will. */
static void say_loss(const struct cli *c)
{
	control_ask(c->socket, json_pack("{s:s}", "cmd", "status"), ANSWER_GRACE, on_loss, NULL, NULL);
}

int cli_failover(struct cli *c, int argc, char **argv)
{
	struct change g = { 0 };
	const struct cli_option own[] = { { "to", 't', &g.to, NULL }, { "timeout", 0, &g.timeout_text, NULL },
		{ "force", 0, NULL, &g.force }, { 0 } };
	if (change_parse(c, argc, argv, own, &g) < 0)
		return EXIT_USAGE;
	if (!g.force) {
		fprintf(stderr,
			"hactl: failover takes over without the other node's consent, and writes that it has not "
			"received are lost.\n"
			"`hactl status` says in \"would lose\" what that is now. If the other node is alive, use "
			"`hactl switchover`.\n"
			"If you mean it: hactl failover --force%s%s\n",
			g.to ? " --to " : "", g.to ? g.to : "");
		return EXIT_USAGE;
	}
	say_loss(c);
	json_t *r = json_pack("{s:s, s:b, s:o, s:I}", "cmd", "failover", "force", 1, "to", name_or_null(g.to),
		"timeout_ms", (json_int_t)(g.timeout / US_PER_MS));
	return ask(c, r, g.timeout + ANSWER_GRACE);
}

int cli_pause(struct cli *c, int argc, char **argv)
{
	if (cli_parse(c, &argc, argv, NULL) < 0)
		return EXIT_USAGE;
	char reason[SENTENCE_MAX] = "";
	size_t len = 0;
	for (int i = 1; i < argc; i++)
		if (!str_add(reason, sizeof(reason), &len, "%s%s", i > 1 ? " " : "", argv[i]))
			return cli_usage(c, "the reason is longer than %d bytes", SENTENCE_MAX - 1);
	return ask(c, json_pack("{s:s, s:s}", "cmd", "pause", "reason", reason), SHORT_WAIT);
}

int cli_resume(struct cli *c, int argc, char **argv)
{
	if (cli_parse(c, &argc, argv, NULL) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "resume takes no %s", argv[1]);
	return ask(c, json_pack("{s:s}", "cmd", "resume"), SHORT_WAIT);
}

int cli_rejoin(struct cli *c, int argc, char **argv)
{
	bool discard = false;
	const struct cli_option own[] = { { "discard-divergent", 0, NULL, &discard }, { 0 } };
	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "rejoin takes no %s", argv[1]);
	return ask(c, json_pack("{s:s, s:b}", "cmd", "rejoin", "discard", discard),
		discard ? RESEED_WAIT : CHANGE_WAIT + ANSWER_GRACE);
}
