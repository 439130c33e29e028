/* test_config.c - hactl.conf: what is good comes out as written, what is not is named with its line, all in one run. */
#include "tests/unit/test_config.h"

#include <netinet/in.h>

/* The base of the table of mistakes: each row of the table changes one of its lines. */
static const char base_text[] =
	"cluster = \"hifate\";\n"								      /* 1 */
	"nodes = (\n"										      /* 2 */
	"  { name = \"n1\"; address = \"10.77.0.1\"; prefer = true; },\n"			      /* 3 */
	"  { name = \"n2\"; address = \"10.77.0.2\"; }\n"					      /* 4 */
	");\n"											      /* 5 */
	"heartbeat = {\n"									      /* 6 */
	"  port = 7979; interval = \"100ms\";\n"						      /* 7 */
	"  key_file = \"DIR/cluster.key\";\n"							      /* 8 */
	"  links = ( (\"192.168.9.1\", \"192.168.9.2\") );\n"					      /* 9 */
	"};\n"											      /* 10 */
	"authority = {\n"									      /* 11 */
	"  lease = \"1s\";\n"									      /* 12 */
	"  arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };\n"	      /* 13 */
	"};\n"											      /* 14 */
	"vips = ( { address = \"10.77.0.100/24\"; interface = \"eth0\"; } );\n"			      /* 15 */
	"mysql = {\n"										      /* 16 */
	"  user = \"hactl\"; password_file = \"DIR/mysql.pw\";\n"				      /* 17 */
	"  replication_user = \"repl\"; replication_password_file = \"DIR/repl.pw\";\n"		      /* 18 */
	"};\n"											      /* 19 */
	"redis = { password_file = \"DIR/redis.pw\"; };\n"					      /* 20 */
	"probes = (\n"										      /* 21 */
	"  { name = \"web-app\"; type = \"http\"; port = 8001; },\n"				      /* 22 */
	"  { name = \"tts\"; type = \"https\"; address = \"tts.example.com:443\"; }\n"		      /* 23 */
	");\n"											      /* 24 */
	"upstreams = (\n"									      /* 25 */
	"  { name = \"back\"; type = \"nginx\"; file = \"/etc/nginx/x.conf\"; probe = \"web-app\";\n" /* 26 */
	"    servers = (\n"									      /* 27 */
	"      { node = \"n1\"; address = \"10.77.0.1:8001\"; weight = 2; },\n"			      /* 28 */
	"      { node = \"n2\"; address = \"10.77.0.2:8001\"; } ); },\n"			      /* 29 */
	"  { name = \"app\"; type = \"haproxy\"; socket = \"/run/haproxy/admin.sock\"; policy = \"balanced\";\n" /* 30 */
	"    servers = ( { node = \"n1\"; server = \"web1\"; } ); }\n" /* 31 */
	");\n"							       /* 32 */
	"rules = ( { name = \"cpu\"; when = \"cpu > 85%\"; } );\n"     /* 33 */
	"hooks = { on_primary = \"/etc/hactl/hooks/primary\"; };\n"    /* 34 */
	"http = { listen = \"127.0.0.1:7980\"; };\n";		       /* 35 */

struct expect {
	int line;
	const char *phrase;
};

/* A row: in the base, `from` is written as `to`; exactly these mistakes come out. */
static const struct slip {
	const char *from, *to;
	struct expect want[4];
} slips[] = {
	/* unknown keys */
	{ "cluster =", "clutser =", { { 1, "unknown key clutser; did you mean cluster?" } } },
	{ "prefer = true", "prefered = true", { { 3, "unknown key nodes.prefered; did you mean prefer?" } } },
	{ "port = 7979", "colour = 7979", { { 7, "unknown key heartbeat.colour; remove it" } } },
	{ "lease = \"1s\"", "interval = \"1s\"", { { 12, "belongs in heartbeat" } } },
	{ "port = 8001", "prot = 8001", { { 22, "unknown key probes.prot; did you mean port?" } } },
	{ "weight = 2", "wieght = 2", { { 28, "did you mean weight?" } } },
	/* missing keys: the line of the group */
	{ "cluster = \"hifate\";", "", { { 1, "cluster is missing; write cluster = \"hifate\";" } } },
	{ "name = \"n2\"; ", "", { { 4, "nodes.name is missing" }, { 29, "there is no node \"n2\"" } } },
	{ "address = \"10.77.0.2\"; ", "", { { 4, "nodes.address is missing" } } },
	{ "key_file = \"DIR/cluster.key\";", "", { { 6, "heartbeat.key_file is missing" } } },
	{ "endpoints = ( \"http://10.77.0.9:2379\" ); ", "", { { 13, "authority.arbiter.endpoints is missing" } } },
	{ "address = \"10.77.0.100/24\"; ", "", { { 15, "vips.address is missing" } } },
	{ "user = \"hactl\"; password_file = \"DIR/mysql.pw\";", "",
		{ { 16, "mysql.user is missing" }, { 16, "mysql.password_file is missing" } } },
	{ "replication_user = \"repl\"; ", "", { { 16, "mysql.replication_user is missing" } } },
	{ "replication_password_file = \"DIR/repl.pw\";", "",
		{ { 16, "mysql.replication_password_file is missing" } } },
	{ "name = \"web-app\"; type = \"http\"", "name = \"web-app\"", { { 22, "probes.type is missing" } } },
	{ "port = 8001; ", "", { { 22, "probes.port is missing in probe \"web-app\"" } } },
	{ "file = \"/etc/nginx/x.conf\"; ", "", { { 26, "upstreams.file is missing in \"back\"" } } },
	{ "socket = \"/run/haproxy/admin.sock\"; ", "", { { 30, "upstreams.socket is missing in \"app\"" } } },
	{ "address = \"10.77.0.1:8001\"; ", "", { { 28, "upstreams.servers.address is missing" } } },
	{ "server = \"web1\"; ", "", { { 31, "upstreams.servers.server is missing" } } },
	{ "servers = ( { node = \"n1\"; server = \"web1\"; } ); ", "", { { 30, "upstreams.servers is missing" } } },
	{ "when = \"cpu > 85%\"; ", "", { { 33, "rules.when is missing" } } },
	{ "listen = \"127.0.0.1:7980\"; ", "", { { 35, "http.listen is missing" } } },
	/* wrong types */
	{ "\"hifate\"", "5",
		{ { 1, "here stands the number 5, but a name in quotes is wanted; write cluster = \"hifate\"" } } },
	{ "prefer = true", "prefer = \"yes\"", { { 3, "here stands the text \"yes\", but true or false is wanted" } } },
	{ "prefer = true", "prefer = 1", { { 3, "here stands the number 1, but true or false" } } },
	{ "port = 7979", "port = \"7979\"", { { 7, "but a whole number is wanted; write port = 7979;" } } },
	{ "port = 7979", "port = 7979.5", { { 7, "here stands the number 7979.5, but a whole number" } } },
	{ "hooks = { on_primary = \"/etc/hactl/hooks/primary\"; }", "hooks = \"x\"", { { 34, "but a group" } } },
	{ "vips = ( { address = \"10.77.0.100/24\"; interface = \"eth0\"; } )", "vips = \"10.77.0.100/24\"",
		{ { 15, "but a list of groups" } } },
	{ "vips = ( { address = \"10.77.0.100/24\"; interface = \"eth0\"; } )", "vips = ( \"10.77.0.100/24\" )",
		{ { 15, "vips: here stands the text \"10.77.0.100/24\", but a group" } } },
	{ "( \"http://10.77.0.9:2379\" )", "\"http://10.77.0.9:2379\"", { { 13, "but a list" } } },
	{ "( \"http://10.77.0.9:2379\" )", "( 2379 )", { { 13, "here stands the number 2379, but a list" } } },
	{ "( (\"192.168.9.1\", \"192.168.9.2\") )", "(\"192.168.9.1\", \"192.168.9.2\")",
		{ { 9, "a link is a pair" }, { 9, "a link is a pair" } } },
	/* durations */
	{ "interval = \"100ms\"", "interval = 100",
		{ { 7, "100 has no unit; write it in quotes with ms, s, m, h or d" } } },
	{ "interval = \"100ms\"", "interval = 0.1", { { 7, "0.1 has no unit" } } },
	{ "interval = \"100ms\"", "interval = \"100\"", { { 7, "\"100\" has no unit" } } },
	{ "interval = \"100ms\"", "interval = \"fast\"", { { 7, "\"fast\" is not a duration" } } },
	{ "interval = \"100ms\"", "interval = \"100 parsecs\"", { { 7, "unknown unit" } } },
	{ "interval = \"100ms\"", "interval = true", { { 7, "here stands true, but a duration in quotes" } } },
	/* ranges */
	{ "port = 7979", "port = 0", { { 7, "0 is out of range; write a number from 1 to 65535" } } },
	{ "port = 7979", "port = 65536", { { 7, "65536 is out of range" } } },
	{ "port = 7979", "port = -1", { { 7, "-1 is out of range" } } },
	{ "port = 7979", "port = 4294967297", { { 7, "4294967297 is out of range" } } },
	{ "port = 7979", "port = 0x100001F2B", { { 7, "4294975275 is out of range" } } },
	{ "port = 7979", "port = -4294959317", { { 7, "-4294959317 is out of range" } } },
	{ "port = 7979", "port = 99999999999999999999999", { { 7, "is out of range" } } },
	{ "interval = \"100ms\"", "interval = \"9ms\"", { { 7, "write a duration from \"10ms\" to \"10s\"" } } },
	{ "lease = \"1s\"", "lease = \"199ms\"", { { 12, "write a duration from \"200ms\" to \"1m\"" } } },
	{ "lease = \"1s\"", "lease = \"61s\"", { { 12, "out of range" } } },
	{ "weight = 2", "weight = 257", { { 28, "1 to 256" } } },
	{ "weight = 2", "weight = 0", { { 28, "1 to 256" } } },
	{ "port = 8001; }", "port = 8001; fall = 0; rise = 101; }",
		{ { 22, "fall: 0 is out" }, { 22, "rise: 101 is out" } } },
	/* words */
	{ "type = \"http\"", "type = \"htttp\"",
		{ { 22, "write \"http\", \"https\", \"grpc\", \"tcp\", \"mysql\", \"redis\" or \"exec\"" } } },
	{ "lease = \"1s\"", "enforce = \"nftables\"", { { 12, "write \"nft\", \"address\" or \"none\"" } } },
	{ "policy = \"balanced\"", "policy = \"fair\"",
		{ { 30, "\"active-backup\", \"balanced\" or \"dynamic\"" }, { 31, "no server on node n2" } } },
	{ "redis = {", "redis = { semi_sync = \"auto\";",
		{ { 20, "unknown key redis.semi_sync; a key of this name belongs in mysql" } } },
	{ "when = \"cpu > 85%\"", "when = \"cpu > 85%\"; level = \"loud\"",
		{ { 33, "\"info\", \"warning\" or \"critical\"" } } },
	/* nodes */
	{ "name = \"n2\"", "name = \"n1\"",
		{ { 4, "\"n1\" names the other node already" }, { 29, "there is no node \"n2\"" } } },
	{ "10.77.0.2\"; }\n)", "10.77.0.1\"; }\n)", { { 4, "\"10.77.0.1\" is the other node's address already" } } },
	{ "10.77.0.2\"; }\n)", "fd00::2\"; }\n)", { { 4, "one node has an IPv4 and the other an IPv6 address" } } },
	{ "10.77.0.2\"; }\n)", "10.77.0.2\"; prefer = true; }\n)", { { 4, "both nodes are preferred" } } },
	{ "  { name = \"n2\"; address = \"10.77.0.2\"; }\n)",
		"  { name = \"n2\"; address = \"10.77.0.2\"; },{ name = \"n3\"; address = \"10.77.0.3\"; }\n)",
		{ { 4, "this is number 3 of 3, and at most 2 fit" } } },
	{ "prefer = true; },\n  { name = \"n2\"; address = \"10.77.0.2\"; }\n)", "prefer = true; }\n\n)",
		{ { 2, "nodes: has 1 where 2 are needed" }, { 29, "there is no node \"n2\"" } } },
	{ "name = \"n1\"; address", "name = \"n 1\"; address",
		{ { 3, "\"n 1\" is not a name" }, { 28, "there is no node \"n1\"" },
			{ 31, "there is no node \"n1\"" } } },
	{ "prefer = true", "interface = \"averylonginterface\"",
		{ { 3, "18 characters long; the name of an interface has at most 15" } } },
	{ "prefer = true", "interface = \"eth/0\"", { { 3, "cannot be the name of an interface" } } },
	{ "prefer = true", "mysql = { socket = \"mysqld.sock\"; }",
		{ { 3, "nodes.mysql.socket: \"mysqld.sock\" is not an absolute path" } } },
	{ "prefer = true", "redis = { max_lag = \"1s\"; }", { { 3, "unknown key nodes.redis.max_lag" } } },
	{ "redis = { password_file = \"DIR/redis.pw\"; };\n", "\n", { { 0, NULL } } }, /* redis may be left out */
	{ "prefer = true", "redis = { port = 70000; }", { { 3, "70000 is out of range" } } },
	/* addresses */
	{ "10.77.0.1\"; prefer", "10.77.0.300\"; prefer",
		{ { 3, "\"10.77.0.300\" is not a numeric IPv4 or IPv6 address" } } },
	{ "10.77.0.1\"; prefer", "10.77.1\"; prefer", { { 3, "is not a numeric" } } },
	{ "10.77.0.1\"; prefer", "db1.example.com\"; prefer", { { 3, "host names are not looked up" } } },
	{ "10.77.0.1\"; prefer", "0.0.0.0\"; prefer", { { 3, "is no address of a host" } } },
	{ "10.77.0.1\"; prefer", "239.1.1.1\"; prefer", { { 3, "is no address of a host" } } },
	{ "10.77.0.1\"; prefer", "fe80::1\"; prefer", { { 3, "link-local" } } },
	{ "10.77.0.1\"; prefer", "::ffff:10.77.0.1\"; prefer", { { 3, "IPv4 address in IPv6 clothes" } } },
	{ "10.77.0.1\"; prefer", "ff02::1\"; prefer", { { 3, "is no address of a host" } } },
	{ "10.77.0.100/24", "10.77.0.100",
		{ { 15, "has no prefix length; write that of its network, such as \"10.77.0.100/24\"" } } },
	{ "10.77.0.100/24", "10.77.0.100/33", { { 15, "write 1 to 32 after the slash" } } },
	{ "10.77.0.100/24", "10.77.0.100/", { { 15, "write 1 to 32" } } },
	{ "10.77.0.100/24", "10.77.0.100/2x", { { 15, "write 1 to 32" } } },
	{ "10.77.0.100/24", "fd00::100/129", { { 15, "write 1 to 128" } } },
	{ "10.77.0.100/24", "vip/24", { { 15, "\"vip\" is not a numeric" } } },
	{ "10.77.0.100/24", "10.77.0.1/24", { { 15, "is node n1's own address" } } },
	{ "10.77.0.100/24", "192.168.9.2/24", { { 15, "is node n2's own address" } } },
	{ "interface = \"eth0\"; } )",
		"interface = \"eth0\"; }, { address = \"10.77.0.100/32\"; interface = \"eth1\"; } )",
		{ { 15, "\"10.77.0.100\" stands twice" } } },
	{ "; interface = \"eth0\"", "", { { 15, "vips.interface is missing" } } },
	{ "127.0.0.1:7980", "127.0.0.1", { { 35, "is not a numeric address and a port" } } },
	{ "127.0.0.1:7980", "localhost:7980", { { 35, "is not a numeric address and a port" } } },
	{ "127.0.0.1:7980", "127.0.0.1:79800", { { 35, "is not a numeric address and a port" } } },
	{ "tts.example.com:443", "tts.example.com", { { 23, "is not host:port" } } },
	{ "tts.example.com:443", "tts.example.com:0", { { 23, "is not host:port" } } },
	{ "tts.example.com:443", "tts example:443", { { 23, "is not host:port" } } },
	{ "tts.example.com:443", "fd00::1:443", { { 23, "an IPv6 address in brackets" } } },
	{ "http://10.77.0.9:2379", "10.77.0.9:2379", { { 13, "is not an etcd client address" } } },
	{ "http://10.77.0.9:2379", "http://10.77.0.9", { { 13, "is not an etcd client address" } } },
	{ "http://10.77.0.9:2379", "http://10.77.0.9:2379/v3", { { 13, "nothing after it" } } },
	{ "http://10.77.0.9:2379", "http://10.77.0.900:2379", { { 13, "is not an etcd client address" } } },
	/* links */
	{ "\"192.168.9.1\", \"192.168.9.2\"", "\"192.168.9.1\"", { { 9, "a link is a pair of addresses" } } },
	{ "\"192.168.9.1\", \"192.168.9.2\"", "\"192.168.9.1\", \"fd00::1\"",
		{ { 9, "one end is an IPv4 and the other an IPv6" } } },
	{ "\"192.168.9.1\", \"192.168.9.2\"", "\"192.168.9.1\", \"192.168.9.1\"", { { 9, "both ends are" } } },
	{ "\"192.168.9.1\", \"192.168.9.2\"", "\"10.77.0.1\", \"192.168.9.2\"",
		{ { 9, "\"10.77.0.1\" is a path of node n1 already" } } },
	{ "\"192.168.9.1\", \"192.168.9.2\"", "\"192.168.9.1\", \"nine\"", { { 9, "\"nine\" is not a numeric" } } },
	{ "( (\"192.168.9.1\", \"192.168.9.2\") )",
		"( (\"1.0.0.1\",\"1.0.0.2\"), (\"2.0.0.1\",\"2.0.0.2\"), (\"3.0.0.1\",\"3.0.0.2\"), "
		"(\"4.0.0.1\",\"4.0.0.2\"),\n(\"5.0.0.1\",\"5.0.0.2\") )",
		{ { 10, "this is number 5 of 5, and at most 4 fit" } } },
	/* secrets */
	{ "DIR/mysql.pw", "DIR/none.pw", { { 17, "none.pw: cannot be opened: No such file" } } },
	{ "DIR/mysql.pw", "DIR/open.pw", { { 17, "open.pw: mode 0640 lets others read a secret; run: chmod 0600" } } },
	{ "DIR/mysql.pw", "DIR/empty.pw", { { 17, "empty.pw: is empty" } } },
	{ "DIR/mysql.pw", "mysql.pw", { { 17, "\"mysql.pw\" is not an absolute path" } } },
	{ "DIR/mysql.pw", "DIR", { { 17, "is not a regular file" } } },
	{ "DIR/mysql.pw", "DIR/etcd-key.pem", { { 17, "must hold one line" } } },
	{ "DIR/repl.pw", "DIR/open.pw", { { 18, "replication_password_file" } } },
	{ "DIR/redis.pw", "DIR/open.pw", { { 20, "redis.password_file" } } },
	{ "DIR/cluster.key", "DIR/none.key", { { 8, "cannot be opened" } } },
	{ "DIR/cluster.key", "DIR/open.pw", { { 8, "chmod 0600" } } },
	{ "DIR/cluster.key", "DIR/short.key", { { 8, "is not a cluster key, which is 64 hexadecimal digits" } } },
	{ "DIR/cluster.key", "DIR/long.key", { { 8, "is not a cluster key" } } },
	{ "DIR/cluster.key", "DIR/text.key", { { 8, "is not a cluster key" } } },
	{ "password_file = \"DIR/redis.pw\"", "user = \"hactl\"", { { 20, "redis.user: needs password_file" } } },
	/* authority */
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };", "",
		{ { 11, "nobody decides who may be primary; write exactly one of" } } },
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };", "manual = false;",
		{ { 11, "nobody decides" } } },
	{ "lease = \"1s\";", "manual = true;", { { 13, "arbiter is a second authority beside manual" } } },
	{ "timeout = \"300ms\"; };", "timeout = \"300ms\"; };\n  fence = { command = \"/bin/true\"; };",
		{ { 14, "fence is a second authority beside arbiter" } } },
	{ "lease = \"1s\";", "manual = false;", { { 0, NULL } } },
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };", "reference = ();",
		{ { 13, "authority.reference: has 0 where at least 1 is needed" } } },
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
		"reference = ( \"10.77.0.2\", \"10.77.0.100\", \"10.77.0.254\", \"10.77.0.254\" );",
		{ { 13, "node n2's own address" }, { 13, "is a virtual address" }, { 13, "stands twice" } } },
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
		"fence = { timeout = \"5s\"; };", { { 13, "authority.fence.command is missing" } } },
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
		"fence = { command = \"\"; };", { { 13, "authority.fence.command: is empty" } } },
	{ "lease = \"1s\"", "lease = \"700ms\"",
		{ { 12, "700ms is too short: 3 x heartbeat.interval (100ms) + arbiter.timeout (300ms) must be at most "
			"0.8 x lease; write lease = \"750ms\"" } } },
	{ "lease = \"1s\"", "lease = \"750ms\"", { { 0, NULL } } },
	{ "timeout = \"300ms\"", "timeout = \"600ms\"", { { 12, "too short" } } },
	{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };\n};",
		"manual = true; lease = \"370ms\";\n};", { { 13, "stands twice" } } },
	{ "http://10.77.0.9:2379", "http://10.77.0.2:2379",
		{ { 13, "the only etcd is on node n2 and dies with it" } } },
	{ "http://10.77.0.9:2379", "http://192.168.9.1:2379", { { 13, "the only etcd is on node n1" } } },
	{ "http://10.77.0.9:2379", "http://n2:2379", { { 13, "the only etcd is on node n2" } } },
	{ "http://10.77.0.9:2379", "http://127.0.0.1:2379", { { 13, "is another machine on each node" } } },
	{ "\"http://10.77.0.9:2379\"",
		"\"http://10.77.0.2:2379\", \"http://10.77.0.1:2379\", \"http://etcd3.example.com:2379\"",
		{ { 0, NULL } } },
	{ "\"http://10.77.0.9:2379\"", "\"http://10.77.0.9:2379\", \"http://10.77.0.9:2379\"",
		{ { 13, "stands twice" } } },
	{ "( \"http://10.77.0.9:2379\" )", "()", { { 13, "has 0 where at least 1 is needed" } } },
	{ "timeout = \"300ms\"", "user = \"hactl\"",
		{ { 13, "authority.arbiter.user needs password_file beside it" } } },
	{ "timeout = \"300ms\"", "cert_file = \"/x.pem\"",
		{ { 13, "authority.arbiter.cert_file needs cert_key_file" },
			{ 13, "has no effect on \"http://10.77.0.9:2379\"" } } },
	{ "timeout = \"300ms\"", "prefix = \"hactl\"", { { 13, "does not start with '/'" } } },
	{ "timeout = \"300ms\"", "ca_file = \"/x.pem\"",
		{ { 13, "has no effect on \"http://10.77.0.9:2379\"; write the endpoint as https://" } } },
	/* databases */
	{ "user = \"hactl\"; password_file", "tls = true; user = \"hactl\"; password_file",
		{ { 17, "mysql.tls: needs ca_file" } } },
	{ "user = \"hactl\"; password_file", "ca_file = \"/ca.pem\"; user = \"hactl\"; password_file",
		{ { 17, "has no effect without tls" } } },
	{ "user = \"hactl\"; password_file", "user = \"\"; password_file", { { 17, "mysql.user: is empty" } } },
	{ "user = \"hactl\"; password_file", "max_unreceived = 9; user = \"hactl\"; password_file",
		{ { 17, "mysql.max_unreceived: has no effect unless semi_sync = \"off\"" } } },
	{ "user = \"hactl\"; password_file", "max_unreceived = 0; semi_sync = \"off\"; user = \"hactl\"; password_file",
		{ { 17, "mysql.max_unreceived: 0 is out of range; write a number from 1" } } },
	{ "user = \"hactl\"; password_file", "max_unreceived = 9; semi_sync = \"off\"; user = \"hactl\"; password_file",
		{ { 0, NULL } } },
	/* probes */
	{ "name = \"tts\"", "name = \"web-app\"", { { 23, "\"web-app\" is the name of another probe already" } } },
	{ "port = 8001; }", "port = 8001; service = \"\"; }", { { 22, "probes.service: is for grpc probes" } } },
	{ "port = 8001; }", "port = 8001; command = \"true\"; }", { { 22, "probes.command: is for exec probes" } } },
	{ "type = \"http\"; port = 8001; }", "type = \"exec\"; port = 8001; }",
		{ { 22, "probes.command is missing in probe \"web-app\"" },
			{ 22, "probes.port: is for all other probes" } } },
	{ "port = 8001; }", "port = 8001; address = \"10.0.0.1:80\"; }",
		{ { 22, "names its port already" }, { 26, "probe \"web-app\" asks a fixed address" } } },
	{ "port = 8001; }", "port = 8001; expect = \"20x\"; }", { { 22, "is not a list of HTTP statuses" } } },
	{ "port = 8001; }", "port = 8001; expect = \"200-\"; }", { { 22, "is not a list of HTTP statuses" } } },
	{ "port = 8001; }", "port = 8001; expect = \"399-200\"; }", { { 22, "is not a list of HTTP statuses" } } },
	{ "port = 8001; }", "port = 8001; path = \"health\"; }", { { 22, "does not start with '/'" } } },
	{ "tts.example.com:443\"; }", "tts.example.com:443\"; on_failure = \"failover\"; }",
		{ { 23, "tells nothing about a node" } } },
	{ "redis = { password_file = \"DIR/redis.pw\"; };\nprobes = (",
		"\nprobes = ( { name = \"r\"; type = \"redis\"; },",
		{ { 21, "takes its account from the redis section" } } },
	/* upstreams */
	{ "probe = \"web-app\"", "probe = \"web-ap\"", { { 26, "there is no probe \"web-ap\"" } } },
	{ "probe = \"web-app\"", "probe = \"tts\"", { { 26, "probe \"tts\" asks a fixed address" } } },
	{ "node = \"n2\"", "node = \"n3\"", { { 29, "there is no node \"n3\"" } } },
	{ "node = \"n2\"", "node = \"n1\"",
		{ { 27, "upstream \"back\" has no server on node n2, and active-backup needs one on each" } } },
	{ "10.77.0.2:8001", "10.77.0.1:8001", { { 29, "\"10.77.0.1:8001\" stands twice in upstream \"back\"" } } },
	{ "10.77.0.2:8001", "10.77.0.2:80 01", { { 29, "is not a server as nginx writes it" } } },
	{ "10.77.0.2:8001", "10.77.0.2;", { { 29, "is not a server as nginx writes it" } } },
	{ "server = \"web1\"", "server = \"web1\"; address = \"10.0.0.1:80\"",
		{ { 31, "is for nginx, and upstream \"app\" is haproxy" } } },
	{ "name = \"app\"", "name = \"back\"", { { 30, "\"back\" is the name of another upstream already" } } },
	{ "policy = \"balanced\"", "policy = \"balanced\"; reload = \"x\"",
		{ { 30, "upstreams.reload: is for nginx" } } },
	{ "policy = \"balanced\"", "policy = \"balanced\"; interval = \"5s\"",
		{ { 30, "is for policy \"dynamic\"" } } },
	{ "file = \"/etc/nginx/x.conf\"", "file = \"x.conf\"", { { 26, "not an absolute path" } } },
	/* hooks and rules */
	{ "on_primary = \"/etc/hactl/hooks/primary\"", "webhook = \"ftp://x\"",
		{ { 34, "\"ftp://x\" is not a URL" } } },
	{ "name = \"cpu\"; when = \"cpu > 85%\"; }",
		"name = \"cpu\"; when = \"x\"; },\n{ name = \"cpu\"; when = \"y\"; }",
		{ { 34, "\"cpu\" is the name of another rule" } } },
	{ "when = \"cpu > 85%\"", "when = \"cpu > 85%\"; for = 3", { { 33, "rules.for: 3 has no unit" } } },
	/* text that is too long, or holds what a terminal should not get */
	{ "cluster = \"hifate\"", "cluster = \"a123456789b123456789c123456789d123456789e123456789f123456789g123\"",
		{ { 1, "64 characters long; at most 63 fit" } } },
	{ "user = \"hactl\"; password", "user = \"ha\\x1bctl\"; password", { { 17, "control character (byte 27)" } } },
	{ "user = \"hactl\"; password", "user = \"ha\nctl\"; password", { { 17, "is a closing quote missing?" } } },
	/* syntax: the line, and what stands above it */
	{ "heartbeat = {", "heartbeat = {{", { { 6, "syntax error" } } },
	{ "cluster = \"hifate\";", "cluster = ;", { { 1, "syntax error" } } },
	{ "port = 7979; interval", "port = 7979; port = 7980; interval", { { 7, "stands twice in its group" } } },
	{ "rules = (", "colour = 1; rules = ( =", { { 33, "unknown key colour" }, { 33, "syntax error" } } },
	{ "user = \"hactl\"; password", "user = \"hactl; password",
		{ { 17, "syntax error; the text that starts on line 17" } } },
	{ "http = {", "@include \"/etc/passwd\"\nhttp = {", { { 35, "@include is not followed" } } },
};

static void print_told(const struct told *t)
{
	for (int i = 0; i < t->n; i++)
		print_error("  %d: %s\n", t->line[i], t->sentence[i]);
}

static bool as_expected(const struct told *t, const struct expect want[4])
{
	int n = 0;

	while (n < 4 && want[n].line)
		n++;
	if (t->n != n)
		return false;
	for (int i = 0; i < n; i++) {
		bool found = false;

		for (int j = 0; j < n; j++)
			found |= t->line[j] == want[i].line && strstr(t->sentence[j], want[i].phrase);
		if (!found)
			return false;
	}
	return true;
}

static void every_slip_is_named(void **state)
{
	int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(slips); i++) {
		auto_free char *text = NULL;
		struct told t;
		struct conf *c;

		assert_non_null(strstr(base_text, slips[i].from));
		text = replaced(base_text, slips[i].from, slips[i].to);
		c = load_text(*state, text, &t);
		if (!as_expected(&t, slips[i].want) || !c != (slips[i].want[0].line > 0)) {
			print_error("row %zu: %s -> %s gave %d mistakes:\n", i, slips[i].from, slips[i].to, t.n);
			print_told(&t);
			bad++;
		}
		conf_free(c);
	}
	assert_int_equal(bad, 0);
}

static void the_base_is_good(void **state)
{
	struct told t;
	struct conf *c = load_text(*state, base_text, &t);

	print_told(&t);
	assert_non_null(c);
	conf_free(c);
}

static void ten_mistakes_in_one_run(void **state)
{
	static const struct expect want[] = {
		{ 1, "has no prefix length" },
		{ 2, "unknown key clutser; did you mean cluster?" },
		{ 4, "nodes.name is missing" },
		{ 6, "200 has no unit" },
		{ 7, "none.key: cannot be opened" },
		{ 9, "nobody decides" },
		{ 10, "is out of range" },
		{ 12, "but a whole number is wanted" },
		{ 13, "open.pw: mode 0640" },
		{ 15, "there is no probe \"web\"" },
		{ 17, "there is no node \"n9\"" },
	};
	struct told t;
	struct conf *c = load_text(*state,
		"vips = ( { address = \"10.0.0.1\"; interface = \"eth0\"; } );\n"
		"clutser = \"x\";\n"
		"nodes = ( { name = \"n1\"; address = \"10.77.0.1\"; },\n"
		"  { address = \"10.77.0.2\"; } );\n"
		"heartbeat = {\n"
		"  interval = 200;\n"
		"  key_file = \"DIR/none.key\";\n"
		"};\n"
		"authority = {\n"
		"  lease = \"1ms\"; };\n"
		"redis = {\n"
		"  port = \"6379\";\n"
		"  password_file = \"DIR/open.pw\"; };\n"
		"upstreams = ( { name = \"u\"; type = \"haproxy\"; socket = \"/s\"; policy = \"balanced\";\n"
		"  probe = \"web\";\n"
		"  servers = (\n"
		"    { node = \"n9\"; server = \"s\"; } ); } );\n",
		&t);

	assert_null(c);
	if (t.n != (int)ARRAY_LEN(want))
		print_told(&t);
	assert_int_equal(t.n, ARRAY_LEN(want));
	for (int i = 0; i < t.n; i++) { /* in the order of lines */
		assert_int_equal(t.line[i], want[i].line);
		assert_non_null(strstr(t.sentence[i], want[i].phrase));
		assert_non_null(strstr(t.file[i], "/hactl.conf"));
	}
}

static void too_many_of_a_kind(void **state)
{
	auto_free char *vips = NULL, *text = NULL;
	struct told t;
	size_t len = 0;
	FILE *f = open_memstream(&vips, &len);

	fputs("vips = (\n", f);
	for (int i = 0; i < CONF_MAX_VIPS + 2; i++)
		fprintf(f, "%s{ address = \"10.78.0.%d/24\"; interface = \"eth0\"; }\n", i ? "," : "", i + 1);
	fputs(");", f);
	assert_int_equal(fclose(f), 0);
	text = replaced(base_text, "vips = ( { address = \"10.77.0.100/24\"; interface = \"eth0\"; } );", vips);
	assert_null(load_text(*state, text, &t));
	assert_int_equal(t.n, 1);
	assert_int_equal(t.line[0], 16 + CONF_MAX_VIPS);
	assert_non_null(strstr(t.sentence[0], "this is number 17 of 18, and at most 16 fit"));
}

static void files_that_cannot_be_read(void **state)
{
	const struct place *p = *state;
	auto_free char *path = str_printf("%s/binary.conf", p->dir);
	struct told t = { 0 };

	make_file(p, "binary.conf", 0600, "cluster = \"a\";\nx = \"\0\";\n", 23);
	assert_null(conf_load("/nonexistent/hactl.conf", tell, &t));
	assert_int_equal(t.n, 1);
	assert_int_equal(t.line[0], 1);
	assert_non_null(strstr(t.sentence[0], "No such file"));
	assert_null(conf_load(path, tell, &t));
	assert_int_equal(t.n, 2);
	assert_int_equal(t.line[1], 2);
	assert_non_null(strstr(t.sentence[1], "NUL byte"));
	assert_null(conf_load(p->dir, tell, &t));
	assert_int_equal(t.n, 3);
	assert_null(conf_load("/nonexistent/hactl.conf", NULL, NULL));
}

/* --- what is good ------------------------------------------------------------------------------------------------------ */

static struct conf *contract(void **state)
{
	const struct place *p = *state;
	auto_free char *text = NULL, *there = NULL, *dir = str_printf("%s/", p->dir);
	struct told t;
	struct conf *c;
	struct err e;

	assert_int_equal(file_read("tests/unit/test_config_contract.conf", 65536, &text, NULL, &e), 0);
	there = replaced(text, "/etc/hactl/", dir);
	c = load_text(p, there, &t);
	print_told(&t);
	assert_int_equal(t.n, 0);
	assert_non_null(c);
	return c;
}

static void contract_probes(const struct conf *c)
{
	const struct conf_probe *web = &c->probe[0], *bazi = &c->probe[1], *nginx = &c->probe[2], *tts = &c->probe[3];

	assert_int_equal(c->n_probes, 4);
	assert_string_equal(web->name, "web-app");
	assert_int_equal(web->type, PROBE_HTTP);
	assert_int_equal(web->port, 8001);
	assert_string_equal(web->path, "/health");
	assert_string_equal(web->expect, "200-399");
	assert_int_equal(web->interval, US_PER_SEC);
	assert_int_equal(web->timeout, 500 * US_PER_MS);
	assert_int_equal(web->fall, 3);
	assert_int_equal(web->rise, 2);
	assert_int_equal(web->on_failure, ON_FAILURE_WEIGHTS);
	assert_int_equal(web->line, 40);
	assert_int_equal(bazi->type, PROBE_GRPC);
	assert_string_equal(bazi->service, "");
	assert_int_equal(nginx->type, PROBE_TCP);
	assert_int_equal(nginx->on_failure, ON_FAILURE_FAILOVER);
	assert_int_equal(tts->type, PROBE_HTTPS);
	assert_string_equal(tts->address, "tts.example.com:443");
	assert_int_equal(tts->port, 0);
}

static void contract_upstreams(const struct conf *c)
{
	const struct conf_upstream *web = &c->upstream[0], *app = &c->upstream[1];

	assert_int_equal(c->n_upstreams, 2);
	assert_string_equal(web->name, "web_app_backend");
	assert_int_equal(web->type, UPSTREAM_NGINX);
	assert_string_equal(web->file, "/etc/nginx/conf.d/HiFate-bazi.conf");
	assert_int_equal(web->policy, POLICY_ACTIVE_BACKUP);
	assert_int_equal(web->probe, 0);
	assert_int_equal(web->n_servers, 2);
	assert_int_equal(web->servers[0].node, 0);
	assert_string_equal(web->servers[0].address, "10.77.0.1:8001");
	assert_int_equal(web->servers[0].weight, 2);
	assert_int_equal(web->servers[1].node, 1);
	assert_int_equal(web->servers[1].weight, 1);
	assert_string_equal(web->test, "nginx -t");
	assert_string_equal(web->reload, "nginx -s reload");
	assert_int_equal(web->debounce, US_PER_SEC);
	assert_int_equal(web->interval, 60 * US_PER_SEC);
	assert_int_equal(app->type, UPSTREAM_HAPROXY);
	assert_int_equal(app->policy, POLICY_BALANCED);
	assert_string_equal(app->socket, "/run/haproxy/admin.sock");
	assert_string_equal(app->servers[1].server, "web2");
	assert_int_equal(app->servers[1].weight, 100);
	assert_string_equal(app->test, "");
}

static void the_contracts_sample(void **state)
{
	struct conf *c = contract(state);

	assert_string_equal(c->cluster, "hifate");
	assert_string_equal(c->node[0].name, "n1");
	assert_string_equal(c->node[1].address, "10.77.0.2");
	assert_true(c->node[0].prefer);
	assert_int_equal(conf_preferred(c), 0);
	assert_int_equal(c->heartbeat_port, 7979);
	assert_int_equal(c->heartbeat_interval, 100 * US_PER_MS);
	assert_int_equal(c->key[0], 0x00);
	assert_int_equal(c->key[15], 0xff);
	assert_int_equal(c->key[31], 0x00);
	assert_int_equal(c->n_links, 0);
	assert_int_equal(c->lease, US_PER_SEC);
	assert_int_equal(c->enforce, ENFORCE_NFT);
	assert_int_equal(c->authority, AUTHORITY_ARBITER);
	assert_int_equal(c->arbiter.n_endpoints, 1);
	assert_string_equal(c->arbiter.endpoint[0], "http://10.77.0.9:2379");
	assert_string_equal(c->arbiter.prefix, "/hactl/hifate");
	assert_int_equal(c->arbiter.timeout, 300 * US_PER_MS);
	assert_int_equal(c->n_vips, 1);
	assert_string_equal(c->vip[0].address, "10.77.0.100");
	assert_int_equal(c->vip[0].family, AF_INET);
	assert_int_equal(c->vip[0].prefix_len, 24);
	assert_false(c->vip[0].subnet);
	assert_string_equal(conf_vip_interface(c, 1, 0), "eth0");
	for (int n = 0; n < NODES; n++) {
		assert_true(c->node[n].mysql.present);
		assert_int_equal(c->node[n].mysql.port, 3306);
		assert_string_equal(c->node[n].mysql.user, "hactl");
		assert_string_equal(c->node[n].mysql.password, "mysql secret");
		assert_string_equal(c->node[n].mysql.replication_password, "repl secret");
		assert_int_equal(c->node[n].mysql.max_lag, 10 * US_PER_SEC);
		assert_int_equal(c->node[n].mysql.max_unreceived, 0); /* no limit */
		assert_int_equal(c->node[n].mysql.semi_sync, SEMI_SYNC_AUTO);
		assert_int_equal(c->node[n].mysql.max_freeze, US_PER_SEC);
		assert_string_equal(c->node[n].redis.password, "redis secret");
	}
	contract_probes(c);
	contract_upstreams(c);
	assert_int_equal(c->n_rules, 1);
	assert_int_equal(c->rule[0].hold, 180 * US_PER_SEC);
	assert_string_equal(c->rule[0].level, "critical");
	assert_string_equal(c->hooks.on_event, "");
	assert_int_equal(c->hooks.timeout, 10 * US_PER_SEC);
	assert_string_equal(c->http_listen, "127.0.0.1:7980");
	conf_free(c);
}

static const char least_text[] =
	"cluster = \"c\";"
	"nodes = ( { name = \"a\"; address = \"fd00:0::1\"; }, { name = \"b\"; address = \"fd00::2\"; } );"
	"heartbeat = { key_file = \"DIR/cluster.key\"; };"
	"authority = { arbiter = { endpoints = [ \"https://[fd00::9]:2379\" ]; }; };"
	"vips = ( { address = \"fd00::100/64\"; interface = \"eth0\"; } );"
	"redis = {};"
	"probes = ( { name = \"r\"; type = \"redis\"; }, { name = \"g\"; type = \"grpc\"; port = 1; } );";

static void defaults(void **state)
{
	struct told t;
	struct conf *c = load_text(*state, least_text, &t);

	print_told(&t);
	assert_non_null(c);
	assert_string_equal(c->node[0].address, "fd00::1"); /* canonical */
	assert_int_equal(conf_preferred(c), NOBODY);
	assert_int_equal(c->heartbeat_port, 7979);
	assert_int_equal(c->heartbeat_interval, 100 * US_PER_MS);
	assert_int_equal(c->lease, US_PER_SEC);
	assert_int_equal(c->enforce, ENFORCE_NFT);
	assert_false(c->gate_databases);
	assert_string_equal(c->arbiter.prefix, "/hactl/c");
	assert_int_equal(c->arbiter.timeout, 300 * US_PER_MS);
	assert_int_equal(c->fence.timeout, 20 * US_PER_SEC);
	assert_int_equal(c->fence.delay, 0);
	assert_int_equal(c->vip[0].family, AF_INET6);
	assert_int_equal(c->vip[0].prefix_len, 64);
	assert_false(c->node[0].mysql.present);
	assert_true(c->node[0].redis.present);
	assert_int_equal(c->node[1].redis.port, 6379);
	assert_int_equal(c->node[1].redis.max_lag, 10 * US_PER_SEC);
	assert_string_equal(c->node[1].redis.password, "");
	assert_int_equal(c->probe[0].port, 0); /* that of the database */
	assert_string_equal(c->probe[1].path, "");
	assert_string_equal(c->http_listen, "");
	assert_int_equal(c->hooks.timeout, 10 * US_PER_SEC);
	conf_free(c);
}

static void each_nodes_own(void **state)
{
	auto_free char *text = replaced(base_text, "prefer = true;",
		"prefer = true; interface = \"ens5\"; mysql = { socket = \"/run/other.sock\"; port = 3307; }; redis = "
		"{ port = 6380; };");
	struct told t;
	struct conf *c = load_text(*state, text, &t);

	print_told(&t);
	assert_non_null(c);
	assert_string_equal(conf_vip_interface(c, 0, 0), "ens5");
	assert_string_equal(conf_vip_interface(c, 1, 0), "eth0");
	assert_int_equal(c->node[0].mysql.port, 3307);
	assert_string_equal(c->node[0].mysql.socket, "/run/other.sock");
	assert_string_equal(c->node[0].mysql.password, "mysql secret");
	assert_int_equal(c->node[1].mysql.port, 3306);
	assert_string_equal(c->node[1].mysql.socket, "");
	assert_int_equal(c->node[0].redis.port, 6380);
	assert_int_equal(c->node[1].redis.port, 6379);
	assert_int_equal(c->n_links, 1);
	assert_string_equal(c->link[0][1], "192.168.9.2");
	conf_free(c);
}

/* Texts that are good: what a reader of the messages would write. */
static void what_the_messages_tell_is_good(void **state)
{
	static const char *const rows[][2] = {
		{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
			"reference = ( \"10.77.0.254\", \"10.77.0.253\" );" },
		{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };",
			"fence = { command = \"/etc/hactl/hooks/fence\"; delay = \"5s\"; };" },
		{ "arbiter = { endpoints = ( \"http://10.77.0.9:2379\" ); timeout = \"300ms\"; };", "manual = true;" },
		{ "lease = \"1s\";", "enforce = \"address\"; gate_databases = true;" },
		{ "lease = \"1s\";", "enforce = \"none\";" },
		{ "( \"http://10.77.0.9:2379\" )",
			"( \"https://etcd.example.com:2379\" ); user = \"u\"; password_file = \"DIR/etcd.pw\"; ca_file "
			"= \"/ca\"; cert_file = \"/c\"; cert_key_file = \"DIR/etcd-key.pem\"" },
		{ "port = 7979", "port = 0x1F2B" },
		{ "interval = \"100ms\"", "interval = \"0.1s\"" },
		{ "port = 8001; }", "port = 8001; expect = \"200-299,401\"; host = \"www.example.com\"; }" },
		{ "type = \"http\"; port = 8001; }", "type = \"exec\"; command = \"test -e /x\"; }" },
		{ "10.77.0.1:8001", "unix:/run/app.sock" },
		{ "10.77.0.1:8001", "backend-1.example.com" },
		{ "cluster = \"hifate\";",
			"cluster = \"hifate\"; // 99999999999 @include\n/* 99999999999 \" @ */ # \" 4294967297\n" },
		{ "when = \"cpu > 85%\"",
			"when = \"a 99999999999 @include \\\" \\\\\"; for = \"3m\"; level = \"info\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = replaced(base_text, rows[i][0], rows[i][1]);
		struct told t;
		struct conf *c = load_text(*state, text, &t);

		if (!c)
			print_error("row %zu: %s\n", i, rows[i][1]);
		print_told(&t);
		assert_non_null(c);
		conf_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_base_is_good),
		cmocka_unit_test(every_slip_is_named),
		cmocka_unit_test(ten_mistakes_in_one_run),
		cmocka_unit_test(too_many_of_a_kind),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(the_contracts_sample),
		cmocka_unit_test(defaults),
		cmocka_unit_test(each_nodes_own),
		cmocka_unit_test(what_the_messages_tell_is_good),
	};

	return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
