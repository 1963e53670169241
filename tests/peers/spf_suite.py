#!/usr/bin/python3
"""Turns an openspf.org test suite (YAML) into rows for tests/unit/test_spf_suite.c.

One row a line, fields between tabs, texts in hexadecimal (".": empty, "-": none):
    S  description                                   a new zone begins
    R  name type preference value                    type TIMEOUT: other types do not answer
    T  name client helo mail-from results explanation
"""
import sys
import yaml


def octets(text):
    try:
        return str(text).encode("latin-1")
    except UnicodeEncodeError:
        return str(text).encode("utf-8")


def text(value):
    return octets(value).hex() or "."


def values(kind, value):
    if kind == "MX":
        return [(value[0], value[1])]
    if kind in ("TXT", "SPF") and isinstance(value, list):
        return [(0, "".join(value))]
    return [(0, value)]


def records(name, entries):
    has_txt = any(isinstance(e, dict) and "TXT" in e for e in entries)
    timeout = False
    for entry in entries:
        if isinstance(entry, str):
            timeout = entry == "TIMEOUT"
            continue
        for kind, value in entry.items():
            if kind == "SPF":  # type 99 is gone; the suites tell drivers to take it as TXT
                if has_txt:
                    continue
                kind = "TXT"
            if value == "NONE":
                continue
            if value == "TIMEOUT":
                print("R", text(name), kind + "!", 0, ".", sep="\t")
                continue
            for preference, data in values(kind, value):
                print("R", text(name), kind, preference, text(data), sep="\t")
    if timeout:
        print("R", text(name), "TIMEOUT", 0, ".", sep="\t")


def main():
    for scenario in yaml.safe_load_all(open(sys.argv[1], encoding="utf-8")):
        if not scenario:
            continue
        print("S", scenario["description"], sep="\t")
        for name, entries in scenario["zonedata"].items():
            records(name, entries)
        for name, test in (scenario.get("tests") or {}).items():
            results = test["result"]
            if isinstance(results, str):
                results = [results]
            explanation = test.get("explanation")
            print("T", name, test["host"], text(test.get("helo") or ""),
                  text(test.get("mailfrom") or ""), ",".join(results),
                  "-" if explanation is None else text(explanation), sep="\t")


main()
