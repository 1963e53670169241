"""What tests that speak TAP share: told() a line a check, until() something holds, finish()."""
import sys
import time

number = failed = 0


def told(ok, what, detail=""):
    global number, failed
    number += 1
    failed += not ok
    print("ok" if ok else "not ok", number, "-", what, flush=True)
    if not ok:
        print("# " + str(detail)[-2000:].replace("\n", "\n# "), flush=True)
    return ok


def until(condition, seconds=30):
    """What the condition is in the end."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


def skip(why):
    print("1..0 # SKIP", why)
    sys.exit(0)


def finish():
    print(f"1..{number}")
    sys.exit(failed > 0)
