#!/usr/bin/env python3
"""Postfix that asks the policy listener at RCPT and at the end of data, with limits from Redis.

usage: policy_postfix.py GATEWAY

GATEWAY is tests/tools/rates_gateway. Speaks TAP; skipped where Postfix or Redis is not there.
"""
import os
import shutil
import smtplib
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here + "/../tools")
import postfix as pf  # noqa: E402

tool = os.path.abspath(sys.argv[1])
why = pf.needs("postfix", "unshare", "ip", "redis-server")
if why:
    print("1..0 # SKIP", why)
    sys.exit(0)
pf.in_namespace()
number = 0


def told(ok, what, got=""):
    global number
    number += 1
    print("ok" if ok else "not ok", number, "-", what, "(" + " ".join(str(got).split()) + ")" if got != "" else "",
          flush=True)
    assert ok, what


def send(port, sender, rcpts=("r@mbox.example",), ip=None):
    """The codes and texts of each RCPT and, where one was accepted, of the end of data."""
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as s:
        s.ehlo()
        if ip:
            s.docmd("XCLIENT", f"ADDR={ip} NAME=[UNAVAILABLE]")
            s.ehlo()
        s.mail(sender)
        answers = [s.rcpt(rcpt) for rcpt in rcpts]
        if any(code == 250 for code, _ in answers):
            answers.append(s.data(b"From: a@a.example\r\nSubject: x\r\n\r\nx\r\n"))
        return answers


folder = tempfile.mkdtemp(prefix="assay-policy-")
os.chmod(folder, 0o755)
processes = []
try:
    redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", folder + "/redis.sock", "--save", "",
                              "--dir", folder], stdout=subprocess.DEVNULL)
    processes.append(redis)
    os.makedirs(folder + "/rules/isc-1.2")
    shutil.copy(here + "/../rules/good.rules", folder + "/rules/isc-1.2")
    shutil.copytree(here + "/../rules/lists", folder + "/rules/lists")
    with open(folder + "/rules/local.rules", "w") as f:
        f.write("limit ip { 5 per hour }\nlimit mailfrom { 3 per hour }\n")
    with open(folder + "/assay.conf", "w") as f:
        f.write(f"state {folder}/state\nredis unix:{folder}/redis.sock\nrules {folder}/rules\n"
                f"listen policy unix:{folder}/policy.sock {{ mode 0660 group postfix }}\n")
    gateway = subprocess.Popen([tool, folder + "/assay.conf"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    processes.append(gateway)
    pf.until(lambda: os.path.exists(folder + "/policy.sock"))
    service = f"check_policy_service unix:{folder}/policy.sock"
    with pf.Postfix(folder + "/postfix", deliver=False, more=(
            f"smtpd_recipient_restrictions = {service}\nsmtpd_end_of_data_restrictions = {service}\n"
            "smtpd_policy_service_default_action = DUNNO\nsmtpd_policy_service_timeout = 5s\n")) as postfix:
        got = [send(postfix.port, f"b{i}@d{i}.example", ["r@mbox.example", "s@mbox.example"]) for i in range(7)]
        told(all(code == 250 for answers in got[:5] for code, _ in answers),
             "five messages of two recipients are let in", got[:5])
        told(all(len(answers) == 2 and all(code == 451 and text.startswith(b"4.7.28 ") and b" seconds" in text
                                           for code, text in answers) for answers in got[5:]),
             "the sixth and seventh wait", got[5:])
        got = [send(postfix.port, "b@d.example", ip=f"192.0.2.{i}") for i in range(1, 6)]
        told([answers[0][0] for answers in got] == [250] * 3 + [451] * 2,
             "limits of the domain hold from every address", got)
        gateway.kill()
        gateway.wait()
        answers = send(postfix.port, "b@d.example", ip="192.0.2.9")
        told([code for code, _ in answers] == [250, 250], "without the listener mail flows", answers)
    print(f"1..{number}")
finally:
    for p in processes:
        p.kill()
        p.wait()
    shutil.rmtree(folder, ignore_errors=True)
