#!/usr/bin/python3
"""The registry as people use it: `assay sender` from a filing to an active sender and its mail.

usage: registry.py ASSAY SOURCE

Proofs are made against a zone file: TXT token, reverse names, a mail signed with dkimpy, tokens of
mails that `queue run` puts into a folder. Then mails of the samples are held against what was
filed. Two processes decide at once; a disk is full (a tmpfs, root only); root leaves no file of
root's; 2,000 senders in one file (REGISTRY_SENDERS=n for another number).
"""
import base64
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ASSAY = os.path.abspath(sys.argv[1])
SOURCE = os.path.abspath(sys.argv[2])
sys.path.insert(0, SOURCE + "/tests/tools")
from small_disk import SmallDisk  # noqa: E402
failures = []


def check(what, ok, detail=""):
    print(("ok   " if ok else "FAIL ") + what + ("" if ok else ": " + str(detail)[:800]))
    if not ok:
        failures.append(what)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Place:
    def __init__(self, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="assay-registry.")
        os.chmod(self.folder, 0o755)
        self.state = self.folder + "/state"
        self.out = self.folder + "/out"
        os.makedirs(self.out, exist_ok=True)
        self.zone = write(self.folder + "/zone", read(SOURCE + "/samples/zone"))
        self.config = write(self.folder + "/assay.conf",
                            "state %s\ndns zone %s\nhost mx1.mbox.example\n"
                            "report from fbl@mbox.example { via folder %s }\n"
                            % (self.state, self.zone, self.out))

    def run(self, *words, data=None):
        p = subprocess.run([ASSAY, "-c", self.config, *words], input=data, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=300)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def file(self, text, *words):
        return self.run("sender", "file", write(self.folder + "/filing", text), *words)

    def show(self, key):
        code, out, _ = self.run("sender", "show", key, "--json")
        return json.loads(out) if code == 0 else {"state": None}

    def approve(self, key, *names):
        for i, name in enumerate(names):
            self.run("sender", "approve", key, "--by", name, *(["--waive", "a test"] if not i else []))

    def rules(self, sample, envelope=None):
        """The rules about the filing that a sample breaks, with its envelope changed."""
        mail = self.folder + "/" + sample
        shutil.copy(SOURCE + "/samples/mail/" + sample, mail)
        words = json.loads(read(SOURCE + "/samples/mail/" + sample + ".envelope"))
        words.update(envelope or {})
        write(mail + ".envelope", json.dumps(words))
        _, out, err = self.run("scan", "--json", "--facts", mail)
        event = json.loads(out.splitlines()[0])
        return ({f["rule"] for f in event["findings"]
                 if f["clause"].startswith("2.1") or f["rule"].startswith("filing.")}, event)


NORTHWIND = read(SOURCE + "/samples/filings/northwind.filing")


def with_statement(text):
    return NORTHWIND.rstrip()[:-1] + "\t" + text + "\n}\n"


# --- from a filing to a receipt, everything proven ----------------------------------------------

def signed_mail(token):
    import dkim
    mail = ("From: a@northwind.test\r\nTo: fbl@mbox.example\r\nSubject: our token %s\r\n"
            "Date: Tue, 24 Nov 2026 08:00:00 +0000\r\nMessage-ID: <t@northwind.test>\r\n\r\nHere.\r\n"
            % token).encode()
    with open(SOURCE + "/samples/keys/s1.pem", "rb") as f:
        key = f.read()
    return dkim.sign(mail, b"s1", b"northwind.test", key,
                     include_headers=[b"from", b"to", b"subject", b"date", b"message-id"]) + mail


def proofs():
    p = Place()
    code, _, err = p.file(NORTHWIND)
    check("a complete filing is submitted", code == 0 and p.show("northwind")["state"] == "submitted",
          err)
    code, out, err = p.run("sender", "review", "northwind", "--send")
    check("review proves the reverse name", "made      ptr" in out, out + err)
    check("approval without proofs exits 77",
          p.run("sender", "approve", "northwind", "--by", "ann")[0] == 77)
    token = re.search(r"assay-token=([a-z2-7]+)", out).group(1)
    try:
        mail = signed_mail(token)
        bad = write(p.folder + "/bad", mail.decode().replace(token, "x" * len(token)))
        check("a signed mail without the token proves nothing",
              p.run("sender", "confirm", "northwind", "--mail", bad)[0] == 65)
        good = p.folder + "/good"
        with open(good, "wb") as f:
            f.write(mail.replace(b"\r\n", b"\n"))
        code, out, err = p.run("sender", "confirm", "northwind", "--mail", good)
        check("a signed mail with the token proves its domain", code == 0 and "dkim" in out, out + err)
    except ImportError:
        print("skip the signed mail: python3-dkim is not installed (tests/packages.txt)")
    with open(p.zone, "a", encoding="utf-8") as f:
        f.write('_assay.northwind.test. TXT "assay-token=%s"\n' % token)
    p.run("queue", "run")
    tokens = []
    for name in os.listdir(p.out):
        with open(p.out + "/" + name, "rb") as f:
            m = email.message_from_bytes(f.read())
        check("the token mail is marked as a machine's", m["Auto-Submitted"] == "auto-generated")
        tokens += re.findall(r"^ {4}([a-z2-7]{26})\r?$", m.get_payload(0).get_payload(decode=True).decode(), re.M)
    check("three mails with a token each", len(set(tokens)) == 3, tokens)
    for t in tokens:
        check("a token that comes back", p.run("sender", "confirm", "northwind", "--token", t)[0] == 0)
    check("no token twice", p.run("sender", "confirm", "northwind", "--token", tokens[0])[0] == 65)
    p.run("sender", "review", "northwind", "--send")
    p.run("queue", "run")
    check("what is proven is not asked again", len(os.listdir(p.out)) == 3)
    with open(p.zone, "a", encoding="utf-8") as f:
        f.write("$TIMEOUT 10.2.0.192.in-addr.arpa.\n")
    p.run("sender", "review", "northwind")
    check("a DNS that does not answer takes no proof back",
          all(x["made"] for x in p.show("northwind")["proofs"] if x["needed"]),
          p.show("northwind")["proofs"])
    check("one approves", p.run("sender", "approve", "northwind", "--by", "ann")[0] == 0)
    check("the same one exits 77", p.run("sender", "approve", "northwind", "--by", " Ann")[0] == 77)
    check("and changes nothing", p.show("northwind")["state"] == "under-review")
    p.run("sender", "approve", "northwind", "--by", "bob")
    show = p.show("northwind")
    check("two make it active, with our receipt",
          show["state"] == "active" and show["receipt"]["id"].startswith("PER-"), show)
    check("nothing was waived", show["waived"] is None)
    code, out, _ = p.run("sender", "audit", "--json")
    check("the audit is whole", code == 0 and len(out.splitlines()) >= 8)
    shutil.rmtree(p.folder)


# --- mail against the filing ---------------------------------------------------------------------

def rules():
    p = Place()
    p.file(with_statement('campaign spring { from news@northwind.test helo mail.northwind.test }'))
    p.approve("northwind", "ann", "bob")
    rules, event = p.rules("promo-good-en.eml")
    check("mail as filed breaks nothing", not rules and event["sender"]["registered"] == "northwind",
          rules)
    check("the rate is a fact", event["facts"]["filing.rate"] == "3000 per hour")
    check("the body names whom the filing names",
          event["facts"]["filing.identity-same"] == ["name", "phone", "email"], event["facts"])
    rules, event = p.rules("identity-other-en.eml")
    check("the body names another", "filing.identity" in rules and not
          event["facts"]["filing.identity-same"] and event["facts"]["filing.identity-differs"]
          == ["name", "address", "phone", "email"], rules)
    rules, _ = p.rules("promo-good-en.eml", {"peer": "192.0.2.99"})
    check("an address that is not filed", rules == {"filing.ip"}, rules)
    rules, event = p.rules("promo-good-en.eml", {"peer": "203.0.113.50", "helo": "mx.forwarder.test"})
    check("a forwarder's address is unknown, no finding",
          not rules and event["facts"]["filing.ip-differs"] is None, rules)
    rules, _ = p.rules("promo-good-en.eml", {"helo": "mail.linhai.test"})
    check("a HELO that is not filed", rules == {"filing.helo", "filing.campaign"}, rules)
    rules, _ = p.rules("promo-good-zh.eml", {"peer": "192.0.2.10", "helo": "mail.northwind.test"})
    check("domains that nobody filed", "filing.domain" in rules, rules)
    day = (time.gmtime().tm_year + 1)
    p.file(with_statement("ip 192.0.2.96/28\n\teffective %d-01-31" % day))
    p.approve("northwind", "ann", "bob")
    check("a change waits for its day", p.show("northwind")["state"] == "change-pending")
    rules, _ = p.rules("promo-good-en.eml", {"peer": "192.0.2.99"})
    check("used before its change is in force", rules == {"filing.ip", "filing.early"}, rules)
    rules, _ = p.rules("promo-good-en.eml")
    check("the old filing holds meanwhile", not rules, rules)
    p.file(NORTHWIND.replace("class commercial", "class transactional"))
    p.approve("northwind", "ann", "bob")
    rules, _ = p.rules("promo-good-en.eml")
    check("commercial mail from a transactional range", rules == {"filing.class"}, rules)
    p.run("sender", "suspend", "northwind", "--by", "ann", "--reason", "test")
    rules, event = p.rules("promo-good-en.eml")
    check("a suspended sender sends", rules == {"filing.state"} and
          event["sender"]["registered"] is None, rules)
    rules, _ = p.rules("promo-no-unsub.eml")
    check("who never filed has no finding", not rules, rules)
    with open(p.state + "/registry.sqlite", "r+b") as f:
        f.write(b"x" * 4096)
    for end in ("-wal", "-shm"):
        if os.path.exists(p.state + "/registry.sqlite" + end):
            os.remove(p.state + "/registry.sqlite" + end)
    _, out, err = p.run("explain", "--json", p.folder + "/promo-good-en.eml")
    event = json.loads(out)
    check("a registry that cannot be read is unknown, never a finding",
          not [f for f in event["findings"] if f["clause"].startswith("2.1")] and
          event["facts"]["filing.state"] is None, err)
    shutil.rmtree(p.folder)


# --- export, import ---------------------------------------------------------------------------------

def export():
    p, q = Place(), Place()
    p.file(with_statement('campaign 春季 { from news@northwind.test recipients 20000 cycle "weekly" '
                          'rate 10 per hour max-rate 5 per minute class commercial ip 192.0.2.10 '
                          'sample "a.eml" %s }\n\tcertificate { filing "F-1" number "C-1" '
                          'issued 2026-01-15 expires 2027-01-14 }\n\tother "more"' % ("ab" * 32)))
    p.file("sender linhai { domain linhai.test dkim linhai.test }")
    for words in ([], ["--json"]):
        _, out, _ = p.run("sender", "export", *words)
        code, _, err = q.run("sender", "import", write(q.folder + "/in", out))
        _, again, _ = q.run("sender", "export", *words)
        check("export, import, export is the same %s" % words, code == 0 and again == out and out, err)
    json_lines = [json.loads(line) for line in p.run("sender", "export", "--json")[1].splitlines()]
    check("all fields of a campaign", json_lines[1]["campaign"][0]["max_rate"] ==
          {"messages": 5, "per": "minute"}, json_lines)
    code, _, err = p.run("sender", "import", write(p.folder + "/in", '{"key":"x"}\n'))
    check("a line that is no export is refused", code == 65, err)
    both = "sender one { ip 198.51.100.0/28 }\nsender two { ip 198.51.100.8/29 }\n"
    code, _, err = p.file(both)
    check("all or none: an overlap within one file", code == 65 and
          p.show("one")["state"] is None and "two" not in p.run("sender", "list")[1], err)
    shutil.rmtree(p.folder)
    shutil.rmtree(q.folder)


# --- several at once, no room, root ------------------------------------------------------------------

def at_once():
    p = Place()
    for i in range(8):
        p.file("sender s%d { ip 198.51.100.%d }" % (i, i))
        p.run("sender", "approve", "s%d" % i, "--by", "zoe", "--waive", "x")
    codes = {}

    def decide(i, name):
        codes[i, name] = p.run("sender", "approve", "s%d" % i, "--by", name)[0]

    threads = [threading.Thread(target=decide, args=(i, name)) for i in range(8)
               for name in ("ann", "bob", "zoe")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    good = all(sorted(codes[i, n] for n in ("ann", "bob")) == [0, 77] and codes[i, "zoe"] == 77
               for i in range(8))
    check("of many second approvals at once one is taken", good, codes)
    check("all are active", p.run("sender", "list")[1].count(" active ") == 8)
    check("and the audit is whole", p.run("sender", "audit")[0] == 0)
    shutil.rmtree(p.folder)


def full():
    p = Place()
    os.makedirs(p.state)
    disk = SmallDisk(p.state, "400k")
    if not disk.mounted:
        print("skip the full disk: no tmpfs can be mounted here")
        return
    try:
        p.file("sender a { ip 198.51.100.1 }")
        n, code = 0, 0
        while code == 0 and n < 500:
            n += 1
            code, _, err = p.file("sender b%d { ip 198.51.101.0/29 other \"%s\" }" % (n, "x" * 3000)
                                  if n == 1 else
                                  "sender b1 { ip 198.51.101.0/29 other \"%s\" }" % (str(n) * 1500))
        check("a full disk is a temporary trouble", code == 75, err)
        before = p.run("sender", "list")[1]
        check("what was there is there", " a " in " " + before.replace("\n", " ") + " ", before)
        check("and the audit is whole", p.run("sender", "audit")[0] == 0)
    finally:
        disk.unmount()
    shutil.rmtree(p.folder)


def root():
    if os.geteuid() != 0:
        print("skip root: not root")
        return
    p = Place()
    os.makedirs(p.state)
    os.chown(p.state, 65534, 65534)
    os.chown(p.out, 65534, 65534)
    p.file(NORTHWIND)
    p.run("sender", "review", "northwind", "--send")
    p.approve("northwind", "ann", "bob")
    owners = {os.lstat(os.path.join(d, f)).st_uid for d, _, files in os.walk(p.state) for f in files}
    check("root leaves no file of root's", owners == {65534}, owners)
    shutil.rmtree(p.folder)


# --- many -------------------------------------------------------------------------------------------

def many():
    n = int(os.environ.get("REGISTRY_SENDERS", "2000"))
    p = Place()
    text = "".join(
        NORTHWIND.replace("sender northwind", "sender s%05d" % i)
        .replace("192.0.2.10 ", "11.%d.%d.0/28 " % (i >> 8, i & 255))
        .replace("domain   northwind.test", "domain   s%05d.test" % i)
        .replace("dkim     northwind.test", "dkim     s%05d.test" % i) for i in range(n))
    start = time.time()
    code, _, err = p.run("sender", "import", write(p.folder + "/many", text))
    filed = time.time()
    code2, out, _ = p.run("sender", "list")
    listed = time.time()
    p.file("sender t { ip 11.0.0.0/29 }")
    single = time.time()
    check("%d senders in one import" % n, code == 0 and out.count("\n") == n, err)
    print("     import %.1f s, list %.1f s, one more refused in %.2f s"
          % (filed - start, listed - filed, single - listed))
    shutil.rmtree(p.folder)


for part in (proofs, rules, export, at_once, full, root, many):
    part()
print("%d failed" % len(failures))
sys.exit(1 if failures else 0)
