/* gtid.h - positions as text, beyond what replication.h promises. Pure. */
#ifndef REPLICATION_GTID_H
#define REPLICATION_GTID_H

#include "replication/replication.h"

/* MariaDB: one entry a (domain, server) with the higher sequence of the two lists. "" when either is not understood. */
void gtid_merge_states(const char *a, const char *b, char *out, size_t size);
/* MariaDB: a binlog state reduced to a position: one entry a domain, the highest sequence. MySQL: the set as it is. -1: not understood. */
int gtid_as_position(bool mariadb, const char *text, char *out, size_t size);
/* What `have` holds beyond `of`, as text for a person ("" nothing); MariaDB names the highest of each (domain, server). */
int gtid_extra(bool mariadb, const char *of, const char *have, char *out, size_t size);
/* Did `origin` (server_uuid; MariaDB: server_id) write everything in `text`? */
bool gtid_all_by(bool mariadb, const char *text, const char *origin);
/* MariaDB: a position after which a log that has come to `have` holds everything that `of` lacks, and nothing of the domains in which it
 * lacks nothing. 1: there is none to be named, the whole log must be read. -1: not understood. */
int gtid_before_extra(const char *of, const char *have, char *out, size_t size);

#endif
