#!/usr/bin/env python3
"""filing_rate.py ASSAY SOURCE - the rate that a sender filed (clause 2.1.1(3)), with two daemons on one
Redis: what he sends above it is deferred at whichever gateway it comes to, others go by the limit
of everybody, and what the books say he sends is held against his filing.

Speaks TAP; skipped without redis-server.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
import milter_client as mc  # noqa: E402
from tap import finish, skip, told, until  # noqa: E402

if not shutil.which("redis-server"):
    skip("redis-server is not here")
FILED, MANY = 6, 9
FILING = """sender %s {
	ip 192.0.2.%d/32 { owner "Own" class commercial }
	rate %d per hour
	feedback fbl@%s.example { complaint }
}
"""
with open(SOURCE + "/samples/mail/promo-good-en.eml", "rb") as f:
    MAIL = b"\r\n".join(line.rstrip(b"\r\n") for line in f) + b"\r\n"


class Gateway:
    def __init__(self, folder, name, first=None):
        self.folder = folder + "/" + name
        os.makedirs(self.folder + "/state")
        os.makedirs(self.folder + "/local")
        with open(self.folder + "/local/local.rules", "w") as f:
            f.write("levels { tag never  defer never  reject never }\nlimit sender { %d per hour }\n" % MANY)
        self.conf = self.folder + "/assay.conf"
        with open(self.conf, "w") as f:
            f.write(f"state {self.folder}/state\nredis unix:{folder}/r.sock\ndns zone {SOURCE}/samples/zone\n"
                    f"host mx1.mbox.example\nrules {SOURCE}/rules {self.folder}/local\n"
                    f"listen milter unix:{self.folder}/m.sock {{ deadline 10s }}\n"
                    f"listen policy unix:{self.folder}/p.sock\n")
        if first: # the same secret, as the gateways of one provider have it
            shutil.copy(first.folder + "/state/secret", self.folder + "/state/secret")
        self.process = None

    def __call__(self, *words):
        return subprocess.run([ASSAY, "-c", self.conf, *words], capture_output=True, text=True)

    def register(self, key, ip, rate):
        with open(self.folder + "/filing", "w") as f:
            f.write(FILING % (key, ip, rate, key))
        done = [self("sender", "file", self.folder + "/filing"),
                self("sender", "approve", key, "--by", "ann", "--waive", "a test"),
                self("sender", "approve", key, "--by", "bob")]
        return all(d.returncode == 0 for d in done), [d.stderr for d in done]

    def start(self):
        self.log = open(self.folder + "/run.log", "w")
        self.process = subprocess.Popen([ASSAY, "-c", self.conf, "run"], stderr=self.log)

    def ready(self):
        return json.loads(self("status", "--json").stdout or "{}").get("ready")

    def said(self):
        with open(self.folder + "/run.log") as f:
            return f.read()

    def send(self, ip):
        """The answer to the end of the message: "" or the text of a refusal."""
        m = mc.Client(f"unix:{self.folder}/m.sock")
        m.negotiate()
        m.connect("192.0.2.%d" % ip)
        m.helo("out.example.com")
        m.mail("<news@example.com>")  # no limit is known at MAIL, so nobody waits there
        m.rcpt("<wang@mbox.example>")
        m.message(MAIL)
        answer = m.end()[1]
        m.quit()
        return answer[1].rstrip(b"\0").decode() if answer[0] == b"y" else answer[0].decode().strip("ca")

    def events(self):
        out = []
        for path in sorted(glob.glob(self.folder + "/state/log/*.jsonl")):
            with open(path) as f:
                out += [e for e in map(json.loads, f) if e["event"] == "txn"]
        return out

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            return self.process.wait(20)
        return None


def refused(answers):
    return [a.startswith("451 4.7.28 ") and f"this sender: {FILED} per hour" in a for a in answers]


def main(folder):
    a = Gateway(folder, "a")
    ok, said = a.register("esp", 1, FILED)
    told(ok, "a sender files a rate of %d per hour and is active" % FILED, said)
    a.start()
    told(until(a.ready), "one gateway", a.said())
    b = Gateway(folder, "b", a)
    ok, said = b.register("esp", 1, FILED)
    b.start()
    gateways = [a, b]
    try:
        told(ok and until(b.ready), "another one on the same Redis", b.said())
        # each by turns; what one let in is told to the other within a tenth of a second
        answers = []
        for i in range(FILED):
            answers.append(gateways[i % 2].send(1))
            told(until(lambda: len(a.events()) + len(b.events()) > i), "mail %d has its event" % (i + 1))
        told(answers == [""] * FILED, "the filed rate is let in, over both", answers)
        late = []
        told(until(lambda: late.append([g.send(1) for g in gateways]) or all(refused(late[-1])), 10),
             "above it both defer, and say how many are accepted", late)
        let_in = FILED + sum(a == "" for answers in late for a in answers)
        told(let_in <= 2 * FILED, "no more are let in than each alone would, until they have told each other", let_in)
        told(all(refused(g.send(1) for g in gateways * 2)), "and he stays deferred")
        others = [gateways[i % 2].send(9) for i in range(FILED + 2)]
        told(others == [""] * (FILED + 2), "who filed nothing goes by the limit of everybody", others)
        # the registry's change holds without a restart
        ok, said = a.register("esp", 1, 4 * FILED)
        told(ok, "he files four times as much", said)
        told(until(lambda: a.send(1) == "", 20), "and is let in again", a.said())
        told(refused([b.send(1)]) == [True], "the gateway that has the old filing defers him still")
        mine = [e for e in a.events() + b.events() if e["sender"]["registered"] == "esp"]
        rules = lambda e: {f["rule"] for f in e["findings"]}
        told(mine and all(e["sender"]["by"] == "ip" for e in mine), "the events name him", mine[:1])
        early = min(mine, key=lambda e: e["id"])
        told("filing.rate" not in rules(early), "while he is below his rate there is no finding", rules(early))
        told(any("filing.rate" in rules(e) for e in mine), "above it there is one", [sorted(rules(e)) for e in mine])
        told(all(e["reply"]["code"] == 451 and e["reply"]["enhanced"] == "4.7.28" for e in mine if e["reply"]),
             "a deferred transaction has its event with the reply", [e["reply"] for e in mine])
    finally:
        codes = [g.stop() for g in gateways]
        told(codes == [0, 0], "they end", codes)


folder = tempfile.mkdtemp(prefix="assay-filing-rate-")
server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", folder + "/r.sock", "--save", "", "--dir",
                           folder], stdout=subprocess.DEVNULL)
try:
    until(lambda: os.path.exists(folder + "/r.sock"))
    main(folder)
finally:
    server.kill()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
finish()
