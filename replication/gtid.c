/* gtid.c - replication positions as the servers print them, compared. Pure.
 *
 * MySQL: a set, "uuid:1-5:7, uuid:tag:1-3" (tags since 8.4: a tag holds for the intervals after it). MariaDB: a list of
 * "domain-server-sequence". A gtid_binlog_state has an entry for every (domain, server); a position has one a domain. Containment is
 * judged a (domain, server): sequence numbers of different servers in one domain overlap after a split, so the higher number of another
 * server proves nothing.
 */
#include "replication/gtid.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

struct span {
	char key[80]; /* MySQL: "uuid" or "uuid:tag", lower case. MariaDB: "domain-server" */
	uint32_t domain;
	uint64_t first, last; /* inclusive. MariaDB: 1 to the sequence */
};

struct set {
	struct span *at;
	size_t n, room;
};

static void set_free(struct set *s)
{
	free(s->at);
	*s = (struct set){ 0 };
}

static void set_add(struct set *s, const struct span *span)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->at = realloc(s->at, s->room * sizeof(*s->at));
		if (!s->at)
			abort();
	}
	s->at[s->n++] = *span;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static const char *skip(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

static const char *number(const char *p, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (!isdigit((unsigned char)*p))
		return NULL;
	for (; isdigit((unsigned char)*p); p++) {
		unsigned digit = (unsigned)(*p - '0');
		if (v > (max - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*out = v;
	return p;
}

static const char *uuid(const char *p, char out[37])
{
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? p[i] != '-' : !isxdigit((unsigned char)p[i]))
			return NULL;
		out[i] = (char)tolower((unsigned char)p[i]);
	}
	out[36] = '\0';
	return p + 36;
}

static const char *tag(const char *p, char out[33])
{
	size_t n = 0;
	for (; isalnum((unsigned char)*p) || *p == '_'; p++) {
		if (n == 32)
			return NULL;
		out[n++] = (char)tolower((unsigned char)*p);
	}
	out[n] = '\0';
	return n ? p : NULL;
}

static const char *interval(const char *p, struct span *s)
{
	p = number(p, INT64_MAX, &s->first);
	if (!p || s->first == 0)
		return NULL;
	s->last = s->first;
	p = skip(p);
	if (*p == '-') {
		p = number(skip(p + 1), INT64_MAX, &s->last);
		if (!p || s->last < s->first)
			return NULL;
	}
	return skip(p);
}

/* "uuid:…": all intervals of one server, up to the comma */
static const char *mysql_server(const char *p, struct set *out)
{
	struct span s = { .key = "" };
	char id[37], name[33];

	p = uuid(p, id);
	if (!p)
		return NULL;
	STR_COPY(s.key, id);
	p = skip(p);
	if (*p != ':')
		return NULL;
	while (*p == ':') {
		p = skip(p + 1);
		if (isdigit((unsigned char)*p)) {
			p = interval(p, &s);
			if (!p)
				return NULL;
			set_add(out, &s);
			continue;
		}
		p = tag(p, name);
		if (!p)
			return NULL;
		snprintf(s.key, sizeof(s.key), "%s:%s", id, name);
		p = skip(p);
		if (*p != ':') /* a tag without an interval */
			return NULL;
	}
	return p;
}

static const char *mariadb_gtid(const char *p, struct set *out)
{
	uint64_t domain = 0, server = 0;
	struct span s = { .first = 1 };

	p = number(p, UINT32_MAX, &domain);
	p = p && *p == '-' ? number(p + 1, UINT32_MAX, &server) : NULL;
	p = p && *p == '-' ? number(p + 1, UINT64_MAX, &s.last) : NULL;
	if (!p)
		return NULL;
	s.domain = (uint32_t)domain;
	snprintf(s.key, sizeof(s.key), "%" PRIu64 "-%" PRIu64, domain, server);
	set_add(out, &s);
	return skip(p);
}

static int by_key(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	return c ? c : (x->first > y->first) - (x->first < y->first);
}

/* Sorted, overlapping and touching spans of a key made one. */
static void normalise(struct set *s)
{
	size_t kept = 0;
	if (s->n == 0)
		return;
	qsort(s->at, s->n, sizeof(*s->at), by_key);
	for (size_t i = 1; i < s->n; i++) {
		struct span *last = &s->at[kept];
		if (str_eq(last->key, s->at[i].key) && s->at[i].first <= last->last + 1) {
			if (s->at[i].last > last->last)
				last->last = s->at[i].last;
		} else {
			s->at[++kept] = s->at[i];
		}
	}
	s->n = kept + 1;
}

static int parse(bool mariadb, const char *text, struct set *out)
{
	const char *p;
	if (!text)
		return -1;
	p = skip(text);
	while (*p) {
		p = mariadb ? mariadb_gtid(p, out) : mysql_server(p, out);
		if (!p || (*p && *p != ','))
			goto bad;
		if (*p == ',') {
			p = skip(p + 1);
			if (!*p && mariadb) /* MySQL itself accepts a trailing comma */
				goto bad;
		}
	}
	normalise(out);
	return 0;
bad:
	set_free(out);
	return -1;
}

/* --- comparing ---------------------------------------------------------------------------------------------------------- */

/* Adds to rest what of span s is not in set. */
static void subtract(const struct set *set, struct span s, struct set *rest)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct span *t = &set->at[i];
		if (!str_eq(t->key, s.key) || t->last < s.first || t->first > s.last)
			continue;
		if (t->first > s.first) {
			struct span before = s;
			before.last = t->first - 1;
			set_add(rest, &before);
		}
		if (t->last >= s.last)
			return;
		s.first = t->last + 1;
	}
	set_add(rest, &s);
}

static int difference(bool mariadb, const char *of, const char *have, struct set *rest)
{
	struct set a = { 0 }, b = { 0 };
	if (parse(mariadb, of, &a) < 0)
		return -1;
	if (parse(mariadb, have, &b) < 0) {
		set_free(&a);
		return -1;
	}
	for (size_t i = 0; i < b.n; i++)
		subtract(&a, b.at[i], rest);
	set_free(&a);
	set_free(&b);
	return 0;
}

int gtid_contains(bool mariadb, const char *of, const char *have)
{
	struct set rest = { 0 };
	int r = difference(mariadb, of, have, &rest);
	size_t left = rest.n;
	set_free(&rest);
	return r < 0 ? -1 : left == 0;
}

static uint64_t highest(const struct set *s, uint32_t domain)
{
	uint64_t max = 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->at[i].domain == domain && s->at[i].last > max)
			max = s->at[i].last;
	return max;
}

/* Sequence numbers rise through a whole domain, whoever writes: the distance of the highest ones is the count. */
static int64_t mariadb_missing(const struct set *of, const struct set *have)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < of->n; i++) {
		uint64_t theirs = highest(have, of->at[i].domain);
		bool top = of->at[i].last == highest(of, of->at[i].domain);
		for (size_t j = 0; top && j < i; j++) /* two servers with the same number: count once */
			top = of->at[j].domain != of->at[i].domain || of->at[j].last != of->at[i].last;
		if (top && of->at[i].last > theirs)
			sum += of->at[i].last - theirs;
	}
	return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

static int64_t size_of(const struct set *set)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < set->n; i++)
		sum += set->at[i].last - set->at[i].first + 1;
	return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

int64_t gtid_missing(bool mariadb, const char *of, const char *have)
{
	struct set a = { 0 }, b = { 0 }, rest = { 0 };
	int64_t count = -1;

	if (parse(mariadb, of, &a) < 0 || parse(mariadb, have, &b) < 0)
		goto out;
	if (mariadb) {
		count = mariadb_missing(&a, &b);
		goto out;
	}
	for (size_t i = 0; i < a.n; i++)
		subtract(&b, a.at[i], &rest);
	count = size_of(&rest);
out:
	set_free(&a);
	set_free(&b);
	set_free(&rest);
	return count;
}

static int64_t mysql_unreceived(const char *of, const char *executed, const char *received)
{
	struct set b = { 0 }, rest = { 0 }, left = { 0 };
	int64_t count = -1;

	if (difference(false, executed, of, &rest) < 0 || parse(false, received, &b) < 0)
		goto out;
	for (size_t i = 0; i < rest.n; i++)
		subtract(&b, rest.at[i], &left);
	count = size_of(&left);
out:
	set_free(&b);
	set_free(&rest);
	set_free(&left);
	return count;
}

int64_t gtid_unreceived(bool mariadb, const char *of, const char *executed, const char *received)
{
	if (!mariadb)
		return mysql_unreceived(of, executed, received);
	/* one GTID a domain, and the receiver began where the applier was */
	return gtid_missing(true, of, received[0] ? received : executed);
}

/* Keys are "domain-server", "uuid" and "uuid:tag". */
static bool wrote(bool mariadb, const char *key, const char *origin)
{
	const char *server = mariadb ? strchr(key, '-') : NULL;
	size_t n = strlen(origin);

	if (mariadb)
		return server && str_eq(server + 1, origin);
	return !strncasecmp(key, origin, n) && (!key[n] || key[n] == ':');
}

int gtid_lost(bool mariadb, const char *own, const char *theirs, const char *origin)
{
	struct set rest = { 0 };
	int r = origin[0] ? difference(mariadb, own, theirs, &rest) : -1;

	for (size_t i = 0; r == 0 && i < rest.n; i++)
		r = wrote(mariadb, rest.at[i].key, origin);
	set_free(&rest);
	return r;
}

bool gtid_all_by(bool mariadb, const char *text, const char *origin)
{
	struct set s = { 0 };
	bool all = origin[0] && parse(mariadb, text, &s) == 0;

	for (size_t i = 0; all && i < s.n; i++)
		all = wrote(mariadb, s.at[i].key, origin);
	set_free(&s);
	return all;
}

/* --- writing -------------------------------------------------------------------------------------------------------------- */

int gtid_extra(bool mariadb, const char *of, const char *have, char *out, size_t size)
{
	struct set rest = { 0 };
	size_t len = 0;

	if (difference(mariadb, of, have, &rest) < 0)
		return -1;
	out[0] = '\0';
	for (size_t i = 0; i < rest.n; i++) {
		const struct span *s = &rest.at[i];
		const char *comma = i ? "," : "";
		if (mariadb)
			str_add(out, size, &len, "%s%s-%" PRIu64, comma, s->key, s->last);
		else if (s->first == s->last)
			str_add(out, size, &len, "%s%s:%" PRIu64, comma, s->key, s->first);
		else
			str_add(out, size, &len, "%s%s:%" PRIu64 "-%" PRIu64, comma, s->key, s->first, s->last);
	}
	set_free(&rest);
	return 0;
}

void gtid_merge_states(const char *a, const char *b, char *out, size_t size)
{
	struct set s = { 0 }, t = { 0 };
	size_t len = 0;

	out[0] = '\0';
	if (parse(true, a, &s) == 0 && parse(true, b, &t) == 0) {
		for (size_t i = 0; i < t.n; i++)
			set_add(&s, &t.at[i]);
		normalise(&s);
		for (size_t i = 0; i < s.n; i++)
			str_add(out, size, &len, "%s%s-%" PRIu64, i ? "," : "", s.at[i].key, s.at[i].last);
	}
	set_free(&s);
	set_free(&t);
}

int gtid_as_position(bool mariadb, const char *text, char *out, size_t size)
{
	struct set s = { 0 };
	size_t len = 0;

	if (parse(mariadb, text, &s) < 0)
		return -1;
	out[0] = '\0';
	if (!mariadb)
		str_copy(out, size, text);
	for (size_t i = 0; mariadb && i < s.n; i++)
		if (s.at[i].last == highest(&s, s.at[i].domain))
			str_add(out, size, &len, "%s%s-%" PRIu64, len ? "," : "", s.at[i].key, s.at[i].last);
	set_free(&s);
	return 0;
}

/* The last of span b's server and domain in a; 0 none. */
static uint64_t last_in(const struct set *a, const struct span *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (str_eq(a->at[i].key, b->key))
			return a->at[i].last;
	return 0;
}

/* Of one domain: the lowest of what `a` has last of the servers of which b has more; else b's own end of the domain. NULL: a has nothing
 * of one of those servers. */
static const char *domain_start(const struct set *a, const struct set *b, uint32_t domain, uint64_t *seq)
{
	const char *extra = NULL, *end = "";
	uint64_t top = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct span *s = &b->at[i];
		uint64_t theirs = last_in(a, s);

		if (s->domain != domain)
			continue;
		if (s->last > top) {
			top = s->last;
			end = s->key;
		}
		if (s->last <= theirs)
			continue;
		if (!theirs)
			return NULL;
		if (!extra || theirs < *seq) {
			extra = s->key;
			*seq = theirs;
		}
	}
	if (!extra)
		*seq = top;
	return extra ? extra : end;
}

static bool first_of_domain(const struct set *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (s->at[k].domain == s->at[i].domain)
			return false;
	return true;
}

int gtid_before_extra(const char *of, const char *have, char *out, size_t size)
{
	struct set a = { 0 }, b = { 0 };
	size_t len = 0;
	int r = parse(true, of, &a) < 0 || parse(true, have, &b) < 0 ? -1 : 0;

	out[0] = '\0';
	for (size_t i = 0; r == 0 && i < b.n; i++) {
		uint64_t seq = 0;
		const char *key = first_of_domain(&b, i) ? domain_start(&a, &b, b.at[i].domain, &seq) : "";

		if (!key)
			r = 1;
		else if (key[0])
			str_add(out, size, &len, "%s%s-%" PRIu64, len ? "," : "", key, seq);
	}
	set_free(&a);
	set_free(&b);
	return r;
}
