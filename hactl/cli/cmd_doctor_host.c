/* cmd_doctor_host.c - this node's own host: what the supervisor needs of the kernel and the file system. Nothing is changed but a table of
 * its own in nftables, made and removed within the check: only so is it known that the kernel takes one.
 */
#include "hactl/cli/cmd_doctor.h"

#include "hactl/control/control.h"
#include "hactl/control/peek.h"
#include "hactl/control/unix_socket.h"
#include "hactl/guard/guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

enum { NOTE_MAX = 64 * 1024 };
#define GATE_TRIED "hactl_doctor"

/* The file's text, or NULL. */
static char *text_of_file(const char *path)
{
	char *text = NULL;
	size_t len;
	struct err e;
	return file_read(path, NOTE_MAX, &text, &len, &e) < 0 ? NULL : text;
}

/* --- network ------------------------------------------------------------------------------------------------------------------ */

static void check_address(const struct host_view *h, struct verdict *v)
{
	const char *address = h->conf->node[h->me].address;
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	bool v6 = inet_pton(AF_INET, address, &a4.sin_addr) != 1;
	inet_pton(AF_INET6, address, &a6.sin6_addr);
	auto_close int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = v6 ? bind(fd, (struct sockaddr *)&a6, sizeof(a6)) : bind(fd, (struct sockaddr *)&a4, sizeof(a4));
	if (r == 0) {
		say_ok(v, "%s is on this host", address);
		return;
	}
	say_wrong(v, "%s, the address of node %s, is not on this host: %s", address, h->conf->node[h->me].name,
		strerror(errno));
	say_fix(v, "give the host that address, or name the right node with -n");
}

static short interface_flags(const char *name)
{
	struct ifreq r = { 0 };
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	STR_COPY(r.ifr_name, name);
	return fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0 ? -1 : r.ifr_flags;
}

static void check_interfaces(const struct host_view *h, struct verdict *v)
{
	for (int i = 0; i < h->conf->n_vips; i++) {
		const char *name = conf_vip_interface(h->conf, h->me, i);
		short flags = interface_flags(name);
		if (flags == -1) {
			say_wrong(v, "there is no interface %s for %s", name, h->conf->vip[i].address);
			say_fix(v, "ip link; then vips.interface, or `interface` of this node, in %s", h->conf->file);
			return;
		}
		if (!(flags & IFF_UP) || !(flags & IFF_RUNNING)) {
			say_wrong(v, "interface %s is %s", name, flags & IFF_UP ? "without carrier" : "down");
			say_fix(v, "ip link set %s up", name);
			return;
		}
	}
	say_ok(v, h->conf->n_vips ? "up" : "no virtual address is configured");
}

static void check_promote(const struct host_view *h, struct verdict *v)
{
	for (int i = 0; i < h->conf->n_vips; i++) {
		const char *name = conf_vip_interface(h->conf, h->me, i);
		auto_free char *path = str_printf("/proc/sys/net/ipv4/conf/%s/promote_secondaries", name);
		auto_free char *all = text_of_file("/proc/sys/net/ipv4/conf/all/promote_secondaries");
		auto_free char *text = text_of_file(path);
		if (!h->conf->vip[i].subnet || !text || text[0] == '1' || (all && all[0] == '1'))
			continue;
		say_wrong(v,
			"promote_secondaries is off on %s and %s is added with its subnet: taking it away can drop "
			"other addresses of that subnet",
			name, h->conf->vip[i].address);
		say_fix(v, "sysctl -w net.ipv4.conf.%s.promote_secondaries=1   and in /etc/sysctl.d/", name);
		return;
	}
	say_ok(v, "no virtual address depends on it, or it is on");
}

/* Value of "NAME=" at the start of a line; "" when absent. */
static void line_value(const char *text, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);
	out[0] = '\0';
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (strncmp(line, name, n) == 0 && line[n] == '=') {
			snprintf(out, size, "%.*s", (int)strcspn(line + n + 1, "\r\n"), line + n + 1);
			return;
		}
}

void judge_manager(const char *networkd, const char *network_manager, const char *interface, struct verdict *v)
{
	char state[32], keep[32], managed[32];
	line_value(networkd, "ADMIN_STATE", state, sizeof(state));
	line_value(networkd, "KeepConfiguration", keep, sizeof(keep));
	line_value(network_manager, "managed", managed, sizeof(managed));
	if (*state && !str_eq(state, "unmanaged") && !str_eq(keep, "yes") && !str_eq(keep, "static")) {
		say_note(v,
			"systemd-networkd manages %s and removes foreign addresses when it configures it anew (hactl "
			"puts them back)",
			interface);
		say_fix(v, "in the .network file of %s: [Network] KeepConfiguration=static", interface);
	} else if (str_eq(managed, "true")) {
		say_note(v,
			"NetworkManager manages %s and may remove foreign addresses when it reactivates it (hactl puts "
			"them back)",
			interface);
		say_fix(v, "nmcli device set %s managed no   (or leave that connection alone while hactl runs)",
			interface);
	} else {
		say_ok(v, "nothing here removes addresses from %s", interface);
	}
}

static void check_manager(const struct host_view *h, struct verdict *v)
{
	say_ok(v, "no virtual address is configured");
	for (int i = 0; i < h->conf->n_vips && v->severity == SEV_OK; i++) {
		const char *name = conf_vip_interface(h->conf, h->me, i);
		unsigned index = if_nametoindex(name);
		auto_free char *links = str_printf("/run/systemd/netif/links/%u", index);
		auto_free char *devices = str_printf("/run/NetworkManager/devices/%u", index);
		auto_free char *networkd = text_of_file(links), *manager = text_of_file(devices);
		char file[CONF_PATH] = "";
		if (networkd)
			line_value(networkd, "NETWORK_FILE", file, sizeof(file));
		auto_free char *network = *file ? text_of_file(file) : NULL;
		auto_free char *both = str_printf("%s\n%s", networkd ? networkd : "", network ? network : "");
		judge_manager(both, manager ? manager : "", name, v);
	}
}

/* --- powers ---------------------------------------------------------------------------------------------------------------------- */

/* The running supervisor's process, by its socket; NOBODY: none. */
static pid_t supervisor_pid(const struct cli *c)
{
	struct err e;
	struct ucred peer = { .pid = NOBODY };
	socklen_t len = sizeof(peer);
	auto_close int fd = unix_connect(c->socket, US_PER_SEC, &e);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return NOBODY;
	return peer.pid;
}

void judge_capabilities(uint64_t effective, const char *whose, struct verdict *v)
{
	static const struct {
		int bit;
		const char *name, *harm;
		bool vital;
	} caps[] = {
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "neither the virtual address nor the gate can be set", true },
		{ CAP_NET_RAW, "CAP_NET_RAW", "an address that moved is not announced", true },
		{ CAP_SYS_NICE, "CAP_SYS_NICE", "on a busy host it can be too late and lose its lease", false },
		{ CAP_KILL, "CAP_KILL", "a database server that does not stop writing cannot be killed", false },
		{ CAP_IPC_LOCK, "CAP_IPC_LOCK", "under memory pressure it can be too late and lose its lease", false },
	};
	say_ok(v, "%s has what it needs", whose);
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		if (effective & (uint64_t)1 << caps[i].bit)
			continue;
		(caps[i].vital ? say_wrong : say_note)(v, "%s lacks %s: %s", whose, caps[i].name, caps[i].harm);
		say_fix(v, "run it by the shipped hactl.service, or as root; in a container: --cap-add %s",
			caps[i].name + strlen("CAP_"));
		return;
	}
}

static void check_capabilities(const struct host_view *h, struct verdict *v)
{
	pid_t pid = supervisor_pid(h->cli);
	auto_free char *path = pid > 0 ? str_printf("/proc/%d/status", (int)pid) : xstrdup("/proc/self/status");
	auto_free char *text = text_of_file(path);
	const char *at = text ? strstr(text, "CapEff:") : NULL;
	if (at)
		judge_capabilities(
			strtoull(at + strlen("CapEff:"), NULL, 16), pid > 0 ? "the supervisor" : "this command", v);
	else
		say_note(v, "%s cannot be read", path);
}

static void check_nftables(const struct host_view *h, struct verdict *v)
{
	struct vip_spec tried = {
		.family = AF_INET, .prefix_len = 32, .address = "192.0.2.1"
	}; /* RFC 5737: nobody's */
	struct err e;
	if (h->conf->enforce != ENFORCE_NFT || !h->conf->n_vips) {
		say_ok(v, "not used");
		return;
	}
	STR_COPY(tried.interface, conf_vip_interface(h->conf, h->me, 0));
	struct gate *g =
		gate_new(h->loop, GATE_TRIED, &(struct gate_spec){ .vip = &tried, .n_vips = 1 }, 0, NULL, NULL, &e);
	if (g && gate_open(g, now_us() + US_PER_SEC, &e) == 0)
		say_ok(v, "the kernel takes a gate and opens it");
	else
		say_wrong(v, "the kernel's gate cannot be made: %.300s", e.text);
	gate_free(g);
	gate_remove(GATE_TRIED, &e);
	if (v->severity == SEV_WRONG)
		say_fix(v, "as root: modprobe nf_tables   (or authority.enforce = \"address\", which ends a lease "
			   "seconds late)");
}

static void check_clock(const struct host_view *h, struct verdict *v)
{
	struct timex t = { 0 };
	(void)h;
	if (adjtimex(&t) >= 0 && !(t.status & STA_UNSYNC)) {
		say_ok(v, "synchronised");
		return;
	}
	say_note(v, "the wall clock is not synchronised: it decides nothing here, but times in the two journals will "
		    "not match");
	say_fix(v, "timedatectl set-ntp true   (or chrony)");
}

/* --- processes and files ------------------------------------------------------------------------------------------------------------ */

static void check_supervisor(const struct host_view *h, struct verdict *v)
{
	if (h->status) {
		say_ok(v, "runs, %s", peek_text(h->status, "role", NULL));
		return;
	}
	say_note(v, "no supervisor answers on %s", h->cli->socket);
	say_fix(v, "systemctl enable --now hactl");
}

static void check_guard(const struct host_view *h, struct verdict *v)
{
	const struct conf_node *n = &h->conf->node[h->me];
	struct deadline_file *f;
	struct guard_beat b = { 0 };
	char path[512];
	struct err e;
	if (!n->mysql.present && !n->redis.present) {
		say_ok(v, "none is needed: no database is configured");
		return;
	}
	deadline_path(h->cli, path);
	f = access(path, F_OK) == 0 ? deadline_open(path, false, &e) : NULL;
	if (f && guard_hear(f, &b) && b.pid && now_us() - b.alive_at < GUARD_LOST_AFTER)
		say_ok(v, "runs");
	else
		say_wrong(v, "no guard runs: nothing shuts this node's databases when its supervisor dies");
	deadline_close(f);
	if (v->severity == SEV_WRONG)
		say_fix(v, "systemctl enable --now hactl-guard");
}

static void check_state_dir(const struct host_view *h, struct verdict *v)
{
	if (access(h->cli->state_dir, W_OK | X_OK) == 0) {
		say_ok(v, "%s can be written", h->cli->state_dir);
		return;
	}
	say_wrong(v, "the state directory %s cannot be written: %s; no term can be kept there", h->cli->state_dir,
		strerror(errno));
	say_fix(v, "install -d -m 0750 %s", h->cli->state_dir);
}

/* The configuration would not have loaded with a secret that others can read; here the folder they lie in. */
static void check_secrets(const struct host_view *h, struct verdict *v)
{
	auto_free char *folder = xstrdup(h->conf->key_file);
	char *slash = strrchr(folder, '/');
	struct stat st;
	if (slash && slash != folder)
		*slash = '\0';
	if (stat(slash ? folder : ".", &st) == 0 && st.st_mode & S_IWOTH && !(st.st_mode & S_ISVTX)) {
		say_wrong(v, "anybody can replace the files in %s, the cluster's key among them", folder);
		say_fix(v, "chmod o-w %s", folder);
		return;
	}
	say_ok(v, "the key and the passwords are their owner's only");
}

static bool runnable(const char *command)
{
	char first[CONF_PATH];
	size_t n = strcspn(command, " \t");
	snprintf(first, sizeof(first), "%.*s", (int)n, command);
	return first[0] != '/' || access(first, X_OK) == 0;
}

static void check_hooks(const struct host_view *h, struct verdict *v)
{
	const struct conf *c = h->conf;
	const char *reseed = c->node[h->me].mysql.reseed; /* "off" and "clone" are no paths, and so never amiss here */
	const char *const commands[] = { c->hooks.on_primary, c->hooks.on_standby, c->hooks.on_event, c->fence.command,
		reseed };
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (*commands[i] && !runnable(commands[i])) {
			say_wrong(v, "%s cannot be run: %s", commands[i], strerror(errno));
			say_fix(v, "chmod 0755 %s   (or write the right path)", commands[i]);
			return;
		}
	say_ok(v, "can be run, or none is configured");
}

static const struct {
	const char *title;
	void (*judge)(const struct host_view *h, struct verdict *v);
} checks[] = {
	{ "node's address", check_address },
	{ "interface", check_interfaces },
	{ "promote_secondaries", check_promote },
	{ "network manager", check_manager },
	{ "capabilities", check_capabilities },
	{ "nftables", check_nftables },
	{ "clock", check_clock },
	{ "supervisor", check_supervisor },
	{ "guard", check_guard },
	{ "state directory", check_state_dir },
	{ "secrets", check_secrets },
	{ "hooks", check_hooks },
};

void doctor_host(const struct host_view *h, struct report *r)
{
	char area[NAME_MAX_LEN + 16];
	snprintf(area, sizeof(area), "host %s", h->conf->node[h->me].name);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i].judge(h, report_add(r, area, checks[i].title));
}
