#!/usr/bin/python3
"""Many complaints while everything goes wrong: each is accounted for in the end.

usage: feedback_volume.py ASSAY [COMPLAINTS]

COMPLAINTS (default 500, or ASSAY_VOLUME) go in over HTTP from eight clients that ask again until they
are answered. Meanwhile the feedback role or the whole daemon is killed (SIGKILL) at random, the disk
fills up (a tmpfs, as root), and the next hop is away, closes after the data, answers 4xx now and then
or always, 5xx, slowly, or says nothing. Then it is well again, everything is tried once more, and the
complaints, the rows of the queue, the event log and the mails that arrived are counted.
"""
import collections
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time

from feedback import MailSink, check, failures
from feedback_intake import Desk
from feedback_run import Daemon, event_of, field, kind_of, original, wait
from small_disk import SmallDisk

# by weight: what most destinations are, and each trouble
KINDS = {"good%d" % i: 10 for i in range(6)}
KINDS.update({"flaky%d" % i: 8 for i in range(4)})
KINDS.update({"cut": 6, "slow": 4, "never": 4, "later": 2, "mute": 1})
FILING = "".join("sender %s {\n dkim %s.example\n feedback fbl@%s.example { complaint }\n}\n"
                 % (k, k, k) for k in KINDS)


class Hop(MailSink):
    def __init__(self):
        self.mails = collections.defaultdict(list)
        self.answers = collections.Counter()
        self.away, self.well, self.healed = False, False, threading.Event()
        super().__init__()

    def greets(self):
        self.answers["away"] += self.away
        return not self.away

    def took(self, sender, rcpt, mail):
        kind = kind_of(rcpt)
        with self.lock:
            self.mails[kind].append(mail)
        if kind == "cut" and not self.well and random.random() < .3:
            self.answers["cut"] += 1
            return None # taken, and the sender does not know
        return super().took(sender, rcpt, mail)

    def rcpt(self, address):
        answer = self.answer(kind_of(address))
        self.answers[answer[:3]] += 1
        return answer

    def answer(self, kind):
        if kind == "never":
            return "554 5.1.1 never"
        if self.well:
            return "250 ok"
        if kind == "mute":
            self.healed.wait()
        if kind == "slow":
            time.sleep(.3)
        if kind == "later" or (kind.startswith("flaky") and random.random() < .2):
            return "451 4.3.0 later"
        return "250 ok"


class Clients:
    """Eight that hand in what is left, each complaint under its own key until it is taken."""

    def __init__(self, daemon, place, events):
        self.daemon, self.place, self.left = daemon, place, collections.deque(enumerate(events))
        self.total, self.allowed = len(events), 0
        self.outcomes, self.refused = collections.Counter(), collections.Counter()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(8)]
        for t in self.threads:
            t.start()

    def work(self):
        while True:
            while self.total - len(self.left) >= self.allowed and self.left:
                time.sleep(.02)
            try:
                i, event = self.left.popleft()
            except IndexError:
                return
            mail = self.place.mail(event)
            while True:
                try:
                    code, body = self.daemon.post(mail, key="v%d" % i)
                except OSError:
                    code = 0
                if code == 200:
                    self.outcomes[json.loads(body)["outcome"]] += 1
                    break
                self.refused[code] += 1
                time.sleep(.2)

    def busy(self):
        return any(t.is_alive() for t in self.threads)


def trouble(clients, daemon, hop, disk, counts):
    """One thing after the other, each while its part of the complaints is handed in."""
    ways = ["role", "away", "all"] + (["full"] if disk.mounted else [])
    turns = max(2 * len(ways), clients.total // 125)
    for turn in range(turns):
        clients.allowed = clients.total * (turn + 1) // turns
        time.sleep(random.uniform(.1, .4))
        way = ways[turn % len(ways)]
        counts[way] += 1
        if way == "role":
            role = daemon.roles().get("feedback")
            if role and role.get("pid"):
                try:
                    os.kill(role["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
        elif way == "all":
            daemon.kill()
            daemon.start()
        elif way == "away":
            hop.away = True
            time.sleep(1)
            hop.away = False
        else:
            disk.fill()
            time.sleep(2)
            disk.room()
    while clients.busy():
        time.sleep(.1)


def log_of(place):
    lines = collections.Counter()
    seen = collections.defaultdict(collections.Counter)
    for name in sorted(os.listdir(place.state + "/log")):
        for line in open(place.state + "/log/" + name, "rb"):
            if b'"event":"complaint"' in line or b'"event":"report"' in line:
                e = json.loads(line)
                key = (e["event"], e.get("outcome") or e.get("state"))
                lines[key] += 1
                seen[key][e["message_id"] if e["event"] == "report" else e["id"]] += 1
    return lines, seen


def settle(place, hop, n):
    """The hop is well and what waits is tried again until nothing does. A retry takes up what was
    refused for good, too, and one destination gets 50 a second: so it is asked for again only when
    no report has gone for a while."""
    hop.well, hop.away = True, False
    hop.healed.set()
    waiting, since = n, time.time()

    def over():
        nonlocal waiting, since
        left = sum(q["state"] == "queued" for q in place.queue())
        if left >= waiting and time.time() - since > 15:
            place.run("queue", "retry")
            since = time.time()
        if left < waiting:
            since = time.time()
        waiting = left
        return left == 0

    place.run("queue", "retry")
    return wait(over, 200 + n / 20, 1)


def judge(place, hop, clients, n, kinds):
    rows = place.queue()
    states = collections.Counter(q["state"] for q in rows)
    check("%d complaints in, %d rows in the queue, each with a Message-ID of its own" % (n, len(rows)),
          len(rows) == n and len({q["message_id"] for q in rows}) == n, (clients.outcomes, states))
    check("every one is sent or refused for good: %s" % dict(states),
          states == {"sent": n - kinds["never"], "failed": kinds["never"]}, states)
    mids, times = collections.defaultdict(set), collections.Counter()
    for mails in hop.mails.values():
        for m in mails:
            mids[original(m)].add(field(m, b"Message-ID"))
            times[field(m, b"Message-ID")] += 1
    check("%d arrived, none under a second Message-ID" % len(mids),
          len(mids) == n - kinds["never"] and all(len(v) == 1 for v in mids.values()), len(mids))
    known = {q["message_id"].encode() for q in rows if q["state"] == "sent"}
    check("what arrived is what the queue says (%d mails came twice: an answer got lost)"
          % sum(t > 1 for t in times.values()), set(times) == known)
    lines, seen = log_of(place)
    check("the log has each complaint and each report: %s" %
          {" ".join(k): len(v) for k, v in seen.items()},
          len(seen["complaint", "report"]) == n and len(seen["report", "queued"]) == n and
          len(seen["report", "sent"]) == n - kinds["never"], lines)


if __name__ == "__main__":
    n = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("ASSAY_VOLUME", "500"))
    random.seed(n)
    hop = Hop()
    folder = tempfile.mkdtemp(prefix="assay-volume.")
    disk = SmallDisk(folder, "%dm" % (96 + n // 25))
    if not disk.mounted:
        print("skip the full disk: a tmpfs cannot be mounted here")
    try:
        place = Desk(filing=FILING, folder=folder)
        place.setup_senders()
        with open(place.config) as f:
            text = f.read()
        with open(place.config, "w") as f:
            f.write(text.replace("via folder " + place.out, "via smtp 127.0.0.1:%d" % hop.port))
        daemon = Daemon(place)
        daemon.start()
        chosen = random.choices(list(KINDS), list(KINDS.values()), k=n)
        kinds = collections.Counter(chosen)
        begin = time.time()
        counts = collections.Counter()
        clients = Clients(daemon, place, [event_of(place, kind) for kind in chosen])
        trouble(clients, daemon, hop, disk, counts)
        taken = time.time() - begin
        check("all are taken: %s; refused meanwhile: %s; troubles: %s" %
              (dict(clients.outcomes), dict(clients.refused), dict(counts)),
              sum(clients.outcomes.values()) == n and
              set(clients.outcomes) <= {"report", "duplicate"} and len(counts) == 3 + disk.mounted)
        ended = settle(place, hop, n)
        check("nothing waits any more; answers of the hop: %s" % dict(hop.answers), ended)
        code, _ = daemon.stop()
        check("SIGTERM ends it with 0", code == 0, code)
        judge(place, hop, clients, n, kinds)
        print("# %d complaints taken in %.0f s, accounted for in %.0f s" % (n, taken, time.time() - begin))
        if failures:
            sys.stdout.write(open(place.folder + "/run.log").read()[-3000:])
        place.close()
    finally:
        if disk.mounted:
            disk.unmount()
            os.rmdir(folder)
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
