#!/usr/bin/env python3
"""Postfix with capture/milter.c behind it: what smtp-source, swaks and Python's smtplib send, as the
milter sees it, and what becomes of its answers.

usage: milter_postfix.py PROBE

PROBE is tests/tools/milter_probe. Speaks TAP; a plan of none where Postfix is not there.
"""
import os
import re
import smtplib
import socket
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import postfix as pf  # noqa: E402
from milter_probe import Probe  # noqa: E402

PROBE = os.path.abspath(sys.argv[1])


def only(p, sender):
    events = p.of(sender)
    assert len(events) == 1, events
    return events[0]


def octets(p, postfix):
    assert postfix.send("octets@a.example")[0] == 250
    event = only(p, "octets@a.example")
    assert p.message(event) == pf.MESSAGE % b"octets", p.message(event)
    assert event["peer"] == "127.0.0.1" and event["helo"] == "client.example" and event["complete"]
    mail = postfix.delivered_with(b"<octets@a.example>")
    assert re.search(rb"^X-Assay-Verdict: accept; id=%s;" % event["id"].encode(), mail, re.M), mail
    assert b"\nAuthentication-Results: mx1.mbox.example;\n\tspf=none smtp.mailfrom=a.example\n" in mail


def recipients(p, postfix):
    out = subprocess.run(
        ["swaks", "--server", "127.0.0.1:%d" % postfix.port, "--helo", "swaks.example", "--from",
         "rcpts@a.example", "--to", "bad@mbox.example,r@mbox.example,grey@mbox.example,"
         "r2@mbox.example", "--header", "Subject: swaks", "--body", "x"],
        capture_output=True, text=True).stdout
    assert "no such user" in out, out
    event = only(p, "rcpts@a.example")
    got = [(r["to"], r["code"], r["enhanced"]) for r in event["rcpts"]]
    assert got == [("bad@mbox.example", 550, "5.1.1"), ("r@mbox.example", 250, None),
                   ("grey@mbox.example", 450, "4.2.0"), ("r2@mbox.example", 250, None)], got
    assert "no such user" in event["rcpts"][0]["text"], event["rcpts"][0]
    assert postfix.send("none@a.example", rcpts=["bad@mbox.example"])[0] == 554
    event = only(p, "none@a.example")
    assert event["size"] is None and not event["complete"] and event["reply"] is None


def answers(p, postfix):
    code, text = postfix.send("reject@a.example")
    assert code == 554 and text.startswith(b"5.7.1 no; id="), (code, text)
    assert p.of("reject@a.example")[0]["id"].encode() in text
    code, text = postfix.send("reject2@a.example")
    assert code == 550 and text.startswith(b"5.7.1 no\n5.7.1 see https://mbox.example/; id="), text
    code, text = postfix.send("defer@a.example")
    assert code == 451 and text.startswith(b"4.7.0 later"), text
    code, text = postfix.send("mail-limit@a.example")
    assert code == 451 and text == b"4.7.28 100% of the rate, wait 60 s", text
    assert only(p, "mail-limit@a.example")["reply"]["code"] == 451
    code, text = postfix.send("close@a.example")
    assert code == 421 and text.startswith(b"4.7.0 go away"), text
    code, text = postfix.send("quarantine@a.example")
    assert code == 250, text
    held = [m for m in postfix.queue() if m["sender"] == "quarantine@a.example"]
    assert len(held) == 1 and held[0]["queue_name"] == "hold", held
    assert postfix.send("tag@a.example")[0] == 250
    assert b"\nX-Assay-Verdict: tag; id=" in postfix.delivered_with(b"<tag@a.example>")


def forged(p, postfix):
    message = (b"X-Assay-Verdict: accept; id=forged\r\nx-assay-verdict : accept; id=blank\r\n"
               b"Authentication-Results: other.example; spf=pass\r\n"
               b"Authentication-Results: mx1.mbox.example;\r\n spf=forged\r\n"
               b"AUTHENTICATION-RESULTS: (x) MX1.MBOX.EXAMPLE 1; dkim=forged\r\n"
               b"Message-Id: <forged@a.example>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
               b"X-Assay-Verdict: accept; id=again\r\nFrom: a@a.example\r\n\r\nx\r\n")
    assert postfix.send("forged@a.example", message)[0] == 250
    mail = postfix.delivered_with(b"<forged@a.example>")
    lines = [line for line in mail.split(b"\n") if re.match(rb"(?i)x-assay-verdict", line)]
    assert len(lines) == 1 and b"score=" in lines[0], lines
    assert b"spf=forged" not in mail and b"dkim=forged" not in mail, mail
    assert b"other.example; spf=pass" in mail, mail


def extensions(p, postfix):
    assert postfix.send("tls@a.example", tls=True)[0] == 250
    tls = only(p, "tls@a.example")["tls"]
    assert tls["version"] == "TLSv1.3" and tls["cipher"], tls
    message = "Message-Id: <u@a.example>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n" \
        "From: ä@b.example\r\nSubject: 你好\r\n\r\n你好\r\n".encode()
    with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", timeout=60) as s:
        s.ehlo()
        s.command_encoding = "utf-8"
        s.mail("ä@b.example", ["SMTPUTF8", "BODY=8BITMIME"])
        s.rcpt("r@mbox.example")
        assert s.data(message)[0] == 250
    event = only(p, "ä@b.example")
    assert sorted(event["flags"]) == ["8bitmime", "smtputf8"], event["flags"]
    assert p.message(event) == message
    with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", timeout=60) as s:
        s.ehlo()
        s.docmd("XCLIENT ADDR=198.51.100.7 PORT=4242")
        s.ehlo()
        s.mail("<>")
        s.rcpt("r@mbox.example")
        s.rset()
        s.ehlo("again.example")
        s.mail("second@a.example")
        s.rcpt("r@mbox.example")
        s.data(pf.MESSAGE % b"second")
    event = only(p, "second@a.example")
    assert (event["peer"], event["port"]) == ("198.51.100.7", 4242), event
    assert event["helo"] == "again.example" and event["tx"] == 2
    first = only(p, "")
    assert first["session"] == event["session"] and first["tx"] == 1 and not first["complete"]


def large(p, postfix):
    body = b"".join(b"%07d %s\r\n" % (i, b"x" * 66) for i in range(690000))  # 52 MB
    message = pf.MESSAGE % b"large" + body
    assert postfix.send("large@a.example", message)[0] == 250
    event = only(p, "large@a.example")
    assert event["size"] == len(message) and p.message(event) == message
    with open("/proc/%d/status" % p.p.pid) as f:
        peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
    print("# %d MB message, peak of the milter's memory %d MB" % (len(message) >> 20, peak >> 10))


def lost(p, postfix):
    """The client goes away in the middle, also inside its message."""
    s = socket.create_connection(("127.0.0.1", postfix.port))
    f = s.makefile("rwb")
    f.readline()
    for line in (b"EHLO c.example", b"MAIL FROM:<lost@a.example>", b"RCPT TO:<r@mbox.example>",
                 b"DATA", b"Subject: half\r\n\r\nhalf"):
        f.write(line + b"\r\n")
        f.flush()
        while line[:7] != b"Subject" and f.readline()[3:4] == b"-":
            pass
    f.close()
    s.close()
    event = only(p, "lost@a.example")
    assert not event["complete"] and event["reply"] is None


def many(p, postfix):
    """Sessions at once, each mail seen once."""
    before = len(p.events())
    subprocess.run(["smtp-source", "-s", "20", "-m", "400", "-l", "20000", "-c", "-f",
                    "source@a.example", "-t", "r@mbox.example", "127.0.0.1:%d" % postfix.port],
                   check=True, capture_output=True, timeout=120)
    pf.until(lambda: len(p.events()) >= before + 400)
    events = p.events()[before:]
    assert len(events) == 400 and all(e["complete"] for e in events)
    assert len({e["id"] for e in events}) == 400


def away(p, postfix):
    """Without us mail goes on, and comes to us again behind a new start."""
    p.p.kill()
    p.p.wait()
    assert postfix.send("away@a.example")[0] == 250
    p.start()
    assert postfix.send("back@a.example")[0] == 250
    only(p, "back@a.example")
    assert not [e for e in p.events() if e["mail_from"] == "away@a.example"]


def over_tcp(p, postfix):
    os.makedirs(p.folder + "/tcp")
    tcp = Probe(PROBE, p.folder + "/tcp", "127.0.0.1:2600")
    postfix.set("smtpd_milters=inet:127.0.0.1:2600")
    assert postfix.send("tcp@a.example")[0] == 250
    assert tcp.message(only(tcp, "tcp@a.example")) == pf.MESSAGE % b"tcp"
    tcp.stop()


def main():
    why = pf.needs("postfix", "smtp-source", "swaks", "unshare", "ip", "openssl")
    if why:
        print("1..0 # SKIP " + why)
        return 0
    pf.in_namespace()
    failed = 0
    tests = [octets, recipients, answers, forged, extensions, large, lost, many, away, over_tcp]
    print("1..%d" % len(tests))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.makedirs(folder + "/probe")
        p = Probe(PROBE, folder + "/probe")
        with pf.Postfix(folder + "/postfix", p.address, tls=True) as postfix:
            for number, test in enumerate(tests, 1):
                try:
                    test(p, postfix)
                    print("ok %d - %s" % (number, test.__name__))
                except Exception:
                    failed += 1
                    print("not ok %d - %s" % (number, test.__name__))
                    lines = traceback.format_exc().splitlines() + postfix.log().splitlines()[-5:]
                    print("\n".join("# " + line for line in lines))
                sys.stdout.flush()
        p.stop()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
