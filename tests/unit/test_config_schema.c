/* test_config_schema.c - the schema table agrees with itself, and the manual pages and the samples say what it says. */
#include "tests/unit/test_config.h"

#include "hactl/config/schema.h"

#define PAGE   "conf/man/hactl.conf.5"
#define SAMPLE "conf/hactl.conf"

typedef void each_fn(const struct schema *sc, const struct key *k, void *arg);

static void each_key(const struct schema *sc, each_fn *fn, void *arg)
{
	for (size_t i = 0; i < sc->n; i++) {
		fn(sc, &sc->keys[i], arg);
		if (sc->keys[i].group)
			each_key(sc->keys[i].group, fn, arg);
	}
}

static char *whole(const char *path)
{
	struct err e = { "" };
	char *text = NULL;

	if (file_read(path, 1 << 20, &text, NULL, &e))
		fail_msg("%s", e.text);
	return text;
}

/* --- the table ---------------------------------------------------------------------------------------------------------- */

static void sound(const struct schema *sc, const struct key *k, void *arg)
{
	struct draft d = { .conf.n_probes = 0 };
	struct err e = { "" };
	char value[512];

	(void)arg;
	assert_non_null(k->sentence);
	assert_true(strlen(k->sentence) > 8 && k->sentence[strlen(k->sentence) - 1] != '.');
	if (k->required || !k->fallback) /* a message must have something to offer */
		assert_non_null(k->example);
	assert_false(k->required && k->fallback);
	if (k->kind == KIND_INT || k->kind == KIND_DURATION)
		assert_true(k->min < k->max);
	if (k->kind == KIND_DURATION)
		assert_non_null(k->fallback);
	if (k->kind == KIND_WORD)
		assert_true(k->n_words > 1);
	if (k->kind == KIND_GROUPS || k->kind == KIND_VALUES || k->kind == KIND_LINKS)
		assert_true(k->max >= k->min && k->max > 0 && k->size > 0);
	if (k->fallback && kind_is_text(k->kind) && value_parse(k, k->kind, k->fallback, value, &d, &e))
		fail_msg("%s.%s: the default: %s", sc->path, k->name, e.text);
	for (size_t i = 0; i < sc->n; i++)
		if (&sc->keys[i] != k)
			assert_string_not_equal(sc->keys[i].name, k->name);
}

static void the_table_is_sound(void **state)
{
	(void)state;
	each_key(&schema_file, sound, NULL);
}

/* --- hactl.conf(5) -------------------------------------------------------------------------------------------------------- */

struct page {
	char *text;
	int missing;
};

static void miss(struct page *p, const char *path, const char *what)
{
	print_error("%s: %s: \"%s\" is missing\n", PAGE, path, what);
	p->missing++;
}

/* The item's text, up to the next item or the end of the list; its line breaks are blanks. Caller frees. */
static char *item_of(const struct page *p, const char *path)
{
	auto_free char *tag = str_printf("\n.It Ic %s Ar ", path);
	const char *at = strstr(p->text, tag), *end, *last;
	char *item;

	if (!at)
		return NULL;
	end = strstr(at + 1, "\n.It ");
	last = strstr(at + 1, "\n.El");
	if (!end || (last && last < end))
		end = last;
	assert_non_null(end);
	item = strndup(at, (size_t)(end - at));
	for (char *c = item; *c; c++)
		if (*c == '\n')
			*c = ' ';
	return item;
}

static void must_say(struct page *p, const char *path, const char *item, char *what /* freed */)
{
	if (!strstr(item, what))
		miss(p, path, what);
	free(what);
}

static void documented(const struct schema *sc, const struct key *k, void *arg)
{
	struct page *p = arg;
	auto_free char *path = str_printf("%s%s%s", sc->path, *sc->path ? "." : "", k->name), *item = item_of(p, path);
	bool quoted = kind_is_text(k->kind);
	char lo[32], hi[32];

	if (!item) {
		miss(p, path, "the key");
		return;
	}
	if (k->required)
		must_say(p, path, item, xstrdup("Required."));
	if (k->fallback)
		must_say(p, path, item, str_printf(quoted ? "Default \\(dq%s\\(dq" : "Default %s", k->fallback));
	if (k->kind == KIND_DURATION) {
		duration_text(k->min, lo);
		duration_text(k->max, hi);
		must_say(p, path, item, str_printf("from \\(dq%s\\(dq to \\(dq%s\\(dq.", lo, hi));
	}
	if (k->kind == KIND_INT)
		must_say(p, path, item, str_printf("rom %lld to %lld.", (long long)k->min, (long long)k->max));
	if (k->kind == KIND_GROUPS || k->kind == KIND_VALUES || k->kind == KIND_LINKS)
		must_say(p, path, item, str_printf(" %d.", (int)k->max));
	for (int i = 0; i < k->n_words; i++)
		must_say(p, path, item, str_printf("\\(dq%s\\(dq", k->words[i]));
	if (k->kind == KIND_SECRET || k->kind == KIND_PRIVATE || k->kind == KIND_KEY)
		must_say(p, path, item, xstrdup("mode 0600"));
}

static void the_page_documents_every_key(void **state)
{
	struct page p = { .text = whole(PAGE) };

	(void)state;
	each_key(&schema_file, documented, &p);
	free(p.text);
	assert_int_equal(p.missing, 0);
}

static bool known_path(const struct schema *sc, const char *path)
{
	for (size_t i = 0; i < sc->n; i++) {
		auto_free char *own = str_printf("%s%s%s", sc->path, *sc->path ? "." : "", sc->keys[i].name);

		if (!strcmp(own, path) || (sc->keys[i].group && known_path(sc->keys[i].group, path)))
			return true;
	}
	return false;
}

static void the_page_documents_nothing_else(void **state)
{
	auto_free char *text = whole(PAGE);
	int n = 0;

	(void)state;
	for (const char *at = text; (at = strstr(at, "\n.It Ic ")); n++) {
		char path[128];

		at += strlen("\n.It Ic ");
		assert_int_equal(sscanf(at, "%127s", path), 1);
		if (!known_path(&schema_file, path))
			fail_msg("%s: there is no key %s", PAGE, path);
	}
	assert_true(n > 80);
}

static void the_page_has_every_command(void **state)
{
	static const char *const commands[] = { "run", "guard", "check", "status", "switchover", "switchback",
		"failover", "pause", "resume", "events", "probe", "keygen", "vip release", "doctor",
		"is primary | standby", "notify", "rejoin", "report" };
	auto_free char *text = whole("conf/man/hactl.8");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		auto_free char *tag = str_printf("\n.It Cm %s", commands[i]);

		if (!strstr(text, tag))
			fail_msg("conf/man/hactl.8: %s is missing", commands[i]);
	}
}

/* --- the samples ----------------------------------------------------------------------------------------------------------- */

/* Written as `name =`, in a comment or not. */
static void shown(const struct schema *sc, const struct key *k, void *arg)
{
	const char *text = arg;

	for (const char *at = text; (at = strstr(at, k->name)); at++) {
		const char *after = at + strlen(k->name);

		if ((at == text || strchr(" \n\t{#", at[-1])) && after[strspn(after, " ")] == '=')
			return;
	}
	fail_msg("%s: the key %s of %s is not shown", SAMPLE, k->name, sc->path);
}

static void the_sample_shows_every_key(void **state)
{
	auto_free char *text = whole(SAMPLE);

	(void)state;
	each_key(&schema_file, shown, text);
}

static struct conf *load_sample(const struct place *p, const char *path)
{
	auto_free char *text = whole(path), *dir = str_printf("%s/", p->dir),
		       *there = replaced(text, "/etc/hactl/", dir);
	struct told t;
	struct conf *c = load_text(p, there, &t);

	for (int i = 0; i < t.n; i++)
		print_error("%s:%d: %s\n", path, t.line[i], t.sentence[i]);
	assert_int_equal(t.n, 0);
	assert_non_null(c);
	return c;
}

static void the_samples_are_good(void **state)
{
	struct conf *c = load_sample(*state, SAMPLE);

	conf_free(c);
	c = load_sample(*state, "conf/hifate/hactl.conf");
	assert_int_equal(c->n_probes, 11);
	assert_int_equal(c->n_upstreams, 1);
	conf_free(c);
}

/* The nginx sample holds the very words that the configuration names. */
static void the_pairs_nginx_file_fits(void **state)
{
	auto_free char *nginx = whole("conf/hifate/HiFate-bazi.conf");
	struct conf *c = load_sample(*state, "conf/hifate/hactl.conf");
	const struct conf_upstream *u = &c->upstream[0];
	auto_free char *block = str_printf("upstream %s {", u->name);

	assert_non_null(strstr(nginx, block));
	for (int i = 0; i < u->n_servers; i++) {
		auto_free char *server = str_printf("server %s max_fails=3 fail_timeout=30s weight=%d%s;",
			u->servers[i].address, u->servers[i].weight, i ? " backup" : "");

		assert_non_null(strstr(nginx, server));
	}
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(the_page_documents_every_key),
		cmocka_unit_test(the_page_documents_nothing_else),
		cmocka_unit_test(the_page_has_every_command),
		cmocka_unit_test(the_sample_shows_every_key),
		cmocka_unit_test(the_samples_are_good),
		cmocka_unit_test(the_pairs_nginx_file_fits),
	};

	return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
