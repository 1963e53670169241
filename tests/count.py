#!/usr/bin/env python3
"""count.py TESTLOG.json - the closing line of tests/run, from meson's log.

A test that speaks TAP (or prints lines "ok ..." and "not ok ...") counts by its lines, any other
as one. "# SKIP reason" marks a skipped line; meson's exit code 77 a skipped test.
"""
import json
import re
import sys

passed = failed = skipped = 0
for line in open(sys.argv[1], encoding="utf-8", errors="replace"):
    test = json.loads(line)
    p = f = s = 0
    for text in (test.get("stdout") or "").splitlines():
        m = re.match(r"\s*(not )?ok\b(.*)", text)
        if not m:
            continue
        if re.search(r"#\s*skip", m.group(2), re.I):
            s += 1
            print("skipped: %s:%s" % (test["name"], m.group(2)))
        elif m.group(1):
            f += 1
            print("failed: %s:%s" % (test["name"], m.group(2)))
        else:
            p += 1
    result = test["result"]
    # cmocka writes a skipped test as "not ok ... # SKIP", which meson takes for a failure
    if result == "FAIL" and test.get("returncode") == 0 and s and not f:
        result = "OK"
    if result == "SKIP" and not p + f + s:
        s = 1
        reason = (test.get("stdout") or "").strip().splitlines()
        print("skipped: %s: %s" % (test["name"], reason[-1] if reason else "no reason given"))
    elif result not in ("OK", "SKIP", "EXPECTEDFAIL") and f == 0:
        f = 1
        print("failed: %s: %s" % (test["name"], result))
    elif result == "OK" and not p + f + s:
        p = 1
    passed += p
    failed += f
    skipped += s
print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
sys.exit(1 if failed or passed == 0 else 0)
