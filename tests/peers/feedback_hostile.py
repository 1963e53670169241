#!/usr/bin/python3
"""The ways in, as somebody uses them who means harm: every input cut at every octet, forged complaints,
requests that are sent again, things in STATE/intake that are no complaints.

usage: feedback_hostile.py ASSAY [all]

A mail is cut at every octet; with "all" so are the longer forms and the HTTP request, else at every
fifth.
The daemon must answer each request with what it is, make one report where there is one good complaint
and none else, keep its processes, and name the complainer nowhere.
"""
import collections
import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import time

import feedback
from feedback import check, failures
from feedback_intake import Desk
from feedback_run import Daemon, event_of, wait

FILING = "sender good {\n dkim good.example\n feedback fbl@good.example { complaint }\n}\n"
STEP = 1 if sys.argv[2:] == ["all"] else 5
OUTCOMES = {"report", "unverified", "duplicate", "no-sender", "failed-auth", "withdrawn"}


def arf(mail, kind="abuse", rcpt=feedback.RCPT):
    return ("From: desk@other.example\r\nTo: fbl@mbox.example\r\nSubject: FW: x\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"b=1\"\r\n\r\n"
            "--b=1\r\nContent-Type: text/plain\r\n\r\nabuse\r\n--b=1\r\n"
            "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: %s\r\nVersion: 1\r\n"
            "User-Agent: x/1\r\nOriginal-Rcpt-To: rfc822; <%s>\r\n\r\n--b=1\r\n"
            "Content-Type: message/rfc822\r\n\r\n" % (kind, rcpt)).encode() + mail + b"\r\n--b=1--\r\n"


def attached(mail):
    import base64
    return (b"From: wang@mbox.example\r\nTo: abuse@mbox.example\r\nSubject: Fwd\r\n"
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nlook\r\n--x\r\n"
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
            base64.encodebytes(mail).replace(b"\n", b"\r\n") + b"--x--\r\n")


class Http:
    """One connection kept open: a thousand requests in seconds."""

    def __init__(self, daemon):
        import http.client
        self.connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        self.head = {"Authorization": "Bearer " + daemon.token(), "Content-Type": "message/rfc822"}

    def post(self, body, query="", **head):
        self.connection.request("POST", "/complaints" + query, body, dict(self.head, **head))
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def rows_of(place, event):
    lines = [json.loads(line) for name in sorted(os.listdir(place.state + "/log"))
             for line in open(place.state + "/log/" + name, "rb")]
    return [e for e in lines if e["event"] == "complaint" and e.get("txn") == event["id"]]


def cut_bodies(daemon, place):
    for name, form in (("a mail", lambda m: m), ("ARF", arf), ("an attachment", attached)):
        event = event_of(place, "good")
        whole = form(place.mail(event))
        http, codes, outcomes, bad = Http(daemon), collections.Counter(), collections.Counter(), []
        for n in range(0, len(whole), 1 if name == "a mail" else STEP):
            code, body = http.post(whole[:n])
            codes[code] += 1
            outcome = json.loads(body).get("outcome")
            outcomes[outcome] += 1
            if code != (200 if n else 400) or (n and outcome not in OUTCOMES):
                bad.append((n, code, body))
        check("%s of %d octets cut at %d of them: answered, %s" % (name, len(whole), sum(codes.values()), dict(outcomes)), not bad, bad[:3])
        code, body = http.post(whole)
        counted = [e for e in rows_of(place, event) if e["outcome"] == "report"]
        check("%s: one report of all these, whole or not" % name, len(counted) == 1 and
              json.loads(body)["outcome"] in ("report", "duplicate"), (body, counted))


def cut_requests(daemon, place):
    """The request itself, head and all, and then the connection is closed or stays silent."""
    event = event_of(place, "good")
    mail = place.mail(event)
    request = ("POST /complaints?kind=abuse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
               "Content-Type: message/rfc822\r\nIdempotency-Key: cut\r\nContent-Length: %d\r\n\r\n"
               % (daemon.token(), len(mail))).encode() + mail
    held = []
    for n in range(0, len(request), STEP):
        s = socket.create_connection(("127.0.0.1", daemon.port), 10)
        s.sendall(request[:n])
        if n % (16 * STEP) == 0:
            held.append(s)
        else:
            s.close()
    check("a request of %d octets cut counts nothing, and %d that stay silent harm nobody" %
          (len(request), len(held)), daemon.get("/status")[0] == 200 and not rows_of(place, event),
          rows_of(place, event))
    for s in held:
        s.close()
    for what, bad in (("two lengths", b"POST /complaints HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello"),
                      ("a length below zero", b"POST /complaints HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
                      ("a chunk of 2^63", b"POST /complaints HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n"),
                      ("no words", b"\r\n\r\n\r\n"), ("NULs", b"\0" * 300), ("a long head", b"GET / HTTP/1.1\r\nX: " + b"x" * 70000)):
        with socket.create_connection(("127.0.0.1", daemon.port), 10) as s:
            try:
                s.sendall(bad)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:
                pass
        check("HTTP, %s: the daemon goes on" % what, daemon.get("/status")[0] == 200)


def forged(daemon, place):
    http = Http(daemon)
    event, other = event_of(place, "good"), event_of(place, "good")
    mail = place.mail(event)
    failed = place.event(message_id="<failed@good.example>", auth={
        "spf": {"result": "fail", "domain": "good.example"},
        "dkim": [{"d": "good.example", "s": "x", "result": "fail", "reason": None}]})
    never = mail.replace(event["message_id"].encode(), b"<never@good.example>").replace(
        event["id"].encode(), b"01JDZZZZZZZZZZZZZZZZZZZZZZ")
    rows = (
        ("for somebody who did not get it", mail, "?rcpt=li%40mbox.example", "unverified"),
        ("a recipient with a line end", mail, "?rcpt=wang%40mbox.example%0d%0aBcc:%20x%40y", "unverified"),
        ("a recipient with a NUL", mail, "?rcpt=li%40mbox.example%00wang%40mbox.example", "unverified"),
        ("a mail that never came", never, "", "unverified"),
        ("ARF that names another recipient", arf(mail, rcpt="li@mbox.example"), "", "unverified"),
        ("an id that is guessed", never.replace(b"01JDZZZ", b"01JDBBB"), "", "unverified"),
        ("under another Message-ID", mail.replace(event["message_id"].encode(), b"<x@good.example>"), "", "unverified"),
        ("whose signature failed", place.mail(failed), "", "failed-auth"),
        ("not spam, and nobody had said spam", place.mail(other), "?kind=not-spam", "report"),
        ("nested a thousand deep", b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i)
                                            for i in range(1000)), "", "unverified"),
        ("fifty thousand parts", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 50000, "", "unverified"),
        ("a header of 200,000 fields", b"a:b\r\n" * 200000 + b"\r\n", "", "unverified"),
        ("one line of 10 MB", b"Message-ID: <" + b"x" * (10 << 20) + b">\r\n\r\n", "", "unverified"),
        ("NULs and no line", b"\0" * 100000, "", "unverified"),
    )
    for what, body, query, want in rows:
        begin = time.time()
        code, answer = http.post(body, query)
        outcome = json.loads(answer).get("outcome")
        check("forged, %s: %s (%.2f s)" % (what, outcome, time.time() - begin),
              code in (200, 400) and (want is None or outcome == want), (code, answer))
    check("forged: nothing of it was told of the good one", not [e for e in rows_of(place, event)
                                                                 if e["outcome"] == "report"], rows_of(place, event))


def replayed(daemon, place):
    event = event_of(place, "good")
    mail = place.mail(event)

    def once(key):
        head = {"Idempotency-Key": key} if key else {}
        return Http(daemon).post(mail, **head)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(once, ["same"] * 40 + [None] * 40))
    reports = {tuple(json.loads(body)["reports"]) for code, body in answers if json.loads(body)["outcome"] == "report"}
    check("a request sent 80 times by 16 clients, with and without a key: one report",
          all(code == 200 for code, _ in answers) and len(reports) == 1 and
          len([e for e in rows_of(place, event) if e["outcome"] == "report"]) == 1, (reports, rows_of(place, event)))
    fresh = event_of(place, "good")
    code, body = Http(daemon).post(place.mail(fresh), **{"Idempotency-Key": "same"})
    check("the key of another complaint: refused, not answered for that one", code == 422 and b"error" in body,
          (code, body))
    code, body = Http(daemon).post(mail, "?kind=not-spam", **{"Idempotency-Key": "same"})
    check("the key with another kind: refused", code == 422, (code, body))
    code, body = Http(daemon).post(place.mail(fresh), **{"Idempotency-Key": "other"})
    check("and under a key of its own it is taken", code == 200 and json.loads(body)["outcome"] == "report", body)
    for key in ("x" * 201, ""):
        code, body = Http(daemon).post(mail, **{"Idempotency-Key": key})
        check("a key of %d octets: %d" % (len(key), code), code == (400 if key else 200), body)


def dropped(daemon, place):
    """Anybody may write into STATE/intake."""
    folder = place.state + "/intake/"
    name = lambda i: folder + "01JDCCCCCCCCCCCCCCCCCC%04d" % i
    event = event_of(place, "good")
    good = b"abuse - -\n" + place.mail(event)
    os.mkfifo(name(1))
    os.symlink("/etc/passwd", name(2))
    os.makedirs(name(3) + "/inside/more")
    os.mkdir(name(4))
    os.symlink(name(5), name(5))
    open(name(6), "wb").close()
    with open(name(7), "wb") as f:
        f.write(b"\0" * 1000)
    with open(name(8), "wb") as f:
        f.truncate(400 << 20)
    # 100 MB of line ends, attached: twice its size with CR, and once more for the mail around it
    with open(name(9), "wb") as f:
        f.write(b"- - -\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\nMessage-ID: <x@x>\n\n" +
                b"\n" * (100 << 20) + b"\n--x--\n")
    for n in range(0, len(good), 5):
        with open(folder + ".cut", "wb") as f:
            f.write(good[:n])
        os.rename(folder + ".cut", name(100 + n))
    with open(folder + ".good", "wb") as f:
        f.write(good)
    os.rename(folder + ".good", name(9999))
    left = lambda: [n for n in os.listdir(folder) if not n.startswith(".")]
    check("intake: all of it is taken or thrown out", wait(lambda: not left(), 90), left())
    check("intake: the good one is a report", len([e for e in rows_of(place, event) if e["outcome"] == "report"]) == 1,
          rows_of(place, event))
    time.sleep(2.5) # two more rounds
    said = open(place.folder + "/run.log").read()
    for n in range(200):
        with open(folder + ".many", "wb") as f:
            f.write(good)
        os.rename(folder + ".many", folder + "01JDDDDDDDDDDDDDDDDDDD%04d" % n)
    slowest = 0.0
    while left():
        begin = time.time()
        if daemon.get("/status")[0] != 200:
            break
        slowest = max(slowest, time.time() - begin)
    check("intake: 200 files hold up nobody else for long (%.1f s at most)" % slowest, not left() and slowest < 20, (slowest, left()[:3]))
    check("intake: nothing is told again and again", said.count("complaint.kept") <= 2, said[-1500:])


if __name__ == "__main__":
    place = Desk(filing=FILING)
    place.setup_senders()
    daemon = Daemon(place)
    daemon.start()
    before = {k: v["pid"] for k, v in daemon.roles().items()}
    for part in (cut_bodies, cut_requests, forged, replayed, dropped):
        part(daemon, place)
    check("no process has died of it", {k: v["pid"] for k, v in daemon.roles().items()} == before)
    check("and the reports go", wait(lambda: all(q["state"] == "sent" for q in place.queue()), 30),
          collections.Counter(q["state"] for q in place.queue()))
    texts = [open(p, "rb").read().lower() for p in place.reports()]
    check("no report of %d names the complainer" % len(texts), texts and not any(
        feedback.RCPT.encode() in t or b"li@mbox" in t for t in texts))
    code, _ = daemon.stop()
    check("SIGTERM ends it with 0", code == 0, code)
    if failures:
        sys.stdout.write(open(place.folder + "/run.log").read()[-3000:])
    place.close()
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
