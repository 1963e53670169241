#!/usr/bin/env python3
"""rates_cluster.py ASSAY GATEWAY - recorder and rates on a Redis Cluster in trouble, under load.

Three masters with a replica each on loopback. While transactions are logged and counted, slots
move, one of them stays half moved for a while (ASK, TRYAGAIN), a master is killed and its replica
takes over, the old master comes back. Afterwards the books equal the log, and the rates what this
test counted, within 1 %. Speaks TAP; without redis-server it is skipped.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

assay, tool = sys.argv[1:3]
if not shutil.which("redis-server"):
    print("1..0 # SKIP redis-server is not here")
    sys.exit(0)
here = os.path.dirname(os.path.abspath(__file__))
folder = tempfile.mkdtemp(prefix="assay-cluster-")
BASE = int(os.environ.get("PORT", "17510"))
servers, number, failed = {}, 0, 0


def told(ok, what, got=""):
    global number, failed
    number += 1
    failed += not ok
    print("ok" if ok else "not ok", number, "-", what, "(" + " ".join(str(got).split()) + ")" if got != "" else "",
          flush=True)


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def cli(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True).stdout.strip()


def start(port):
    own = f"{folder}/{port}"
    os.makedirs(own, exist_ok=True)
    servers[port] = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes",
         "--cluster-node-timeout", "1500", "--appendonly", "yes", "--save", "", "--dir", own,
         "--cluster-replica-validity-factor", "0", "--logfile", own + "/redis.log"])
    assert until(lambda: cli(port, "PING") == "PONG"), f"no server on {port}"


def healthy():
    up = [p for p, s in servers.items() if s.poll() is None]
    return all("cluster_state:ok" in cli(p, "CLUSTER", "INFO") for p in up)


def masters():
    """port -> id of the masters with slots, as a node that is up sees it."""
    up = next(p for p, s in servers.items() if s.poll() is None)
    rows = [line.split() for line in cli(up, "CLUSTER", "NODES").splitlines()]
    return {int(r[1].split("@")[0].rsplit(":", 1)[1]): r[0] for r in rows
            if "master" in r[2] and "fail" not in r[2] and len(r) > 8}


# --- the log of a gateway, its recorder, and its rates ---------------------------------------

written = {"transactions": 0, "sent": 0, "accepted": 0, "hard": 0}
state, truth = folder + "/one", {}
stop, stop_rates = threading.Event(), threading.Event()


def write_log():
    path = state + "/log/20261123-080000-000000.jsonl"
    i = 0
    with open(path, "ab", buffering=0) as log:
        while not stop.is_set():
            lines = b""
            for _ in range(20):
                i += 1
                code = 550 if i % 10 == 0 else 250
                lines += (json.dumps({
                    "event": "txn", "id": f"01KAS{i:021d}", "time": "2026-11-23T08:00:00Z", "source": "pcap",
                    "peer": "192.0.2.1", "mail_from": f"b@s{i % 50}.example",
                    "rcpts": [{"to": f"u{i}@m.example", "code": code}], "reply": {"code": 250},
                    "complete": True, "message_id": f"<{i}@x>", "sender": {"by": "dkim", "key": f"s{i % 50}.example"},
                    "list": None, "class": None}) + "\n").encode()
                written["transactions"] += 1
                written["sent"] += 1
                written["hard" if code == 550 else "accepted"] += 1
            log.write(lines)
            time.sleep(0.02)


def record():
    """What the recorder of `run` does: again and again, whatever happens to Redis."""
    while not stop.is_set():
        subprocess.run([assay, "-c", folder + "/one.conf", "report", "s1.example"], capture_output=True)


class Gateway:
    def __init__(self, i):
        own = f"{folder}/gateway{i}"
        os.makedirs(own + "/rules/isc-1.2")
        shutil.copy(here + "/../rules/good.rules", own + "/rules/isc-1.2")
        shutil.copytree(here + "/../rules/lists", own + "/rules/lists")
        with open(own + "/assay.conf", "w") as f:
            f.write(f"state {own}/state\nredis cluster 127.0.0.1:{BASE} 127.0.0.1:{BASE + 1}\n"
                    f"rules {own}/rules\nlisten policy unix:{own}/p\n")
        self.process = subprocess.Popen([tool, own + "/assay.conf"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=open(own + "/log", "w"), text=True)
        self.lock = threading.Lock()

    def ask(self, line):
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            return self.process.stdout.readline().strip()


def count_rates(gateways):
    while not stop.is_set():
        if stop_rates.is_set():
            time.sleep(0.05)
            continue
        key, n = f"k{random.randrange(200)}", random.randrange(1, 5)
        random.choice(gateways).ask(f"count {key} {n}")
        truth[key] = truth.get(key, 0) + n
        time.sleep(0.002)


def sums():
    out = subprocess.run([assay, "-c", folder + "/one.conf", "report", "--json"], capture_output=True, text=True)
    rows = [json.loads(line) for line in out.stdout.splitlines()]
    return {k: sum(r[k] for r in rows) for k in written} if out.returncode == 0 else out.stderr


def worst(gateways):
    off = 0.0
    for key, n in truth.items():
        for gateway in gateways:
            off = max(off, abs(float(gateway.ask("read " + key).split()[1]) - n) / n)
    return off


def reshard(source, target, slots):
    by = masters()
    out = subprocess.run(["redis-cli", "--cluster", "reshard", f"127.0.0.1:{target}", "--cluster-yes",
                          "--cluster-slots", str(slots), "--cluster-from", by[source], "--cluster-to", by[target]],
                         capture_output=True, text=True)
    return out.returncode == 0 and "rror" not in out.stdout, out.stdout[-300:] + out.stderr[-300:]


def half_moved(source, target, gateways):
    """The slot of a bucket moves as `redis-cli` does it, but slowly, with a rest at each step."""
    by = masters()
    slot = next(cli(source, "CLUSTER", "KEYSLOT", "{b%03d}gen" % b) for b in range(64)
                if cli(source, "CLUSTER", "COUNTKEYSINSLOT",
                       cli(source, "CLUSTER", "KEYSLOT", "{b%03d}gen" % b)) not in ("0", ""))

    def left():
        return int(cli(source, "CLUSTER", "COUNTKEYSINSLOT", slot))

    def migrate(n):
        keys = cli(source, "CLUSTER", "GETKEYSINSLOT", slot, str(n)).split("\n")
        return cli(source, "MIGRATE", "127.0.0.1", str(target), "", "0", "5000", "KEYS", *keys)
    key = next(k.split("}r:")[1] for k in cli(source, "CLUSTER", "GETKEYSINSLOT", slot, "100000").split("\n")
               if "}r:" in k)
    cli(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", by[source])
    cli(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", by[target])
    all_keys = left()
    said = migrate(all_keys // 2)
    time.sleep(1)
    told(said == "OK" and 0 < left() < all_keys, "a slot stays half moved under load", f"{left()} of {all_keys} left")
    until(lambda: left() == 0 or migrate(100) not in ("OK", "NOKEY"), 10)
    there = int(cli(target, "CLUSTER", "COUNTKEYSINSLOT", slot))
    told(left() == 0 and there >= all_keys, "all its keys have moved, the slot has not", f"{there} of {all_keys}")

    def told_to_the_other():
        gateways[0].ask("count " + key + " 1")
        truth[key] = truth.get(key, 0) + 1
        return until(lambda: float(gateways[1].ask("read " + key).split()[1]) >= truth[key], 1)
    stop_rates.set()
    time.sleep(0.3)
    told(until(told_to_the_other, 10), "rates follow ASK", gateways[1].ask("read " + key) + f", want {truth[key]}")
    stop_rates.clear()
    out = subprocess.run([assay, "-c", folder + "/one.conf", "report", "--json"], capture_output=True, text=True)
    told(out.returncode == 0 and left() == 0, "the books follow ASK", out.stderr)
    for port in (target, source):
        cli(port, "CLUSTER", "SETSLOT", slot, "NODE", by[target])


def main():
    os.makedirs(state + "/log")
    ports = [BASE + i for i in range(6)]
    for port in ports:
        start(port)
    subprocess.run(["redis-cli", "--cluster", "create", *[f"127.0.0.1:{p}" for p in ports],
                    "--cluster-replicas", "1", "--cluster-yes"], capture_output=True, check=True)
    assert until(healthy), "the cluster does not come up"
    assert until(lambda: all("master_link_status:up" in cli(p, "INFO", "replication") or p in masters() for p in ports))
    with open(folder + "/one.conf", "w") as f:
        f.write(f"state {state}\nredis cluster 127.0.0.1:{BASE} 127.0.0.1:{BASE + 1} 127.0.0.1:{BASE + 4}\n")
    gateways = [Gateway(i) for i in range(2)]
    assert until(lambda: all('"redis":"there"' in g.ask("status") for g in gateways)), gateways[0].ask("status")
    threads = [threading.Thread(target=f, args=a) for f, a in
               [(write_log, ()), (record, ()), (count_rates, (gateways,))]]
    for t in threads:
        t.start()
    time.sleep(1)

    a, b, c = sorted(masters())
    moved, said = reshard(a, b, 1200)
    told(moved, "slots move under load", "" if moved else said)
    moved, said = reshard(b, c, 1200)
    told(moved, "and on", "" if moved else said)
    half_moved(a, c, gateways)

    before = set(masters())
    victim = b
    servers[victim].kill()
    servers[victim].wait()
    del servers[victim]
    took = until(lambda: len(masters()) == 3 and victim not in masters() and healthy())
    told(took, "a replica takes the place of a lost master", sorted(set(masters()) - before))
    time.sleep(1)
    start(victim)
    told(until(healthy), "the old master comes back as a replica")
    time.sleep(1)
    stop.set()
    for t in threads:
        t.join()
    until(lambda: sums() == written, 30)
    got = sums()
    told(got == written, "the books equal the log", got if got == written else f"{got}, want {written}")
    until(lambda: worst(gateways) == 0, 15)
    off = worst(gateways)
    told(off <= 0.01, "rates are within 1 % of the truth", f"{off * 100:.2f} % off, {sum(truth.values())} counted")
    print("#", gateways[0].ask("status"))
    for gateway in gateways:
        gateway.process.stdin.close()
        gateway.process.wait()


try:
    main()
finally:
    stop.set()
    for server in servers.values():
        server.kill()
    for server in servers.values():
        server.wait()
    print(f"1..{number}")
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(failed > 0)
