/* cmd_doctor_report.c - findings gathered and shown. */
#include "hactl/cli/cmd_doctor.h"

const char *const severity_names[SEV_COUNT] = {
	[SEV_UNSEEN] = "-", [SEV_OK] = "ok", [SEV_NOTE] = "note", [SEV_WRONG] = "wrong"
};

const char *doc_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

const json_t *doc_row(const json_t *rows, const char *column, const char *value)
{
	const json_t *row;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		if (str_eq(doc_text(row, column), value))
			return row;
	}
	return NULL;
}

struct verdict *report_add(struct report *r, const char *area, const char *title)
{
	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		r->list = reallocarray(r->list, r->room, sizeof(*r->list));
		if (!r->list)
			abort();
	}
	struct finding *f = &r->list[r->n++];
	*f = (struct finding){ .title = title };
	STR_COPY(f->area, area);
	return &f->v;
}

bool report_wrong(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->list[i].v.severity == SEV_WRONG)
			return true;
	return false;
}

static void print_fix(const char *fix, FILE *to)
{
	for (const char *line = fix; *line;) {
		size_t n = strcspn(line, "\n");
		fprintf(to, "         %s %.*s\n", line == fix ? "fix:" : "    ", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

void report_print(const struct report *r, FILE *to)
{
	const char *area = "";
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->list[i];
		if (!str_eq(area, f->area))
			fprintf(to, "\n%s\n", f->area);
		area = f->area;
		fprintf(to, "  %-5s  %s: %s\n", severity_names[f->v.severity], f->title, f->v.what);
		print_fix(f->v.fix, to);
	}
}

/* A server's own words may be no UTF-8. */
static json_t *text(const char *s)
{
	json_t *j = json_string(s);
	char clean[1024];
	if (j)
		return j;
	str_escape(s, strlen(s), clean, sizeof(clean));
	return json_string(clean);
}

json_t *report_json(const struct report *r)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->list[i];
		if (f->v.severity >= SEV_NOTE)
			json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:o}", "severity",
							    severity_names[f->v.severity], "area", f->area, "check",
							    f->title, "what", text(f->v.what), "fix", text(f->v.fix)));
	}
	return list;
}

void report_free(struct report *r)
{
	free(r->list);
	*r = (struct report){ 0 };
}

static void say(struct verdict *v, enum severity severity, const char *fmt, va_list ap)
{
	v->severity = severity;
	vsnprintf(v->what, sizeof(v->what), fmt, ap);
}

#define SAY(name, severity)                                                                                            \
	void name(struct verdict *v, const char *fmt, ...)                                                             \
	{                                                                                                              \
		va_list ap;                                                                                            \
		va_start(ap, fmt);                                                                                     \
		say(v, severity, fmt, ap);                                                                             \
		va_end(ap);                                                                                            \
	}

SAY(say_unseen, SEV_UNSEEN)
SAY(say_ok, SEV_OK)
SAY(say_note, SEV_NOTE)
SAY(say_wrong, SEV_WRONG)

void say_fix(struct verdict *v, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(v->fix, sizeof(v->fix), fmt, ap);
	va_end(ap);
}
