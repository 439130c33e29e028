/* load.c - a file into a struct conf, or into all its mistakes. */
#include "hactl/config/schema.h"

enum { FILE_MOST = 1 << 20 };

/* Values that are not in the table because they follow from others. */
static void finish_probes(struct conf *c)
{
	for (int i = 0; i < c->n_probes; i++) {
		struct conf_probe *p = &c->probe[i];

		if (p->type != PROBE_HTTP && p->type != PROBE_HTTPS)
			continue;
		if (!*p->path)
			STR_COPY(p->path, "/");
		if (!*p->expect)
			STR_COPY(p->expect, "200-399");
	}
}

static void finish_upstreams(struct conf *c)
{
	for (int i = 0; i < c->n_upstreams; i++) {
		struct conf_upstream *u = &c->upstream[i];

		if (u->type != UPSTREAM_NGINX)
			continue;
		if (!*u->test)
			STR_COPY(u->test, "nginx -t");
		if (!*u->reload)
			STR_COPY(u->reload, "nginx -s reload");
	}
}

static void finish_node(struct conf_node *n, const struct draft *d)
{
	struct conf_mysql own = n->mysql;
	int redis_port = n->redis.port;

	n->mysql = d->mysql;
	if (own.port)
		n->mysql.port = own.port;
	if (*own.socket)
		STR_COPY(n->mysql.socket, own.socket);
	n->redis = d->redis;
	if (redis_port)
		n->redis.port = redis_port;
	explicit_bzero(&own, sizeof(own));
}

static void finish(struct draft *d)
{
	struct conf *c = &d->conf;

	if (c->authority == AUTHORITY_ARBITER && !*c->arbiter.prefix)
		snprintf(c->arbiter.prefix, sizeof(c->arbiter.prefix), "/hactl/%s", c->cluster);
	finish_probes(c);
	finish_upstreams(c);
	for (int i = 0; i < SECTION_COUNT; i++)
		c->section[i] = draft_section(d, (enum conf_section)i);
	c->digest =
		draft_digest(d); /* before the nodes are merged with the sections they refine, after every default */
	for (int i = 0; i < NODES; i++)
		finish_node(&c->node[i], d);
}

static void walk_tree(struct draft *d, const config_setting_t *root, bool partial, struct mistakes *m)
{
	struct walk w = { .draft = d, .mistakes = m, .partial = partial };

	walk_file(&w, root);
	if (partial)
		return;
	check_file(&w, root);
	check_services(&w, root);
}

static void syntax_mistake(const config_t *tree, int open_text, struct mistakes *m)
{
	const char *text = config_error_text(tree) ? config_error_text(tree) : "syntax error";
	int line = config_error_line(tree) > 0 ? config_error_line(tree) : 1;

	if (strstr(text, "duplicate"))
		mistake_add(m, line, "the key on this line stands twice in its group; remove one of the two");
	else if (open_text)
		mistake_add(m, line, "%s; the text that starts on line %d has no closing quote there", text, open_text);
	else
		mistake_add(m, line,
			"%s: on this line or the one before it a ';', ',', quote or bracket is missing or too much",
			text);
}

static void parse(struct draft *d, const char *text, size_t len, struct mistakes *m)
{
	int open_text = 0;
	auto_free char *prepared = source_prepare(text, len, m, &open_text);
	config_t tree;
	bool good;

	config_init(&tree);
	good = config_read_string(&tree, prepared) == CONFIG_TRUE;
	if (!good)
		syntax_mistake(&tree, open_text, m);
	walk_tree(d, config_root_setting(&tree), !good, m);
	config_destroy(&tree);
}

static int line_of(const char *text, size_t at)
{
	int line = 1;

	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

struct conf *conf_load(const char *path, conf_mistake_fn *fn, void *arg)
{
	struct draft *d = xcalloc(1, sizeof(*d));
	struct mistakes m = { 0 };
	auto_free char *text = NULL;
	struct err e = { "" };
	struct conf *c = NULL;
	size_t len = 0;

	if (file_read(path, FILE_MOST, &text, &len, &e))
		mistake_add(&m, 1, "%s", e.text);
	else if (strlen(text) != len)
		mistake_add(&m, line_of(text, strlen(text)), "a NUL byte: this is not a text file");
	else if (!str_copy(d->conf.file, sizeof(d->conf.file), path))
		mistake_add(&m, 1, "the path of the configuration file is longer than %zu characters",
			sizeof(d->conf.file) - 1);
	else
		parse(d, text, len, &m);
	if (!m.n) {
		finish(d);
		c = xcalloc(1, sizeof(*c));
		*c = d->conf;
	}
	mistakes_tell(&m, path, fn, arg);
	explicit_bzero(d, sizeof(*d));
	free(d);
	return c;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	explicit_bzero(c, sizeof(*c));
	free(c);
}
