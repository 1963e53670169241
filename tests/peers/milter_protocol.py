#!/usr/bin/env python3
"""capture/milter.c before a milter client: what it negotiates, what it makes of a transaction, what
it answers, and what broken peers do to the others.

usage: milter_protocol.py PROBE

PROBE is tests/tools/milter_probe. Speaks TAP.
"""
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import milter_client as mc  # noqa: E402
from milter_probe import Probe, until  # noqa: E402

PROBE = os.path.abspath(sys.argv[1])
GO_ON = (b"c", b"")
MESSAGE = (b"Received: from a\r\n\tby b; Mon, 23 Nov 2026 08:00:00 +0000\r\nSubject:  two blanks\r\n"
           b"From:none@a.example\r\nX-Folded: one\r\n   two\r\n\tthree\r\n\r\nHello\r\n.dot\r\n\r\n")


def begin(p, sender="<a@a.example>", negotiate=None, rcpts=("<r@mbox.example>",), **kw):
    m = p.client()
    m.negotiate(**(negotiate or {}))
    m.connect("192.0.2.7", 51234)
    m.helo("client.example")
    m.first = m.mail(sender, **kw)
    m.answers = [m.rcpt(r) for r in rcpts]
    return m


def whole(p, sender, message=MESSAGE, negotiate=None, **kw):
    m = begin(p, sender, negotiate, **kw)
    m.data()
    m.message(message)
    changes, reply = m.end()
    m.quit()
    return changes, reply


# --- the tests ------------------------------------------------------------------------

def negotiation(p):
    everything = mc.ADDHDRS | mc.CHGHDRS | mc.QUARANTINE | mc.SETSYMLIST
    rows = [  # version, actions, steps -> version, actions
        (6, mc.ALL_ACTIONS, mc.ALL_STEPS, 6, everything),
        (6, 0, 0, 6, 0),
        (6, mc.ADDHDRS, 0x7f, 6, mc.ADDHDRS),
        (2, 0x3f, 0x7f, 2, everything & 0x3f),
        (3, 0x3f, 0x1ff, 3, everything & 0x3f),
        (4, 0x3f, 0x3ff, 4, everything & 0x3f),
        (5, 0x3f, 0x3ff, 5, everything & 0x3f),
        (7, mc.ALL_ACTIONS, mc.ALL_STEPS, 6, everything),
    ]
    for version, actions, steps, want_version, want_actions in rows:
        with p.client() as m:
            got = m.negotiate(version, actions, steps)
            assert got[0] == want_version and got[1] == want_actions, (version, actions, got)
            assert got[2] & ~steps == 0, "%x is more than %x" % (got[2], steps)
            if actions & mc.SETSYMLIST:
                assert "{rcpt_mailer}" in m.symbols[3] and "{tls_version}" in m.symbols[2], m.symbols
            else:
                assert not m.symbols
    with p.client() as m:
        assert m.negotiate()[2] & mc.RCPT_REJ and m.steps & mc.LEADSPC


def transaction(p):
    m = p.client()
    m.negotiate()
    m.connect("192.0.2.7", 51234)
    m.helo("client.example", {"{tls_version}": "TLSv1.3", "{cipher}": "TLS_AES_256_GCM_SHA384"})
    assert m.mail("<t1@a.example>", "SIZE=100", "BODY=8BITMIME", "SMTPUTF8",
                  macros={"{auth_authen}": "me"}) == GO_ON
    assert m.rcpt("<ok@mbox.example>") is None  # nobody waits for it
    m.rcpt("<bad@mbox.example>", macros={"{rcpt_mailer}": "error", "{rcpt_host}": "5.1.1",
                                         "{rcpt_addr}": "no such user"})
    m.rcpt("<grey@mbox.example>", macros={"{rcpt_mailer}": "error", "{rcpt_host}": "4.2.0",
                                          "{rcpt_addr}": "greylisted"})
    m.rcpt("<fine@mbox.example>", macros={"{rcpt_mailer}": "local", "{rcpt_host}": "",
                                          "{rcpt_addr}": "fine"})
    m.message(MESSAGE)
    changes, reply = m.end(macros={"i": "4XyZ"})
    assert reply == GO_ON
    m.mail("<>")
    m.rcpt("<ok@mbox.example>")
    m.message(b"Subject: 2\r\n\r\n")
    m.end()
    m.quit()
    first, = p.of("t1@a.example")
    second, = p.of("")
    assert first["peer"] == "192.0.2.7" and first["port"] == 51234
    assert first["helo"] == "client.example" and first["source"] == "milter"
    assert first["rcpts"] == [
        {"to": "ok@mbox.example", "code": 250, "enhanced": None, "text": None},
        {"to": "bad@mbox.example", "code": 550, "enhanced": "5.1.1", "text": "no such user"},
        {"to": "grey@mbox.example", "code": 450, "enhanced": "4.2.0", "text": "greylisted"},
        {"to": "fine@mbox.example", "code": 250, "enhanced": None, "text": None}], first["rcpts"]
    assert sorted(first["flags"]) == ["8bitmime", "auth", "smtputf8"], first["flags"]
    assert first["tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "sni": None}
    assert first["complete"] and first["reply"] is None and first["size"] == len(MESSAGE)
    assert p.message(first) == MESSAGE, p.message(first)
    assert first["session"] == second["session"] and (first["tx"], second["tx"]) == (1, 2)
    assert p.message(second) == b"Subject: 2\r\n\r\n"


def fields(p):
    message = (b"X-Assay-Verdict: accept; forged\r\nAuthentication-Results: other.example; spf=pass\r\n"
               b"authentication-results: (c (d)) MX1.mbox.example 1; spf=pass\r\n"
               b"Subject: x\r\nx-assay-verdict: again\r\n"
               b"Authentication-Results: \"mx1.mbox.example\"; dkim=pass\r\n"
               b"Authentication-Results: mx1.mbox.example.other; dkim=pass\r\n"
               b"Authentication-Results: \"mx1\\.mbox.example\"; dkim=pass\r\n\r\nx\r\n")
    changes, reply = whole(p, "<fields@a.example>", message)
    assert reply == GO_ON
    assert mc.removed(changes) == [("X-Assay-Verdict", 2), ("X-Assay-Verdict", 1),
                                   ("Authentication-Results", 5), ("Authentication-Results", 3),
                                   ("Authentication-Results", 2)], changes
    got = mc.inserted(changes)
    event, = p.of("fields@a.example")
    assert got["X-Assay-Verdict"] == b" accept; id=%s; score=0; compliance=100" % event["id"].encode()
    assert got["Authentication-Results"] == b" mx1.mbox.example;\n\tspf=none smtp.mailfrom=a.example"
    assert all(c[1][:4] == b"\0\0\0\0" for c in changes if c[0] == b"i"), "not on top"
    assert p.message(event) == message
    # where the MTA puts the blank, and where it lets nobody take fields away
    changes, _ = whole(p, "<fields2@a.example>", message,
                       {"version": 2, "actions": mc.ADDHDRS, "steps": 0x7f})
    assert not mc.removed(changes)
    assert mc.inserted(changes)["X-Assay-Verdict"].startswith(b"accept; id=")
    assert p.message(p.of("fields2@a.example")[0]) == message
    changes, reply = whole(p, "<tag@a.example>")
    assert reply == GO_ON and mc.inserted(changes)["X-Assay-Verdict"].startswith(b" tag; id=")


def answers(p):
    for offer in ({}, {"actions": 0, "steps": 0}, {"version": 2, "actions": 0x3f, "steps": 0x7f}):
        for sender, want in (("reject", b"554 5.7.1 no; id="), ("defer", b"451 4.7.0 later; id="),
                             ("close", b"421 4.7.0 go away; id=")):
            changes, (letter, text) = whole(p, "<%s@a.example>" % sender, negotiate=offer)
            assert letter == b"y" and text.startswith(want), (sender, letter, text)
            assert not changes, changes
        changes, (letter, text) = whole(p, "<reject2@a.example>", negotiate=offer)
        lines = text.rstrip(b"\0").split(b"\r\n")
        assert lines[0] == b"550-5.7.1 no" and lines[1].startswith(b"550 5.7.1 see https://"), lines
    event = p.of("reject@a.example")[0]
    assert event["reply"]["code"] == 554 and event["reply"]["enhanced"] == "5.7.1"
    changes, reply = whole(p, "<quarantine@a.example>")
    assert reply == GO_ON and [c[1] for c in changes if c[0] == b"q"][0].startswith(b"quarantine; id="), changes
    changes, reply = whole(p, "<quarantine@a.example>", negotiate={"actions": mc.ADDHDRS})
    assert reply == GO_ON and not [c for c in changes if c[0] == b"q"]


def limits(p):
    m = begin(p, "<mail-limit@a.example>", rcpts=())
    assert m.first[0] == b"y" and m.first[1].startswith(b"451 4.7.28 100%% of the rate, wait 60 s"), \
        m.first
    event, = [e for e in p.events() if e["mail_from"] == "mail-limit@a.example"]  # before the answer
    assert not event["complete"] and event["reply"]["code"] == 451 and event["size"] is None
    m.mail("<after@a.example>")  # the session goes on
    m.rcpt("<r@mbox.example>")
    m.rcpt("<gone@mbox.example>", macros={"{rcpt_mailer}": "error", "{rcpt_host}": "5.1.1",
                                           "{rcpt_addr}": "gone"})
    m.message(MESSAGE)
    assert m.end()[1] == GO_ON
    m.quit()
    event, = p.of("after@a.example")
    assert [r["code"] for r in event["rcpts"]] == [250, 550] and event["tx"] == 2


def late_limits(folder):
    """Nobody waits at MAIL where there is no limit; one that comes meanwhile refuses at the end."""
    os.environ["NO_LIMITS"] = "1"
    os.makedirs(folder + "/late")
    p = Probe(PROBE, folder + "/late")
    del os.environ["NO_LIMITS"]
    with p.client() as m:
        m.negotiate(steps=mc.ALL_STEPS & ~mc.NR[b"M"])
        m.connect("192.0.2.7")
        assert m.mail("<old@a.example>") == GO_ON  # an MTA that waits is answered
    m = begin(p, "<mail-limit@a.example>")
    assert m.first is None
    m.message(MESSAGE)
    changes, (letter, text) = m.end()
    assert letter == b"y" and text.startswith(b"451 4.7.28 100%% of the rate") and not changes
    m.mail("<after@a.example>")
    m.rcpt("<r@mbox.example>")
    m.message(MESSAGE)
    assert m.end()[1] == GO_ON
    m.mail("<mail-limit@b.example>")
    m.abort()
    m.mail("<again@a.example>")
    m.rcpt("<r@mbox.example>")
    m.message(MESSAGE)
    assert m.end()[1] == GO_ON
    m.quit()
    event, = p.of("mail-limit@a.example")
    assert event["reply"]["code"] == 451 and event["complete"] and event["size"] == len(MESSAGE)
    event, = p.of("mail-limit@b.example")
    assert event["reply"] is None and not event["complete"]
    assert p.of("after@a.example")[0]["tx"] == 2 and p.of("again@a.example")[0]["tx"] == 4
    for test in (pieces, fields, answers, large):
        test(p)
    p.stop()


def pieces(p):
    """What comes octet by octet, and two messages at once, are the same messages."""
    sent = []
    m = p.client()
    m.negotiate()
    m.send = lambda letter, octets=b"": sent.append(struct.pack("!I", 1 + len(octets)) + letter + octets)
    m.connect("192.0.2.7")
    m.helo("client.example")
    for sender in ("<pieces@a.example>", "<next@a.example>", "<last@a.example>"):
        assert m.mail(sender) is None
        m.rcpt("<r@mbox.example>")
        m.message(MESSAGE)
        m.send(b"E")
        if sender == "<next@a.example>":
            continue
        octets = b"".join(sent)
        sent.clear()
        step = 1 if sender == "<pieces@a.example>" else len(octets)
        for i in range(0, len(octets), step):
            m.s.sendall(octets[i:i + step])
    for _ in range(3):
        while m.recv()[0] != b"c":
            pass
    m.close()
    for number, sender in enumerate(("pieces", "next", "last"), 1):
        event, = p.of(sender + "@a.example")
        assert event["tx"] == number and p.message(event) == MESSAGE, event


def cut_short(p):
    m = begin(p, "<aborted@a.example>")
    m.abort()
    m.mail("<again@a.example>")
    m.mail("<restarted@a.example>")  # no abort between
    m.rcpt("<r@mbox.example>")
    m.message(MESSAGE)
    m.close()
    for sender, size in (("aborted", None), ("again", None), ("restarted", len(MESSAGE))):
        event, = p.of(sender + "@a.example")
        assert not event["complete"] and event["reply"] is None and event["size"] == size, event


def large(p):
    body = b"".join(b"%07d %s\r\n" % (i, b"x" * 68) for i in range(140000))  # 11 MB
    message = b"Subject: large\r\n\r\n" + body
    _, reply = whole(p, "<large@a.example>", message)
    event, = p.of("large@a.example")
    assert reply == GO_ON and event["size"] == len(message) and p.message(event) == message
    m = begin(p, "<eob@a.example>")  # the last piece may come with the end
    m.message(b"Subject: eob\r\n\r\n")
    m.end(b"last\r\n")
    m.quit()
    assert p.message(p.of("eob@a.example")[0]).endswith(b"\r\n\r\nlast\r\n")
    whole(p, "<odd@a.example>", b"Subject: odd\r\n\r\na\nb\rc\0\r\n")
    assert sorted(p.of("odd@a.example")[0]["flags"]) == ["bare_cr", "bare_lf", "nul"]
    m = begin(p, "<many@a.example>", rcpts=["<r%d@mbox.example>" % i for i in range(2000)])
    m.message(MESSAGE)
    m.end()
    m.quit()
    assert len(p.of("many@a.example")[0]["rcpts"]) == 2000


def broken(p):
    """None of these may harm the session that is open meanwhile."""
    neighbour = begin(p, "<neighbour@a.example>")
    seed = int(os.environ.get("SEED", "1"))
    dice = random.Random(seed)
    frames = int(os.environ.get("FRAMES", "300"))
    for i in range(frames):
        m = p.client()
        try:
            kind = dice.randrange(7)
            if kind == 0:
                pass  # closed before anything
            elif kind == 1:
                m.s.sendall(bytes(dice.randrange(256) for _ in range(dice.randrange(40))))
            elif kind == 2:
                m.s.sendall(struct.pack("!I", dice.choice([0, 1, 2 ** 31, 2 ** 32 - 1])) + b"O")
            elif kind == 3:
                m.negotiate(version=dice.choice([0, 1, 6]))
            else:
                m.negotiate()
                m.connect("192.0.2.9")
                for _ in range(dice.randrange(12)):
                    letter = bytes([dice.choice(b"ABCDEHKLMNORTU~")])
                    octets = bytes(dice.randrange(256) for _ in range(dice.randrange(30)))
                    m.send(letter, octets)
                if kind == 6:
                    m.s.sendall(struct.pack("!I", 50) + b"Lcut")
            if dice.random() < 0.3:
                m.s.shutdown(socket.SHUT_WR)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            m.close()
    assert p.p.poll() is None, "died, SEED=%d" % seed
    neighbour.message(MESSAGE)
    assert neighbour.end()[1] == GO_ON
    neighbour.quit()
    assert len(p.of("neighbour@a.example")) == 1


class Pieces:
    """A socket that sends a few octets at a time, as a slow network has it."""

    def __init__(self, s, dice):
        self.s, self.dice = s, dice
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def sendall(self, octets):
        while octets:
            n = self.dice.choice([1, 2, 3, 4, 5, 6, 7, 100, 20000])
            self.s.sendall(octets[:n])
            octets = octets[n:]

    def __getattr__(self, name):
        return getattr(self.s, name)


def pieces(p):
    """Frames in pieces, one of the largest size among them, and the peer's end right behind the last."""
    seed = int(os.environ.get("SEED", time.time()))
    dice = random.Random(seed)
    body = b"Subject: pieces\r\n\r\n" + b"0123456789abcde\n" * 4000
    for i in range(20):
        m = p.client()
        m.s = Pieces(m.s, dice)
        m.negotiate()
        m.connect("192.0.2.7", 51234)
        m.helo("client.example")
        m.mail("<pieces%d@a.example>" % i)
        m.rcpt("<r@mbox.example>")
        m.message(body)
        assert m.end()[1] == GO_ON
        m.quit()
        got = p.of("pieces%d@a.example" % i)
        assert len(got) == 1 and got[0]["size"] == len(body) and got[0]["complete"], \
            "%s, SEED=%d" % (got, seed)


def idle(p):
    n = int(os.environ.get("IDLE", "1000"))
    before = rss(p)
    with open("/proc/%d/limits" % p.p.pid) as f:
        files = int(next(line for line in f if line.startswith("Max open files")).split()[3])
    n = min(n, files - 100)
    clients = []
    for i in range(n):
        m = p.client()
        m.negotiate()
        m.connect("192.0.2.7")
        m.helo("idle")
        m.mail("<idle%d@a.example>" % (i % 2))
        clients.append(m)
    half = [p.client() for _ in range(50)]
    for m in half:
        m.s.sendall(b"\0\0")  # slow: half of a length
    start = time.monotonic()
    whole(p, "<quick@a.example>")
    took = time.monotonic() - start
    threads = len(os.listdir("/proc/%d/task" % p.p.pid))
    print("# %d idle and 50 slow connections: %d threads, %d kB a connection, a message in %.0f ms" %
          (n, threads, (rss(p) - before) // (n + 50), took * 1000))
    assert len(p.of("quick@a.example")) == 1
    assert threads < 50, "a peer that stops inside a frame holds a thread: %d" % threads
    for m in clients + half:
        m.close()
    until(lambda: len(p.of("idle0@a.example")) + len(p.of("idle1@a.example")) == n)


def rss(p):
    with open("/proc/%d/status" % p.p.pid) as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


def waiting(p):
    """Slow judgements hold up nobody but themselves."""
    done = []
    threads = [threading.Thread(target=lambda i=i: done.append(
        whole(p, "<slow@a%d.example>" % i)[1])) for i in range(40)]
    start = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - start
    print("# 40 judgements of a second each in %.1f s" % took)
    assert done == [GO_ON] * 40 and took < 40, (took, len(done))


def stopping(p):
    """SIGTERM: what is under way is answered or written as cut short, and the place is free."""
    under_way = begin(p, "<slow@stop.example>")
    under_way.message(MESSAGE)
    reply = []
    t = threading.Thread(target=lambda: reply.append(under_way.end()[1]))
    t.start()
    open_one = begin(p, "<open@stop.example>")
    time.sleep(0.2)
    start = time.monotonic()
    counters = p.stop()
    print("# ended in %.1f s" % (time.monotonic() - start))
    t.join()
    assert reply == [GO_ON]
    assert len(p.of("slow@stop.example")) == 1 and len(p.of("open@stop.example")) == 1
    assert counters["failed"] == 0, counters
    open_one.close()
    p.start()
    whole(p, "<second@stop.example>")
    p.p.send_signal(signal.SIGKILL)
    p.p.wait()
    p.start()  # over the socket that the killed one left
    whole(p, "<third@stop.example>")
    twin = subprocess.run([PROBE, p.conf, p.log], capture_output=True, text=True)
    assert twin.returncode == 75 and "in use" in twin.stderr, twin
    whole(p, "<fourth@stop.example>")


def over_tcp(folder):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    os.makedirs(folder + "/tcp")
    p = Probe(PROBE, folder + "/tcp", "127.0.0.1:%d" % port,
              "header-verdict X-Judged header-results X-Results")
    changes, _ = whole(p, "<tcp@a.example>", b"X-Judged: forged\r\n\r\nx\r\n")
    assert mc.removed(changes) == [("X-Judged", 1)] and "X-Results" in mc.inserted(changes)
    p.stop()
    p.start()
    p.p.kill()
    p.p.wait()
    p.start()
    p.stop()


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        p = Probe(PROBE, folder)
        mode = os.stat(p.address[5:]).st_mode & 0o777
        tests = [negotiation, transaction, fields, answers, limits, cut_short, large, broken, pieces,
                 idle, waiting, stopping]
        print("1..%d" % (len(tests) + 3))
        print("%s 1 - mode of the socket" % ("ok" if mode == 0o666 else "not ok"))
        failed += mode != 0o666
        for number, test in enumerate(tests + [late_limits, over_tcp], 2):
            try:
                test(folder if test in (late_limits, over_tcp) else p)
                print("ok %d - %s" % (number, test.__name__))
            except Exception:
                failed += 1
                print("not ok %d - %s" % (number, test.__name__))
                print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
            sys.stdout.flush()
        if p.p.poll() is None:
            p.stop()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
