#!/usr/bin/python3
"""The SMTP captures of Zeek, Suricata and Arkime against what those projects expect of them.

usage: capture_cases.py ASSAY FOLDER

FOLDER is ../shared/data/pcap. Read as they are: Suricata's test.yaml (envelope fields of each
smtp event), Zeek's Baseline smtp.log and extracted mails, Arkime's .test. MEASURED holds what
they do not have: reply codes, size and hash of each message, and whether it is complete; the
sizes are those that the servers in the captures name, where they name one. Where we differ on
purpose DIFFERENT says why. Speaks TAP, one test an expectation.
"""
import collections
import glob
import hashlib
import json
import os
import subprocess
import sys

try:
    import yaml
except ImportError:
    yaml = None

ASSAY, ROOT = os.path.abspath(sys.argv[1]), sys.argv[2]
SURICATA = os.path.join(ROOT, "suricata-verify", "tests")
ZEEK = os.path.join(ROOT, "zeek")
ARKIME = os.path.join(ROOT, "arkime")
results = []

DIFFERENT = {
    "smtp-pipelined-rset-data-replies": "a message without MAIL: one event, without mail_from",
    "ruletype-firewall-133-smtp-out-of-order-commands":
        "a RCPT refused before any MAIL is no transaction (CONTRACT section 2)",
    "smtp-long-command": "Suricata cuts the line at 4,096 octets and so keeps its CR",
    "socks5-smtp-503.pcap": "SMTP inside SOCKS is a proxy's user, not mail coming in",
}

# reply codes of the recipients / last reply / size / first of sha256 ("-": not whole), in order
MEASURED = {
    "arkime/ntlm_synthetic.pcap": [
        "session 235",
    ],
    "arkime/smtp-nospaces.pcap": [
        "250 / None / 9 / -",
    ],
    "arkime/smtp-originating.pcap": [
        "250 / 250 / 1506 / fc305440853718c0",
    ],
    "arkime/smtp-rcpt-553.pcap": [
        "553 / None / None / -",
    ],
    "arkime/smtp-subject-8859-q.pcap": [
        "250 / 250 / 965 / 1d3f771e8e85e4b7",
    ],
    "arkime/smtp-subject-encoded-empty.pcap": [
        "250 / 250 / 255 / 8db1b5a494f4cb45",
    ],
    "arkime/smtp-subject-multi-nospace.pcap": [
        "None / None / None / -",
    ],
    "arkime/smtp-subject-utf8-mixed.pcap": [
        "250 / 250 / 989 / e5a7961a7400363b",
    ],
    "arkime/smtp-subject-utf8-q.pcap": [
        "250 / 250 / 1697 / 9f954e6ec65e8ca5",
    ],
    "arkime/smtp-subject-windows.pcap": [
        "250 / 250 / 122 / 3c240653713c01b5",
    ],
    "arkime/wireshark-bdat.pcap": [
        "250 / 250 / 8675 / 99116ce26d622181",
    ],
    "suricata-verify/tests/bug-1045/smtpsuricataflowbitsFN.pcap": [
        "250 / 250 / 525 / 45bda2e148dace97",
    ],
    "suricata-verify/tests/bug-1449-01/suricata_stackoverflow.pcap": [
        " / 250 / 491 / 300102233c42367c",
    ],
    "suricata-verify/tests/bug-6207-2/input.pcap": [
        "250 / 250 / 799 / 8c6129f930f9b8a9",
    ],
    "suricata-verify/tests/detect-email-received/input.pcap": [
        "250,250,250,250,250 / 250 / 648 / 84da7a046d58a303",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-122-smtp/smtp-simple-session.pcap": [
        "250 / 250 / 224 / 234a6204d9bd57fc",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-125-smtp-all-rcpts-required-drop/two-rcpt.pcap": [
        "250,250 / 250 / 269 / a7004b8c162f4135",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-127-smtp-interactive-commands/smtp-interactive.pcap": [
        "250 / 250 / 226 / 8353a9d16f961d53",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-128-smtp-rset-next-tx-delivered/smtp-rset-change-sender.pcap": [
        " / None / None / -",
        "250 / 250 / 237 / 98603f254159f6a0",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-130-smtp-rset-after-rcpt/smtp-rset-after-rcpt.pcap": [
        "250 / None / None / -",
        "250 / 250 / 226 / cfc0ff9af772428a",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-131-smtp-quit-after-mail-from/smtp-quit-after-mail.pcap": [
        " / None / None / -",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-132-smtp-nested-mail-from/smtp-nested-mail.pcap": [
        "250 / 250 / 223 / 8fffe8f5808d6d33",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-133-smtp-out-of-order-commands/smtp-out-of-order.pcap": [
        "250 / 250 / 223 / 51aaa5bba0d7cd07",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-134-smtp-rset-then-quit/smtp-rset-then-quit.pcap": [
        "250 / None / None / -",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-135-smtp-multi-mail-accept/smtp-multi-mail.pcap": [
        "250 / 250 / 199 / bfdf0196dd1f9619",
        "250 / 250 / 200 / 3b4870ddd2fe6d68",
        "250,250 / 250 / 223 / 4d1c68b938ef7686",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-139-smtp-pipelined-post-data-mail-from/smtp-pipelined-post-data-mail-from.pcap": [
        "250 / 250 / 218 / 4388d9065c4443ef",
        "250 / 250 / 222 / 5d579f86a582e739",
    ],
    "suricata-verify/tests/firewall/ruletype-firewall-140-smtp-pipelined-post-data-rset-sequence/smtp-pipelined-post-data-rset-sequence.pcap": [
        "250 / 250 / 233 / e9332ed8adc87319",
        "250 / 250 / 233 / 903f0c02db77b886",
    ],
    "suricata-verify/tests/issue-4220-01-ids/1flowB.pcap": [
        "250 / 250 / 964218 / a210eccffa37e269",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-full-msg-test01/input.pcap": [
        "250 / 250 / 482 / 0f8b131bfccf5eb4",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-full-msg-test02/input.pcap": [
        "250 / 250 / 501 / 94dfb03b45a2102b",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-line-test01/input.pcap": [
        "250 / 250 / 533 / 74815eccfc93b010",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-line-test02/input.pcap": [
        "250 / 250 / 585 / 669d4c0f537bd0a1",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-long-filename01/input.pcap": [
        "250 / 250 / 809 / 027e3db30d4ceee4",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-long-filename02/input.pcap": [
        "250 / 250 / 1065 / 818741a065b6e0e9",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-odd-len/input.pcap": [
        "250 / 250 / 548 / b2f92d13861abd68",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-rem-sp/input.pcap": [
        "250 / 250 / 547 / e02674323ee93ed3",
    ],
    "suricata-verify/tests/mime/mime-dec-parse-small-rem-inp/input.pcap": [
        "250 / 250 / 554 / ced3fa85784086a9",
    ],
    "suricata-verify/tests/mime/mime-dec-very-small-inp/input.pcap": [
        "250 / 250 / 551 / fecbb171c742de0f",
    ],
    "suricata-verify/tests/mime/mime-quoted-printable/input.pcap": [
        "250 / 250 / 44935 / 8dc22aa4f4c91f46",
    ],
    "suricata-verify/tests/mime/mime-stream-depth/input.pcap": [
        "250 / 250 / 448393 / 6ca72d1216d66c0d",
        "250 / 250 / 448402 / 3bfb4d0b33c6800c",
        "250 / 250 / 448411 / 9db8c923d1fdd972",
        "250 / None / 447498 / -",
    ],
    "suricata-verify/tests/mime/smtp-mime-encap-8649-baseline/input.pcap": [
        "250 / 250 / 215 / 53752ccff62e094b",
    ],
    "suricata-verify/tests/mime/smtp-mime-encap-8649-combined/input.pcap": [
        "250 / 250 / 406 / 8cc3c4ee0b2be279",
    ],
    "suricata-verify/tests/smtp-bdat-bad-tail-reply-queue/input.pcap": [
        "250 / 250 / 133 / ba276cd3f6a91fa7",
    ],
    "suricata-verify/tests/smtp-bdat-multichunk-inspection/input.pcap": [
        "250 / 250 / 123 / 45fdaaa7918fdd78",
        "250 / 250 / 43 / aeafbfe49b056547",
    ],
    "suricata-verify/tests/smtp-bdat-multichunk-next-mail/input.pcap": [
        "250 / 250 / 218 / fc78be333b960f4a",
        "250 / 250 / 236 / e9b8657a903295c9",
    ],
    "suricata-verify/tests/smtp-bdat-pipelined-next-mail/input.pcap": [
        "250 / 250 / 216 / 3bfdf2a7843318dc",
        "250 / 250 / 225 / 83bdd224c96a300c",
    ],
    "suricata-verify/tests/smtp-bug-5981/input.pcap": [
        "250 / 250 / 15162 / d5f7c8ed5f66cff0",
    ],
    "suricata-verify/tests/smtp-bug-6053/input.pcap": [
        "250 / None / None / -",
    ],
    "suricata-verify/tests/smtp-ehlo-reset/input.pcap": [
        " / None / None / -",
        "250 / 250 / 248 / 5bea5dfa4f996787",
    ],
    "suricata-verify/tests/smtp-long-command/input.pcap": [
        "session 334",
    ],
    "suricata-verify/tests/smtp-no-helo-rset-helo-mail/input.pcap": [
        "250 / 250 / 229 / 50f9ff0d51f65e5c",
    ],
    "suricata-verify/tests/smtp-pipelined-post-data-rset-sequence/input.pcap": [
        "250 / 250 / 233 / e9332ed8adc87319",
        "250 / 250 / 233 / 903f0c02db77b886",
    ],
    "suricata-verify/tests/smtp-pipelined-rset-after-complete/input.pcap": [
        "250 / 250 / 218 / cabebac7316ffad6",
        "250 / 250 / 218 / 28628ab9cf575fe4",
    ],
    "suricata-verify/tests/smtp-pipelined-rset-data-replies/input.pcap": [
        " / 250 / 0 / e3b0c44298fc1c14",
    ],
    "suricata-verify/tests/smtp-quit/input.pcap": [
        "session None",
    ],
    "suricata-verify/tests/smtp-raw-extraction/input.pcap": [
        "250 / 250 / 15162 / 018e4f86e830d85d",
    ],
    "suricata-verify/tests/smtp-rset-starttls/input.pcap": [
        "session 220",
    ],
    "suricata-verify/tests/smtp-rset/input.pcap": [
        "250 / 250 / 11 / 540d13561e469524",
        "250 / 250 / 13 / ae74da19d7b8e95a",
    ],
    "suricata-verify/tests/smtp-startssl/input.pcap": [
        "session 220",
    ],
    "suricata-verify/tests/smtp-to-comma/10.7.29.101_49898-178.63.41.150_25.pcap": [
        "503 / 503 / None / -",
        "250 / None / 1460 / -",
    ],
    "zeek/communityid/ipv6.pcap": [
        "session 250",
    ],
    "zeek/smtp-multi-addr.pcap": [
        "250 / 250 / 684 / 680b4bd46a392dea",
    ],
    "zeek/smtp-one-side-only.pcap": [
        "None / None / 9178 / bcb01c292ac098c4",
        "None / None / 9179 / 2c288e059388a3e6",
    ],
    "zeek/smtp.pcap": [
        "250 / 250 / 14545 / 64ff3e16711236b4",
        "250,250,250 / 250 / 804 / fa70511f24f1662b",
    ],
    "zeek/smtp/mime-header-size-limit.pcap.gz": [
        "250 / 250 / 400074 / bdd40eb28454f99b",
    ],
    "zeek/smtp/rfc3030-bdat-0-last.pcap": [
        "250 / 250 / 0 / e3b0c44298fc1c14",
    ],
    "zeek/smtp/rfc3030-bdat-example1.pcap": [
        "250 / 250 / 86 / caca07cbd7cd546c",
    ],
    "zeek/smtp/rfc3030-bdat-nonascii.pcap": [
        "250 / 250 / 604 / 5fc3d3467dbcc783",
    ],
    "zeek/smtp/smtp-bdat-cmd-invalid.pcapng": [
        "250 / 521 / None / -",
        "250 / 521 / None / -",
        "250 / 521 / None / -",
    ],
    "zeek/smtp/smtp-bdat-cmd-negative-chunk-size.pcap": [
        "250 / 521 / None / -",
    ],
    "zeek/smtp/smtp-bdat-pipeline-8bitmime.pcap": [
        "250 / 250 / 4404 / 23d871b001fed35a",
        "250 / 250 / 8757 / ee6f3e728fb1d692",
    ],
    "zeek/smtp/smtp-many-addresses.pcap.gz": [
        "250,250,250,250,250,250 / 250 / 116178 / 4457e37e89d9c21c",
    ],
    "zeek/tls/smtp-starttls.pcap": [
        "session 220",
    ],
}


def capture(path):
    p = subprocess.run([ASSAY, "capture", "--json", path], capture_output=True, text=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


def result(name, wrong, skip=None):
    results.append((name, wrong, skip))


def bare(address):
    return address.strip().lstrip("<").rstrip(">").strip()


# --- Suricata ----------------------------------------------------------------------

def suricata_capture(folder, test):
    if test.get("pcap"):
        path = os.path.join(folder, test["pcap"])
        if not os.path.exists(path):  # some stand one folder higher in the collection
            path = os.path.join(SURICATA, os.path.basename(os.path.dirname(test["pcap"])),
                                os.path.basename(test["pcap"]))
        return path if os.path.exists(path) else None
    found = glob.glob(os.path.join(folder, "*.pcap*"))
    return found[0] if found else None


def suricata_matches(test):
    for check in test.get("checks") or []:
        check = check.get("filter") or {}
        match = check.get("match") or {}
        if check.get("count") and any(key.startswith("smtp.") for key in match):
            yield check["count"], match


def suricata_fits(match, event):
    if "smtp.helo" in match and event["helo"] != match["smtp.helo"]:
        return False
    if "smtp.mail_from" in match and event.get("mail_from") != bare(match["smtp.mail_from"]):
        return False
    for key, value in match.items():
        if key.startswith("smtp.rcpt_to["):
            at = int(key[13:-1])
            rcpts = event.get("rcpts") or []
            if at >= len(rcpts) or rcpts[at]["to"] != bare(value):
                return False
    return True


def suricata():
    for path in sorted(glob.glob(os.path.join(SURICATA, "**", "test.yaml"), recursive=True)):
        folder = os.path.dirname(path)
        name = os.path.basename(folder)
        with open(path) as f:
            test = yaml.safe_load(f)
        matches = list(suricata_matches(test))
        pcap = suricata_capture(folder, test)
        if not matches:
            continue
        if not pcap:
            result("suricata " + name, [], "the capture is not in the collection")
            continue
        events = capture(pcap)
        wrong = ["no event for " + json.dumps(match) for count, match in matches
                 if not any(suricata_fits(match, event) for event in events)]
        if wrong and name in DIFFERENT:
            result("suricata %s: %s" % (name, DIFFERENT[name]), [])
        else:
            result("suricata " + name, wrong)


# --- Zeek ----------------------------------------------------------------------------

ZEEK_CAPTURES = {
    "starttls": "tls/smtp-starttls.pcap", "basic": "smtp.pcap", "attachment": "smtp.pcap",
    "one-side": "smtp-one-side-only.pcap", "bdat": "smtp/rfc3030-bdat-example1.pcap",
    "bdat-0-last": "smtp/rfc3030-bdat-0-last.pcap",
    "bdat-cmd-invalid": "smtp/smtp-bdat-cmd-invalid.pcapng",
    "bdat-negative-chunk-size": "smtp/smtp-bdat-cmd-negative-chunk-size.pcap",
    "bdat-pipeline-8bitmime": "smtp/smtp-bdat-pipeline-8bitmime.pcap",
}


def zeek_rows(name):
    path = os.path.join(ZEEK, "Baseline", "scripts.base.protocols.smtp." + name, "smtp.log")
    fields = []
    with open(path) as f:
        for line in f:
            if line.startswith("#fields"):
                fields = line.rstrip("\n").split("\t")[1:]
            elif not line.startswith("#"):
                yield dict(zip(fields, line.rstrip("\n").split("\t")))


def zeek_fits(row, event):
    def none(value):
        return None if value == "-" else value
    rcpts = [r["to"] for r in event.get("rcpts") or []]
    if event["port"] != int(row["id.orig_p"]) or event["peer"] != row["id.orig_h"]:
        return False
    if event["helo"] != none(row["helo"]) or event.get("mail_from") != none(row["mailfrom"]):
        return False
    if row["rcptto"] != "-" and collections.Counter(row["rcptto"].split(",")) != \
            collections.Counter(rcpts):
        return False
    reply = event["reply"]
    if row["last_reply"] == "-" or not reply:
        return row["last_reply"] == "-" or not event.get("rcpts")
    # Zeek keeps the last line of a reply
    words = [str(reply["code"]), reply["enhanced"], reply["text"].split("\n")[-1]]
    return " ".join(w for w in words if w) == row["last_reply"]


def zeek():
    for name, pcap in sorted(ZEEK_CAPTURES.items()):
        events = capture(os.path.join(ZEEK, pcap))
        wrong = ["no event for " + json.dumps(row) for row in zeek_rows(name)
                 if not any(zeek_fits(row, event) for event in events)]
        result("zeek " + name, wrong)
    for path in glob.glob(os.path.join(ZEEK, "Baseline", "*rfc822-msg-file-analysis*",
                                       "extract_files.mail")):
        result("zeek " + path.split(os.sep)[-2], [], "the capture is not in the collection")


# --- Arkime ----------------------------------------------------------------------------

def arkime():
    for path in sorted(glob.glob(os.path.join(ARKIME, "*.test"))):
        name = os.path.basename(path)[:-5] + ".pcap"
        with open(path) as f:
            sessions = json.load(f)["sessions3"]
        events = capture(os.path.join(ARKIME, name))
        wrong = []
        for session in sessions:
            email = session["body"].get("email")
            if not email or "smtp" not in session["body"].get("protocol", []):
                continue
            mine = [e for e in events if e["port"] == session["body"]["source"]["port"]]
            said = {e.get("mail_from") for e in mine}
            to = {r["to"] for e in mine for r in e.get("rcpts") or []}
            # Arkime's src and dst hold the addresses of the header too
            if not said - {None} <= set(email.get("src", [])):
                wrong.append("MAIL FROM %r, not of %r" % (said, email.get("src")))
            if not to <= set(email.get("dst", [])) or bool(to) != bool(email.get("dst")):
                wrong.append("RCPT TO %r, not %r" % (to, email.get("dst")))
            hello = email.get("smtpHello")
            if hello and hello[0] not in {e["helo"] for e in mine}:
                wrong.append("HELO %r is missing" % hello)
        if wrong and DIFFERENT.get(name):
            result("arkime %s: %s" % (name, DIFFERENT[name]), [])
        else:
            result("arkime " + name, wrong)


# --- what they do not have ---------------------------------------------------------------

def summary(event):
    if event["event"] == "session":
        return "session %s" % (event["reply"] or {}).get("code")
    codes = ",".join(str(r["code"]) for r in event["rcpts"][:6])
    return "%s / %s / %s / %s" % (codes, (event["reply"] or {}).get("code"), event["size"],
                                  event["sha256"][:16] if event["complete"] else "-")


def measured():
    for name, rows in sorted(MEASURED.items()):
        path = os.path.join(ROOT, name)
        if not os.path.exists(path):
            result("measured " + name, [], "not in the collection")
            continue
        got = [summary(event) for event in capture(path)]
        result("measured " + name, [] if got == rows else ["got %r, not %r" % (got, rows)])


def main():
    if not os.path.isdir(ROOT):
        print("1..0 # SKIP %s is not there" % ROOT)
        return 0
    if "--measure" in sys.argv:
        for path in sorted(glob.glob(os.path.join(ROOT, "**", "*.pcap*"), recursive=True)):
            events = capture(path) if not path.endswith(".py") else []
            if events:
                print("    %r: %r," % (os.path.relpath(path, ROOT), [summary(e) for e in events]))
        return 0
    if yaml:
        suricata()
    else:
        result("suricata", [], "python3-yaml is not installed")
    zeek()
    arkime()
    measured()
    print("1..%d" % len(results))
    for number, (name, wrong, skip) in enumerate(results, 1):
        print("%s %d - %s%s" % ("not ok" if wrong else "ok", number, name.replace("#", ""),
                                " # SKIP " + skip if skip else ""))
        for line in wrong[:5]:
            print("# " + line[:700])
    failed = sum(bool(wrong) for _, wrong, _ in results)
    skipped = sum(bool(skip) for _, _, skip in results)
    print("# %d of %d passed, %d skipped" % (len(results) - failed - skipped, len(results), skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
