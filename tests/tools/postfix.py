"""A Postfix of the test's own: folders, ports and accounts' mail under one folder, nothing of the
machine's.

in_namespace() runs the calling script again in network, mount and process namespaces of its own:
no packet leaves the machine, ports are free, and what was started dies with it.

    with Postfix(folder, milter="unix:/path") as p:
        p.port, p.delivered(), p.queue(), p.log()
"""
import json
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import sys
import time

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {folder}
maillog_file = {folder}/maillog
myhostname = mx1.mbox.example
mydestination =
virtual_mailbox_domains = mbox.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_mailbox_limit = 0
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_transport = {transport}
default_transport = discard:
alias_maps =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
message_size_limit = 80000000
smtputf8_enable = yes
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{bad@mbox.example = 550 5.1.1 no such user}}, {{grey@mbox.example = 450 4.2.0 greylisted}} }}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
default_process_limit = 200
milter_default_action = accept
milter_protocol = 6
smtpd_milters = {milter}
"""
# What a filter may get wrong: blanks before and after a value, folds, no blank, dots, blank lines.
MESSAGE = (b"Message-Id: <%s@a.example>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
           b"From: a@a.example\r\nTo: r@mbox.example\r\nSubject:  two blanks\r\n"
           b"X-Folded: one\r\n   two\r\n\tthree \r\nNo-Blank:x\r\n\r\n"
           b"Hello\r\n.dot\r\n  trailing  \r\n\r\n\r\n")
TLS = """\
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/tls.pem
"""


def needs(*programs):
    """Why this test cannot run here, or None."""
    if os.geteuid() != 0:
        return "needs root, for namespaces and Postfix"
    for program in programs:
        if not shutil.which(program) and not os.path.exists("/usr/sbin/" + program):
            return "%s is not installed" % program
    return None


def in_namespace():
    """Returns inside the namespaces; outside it does not return."""
    if os.environ.get("ASSAY_TEST_NAMESPACE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    os.environ["ASSAY_TEST_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc",
                          "--kill-child", sys.executable] + sys.argv)


def until(condition, seconds=30, what=""):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited %d s %s" % (seconds, what)
        time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Postfix:
    def __init__(self, folder, milter="", port=2525, deliver=True, tls=False, more=""):
        self.folder, self.port = folder, port
        user = pwd.getpwnam("nobody")
        for name in ("etc", "queue", "data", "mail"):
            os.makedirs("%s/%s" % (folder, name))
        owner = pwd.getpwnam("postfix")
        os.chown(folder + "/data", owner.pw_uid, -1)
        os.chown(folder + "/mail", user.pw_uid, user.pw_gid)
        with open(folder + "/etc/master.cf", "w") as f:
            f.write(MASTER.format(port=port))
        with open(folder + "/etc/main.cf", "w") as f:
            f.write((MAIN + (TLS if tls else "") + more).format(
                folder=folder, uid=user.pw_uid, gid=user.pw_gid, milter=milter,
                transport="virtual" if deliver else "discard:"))
        if tls:
            subprocess.run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                           "-keyout key.pem -out cert.pem -subj /CN=mx1.mbox.example -days 2 "
                           "&& cat key.pem cert.pem > tls.pem", shell=True, check=True, cwd=folder,
                           capture_output=True)

    def command(self, *words):
        return subprocess.run([words[0], "-c", self.folder + "/etc", *words[1:]],
                              capture_output=True, text=True)

    def __enter__(self):
        p = self.command("postfix", "start")
        assert p.returncode == 0, p.stderr + self.log()
        until(lambda: listens(self.port), what="for Postfix: " + self.log())
        return self

    def __exit__(self, *_):
        self.command("postfix", "stop")
        until(lambda: not listens(self.port))

    def set(self, *settings):
        """Settings like "smtpd_milters=unix:/path", for all connections from now on."""
        self.command("postconf", "-e", *settings)
        self.__exit__()
        self.__enter__()

    def send(self, sender, message=None, rcpts=("r@mbox.example",), peer=None, tls=False, options=(),
             helo="client.example"):
        """(code, text) of the answer that ended it: to MAIL FROM, or at the end of the data.
        `peer` is the client's address, by XCLIENT; the default is MESSAGE."""
        with smtplib.SMTP("127.0.0.1", self.port, helo, timeout=60) as s:
            s.ehlo()
            if tls:
                s.starttls()
                s.ehlo()
            if peer:
                s.docmd("XCLIENT ADDR=%s NAME=[UNAVAILABLE]" % peer)
                s.ehlo()
            code, text = s.mail(sender, list(options))
            if code != 250:
                return code, text
            for rcpt in rcpts:
                s.rcpt(rcpt)
            try:
                return s.data(message or MESSAGE % sender.split("@")[0].encode())
            except smtplib.SMTPDataError as e:
                return e.smtp_code, e.smtp_error
            finally:
                s.close()

    def log(self):
        try:
            with open(self.folder + "/maillog", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def queue(self):
        out = self.command("postqueue", "-j").stdout
        return [json.loads(line) for line in out.splitlines()]

    def delivered(self):
        """The mails in the mailbox, as bytes."""
        new = self.folder + "/mail/all/new"
        out = []
        for name in sorted(os.listdir(new)) if os.path.isdir(new) else []:
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out

    def delivered_with(self, octets):
        """The one mail that holds these octets, once it is there."""
        return until(lambda: [m for m in self.delivered() if octets in m],
                     what="for %r: %s" % (octets, self.log()[-2000:]))[0]
