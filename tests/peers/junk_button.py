#!/usr/bin/env python3
"""The junk button from end to end, with real parts: a mail goes through Postfix (and our milter where
the program has it) into a mailbox, an IMAP client moves it to Junk in Dovecot, imapsieve pipes it to
`assay complain`, `assay run` signs a report, Postfix delivers that to the sender's mailbox, and
Sisimai reads it there. Moved back, it becomes a "not spam" report.

usage: junk_button.py ASSAY SOURCE

Speaks TAP; a plan of none where Postfix or Dovecot is not there.
"""
import email
import glob
import imaplib
import json
import os
import pwd
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import traceback

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
import postfix as pf  # noqa: E402

IMAP = 2143
USER = "alice@mbox.example"
SENDER_FEEDBACK = "fbl@northwind.test"
MAPS = """
virtual_mailbox_domains = mbox.example, northwind.test
virtual_mailbox_maps = inline:{{ {{alice@mbox.example = all/}}, {{fbl@northwind.test = fbl/}} }}
virtual_alias_maps =
"""
DOVECOT = """
base_dir = {folder}/dovecot/run
state_dir = {folder}/dovecot/state
log_path = {folder}/dovecot/log
protocols = imap
# the sanitizers map more than Dovecot lets its children have
default_vsz_limit = 0
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
first_valid_uid = 1
default_internal_user = dovecot
default_login_user = dovenull
mail_location = maildir:{folder}/postfix/mail/all
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = create
  }}
  mailbox Trash {{
    auto = create
  }}
}}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/dovecot/home
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
!include {folder}/dovecot/90-assay.conf
"""


class Everything:
    def __init__(self, folder):
        self.folder = folder
        self.postfix = pf.Postfix(folder + "/postfix", "unix:%s/milter.sock" % folder, more=MAPS)

    # --- Assay ----------------------------------------------------------------------

    def assay(self, *words):
        r = subprocess.run([self.program, "-c", self.config, *words], capture_output=True, text=True,
                           timeout=60)
        assert r.returncode == 0, (words, r.stdout, r.stderr)
        return r.stdout

    def start_assay(self):
        self.program = shutil.copy(ASSAY, self.folder + "/assay")
        self.config = self.folder + "/assay.conf"
        # the checkout may lie where the account of the roles cannot go
        shutil.copytree(SOURCE + "/rules", self.folder + "/rules")
        shutil.copy(SOURCE + "/samples/zone", self.folder + "/zone")
        key = self.folder + "/dkim.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        os.chmod(key, 0o644)
        with open(self.config, "w") as f:
            f.write("state %s/state\nhost mx1.mbox.example\ndns zone %s/zone\nrules %s/rules\n"
                    "user nobody\nlisten milter unix:%s/milter.sock { mode 0666 }\n"
                    "complain { hold 0s jitter 0s }\n"
                    "report from fbl@mbox.example { dkim fbl %s via smtp 127.0.0.1:%d }\n"
                    % (self.folder, self.folder, self.folder, self.folder, key, self.postfix.port))
        filing = SOURCE + "/samples/filings/northwind.filing"
        self.assay("sender", "file", filing)
        self.assay("sender", "approve", "northwind", "--by", "wang", "--waive", "a test")
        self.assay("sender", "approve", "northwind", "--by", "li")
        self.feedback = re.search(r"feedback +(\S+)", open(filing).read()).group(1)
        self.daemon = subprocess.Popen([self.program, "-c", self.config, "run"], cwd="/",
                                       stderr=open(self.folder + "/run.log", "wb"))
        pf.until(lambda: os.path.exists(self.folder + "/state/feedback.lock"),
                 what="for the role: " + open(self.folder + "/run.log").read())

    # --- Dovecot ----------------------------------------------------------------------

    def start_dovecot(self):
        base = self.folder + "/dovecot"
        nobody = pwd.getpwnam("nobody")
        for name in ("run", "state", "home", "bin"):
            os.makedirs("%s/%s" % (base, name))
        os.chown(base + "/home", nobody.pw_uid, nobody.pw_gid)
        for name in os.listdir(SOURCE + "/deploy/dovecot"):
            with open(SOURCE + "/deploy/dovecot/" + name) as f:
                text = f.read().replace("/usr/share/assay/dovecot", base + "/bin")
            text = text.replace("exec assay ", "exec %s -c %s " % (self.program, self.config))
            path = base + ("/" if name.endswith(".conf") else "/bin/") + name
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, 0o755)
        with open(base + "/dovecot.conf", "w") as f:
            f.write(DOVECOT.format(folder=self.folder, port=IMAP, uid=nobody.pw_uid, gid=nobody.pw_gid))
        for name in ("report-spam", "report-ham"):
            subprocess.run(["sievec", "-c", base + "/dovecot.conf", "-x",
                            "+vnd.dovecot.pipe +vnd.dovecot.environment +imapsieve", "-P",
                            "sieve_extprograms", "-P", "sieve_imapsieve",
                            "%s/bin/%s.sieve" % (base, name)], capture_output=True, check=False)
        self.dovecot = subprocess.Popen(["dovecot", "-F", "-c", base + "/dovecot.conf"])
        pf.until(lambda: pf.listens(IMAP))

    def imap(self):
        connection = imaplib.IMAP4("127.0.0.1", IMAP)
        connection.login(USER, "secret")
        return connection

    def move(self, source, target, message_id):
        """What a client does for the button: MOVE where the server has it."""
        connection = self.imap()
        connection.select(source)
        uids = pf.until(lambda: connection.noop() and connection.uid(
            "SEARCH", "HEADER", "Message-ID", message_id)[1][0].split(), what="for the mail in " + source)
        status, text = connection.uid("MOVE", uids[0], target)
        connection.logout()
        assert status == "OK", text

    # --- the mails -------------------------------------------------------------------

    def deliver(self):
        """The sample as its sender sends it: from his address, under his name."""
        sample = open(SOURCE + "/samples/mail/promo-good-en.eml", "rb").read()
        sample = sample.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        with smtplib.SMTP("127.0.0.1", self.postfix.port, "mail.northwind.test", timeout=60) as s:
            s.ehlo()
            s.docmd("XCLIENT", "NAME=mail.northwind.test ADDR=192.0.2.10 PORT=52311 "
                               "HELO=mail.northwind.test PROTO=ESMTP")
            s.sendmail("bounce@northwind.test", [USER], sample)
        self.sample_id = email.message_from_bytes(sample)["Message-ID"]
        mail = pf.until(lambda: [m for m in self.mails("all") if self.sample_id.encode() in m])[0]
        self.has_milter = b"X-Assay-Verdict:" in mail
        if not self.has_milter:
            # the same transaction by the spool, so that it is received
            path = self.folder + "/sample.eml"
            shutil.copy(SOURCE + "/samples/mail/promo-good-en.eml", path)
            shutil.copy(SOURCE + "/samples/mail/promo-good-en.eml.envelope", path + ".envelope")
            self.assay("scan", path)

    def mails(self, box):
        found = glob.glob("%s/postfix/mail/%s/new/*" % (self.folder, box)) + \
                glob.glob("%s/postfix/mail/%s/cur/*" % (self.folder, box))
        return [open(p, "rb").read() for p in sorted(found, key=os.path.getmtime)]

    def stop(self):
        for process in ("daemon", "dovecot"):
            p = getattr(self, process, None)
            if p:
                p.terminate()
                p.wait(20)


def sisimai(mail, folder):
    path = folder + "/read.eml"
    with open(path, "wb") as f:
        f.write(mail)
    out = subprocess.run(["perl", "-MSisimai", "-e", "print Sisimai->dump($ARGV[0])", path],
                         capture_output=True).stdout
    return (json.loads(out or b"[]") or [{}])[0]


def junk(e):
    e.deliver()
    if not e.has_milter:
        print("# this program has no milter yet: the transaction came in by a scan")
    e.move("INBOX", "Junk", e.sample_id)
    mail = pf.until(lambda: [m for m in e.mails("fbl") if b"Feedback-Type: abuse" in m],
                    what="for the report: " + e.assay("queue", "list"))[0]
    assert b"\nDKIM-Signature: " in mail and b"d=mbox.example" in mail, mail
    assert USER.encode() not in mail, mail
    e.abuse = mail
    if shutil.which("perl") and subprocess.run(["perl", "-MSisimai", "-e1"],
                                               capture_output=True).returncode == 0:
        seen = sisimai(mail, e.folder)
        assert seen.get("feedbacktype") == "abuse" and seen.get("reason") == "feedback", seen
        assert "<%s>" % seen.get("messageid") == e.sample_id, (seen, e.sample_id)
        local, domain = seen["recipient"].split("@")
        assert domain == "mbox.example" and len(local) == 20, seen
    else:
        print("# SKIP Sisimai: libsisimai-perl is not installed")


def back(e):
    e.move("Junk", "INBOX", e.sample_id)
    mail = pf.until(lambda: [m for m in e.mails("fbl") if b"Feedback-Type: not-spam" in m],
                    what="for not-spam: " + e.assay("queue", "list"))[0]
    assert b"\nDKIM-Signature: " in mail
    assert len(e.mails("fbl")) == 2, e.mails("fbl")


def again(e):
    """The same button again says nothing new; a move to Trash is no complaint."""
    e.move("INBOX", "Junk", e.sample_id)
    e.move("Junk", "Trash", e.sample_id)
    log = lambda: [json.loads(line) for path in sorted(glob.glob(e.folder + "/state/log/*.jsonl"))
                   for line in open(path) if '"event":"complaint"' in line]
    pf.until(lambda: len(log()) >= 3, what="for the third complaint")
    outcomes = [(c["kind"], c["way"], c["outcome"]) for c in log()]
    assert outcomes == [("abuse", "imap", "report"), ("not-spam", "imap", "report"),
                        ("abuse", "imap", "duplicate")], outcomes
    assert len(e.mails("fbl")) == 2


def main():
    why = pf.needs("postfix", "dovecot", "sievec", "unshare", "ip", "openssl")
    if why:
        print("1..0 # SKIP " + why)
        return 0
    pf.in_namespace()
    failed = 0
    tests = [junk, back, again]
    print("1..%d" % len(tests))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        e = Everything(folder)
        with e.postfix as postfix:
            e.start_assay()
            e.start_dovecot()
            for number, test in enumerate(tests, 1):
                try:
                    test(e)
                    print("ok %d - %s" % (number, test.__name__))
                except Exception:
                    failed += 1
                    print("not ok %d - %s" % (number, test.__name__))
                    more = [open(p, errors="replace").read()[-2500:] for p in
                            (folder + "/run.log", folder + "/dovecot/log") if os.path.exists(p)]
                    lines = traceback.format_exc().splitlines() + postfix.log().splitlines()[-8:]
                    for text in more:
                        lines += text.splitlines()
                    print("\n".join("# " + line for line in lines))
                sys.stdout.flush()
            e.stop()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
