/* priority.c - real-time priority and locked memory, for the supervisor and the guard. */
#include "hactl/base/base.h"

#include <sched.h>
#include <sys/mman.h>

#define REALTIME_PRIORITY 20 /* above every normal process, below the kernel's own threads (50) */

bool priority_realtime(void)
{
	struct sched_param p = { .sched_priority = REALTIME_PRIORITY };

	return !sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p);
}

bool priority_locked(void)
{
	return !mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}
