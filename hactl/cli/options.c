/* options.c - the options every command takes, a command's own, and what is said about a wrong one. */
#include "hactl/cli/cli.h"

#include <ctype.h>
#include <getopt.h>

enum { MAX_OPTIONS = 16, LONG_ONLY = 256 };

/* Fills getopt's two tables from ours; own comes first, so that its letters win. */
static void tables_make(
	const struct cli_option *const *rows, size_t n, bool front, char *shorts, struct option longs[MAX_OPTIONS + 1])
{
	*shorts++ = front ? '+' : '-'; /* '+': stop at the first operand; '-': hand operands over in their order */
	*shorts++ = ':';
	for (size_t i = 0; i < n; i++) {
		longs[i] = (struct option){
			.name = rows[i]->name,
			.has_arg = rows[i]->value ? required_argument : no_argument,
			.val = LONG_ONLY + (int)i,
		};
		bool hidden = !rows[i]->letter;
		for (size_t k = 0; k < i; k++)
			hidden = hidden || rows[k]->letter == rows[i]->letter;
		if (hidden)
			continue;
		*shorts++ = rows[i]->letter;
		if (rows[i]->value)
			*shorts++ = ':';
	}
	*shorts = 0;
	longs[n] = (struct option){ 0 };
}

static const struct cli_option *row_of(const struct cli_option *const *rows, size_t n, int val)
{
	if (val >= LONG_ONLY)
		return rows[val - LONG_ONLY];
	for (size_t i = 0; i < n; i++)
		if (rows[i]->letter == val)
			return rows[i];
	return NULL;
}

static int complain(const struct cli *c, int what, const char *arg)
{
	if (what == ':')
		cli_usage(c, "%s needs a value", arg);
	else
		cli_usage(c, "there is no option %s", arg);
	return -1;
}

static int parse(struct cli *c, int *argc, char **argv, const struct cli_option *own, bool front)
{
	const struct cli_option common[] = {
		{ "conf", 'c', &c->conf, NULL },
		{ "node", 'n', &c->node, NULL },
		{ "socket", 's', &c->socket, NULL },
		{ "state-dir", 0, &c->state_dir, NULL },
	};
	const struct cli_option *rows[MAX_OPTIONS];
	size_t n = 0;
	for (; own && own->name && n < MAX_OPTIONS - ARRAY_LEN(common); own++)
		rows[n++] = own;
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		rows[n++] = &common[i];

	char shorts[2 + 2 * MAX_OPTIONS + 1];
	struct option longs[MAX_OPTIONS + 1];
	tables_make(rows, n, front, shorts, longs);

	int left = 1, opt;
	optind = 0; /* glibc: start over, with a new set of options */
	opterr = 0;
	while ((opt = getopt_long(*argc, argv, shorts, longs, NULL)) != -1) {
		if (opt == 1) {
			argv[left++] = optarg;
			continue;
		}
		if (opt == '?' || opt == ':')
			return complain(c, opt, argv[optind - 1]);
		const struct cli_option *row = row_of(rows, n, opt);
		if (row->value)
			*row->value = optarg;
		else
			*row->flag = true;
	}
	if (front)
		return optind;
	while (optind < *argc) /* what stands after "--" */
		argv[left++] = argv[optind++];
	*argc = left;
	return 0;
}

int cli_parse(struct cli *c, int *argc, char **argv, const struct cli_option *own)
{
	return parse(c, argc, argv, own, false);
}

int cli_options(struct cli *c, int *argc, char **argv)
{
	return parse(c, argc, argv, NULL, false);
}

int cli_parse_front(struct cli *c, int argc, char **argv, const struct cli_option *own)
{
	return parse(c, &argc, argv, own, true);
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("hactl: ", stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (c->command)
		fprintf(stderr, "\nusage: hactl %s %s\n", c->command->name, c->command->arguments);
	else
		fputs("\nusage: hactl COMMAND [OPTIONS]; `hactl --help` lists the commands\n", stderr);
	return EXIT_USAGE;
}

/* Levenshtein's distance, with one row kept; names are short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_LEN + 1], n = strlen(b);
	if (n > NAME_MAX_LEN)
		return SIZE_MAX;
	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t k = 0; k < n; k++) {
			size_t swap = diagonal + (tolower((unsigned char)a[i]) != b[k]);
			diagonal = row[k + 1];
			size_t edit = (row[k] < row[k + 1] ? row[k] : row[k + 1]) + 1;
			row[k + 1] = swap < edit ? swap : edit;
		}
	}
	return row[n];
}

const struct cli_command *cli_find(const struct cli_command *table, size_t n, const char *name, const char **near)
{
	size_t best = SIZE_MAX, most = (strlen(name) + 1) / 3;
	const char *closest = NULL;
	for (size_t i = 0; i < n; i++) {
		if (str_eq(table[i].name, name))
			return &table[i];
		size_t d = *name && str_starts(table[i].name, name) ? 0 : distance(name, table[i].name);
		if (d > most || d >= best)
			continue;
		best = d;
		closest = table[i].name;
	}
	if (near)
		*near = closest;
	return NULL;
}

int cli_timeout(const char *text, us_t otherwise, us_t *out, struct err *e)
{
	if (!text) {
		*out = otherwise;
		return 0;
	}
	us_t span;
	if (duration_parse(text, &span, e) < 0)
		return -1;
	if (span < US_PER_MS || span > 3600 * US_PER_SEC)
		return err_set(e, "the time-out must lie between 1ms and 1h, not %s", text);
	*out = span;
	return 0;
}
