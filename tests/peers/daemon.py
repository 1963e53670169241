#!/usr/bin/python3
"""`assay run` and what a day does to it: watched folders and a milter's mail go in, processes are
killed, rules and registry change, the disk is full; the event log and the books say whether all of
it arrived once.

usage: daemon.py ASSAY SOURCE [KILLS]

KILLS (default 15): processes killed at random moments under load, the private Redis among them;
SEED in the environment chooses them again. Speaks TAP.
"""
import collections
import contextlib
import glob
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

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
import milter_client as mc  # noqa: E402
from small_disk import SmallDisk  # noqa: E402
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 15
results = []


def check(what, ok, detail=""):
    results.append(bool(ok))
    print("%s %d - %s" % ("ok" if ok else "not ok", len(results), what), flush=True)
    if not ok:
        print("# " + str(detail)[:2000].replace("\n", "\n# "), flush=True)


def skip(what, why):
    results.append(True)
    print("ok %d - %s # SKIP %s" % (len(results), what, why), flush=True)


def wait_for(what, seconds=30):
    """True as soon as what() is true."""
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.05)
    return bool(what())


class Gateway:
    def __init__(self, folder, deadline="5s"):
        self.folder = folder
        self.state = os.path.join(folder, "state")
        self.spool = os.path.join(folder, "in")
        for part in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.spool, part), exist_ok=True)
        self.rules = os.path.join(folder, "rules.d")
        os.makedirs(self.rules, exist_ok=True)
        self.milter = "unix:%s/m.sock" % folder
        self.conf = os.path.join(folder, "assay.conf")
        self.zone = os.path.join(folder, "zone")
        os.symlink(SOURCE + "/samples/zone", self.zone)
        with open(self.conf, "w") as f:
            f.write("state %s\ndns zone %s\nspool maildir %s\nhost mx.mbox.example\n"
                    "rules %s/rules %s\nworkers 2\nlisten milter %s { deadline %s }\n"
                    % (self.state, self.zone, self.spool, SOURCE, self.rules, self.milter, deadline))
        self.process = None
        self.sent = 0

    def launch(self):
        self.log = open(os.path.join(self.folder, "stderr"), "ab")
        self.process = subprocess.Popen([ASSAY, "-c", self.conf, "run"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def start(self):
        self.launch()
        return wait_for(lambda: self.status().get("ready"), 20)

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "it did not end in 10 s"

    def run(self, *words, timeout=60):
        return subprocess.run([ASSAY, "-c", self.conf] + list(words), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout)

    def status(self):
        r = self.run("status", "--json")
        return json.loads(r.stdout) if r.returncode == 0 and r.stdout else {}

    def pids(self, role=None):
        return [r["pid"] for r in self.status().get("roles", [])
                if r["pid"] and role in (None, r["role"])]

    def all_ready(self):
        """"ready" of the whole says that they were so once."""
        roles = self.status().get("roles")
        return roles and all(r["state"] == "ready" for r in roles)

    def role(self, name):
        return next((r for r in self.status().get("roles", []) if r["role"] == name), {})

    def put(self, octets, count=1):
        """As a delivery agent does: written in tmp/, renamed into new/."""
        for _ in range(count):
            self.sent += 1
            name = "%d.%d.host" % (self.sent, os.getpid())
            path = os.path.join(self.spool, "tmp", name)
            with open(path, "wb") as f:
                f.write(octets.replace(b"@N@", b"%d" % self.sent))
            os.rename(path, os.path.join(self.spool, "new", name))
        return name

    def children(self, role=""):
        """Processes of the supervisor, as the kernel names them."""
        with open("/proc/%d/task/%d/children" % (2 * (self.process.pid,))) as f:
            pids = [int(pid) for pid in f.read().split()]
        return {pid for pid in pids if name_of(pid).startswith("assay " + role if role else "")}

    def background(self, *words):
        return subprocess.Popen([ASSAY, "-c", self.conf] + list(words), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def rulesets(self):
        return {r.get("ruleset") for r in self.status().get("roles", []) if r["role"] == "analyze"}

    def local_rules(self, text):
        with open(self.rules + "/local.rules", "w") as f:
            f.write(text)

    def events(self):
        out = []
        for path in sorted(glob.glob(self.state + "/log/*.jsonl")):
            with open(path, "rb") as f:
                out += [json.loads(line) for line in f if line.endswith(b"\n")]
        return [e for e in out if e["event"] == "txn"]

    def stderr(self):
        with open(os.path.join(self.folder, "stderr")) as f:
            return f.read()


FAULTY_ZONE = b"a.test. IN A 1.2.3\n"


class Hold:
    """Workers that start in here are not ready before its end: the zone that they read is a pipe."""
    def __init__(self, g):
        self.g, self.writer = g, None

    def point(self, target):
        os.symlink(target, self.g.zone + ".new")
        os.rename(self.g.zone + ".new", self.g.zone)

    def __enter__(self):
        self.pipe = tempfile.mktemp(dir=self.g.folder)
        os.mkfifo(self.pipe)
        self.point(self.pipe)
        return self

    def wait(self, seconds=30):
        """True as soon as one waits for it."""
        def opened():
            with contextlib.suppress(OSError):  # nobody reads
                self.writer = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
            return self.writer is not None
        return wait_for(opened, seconds)

    def let_go(self, zone=b""):
        """The one that waits reads this; the next one waits again."""
        writer, self.writer = self.writer, None
        self.__enter__()
        if writer is not None:
            os.write(writer, zone)
            os.close(writer)

    def __exit__(self, *_):
        self.point(SOURCE + "/samples/zone")
        os.close(os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK) if self.writer is None else self.writer)


MAIL = (b"From: Shop <news@shop.test>\r\nTo: wang@mbox.example\r\nSubject: Offer @N@ of the week\r\n"
        b"Message-ID: <@N@@shop.test>\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n\r\n"
        b"Huge sale! Buy now and save 50 % on shoes.\r\n")


SELF_INFLICTED = r"Sanitizer|runtime error|role\.died .* (signal=(?!9 )|code=(?!0 ))"


def alive(pid):
    try:
        os.kill(pid, 0)
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def name_of(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return ""


def once_each(events, n):
    files = collections.Counter(e["file"].rsplit("/", 1)[1] for e in events if e["file"])
    twice = [f for f, k in files.items() if k > 1]
    ids = len({e["id"] for e in events}) == len(events)
    return (len(files) == n and not twice and ids,
            "files %d of %d, twice %s, ids unique %s" % (len(files), n, twice[:5], ids))


def books_equal(g):
    """The books against a count over the log."""
    r = g.run("report", "--json")
    books = {}
    for line in r.stdout.splitlines():
        o = json.loads(line)
        books[o["sender"]] = o["transactions"]
    want = collections.Counter(e["sender"]["key"] for e in g.events())
    return books == dict(want), "books %s log %s" % (books, dict(want))


def test_day(g):
    check("it starts and every role is ready", g.start(), g.stderr())
    roles = {r["role"] for r in g.status()["roles"]}
    check("the roles", {"analyze", "milter", "spool", "recorder", "feedback"} == roles, roles)
    check("a second one for the same folder is refused", g.run("run").returncode == 75)
    for pid in g.pids("analyze"):
        with open("/proc/%d/status" % pid) as f:
            words = dict(line.split(":", 1) for line in f.read().splitlines() if ":" in line)
        check("a worker has a filter of system calls", words["Seccomp"].strip() == "2", words)
    g.put(MAIL, 300)
    check("300 mails, an event each", wait_for(lambda: len(g.events()) >= 300),
          len(g.events()))
    check("once each", *once_each(g.events(), 300))
    samples = sorted(glob.glob(SOURCE + "/samples/mail/*.eml"))
    for path in samples:
        shutil.copy(path, os.path.join(g.spool, "new"))  # written in place, not renamed
    check("samples written in place", wait_for(lambda: len(g.events()) >= 300 + len(samples)),
          len(g.events()))
    scan = {}
    for line in g.run("scan", "--no-record", "--json", *[
            os.path.join(g.spool, "new", os.path.basename(p)) for p in samples]).stdout.splitlines():
        o = json.loads(line)
        scan[os.path.basename(o["file"])] = o
    differ = []
    for e in g.events():
        want = scan.get(os.path.basename(e["file"]))
        if want:
            differ += ["%s: %s %s, scan %s" % (e["file"], k, e[k], want[k]) for k in want
                       if k not in ("id", "time", "source") and e[k] != want[k]]
    check("the verdicts of scan", not differ and len(scan) == len(samples), differ)


def test_reload(g):
    before = g.role("analyze")["ruleset"]
    with open(g.rules + "/local.rules", "w") as f:
        f.write("adjust unsub.present { score 1.0 reason \"test\n")
    r = g.run("reload")
    check("faulty rules are refused", r.returncode == 78, r)
    check("with file, line and column", g.rules + "/local.rules:1:" in g.stderr(), g.stderr()[-800:])
    check("the old rules stay", g.role("analyze")["ruleset"] == before)
    with open(g.rules + "/local.rules", "w") as f:
        f.write("adjust unsub.present { score 1.0 reason \"test\" }\n")
    r = g.run("reload")
    check("good ones are taken", r.returncode == 0 and g.role("analyze")["ruleset"] != before, r)
    os.unlink(g.rules + "/local.rules")
    g.process.send_signal(signal.SIGHUP)
    check("SIGHUP takes them back", wait_for(lambda: g.role("analyze").get("ruleset") == before))
    n = len(g.events())
    g.put(MAIL, 20)
    check("mail goes on", wait_for(lambda: len(g.events()) >= n + 20))


def score(n):
    return "adjust unsub.present { score %d.0 reason \"test\" }\n" % n


def test_reload_deaths(g):
    """Workers that die while others take their places."""
    first = g.pids("analyze")[0]
    with Hold(g) as hold:
        reload = g.background("reload")
        hold.wait()
        os.kill(first, signal.SIGKILL)
        gone = wait_for(lambda: first not in g.children())
    told = reload.communicate(timeout=60)
    check("a worker that dies in a reload does not hold it up", gone and reload.returncode == 0, told)
    r = g.run("reload")
    check("nor the next one", r.returncode == 0 and wait_for(g.all_ready), (r, g.status()))
    before = g.rulesets()
    g.local_rules(score(3))
    with Hold(g) as hold:
        reload = g.background("reload")
        hold.wait()
        known = g.children()
        hold.let_go()
        hold.wait()
        second = g.children("analyze") - known
        for pid in second:
            os.kill(pid, signal.SIGKILL)
    told = reload.communicate(timeout=60)
    check("the second of the new ones is killed: another takes its place", len(second) == 1 and
          reload.returncode == 0 and len(g.rulesets()) == 1 and not g.rulesets() & (before | {None}),
          (second, told, g.rulesets(), before))


def test_edited(g):
    """Rules that were edited, and not reloaded."""
    before = g.rulesets()
    g.local_rules(score(4)[:-3])
    for pid in g.pids("analyze") + g.pids("milter"):
        os.kill(pid, signal.SIGKILL)
    starts = sum(r["starts"] for r in g.status()["roles"])
    check("a file that is half edited meets no role that is started again",
          wait_for(g.all_ready) and g.rulesets() == before and
          sum(r["starts"] for r in g.status()["roles"]) <= starts + 3, g.status())
    known = g.children()
    r = g.run("reload")
    check("a reload refuses it before any worker is replaced", r.returncode == 78 and
          g.rules + "/local.rules:1:" in g.stderr() and g.children() == known, r)
    g.local_rules(score(4))
    os.kill(g.pids("analyze")[0], signal.SIGKILL)
    check("a good one waits for the reload too", wait_for(lambda: g.children("analyze") - known) and
          wait_for(g.all_ready) and g.rulesets() == before, (g.rulesets(), before))
    r = g.run("reload")
    check("which takes it", r.returncode == 0 and not g.rulesets() & before, (r, g.rulesets()))


def test_hangup(g):
    """Signals while something is under way."""
    def taken():
        return g.all_ready() and len(g.rulesets()) == 1 and not g.rulesets() & (before | {None})
    before = g.rulesets()
    with Hold(g) as hold:
        reload = g.background("reload")
        hold.wait()
        g.local_rules(score(5))
        r = g.run("reload")
        g.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
    told = reload.communicate(timeout=60)
    check("a reload during another is to be tried later", r.returncode == 75 and "busy" in r.stderr, r)
    check("SIGHUP during a reload is done behind it", reload.returncode == 0 and wait_for(taken),
          (told, g.rulesets(), before))
    g.stop()
    g.start()
    before = g.rulesets()
    g.stop()
    with Hold(g) as hold:
        g.launch()
        hold.wait()
        g.local_rules(score(6))
        r = g.run("reload")
        g.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
    check("a reload during the start is to be tried later", r.returncode == 75 and "busy" in r.stderr, r)
    check("SIGHUP during the start is done behind it", wait_for(taken),
          (g.rulesets(), before, g.stderr()[-600:]))
    os.unlink(g.rules + "/local.rules")
    g.stop()
    said = len(g.stderr())
    with Hold(g) as hold:
        g.launch()
        hold.wait()
        g.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    code = g.process.wait(20)
    check("SIGTERM during the start ends it, and nothing begins any more",
          code == 0 and "role.kill" not in g.stderr()[said:], (code, g.stderr()[said:]))
    check("it starts again", g.start(), g.stderr()[-800:])


def test_root_alone(folder):
    """A configuration that the roles may not read."""
    if os.geteuid() != 0:
        skip("a configuration of root's alone", "not root")
        return
    g = Gateway(folder)
    os.makedirs(g.state)
    for path in (os.path.dirname(folder), folder):
        os.chmod(path, 0o755)
    for path, _, _ in os.walk(folder):
        if path.startswith((g.state, g.spool)):
            os.chown(path, 65534, 65534)
    with open(g.conf) as f:
        text = f.read()

    def name_field(name):
        with open(g.conf, "w") as f:
            f.write(text.replace("deadline", "header-verdict %s  deadline" % name))
        os.chmod(g.conf, 0o600)

    def field():
        with mc.Client(g.milter, 30) as m:
            m.negotiate()
            m.connect("192.0.2.7")
            m.helo("client.example")
            m.mail("<news@shop.test>")
            m.rcpt("<wang@mbox.example>")
            m.message(MAIL)
            return sorted(k for k in mc.inserted(m.end()[0]) if k.startswith("X-"))
    try:
        name_field("X-One")
        check("it starts with a configuration that only root may read", g.start() and field() == ["X-One"],
              (field(), g.stderr()))
        name_field("X-Two")
        g.local_rules("limit mailfrom { 1 per day dry-run }\n")
        r = g.run("reload")
        check("and a reload brings it to the roles", r.returncode == 0 and field() == ["X-Two"], (r, field()))
        field()
        check("with the limits of the rules", g.role("milter")["limits"]["mailfrom"]["dry_run"] > 0,
              g.role("milter"))
        known = g.children()
        os.kill(g.pids("milter")[0], signal.SIGKILL)
        while not g.children("milter") - known:
            pass
        (starting,) = g.children("milter") - known
        os.kill(starting, signal.SIGSTOP)
        name_field("X-Three")
        reload = g.background("reload")
        wait_for(lambda: not g.children("analyze") & known)
        os.kill(starting, signal.SIGCONT)
        told = reload.communicate(timeout=60)
        check("also to one that is not ready yet", reload.returncode == 0 and wait_for(g.all_ready) and
              field() == ["X-Three"], (told, field()))
        died = [line for line in g.stderr().splitlines() if re.search(SELF_INFLICTED, line)]
        check("none of its roles died of itself", not died, "\n".join(died[:20]))
        name_field("X-Four")
        with Hold(g) as hold:
            reload = g.background("reload")
            hold.wait()
            (old,) = g.pids("milter")
            os.kill(old, signal.SIGKILL)
            wait_for(lambda: g.role("milter").get("pid") != old and g.role("milter").get("state") == "ready")
            hold.let_go(FAULTY_ZONE)
            told = reload.communicate(timeout=60)
        check("what the first worker refuses is in force nowhere", reload.returncode == 78 and
              field() == ["X-Three"], (told, field()))
        with Hold(g) as hold:
            reload = g.background("reload")
            hold.wait()
            hold.let_go()
            while reload.poll() is None:
                if hold.wait(0.1):
                    hold.let_go(FAULTY_ZONE)
            told = reload.communicate()
        check("where the second cannot start the answer says so", reload.returncode == 75 and
              "the last 1 of 2 workers" in told[1] and field() == ["X-Four"], (told, field()))
        r = g.run("reload")
        check("another reload mends it", r.returncode == 0, r)
        check("it ends with 0", g.stop() == 0, g.stderr()[-800:])
    finally:
        if g.process and g.process.poll() is None:
            g.process.kill()


def test_answers(g):
    """What commands make of the supervisor's answers; `assay run` is down."""
    def told(answer, *words):
        path = os.path.join(g.state, "run", "control.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            command = g.background(*words)
            s.settimeout(20)
            caller = s.accept()[0]
            with caller:
                caller.recv(100)
                caller.sendall(answer)
            _, stderr = command.communicate(timeout=20)
        os.unlink(path)
        return command.returncode, stderr
    for answer, code in ((b"ok\n", 0), (b"busy: x\n", 75), (b"partly: x\n", 75), (b"failed: x\n", 78)):
        r = told(answer, "reload")
        check("reload is told '%s'" % answer.decode().strip(), r[0] == code and (code == 0 or "x" in r[1]), r)
    suspend = ("sender", "suspend", "shop", "--by", "anna", "--reason", "test")
    r = told(b"failed: x\n", *suspend)
    check("a decision that is recorded and not in force is no success",
          r[0] == 75 and "not in force yet: failed: x" in r[1], r)


def test_books_behind(g):
    """The recorder says what is not in the books yet, and why."""
    check("the books have all of the log", wait_for(lambda: g.role("recorder").get("behind_octets") == 0),
          g.role("recorder"))
    os.kill(g.status()["redis_pid"], signal.SIGSTOP)
    n = len(g.events())
    g.put(MAIL, 20)
    check("with a silent Redis mail goes on", wait_for(lambda: len(g.events()) >= n + 20, 60), len(g.events()))
    check("and the books are behind", wait_for(
        lambda: g.role("recorder")["redis"] == "away" and g.role("recorder")["behind_octets"] > 0
        and g.role("recorder")["behind_s"] > 0 and g.role("recorder")["redis_trouble"], 60), g.role("recorder"))
    os.kill(g.status()["redis_pid"], signal.SIGCONT)
    check("until it answers", wait_for(
        lambda: g.role("recorder")["redis"] == "there" and g.role("recorder")["behind_octets"] == 0, 60),
        g.role("recorder"))


class MilterLoad(threading.Thread):
    """An MTA whose default action is to accept: what becomes of each mail, by its MAIL FROM.

    answered   the milter said to go on with the message; the event's id is noted where it was added
    broken     the connection died on the way: such an MTA accepts the mail without us
    absent     there was no connection: the same
    refused    anything that delays the mail or keeps it from its recipient
    """
    def __init__(self, address, name, stop):
        super().__init__()
        self.address, self.name, self.stop = address, name, stop
        self.came_to, self.ids, self.n = {}, {}, 0

    def next_mail(self):
        self.n += 1
        return "%s-%d@shop.test" % (self.name, self.n)

    def one(self, m, sender):
        m.mail("<%s>" % sender)
        m.rcpt("<wang@mbox.example>")
        m.message(MAIL.replace(b"@N@", sender.encode()))
        changes, (letter, words) = m.end()
        self.came_to[sender] = "answered" if letter in b"ac" else "refused %r" % (letter + words)
        verdict = mc.inserted(changes).get("X-Assay-Verdict", b"")
        self.ids[sender] = verdict.partition(b"id=")[2].partition(b";")[0].decode()

    def session(self, mails):
        sender = self.next_mail()
        self.came_to[sender] = "absent"
        with mc.Client(self.address, 30) as m:
            self.came_to[sender] = "broken"
            m.negotiate()
            m.connect("192.0.2.7")
            m.helo("client.example")
            self.one(m, sender)
            for _ in range(mails - 1):
                sender = self.next_mail()
                self.came_to[sender] = "broken"
                self.one(m, sender)
            m.send(b"Q")

    def run(self):
        while not self.stop.is_set():
            try:
                self.session(random.choice((1, 1, 3)))
            except (TimeoutError, ValueError) as e:
                self.came_to["%s-%d@shop.test" % (self.name, self.n)] = "refused: %s" % e
            except (OSError, EOFError):
                time.sleep(0.05)  # ours has died; a client more comes a little later
            time.sleep(0.01)


def milter_account(load, events):
    """What is wrong with (what became of the mails, their events), and the words about it."""
    came_to, ids = {}, {}
    for l in load:
        came_to.update(l.came_to)
        ids.update(l.ids)
    logged = collections.defaultdict(list)
    for e in events:
        if e["source"] == "milter":
            logged[e["mail_from"]].append(e)
    wrong = []
    for sender, what in came_to.items():
        found = logged[sender]
        if what.startswith("refused"):
            wrong.append((sender, what))
        if len(found) > 1 or (what == "absent" and found) or (what == "answered" and not found):
            wrong.append((sender, what, len(found)))
        if what == "answered" and found and ids[sender] not in ("", found[0]["id"]):
            wrong.append((sender, "answered as", ids[sender], "logged as", found[0]["id"]))
        wrong += [(sender, "logged as refused", e["reply"]) for e in found if e["reply"]]
    count = collections.Counter(what.split()[0] for what in came_to.values())
    count["judged"] = sum("unjudged" not in e["flags"] for f in logged.values() for e in f)
    count["logged"] = sum(len(f) for f in logged.values())
    return wrong, count


def kill_at_random(g, dice):
    """{role: times}; each role gets its share, in any order."""
    killed = collections.Counter()
    names = {r["role"] for r in g.status()["roles"]} | {"redis"}
    end = time.time() + 5 * KILLS
    while sum(killed.values()) < KILLS and time.time() < end:
        time.sleep(dice.uniform(0.05, 0.5))
        status = g.status()
        victims = [(r["role"], r["pid"]) for r in status.get("roles", [])]
        victims.append(("redis", status.get("redis_pid")))
        victims = [v for v in victims if v[1] and killed[v[0]] <= KILLS // len(names)]
        for role, pid in [dice.choice(victims)] if victims else []:
            try:
                os.kill(pid, signal.SIGKILL)
                killed[role] += 1
            except OSError:
                pass
    return killed


def test_kills(g):
    """Random roles die while mail comes in, from a folder and from MTAs."""
    n = len(g.events())
    stop = threading.Event()
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))

    def pour():
        while not stop.is_set():
            g.put(MAIL, 20)
            time.sleep(0.05 if KILLS < 50 else 0.2)
    begun = g.sent
    load = [MilterLoad(g.milter, "k%d" % i, stop) for i in range(4)]
    thread = threading.Thread(target=pour)
    for t in load + [thread]:
        t.start()
    killed = kill_at_random(g, random.Random(seed))
    stop.set()
    for t in load + [thread]:
        t.join()
    print("# seed %d, killed %s" % (seed, dict(killed)), flush=True)
    want = n + g.sent - begun

    def spooled():
        return [e for e in g.events() if e["file"]]
    check("%d killed under load: no mail is lost" % sum(killed.values()),
          wait_for(lambda: len(spooled()) >= want, 60), (len(spooled()), want, killed))
    ok, detail = once_each(spooled(), len({e["file"] for e in spooled()}))
    check("none twice", ok, detail)
    wait_for(lambda: not milter_account(load, g.events())[0], 10)  # an event behind its deadline
    wrong, count = milter_account(load, g.events())
    print("# milter: %s" % dict(count), flush=True)
    check("a milter's mail is accepted, answered ones are logged once, a death breaks what is under way",
          not wrong and count["answered"] >= KILLS and
          count["broken"] <= killed["milter"] * len(load), (len(wrong), wrong[:10], count, g.stderr()[-800:]))
    check("every role is back", wait_for(g.all_ready), g.status())
    after = MilterLoad(g.milter, "after", stop)
    after.session(20)
    wrong, count = milter_account([after], [e for e in g.events() if e["mail_from"] in after.came_to])
    check("and later mail is judged", not wrong and
          count == {"answered": 20, "judged": 20, "logged": 20}, (wrong, count))
    check("the books equal the log", wait_for(lambda: books_equal(g)[0], 30), books_equal(g)[1])


def test_registry(g):
    with open(g.folder + "/shop.filing", "w") as f:
        f.write("sender shop {\n\torg { name \"Shop\" }\n\tdomain good.test\n\tdkim good.test\n"
                "\tfeedback fbl@good.test { complaint }\n}\n")
    g.run("sender", "file", g.folder + "/shop.filing")
    for name in ("anna", "bo"):
        r = g.run("sender", "approve", "shop", "--by", name, "--waive", "test")
    state = json.loads(g.run("sender", "show", "shop", "--json").stdout or "{}").get("state")
    if state != "active":
        check("the sender is active", False, r)
        return
    good = SOURCE + "/samples/mail/promo-good-en.eml"
    with open(good, "rb") as f:
        octets = f.read()

    def known():
        n = len(g.events())
        g.put(octets)
        wait_for(lambda: len(g.events()) > n, 5)
        return any(e["sender"]["key"] for e in g.events()[n:])
    check("the workers are new ones after an approval",
          wait_for(lambda: all(r["starts"] >= 2 for r in g.status()["roles"]
                               if r["role"] == "analyze"), 10))
    check("mail goes on", known())


def through_milter(g, octets):
    """The answer to a message, and the seconds that it took."""
    m = mc.Client(g.milter, 90)
    m.negotiate()
    m.connect("192.0.2.7")
    m.helo("client.example")
    m.mail("<news@shop.test>")
    m.rcpt("<wang@mbox.example>")
    begin = time.monotonic()
    m.message(octets)
    answer = m.end()[1][0]
    m.quit()
    return answer, time.monotonic() - begin


def test_full_disk(folder):
    disk = os.path.join(folder, "disk")
    os.makedirs(disk)
    small = SmallDisk(disk, "24m")
    if not small.mounted:
        skip("a full disk", "no right to mount a tmpfs")
        return
    g = Gateway(folder, "60s")
    try:
        g.state = disk + "/state"
        with open(g.conf) as f:
            text = f.read()
        with open(g.conf, "w") as f:
            f.write(text.replace(folder + "/state", g.state))
        with open(g.rules + "/local.rules", "w") as f:
            f.write("levels { tag never defer never reject 0 }\n")
        check("it starts on a small disk", g.start(), g.stderr())
        g.put(MAIL, 5)
        check("a milter's mail is refused", through_milter(g, MAIL)[0] == b"y")
        wait_for(lambda: len(g.events()) >= 6)
        small.fill()
        answer, seconds = through_milter(g, MAIL)
        check("on a full disk it is accepted, and at once", answer in (b"a", b"c") and seconds < 20,
              (answer, seconds))
        check("and that is said", "log.away" in g.stderr() and g.role("milter")["judge"]["unlogged"] == 1,
              (g.stderr()[-600:], g.role("milter")))
        g.put(MAIL, 40)
        time.sleep(1)
        waits = g.role("spool").get("log", {})
        small.room()
        check("after a full disk no event is missing", wait_for(lambda: len(g.events()) >= 47, 30),
              (len(g.events()), waits, g.stderr()[-600:]))
        spooled = [e for e in g.events() if e["file"]]
        check("once each", *once_each(spooled, 45))
        replies = [e["reply"] and e["reply"]["code"] for e in g.events() if not e["file"]]
        check("the log says what was answered", replies == [550, None], replies)
        check("it ends with 0", g.stop() == 0, g.stderr()[-800:])
    finally:
        if g.process and g.process.poll() is None:
            g.process.kill()
        time.sleep(0.3)
        small.unmount()


def test_death_of_all(g):
    pids = g.pids() + [g.status()["redis_pid"]]
    n = len(g.events())
    g.put(MAIL, 50)
    g.process.kill()
    g.process.wait()
    check("when the supervisor dies its roles die", wait_for(
        lambda: not any(alive(p) for p in pids), 5), [p for p in pids if alive(p)])
    begun = time.time()
    check("a new start is ready in 10 s", g.start() and time.time() - begun < 10,
          time.time() - begun)
    check("and judges what was left", wait_for(lambda: len(g.events()) >= n + 50),
          len(g.events()) - n)
    check("none twice", *once_each(g.events(), len({e["file"] for e in g.events() if e["file"]})))
    pids = g.pids() + [g.status()["redis_pid"]]
    begun = time.time()
    check("SIGTERM ends it with 0 in 10 s", g.stop() == 0 and time.time() - begun < 10,
          g.stderr()[-800:])
    check("nothing of it is left", wait_for(lambda: not any(alive(p) for p in pids), 3))
    check("status says that it is not up", g.run("status").returncode == 69)
    check("mails judged before are not judged again", g.start() and not wait_for(
        lambda: len(g.events()) > n + 50, 2), len(g.events()))
    check("the books equal the log", wait_for(lambda: books_equal(g)[0], 30), books_equal(g)[1])
    g.stop()


def test_deaths_at_start(g):
    """A process that is killed before it was ready is no fault of the configuration."""
    for n in range(1, 7):
        g.launch()
        seen = set()

        def children():
            with open("/proc/%d/task/%d/children" % (2 * (g.process.pid,))) as f:
                seen.update(int(pid) for pid in f.read().split())
            return len(seen) >= n or g.process.poll() is not None
        while not children():
            pass
        with contextlib.suppress(ProcessLookupError):
            os.kill(max(seen), signal.SIGKILL)
        check("child %d of a start is killed: it starts all the same" % n, wait_for(
            lambda: g.process.poll() is not None or g.all_ready(), 20) and
            g.all_ready() and g.stop() == 0, (g.process.poll(), g.stderr()[-800:]))


def main():
    folder = tempfile.mkdtemp(prefix="assay-daemon-")
    g = Gateway(os.path.join(folder, "a"))
    try:
        test_day(g)
        test_reload(g)
        test_reload_deaths(g)
        test_edited(g)
        test_hangup(g)
        test_registry(g)
        test_books_behind(g)
        test_kills(g)
        test_death_of_all(g)
        test_deaths_at_start(g)
        test_answers(g)
        test_full_disk(os.path.join(folder, "b"))
        test_root_alone(os.path.join(folder, "c"))
        died = [line for line in g.stderr().splitlines() if re.search(SELF_INFLICTED, line)]
        check("no role died of itself", not died, "\n".join(died[:20]))
    finally:
        if g.process and g.process.poll() is None:
            g.process.kill()
        time.sleep(0.2)
        shutil.rmtree(folder, ignore_errors=True)
    print("1..%d" % len(results))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
