#!/usr/bin/env python3
"""mailauth_dmarc.py ASSAY SOURCE SHARED - the DMARC cases of mailauth's tests, end to end: each becomes
a zone file and a mail (signed with a key of ours for the domains that pass DKIM there, sent from
those that pass SPF), which `assay auth` judges. What we compare is the result, the policy (behind
t=) and the domain of the record. Speaks TAP; skipped without ../shared/data.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

assay, source, shared = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
folder = shared + "/auth/mailauth/test/dmarc"
try:
    import dkim
except ImportError:
    print("1..0 # SKIP python3-dkim is not installed (tests/packages.txt)")
    sys.exit(0)
if not os.path.isdir(folder):
    print("1..0 # SKIP no", folder)
    sys.exit(0)

KEY = open(source + "/samples/keys/s1.pem", "rb").read()
PUBLIC = "".join(subprocess.run(["openssl", "rsa", "-in", source + "/samples/keys/s1.pem", "-pubout"],
                                capture_output=True, text=True).stdout.split("\n")[1:-2])

# Where we differ on purpose: title of the case, what we say instead, why.
DIFFERENT = {
    "does not inherit the org policy when the author domain publishes multiple records":
        ({"result": "fail"}, "RFC 9989 section 4.10 steps 2 and 6: they are all discarded, the walk goes on"),
}


def strings(text):
    return [re.sub(r"\\(.)", r"\1", s) for s in re.findall(r"'((?:[^'\\]|\\.)*)'", text)]


def zone_of(block):
    """name -> type -> values; or None when every question fails."""
    zone = {}
    for name, body in re.findall(r"'([^']+)':\s*\{\s*((?:TXT|A|MX|AAAA):.*?)\}(?=\s*[,}])", block, re.S):
        types = zone.setdefault(name, {})
        txt = re.search(r"TXT:\s*(\[\[.*?\]\])", body, re.S)
        if txt:
            types["TXT"] = [strings(r) for r in re.findall(r"\[([^\[\]]*)\]", txt.group(1))]
        a = re.search(r"\bA:\s*\[([^\]]*)\]", body)
        if a:
            types["A"] = strings(a.group(1))
        mx = re.search(r"MX:\s*\[\{.*?exchange:\s*'([^']+)'", body)
        if mx:
            types["MX"] = [mx.group(1)]
    for name, body in re.findall(r"domain === '([^']+)'\)\s*\{\s*return\s*(\[\[.*?\]\]);", block, re.S):
        zone.setdefault(name, {})["TXT"] = [strings(r) for r in re.findall(r"\[([^\[\]]*)\]", body)]
    if not zone and "ETIMEOUT" in block:
        return None
    return zone


def calls_of(block):
    """(arguments, wanted) of each verifyDmarc() in it."""
    parts = re.split(r"verifyDmarc\(\{", block)[1:]
    for part in parts:
        args, _, rest = part.partition("});")
        want = {}
        m = re.search(r"\.status\.result\)\.to\.equal\('(\w+)'\)", rest)
        if m:
            want["result"] = m.group(1)
        m = re.search(r"result\.policy\)\.to\.equal\('(\w+)'\)", rest)
        if m:
            want["policy"] = m.group(1)
        m = re.search(r"result\.domain\)\.to\.equal\('([^']+)'\)", rest)
        if m:
            want["domain"] = m.group(1)
        yield args, want


def domains(args, key):
    m = re.search(key + r":\s*\[(.*?)\]", args, re.S)
    return strings(m.group(1)) if m else []


def write_zone(path, zone, author, signers, sender):
    with open(path, "w") as f:
        f.write("$TTL 300\n")
        for name, types in (zone or {}).items():
            for record in types.get("TXT", []):
                f.write(f"{name}. TXT " + " ".join(json.dumps(s) for s in record) + "\n")
            for a in types.get("A", []):
                f.write(f"{name}. A {a}\n")
            for mx in types.get("MX", []):
                f.write(f"{name}. MX 1 {mx}.\n")
        if zone is None:
            labels = author.split(".")
            for i in range(len(labels)):
                f.write("$TIMEOUT _dmarc." + ".".join(labels[i:]) + "\n")
        for d in signers:
            f.write(f's._domainkey.{d}. TXT "v=DKIM1; p={PUBLIC[:200]}" "{PUBLIC[200:]}"\n')
        if sender:
            f.write(f'{sender}. TXT "v=spf1 +all"\n')


def judge(work, zone, author, signers, sender):
    write_zone(work + "/zone", zone, author, signers, sender)
    mail = (f"From: news@{author}\r\nTo: y@mbox.example\r\nSubject: one\r\n"
            f"Date: Tue, 24 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n").encode()
    for d in signers:
        mail = dkim.sign(mail, b"s", d.encode(), KEY, include_headers=[b"from", b"subject"]) + mail
    with open(work + "/mail.eml", "wb") as f:
        f.write(mail)
    r = subprocess.run([assay, "auth", "--ip", "192.0.2.1", "--helo", "h.invalid", "--mail-from",
                        f"b@{sender}" if sender else "", "--dns", work + "/zone", work + "/mail.eml"],
                       capture_output=True, text=True)
    if r.returncode:
        return {"result": r.stderr}
    auth = json.loads(r.stdout)
    if [d["result"] for d in auth["dkim"]] != ["pass"] * len(signers):
        return {"result": str(auth["dkim"])}
    d = auth["dmarc"]
    return {"result": d["result"], "policy": d["disposition"], "domain": d["domain"]}


def main():
    number = passed = silent = 0
    with tempfile.TemporaryDirectory() as work:
        for name in sorted(os.listdir(folder)):
            text = open(f"{folder}/{name}").read()
            for title, block in re.findall(r"\bit\('((?:[^'\\]|\\.)*)',\s*async[^{]*\{(.*?)\n        \}\);",
                                           text, re.S):
                for args, want in calls_of(block):
                    m = re.search(r"headerFrom:\s*\[?'([^']+)'\]?\s*,", args)
                    spf = domains(args, "spfDomains")
                    if not want or not m or len(spf) > 1 or "TXT: [[record]]" in block:
                        silent += 1 # other things of the library are asked for, or a list as From
                        continue
                    key = next((k for k in DIFFERENT if title.startswith(k)), None)
                    if key:
                        want = dict(want, **DIFFERENT[key][0])
                    author = m.group(1).split("@")[-1]
                    got = judge(work, zone_of(block), author, domains(args, "dkimDomains"),
                                spf[0] if spf else None)
                    wrong = {k: got.get(k) for k, v in want.items() if got.get(k) != v}
                    number += 1
                    passed += not wrong
                    print("not ok" if wrong else "ok", number, "-", title.replace("#", "No. "))
                    if key:
                        print("# differs on purpose:", DIFFERENT[key][1])
                    if wrong:
                        print("# wanted", want, "got", got, "zone", zone_of(block))
    print(f"# {passed} passed of {number} run; {silent} cases of mailauth ask for something else")
    if number < 40:
        print(f"not ok {number + 1} - the cases were found")
        number += 1
    print(f"1..{number}")


main()
