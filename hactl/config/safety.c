/* safety.c - what the configured authority is safe against and what not, and how long things take with the numbers given: in plain words,
 * in one place, for `hactl check` and `hactl doctor`. The table of README.md says the same.
 */
#include "hactl/config/config.h"

#include <sys/socket.h>

/* Constants of the core and the supervisor, as fractions of the lease or as spans: silence is sure after half a lease; a question to the
 * world takes a fifth; databases are looked at once a second; opening them, the address and the gate took 10 to 40 ms where measured. */
#define SURE_OF_SILENCE(lease) ((lease) / 2)
#define QUESTION(lease)	       ((lease) / 5)
#define LOOK		       US_PER_SEC
#define OPENING		       (50 * US_PER_MS)

static const char *const takes_over[AUTHORITY_COUNT] = {
	[AUTHORITY_ARBITER] = "the standby takes over when the primary is silent and the arbiter's key is won",
	[AUTHORITY_REFERENCE] = "the standby takes over when the primary is silent, a reference address answers, and "
				"nothing shows the primary in service",
	[AUTHORITY_FENCE] = "the standby takes over when the primary is silent and its power-off is confirmed",
	[AUTHORITY_MANUAL] = "nobody takes over on silence: only on the other node's own word, or on `hactl failover "
			     "--force`",
};

static const char *const safe_against[AUTHORITY_COUNT] = {
	[AUTHORITY_ARBITER] =
		"the loss of either node, of the arbiter or of any one path; every cut between the nodes, one-way ones "
		"too: one key, one winner; a supervisor that is killed, stopped or starved",
	[AUTHORITY_REFERENCE] =
		"the loss of the primary; one node that is cut off from everything: it stops, the other takes over",
	[AUTHORITY_FENCE] =
		"the loss of the primary, its supervisor alone included, and every cut between the nodes, as long as "
		"the fence command tells the truth: nobody takes over before the other is off",
	[AUTHORITY_MANUAL] =
		"every cut and every silence: nothing moves, and the loss of the standby never stops the primary",
};

static const char *const not_against[AUTHORITY_COUNT] = {
	[AUTHORITY_ARBITER] =
		"the loss of the other node and of the arbiter at once: the primary stops after its lease and nobody "
		"takes over; clocks that run apart by more than 5 %",
	[AUTHORITY_REFERENCE] =
		"a cut between two healthy nodes that both reach a reference address: unless another heartbeat path, "
		"the virtual IP's own answer, a database port or the replication stream shows the other in service, "
		"both serve and their data part; a supervisor that dies while its databases run: their ports forbid "
		"the takeover; every reference address lost with the other node: the primary stops",
	[AUTHORITY_FENCE] =
		"a fence device that cannot be reached, one that lost its power together with the node included: "
		"nobody takes over; one that says off and is not",
	[AUTHORITY_MANUAL] = "the loss of the primary: the service is down until you act",
};

static const char *const enforcements[] = {
	[ENFORCE_NFT] = "nft: the kernel shuts the virtual IP when the lease ends, also when the supervisor is dead or "
			"stopped",
	[ENFORCE_ADDRESS] =
		"address, best effort: the virtual IP stays one to five seconds after the lease when the supervisor is "
		"dead or stopped, and longer for connections through DNAT",
	[ENFORCE_NONE] = "none: nothing shuts the virtual IP when the supervisor is dead or stopped; two nodes may "
			 "then answer for it",
};

struct lines {
	struct conf_safety *out;
	size_t n;
};

static void line(struct lines *l, const char *topic, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void line(struct lines *l, const char *topic, const char *fmt, ...)
{
	struct conf_safety *s = &l->out[l->n++];
	va_list ap;

	s->topic = topic;
	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
}

/* Whole milliseconds: nothing here is known better. */
static const char *span(us_t us, char out[32])
{
	duration_text((us + US_PER_MS / 2) / US_PER_MS * US_PER_MS, out);
	return out;
}

static void say_takeover(struct lines *l, const struct conf *c, us_t promise)
{
	static const char lost[] = "after the primary's power is lost";
	char a[32], b[32], d[32];

	span(promise + OPENING, a);
	if (c->authority == AUTHORITY_ARBITER)
		line(l, "failover", "expected about %s %s; up to %s more while the arbiter is slow", a, lost,
			span(2 * c->arbiter.timeout, b));
	else if (c->authority == AUTHORITY_REFERENCE)
		line(l, "failover", "expected about %s %s, %s of it for the question to the world",
			span(promise + QUESTION(c->lease) + OPENING, b), lost, span(QUESTION(c->lease), d));
	else if (c->authority == AUTHORITY_FENCE)
		line(l, "failover",
			"expected about %s and what the fence command takes (at most %s) %s; %s more on the node that "
			"is not prefer",
			a, span(c->fence.timeout, b), lost, span(c->fence.delay, d));
	else
		line(l, "failover", "none by itself %s", lost);
}

static void say_commits(struct lines *l, const struct conf *c, us_t alone)
{
	us_t record = c->authority == AUTHORITY_ARBITER ? c->arbiter.timeout : 0;
	us_t sure = SURE_OF_SILENCE(c->lease);
	char a[32], b[32], d[32];

	if (!c->node[0].mysql.present)
		return;
	if (c->node[0].mysql.semi_sync == SEMI_SYNC_OFF && c->node[0].mysql.max_unreceived)
		line(l, "commits",
			"wait for no standby; a failover may lose what it had not received: none happens by itself "
			"when that is known to be more than %d transactions, or not known",
			c->node[0].mysql.max_unreceived);
	else if (c->node[0].mysql.semi_sync == SEMI_SYNC_OFF)
		line(l, "commits", "wait for no standby; a failover may lose what it had not received");
	else if (c->node[0].mysql.semi_sync == SEMI_SYNC_REQUIRED)
		line(l, "commits",
			"wait for the standby for as long as it is away, after a failover until the old primary "
			"follows (mysql.semi_sync = \"required\"): with one node left the service takes no writes");
	else if (alone)
		line(l, "commits",
			"when the standby is lost they wait up to about %s: until it cannot take over by itself any "
			"more, unless it says so sooner",
			span(sure + LOOK + alone, a));
	else
		line(l, "commits",
			"when the standby is lost they wait up to about %s: %s to be sure, %s to look at it%s",
			span(sure + LOOK + record, a), span(sure, b), span(LOOK, d),
			record ? ", and the arbiter's record; longer only while neither the arbiter nor the standby "
				 "can store that it is behind"
			       : "");
}

static void say_encryption(struct lines *l, const struct conf *c)
{
	if (!c->node[0].mysql.present)
		return;
	if (c->node[0].mysql.tls)
		line(l, "encryption",
			"mysql: every connection between the nodes, replication included, is by TLS and verified "
			"against ca_file and the node's address, or refused; a local socket needs none");
	else
		line(l, "encryption",
			"mysql: none; rows and replies can be read by whoever can listen between the nodes "
			"(mysql.tls)");
}

static void say_times(struct lines *l, const struct conf *c, us_t promise, us_t alone)
{
	bool self = c->authority == AUTHORITY_MANUAL || c->authority == AUTHORITY_FENCE;
	us_t least = promise > c->heartbeat_interval ? promise - c->heartbeat_interval : 0;
	char a[32], b[32];

	line(l, "times", "lease (D) %s: %s; promise (W) %s: a standby moves only after it", span(c->lease, a),
		self ? "a primary renews it alone, and has stopped after it when its supervisor dies"
		     : "a primary that nobody confirms has stopped after it",
		span(promise, b));
	line(l, "detection", "silence counts %s to %s after the last sign of life; a database that dies, at once",
		span(least, a), span(promise, b));
	say_takeover(l, c, promise);
	say_commits(l, c, alone);
}

size_t conf_safety(const struct conf *c, us_t promise, us_t alone, struct conf_safety out[CONF_SAFETY_LINES])
{
	struct lines l = { .out = out };

	line(&l, "authority", "%s: %s", conf_authority_names[c->authority], takes_over[c->authority]);
	line(&l, "safe against", "%s", safe_against[c->authority]);
	line(&l, "not against", "%s", not_against[c->authority]);
	if (c->authority == AUTHORITY_FENCE && !c->fence.delay)
		line(&l, "not against",
			"two nodes that lose each other and switch each other off at the same moment: mark one node "
			"prefer and set authority.fence.delay to more than the fence command takes");
	if (c->n_vips)
		line(&l, "enforcement", "%s", enforcements[c->enforce]);
	else
		line(&l, "enforcement",
			"there is no virtual IP: nothing but the supervisor and the guard keeps writers away");
	say_times(&l, c, promise, alone);
	say_encryption(&l, c);
	return l.n;
}
