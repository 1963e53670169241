"""An SMTP server of a test on a port of its own, a thread for each connection. What it answers is in
three functions that a test overrides; the mails are as they were before dots were stuffed.
"""
import socket
import threading


class MailSink(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.port = self.listener.getsockname()[1]
        self.start()

    def greets(self):
        """False: the connection is closed without a word."""
        return True

    def rcpt(self, address):
        """The reply to RCPT."""
        return "250 ok"

    def took(self, sender, rcpt, mail):
        """The reply to the end of the data; None: the connection is closed."""
        return "250 2.0.0 taken"

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection:
            try:
                if self.greets():
                    self.dialogue(connection.makefile("rwb"))
            except OSError:
                pass

    def dialogue(self, stream):
        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        def address(line):
            return line.decode().split("<")[1].split(">")[0]

        say("220 sink ESMTP")
        mail, sender, rcpt = None, "", ""
        for line in stream:
            verb = line[:4].upper()
            if mail is not None and line != b".\r\n":
                mail.append(line[1:] if line.startswith(b".") else line)
            elif mail is not None:
                reply = self.took(sender, rcpt, b"".join(mail))
                mail = None
                if reply is None:
                    return
                say(reply)
            elif verb == b"MAIL":
                sender = address(line)
                say("250 ok")
            elif verb == b"RCPT":
                rcpt = address(line)
                say(self.rcpt(rcpt))
            elif verb == b"DATA":
                mail = []
                say("354 go")
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")
