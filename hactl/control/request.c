/* request.c - what may be asked over the socket: one table of commands and their fields. Pure. */
#include "hactl/control/control.h"

enum field_type { FIELD_END, FIELD_NAME, FIELD_TEXT, FIELD_FLAG, FIELD_MILLIS, FIELD_NUMBER, FIELD_WORD };

struct field {
	const char *name;
	enum field_type type;
	bool required;
	const char *words[3]; /* FIELD_WORD: what it may be */
};

enum { DEFAULT_TIMEOUT_MS = 30000, TIMEOUT_MS_MAX = 3600 * 1000, MAX_FIELDS = 6 };

static const struct {
	const char *cmd;
	struct field field[MAX_FIELDS];
} commands[] = {
	{ "status", { { 0 } } },
	{ "switchover", { { "to", FIELD_NAME }, { "timeout_ms", FIELD_MILLIS }, { "dry_run", FIELD_FLAG },
				{ "when_quiet", FIELD_FLAG } } },
	{ "failover", { { "to", FIELD_NAME }, { "timeout_ms", FIELD_MILLIS }, { "force", FIELD_FLAG } } },
	{ "pause", { { "reason", FIELD_TEXT } } },
	{ "resume", { { 0 } } },
	{ "rejoin", { { "discard", FIELD_FLAG } } },
	{ "is", { { "role", FIELD_WORD, true, { "primary", "standby" } } } },
	{ "notify",
		{ { "source", FIELD_WORD, true, { "keepalived" } }, { "type", FIELD_NAME, true },
			{ "name", FIELD_NAME, true }, { "state", FIELD_NAME, true }, { "priority", FIELD_NUMBER } } },
};

static int word_check(const struct field *f, const json_t *v, struct err *e)
{
	const char *s = json_string_value(v);
	for (size_t i = 0; s && i < ARRAY_LEN(f->words); i++)
		if (str_eq(s, f->words[i]))
			return 0;
	return err_set(e, "\"%s\" must be \"%s\"%s%s%s", f->name, f->words[0], f->words[1] ? " or \"" : "",
		f->words[1] ? f->words[1] : "", f->words[1] ? "\"" : "");
}

static int text_check(const struct field *f, const json_t *v, size_t max, struct err *e)
{
	if (!json_is_string(v))
		return err_set(e, "\"%s\" must be a string", f->name);
	if (json_string_length(v) >= max)
		return err_set(e, "\"%s\" is longer than %zu bytes", f->name, max - 1);
	for (const char *s = json_string_value(v); *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return err_set(e, "\"%s\" contains a control character", f->name);
	return 0;
}

static int number_check(const struct field *f, const json_t *v, json_int_t min, json_int_t max, struct err *e)
{
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return err_set(
			e, "\"%s\" must be a whole number from %lld to %lld", f->name, (long long)min, (long long)max);
	return 0;
}

static int field_check(const struct field *f, const json_t *v, struct err *e)
{
	switch (f->type) {
	case FIELD_NAME:
		return text_check(f, v, NAME_MAX_LEN, e);
	case FIELD_TEXT:
		return text_check(f, v, SENTENCE_MAX, e);
	case FIELD_FLAG:
		return json_is_boolean(v) ? 0 : err_set(e, "\"%s\" must be true or false", f->name);
	case FIELD_MILLIS:
		return number_check(f, v, 1, TIMEOUT_MS_MAX, e);
	case FIELD_NUMBER:
		return number_check(f, v, 0, 1000, e);
	case FIELD_WORD:
		return word_check(f, v, e);
	case FIELD_END:
		break;
	}
	return 0;
}

static json_t *field_default(enum field_type type)
{
	switch (type) {
	case FIELD_TEXT:
		return json_string("");
	case FIELD_FLAG:
		return json_false();
	case FIELD_MILLIS:
		return json_integer(DEFAULT_TIMEOUT_MS);
	default:
		return json_null();
	}
}

static int fields_check(const struct field *fields, json_t *o, struct err *e)
{
	for (const struct field *f = fields; f < fields + MAX_FIELDS && f->type != FIELD_END; f++) {
		const json_t *v = json_object_get(o, f->name);
		if (v && !json_is_null(v)) {
			if (field_check(f, v, e) < 0)
				return -1;
			continue;
		}
		if (f->required)
			return err_set(e, "\"%s\" is missing", f->name);
		json_object_set_new(o, f->name, field_default(f->type));
	}
	return 0;
}

static int command_check(json_t *o, struct err *e)
{
	const char *cmd = json_string_value(json_object_get(o, "cmd"));
	if (!cmd)
		return err_set(e, "a request is an object with \"cmd\"");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eq(cmd, commands[i].cmd))
			return fields_check(commands[i].field, o, e);
	char shown[NAME_MAX_LEN];
	str_escape(cmd, strlen(cmd), shown, sizeof(shown));
	return err_set(e, "this supervisor knows no command \"%s\"", shown);
}

json_t *control_parse(const char *line, size_t len, struct err *e)
{
	if (len > CONTROL_LINE_MAX) {
		err_set(e, "a request is at most %d bytes long", CONTROL_LINE_MAX);
		return NULL;
	}
	json_error_t why;
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!o) {
		err_set(e, "not JSON: %s at byte %d", why.text, why.position);
		return NULL;
	}
	if (!json_is_object(o) || command_check(o, e) < 0) {
		if (!json_is_object(o))
			err_set(e, "a request is an object with \"cmd\"");
		json_decref(o);
		return NULL;
	}
	return o;
}
