#!/usr/bin/python3
"""The captures under samples/pcap: made again and compared, and what is seen in each.

usage: capture_samples.py ASSAY SOURCE [--write]

tests/tools/make_pcaps.py makes the samples; what it makes has to be what is committed. Those named
postfix_* are recorded: capture_postfix.py spoke them with a Postfix. The events
of `assay capture --json` are compared with tests/golden/pcap.json, without ids and without the
keys that only judging fills. Speaks TAP, one test a sample.
"""
import json
import os
import subprocess
import sys
import tempfile

ASSAY, SOURCE = os.path.abspath(sys.argv[1]), sys.argv[2]
SAMPLES = os.path.join(SOURCE, "samples", "pcap")
GOLDEN = os.path.join(SOURCE, "tests", "golden", "pcap.json")
JUDGED = ("message_id", "from", "subject", "sender", "list", "campaign", "class", "auth", "findings",
          "unjudged", "score", "compliance", "action", "partial", "ruleset")


def events(path):
    p = subprocess.run([ASSAY, "capture", "--json", path], capture_output=True, text=True)
    sessions, out = {}, []
    for line in p.stdout.splitlines():
        event = json.loads(line)
        # a key is never left out: what only judging fills is null
        if event["event"] == "txn" and any(event.get(key, 0) is not None for key in JUDGED):
            raise SystemExit("%s: not null: %s" % (path, event))
        event["session"] = sessions.setdefault(event["session"], len(sessions) + 1)
        for key in ("id", "file", "source") + JUDGED:
            event.pop(key, None)
        out.append(event)
    return out


def main():
    names = sorted(os.listdir(SAMPLES))
    if "--write" in sys.argv:
        with open(GOLDEN, "w") as out:
            lines = ["%s: [\n%s\n]" % (json.dumps(n), ",\n".join(
                "  " + json.dumps(e) for e in events(os.path.join(SAMPLES, n)))) for n in names]
            out.write("{\n" + ",\n".join(lines) + "\n}\n")
        return 0
    with open(GOLDEN) as f:
        golden = json.load(f)
    failed = 0
    print("1..%d" % len(names))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, os.path.join(SOURCE, "tests", "tools", "make_pcaps.py"),
                        folder], check=True)
        for number, name in enumerate(names, 1):
            wrong = []
            with open(os.path.join(SAMPLES, name), "rb") as committed:
                made = os.path.join(folder, name)
                # zlib's versions differ in how they compress
                kept = name.endswith(".gz") or name.startswith("postfix_")
                if not kept and (not os.path.exists(made) or
                                 open(made, "rb").read() != committed.read()):
                    wrong.append("make_pcaps.py makes something else")
            got, want = events(os.path.join(SAMPLES, name)), golden.get(name)
            if got != want:
                wrong += ["got  " + json.dumps(got), "want " + json.dumps(want)]
            print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
            for line in wrong:
                print("# " + line[:2000])
            failed += bool(wrong)
    print("# %d of %d passed" % (len(names) - failed, len(names)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
