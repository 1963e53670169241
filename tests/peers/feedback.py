#!/usr/bin/python3
"""From a complaint to a report that a sender's software reads, with the program as it is built.

usage: feedback.py ASSAY

A transaction is written into an event log, two people approve a sender, and complaints about the
transaction go through `assay complain` to a folder and to an SMTP server that answers 250, 4xx,
5xx, nothing, or slowly. Sisimai and reformime read what came out; each is skipped with a reason
where it is not installed. A disk that is full is a small tmpfs (skipped without root).
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../tools")
from mail_sink import MailSink  # noqa: E402
from small_disk import SmallDisk  # noqa: E402

ASSAY = os.path.abspath(sys.argv[1])
RCPT = "wang@mbox.example"
FILING = """sender esp {
	dkim esp.example
	feedback fbl@esp.example { complaint profile %s language %s }
}
"""
failures = []


def check(what, ok, detail=""):
    print(("ok   " if ok else "FAIL ") + what + ("" if ok else ": " + str(detail)[:600]))
    if not ok:
        failures.append(what)


class Sink(MailSink):
    """For one test; `how` is 250, 451, 554, "nothing" or "slow"."""

    def __init__(self, how):
        self.how, self.mails, self.envelopes = how, [], []
        super().__init__()

    def greets(self):
        if self.how == "nothing":
            time.sleep(1)
        return self.how != "nothing"

    def rcpt(self, address):
        return "250 ok" if self.how in (250, "slow") else "%d 5.1.1 no" % self.how

    def took(self, sender, rcpt, mail):
        if self.how == "slow":
            time.sleep(2)
        self.mails.append(mail)
        self.envelopes.append(sender)
        return super().took(sender, rcpt, mail)


class Place:
    """A state folder with a configuration, a transaction in the log and an active sender."""

    def __init__(self, via, profile="token", language="en", folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="assay-feedback.")
        self.state = self.folder + "/state"
        self.out = self.folder + "/out"
        os.makedirs(self.out, exist_ok=True)
        via = via.replace("OUT", self.out)
        self.config = self.folder + "/assay.conf"
        with open(self.config, "w") as f:
            f.write("state %s\nhost mx1.mbox.example\ncomplain { hold 0s jitter 0s }\n"
                    "report from fbl@mbox.example { via %s }\n" % (self.state, via))
        with open(self.folder + "/filing", "w") as f:
            f.write(FILING % (profile, language))
        self.ids = 0
        self.run("sender", "file", self.folder + "/filing")
        self.run("sender", "approve", "esp", "--by", "ann", "--waive", "a test")
        self.run("sender", "approve", "esp", "--by", "bob")

    def run(self, *words, data=None):
        return subprocess.run([ASSAY, "-c", self.config, *words], input=data,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)

    def transaction(self):
        """Writes the event of one more transaction; gives the message as it lies in the mailbox."""
        self.ids += 1
        event = "01JDAAAAAAAAAAAAAAAAAA%04d" % self.ids
        os.makedirs(self.state + "/log", exist_ok=True)
        line = {"event": "txn", "id": event, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "source": "milter", "file": None, "session": "s", "tx": 1, "peer": "192.0.2.9",
                "port": 4711, "helo": "out.esp.example", "mail_from": "b+1@esp.example",
                "rcpts": [{"to": RCPT, "code": 250, "enhanced": None, "text": None}],
                "reply": None, "complete": True, "message_id": "<%d@esp.example>" % self.ids,
                "sender": {"by": "dkim", "key": "esp", "registered": "esp"}, "list": None,
                "auth": {"spf": {"result": "fail", "domain": "esp.example"},
                         "dkim": [{"d": "esp.example", "s": "x", "result": "pass", "reason": None}],
                         "dmarc": {"result": "pass"}}}
        with open(self.state + "/log/20260101-000000-000000.jsonl", "a") as f:
            f.write(json.dumps(line) + "\n")
        return ("X-Assay-Verdict: accept; id=%s; score=0; compliance=100\r\n"
                "Received: from out.esp.example by mx1.mbox.example for <%s>; "
                "Mon, 23 Nov 2026 08:00:00 +0000\r\n"
                "From: News <news@esp.example>\r\nTo: <%s>\r\nSubject: Offer for %s\r\n"
                "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <%d@esp.example>\r\n"
                "Content-Type: text/plain\r\n\r\nHello %s\r\n"
                % (event, RCPT, RCPT, RCPT, self.ids, RCPT)).encode()

    def complain(self, *words):
        return self.run("complain", *words, "-", data=self.transaction())

    def queue(self):
        out = self.run("queue", "list", "--json").stdout.decode()
        return [json.loads(line) for line in out.splitlines()]

    def reports(self):
        names = sorted(n for n in os.listdir(self.out) if not n.startswith("."))
        return [self.out + "/" + n for n in names]

    def close(self):
        """Ends the private Redis of this folder and removes the folder."""
        for root, _, names in os.walk(self.state):
            for name in names:
                if name.endswith(".pid"):
                    try:
                        os.kill(int(open(root + "/" + name).read()), 15)
                    except (OSError, ValueError):
                        pass
        shutil.rmtree(self.folder, ignore_errors=True)


def line_ends():
    for name, change in (("LF", lambda mail: mail.replace(b"\r\n", b"\n")),
                         ("a CR alone", lambda mail: b"X-Odd: a\rb\r\n" + mail + b"c\rd\r\n"),
                         ("no body", lambda mail: mail[:mail.index(b"\r\n\r\n") + 2])):
        place = Place("folder OUT", "full", "en")
        r = place.run("complain", "-", data=change(place.transaction()))
        texts = [open(path, "rb").read() for path in place.reports()]
        check("a complaint with " + name, r.returncode == 0 and len(texts) == 1 and
              b"\n" not in texts[0].replace(b"\r\n", b"") and
              b"\r" not in texts[0].replace(b"\r\n", b""), (r.stdout, r.stderr, texts))
        place.close()


def folder_and_readers():
    for profile, language in (("token", "en"), ("full", "zh")):
        place = Place("folder OUT", profile, language)
        r = place.complain()
        check("complain exits 0 (%s)" % profile, r.returncode == 0, r.stderr)
        check("outcome report (%s)" % profile, b" report sender=esp" in r.stdout, r.stdout + r.stderr)
        reports = place.reports()
        check("one file (%s)" % profile, len(reports) == 1, reports)
        if not reports:
            place.close()
            continue
        text = open(reports[0], "rb").read()
        check("CRLF and no recipient", b"\n" not in text.replace(b"\r\n", b"") and
              RCPT.encode() not in text, text)
        check("sent", [q["state"] for q in place.queue()] == ["sent"], place.queue())
        books = json.loads(place.run("report", "esp", "--json").stdout or b"{}")
        check("queued and sent are one report (%s)" % profile,
              (books.get("complaints"), books.get("reports")) == (1, 1), books)
        if shutil.which("perl") and subprocess.run(["perl", "-MSisimai", "-e1"],
                                                   stderr=subprocess.DEVNULL).returncode == 0:
            out = subprocess.run(["perl", "-MSisimai", "-e", "print Sisimai->dump($ARGV[0])",
                                  reports[0]], stdout=subprocess.PIPE).stdout
            seen = (json.loads(out or b"[]") or [{}])[0]
            check("Sisimai reads it (%s)" % profile, seen.get("reason") == "feedback" and
                  seen.get("feedbacktype") == "abuse" and
                  seen.get("messageid") == "1@esp.example" and
                  seen.get("recipient", "").endswith("@mbox.example"), seen)
        else:
            print("skip Sisimai: libsisimai-perl is not installed")
        if shutil.which("reformime"):
            out = subprocess.run(["reformime", "-i"], stdin=open(reports[0], "rb"),
                                 stdout=subprocess.PIPE).stdout.decode()
            third = "message/rfc822" if profile == "full" else "text/rfc822-headers"
            kinds = [line[14:] for line in out.splitlines() if line.startswith("content-type: ")]
            check("reformime sees the parts (%s)" % profile, kinds[:4] == [
                "multipart/report", "text/plain", "message/feedback-report", third], kinds)
        else:
            print("skip reformime: maildrop is not installed")
        place.close()


def smtp():
    sink = Sink(250)
    place = Place("smtp 127.0.0.1:%d" % sink.port)
    place.complain()
    check("250: delivered once", len(sink.mails) == 1 and
          [q["state"] for q in place.queue()] == ["sent"], place.queue())
    check("250: return address leads back", bool(sink.envelopes) and
          sink.envelopes[0].lower().startswith("fbl+01"), sink.envelopes)
    place.close()
    for how, state in ((451, "queued"), (554, "failed"), ("nothing", "queued"), ("slow", "sent")):
        sink = Sink(how)
        place = Place("smtp 127.0.0.1:%d" % sink.port)
        r = place.complain()
        check("%s: exits 0, %s" % (how, state), r.returncode == 0 and
              [q["state"] for q in place.queue()] == [state], place.queue())
        if state != "sent":
            sink.how = 250
            before = place.queue()[0]["message_id"]
            place.run("queue", "retry")
            place.run("queue", "run")
            check("%s: goes later under the same Message-ID" % how, len(sink.mails) == 1 and
                  before.encode() in sink.mails[0], place.queue())
        place.close()


def other_account():
    if os.geteuid() != 0:
        print("skip other account: needs root to become nobody")
        return
    place = Place("folder OUT")
    os.chmod(place.folder, 0o755)
    os.chmod(place.state, 0o711)
    # the checkout may lie where that account cannot go
    program = shutil.copy(ASSAY, place.folder + "/assay")
    r = subprocess.run([program, "-c", place.config, "complain", "-"], input=place.transaction(),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, user=65534, group=65534,
                       extra_groups=[])
    check("another account leaves it", r.returncode == 0 and not place.reports(), r.stderr)
    place.run("queue", "run")
    check("and it is taken", len(place.reports()) == 1 and
          not os.listdir(place.state + "/intake"), place.queue())
    place.close()
    # the state folder is somebody's; root leaves nothing of root's there
    place = Place("folder OUT")
    mail = place.transaction()
    subprocess.run(["chown", "-R", "65534:65534", place.state, place.out])
    os.chmod(place.folder, 0o755)
    r = place.run("complain", "-", data=mail)
    found = subprocess.run(["find", place.state, "-user", "root"], stdout=subprocess.PIPE).stdout
    check("root takes it as the folder's owner", r.returncode == 0 and not found and
          len(place.reports()) == 1, (r.stderr, found))
    place.close()


def full_disk():
    folder = tempfile.mkdtemp(prefix="assay-full.")
    disk = SmallDisk(folder, "16m")
    if not disk.mounted:
        print("skip full disk: a tmpfs cannot be mounted here")
        os.rmdir(folder)
        return
    try:
        place = Place("folder OUT", folder=folder)
        mail = place.transaction()
        place.run("queue", "list")
        disk.fill()
        r = place.run("sender", "suspend", "esp", "--by", "ann", "--reason", "x")
        check("full disk: the registry says so in one line", r.returncode == 75 and
              r.stderr.count(b"\n") == 1 and b"No space left" in r.stderr, (r.returncode, r.stderr))
        r = place.run("complain", "-", data=mail)
        check("full disk: the complaint is not taken, in one line", r.returncode == 75 and
              r.stderr.count(b"\n") == 1, (r.returncode, r.stderr))
        disk.room()
        r = place.run("sender", "show", "esp", "--json")
        check("full disk: nothing has changed", b'"state":"active"' in r.stdout, r.stdout)
        place.close()
    finally:
        disk.unmount()
        os.rmdir(folder)


if __name__ == "__main__":
    line_ends()
    folder_and_readers()
    smtp()
    other_account()
    full_disk()
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
