/* test_vip_lease.c - the gate ends with the lease, whoever is stopped or starved, and what the kernel is relied upon for. */
#include "tests/unit/vip_gate_lab.h"

/* --- the lease ------------------------------------------------------------------------------------------------------------- */

static void open_too_late(void **state)
{
	struct fix *f = *state;
	know_mac(f);
	open_long(f);
	assert_int_equal(gate_open(f->g, now_us() - 1, &f->e), -1);
	assert_non_null(strstr(f->e.text, "over"));
	assert_false(gate_is_open(f->g, now_us()));
	assert_false(packet_passes(f, f->b->client, f->n->vip));
	assert_int_equal(gate_open(f->g, now_us() + 1, &f->e), -1);
	assert_false(packet_passes(f, f->b->client, f->n->vip));
}

/* The last call counts, be it earlier or later. */
static void renews_to_the_last_moment_named(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	assert_int_equal(rules_alive_ms(&l, &s), 0);
	for (int i = 0; i < 200; i++) {
		int secs = i % 2 ? 20 : 40;
		assert_int_equal(gate_open(f->g, seconds(secs), &f->e), 0);
		int64_t left = rules_alive_ms(&l, &s);
		assert_in_range(left, secs * 1000 / 2 + 1, secs * 1000 - 1);
	}
	nft_link_close(&l);
}

static void stream_ends_by_itself(void **state)
{
	struct fix *f = *state;
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT);
	open_long(f);
	struct stream s = establish(f, listener, f->n->vip, PORT);
	us_t until = now_us() + 400 * US_PER_MS;
	assert_int_equal(gate_open(f->g, until, &f->e), 0);
	us_t last = last_answer(s);
	print_message("last answer %.1f ms before the lease's end\n", (double)(until - last) / 1000);
	assert_true(last < until);
	assert_false(gate_is_open(f->g, now_us()));
	revives(f, s);
	hang_up(s);
	close(listener);
}

/* A published port, as container engines do it. Whichever end speaks first after the end, nothing passes. */
static void dnat_stream_ends_by_itself(void **state)
{
	static const struct {
		int family;
		const char *nat, *listens;
		bool in_container;
	} way[] = {
		{ AF_INET, "dnat to 172.30.0.2:21307", "172.30.0.2", true },
		{ AF_INET, "redirect to :21307", "0.0.0.0", false },
		{ AF_INET, "dnat to 127.0.0.1:21307", "127.0.0.1", false },
		{ AF_INET6, "dnat to [fd72::2]:21307", "fd72::2", true },
		{ AF_INET6, "redirect to :21307", "::", false },
	};
	struct fix *f = *state;
	lab_sh(f->b->host, "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet");
	for (size_t i = 0; i < ARRAY_LEN(way); i++) {
		if (way[i].family != f->n->family)
			continue;
		int ns = way[i].in_container ? f->b->container : f->b->host;
		int listener = lab_bind(ns, SOCK_STREAM, way[i].listens, INNER_PORT);
		lab_sh(f->b->host,
			"nft 'table %s t { chain c { type nat hook prerouting priority -100; %s daddr %s"
			" tcp dport 21306 %s; }; }'",
			f->n->nft, f->n->nft, f->n->vip, way[i].nat);
		open_long(f);
		struct stream s = establish(f, listener, f->n->vip, PORT),
			      push = establish(f, listener, f->n->vip, PORT);
		us_t until = now_us() + 200 * US_PER_MS;
		assert_int_equal(gate_open(f->g, until, &f->e), 0);
		us_t last = last_answer(s);
		print_message(
			"%s: last answer %.1f ms before the lease's end\n", way[i].nat, (double)(until - last) / 1000);
		assert_false(lab_byte(push.server, push.client, 300)); /* what the server says by itself */
		hold(f, "del"); /* and with the address taken away, as a demotion does */
		assert_false(lab_byte(push.client, push.server, 300));
		hold(f, "add");
		revives(f, s);
		hang_up(s);
		hang_up(push);
		close(listener);
		lab_sh(f->b->host, "nft delete table %s t", f->n->nft);
	}
}

static void shuts_after_sigkill(void **state)
{
	struct fix *f = *state;
	int listener = lab_bind(f->b->host, SOCK_STREAM, f->n->any, PORT), said[2];
	us_t until = 0;
	open_long(f);
	struct stream s = establish(f, listener, f->n->vip, PORT);
	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	pid_t child = fork_bound();
	if (child == 0) { /* renews for ever */
		for (;;) {
			until = now_us() + 300 * US_PER_MS;
			if (gate_open(f->g, until, NULL) < 0 || write(said[1], &until, sizeof(until)) < 0)
				_exit(1);
			poll(NULL, 0, 20);
		}
	}
	for (int i = 0; i < 5; i++)
		assert_true(read(said[0], &until, sizeof(until)) == sizeof(until) &&
			    lab_byte(s.client, s.server, LAB_BOUND_MS));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (lab_ready(said[0], POLLIN, 0) && read(said[0], &until, sizeof(until)) == sizeof(until))
		if (lab_ready(said[0], POLLIN | POLLHUP, 0))
			continue;
	us_t last = last_answer(s);
	print_message("killed: last answer %.1f ms before the lease's end\n", (double)(until - last) / 1000);
	assert_int_equal(gate_shut(f->g, &f->e), 0);
	revives(f, s);
	hang_up(s);
	close(listener);
	close(said[0]);
	close(said[1]);
}

/* --- what the kernel is relied upon for ---------------------------------------------------------------------------------------- */

static int guard_then_alive(struct nft_link *l, const struct gate_shape *s, bool with_guard)
{
	struct batch b;
	batch_start(&b, l);
	if (with_guard)
		put_guard_spent(&b, s);
	put_alive(&b, s, 50000);
	return batch_commit(&b);
}

static void set_guard(struct nft_link *l, const struct gate_shape *s, int64_t ms)
{
	struct batch b;
	batch_start(&b, l);
	put_guard(&b, s, ms);
	assert_int_equal(batch_commit(&b), 0);
}

/* A guard whose time is over refuses the whole transaction; a live one lets it through, once. */
static void kernel_refuses_a_late_renewal(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	for (int i = 0; i < 20; i++) {
		set_guard(&l, &s, 5);
		us_t over = now_us() + 10 * US_PER_MS; /* past its time, mostly not collected yet */
		while (now_us() < over)
			;
		assert_int_equal(guard_then_alive(&l, &s, true), -ENOENT);
		assert_int_equal(rules_alive_ms(&l, &s), 0);
	}
	set_guard(&l, &s, 50000);
	assert_int_equal(guard_then_alive(&l, &s, true), 0);
	assert_true(rules_alive_ms(&l, &s) > 0);
	assert_int_equal(guard_then_alive(&l, &s, true), -ENOENT);
	nft_link_close(&l);
}

static pid_t reload_for_ever(struct fix *f, const char *table)
{
	lab_enter(f->b->host);
	pid_t child = fork_bound();
	if (child == 0) {
		setpgid(0, 0);
		execl("/bin/sh", "sh", "-c",
			"rules=$(echo add table ip $0; echo delete table ip $0;"
			" echo table ip $0 '{ set s { type ipv4_addr; elements = {';"
			" awk 'BEGIN { for (i = 0; i < 5000; i++) printf \"10.%d.%d.1,\", i / 250, i % 250 }'; echo '} "
			"}; }');"
			" while :; do echo \"$rules\" | nft -f - || exit 1; done",
			table, NULL);
		_exit(127);
	}
	setpgid(child, child);
	return child;
}

/* Somebody's firewall is reloaded all the time, and transactions wait for one another inside the kernel: however long ours waited,
 * what is alive afterwards ends before the lease does. */
static void never_outlives_the_lease_behind_reloads(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	pid_t child[2] = { reload_for_ever(f, "reload0"), reload_for_ever(f, "reload1") };
	int opened = 0, refused = 0;
	us_t longest = 0;
	for (us_t end = seconds(3); now_us() < end;) {
		us_t until = seconds(2), start = now_us();
		bool ok = gate_open(f->g, until, &f->e) == 0;
		us_t now = now_us();
		int64_t left = rules_alive_ms(&l, &s);
		longest = now - start > longest ? now - start : longest;
		opened += ok;
		refused += !ok;
		assert_true(left >= 0 && now + left * US_PER_MS <= until);
	}
	for (size_t i = 0; i < ARRAY_LEN(child); i++) {
		assert_int_equal(waitpid(child[i], NULL, WNOHANG), 0); /* did reload all the while */
		kill(-child[i], SIGKILL);
		waitpid(child[i], NULL, 0);
	}
	print_message(
		"%d renewals beside reloads, %d refused, longest %.1f ms\n", opened, refused, (double)longest / 1000);
	assert_true(opened > 0);
	nft_link_close(&l);
}

/* "flush; add" in one transaction over an element that is past its time and not yet collected: the new one counts. */
static void kernel_replaces_an_expired_element(void **state)
{
	struct fix *f = *state;
	struct nft_link l;
	struct gate_shape s;
	know_mac(f);
	lab_enter(f->b->host);
	assert_int_equal(nft_link_open(&l, &f->e), 0);
	assert_int_equal(shape_make(&s, "hactl-n1", &gated, &f->e), 0);
	for (int i = 0; i < 20; i++) {
		us_t end = now_us() + 40 * US_PER_MS;
		while (gate_open(f->g, end, &f->e) < 0) /* a slow machine */
			end = now_us() + 40 * US_PER_MS;
		while (now_us() < end)
			;
		assert_int_equal(rules_alive_ms(&l, &s), 0);
		assert_int_equal(guard_then_alive(&l, &s, false), 0);
		assert_true(rules_alive_ms(&l, &s) > 1000);
		assert_true(packet_passes(f, f->b->client, f->n->vip));
	}
	nft_link_close(&l);
}

/* A renewal is not a gap: a stream of packets loses none while the gate is renewed at full speed. */
static void renewal_loses_no_packet(void **state)
{
	struct fix *f = *state;
	struct sockaddr_storage to = lab_addr(f->n->vip, PORT);
	know_mac(f);
	open_long(f);
	int server = lab_bind(f->b->host, SOCK_DGRAM, f->n->vip, PORT),
	    client = lab_bind(f->b->client, SOCK_DGRAM, f->n->client, 0);
	pid_t child = fork_bound();
	if (child == 0)
		for (;;)
			gate_open(f->g, seconds(LONG), NULL);
	char c;
	int lost = 0;
	for (int i = 0; i < 10000; i++) {
		sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
		lost += !lab_ready(server, POLLIN, 1000);
		recv(server, &c, 1, MSG_DONTWAIT);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(lost, 0);
	close(server);
	close(client);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(open_too_late),
		ONCE(renews_to_the_last_moment_named),
		CASE(stream_ends_by_itself),
		CASE(dnat_stream_ends_by_itself),
		CASE(shuts_after_sigkill),
		ONCE(kernel_refuses_a_late_renewal),
		ONCE(never_outlives_the_lease_behind_reloads),
		ONCE(kernel_replaces_an_expired_element),
		CASE(renewal_loses_no_packet),
	};
	return run_as_root("test_vip_lease", tests, ARRAY_LEN(tests));
}
