"""Strangers from many addresses, who flood the board on a tap with handshakes of the encrypted channel. Used by strangers."""

import collections
import multiprocessing
import os
import pathlib
import random
import select
import socket
import struct
import time

from provisioned import wait_for

# Where they come from: no address of this machine, so that its own TCP does not answer in their place.
NETWORK = bytes([10, 99])
# What message 1 begins with, and its length.
HEAD, FIRST_LEN = bytes([0xC0, 0x01, 0x00, 0x30]), 52
# Connections that are begun in a second, at most and at least, and at most at once.
BEGUN_A_SECOND, FEWEST_A_SECOND, BURST = 1_100, 50, 32
# Where as many are without an answer, no more are begun.
UNANSWERED = 256
# How often it is seen whether the board keeps up, in seconds.
LOOKS_S = 0.25
# When a SYN has been lost, in seconds.
LOST_AFTER_S = 1
# Of segments.
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ISN, WINDOW = 0x1000, 64_240
MSS_OPTION = struct.pack("!BBH", 2, 4, 1_460)
ETH_P_IP = 0x0800
SO_RCVBUFFORCE = 33

fork = multiprocessing.get_context("fork")

Counts = collections.namedtuple("Counts", "begun let_in refused")
"""Connections that were begun; those whose message 1 was sent; and those that the board refused."""


class Flood:
    """The flood, in a process of its own, while the `with` lasts. `first` is the message 1 that all send; noise without one.

    Each connection has another address. It is kept when the board closes its side, for as long as the board lets it be. A flood that
    is not `steady` becomes weaker while the board refuses more than it lets in, and stronger again: the emulator may not get the
    time of this machine that the board needs."""

    def __init__(self, interface, board, first=None, steady=False):
        self.interface, self.first, self.steady = interface, first, steady
        self.address, self.port = socket.inet_aton(board[0]), board[1]
        self.hardware = hardware_address(board[0])
        self.over, self.counted = fork.Event(), fork.Array("Q", len(Counts._fields))
        # Of SYNs without an answer: when they left, in their order.
        self.unanswered = collections.OrderedDict()
        self.number, self.rate, self.look_at, self.seen = 0, BEGUN_A_SECOND, 0, Counts(0, 0, 0)
        self.process = fork.Process(target=self.run, daemon=True)

    def __enter__(self):
        self.process.start()
        wait_for("the strangers are there", lambda: self.counts().let_in >= 100)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.process.join()

    def counts(self):
        return Counts(*self.counted[:])

    def count(self, name):
        self.counted[Counts._fields.index(name)] += 1

    def run(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as self.wire:
            self.wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
            self.wire.bind((self.interface, ETH_P_IP))
            self.wire.setblocking(False)
            self.ethernet = self.hardware + self.wire.getsockname()[4] + struct.pack("!H", ETH_P_IP)
            due = time.monotonic()
            while not self.over.is_set():
                now = time.monotonic()
                if now >= self.look_at and not self.steady:
                    self.look_at = now + LOOKS_S
                    self.keep_step()
                due = self.begin_until(now, due)
                if select.select([self.wire], [], [], max(0, due - time.monotonic()))[0]:
                    self.receive()

    def keep_step(self):
        """Adapts how many come to what the board lets in."""
        before, self.seen = self.seen, self.counts()
        keeps_up = self.seen.let_in - before.let_in >= self.seen.refused - before.refused
        self.rate = min(self.rate * 1.25, BEGUN_A_SECOND) if keeps_up else max(self.rate / 2, FEWEST_A_SECOND)

    def begin_until(self, now, due):
        """Begins the connections that are due; returns when the next one is."""
        while self.unanswered and next(iter(self.unanswered.values())) < now - LOST_AFTER_S:
            self.unanswered.popitem(last=False)
        # What cannot be made up for is left out.
        due = max(due, now - BURST / self.rate)
        while due <= now:
            if len(self.unanswered) < UNANSWERED:
                self.begin(now)
            due += 1 / self.rate
        return due

    def begin(self, now):
        self.number += 1
        stranger = NETWORK + struct.pack("!BBH", random.randrange(255), random.randrange(1, 255), 1_024 + self.number % 60_000)
        self.send(stranger, SYN, ISN, 0, options=MSS_OPTION)
        self.unanswered[stranger] = now
        self.count("begun")

    def receive(self):
        for _ in range(BURST):
            try:
                frame = self.wire.recv(2_048)
            except BlockingIOError:
                return
            ip = frame[14:]
            if ip[9] == socket.IPPROTO_TCP and ip[12:16] == self.address and ip[16:18] == NETWORK:
                self.answer(ip[16:20], ip[(ip[0] & 15) * 4 : int.from_bytes(ip[2:4], "big")])

    def answer(self, address, segment):
        """As a system does whose program keeps the connection, and sends message 1 once there is one."""
        _, port, number, _, offset, flags = struct.unpack_from("!HHIIBB", segment)
        stranger = address + struct.pack("!H", port)
        is_first = self.unanswered.pop(stranger, None) is not None
        if flags & RST:
            if is_first:
                self.count("refused")
        elif flags & SYN:
            message = self.first or HEAD + os.urandom(FIRST_LEN - len(HEAD))
            self.send(stranger, ACK | PSH, ISN + 1, number + 1, message)
            if is_first:
                self.count("let_in")
        elif (length := len(segment) - (offset >> 4) * 4 + (flags & FIN)) > 0:
            self.send(stranger, ACK, ISN + 1 + FIRST_LEN, number + length)

    def send(self, stranger, flags, number, acknowledged, data=b"", options=b""):
        ports = stranger[4:] + struct.pack("!H", self.port)
        fixed = struct.pack("!IIBBH", number, acknowledged % (1 << 32), (20 + len(options)) // 4 << 4, flags, WINDOW)
        rest = options + data
        length = 20 + len(rest)
        addresses = stranger[:4] + self.address
        pseudo = addresses + struct.pack("!HH", socket.IPPROTO_TCP, length)
        sum_of = checksum(pseudo + ports + fixed + rest)
        head = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 0, 0x4000, 64, socket.IPPROTO_TCP)
        ip = head + checksum(head + addresses) + addresses
        try:
            self.wire.send(self.ethernet + ip + ports + fixed + sum_of + bytes(2) + rest)
        except BlockingIOError:
            # Lost, as on any network.
            pass


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def hardware_address(address):
    """That of one with whom this machine has talked."""
    rows = [line.split() for line in pathlib.Path("/proc/net/arp").read_text().splitlines()[1:]]
    return next(bytes.fromhex(row[3].replace(":", "")) for row in rows if row[0] == address)
