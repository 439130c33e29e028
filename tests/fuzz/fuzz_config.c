/* fuzz_config.c - hactl.conf from a stranger: any bytes, taken as the file. libFuzzer, clang:
 *   clang -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/fuzz_config.c \
 *     $(find hactl/config -name "*.c") hactl/base/{clock,file,text,types}.c -lconfig -lcrypto -lm
 * Start it with conf/hactl.conf, conf/hifate/hactl.conf and tests/unit/test_config_contract.conf in the corpus.
 * A configuration that is taken is used as its readers use it: every list walked, every string ended.
 */
#include "hactl/config/config.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 loses the text it has scanned but not yet taken when a syntax error follows it: `a = 5 "x"`. */
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\nleak:libconfig_yylex";
}

static void told(void *arg, const char *file, int line, const char *sentence)
{
	int *n = arg;

	if (!file || line < 1 || !*sentence || strchr(sentence, '\n'))
		abort(); /* every mistake is one line that says where */
	++*n;
}

#define ENDED(text)                                                                                                    \
	do {                                                                                                           \
		if (!memchr((text), '\0', sizeof(text)))                                                               \
			abort();                                                                                       \
	} while (0)

static void use(const struct conf *c)
{
	ENDED(c->cluster);
	for (int i = 0; i < NODES; i++) {
		ENDED(c->node[i].name);
		ENDED(c->node[i].mysql.password);
		if (!*c->node[i].address || conf_node_by_name(c, c->node[i].name) != i)
			abort();
	}
	for (int i = 0; i < c->n_vips; i++)
		if (!c->vip[i].prefix_len || !*conf_vip_interface(c, 0, i) || !*conf_vip_interface(c, 1, i))
			abort();
	for (int i = 0; i < c->n_probes; i++)
		if (!c->probe[i].line || c->probe[i].fall < 1 || c->probe[i].interval <= 0)
			abort();
	for (int i = 0; i < c->n_upstreams; i++) {
		const struct conf_upstream *u = &c->upstream[i];

		if (u->probe >= c->n_probes || u->n_servers < 1 || u->n_servers > CONF_MAX_SERVERS)
			abort();
		for (int j = 0; j < u->n_servers; j++)
			if (u->servers[j].node < 0 || u->servers[j].node >= NODES || u->servers[j].weight < 1)
				abort();
	}
	if (c->lease * 8 < 30 * c->heartbeat_interval)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("hactl.conf", MFD_CLOEXEC), mistakes = 0;
	struct conf *c;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	c = conf_load(path, told, &mistakes);
	if (!c != (mistakes > 0)) /* a configuration, or at least one reason why not */
		abort();
	if (c)
		use(c);
	conf_free(c);
	close(fd);
	return 0;
}
