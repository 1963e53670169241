#!/usr/bin/python3
"""Two providers with Assay, each registered with the other, and an autoresponder on every feedback
address: the mails come to an end.

usage: feedback_pair.py ASSAY

Both run. A relay between them does with each mail all that could start a loop: the mail is logged as
received with a good signature of the other one, its recipient complains about it, it is piped to
`complain --way arf` as an abuse desk does and to `bounce`, and an autoresponder that does not say
what it is answers its return address and its From.
"""
import collections
import email
import json
import sys
import time
import urllib.parse

from feedback import MailSink, check, failures
from feedback_intake import Desk
from feedback_run import Daemon, wait

FILING = """sender other {
	dkim %s.example
	feedback fbl@%s.example { complaint error }
}
"""


class Relay(MailSink):
    """Takes mail for both; what has come is in `mails` with its envelope."""

    def __init__(self):
        self.mails = []
        super().__init__()

    def took(self, sender, rcpt, mail):
        self.mails.append((sender, rcpt, mail))
        return super().took(sender, rcpt, mail)


class Provider:
    def __init__(self, name, other, relay):
        self.name, self.domain = name, name + ".example"
        self.place = Desk(filing=FILING % (other, other))
        with open(self.place.config) as f:
            text = f.read()
        with open(self.place.config, "w") as f:
            f.write(text.replace("via folder " + self.place.out, "via smtp 127.0.0.1:%d" % relay.port)
                    .replace("mbox.example", self.domain))
        self.place.setup_senders()
        self.daemon = Daemon(self.place)
        self.daemon.start()
        self.other = other + ".example"

    def received(self, mail, sender, rcpt):
        """The MTA of this provider took it; its signature was good."""
        message = email.message_from_bytes(mail)
        return self.place.event(mail_from=sender, rcpts=[{"to": rcpt, "code": 250, "enhanced": None,
                                                          "text": None}],
                                message_id=message["Message-ID"],
                                sender={"by": "dkim", "key": self.other, "registered": "other"},
                                auth={"dkim": [{"d": self.other, "s": "x", "result": "pass"}],
                                      "spf": {"result": "pass", "domain": self.other}})


class World:
    def __init__(self):
        self.relay = Relay()
        self.sides = {s.domain: s for s in (Provider("left", "right", self.relay),
                                            Provider("right", "left", self.relay))}
        self.seen, self.kinds, self.outcomes = 0, collections.Counter(), collections.Counter()
        self.answers = []

    def deliver(self, sender, rcpt, mail):
        side = self.sides[rcpt.split("@")[1]]
        event = side.received(mail, sender, rcpt)
        kind = "answer" if b"I am away" in mail else "report"
        self.kinds[kind] += 1
        marked = ("X-Assay-Verdict: accept; id=%s; score=0\r\n" % event["id"]).encode() + mail
        # its reader presses the button; the desk pipes everything in, twice over
        code, body = side.daemon.post(marked, "?rcpt=" + urllib.parse.quote(rcpt))
        self.outcomes[json.loads(body)["outcome"] if code == 200 else code] += 1
        said = side.place.run("complain", "--way", "arf", "-", data=mail).stdout.decode().split()
        self.outcomes[said[1] if len(said) > 1 else "?"] += 1
        side.place.run("bounce", "--rcpt", rcpt, "-", data=mail)
        if kind == "report":
            self.answer(side, rcpt, sender, mail)

    def answer(self, side, me, sender, mail):
        """An autoresponder of the old kind; two addresses lead back."""
        message = email.message_from_bytes(mail)
        for i, to in enumerate({sender, message["From"]}):
            text = ("From: %s\r\nTo: %s\r\nSubject: Re: %s\r\nMessage-ID: <%d.%d.away@%s>\r\n"
                    "In-Reply-To: %s\r\n\r\nI am away until Monday.\r\n"
                    % (me, to, message["Subject"], self.kinds["report"], i, side.domain,
                       message["Message-ID"])).encode()
            self.answers.append((me, to, text))

    def turn(self):
        """Everything that waits in the relay; how many."""
        waiting, self.answers = self.relay.mails[self.seen:] + self.answers, []
        self.seen = len(self.relay.mails)
        for sender, rcpt, mail in waiting:
            self.deliver(sender, rcpt, mail)
        return len(waiting)


if __name__ == "__main__":
    world = World()
    for side in world.sides.values():
        for i in range(3):
            mail = ("From: news@%s\r\nTo: u%d@%s\r\nSubject: Offer\r\nMessage-ID: <n%d@%s>\r\n\r\nx\r\n"
                    % (side.other, i, side.domain, i, side.other)).encode()
            event = side.received(mail, "b@" + side.other, "u%d@%s" % (i, side.domain))
            marked = ("X-Assay-Verdict: accept; id=%s; score=0\r\n" % event["id"]).encode() + mail
            code, body = side.daemon.post(marked, "?rcpt=u%d@%s" % (i, side.domain))
            check("a person complains at " + side.domain, code == 200 and b'"report"' in body, body)
    check("six reports set out", wait(lambda: len(world.relay.mails) == 6, 60), world.relay.mails)
    begin, quiet, last = time.time(), 0, 0
    while quiet < 8 and time.time() - begin < 120 and sum(world.kinds.values()) < 300:
        quiet = 0 if world.turn() else quiet + 1
        time.sleep(.75)
    total = dict(world.kinds)
    check("quiet after %.0f s: %s, complaints about them: %s" % (time.time() - begin, total,
                                                                dict(world.outcomes)), quiet >= 8)
    check("six reports, an answer to each of two addresses, nothing else",
          total == {"report": 6, "answer": 12}, total)
    check("no complaint about a report or an answer became a report",
          world.outcomes == {"unverified": 24, "no-sender": 12}, world.outcomes)
    codes = [side.daemon.stop()[0] for side in world.sides.values()]
    check("both end with 0", codes == [0, 0], codes)
    for side in world.sides.values():
        side.place.close()
    print("%d failed" % len(failures))
    sys.exit(1 if failures else 0)
