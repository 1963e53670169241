#!/usr/bin/env python3
"""dns_trouble.py ASSAY SOURCE - what trouble of the DNS makes of a message: UNKNOWN, never fail.

A name server of our own lies on loopback: it is silent, fails, truncates, refuses, loops, answers
with a thousand records or with 64 kB, by the second label of the name asked for. Between it and the
program stands a real unbound (Debian's package), and then nothing. Beside them a port where nobody
listens, and a socket that nobody reads, on which a thousand messages wait at once. Speaks TAP.
"""
import json
import os
import re
import resource
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

assay, source = os.path.abspath(sys.argv[1]), sys.argv[2]
try:
    import dkim
except ImportError:
    print("1..0 # SKIP python3-dkim is not installed (tests/packages.txt)")
    sys.exit(0)

DEADLINE_S = 2
KEY = open(source + "/samples/keys/s1.pem", "rb").read()
PUBLIC = "".join(subprocess.run(["openssl", "rsa", "-in", source + "/samples/keys/s1.pem", "-pubout"],
                                capture_output=True, text=True).stdout.split("\n")[1:-2])
# The behaviour of a zone "NAME.test" and of the client 192.0.2.N, N its place here.
ZONES = ["good", "silent", "servfail", "refused", "loop", "many", "huge", "cut", "stub", "garbage",
         "formerr", "empty"]

A, CNAME, PTR, TXT = 1, 5, 12, 16


def name_of(labels):
    return b"".join(bytes([len(l)]) + l for l in labels) + b"\0"


def rr(kind, data):
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def txt(text):
    return b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255] for i in range(0, len(text), 255))


def good(labels, kind):
    """The answers of a zone where all is well."""
    first, ip = labels[0], bytes([192, 0, 2, 1 + ZONES.index("good")])
    if kind == TXT and first == b"_dmarc" and len(labels) == 3:
        return [rr(TXT, txt(b"v=DMARC1; p=reject"))]
    if kind == TXT and first == b"s":
        return [rr(TXT, txt(b"v=DKIM1; p=" + PUBLIC.encode()))]
    if kind == TXT and len(labels) == 2:
        return [rr(TXT, txt(b"v=spf1 ip4:192.0.2.0/24 -all"))]
    if kind == A and first == b"mail":
        return [rr(A, ip)]
    if kind == PTR:
        return [rr(PTR, name_of([b"mail", b"good", b"test"]))]
    return []


def answer(query, tcp):
    """One answer, or None for silence."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].lower())
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    question = query[12:at + 5]
    zone = labels[-2].decode() if len(labels) > 1 and labels[-1] == b"test" else "good"
    if labels[-1] == b"arpa":
        zone = ZONES[int(labels[0]) - 1] if labels[0].isdigit() and int(labels[0]) <= len(ZONES) else "good"
    flags, rrs = 0x8580, []
    if zone == "silent":
        return None
    if zone in ("servfail", "refused", "formerr"):
        flags |= {"servfail": 2, "refused": 5, "formerr": 1}[zone]
    elif zone == "loop":
        # NAME -> x.NAME -> y.x.NAME ... and, from a name that has a y, back to itself
        rrs = [b"\xc0\x0c" + struct.pack(">HHIH", CNAME, 1, 60, 2) + b"\xc0\x0c"]
    elif zone == "many" and tcp:
        rrs = [rr(kind, txt(b"v=spf1 -all %04d" % i) if kind == TXT else
                  bytes([10, 0, i // 256, i % 256]) if kind == A else
                  name_of([b"n%d" % i, b"many", b"test"])) for i in range(1000)]
    elif zone == "huge" and tcp:
        rrs = [rr(TXT, txt(b"%03d" % i + b"x" * 170)) for i in range(350)] if kind == TXT else \
              [rr(PTR, name_of([b"%03d" % i + b"x" * 50] * 3 + [b"huge", b"test"])) for i in range(350)]
    elif zone in ("many", "huge", "cut", "stub") and not tcp:
        flags |= 0x0200
    elif zone == "cut":
        return None if kind != 0 else b""  # the rest never comes
    elif zone == "stub":
        return query[:2] + struct.pack(">HHHHH", flags, 1, 1, 0, 0) + question + b"\xc0\x0c\0"
    elif zone == "garbage":
        return query[:2] + os.urandom(100)
    elif zone == "empty":
        return query[:2]
    else:
        rrs = good(labels, kind)
        if not rrs and labels[-1] == b"test" and len(labels) > 2 and labels[0] not in (b"mail",):
            flags |= 3
    return query[:2] + struct.pack(">HHHHH", flags, 1, len(rrs), 0, 0) + question + b"".join(rrs)


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        out = answer(self.request[0], False)
        if out:
            self.request[1].sendto(out[:4096], self.client_address)


class Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while True:
                head = self.request.recv(2, socket.MSG_WAITALL)
                if len(head) < 2:
                    return
                out = answer(self.request.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL), True)
                if out is None:
                    time.sleep(30)
                    return
                self.request.sendall(struct.pack(">H", len(out)) + out)
        except OSError:
            pass


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True


def start_liar():
    """Both protocols on one port that is free for both."""
    for _ in range(50):
        tcp = TcpServer(("127.0.0.1", 0), Tcp)
        try:
            udp = socketserver.ThreadingUDPServer(("127.0.0.1", tcp.server_address[1]), Udp)
        except OSError:
            tcp.server_close()
            continue
        udp.daemon_threads = True
        for server in (tcp, udp):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return tcp.server_address[1]
    sys.exit("no port is free")


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_unbound(folder, liar):
    unbound = shutil.which("unbound") or "/usr/sbin/unbound"
    if not os.path.exists(unbound):
        return None, 0
    port = free_port()
    with open(folder + "/unbound.conf", "w") as f:
        f.write(f"""server:
	interface: 127.0.0.1@{port}
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "{folder}"
	pidfile: "{folder}/unbound.pid"
	use-syslog: no
	logfile: "{folder}/unbound.log"
	do-not-query-localhost: no
	module-config: "iterator"
	unblock-lan-zones: yes
	insecure-lan-zones: yes
	local-zone: "test." nodefault
	num-threads: 1
	tcp-idle-timeout: 2000
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: 127.0.0.1@{liar}
""")
    process = subprocess.Popen([unbound, "-d", "-c", folder + "/unbound.conf"],
                               stderr=subprocess.DEVNULL)
    for _ in range(300):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            try:
                s.connect(("127.0.0.1", port))
                s.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name_of([b"good", b"test"]) + b"\0\x10\0\1")
                if s.recv(4096):
                    return process, port
            except OSError:
                time.sleep(0.1)
    sys.exit("unbound does not answer: " + open(folder + "/unbound.log").read())


def mail_of(zone):
    mail = (f"From: News <news@{zone}.test>\r\nTo: you@mbox.example\r\nSubject: one\r\n"
            f"Date: Tue, 24 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@{zone}.test>\r\n\r\nhello\r\n").encode()
    return dkim.sign(mail, b"s", zone.encode() + b".test", KEY,
                     include_headers=[b"from", b"to", b"subject"]) + mail


def judge(folder, port, zone):
    """The auth object, and the seconds that it took."""
    with open(folder + "/assay.conf", "w") as f:
        f.write(f"dns forward 127.0.0.1 port {port} {{ deadline {DEADLINE_S}s }}\n")
    with open(folder + "/mail.eml", "wb") as f:
        f.write(mail_of(zone))
    start = time.monotonic()
    r = subprocess.run([assay, "-c", folder + "/assay.conf", "auth", "--ip",
                        f"192.0.2.{1 + ZONES.index(zone)}", "--helo", f"mail.{zone}.test",
                        "--mail-from", f"b@{zone}.test", folder + "/mail.eml"],
                       capture_output=True, text=True, timeout=120)
    if r.returncode != 0:
        return {"error": r.stderr}, 0
    return json.loads(r.stdout), time.monotonic() - start


def summary(auth):
    return {"spf": auth["spf"]["result"], "helo": auth["spf_helo"]["result"],
            "dkim": auth["dkim"][0]["result"], "dmarc": auth["dmarc"]["result"],
            "ptr": auth["ptr"]["names"], "confirmed": auth["ptr"]["confirmed"]}


UNKNOWN = {"spf": "temperror", "helo": "temperror", "dkim": "temperror", "dmarc": "temperror",
           "ptr": None, "confirmed": None}
GOOD = {"spf": "pass", "helo": "none", "dkim": "pass", "dmarc": "pass", "ptr": ["mail.good.test"],
        "confirmed": True}

count = 0


def ok(good_, what, detail=""):
    global count
    count += 1
    print(("ok" if good_ else "not ok"), count, "-", what)
    if not good_:
        print("# " + str(detail).replace("\n", "\n# "))
    return good_


def test_zones(folder, port, through):
    slowest = 0
    for zone in ZONES:
        auth, seconds = judge(folder, port, zone)
        got = summary(auth) if "spf" in auth else auth
        slowest = max(slowest, seconds)
        ok(got == (GOOD if zone == "good" else UNKNOWN), f"{through}: {zone}", got)
    # the deadline, and what a busy machine adds
    ok(slowest < DEADLINE_S + 30, f"{through}: nothing waits past the deadline", f"{slowest:.1f} s")
    print(f"# {through}: the slowest took {slowest:.2f} s, the deadline is {DEADLINE_S} s")


def test_thousand(folder):
    """A thousand messages on a resolver that never answers: they wait together and cost no CPU."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        os.mkdir(folder + "/mails")
        for i in range(1000):
            with open(f"{folder}/mails/{i:04}.eml", "wb") as f:
                f.write(f"Received: from mail.z{i}.test (mail.z{i}.test [192.0.2.{i % 250}])\r\n"
                        f"\tby mx.example with ESMTP; Tue, 24 Nov 2026 08:00:00 +0000\r\n"
                        f"Return-Path: <b@z{i}.test>\r\nFrom: a@z{i}.test\r\nTo: y@mbox.example\r\n"
                        f"Subject: {i}\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n"
                        f"Message-ID: <{i}@z.test>\r\n\r\nhello\r\n".encode())
        with open(folder + "/assay.conf", "w") as f:
            f.write(f"dns forward 127.0.0.1 port {silent.getsockname()[1]} {{ deadline {DEADLINE_S}s }}\n")
        open(folder + "/empty.zone", "w").close()

        def scan(*options):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.monotonic()
            r = subprocess.run([assay, "-c", folder + "/assay.conf", "scan", "--json", "--facts", *options,
                                folder + "/mails"], capture_output=True, text=True, timeout=300)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return [json.loads(l) for l in r.stdout.splitlines()], time.monotonic() - start, cpu

        plain, _, plain_cpu = scan("--dns", folder + "/empty.zone")
        events, wall, cpu = scan()
        ok(len(events) == 1000, "silence: a thousand messages have their verdicts", len(events))
        blamed = [e["facts"]["auth.spf"] for e in events if e["facts"]["auth.spf"] or
                  e["facts"]["auth.dmarc"] or e["facts"]["net.ptr.confirmed"] is not None]
        ok(not blamed, "silence: nothing is known of any", blamed[:3])
        dns_rules = re.compile(r"^(net|helo|auth\.(spf|dmarc|from-ptr))")
        found = [f["rule"] for e in events for f in e["findings"] if dns_rules.match(f["rule"])]
        ok(not found, "silence: no rule on the DNS finds fault", set(found))
        ok(wall < 60, "silence: they wait together", f"{wall:.1f} s")
        print(f"# 1,000 messages on a silent resolver: {wall:.1f} s, {cpu:.2f} s of CPU; "
              f"without DNS {plain_cpu:.2f} s of CPU: {cpu - plain_cpu:+.2f} ms a message for waiting")


def main():
    signal.alarm(280)
    folder = tempfile.mkdtemp(prefix="assay-dns-")
    unbound = None
    try:
        liar = start_liar()
        test_zones(folder, liar, "name server")
        unbound, port = start_unbound(folder, liar)
        if unbound:
            test_zones(folder, port, "unbound")
        else:
            print("ok", count + 1, "- unbound # SKIP unbound is not installed (tests/packages.txt)")
        closed, _ = judge(folder, free_port(), "good")
        ok(summary(closed) == UNKNOWN, "nobody listens", closed)
        test_thousand(folder)
    finally:
        if unbound:
            unbound.terminate()
            unbound.wait()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"1..{count}" if unbound else f"1..{count + 1}")


main()
