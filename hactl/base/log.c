/* log.c - one line an event on stderr. journald reads sd-daemon's <N> prefix; a person at a terminal gets the time. */
#include "hactl/base/base.h"

#include <unistd.h>

static struct {
	enum log_level most_verbose;
	char node[NAME_MAX_LEN];
	bool terminal;
} log_to = { .most_verbose = LOG_LVL_INFO };

void log_setup(enum log_level most_verbose, const char *node)
{
	log_to.most_verbose = most_verbose;
	log_to.terminal = isatty(STDERR_FILENO);
	STR_COPY(log_to.node, node ? node : "");
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char line[2048], at[32] = "";
	size_t len = 0;
	va_list ap;
	int n;

	if (level > log_to.most_verbose)
		return;
	wall_text(wall_us(), at);
	if (log_to.terminal)
		str_add(line, sizeof(line), &len, "%s ", at + 11);
	else if (getenv("JOURNAL_STREAM"))
		str_add(line, sizeof(line), &len, "<%d>", (int)level);
	else
		str_add(line, sizeof(line), &len, "%s <%d> ", at, (int)level);
	if (log_to.node[0])
		str_add(line, sizeof(line), &len, "%s: ", log_to.node);
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	len += n < 0 ? 0 : (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nowhere left to say so */
}
