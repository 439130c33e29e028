/* walk.c - libconfig's tree against the schema table: every value into its field, every mistake with its line. */
#include "hactl/config/schema.h"

static void walk_group(struct walk *w, const struct schema *sc, const config_setting_t *s, void *base);
static void fill_group(struct walk *w, const struct schema *sc, void *base);

/* --- mistakes -------------------------------------------------------------------------------------------------------- */

void mistake_add(struct mistakes *m, int line, const char *fmt, ...)
{
	va_list ap;

	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 16;
		m->list = realloc(m->list, m->cap * sizeof(*m->list));
		if (!m->list)
			abort();
	}
	va_start(ap, fmt);
	if (vasprintf(&m->list[m->n].sentence, fmt, ap) < 0)
		abort();
	va_end(ap);
	m->list[m->n++].line = line;
}

/* Stable, so that mistakes of one line come in the order they were found; insertion, since they nearly are in order. */
static void sort_by_line(struct mistakes *m)
{
	for (size_t i = 1; i < m->n; i++) {
		struct mistake one = m->list[i];
		size_t j = i;

		for (; j > 0 && m->list[j - 1].line > one.line; j--)
			m->list[j] = m->list[j - 1];
		m->list[j] = one;
	}
}

void mistakes_tell(struct mistakes *m, const char *file, conf_mistake_fn *fn, void *arg)
{
	sort_by_line(m);
	for (size_t i = 0; i < m->n; i++) {
		if (fn)
			fn(arg, file, m->list[i].line, m->list[i].sentence);
		free(m->list[i].sentence);
	}
	free(m->list);
	*m = (struct mistakes){ 0 };
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

int setting_line(const config_setting_t *s)
{
	return s->line ? (int)s->line : 1;
}

static const char *dot(const struct schema *sc)
{
	return *sc->path ? "." : "";
}

/* Letters to change, add, drop or swap to get from a to b (optimal string alignment); more than 3 is reported as 9. */
static int distance(const char *a, const char *b)
{
	enum { MOST = 40 };
	int rows[MOST + 1][MOST + 1], n = (int)strlen(a), m = (int)strlen(b);

	if (n > MOST || m > MOST || abs(n - m) > 3)
		return 9;
	for (int i = 0; i <= n; i++) {
		for (int j = 0; j <= m; j++) {
			int best;

			if (!i || !j) {
				rows[i][j] = i + j;
				continue;
			}
			best = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (rows[i - 1][j] + 1 < best)
				best = rows[i - 1][j] + 1;
			if (rows[i][j - 1] + 1 < best)
				best = rows[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				rows[i - 2][j - 2] + 1 < best)
				best = rows[i - 2][j - 2] + 1;
			rows[i][j] = best;
		}
	}
	return rows[n][m];
}

bool name_close(const char *written, const char *meant)
{
	int d = distance(written, meant);

	return d < 3 && 2 * d < (int)strlen(meant);
}

static const char *closest(const struct schema *sc, const char *name)
{
	const char *found = NULL;
	int best = 3;

	for (size_t i = 0; i < sc->n; i++) {
		int d = distance(name, sc->keys[i].name);

		if (d < best && name_close(name, sc->keys[i].name)) {
			best = d;
			found = sc->keys[i].name;
		}
	}
	return found;
}

static const struct key *key_named(const struct schema *sc, const char *name)
{
	for (size_t i = 0; i < sc->n; i++)
		if (!strcmp(sc->keys[i].name, name))
			return &sc->keys[i];
	return NULL;
}

/* The path of the group that has such a key, when only the place is wrong; NULL when none has. */
static const char *elsewhere(const struct schema *sc, const char *name)
{
	const char *deeper = NULL;

	for (size_t i = 0; i < sc->n; i++)
		if (sc->keys[i].group && key_named(sc->keys[i].group, name))
			return sc->keys[i].group->path;
	for (size_t i = 0; i < sc->n && !deeper; i++)
		deeper = sc->keys[i].group ? elsewhere(sc->keys[i].group, name) : NULL;
	return deeper;
}

/* A required key that is there under a misspelt name has been told of already. */
static bool misspelt(const struct schema *sc, const config_setting_t *s, const struct key *k)
{
	for (int i = 0; i < config_setting_length(s); i++) {
		const char *name = config_setting_get_elem(s, (unsigned)i)->name;

		if (!key_named(sc, name) && str_eq(closest(sc, name), k->name))
			return true;
	}
	return false;
}

static void unknown_key(struct walk *w, const struct schema *sc, const config_setting_t *s)
{
	const char *near = closest(sc, s->name), *other = near ? NULL : elsewhere(&schema_file, s->name);

	if (near)
		mistake_add(w->mistakes, setting_line(s), "unknown key %s%s%s; did you mean %s?", sc->path, dot(sc),
			s->name, near);
	else if (other)
		mistake_add(w->mistakes, setting_line(s), "unknown key %s%s%s; a key of this name belongs in %s",
			sc->path, dot(sc), s->name, other);
	else
		mistake_add(w->mistakes, setting_line(s),
			"unknown key %s%s%s; remove it (hactl.conf(5) lists all keys)", sc->path, dot(sc), s->name);
}

/* --- single values ------------------------------------------------------------------------------------------------------ */

/* What stands there, for a sentence about a wrong type. */
static const char *found_text(const config_setting_t *s, char out[96])
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(out, 96, "the number %lld", config_setting_get_int64(s));
		break;
	case CONFIG_TYPE_FLOAT:
		snprintf(out, 96, "the number %g", config_setting_get_float(s));
		break;
	case CONFIG_TYPE_BOOL:
		snprintf(out, 96, "%s", config_setting_get_bool(s) ? "true" : "false");
		break;
	case CONFIG_TYPE_STRING: {
		char safe[48];

		str_escape(config_setting_get_string(s), strlen(config_setting_get_string(s)), safe, sizeof(safe));
		snprintf(out, 96, "the text \"%s\"", safe);
		break;
	}
	case CONFIG_TYPE_GROUP:
		snprintf(out, 96, "a group { }");
		break;
	case CONFIG_TYPE_ARRAY:
		snprintf(out, 96, "an array [ ]");
		break;
	default:
		snprintf(out, 96, "a list ( )");
		break;
	}
	return out;
}

static const char *example_of(const struct key *k, char out[128])
{
	const char *q = kind_is_text(k->kind) ? "\"" : "";

	if (k->example)
		return k->example;
	snprintf(out, 128, "%s%s%s", q, k->fallback ? k->fallback : "", q);
	return out;
}

static void wrong_type(struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s)
{
	char found[96], example[128];

	mistake_add(w->mistakes, setting_line(s), "%s%s%s: here stands %s, but %s is wanted; write %s = %s;", sc->path,
		dot(sc), k->name, found_text(s, found), kind_wanted(k->kind), k->name, example_of(k, example));
}

static void walk_int(struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *at)
{
	long long n = s->type == CONFIG_TYPE_INT ? s->value.ival : s->value.llval;

	if (s->type != CONFIG_TYPE_INT && s->type != CONFIG_TYPE_INT64)
		wrong_type(w, sc, k, s);
	else if (n < k->min || n > k->max)
		mistake_add(w->mistakes, setting_line(s),
			"%s%s%s: %lld is out of range; write a number from %lld to %lld", sc->path, dot(sc), k->name, n,
			(long long)k->min, (long long)k->max);
	else
		*(int *)at = (int)n;
}

static void walk_bool(struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *at)
{
	if (s->type != CONFIG_TYPE_BOOL)
		wrong_type(w, sc, k, s);
	else if (k->size)
		*(bool *)at = s->value.ival;
}

/* A bare number where a duration belongs: the commonest slip, so it gets its own sentence. */
static bool bare_duration(struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s)
{
	char n[64];

	if (k->kind != KIND_DURATION || !config_setting_is_number(s))
		return false;
	if (s->type == CONFIG_TYPE_FLOAT)
		snprintf(n, sizeof(n), "%g", config_setting_get_float(s));
	else
		snprintf(n, sizeof(n), "%lld", config_setting_get_int64(s));
	mistake_add(w->mistakes, setting_line(s),
		"%s%s%s: %s has no unit; write it in quotes with ms, s, m, h or d, as in \"%s\"", sc->path, dot(sc),
		k->name, n, k->fallback);
	return true;
}

static void walk_text(struct walk *w, const struct schema *sc, const struct key *k, enum kind kind,
	const config_setting_t *s, void *at)
{
	struct err e = { "" };

	if (s->type != CONFIG_TYPE_STRING) {
		if (!bare_duration(w, sc, k, s))
			wrong_type(w, sc, k, s);
		return;
	}
	if (w->partial && (kind == KIND_NODE || kind == KIND_PROBE)) /* its list may stand below the syntax error */
		return;
	if (value_parse(k, kind, s->value.sval ? s->value.sval : "", at, w->draft, &e))
		mistake_add(w->mistakes, setting_line(s), "%s%s%s: %s", sc->path, dot(sc), k->name, e.text);
}

/* --- lists ---------------------------------------------------------------------------------------------------------------- */

static bool is_list(const config_setting_t *s)
{
	return s->type == CONFIG_TYPE_LIST || s->type == CONFIG_TYPE_ARRAY;
}

/* How many elements may be walked; tells of too few and too many. */
static int count_elements(
	struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *base)
{
	int n = config_setting_length(s), most = (int)k->max;

	if (n > most)
		mistake_add(w->mistakes, setting_line(config_setting_get_elem(s, (unsigned)most)),
			"%s%s%s: this is number %d of %d, and at most %d fit; remove some", sc->path, dot(sc), k->name,
			most + 1, n, most);
	else if (n < k->min && !w->partial)
		mistake_add(w->mistakes, setting_line(s), "%s%s%s: has %d where %s%d %s needed; write %s = %s;",
			sc->path, dot(sc), k->name, n, k->min == k->max ? "" : "at least ", (int)k->min,
			k->min == 1 ? "is" : "are", k->name, k->example);
	if (n > most)
		n = most;
	if (k->counted)
		*(int *)((char *)base + k->count) = n;
	return n;
}

static void walk_groups(
	struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *base)
{
	int n;

	if (!is_list(s)) {
		wrong_type(w, sc, k, s);
		return;
	}
	n = count_elements(w, sc, k, s, base);
	for (int i = 0; i < n; i++) {
		const config_setting_t *element = config_setting_get_elem(s, (unsigned)i);
		void *at = (char *)base + k->offset + (size_t)i * k->size;
		char found[96];

		if (element->type == CONFIG_TYPE_GROUP) {
			walk_group(w, k->group, element, at);
			continue;
		}
		fill_group(w, k->group, at);
		mistake_add(w->mistakes, setting_line(element),
			"%s%s%s: here stands %s, but a group { … } is wanted; write %s", sc->path, dot(sc), k->name,
			found_text(element, found), k->example);
	}
}

static void walk_values(
	struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *base)
{
	int n;

	if (!is_list(s)) {
		wrong_type(w, sc, k, s);
		return;
	}
	n = count_elements(w, sc, k, s, base);
	for (int i = 0; i < n; i++)
		walk_text(w, sc, k, k->item, config_setting_get_elem(s, (unsigned)i),
			(char *)base + k->offset + (size_t)i * k->size);
}

static void walk_links(
	struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *base)
{
	struct key one = *k;
	int n;

	if (!is_list(s)) {
		wrong_type(w, sc, k, s);
		return;
	}
	one.size = k->size / NODES;
	n = count_elements(w, sc, k, s, base);
	for (int i = 0; i < n; i++) {
		const config_setting_t *pair = config_setting_get_elem(s, (unsigned)i);
		char *at = (char *)base + k->offset + (size_t)i * k->size;

		if (!is_list(pair) || config_setting_length(pair) != NODES) {
			mistake_add(w->mistakes, setting_line(pair),
				"%s%s%s: a link is a pair of addresses in the order of nodes; write %s = %s;", sc->path,
				dot(sc), k->name, k->name, k->example);
			continue;
		}
		for (int node = 0; node < NODES; node++)
			walk_text(w, sc, &one, KIND_ADDRESS, config_setting_get_elem(pair, (unsigned)node),
				at + (size_t)node * one.size);
	}
}

/* --- groups ---------------------------------------------------------------------------------------------------------------- */

/* Default values of a group that is not written, or of the keys it leaves out. */
static void fill_key(struct walk *w, const struct key *k, void *base)
{
	void *at = (char *)base + k->offset;
	struct err e = { "" };

	if (k->kind == KIND_GROUP)
		fill_group(w, k->group, at);
	else if (k->kind == KIND_PROBE)
		*(int *)at = -1;
	else if (k->kind == KIND_INT && k->fallback)
		*(int *)at = atoi(k->fallback);
	else if (k->kind == KIND_BOOL && k->size)
		*(bool *)at = k->fallback && !strcmp(k->fallback, "true");
	else if (k->fallback && kind_is_text(k->kind) && value_parse(k, k->kind, k->fallback, at, w->draft, &e))
		abort(); /* the table contradicts itself: test_config_schema.c fills every group */
}

static void fill_group(struct walk *w, const struct schema *sc, void *base)
{
	for (size_t i = 0; i < sc->n; i++)
		fill_key(w, &sc->keys[i], base);
}

static void walk_key(
	struct walk *w, const struct schema *sc, const struct key *k, const config_setting_t *s, void *base)
{
	void *at = (char *)base + k->offset;

	switch (k->kind) {
	case KIND_BOOL:
		walk_bool(w, sc, k, s, at);
		break;
	case KIND_INT:
		walk_int(w, sc, k, s, at);
		break;
	case KIND_GROUP:
		if (s->type == CONFIG_TYPE_GROUP)
			walk_group(w, k->group, s, at);
		else
			wrong_type(w, sc, k, s);
		if (k->marked)
			*(bool *)((char *)base + k->present) = true;
		break;
	case KIND_GROUPS:
		walk_groups(w, sc, k, s, base);
		break;
	case KIND_VALUES:
		walk_values(w, sc, k, s, base);
		break;
	case KIND_LINKS:
		walk_links(w, sc, k, s, base);
		break;
	default:
		walk_text(w, sc, k, k->kind, s, at);
	}
}

static void walk_group(struct walk *w, const struct schema *sc, const config_setting_t *s, void *base)
{
	int n = config_setting_length(s);

	fill_group(w, sc, base);
	for (int i = 0; i < n; i++) {
		const config_setting_t *member = config_setting_get_elem(s, (unsigned)i);

		if (!key_named(sc, member->name))
			unknown_key(w, sc, member);
	}
	for (size_t i = 0; i < sc->n; i++) { /* in the table's order: names before what refers to them */
		const struct key *k = &sc->keys[i];
		const config_setting_t *member = config_setting_get_member(s, k->name);

		if (member && member->type != CONFIG_TYPE_NONE)
			walk_key(w, sc, k, member, base);
		else if (k->required && !w->partial && !misspelt(sc, s, k))
			mistake_add(w->mistakes, setting_line(s), "%s%s%s is missing; write %s = %s;", sc->path,
				dot(sc), k->name, k->name, k->example);
	}
}

void walk_file(struct walk *w, const config_setting_t *root)
{
	walk_group(w, &schema_file, root, w->draft);
}
