#!/usr/bin/env python3
"""rates_masters.py GATEWAY CLOCK_STEP SOURCE - the rates of two gateways on a Redis Cluster of two masters
of which
one dies, or has another clock.

Against this test's own counts. GATEWAY is tests/tools/rates_gateway, CLOCK_STEP tests/tools/clock_step as
a library to preload. Speaks TAP; without redis-server it is skipped.
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

TOOL, STEP, SOURCE = (os.path.abspath(a) for a in sys.argv[1:4])
sys.path.insert(0, SOURCE + "/tests/tools")
from tap import finish, skip, told, until  # noqa: E402

PORTS = [int(os.environ.get("PORT", "17540")) + i for i in range(2)]
KEYS = [f"k{i}" for i in range(20)]
folder, servers = "", {}


def cli(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True).stdout.strip()


def step(port, seconds):
    with open(f"{folder}/{port}/step", "r+b") as f:
        f.write(struct.pack("=q", int(seconds * 1e6)))


def start(port):
    own = f"{folder}/{port}"
    if not os.path.isdir(own):
        os.mkdir(own)
        with open(own + "/step", "wb") as f:
            f.write(bytes(8))
    servers[port] = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes",
         "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no", "--save", "", "--dir", own],
        stdout=subprocess.DEVNULL, env={**os.environ, "LD_PRELOAD": STEP, "CLOCK_STEP": own + "/step"})
    assert until(lambda: cli(port, "PING") == "PONG"), "redis-server does not start"


def begin_cluster():
    for port in PORTS:
        start(port)
    cli(PORTS[0], "CLUSTER", "ADDSLOTSRANGE", "0", "8191")
    cli(PORTS[1], "CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
    cli(PORTS[0], "CLUSTER", "MEET", "127.0.0.1", str(PORTS[1]))
    assert until(lambda: all("cluster_state:ok" in cli(p, "CLUSTER", "INFO") and
                         "cluster_slots_assigned:16384" in cli(p, "CLUSTER", "INFO") for p in PORTS))


class Gateway:
    def __init__(self):
        self.folder = tempfile.mkdtemp(dir=folder)
        os.makedirs(self.folder + "/rules/isc-1.2")
        shutil.copy(SOURCE + "/tests/rules/good.rules", self.folder + "/rules/isc-1.2")
        shutil.copytree(SOURCE + "/tests/rules/lists", self.folder + "/rules/lists")
        with open(self.folder + "/assay.conf", "w") as f:
            f.write(f"state {self.folder}/state\nredis cluster 127.0.0.1:{PORTS[0]} 127.0.0.1:{PORTS[1]}\n"
                    f"rules {self.folder}/rules\nlisten policy unix:{self.folder}/p\n")
        self.process = subprocess.Popen([TOOL, self.folder + "/assay.conf"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=open(self.folder + "/log", "w"), text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def hour(self, key):
        return float(self.ask("read " + key).split()[1])

    def redis(self):
        return json.loads(self.ask("status"))["redis"]

    def logged(self, word):
        with open(self.folder + "/log") as f:
            return sum(word in line for line in f)

    def close(self):
        self.process.stdin.close()
        told(self.process.wait() == 0, "the gateway ends well", open(self.folder + "/log").read())


def dies(port, gateways):
    """Half of all keys lose their master: the log hears it once from each who counts, the status says it."""
    truth = {key: 2 * n for n, key in enumerate(KEYS, 1)}
    prefix, words, before = f"d{port}.", set(), gateways[0].logged("rates.")
    for gateway in gateways:
        for key, n in truth.items():
            gateway.ask(f"count {prefix}{key} {n // 2}")

    def is_read(by):
        return all(g.hour(prefix + key) == n for g in by for key, n in truth.items())
    assert until(lambda: is_read(gateways)), "two gateways do not agree"
    servers[port].kill()
    servers[port].wait()
    assert until(lambda: all(g.redis() != "there" for g in gateways)), "nobody sees that a master is dead"
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for gateway in gateways:
            gateway.ask("spread busy 200 200")
            words.add(gateway.redis())
        time.sleep(0.02)
    told(words == {"partly away"}, "a dead master: Redis is partly away", words)
    away = gateways[0].logged("rates.") - before
    told(0 < away < 4, "the log says it once", open(gateways[0].folder + "/log").read())
    fresh = Gateway()
    told(until(lambda: fresh.redis() == "partly away" and
               sum(fresh.hour(prefix + key) == n for key, n in truth.items()) >= len(KEYS) // 4),
         "a gateway that starts then has the keys of the other master", fresh.ask("status"))
    fresh.close()
    start(port)
    told(until(lambda: all(g.redis() == "there" for g in gateways)) and until(lambda: is_read(gateways)),
         "it comes back, and what it had", gateways[0].ask("status"))
    back = gateways[0].logged("rates.back")
    told(until(lambda: gateways[0].logged("rates.") - before == 2 * away, 3), "and the log says so once",
         f"{away} away, {back} back")


def clocks_differ(gateways, seconds):
    """Every answer of one master is `seconds` from what the other said."""
    prefix, truth, most = f"s{seconds}.", 0, 0.0

    def read():
        return {gateway.hour(prefix + key) for gateway in gateways for key in KEYS}
    step(PORTS[0], seconds)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        for key in KEYS:
            for gateway in gateways:
                gateway.ask(f"count {prefix}{key} 1")
        truth += len(gateways)
        most = max(most, max(read()) - truth)
        time.sleep(0.1)
    told(most <= 0, f"clocks that differ by {seconds} s: never more than was counted", f"{most} of {truth} too many")
    told(until(lambda: read() == {truth}, 5), "all of it in the end", f"{sorted(read())}, want {truth}")


def main():
    begin_cluster()
    gateways = [Gateway() for _ in range(2)]
    assert until(lambda: all(g.redis() == "there" for g in gateways)), gateways[0].ask("status")
    time.sleep(0.5)  # the other exchanges of each too
    for port in PORTS:  # one of them has the first bucket
        dies(port, gateways)
    for seconds in (1.5, 1.9, 30):
        clocks_differ(gateways, seconds)
    for gateway in gateways:
        gateway.close()


if not shutil.which("redis-server"):
    skip("redis-server is not here")
folder = tempfile.mkdtemp(prefix="assay-masters-")
try:
    main()
finally:
    for server in servers.values():
        server.kill()
        server.wait()
    shutil.rmtree(folder, ignore_errors=True)
finish()
