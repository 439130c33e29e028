/* nginx.c - reads and rewrites the `server` directives of one `upstream` block; every other byte stays. Pure.
 *
 * The words are cut as nginx's own ngx_conf_read_token cuts them (read in 1.22): # opens a comment only where a word could begin;
 * } closes a block only there; a backslash takes the next byte with it; a quote is one only at a word's first byte; ${ does not
 * open a block. What cannot be understood for certain is refused, with the line.
 */
#include "hactl/upstream/upstream.h"

#include <limits.h>

enum { MAX_WORDS = 32, WORD_MAX = 256, MAX_EDITS = CONF_MAX_SERVERS * 4 };

enum token_kind { TOKEN_WORD, TOKEN_SEMICOLON, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_END };

struct span { /* bytes [from, to) of the text; empty = absent */
	size_t from, to;
};

struct directive {
	struct span word[MAX_WORDS];
	size_t n;	     /* all words, also those beyond MAX_WORDS */
	enum token_kind end; /* TOKEN_SEMICOLON or TOKEN_OPEN; TOKEN_CLOSE and TOKEN_END come without words */
};

/* A configured server's directive in the file. */
struct found {
	size_t from, tail;	  /* first byte of `server`; behind the last word: new words go there */
	struct span weight;	  /* the word */
	struct span backup, down; /* the word with the blanks before it, as it would be taken out */
	int weight_value;	  /* 1 when absent */
};

struct scan {
	const char *text;
	size_t len, pos;
	const struct conf_upstream *u;
	struct err *e;
	size_t n_blocks;
	bool seen[CONF_MAX_SERVERS];
	struct found found[CONF_MAX_SERVERS];
	size_t method; /* offset + 1 of a balancing method that does not allow `backup`; 0 none */
};

/* --- words ------------------------------------------------------------------------------------------------------------- */

static int refuse(struct scan *s, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int refuse(struct scan *s, size_t at, const char *fmt, ...)
{
	char sentence[400];
	size_t line = 1;
	va_list ap;

	for (size_t i = 0; i < at && i < s->len; i++)
		line += s->text[i] == '\n';
	va_start(ap, fmt);
	vsnprintf(sentence, sizeof sentence, fmt, ap);
	va_end(ap);
	return err_set(s->e, "%s:%zu: %s", s->u->file, line, sentence);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blank(struct scan *s)
{
	while (s->pos < s->len) {
		if (s->text[s->pos] == '#') {
			while (s->pos < s->len && s->text[s->pos] != '\n')
				s->pos++;
		} else if (is_space(s->text[s->pos])) {
			s->pos++;
		} else
			return;
	}
}

static int quoted_word(struct scan *s, struct span *w)
{
	char quote = s->text[s->pos];

	w->from = s->pos++;
	while (s->pos < s->len && s->text[s->pos] != quote)
		s->pos += s->text[s->pos] == '\\' ? 2 : 1;
	if (s->pos >= s->len)
		return refuse(s, w->from, "a quote is opened here and never closed");
	w->to = ++s->pos;
	if (s->pos < s->len && !is_space(s->text[s->pos]) && !memchr(";{)", s->text[s->pos], 3))
		return refuse(s, s->pos, "a space or ; is missing behind the quote");
	return 0;
}

static int plain_word(struct scan *s, struct span *w)
{
	bool dollar = false;

	w->from = s->pos;
	while (s->pos < s->len) {
		char c = s->text[s->pos];

		if (is_space(c) || c == ';' || (c == '{' && !dollar))
			break;
		dollar = c == '$';
		s->pos += c == '\\' ? 2 : 1;
	}
	if (s->pos > s->len)
		return refuse(s, w->from, "the file ends with a backslash");
	w->to = s->pos;
	return 0;
}

static int next_token(struct scan *s, enum token_kind *kind, struct span *w)
{
	char c;

	skip_blank(s);
	*w = (struct span){ s->pos, s->pos };
	if (s->pos >= s->len) {
		*kind = TOKEN_END;
		return 0;
	}
	c = s->text[s->pos];
	if (c == ';' || c == '{' || c == '}') {
		*kind = c == ';' ? TOKEN_SEMICOLON : c == '{' ? TOKEN_OPEN : TOKEN_CLOSE;
		w->to = ++s->pos;
		return 0;
	}
	*kind = TOKEN_WORD;
	return c == '"' || c == '\'' ? quoted_word(s, w) : plain_word(s, w);
}

/* One directive up to its ; or {, or a lone } or the end. */
static int next_directive(struct scan *s, struct directive *d)
{
	struct span w;

	d->n = 0;
	for (;;) {
		if (next_token(s, &d->end, &w) < 0)
			return -1;
		if (d->end != TOKEN_WORD)
			break;
		if (d->n < MAX_WORDS)
			d->word[d->n] = w;
		d->n++;
	}
	if (d->n == 0 && (d->end == TOKEN_SEMICOLON || d->end == TOKEN_OPEN))
		return refuse(s, w.from, "a directive is missing before %c", d->end == TOKEN_OPEN ? '{' : ';');
	if (d->n != 0 && (d->end == TOKEN_CLOSE || d->end == TOKEN_END))
		return refuse(s, d->word[0].from, "a ; or { is missing at the end of this directive");
	return 0;
}

/* What a backslash and this byte stand for; other pairs stand for themselves, backslash included. */
static bool unescape(char c, char *out)
{
	static const struct {
		char from, to;
	} table[] = { { '"', '"' }, { '\'', '\'' }, { '\\', '\\' }, { 't', '\t' }, { 'r', '\r' }, { 'n', '\n' } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].from == c) {
			*out = table[i].to;
			return true;
		}
	}
	return false;
}

/* A word as nginx understands it: quotes gone, escapes resolved. Words too long for out are never ours: out is "" then. */
static const char *word_text(const struct scan *s, struct span w, char out[WORD_MAX])
{
	size_t n = 0, from = w.from, to = w.to;

	out[0] = '\0';
	if (s->text[from] == '"' || s->text[from] == '\'') {
		from++;
		to--;
	}
	if (to - from >= WORD_MAX || memchr(s->text + from, '\0', to - from))
		return out;
	for (size_t i = from; i < to; i++, n++) {
		if (s->text[i] == '\\' && i + 1 < to && unescape(s->text[i + 1], &out[n]))
			i++;
		else
			out[n] = s->text[i];
	}
	out[n] = '\0';
	return out;
}

/* --- directives ----------------------------------------------------------------------------------------------------------- */

static bool present(struct span w)
{
	return w.to != w.from;
}

static size_t n_present(const struct found *f)
{
	return (size_t)present(f->weight) + present(f->backup) + present(f->down);
}

/* Blanks go with the word behind them, but never a line's end (a comment may stand before it) nor a blank that belongs to the word
 * before, escaped. */
static struct span with_blanks(const struct scan *s, struct span w, size_t floor)
{
	while (w.from > floor && (s->text[w.from - 1] == ' ' || s->text[w.from - 1] == '\t'))
		w.from--;
	return w;
}

static int note_param(struct scan *s, struct found *f, struct span w, size_t floor)
{
	char text[WORD_MAX], *end;
	struct span *slot = NULL;

	word_text(s, w, text);
	if (str_starts(text, "weight="))
		slot = &f->weight;
	else if (str_eq(text, "backup"))
		slot = &f->backup;
	else if (str_eq(text, "down"))
		slot = &f->down;
	if (!slot)
		return 0;
	if (present(*slot))
		return refuse(s, w.from, "\"%s\" stands here for the second time: remove one", text);
	*slot = slot == &f->weight ? w : with_blanks(s, w, floor);
	if (slot == &f->weight) {
		long v = strtol(text + 7, &end, 10);

		if (text[7] < '0' || text[7] > '9' || *end != '\0' || v < 1 || v > INT_MAX)
			return refuse(s, w.from, "\"%s\" is no weight", text);
		f->weight_value = (int)v;
	}
	return 0;
}

static int note_server(struct scan *s, const struct directive *d)
{
	struct found f = { .from = d->word[0].from, .weight_value = 1 };
	char address[WORD_MAX];
	int i;

	if (d->n < 2 || d->end != TOKEN_SEMICOLON)
		return refuse(s, f.from, "a server directive needs an address and a ;");
	word_text(s, d->word[1], address);
	for (i = 0; i < s->u->n_servers && !str_eq(address, s->u->servers[i].address); i++)
		;
	if (i == s->u->n_servers)
		return 0; /* not ours */
	if (s->seen[i])
		return refuse(s, f.from, "upstream %s has server %s twice: remove one", s->u->name, address);
	for (size_t k = 2; k < d->n && k < MAX_WORDS; k++)
		if (note_param(s, &f, d->word[k], d->word[k - 1].to) < 0)
			return -1;
	/* so many that with our three it would still be read again */
	if (d->n > MAX_WORDS || d->n - n_present(&f) > MAX_WORDS - 3)
		return refuse(s, f.from, "server %s has more than %d words", address, MAX_WORDS - 3);
	f.tail = d->word[d->n - 1].to;
	s->seen[i] = true;
	s->found[i] = f;
	return 0;
}

static int inside_upstream(struct scan *s, const struct directive *d)
{
	char name[WORD_MAX];

	word_text(s, d->word[0], name);
	if (str_eq(name, "server"))
		return note_server(s, d);
	if (str_eq(name, "include"))
		return refuse(
			s, d->word[0].from, "upstream %s includes another file: write its servers here", s->u->name);
	if (str_eq(name, "ip_hash") || str_eq(name, "hash") || str_eq(name, "random"))
		s->method = d->word[0].from + 1;
	return 0;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n >= t && strcmp(s + n - t, tail) == 0;
}

static int outside_upstream(struct scan *s, const struct directive *d, bool *entered)
{
	char name[WORD_MAX], arg[WORD_MAX];

	word_text(s, d->word[0], name);
	if (d->end == TOKEN_OPEN && ends_with(name, "_by_lua_block"))
		return refuse(s, d->word[0].from, "hactl does not read Lua: move upstream %s to a file of its own",
			s->u->name);
	if (d->end != TOKEN_OPEN || d->n != 2 || !str_eq(name, "upstream") ||
		!str_eq(word_text(s, d->word[1], arg), s->u->name))
		return 0;
	if (++s->n_blocks > 1)
		return refuse(
			s, d->word[0].from, "upstream %s stands here for the second time: remove one", s->u->name);
	*entered = true;
	return 0;
}

static int scan_blocks(struct scan *s)
{
	size_t depth = 0, ours = 0; /* ours: depth of what stands in our block; 0 outside of it */
	struct directive d;

	for (;;) {
		bool entered = false;

		if (next_directive(s, &d) < 0)
			return -1;
		if (d.end == TOKEN_END)
			break;
		if (d.end == TOKEN_CLOSE) {
			if (depth == 0)
				return refuse(s, s->pos, "there is a } too many");
			ours = ours == depth ? 0 : ours;
			depth--;
			continue;
		}
		if (ours != 0 && depth == ours ? inside_upstream(s, &d) < 0 : outside_upstream(s, &d, &entered) < 0)
			return -1;
		depth += d.end == TOKEN_OPEN;
		ours = entered ? depth : ours;
	}
	return depth == 0 ? 0 : refuse(s, s->len, "the file ends inside a block: a } is missing");
}

static int scan_file(struct scan *s)
{
	if (scan_blocks(s) < 0)
		return -1;
	if (s->n_blocks == 0)
		return err_set(s->e, "%s: there is no upstream %s in it", s->u->file, s->u->name);
	for (int i = 0; i < s->u->n_servers; i++)
		if (!s->seen[i])
			return err_set(s->e,
				"%s: upstream %s has no server %s: write the address as it stands in the file",
				s->u->file, s->u->name, s->u->servers[i].address);
	return 0;
}

/* --- edits ----------------------------------------------------------------------------------------------------------------- */

struct edit {
	struct span gone;
	char text[64]; /* put in its place */
};

static size_t edit_server(const struct found *f, const struct server_want *want, struct edit *out)
{
	struct edit tail = { .gone = { f->tail, f->tail } };
	size_t n = 0, len = 0;

	if (present(f->weight) && f->weight_value != want->weight) {
		out[n].gone = f->weight;
		snprintf(out[n++].text, sizeof out->text, "weight=%d", want->weight);
	} else if (f->weight_value != want->weight)
		str_add(tail.text, sizeof tail.text, &len, " weight=%d", want->weight);
	if (present(f->backup) && !want->backup)
		out[n++] = (struct edit){ .gone = f->backup };
	if (present(f->down) && !want->down)
		out[n++] = (struct edit){ .gone = f->down };
	if (!present(f->backup) && want->backup)
		str_add(tail.text, sizeof tail.text, &len, " backup");
	if (!present(f->down) && want->down)
		str_add(tail.text, sizeof tail.text, &len, " down");
	if (len != 0)
		out[n++] = tail;
	return n;
}

static int by_place(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	if (x->gone.from != y->gone.from)
		return x->gone.from < y->gone.from ? -1 : 1;
	return x->gone.to < y->gone.to ? -1 : x->gone.to > y->gone.to;
}

static char *apply_edits(const char *text, size_t len, const struct edit *edit, size_t n, size_t *out_len)
{
	char *out = xcalloc(1, len + n * sizeof(edit->text) + 1);
	size_t from = 0, to = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(out + to, text + from, edit[i].gone.from - from);
		to += edit[i].gone.from - from;
		memcpy(out + to, edit[i].text, strlen(edit[i].text));
		to += strlen(edit[i].text);
		from = edit[i].gone.to;
	}
	memcpy(out + to, text + from, len - from);
	*out_len = to + len - from;
	return out;
}

/* --- the room's face ----------------------------------------------------------------------------------------------------------- */

int nginx_rewrite(const char *text, size_t len, const struct conf_upstream *u, const struct server_want *want,
	char **out, size_t *out_len, bool *changed, struct err *e)
{
	struct scan s = { .text = text, .len = len, .u = u, .e = e };
	struct edit edit[MAX_EDITS];
	size_t n = 0;

	if (scan_file(&s) < 0)
		return -1;
	for (int i = 0; i < u->n_servers; i++) {
		if (want[i].backup && s.method != 0)
			return refuse(&s, s.method - 1,
				"nginx allows no backup server with this method: use policy \"balanced\" for upstream "
				"%s",
				u->name);
		n += edit_server(&s.found[i], &want[i], edit + n);
	}
	qsort(edit, n, sizeof edit[0], by_place);
	*out = apply_edits(text, len, edit, n, out_len);
	*changed = n != 0;
	return 0;
}

int nginx_read(const char *text, size_t len, const struct conf_upstream *u, struct server_want *now, struct err *e)
{
	struct scan s = { .text = text, .len = len, .u = u, .e = e };

	if (scan_file(&s) < 0)
		return -1;
	for (int i = 0; i < u->n_servers; i++)
		now[i] = (struct server_want){ .weight = s.found[i].weight_value,
			.backup = present(s.found[i].backup),
			.down = present(s.found[i].down) };
	return 0;
}
