/* value.c - the text of one value into its field, with a sentence when it is not what it should be. */
#include "hactl/config/schema.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/stat.h>

typedef int text_fn(const struct key *k, const char *text, void *at, struct draft *d, struct err *e);

/* --- helpers ------------------------------------------------------------------------------------------------------- */

static int store(const struct key *k, const char *text, void *at, struct err *e)
{
	if (!k->size || str_copy(at, k->size, text))
		return 0;
	*(char *)at = '\0';
	return err_set(e, "\"%.40s…\" is %zu characters long; at most %zu fit", text, strlen(text), k->size - 1);
}

static bool all_in(const char *text, int (*is)(int), const char *also)
{
	for (; *text; text++)
		if (!(isascii((unsigned char)*text) && is((unsigned char)*text)) && !strchr(also, *text))
			return false;
	return true;
}

int address_family(const char *text)
{
	struct in6_addr a;

	return inet_pton(AF_INET, text, &a) == 1 ? AF_INET : inet_pton(AF_INET6, text, &a) == 1 ? AF_INET6 : 0;
}

bool address_equal(const char *a, const char *b)
{
	int family = address_family(a);
	struct in6_addr x = { 0 }, y = { 0 };

	if (!family || family != address_family(b))
		return false;
	inet_pton(family, a, &x);
	inet_pton(family, b, &y);
	return !memcmp(&x, &y, sizeof(x));
}

/* Canonical text of a unicast address; out may be NULL. */
static int unicast(const char *text, char out[64], struct err *e)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) == 1) {
		uint32_t host = ntohl(four.s_addr);

		if (!host || host >= 0xe0000000u)
			return err_set(e, "\"%s\" is no address of a host; write one such as \"10.77.0.1\"", text);
		if (out)
			inet_ntop(AF_INET, &four, out, 64);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &six) != 1)
		return err_set(e,
			"\"%s\" is not a numeric IPv4 or IPv6 address; write one such as \"10.77.0.1\" or \"fd00::1\" "
			"(host names are not looked up)",
			text);
	if (IN6_IS_ADDR_UNSPECIFIED(&six) || IN6_IS_ADDR_MULTICAST(&six))
		return err_set(e, "\"%s\" is no address of a host; write one such as \"fd00::1\"", text);
	if (IN6_IS_ADDR_V4MAPPED(&six))
		return err_set(e, "\"%s\" is an IPv4 address in IPv6 clothes; write the IPv4 address itself", text);
	if (IN6_IS_ADDR_LINKLOCAL(&six))
		return err_set(e,
			"\"%s\" is a link-local address, which means nothing without an interface; write a global or a "
			"unique local one",
			text);
	if (out)
		inet_ntop(AF_INET6, &six, out, 64);
	return 0;
}

static int number(const char *text, int most)
{
	int n = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || n > most)
			return -1;
		n = n * 10 + (*text - '0');
	}
	return n > most ? -1 : n;
}

int host_port_split(const char *text, char *host, size_t size, int *port)
{
	const char *end = *text == '[' ? strchr(text, ']') : text + strcspn(text, ":"), *start = text;
	size_t n;

	if (!end)
		return -1;
	if (*text == '[')
		start++;
	n = (size_t)(end - start);
	if (!n || n >= size)
		return -1;
	memcpy(host, start, n);
	host[n] = '\0';
	end += *end == ']';
	*port = -1;
	if (!*end)
		return 0;
	if (*end != ':')
		return -1;
	*port = number(end + 1, 65535);
	return *port > 0 ? 0 : -1;
}

/* A numeric address in the brackets that IPv6 needs here, or a host name (RFC 1123). */
static bool host_good(const char *text, const char *host)
{
	size_t n = strlen(host);

	if (*text == '[')
		return address_family(host) == AF_INET6;
	if (address_family(host) == AF_INET)
		return true;
	if (all_in(host, isdigit, ".")) /* what looks like an address and is none: "10.77.0.300" */
		return false;
	return n < 254 && all_in(host, isalnum, "-._") && isalnum((unsigned char)host[0]) && host[n - 1] != '-';
}

/* --- one function a kind ------------------------------------------------------------------------------------------------ */

static int parse_duration(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char lo[32], hi[32];
	us_t us;

	(void)d;
	if (duration_parse(text, &us, e))
		return -1;
	if (us >= k->min && us <= k->max) {
		*(us_t *)at = us;
		return 0;
	}
	duration_text(k->min, lo);
	duration_text(k->max, hi);
	return err_set(e, "\"%s\" is out of range; write a duration from \"%s\" to \"%s\"", text, lo, hi);
}

static int parse_word(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char list[256] = "";
	size_t len = 0;

	(void)d;
	for (int i = 0; i < k->n_words; i++) {
		str_add(list, sizeof(list), &len, "%s\"%s\"",
			!i		     ? ""
			: i + 1 < k->n_words ? ", "
					     : " or ",
			k->words[i]);
		if (strcmp(k->words[i], text))
			continue;
		if (k->size != sizeof(int))
			return store(k, text, at, e);
		*(int *)at = i;
		return 0;
	}
	return err_set(e, "\"%.64s\" is not known; write %s", text, list);
}

static int parse_text(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (!*text && k->required)
		return err_set(e, "is empty; write something such as %s", k->example);
	return store(k, text, at, e);
}

static int parse_name(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (!*text || !all_in(text, isalnum, "._-"))
		return err_set(e, "\"%.64s\" is not a name; write letters, digits, '.', '_' and '-', such as %s", text,
			k->example);
	return store(k, text, at, e);
}

static int parse_path(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (*text != '/')
		return err_set(e, "\"%.64s\" is not an absolute path; write one such as %s", text, k->example);
	return store(k, text, at, e);
}

static int parse_socket(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	if (strlen(text) > 107) /* sockaddr_un.sun_path, unix(7) */
		return err_set(e, "\"%.40s…\" is %zu characters long; the path of a socket has at most 107", text,
			strlen(text));
	return parse_path(k, text, at, d, e);
}

static int parse_interface(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (strlen(text) > 15) /* IFNAMSIZ */
		return err_set(e, "\"%.40s\" is %zu characters long; the name of an interface has at most 15", text,
			strlen(text));
	if (!*text || !strcmp(text, ".") || !strcmp(text, "..") || !all_in(text, isgraph, "") || strpbrk(text, "/:"))
		return err_set(
			e, "\"%.40s\" cannot be the name of an interface; write one such as %s", text, k->example);
	return store(k, text, at, e);
}

static int parse_address(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char canonical[64];

	(void)d;
	return unicast(text, canonical, e) ? -1 : store(k, canonical, at, e);
}

static int parse_cidr(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	struct conf_vip *v = (struct conf_vip *)((char *)at - offsetof(struct conf_vip, address));
	const char *slash = strchr(text, '/');
	char host[64], canonical[64];
	int most, length;

	(void)d;
	str_copy(host, slash && slash - text < 63 ? (size_t)(slash - text) + 1 : sizeof(host), text);
	if (unicast(host, canonical, e))
		return -1;
	most = address_family(canonical) == AF_INET ? 32 : 128;
	if (!slash)
		return err_set(e, "\"%.64s\" has no prefix length; write that of its network, such as \"%.64s/%d\"",
			text, text, most == 32 ? 24 : 64);
	length = number(slash + 1, most);
	if (length < 1)
		return err_set(e, "\"%.64s\" has no valid prefix length; write 1 to %d after the slash", text, most);
	v->family = address_family(canonical);
	v->prefix_len = length;
	return store(k, canonical, at, e);
}

static int parse_host_port(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char host[256];
	int port;

	(void)d;
	if (host_port_split(text, host, sizeof(host), &port) || port < 0 || !host_good(text, host))
		return err_set(e,
			"\"%.64s\" is not host:port; write %s (an IPv6 address in brackets, the port from 1 to 65535)",
			text, k->example);
	return store(k, text, at, e);
}

static int parse_listen(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char host[256];
	int port;

	(void)d;
	if (host_port_split(text, host, sizeof(host), &port) || port < 0 || !address_family(host))
		return err_set(e, "\"%.64s\" is not a numeric address and a port; write %s, or \"[::1]:7980\"", text,
			k->example);
	return store(k, text, at, e);
}

static int parse_server(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char host[256];
	int port;

	(void)d;
	if (str_starts(text, "unix:/") && all_in(text, isgraph, "") && !strpbrk(text, ";{}\"'\\#"))
		return store(k, text, at, e);
	if (host_port_split(text, host, sizeof(host), &port) || !host_good(text, host))
		return err_set(e, "\"%.64s\" is not a server as nginx writes it; copy it from the file, such as %s",
			text, k->example);
	return store(k, text, at, e);
}

int endpoint_host(const char *url, char *host, size_t size)
{
	const char *rest = str_starts(url, "https://") ? url + 8 : str_starts(url, "http://") ? url + 7 : NULL;
	int port;

	if (!rest || host_port_split(rest, host, size, &port) || port < 0 || !host_good(rest, host))
		return -1;
	return 0;
}

static int parse_endpoint(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char host[256];

	(void)d;
	if (endpoint_host(text, host, sizeof(host)))
		return err_set(e,
			"\"%.64s\" is not an etcd client address; write \"http://10.77.0.9:2379\", or https, with the "
			"port and nothing after it",
			text);
	return store(k, text, at, e);
}

static int parse_url(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (*text && ((!str_starts(text, "http://") && !str_starts(text, "https://")) || !all_in(text, isgraph, "")))
		return err_set(e, "\"%.64s\" is not a URL; write one such as %s", text, k->example);
	return store(k, text, at, e);
}

static int parse_prefix(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (*text != '/' || !all_in(text, isgraph, ""))
		return err_set(e, "\"%.64s\" does not start with '/' or holds a blank; write something such as %s",
			text, k->example);
	return store(k, text, at, e);
}

/* "200-399,401": three-digit statuses and rising ranges of them. */
static bool statuses_good(const char *s)
{
	for (;;) {
		int from, to, used = 0;

		if (sscanf(s, "%3d%n", &from, &used) != 1 || used != 3 || !isdigit((unsigned char)*s) || from < 100)
			return false;
		s += used;
		if (*s == '-') {
			if (!isdigit((unsigned char)s[1]) || sscanf(s + 1, "%3d%n", &to, &used) != 1 || used != 3 ||
				to < from || to > 599)
				return false;
			s += 1 + used;
		}
		if (!*s)
			return from <= 599;
		if (*s++ != ',' || from > 599)
			return false;
	}
}

static int parse_statuses(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (!statuses_good(text))
		return err_set(e, "\"%.64s\" is not a list of HTTP statuses; write \"200\" or \"200-399,401\"", text);
	return store(k, text, at, e);
}

/* --- secrets --------------------------------------------------------------------------------------------------------- */

static int read_private(const char *path, char *out, size_t size, struct err *e)
{
	struct stat st;

	if (!stat(path, &st) && !S_ISREG(st.st_mode)) /* a FIFO would hold the open for ever */
		return err_set(e, "%s: is not a regular file", path);
	return secret_read(path, out, size, e);
}

static int parse_secret(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)d;
	if (*text != '/')
		return err_set(e, "\"%.64s\" is not an absolute path; write one such as %s", text, k->example);
	return read_private(text, at, k->size, e);
}

static int parse_private(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	struct stat st;

	if (*text == '/' && stat(text, &st))
		return err_set(e, "%s: cannot be opened: %m", text);
	if (*text == '/' && !S_ISREG(st.st_mode))
		return err_set(e, "%s: is not a regular file", text);
	if (*text == '/' && st.st_mode & 077)
		return err_set(e, "%s: mode %04o lets others read a private key; run: chmod 0600 %s", text,
			st.st_mode & 07777u, text);
	return parse_path(k, text, at, d, e);
}

static int parse_key(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	char hex[256] = "";
	int rc = -1;

	if (*text != '/')
		return err_set(e, "\"%.64s\" is not an absolute path; write one such as %s", text, k->example);
	if (read_private(text, hex, sizeof(hex), e))
		return -1;
	if (strlen(hex) != 2 * sizeof(d->conf.key) || !all_in(hex, isxdigit, ""))
		err_set(e,
			"%s: is not a cluster key, which is 64 hexadecimal digits; write one with: hactl keygen FILE",
			text);
	else
		rc = store(k, text, at, e);
	for (size_t i = 0; !rc && i < sizeof(d->conf.key); i++)
		sscanf(hex + 2 * i, "%2hhx", &d->conf.key[i]);
	explicit_bzero(hex, sizeof(hex));
	return rc;
}

/* --- names of other things --------------------------------------------------------------------------------------------- */

static int parse_node(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	int i = conf_node_by_name(&d->conf, text);

	(void)k;
	if (i == NOBODY)
		return err_set(e, "there is no node \"%.64s\"; write the name of one of nodes", text);
	*(int *)at = i;
	return 0;
}

static int parse_probe(const struct key *k, const char *text, void *at, struct draft *d, struct err *e)
{
	(void)k;
	for (int i = 0; i < d->conf.n_probes; i++) {
		if (strcmp(d->conf.probe[i].name, text))
			continue;
		*(int *)at = i;
		return 0;
	}
	return err_set(e, "there is no probe \"%.64s\"; write the name of one of probes, or add it there", text);
}

static const struct {
	text_fn *parse; /* NULL: not written between quotes */
	const char *wanted;
} kinds[] = {
	[KIND_BOOL] = { NULL, "true or false" },
	[KIND_INT] = { NULL, "a whole number" },
	[KIND_DURATION] = { parse_duration, "a duration in quotes" },
	[KIND_WORD] = { parse_word, "a word in quotes" },
	[KIND_TEXT] = { parse_text, "a text in quotes" },
	[KIND_NAME] = { parse_name, "a name in quotes" },
	[KIND_PATH] = { parse_path, "a path in quotes" },
	[KIND_SOCKET] = { parse_socket, "a path in quotes" },
	[KIND_COMMAND] = { parse_text, "a command in quotes" },
	[KIND_INTERFACE] = { parse_interface, "an interface's name in quotes" },
	[KIND_ADDRESS] = { parse_address, "an address in quotes" },
	[KIND_CIDR] = { parse_cidr, "an address with its prefix length in quotes" },
	[KIND_HOST_PORT] = { parse_host_port, "host:port in quotes" },
	[KIND_LISTEN] = { parse_listen, "an address and port in quotes" },
	[KIND_SERVER] = { parse_server, "an address and port in quotes" },
	[KIND_ENDPOINT] = { parse_endpoint, "a URL in quotes" },
	[KIND_URL] = { parse_url, "a URL in quotes" },
	[KIND_PREFIX] = { parse_prefix, "a path in quotes" },
	[KIND_STATUSES] = { parse_statuses, "HTTP statuses in quotes" },
	[KIND_SECRET] = { parse_secret, "a file's path in quotes" },
	[KIND_PRIVATE] = { parse_private, "a file's path in quotes" },
	[KIND_KEY] = { parse_key, "a file's path in quotes" },
	[KIND_NODE] = { parse_node, "a node's name in quotes" },
	[KIND_PROBE] = { parse_probe, "a probe's name in quotes" },
	[KIND_GROUP] = { NULL, "a group { … }" },
	[KIND_GROUPS] = { NULL, "a list of groups ( { … } )" },
	[KIND_VALUES] = { NULL, "a list ( \"…\" )" },
	[KIND_LINKS] = { NULL, "a list of pairs ( (\"…\", \"…\") )" },
};
_Static_assert(ARRAY_LEN(kinds) == KIND_COUNT, "every kind has its row");

const char *kind_wanted(enum kind kind)
{
	return kinds[kind].wanted;
}

bool kind_is_text(enum kind kind)
{
	return kinds[kind].parse;
}

int value_parse(const struct key *k, enum kind kind, const char *text, void *at, struct draft *d, struct err *e)
{
	for (const char *p = text; *p; p++)
		if (iscntrl((unsigned char)*p))
			return err_set(e, "holds a control character (byte %d); is a closing quote missing?",
				(unsigned char)*p);
	return kinds[kind].parse(k, text, at, d, e);
}
