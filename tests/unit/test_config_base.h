/* test_config_base.h - a hactl.conf in order, with its lines numbered: what the tests of hactl/config change. */
#ifndef TEST_CONFIG_BASE_H
#define TEST_CONFIG_BASE_H

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

#endif
