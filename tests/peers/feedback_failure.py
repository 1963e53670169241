#!/usr/bin/python3
"""Reports of failed authentication (RFC 6591): to who asked for them, one an hour and address.

usage: feedback_failure.py ASSAY

Events of past hours stand in the log when the daemon starts; the SPF record comes from a zone file.
"""
import email
import email.policy
import json
import shutil
import subprocess
import sys
import time

import feedback
from feedback import check, failures
from feedback_intake import Desk
from feedback_run import Daemon, wait

FILING = """sender asks {
	domain asks.example
	dkim asks.example
	feedback fbl@asks.example { complaint auth-failure }
}
sender silent {
	domain silent.example
	feedback fbl@silent.example { complaint error }
}
"""
ZONE = '$ORIGIN asks.example.\n@ 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"\n'


def forged(place, domain, peer, hours=3, **words):
    auth = {"spf": {"result": "fail", "domain": domain}, "dmarc": {"result": "fail", "policy": "none",
            "disposition": "none", "domain": domain},
            "dkim": [{"d": "m." + domain, "s": "s1", "result": "fail", "reason": "bodyhash"}]}
    auth.update(words.pop("auth", {}))
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - hours * 3600)),
            "peer": peer, "from": "boss@" + domain, "subject": "预付款 for " + feedback.RCPT,
            "mail_from": "x@" + domain, "sender": {"by": None, "key": None, "registered": None},
            "message_id": "<%d@%s>" % (place.ids, domain), "auth": auth, "action": "accept"}
    line.update(words)
    event = place.event(**line)
    return event


def compact(place):
    """Events as Assay writes them: without blanks."""
    path = place.state + "/log/20260101-000000-000000.jsonl"
    lines = [json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False)
             for line in open(path)]
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    place = Desk(filing=FILING)
    place.setup_senders()
    with open(place.folder + "/zone", "w") as f:
        f.write(ZONE)
    with open(place.config, "a") as f:
        f.write("dns zone %s/zone\n" % place.folder)
    for _ in range(3):
        forged(place, "asks.example", "198.51.100.7")
    forged(place, "asks.example", "198.51.100.8", auth={"spf": {"result": "pass", "domain": "x.example"},
                                                        "dkim": []}, action="reject")
    forged(place, "silent.example", "198.51.100.7")
    forged(place, "asks.example", "198.51.100.9", auth={"dmarc": {"result": "pass",
                                                                  "domain": "asks.example"}})
    forged(place, "asks.example", "198.51.100.9", hours=0)
    for i in range(130):
        forged(place, "asks.example", "203.0.113.%d" % i, hours=2)
    compact(place)
    daemon = Daemon(place)
    daemon.start()
    wait(lambda: len(place.reports()) >= 20, 90)
    daemon.kill()
    daemon.start()
    wait(lambda: len(place.reports()) >= 99, 90)
    daemon.stop()
    place.run("queue", "run")
    mails = [email.message_from_bytes(open(p, "rb").read()) for p in place.reports()]
    # the address of the open hour is one of the hundred
    check("one report an address, 100 at most, none twice after a kill", len(mails) == 99 and
          {m["To"] for m in mails} == {"fbl@asks.example"}, len(mails))
    fields = [m.get_payload(1).get_payload()[0] if m.get_payload(1).is_multipart() else
              email.message_from_string(m.get_payload(1).get_payload()) for m in mails]
    by_ip = {f["Source-IP"]: (f, m) for f, m in zip(fields, mails)}
    first, mail = by_ip.get("198.51.100.7", ({}, None))
    want = {"Feedback-Type": "auth-failure", "Version": "1", "Auth-Failure": "dmarc", "Incidents": "3",
            "Identity-Alignment": "dkim, spf", "Delivery-Result": "delivered",
            "Reported-Domain": "asks.example", "DKIM-Domain": "m.asks.example", "DKIM-Selector": "s1",
            "DKIM-Identity": "@m.asks.example",
            "SPF-DNS": 'txt:asks.example:"v=spf1 ip4:192.0.2.1 -all"',
            "Authentication-Results": "mx1.mbox.example; dmarc=fail header.from=asks.example"}
    got = {k: " ".join((first.get(k) or "").split()) for k in want}
    check("its fields", got == want, got)
    second = by_ip.get("198.51.100.8", ({}, None))[0]
    check("an SPF that is not aligned and no signature: no such fields", "SPF-DNS" not in second and
          "DKIM-Domain" not in second and second.get("Delivery-Result") == "reject", second)
    check("no other kind of mail, no open hour", "198.51.100.9" not in by_ip)
    text = mail.as_bytes() if mail else b""
    whole = text + (str(email.header.make_header(email.header.decode_header(mail["Subject"])))
                    if mail else "").encode()
    check("the recipient nowhere, the Message-ID in the third part", feedback.RCPT.encode() not in whole
          and b"@asks.example>" in text, whole)
    if shutil.which("perl") and subprocess.run(["perl", "-MSisimai", "-e1"],
                                               stderr=subprocess.DEVNULL).returncode == 0:
        out = subprocess.run(["perl", "-MSisimai", "-e", "print Sisimai->dump($ARGV[0])",
                              place.reports()[0]], stdout=subprocess.PIPE).stdout
        seen = (json.loads(out or b"[]") or [{}])[0]
        check("Sisimai reads it", (seen.get("reason"), seen.get("feedbacktype")) ==
              ("feedback", "auth-failure"), seen)
    else:
        print("skip Sisimai: libsisimai-perl is not installed")
    if failures:
        sys.stdout.write(open(place.folder + "/run.log").read()[-3000:])
    place.close()
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
