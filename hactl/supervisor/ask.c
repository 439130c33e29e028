/* ask.c - commands from the socket: one table of name and handler. What the core decides is answered when it has decided. */
#include "hactl/supervisor/private.h"

typedef void ask_fn(struct sup *s, struct control_request *r, json_t *args);

static struct pending *take_slot(struct sup *s, struct control_request *r)
{
	for (size_t i = 0; i < MAX_COMMANDS; i++) {
		if (s->pending[i].id)
			continue;
		s->next_command = s->next_command == UINT32_MAX ? 1 : s->next_command + 1;
		s->pending[i] = (struct pending){ .id = s->next_command, .request = r };
		return &s->pending[i];
	}
	return NULL;
}

static struct pending *find(struct sup *s, uint32_t id)
{
	for (size_t i = 0; id && i < MAX_COMMANDS; i++)
		if (s->pending[i].id == id)
			return &s->pending[i];
	return NULL;
}

void ask_core(struct sup *s, struct control_request *r, struct core_command *c)
{
	struct pending *p = take_slot(s, r);

	if (!p) {
		control_done(r, EXIT_REFUSED, NULL, "too many commands at once; try again");
		return;
	}
	c->id = p->id;
	if (!pump_command(s, c)) {
		p->id = 0;
		control_done(r, EXIT_REFUSED, NULL, "hactl is too busy or about to end; try again");
	}
}

/* Whoever waits for the core's word when the supervisor ends is told so. */
void ask_close(struct sup *s)
{
	for (size_t i = 0; i < MAX_COMMANDS; i++) {
		if (!s->pending[i].id)
			continue;
		s->pending[i].id = 0;
		control_done(s->pending[i].request, EXIT_DEGRADED, NULL,
			"hactl ended before the command did; see hactl status once it runs again");
	}
	before_close(s);
	page_free(s->page);
	control_free(s->control);
}

void ask_progress(struct sup *s, const struct core_action *a)
{
	static const char *const word[] = { [STEP_OK] = "ok", [STEP_FAILED] = "failed", [STEP_UNKNOWN] = "unknown" };
	struct pending *p = find(s, a->id);

	if (p)
		control_progress(p->request,
			json_pack("{s:{s:s, s:f, s:s, s:o}}", "progress", "step", step_names[a->step], "ms",
				(double)a->took_us / 1000, "outcome", word[a->outcome], "text", text_json(a->text)));
}

void ask_done(struct sup *s, const struct core_action *a)
{
	static const int status[] = {
		[STEP_OK] = EXIT_DONE, [STEP_FAILED] = EXIT_REFUSED, [STEP_UNKNOWN] = EXIT_DEGRADED
	};
	struct pending *p = find(s, a->id);

	if (!p)
		return;
	p->id = 0;
	control_done(p->request, status[a->outcome], NULL, "%s", a->text);
}

/* --- handlers ------------------------------------------------------------------------------------------------------------------------ */

static void ask_status(struct sup *s, struct control_request *r, json_t *args)
{
	json_t *status = look_status(s);
	int code = status_exit(status);

	(void)args;
	control_done(r, code, json_pack("{s:o}", "status", status), "%s", "");
}

/* "to": null or absent is nobody in particular. -1 when it names no node; the client has then been answered. */
static int target(struct sup *s, struct control_request *r, json_t *args, int8_t *to)
{
	const char *name = json_string_value(json_object_get(args, "to"));

	*to = NOBODY;
	if (!name)
		return 0;
	*to = (int8_t)conf_node_by_name(s->conf, name);
	if (*to != NOBODY)
		return 0;
	control_done(r, EXIT_REFUSED, NULL, "there is no node \"%s\"; the nodes are %s and %s", name,
		s->conf->node[0].name, s->conf->node[1].name);
	return -1;
}

static us_t timeout_of(json_t *args)
{
	json_int_t ms = json_integer_value(json_object_get(args, "timeout_ms"));

	return ms > 0 ? ms * US_PER_MS : 30 * US_PER_SEC;
}

static void ask_switchover(struct sup *s, struct control_request *r, json_t *args)
{
	struct core_command c = { .kind = CMD_SWITCHOVER, .timeout = timeout_of(args) };

	if (target(s, r, args, &c.to))
		return;
	if (json_is_true(json_object_get(args, "dry_run")))
		before_tell(s, r);
	else if (json_is_true(json_object_get(args, "when_quiet")))
		before_wait(s, r, &c);
	else
		ask_core(s, r, &c);
}

static void ask_failover(struct sup *s, struct control_request *r, json_t *args)
{
	struct core_command c = { .kind = CMD_FAILOVER, .timeout = timeout_of(args) };

	if (target(s, r, args, &c.to))
		return;
	if (!json_is_true(json_object_get(args, "force"))) {
		control_done(r, EXIT_REFUSED, NULL,
			"failover takes over without the other node's consent and needs --force");
		return;
	}
	if (c.to == NOBODY)
		c.to = (int8_t)s->me;
	if (c.to == s->me && (rejoin_busy(s) || rejoin_unfinished(s))) {
		control_done(r, EXIT_REFUSED, NULL,
			"this node's data are being replaced and are not whole: it holds nothing that could be served");
		return;
	}
	journal_add(s->journal, LOG_LVL_WARN, "note", NULL, "an operator forces a failover to %s; lost by it: %s",
		s->conf->node[c.to].name, s->would_lose);
	ask_core(s, r, &c);
}

static void ask_pause(struct sup *s, struct control_request *r, json_t *args)
{
	const char *reason = json_string_value(json_object_get(args, "reason"));
	struct core_command c = { .kind = CMD_PAUSE, .to = NOBODY, .timeout = 10 * US_PER_SEC };

	STR_COPY(c.reason, reason ? reason : "");
	ask_core(s, r, &c);
}

static void ask_resume(struct sup *s, struct control_request *r, json_t *args)
{
	struct core_command c = { .kind = CMD_RESUME, .to = NOBODY, .timeout = 10 * US_PER_SEC };

	(void)args;
	ask_core(s, r, &c);
}

/* Once what only this node holds was dealt with, it follows again; a divergence that is still there is found again by the comparison and
 * quarantines it anew. To discard it needs an export and a reseed first. */
static void ask_rejoin(struct sup *s, struct control_request *r, json_t *args)
{
	struct core_command c = { .kind = CMD_REJOIN, .to = NOBODY, .timeout = 30 * US_PER_SEC };

	if (rejoin_busy(s))
		control_done(r, EXIT_REFUSED, NULL, "a rejoin is under way already");
	else if (rejoin_unfinished(s) && !json_is_true(json_object_get(args, "discard")))
		control_done(r, EXIT_REFUSED, NULL,
			"a reseed was cut short and this node's data are not whole: `hactl rejoin --discard-divergent` "
			"does it again");
	else if (json_is_true(json_object_get(args, "discard")))
		rejoin_discard(s, r);
	else
		ask_core(s, r, &c);
}

static void ask_is(struct sup *s, struct control_request *r, json_t *args)
{
	const char *role = json_string_value(json_object_get(args, "role"));
	struct core_view v;
	bool yes;

	core_look(s->core, now_us(), &v);
	yes = str_eq(role, "primary") ? v.role == ROLE_PRIMARY && v.held
				      : str_eq(role, "standby") && v.role == ROLE_STANDBY;
	control_done(r, yes ? EXIT_DONE : EXIT_REFUSED, NULL, "%s", role_names[v.role]);
}

/* keepalived only tells; authority stays where it is. A contradiction is said, because two masters of one address are being configured. */
static void ask_notify(struct sup *s, struct control_request *r, json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "name")),
		   *state = json_string_value(json_object_get(args, "state"));
	struct core_view v;
	bool master, contradicts;

	core_look(s->core, now_us(), &v);
	master = str_eq(state, "MASTER");
	contradicts = master != (v.role == ROLE_PRIMARY);
	snprintf(s->keepalived, sizeof(s->keepalived), "%.60s is %.20s", name ? name : "?", state ? state : "?");
	journal_add(s->journal, contradicts ? LOG_LVL_WARN : LOG_LVL_INFO, "keepalived", NULL,
		"keepalived says %s here%s%s", s->keepalived, contradicts ? "; hactl's role is " : "",
		contradicts ? role_names[v.role] : "");
	control_done(r, EXIT_DONE, NULL, "%s", "");
}

static const struct {
	const char *cmd;
	ask_fn *fn;
} asks[] = {
	{ "status", ask_status },
	{ "switchover", ask_switchover },
	{ "failover", ask_failover },
	{ "pause", ask_pause },
	{ "resume", ask_resume },
	{ "rejoin", ask_rejoin },
	{ "is", ask_is },
	{ "notify", ask_notify },
};

static void on_command(void *arg, struct control_request *r, const char *cmd, json_t *args)
{
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		if (strcmp(asks[i].cmd, cmd))
			continue;
		asks[i].fn(arg, r, args);
		return;
	}
	control_done(r, EXIT_USAGE, NULL, "this supervisor does not know the command \"%s\"", cmd);
}

int ask_open(struct sup *s, struct err *e)
{
	s->control = control_new(s->loop, s->cli->socket, on_command, s, e);
	if (!s->control)
		return -1;
	if (!s->conf->http_listen[0])
		return 0;
	s->page = page_new(s->loop, s->conf->http_listen, look_status, s, e);
	return s->page ? 0 : -1;
}
