#!/usr/bin/env python3
"""milter_answers.py ASSAY SOURCE - what `assay run` answers an MTA, beside what its log says of it: words in
Chinese and long ones, a quarantine, a limit at MAIL, and all of it while a worker hangs.

Speaks TAP.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
import milter_client as mc  # noqa: E402
from tap import finish, told, until  # noqa: E402

DEADLINE = 3
RULES = """levels { tag 15  defer never  reject 40 }
limit mailfrom { 2 per hour }
rule local.zh { clause 2.1.2 when body.language == zh score 50 tell "Not in this language." tell.zh "不收中文"
	test hit "promo-good-zh.eml" test miss "promo-good-en.eml" }
rule local.long { clause 2.1.2 when subject.text == "long" score 50 tell "%s"
	test hit "promo-good-en.eml" { subject.text = "long" } test miss "promo-good-en.eml" }
rule local.hold { clause 2.1.2 when subject.text == "hold" score 20 tell "held"
	test hit "promo-good-en.eml" { subject.text = "hold" } test miss "promo-good-en.eml" }
""" % ("长" * 400)
ZH = ("From: a@a.example\r\nTo: r@mbox.example\r\nSubject: 通知\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
      + "各位老师，本周的教研活动改在星期四下午举行，请准时参加。\r\n" * 4).encode()


def plain(subject):
    return b"From: a@a.example\r\nTo: r@mbox.example\r\nSubject: %s\r\n\r\nHello, the meeting is on Friday.\r\n" % subject


class Gateway:
    def __init__(self, folder):
        self.folder, self.conf = folder, folder + "/assay.conf"
        os.makedirs(folder + "/local")
        with open(folder + "/local/local.rules", "w") as f:
            f.write(RULES)
        with open(self.conf, "w") as f:
            f.write(f"state {folder}/state\ndns zone {SOURCE}/samples/zone\nhost mx1.mbox.example\nworkers 2\n"
                    f"rules {SOURCE}/rules {folder}/local\nlisten milter unix:{folder}/m.sock "
                    f"{{ deadline {DEADLINE}s quarantine }}\n")
        self.log = open(folder + "/log", "w")
        self.run = subprocess.Popen([ASSAY, "-c", self.conf, "run"], stderr=self.log)

    def status(self):
        r = subprocess.run([ASSAY, "-c", self.conf, "status", "--json"], capture_output=True, text=True)
        return json.loads(r.stdout) if r.returncode == 0 else {}

    def workers(self):
        return [r["pid"] for r in self.status()["roles"] if r["role"] == "analyze"]

    def event(self, sender):
        """What the log has now."""
        found = []
        for path in glob.glob(self.folder + "/state/log/*.jsonl"):
            with open(path) as f:
                found += [e for e in map(json.loads, f) if e["event"] == "txn" and e["mail_from"] == sender]
        return found[-1] if found else None

    def client(self):
        m = mc.Client(f"unix:{self.folder}/m.sock", 60)
        m.negotiate()
        m.connect("192.0.2.7")
        m.helo("client.example")
        return m

    def mail(self, sender, octets, *parameters):
        """Changes, lines of the reply, the event."""
        with self.client() as m:
            m.mail(f"<{sender}>", *parameters)
            m.rcpt("<r@mbox.example>")
            m.message(octets)
            changes, (letter, text) = m.end()
        # libmilter's % stand double, for a printf() of the MTA
        return changes, text.rstrip(b"\0").replace(b"%%", b"%").split(b"\r\n"), self.event(sender)


def words(g):
    _, lines, e = g.mail("zh@a1.example", ZH)
    told(lines[0] == b"550-5.7.1 Not in this language." and e["reply"]["text"].startswith("Not in"),
         "Chinese is for who asked for SMTPUTF8", (lines, e["reply"]))
    _, lines, e = g.mail("zh@a2.example", ZH, "SMTPUTF8")
    told(lines[0] == "550-5.7.1 不收中文".encode() and e["reply"]["text"].startswith("不收中文"),
         "who has it", (lines, e["reply"]))
    for sender, parameters in (("long@a3.example", ()), ("long@a4.example", ("SMTPUTF8",))):
        _, lines, e = g.mail(sender, plain(b"long"), *parameters)
        told(lines[-1] == b"550 5.7.1 id=" + e["id"].encode() and e["id"] in e["reply"]["text"] and
             all(len(line) + 2 <= 512 for line in lines) and "\ufffd" not in e["reply"]["text"] and
             b"".join(lines).decode(errors="replace").count("\ufffd") == 0,
             "long words leave room for the id", (lines, e["reply"]))
    changes, _, e = g.mail("hold@a5.example", plain(b"hold"))
    reason = [octets for letter, octets in changes if letter == b"q"]
    told(len(reason) == 1 and b"id=" + e["id"].encode() in reason[0], "a quarantine has the id", (changes, e["id"]))


def hung_worker(g):
    """One mail may be with it; no more are given to it."""
    judged = {}
    for pid in g.workers():
        os.kill(pid, signal.SIGSTOP)
        judged[pid] = []
        for n in range(4):
            e = g.mail("h@w%d-%d.example" % (n, pid), plain(b"x"))[2]
            judged[pid].append("unjudged" not in e["flags"])
        os.kill(pid, signal.SIGCONT)
        g.mail("again@w%d.example" % pid, plain(b"x"))
    told(all(sum(all_of) >= 3 and all_of[-1] for all_of in judged.values()),
         "a hung worker costs one mail", judged)


def limit(g):
    """A kill -9 behind the answer loses nothing: the event is there before."""
    def third(domain):
        with g.client() as m:
            for n in range(2):
                m.mail(f"<{n}@{domain}>")
                m.abort()
            begin = time.monotonic()
            letter, text = m.mail(f"<third@{domain}>")
            return letter + text, g.event(f"third@{domain}"), time.monotonic() - begin
    answer, e, _ = third("b1.example")
    told(answer.startswith(b"y451 4.7.28 ") and e and e["reply"]["code"] == 451 and not e["complete"] and
         e["sender"]["key"] == "192.0.2.7", "a refusal at MAIL is in the log when it is answered", (answer, e))
    workers = g.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    answer, e, seconds = third("b2.example")
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    told(answer.startswith(b"y451 4.7.28 ") and e and e["reply"]["code"] == 451 and seconds < DEADLINE + 5,
         "also where no worker answers, at the deadline", (answer, e, seconds))


folder = tempfile.mkdtemp(prefix="assay-answers-")
g = Gateway(folder)
try:
    until(lambda: g.status().get("ready") or g.run.poll() is not None)
    if told(g.status().get("ready"), "it starts", open(folder + "/log").read()):
        words(g)
        limit(g)
        hung_worker(g)
    g.run.terminate()
    told(g.run.wait(20) == 0, "it ends", open(folder + "/log").read())
finally:
    if g.run.poll() is None:
        g.run.kill()
        g.run.wait()
    shutil.rmtree(folder, ignore_errors=True)
finish()
