/* client.c - asking a supervisor, blocking, with a deadline. */
#include "hactl/control/control.h"

#include "hactl/control/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ASK_NOBODY = 3, ASK_UNKNOWN = 4, ANSWER_MAX = 8 * 1024 * 1024 };

static int wait_for(int fd, short events, us_t until)
{
	for (;;) {
		us_t left = until - now_us();
		if (left <= 0)
			return 0;
		struct pollfd p = { .fd = fd, .events = events };
		int n = poll(&p, 1, (int)((left + US_PER_MS - 1) / US_PER_MS));
		if (n > 0 || (n < 0 && errno != EINTR))
			return n;
	}
}

static int request_send(int fd, const char *line, size_t len, us_t until)
{
	while (len) {
		if (wait_for(fd, POLLOUT, until) <= 0)
			return -1;
		ssize_t n = send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -1;
		line += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The exit status when it was the last line, -1 when more will come, -2 when it was no answer. */
static int answer_line(const char *text, size_t len, control_line_fn *line, void *arg)
{
	json_t *o = json_loadb(text, len, 0, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return -2;
	}
	const json_t *status = json_object_get(o, "exit");
	int exit_status = json_is_integer(status) ? (int)json_integer_value(status) & 0xff : -1;
	if (line)
		line(arg, o);
	json_decref(o);
	return exit_status;
}

static int answers_read(int fd, us_t until, control_line_fn *line, void *arg, struct err *e)
{
	auto_free char *buf = NULL;
	size_t len = 0, size = 0;
	for (;;) {
		if (size - len < 4096) {
			size = size ? size * 2 : 16384;
			char *bigger = size <= ANSWER_MAX ? realloc(buf, size) : NULL;
			if (!bigger)
				return err_set(e, "the supervisor's answer is too long");
			buf = bigger;
		}
		if (wait_for(fd, POLLIN, until) <= 0)
			return err_set(e, "the supervisor took the request but did not finish its answer in time");
		ssize_t n = recv(fd, buf + len, size - len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return err_set(e, "the supervisor closed the connection before its last word%s%s",
				n ? ": " : "", n ? strerror(errno) : "");
		len += (size_t)n;
		for (char *end; (end = memchr(buf, '\n', len));) {
			size_t used = (size_t)(end - buf) + 1;
			int r = answer_line(buf, used - 1, line, arg);
			if (r == -2)
				return err_set(e, "the supervisor's answer is not JSON");
			if (r >= 0)
				return r;
			memmove(buf, buf + used, len - used);
			len -= used;
		}
	}
}

int control_ask(const char *path, json_t *request, us_t timeout, control_line_fn *line, void *arg, struct err *e)
{
	us_t until = now_us() + timeout;
	auto_free char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!text) {
		err_set(e, "the request is not valid text (UTF-8)");
		return 2;
	}
	auto_free char *whole = str_printf("%s\n", text);
	struct err why;
	auto_close int fd = unix_connect(path, timeout, &why);
	if (fd < 0) {
		err_set(e, "no supervisor answers on %s; is hactl running here? (systemctl status hactl)", why.text);
		return ASK_NOBODY;
	}
	if (request_send(fd, whole, strlen(whole), until) < 0) {
		err_set(e, "no supervisor answers on %s: it does not read", path);
		return ASK_NOBODY;
	}
	int r = answers_read(fd, until, line, arg, e);
	return r < 0 ? ASK_UNKNOWN : r;
}
