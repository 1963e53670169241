"""A milter client: the MTA's side of the protocol (libmilter/mfdef.h), one frame a call.

    m = Client("unix:/path")             # or "127.0.0.1:port"
    m.negotiate()                        # all of version 6; or version=, actions=, steps=
    m.connect("192.0.2.1", 51000); m.helo("mx"); m.mail("<a@b>"); m.rcpt("<c@d>")
    m.message(b"Subject: x\r\n\r\nbody\r\n")
    answer = m.end()                     # changes and the last reply

A reply is (letter, octets); b"c" is "continue". Frames that the milter asked not to answer are not
waited for.
"""
import socket
import struct

ALL_ACTIONS, ALL_STEPS = 0x1ff, 0x1fffff
ADDHDRS, CHGHDRS, QUARANTINE, SETSYMLIST = 0x01, 0x10, 0x20, 0x100
NR = {b"L": 0x80, b"C": 0x1000, b"H": 0x2000, b"M": 0x4000, b"R": 0x8000, b"T": 0x10000,
      b"U": 0x20000, b"N": 0x40000, b"B": 0x80000}
NOT_SENT = {b"C": 0x01, b"H": 0x02, b"M": 0x04, b"R": 0x08, b"B": 0x10, b"L": 0x20, b"N": 0x40,
            b"U": 0x100, b"T": 0x200}
SKIP, RCPT_REJ, LEADSPC = 0x400, 0x800, 0x100000


def zero(*texts):
    return b"".join((t if isinstance(t, bytes) else t.encode()) + b"\0" for t in texts)


class Client:
    def __init__(self, address, timeout=30):
        if address.startswith("unix:"):
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(timeout)
            self.s.connect(address[5:])
        else:
            host, _, port = address.rpartition(":")
            self.s = socket.create_connection((host, int(port)), timeout)
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.version = self.actions = self.steps = 0
        self.symbols = {}
        self.skipped = False

    def send(self, letter, octets=b""):
        self.s.sendall(struct.pack("!I", 1 + len(octets)) + letter + octets)

    def _exactly(self, n):
        out = b""
        while len(out) < n:
            piece = self.s.recv(n - len(out))
            if not piece:
                raise EOFError
            out += piece
        return out

    def recv(self):
        n = struct.unpack("!I", self._exactly(4))[0]
        frame = self._exactly(n)
        return frame[:1], frame[1:]

    def negotiate(self, version=6, actions=ALL_ACTIONS, steps=ALL_STEPS):
        self.send(b"O", struct.pack("!III", version, actions, steps))
        letter, octets = self.recv()
        if letter != b"O":
            raise ValueError("%r instead of a negotiation" % letter)
        self.version, self.actions, self.steps = struct.unpack("!III", octets[:12])
        rest = octets[12:]
        while len(rest) > 4:
            stage, = struct.unpack("!I", rest[:4])
            names, _, rest = rest[4:].partition(b"\0")
            self.symbols[stage] = names.decode()
        return self.version, self.actions, self.steps

    def say(self, letter, octets=b"", macros=None):
        """Sends a step; its reply, or None where none is due or the step is not wanted."""
        if self.steps & NOT_SENT.get(letter, 0):
            return None
        if macros:
            self.send(b"D", letter + zero(*[x for pair in macros.items() for x in pair]))
        self.send(letter, octets)
        return None if self.steps & NR.get(letter, 0) else self.recv()

    def connect(self, address, port=40000, host="client.example", macros=None):
        family = b"6" if ":" in address else b"4"
        return self.say(b"C", zero(host) + family + struct.pack("!H", port) + zero(address), macros)

    def helo(self, name, macros=None):
        return self.say(b"H", zero(name), macros)

    def mail(self, *argv, macros=None):
        return self.say(b"M", zero(*argv), macros)

    def rcpt(self, *argv, macros=None):
        return self.say(b"R", zero(*argv), macros)

    def data(self, macros=None):
        return self.say(b"T", b"", macros)

    def message(self, octets, chunk=65535):
        """As an MTA passes it on: fields with LF in their folding, then the body."""
        head, _, body = octets.partition(b"\r\n\r\n")
        fields = []
        for line in head.split(b"\r\n"):
            if line[:1] in (b" ", b"\t"):
                fields[-1] += b"\n" + line
            elif line:
                fields.append(line)
        for field in fields:
            name, _, value = field.partition(b":")
            if not self.steps & LEADSPC:
                value = value[1:] if value[:1] == b" " else value
            self.say(b"L", zero(name, value))
        self.say(b"N")
        for i in range(0, len(body), chunk):
            if self.say(b"B", body[i:i + chunk]) == (b"s", b""):
                self.skipped = True
                break

    def end(self, octets=b"", macros=None):
        """([(letter, octets) of each change], last reply)"""
        if macros:
            self.send(b"D", b"E" + zero(*[x for pair in macros.items() for x in pair]))
        self.send(b"E", octets)
        changes = []
        while True:
            letter, rest = self.recv()
            if letter == b"p":
                continue
            if letter in (b"a", b"c", b"d", b"r", b"t", b"y"):
                return changes, (letter, rest)
            changes.append((letter, rest))

    def abort(self):
        self.send(b"A")

    def quit(self):
        self.send(b"Q")
        self.close()

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def inserted(changes):
    """{name: value} of the fields that were added, as bytes."""
    out = {}
    for letter, rest in changes:
        if letter in (b"i", b"h"):
            name, value = (rest[4:] if letter == b"i" else rest).split(b"\0")[:2]
            out[name.decode()] = value
    return out


def removed(changes):
    """[(name, index)] of the fields that were taken away, in order."""
    out = []
    for letter, rest in changes:
        if letter == b"m":
            name, value = rest[4:].split(b"\0")[:2]
            assert value == b"", value
            out.append((name.decode(), struct.unpack("!I", rest[:4])[0]))
    return out
