#!/usr/bin/env python3
"""`assay run` behind Postfix: what a client is told, what is delivered, what the event log says.

usage: run_postfix.py ASSAY SOURCE

Speaks TAP; a plan of none where Postfix is not there.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import milter_client as mc  # noqa: E402
import postfix as pf  # noqa: E402

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])


class Daemon:
    def __init__(self, folder):
        self.folder, self.conf = folder, folder + "/assay.conf"
        self.address = "unix:%s/m.sock" % folder
        os.makedirs(folder + "/state")
        os.makedirs(folder + "/local")
        os.chmod(folder, 0o755)
        shutil.chown(folder + "/state", "nobody")
        with open(self.conf, "w") as f:
            f.write("state {0}/state\ndns zone {1}/samples/zone\nuser nobody\n"
                    "host mx1.mbox.example\nrules {1}/rules {0}/local\n"
                    "listen milter {2} {{ mode 0666 }}\n"
                    "listen policy unix:{0}/p.sock {{ mode 0666 }}\n".format(
                        folder, SOURCE, self.address))
        self.start()

    def start(self):
        self.log = open(self.folder + "/stderr", "a")
        self.p = subprocess.Popen([ASSAY, "-c", self.conf, "run"], stderr=self.log)
        pf.until(self.ready, 30, self.said())

    def ready(self):
        assert self.p.poll() is None, self.said()
        status = self.command("status", "--json")
        return status.returncode == 0 and json.loads(status.stdout).get("ready") and \
            os.path.exists(self.address[5:])

    def said(self):
        with open(self.folder + "/stderr") as f:
            return f.read()

    def command(self, *words):
        return subprocess.run([ASSAY, "-c", self.conf, *words], capture_output=True, text=True)

    def roles(self):
        return json.loads(self.command("status", "--json").stdout)["roles"]

    def rules(self, text):
        with open(self.folder + "/local/local.rules", "w") as f:
            f.write(text)
        reload = self.command("reload")
        assert reload.returncode == 0, reload.stderr + self.said()

    def events(self):
        out, folder = [], self.folder + "/state/log"
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jsonl"):
                with open(os.path.join(folder, name)) as f:
                    out += [json.loads(line) for line in f]
        return [e for e in out if e["event"] == "txn"]

    def of(self, sender):
        return pf.until(lambda: [e for e in self.events() if e["mail_from"] == sender], 20,
                        "for an event of " + sender)

    def stop(self):
        start = time.monotonic()
        self.p.terminate()
        assert self.p.wait(30) == 0, self.said()
        return time.monotonic() - start


def sample(name):
    with open("%s/samples/mail/%s.eml" % (SOURCE, name), "rb") as f:
        octets = re.sub(rb"\r?\n", b"\r\n", f.read())
    with open("%s/samples/mail/%s.eml.envelope" % (SOURCE, name)) as f:
        return octets, json.load(f)


def send_sample(postfix, name):
    octets, envelope = sample(name)
    return postfix.send(envelope["mail_from"], octets, peer=envelope["peer"], helo=envelope["helo"])


def accepted(d, postfix):
    code, text = postfix.send("plain@a.example", rcpts=("bad@mbox.example", "r@mbox.example"))
    assert code == 250, text
    event, = d.of("plain@a.example")
    assert event["source"] == "milter" and event["complete"] and not event["partial"], event
    assert [r["code"] for r in event["rcpts"]] == [550, 250] and event["reply"] is None
    mail = postfix.delivered_with(b"<plain@a.example>")
    assert re.search(rb"^X-Assay-Verdict: accept; id=%s; score=[0-9.]+; compliance=\S+$" %
                     event["id"].encode(), mail, re.M), mail
    assert re.search(rb"^Authentication-Results: mx1\.mbox\.example[; ]", mail, re.M), mail
    explained = d.command("explain", event["id"])
    assert explained.returncode == 0 and "a@a.example" in explained.stdout, explained


def signed(d, postfix):
    """Signatures verify: each octet came through Postfix and the milter as it was sent."""
    names = [n[:-4] for n in sorted(os.listdir(SOURCE + "/samples/mail")) if n.endswith(".eml")]
    seen = 0
    for name in names:
        octets, envelope = sample(name)
        if b"\r\nDKIM-Signature:" not in b"\r\n" + octets[:8000] or b"Message-I" not in octets:
            continue
        before = len(d.events())
        code, text = send_sample(postfix, name)
        assert code == 250, (name, code, text)
        event = pf.until(lambda: d.events()[before:])[0]
        path = "%s/samples/mail/%s.eml" % (SOURCE, name)
        scan = d.command("scan", "--json", "--no-record", path)
        want = json.loads(scan.stdout.splitlines()[0])["auth"]["dkim"]
        assert [s["result"] for s in event["auth"]["dkim"]] == [s["result"] for s in want], \
            (name, event["auth"], want)
        seen += any(s["result"] == "pass" for s in want)
    print("# %d signed samples pass" % seen)
    assert seen >= 3


def refused(d, postfix):
    d.rules("levels { tag 0.5  defer never  reject 1.0 }\n")
    code, text = send_sample(postfix, "promo-no-unsub")
    event = d.events()[-1]
    assert code // 100 == 5 and text.startswith(b"5.7.") and event["id"].encode() in text, text
    assert event["action"] == "reject" and event["reply"]["code"] == code, event["reply"]
    d.rules("levels { tag 0.5  defer 1.0  reject never }\n")
    code, text = send_sample(postfix, "promo-no-unsub")
    event = d.events()[-1]
    assert code // 100 == 4 and b"4.7." in text and event["id"].encode() in text, text
    with mc.Client(d.address) as m:  # the same for one that offers nothing
        octets, envelope = sample("promo-no-unsub")
        assert m.negotiate(actions=0, steps=0)[1:] == (0, 0)
        m.connect(envelope["peer"])
        m.helo(envelope["helo"])
        m.mail("<%s>" % envelope["mail_from"])
        m.rcpt("<r@mbox.example>")
        m.message(octets)
        changes, (letter, words) = m.end()
        assert letter == b"y" and words[:3] == str(code).encode() and not changes, (letter, words)
    d.rules("levels { tag 0.5  defer never  reject never }\n")
    assert send_sample(postfix, "promo-no-unsub")[0] == 250
    pf.until(lambda: any(b"X-Assay-Verdict: tag; id=" in m for m in postfix.delivered()))


def limited(d, postfix):
    d.rules("limit ip { 3 per hour }\n")
    codes = [postfix.send("limited@a.example", peer="198.51.100.9") for _ in range(5)]
    assert [c[0] for c in codes] == [250, 250, 250, 451, 451], codes
    assert re.match(rb"4\.7\.28 .*\d", codes[3][1]), codes[3]
    events = pf.until(lambda: len(d.of("limited@a.example")) == 5 and d.of("limited@a.example"))
    assert [e["reply"] and e["reply"]["code"] for e in events] == [None] * 3 + [451] * 2
    d.rules("")


def large(d, postfix):
    body = b"".join(b"%07d %s\r\n" % (i, b"x" * 66) for i in range(690000))  # 52 MB
    start = time.monotonic()
    code, text = postfix.send("large@a.example", pf.MESSAGE % b"large" + body)
    event, = d.of("large@a.example")
    assert code == 250 and event["size"] == len(pf.MESSAGE % b"large" + body), (code, text)
    print("# 52 MB in %.1f s, partial %s" % (time.monotonic() - start, event["partial"]))


def broken(d, postfix):
    """Roles die while mail comes: none is refused, and none is written down twice."""
    done, stop = [], threading.Event()

    def work(k):
        i = 0
        while not stop.is_set():
            i += 1
            done.append(("k%d-%d@a.example" % (k, i),
                         postfix.send("k%d-%d@a.example" % (k, i))[0]))
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for role in ("milter", "analyze", "milter", "recorder"):
        time.sleep(1)
        victim = next((r for r in d.roles() if r["role"] == role and r.get("pid")), None)
        if victim:
            os.kill(victim["pid"], signal.SIGKILL)
    pf.until(lambda: d.ready(), 30)
    time.sleep(1)
    stop.set()
    for t in threads:
        t.join()
    assert len(done) > 20 and all(code == 250 for _, code in done), \
        [x for x in done if x[1] != 250][:5]
    events = [e["mail_from"] for e in d.events() if e["mail_from"].startswith("k")]
    assert len(events) == len(set(events)), "twice"
    print("# %d mails, %d seen" % (len(done), len(events)))
    # back behind the last death
    assert postfix.send("behind@a.example")[0] == 250 and d.of("behind@a.example")


def ends(d, postfix):
    took = d.stop()
    assert postfix.send("without@a.example")[0] == 250
    start = time.monotonic()
    d.start()
    print("# ended in %.1f s, back in %.1f s" % (took, time.monotonic() - start))
    assert postfix.send("again@a.example")[0] == 250 and d.of("again@a.example")
    d.p.kill()  # the supervisor; its roles go with it
    d.p.wait()
    start = time.monotonic()
    d.start()
    print("# back behind kill -9 in %.1f s" % (time.monotonic() - start))
    assert postfix.send("third@a.example")[0] == 250 and d.of("third@a.example")


def main():
    why = pf.needs("postfix", "unshare", "ip")
    if why:
        print("1..0 # SKIP " + why)
        return 0
    pf.in_namespace()
    failed = 0
    tests = [accepted, signed, refused, limited, large, broken, ends]
    print("1..%d" % len(tests))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.makedirs(folder + "/assay")
        d = Daemon(folder + "/assay")
        with pf.Postfix(folder + "/postfix", d.address) as postfix:
            for number, test in enumerate(tests, 1):
                try:
                    test(d, postfix)
                    print("ok %d - %s" % (number, test.__name__))
                except Exception:
                    failed += 1
                    print("not ok %d - %s" % (number, test.__name__))
                    lines = traceback.format_exc().splitlines() + d.said().splitlines()[-8:]
                    print("\n".join("# " + line for line in lines))
                sys.stdout.flush()
        if d.p.poll() is None:
            d.stop()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
