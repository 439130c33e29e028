/* web.c - libcurl's multi interface on the loop (curl_multi_socket_action). One multi handle a loop. */
#include "hactl/base/base.h"
#include "hactl/base/loop_private.h"

#include <curl/curl.h>
#include <sys/epoll.h>

struct web {
	CURLM *multi;
	struct loop *loop;
	struct timer *timer;
	struct timer *settle; /* reports finished transfers from the loop, never from inside a caller's web_start */
};

struct transfer {
	web_fn *fn;
	void *arg;
};

struct web_socket {
	struct web *web;
	struct watch *watch;
	curl_socket_t fd;
};

static void report_finished(struct web *w)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(w->multi, &left))) {
		CURL *easy = m->easy_handle;
		CURLcode code = m->data.result;
		struct transfer *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
		curl_multi_remove_handle(w->multi, easy);
		curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
		if (t)
			t->fn(t->arg, easy, (int)code);
		free(t);
	}
}

static void on_settle(void *arg, us_t now)
{
	(void)now;
	report_finished(arg);
}

static void act(struct web *w, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(w->multi, fd, what, &running);
	report_finished(w);
}

static void on_socket(void *arg, uint32_t events)
{
	struct web_socket *s = arg;
	int what = 0;

	what |= events & EPOLLIN ? CURL_CSELECT_IN : 0;
	what |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	what |= events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
	act(s->web, s->fd, what);
}

static void on_web_timer(void *arg, us_t now)
{
	(void)now;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void socket_done(struct web *w, curl_socket_t fd, struct web_socket *s)
{
	curl_multi_assign(w->multi, fd, NULL);
	if (s)
		watch_free(s->watch);
	free(s);
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	static const uint32_t wish[] = {
		[CURL_POLL_IN] = EPOLLIN, [CURL_POLL_OUT] = EPOLLOUT, [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT
	};
	struct web_socket *s = known;
	struct web *w = arg;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		socket_done(w, fd, s);
		return 0;
	}
	if (s) {
		watch_set(s->watch, wish[what]);
		return 0;
	}
	s = xcalloc(1, sizeof(*s));
	s->web = w;
	s->fd = fd;
	s->watch = watch_new(w->loop, fd, wish[what], on_socket, s);
	curl_multi_assign(w->multi, fd, s);
	return 0;
}

static int timer_wanted(CURLM *multi, long ms, void *arg)
{
	struct web *w = arg;

	(void)multi;
	if (ms < 0)
		timer_off(w->timer);
	else
		timer_in(w->timer, ms * US_PER_MS);
	return 0;
}

static struct web *web_open(struct loop *l, struct err *e)
{
	struct web *w = xcalloc(1, sizeof(*w));

	curl_global_init(CURL_GLOBAL_DEFAULT);
	w->multi = curl_multi_init();
	if (!w->multi) {
		free(w);
		err_set(e, "libcurl gave no multi handle");
		return NULL;
	}
	w->loop = l;
	w->timer = timer_new(l, on_web_timer, w);
	w->settle = timer_new(l, on_settle, w);
	curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, 64L); /* the arbiter keeps one an endpoint and call */
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
	return w;
}

void web_close(struct loop *l)
{
	struct web *w = l->web;

	if (!w)
		return;
	curl_multi_cleanup(w->multi);
	timer_free(w->timer);
	timer_free(w->settle);
	free(w);
	l->web = NULL;
}

int web_start(struct loop *l, void *easy, web_fn *fn, void *arg, struct err *e)
{
	struct transfer *t;
	CURLMcode r;

	if (!l->web && !(l->web = web_open(l, e)))
		return -1;
	t = xcalloc(1, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	r = curl_multi_add_handle(l->web->multi, easy);
	if (r != CURLM_OK) {
		curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
		free(t);
		return err_set(e, "libcurl: %s", curl_multi_strerror(r));
	}
	timer_in(l->web->settle, 0);
	return 0;
}

void web_cancel(struct loop *l, void *easy)
{
	struct transfer *t = NULL;

	if (!l->web)
		return;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
	if (!t)
		return;
	curl_multi_remove_handle(l->web->multi, easy);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
	free(t);
}
