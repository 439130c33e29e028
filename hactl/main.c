/* main.c - one table of commands drives dispatch, usage and --help. */
#include "hactl/cli/cli.h"
#include "hactl/guard/guard.h"
#include "hactl/supervisor/supervisor.h"

static int run(struct cli *c, int argc, char **argv)
{
	const struct cli_option own[] = { { "deadline", 0, &c->deadline, NULL }, { 0 } };

	return cli_parse(c, &argc, argv, own) < 0 ? EXIT_USAGE : supervisor_run(c, argc, argv);
}

static const struct cli_command commands[] = {
	{ "run", "[-c FILE] [-n NODE] [-s SOCKET] [--state-dir DIR] [--deadline FILE]",
		"the supervisor, in the foreground", run },
	{ "guard", "[-c FILE] [-n NODE] [-s SOCKET] [--deadline FILE]",
		"freezes this node's databases when a lease ends and the supervisor does not act", guard_run },
	{ "check", "[-c FILE]", "checks the configuration and reports every mistake as file:line", cli_check },
	{ "keygen", "FILE", "writes a new cluster key, mode 0600; never overwrites", cli_keygen },
	{ "status", "[--json] [--watch]", "the pair as this node sees it, and why it would or would not fail over now",
		cli_status },
	{ "switchover", "[--to NODE] [--dry-run | --when-quiet] [--timeout 30s]",
		"planned change of primary without losing a write", cli_switchover },
	{ "switchback", "[--dry-run | --when-quiet] [--timeout 30s]", "switchover to the node marked prefer",
		cli_switchback },
	{ "failover", "--force [--to NODE] [--timeout 30s]", "takes over without the other node's consent",
		cli_failover },
	{ "pause", "[REASON]", "no automatic role changes on either node; survives restarts", cli_pause },
	{ "resume", "", "ends a pause", cli_resume },
	{ "rejoin", "[--discard-divergent]", "brings a quarantined old primary back as replica", cli_rejoin },
	{ "events", "[--json] [-n N] [-f]", "the history: role changes with every step, probes, alerts", cli_events },
	{ "probe", "[--json] [NAME...]", "runs probes once, now: 0 all up, 1 some down", cli_probe },
	{ "is", "primary|standby", "for scripts: 0 yes, 1 no, 3 no supervisor answers", cli_is },
	{ "notify", "--source keepalived TYPE NAME STATE [PRIORITY]", "the entry for keepalived's notify scripts",
		cli_notify },
	{ "vip", "release", "removes the configured virtual IPs from this host", cli_vip },
	{ "doctor", "[--grants] [--json]",
		"examines the live servers against what failover needs: 0 nothing wrong, 1 findings", cli_doctor },
	{ "report", "[--since 24h] [--json]", "availability, failovers and probe latencies over a period", cli_later,
		.later = true },
};

static void help(void)
{
	puts("hactl - keeps a pair of servers in service\n\nusage: hactl [OPTIONS] COMMAND [ARGUMENTS]\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-11s %s%s\n", commands[i].name, commands[i].sentence,
			commands[i].later ? " (not in this version)" : "");
	puts("\noptions of every command, before or after its name:\n"
	     "  -c, --conf FILE      configuration (/etc/hactl/hactl.conf)\n"
	     "  -n, --node NODE      this node's name (default: by host name or address)\n"
	     "  -s, --socket SOCKET  the supervisor's socket (/run/hactl/hactl.sock)\n"
	     "  --state-dir DIR      terms and journal (/var/lib/hactl)\n"
	     "  -h, --help           this, or a command's own\n"
	     "  -V, --version\n\n"
	     "exit status: 0 done, 1 refused or failed, 2 usage, 3 no supervisor answers, 4 outcome unknown or "
	     "degraded\n"
	     "see also: hactl(8), hactl.conf(5)");
}

static bool asks_help(int argc, char **argv)
{
	for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
		if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h"))
			return true;
	return false;
}

static int command_run(struct cli *c, const struct cli_command *command, int argc, char **argv)
{
	c->command = command;
	if (!asks_help(argc, argv))
		return command->fn(c, argc, argv);
	printf("usage: hactl %s %s\n%s%s\n", command->name, command->arguments, command->sentence,
		command->later ? " (not in this version)" : "");
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	if (argc > 1 && str_eq(argv[1], SQLPROC_ARG)) {
		const struct sql_routine *const tables[] = { replication_sql_routines, probe_sql_routines };
		return sqlproc_main(tables, ARRAY_LEN(tables));
	}

	struct cli c = {
		.conf = "/etc/hactl/hactl.conf",
		.socket = "/run/hactl/hactl.sock",
		.state_dir = "/var/lib/hactl",
	};
	bool want_help = false, want_version = false;
	const struct cli_option own[] = { { "help", 'h', NULL, &want_help }, { "version", 'V', NULL, &want_version },
		{ 0 } };
	int at = cli_parse_front(&c, argc, argv, own);
	if (at < 0)
		return EXIT_USAGE;
	if (want_version)
		return puts("hactl " HACTL_VERSION) < 0 ? EXIT_REFUSED : EXIT_DONE;
	if (want_help) {
		help();
		return EXIT_DONE;
	}
	if (at >= argc)
		return cli_usage(&c, "which command?");

	const char *near;
	const struct cli_command *command = cli_find(commands, ARRAY_LEN(commands), argv[at], &near);
	if (command)
		return command_run(&c, command, argc - at, argv + at);
	return cli_usage(
		&c, near ? "there is no command %s; did you mean %s?" : "there is no command %s", argv[at], near);
}
