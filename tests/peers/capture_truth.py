#!/usr/bin/python3
"""Captures whose truth is known: every transaction, reply code and message against the generator's.

usage: capture_truth.py ASSAY [SEED...]

../shared/tools/capture/gen_smtp_pcap.c writes a capture and a line of truth for each
transaction. `assay capture --json` has to find the same: client, port and place in the session,
HELO, MAIL FROM, each recipient with its code, the last reply, size and SHA-256. Where the
generator leaves octets out for good, a message is either whole and right or said to have a hole.
Speaks TAP; one test a capture. Skipped where ../shared is not there.
"""
import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile

ASSAY = os.path.abspath(sys.argv[1])
SEEDS = [int(s) for s in sys.argv[2:]] or [1, 2, 3]
TOOLS = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "tools", "capture")
QUIET = "--loss-pm 0 --reorder-pm 0 --retrans-pm 0 --overlap-pm 0 --dup-pm 0".split()
ROWS = [
    ("clean", QUIET),
    ("default", []),
    ("dirty", "--loss-pm 30 --reorder-pm 60 --retrans-pm 40 --overlap-pm 30 --dup-pm 20".split()),
    ("frag", QUIET + "--frag-pc 50 --v6-pc 0".split()),
    ("frag dirty", "--frag-pc 50 --loss-pm 20 --reorder-pm 40 --dup-pm 20".split()),
    ("gaps", QUIET + "--gap-pm 10 --bdat-pc 0".split()),
    ("gaps bdat", QUIET + "--gap-pm 10 --bdat-pc 100".split()),
    ("gaps dirty", "--gap-pm 10 --loss-pm 20 --reorder-pm 40 --overlap-pm 20".split()),
    ("vlan", QUIET + "--vlan-pc 100".split()),
    ("qinq", QUIET + "--qinq-pc 100".split()),
    ("midstream", QUIET + "--midstream-pc 100".split()),
    ("midstream dirty", "--midstream-pc 50 --loss-pm 20 --reorder-pm 40".split()),
    ("bdat", QUIET + "--bdat-pc 100".split()),
    ("bdat dirty", "--bdat-pc 100 --loss-pm 30 --reorder-pm 60 --overlap-pm 30".split()),
    ("mss 200", "--mss 200 --loss-pm 10 --reorder-pm 20 --overlap-pm 10".split()),
    ("v6", "--v6-pc 100 --loss-pm 10 --reorder-pm 20".split()),
    ("no pipelining", "--pipe-pc 0 --loss-pm 10".split()),
    ("starttls", QUIET + "--starttls-pc 100".split()),
]


def expected_reply(t):
    """CONTRACT section 2: the answer to the end of data, else the last refusal of MAIL, DATA, BDAT.

    The generator has no DATA in a BDAT session, and names 0 where nothing was refused.
    """
    if t["complete"]:
        return t["final"]
    if t["mail_code"] != 250:
        return 503 if t["pipelined"] and not t["bdat"] else t["mail_code"]
    return 554 if t["final"] and t["pipelined"] and not t["bdat"] else None


def compare(truth, seen, holes_allowed):
    """What is wrong with one transaction, as words."""
    wrong = []

    def same(what, want, got):
        if want != got:
            wrong.append("%s is %r, not %r" % (what, got, want))

    if not ("midstream" in seen["flags"] and seen["helo"] is None):
        same("helo", truth["helo"], seen["helo"])
    same("mail_from", truth["mail_from"], seen["mail_from"])
    same("rcpts", truth["rcpt"], [[r["to"], r["code"]] for r in seen["rcpts"]])
    if truth["complete"] and holes_allowed and not seen["complete"]:
        if not seen["holes"]:
            wrong.append("incomplete without a hole")
        if seen["sha256"]:
            wrong.append("a hash though there is a hole")
        same("reply", truth["final"], (seen["reply"] or {}).get("code"))
        return wrong
    same("reply", expected_reply(truth), (seen["reply"] or {}).get("code"))
    same("complete", truth["complete"], seen["complete"])
    if truth["complete"]:
        same("size", truth["size"], seen["size"])
        same("sha256", truth["sha256"], seen["sha256"])
        if seen["holes"]:
            wrong.append("holes in a whole message")
    elif seen["sha256"]:
        wrong.append("a hash of a message that has no end")
    return wrong


def run(generator, folder, options, seed):
    pcap, truth = os.path.join(folder, "a.pcap"), os.path.join(folder, "a.truth")
    made = subprocess.run([generator, "-o", pcap, "-t", truth, "-S", str(seed), "-n", "150",
                           "-c", "40"] + options, check=True, capture_output=True)
    gaps = json.loads(made.stdout)["permanent_gaps"]
    p = subprocess.run([ASSAY, "capture", "--json", pcap], capture_output=True, text=True)
    wrong = []
    if p.returncode:
        wrong.append("exit code %d: %s" % (p.returncode, p.stderr[-300:]))
    seen, sessions = {}, 0
    for line in p.stdout.splitlines():
        event = json.loads(line)
        if event["event"] == "session":
            sessions += 1
            continue
        key = event["peer"], event["port"], event["tx"] - 1
        if key in seen:
            wrong.append("%s:%d #%d came twice" % key)
        seen[key] = event
    n = incomplete = 0
    ports = collections.Counter()
    for line in open(truth):
        t = json.loads(line)
        n += 1
        key = t["client"], t["port"], t["tx"]
        ports[key[1]] += 1
        event = seen.pop(key, None)
        if not event:
            wrong.append("%s:%d #%d is missing" % key)
            continue
        faults = compare(t, event, gaps > 0)
        incomplete += t["complete"] and not event["complete"]
        if faults:
            wrong.append("%s:%d #%d: " % key + "; ".join(faults))
    wrong += ["%s:%d #%d was never sent" % key for key in seen]
    if incomplete > gaps or (gaps and not incomplete):
        wrong.append("%d messages have holes, of %d gaps" % (incomplete, gaps))
    if len(ports) + sessions != 150:
        wrong.append("%d sessions with and %d without transaction" % (len(ports), sessions))
    return n, wrong


def overlap(mode, folder):
    """Octets sent twice with other content: the first copy is the message, and it is flagged."""
    pcap = os.path.join(folder, "overlap.pcap")
    with open(pcap, "wb") as out:
        subprocess.run([sys.executable, os.path.join(TOOLS, "overlap_case.py"), mode], stdout=out,
                       check=True)
    p = subprocess.run([ASSAY, "capture", "--json", pcap], capture_output=True, text=True)
    events = [json.loads(line) for line in p.stdout.splitlines()]
    want = b"From: a@b\r\nSubject: x\r\n\r\n" + b"A" * 20 + b"\r\nend\r\n"
    ok = (len(events) == 1 and events[0]["complete"] and
          events[0]["sha256"] == hashlib.sha256(want).hexdigest() and
          "overlap_conflict" in events[0]["flags"])
    return [] if ok else ["got " + p.stdout]


def main():
    if not os.path.isdir(TOOLS):
        print("1..0 # SKIP %s is not there" % os.path.normpath(TOOLS))
        return 0
    passed = number = failed = 0
    print("1..%d" % (len(ROWS) * len(SEEDS) + 2))
    with tempfile.TemporaryDirectory() as folder:
        generator = os.path.join(folder, "gen_smtp_pcap")
        subprocess.run(["gcc", "-O2", "-w", "-o", generator,
                        os.path.join(TOOLS, "gen_smtp_pcap.c"), "-lcrypto", "-lm"], check=True)
        results = []
        for name, options in ROWS:
            for seed in SEEDS:
                n, wrong = run(generator, folder, options, seed)
                results.append(("%s, seed %d: %d transactions" % (name, seed, n), wrong))
        for mode in "AB":
            results.append(("overlap with other octets, mode " + mode, overlap(mode, folder)))
    for name, wrong in results:
        number += 1
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        for line in wrong[:10]:
            print("# " + line)
        failed += bool(wrong)
        passed += not wrong
    print("# %d of %d passed" % (passed, number))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
