/* schema.h - the shape of hactl.conf as data: what schema.c says, walk.c enforces, digest.c dumps and the manual page follows.
 *
 * Inside this room only (and its tests). Values are gathered in a struct draft, of which conf_load hands out the conf.
 */
#ifndef HACTL_CONFIG_SCHEMA_H
#define HACTL_CONFIG_SCHEMA_H

#include "hactl/config/config.h"

#include <libconfig.h>

struct draft {
	struct conf conf;
	struct conf_mysql mysql; /* as written at the top; conf.node[] holds it merged with the node's own */
	struct conf_redis redis;
};

enum kind {
	KIND_BOOL,	/* bool */
	KIND_INT,	/* int, min..max */
	KIND_DURATION,	/* us_t, min..max, "100ms" */
	KIND_WORD,	/* an int enum (size of int) or the word itself (a char array): one of words */
	KIND_TEXT,	/* any text without control characters */
	KIND_NAME,	/* letters, digits, . _ - */
	KIND_PATH,	/* absolute */
	KIND_SOCKET,	/* absolute, fits in sockaddr_un */
	KIND_COMMAND,	/* for /bin/sh -c; "" = none unless required */
	KIND_INTERFACE, /* network interface */
	KIND_ADDRESS,	/* numeric IPv4 or IPv6, stored canonically */
	KIND_CIDR,	/* a struct conf_vip's address, family and prefix_len */
	KIND_HOST_PORT, /* name or address, and port */
	KIND_LISTEN,	/* numeric address and port */
	KIND_SERVER,	/* as nginx writes a server: host, host:port, unix:/path */
	KIND_ENDPOINT,	/* http(s)://host:port */
	KIND_URL,	/* http(s)://…; "" = none */
	KIND_PREFIX,	/* starts with / */
	KIND_STATUSES,	/* "200-399,401" */
	KIND_SECRET,	/* path of a private file whose one line is stored */
	KIND_PRIVATE,	/* path of a private file; the path is stored */
	KIND_KEY,	/* the cluster key: path stored, content goes to conf.key */
	KIND_NODE,	/* int: index of the node so named */
	KIND_PROBE,	/* int: index of the probe so named, -1 none */
	KIND_GROUP,	/* { … } */
	KIND_GROUPS,	/* ( { … }, … ) */
	KIND_VALUES,	/* ( "…", … ) of kind item */
	KIND_LINKS,	/* ( ("…", "…"), … ) addresses, in the order of nodes */
	KIND_COUNT
};

struct key {
	const char *name;
	enum kind kind;
	size_t offset, size;	  /* in the struct of its group; size of one element for lists; size 0: kept nowhere */
	const char *fallback;	  /* the default as one would write it; NULL: empty, zero, false */
	int64_t min, max;	  /* KIND_INT; KIND_DURATION in us; lists: fewest and most elements */
	const char *const *words; /* KIND_WORD */
	int n_words;
	const struct schema *group; /* KIND_GROUP, KIND_GROUPS */
	enum kind item;		    /* KIND_VALUES */
	size_t count;		    /* lists: offset of the int that counts them */
	bool counted;		    /* lists: count is there */
	size_t present;		    /* KIND_GROUP: offset of the bool that says it was written */
	bool marked;		    /* KIND_GROUP: present is there */
	bool required;
	bool local;	      /* may differ between the nodes: not in the digest */
	const char *example;  /* what to write instead */
	const char *sentence; /* what it means */
};

struct schema {
	const char *path; /* "heartbeat", "upstreams.servers"; "" the file itself */
	const struct key *keys;
	size_t n;
};

extern const struct schema schema_file;

/* --- mistakes: gathered, sorted by line, handed out once ----------------------------------------------------------- */
struct mistake {
	int line;
	char *sentence;
};
struct mistakes {
	struct mistake *list;
	size_t n, cap;
};
void mistake_add(struct mistakes *m, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void mistakes_tell(struct mistakes *m, const char *file, conf_mistake_fn *fn, void *arg); /* and empties m */

/* --- values (value.c) ---------------------------------------------------------------------------------------------- */
/* Parses text into at (the struct's field); e gets the rest of a sentence that starts with the key's name. */
int value_parse(const struct key *k, enum kind kind, const char *text, void *at, struct draft *d, struct err *e);
const char *kind_wanted(enum kind kind); /* "a whole number" */
bool kind_is_text(enum kind kind);	 /* written between quotes */
/* Host and port of "host:port" or "[v6]:port"; port -1 when none is written. -1 when it is neither. */
int host_port_split(const char *text, char *host, size_t size, int *port);
/* Host of "http://host:port". */
int endpoint_host(const char *url, char *host, size_t size);
bool address_equal(const char *a, const char *b); /* numerically; false unless both are addresses */
int address_family(const char *text);		  /* AF_INET, AF_INET6, or 0: not numeric */

/* --- the walk (walk.c) --------------------------------------------------------------------------------------------- */
struct walk {
	struct draft *draft;
	struct mistakes *mistakes;
	bool partial; /* a syntax error cut the file short: what is missing is no mistake */
};
void walk_file(struct walk *w, const config_setting_t *root);
int setting_line(const config_setting_t *s);		 /* 1 for the file itself */
bool name_close(const char *written, const char *meant); /* a slip of the pen away */

/* --- what no single key can know (check.c) ------------------------------------------------------------------------- */
void check_file(struct walk *w, const config_setting_t *root);
void check_services(struct walk *w, const config_setting_t *root); /* check_services.c: probes, upstreams, databases */

/* --- text before libconfig sees it (source.c) ---------------------------------------------------------------------- */
/* libconfig truncates integers above 32 bits without a word and follows @include: returns a copy (caller frees) in which
 * such integers are marked as 64-bit ones and includes are comments, reported. *open_text: the line of the first text in quotes
 * that spans lines, 0 none: what a missing quote looks like. */
char *source_prepare(const char *text, size_t len, struct mistakes *m, int *open_text);

uint64_t draft_digest(const struct draft *d);
uint32_t draft_section(const struct draft *d, enum conf_section section); /* never 0 */

#endif
