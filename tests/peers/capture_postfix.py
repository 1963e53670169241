#!/usr/bin/python3
"""What a real Postfix makes of odd sessions, and what is seen of it on the wire.

usage: capture_postfix.py ASSAY [--record FOLDER]

A Postfix of its own (all files in a folder that goes away) listens in a network namespace of its
own: with smtpd_forbid_bare_newline no (Debian's default) and normalize, behind the PROXY protocol,
with XCLIENT and XFORWARD allowed. Each session is spoken over a socket while `assay capture -i lo`
listens; the transactions seen have to be those that Postfix answered: one for each message it
queued, with the sender it was told, and flagged where two ends of data can be read. With --record
tcpdump writes each session to FOLDER/postfix_NAME.pcap (kept in samples/pcap).
Speaks TAP. Skipped without root, namespaces or Postfix.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ASSAY = os.path.abspath(sys.argv[1])
RECORD = sys.argv[3] if len(sys.argv) > 3 and sys.argv[2] == "--record" else None
os.environ["PATH"] += ":/usr/sbin:/sbin"
OBEYS, NORMAL, PROXY = 2525, 2526, 2527

MAIN = """
compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {0}
maillog_file = {0}/log/mail.log
myhostname = mx.mbox.example
mydestination = mbox.example
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
local_recipient_maps =
local_transport = discard:
default_transport = discard:
alias_maps =
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{{{{bad@mbox.example=550 5.1.1 no such user}}, {{grey@mbox.example=450 4.2.0 greylisted}}}}
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_authorized_xforward_hosts = 127.0.0.1
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_forbid_bare_newline_exclusions =
"""
MASTER = """
127.0.0.1:2525 inet n - n - - smtpd -o smtpd_forbid_bare_newline=no
127.0.0.1:2526 inet n - n - - smtpd -o smtpd_forbid_bare_newline=normalize
127.0.0.1:2527 inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

HELLO = [b"EHLO mail.news.example\r\n"]
ENVELOPE = [b"MAIL FROM:<a@news.example>\r\n", b"RCPT TO:<u@mbox.example>\r\n", b"DATA\r\n"]
MAIL = b"From: a@news.example\r\nSubject: outer\r\n\r\nHello."
EVIL = (b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<u@mbox.example>\r\nDATA\r\n"
        b"Subject: smuggled\r\n\r\nHello too.\r\n.\r\n")
FORMS = {"lf_lf": b"\n.\n", "lf_crlf": b"\n.\r\n", "crlf_lf": b"\r\n.\n", "crlf_crcrlf": b"\r\n.\r\r\n",
         "cr_crlf": b"\r.\r\n", "crlf_cr": b"\r\n.\r", "cr_cr": b"\r.\r"}


def envelope(*rcpts):
    return [b"MAIL FROM:<a@news.example>\r\n"] + [b"RCPT TO:<%s@mbox.example>\r\n" % r for r in rcpts]


def sessions():
    """name, port, what is said a turn, flags that have to be there."""
    for name, form in FORMS.items():
        for port, setting in (OBEYS, "no"), (NORMAL, "normalize"):
            yield ("smuggling_%s_%s" % (name, setting), port,
                   HELLO + ENVELOPE + [MAIL + form + EVIL, b"QUIT\r\n"],
                   ["smuggling"] if name in ("lf_lf", "lf_crlf", "crlf_lf", "crlf_crcrlf") else [])
    content = MAIL + b"\r\n.\r\n"
    yield "proxy_v1", PROXY, [b"PROXY TCP4 192.0.2.77 192.0.2.25 51000 25\r\n" + HELLO[0]] + ENVELOPE + [
        content, b"QUIT\r\n"], ["proxied"]
    yield "xclient", OBEYS, HELLO + [b"XCLIENT ADDR=192.0.2.78 PORT=51001 NAME=[UNAVAILABLE]\r\n"] + \
        HELLO + ENVELOPE + [content, b"QUIT\r\n"], ["proxied"]
    yield "xforward", OBEYS, HELLO + [b"XFORWARD ADDR=192.0.2.79 PORT=51002 HELO=real.example\r\n"] + \
        ENVELOPE + [content, b"QUIT\r\n"], ["proxied"]
    yield "bdat", OBEYS, HELLO + [
        b"".join(envelope(b"u")) + b"BDAT %d\r\n" % len(MAIL) + MAIL + b"BDAT 2 LAST\r\n\r\n" +
        b"".join(envelope(b"bad")) + b"BDAT 6 LAST\r\nQUIT\r\n" + b"RSET\r\n" +
        b"".join(envelope(b"u")) + b"BDAT 0 LAST\r\n", b"QUIT\r\n"], ["bdat"]
    yield "pipelined", OBEYS, HELLO + [
        b"".join(envelope(b"bad", b"grey")) + b"DATA\r\n", b"RSET\r\n" +
        b"".join(envelope(b"u", b"bad")) + b"DATA\r\n", content + b"QUIT\r\n"], ["pipelined"]


def dialogue(port, turns, replies):
    """Says each turn when Postfix has been silent for a little; all that it said."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        if not turns[0].startswith(b"PROXY"):
            replies += s.recv(4096)
        for turn in turns:
            s.sendall(turn)
            s.settimeout(0.4)
            try:
                while True:
                    got = s.recv(4096)
                    replies += got
                    if not got:
                        return
            except socket.timeout:
                pass
    return


def speak(port, turns):
    replies = bytearray()
    try:
        dialogue(port, turns, replies)
    except ConnectionError:
        pass
    return replies.decode()


def compare(name, events, replies, flags):
    wrong = []
    txns = [e for e in events if e["event"] == "txn"]
    queued = re.findall(r"^250 2\.0\.0 Ok: (?:\d+ bytes )?queued as (\S+)\r$", replies, re.M)
    seen = [t["reply"]["text"].split()[-1] for t in txns
            if t["reply"] and "queued as" in t["reply"]["text"]]
    if seen != queued:
        wrong.append("queued %s, seen %s" % (queued, seen))
    if len(queued) > 1 and name.startswith("smuggling") and txns[1]["mail_from"] != "evil@evil.example":
        wrong.append("the smuggled sender is not seen")
    if name.startswith("smuggling") and len(txns) != len(queued):
        wrong.append("%d transactions for %d messages" % (len(txns), len(queued)))
    refused = len(re.findall(r"^[45]50 [45]\.[12]\.[01] <", replies, re.M))
    codes = [r["code"] for t in txns for r in t["rcpts"]]
    if sum(c in (450, 550) for c in codes) != refused:
        wrong.append("%d refused recipients, seen %s" % (refused, codes))
    if any(t["reply"] and t["reply"]["code"] == 250 and not t["complete"] for t in txns):
        wrong.append("a message that is not whole")
    for flag in flags:
        if not any(flag in t["flags"] for t in txns):
            wrong.append("not flagged %s: %s" % (flag, [t["flags"] for t in txns]))
    if "proxied" in flags and txns and not txns[0]["peer"].startswith("192.0.2.7"):
        wrong.append("the peer is " + txns[0]["peer"])
    return wrong + ["events " + json.dumps(txns)] if wrong else []


def start_postfix(folder):
    for sub in "etc", "queue", "data", "log":
        os.mkdir(os.path.join(folder, sub))
    shutil.chown(os.path.join(folder, "data"), "postfix")
    etc = os.path.join(folder, "etc")
    with open(os.path.join(etc, "main.cf"), "w") as f:
        f.write(MAIN.format(folder))
    with open(os.path.join(etc, "master.cf"), "w") as f:
        f.write(MASTER)
    subprocess.run(["postfix", "-c", etc, "start"], check=True, capture_output=True)
    for port in OBEYS, NORMAL, PROXY:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
    return etc


def capture(folder, options=()):
    config = os.path.join(folder, "assay.conf")
    with open(config, "w") as f:
        f.write("capture interface lo { ports 2525 2526 2527 }\nuser nobody\n")
    out = open(os.path.join(folder, "events"), "w+")
    p = subprocess.Popen([ASSAY, "-c", config, "capture", "--json", "-i", "lo"], stdout=out,
                         stderr=subprocess.DEVNULL)
    for _ in range(600):
        with open("/proc/%d/status" % p.pid) as f:
            if not re.search(r"^Uid:\s+0", f.read(), re.M):
                break
        time.sleep(0.05)
    return p, out


def main():
    if os.geteuid() != 0 or not shutil.which("postfix") or not shutil.which("unshare"):
        print("1..0 # SKIP needs root and Postfix")
        return 0
    if os.environ.get("ASSAY_IN_NAMESPACE") != "1":
        r = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True)
        if r.returncode:
            print("1..0 # SKIP no network namespaces here: " + r.stderr.strip())
            return 0
        os.execvpe("unshare", ["unshare", "-n", sys.executable] + sys.argv,
                   dict(os.environ, ASSAY_IN_NAMESPACE="1"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    rows, failed = list(sessions()), 0
    print("1..%d" % len(rows))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        etc = start_postfix(folder)
        try:
            for number, (name, port, turns, flags) in enumerate(rows, 1):
                process, out = capture(folder)
                if RECORD:
                    recorder = subprocess.Popen(
                        ["tcpdump", "-U", "-i", "lo", "-s", "0", "-w",
                         os.path.join(RECORD, "postfix_%s.pcap" % name), "tcp"],
                        stderr=subprocess.DEVNULL)
                    time.sleep(1)
                replies = speak(port, turns)
                process.send_signal(signal.SIGTERM)
                process.wait(30)
                if RECORD:
                    time.sleep(1)
                    recorder.send_signal(signal.SIGTERM)
                    recorder.wait(10)
                out.seek(0)
                wrong = compare(name, [json.loads(line) for line in out], replies, flags)
                print("%s %d - %s: %d queued" % ("not ok" if wrong else "ok", number, name,
                                                 replies.count("queued as")), flush=True)
                for line in wrong:
                    print("# " + line[:1500])
                if wrong:
                    print("# " + repr(replies)[:1000])
                failed += bool(wrong)
        finally:
            subprocess.run(["postfix", "-c", etc, "stop"], capture_output=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
