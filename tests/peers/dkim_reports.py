#!/usr/bin/python3
"""Reports as they leave, with our DKIM signature, before other verifiers.

usage: dkim_reports.py ASSAY

`assay complain` makes a report and signs it, with a key of RSA and one of Ed25519. opendkim,
dkimpy, Mail::DKIM and mailauth verify it; each is skipped with a reason where it is not installed. Then the
key is taken away: the report waits, one line says why, and it goes out when the key is back.
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import time

from feedback import Place, check, failures
from feedback_intake import desk

MAIL_DKIM = r"""
use Mail::DKIM::Verifier;
use Mail::DKIM::DNS;
my ($file, $name, $record) = @ARGV;
{
    package Answer; sub type { "TXT" } sub char_str_list { $record } sub txtdata { $record }
    sub new { bless {}, shift }
}
no warnings "redefine";
*Mail::DKIM::DNS::query = sub { return lc $_[0] eq $name ? (Answer->new) : () };
my $v = Mail::DKIM::Verifier->new;
open my $f, "<:raw", $file or die;
$v->PRINT($_) while <$f>;
$v->CLOSE;
print $v->result_detail;
"""


def make_key(place, algorithm):
    path = "%s/%s.pem" % (place.folder, algorithm)
    more = ["-pkeyopt", "rsa_keygen_bits:2048"] if algorithm == "rsa" else []
    subprocess.run(["openssl", "genpkey", "-algorithm", algorithm, *more, "-out", path], check=True,
                   stderr=subprocess.DEVNULL)
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True,
                         stdout=subprocess.PIPE).stdout
    public = der if algorithm == "rsa" else der[-32:]
    return path, "v=DKIM1; k=%s; p=%s" % (algorithm, base64.b64encode(public).decode())


def opendkim(place, report, name, record):
    if not shutil.which("opendkim"):
        return None
    data, conf = place.folder + "/dns", place.folder + "/opendkim.conf"
    with open(data, "w") as f:
        f.write("%s %s\n" % (name, record))
    with open(conf, "w") as f:
        f.write("Mode v\nTestDNSData %s\n" % data)
    r = subprocess.run(["opendkim", "-x", conf, "-t", report], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    return b" succeeded" in r.stdout, r.stdout


def dkimpy(place, report, name, record):
    try:
        import dkim
    except ImportError:
        return None
    del place
    asked = []

    def answer(question, timeout=5):
        del timeout
        asked.append(question)
        same = question.decode().rstrip(".") == name
        return record.encode() if same else None
    return dkim.verify(open(report, "rb").read(), dnsfunc=answer), asked


def mail_dkim(place, report, name, record):
    del place
    if not shutil.which("perl") or subprocess.run(["perl", "-MMail::DKIM", "-e1"],
                                                  stderr=subprocess.DEVNULL).returncode:
        return None
    if "k=ed25519" in record and subprocess.run(["perl", "-MCryptX", "-e1"],
                                                stderr=subprocess.DEVNULL).returncode:
        return None
    r = subprocess.run(["perl", "-e", MAIL_DKIM, report, name, record], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    return r.stdout == b"pass", r.stdout


def mailauth(place, report, name, record):
    """A verifier of the npm registry, which Debian does not have: used where its command is."""
    if not shutil.which("mailauth"):
        return None
    with open(place.folder + "/dns.json", "w") as f:
        json.dump({name: {"TXT": [[record]]}}, f)
    r = subprocess.run(["mailauth", "report", "--dns-cache", place.folder + "/dns.json", report],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    results = json.loads(r.stdout)["dkim"]["results"] if r.returncode == 0 else []
    return [d["status"]["result"] for d in results] == ["pass"], (r.stdout, r.stderr)


def verified():
    for algorithm in ("rsa", "ed25519"):
        place = Place("folder OUT")
        key, record = make_key(place, algorithm)
        text = open(place.config).read().replace("{ via", "{ dkim fbl %s via" % key)
        open(place.config, "w").write(text)
        r = place.complain()
        reports = place.reports()
        check("%s: a signed report" % algorithm, len(reports) == 1 and
              open(reports[0], "rb").read().startswith(b"DKIM-Signature: v=1; a=%s-sha256" %
                                                       algorithm.encode()), (r, reports))
        for peer in (opendkim, dkimpy, mail_dkim, mailauth) if reports else ():
            result = peer(place, reports[0], "fbl._domainkey.mbox.example", record)
            if result is None:
                print("skip %s, %s: not installed" % (peer.__name__, algorithm))
                continue
            check("%s verifies %s" % (peer.__name__, algorithm), *result)
            changed = place.folder + "/changed.eml"
            octets = open(reports[0], "rb").read()
            with open(changed, "wb") as f:
                f.write(octets.replace(b"\r\nFrom:", b"\r\nFrom: x@evil.example\r\nFrom:", 1))
            result = peer(place, changed, "fbl._domainkey.mbox.example", record)
            check("%s sees a second From, %s" % (peer.__name__, algorithm), not result[0], result)
        place.close()


def no_key():
    place = Place("folder OUT")
    key, _ = make_key(place, "ed25519")
    text = open(place.config).read().replace("{ via", "{ dkim fbl %s via" % key)
    open(place.config, "w").write(text)
    os.rename(key, key + ".away")
    r = place.complain()
    check("no key: the complaint is taken, one line says why", r.returncode == 0 and
          r.stderr.count(b"report.unsigned") == 1 and not place.reports(), (r.returncode, r.stderr))
    r = place.run("queue", "run")
    check("no key: queue run exits 78, the report waits", r.returncode == 78 and
          [q["state"] for q in place.queue()] == ["queued"], (r.returncode, r.stderr))
    os.rename(key + ".away", key)
    r = place.run("queue", "run")
    check("the key is back: the report goes", r.returncode == 0 and len(place.reports()) == 1,
          (r.returncode, r.stderr))
    place.close()


def every_kind():
    """Each kind of mail that we send, signed, before every verifier; ARF before its readers too."""
    place = desk()
    key, record = make_key(place, "rsa")
    text = open(place.config).read().replace("via folder", "dkim fbl %s via folder" % key)
    open(place.config, "w").write(text)
    hour = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(time.time() - 3 * 3600))
    day = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(time.time() - 30 * 3600))
    for when in (hour, day):
        place.event(time=when, rcpts=[{"to": "u@mbox.example", "code": 550, "enhanced": "5.1.1",
                                       "text": "no such user"}])
    with open(place.state + "/log/20260101-000000-000000.jsonl", "a") as f:
        f.write(json.dumps({"event": "complaint", "id": "01JDCCCCCCCCCCCCCCCCCCCCCC", "time": day,
                            "kind": "abuse", "way": "cli", "txn": None, "sender": "brand",
                            "outcome": "unverified"}) + "\n")
    event = place.event(peer="192.0.2.9")
    place.outcome(place.mail(event))
    place.outcome(place.mail(event), "--kind", "not-spam")
    place.outcome(b"From: wang@mbox.example\r\nSubject: Fwd\r\n\r\n> x\r\n", "--way", "attachment")
    place.run("queue", "run")
    kinds = {}
    for q in place.queue():
        path = "%s/%s.eml" % (place.out, q["id"])
        if os.path.exists(path):
            kinds.setdefault("xarf" if b"xarf.json" in open(path, "rb").read() else q["kind"], path)
    check("every kind: made", sorted(kinds) == ["abuse", "complaint-digest", "error-digest", "help",
                                                "not-spam", "xarf"], sorted(kinds))
    for kind, path in sorted(kinds.items()):
        octets = open(path, "rb").read()
        check("%s: CRLF, 7 bit, marked as a machine's" % kind,
              b"\n" not in octets.replace(b"\r\n", b"") and b"\r\nAuto-Submitted: auto-" in octets and
              all(c < 128 for c in octets))
        for peer in (opendkim, dkimpy, mail_dkim, mailauth):
            result = peer(place, path, "fbl._domainkey.mbox.example", record)
            if result is None:
                print("skip %s, %s: not installed" % (peer.__name__, kind))
            else:
                check("%s verifies %s" % (peer.__name__, kind), *result)
        if kind in ("abuse", "not-spam") and shutil.which("perl") and subprocess.run(
                ["perl", "-MSisimai", "-e1"], stderr=subprocess.DEVNULL).returncode == 0:
            out = subprocess.run(["perl", "-MSisimai", "-e", "print Sisimai->dump($ARGV[0])", path],
                                 stdout=subprocess.PIPE).stdout
            seen = (json.loads(out or b"[]") or [{}])[0]
            check("Sisimai reads %s" % kind, seen.get("reason") == "feedback" and
                  seen.get("feedbacktype") == kind, seen)
        if shutil.which("reformime"):
            out = subprocess.run(["reformime", "-i"], stdin=open(path, "rb"),
                                 stdout=subprocess.PIPE).stdout
            want = b"multipart/report" if kind in ("abuse", "not-spam") else b"multipart/mixed"
            check("reformime reads %s" % kind, want in out, out)
    place.close()


verified()
every_kind()
no_key()
print("%d failed" % len(failures))
sys.exit(1 if failures else 0)
