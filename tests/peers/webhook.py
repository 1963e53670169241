#!/usr/bin/python3
"""Webhooks of the feedback role before an HTTPS server that answers 200, 500, 410, slowly, never or
with another's certificate; and the same reports fetched with a cursor.

usage: webhook.py ASSAY

Signatures are computed here from the words of Standard Webhooks alone. The server has certificates of
a CA that this test makes; it answers by the name that the client asks for.
"""
import base64
import calendar
import collections
import email.utils
import hashlib
import hmac
import http.server
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import feedback
from feedback import check, failures
from feedback_intake import Desk
from feedback_run import Daemon, event_of, wait

KINDS = ("good", "broken", "gone", "mute", "slow", "alien", "undone", "seconds", "dated", "years")
FILING = "".join("sender %s {\n dkim %s.example\n feedback fbl@%s.example { complaint error webhook "
                 "https://hooks.%s.example/in/%s }\n}\n" % (k, k, k, k, k) for k in KINDS)
FILING += "sender fetch {\n dkim fetch.example\n feedback fbl@fetch.example { complaint pull }\n}\n"
FILING += ("sender inner {\n dkim in.localhost\n feedback fbl@in.localhost { complaint webhook "
           "https://hooks.in.localhost:%d/ }\n}\n")


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.lock, self.broken, self.held = [], threading.Lock(), True, threading.Event()
        self.connections = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
        self.context, self.port = context, self.server_address[1]
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        connection, address = super().get_request()
        self.connections += 1
        return self.context.wrap_socket(connection, server_side=True,
                                        do_handshake_on_connect=False), address

    def handle_error(self, request, address):
        pass

    def of(self, kind):
        with self.lock:
            return [s for s in self.seen if s["kind"] == kind]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.path.split("/")[-1]
        with self.server.lock:
            self.server.seen.append({"kind": kind, "path": self.path, "body": body,
                                     "head": {k.lower(): v for k, v in self.headers.items()}})
        if kind == "mute":
            self.server.held.wait(60)
        if kind == "slow":
            time.sleep(2)
        later = {"seconds": "7200", "years": "99999999999",
                 "dated": email.utils.formatdate(time.time() + 3 * 3600, usegmt=True)}.get(kind)
        code = {"gone": 410, "undone": 500, "broken": 500 if self.server.broken else 204}.get(kind, 200)
        self.send_response(503 if later else code)
        if later:
            self.send_header("Retry-After", later)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


def certificates(folder):
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    # no name of "alien" is in it
    names = ",".join("DNS:hooks.%s.example" % k for k in KINDS if k != "alien")
    with open(folder + "/names", "w") as f:
        f.write("subjectAltName=%s,DNS:hooks.in.localhost\n" % names)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test CA")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "server.key", "-out", "server.csr", "-subj", "/CN=hooks")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")


def signed(one, secret):
    head = one["head"]
    key = base64.b64decode(secret[len("whsec_"):])
    text = ("%s.%s." % (head["webhook-id"], head["webhook-timestamp"])).encode() + one["body"]
    mac = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return (head["webhook-signature"].split(",") == ["v1", mac] and
            abs(time.time() - int(head["webhook-timestamp"])) < 120)


def secret_of(place, key):
    return json.loads(place.run("sender", "secret", key, "--json").stdout or b"{}")


def complain(daemon, place, kind):
    event = event_of(place, kind)
    code, body = daemon.post(place.mail(event))
    answer = json.loads(body or b"{}")
    check("a complaint about %s is taken" % kind, code == 200 and answer.get("outcome") == "report",
          (code, body))
    return event


def row_of(place, kind):
    rows = [q for q in place.queue() if q["sender"] == kind]
    return rows[-1] if rows else {}


def pushed(daemon, place, server):
    event = complain(daemon, place, "good")
    check("200: it was pushed", wait(lambda: len(server.of("good")) == 1, 30), row_of(place, "good"))
    one = server.of("good")[0]
    body = json.loads(one["body"])
    original = base64.b64decode(body["original"]["base64"])
    check("200: sent", wait(lambda: row_of(place, "good").get("state") == "sent", 30))
    check("the signature is right", signed(one, secret_of(place, "good")["webhook"]), one["head"])
    check("another sender's secret signs nothing of it",
          not signed(one, secret_of(place, "slow")["webhook"]))
    check("its id is that of the report", one["head"]["webhook-id"] == row_of(place, "good")["id"] ==
          body["id"], one["head"])
    check("fields", (body["version"], body["kind"], body["sender"], body["source_ip"],
                     body["source_port"], body["reported_domain"], body["message_id"]) ==
          (1, "abuse", "good", "198.51.100.9", 4711, "good.example", event["message_id"]), body)
    check("the Message-ID is in the original, the recipient nowhere",
          event["message_id"].encode() in original and
          feedback.RCPT.encode() not in original + one["body"], original)
    check("the recipient is a token", body["original_rcpt_to"].endswith("@mbox.example") and
          len(body["original_rcpt_to"].split("@")[0]) == 20, body)


def troubles(daemon, place, server):
    begin = time.time()
    complain(daemon, place, "mute")
    for _ in range(6):
        complain(daemon, place, "broken")
    complain(daemon, place, "alien")
    complain(daemon, place, "slow")
    complain(daemon, place, "gone")
    before = len(server.of("good"))
    complain(daemon, place, "good")
    check("a silent and broken ones hold up nobody (%.1f s)" % (time.time() - begin),
          wait(lambda: len(server.of("good")) == before + 1, 15))
    check("slow: sent", wait(lambda: row_of(place, "slow").get("state") == "sent", 30))
    check("500: waits, with the answer",
          wait(lambda: ("queued", "HTTP 500") in [(q["state"], q["reply"]) for q in place.queue()
                                                  if q["sender"] == "broken"], 30))
    check("its breaker opens", wait(lambda: json.loads(daemon.get("/status")[1])["breakers"] >= 1, 30))
    check("410: has failed, and the address is suspended",
          wait(lambda: row_of(place, "gone").get("state") == "failed", 30) and
          b"410" in place.run("queue", "addresses", "--json").stdout, row_of(place, "gone"))
    complain(daemon, place, "gone")
    check("410: the next one is in the digest alone",
          row_of(place, "gone").get("state") == "suppressed" and len(server.of("gone")) == 1,
          row_of(place, "gone"))
    check("another's certificate: nothing is told to it",
          wait(lambda: row_of(place, "alien").get("attempts", 0) > 0, 30) and not server.of("alien") and
          row_of(place, "alien")["state"] == "queued", row_of(place, "alien"))
    check("silence ends, and it waits", wait(lambda: row_of(place, "mute").get("attempts", 0) > 0, 40)
          and row_of(place, "mute")["state"] == "queued", row_of(place, "mute"))
    server.held.set()


def asked_to_wait(daemon, place, server):
    """RFC 9110 section 10.2.3: seconds and a date; a day is the longest that we wait."""
    for kind, hours in (("seconds", 2), ("dated", 3), ("years", 24)):
        complain(daemon, place, kind)
        check("Retry-After, %s: it was tried" % kind,
              wait(lambda: row_of(place, kind).get("attempts") == 1, 30), row_of(place, kind))
        due = calendar.timegm(time.strptime(row_of(place, kind)["due"][:19], "%Y-%m-%dT%H:%M:%S"))
        check("Retry-After, %s: it is due in %d hours" % (kind, hours),
              abs(due - time.time() - hours * 3600) < 120, (due - time.time(), row_of(place, kind)))
        complain(daemon, place, kind)
    complain(daemon, place, "good") # goes after these
    before = len(server.of("good"))
    wait(lambda: len(server.of("good")) > before, 30)
    check("Retry-After: nothing else goes there either",
          all(len(server.of(k)) == 1 for k in ("seconds", "dated", "years")))
    place.run("queue", "retry", row_of(place, "seconds")["id"])
    check("Retry-After: but when it is asked for by hand",
          wait(lambda: len(server.of("seconds")) == 2, 30))


def taken_back(daemon, place, server):
    """A webhook's report that was tried, can be fetched, and is withdrawn."""
    event = complain(daemon, place, "undone")
    token = secret_of(place, "undone")["token"]

    def feed(cursor):
        body = daemon.get("/feedback?after=%d" % cursor, {"Authorization": "Bearer " + token})[1]
        return [json.loads(line) for line in body.splitlines()]

    check("withdrawn: it could be fetched", wait(lambda: len(feed(0)) == 1 and row_of(
        place, "undone").get("attempts") == 1, 30), feed(0))
    report = feed(0)[0]
    code, body = daemon.post(place.mail(event), "?kind=not-spam")
    check("withdrawn: the complaint is taken back", json.loads(body)["outcome"] == "withdrawn", body)
    after = feed(report["cursor"])
    check("withdrawn: who has fetched it is told, under its id, behind his cursor", len(after) == 1 and
          after[0]["kind"] == "withdrawn" and after[0]["id"] == report["id"] and
          after[0]["sender"] == "undone" and after[0]["complaint"] == report["complaint"] and
          "original" not in after[0], after)
    check("withdrawn: who has not sees that alone", feed(0) == after, feed(0))
    check("withdrawn: it is not pushed any more", row_of(place, "undone")["state"] == "suppressed")


def again(daemon, place, server):
    first = server.of("broken")[0]
    daemon.kill()
    server.broken = False
    daemon.start()
    n = len([q for q in place.queue() if q["sender"] == "broken"])

    def over():
        waiting = [q["id"] for q in place.queue() if q["sender"] == "broken" and q["state"] != "sent"]
        for i in waiting:
            place.run("queue", "retry", i)
        return not waiting

    # the breaker rests for a minute
    check("after kill -9 they go in the end", wait(over, 100), row_of(place, "broken"))
    tries = collections.defaultdict(list)
    for one in server.of("broken"):
        tries[one["head"]["webhook-id"]].append(one)
    secret = secret_of(place, "broken")["webhook"]
    check("%d reports in %d tries, each under one id, each signed" %
          (n, len(server.of("broken"))), len(tries) == n and
          len(tries[first["head"]["webhook-id"]]) > 1 and
          all(len({t["body"] for t in v}) == 1 for v in tries.values()) and
          all(hmac_ok(t, secret) for v in tries.values() for t in v), tries.keys())


def hmac_ok(one, secret):
    return signed(one, secret) or abs(time.time() - int(one["head"]["webhook-timestamp"])) >= 120


def fetched(daemon, place):
    events = [complain(daemon, place, "fetch") for _ in range(5)]
    token = secret_of(place, "fetch")["token"]

    def get(cursor, limit=2, token=token):
        code, body = daemon.get("/feedback?after=%d&limit=%d" % (cursor, limit),
                                {"Authorization": "Bearer " + token})
        return code, [json.loads(x) for x in body.splitlines()] if code == 200 else body

    check("fetched: all are there", wait(lambda: len(get(0, 100)[1]) == 5, 30), get(0, 100))
    cursor, seen = 0, []
    for _ in range(10):
        code, page = get(cursor)
        if not page:
            break
        seen += page
        cursor = page[-1]["cursor"]
    check("fetched with a cursor: each once, in order", [s["message_id"] for s in seen] ==
          [e["message_id"] for e in events] and len(page) == 0, seen)
    check("fetched: the queue says sent", all(q["state"] == "sent" for q in place.queue()
                                              if q["sender"] == "fetch"))
    other = secret_of(place, "mute")["token"]
    check("a webhook's reports can be fetched, too, and nobody else's",
          [s["sender"] for s in get(0, 100, other)[1]] == ["mute"], get(0, 100, other))
    for what, bad in (("none", "x"), ("another's key", "fetch:" + other.split(":")[1]),
                      ("a cut one", token[:-1]), ("the provider's", daemon.token())):
        check("token, %s: 401" % what, get(0, 2, bad)[0] == 401)


def inner(place, server):
    """Without `via` an address of our own network is no place for a report."""
    with open(place.config) as f:
        text = "".join(line for line in f if "via 127.0.0.1" not in line or "webhook" not in line)
    with open(place.config, "w") as f:
        f.write(text)
    before = server.connections
    event = place.event(message_id="<i@in.localhost>", mail_from="b@in.localhost",
                        auth={"dkim": [{"d": "in.localhost", "s": "x", "result": "pass"}]})
    out = place.outcome(place.mail(event))
    place.run("queue", "run")
    row = row_of(place, "inner")
    check("no connection into our own network", out == "report" and row.get("attempts") == 1 and
          row["state"] == "queued" and server.connections == before, (out, row))


def digest(config, server):
    place = Desk(filing=FILING % server.port)
    place.setup_senders()
    with open(place.config, "a") as f:
        f.write(config)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3 * 3600))
    place.event(time=then, sender={"by": "dkim", "key": "good", "registered": "good"},
                rcpts=[{"to": "nobody@mbox.example", "code": 550, "enhanced": "5.1.1", "text": "no"}],
                message_id="<digest@good.example>")
    place.run("queue", "run")
    place.close()
    found = [json.loads(s["body"]) for s in server.of("good")
             if json.loads(s["body"])["kind"] == "error-digest"]
    check("a digest is pushed as well", found and found[0]["digest"]["hard"] == 1, found)


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("skip: openssl is not installed")
        sys.exit(77)
    folder = tempfile.mkdtemp(prefix="assay-webhook.")
    certificates(folder)
    server = Server(folder)
    place = Desk(filing=FILING % server.port)
    place.setup_senders()
    config = "webhook { via 127.0.0.1:%d ca %s/ca.pem }\n" % (server.port, folder)
    with open(place.config, "a") as f:
        f.write(config)
    daemon = Daemon(place)
    daemon.start()
    pushed(daemon, place, server)
    troubles(daemon, place, server)
    fetched(daemon, place)
    asked_to_wait(daemon, place, server)
    taken_back(daemon, place, server)
    again(daemon, place, server)
    code, _ = daemon.stop()
    check("the daemon ends with 0", code == 0, code)
    digest(config, server)
    inner(place, server)
    if failures:
        sys.stdout.write(open(place.folder + "/run.log").read()[-3000:])
    place.close()
    shutil.rmtree(folder)
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
