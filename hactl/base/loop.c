/* loop.c - the thin face of sd-event: timers, descriptors. One thread.
 *
 * sd-event's own default accuracy is 250 ms: every timer here asks for 1 us. A callback may free its own source: sd-event holds a
 * reference while it dispatches, and nothing of ours is touched after the callback has returned.
 */
#include "hactl/base/base.h"
#include "hactl/base/loop_private.h"

#include <errno.h>
#include <signal.h>
#include <systemd/sd-event.h>
#include <time.h>

struct timer {
	sd_event_source *source;
	timer_fn *fn;
	void *arg;
};

struct watch {
	sd_event_source *source;
	watch_fn *fn;
	void *arg;
};

struct loop *loop_new(struct err *e)
{
	struct loop *l = xcalloc(1, sizeof(*l));
	sigset_t child;
	int r = sd_event_new(&l->event);

	if (r < 0) {
		err_set(e, "no event loop: %s", strerror(-r));
		free(l);
		return NULL;
	}
	sigemptyset(&child); /* sd-event wants it blocked before children are watched */
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signal(SIGPIPE, SIG_IGN); /* hiredis writes with write(2) */
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	web_close(l);
	sd_event_unref(l->event);
	free(l);
}

struct sd_event *loop_sd(struct loop *l)
{
	return l->event;
}

int loop_run(struct loop *l)
{
	return sd_event_loop(l->event);
}

void loop_exit(struct loop *l, int code)
{
	sd_event_exit(l->event, code);
}

static int on_timer(sd_event_source *s, uint64_t at, void *arg)
{
	struct timer *t = arg;

	(void)s;
	(void)at;
	t->fn(t->arg, now_us());
	return 0;
}

struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg)
{
	struct timer *t = xcalloc(1, sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	if (sd_event_add_time(l->event, &t->source, CLOCK_BOOTTIME, 0, 1, on_timer, t) < 0)
		abort(); /* only without memory or descriptors at start */
	sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
	return t;
}

void timer_at(struct timer *t, us_t at)
{
	if (at == US_NEVER) {
		timer_off(t);
		return;
	}
	sd_event_source_set_time(t->source, at < 0 ? 0 : (uint64_t)at);
	sd_event_source_set_enabled(t->source, SD_EVENT_ONESHOT);
}

void timer_in(struct timer *t, us_t span)
{
	timer_at(t, now_us() + span);
}

void timer_off(struct timer *t)
{
	sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
}

void timer_free(struct timer *t)
{
	if (!t)
		return;
	sd_event_source_disable_unref(t->source);
	free(t);
}

static int on_watch(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	struct watch *w = arg;

	(void)s;
	(void)fd;
	w->fn(w->arg, events);
	return 0;
}

struct watch *watch_new(struct loop *l, int fd, uint32_t epoll_events, watch_fn *fn, void *arg)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	if (sd_event_add_io(l->event, &w->source, fd, epoll_events, on_watch, w) < 0) {
		free(w);
		return NULL;
	}
	return w;
}

void watch_set(struct watch *w, uint32_t epoll_events)
{
	sd_event_source_set_io_events(w->source, epoll_events);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	sd_event_source_disable_unref(w->source);
	free(w);
}
