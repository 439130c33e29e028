/* base.h - ground floor: clock, durations, strings, the log, the event loop's thin face, and the helper process that
 * speaks to MySQL. Everything else stands on this; this stands on libc, libsystemd and (for two adapters) libcurl and
 * hiredis.
 *
 * Threads: none. Ownership: what an …_new or …_open returns is freed by the matching …_free (NULL allowed).
 */
#ifndef HACTL_BASE_BASE_H
#define HACTL_BASE_BASE_H

#include "hactl/base/types.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* --- clean-up attributes: the variable is released when it leaves its scope ------------------------------------- */
#define auto_free __attribute__((cleanup(cleanup_free)))
#define auto_close __attribute__((cleanup(cleanup_close)))
#define auto_file __attribute__((cleanup(cleanup_file)))
void cleanup_free(void *p);	/* p: address of a pointer from malloc */
void cleanup_close(int *fd);	/* closes *fd unless negative */
void cleanup_file(FILE **f);

/* --- clock ------------------------------------------------------------------------------------------------------ */
us_t now_us(void);		   /* CLOCK_BOOTTIME: monotonic, counts suspended time too */
us_t wall_us(void);		   /* CLOCK_REALTIME, for what people read; decides nothing */
void wall_text(us_t wall, char out[32]); /* "2026-11-21T03:04:05.678Z" */

/* --- durations: "100ms" "2s" "5m" "1h" "1d"; integers or decimals ("1.5s") ---------------------------------------- */
int duration_parse(const char *text, us_t *out, struct err *e); /* -1: no unit, not a number, negative, too large */
void duration_text(us_t us, char out[32]);			/* shortest exact form: "1500ms", "2s" */

/* --- strings ---------------------------------------------------------------------------------------------------- */
/* Copies with truncation, always terminated; returns false when it had to cut. */
bool str_copy(char *dst, size_t size, const char *src);
#define STR_COPY(dst, src) str_copy((dst), sizeof(dst), (src))
bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* caller frees; aborts without memory */
/* Appends at buf[*len]; keeps it terminated; false when it had to cut. */
bool str_add(char *buf, size_t size, size_t *len, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Makes text from a stranger safe for a log line: control and non-ASCII bytes become \xNN. */
void str_escape(const char *src, size_t n, char *dst, size_t size);
void *xcalloc(size_t n, size_t size); /* aborts without memory: the supervisor allocates at start only */
char *xstrdup(const char *s);

/* --- files ------------------------------------------------------------------------------------------------------ */
/* Whole file, NUL added, at most max bytes. Caller frees *out. */
int file_read(const char *path, size_t max, char **out, size_t *len, struct err *e);
/* Temporary file beside it, fsync, rename, fsync of the folder: after 0 the content survives a power cut. */
int file_replace(const char *path, const void *data, size_t len, mode_t mode, struct err *e);
/* The same for a file that is replaced often and waited for: the content before stays beside it as spare, and its place is written
 * over next time, which as long as the length stays the same leaves the file system's journal one entry to write, not three. The caller
 * removes the spare of an earlier process (file_spare): whether its exchange has reached the disk is not known. */
int file_exchange(const char *path, const void *data, size_t len, mode_t mode, struct err *e);
char *file_spare(const char *path);
/* Reads a one-line secret (trailing newline removed). Refuses a file that others than its owner can read. */
int secret_read(const char *path, char *out, size_t size, struct err *e);

/* --- addresses --------------------------------------------------------------------------------------------------- */
struct sockaddr_storage;
/* A numeric IPv4 or IPv6 address as the kernel takes it. */
int sockaddr_make(const char *text, int port, struct sockaddr_storage *out, unsigned *len, struct err *e);

/* --- log: one line an event on stderr, with sd-daemon's <N> prefix when stderr is not a terminal ------------------- */
enum log_level { LOG_LVL_ERROR = 3, LOG_LVL_WARN = 4, LOG_LVL_NOTICE = 5, LOG_LVL_INFO = 6, LOG_LVL_DEBUG = 7 };
void log_setup(enum log_level most_verbose, const char *node); /* node: shown in front of each line; may be NULL */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...)	log_at(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)	log_at(LOG_LVL_WARN, __VA_ARGS__)
#define log_notice(...) log_at(LOG_LVL_NOTICE, __VA_ARGS__)
#define log_info(...)	log_at(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...)	log_at(LOG_LVL_DEBUG, __VA_ARGS__)

/* --- a process that must not be late: it asks for what keeps that rare; false when it does not get it --------------------- */
bool priority_realtime(void); /* SCHED_RR, above every normal process, below the kernel's own threads; not for children */
bool priority_locked(void);   /* memory stays in memory */

/* --- event loop ------------------------------------------------------------------------------------------------- */
/* A thin face of sd-event: one-shot timers on CLOCK_BOOTTIME with 1 us accuracy, descriptors, children by pidfd.
 * Callbacks run one after the other and may add or free anything, the source that called them included. */
struct sd_event;
struct loop;
struct timer;
struct watch;
typedef void timer_fn(void *arg, us_t now);
typedef void watch_fn(void *arg, uint32_t epoll_events);

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);
struct sd_event *loop_sd(struct loop *l); /* for signals, watchdog and nested descriptors */
int loop_run(struct loop *l);		  /* until loop_exit; returns its code */
void loop_exit(struct loop *l, int code);

struct timer *timer_new(struct loop *l, timer_fn *fn, void *arg); /* disarmed */
void timer_at(struct timer *t, us_t at);			  /* re-arms; US_NEVER disarms; the past fires at once */
void timer_in(struct timer *t, us_t span);			  /* timer_at(now_us() + span) */
void timer_off(struct timer *t);
void timer_free(struct timer *t);

struct watch *watch_new(struct loop *l, int fd, uint32_t epoll_events, watch_fn *fn, void *arg); /* fd stays caller's */
void watch_set(struct watch *w, uint32_t epoll_events);
void watch_free(struct watch *w); /* before the caller closes fd */

/* --- child processes (hooks, `nginx -t`): own process group, clean environment, output captured, deadline ----------- */
struct proc_result {
	bool timed_out;
	int status;	     /* exit status, or 128 + signal; -1 when it could not be started */
	us_t took_us;
	char output[4096];   /* first bytes of stdout and stderr together, escaped, terminated */
};
typedef void proc_fn(void *arg, const struct proc_result *r);
struct proc;
/* Runs `/bin/sh -c command` with env ("NAME=value", NULL-terminated, may be NULL) and input on its standard input (may
 * be NULL). fn is called exactly once unless the proc is cancelled first. After it the proc is freed. */
struct proc *proc_start(struct loop *l, const char *command, const char *const *env, const char *input, us_t timeout,
	proc_fn *fn, void *arg, struct err *e);
void proc_cancel(struct proc *p); /* kills the group; fn is not called */

/* --- other processes, for finding a server's (process.c). NOBODY: none to be seen ----------------------------------------------- */
pid_t listener_process(int port, const char *const *names); /* listens on that TCP port in our network namespace and is called like one of names */
pid_t socket_process(const char *path);			    /* listens on that unix socket */
bool process_called(pid_t pid, const char *const *names);   /* its program's name begins with one of names (ends with NULL) */
us_t process_started(pid_t pid);			    /* on now_us()'s clock; US_UNKNOWN */

/* --- libcurl on the loop ------------------------------------------------------------------------------------------ */
/* One multi handle for a loop (made by the first call). The caller owns the easy handle and its options, deadlines
 * included, but CURLOPT_PRIVATE, which is ours while the transfer runs. fn runs once with CURLcode, never from inside
 * web_start, after which the handle is out of the multi again. */
typedef void web_fn(void *arg, void *easy, int curlcode);
int web_start(struct loop *l, void *easy, web_fn *fn, void *arg, struct err *e);
void web_cancel(struct loop *l, void *easy); /* fn is not called; harmless when not running */

/* --- hiredis on the loop ------------------------------------------------------------------------------------------ */
struct redisAsyncContext;
int redis_attach(struct loop *l, struct redisAsyncContext *ac); /* the adapter hiredis 0.14 lacks for sd-event */

/* --- the MySQL helper process -------------------------------------------------------------------------------------- */
/* libmysqlclient blocks, so each connection lives in a process of its own: the same binary, started with argv[1] =
 * SQLPROC_ARG, speaking over a SOCK_SEQPACKET pair on descriptor 3, without privileges, ended with its parent. It runs
 * one routine at a time. At the deadline it is killed (SIGKILL) and replaced; the routine's outcome is then unknown.
 * Measured at 300.3 ms for a deadline of 300 ms, 0.2 ms to respawn. */
#define SQLPROC_ARG "__sql"

struct sql_target {
	char host[64];	   /* numeric address; "" with socket */
	int port;
	char socket[108];  /* path of the local socket, "" for TCP */
	char user[64];
	char password[256];
	bool tls;	   /* verified against ca_file, never silently plain */
	char ca_file[256];
};

enum sql_status {
	SQL_OK,
	SQL_REFUSED,  /* nobody listens: connection refused or no such socket. The server is dead */
	SQL_DENIED,   /* wrong account, password or privilege: alive, but not for us (1045, 1044, 1227, 1142) */
	SQL_BUSY,     /* too many connections (1040): alive */
	SQL_FAILED,   /* the server answered with an error, or the routine refused; text says what */
	SQL_GONE,     /* an established connection broke (server ended, 2006, 2013) */
	SQL_TIMEOUT,  /* deadline passed; the helper was killed; what the server did is unknown */
	SQL_UNREACHABLE, /* no route, host down, connect timed out */
	SQL_STATUS_COUNT
};
extern const char *const sql_status_names[SQL_STATUS_COUNT];

struct sql_reply {
	enum sql_status status;
	int code;	  /* server's or client's error number, 0 none */
	us_t took_us;
	char text[512];	  /* the sentence when not SQL_OK */
	const char *out;  /* what the routine printed: JSON text or "" ; valid during the callback only */
	size_t out_len;
};
typedef void sql_fn(void *arg, const struct sql_reply *r);

struct sqlproc;
/* gone: called (once a connection) when an established idle connection breaks: the server just ended; may be NULL. */
struct sqlproc *sqlproc_new(struct loop *l, const struct sql_target *t, const char *label, void (*gone)(void *), void *arg);
void sqlproc_free(struct sqlproc *p);
bool sqlproc_busy(const struct sqlproc *p);
/* Starts routine (by its name in the table given to sqlproc_main) with args (JSON text, may be ""). One at a time: -1
 * when busy. fn is called exactly once, always from the loop, unless the sqlproc is freed or the call cancelled. */
int sqlproc_call(struct sqlproc *p, const char *routine, const char *args, us_t timeout, sql_fn *fn, void *arg, struct err *e);
void sqlproc_cancel(struct sqlproc *p); /* kills the helper; fn is not called; the next call starts a new one */

/* The other side. A routine runs in the helper, may block, writes at most cap bytes to out, returns 0 or -1 with e. */
typedef int sql_routine_fn(void *db /* MYSQL * */, const char *args, char *out, size_t cap, struct err *e);
struct sql_routine {
	const char *name;
	sql_routine_fn *fn;
};
int sqlproc_main(const struct sql_routine *const *tables, size_t n_tables); /* never returns to normal dispatch */

#endif
