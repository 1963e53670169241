#!/usr/bin/env python3
"""`assay run` behind Postfix: what a client is told, what is delivered, what the event log says.

usage: run_postfix.py ASSAY SOURCE [KILLS]

KILLS (default 12): roles killed at random moments under load; SEED in the environment chooses them again.
Speaks TAP; a plan of none where Postfix is not there.
"""
import collections
import json
import os
import random
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import milter_client as mc  # noqa: E402
import postfix as pf  # noqa: E402

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 12


class Daemon:
    def __init__(self, folder):
        self.folder, self.conf = folder, folder + "/assay.conf"
        self.address = "unix:%s/m.sock" % folder
        os.makedirs(folder + "/state")
        os.makedirs(folder + "/local")
        os.chmod(folder, 0o755)
        shutil.chown(folder + "/state", "nobody")
        with open(self.conf, "w") as f:
            f.write("state {0}/state\ndns zone {1}/samples/zone\nuser nobody\n"
                    "host mx1.mbox.example\nrules {1}/rules {0}/local\n"
                    "listen milter {2} {{ mode 0666 }}\n"
                    "listen policy unix:{0}/p.sock {{ mode 0666 }}\n".format(
                        folder, SOURCE, self.address))
        self.start()

    def start(self):
        self.log = open(self.folder + "/stderr", "a")
        self.p = subprocess.Popen([ASSAY, "-c", self.conf, "run"], stderr=self.log)
        pf.until(self.ready, 30, self.said())

    def ready(self):
        assert self.p.poll() is None, self.said()
        status = self.command("status", "--json")
        return status.returncode == 0 and json.loads(status.stdout).get("ready") and \
            os.path.exists(self.address[5:])

    def said(self):
        with open(self.folder + "/stderr") as f:
            return f.read()

    def command(self, *words):
        return subprocess.run([ASSAY, "-c", self.conf, *words], capture_output=True, text=True)

    def roles(self):
        return json.loads(self.command("status", "--json").stdout)["roles"]

    def rules(self, text):
        with open(self.folder + "/local/local.rules", "w") as f:
            f.write(text)
        reload = self.command("reload")
        assert reload.returncode == 0, reload.stderr + self.said()

    def events(self):
        out, folder = [], self.folder + "/state/log"
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name)) as f:
                    out += [json.loads(line) for line in f]
        return [e for e in out if e["event"] == "txn"]

    def of(self, sender):
        return pf.until(lambda: [e for e in self.events() if e["mail_from"] == sender], 20,
                        "for an event of " + sender)

    def stop(self):
        start = time.monotonic()
        self.p.terminate()
        assert self.p.wait(30) == 0, self.said()
        return time.monotonic() - start


def sample(name):
    with open("%s/samples/mail/%s.eml" % (SOURCE, name), "rb") as f:
        octets = re.sub(rb"\r?\n", b"\r\n", f.read())
    with open("%s/samples/mail/%s.eml.envelope" % (SOURCE, name)) as f:
        return octets, json.load(f)


def send_sample(postfix, name):
    octets, envelope = sample(name)
    return postfix.send(envelope["mail_from"], octets, peer=envelope["peer"], helo=envelope["helo"])


def accepted(d, postfix):
    code, text = postfix.send("plain@a.example", rcpts=("bad@mbox.example", "r@mbox.example"))
    assert code == 250, text
    event, = d.of("plain@a.example")
    assert event["source"] == "milter" and event["complete"] and not event["partial"], event
    assert [r["code"] for r in event["rcpts"]] == [550, 250] and event["reply"] is None
    mail = postfix.delivered_with(b"<plain@a.example>")
    assert re.search(rb"^X-Assay-Verdict: accept; id=%s; score=[0-9.]+; compliance=\S+$" %
                     event["id"].encode(), mail, re.M), mail
    assert re.search(rb"^Authentication-Results: mx1\.mbox\.example[; ]", mail, re.M), mail
    explained = d.command("explain", event["id"])
    assert explained.returncode == 0 and "a@a.example" in explained.stdout, explained


def signed(d, postfix):
    """Signatures verify: each octet came through Postfix and the milter as it was sent."""
    names = [n[:-4] for n in sorted(os.listdir(SOURCE + "/samples/mail")) if n.endswith(".eml")]
    seen = 0
    for name in names:
        octets, envelope = sample(name)
        if b"\r\nDKIM-Signature:" not in b"\r\n" + octets[:8000] or b"Message-I" not in octets:
            continue
        before = len(d.events())
        code, text = send_sample(postfix, name)
        assert code == 250, (name, code, text)
        event = pf.until(lambda: d.events()[before:])[0]
        path = "%s/samples/mail/%s.eml" % (SOURCE, name)
        scan = d.command("scan", "--json", "--no-record", path)
        want = json.loads(scan.stdout.splitlines()[0])["auth"]["dkim"]
        assert [s["result"] for s in event["auth"]["dkim"]] == [s["result"] for s in want], \
            (name, event["auth"], want)
        seen += any(s["result"] == "pass" for s in want)
    print("# %d signed samples pass" % seen)
    assert seen >= 3


def refused(d, postfix):
    d.rules("levels { tag 0.5  defer never  reject 1.0 }\n")
    code, text = send_sample(postfix, "promo-no-unsub")
    event = d.events()[-1]
    assert code // 100 == 5 and text.startswith(b"5.7.") and event["id"].encode() in text, text
    assert event["action"] == "reject" and event["reply"]["code"] == code, event["reply"]
    d.rules("levels { tag 0.5  defer 1.0  reject never }\n")
    code, text = send_sample(postfix, "promo-no-unsub")
    event = d.events()[-1]
    assert code // 100 == 4 and b"4.7." in text and event["id"].encode() in text, text
    with mc.Client(d.address) as m:  # the same for one that offers nothing
        octets, envelope = sample("promo-no-unsub")
        assert m.negotiate(actions=0, steps=0)[1:] == (0, 0)
        m.connect(envelope["peer"])
        m.helo(envelope["helo"])
        m.mail("<%s>" % envelope["mail_from"])
        m.rcpt("<r@mbox.example>")
        m.message(octets)
        changes, (letter, words) = m.end()
        assert letter == b"y" and words[:3] == str(code).encode() and not changes, (letter, words)
    d.rules("levels { tag 0.5  defer never  reject never }\n")
    assert send_sample(postfix, "promo-no-unsub")[0] == 250
    pf.until(lambda: any(b"X-Assay-Verdict: tag; id=" in m for m in postfix.delivered()))


def limited(d, postfix):
    d.rules("limit ip { 3 per hour  1 at once }\n")  # with the policy service asked too
    codes = [postfix.send("limited@a.example", peer="198.51.100.9") for _ in range(5)]
    assert [c[0] for c in codes] == [250, 250, 250, 451, 451], codes
    assert re.match(rb"4\.7\.28 .*\d", codes[3][1]), codes[3]
    events = pf.until(lambda: len(d.of("limited@a.example")) == 5 and d.of("limited@a.example"))
    assert [e["reply"] and e["reply"]["code"] for e in events] == [None] * 3 + [451] * 2
    d.rules("")


def large(d, postfix):
    body = b"".join(b"%07d %s\r\n" % (i, b"x" * 66) for i in range(690000))  # 52 MB
    start = time.monotonic()
    code, text = postfix.send("large@a.example", pf.MESSAGE % b"large" + body)
    event, = d.of("large@a.example")
    assert code == 250 and event["size"] == len(pf.MESSAGE % b"large" + body), (code, text)
    print("# 52 MB in %.1f s, partial %s" % (time.monotonic() - start, event["partial"]))


class Senders(threading.Thread):
    """Mail after mail, one a session; `told` has what each was answered, by its MAIL FROM."""
    def __init__(self, postfix, name, stop):
        super().__init__()
        self.postfix, self.name, self.stop, self.told = postfix, name, stop, {}

    def run(self):
        while not self.stop.is_set():
            sender = "%s-%d@a.example" % (self.name, len(self.told) + 1)
            try:
                self.told[sender] = self.postfix.send(sender)[0]
            except (OSError, smtplib.SMTPException) as e:
                self.told[sender] = repr(e)


def by_sender(mails):
    """{MAIL FROM: [id in our header or None, of each mail delivered]}"""
    out = collections.defaultdict(list)
    for mail in mails:
        sender = re.match(rb"Return-Path: <(.*)>", mail).group(1).decode()
        verdict = re.search(rb"^X-Assay-Verdict: \w+; id=(\w+)", mail, re.M)
        out[sender].append(verdict and verdict.group(1).decode())
    return out


def account(d, postfix, told):
    """What is wrong with mails of these senders, and how many were judged, seen on the wire, ..."""
    logged = {source: collections.defaultdict(list) for source in ("milter", "pcap")}
    for e in d.events():
        if e["mail_from"] in told:
            logged[e["source"]][e["mail_from"]].append(e)
    pf.until(lambda: not postfix.queue(), 60, "for all mail to be delivered")
    mails, wrong, count = by_sender(postfix.delivered()), [], collections.Counter()
    for sender, code in told.items():
        ids = {e["id"] for e in logged["milter"][sender]}
        if code != 250 or len(mails[sender]) != 1:
            wrong.append((sender, code, "delivered %d times" % len(mails[sender])))
        for source in logged:
            if len(logged[source][sender]) > 1:
                wrong.append((sender, source, "logged twice"))
            count[source] += len(logged[source][sender])
        if mails[sender] and mails[sender][0]:
            count["with our header"] += 1
            if {mails[sender][0]} != ids:
                wrong.append((sender, "header", mails[sender], "log", ids))
        count["judged"] += any("unjudged" not in e["flags"] for e in logged["milter"][sender])
    return wrong, dict(count, mails=len(told))


def books_equal(d):
    books = {}
    for line in d.command("report", "--json").stdout.splitlines():
        o = json.loads(line)
        books[o["sender"]] = o["transactions"]
    return books == dict(collections.Counter(e["sender"]["key"] for e in d.events()))


def kills(d, postfix):
    """Roles die at random while mail comes in: none is refused, lost, delivered or logged twice, all are
    back behind it, judge what comes, and the books equal the log."""
    if d.p.poll() is None:
        d.stop()
    for part in ("new", "cur", "tmp"):
        os.makedirs(d.folder + "/in/" + part)
    with open(d.conf, "a") as f:
        f.write("capture interface lo {{ ports {} }}\nspool maildir {}/in\n".format(
            postfix.port, d.folder))
    d.start()
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    dice, killed, stop = random.Random(seed), collections.Counter(), threading.Event()
    senders = [Senders(postfix, "k%d" % i, stop) for i in range(4)]
    names = {r["role"] for r in d.roles()}  # each gets its share, in any order
    for t in senders:
        t.start()
    try:
        while sum(killed.values()) < KILLS:
            time.sleep(dice.uniform(0.05, 0.7))
            living = [r for r in d.roles() if r.get("pid") and killed[r["role"]] <= KILLS // len(names)]
            if living:
                victim = dice.choice(living)
                try:
                    os.kill(victim["pid"], signal.SIGKILL)
                    killed[victim["role"]] += 1
                except ProcessLookupError:
                    pass  # the one before has just not been taken out of the list
        pf.until(lambda: all(r["state"] == "ready" for r in d.roles()), 30, "for every role")
    finally:
        stop.set()
        for t in senders:
            t.join()
    print("# seed %d, killed %s" % (seed, dict(killed)))
    told = {}
    for t in senders:
        told.update(t.told)
    wrong, count = account(d, postfix, told)
    print("# %s" % count)
    assert not wrong and count["judged"] > len(told) / 10, (len(wrong), wrong[:10], count)
    later = {"later-%d@a.example" % i: 250 for i in range(20)}
    assert all(postfix.send(sender)[0] == 250 for sender in later)
    want = {"mails": 20, "milter": 20, "pcap": 20, "judged": 20, "with our header": 20}
    pf.until(lambda: account(d, postfix, later) == ([], want), 30, account(d, postfix, later))
    pf.until(lambda: books_equal(d), 30, "for the books")
    d.stop()
    died = re.findall(r".*Sanitizer.*|.*runtime error.*|.*role\.died .* signal=(?!9 ).*|"
                      r".*role\.died .* code=.*", d.said())
    assert not died, died[:20]


def ends(d, postfix):
    took = d.stop()
    assert postfix.send("without@a.example")[0] == 250
    start = time.monotonic()
    d.start()
    print("# ended in %.1f s, back in %.1f s" % (took, time.monotonic() - start))
    assert postfix.send("again@a.example")[0] == 250 and d.of("again@a.example")
    d.p.kill()  # the supervisor; its roles go with it
    d.p.wait()
    start = time.monotonic()
    d.start()
    print("# back behind kill -9 in %.1f s" % (time.monotonic() - start))
    assert postfix.send("third@a.example")[0] == 250 and d.of("third@a.example")


def main():
    why = pf.needs("postfix", "unshare", "ip")
    if why:
        print("1..0 # SKIP " + why)
        return 0
    pf.in_namespace()
    failed = 0
    tests = [accepted, signed, refused, limited, large, ends, kills]
    print("1..%d" % len(tests))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.makedirs(folder + "/assay")
        d = Daemon(folder + "/assay")
        policy = "check_policy_service unix:%s/assay/p.sock" % folder
        with pf.Postfix(folder + "/postfix", d.address, more=(
                "smtpd_sender_restrictions = %s\nsmtpd_end_of_data_restrictions = %s\n"
                "smtpd_policy_service_default_action = DUNNO\n" % (policy, policy))) as postfix:
            for number, test in enumerate(tests, 1):
                try:
                    test(d, postfix)
                    print("ok %d - %s" % (number, test.__name__))
                except Exception:
                    failed += 1
                    print("not ok %d - %s" % (number, test.__name__))
                    lines = traceback.format_exc().splitlines() + d.said().splitlines()[-8:]
                    print("\n".join("# " + line for line in lines))
                sys.stdout.flush()
        if d.p.poll() is None:
            d.stop()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
