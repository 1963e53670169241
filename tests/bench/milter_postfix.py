#!/usr/bin/env python3
"""What `assay run` costs a Postfix: messages a second and CPU a message (of everything: Postfix, filter,
Redis, client) without a milter, with one that does nothing (milter_floor, where it is built) and with
ours, and the delay that ours adds at a fixed rate. Beside other load the CPU is the figure to go by.

usage: milter_postfix.py [ASSAY] [--messages N] [--rate PER_SECOND] [--seconds S]

Both in namespaces of their own, DNS from samples/zone, which is as warm as can be. Needs root,
postfix and smtp-source (postfix). Runs with and without take turns, so that the load of the machine is in
both.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "tests", "tools"))
import milter_client as mc  # noqa: E402
import postfix as pf  # noqa: E402

ap = argparse.ArgumentParser()
ap.add_argument("assay", nargs="?", default=os.path.join(SOURCE, "build", "assay"))
ap.add_argument("--messages", type=int, default=3000)
ap.add_argument("--rate", type=int, default=300)
ap.add_argument("--seconds", type=int, default=20)
a = ap.parse_args()
STARTED = time.monotonic()


def messages():
    folder = os.path.join(SOURCE, "samples", "mail")
    out = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".eml"):
            with open(os.path.join(folder, name), "rb") as f:
                out.append(f.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return out


def cpu_ms():
    """Of all processes of this namespace, and of those that have ended and were waited for."""
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:15]))
        except OSError:
            pass
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def rate(postfix):
    """(messages a second, CPU a message)"""
    start, before = time.monotonic(), cpu_ms()
    subprocess.run(["smtp-source", "-s", "20", "-m", str(a.messages), "-l", "20000", "-f",
                    "s@a.example", "-t", "r@mbox.example", "127.0.0.1:%d" % postfix.port],
                   check=True, capture_output=True)
    took = time.monotonic() - start
    return a.messages / took, (cpu_ms() - before) / a.messages


def delays(address, mails):
    """Seconds from MAIL to the last reply, the whole of what an SMTP client waits for us."""
    out, lock, n, start = [], threading.Lock(), a.rate * a.seconds, time.monotonic() + 0.2

    def work(first, step):
        m = mc.Client(address)
        m.negotiate()
        m.connect("192.0.2.7")
        m.helo("client.example")
        for i in range(first, n, step):
            wait = start + i / a.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            t = time.monotonic()
            m.mail("<s@a.example>")
            m.rcpt("<r@mbox.example>")
            m.message(mails[i % len(mails)])
            m.end()
            with lock:
                out.append(time.monotonic() - t)
        m.quit()
    threads = [threading.Thread(target=work, args=(k, 16)) for k in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sorted(out)


def ready(run, folder, address):
    while not os.path.exists(address[5:]):
        with open(folder + "/log") as f:
            assert run.poll() is None and time.monotonic() - STARTED < 60, f.read()
        time.sleep(0.1)


def main():
    why = pf.needs("postfix", "smtp-source", "unshare", "ip")
    if why:
        print(why)
        return 77
    pf.in_namespace()
    folder = tempfile.mkdtemp()
    try:
        os.chmod(folder, 0o755)
        os.makedirs(folder + "/state")
        shutil.chown(folder + "/state", "nobody")
        address = "unix:%s/m.sock" % folder
        with open(folder + "/assay.conf", "w") as f:
            f.write("state %s/state\ndns zone %s/samples/zone\nrules %s/rules\nuser nobody\n"
                    "host mx1.mbox.example\n"
                    "listen milter %s { mode 0666 }\n" % (folder, SOURCE, SOURCE, address))
        with open(folder + "/log", "w") as log:
            run = subprocess.Popen([a.assay, "-c", folder + "/assay.conf", "run"], stderr=log)
        ready(run, folder, address)
        kinds = {"without a milter": "", "with assay": address}
        floor = os.path.join(os.path.dirname(a.assay), "tests", "milter_floor")
        idle = None
        if os.path.exists(floor):
            idle = subprocess.Popen([floor, folder + "/floor.sock"])
            ready(idle, folder, "unix:%s/floor.sock" % folder)
            os.chmod(folder + "/floor.sock", 0o666)
            kinds["with one that does nothing"] = "unix:%s/floor.sock" % folder
        with pf.Postfix(folder + "/postfix", deliver=False) as postfix:
            rates = {kind: [] for kind in kinds}
            rate(postfix)
            for _ in range(3):
                for kind, milters in kinds.items():
                    postfix.set("smtpd_milters=" + milters)
                    rates[kind].append(rate(postfix))
            alone = rates["without a milter"]
            for kind, seen in rates.items():
                print("postfix %s: %s messages a second, %.0f %%; %.2f ms of CPU a message, %.0f %%" %
                      (kind, " ".join("%.0f" % r for r, _ in seen),
                       100 * max(seen)[0] / max(alone)[0], min(c for _, c in seen),
                       100 * min(c for _, c in alone) / min(c for _, c in seen)))
        if idle:
            idle.terminate()
            idle.wait(12)
        mails = messages()
        delays(address, mails[:1] * 3)
        d = delays(address, mails)
        print("delay at %d a second, %d messages: p50 %.2f ms, p99 %.2f ms, most %.2f ms" %
              (a.rate, len(d), d[len(d) // 2] * 1e3, d[len(d) * 99 // 100] * 1e3, d[-1] * 1e3))
        print(subprocess.run([a.assay, "-c", folder + "/assay.conf", "status"],
                             capture_output=True, text=True).stdout)
        run.terminate()
        run.wait(12)
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
