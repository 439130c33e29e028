/* self.c - which node this host is, small look-ups, and the cluster key. */
#include "hactl/config/schema.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int conf_node_by_name(const struct conf *c, const char *name)
{
	for (int i = 0; i < NODES; i++)
		if (*c->node[i].name && !strcmp(c->node[i].name, name))
			return i;
	return NOBODY;
}

int conf_preferred(const struct conf *c)
{
	for (int i = 0; i < NODES; i++)
		if (c->node[i].prefer)
			return i;
	return NOBODY;
}

const char *conf_vip_interface(const struct conf *c, int node, int vip)
{
	return *c->node[node].interface ? c->node[node].interface : c->vip[vip].interface;
}

/* As given, and without the domain: hosts are named either way. */
static int by_hostname(const struct conf *c, char host[256])
{
	int i;

	if (gethostname(host, 256))
		return NOBODY;
	host[255] = '\0';
	i = conf_node_by_name(c, host);
	if (i != NOBODY)
		return i;
	host[strcspn(host, ".")] = '\0';
	return conf_node_by_name(c, host);
}

static const char *address_text(const struct ifaddrs *a, char out[64])
{
	const void *raw = NULL;

	if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET)
		raw = &((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr;
	if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET6)
		raw = &((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr;
	return raw ? inet_ntop(a->ifa_addr->sa_family, raw, out, 64) : NULL;
}

static int by_address(const struct conf *c, const char *host, struct err *e)
{
	struct ifaddrs *all = NULL;
	bool has[NODES] = { false };
	char text[64];

	if (getifaddrs(&all))
		return err_set(e, "cannot list this host's addresses: %s; name the node with -n", strerror(errno));
	for (const struct ifaddrs *a = all; a; a = a->ifa_next)
		for (int i = 0; i < NODES && address_text(a, text); i++)
			has[i] |= address_equal(text, c->node[i].address);
	freeifaddrs(all);
	if (has[0] && has[1])
		return err_set(e,
			"the addresses of both nodes are on this host; name the one meant with -n %s or -n %s",
			c->node[0].name, c->node[1].name);
	if (!has[0] && !has[1])
		return err_set(e,
			"this host is neither node: it is not called %s or %s (but %s) and has neither %s nor %s; name "
			"the node with -n",
			c->node[0].name, c->node[1].name, host, c->node[0].address, c->node[1].address);
	return has[0] ? 0 : 1;
}

_Static_assert(NOBODY == -1, "by_address returns err_set's -1 for no node");

int conf_self(const struct conf *c, const char *name, struct err *e)
{
	char host[256] = "";
	int i;

	if (name) {
		i = conf_node_by_name(c, name);
		return i != NOBODY ? i
				   : err_set(e, "there is no node \"%s\" in %s; it has %s and %s", name, c->file,
					     c->node[0].name, c->node[1].name);
	}
	i = by_hostname(c, host);
	return i != NOBODY ? i : by_address(c, host, e);
}

int conf_keygen(const char *path, struct err *e)
{
	auto_close int fd = -1;
	uint8_t key[32];
	char text[2 * sizeof(key) + 2];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return err_set(e, "the kernel gives no random bytes: %s", strerror(errno));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(e,
			"%s: is there already and is never overwritten; remove it first if it is to be replaced on "
			"both nodes",
			path);
	if (fd < 0)
		return err_set(e, "%s: cannot be made: %s", path, strerror(errno));
	for (size_t i = 0; i < sizeof(key); i++)
		snprintf(text + 2 * i, 3, "%02x", key[i]);
	text[sizeof(text) - 2] = '\n';
	/* the mode again: a umask can only have taken bits away, but 0600 is what was promised */
	if (fchmod(fd, 0600) || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1 || fsync(fd)) {
		err_set(e, "%s: cannot be written: %s", path, strerror(errno));
		unlink(path);
		explicit_bzero(key, sizeof(key));
		explicit_bzero(text, sizeof(text));
		return -1;
	}
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	return 0;
}
