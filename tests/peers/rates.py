#!/usr/bin/env python3
"""rates.py GATEWAY ASSAY - the rates of two gateways on one Redis, in good times and in trouble.

GATEWAY is tests/tools/rates_gateway. Every number is compared with what this script counted
itself. RATES_SECONDS makes outages longer (2 s; an hour's soak would take 60). Speaks TAP; without
redis-server it is skipped.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SECONDS = float(os.environ.get("RATES_SECONDS", "2"))
tool, assay = sys.argv[1:3]
if not shutil.which("redis-server"):
    print("1..0 # SKIP redis-server is not here")
    sys.exit(0)
here = os.path.dirname(os.path.abspath(__file__))
folder = tempfile.mkdtemp(prefix="assay-rates-")
number, failed = 0, 0


def told(ok, what, got=""):
    global number, failed
    number += 1
    failed += not ok
    print(("ok" if ok else "not ok"), number, "-", what, "(" + " ".join(str(got).split()) + ")" if got != "" else "", flush=True)


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


class Redis:
    def __init__(self, name, *options):
        self.path = os.path.join(folder, name + ".sock")
        self.options = options
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", folder,
             *self.options], stdout=subprocess.DEVNULL)
        assert until(lambda: self("PING") == "PONG"), "redis-server does not start"

    def __call__(self, *words):
        done = subprocess.run(["redis-cli", "-s", self.path, *words], capture_output=True, text=True)
        return done.stdout.strip()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Gateway:
    def __init__(self, redis_path, rules=""):
        self.folder = tempfile.mkdtemp(dir=folder)
        os.makedirs(self.folder + "/rules/isc-1.2")
        shutil.copy(here + "/../rules/good.rules", self.folder + "/rules/isc-1.2")
        shutil.copytree(here + "/../rules/lists", self.folder + "/rules/lists")
        with open(self.folder + "/rules/local.rules", "w") as f:
            f.write(rules)
        conf = self.folder + "/assay.conf"
        with open(conf, "w") as f:
            f.write(f"state {self.folder}/state\nredis {redis_path}\nrules {self.folder}/rules\n"
                    f"listen policy unix:{self.folder}/policy.sock\n")
        self.process = subprocess.Popen([tool, conf], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(self.folder + "/log", "w"), text=True)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().strip()

    def ask(self, line):
        self.say(line)
        return self.hear()

    def read(self, key):
        return [float(n) for n in self.ask("read " + key).split()]

    def status(self):
        return json.loads(self.ask("status"))

    def ready(self):
        assert until(lambda: self.status()["redis"] == "there"), self.status()
        return self

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:  # a sanitizer's report too
            told(False, "the gateway ends well", open(self.folder + "/log").read()[-2000:])


def pair(redis, rules=""):
    return [Gateway("unix:" + redis.path, rules).ready() for _ in range(2)]


def agree(gateways, truth, window=1):
    """Every gateway reads the truth of every key, after an exchange or two."""
    def off():
        worst = 0.0
        for gateway in gateways:
            for key, n in truth.items():
                worst = max(worst, abs(gateway.read(key)[window] - n) / max(n, 1))
        return worst
    until(lambda: off() == 0, 5)
    return off()


def load(gateways, truth, seconds, keys=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gateway, key, n = random.choice(gateways), f"k{random.randrange(keys)}", random.randrange(1, 9)
        gateway.ask(f"count {key} {n}")
        truth[key] = truth.get(key, 0) + n
        time.sleep(0.002)


def counts():
    redis = Redis("counts")
    gateways, truth = pair(redis), {}
    load(gateways, truth, SECONDS)
    off = agree(gateways, truth)
    told(off <= 0.01, "two gateways read what both counted, within 1 %", f"{off * 100:.2f} % off")
    ttl = int(redis("TTL", redis("KEYS", "*r:k1")))
    told(80000 < ttl <= 90000, "keys expire", f"{ttl} s")
    for gateway in gateways:
        gateway.close()
    redis.stop()


def one_limit():
    redis = Redis("limit")
    gateways = pair(redis, "limit ip { 600 per minute }\n")
    for gateway in gateways:
        gateway.say("flood 192.0.2.1 60 8 4")
    answers = [[int(n) for n in gateway.hear().split()] for gateway in gateways]
    passed = sum(a[0] for a in answers)
    told(abs(passed - 600) <= 12, "one limit for both: 600 a minute, 120 a second try",
         f"{passed} passed, {sum(a[1] for a in answers)} refused, longest {max(a[2] for a in answers)} us")
    for gateway in gateways:
        gateway.close()
    redis.stop()


def at_once():
    """What is under way at one gateway takes a place at the other, until it is over or its gateway
    is dead."""
    redis = Redis("at-once")
    one, two = pair(redis, "limit ip { 5 at once }\n")
    longest = [0]

    def begin(*gateways, ip="192.0.2.1"):
        """Six transactions begin at each gateway in the same moment: how many are let in."""
        for gateway in gateways:
            gateway.say(f"begin {ip} 6")
        answers = [gateway.hear().split() for gateway in gateways]
        longest[0] = max(longest[0], *(int(a[2]) for a in answers))
        return [int(a[0]) for a in answers]

    def begin_one(gateway):
        return gateway.ask("begin 192.0.2.1 1").startswith("1 ")

    def end(gateway, n, ip="192.0.2.1"):
        for _ in range(n):
            gateway.ask("end " + ip)
    # every place is given once, however they come
    given, late = [], 0
    for i in range(30):
        ip, longest[0] = f"198.51.100.{i}", 0
        got = begin(one, two, ip=ip)
        if longest[0] > 190000:  # a machine so slow that MAIL has given up waiting
            late += 1
            continue
        given.append(sum(got))
        if i % 3 == 0:  # one place becomes free
            end(one if got[0] else two, 1, ip)
            again = [0]
            until(lambda: again.append(sum(begin(one, two, ip=ip))) or again[-1], 5)
            if longest[0] < 190000:
                given.append(4 + again[-1])
    told(set(given) == {5}, "at once: two gateways never give the last place twice", given)
    print(f"# at once: {late} of 30 were late")
    began = [begin_one(one) for _ in range(3)]
    told(all(began), "at once: three of five under way", began)

    def taken(gateway, n):
        """How many places the gateway has left, tried without keeping them."""
        got, = begin(gateway)
        end(gateway, got)
        return got == n
    told(taken(two, 2), "at once: the other gateway has two left, at its first look")
    end(one, 2)
    told(until(lambda: taken(two, 4), 10), "at once: and four when two are over")
    told(until(lambda: begin_one(one), 10), "at once: which are free for all")
    time.sleep(6)  # longer than a word holds: it is told again
    told(until(lambda: taken(two, 3), 10), "at once: slow ones stay under way")
    one.process.kill()
    one.process.wait()
    told(until(lambda: taken(two, 5), 20), "at once: a dead gateway holds no place")
    redis.stop()
    told(until(lambda: taken(two, 5), 10), "at once: without Redis this gateway's own count goes on")
    told(begin(two, ip="203.0.113.1") == [5], "at once: and refuses nobody else")
    two.close()


def outage(name, begin, end):
    """Redis has trouble while mail flows: nobody waits, nobody is refused, and nothing counts
    twice or never afterwards."""
    redis = Redis(name)
    gateways, truth = pair(redis, "limit ip { 1000000 per minute }\n"), {}
    load(gateways, truth, 1)
    agree(gateways, truth)
    for gateway in gateways:
        gateway.say(f"flood 192.0.2.1 500 {SECONDS + 1} 4")
    begin(redis)
    during = time.monotonic() + SECONDS
    local = {}
    for i in range(200):
        gateways[0].say("count k1 1")
        truth["k1"] = truth.get("k1", 0) + 1
    while time.monotonic() < during:
        time.sleep(0.05)
    end(redis)
    lines = [[], []]
    for gateway, heard in zip(gateways, lines):
        for _ in range(201 if gateway is gateways[0] else 1):
            heard.append(gateway.hear())
    floods = [[int(n) for n in line.split()] for heard in lines for line in heard if line != "ok"]
    told(len(floods) == 2 and sum(f[1] for f in floods) == 0, f"{name}: nobody is refused")
    longest = max(f[2] for f in floods)
    print(f"# {name}: longest limiter_refuses() {longest} us")
    for gateway in gateways:
        gateway.ready()
    load(gateways, truth, 0.5)
    off = agree(gateways, truth)
    told(off <= 0.01, f"{name}: the truth afterwards, within 1 %", f"{off * 100:.2f} % off")
    truth_ip = sum(f[0] for f in floods)
    del truth_ip, local
    for gateway in gateways:
        gateway.close()
    redis.process.send_signal(signal.SIGCONT)
    redis.stop()


def bucket_of(key):
    """books_bucket()."""
    hash = 14695981039346656037
    for c in key.encode():
        hash = (hash ^ c) * 1099511628211 % 2**64
    return (hash ^ hash >> 32) % 64


def restored():
    """Busy keys whose bucket was lost are told in parts, so that nobody waits for Redis meanwhile."""
    redis, slots = Redis("restored"), 180
    one, two = pair(redis)
    keys = [key for key in (f"p{i}" for i in range(30000)) if bucket_of(key) == 7][:300]

    def is_told(gateway):
        days = [gateway.read(key)[2] for key in keys]  # each is asked for when it is read
        return all(abs(day - slots) <= slots / 20 for day in days)
    for key in keys:
        one.ask(f"past {key} {slots}")
    assert until(lambda: is_told(two)), two.read(keys[0])
    redis("CONFIG", "SET", "slowlog-log-slower-than", "0")
    redis("CONFIG", "SET", "slowlog-max-len", "100000")
    redis("FLUSHALL")
    redis("SLOWLOG", "RESET")
    for key in keys:
        one.ask("count " + key + " 1")
    fresh = Gateway("unix:" + redis.path).ready()
    told(until(lambda: is_told(fresh)), "what Redis lost is restored", fresh.read(keys[0]))
    log = subprocess.run(["redis-cli", "-s", redis.path, "SLOWLOG", "GET", "-1"], capture_output=True).stdout
    most = longest = 0
    for call in re.split(rb"\n1\d{9}\n(?=\d+\nFCALL\nassay_rates\n)", log)[1:]:
        octets = re.search(rb" \((\d+) more bytes\)", call)  # behind the first 128 of a word
        words = re.search(rb" \((\d+) more arguments\)", call)
        if octets and words and octets.start() < words.start():  # it restores
            keys_told = (31 + int(words[1]) - 7) // 2  # 31 words are shown, and 7 of all are no key's
            most = max(most, keys_told * (128 + int(octets[1])))
            longest = max(longest, int(call.split(b"\n")[0]))
    told(0 < most < 80000, "in parts of 64 KB", f"{most // 1000} KB in a call, {longest} us the longest")
    for gateway in (one, two, fresh):
        gateway.close()
    redis.stop()


class Proxy:
    """Between a gateway and Redis; cuts the connection where the answer should pass."""
    def __init__(self, target):
        self.target, self.cut = target, False
        self.path = os.path.join(folder, f"proxy{random.randrange(10**9)}.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.lost = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self.pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, True), daemon=True).start()

    def pump(self, source, sink, answers):
        try:
            while data := source.recv(65536):
                if answers and self.cut and random.random() < 0.2:
                    self.lost += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def lost_answers():
    redis = Redis("lost")
    proxy = Proxy(redis.path)
    gateways = [Gateway("unix:" + proxy.path).ready() for _ in range(2)]
    truth = {}
    proxy.cut = True
    load(gateways, truth, SECONDS * 2)
    proxy.cut = False
    off = agree(gateways, truth)
    told(off == 0 and proxy.lost > 2, "answers that were lost count once", f"{off * 100:.2f} % off, {proxy.lost} lost")
    for gateway in gateways:
        gateway.close()
    redis.stop()


def history():
    redis = Redis("history")
    gateways, keys = pair(redis), [f"s{i}.example" for i in range(5)]
    for i in range(200):
        gateways[i % 2].ask(f"judge {keys[i % 5]} 192.0.2.7")
    # a worker that sees the keys for the first time knows what the others judged, at once
    fresh = Gateway("unix:" + redis.path).ready()
    time.sleep(0.3)
    answers = [fresh.ask(f"judge {key} 192.0.2.7").split() for key in keys]
    told(answers[0][:3] == ["41", "41", "201"] and [a[0] for a in answers] == ["41"] * 5,
         "history: all that was judged, this one too", answers)
    print("# history: first sight of a sender waited", max(int(a[3]) for a in answers), "us")
    redis.process.send_signal(signal.SIGSTOP)
    answer = fresh.ask("judge new.example 192.0.2.9").split()
    told(answer[:3] == ["-"] * 3 and int(answer[3]) < 1000000,
         "history: a silent Redis makes UNKNOWN after 100 ms", answer)
    assert until(lambda: fresh.status()["history"]["redis"] == "away")
    answer = fresh.ask("judge other.example 192.0.2.9").split()
    told(answer[:3] == ["-"] * 3 and int(answer[3]) < 50000,
         "history: one that is away is not waited for", answer)
    redis.process.send_signal(signal.SIGCONT)
    for gateway in [*gateways, fresh]:
        gateway.close()
    redis.stop()


def standing():
    redis, now = Redis("standing"), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    state = folder + "/books"
    os.makedirs(state + "/log")
    with open(state + "/log/20261123-080000-000000.jsonl", "w") as f:
        n = 0
        for sender, sent, hard in (("good.example", 1500, 20), ("poor.example", 300, 60), ("few.example", 50, 0)):
            for i in range(sent):
                n += 1
                f.write(json.dumps({
                    "event": "txn", "id": f"01KAS{n:021d}", "time": now, "source": "milter", "peer": "192.0.2.1",
                    "mail_from": f"b@{i % 7}.{sender}", "rcpts": [{"to": f"u{n}@m.example", "code": 550 if i < hard else 250}],
                    "reply": None, "complete": True, "message_id": f"<{n}@x>",
                    "sender": {"by": "dkim", "key": sender}, "list": None, "class": None}) + "\n")
    with open(folder + "/books.conf", "w") as f:
        f.write(f"state {state}\nredis unix:{redis.path}\n")
    subprocess.run([assay, "-c", folder + "/books.conf", "report"], check=True, stdout=subprocess.DEVNULL)
    gateway = Gateway("unix:" + redis.path).ready()
    want = {"good.example": "1", "poor.example": "2", "few.example": "0", "nobody.example": "0"}
    ok = until(lambda: all(gateway.ask("standing " + s) == w for s, w in want.items()))
    told(ok, "standing by the books", {s: gateway.ask("standing " + s) for s in want})
    gateway.close()
    redis.stop()


class Policy:
    """A client of the policy service, as Postfix' smtpd is one."""
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(20)

    def send(self, text):
        self.socket.sendall(text.encode())

    def answer(self):
        data = b""
        while not data.endswith(b"\n\n"):
            more = self.socket.recv(4096)
            if not more:
                return None
            data += more
        return data.decode().strip()

    def ask(self, instance, ip="192.0.2.1", sender="b@a.example", state="RCPT", **more):
        attributes = {"request": "smtpd_access_policy", "protocol_state": state,
                      "protocol_name": "ESMTP", "client_address": ip, "sender": sender,
                      "recipient": "r@mbox.example", "instance": instance, "size": "0", **more}
        self.send("".join(f"{k}={v}\n" for k, v in attributes.items() if v is not None) + "\n")
        return self.answer()


def policy():
    redis = Redis("policy")
    gateway = Gateway("unix:" + redis.path, "limit ip { 3 per hour }\nlimit mailfrom { 5 per hour }\n").ready()
    path = gateway.folder + "/policy.sock"
    client, dunno = Policy(path), "action=DUNNO"
    stages = [client.ask("a", state=s) for s in ("RCPT", "RCPT", "RCPT", "DATA", "END-OF-MESSAGE")]
    told(stages == [dunno] * 5, "policy: stages of one instance count once", stages)
    got = [client.ask(i) for i in "bcde"]
    told(got[:2] == [dunno] * 2 and all(g.startswith("action=451 4.7.28 ") and " seconds" in g
         for g in got[2:]), "policy: the fourth transaction is refused", got)
    told(client.ask("a", state="END-OF-MESSAGE") == dunno, "policy: one that was let in stays in")
    got = [client.ask("x", ip="192.0.2.2", sender=""), client.ask("f", ip="unknown"),
           client.ask("", ip="192.0.2.1"), client.ask("g", request="other"),
           client.ask("h", state="CONNECT"), client.ask("i", client_address=None),
           client.ask("j", sender=None)]
    told(got == [dunno] * len(got), "policy: incomplete requests and other stages are no business", got)
    client.send("nonsense\n\n=\nx=\n\n")
    got = client.answer()
    got = got if got.count(dunno) == 2 else got + client.answer()
    told(got.count(dunno) == 2, "policy: nonsense is DUNNO", got)
    whole = ("request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.1\n"
             "sender=x@b.example\ninstance=slow\n\n")
    slow = Policy(path)
    for c in whole:
        slow.send(c)
    told(slow.answer().startswith("action=451"), "policy: a request in single octets")
    slow.send(whole.replace("slow", "p1") + whole.replace("slow", "p2"))
    first = slow.answer()
    told(first.count("451") >= 1, "policy: two requests at once")
    big = Policy(path)
    try:
        big.send("x=" + "a" * 100000)
        closed = big.answer() is None
    except OSError:
        closed = True
    told(closed, "policy: an endless line is hung up on")
    redis.process.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    got = [client.ask(f"s{i}", ip="198.51.100.1", sender="") for i in range(5)]
    told(got[:3] == [dunno] * 3 and "451" in got[4], "policy: without Redis this gateway's windows go on",
         f"{time.monotonic() - begin:.3f} s for 5")
    redis.process.send_signal(signal.SIGCONT)
    gateway.close()
    redis.stop()


def restart(redis):
    redis.start()


try:
    standing()
    history()
    policy()
    counts()
    one_limit()
    at_once()
    lost_answers()
    restored()
    outage("silent", lambda r: r.process.send_signal(signal.SIGSTOP),
           lambda r: r.process.send_signal(signal.SIGCONT))
    outage("killed", lambda r: r.stop(), restart)
    outage("flushed", lambda r: r("FLUSHALL"), lambda r: None)
    outage("slow", lambda r: subprocess.Popen(
        ["redis-cli", "-s", r.path, "EVAL", "local t = redis.call('TIME')[1] + 2 "
         "while redis.call('TIME')[1] + 0 < t do end", "0"], stdout=subprocess.DEVNULL), lambda r: None)
    outage("full", lambda r: r("CONFIG", "SET", "maxmemory", "1"),
           lambda r: r("CONFIG", "SET", "maxmemory", "0"))
    outage("locked", lambda r: r("CONFIG", "SET", "requirepass", "x"),
           lambda r: r("-a", "x", "CONFIG", "SET", "requirepass", ""))
finally:
    print(f"1..{number}")
    if failed:
        for root, _, names in os.walk(folder):
            if "log" in names:
                sys.stdout.write("".join("# " + l for l in open(root + "/log")))
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(failed > 0)
