/* test_replication_dialect.c - the dialect table has no holes, and each version finds its row. */
#include "replication/dialect.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
	bool mariadb;
	unsigned long version;
	const char *name; /* NULL: refused */
} rows[] = {
	{ true, 50731, NULL },
	{ true, 101099, NULL },
	{ false, 50744, NULL },
	{ false, 80021, NULL },
	{ true, 101100, "MariaDB" },
	{ true, 110802, "MariaDB" },
	{ true, 120000, "MariaDB" },
	{ false, 80022, "MySQL 8.0" },
	{ false, 80039, "MySQL 8.0" },
	{ false, 80400, "MySQL 8.4" },
	{ false, 90704, "MySQL 8.4" },
};

static void versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct dialect *d = dialect_find(rows[i].mariadb, rows[i].version);
		if (!str_eq(d ? d->name : NULL, rows[i].name))
			fail_msg("version %lu is taken for %s", rows[i].version, d ? d->name : "none");
	}
}

static void no_holes(void **state)
{
	static const bool may_lack[ST_COUNT] = {
		[ST_WAIT_FILE] = true, [ST_LOCKED] = true, [ST_ENTERED] = true, [ST_XA] = true
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct dialect *d = dialect_find(rows[i].mariadb, rows[i].version);
		for (int s = 0; d && s < ST_COUNT; s++)
			if (!d->text[s] && !(may_lack[s] && (d->mariadb || s == ST_WAIT_FILE || s == ST_LOCKED)))
				fail_msg("%s lacks statement %d", d->name, s);
	}
}

/* 8.4 knows none of the old words, MariaDB and 8.0.22 none of the new ones. */
static void words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct dialect *d = dialect_find(rows[i].mariadb, rows[i].version);
		bool fresh = d && !d->mariadb && d->since >= 80400;
		for (int s = ST_START; d && s <= ST_SOURCE_PLAIN; s++) {
			const char *old = strstr(d->text[s], "MASTER") ? "MASTER" : strstr(d->text[s], "SLAVE");
			if (fresh ? old != NULL : strstr(d->text[s], "SOURCE_HOST") || strstr(d->text[s], "REPLICA "))
				fail_msg("%s: \"%s\"", d->name, d->text[s]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(versions), cmocka_unit_test(no_holes),
		cmocka_unit_test(words) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
