#!/usr/bin/python3
"""spool_folder.py ASSAY SOURCE - a watched Maildir over the months.

TAP. A file that cannot be read; mails that are moved and removed.
"""
import contextlib
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
from tap import finish, told, until  # noqa: E402

work = tempfile.mkdtemp(prefix="assay-spool-")
inbox, state, conf = work + "/in", work + "/state", work + "/assay.conf"
MAIL = "From: a@shop.example\r\nMessage-ID: <%s@shop.example>\r\nSubject: sale\r\n\r\nbuy\r\n"


def put(path, mode=0o644):
    """As a delivery agent does, long ago: written elsewhere, renamed."""
    aside = inbox + "/tmp/" + os.path.basename(path)
    with open(aside, "w") as f:
        f.write(MAIL % os.path.basename(path))
    os.utime(aside, (1, 1))
    os.chmod(aside, mode)
    os.rename(aside, inbox + "/" + path)


def judged():
    """The names that events have, in their order."""
    names = []
    for path in sorted(glob.glob(state + "/log/*.jsonl")):
        with open(path) as f:
            events = [json.loads(line) for line in f if line.endswith("\n")]
        names += [os.path.basename(e["file"]).split(":")[0] for e in events if e["event"] == "txn"]
    return names


def said():
    with open(work + "/stderr") as f:
        return f.read()


def start():
    with open(work + "/stderr", "ab") as log:
        return subprocess.Popen([ASSAY, "-c", conf, "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop(process):
    process.terminate()
    return process.wait(30)


def unreadable():
    put("new/locked", 0)
    put("new/first")
    process = start()
    told(until(lambda: judged() == ["first"]), "a file that cannot be read holds no other up", said())
    for n in range(4):  # a mail that is read makes the next failure news
        time.sleep(1)
        put("new/more%d" % n)
        until(lambda: "more%d" % n in judged())
    time.sleep(1)
    told(said().count("spool.read") in (1, 2), "it is looked at again with the folder, each minute", said())
    os.chmod(inbox + "/new/locked", 0o644)
    os.rename(inbox + "/new/locked", inbox + "/cur/locked:2,S")
    told(until(lambda: "locked" in judged()), "and judged when it can be", said())
    return process


def rows(statement="SELECT name FROM seen", *words):
    with contextlib.closing(sqlite3.connect(state + "/spool.sqlite", timeout=30)) as db, db:
        return sorted(os.path.relpath(r[0], inbox) for r in db.execute(statement, words))


def grow(name):
    """Written in place: the whole folder is read until it has settled."""
    with open(inbox + "/new/" + name, "w") as f:
        f.write(MAIL % name)
    return until(lambda: name in judged())


def burst():
    """As many names in new/ as are read in one go, and the end."""
    for n in range(512 - 1 - len(os.listdir(inbox + "/new")) - 2):
        put("new/filler%d" % n)
        rows("INSERT INTO seen VALUES(?, NULL, 1)", inbox + "/filler%d" % n)
    put("cur/beside")
    process = start()
    told(until(lambda: "beside" in judged(), 20), "cur/ is read behind any number of names in new/", said())
    return process


def forgotten():
    rows("UPDATE seen SET done = 1")
    os.unlink(inbox + "/new/more0")
    os.rename(inbox + "/new/more1", inbox + "/cur/more1:2,S")
    rows("INSERT INTO seen VALUES(?, NULL, 1)", inbox + "/inner/other")
    put("cur/second")
    process = start()
    until(lambda: "second" in judged())
    told("more0" in rows(), "the first look forgets nothing", rows())
    os.rename(inbox + "/cur", inbox + "/away")
    grow("third")
    time.sleep(1)
    told("more0" in rows(), "nor one that misses a part of the folder", rows())
    os.rename(inbox + "/away", inbox + "/cur")
    grow("fourth")
    told(until(lambda: "more0" not in rows()), "what is gone for long is forgotten", said())
    there = {n.split(":")[0] for part in ("new", "cur") for n in os.listdir(inbox + "/" + part)}
    told(set(rows()) == there | {"inner/other"}, "what is there is not, and nothing of another folder",
         there ^ set(rows()))
    return process


def unmounted():
    rows("UPDATE seen SET done = 1")
    os.rename(inbox + "/new", inbox + "/new.away")
    os.rename(inbox + "/cur", inbox + "/cur.away")
    os.mkdir(inbox + "/new")
    os.mkdir(inbox + "/cur")
    process = start()
    until(lambda: "run.ready" in said().rsplit("run.end", 1)[-1])
    grow("alone")
    time.sleep(1)
    told("second" in rows(), "an empty folder forgets nothing", rows())
    told(len(judged()) == len(set(judged())), "each is judged once", judged())
    return process


os.chmod(work, 0o755)
for name in ("new", "cur", "tmp"):
    os.makedirs(inbox + "/" + name)
os.mkdir(state)
with open(conf, "w") as config:
    config.write("state %s\nspool maildir %s\nrules %s/rules\nhost mx.mbox.example\nworkers 1\n"
                 "redis 127.0.0.1:1\ndns zone %s/samples/zone\n" % (state, inbox, SOURCE, SOURCE))
    if os.geteuid() == 0:
        config.write("user nobody\n")
        shutil.chown(state, "nobody")
running = None
try:
    for part in (unreadable, burst, forgotten, unmounted):
        running = part()
        told(stop(running) == 0, "it ends with 0", said())
finally:
    if running and running.poll() is None:
        running.kill()
        running.wait()
    shutil.rmtree(work, ignore_errors=True)
finish()
