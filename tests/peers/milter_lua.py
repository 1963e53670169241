#!/usr/bin/env python3
"""milter_lua.py ASSAY SOURCE - `assay run` before OpenDKIM's miltertest, whose milter client is not
ours: each script of tests/peers/miltertest/ with the levels that it needs, then the event log.

Speaks TAP; skipped without miltertest.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
from tap import finish, skip, told, until  # noqa: E402

SCRIPTS = SOURCE + "/tests/peers/miltertest"
ACCEPT = "levels { tag never  defer never  reject never }\n"
PLAN = [("nothing", ACCEPT, ""), ("everything", ACCEPT, ""), ("forged", ACCEPT, ""), ("several", ACCEPT, ""),
        ("tag", "levels { tag 0.5  defer never  reject never }\n", ""),
        ("quarantine", "levels { tag 0.5  defer never  reject never }\n", " quarantine"),
        ("defer", "levels { tag 0.5  defer 1.0  reject never }\n", ""),
        ("reject", "levels { tag 0.5  defer never  reject 1.0 }\n", "")]
# What the log has to say: sender -> how many transactions that came to their end, and that did not.
WANT = {"nothing": (1, 0), "everything": (1, 0), "forged": (1, 0), "others": (1, 0), "first": (1, 0),
        "aborted": (0, 1), "early": (0, 1), "last": (1, 0), "lost": (0, 1), "tag": (1, 0),
        "quarantine": (1, 0), "no-quarantine": (1, 0), "defer": (2, 0), "reject": (2, 0)}


def main():
    folder = tempfile.mkdtemp(prefix="assay-miltertest-")
    conf, socket = folder + "/assay.conf", folder + "/m.sock"
    os.makedirs(folder + "/local")

    def assay(*words):
        return subprocess.run([ASSAY, "-c", conf, *words], capture_output=True, text=True)

    def configure(levels, more):
        with open(conf, "w") as f:
            f.write(f"state {folder}/state\ndns zone {SOURCE}/samples/zone\nhost mx1.mbox.example\n"
                    f"rules {SOURCE}/rules {folder}/local\nlisten milter unix:{socket} {{ {more} }}\n")
        with open(folder + "/local/local.rules", "w") as f:
            f.write(levels)

    def ready():
        r = assay("status", "--json")
        return r.returncode == 0 and json.loads(r.stdout).get("ready")

    def events():
        out = []
        for path in glob.glob(folder + "/state/log/*.jsonl"):
            with open(path) as f:
                out += [e for e in map(json.loads, f) if e["event"] == "txn"]
        return out

    def counts():
        seen = {}
        for e in events():
            name = e["mail_from"].split("@")[0]
            whole, cut = seen.get(name, (0, 0))
            seen[name] = (whole + e["complete"], cut + (not e["complete"]))
        return seen

    os.makedirs(folder + "/state")
    configure(ACCEPT, "")
    log = open(folder + "/log", "w")
    run = subprocess.Popen([ASSAY, "-c", conf, "run"], stderr=log)
    try:
        if not until(ready):
            told(False, "it starts", open(folder + "/log").read())
            return
        for name, levels, more in PLAN:
            configure(levels, more)
            r = assay("reload")
            if r.returncode:
                told(False, "reload", r.stderr)
            r = subprocess.run(["miltertest", "-s", f"{SCRIPTS}/{name}.lua", "-D", "folder=" + SCRIPTS,
                                "-D", "socket=unix:" + socket, "-D",
                                f"mail={SOURCE}/samples/mail/fake-reply-en.eml"], capture_output=True, text=True)
            told(r.returncode == 0, name, f"rc {r.returncode} {r.args}" + r.stdout + r.stderr)
        told(until(lambda: counts() == WANT), "an event each in the log",
             {k: (counts().get(k), WANT.get(k)) for k in {*WANT, *counts()} if counts().get(k) != WANT.get(k)})
        replies = {(e["mail_from"].split("@")[0], e["reply"]["code"], e["reply"]["enhanced"], e["id"] in e["reply"]["text"])
                   for e in events() if e["reply"]}
        told(replies == {("defer", 451, "4.7.1", True), ("reject", 550, "5.7.1", True)}, "the replies", replies)
        run.terminate()
        told(run.wait(20) == 0, "it ends", open(folder + "/log").read())
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
        shutil.rmtree(folder, ignore_errors=True)


if not shutil.which("miltertest"):
    skip("miltertest is not here")
main()
finish()
