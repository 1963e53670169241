"""tests/tools/milter_probe.c as a child: its address, its events, the messages it saw."""
import json
import os
import subprocess
import time

import milter_client as mc


class Probe:
    def __init__(self, program, folder, listen=None, options=""):
        self.program, self.folder = program, folder
        self.address = listen or "unix:%s/run/m.sock" % folder
        self.log = folder + "/log"
        self.conf = folder + "/assay.conf"
        with open(self.conf, "w") as f:
            f.write("host mx1.mbox.example\nlisten milter %s { mode 0666 %s }\n" %
                    (self.address, options))
        os.makedirs(folder + "/mail", exist_ok=True)
        self.start()

    def start(self):
        self.p = subprocess.Popen([self.program, self.conf, self.log, self.folder + "/mail"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(self.answers)

    def answers(self):
        try:
            self.client().close()
            return True
        except OSError:
            assert self.p.poll() is None, self.p.stderr.read()
            return False

    def client(self):
        return mc.Client(self.address)

    def events(self):
        try:
            with open(self.log) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def of(self, sender):
        """The events of this sender, once there is one."""
        found = []

        def look():
            found[:] = [e for e in self.events() if e["mail_from"] == sender]
            return found
        until(look)
        return found

    def message(self, event):
        with open("%s/mail/%s.eml" % (self.folder, event["id"]), "rb") as f:
            return f.read()

    def stop(self):
        self.p.terminate()
        out, err = self.p.communicate(timeout=60)
        assert self.p.returncode == 0, (self.p.returncode, err)
        return dict(zip(out.split()[::2], map(int, out.split()[1::2])))


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited %d s" % seconds
        time.sleep(0.01)
