/* etcd.h - inside the arbiter's room: the rest of the pure half. */
#ifndef HACTL_ARBITER_ETCD_H
#define HACTL_ARBITER_ETCD_H

#include "hactl/arbiter/arbiter.h"

/* Whether the stored entry is the very one of this attempt: its nonce and everything else. */
bool etcd_same_value(const struct reg_value *a, const struct reg_value *b);

/* POST /v3/auth/authenticate. Caller frees; NULL when user or password is not UTF-8. */
char *etcd_auth_body(const char *user, const char *password);
int etcd_parse_token(const char *body, size_t len, char *out, size_t size, struct err *e);

#endif
