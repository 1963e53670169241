#!/usr/bin/env python3
"""limits.py ASSAY SOURCE - a daemon with a milter, the policy service and Redis: one transaction is one
to its limits, however it ends and whoever asks.

Speaks TAP; skipped without redis-server.
"""
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
import milter_client as mc  # noqa: E402
from tap import finish, skip, told, until  # noqa: E402

if not shutil.which("redis-server"):
    skip("redis-server is not here")
with open(SOURCE + "/samples/mail/promo-good-en.eml", "rb") as f:
    MAIL = b"\r\n".join(line.rstrip(b"\r\n") for line in f) + b"\r\n"


def words(answer):
    return answer[1].rstrip(b"\0").decode() if answer[0] == b"y" else ""


class Daemon:
    def __init__(self, folder):
        self.folder, self.conf = folder, folder + "/assay.conf"
        os.makedirs(folder + "/state")
        os.makedirs(folder + "/local")
        with open(self.conf, "w") as f:
            f.write(f"state {folder}/state\nredis unix:{folder}/r.sock\ndns zone {SOURCE}/samples/zone\n"
                    f"host mx1.mbox.example\nrules {SOURCE}/rules {folder}/local\n"
                    f"listen milter unix:{folder}/m.sock {{ deadline 20s }}\nlisten policy unix:{folder}/p.sock\n")
        self.write("limit ip { 3 per hour }\nlimit sender { 1 per hour }\n")
        self.log = open(folder + "/run.log", "w")
        self.process = subprocess.Popen([ASSAY, "-c", self.conf, "run"], stderr=self.log)

    def write(self, limits):
        with open(self.folder + "/local/local.rules", "w") as f:
            f.write("levels { tag never  defer never  reject never }\n" + limits)

    def __call__(self, *args):
        return subprocess.run([ASSAY, "-c", self.conf, *args], capture_output=True, text=True)

    def status(self):
        return json.loads(self("status", "--json").stdout or "{}")

    def limits(self, text):
        self.write(text)
        done = self("reload")  # waits until they hold
        told(done.returncode == 0, "a reload: " + text.strip(), done.stderr + self.said())

    def milter(self):
        return next(r for r in self.status()["roles"] if r["role"] == "milter")

    def said(self):
        with open(self.folder + "/run.log") as f:
            return f.read()

    def begin(self, ip, sender):
        """A transaction of which the milter has heard MAIL, and its answer."""
        m = mc.Client(f"unix:{self.folder}/m.sock")
        m.negotiate()
        m.connect(ip)
        m.helo("out.example.com")
        return m, words(m.mail(f"<{sender}>"))

    def end(self, m):
        m.rcpt("<wang@mbox.example>")
        m.message(MAIL)
        answer = words(m.end()[1])
        m.quit()
        return answer

    def ask(self, ip, sender, state="RCPT"):
        """What the policy service says meanwhile."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(self.folder + "/p.sock")
            s.sendall(f"request=smtpd_access_policy\nprotocol_state={state}\nclient_address={ip}\n"
                      f"sender={sender}\ninstance={os.urandom(8).hex()}\n\n".encode())
            return s.recv(999).decode().strip()


def counted(d, ip):
    """How many transactions of this address Redis has, as another gateway would read it."""
    def call(*args):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(d.folder + "/r.sock")
            s.sendall(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args))
            f = s.makefile("rb")
            line = f.readline()
            if line[:1] == b"*":
                line = f.readline() if line != b"*0\r\n" else b"$-1"
            return f.read(int(line[1:])) if int(line[1:]) >= 0 else b""
    value = call(b"GET", call(b"KEYS", b"*r:ip:" + ip.encode()))
    return sum(n for _, n in struct.iter_unpack("<Ii", value[4:]))


def refused_late(d):
    """The limit of his own refuses a sender at the end; the address that he shares keeps its quota."""
    ip = "192.0.2.1"
    m, _ = d.begin(ip, "news@example.com")
    told(d.end(m) == "", "the first of a sender is let in", d.said())
    began = [d.begin(ip, "news@example.com") for _ in range(2)]
    told(until(lambda: counted(d, ip) == 3), "three are counted for all gateways", counted(d, ip))
    time.sleep(1.5)  # a slot of the windows has 0.94 s
    late = [(at_mail, d.end(m)) for m, at_mail in began]
    told(all(not a and "this sender" in b for a, b in late), "two are refused at their ends", late)
    told(until(lambda: counted(d, ip) == 1, 10), "and do not count against the address, at all gateways",
         counted(d, ip))


def policy_asks(d):
    """What the milter has let in at MAIL is not refused at RCPT for being there."""
    ip, sender, dunno = "198.51.100.1", "news@example.com", "action=DUNNO"
    d.limits("limit ip { 1 at once }\n")
    for i in range(2):
        m, at_mail = d.begin(ip, sender)
        got = [d.ask(ip, sender, stage) for stage in ("RCPT", "DATA", "END-OF-MESSAGE")]
        told(at_mail == "" and got == [dunno] * 3, "at once: the policy service lets transaction %d go on" % i,
             (at_mail, got))
        told("451 4.7.28" in d.ask(ip, "x@other.example"), "at once: and still refuses another one")
        told(d.end(m) == "", "at once: it comes to its end")
    told(until(lambda: d.ask(ip, sender) == dunno, 10), "at once: and then there is room")
    ip = "198.51.100.2"
    d.limits("limit ip { 3 per hour }\n")
    got = []
    for _ in range(3):
        m, at_mail = d.begin(ip, sender)
        got += [at_mail, d.ask(ip, sender)]
        m.quit()
    told(got == ["", dunno] * 3, "per hour: three are three, with the policy service too", got)
    told(until(lambda: "451 4.7.28" in d.ask(ip, sender), 10), "per hour: a fourth is refused")


folder = tempfile.mkdtemp(prefix="assay-limits-")
redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", folder + "/r.sock", "--save", "", "--dir",
                          folder], stdout=subprocess.DEVNULL)
daemon = None
try:
    until(lambda: os.path.exists(folder + "/r.sock"))
    daemon = Daemon(folder)
    if told(until(lambda: daemon.status().get("ready") and daemon.milter().get("redis") == "there"),
            "a daemon with Redis", daemon.said()):
        refused_late(daemon)
        policy_asks(daemon)
    daemon.process.terminate()
    told(daemon.process.wait(20) == 0, "it ends", daemon.said())
finally:
    for p in (daemon and daemon.process, redis):
        if p and p.poll() is None:
            p.kill()
            p.wait()
    shutil.rmtree(folder, ignore_errors=True)
finish()
