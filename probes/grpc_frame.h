/* grpc_frame.h - what grpc.c needs of the health protocol beyond probes.h. */
#ifndef PROBES_GRPC_FRAME_H
#define PROBES_GRPC_FRAME_H

#include "probes/probes.h"

enum { GRPC_HEALTH_SERVING = 1 };

/* HealthCheckResponse.ServingStatus of one whole frame, any value the server sent; -1 when the bytes are no such frame. */
int64_t grpc_health_status(const uint8_t *body, size_t len, struct err *e);
const char *grpc_health_name(int64_t status); /* "NOT_SERVING"; never NULL */
const char *grpc_code_name(long code);	      /* "UNIMPLEMENTED"; never NULL */

#endif
