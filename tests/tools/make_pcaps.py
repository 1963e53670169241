#!/usr/bin/python3
"""Makes samples/pcap/*.pcap: dialogues that no collection of captures has, and every link layer.

usage: make_pcaps.py FOLDER

Each sample is a function; its docstring says what has to be seen in it. The expected
transactions stand in tests/golden/pcap.json (tests/peers/capture_samples.py writes them anew with
--write; look at the difference before you commit it). Same input, same octets: nothing is random.
"""
import gzip
import ipaddress
import os
import struct
import sys

SAMPLES = {}
CLIENT, SERVER = "198.51.100.7", "192.0.2.25"
MAIL = b"From: a@news.example\r\nTo: u@mbox.example\r\nSubject: %s\r\n\r\nHello.\r\n"


def sample(f):
    SAMPLES[f.__name__] = f
    return f


def checksum(octets):
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack("!%dH" % (len(octets) // 2), octets))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, target, protocol, payload, ident=1, fragment=0):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0,
                         ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source, target, protocol, payload):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 64,
                       ipaddress.ip_address(source).packed,
                       ipaddress.ip_address(target).packed) + payload


ETHERNET = b"\2\0\0\0\0\1\2\0\0\0\0\2"


def ethernet(packet):
    return ETHERNET + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\0") + packet


def tagged(*tags):
    def wrap(packet):
        octets = ethernet(packet)
        return octets[:12] + b"".join(struct.pack("!HH", *t) for t in tags) + octets[12:]
    return wrap


def over_ethertype(ethertype, header):
    return lambda packet: ETHERNET + struct.pack("!H", ethertype) + header(packet) + packet


def tunnel(protocol, header):
    return lambda packet: ethernet(ipv4("203.0.113.1", "203.0.113.2", protocol,
                                        header(packet) + packet))


def vxlan(packet):
    inner = struct.pack("!II", 0x08000000, 42 << 8) + ethernet(packet)
    return ethernet(ipv4("203.0.113.1", "203.0.113.2", 17,
                         struct.pack("!HHHH", 50000, 4789, 8 + len(inner), 0) + inner))


class Capture:
    """Packets with their times; `wrap` puts a link layer around an IP packet."""

    def __init__(self, link=1, wrap=ethernet):
        self.link, self.wrap, self.packets, self.time = link, wrap, [], 1795000000000000
        self.snaplen = 262144

    def packet(self, octets):
        self.time += 1000
        frames = self.wrap(octets)
        for frame in frames if isinstance(frames, list) else [frames]:
            self.packets.append((self.time, frame))

    def pcap(self, order="<", nano=False):
        magic, unit = (0xa1b23c4d, 1000) if nano else (0xa1b2c3d4, 1)
        return struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, self.snaplen, self.link) + b"".join(
            struct.pack(order + "IIII", t // 1000000, t % 1000000 * unit, len(p[:self.snaplen]),
                        len(p)) + p[:self.snaplen] for t, p in self.packets)

    def pcapng(self, others=(), resolution=None, order="<"):
        """`others` are captures of further interfaces; packets of all in the order of time."""
        def block(kind, body):
            body += b"\0" * (-len(body) % 4)
            return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(
                order + "I", len(body) + 12)
        out = block(0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1))
        captures = [self] + list(others)
        options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0) if resolution else b""
        for capture in captures:
            out += block(1, struct.pack(order + "HHI", capture.link, 0, 262144) + options)
        packets = sorted((t, i, p) for i, capture in enumerate(captures) for t, p in capture.packets)
        for t, i, p in packets:
            t *= 10 ** ((resolution or 6) - 6)
            out += block(6, struct.pack(order + "IIIII", i, t >> 32, t & 0xffffffff, len(p), len(p)) + p)
        return out


class Session:
    """One connection. c() and s() send; keyword `lost` says what the capture did not see."""

    def __init__(self, capture, client=CLIENT, server=SERVER, port=40000, server_port=25,
                 c=1000, s=5000, syn=True, sides=(0, 1)):
        self.capture, self.ends = capture, ((client, port), (server, server_port))
        self.seq, self.sides = [c, s], sides
        if syn:
            self.segment(0, 2)
            self.seq[0] += 1
            self.segment(1, 0x12)
            self.seq[1] += 1
            self.segment(0, 0x10)

    def segment(self, side, flags, payload=b"", seq=None, lost=False):
        (source, sport), (target, tport) = self.ends[side], self.ends[1 - side]
        seq = self.seq[side] if seq is None else seq
        ack = self.seq[1 - side] if flags & 0x10 else 0
        tcp = struct.pack("!HHIIBBHHH", sport, tport, seq & 0xffffffff, ack & 0xffffffff, 0x50, flags,
                          64240, 0, 0) + payload
        if lost or side not in self.sides:
            self.capture.time += 1000
            return
        ip = ipv6 if ":" in source else ipv4
        self.capture.packet(ip(source, target, 6, tcp))

    def say(self, side, octets, lost=False, size=1460):
        for at in range(0, len(octets), size):
            part = octets[at:at + size]
            self.segment(side, 0x18, part, lost=lost)
            self.seq[side] += len(part)

    def c(self, octets, **how):
        self.say(0, octets, **how)

    def s(self, octets, **how):
        self.say(1, octets, **how)

    def turn(self, command, reply):
        self.c(command + b"\r\n")
        self.s(reply + b"\r\n")

    def open(self, hello=b"EHLO mail.news.example"):
        self.s(b"220 mx.mbox.example ESMTP\r\n")
        self.turn(hello, b"250-mx.mbox.example\r\n250-PIPELINING\r\n250 CHUNKING")

    def envelope(self, sender=b"a@news.example", rcpt=b"u@mbox.example"):
        self.turn(b"MAIL FROM:<" + sender + b">", b"250 2.1.0 Ok")
        self.turn(b"RCPT TO:<" + rcpt + b">", b"250 2.1.5 Ok")

    def data(self):
        self.turn(b"DATA", b"354 End data with <CR><LF>.<CR><LF>")

    def mail(self, subject=b"one"):
        self.envelope()
        self.data()
        self.c(MAIL % subject + b".\r\n")
        self.s(b"250 2.0.0 Ok: queued as 1\r\n")

    def close(self):
        self.turn(b"QUIT", b"221 2.0.0 Bye")
        self.segment(1, 0x11)
        self.seq[1] += 1
        self.segment(0, 0x11)
        self.seq[0] += 1
        self.segment(1, 0x10)


def one_mail(capture, **how):
    session = Session(capture, **how)
    session.open()
    session.mail()
    session.close()
    return capture


# --- smuggling: is the end of data where the sender or where the receiver sees it? ------------

SMUGGLED = (b"MAIL FROM:<admin@mbox.example>\r\nRCPT TO:<victim@mbox.example>\r\nDATA\r\n" +
            b"From: admin@mbox.example\r\nSubject: smuggled\r\n\r\nPay.\r\n")


def smuggling(end, obeyed):
    capture = Capture()
    session = Session(capture)
    session.open()
    session.envelope()
    session.data()
    session.c(MAIL % b"outer" + end + SMUGGLED + b".\r\n")
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    if obeyed:  # the receiver ended the message at the loose form; the rest were commands
        session.s(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n" +
                  b"250 2.0.0 Ok: queued as 2\r\n")
    session.close()
    return capture


FORMS = {"lf_lf": b"\n.\n", "lf_crlf": b"\n.\r\n", "crlf_lf": b".\n", "crlf_crcrlf": b".\r\r\n"}
for form, end in FORMS.items():
    for obeyed in (True, False):
        def make(end=end, obeyed=obeyed):
            return smuggling(end, obeyed)
        make.__name__ = "smuggling_%s_%s" % (form, "obeyed" if obeyed else "refused")
        sample(make)


# --- who the client is -------------------------------------------------------------------------

def proxied(header):
    capture = Capture()
    session = Session(capture)
    session.c(header)
    session.open()
    session.mail()
    session.close()
    return capture


@sample
def proxy_v1():
    return proxied(b"PROXY TCP4 203.0.113.77 192.0.2.25 51000 25\r\n")


@sample
def proxy_v2():
    body = ipaddress.ip_address("2001:db8::77").packed + ipaddress.ip_address("2001:db8::25").packed
    body += struct.pack("!HH", 51001, 25)
    return proxied(b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + struct.pack("!H", len(body)) + body)


@sample
def proxy_v2_local():
    return proxied(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0")


def forwarded(command, answer):
    capture = Capture()
    session = Session(capture)
    session.open()
    session.turn(command, answer)
    if command.startswith(b"XCLIENT"):
        session.turn(b"EHLO again.example", b"250 mx.mbox.example")
    session.mail()
    session.close()
    return capture


@sample
def xclient():
    return forwarded(b"XCLIENT ADDR=203.0.113.78 PORT=51002 HELO=real.news.example",
                     b"220 mx.mbox.example ESMTP")


@sample
def xclient_refused():
    return forwarded(b"XCLIENT ADDR=203.0.113.78", b"550 5.7.0 Error: insufficient authorization")


@sample
def xforward():
    return forwarded(b"XFORWARD NAME=x ADDR=IPV6:2001:db8::79 PORT=51003 HELO=real.news.example",
                     b"250 2.0.0 Ok")


# --- segments -----------------------------------------------------------------------------------

@sample
def dot_at_segment_boundary():
    """Every split of CRLF.CRLF over segments; a stuffed dot split from its line too."""
    capture = Capture()
    end = b"..stuffed\r\nlast\r\n.\r\n"
    for at in range(1, len(end)):
        session = Session(capture, port=40000 + at)
        session.open()
        session.envelope()
        session.data()
        session.c(MAIL % b"split")
        session.c(end[:at])
        session.c(end[at:])
        session.s(b"250 2.0.0 Ok: queued as 1\r\n")
        session.close()
    return capture


@sample
def port_reuse():
    """Three connections with the same addresses and ports; the second begins without an end."""
    capture = Capture()
    one_mail(capture)
    session = Session(capture, c=900000, s=700000)
    session.open()
    session.mail(b"two")
    session = Session(capture, c=5000000, s=8000000)
    session.open()
    session.mail(b"three")
    session.close()
    return capture


@sample
def sequence_wrap():
    """The sequence number passes 2^32 inside the message, with a segment out of order there."""
    capture = Capture()
    session = Session(capture, c=(1 << 32) - 300)
    session.open()
    session.envelope()
    session.data()
    text = MAIL % b"wrap" + b"0123456789" * 40 + b"\r\n.\r\n"
    at = session.seq[0]
    session.segment(0, 0x18, text[200:], seq=at + 200)
    session.segment(0, 0x18, text[:200], seq=at)
    session.seq[0] += len(text)
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.close()
    return capture


@sample
def large_frames():
    """Segmentation offload: frames of nearly 64 KiB."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.envelope()
    session.data()
    session.c(MAIL % b"large" + b"x" * 76 + (b"\r\n" + b"x" * 76) * 1200 + b"\r\n.\r\n", size=65495)
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.close()
    return capture


@sample
def gap_over_354():
    """The reply to DATA was not captured: the message is whole all the same."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.envelope()
    session.c(b"DATA\r\n")
    session.s(b"354 End data with <CR><LF>.<CR><LF>\r\n", lost=True)
    capture.time += 500000
    session.c(MAIL % b"gap" + b".\r\n")
    capture.time += 500000
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.close()
    return capture


@sample
def gap_in_message():
    """Octets of the message were not captured: a hole, no hash."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.envelope()
    session.data()
    session.c(MAIL % b"hole")
    session.c(b"y" * 1000, lost=True)
    session.c(b"end\r\n.\r\n")
    capture.time += 500000
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.mail(b"after the hole")
    session.close()
    return capture


@sample
def one_sided():
    """A mirror of the client's direction alone."""
    return one_mail(Capture(), sides=(0,))


@sample
def one_sided_server():
    """A mirror of the server's direction alone: replies without commands."""
    return one_mail(Capture(), sides=(1,))


@sample
def midstream_in_content():
    """The capture begins inside a message; the next transaction is whole."""
    capture = Capture()
    session = Session(capture, syn=False)
    session.c(b"of a line\r\nData of the day\r\nquit smoking\r\n.\r\n")
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.mail(b"whole")
    session.close()
    return capture


# --- the dialogue --------------------------------------------------------------------------------

def vector(width, octets):
    return struct.pack("!I", len(octets))[4 - width:] + octets


@sample
def starttls_opaque():
    """Behind STARTTLS there is TLS: a session with SNI, version and cipher, no transaction."""
    name = b"mx.mbox.example"
    sni = struct.pack("!H", 0) + vector(2, vector(2, b"\0" + vector(2, name)))
    versions = struct.pack("!H", 43) + vector(2, vector(1, b"\3\4\3\3"))
    hello = b"\3\3" + b"\1" * 32 + b"\0" + vector(2, b"\x13\x01\xc0\x2f") + vector(1, b"\0")
    client = b"\x16\3\1" + vector(2, b"\1" + vector(3, hello + vector(2, sni + versions)))
    hello = b"\3\3" + b"\2" * 32 + b"\0" + b"\x13\x02" + b"\0" + vector(2, b"\0\x2b\0\2\3\4")
    server = b"\x16\3\3" + vector(2, b"\2" + vector(3, hello))
    capture = Capture()
    session = Session(capture)
    session.open()
    session.turn(b"STARTTLS", b"220 2.0.0 Ready to start TLS")
    session.c(client)
    session.s(server)
    session.c(b"\x17\3\3\0\x20" + b"\x0a" * 32)
    session.s(b"\x17\3\3\0\x20" + b"\x0a" * 32)
    return capture


@sample
def starttls_plain():
    """An appliance decrypted the mirror: SMTP goes on in the clear."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.turn(b"STARTTLS", b"220 2.0.0 Ready to start TLS")
    session.turn(b"EHLO mail.news.example", b"250 mx.mbox.example")
    session.mail()
    session.close()
    return capture


@sample
def bdat_failures():
    """A refused chunk's octets are no commands; RSET; 0 LAST; a size that is no number."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.envelope()
    session.c(b"BDAT 14\r\nRSET\r\nQUIT\r\nx\n")
    session.s(b"552 5.3.4 Too much\r\n")
    session.turn(b"RSET", b"250 2.0.0 Ok")
    session.envelope(b"b@news.example")
    session.c(b"BDAT 10\r\n01234567\r\n")
    session.s(b"250 2.0.0 Ok: 10 bytes\r\n")
    session.c(b"BDAT 0 LAST\r\n")
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.envelope(b"c@news.example")
    session.turn(b"BDAT ten LAST", b"501 5.5.4 Syntax: BDAT count [LAST]")
    session.c(b"BDAT 4 LAST\r\na\r\nb")
    session.s(b"250 2.0.0 Ok: queued as 2\r\n")
    session.close()
    return capture


@sample
def bdat_answered_early():
    """The server refuses a chunk while it is still arriving."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.envelope()
    session.c(b"BDAT 40 LAST\r\n0123456789")
    session.s(b"552 5.3.4 Too much\r\n")
    session.c(b"01234567890123456789QUIT\r\nRSET")
    session.c(b"RSET\r\n")
    session.s(b"250 2.0.0 Ok\r\n")
    session.mail(b"next")
    session.close()
    return capture


@sample
def lmtp():
    """LHLO: one answer for each accepted recipient behind the message."""
    capture = Capture()
    session = Session(capture, server_port=24)
    session.s(b"220 store.mbox.example LMTP\r\n")
    session.turn(b"LHLO mx.mbox.example", b"250 store.mbox.example")
    session.turn(b"MAIL FROM:<a@news.example>", b"250 2.1.0 Ok")
    session.turn(b"RCPT TO:<u@mbox.example>", b"250 2.1.5 Ok")
    session.turn(b"RCPT TO:<none@mbox.example>", b"550 5.1.1 No such user")
    session.turn(b"RCPT TO:<full@mbox.example>", b"250 2.1.5 Ok")
    session.data()
    session.c(MAIL % b"lmtp" + b".\r\n")
    session.s(b"250 2.1.5 delivered\r\n452 4.2.2 mailbox full\r\n")
    session.close()
    return capture


@sample
def rejections():
    """Sender refused; recipients refused; DATA refused; 421 in the middle; with RFC 2034 codes."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.turn(b"MAIL FROM:<bad@news.example>", b"550 5.1.8 sender refused")
    session.envelope()
    session.turn(b"RCPT TO:<nobody@mbox.example>", b"550-5.1.1 no such user\r\n550 5.1.1 really")
    session.turn(b"RCPT TO:<grey@mbox.example>", b"450 4.2.0 greylisted")
    session.turn(b"DATA", b"554 5.7.1 no")
    session.turn(b"RSET", b"250 2.0.0 Ok")
    session.envelope()
    session.data()
    session.c(MAIL % b"421")
    session.s(b"421 4.3.2 shutting down\r\n")
    session.segment(1, 0x11)
    session.seq[1] += 1
    session.segment(0, 0x11)
    return capture


@sample
def refused_at_banner():
    """A connection refused before anything was said."""
    capture = Capture()
    session = Session(capture)
    session.s(b"554 5.7.1 mx.mbox.example no SMTP service for you\r\n")
    session.close()
    return capture


@sample
def auth():
    """AUTH in both forms; the secrets are nowhere in what comes out."""
    capture = Capture()
    for port, dialogue in ((40000, [(b"AUTH PLAIN AHUAc2VjcmV0", b"235 2.7.0 Ok")]),
                           (40001, [(b"AUTH LOGIN", b"334 VXNlcm5hbWU6"), (b"dQ==", b"334 UGFzc3dvcmQ6"),
                                    (b"c2VjcmV0", b"235 2.7.0 Ok")])):
        session = Session(capture, port=port, server_port=587)
        session.open()
        for command, reply in dialogue:
            session.turn(command, reply)
        session.mail()
        session.close()
    return capture


@sample
def pipelined():
    """Two transactions in one flight each, the second with every recipient refused."""
    capture = Capture()
    session = Session(capture)
    session.open()
    session.c(b"MAIL FROM:<a@news.example> SIZE=90\r\nRCPT TO:<u@mbox.example>\r\n"
              b"RCPT TO:<no@mbox.example>\r\nDATA\r\n")
    session.s(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 no\r\n354 go\r\n")
    session.c(MAIL % b"pipelined" + b".\r\nMAIL FROM:<>\r\nRCPT TO:<no@mbox.example>\r\nDATA\r\n")
    session.s(b"250 2.0.0 Ok: queued as 1\r\n250 2.1.0 Ok\r\n550 5.1.1 no\r\n554 5.5.1 no recipients\r\n")
    session.close()
    return capture


# --- TCP and IP as they are ----------------------------------------------------------------------

def begun(capture, **how):
    """A session up to the 354."""
    session = Session(capture, **how)
    session.open()
    session.envelope()
    session.data()
    return session


def accepted(session):
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    session.close()
    return session.capture


@sample
def tcp_fast_open():
    """Octets in the SYN and in the SYN-ACK (RFC 7413)."""
    capture = Capture()
    session = Session(capture, syn=False)
    hello, banner = b"EHLO mail.news.example\r\n", b"220 mx.mbox.example ESMTP\r\n"
    session.segment(0, 2, hello)
    session.seq[0] += 1 + len(hello)
    session.segment(1, 0x12, banner)
    session.seq[1] += 1 + len(banner)
    session.s(b"250 mx.mbox.example\r\n")
    session.mail()
    session.close()
    return capture


@sample
def tcp_without_syn():
    """The SYN was not captured, the SYN-ACK was."""
    capture = one_mail(Capture())
    del capture.packets[0]
    return capture


@sample
def tcp_without_syn_ack():
    capture = one_mail(Capture())
    del capture.packets[1]
    return capture


@sample
def tcp_handshake_reordered():
    """SYN-ACK, ACK, banner, SYN: as a port that mirrors two directions may give them."""
    capture = one_mail(Capture())
    first = capture.packets[:4]
    times = [t for t, _ in first]
    capture.packets[:4] = [(t, first[i][1]) for t, i in zip(times, (1, 2, 3, 0))]
    return capture


@sample
def tcp_out_of_order():
    """Replies before their commands, the end before the middle."""
    capture = Capture()
    session = begun(capture)
    session.c(MAIL % b"mixed" + b"0123456789" * 300 + b"\r\n.\r\n", size=500)
    accepted(session)
    packets = capture.packets
    times = [t for t, _ in packets]
    for at in range(4, len(packets) - 4, 4):
        packets[at:at + 4] = reversed(packets[at:at + 4])
    capture.packets = [(t, p) for t, (_, p) in zip(times, packets)]
    return capture


@sample
def tcp_rst_in_message():
    """A reset that is none (out of the window), then one inside the message."""
    capture = Capture()
    session = begun(capture)
    session.segment(1, 4, seq=session.seq[1] + 100000000)
    session.c(MAIL % b"reset")
    session.segment(0, 4)
    return capture


@sample
def tcp_half_closed():
    """The client says QUIT behind the message and closes its side; the server answers later."""
    capture = Capture()
    session = begun(capture)
    session.c(MAIL % b"half" + b".\r\nQUIT\r\n")
    session.segment(0, 0x11)
    session.seq[0] += 1
    capture.time += 2000000
    session.s(b"250 2.0.0 Ok: queued as 1\r\n221 2.0.0 Bye\r\n")
    session.segment(1, 0x11)
    return capture


@sample
def tcp_keep_alive():
    """Keep-alives with and without an octet, probes of a window that is closed, a second FIN."""
    capture = Capture()
    session = begun(capture)
    session.segment(0, 0x10, seq=session.seq[0] - 1)
    session.segment(0, 0x10, b"\0", seq=session.seq[0] - 1)
    text = MAIL % b"alive" + b".\r\n"
    session.segment(0, 0x10, text[:1])
    capture.time += 1000000
    session.segment(0, 0x10, text[:1])
    session.c(text)
    accepted(session)
    session.segment(1, 0x11, seq=session.seq[1] - 1)
    return capture


@sample
def tcp_sent_again():
    """The same octets again, cut in other places: nothing is counted twice, nothing conflicts."""
    capture = Capture()
    session = begun(capture)
    text = MAIL % b"again" + b"0123456789" * 100 + b"\r\n.\r\n"
    at = session.seq[0]
    session.segment(0, 0x18, text[:700])
    session.segment(0, 0x18, text[300:900], seq=at + 300)
    session.segment(0, 0x18, text[:1000], seq=at)
    session.segment(0, 0x18, text[650:], seq=at + 650)
    session.seq[0] += len(text)
    return accepted(session)


@sample
def tcp_sent_again_otherwise():
    """Other octets in a retransmission, handed on already and still waiting: the first count."""
    capture = Capture()
    session = begun(capture)
    text = MAIL % b"other" + b"0123456789" * 100 + b"\r\n.\r\n"
    at = session.seq[0]
    session.segment(0, 0x18, text[:700])
    session.segment(0, 0x18, b"X" * 400, seq=at + 300)
    session.segment(0, 0x18, text[800:], seq=at + 800)
    session.segment(0, 0x18, b"Y" * 250, seq=at + 700)
    session.seq[0] += len(text)
    return accepted(session)


@sample
def tcp_fin_before_the_rest():
    """FIN comes before octets that were lost on the way and sent again."""
    capture = Capture()
    session = begun(capture)
    text = MAIL % b"fin" + b".\r\nQUIT\r\n"
    at = session.seq[0]
    session.segment(0, 0x19, text[40:], seq=at + 40)
    session.segment(0, 0x18, text[:40], seq=at)
    session.seq[0] += len(text) + 1
    session.s(b"250 2.0.0 Ok: queued as 1\r\n221 2.0.0 Bye\r\n")
    session.segment(1, 0x11)
    return capture


@sample
def tcp_acknowledged_but_never_seen():
    """A one-sided hole at the end of the message: what the server acknowledged was there."""
    capture = Capture()
    session = begun(capture)
    session.c(MAIL % b"unseen")
    session.c(b"z" * 500 + b"\r\n.\r\n", lost=True)
    session.s(b"250 2.0.0 Ok: queued as 1\r\n")
    capture.time += 500000
    session.close()
    return capture


@sample
def snaplen_cut():
    """The capture kept 200 octets of each frame: holes in the message, and the size of each."""
    capture = Capture()
    session = begun(capture)
    session.c(MAIL % b"cut" + b"0123456789" * 100 + b"\r\n.\r\n", size=400)
    accepted(session)
    capture.snaplen = 200
    return capture


# Protocols of a segment's way: what stands in front of TCP.

def fragmented(parts):
    """Cuts an IPv4 packet with more than 64 octets of payload; `parts` orders the pieces."""
    ident = [0]

    def wrap(packet):
        ident[0] += 1
        payload, source, target = packet[20:], packet[12:16], packet[16:20]
        if len(payload) <= 64:
            return [ethernet(packet)]
        pieces = [(at, payload[at:at + 32]) for at in range(0, len(payload), 32)]
        return [ethernet(ipv4(ipaddress.ip_address(source), ipaddress.ip_address(target), 6, octets,
                              ident[0], at // 8 | (0x2000 if at + 32 < len(payload) else 0)))
                for at, octets in parts(pieces)]
    return wrap


def fragmented6(parts):
    ident = [0]

    def wrap(packet):
        ident[0] += 1
        payload = packet[40:]
        if len(payload) <= 64:
            return [ethernet(packet)]
        pieces = [(at, payload[at:at + 32]) for at in range(0, len(payload), 32)]
        source, target = ipaddress.ip_address(packet[8:24]), ipaddress.ip_address(packet[24:40])
        return [ethernet(ipv6(source, target, 44, struct.pack(
            "!BBHI", 6, 0, at | (at + 32 < len(payload)), ident[0]) + octets))
                for at, octets in parts(pieces)]
    return wrap


V6 = {"client": "2001:db8::7", "server": "2001:db8::25"}


@sample
def ip_fragments():
    """Backwards, and each twice."""
    return one_mail(Capture(wrap=fragmented(lambda pieces: (pieces + pieces)[::-1])))


@sample
def ip_fragments_overlapping():
    """IPv4: the first copy of an octet counts."""
    def parts(pieces):
        return pieces[:1] + [(pieces[0][0], b"#" * 32)] + pieces[1:]
    return one_mail(Capture(wrap=fragmented(parts)))


@sample
def ip6_fragments():
    return one_mail(Capture(wrap=fragmented6(lambda pieces: (pieces + pieces[:2])[::-1])), **V6)


@sample
def ip6_fragments_overlapping():
    """IPv6: a packet whose fragments overlap is none (RFC 5722); the message has a hole."""
    def parts(pieces):
        big = len(pieces) > 10
        return pieces[:1] + ([(pieces[0][0], b"#" * 32)] if big else []) + pieces[1:]
    capture = Capture(wrap=fragmented6(parts))
    session = begun(capture, **V6)
    session.c(MAIL % b"poison")
    session.c(b"0123456789" * 40)
    session.c(b"\r\n.\r\n")
    return accepted(session)


@sample
def ip6_extension_headers():
    """Hop by hop, destination options and an atomic fragment (RFC 6946) in front of TCP."""
    def wrap(packet):
        payload = b"\x3c\0\1\4\0\0\0\0" + b"\x2c\0\1\4\0\0\0\0" + b"\6\0\0\0\0\0\0\1" + packet[40:]
        return ethernet(ipv6(ipaddress.ip_address(packet[8:24]), ipaddress.ip_address(packet[24:40]),
                             0, payload))
    return one_mail(Capture(wrap=wrap), **V6)


@sample
def link_stack():
    """QinQ, MPLS, PPPoE and GRE, one in the other."""
    def wrap(packet):
        gre = ipv4("203.0.113.1", "203.0.113.2", 47, struct.pack("!HH", 0, 0x800) + packet)
        pppoe = struct.pack("!BBHHH", 0x11, 0, 1, len(gre) + 2, 0x21) + gre
        inner = ETHERNET + b"\x88\x64" + pppoe
        return (ETHERNET + struct.pack("!HHHHH", 0x88a8, 100, 0x8100, 200, 0x8847) +
                b"\0\x01\x01\x40" + b"\0\0\0\0" + inner)
    return one_mail(Capture(wrap=wrap))


# --- links ---------------------------------------------------------------------------------------

def mpls(packet):
    return b"\0\x01\x00\x40" + b"\0\x02\x01\x40"


LINKS = {
    "vlan": (1, tagged((0x8100, 42))),
    "qinq": (1, tagged((0x88a8, 100), (0x8100, 200))),
    "mpls": (1, over_ethertype(0x8847, mpls)),
    "pppoe": (1, over_ethertype(0x8864, lambda p: struct.pack("!BBHHH", 0x11, 0, 1, len(p) + 2, 0x21))),
    "raw": (101, lambda p: p),
    "loopback": (0, lambda p: struct.pack("<I", 2) + p),
    "sll": (113, lambda p: struct.pack("!HHH8sH", 0, 1, 6, b"\2" * 8, 0x800) + p),
    "sll2": (276, lambda p: struct.pack("!HHIHBB8s", 0x800, 0, 1, 1, 0, 6, b"\2" * 8) + p),
    "ppp": (9, lambda p: b"\xff\3\0\x21" + p),
    "gre": (1, tunnel(47, lambda p: struct.pack("!HH", 0, 0x800))),
    "gre_key": (1, tunnel(47, lambda p: struct.pack("!HHI", 0x2000, 0x800, 7))),
    "ipip": (1, tunnel(4, lambda p: b"")),
    "vxlan": (1, vxlan),
}
for name, (link, wrap) in LINKS.items():
    def make(link=link, wrap=wrap):
        return one_mail(Capture(link, wrap))
    make.__name__ = "link_" + name
    sample(make)


@sample
def link_ipv6():
    return one_mail(Capture(), client="2001:db8::7", server="2001:db8::25")


@sample
def other_port():
    """A port that is not known to be a server's: the dialogue says it."""
    return one_mail(Capture(), server_port=1025)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, make in SAMPLES.items():
        with open(os.path.join(folder, name + ".pcap"), "wb") as out:
            out.write(make().pcap())
    plain = one_mail(Capture())
    other = one_mail(Capture(), port=40001)
    raw = one_mail(Capture(*LINKS["raw"]), port=40001)
    formats = {
        "format_pcapng.pcapng": plain.pcapng(),
        "format_pcapng_interfaces.pcapng": plain.pcapng([other]),
        "format_pcapng_links.pcapng": plain.pcapng([raw]),
        "format_pcapng_nanoseconds.pcapng": plain.pcapng(resolution=9, order=">"),
        "format_gzip.pcap.gz": gzip.compress(plain.pcap(), mtime=0),
        "format_gzip_pcapng.pcapng.gz": gzip.compress(plain.pcapng(), mtime=0),
        "format_nanoseconds.pcap": plain.pcap(nano=True),
        "format_big_endian.pcap": plain.pcap(order=">"),
        "format_cut.pcap": plain.pcap()[:-20],
    }
    for name, octets in formats.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(octets)


if __name__ == "__main__":
    main()
