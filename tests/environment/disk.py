"""An ext4 on a loop device whose power can be cut.

The shutdown ioctl makes the file system drop whatever has not reached the device, at once. The device itself keeps
every block that was given to it: a disk whose cache lies about flushes is not simulated.
"""
import ctypes
import errno
import fcntl
import os
import struct
import subprocess
import sys
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
# How the power fails: with what the journal holds written out a moment before, or with nothing written out.
WITH_JOURNAL, WITH_NOTHING = 1, 2
# Options of mount: without the kindness of writing a file out before it is renamed over another, and the same without
# any order between a file's size and its bytes.
STRICT = "noauto_da_alloc"
LOOSE = "noauto_da_alloc,nodelalloc,data=writeback"
SIZE = 48 << 20


class Disk:
    def __init__(self):
        # In memory, where other programs' writing does not slow it down.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.root = tempfile.mkdtemp(prefix="coracle-power-", dir=memory)
        self.image = os.path.join(self.root, "image")
        self.top = os.path.join(self.root, "mounted")
        os.mkdir(self.top)
        with open(self.image, "wb") as file:
            file.truncate(SIZE)
        self.device = None
        self.handle = None
        self.options = None
        try:
            make = ["mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image]
            subprocess.run(make, check=True)
            losetup = ["losetup", "--find", "--show", self.image]
            self.device = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or "").strip()
            self.close()
            sys.exit(f"no loop device to be had: {error} {said}\nThis needs root, /dev/loop-control and ext4.")

    def mount(self, options):
        if self.handle is not None and self.options == options:
            return
        self.unmount()
        self.options = options
        call(LIBC.mount(self.device.encode(), self.top.encode(), b"ext4", 0, options.encode()), "mount")
        self.handle = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)

    def unmount(self):
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None
            call(LIBC.umount2(self.top.encode(), 0), "umount")

    def write_out(self):
        """What the kernel does by itself every few seconds."""
        call(LIBC.syncfs(self.handle), "syncfs")

    def cut(self, how):
        fcntl.ioctl(self.handle, SHUTDOWN, struct.pack("I", how))

    def close(self):
        self.unmount()
        if self.device is not None:
            subprocess.run(["losetup", "--detach", self.device], check=True)
        if os.path.exists(self.image):
            os.unlink(self.image)
        os.rmdir(self.top)
        os.rmdir(self.root)


def call(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {errno.errorcode.get(error)} {os.strerror(error)}")
