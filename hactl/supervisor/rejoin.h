/* rejoin.h - inside: one quarantined node's way back. rejoin.c exports, follows and answers; reseed.c replaces the data. */
#ifndef HACTL_SUPERVISOR_REJOIN_H
#define HACTL_SUPERVISOR_REJOIN_H

#include "hactl/supervisor/private.h"

enum stage { STAGE_NONE, STAGE_HOLD, STAGE_EXPORT, STAGE_RESEED, STAGE_RESTART, STAGE_VERIFY, STAGE_FOLLOW };

struct rejoin {
	struct sup *s;
	enum stage stage;
	bool reseed;			 /* goes on after the export */
	bool needed;			 /* also when nothing is only here: it cannot follow without */
	bool tried;			 /* the automatic one, in this quarantine */
	struct control_request *request; /* who waits for it; NULL nobody */
	struct db_call *call;
	struct proc *proc;    /* the reseed command */
	struct proc *starter; /* the start command */
	us_t start_at;	      /* not before */
	struct timer *timer;
	us_t began, stage_began, until;
	int64_t old_start;	    /* STAGE_RESTART: of the server before */
	bool stood_by;		    /* STAGE_FOLLOW: the core let it go */
	char file[512];		    /* of this quarantine's export; "" none */
	char trouble[SENTENCE_MAX]; /* why there is none */
	us_t export_pause;	    /* until it is tried again; longer each time */
	bool was_unfinished;	    /* before the reseed that runs */
	bool unfinished;    /* a reseed began and has not ended well: the data are not whole, also after a restart */
	char mark[520];	    /* the file that says so; it holds the export's name */
	char progress[520]; /* where the reseed command says what it does */
	long progress_at;
};

/* rejoin.c */
const struct conf_mysql *rejoin_conf(const struct sup *s);
struct db *rejoin_mysql(const struct sup *s);
void rejoin_tell(struct rejoin *j, const char *step, double ms, const char *outcome, const char *text);
void rejoin_tell_stage(struct rejoin *j, const char *step, const char *text); /* the present one has ended well */
/* The node is what it was: quarantined. */
void rejoin_fail(struct rejoin *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rejoin_enter(struct rejoin *j, enum stage stage, us_t bound);
void rejoin_follow(struct rejoin *j);

/* reseed.c */
void reseed_find_mark(struct rejoin *j); /* of a reseed that was cut short, at the start */
void reseed_begin(struct rejoin *j);
void reseed_look_command(struct rejoin *j); /* STAGE_RESEED, STAGE_RESTART: now and then */
void reseed_look_server(struct rejoin *j);

#endif
