#!/usr/bin/python3
"""mime_parse.py MESSAGE_DUMP SOURCE - our parse of torture messages beside mail-parser's.

mail-parser (of Stalwart, in Rust) keeps the parse that it wants beside each of its messages.
Compared are the subject, From, To, Message-ID, the leaves of the tree of parts and their texts.
TAP: one test a message. A difference that we want is named in WANTED with its reason; any other
fails. Skipped when ../shared/data/mime/mail-parser is not there.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

# (message, what) -> why ours is right, or right for a judge of mail
WANTED = {
    ("legacy/017", "to"): "raw Latin-1 in a header field: we guess the charset, they do not",
    ("malformed/007", "leaves"): "a boundary inside a header: an empty leaf more or less",
    ("malformed/009", "leaves"): "the outer delimiter ends an inner multipart that has none "
                                 "(RFC 2046 section 5.1.2)",
    ("malformed/017", "leaves"): "no ';' before boundary=: we judge the whole body as text and "
                                 "say missing-boundary, they mend the field",
    ("thirdparty/002", "leaves"): "octets that are no base64: both show rubbish, not the same",
    ("thirdparty/005", "leaves"): "UTF-16 in an LF file is broken by making CRLF of it; a "
                                  "delimiter begins a line, 'invalid--1--' is text",
    ("thirdparty/007", "leaves"): "a digest's messages without a type are read as text here, so "
                                  "that what they show is judged",
    ("thirdparty/015", "leaves"): "four parts by their delimiters, they end after two",
}


def value(header, kind):
    return header["value"].get(kind) if isinstance(header["value"], dict) else None


def headers(part, name):
    return [h for h in part["headers"] if h["name"] == name]


def mailboxes(part, name):
    out = []
    for header in headers(part, name)[:1]:
        address = value(header, "Address") or {}
        groups = [{"addresses": address.get("List") or []}] + (address.get("Group") or [])
        for group in groups:
            out += [[a.get("name"), a.get("address")] for a in group["addresses"]]
    return out


def leaves(tree):
    """Texts (None: no text) of the leaves in order."""
    out = []
    for part in tree["parts"]:
        kind, body = next(iter(part["body"].items())) if isinstance(part["body"], dict) else (
            part["body"], None)
        if kind != "Multipart":
            out.append(body if kind in ("Text", "Html") else None)
    return out


def expected(path):
    with open(path, encoding="utf-8") as f:
        tree = json.load(f)
    top = tree["parts"][0]
    subject = [value(h, "Text") for h in headers(top, "subject")[:1]]
    ids = [value(h, "Text") for h in headers(top, "message_id")[:1]]
    return {"subject": subject[0] if subject else None,
            "message-id": "<%s>" % ids[0] if ids and ids[0] else None,
            "from": mailboxes(top, "from"), "to": mailboxes(top, "to"), "leaves": leaves(tree)}


def ours(dump, path):
    with open(path, "rb") as f:
        octets = re.sub(rb"\r?\n", b"\r\n", f.read())  # as the spool hands them on
    with tempfile.NamedTemporaryFile(suffix=".eml") as f:
        f.write(octets)
        f.flush()
        m = json.loads(subprocess.run([dump, f.name], check=True, stdout=subprocess.PIPE).stdout)
    return {"subject": m["subject"], "message-id": m["message_id"],
            "from": [[a["name"], a["address"]] for a in m["from"]],
            "to": [[a["name"], a["address"]] for a in m["to"]],
            "leaves": [p["text"] for p in m["parts"]]}


def plain(text):
    """Blanks apart: folding and line ends are not what is compared."""
    return " ".join(text.split()) if text else ""


def same(what, a, b):
    if what == "leaves":
        # we read no text of an attachment, they do
        return len(a) == len(b) and all(
            x is None or (y is not None and plain(x) == plain(y)) for x, y in zip(a, b))
    if what in ("from", "to"):
        return [[plain(x) for x in box] for box in a] == [[plain(x) for x in box] for box in b]
    return plain(a) == plain(b)


def main():
    dump, source = os.path.abspath(sys.argv[1]), sys.argv[2]
    folder = os.path.join(source, "..", "shared", "data", "mime", "mail-parser", "resources", "eml")
    pairs = sorted(os.path.join(top, name) for top, _, names in os.walk(folder) for name in names
                   if name.endswith(".eml")
                   and os.path.exists(os.path.join(top, name[:-4] + ".json")))
    if not pairs:
        print("1..0 # SKIP there is no ../shared/data/mime/mail-parser")
        return 0
    agreed = differed = failed = 0
    used = set()
    for number, path in enumerate(pairs, 1):
        name = os.path.relpath(path, folder)[:-4]
        want, got, bad = expected(path[:-4] + ".json"), ours(dump, path), []
        for what in want:
            if same(what, got[what], want[what]):
                agreed += 1
                continue
            differed += 1
            reason = WANTED.get((name, what))
            used.add((name, what))
            print("# %s, %s: %s\n#   ours   %.300r\n#   theirs %.300r"
                  % (name, what, reason or "NOT EXPLAINED", got[what], want[what]))
            bad += [] if reason else [what]
        failed += bool(bad)
        print("%sok %d - %s %s" % ("not " if bad else "", number, name, " ".join(bad)))
    stale = sorted(set(WANTED) - used)
    if stale:
        print("# reasons that nothing needs any more: %s" % stale)
        failed += 1
    print("1..%d" % len(pairs))
    print("# %d values agreed, %d differed" % (agreed, differed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
