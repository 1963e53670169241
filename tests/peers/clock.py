#!/usr/bin/env python3
"""clock.py ASSAY SOURCE CLOCK_STEP - `assay run` on a machine whose clock jumps an hour on, two back and
a day on, under load: no mail is refused or lost for it, a slow client's session goes on, ids stay
unique, the books equal the log; and limits hold, also where the clock is that of Redis.

CLOCK_STEP is tests/tools/clock_step as a library to preload. Speaks TAP; skipped without
redis-server.
"""
import collections
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

ASSAY, SOURCE, STEP = (os.path.abspath(a) for a in sys.argv[1:4])
sys.path.insert(0, SOURCE + "/tests/tools")
import milter_client as mc  # noqa: E402
from tap import finish, skip, told, until  # noqa: E402

folder = ""
HOUR = 3600 * 1000000
sent, replies, slowest = [0], collections.Counter(), [0.0]
stop, lock = threading.Event(), threading.Lock()


def stepped():
    """The environment of an Assay under our clock; a sanitizer does not mind that it is loaded first."""
    asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
    return {**os.environ, "LD_PRELOAD": STEP, "CLOCK_STEP": folder + "/step", "ASAN_OPTIONS": asan}


def assay(*words):
    return subprocess.run([ASSAY, "-c", folder + "/assay.conf", *words], capture_output=True, text=True,
                          env=stepped())


def step(us):
    with open(folder + "/step", "r+b") as f:
        f.write(struct.pack("=q", us))


def client():
    m = mc.Client("unix:" + folder + "/m.sock")
    m.negotiate()
    m.connect("192.0.2.7")
    m.helo("client.example")
    return m


MAIL = b"From: a@a.example\r\nTo: r@mbox.example\r\nSubject: lunch\r\nMessage-ID: <%d@a.example>\r\n\r\nat noon?\r\n"


def load():
    m = client()
    while not stop.is_set():
        begin = time.monotonic()
        with lock:
            sent[0] += 1
            n = sent[0]
        reply = m.mail("<s@d%d.example>" % (n % 7))[0]
        if reply == b"c":
            m.rcpt("<r@mbox.example>")
            m.message(MAIL % n)
            reply = m.end()[1][0]
        with lock:
            replies[reply] += 1
            slowest[0] = max(slowest[0], time.monotonic() - begin)
        time.sleep(0.005)
    m.quit()


def limited():
    """One transaction of a domain with a limit: True when it was let in."""
    m = client()
    answer = m.mail("<s@limited.example>")[0]
    if answer == b"c":
        m.rcpt("<r@mbox.example>")
        m.message(MAIL % 0)
        m.end()
    m.quit()
    return answer == b"c"


def events():
    out = []
    for path in sorted(glob.glob(folder + "/state/log/*.jsonl")):
        with open(path) as f:
            out += [e for e in map(json.loads, f) if e["event"] == "txn"]
    return out


def books_equal():
    rows = [json.loads(line) for line in assay("report", "--json").stdout.splitlines()]
    books = {r["sender"]: r["transactions"] for r in rows}
    return books == dict(collections.Counter(e["sender"]["key"] for e in events()))


def main(redis):
    stop.clear()
    replies.clear()
    sent[0], slowest[0] = 0, 0.0
    os.makedirs(folder + "/local")
    with open(folder + "/local/local.rules", "w") as f:
        f.write("levels { tag never defer never reject never }\nlimit mailfrom { 100000 per hour }\n")
    with open(folder + "/step", "wb") as f:
        f.write(bytes(8))
    with open(folder + "/assay.conf", "w") as f:
        f.write(f"state {folder}/state\nredis {redis}\ndns zone {SOURCE}/samples/zone\nhost mx1.mbox.example\n"
                f"rules {SOURCE}/rules {folder}/local\nlisten milter unix:{folder}/m.sock {{ deadline 5s }}\n")
    os.makedirs(folder + "/state")
    log = open(folder + "/log", "w")
    run = subprocess.Popen([ASSAY, "-c", folder + "/assay.conf", "run"], stderr=log,
                           env=stepped())
    threads = [threading.Thread(target=load) for _ in range(2)]

    def said():
        return open(folder + "/log").read()
    try:
        told(until(lambda: json.loads(assay("status", "--json").stdout or "{}").get("ready")), "it starts", said())
        for t in threads:
            t.start()
        slow = client()
        slow.mail("<slow@d1.example>")
        slow.rcpt("<r@mbox.example>")
        for name, us in (("an hour on", HOUR), ("two hours back", -HOUR), ("23 hours on", 23 * HOUR),
                         ("and right again", 0)):
            before = sum(replies.values())
            step(us)
            told(until(lambda: sum(replies.values()) > before + 100), name + ": mail goes on", said())
            newest = events()[-1]["time"]
            want = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + us / 1e6))
            told(newest.startswith(want) or newest[14:16] in ("59", "00"), name + ": and has the new time", (newest, want))
        try:
            slow.message(MAIL % 0)
            answer = slow.end()[1][0]
        except OSError as e:
            answer = e
        told(answer == b"c", "a session that was silent meanwhile goes on", answer)
        with open(folder + "/local/local.rules", "w") as f:
            f.write("levels { tag never defer never reject never }\nlimit mailfrom { 8 per hour }\n")
        stop.set()
        for t in threads:
            t.join()
        told(assay("reload").returncode == 0, "a limit of 8 an hour", said())
        passed = [limited() for _ in range(4)]
        step(HOUR)
        time.sleep(0.5)  # some exchanges of rates
        passed += [limited() for _ in range(3)]
        step(-HOUR)
        time.sleep(0.5)
        passed += [limited() for _ in range(3)]
        told(passed == [True] * 8 + [False] * 2, "it holds over an hour on and two back", passed)
        told(set(replies) <= {b"c", b"a"}, "none of %d was refused" % sum(replies.values()), replies)
        told(slowest[0] < 5, "none waited for a deadline (%.3f s at most)" % slowest[0])
        n = sent[0] + 1 + len(passed)  # a refused MAIL has its event too
        told(until(lambda: len(events()) >= n) and len(events()) == n, "an event each", (len(events()), n))
        told(len({e["id"] for e in events()}) == n, "unique ids")
        told(not any(e["partial"] for e in events()), "all judged in time", [e["flags"] for e in events() if e["partial"]][:3])
        told(until(books_equal), "the books equal the log")
        run.terminate()
        told(run.wait(10) == 0, "it ends", said())
        told("role.died" not in said() and "role.kill" not in said(), "nobody died", said())
    finally:
        stop.set()
        if run.poll() is None:
            run.kill()
            run.wait()


if not shutil.which("redis-server"):
    skip("redis-server is not here")
for kind in ("another machine's Redis", "our Redis"):
    print("#", kind)
    folder = tempfile.mkdtemp(prefix="assay-clock-")
    server = None
    try:
        if kind == "our Redis":
            main("spawn")
            continue
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", folder + "/r.sock", "--save", "",
                                   "--dir", folder], stdout=subprocess.DEVNULL)
        until(lambda: os.path.exists(folder + "/r.sock"))
        main("unix:" + folder + "/r.sock")
    finally:
        if server:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)
finish()
