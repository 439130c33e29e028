/* word.c - the in-sync record without a register (modes reference and fence).
 *
 * The standby keeps it in its memory, false after a restart. The primary says so in its renewals, naming the standby's newest
 * answer that it has seen; the standby believes it for core_word_us, counted on its own clock from when it sent that answer,
 * and only while its host and its database server are those of that answer. The answer was sent before the primary spoke: so
 * after core_alone_us, counted by the primary from its last word, the standby believes nothing any more, however late or
 * doubled a packet was. Sooner when the standby itself says that it has stored false (sync.c), as with a register.
 */
#include "hactl/core/inside.h"

us_t core_word_us(const struct core_conf *conf)
{
	us_t margin =
		5 * conf->interval + conf->lease; /* the word's own age, a lost packet or two, a second question */

	if (conf->mode == CORE_REFERENCE)
		return core_promise_us(conf->lease) + 2 * conf->witness_timeout + margin;
	if (conf->mode == CORE_FENCE)
		return core_promise_us(conf->lease) + conf->fence_delay + conf->fence_timeout + margin;
	return 0;
}

us_t core_alone_us(const struct core_conf *conf)
{
	us_t span = core_word_us(conf);

	return span ? core_promise_us(span) : 0; /* the same slack between two clocks */
}

static bool used(const struct core *c)
{
	return without_vote(c) && c->conf.lossless;
}

/* --- the standby ----------------------------------------------------------------------------------------------------------- */

void word_answered(struct core *c, const struct msg *m)
{
	if (used(c) && c->facts.known)
		c->given[m->nonce % NONCES] =
			(struct given){ m->incarnation, m->nonce, c->now, c->facts.boot, c->facts.db_start };
}

void word_hear(struct core *c, const struct msg *m)
{
	const struct given *g = &c->given[m->for_incarnation % NONCES];
	bool voided = c->disk.void_term == m->term && c->disk.void_seq >= m->sync_seq;
	bool older = c->word.term == m->term && m->sync_seq < c->word.seq;
	struct word_of_sync w = { m->term, m->sync_seq, g->at + core_word_us(&c->conf), g->boot, g->db_start };

	if (!used(c) || !m->for_incarnation || m->sync_term != m->term || voided || older)
		return;
	if (g->nonce != m->for_incarnation || g->incarnation != m->incarnation)
		return; /* an answer of a former start, or too long ago */
	if (w.term != c->word.term || w.seq != c->word.seq || w.until > c->word.until)
		c->word = w;
}

bool word_holds(const struct core *c, char why[SENTENCE_MAX])
{
	const struct word_of_sync *w = &c->word;
	bool voided = c->disk.void_term == w->term && c->disk.void_seq >= w->seq;

	why[0] = '\0';
	if (!w->term || w->term != c->disk.other_term || voided)
		say(why,
			"%s is not in sync: the primary has not said since the last change that it has caught up; "
			"hactl brings it back by itself",
			my_name(c));
	else if (w->boot != c->facts.boot || w->db_start != c->facts.db_start)
		say(why,
			"%s is not in sync: its database was restarted; hactl brings it back by itself when it has "
			"caught up",
			my_name(c));
	else if (c->now >= w->until && !core_broken.word_for_ever)
		say(why, "%s is not in sync: the primary may have gone on without it since it was heard last",
			my_name(c));
	return !why[0];
}

/* --- the primary ------------------------------------------------------------------------------------------------------------ */

bool word_wanted(const struct core *c)
{
	return used(c) && c->role == ROLE_PRIMARY && sync_in(c) && c->word_nonce && !c->disk_bad &&
	       c->disk.alone != c->disk.term;
}

/* Stored before the first word of a term leaves, and when the standby believes none any more. */
void word_stored(struct core *c, bool alone)
{
	uint64_t term = alone ? c->disk.term : 0;

	c->sync_maybe = !alone;
	if (c->disk.alone == term || c->disk_bad)
		return;
	c->disk.alone = term;
	persist(c);
}

void word_expire(struct core *c)
{
	us_t end = c->word_given + core_alone_us(&c->conf);

	if (!used(c) || !c->sync_maybe)
		return;
	if (c->now < end) {
		alarm_at(c, end);
		return;
	}
	note(c, 5, "%s no longer believes to be in sync: %s goes on without it", peer_name(c), my_name(c));
	c->void_seq = 0;
	word_stored(c, true);
}
