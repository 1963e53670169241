#!/usr/bin/python3
"""Intake, matching, digests and what comes back, with the program as it is built and no daemon.

usage: feedback_intake.py ASSAY

Transactions are written into an event log; complaints, bounces and answers go through the program;
the reports and digests that come out are counted against the log by code of this file alone.
"""
import base64
import collections
import email
import email.policy
import hashlib
import html
import json
import os
import quopri
import re
import sqlite3
import sys
import time
import urllib.parse

import feedback
from feedback import Place, check, failures

FILING = """sender brand {
	dkim brand.example
	feedback fbl@brand.example { complaint error }
}
sender esp {
	ip 192.0.2.0/28
	dkim esp.example
	feedback fbl@esp.example { xarf error language zh }
}
"""


class Desk(Place):
    """A place with several senders and transactions of any shape."""

    def __init__(self, filing=FILING, report="", **words):
        self.filing_text, self.report_words = filing, report
        super().__init__("folder OUT", **words)

    def prepare(self):
        pass

    def setup_senders(self):
        with open(self.config) as f:
            text = f.read().replace("via folder", self.report_words + " via folder")
        with open(self.config, "w") as f:
            f.write(text)
        with open(self.folder + "/filing", "w") as f:
            f.write(self.filing_text)
        r = self.run("sender", "file", self.folder + "/filing")
        for key in [line.split()[1] for line in self.filing_text.splitlines()
                    if line.startswith("sender ")]:
            self.run("sender", "approve", key, "--by", "ann", "--waive", "a test")
            r = self.run("sender", "approve", key, "--by", "bob")
        return r

    def event(self, **words):
        self.ids += 1
        event = "01JDBBBBBBBBBBBBBB%08d" % self.ids
        os.makedirs(self.state + "/log", exist_ok=True)
        line = {"event": "txn", "id": event,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "source": "milter",
                "file": None, "session": "s", "tx": 1, "peer": "198.51.100.9", "port": 4711,
                "helo": "out", "mail_from": "b+1@brand.example",
                "rcpts": [{"to": feedback.RCPT, "code": 250, "enhanced": None, "text": None}],
                "reply": None, "complete": True, "message_id": "<%d@brand.example>" % self.ids,
                "sender": {"by": "dkim", "key": "brand", "registered": "brand"}, "list": None,
                "class": {"marketing": True, "kind": "commercial"},
                "auth": {"spf": {"result": "fail", "domain": "brand.example"},
                         "dkim": [{"d": "brand.example", "s": "x", "result": "pass", "reason": None}],
                         "dmarc": {"result": "pass"}}}
        line.update(words)
        with open(self.state + "/log/20260101-000000-000000.jsonl", "a") as f:
            f.write(json.dumps(line) + "\n")
        return line

    def mail(self, event, extra=""):
        return ("X-Assay-Verdict: accept; id=%s; score=0; compliance=100\r\n%s"
                "Received: from out by mx1.mbox.example for <%s>; Mon, 23 Nov 2026 08:00:00 +0000\r\n"
                "From: News <news@brand.example>\r\nTo: <%s>\r\nSubject: Offer for %s\r\n"
                "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: %s\r\n"
                "Content-Type: text/plain\r\n\r\nHello %s\r\n"
                % (event["id"], extra, feedback.RCPT, feedback.RCPT, feedback.RCPT,
                   event["message_id"], feedback.RCPT)).encode()

    def parsed(self):
        return [email.message_from_bytes(open(p, "rb").read(), policy=email.policy.default)
                for p in self.reports()]

    def outcome(self, mail, *words):
        r = self.run("complain", *words, "-", data=mail)
        return r.stdout.decode().split(" ")[1] if r.returncode == 0 else r.stderr.decode()


def desk(**words):
    place = Desk(**words)
    r = place.setup_senders()
    if r.returncode:
        print(r.stderr.decode())
    return place


def attachment(mail, name):
    for part in mail.walk():
        if part.get_filename() == name:
            return part.get_payload(decode=True)
    return None


# --- who is told ------------------------------------------------------------------------


def brand_and_provider():
    place = desk()
    event = place.event(peer="192.0.2.9")
    check("brand and provider: outcome", place.outcome(place.mail(event)) == "report")
    mails = {m["To"]: m for m in place.parsed()}
    check("brand and provider are told each", sorted(mails) == ["fbl@brand.example", "fbl@esp.example"],
          sorted(mails))
    if len(mails) == 2:
        arf, xarf = mails["fbl@brand.example"], mails["fbl@esp.example"]
        check("each under its own Message-ID", arf["Message-ID"] != xarf["Message-ID"])
        report = json.loads(attachment(xarf, "xarf.json") or b"{}")
        check("XARF: fields", report.get("xarf_version") == "4.2.0" and
              report.get("category") == "messaging" and report.get("type") == "spam" and
              report.get("protocol") == "smtp" and report.get("source_port") == 4711 and
              report.get("source_identifier") == "192.0.2.9" and
              report.get("evidence_source") == "user_complaint", report)
        payload = base64.b64decode(report["evidence"][0]["payload"])
        check("XARF: the message's id is in the evidence, the recipient is nowhere",
              event["message_id"].encode() in payload and feedback.RCPT.encode() not in payload and
              feedback.RCPT not in json.dumps(report), payload)
        check_xarf_form(report)
        check_xarf_schema(report)
        token = arf.get_payload()[1].get_payload()[0] if arf.is_multipart() else None
        check("tokens of two senders differ", token is not None and
              report["smtp_to"] not in str(token), report["smtp_to"])
    place.close()


# XARF 4.2 as its specification tells it, for "messaging/spam": written here, no copy of theirs.
CONTACT = {"type": "object", "additionalProperties": False, "required": ["org", "contact", "domain"],
           "properties": {"org": {"type": "string", "minLength": 1, "maxLength": 200},
                          "contact": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"},
                          "domain": {"type": "string", "pattern": "^[a-z0-9.-]+\\.[a-z0-9-]+$"}}}
XARF = {
    "type": "object", "additionalProperties": False,
    "required": ["xarf_version", "report_id", "timestamp", "reporter", "sender", "source_identifier",
                 "category", "type", "protocol", "smtp_from", "source_port", "evidence_source"],
    "properties": {
        "xarf_version": {"type": "string", "pattern": "^4\\.[0-9]+\\.[0-9]+$"},
        "report_id": {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]"
                                                   "[0-9a-f]{3}-[0-9a-f]{12}$"},
        "timestamp": {"type": "string",
                      "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"},
        "reporter": CONTACT, "sender": CONTACT,
        "source_identifier": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
        "source_port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "category": {"const": "messaging"}, "type": {"const": "spam"}, "protocol": {"const": "smtp"},
        "smtp_from": {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"},
        "smtp_to": {"type": "string", "pattern": "^[a-z2-7]{20}@[^@ ]+$"}, # a token, nobody's address
        "subject": {"type": "string"}, "message_id": {"type": "string"},
        "evidence_source": {"enum": ["spamtrap", "user_complaint", "automated_filter", "honeypot",
                                     "content_analysis", "reputation_feed"]},
        "evidence": {"type": "array", "minItems": 1, "maxItems": 50, "items": {
            "type": "object", "additionalProperties": False, "required": ["content_type", "payload"],
            "properties": {"content_type": {"enum": ["message/rfc822", "text/rfc822-headers"]},
                           "description": {"type": "string"},
                           "payload": {"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$"},
                           "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
                           "size": {"type": "integer", "minimum": 1, "maximum": 5 << 20}}}},
    }}


def check_xarf_form(report):
    evidence = report["evidence"][0]
    payload = base64.b64decode(evidence["payload"], validate=True)
    check("XARF: size and hash are those of the evidence", evidence["size"] == len(payload) and
          evidence["hash"] == "sha256:" + hashlib.sha256(payload).hexdigest(), evidence)
    try:
        from jsonschema import Draft7Validator, FormatChecker
    except ImportError:
        print("skip XARF: python3-jsonschema is not installed (tests/packages.txt)")
        return
    validator = Draft7Validator(XARF, format_checker=FormatChecker())
    errors = [e.message for e in validator.iter_errors(report)]
    check("XARF: our schema holds", not errors, errors)
    for key, value in (("report_id", "1"), ("timestamp", "now"), ("source_identifier", "here"),
                       ("source_port", 0), ("category", "abuse"), ("smtp_to", feedback.RCPT),
                       ("reporter", {"org": "x"}), ("evidence", []), ("extra", 1)):
        check("XARF: our schema sees a wrong " + key,
              bool(list(validator.iter_errors(dict(report, **{key: value})))))


def check_xarf_schema(report):
    """With the schemas of the XARF project where they are, named by XARF_SCHEMAS."""
    folder = os.environ.get("XARF_SCHEMAS")
    if not folder:
        print("skip XARF schema: XARF_SCHEMAS does not name the folder schemas/v4 of xarf-spec")
        return
    import glob
    from jsonschema import Draft202012Validator, FormatChecker, RefResolver
    store = {}
    for path in glob.glob(folder + "/**/*.json", recursive=True):
        schema = json.load(open(path))
        store[schema.get("$id", path)] = schema
    top = "https://xarf.org/schemas/v4/types/messaging-spam.json"
    check_one = Draft202012Validator(store[top], resolver=RefResolver(top, store[top], store=store),
                                     format_checker=FormatChecker())
    errors = [e.message for e in check_one.iter_errors(report)]
    check("XARF: the schema holds", not errors, errors)
    del report["protocol"]
    check("XARF: the schema sees a missing field", bool(list(check_one.iter_errors(report))))


def gate():
    place = desk()
    forged = place.event(auth={"spf": {"result": "fail", "domain": "brand.example"},
                               "dkim": [{"d": "brand.example", "s": "x", "result": "fail"}]})
    check("a failed identity gets nothing", place.outcome(place.mail(forged)) == "failed-auth")
    asked = place.event(auth={"spf": {"result": "none", "domain": None}, "dkim": []},
                        cfbl={"address": "abuse@cfbl.example", "report": "arf",
                              "domain": "cfbl.example"})
    check("CFBL-Address that holds: told", place.outcome(place.mail(asked)) == "report")
    check("CFBL: to the address asked for, ids alone",
          [m["To"] for m in place.parsed()] == ["abuse@cfbl.example"] and
          b"\r\nReceived:" not in open(place.reports()[0], "rb").read(), place.reports())
    made_up = place.event(auth={"spf": {"result": "none", "domain": None}, "dkim": []})
    mail = place.mail(made_up, "CFBL-Address: victim@elsewhere.example\r\n")
    check("CFBL-Address that only the complaint shows: nothing",
          place.outcome(mail) == "failed-auth")
    auto = place.event(**{"class": {"marketing": False}})
    check("a machine's mail", place.outcome(place.mail(auto, "Auto-Submitted: auto-generated (x)\r\n"))
          == "no-sender")
    shop = place.event()
    check("marketing does not hide behind Auto-Submitted",
          place.outcome(place.mail(shop, "Auto-Submitted: auto-generated\r\n")) == "report")
    null = place.event(mail_from="")
    check("null sender", place.outcome(place.mail(null)) == "no-sender")
    never = place.event()
    mail = place.mail(never).replace(b"JDBBBB", b"JDXXXX").replace(never["message_id"].encode(), b"<no@x>")
    check("never received", place.outcome(mail) == "unverified")
    check("another recipient", place.outcome(place.mail(place.event()), "--rcpt", "li@mbox.example")
          == "unverified")
    place.close()


def mass_moves():
    place = desk()
    with open(place.config) as f:
        text = f.read().replace("hold 0s jitter 0s", "hold 1h jitter 0s")
    with open(place.config, "w") as f:
        f.write(text)
    outcomes = collections.Counter()
    for _ in range(103):
        outcomes[place.outcome(place.mail(place.event()), "--way", "imap")] += 1
    check("a client that moves a folder: 100 in an hour", outcomes == {"report": 100, "unverified": 3},
          outcomes)
    states = collections.Counter(q["state"] for q in place.queue())
    check("and what it moved is taken back", states == {"suppressed": 100}, states)
    place.close()


# --- leaks ----------------------------------------------------------------------------------


def disguises(address):
    """The address as senders write it into subjects, links and texts."""
    local, domain = address.split("@")
    b64 = lambda s: base64.b64encode(s.encode()).decode()
    hexes = lambda f: "".join(f % ord(c) for c in address)
    yield from (address, address.upper(), address.title(), "<%s>" % address, "mailto:" + address,
                urllib.parse.quote(address, safe=""), urllib.parse.quote(urllib.parse.quote(address, safe="")),
                hexes("%%%02x"), hexes("%%%02X"), address.replace("@", "%40"), address.replace(".", "%2E"),
                html.escape(address).replace("@", "&#64;"), hexes("&#%d;"), hexes("&#x%x;"),
                address.replace("@", "&commat;"), hexes("\\u%04x"), hexes("\\x%02x"),
                b64(address), b64(address).rstrip("="), b64("<" + address), b64("to:" + address), b64("to: " + address),
                base64.urlsafe_b64encode(address.encode()).decode(), address.encode().hex(),
                address.encode().hex().upper(), local + "=" + domain, "bounce+%s=%s" % (local, domain),
                "=?utf-8?q?%s?=" % hexes("=%02X"), "=?utf-8?b?%s?=" % b64(address),
                "=?utf-8?q?%s?= =?utf-8?q?%s?=" % (local, "=40" + domain),
                "=?iso-8859-1?Q?%s?=" % address.replace("@", "=40"),
                "%s (x) @ %s" % (local, domain), local + "@" + domain.upper(),
                "".join(chr(ord(c) + 0xfee0) if 33 <= ord(c) <= 126 else c for c in address),
                address.replace("@", "@\u200b"), address.replace("@", "\u00ad@"), '"%s"@%s' % (local, domain),
                "<b>%s</b>@%s" % (local, domain), quopri.encodestring(address.encode(), quotetabs=True)
                .decode().replace("@", "=40").strip())


def readings(octets):
    """What an independent reader could make of a text: decoders over decoders."""
    import email.header
    seen, todo = set(), [octets.decode("utf-8", "replace")]
    todo.append(re.sub(r"\r\n[ \t]", " ", todo[0]))
    while todo and len(seen) < 400:
        text = todo.pop()
        if text in seen:
            continue
        seen.add(text)
        try:
            joined = re.sub(r"\?=\s+=\?", "?==?", text)
            todo.append("".join(p.decode(c or "latin-1", "replace") if isinstance(p, bytes) else p
                                for p, c in email.header.decode_header(joined)))
        except (ValueError, LookupError, email.errors.HeaderParseError):
            pass
        todo.append(urllib.parse.unquote(text))
        todo.append(html.unescape(text))
        todo.append(quopri.decodestring(text.encode()).decode("utf-8", "replace"))
        todo.append(re.sub(r"\\(?:u00|x)([0-9a-fA-F]{2})", lambda m: chr(int(m.group(1), 16)), text))
        todo.append(re.sub(r"<[^<>]*>|[\u200b\u00ad]", "", text))
        for run in re.findall(r"[A-Za-z0-9+/_-]{16,}", text):
            for skip in range(4):
                part = run[skip:].replace("-", "+").replace("_", "/")
                try:
                    todo.append(base64.b64decode(part[:len(part) // 4 * 4]).decode("latin-1"))
                except ValueError:
                    pass
        for run in re.findall(r"(?:[0-9a-fA-F]{2}){8,}", text):
            todo.append(bytes.fromhex(run).decode("latin-1"))
    return seen


def leaks():
    """The recipient in forty encodings, in the Subject, in a field and in the body."""
    import unicodedata
    place = desk(filing=FILING.replace("complaint error", "complaint profile full"))
    all_of_them, found = list(disguises(feedback.RCPT)), []
    for text in all_of_them:
        event = place.event()
        mail = place.mail(event, "X-Link: https://brand.example/?e=%s\r\n" % text)
        mail = mail.replace(b"Subject: Offer for " + feedback.RCPT.encode(),
                            b"Subject: Offer for " + text.encode())
        mail = mail.replace(b"Hello " + feedback.RCPT.encode(), b"Hello " + text.encode())
        if place.outcome(mail) != "report":
            found.append((text, "no report"))
            continue
        report = open(sorted(place.reports())[-1], "rb").read()
        for reading in readings(report):
            plain = unicodedata.normalize("NFKC", reading).lower()
            if feedback.RCPT in plain or "wang=mbox.example" in plain:
                found.append((text, plain[max(0, plain.find("wang") - 60):][:160]))
                break
        if event["message_id"].encode() not in report:
            found.append((text, "the Message-ID has changed"))
    check("the recipient in %d encodings in Subject, field and body: none survives" % len(all_of_them),
          not found, found)
    place.close()


# --- what comes back ---------------------------------------------------------------------


def dsn(to, status, action="failed"):
    return ("From: MAILER-DAEMON@mx1.mbox.example\r\nTo: <%s>\r\nAuto-Submitted: auto-replied\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
            "--b\r\n\r\nno\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
            "Reporting-MTA: dns; mx1.mbox.example\r\n\r\nFinal-Recipient: rfc822; fbl@brand.example\r\n"
            "Action: %s\r\nStatus: %s\r\n\r\n--b--\r\n" % (to, action, status)).encode()


def bounce(place, data, *words):
    return place.run("bounce", *words, "-", data=data).stdout.decode().strip()


def bounces():
    sink = feedback.Sink(250)
    place = desk()
    with open(place.config) as f:
        text = f.read()
    with open(place.config, "w") as f:
        f.write(text.replace("via folder " + place.out, "via smtp 127.0.0.1:%d" % sink.port))
    for _ in range(6):
        place.outcome(place.mail(place.event()))
    back = sink.envelopes
    check("six reports with six return addresses", len(set(back)) == 6, sink.envelopes)
    check("a delay is none", bounce(place, dsn(back[0], "4.4.1", "delayed")) == "delayed")
    check("a forged return address", bounce(place, dsn("fbl+01jdbbbbbbbbbbbbbbbbbb0001.aaaaaaaaaa"
                                                       "@mbox.example", "5.1.1")) == "unknown")
    check("an autoresponder", bounce(place, b"From: x@brand.example\r\nTo: <" + back[0].encode() +
                                     b">\r\nAuto-Submitted: auto-replied\r\nSubject: STOP\r\n\r\naway\r\n")
          == "ignored")
    said = [bounce(place, dsn(b, "5.1.1")) for b in back[:4]]
    said += [bounce(place, dsn(back[0], "5.1.1"))]  # the same again
    check("four bounces do not suspend", said == ["failed"] * 5, said)
    check("the fifth does", bounce(place, dsn(back[4], "5.1.1")) == "suspended")
    check("nothing is sent any more", place.outcome(place.mail(place.event())) == "report" and
          len(sink.mails) == 6)
    states = collections.Counter(q["state"] for q in place.queue())
    check("and it is said", states == {"failed": 5, "sent": 1, "suppressed": 1} and
          b"came back" in place.run("queue", "addresses").stdout, states)
    check("resumed", place.run("queue", "resume", "fbl@brand.example").returncode == 0 and
          place.outcome(place.mail(place.event())) == "report" and len(sink.mails) == 7)
    sent = email.message_from_bytes(sink.mails[-1])
    stop = ("From: fbl@brand.example\r\nTo: fbl@mbox.example\r\nSubject: Re: stop\r\n"
            "In-Reply-To: %s\r\n\r\n" % sent["Message-ID"]).encode()
    check("STOP by somebody who got no report", bounce(place, stop.replace(b"In-Reply-To: <01",
                                                                          b"In-Reply-To: <02")) == "unknown")
    check("STOP", bounce(place, stop) == "stop")
    place.outcome(place.mail(place.event()))
    check("is honoured", len(sink.mails) == 7 and
          b"STOP" in place.run("queue", "addresses").stdout)
    place.close()


def notices():
    """Ends of enrolments and suspended addresses are told once each, whoever comes by how often."""
    def org(address):
        return '\torg { name "Brand" email "%s" }\n' % address

    filing = ("sender brand {\n" + org("ops@brand.example") + "\tdkim brand.example\n"
              "\tfeedback fbl@brand.example { complaint }\n}\n"
              "sender silent {\n" + org("fbl@silent.example") + "\tdkim silent.example\n"
              "\tfeedback fbl@silent.example { complaint language zh }\n}\n")
    place = desk(filing=filing)

    def told():
        for _ in range(3):
            place.run("queue", "run")
        return [(str(m["To"]), str(m["Subject"])[:30]) for m in place.parsed()
                if ".notice@" in m["Message-ID"]]

    def ends_in(days, key="brand"):
        registry = sqlite3.connect(place.state + "/registry.sqlite")
        with registry:
            registry.execute("UPDATE sender SET until_us = ?1, due_us = ?1 WHERE key = ?2",
                             (int((time.time() + days * 86400) * 1e6), key))
        registry.close()

    check("a year before its end: nothing is told", told() == [], told())
    for days, want in ((31, 0), (29, 1), (29.5, 2), (13, 3), (2, 4)):
        ends_in(days)
        got = told()
        check("%s days before the end: %d told, once each" % (days, want), len(got) == want and
              all(t[0] == "ops@brand.example" for t in got), got)
    text = [m for m in place.parsed() if ".notice@" in m["Message-ID"]][-1].get_body().get_content()
    check("in words, with the day", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86400)) in
          text and "到期" in text, text)
    ends_in(-1)
    check("after its end: nothing more", len(told()) == 4, told())
    ends_in(300)
    queue = sqlite3.connect(place.state + "/queue.sqlite")
    with queue:
        for key in ("brand", "silent"):
            queue.execute("INSERT INTO address (sender, address, since_us, why) VALUES (?, ?, 1, "
                          "'5 of 5 reports came back')", (key, "fbl@%s.example" % key))
    queue.close()
    got = told()
    check("a suspended address is told to the contact, and never to itself",
          [t[0] for t in got[4:]] == ["ops@brand.example"], got)
    books = json.loads(place.run("report", "brand", "--json").stdout or b"{}")
    check("notices count as no reports", books.get("reports", 0) == 0, books)
    place.close()


def caps():
    place = desk(report="cap 3")
    for _ in range(5):
        place.outcome(place.mail(place.event()))
    states = collections.Counter(q["state"] for q in place.queue())
    check("a cap of three a day", states == {"sent": 3, "suppressed": 2}, states)
    place.close()


# --- digests --------------------------------------------------------------------------------


def digests():
    """Refusals of three hours; the sum of the digests is what the log says."""
    place = desk()
    start = (int(time.time()) // 3600 - 5) * 3600
    codes = [(250, None, None), (550, "5.1.1", "no such user <%s>"), (452, "4.2.2", "full"),
             (550, None, "unknown"), (451, "4.7.28", "slow down"), (554, "5.7.1", "policy %s")]
    want, want_sender = collections.Counter(), "brand"
    addresses = set()
    for hour in range(3):
        for i in range(40):
            rcpts = []
            for k in range(1 + i % 3):
                code, enhanced, text = codes[(i * 7 + k * 5 + hour) % len(codes)]
                to = "u%d@mbox.example" % ((i * 3 + k) % 50)
                rcpts.append({"to": to, "code": code, "enhanced": enhanced,
                              "text": text % to if text and "%s" in text else text})
            reply = {"code": 554, "text": "5.7.26 DMARC"} if i % 11 == 0 else {"code": 250, "text": "ok"}
            registered = "brand" if i % 4 else None
            place.event(time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start + hour * 3600 + i * 60)),
                        rcpts=rcpts, reply=reply, list="l%d.brand.example" % (i % 2),
                        sender={"by": "dkim", "key": "x", "registered": registered})
    # the independent count, of the log as it stands
    for name in os.listdir(place.state + "/log"):
        if not name.endswith(".jsonl"):
            continue
        for line in open(place.state + "/log/" + name):
            e = json.loads(line)
            if e["event"] != "txn" or e["sender"]["registered"] != want_sender:
                continue
            for r in e["rcpts"]:
                if r["code"] >= 400:
                    want[(e["list"], r["code"], r["enhanced"])] += 1
                    if r["enhanced"] in ("5.1.1", None):
                        addresses.add(r["to"])
                elif e["reply"]["code"] >= 400:
                    want[(e["list"], e["reply"]["code"], e["reply"]["text"].split()[0])] += 1
    r = place.run("queue", "run")
    check("digests: queue run", r.returncode == 0, r.stderr)
    got = {"hour": collections.Counter(), "day": collections.Counter()}
    told, csv_rows = set(), 0
    mails = [m for m in place.parsed() if attachment(m, "addresses.csv") is not None]
    for m in mails:
        d = json.loads(attachment(m, "digest.json"))
        for c in d["codes"]:
            got[d["length"]][(c["campaign"], c["code"], c["enhanced"])] += c["count"]
            check_once("digests: samples show nobody", "@mbox.example" not in c["sample"] or
                       "u" != c["sample"].split("<")[-1][0] or c["sample"].count("@") == 1 and
                       len(c["sample"].split("@")[0].split("<")[-1]) == 20, c["sample"])
        if d["length"] == "hour":
            csv_rows += len(attachment(m, "codes.csv").decode().strip().split("\r\n")) - 1
            told |= {a["address"] for a in d["remove"]}
            check_once("digests: the totals are the codes",
                       d["hard"] + d["soft"] == sum(c["count"] for c in d["codes"]), d)
    check("digests: three hours", sum(1 for m in mails if json.loads(
        attachment(m, "digest.json"))["length"] == "hour") == 3, len(mails))
    check("digests: counts are those of the log to the unit", got["hour"] == want,
          (got["hour"] - want, want - got["hour"]))
    check("digests: the addresses to remove", told == addresses, told ^ addresses)
    check("digests: CSV has the same rows", csv_rows > 0, csv_rows)
    days = {}
    for m in mails:
        d = json.loads(attachment(m, "digest.json"))
        if d["length"] == "day":
            days[d["period"]] = sum(c["count"] for c in d["codes"])
    check("digests: a day that is over is all its hours, an open one is not told",
          sum(days.values()) in (0, sum(want.values())) or sum(days.values()) < sum(want.values()), days)
    before = len(place.reports())
    place.run("queue", "run")
    check("digests: each once", len(place.reports()) == before, place.reports())
    # hygiene: tried again after it was told. An event now is in an hour that is not over; the
    # warning is counted when the log is read.
    place.close()


once_said = set()


def check_once(what, ok, detail=""):
    """A check of a loop: told when it fails, or the first time."""
    if not ok or what not in once_said:
        once_said.add(what)
        check(what, ok, detail)


# --- loops ------------------------------------------------------------------------------------


def loops():
    """Two providers registered with each other, and an autoresponder on a feedback address."""
    a, b = desk(), desk(filing="sender other { dkim mbox.example feedback fbl@mbox.example { complaint } }\n"
                               .replace("{ dkim", "{\n dkim").replace(" feedback", "\n feedback"))
    a.outcome(a.mail(a.event()))
    rounds, waiting = 0, list(a.reports())
    sent = len(waiting)
    while waiting and rounds < 10:
        rounds += 1
        text = open(waiting.pop(), "rb").read()
        parsed = email.message_from_bytes(text)
        # it reaches a mailbox at the other provider, whose reader calls it spam
        event = b.event(message_id=parsed["Message-ID"], mail_from="fbl+x@mbox.example",
                        sender={"by": "dkim", "key": "other", "registered": "other"},
                        auth={"spf": {"result": "pass", "domain": "mbox.example"},
                              "dkim": [{"d": "mbox.example", "s": "s", "result": "pass"}],
                              "dmarc": {"result": "pass"}})
        b.outcome(text, "--rcpt", feedback.RCPT)
        # and an autoresponder answers it
        answer = ("From: fbl@brand.example\r\nTo: fbl@mbox.example\r\nAuto-Submitted: auto-replied\r\n"
                  "In-Reply-To: %s\r\nSubject: We got your report\r\n\r\nThanks.\r\n"
                  % parsed["Message-ID"]).encode()
        bounce(a, answer)
        new = b.reports()
        sent += len(new)
        waiting += new
        del event
    check("two providers and an autoresponder: it ends at once", sent == 1 and rounds == 1, (sent, rounds))
    a.close()
    b.close()


def spool():
    place = desk()
    folder = place.folder + "/complaints"
    os.makedirs(folder)
    with open(place.config, "a") as f:
        f.write("spool complaints %s\n" % folder)
    for i in range(3):
        with open(folder + "/%d.eml" % i, "wb") as f:
            f.write(place.mail(place.event()))
        os.utime(folder + "/%d.eml" % i, (time.time() - 60,) * 2)
    r = place.run("queue", "run")
    check("a spool of complaints is emptied", r.returncode == 0 and not os.listdir(folder) and
          len(place.reports()) == 3, (r.stderr, os.listdir(folder), place.reports()))
    place.close()


def mailbox_events():
    place = desk()
    event = place.event(list="l1.brand.example")
    r = place.run("event", "unsubscribe", "--rcpt", feedback.RCPT, "--method", "one-click", "--status",
                  "200", event["message_id"])
    lines = [json.loads(line) for name in sorted(os.listdir(place.state + "/log"))
             if name.endswith(".jsonl") for line in open(place.state + "/log/" + name)
             if '"event":"unsubscribe"' in line]
    check("an unsubscription is written down", r.returncode == 0 and len(lines) == 1 and
          (lines[0]["txn"], lines[0]["sender"], lines[0]["list"], lines[0]["status"]) ==
          (event["id"], "brand", "l1.brand.example", 200) and
          feedback.RCPT not in json.dumps(lines), (r.stdout, r.stderr, lines))
    check("an open of a mail that never came is not", b"unverified" in
          place.run("event", "open", "<never@brand.example>").stdout)
    check("the usage", place.run("event", "stare", "<x@y>").returncode == 64)
    place.close()


def help_reply():
    place = desk()
    inline = ("From: %s\r\nReturn-Path: <%s>\r\nTo: abuse@mbox.example\r\nSubject: Fwd: Offer\r\n"
              "Message-ID: <f1@mbox.example>\r\n\r\n> Buy now\r\n" % (feedback.RCPT, feedback.RCPT)).encode()
    for _ in range(3):
        place.outcome(inline, "--way", "attachment")
    place.run("queue", "run")
    check("an inline forward gets one word of help", [m["To"] for m in place.parsed()] == [feedback.RCPT],
          place.reports())
    place.outcome(inline.replace(b"Subject:", b"Auto-Submitted: auto-replied\r\nSubject:")
                  .replace(feedback.RCPT.encode(), b"li@mbox.example"), "--way", "attachment")
    place.run("queue", "run")
    check("a machine gets none", len(place.reports()) == 1)
    place.close()


if __name__ == "__main__":
    for part in (brand_and_provider, gate, leaks, mass_moves, bounces, notices, caps, digests, loops, spool,
                 mailbox_events, help_reply):
        part()
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
