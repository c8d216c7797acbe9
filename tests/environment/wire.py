"""Two network namespaces, and between them a wire that loses, delays, reorders, duplicates and corrupts packets.

Each namespace has a TUN device; this process carries the packets from one to the other. So it takes none of the kernel's
traffic shapers (netem is missing from many kernels).
"""
import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
CLONE_NEWNET = 0x40000000
LONGEST_PACKET = 65_536
# What waits on the wire, at most; what comes on top is lost.
QUEUE_LEN = 1_000
SERVER, CLIENT = "server", "client"
ADDRESSES = {SERVER: ("10.99.0.1", "fd99::1"), CLIENT: ("10.99.0.2", "fd99::2")}


class Wire:
    """`loss`, `doubled` and `spoiled` are shares of the packets, delays and jitter seconds, `rate` bytes a second."""

    def __init__(self, seed=1):
        self.names = {side: f"coracle-{os.getpid()}-{side}" for side in ADDRESSES}
        self.handles = {}
        self.random = random.Random(seed)
        self.is_ended = False
        self.carried = 0
        self.set()
        try:
            for side in ADDRESSES:
                self.prepare(side)
        except (OSError, subprocess.CalledProcessError) as error:
            self.remove()
            sys.exit(f"no network namespace with a TUN device to be had: {error}\nThis needs root and /dev/net/tun.")
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def set(self, loss=0.0, doubled=0.0, spoiled=0.0, delay=0.0, jitter=0.0, rate=None, is_up=True):
        self.loss, self.doubled, self.spoiled = loss, doubled, spoiled
        self.delay, self.jitter, self.rate, self.is_up = delay, jitter, rate, is_up

    def close(self):
        self.is_ended = True
        self.thread.join()
        self.remove()

    def remove(self):
        for handle in self.handles.values():
            os.close(handle)
        for name in self.names.values():
            if os.path.exists(f"/run/netns/{name}"):
                subprocess.run(["ip", "netns", "delete", name], check=True)

    def inside(self, side):
        """What stands before a command that is to run in the namespace."""
        return ["ip", "netns", "exec", self.names[side]]

    def ip(self, side, *arguments):
        subprocess.run(["ip", "-n", self.names[side], *arguments], check=True)

    def sysctl(self, side, name, value):
        command = [*self.inside(side), "sh", "-c", 'printf "%s" "$1" > "/proc/sys/$0"', name, str(value)]
        subprocess.run(command, check=True)

    def link(self, side, state):
        """Switches a side's device "up" or "down"."""
        self.ip(side, "link", "set", "tun0", state)

    def mtu(self, size):
        """Sets the longest packet, in bytes. Below 1,280 there is no IPv6 (RFC 8200, section 5)."""
        for side in ADDRESSES:
            self.ip(side, "link", "set", "tun0", "mtu", str(size))
            if size >= 1280:
                self.begin_ipv6(side)

    def prepare(self, side):
        subprocess.run(["ip", "netns", "add", self.names[side]], check=True)
        with self.entered(side):
            handle = self.handles[side] = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN_NO_PI))
        self.ip(side, "link", "set", "lo", "up")
        self.link(side, "up")
        self.ip(side, "address", "add", f"{ADDRESSES[side][0]}/24", "dev", "tun0")
        self.begin_ipv6(side)

    def begin_ipv6(self, side):
        # Where a device goes down, its address should stay.
        self.sysctl(side, "net/ipv6/conf/tun0/keep_addr_on_down", 1)
        self.ip(side, "address", "replace", f"{ADDRESSES[side][1]}/64", "dev", "tun0", "nodad")

    @contextlib.contextmanager
    def entered(self, side):
        """This thread is in the namespace."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.names[side]}") as namespace:
            if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                LIBC.setns(before.fileno(), CLONE_NEWNET)

    def carry(self):
        """The wire, until it is closed."""
        server, client = self.handles[SERVER], self.handles[CLIENT]
        other = {server: client, client: server}
        # When each direction can take the next packet.
        free = {server: 0.0, client: 0.0}
        waiting = []
        number = 0
        while not self.is_ended:
            pause = min(0.05, max(0.0, waiting[0][0] - time.monotonic())) if waiting else 0.05
            for source in select.select([server, client], [], [], pause)[0]:
                for packet in read_all(source):
                    for copy in self.treated(packet):
                        if len(waiting) >= QUEUE_LEN:
                            continue
                        due = time.monotonic()
                        if self.rate:
                            due = free[source] = max(due, free[source]) + len(copy) / self.rate
                        due += self.delay + self.random.uniform(0, self.jitter)
                        number += 1
                        heapq.heappush(waiting, (due, number, other[source], copy))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, target, packet = heapq.heappop(waiting)
                if self.is_up:
                    self.carried += 1
                    # A device that is down takes nothing; that is what is wanted then.
                    with contextlib.suppress(OSError):
                        os.write(target, packet)

    def treated(self, packet):
        """What becomes of a packet: nothing, one or two."""
        if not self.is_up or self.random.random() < self.loss:
            return []
        if self.random.random() < self.spoiled:
            # Behind the addresses, so that it arrives, and its checksum is wrong.
            at = self.random.randrange(min(len(packet) - 1, 40), len(packet))
            packet = packet[:at] + bytes([packet[at] ^ (1 << self.random.randrange(8))]) + packet[at + 1 :]
        return [packet, packet] if self.random.random() < self.doubled else [packet]


def read_all(handle):
    packets = []
    try:
        while len(packets) < 64:
            packets.append(os.read(handle, LONGEST_PACKET))
    except OSError:
        pass  # no more, or the device is down
    return packets
