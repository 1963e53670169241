#!/usr/bin/python3
"""The feedback role of `assay run`: many deliveries at once, destinations that are slow or silent,
kill -9, HTTP.

usage: feedback_run.py ASSAY [COMPLAINTS]

COMPLAINTS (default 200) go in over HTTP while the daemon is killed now and then; each must become
one report under one Message-ID. An SMTP server answers by the domain of the recipient: good, slow
(3 s an answer), mute (never), later (451), never (554).
"""
import collections
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import feedback
from feedback import ASSAY, check, failures
from feedback_intake import Desk
from small_disk import SmallDisk

KINDS = ("good", "slow", "mute", "later", "never")
FILING = "".join("sender %s {\n dkim %s.example\n feedback fbl@%s.example { complaint }\n}\n"
                 % (k, k, k) for k in KINDS)


class Hop(feedback.MailSink):
    def __init__(self):
        self.mails, self.slow = collections.defaultdict(list), 3
        super().__init__()

    def rcpt(self, address):
        kind = kind_of(address)
        if kind == "mute":
            time.sleep(3600)
        if kind == "slow":
            time.sleep(self.slow)
        return {"later": "451 4.3.0 later", "never": "554 5.1.1 never"}.get(kind, "250 ok")

    def took(self, sender, rcpt, mail):
        with self.lock:
            self.mails[kind_of(rcpt)].append(mail)
        return super().took(sender, rcpt, mail)


def kind_of(address):
    return address.split("@")[1].split(".")[0]


class Daemon:
    def __init__(self, place):
        self.place, self.process = place, None
        self.port = free_port()
        with open(place.config, "a") as f:
            f.write("listen http 127.0.0.1:%d\n" % self.port)
        os.makedirs(place.state, exist_ok=True)

    def start(self):
        self.log = open(self.place.folder + "/run.log", "ab")
        self.process = subprocess.Popen([ASSAY, "-c", self.place.config, "run"], stdout=self.log,
                                        stderr=self.log)
        wait(lambda: self.get("/status")[0] == 200, 60)

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def token(self):
        return open(self.place.state + "/http.token").read().strip()

    def post(self, mail, query="", key=None):
        headers = {"Authorization": "Bearer " + self.token(), "Content-Type": "message/rfc822"}
        if key:
            headers["Idempotency-Key"] = key
        return self.request("POST", "/complaints" + query, mail, headers)

    def roles(self):
        r = self.place.run("status", "--json")
        return {x["role"]: x for x in json.loads(r.stdout or b"{}").get("roles", [])}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        begin = time.time()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "late"
        return code, time.time() - begin

    def kill(self):
        self.process.kill()
        self.process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait(condition, seconds, every=0.1):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(every)
    return False


def place_for(hop, folder=None):
    place = Desk(filing=FILING, folder=folder)
    place.setup_senders()
    with open(place.config) as f:
        text = f.read()
    with open(place.config, "w") as f:
        f.write(text.replace("via folder " + place.out, "via smtp 127.0.0.1:%d" % hop.port))
    return place


def event_of(place, kind, **words):
    domain = kind + ".example"
    return place.event(sender={"by": "dkim", "key": kind, "registered": kind},
                       message_id="<%d@%s>" % (place.ids, domain), mail_from="b@" + domain,
                       auth={"spf": {"result": "none", "domain": domain},
                             "dkim": [{"d": domain, "s": "x", "result": "pass"}],
                             "dmarc": {"result": "pass"}}, **words)


def http_interface(daemon, place):
    mail = place.mail(event_of(place, "good"))
    auth = {"Authorization": "Bearer " + daemon.token(), "Content-Type": "message/rfc822"}
    code, body = daemon.request("POST", "/complaints", mail, {"Content-Type": "message/rfc822"})
    check("HTTP without a token: 401", code == 401, (code, body))
    code, body = daemon.request("POST", "/complaints", mail,
                                dict(auth, Authorization="Bearer " + "0" * 64))
    check("HTTP with another token: 401", code == 401, (code, body))
    code, body = daemon.post(mail, key="k1")
    first = json.loads(body or b"{}")
    check("HTTP: a complaint is taken", code == 200 and first.get("outcome") == "report", (code, body))
    check("HTTP: the same key, the same answer", daemon.post(mail, key="k1") == (200, body))
    odd = event_of(place, "good", id="no-ulid")
    code, answer = daemon.post(place.mail(odd))
    check("HTTP: a mail whose event has no id of ours is unverified, not our trouble",
          code == 200 and json.loads(answer)["outcome"] == "unverified", (code, answer))
    code, body = daemon.post(mail, key="k2")
    check("HTTP: another key: a duplicate", json.loads(body or b"{}").get("outcome") == "duplicate", body)
    for what, want, got in (
            ("a kind that is none", 400, daemon.post(mail, "?kind=rude")[0]),
            ("a picture", 415, daemon.request("POST", "/complaints", b"x", dict(auth, **{
                "Content-Type": "image/png"}))[0]),
            ("nothing there", 404, daemon.get("/nothing", auth)[0]),
            ("GET of complaints", 405, daemon.get("/complaints", auth)[0])):
        check("HTTP: %s: %d" % (what, want), got == want, got)
    code, _ = daemon.request("POST", "/complaints", b"x" * (20 << 20), auth)
    check("HTTP: too large is refused", code in (413, 400, 0), code)
    code, body = daemon.get("/status")
    check("HTTP: status", code == 200 and "queued" in json.loads(body), (code, body))
    code, body = daemon.get("/metrics")
    check("HTTP: metrics", code == 200 and b"assay_feedback_queued " in body and
          b"assay_feedback_unsigned 0\n" in body and b"assay_feedback_trouble 0\n" in body, body)
    idle = socket.create_connection(("127.0.0.1", daemon.port))
    idle.send(b"POST /complaints HTTP/1.1\r\nContent-Length: 100\r\n")
    check("HTTP: somebody who says nothing harms nobody", daemon.get("/status")[0] == 200)
    idle.close()
    code, body = daemon.get("/reports?sender=good&limit=1", auth)
    lines = [json.loads(x) for x in body.splitlines()]
    check("HTTP: reports with a cursor", code == 200 and len(lines) == 1 and
          daemon.get("/reports?sender=good&after=" + lines[0]["id"], auth)[1] == b"", (code, body))


def concurrency(daemon, place, hop):
    for kind in ("mute", "mute", "mute", "slow", "later", "never"):
        daemon.post(place.mail(event_of(place, kind)))
    time.sleep(0.5)
    before = len(hop.mails["good"])
    begin = time.time()
    for _ in range(20):
        daemon.post(place.mail(event_of(place, "good")))
    ok = wait(lambda: len(hop.mails["good"]) - before == 20, 60)
    check("a silent and a slow destination hold up nobody (20 reports in %.1f s)"
          % (time.time() - begin), ok, len(hop.mails["good"]) - before)
    check("slow arrives", wait(lambda: len(hop.mails["slow"]) == 1, 60))
    states = lambda: {q["sender"]: q["state"] for q in place.queue()}
    check("451 waits, 554 has failed", wait(lambda: states().get("never") == "failed", 30) and
          states().get("later") == "queued", states())

    def counted():
        lines = dict(x.rsplit(" ", 1) for x in daemon.get("/metrics")[1].decode().splitlines())
        rows = collections.Counter(q["state"] for q in place.queue())
        return {s: (int(lines["assay_feedback_" + s]), rows[s])
                for s in ("queued", "sent", "failed", "suppressed")}
    check("HTTP: metrics count what the queue has", wait(lambda: all(a == b for a, b in counted().values()), 10),
          counted())


def killed(daemon, place, hop, n):
    before = len(hop.mails["good"])
    events = [event_of(place, "good") for _ in range(n)]
    stop = threading.Event()

    def killer():
        # the supervisor waits longer after each death; a few kills show what many would
        while daemon.kills < 5 and not stop.wait(1.5):
            role = daemon.roles().get("feedback")
            if role and role.get("pid"):
                try:
                    os.kill(role["pid"], 9)
                    daemon.kills += 1
                except ProcessLookupError:
                    pass

    daemon.kills = 0
    thread = threading.Thread(target=killer)
    thread.start()
    for i, event in enumerate(events):
        mail = place.mail(event)
        for _ in range(200):
            code, body = daemon.post(mail, key="n%d" % i)
            if code == 200:
                break
            time.sleep(0.1)
        if code != 200:
            check("complaint %d is taken in the end" % i, False, (code, body))
            break
    stop.set()
    thread.join()
    done = wait(lambda: len(set(ids(hop, before))) == n, 120 + n / 20)
    got = ids(hop, before)
    check("%d complaints in, %d reports out, the role killed %d times" % (n, len(set(got)), daemon.kills),
          done and daemon.kills > 0, (len(got), len(set(got))))
    settled = wait(lambda: sum(q["state"] == "sent" and q["sender"] == "good"
                               for q in place.queue()) >= n, 60)
    rows = [q for q in place.queue() if q["sender"] == "good"]
    check("the queue says sent of each", settled and len({q["message_id"] for q in rows}) == len(rows),
          collections.Counter(q["state"] for q in rows))
    about = collections.Counter(original(m) for m in hop.mails["good"][before:])
    mids = collections.defaultdict(set)
    for m in hop.mails["good"][before:]:
        mids[original(m)].add(field(m, b"Message-ID"))
    check("none lost, none twice under another Message-ID (%d sent again after a kill)"
          % (len(got) - len(set(got))), len(about) == n and all(len(v) == 1 for v in mids.values()))


def full_disk(hop):
    """The disk fills up under the daemon: nothing is taken that could be lost, and work goes on."""
    folder = tempfile.mkdtemp(prefix="assay-full.")
    disk = SmallDisk(folder, "48m")
    if not disk.mounted:
        print("skip full disk: a tmpfs cannot be mounted here")
        os.rmdir(folder)
        return
    try:
        place = place_for(hop, folder)
        daemon = Daemon(place)
        before = len(hop.mails["good"])
        events = [event_of(place, "good") for _ in range(30)]
        daemon.start()
        taken = sum(daemon.post(place.mail(e))[0] == 200 for e in events[:10])
        disk.fill()
        refused = [daemon.post(place.mail(e))[0] for e in events[10:20]]
        check("full disk: complaints are refused for now, not lost",
              set(refused) <= {200, 503} and 503 in refused, refused)
        disk.room()
        missing = [e for e, code in zip(events[10:20], refused) if code != 200] + events[20:]
        for e in missing:
            if not wait(lambda: daemon.post(place.mail(e))[0] == 200, 60):
                break
            taken += 1
        taken += refused.count(200)
        check("full disk: taken when there is room again", taken == 30, taken)
        check("full disk: each is reported once", wait(lambda: len(set(ids(hop, before))) == 30, 60) and
              len({original(m) for m in hop.mails["good"][before:]}) == 30,
              (len(ids(hop, before)), len(set(ids(hop, before)))))
        daemon.stop()
        place.close()
    finally:
        disk.unmount()
        os.rmdir(folder)


def field(mail, name):
    for line in mail.split(b"\r\n"):
        if line.lower().startswith(name.lower() + b": "):
            return line.split(b": ", 1)[1]
    return None


def original(mail):
    """Message-ID of the message in the third part."""
    return field(mail[mail.rindex(b"text/rfc822-headers"):], b"Message-ID")


def ids(hop, before):
    return [field(m, b"Message-ID") for m in hop.mails["good"][before:]]


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    if ASSAY and subprocess.run([ASSAY, "run", "--help"], stderr=subprocess.DEVNULL).returncode == 70:
        sys.exit(77)
    hop = Hop()
    place = place_for(hop)
    daemon = Daemon(place)
    daemon.start()
    check("the daemon is up", daemon.get("/status")[0] == 200)
    http_interface(daemon, place)
    concurrency(daemon, place, hop)
    killed(daemon, place, hop, count)
    code, seconds = daemon.stop()
    check("SIGTERM ends it with 0 within 10 s (%.1f)" % seconds, code == 0 and seconds < 10, code)
    log = open(place.folder + "/run.log").read()
    check("with a delivery to a silent destination under way no role had to be killed",
          "role.kill" not in log, log[-500:])
    if failures:
        sys.stdout.write(open(place.folder + "/run.log").read()[-3000:])
    place.close()
    full_disk(hop)
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
