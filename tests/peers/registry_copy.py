#!/usr/bin/python3
"""One registry for two gateways through a real Redis; copies that are broken, old or another's.

usage: registry_copy.py ASSAY
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from feedback import ASSAY, check, failures
from feedback_run import Daemon, free_port, wait

FILING = """sender %s {
	org { name "%s" }
	ip 192.0.2.%d/32
	domain %s.example
	dkim %s.example
	rate 100 per hour
}
"""
KEY = "{registry}copy"


class Gateway:
    def __init__(self, folder, name, port, words=""):
        self.folder, self.state = folder + "/" + name, folder + "/" + name + "/state"
        os.makedirs(self.state)
        self.config = self.folder + "/assay.conf"
        with open(self.config, "w") as f:
            f.write("state %s\nhost %s.mbox.example\nredis 127.0.0.1:%d\nworkers 1\n%s" %
                    (self.state, name, port, words))
        self.daemon = Daemon(self)

    def run(self, *words, data=None):
        return subprocess.run([ASSAY, "-c", self.config, *words], input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)

    def file(self, key, n):
        with open(self.folder + "/filing", "w") as f:
            f.write(FILING % (key, key, n, key, key))
        self.run("sender", "file", self.folder + "/filing")
        self.run("sender", "approve", key, "--by", "ann", "--waive", "a test")
        return self.run("sender", "approve", key, "--by", "bob")

    def senders(self):
        out = self.run("sender", "list", "--json").stdout.decode()
        return {s["key"]: s["state"] for s in map(json.loads, out.splitlines())}

    def log(self):
        return open(self.folder + "/run.log").read()


def redis(port, *words, data=None):
    return subprocess.run(["redis-cli", "-p", str(port), *words], input=data, stderr=subprocess.DEVNULL,
                          stdout=subprocess.PIPE,
                          check=False).stdout.decode().strip()


def start_redis(folder, port):
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir",
                               folder, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL)
    wait(lambda: redis(port, "ping") == "PONG", 20)
    return server


def refused(gateway, port, why, *words):
    """A copy that is wrong in one way: said once, and what was there stays."""
    before = gateway.senders()
    lines = gateway.log().count(why)
    redis(port, "HSET", KEY, *words)
    said = wait(lambda: gateway.log().count(why) > lines, 15)
    time.sleep(2.5)
    check("refused: " + why, said and gateway.log().count(why) == lines + 1 and
          gateway.senders() == before, gateway.log()[-600:])


if __name__ == "__main__":
    if not shutil.which("redis-server") or not shutil.which("redis-cli"):
        print("skip: redis-server is not installed")
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix="assay-copy.")
    port = free_port()
    server = start_redis(folder, port)
    with open(folder + "/bad.conf", "w") as f:
        f.write("state %s/x\nregistry redis\n" % folder)
    r = subprocess.run([ASSAY, "-c", folder + "/bad.conf", "check"], stderr=subprocess.PIPE,
                       stdout=subprocess.PIPE)
    check("a private Redis has no copy: exit 78", r.returncode == 78 and b"registry redis" in r.stderr,
          (r.returncode, r.stderr))
    one = Gateway(folder, "one", port)
    two = Gateway(folder, "two", port, "registry redis\n")
    for gateway in (one, two):
        gateway.daemon.start()
    try:
        one.file("esp", 1)
        check("what one has approved, the other knows", wait(lambda: two.senders() == {"esp": "active"},
                                                             20), two.senders())
        shown = lambda g: json.loads(g.run("sender", "show", "esp", "--json").stdout or b"{}")
        same = ("key", "state", "org", "ip", "domain", "dkim", "receipt", "since", "until", "rate")
        check("field by field", [shown(two).get(k) for k in same] == [shown(one).get(k) for k in same] and
              shown(two)["state"] == "active" and shown(two)["receipt"],
              shown(two))
        mail = (b"From: a@esp.example\r\nTo: b@mbox.example\r\nSubject: x\r\nDate: Mon, 23 Nov 2026 "
                b"08:00:00 +0000\r\nMessage-ID: <1@esp.example>\r\n\r\nx\r\n")
        with open(folder + "/m.eml", "wb") as f:
            f.write(b"Received: from out.esp.example (out.esp.example [192.0.2.1]) by two.mbox.example; "
                    b"Mon, 23 Nov 2026 08:00:00 +0000\r\n" + mail)
        event = json.loads(two.run("scan", "--json", folder + "/m.eml").stdout.splitlines()[0])
        check("the other judges by it", event["sender"]["registered"] == "esp", event["sender"])
        r = two.run("sender", "suspend", "esp", "--by", "ann", "--reason", "x")
        check("the other decides nothing: exit 77", r.returncode == 77 and b"copy" in r.stderr, r.stderr)
        one.run("sender", "suspend", "esp", "--by", "ann", "--reason", "x")
        check("a suspension arrives", wait(lambda: two.senders() == {"esp": "suspended"}, 20),
              two.senders())
        one.file("other", 2)
        check("a second sender arrives", wait(lambda: two.senders().get("other") == "active", 20),
              two.senders())

        one.daemon.stop() # nobody mends what is broken now
        seq = int(redis(port, "HGET", KEY, "seq"))
        text = redis(port, "HGET", KEY, "text")
        refused(two, port, "the hash is not that of its text", "text", text + "x", "seq", str(seq + 1))
        bad = text.replace("dkim esp.example", "dkim -esp.example") + "\n"
        refused(two, port, "a row or filing of it is wrong", "text", bad, "sha256",
                hashlib.sha256(bad.encode()).hexdigest(), "seq", str(seq + 2))
        good = text + "\n"
        whole = ("text", good, "sha256", hashlib.sha256(good.encode()).hexdigest())
        refused(two, port, "it is the copy of another registry", *whole, "origin", "0" * 64)
        origin = json.loads(one.run("sender", "audit", "--json").stdout.splitlines()[0])["hash"]
        empty = ("text", "", "sha256", hashlib.sha256(b"").hexdigest())
        refused(two, port, "it is older than ours", *empty, "origin", origin, "seq", str(seq - 1))
        server.terminate()
        server.wait()
        check("Redis is away: the copy stays", two.senders() == {"esp": "suspended", "other": "active"})
        server = start_redis(folder, port)
        one.daemon.start()
        check("Redis comes back empty: published again",
              wait(lambda: redis(port, "HGET", KEY, "seq") == str(seq), 30), redis(port, "HGET", KEY, "seq"))
        one.run("sender", "revoke", "other", "--by", "ann", "--reason", "x")
        one.run("sender", "revoke", "other", "--by", "bob", "--reason", "x")
        check("and taken", wait(lambda: two.senders().get("other") == "revoked", 30), two.senders())
        three = Gateway(folder, "three", port)
        three.file("mine", 3)
        three.daemon.start()
        check("a third with a registry of its own does not write over it",
              wait(lambda: "Redis has the copy of another registry" in three.log(), 20) and
              redis(port, "HGET", KEY, "origin") == origin, three.log()[-500:])
        three.daemon.stop()
    finally:
        codes = [g.daemon.stop()[0] for g in (one, two)]
        server.terminate()
        server.wait()
    check("both end with 0", codes == [0, 0], codes)
    shutil.rmtree(folder)
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
