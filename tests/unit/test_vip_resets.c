/* test_vip_resets.c - how an address goes away: whoever still speaks to it hears so at once, and nobody is served meanwhile. */
#include "tests/unit/vip_gate_lab.h"

/* What became of a connection, or of an attempt at one: an errno, 0 nothing yet. A reset comes within the sender's own system call. */
static int fate(int fd)
{
	int why = 0;
	socklen_t len = sizeof(why);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len), 0);
	return why;
}

static int dialled(struct fix *f, const char *ip)
{
	int fd = lab_dial(f->b->client, ip, PORT), why;
	lab_ready(fd, POLLOUT, 100);
	why = fate(fd);
	close(fd);
	return why;
}

/* Resets last a second, and a busy machine may lose more between two calls: then shut once more. */
static bool refused_once_shut(struct fix *f)
{
	bool refused = false;
	for (us_t end = now_us() + LAB_BOUND_MS * US_PER_MS; !refused && now_us() < end;) {
		open_long(f);
		assert_int_equal(gate_shut(f->g, &f->e), 0);
		refused = dialled(f, f->n->vip) == ECONNREFUSED;
	}
	return refused;
}

static bool reset_once_shut(struct fix *f, int fd)
{
	bool reset = false;
	for (us_t end = now_us() + LAB_BOUND_MS * US_PER_MS; !reset && now_us() < end;) {
		open_long(f);
		assert_int_equal(gate_shut(f->g, &f->e), 0);
		send(fd, "x", 1, MSG_NOSIGNAL);
		reset = lab_ready(fd, POLLERR | POLLHUP, 100);
	}
	return reset && fate(fd) == ECONNRESET;
}

static void resets_when_shut_by_hand(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT);
	assert_int_equal(dialled(f, f->n->vip), 0); /* never open: silence */
	open_long(f);
	struct stream s = establish(f, listener, f->n->vip, PORT);
	/* who speaks is reset, who comes is refused, and nothing is served: others than TCP hear nothing */
	assert_true(reset_once_shut(f, s.client));
	assert_true(refused_once_shut(f));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_false(neighbour_answers(f));
	/* by itself it becomes silence again */
	for (us_t end = now_us() + LAB_BOUND_MS * US_PER_MS; dialled(f, f->n->vip) == ECONNREFUSED;)
		assert_true(now_us() < end);
	hang_up(s);
	close(listener);
}

static void resets_without_the_address(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	hold(f, "del");
	assert_true(refused_once_shut(f));
	/* a standby's own containers go to whoever is primary: they are not refused here */
	lab_enter(f->b->container);
	int fd = lab_dial(f->b->container, f->n->vip, PORT);
	lab_ready(fd, POLLOUT, 100);
	assert_int_not_equal(fate(fd), ECONNREFUSED);
	close(fd);
}

static void opened_again_serves(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT);
	open_long(f);
	/* the host has to know the client: asked for in the address's name, he would not be answered */
	hang_up(establish(f, listener, f->n->vip, PORT));
	assert_true(refused_once_shut(f));
	open_long(f);
	struct stream s = establish(f, listener, f->n->vip, PORT);
	assert_true(lab_byte(s.client, s.server, LAB_BOUND_MS));
	hang_up(s);
	close(listener);
}

static bool over(void *arg)
{
	return !gate_is_open(arg, now_us());
}

/* The lease's own end: somebody else may serve already. */
static void silent_when_the_lease_ends(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	assert_int_equal(gate_open(f->g, now_us() + 200 * US_PER_MS, &f->e), 0);
	assert_true(lab_until(f->b, over, f->g));
	assert_int_equal(dialled(f, f->n->vip), 0);
	assert_int_equal(gate_shut(f->g, &f->e), 0); /* the supervisor comes too late */
	assert_int_equal(dialled(f, f->n->vip), 0);
}

/* Who waits for an answer says nothing that a reset could answer: his connection is ended on this side, the listening socket is not. */
static void removal_ends_connections(void **state)
{
	struct fix *f = *state;
	size_t which = f->n->family == AF_INET6;
	know_mac(f);
	open_long(f);
	lab_enter(f->b->host);
	struct vips *v = vips_new(f->b->loop, &spec[which], 1, US_NEVER, on_broken, f, &f->e);
	assert_non_null(v);
	/* as database servers listen: on ::, where IPv4 comes under mapped addresses */
	int listener = lab_bind(f->b->host, SOCK_STREAM, "::", PORT),
	    other = lab_bind(f->b->host, SOCK_STREAM, f->n->host, PORT + 9);
	struct stream s = establish(f, listener, f->n->vip, PORT), own = establish(f, other, f->n->host, PORT + 9);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	lab_enter(f->b->host);
	assert_int_equal(vips_remove(v, &f->e), 0);
	assert_true(lab_ready(s.client, POLLERR | POLLHUP, LAB_BOUND_MS));
	assert_int_equal(fate(s.client), ECONNRESET);
	assert_int_equal(fate(s.server), ECONNABORTED);
	assert_true(lab_byte(own.client, own.server, LAB_BOUND_MS));
	struct stream again = establish(f, listener, f->n->host, PORT);
	hang_up(again);
	hang_up(own);
	hang_up(s);
	vips_free(v);
	close(other);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = { CASE(resets_when_shut_by_hand), CASE(resets_without_the_address),
		CASE(opened_again_serves), CASE(silent_when_the_lease_ends), CASE(removal_ends_connections) };
	return run_as_root("resets", tests, ARRAY_LEN(tests));
}
