"""A disk that is small and fills up: a tmpfs, which takes root to mount.

    disk = SmallDisk(folder, "24m")
    if not disk.mounted: skip
    disk.fill(); ...; disk.room(); ...; disk.unmount()
"""
import os
import subprocess


class SmallDisk:
    def __init__(self, folder, size):
        self.folder, self.filler = folder, folder + "/filler"
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=755,size=" + size, "tmpfs", folder],
            stderr=subprocess.DEVNULL).returncode == 0

    def fill(self):
        """To the last octet: what does not fit as a block goes by less."""
        fd = os.open(self.filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for n in (65536, 4096, 1):
            try:
                while os.write(fd, b"x" * n):
                    pass
            except OSError:
                pass
        os.close(fd)

    def room(self):
        os.unlink(self.filler)

    def unmount(self):
        subprocess.run(["umount", "-l", self.folder], check=True)
