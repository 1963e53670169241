/* config: every statement of assay.conf, and every fault that one can write into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/config.h"
#include "base/diag.h"

static const char contract[] =
	"state    /var/lib/assay                      # event log, registry\n"
	"redis    cluster r1:6379 r2:6379\n"
	"dns      forward 127.0.0.1 ::1 port 5353 { deadline 2s }\n"
	"dmarc    rfc7489\n"
	"listen   milter unix:/run/assay/milter.sock { deadline 4s mode 0600 group postfix\n"
	"         header-verdict X-Judged }\n"
	"listen   http   127.0.0.1:8025\n"
	"capture  interface eth1 { ports 25 587 2525  ring 16M }\n"
	"spool    maildir /var/spool/assay/in\n"
	"rules    /usr/share/assay/rules  local\n"
	"packs    isc-1.2\n"
	"         bulk-senders\n"
	"host     mx1.mbox.example\n"
	"report   from fbl@mbox.example { dkim s1 /etc/assay/dkim.pem  via smtp 127.0.0.1:25 }\n"
	"complain { hold 5m  jitter 0s }\n"
	"log      { compress 2h  keep forever }\n"
	"dnsbl    ip zen.test bl.test\n"
	"user     nobody\n";

static void test_whole(void **state)
{
	struct config c;
	struct diag diag = {0};
	(void)state;
	config_init(&c);
	assert_int_equal(config_parse(&c, "/etc/x/assay.conf", SPAN(contract), &diag), 0);
	assert_true(c.state_given);
	assert_string_equal(c.state, "/var/lib/assay");
	assert_int_equal(c.redis.kind, REDIS_CLUSTER);
	assert_int_equal(c.redis.addresses.n, 2);
	assert_string_equal(c.redis.addresses.v[1], "r2:6379");
	assert_int_equal(c.dns.source, DNS_FORWARD);
	assert_int_equal(c.dns.servers.n, 2);
	assert_string_equal(c.dns.servers.v[1], "::1@5353");
	assert_int_equal(c.dns.deadline_us, 2000000);
	assert_int_equal(c.dmarc, DMARC_RFC7489);
	assert_string_equal(c.milter.address, "unix:/run/assay/milter.sock");
	assert_int_equal(c.milter.deadline_us, 4000000);
	assert_int_equal(c.milter.mode, 0600);
	assert_string_equal(c.milter.group, "postfix");
	assert_int_equal(c.log.compress_us, 7200 * 1000000LL);
	assert_int_equal(c.log.keep_us, 0);
	assert_string_equal(c.milter_headers.verdict, "X-Judged");
	assert_string_equal(c.milter_headers.results, "Authentication-Results");
	assert_null(c.policy.address); /* a file with one listener has that one */
	assert_string_equal(c.http.address, "127.0.0.1:8025");
	assert_string_equal(c.capture.interface, "eth1");
	assert_int_equal(c.capture.n_ports, 3);
	assert_int_equal(c.capture.ports[2], 2525);
	assert_int_equal(c.capture.ring_bytes, 16 << 20);
	assert_string_equal(c.spool_maildirs.v[0], "/var/spool/assay/in");
	assert_string_equal(c.rules.v[1], "/etc/x/local");
	assert_int_equal(c.packs.n, 2);
	assert_string_equal(c.packs.v[1], "bulk-senders");
	assert_int_equal(c.packs.at[1].line, 12);
	assert_string_equal(c.host, "mx1.mbox.example");
	assert_string_equal(c.report.from, "fbl@mbox.example");
	assert_string_equal(c.report.dkim_selector, "s1");
	assert_string_equal(c.report.dkim_key_file, "/etc/assay/dkim.pem");
	assert_int_equal(c.report.via, REPORT_VIA_SMTP);
	assert_string_equal(c.report.to, "127.0.0.1:25");
	assert_int_equal(c.complain.hold_us, 300000000);
	assert_int_equal(c.complain.jitter_us, 0);
	assert_int_equal(c.dnsbl_ip.n, 2);
	assert_string_equal(c.user, "nobody");
	config_free(&c);
}

static void test_forms(void **state)
{
	struct config c;
	struct diag diag = {0};
	(void)state;
	config_init(&c);
	assert_int_equal(config_parse(&c, "c", SPAN(""), &diag), 0);
	assert_string_equal(c.packs.v[0], "isc-1.2");
	assert_string_equal(c.milter.address, "unix:/run/assay/milter.sock");
	assert_int_equal(c.redis.kind, REDIS_SPAWN);
	assert_int_equal(c.dns.source, DNS_RESOLV_CONF);
	config_free(&c);

	config_init(&c);
	assert_int_equal(config_parse(&c, "c", SPAN("redis unix:/run/r.sock\ndns zone z\n"
						    "spool maildir a b\n"
						    "report from a@b.test { via folder \"o u t\" }"),
				      &diag), 0);
	assert_int_equal(c.redis.kind, REDIS_UNIX);
	assert_string_equal(c.redis.addresses.v[0], "/run/r.sock");
	assert_string_equal(c.dns.zone, "z");
	assert_int_equal(c.spool_maildirs.n, 2);
	assert_null(c.milter.address); /* a spool is the only input */
	assert_int_equal(c.report.via, REPORT_VIA_FOLDER);
	assert_string_equal(c.report.to, "o u t");
	config_free(&c);
}

static void test_faults(void **state)
{
	static const struct {
		const char *input, *want;
	} rows[] = {
		{"packz a", "c:1:1: error: unknown statement 'packz' (did you mean 'packs'?)\n"},
		{"\"state\" x", "c:1:1: error: unknown statement a text (did you mean 'state'?)\n"},
		{"{ }", "c:1:1: error: expected a statement, not '{'\n"},
		{"state\nhost", "c:1:1: error: 'state' needs a folder\n"
				"c:2:1: error: 'host' needs a host name\n"},
		{"state /a\nstate /b\nuser x",
		 "c:2:1: error: second 'state', the first stands in line 1\n"},
		{"state /a /b", "c:1:10: error: unexpected '/b' behind 'state'\n"},
		{"redis localhost", "c:1:7: error: 'localhost' is no address; write unix:/path or "
				    "host:port\n"},
		{"dns forwrad 1.2.3.4",
		 "c:1:5: error: unknown DNS source 'forwrad' (did you mean 'forward'?)\n"},
		{"dns forward ns.test", "c:1:13: error: 'ns.test' is no IP address\n"},
		{"dns forward 192.0.2.1 port x", "c:1:13: error: 'port' needs one number from 1 to "
						 "65535 at the end\n"},
		{"dns resolv.conf { deadline 3 }", "c:1:28: error: '3' is no duration; write it like "
						   "500ms, 3s, 10m, 2h or 7d\n"},
		{"dns resolv.conf { dead 3 }", "c:1:19: error: unknown option 'dead' (did you mean "
					       "'deadline'?)\n"},
		{"dns resolv.conf {", "c:1:18: error: expected '}', not the end of the file\n"},
		{"dmarc rfc7498", "c:1:7: error: unknown DMARC standard 'rfc7498' (did you mean "
				  "'rfc7489'?)\n"},
		{"listen smtp x", "c:1:8: error: unknown listener 'smtp' (did you mean 'http'?)\n"},
		{"spool folder /a", "c:1:7: error: unknown kind of spool 'folder'; it is maildir or "
				    "complaints\n"},
		{"registry redis\nhost a", "c:1:1: error: 'registry redis' needs a Redis that "
					   "gateways share: 'redis ADDRESS'\n"},
		{"dns forward ::1\n 192.0.2.1 ns.test",
		 "c:2:12: error: 'ns.test' is no IP address\n"},
		{"listen http a:1\nlisten http a:2", "c:2:8: error: second 'listen http'\n"},
		{"listen milter a:1 { mode 999 }",
		 "c:1:26: error: '999' is no octal mode; write it like 0660\n"},
		{"listen milter a:1 { header-results A:B }",
		 "c:1:36: error: 'A:B' is no name of a header field\n"},
		{"listen http a:1 { header-verdict X }", "c:1:19: error: unknown option 'header-verdict'; "
							 "it is deadline, mode or group\n"},
		{"capture interface e { ports 0 }",
		 "c:1:29: error: 'ports' takes up to 16 numbers from 1 to 65535\n"},
		{"capture interface e { ports }", "c:1:29: error: 'ports' needs a number\n"},
		{"capture interface e { ring big }",
		 "c:1:28: error: 'big' is no size; write it like 64M\n"},
		{"packs\nhost a", "c:1:1: error: 'packs' needs the name of a pack\n"},
		{"report from x", "c:1:13: error: 'x' is no mail address\n"},
		{"log { keep 7d }",
		 "c:1:12: error: 'keep' needs 30d or more: complaints ask the log for so long\n"},
		{"complain hold 10m", "c:1:10: error: expected '{', not 'hold'\n"},
		{"dnsbl ip a\ndnsbl ip b",
		 "c:2:7: error: second 'dnsbl ip'; one takes several lists\n"},
		{"complain {\n hold x\n}\nhosst b\nuser {\nstate ,\n",
		 "c:2:7: error: 'x' is no duration; write it like 500ms, 3s, 10m, 2h or 7d\n"
		 "c:4:1: error: unknown statement 'hosst' (did you mean 'host'?)\n"
		 "c:5:6: error: expected an account, not '{'\n"
		 "c:6:7: error: unexpected ','; members stand side by side\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config c;
		char *out;
		size_t n;
		struct diag diag = {.out = open_memstream(&out, &n)};
		config_init(&c);
		int r = config_parse(&c, "c", span_of(rows[i].input), &diag);
		fclose(diag.out);
		if (r != CONFIG_E_FAULTS || strcmp(out, rows[i].want) != 0)
			fail_msg("%s\ngot %d:\n%s", rows[i].input, r, out);
		free(out);
		config_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_faults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
