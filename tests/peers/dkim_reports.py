#!/usr/bin/python3
"""Reports as they leave, with our DKIM signature, before other verifiers.

usage: dkim_reports.py ASSAY

`assay complain` makes a report and signs it, with a key of RSA and one of Ed25519. opendkim,
dkimpy and Mail::DKIM verify it; each is skipped with a reason where it is not installed. Then the
key is taken away: the report waits, one line says why, and it goes out when the key is back.
"""
import base64
import os
import shutil
import subprocess
import sys

from feedback import Place, check, failures

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
        for peer in (opendkim, dkimpy, mail_dkim) if reports else ():
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


verified()
no_key()
print("%d failed" % len(failures))
sys.exit(1 if failures else 0)
