/*
 * Rows of SMTP dialogues and what is seen in each.
 *
 * A script has a line a step: "C:" what the client says, "S:" the server, both with CRLF added;
 * "C|" and "S|" without (a backslash is an escape of C: r, n, 0, x41). "C-100" and "S-100" lose so
 * many octets of that side; "M:" begins inside a session. Each script is fed three times: a line at a time, whole turns at a
 * time, an octet at a time; the cut of segments must not matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "capture/smtp.h"

#define HELLO "S:220 mx ESMTP\nC:EHLO c\nS:250-mx\nS:250 CHUNKING\n"
#define ENVELOPE "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:250 ok\n"
#define BYE "C:QUIT\nS:221 bye\n"

struct row {
	const char *name, *script, *want;
};

/* What is seen: "FROM > TO=CODE/ENHANCED ... | SIZE 'first octets' REPLY flags". */
static const struct row rows[] = {
	{"a plain session", HELLO ENVELOPE "C:DATA\nS:354 go\nC:x\nC:.\nS:250 2.0.0 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250/2.0.0"},
	{"a message of no octets", HELLO ENVELOPE "C:DATA\nS:354 go\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 0 | 250"},
	{"dots are unstuffed", HELLO ENVELOPE "C:DATA\nS:354 go\nC:..\nC:..x\nC:x.\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 11 | 250"},
	{"the null sender", HELLO "C:MAIL FROM:<>\nS:250 ok\nC:RCPT TO:<c@d>\nS:250 ok\n" BYE,
	 "<> c@d=250 | 0"},
	{"blanks and no brackets", HELLO "C:MAIL FROM: <a@b> SIZE=1\nS:250 ok\nC:rcpt to: c@d NOTIFY=NEVER\nS:250 ok\n" BYE,
	 "<a@b> c@d=250 | 0"},
	{"quoted local parts", HELLO "C:MAIL FROM:<\"a> b\"@b> BODY=8BITMIME\nS:250 ok\nC:RCPT TO:<\"c\\\\\"d\"@d>\nS:250 ok\n"
	 "C:RCPT TO:<\"c d\"@d> ORCPT=rfc822;c@d\nS:250 ok\n" BYE,
	 "<\"a> b\"@b> \"c\\\"d\"@d=250 \"c d\"@d=250 | 0 8bitmime"},
	{"a quoted local part without brackets", HELLO "C:MAIL FROM:\"a b\"@c SIZE=3\nS:250 ok\n" BYE, "<\"a b\"@c> | 0"},
	{"a source route", HELLO "C:MAIL FROM:<@r1,@r2:a@b>\nS:250 ok\nC:RCPT TO:<@r3:c@d>\nS:250 ok\n" BYE,
	 "<@r1,@r2:a@b> @r3:c@d=250 | 0"},
	{"SMTPUTF8", HELLO "C:MAIL FROM:<\\xe7\\x94\\xa8@b> SMTPUTF8\nS:250 ok\n" BYE, "<\xe7\x94\xa8@b> | 0 smtputf8"},
	{"refused recipients with their words", HELLO "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:550-5.1.1 no\nS:550 5.1.1 such user\n"
	 "C:RCPT TO:<e@d>\nS:450 4.2.0 later\nC:RCPT TO:<f@d>\nS:250 2.1.5 ok\nC:DATA\nS:354 go\nC:x\nC:.\nS:451 4.3.0 disk\n" BYE,
	 "<a@b> c@d=550/5.1.1 e@d=450/4.2.0 f@d=250/2.1.5 | 3 | 451/4.3.0"},
	{"MAIL refused", HELLO "C:MAIL FROM:<a@b>\nS:550 5.7.1 no\n" BYE, "<a@b> | 550/5.7.1"},
	{"MAIL refused, then another", HELLO "C:MAIL FROM:<a@b>\nS:550 5.7.1 no\nC:MAIL FROM:<x@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:250 ok\n" BYE,
	 "<a@b> | 550/5.7.1\n<x@b> c@d=250 | 0"},
	{"a second MAIL is out of sequence", HELLO ENVELOPE "C:MAIL FROM:<x@b>\nS:503 nested\nC:DATA\nS:354 go\nC:x\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250"},
	{"a RCPT before MAIL", HELLO "C:RCPT TO:<c@d>\nS:503 no\n" BYE, "session c 503"},
	{"DATA refused", HELLO "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:550 no\nC:DATA\nS:554 5.5.1 no valid recipients\nC:RSET\nS:250 ok\n" BYE,
	 "<a@b> c@d=550 | 554/5.5.1"},
	{"DATA refused by 521", HELLO ENVELOPE "C:DATA\nS:521 5.2.1 closing\n", "<a@b> c@d=250 | 521/5.2.1"},
	{"DATA answered by 250, content comes", HELLO ENVELOPE "C:DATA\nS:250 ok\nC:Subject: x\nC:\nC:y\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 17 | 250"},
	{"DATA answered by 250, commands come", HELLO ENVELOPE "C:DATA\nS:250 ok\nC:RSET\nS:250 ok\n" BYE, "<a@b> c@d=250 | 250"},
	{"a group behind a refused DATA", HELLO
	 "C:MAIL FROM:<a@b>\nC:RCPT TO:<c@d>\nC:DATA\nS:250 ok\nS:550 no\nS:554 none\nC:RSET\nC:MAIL FROM:<x@b>\nC:RCPT TO:<e@d>\nC:DATA\n"
	 "S:250 ok\nS:250 ok\nS:250 ok\nS:354 go\nC:x\nC:.\nC:QUIT\nS:250 got\nS:221 bye\n",
	 "<a@b> c@d=550 | 554 pipelined\n<x@b> e@d=250 | 3 | 250 pipelined"},
	{"a lone dot, as no recipient was taken", HELLO
	 "C:MAIL FROM:<a@b>\nC:RCPT TO:<c@d>\nC:DATA\nS:250 ok\nS:550 no\nS:354 go\nC:.\nS:554 none\n" BYE,
	 "<a@b> c@d=550 | 0 | 554 pipelined"},
	{"everything in one go", HELLO
	 "C:MAIL FROM:<a@b>\nC:RCPT TO:<c@d>\nC:DATA\nC:x\nC:.\nC:MAIL FROM:<e@f>\nC:RCPT TO:<c@d>\nC:DATA\nC:yy\nC:.\nC:QUIT\n"
	 "S:250 ok\nS:250 ok\nS:354 go\nS:250 got\nS:250 ok\nS:550 no\nS:354 go\nS:554 no\nS:221 bye\n",
	 "<a@b> c@d=250 | 3 | 250 pipelined\n<e@f> c@d=550 | 4 | 554 pipelined"},
	{"RSET in the middle", HELLO ENVELOPE "C:RSET\nS:250 ok\nC:MAIL FROM:<x@b>\nS:250 ok\n" BYE, "<a@b> c@d=250 | 0\n<x@b> | 0"},
	{"RSET refused keeps the envelope", HELLO ENVELOPE "C:RSET\nS:500 what\nC:DATA\nS:354 go\nC:x\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250"},
	{"EHLO in mid-session resets", HELLO ENVELOPE "C:EHLO z\nS:250 ok\nC:MAIL FROM:<x@b>\nS:250 ok\n" BYE, "<a@b> c@d=250 | 0\n<x@b> | 0"},
	{"EHLO refused in mid-session changes nothing", HELLO ENVELOPE "C:EHLO z\nS:503 no\nC:DATA\nS:354 go\nC:x\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250"},
	{"EHLO refused, HELO taken", "S:220 mx\nC:EHLO c\nS:502 no\nC:HELO c\nS:250 mx\n" BYE, "session c 250"},
	{"421 to a RCPT", HELLO "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:421 4.7.0 closing\n", "<a@b> c@d=421/4.7.0 | 421/4.7.0"},
	{"421 while nobody asked", HELLO ENVELOPE "S:421 4.4.2 timeout\n", "<a@b> c@d=250 | 421/4.4.2"},
	{"421 inside the message", HELLO ENVELOPE "C:DATA\nS:354 go\nC:x\nC:y\nS:421 4.3.0 down\n", "<a@b> c@d=250 | 6 cut | 421/4.3.0"},
	{"a connection lost inside the message", HELLO ENVELOPE "C:DATA\nS:354 go\nC:x\n", "<a@b> c@d=250 | 3 cut | 0"},
	{"a connection lost before the answer", HELLO ENVELOPE "C:DATA\nS:354 go\nC:x\nC:.\n", "<a@b> c@d=250 | 3 | 0"},
	{"refused at the banner", "S:554 5.7.1 go away\nC:QUIT\nS:221 bye\n", "session 554/5.7.1"},
	{"421 for a banner", "S:421 4.7.0 busy\n", "session 421/4.7.0"},
	{"a banner of many lines", "S:220-mx\nS:220-no spam\nS:220 go\nC:HELO c\nS:250 ok\n" ENVELOPE BYE, "<a@b> c@d=250 | 0"},
	{"a client that does not wait for the banner", "C:EHLO c\nS:220 mx\nS:250 ok\n" ENVELOPE BYE, "<a@b> c@d=250 | 0"},
	{"HELO without a name", "S:220 mx\nC:HELO\nS:501 name\nC:MAIL FROM:<a@b>\nS:503 hello first\n" BYE, "<a@b> | 503"},
	{"unknown and other commands", HELLO "C:FOO\nS:500 what\nC:NOOP\nS:250 ok\nC:VRFY c\nS:252 maybe\nC:HELP\nS:214-help\nS:214 me\n" ENVELOPE BYE,
	 "<a@b> c@d=250 | 0"},

	/* RFC 4954: the secrets stand nowhere in what is seen */
	{"AUTH PLAIN with its response", HELLO "C:AUTH PLAIN AGEAc2VjcmV0\nS:235 2.7.0 ok\n" ENVELOPE BYE, "<a@b> c@d=250 | 0 auth"},
	{"AUTH PLAIN in two steps", HELLO "C:AUTH PLAIN\nS:334 \nC:AGEAc2VjcmV0\nS:235 2.7.0 ok\n" ENVELOPE BYE, "<a@b> c@d=250 | 0 auth"},
	{"AUTH LOGIN", HELLO "C:AUTH LOGIN\nS:334 VXNlcm5hbWU6\nC:c2VjcmV0\nS:334 UGFzc3dvcmQ6\nC:c2VjcmV0\nS:235 2.7.0 ok\n" ENVELOPE BYE,
	 "<a@b> c@d=250 | 0 auth"},
	{"AUTH LOGIN refused", HELLO "C:AUTH LOGIN\nS:334 VXNlcm5hbWU6\nC:c2VjcmV0\nS:334 UGFzc3dvcmQ6\nC:c2VjcmV0\nS:535 5.7.8 no\n" BYE,
	 "session c 535/5.7.8"},
	{"AUTH given up", HELLO "C:AUTH LOGIN\nS:334 VXNlcm5hbWU6\nC:*\nS:501 5.7.0 given up\n" ENVELOPE BYE, "<a@b> c@d=250 | 0"},
	{"AUTH all in one go", HELLO "C:AUTH LOGIN\nC:c2VjcmV0\nC:c2VjcmV0\nS:334 VXNlcm5hbWU6\nS:334 UGFzc3dvcmQ6\nS:235 ok\n" ENVELOPE BYE,
	 "<a@b> c@d=250 | 0 auth"},
	{"AUTH= in MAIL is no secret of ours", HELLO "C:MAIL FROM:<a@b> AUTH=<>\nS:250 ok\n" BYE, "<a@b> | 0"},

	/* RFC 3030 */
	{"BDAT", HELLO ENVELOPE "C:BDAT 4 LAST\nC|x\\ry\\n\nS:250 got\n" BYE, "<a@b> c@d=250 | 4 | 250 bdat"},
	{"BDAT in chunks", HELLO ENVELOPE "C:BDAT 3\nC|x\\r\\n\nS:250 ok\nC:BDAT 3\nC|.\\r\\n\nS:250 ok\nC:BDAT 3 LAST\nC|y\\r\\n\nS:250 2.0.0 got\n" BYE,
	 "<a@b> c@d=250 | 9 | 250/2.0.0 bdat"},
	{"BDAT 0 LAST", HELLO ENVELOPE "C:BDAT 3\nC|x\\r\\n\nS:250 ok\nC:BDAT 0 LAST\nS:250 got\n" BYE, "<a@b> c@d=250 | 3 | 250 bdat"},
	{"BDAT 0 LAST alone", HELLO ENVELOPE "C:BDAT 0 LAST\nS:250 got\n" BYE, "<a@b> c@d=250 | 0 | 250 bdat"},
	{"BDAT 0, then more", HELLO ENVELOPE "C:BDAT 0\nS:250 ok\nC:BDAT 3 LAST\nC|x\\r\\n\nS:250 got\n" BYE, "<a@b> c@d=250 | 3 | 250 bdat"},
	{"BDAT holds what looks like commands", HELLO ENVELOPE "C:BDAT 13 LAST\nC|RSET\\r\\nQUIT\\r\\n.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 13 | 250 bdat"},
	{"BDAT all in one go", HELLO
	 "C:MAIL FROM:<a@b>\nC:RCPT TO:<c@d>\nC:BDAT 3\nC|x\\r\\n\nC:BDAT 3 LAST\nC|y\\r\\n\nC:MAIL FROM:<e@f>\nC:RCPT TO:<c@d>\nC:BDAT 2 LAST\nC|zz\nC:QUIT\n"
	 "S:250 ok\nS:250 ok\nS:250 ok\nS:250 got\nS:250 ok\nS:250 ok\nS:554 no\nS:221 bye\n",
	 "<a@b> c@d=250 | 6 | 250 bdat pipelined\n<e@f> c@d=250 | 2 | 554 bdat pipelined"},
	{"BDAT LAST refused", HELLO ENVELOPE "C:BDAT 3 LAST\nC|x\\r\\n\nS:552 5.3.4 too much\n" BYE, "<a@b> c@d=250 | 3 | 552/5.3.4 bdat"},
	{"BDAT without a recipient", HELLO "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:550 no\nC:BDAT 3 LAST\nC|x\\r\\n\nS:554 none\n" BYE,
	 "<a@b> c@d=550 | 3 | 554 bdat"},
	{"a chunk refused, then RSET", HELLO ENVELOPE "C:BDAT 3\nC|x\\r\\n\nS:452 4.3.1 full\nC:RSET\nS:250 ok\n" ENVELOPE "C:BDAT 2 LAST\nC|yy\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 452/4.3.1 bdat\n<a@b> c@d=250 | 2 | 250 bdat"},
	{"a chunk refused, the rest was on its way", HELLO ENVELOPE
	 "C:BDAT 3\nC|x\\r\\n\nC:BDAT 3 LAST\nC|y\\r\\n\nS:552 5.3.4 too much\nS:503 5.5.1 no\nC:RSET\nS:250 ok\n" BYE,
	 "<a@b> c@d=250 | 6 | 552/5.3.4 bdat"},
	{"BDAT before MAIL", HELLO "C:BDAT 3 LAST\nC|x\\r\\n\nS:503 no\n" BYE, "session c 503"},
	{"BDAT without a number", HELLO ENVELOPE "C:BDAT\nS:501 what\nC:BDAT x LAST\nS:501 what\nC:BDAT -1 LAST\nS:501 what\nC:BDAT 3 LAST\nC|x\\r\\n\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250 bdat"},
	{"DATA behind BDAT is out of sequence", HELLO ENVELOPE "C:BDAT 3\nC|x\\r\\n\nS:250 ok\nC:DATA\nS:503 no\nC:BDAT 3 LAST\nC|y\\r\\n\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 6 | 250 bdat"},
	{"EHLO between chunks drops them", HELLO ENVELOPE "C:BDAT 3\nC|x\\r\\n\nS:250 ok\nC:EHLO c\nS:250 ok\n" ENVELOPE "C:BDAT 2 LAST\nC|yy\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 0 bdat\n<a@b> c@d=250 | 2 | 250 bdat"},
	{"a chunk that is cut off", HELLO ENVELOPE "C:BDAT 100 LAST\nC|x\\r\\n\n", "<a@b> c@d=250 | 3 cut | 0 bdat"},

	/* RFC 3207 */
	{"STARTTLS", HELLO "C:STARTTLS\nS:220 go\nC|\\x16\\x03\\x01\\0\\x05hello\n", "session c tls 220"},
	{"STARTTLS refused", HELLO "C:STARTTLS\nS:454 4.7.0 no\n" ENVELOPE BYE, "<a@b> c@d=250 | 0"},
	{"plain text behind STARTTLS", HELLO "C:STARTTLS\nS:220 go\nC:EHLO c\nS:250 ok\n" ENVELOPE "C:DATA\nS:354 go\nC:x\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250 plain_after_starttls"},

	/* RFC 2033 */
	{"LMTP: a final answer for each recipient", "S:220 mx LMTP\nC:LHLO c\nS:250 mx\n"
	 "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:250 ok\nC:RCPT TO:<e@d>\nS:550 no\nC:RCPT TO:<f@d>\nS:250 ok\n"
	 "C:DATA\nS:354 go\nC:x\nC:.\nS:250 2.1.5 got\nS:452 4.2.2 full\n" BYE,
	 "<a@b> c@d=250 e@d=550 f@d=452/4.2.2 | 3 | 452/4.2.2 lmtp"},
	{"LMTP with BDAT", "S:220 mx LMTP\nC:LHLO c\nS:250 mx\n"
	 "C:MAIL FROM:<a@b>\nS:250 ok\nC:RCPT TO:<c@d>\nS:250 ok\nC:RCPT TO:<f@d>\nS:250 ok\nC:BDAT 2 LAST\nC|xx\nS:250 got\nS:554 no\n"
	 "C:MAIL FROM:<y@b>\nS:250 ok\n" BYE,
	 "<a@b> c@d=250 f@d=554 | 2 | 554 bdat lmtp\n<y@b> | 0 lmtp"},

	/* who the client really is */
	{"PROXY 1", "C:PROXY TCP4 192.0.2.1 192.0.2.2 51000 25\nS:220 mx\nC:EHLO c\nS:250 ok\n" ENVELOPE BYE, "192.0.2.1:51000 <a@b> c@d=250 | 0"},
	{"PROXY 1, version 6", "C:PROXY TCP6 2001:db8::1 2001:db8::2 51000 25\nS:220 mx\nC:EHLO c\nS:250 ok\n" ENVELOPE BYE,
	 "2001:db8::1:51000 <a@b> c@d=250 | 0"},
	{"PROXY 1, unknown", "C:PROXY UNKNOWN\nS:220 mx\nC:EHLO c\nS:250 ok\n" ENVELOPE BYE, "<a@b> c@d=250 | 0"},
	{"PROXY 1, then the greeting at once", "C:PROXY TCP4 192.0.2.1 192.0.2.2 51000 25\nC:EHLO c\nS:220 mx\nS:250 ok\n" ENVELOPE BYE,
	 "192.0.2.1:51000 <a@b> c@d=250 | 0"},
	{"XCLIENT", HELLO "C:XCLIENT ADDR=192.0.2.9 PORT=1234 HELO=real\nS:220 mx\nC:EHLO c\nS:250 ok\n" ENVELOPE BYE,
	 "192.0.2.9:1234 <a@b> c@d=250 | 0"},
	{"XCLIENT with IPV6", HELLO "C:XCLIENT NAME=x ADDR=IPV6:2001:db8::9\nS:220 mx\nC:EHLO c\nS:250 ok\n" ENVELOPE BYE,
	 "2001:db8::9:51000 <a@b> c@d=250 | 0"},
	{"XCLIENT refused", HELLO "C:XCLIENT ADDR=192.0.2.9\nS:550 no\n" ENVELOPE BYE, "<a@b> c@d=250 | 0"},
	{"XFORWARD", HELLO "C:XFORWARD NAME=x ADDR=192.0.2.9\nS:250 ok\nC:XFORWARD PORT=99 HELO=real\nS:250 ok\n" ENVELOPE BYE,
	 "192.0.2.9:99 <a@b> c@d=250 | 0"},

	/* smuggling (capture.md section 1) */
	{"LF.LF obeyed", HELLO ENVELOPE "C:DATA\nS:354 go\nC|x\\n.\\nMAIL FROM:<e@f>\\r\\nRCPT TO:<g@h>\\r\\nDATA\\r\\nevil\\r\\n.\\r\\n\n"
	 "S:250 got\nS:250 ok\nS:250 ok\nS:354 go\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 2 | 250 smuggling bare_lf\n<e@f> g@h=250 | 6 | 250 pipelined"},
	{"LF.LF not obeyed", HELLO ENVELOPE "C:DATA\nS:354 go\nC|x\\n.\\nMAIL FROM:<e@f>\\r\\nRCPT TO:<g@h>\\r\\nDATA\\r\\nevil\\r\\n.\\r\\n\n"
	 "S:250 got\n" BYE,
	 "<a@b> c@d=250 | 48 | 250 smuggling bare_lf"},
	{"bare LF and nothing behind it", HELLO ENVELOPE "C:DATA\nS:354 go\nC|x\\n.\\ny\\r\\n.\\r\\n\nS:250 got\n" BYE, "<a@b> c@d=250 | 7 | 250 bare_lf"},
	{"NUL and bare CR", HELLO ENVELOPE "C:DATA\nS:354 go\nC|x\\0y\\rz\\r\\n.\\r\\n\nS:250 got\n" BYE, "<a@b> c@d=250 | 7 | 250 bare_cr nul"},

	/* what the capture lost */
	{"a hole in the message", HELLO ENVELOPE "C:DATA\nS:354 go\nC:x\nC-100\nC:y\nC:.\nS:250 got\n" BYE, "<a@b> c@d=250 | 6 cut hole 3+100 | 250"},
	{"the 354 is lost", HELLO ENVELOPE "C:DATA\nS-9\nC:x\nC:.\nS:250 got\n" BYE, "<a@b> c@d=250 | 3 | 250"},
	{"the end of the message is lost", HELLO ENVELOPE "C:DATA\nS:354 go\nC:x\nC-5\nS:250 got\n" ENVELOPE BYE,
	 "<a@b> c@d=250 | 3 cut hole 3+5 | 250\n<a@b> c@d=250 | 0"},
	{"a RCPT is lost", HELLO "C:MAIL FROM:<a@b>\nS:250 ok\nC-16\nS:250 ok\nC:RCPT TO:<e@d>\nS:550 no\n" BYE, "<a@b> e@d=550 | 0"},
	{"begins inside a message", "M:\nC:x\nC:.\nS:250 got\n" ENVELOPE "C:DATA\nS:354 go\nC:x\nC:.\nS:250 got\n" BYE,
	 "<a@b> c@d=250 | 3 | 250 midstream"},
	{"begins with a greeting", "M:\nC:EHLO c\nS:250 ok\n" ENVELOPE BYE, "<a@b> c@d=250 | 0 midstream"},
};

static void add_reply(struct buf *out, const struct txn_reply *r)
{
	buf_addf(out, "%d", r->code);
	if (r->enhanced.p)
		buf_addf(out, "/%.*s", (int)r->enhanced.n, r->enhanced.p);
}

static void on_transaction(void *arg, struct txn *t)
{
	struct buf *out = arg;
	char peer[IP_TEXT_BYTES];
	if (out->n)
		buf_adds(out, "\n");
	if (t->peer.family && t->flags & TXN_PROXIED)
		buf_addf(out, "%s:%u ", ip_text(&t->peer, peer), t->port);
	if (t->mail_from.s.p)
		buf_addf(out, "<%.*s>", (int)t->mail_from.s.n, t->mail_from.s.p);
	else
		buf_adds(out, "?");
	for (size_t i = 0; i < t->n_rcpts; i++) {
		buf_addf(out, " %.*s=", (int)t->rcpts[i].to.n, t->rcpts[i].to.p);
		add_reply(out, &t->rcpts[i].reply);
	}
	if (t->message.p)
		buf_addf(out, " | %llu%s", (unsigned long long)t->size, t->complete ? "" : " cut");
	for (size_t i = 0; i < t->n_holes; i++)
		buf_addf(out, " hole %llu+%llu", (unsigned long long)t->holes[i].offset,
			 (unsigned long long)t->holes[i].length);
	buf_adds(out, " | ");
	add_reply(out, &t->reply);
	for (uint32_t bits = t->flags & ~(uint32_t)TXN_PROXIED; bits; bits &= bits - 1)
		buf_addf(out, " %s", txn_flag_name(bits & -bits));
	if (t->complete != (t->message.p && t->hashed))
		buf_adds(out, " HASH");
	/* a secret of AUTH in these scripts has this word in it */
	if (span_find(t->helo.s, SPAN("c2VjcmV0")) != SIZE_MAX)
		buf_adds(out, " SECRET");
	txn_free(t);
}

static void on_session(void *arg, const struct smtp_session *s)
{
	struct buf *out = arg, text = BUF_INIT;
	if (out->n)
		buf_adds(out, "\n");
	buf_adds(out, "session");
	if (s->helo.p)
		buf_addf(out, " %.*s", (int)s->helo.n, s->helo.p);
	buf_adds(out, s->tls.on ? " tls " : " ");
	add_reply(out, &s->reply);
	smtp_session_write(s, true, &text);
	if (span_find(buf_span(&text), SPAN("c2VjcmV0")) != SIZE_MAX)
		buf_adds(out, " SECRET");
	buf_free(&text);
}

static void unescape(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\\' || i + 1 == s.n) {
			buf_addc(out, s.p[i]);
			continue;
		}
		char c = s.p[++i];
		if (c == 'x') {
			char hex[3] = {s.p[i + 1], s.p[i + 2], '\0'};
			c = (char)strtol(hex, NULL, 16);
			i += 2;
		} else {
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == '0' ? '\0' : c;
		}
		buf_addc(out, c);
	}
}

static bool feed(struct smtp *s, enum tcp_side side, struct buf *turn, unsigned mode, int64_t *now)
{
	struct span all = buf_span(turn);
	bool go_on = true;
	for (size_t at = 0; at < all.n && go_on;) {
		size_t n = mode == 2 ? 1 : all.n;
		go_on = smtp_feed(s, side, span_sub(all, at, at + n), ++*now, false);
		at += n;
	}
	buf_reset(turn);
	return go_on;
}

static void run(const struct row *row, unsigned mode, struct buf *seen)
{
	static const struct smtp_events events = {on_transaction, on_session};
	static const struct smtp_options options = {.keep = true, .hash = true};
	struct smtp_counters counters = {0};
	struct tcp_connection c = {.client = ip_from_v4("\x0a\0\0\1"), .client_port = 51000,
				   .server_port = 25, .midstream = row->script[0] == 'M'};
	struct smtp *s = smtp_create(&c, &options, &events, seen, NULL, &counters, true);
	struct span rest = span_of(row->script), line;
	struct buf turn = BUF_INIT;
	enum tcp_side side = TCP_SERVER;
	int64_t now = 1;
	bool go_on = true;
	assert_non_null(s);
	while (span_next_line(&rest, &line) && line.n > 1) {
		if (line.p[0] == 'M')
			continue;
		enum tcp_side next = line.p[0] == 'S' ? TCP_SERVER : TCP_CLIENT;
		if (turn.n && (next != side || mode == 0 || line.p[1] == '-'))
			go_on = go_on && feed(s, side, &turn, mode, &now);
		side = next;
		if (line.p[1] == '-') {
			smtp_gap(s, side, (uint64_t)strtoull(line.p + 2, NULL, 10), ++now);
			continue;
		}
		unescape(&turn, span_sub(line, 2, line.n));
		if (line.p[1] == ':')
			buf_adds(&turn, "\r\n");
	}
	if (turn.n && go_on)
		feed(s, side, &turn, mode, &now);
	smtp_end(s, ++now);
	buf_free(&turn);
}

static void test_rows(void **state)
{
	unsigned failed = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned mode = 0; mode < 3; mode++) {
			struct buf seen = BUF_INIT;
			run(&rows[i], mode, &seen);
			buf_addc(&seen, '\0');
			if (strcmp(seen.p, rows[i].want) != 0) {
				print_error("%s (mode %u)\n  got  %s\n  want %s\n", rows[i].name, mode,
					    seen.p, rows[i].want);
				failed++;
			}
			buf_free(&seen);
		}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
