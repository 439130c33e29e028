/* directed.h - runs whose every delay is chosen. */
#ifndef HACTL_SIM_DIRECTED_H
#define HACTL_SIM_DIRECTED_H

#include <stdbool.h>
#include <stdint.h>

void run_directed(uint64_t *passed, uint64_t *failed, bool show);

#endif
