#!/usr/bin/env python3
"""redis_name.py ASSAY SOURCE - a Redis that has a name in the DNS and comes back at another address: the
workers in their sandbox, with their rates and their memory of block lists, the milter and the recorder find
it there.

Makes network and mount namespaces with a resolver of its own; needs root, unshare, redis-server.
Speaks TAP.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ASSAY, SOURCE = (os.path.abspath(a) for a in sys.argv[1:3])
sys.path.insert(0, SOURCE + "/tests/tools")
import milter_client as mc  # noqa: E402
import postfix as pf  # noqa: E402

number, failed = 0, 0
where = ["127.0.0.2"]


def told(ok, what, detail=""):
    global number, failed
    number += 1
    failed += not ok
    print(("ok" if ok else "not ok"), number, "-", what, flush=True)
    if not ok:
        print("# " + str(detail)[-2000:].replace("\n", "\n# "), flush=True)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return condition()


def dns():
    """Answers an A question with `where`, others with nothing."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 53))
    while True:
        q, peer = s.recvfrom(4096)
        end = q.index(b"\0", 12) + 5
        answer = b""
        if q[end - 4:end - 2] == b"\0\1":
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(where[0])
        s.sendto(q[:2] + b"\x85\x80\0\1\0" + bytes([bool(answer)]) + b"\0\0\0\0" + q[12:end] + answer, peer)


def redis(address, folder):
    server = subprocess.Popen(["redis-server", "--port", "6390", "--bind", address, "--save", "", "--dir", folder],
                              stdout=subprocess.DEVNULL)

    def listens():
        try:
            socket.create_connection((address, 6390), 1).close()
            return True
        except OSError:
            return False
    assert until(listens)
    return server


def main(folder):
    with open(folder + "/resolv.conf", "w") as f:
        f.write("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", folder + "/resolv.conf", os.path.realpath("/etc/resolv.conf")], check=True)
    threading.Thread(target=dns, daemon=True).start()
    with open(folder + "/assay.conf", "w") as f:
        f.write(f"state {folder}/state\nredis redis.test:6390\ndns zone {folder}/zone\ndnsbl ip ip.bl\nhost mx1.mbox.example\n"
                f"rules {SOURCE}/rules\nlisten milter unix:{folder}/m.sock\n")
    with open(SOURCE + "/samples/zone") as f, open(folder + "/zone", "w") as out:
        out.write(f.read() + "2.0.0.127.ip.bl. A 127.0.0.2\n1.2.0.192.ip.bl. A 127.0.0.4\n2.2.0.192.ip.bl. A 127.0.0.4\n")
    os.makedirs(folder + "/state")

    def assay(*words):
        return subprocess.run([ASSAY, "-c", folder + "/assay.conf", *words], capture_output=True, text=True).stdout

    def status():
        return json.loads(assay("status", "--json") or "{}")

    def all_there():
        roles = [r for r in status().get("roles", []) if r["role"] in ("analyze", "milter")]
        return len(roles) > 1 and all(r.get("redis") == "there" for r in roles)

    def sent():
        return sum(json.loads(line)["transactions"] for line in assay("report", "--json").splitlines())

    def listing_kept(n):
        return subprocess.run(["redis-cli", "-h", where[0], "-p", "6390", "keys", f"*rbl:192.0.2.{n}"],
                              capture_output=True, text=True).stdout.strip()

    def mail(n):
        m = mc.Client("unix:" + folder + "/m.sock")
        m.negotiate()
        m.connect(f"192.0.2.{n}")
        m.helo("client.example")
        m.mail("<s@a.example>")
        m.rcpt("<r@mbox.example>")
        m.message(b"From: a@a.example\r\nSubject: lunch\r\nMessage-ID: <%d@a.example>\r\n\r\nat noon?\r\n" % n)
        answer = m.end()[1][0]
        m.quit()
        return answer
    server = redis(where[0], folder)
    run = subprocess.Popen([ASSAY, "-c", folder + "/assay.conf", "run"], stderr=open(folder + "/log", "w"))

    def said():
        return open(folder + "/log").read() + assay("status")
    try:
        told(until(lambda: status().get("ready")) and until(all_there), "Redis is found by its name", said())
        pids = sorted(r["pid"] for r in status()["roles"])
        told(mail(1) in (b"c", b"a") and until(lambda: sent() == 1), "a mail is in the books", said())
        told(until(lambda: listing_kept(1), 5), "and since when its client is listed", said())
        server.kill()
        server.wait()
        told(until(lambda: not all_there()), "Redis is away", said())
        where[0] = "127.0.0.3"
        server = redis(where[0], folder)
        told(until(all_there), "it is found at its new address", said())
        told(mail(2) in (b"c", b"a") and until(lambda: sent() == 2), "both mails are in its books", said())
        told(until(lambda: listing_kept(2), 5), "and since when the second's client is listed", said())
        told(pids == sorted(r["pid"] for r in status()["roles"]), "by the same processes", said())
        run.terminate()
        told(run.wait(10) == 0, "it ends", said())
    finally:
        server.kill()
        if run.poll() is None:
            run.kill()
        run.wait()


missing = pf.needs("redis-server", "unshare", "ip")
if missing:
    print("1..0 # SKIP", missing)
    sys.exit(0)
pf.in_namespace()
top = tempfile.mkdtemp(prefix="assay-redis-name-")
try:
    main(top)
finally:
    shutil.rmtree(top, ignore_errors=True)
print(f"1..{number}")
sys.exit(failed > 0)
