#!/usr/bin/env python3
"""Sendmail with capture/milter.c behind it, as deploy/sendmail/assay.mc says.

usage: milter_sendmail.py PROBE SOURCE

Debian's packages of Sendmail and Postfix exclude each other, so this one takes Sendmail from where it
is unpacked:

    apt-get download sendmail-bin sendmail-cf; for f in *.deb; do dpkg-deb -x $f /some/folder; done
    SENDMAIL=/some/folder tests/peers/milter_sendmail.py build/tests/milter_probe .

Speaks TAP; a plan of none without it.
"""
import os
import re
import smtplib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import postfix as pf  # noqa: E402
from milter_probe import Probe  # noqa: E402

PROBE, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ROOT = os.environ.get("SENDMAIL", "")
MESSAGE = (b"Message-Id: <x@a.example>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
           b"X-Assay-Verdict: forged\r\nFrom: a@a.example\r\nSubject:  two blanks\r\n"
           b"X-Folded: a\r\n  b\r\n\tc\r\n\r\nhi\r\n.dot\r\n")
MC = """\
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx1.mbox.example')dnl
define(`QUEUE_DIR', `{folder}/mqueue')dnl
define(`confPID_FILE', `{folder}/pid')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`ALIAS_FILE', `{folder}/aliases')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/switch')dnl
define(`confDELIVERY_MODE', `queueonly')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Port=2526, Addr=127.0.0.1, Name=MTA')dnl
{filter}
LOCAL_CONFIG
Cwmbox.example
MAILER(`local')dnl
MAILER(`smtp')dnl
"""


def start(folder, address):
    with open(SOURCE + "/deploy/sendmail/assay.mc") as f:
        shipped = f.read().replace("/run/assay/milter.sock", address[5:])
    for name, text in (("s.mc", MC.format(folder=folder, filter=shipped)), ("aliases", ""),
                       ("switch", "hosts files\naliases files\n"),
                       ("hosts", "127.0.0.1 localhost\n127.0.0.1 mx1.mbox.example %s\n" %
                        os.uname().nodename)):
        with open("%s/%s" % (folder, name), "w") as f:
            f.write(text)
    os.makedirs(folder + "/mqueue")
    # it wants a name with a dot, and waits a minute for one
    subprocess.run(["mount", "--bind", folder + "/hosts", "/etc/hosts"], check=True)
    cf = ROOT + "/usr/share/sendmail/cf/"
    with open(folder + "/sendmail.cf", "w") as f:
        subprocess.run(["m4", "-D_CF_DIR_=" + cf, cf + "m4/cf.m4", folder + "/s.mc"], stdout=f,
                       check=True)
    p = subprocess.Popen([ROOT + "/usr/libexec/sendmail/sendmail", "-C", folder + "/sendmail.cf",
                          "-bD"], stderr=subprocess.DEVNULL)
    pf.until(lambda: pf.listens(2526), 30, "for Sendmail")
    return p


def queued(folder, kind, sender):
    """The queue's control file for this sender's mail; Sendmail marks its own header lines."""
    for name in os.listdir(folder + "/mqueue"):
        if name.startswith(kind):
            with open(folder + "/mqueue/" + name, errors="replace") as f:
                text = f.read()
            if "S<%s>" % sender in text:
                return text
    return None


def check(folder, p):
    s = smtplib.SMTP("127.0.0.1", 2526, "client.example", timeout=60)
    s.ehlo()
    s.mail("plain@a.example")
    codes = [s.rcpt(r)[0] for r in ("nobody.here@mbox.example", "root@mbox.example")]
    yield "recipients", codes == [550, 250], codes
    code, text = s.data(MESSAGE)
    event, = p.of("plain@a.example")
    yield "accepted", code == 250 and event["complete"], (code, text, event)
    yield "octets as sent", p.message(event) == MESSAGE, p.message(event)
    yield "the refused recipient", [(r["code"], r["enhanced"]) for r in event["rcpts"]] == \
        [(550, "5.1.1"), (250, None)] and "User unknown" in event["rcpts"][0]["text"], event["rcpts"]
    text = pf.until(lambda: queued(folder, "qf", "plain@a.example"))
    verdicts = re.findall(r"X-Assay-Verdict: *(\S+ id=\S+)", text)
    yield "our field, the forged one gone", verdicts == ["accept; id=%s;" % event["id"]] and \
        "forged" not in text and "Authentication-Results: mx1.mbox.example;" in text, text
    for sender, want in (("reject2", (550, rb"5\.7\.1 no\n5\.7\.1 see https://mbox\.example/; id=")),
                         ("defer", (451, rb"4\.7\.0 later; id="))):
        s.mail(sender + "@a.example")
        s.rcpt("root@mbox.example")
        code, text = s.data(MESSAGE)
        yield sender, code == want[0] and re.match(want[1], text), (code, text)
    code, text = s.mail("mail-limit@a.example")
    yield "a limit at MAIL", code == 451 and b"100% of the rate" in text, (code, text)
    s.mail("quarantine@a.example")
    s.rcpt("root@mbox.example")
    code, text = s.data(MESSAGE)
    held = pf.until(lambda: queued(folder, "hf", "quarantine@a.example"))
    yield "quarantine", code == 250 and "held by assay" in held, (code, text, held)
    s.mail("cut@a.example")
    s.close()
    yield "cut short", not p.of("cut@a.example")[0]["complete"], p.of("cut@a.example")


def main():
    if not os.path.exists(ROOT + "/usr/libexec/sendmail/sendmail") or pf.needs("unshare", "m4"):
        print("1..0 # SKIP SENDMAIL names no folder with Debian's sendmail-bin and sendmail-cf")
        return 0
    pf.in_namespace()
    failed = n = 0
    # Sendmail trusts no socket below a folder that everybody may write
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        os.chmod(folder, 0o755)
        os.makedirs(folder + "/probe")
        p = Probe(PROBE, folder + "/probe")
        sendmail = start(folder, p.address)
        for name, ok, seen in check(folder, p):
            n += 1
            failed += not ok
            print("%s %d - %s" % ("ok" if ok else "not ok", n, name))
            if not ok:
                print("# %r" % (seen,))
        sendmail.kill()
        p.stop()
        print("1..%d" % n)
        subprocess.run(["umount", "/etc/hosts"])
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
