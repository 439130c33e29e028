/* cmd_status.c - `hactl status`. */
#include "hactl/cli/cli.h"
#include "hactl/control/control.h"

#include <time.h>
#include <unistd.h>

#define STATUS_WAIT  (5 * US_PER_SEC)
#define STATUS_PAUSE 1 /* seconds between two looks of --watch */

static void on_line(void *arg, json_t *line)
{
	json_t **status = arg, *found = json_object_get(line, "status");
	if (!found)
		return;
	json_decref(*status);
	*status = json_incref(found);
}

static bool colours(void)
{
	const char *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && !str_eq(term, "dumb");
}

static void print(const json_t *status, bool json, bool watch)
{
	auto_free char *text =
		json ? json_dumps(status, (watch ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(9))
		     : status_text(status, colours());
	if (!text)
		return;
	if (watch && !json && isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	fputs(text, stdout);
	if (json)
		putchar('\n');
	fflush(stdout);
}

static int status_once(const struct cli *c, bool json, bool watch)
{
	struct err e = { "" };
	json_t *status = NULL;
	int r = control_ask(c->socket, json_pack("{s:s}", "cmd", "status"), STATUS_WAIT, on_line, &status, &e);
	if (status)
		print(status, json, watch);
	else
		fprintf(stderr, "hactl: %s\n", *e.text ? e.text : "the supervisor answered without a status");
	if (!status && r != EXIT_USAGE)
		r = EXIT_NOBODY; /* a question leaves nothing undecided: no answer is no answer */
	json_decref(status);
	return r;
}

int cli_status(struct cli *c, int argc, char **argv)
{
	bool json = false, watch = false;
	const struct cli_option own[] = { { "json", 'j', NULL, &json }, { "watch", 'w', NULL, &watch }, { 0 } };
	if (cli_parse(c, &argc, argv, own) < 0)
		return EXIT_USAGE;
	if (argc > 1)
		return cli_usage(c, "status takes no %s", argv[1]);
	if (!watch)
		return status_once(c, json, false);
	for (;;) { /* until the terminal's interrupt ends it */
		int r = status_once(c, json, true);
		if (ferror(stdout))
			return r;
		nanosleep(&(struct timespec){ .tv_sec = STATUS_PAUSE }, NULL);
	}
}
