#!/usr/bin/python3
"""strangers.py ASSAY - what somebody without a token or rights can do to who takes complaints.

TAP. HTTP connections that hold octets, that drip, that are many; files in a folder of complaints that
are no files, cannot be read or have no end. The others are served all the same.
"""
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

assay = os.path.abspath(sys.argv[1])
work = tempfile.mkdtemp(prefix="assay-strangers-")
os.chmod(work, 0o755)
conf, web = os.path.join(work, "assay.conf"), os.path.join(work, "http.sock")
spool = os.path.join(work, "complaints")
MAIL = b"From: a@shop.example\r\nMessage-ID: <%d@shop.example>\r\nSubject: sale\r\n\r\nbuy\r\n"
DESCRIPTORS = 512  # LIMIT_HTTP_DESCRIPTORS
tests = 0
failed = False


def check(what, faults):
    global tests, failed
    tests += 1
    print("%s %d - %s" % ("not ok" if faults else "ok", tests, what), flush=True)
    for fault in faults:
        print("# " + str(fault).replace("\n", "\n# "))
    failed |= bool(faults)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    return condition()


def status():
    done = subprocess.run([assay, "-c", conf, "status", "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    roles = json.loads(done.stdout)["roles"] if done.returncode == 0 else []
    return next((r for r in roles if r["role"] == "feedback" and r["state"] == "ready"), None)


def connect(timeout=20):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(web)
    return s


def ask(octets=b"GET /metrics HTTP/1.1\r\n\r\n", timeout=20):
    try:
        s = connect(timeout)
        s.sendall(octets)
        return s.recv(200)
    except OSError as e:
        return repr(e).encode()


def holds(n):
    """A request of which n octets have come, and more is to come; None: hung up on."""
    s = connect()
    try:
        s.sendall(b"POST /complaints HTTP/1.1\r\nContent-Length: 16000000\r\n\r\n")
        for _ in range(n >> 20):
            s.sendall(bytes(1 << 20))
        return s
    except OSError:
        return None



os.mkdir(spool)
os.mkfifo(os.path.join(spool, "a-pipe"))
os.symlink("/etc/passwd", os.path.join(spool, "b-link"))
with open(os.path.join(spool, "c-huge"), "wb") as f:
    f.truncate(200 << 20)
for n in range(3):
    with open(os.path.join(spool, "d-%d" % n), "wb") as f:
        f.write(MAIL % n)
for name in os.listdir(spool):
    os.utime(os.path.join(spool, name), (1, 1), follow_symlinks=False)
with open(conf, "w") as f:
    f.write("state %s/state\nlisten http unix:%s { mode 0606 }\nspool complaints %s\n"
            "dns zone /dev/null\nworkers 1\nhost mx.example\ncomplain { hold 0s jitter 0s }\n"
            "report from fbl@mx.example { via folder %s }\n" % (work, web, spool, work))
with open(os.path.join(work, "run.log"), "wb") as log:
    daemon = subprocess.Popen([assay, "-c", conf, "run"], stderr=log)
try:
    first = until(status)
    if not first:
        print(open(os.path.join(work, "run.log")).read())
        raise SystemExit("Bail out! assay run does not start")

    def left():
        return sorted(os.listdir(spool))
    until(lambda: len(left()) <= 3)
    faults = [] if left() == ["a-pipe", "b-link", "c-huge"] else [left()]
    with open(os.path.join(work, "run.log")) as f:
        said = f.read()
    if said.count("complaint.passed-over") != 1 or "c-huge" not in said:
        faults.append("the file that is too large is not told once:\n" + said)
    if said.count(" info complaint.taken ") != 3:
        faults.append("the three others are not in the log:\n" + said)
    check("a pipe, a link and a file without end in a folder of complaints hold no other up", faults)

    mode = stat.S_IMODE(os.stat(web).st_mode)
    check("the socket has the mode of its statement", [] if mode == 0o606 else [oct(mode)])

    many = [holds(14 << 20) for _ in range(20)]
    kept = sum(s is not None for s in many)
    now = until(lambda: (status() or {}).get("http_hung_up", 0) >= 10 and status()) or status()
    faults = [] if 2 <= kept <= 5 else ["%d of 20 requests of 14 MB are held at once" % kept]
    faults += [] if now and now["pid"] == first["pid"] else ["the role died: %s" % now]
    faults += [] if b"200 OK" in ask() else ["others are not answered meanwhile"]
    check("what requests without a token hold together is bounded", faults)
    for s in many:
        if s:
            s.close()
    again = until(lambda: holds(14 << 20))
    check("and is free again when they are gone", [] if again else ["it is not"])

    several = []
    while len(several) < DESCRIPTORS + 300:
        try:
            several.append(connect(timeout=0.5))
        except OSError:
            break
    def descriptors():
        return len(os.listdir("/proc/%d/fd" % first["pid"]))
    until(lambda: descriptors() > DESCRIPTORS - 30)
    most = descriptors()
    check("connections do not take all descriptors",
          [] if DESCRIPTORS - 30 < most <= DESCRIPTORS + 8 else ["%d are in use" % most])
    for s in several:
        s.close()
    answer = until(lambda: b"200 OK" in ask())
    check("and the next one is answered when they are gone", [] if answer else [ask()])
    last = status()
    check("the role is the one that was started", [] if last and last["starts"] == 1 else [last])
finally:
    daemon.terminate()
    code = daemon.wait(60)
said = open(os.path.join(work, "run.log")).read()
check("it ends in order", ([] if code == 0 else ["exit %d" % code]) +
      ([said] if "Sanitizer" in said or "runtime error" in said else []))
shutil.rmtree(work, ignore_errors=True)
print("1..%d" % tests)
sys.exit(1 if failed else 0)
