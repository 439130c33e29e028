/* doctor_docs.h - for the tests of doctor's judgments: documents as a server sends them, changed in one thing; what a row expects. */
#ifndef TESTS_UNIT_DOCTOR_DOCS_H
#define TESTS_UNIT_DOCTOR_DOCS_H

#include "hactl/cli/cmd_doctor.h"

#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* JSON with single quotes; double quotes may stand in strings as they are. */
static inline json_t *json_of(const char *text)
{
	auto_free char *copy = calloc(2, strlen(text) + 1);
	char *to = copy;
	bool quoted = false;
	json_error_t e;
	for (const char *p = text; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		*to++ = *p == '\'' && !quoted ? '"' : *p;
	}
	json_t *o = json_loads(copy, 0, &e);
	if (!o)
		fail_msg("%s in %s", e.text, copy);
	return o;
}

/* A change is merged into the document in order; null takes a variable away. */
static inline json_t *changed(const char *base, const char *change)
{
	json_t *doc = json_of(base), *delta = json_of(change);
	json_object_update_recursive(doc, delta);
	json_decref(delta);
	return doc;
}

static inline const struct finding *find(const struct report *r, const char *title)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->list[i].title, title))
			return &r->list[i];
	fail_msg("there is no check \"%s\"", title);
	return NULL;
}

struct row {
	bool mariadb;
	const char *doc, *files, *admin; /* changes, "{}" none; files and admin NULL: not had */
	bool remote;
	const char *title; /* of the check that speaks; all others stay silent unless also is set */
	enum severity severity;
	const char *words, *fix;
	const char *also; /* another check that speaks of the same thing */
	bool clone;
};

#endif
