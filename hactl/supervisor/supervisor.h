/* supervisor.h - the shell around the core: sockets, timers, workers. Turns the core's actions into effects and their results into
 * events. Owns all state of a running hactl; one loop, one thread.
 */
#ifndef HACTL_SUPERVISOR_SUPERVISOR_H
#define HACTL_SUPERVISOR_SUPERVISOR_H

#include "hactl/cli/cli.h"

int supervisor_run(struct cli *c, int argc, char **argv); /* `hactl run`; returns the exit status */

#endif
