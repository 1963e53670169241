#!/usr/bin/python3
"""Live capture between two network namespaces of its own: what is seen is what was sent.

usage: capture_live.py ASSAY [SECONDS]

smtp-source sends through a veth pair to smtp-sink (both of Postfix) as fast as it can for SECONDS (5)
a row; `assay capture -i` listens on the sink's side. Checked are: as many transactions as the sink
took, all complete, no frame dropped by the kernel, no gap, every message's octets where they are
known, root given up, frames of 64 KiB, VLAN tags, labels and tunnels, a ring that is too small, and an
interface that goes away.
Speaks TAP. Skipped without root, ip(8) or Postfix's programs.
"""
import collections
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ASSAY = os.path.abspath(sys.argv[1])
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else float(os.environ.get("ASSAY_LIVE_SECONDS", 5))
PID = os.getpid()
A, B = "assay-a%d" % PID, "assay-b%d" % PID
os.environ["PATH"] += ":/usr/sbin:/sbin"
SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "samples", "pcap")
# Puts the frames of a capture on the wire.
SEND = """
import socket, struct, sys
octets = open(sys.argv[1], "rb").read()
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("ea", 0))
at = 24
while at < len(octets):
    n = struct.unpack_from("<I", octets, at + 8)[0]
    s.send(octets[at + 16:at + 16 + n])
    at += 16 + n
"""
CONFIG = "capture interface eb { ports 25 587  ring 64M }\nuser nobody\n"


def sh(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, **kw)


def within(namespace, *args):
    return ("ip", "netns", "exec", namespace) + args


class Network:
    def __enter__(self):
        for namespace in A, B:
            sh("ip", "netns", "add", namespace)
        sh("ip", "link", "add", "ea", "netns", A, "type", "veth", "peer", "name", "eb", "netns", B)
        for namespace, name, address in (A, "ea", "1"), (B, "eb", "2"):
            sh("ip", "-n", namespace, "link", "set", "lo", "up")
            sh("ip", "-n", namespace, "link", "set", name, "up")
            sh("ip", "-n", namespace, "addr", "add", "10.77.0.%s/24" % address, "dev", name)
            sh("ip", "-n", namespace, "addr", "add", "fd77::%s/64" % address, "dev", name, "nodad")
        return self

    def __exit__(self, *_):
        for namespace in A, B:
            pids = subprocess.run(("ip", "netns", "pids", namespace), capture_output=True, text=True)
            for pid in pids.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(("ip", "netns", "del", namespace), capture_output=True)


class Capture:
    """`assay capture --json -i eb` in the sink's namespace."""

    def __init__(self, folder, *options, interface="eb"):
        config = os.path.join(folder, "assay.conf")
        with open(config, "w") as f:
            f.write(CONFIG)
        self.out = open(os.path.join(folder, "events"), "w+")
        self.err = open(os.path.join(folder, "errors"), "w+")
        self.process = subprocess.Popen(
            within(B, ASSAY, "-c", config, "capture", "--json", "-i", interface) + options,
            stdout=self.out, stderr=self.err)
        # the ring is there and root is gone: it listens
        for _ in range(600):
            uid = self.uid()
            if uid and uid != 0 and self.sockets():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("it does not listen: " + open(self.err.name).read())

    def uid(self):
        try:
            with open("/proc/%d/status" % self.process.pid) as f:
                return int(re.search(r"^Uid:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            return None

    def sockets(self):
        """Packet sockets of this namespace that have a ring, as ss tells them."""
        return sh(*within(B, "ss", "-0", "-e", "-a", "-n")).stdout.count("ino:")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.out.seek(0)
        events = [json.loads(line) for line in self.out]
        self.err.seek(0)
        lines = self.err.read().splitlines()
        counters = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        return code, events, counters, lines


def listens(namespace, port=25):
    for _ in range(600):
        if ":%d " % port in sh(*within(namespace, "ss", "-ltn")).stdout:
            return
        time.sleep(0.05)
    raise RuntimeError("nothing listens on port %d" % port)


def sink(folder, *options, address="10.77.0.2:25"):
    p = subprocess.Popen(within(B, "smtp-sink", "-u", "nobody") + options + (address, "1000"),
                         cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listens(B)
    return p


def faults_of(events, counters, sent, expect_size=None):
    wrong = []
    txns = [e for e in events if e["event"] == "txn"]
    if len(txns) != sent:
        wrong.append("%d transactions seen, %d sent" % (len(txns), sent))
    broken = [t for t in txns if not t["complete"] or t["holes"] or
              (t["reply"] or {}).get("code") != 250 or "capture_loss" in t["flags"]]
    if broken:
        wrong.append("%d are not whole, the first: %s" % (len(broken), json.dumps(broken[0])))
    for name in "kernel_dropped", "interface_dropped":
        if counters.get(name) != 0:
            wrong.append("%s is %s" % (name, counters.get(name)))
    if counters.get("tcp", {}).get("gaps") != 0:
        wrong.append("gaps: %s" % counters.get("tcp"))
    if expect_size and {t["size"] for t in txns} != {expect_size}:
        wrong.append("sizes %s, not %d" % (collections.Counter(t["size"] for t in txns), expect_size))
    return wrong


def full_speed(folder, options, capture_options=(), seconds=SECONDS):
    """Batches of mails until the time is over; smtp-source says how many by returning at all."""
    server = sink(folder)
    capture = Capture(folder, *capture_options)
    sent, end, batch = 0, time.time() + seconds, 1000
    try:
        while time.time() < end:
            sh(*within(A, "smtp-source", "-m", str(batch), "-s", "20", "-f", "a@news.example", "-t",
                       "u@mbox.example"), *options, "10.77.0.2:25")
            sent += batch
    finally:
        code, events, counters, lines = capture.end()
        server.kill()
        server.wait()
    wrong = faults_of(events, counters, sent)
    if code:
        wrong.append("exit code %d: %s" % (code, lines[-3:]))
    rate = "%d transactions, %d frames in %.0f s" % (sent, counters.get("frames", 0), seconds)
    return rate, wrong


def exact(folder):
    """The octets as the sink wrote them, for each message."""
    dumps = os.path.join(folder, "dump")
    os.mkdir(dumps)
    os.chmod(dumps, 0o777)
    server = sink(dumps, "-d", os.path.join(dumps, "%M."))
    capture = Capture(folder)
    count = 200
    sh(*within(A, "smtp-source", "-m", str(count), "-s", "10", "-l", "60000", "-N", "-f", "a@news.example",
               "-t", "u@mbox.example", "10.77.0.2:25"))
    code, events, counters, _ = capture.end()
    server.kill()
    server.wait()
    wrong = faults_of(events, counters, count)
    want = collections.Counter()
    for name in os.listdir(dumps):
        with open(os.path.join(dumps, name), "rb") as f:
            octets = f.read()
        # smtp-sink puts lines of its own in front (X-..., Received and what follows it)
        lines = octets.split(b"\n")
        while lines and (lines[0].startswith((b"X-", b"Received:", b"\t"))):
            lines.pop(0)
        while lines and not lines[-1].strip():
            lines.pop()
        want[hashlib.sha256(b"\r\n".join(lines) + b"\r\n").hexdigest()] += 1
    got = collections.Counter(e["sha256"] for e in events)
    if want != got:
        wrong.append("hashes differ: %d of the sink's %d files are seen" %
                     (sum((want & got).values()), sum(want.values())))
    return "%d messages octet by octet" % count, wrong + (["exit code %d" % code] if code else [])


def summary(event):
    return {key: event[key] for key in event if key not in ("id", "file", "session", "time", "source")}


def replayed(folder):
    """Tags, labels and tunnels pass the filter: samples put on the wire are seen as from the file."""
    wrong, names = [], []
    with open(os.path.join(SAMPLES, "..", "..", "tests", "golden", "pcap.json")) as f:
        golden = json.load(f)
    for namespace, name in (A, "ea"), (B, "eb"):
        sh("ip", "-n", namespace, "link", "set", name, "mtu", "65535")
    for path in sorted(glob.glob(os.path.join(SAMPLES, "link_*.pcap"))) + [
            os.path.join(SAMPLES, "large_frames.pcap")]:
        with open(path, "rb") as f:
            octets = f.read()
        if struct.unpack_from("<I", octets, 20)[0] != 1:
            continue # no Ethernet
        name = os.path.basename(path)
        names.append(name)
        capture = Capture(folder)
        subprocess.run(within(A, sys.executable, "-c", SEND, path), check=True)
        _, events, counters, _ = capture.end()
        got = [summary(e) for e in events]
        want = [summary(e) for e in golden[name]]
        if [{k: e[k] for k in w} for e, w in zip(got, want)] != want or len(got) != len(want):
            wrong.append("%s: got %s" % (name, json.dumps(got)))
    return "%d samples on the wire" % len(names), wrong


def sixes(folder):
    server = sink(folder, address="inet:[fd77::2]:25")
    capture = Capture(folder)
    sh(*within(A, "smtp-source", "-m", "50", "-s", "5", "-f", "a@b", "-t", "c@d", "inet:[fd77::2]:25"))
    _, events, counters, _ = capture.end()
    server.kill()
    server.wait()
    wrong = faults_of(events, counters, 50)
    if {e["peer"] for e in events} != {"fd77::1"}:
        wrong.append("peers %s" % {e["peer"] for e in events})
    return "50 transactions over IPv6", wrong


def small_ring(folder):
    """A ring that is too small for a process that stands still: drops are counted, and marked."""
    global CONFIG
    before, CONFIG = CONFIG, CONFIG.replace("ring 64M", "ring 1M")
    server = sink(folder)
    try:
        capture = Capture(folder)
    finally:
        CONFIG = before
    os.kill(capture.process.pid, signal.SIGSTOP)
    sh(*within(A, "smtp-source", "-m", "400", "-s", "10", "-l", "60000", "-f", "a@b", "-t", "c@d",
               "10.77.0.2:25"))
    os.kill(capture.process.pid, signal.SIGCONT)
    code, events, counters, _ = capture.end()
    server.kill()
    server.wait()
    txns = [e for e in events if e["event"] == "txn"]
    wrong = []
    if not counters.get("kernel_dropped"):
        wrong.append("nothing was dropped: %s" % counters)
    unmarked = [t for t in txns if not t["complete"] and "capture_loss" not in t["flags"]]
    if unmarked:
        wrong.append("%d of %d lost octets and say nothing of it: %s" %
                     (len(unmarked), len(txns), json.dumps(unmarked[0])))
    if not any("capture_loss" in t["flags"] for t in txns):
        wrong.append("no transaction is marked")
    return "%d frames dropped, %d transactions left" % (counters.get("kernel_dropped", 0), len(txns)), wrong


def gone(folder):
    """An interface that is taken away: what was under way is told, and exit code 74."""
    sh("ip", "-n", B, "link", "add", "ec", "type", "veth", "peer", "name", "ed")
    sh("ip", "-n", B, "link", "set", "ec", "up")
    capture = Capture(folder, interface="ec")
    sh("ip", "-n", B, "link", "del", "ec")
    capture.process.wait(60)
    code, _, _, lines = capture.end()
    return "an interface that goes away", [] if code == 74 else ["exit code %d: %s" % (code, lines)]


ROWS = [
    ("a connection a message, 10 kB", lambda f: full_speed(f, ("-l", "10000"))),
    ("many messages a connection, 40 kB, no hash", lambda f: full_speed(f, ("-d", "-l", "40000"), ("--no-hash",))),
    ("octets", exact), ("link layers", replayed), ("IPv6", sixes), ("loss", small_ring), ("gone", gone),
]


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP network namespaces need root")
        return 0
    for program in "ip", "ss", "smtp-source", "smtp-sink":
        if not shutil.which(program):
            print("1..0 # SKIP %s is not installed" % program)
            return 0
    try:
        network = Network().__enter__()
    except subprocess.CalledProcessError as e:
        print("1..0 # SKIP no network namespaces here: %s" % (e.stderr or "").strip())
        Network.__exit__(None)
        return 0
    failed = 0
    print("1..%d" % len(ROWS))
    try:
        for number, (name, row) in enumerate(ROWS, 1):
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)
                try:
                    words, wrong = row(folder)
                except (subprocess.CalledProcessError, RuntimeError) as e:
                    words, wrong = "", [str(e) + (getattr(e, "stderr", "") or "")]
            print("%s %d - %s: %s" % ("not ok" if wrong else "ok", number, name, words), flush=True)
            for line in wrong:
                print("# " + line[:1000])
            failed += bool(wrong)
    finally:
        network.__exit__()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
