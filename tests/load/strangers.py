"""Strangers from many addresses that flood a server with handshakes of encrypted connections."""
import os
import random
import select
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import unittest

from harness import TIMEOUT_S, Server, Settings, amount, attacking, figure

CONTENT = os.urandom(1 << 20)
# Message 1 of the handshake: what it begins with, and its length.
HEAD = bytes([0xC0, 0x01, 0x00, 0x30])
FIRST_LEN = 52
# More than a thousand, since some of them come late.
STRANGERS_A_SECOND = 1_100
# Strangers that come at least while an honest client fetches.
STRANGERS = 1_000
# Linux; Python 3.11 does not name it.
IP_BIND_ADDRESS_NO_PORT = 24


def flood(end, address, first):
    """Handshakes that are begun and left, each from another address: with `first` as message 1, or with noise."""
    poll = select.epoll()
    held = {}
    begun = time.monotonic()
    number = 0
    while not end.is_set():
        for descriptor, _ in poll.poll(0):
            poll.unregister(descriptor)
            held.pop(descriptor).close()
        ahead = begun + number / STRANGERS_A_SECOND - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        number += 1
        stranger = socket.socket()
        stranger.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        stranger.bind((f"127.{random.randrange(1, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}", 0))
        stranger.settimeout(TIMEOUT_S)
        try:
            stranger.connect(address)
            stranger.sendall(first or HEAD + os.urandom(FIRST_LEN - len(HEAD)))
        except OSError:
            stranger.close()
            continue
        held[stranger.fileno()] = stranger
        # The server's end of it, not its answer.
        poll.register(stranger.fileno(), select.EPOLLRDHUP)


class Keys:
    """Files of keys, made by the program."""

    def __init__(self, folder):
        self.key, self.psk, self.own = (os.path.join(folder, name) for name in ("key", "psk", "own"))
        self.public = self.make("key", "new", self.key).strip()
        self.make("key", "new", "--psk", self.psk)
        self.make("key", "new", self.own)

    def make(self, *arguments):
        done = subprocess.run([Settings.program, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self):
        return Server("--key", self.key, "--psk", self.psk, "--quiet")

    def fetch(self, port):
        """Fetches the file by the program; the seconds that it took."""
        begun = time.perf_counter()
        command = [Settings.program, "get", f"127.0.0.1:{port}", "file", "-o", "-", "--key", self.own, "--psk", self.psk,
                   "--pin", self.public]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout == CONTENT, "another content"
        return time.perf_counter() - begun

    def first_message(self, port):
        """Message 1 of an honest client, as somebody on the way sees it."""
        seen = bytearray()

        def relay(listener):
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                other = {client: server, server: client}
                while ready := select.select([client, server], [], [], TIMEOUT_S)[0]:
                    for source in ready:
                        data = source.recv(65536)
                        if not data:
                            return
                        if source is client:
                            seen.extend(data)
                        other[source].sendall(data)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=relay, args=(listener,), daemon=True)
            thread.start()
            self.fetch(listener.getsockname()[1])
            thread.join(TIMEOUT_S)
        assert seen.startswith(HEAD), seen[:8]
        return bytes(seen[:FIRST_LEN])


class Strangers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="coracle-keys-")
        self.addCleanup(folder.cleanup)
        self.keys = Keys(folder.name)

    def compare(self, what, make_message):
        """Fetches from a server under attack in turn with one that is left in peace, on the same machine at the same time. What
        else the machine does may meet one of them more: the best of some rounds counts."""
        with self.keys.serve() as attacked, self.keys.serve() as calm:
            for server in (attacked, calm):
                server.write("file", CONTENT)
            message = make_message(attacked)
            with attacking(flood, attacked.address, message):
                for _ in range(3):
                    ratio, told = self.round(attacked, calm)
                    if ratio <= 2.0:
                        break
                attacked.lives()
        figure(f"1 MiB encrypted beside strangers {what}: {told}")
        self.assertLessEqual(ratio, 2.0, told)

    def round(self, attacked, calm):
        """Until enough strangers have come: how many times as long a fetch takes beside them, by the medians, and that in words."""
        before, begun = attacked.number("handshakes_total"), time.monotonic()
        fetches, came, times = amount(5, 9, 60), 0, {attacked: [], calm: []}
        while came < STRANGERS or len(times[calm]) < fetches:
            for server in (calm, attacked):
                times[server].append(self.keys.fetch(server.port))
            came = attacked.number("handshakes_total") - before - len(times[attacked])
        rate = came / (time.monotonic() - begun)
        median, calm_median = (statistics.median(times[server]) for server in (attacked, calm))
        ratio = median / calm_median
        return ratio, (f"{median * 1000:.1f} ms and {calm_median * 1000:.1f} ms without them, {ratio:.2f} x; {came:.0f} failed "
                       f"handshakes, {rate:,.0f} a second, and {len(times[calm])} fetches")

    def test_e7_strangers_without_the_pre_shared_key_slow_nobody_down(self):
        self.compare("without the pre-shared key", lambda server: None)

    def test_e7_strangers_that_repeat_message_1_slow_nobody_down(self):
        self.compare("with a replayed message 1", lambda server: self.keys.first_message(server.port))
