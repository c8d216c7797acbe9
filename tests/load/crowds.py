"""Many clients at once: slow, silent and greedy ones, and more than a thousand new connections a second."""
import collections
import heapq
import json
import os
import random
import select
import socket
import statistics
import struct
import subprocess
import time
import unittest
import zlib

from harness import TIMEOUT_S, Answer, Connection, Server, amount, attacking, bench_client, fetch, figure, fork, slowdown, wait_for

SMALL = os.urandom(1024)
RESET = struct.pack("ii", 1, 0)
# Linux; Python 3.11 does not name it.
IP_BIND_ADDRESS_NO_PORT = 24


def slow_loris(end, address, count, pause):
    """`count` connections, each sending a byte of a request every `pause` seconds, and beginning again when it is lost."""
    poll = select.epoll()
    held, due = {}, [(time.monotonic() + random.uniform(0, 1), number, None) for number in range(count)]
    heapq.heapify(due)
    while not end.is_set():
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, number, sock = heapq.heappop(due)
            if sock is None or sock.fileno() < 0:
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(address)
                held[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
            else:
                try:
                    sock.send(b"{" if random.random() < 0.3 else b" ")
                except OSError:
                    pass
            heapq.heappush(due, (now + pause * random.uniform(0.7, 1.3), number, sock))
        for descriptor, _ in poll.poll(0.05):
            poll.unregister(descriptor)
            held.pop(descriptor).close()
    for sock in held.values():
        sock.close()


def slow_readers(end, address, count, name, bytes_a_second):
    """`count` clients that ask for a large file, and read so much of it; 0: nothing."""
    clients = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(TIMEOUT_S)
        sock.connect(address)
        sock.sendall(b'{"type":"get","fileName":"%s"}' % name.encode())
        sock.setblocking(False)
        clients.append(sock)
    while not end.wait(1):
        for sock in clients if bytes_a_second else []:
            try:
                sock.recv(bytes_a_second)
            except OSError:
                pass
    for sock in clients:
        sock.close()


def storm(end, address, rate, total, made, source=None):
    """`total` connections at `rate` a second, of all manners, each of which stays for about a third of a second."""
    open_ones = collections.deque()
    begun = time.monotonic()
    for number in range(total):
        ahead = begun + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        if end.is_set():
            break
        sock = socket.socket()
        sock.setblocking(False)
        if source:
            # Else the kernel chooses a port that is free towards everybody, and runs out of them.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        sock.connect_ex(address)
        open_ones.append((number, sock))
        made.value = number + 1
        if len(open_ones) > 300:
            leave(*open_ones.popleft())
        if number % 4 == 1 and len(open_ones) > 1:
            try:
                open_ones[-2][1].send(b'{"type":"hello"}' if number % 8 == 1 else b"{")
            except OSError:
                pass
    while open_ones:
        leave(*open_ones.popleft())


def leave(number, sock):
    if number % 3 == 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def greedy(end, address, source, count):
    """Takes as many places as it can, with honest questions from one address, and tries again once a second."""
    taken = []
    while not end.is_set():
        while len(taken) < count and not end.is_set():
            try:
                connection = Connection(address, source, timeout=5)
                connection.hello()
                taken.append(connection)
            except (Answer, OSError):
                break
        end.wait(0.2)
    for connection in taken:
        connection.close()


class Crowds(unittest.TestCase):
    def compare(self, attack, places, arguments, expected, what):
        """Lets `attack` begin, waits until it has `expected` places, and compares an honest client's fetches."""
        fetches = amount(100, 300, 2000)
        with Server("-q", *arguments) as calm, Server("-q", "--max-clients", str(places), *arguments) as attacked:
            for server in (calm, attacked):
                server.write("small", SMALL)
                with open(os.path.join(server.folder, "large"), "wb") as file:
                    file.truncate(64 << 20)
            # A file that was just modified is served more carefully, and its digest is not remembered.
            time.sleep(2.1)
            for server in (calm, attacked):
                fetch(server, "small", SMALL)
            before = attacked.status("VmRSS")
            with attacking(attack, attacked.address, *what):
                wait_for("the attack", lambda: attacked.number("clients") >= expected)
                # So that silent clients differ from new ones.
                time.sleep(1.5)
                ratio, median, calm_median, worst = slowdown(attacked, calm, "small", SMALL, fetches)
                held = attacked.number("clients")
                grown = (attacked.status("VmRSS") - before) / max(1, held)
            self.assertGreaterEqual(held, expected * 0.9, "they did not hold their places")
            wait_for("the attackers' places", lambda: attacked.number("clients") == 0)
        report = (f"{ratio:.2f} x the time without them ({median * 1e6:.0f} to {calm_median * 1e6:.0f} us, at worst "
                  f"{worst * 1e3:.1f} ms), {held:.0f} places held, {grown:.0f} KiB each")
        self.assertLessEqual(ratio, 2.0, report)
        self.assertLess(grown, 200, report)
        return report

    def test_c2_500_slow_loris_clients_more_than_there_are_places(self):
        report = self.compare(slow_loris, 256, [], 250, (500, 2.0))
        figure(f"500 slow-loris clients, 256 places: a fetch of 1 KiB takes {report}")

    def test_c2_500_slow_loris_clients_and_a_place_for_each(self):
        report = self.compare(slow_loris, 1024, [], 450, (500, 2.0))
        figure(f"500 slow-loris clients, 1,024 places: a fetch of 1 KiB takes {report}")

    def test_c3_500_slow_readers(self):
        report = self.compare(slow_readers, 1024, [], 500, (500, "large", 1000))
        figure(f"500 slow readers, 1,024 places: a fetch of 1 KiB takes {report}")

    def test_c3_who_reads_nothing_is_left(self):
        """Nothing at all, against the stall deadline; a little, against the lowest rate."""
        for arguments, rate in [(["--stall-timeout", "2s"], 0), (["--stall-timeout", "2s", "--min-rate", "1MB"], 1000)]:
            with Server("-q", "--max-clients", "1024", *arguments) as server:
                server.write("small", SMALL)
                with open(os.path.join(server.folder, "large"), "wb") as file:
                    file.truncate(64 << 20)
                with attacking(slow_readers, server.address, 200, "large", rate):
                    wait_for("the attack", lambda: server.number("connections_total") == 200)
                    begun = time.monotonic()
                    wait_for("their end", lambda: server.number("clients") == 0)
                    took = time.monotonic() - begun
                    fetch(server, "small", SMALL)
                self.assertLess(took, 20)
        figure(f"200 slow readers, stall deadline 2 s, lowest rate 1 MB/s: all gone after {took:.1f} s")

    def test_c8_1000_connections_a_second(self):
        seconds, rate, places = amount(3, 10, 10), 1000, 64
        with Server("-v", "--log-format", "json", "--max-clients", str(places)) as server:
            server.write("small", SMALL)
            fetch(server, "small", SMALL)
            before = server.status("VmRSS")
            made = fork.Value("i", 0)
            threads, served, busy = 0, 0, 0
            begun = time.monotonic()
            with attacking(storm, server.address, rate, rate * seconds, made) as attack:
                while attack.is_alive():
                    threads = max(threads, server.status("Threads"))
                    try:
                        fetch(server, "small", SMALL)
                        served += 1
                    except (Answer, OSError):
                        busy += 1
                    time.sleep(0.02)
            took = time.monotonic() - begun
            ended = time.monotonic()
            waited = self.until_normal(server, ended)
            grown = server.status("VmHWM") - before
            self.assertEqual(made.value, rate * seconds)
            # As the server counts them when each comes.
            most = max(line["live"] for line in server.told("connected"))
            self.assertLessEqual(most, places, "the cap does not hold")
            # Threads that wait at the listener, and those of the program itself, come on top of the clients'.
            self.assertLess(threads, places + 64 + 16)
            self.assertLess(grown, 32 * 1024)
            wait_for("the end of all", lambda: server.number("clients") == 0)
        figure(f"{made.value} connections in {took:.1f} s: at most {most:.0f} of {places} places, {threads} threads, "
               f"{grown} KiB more; {served} of {served + busy} fetches meanwhile; normal again after {waited * 1e3:.0f} ms")

    def test_x3_1000_connections_a_second_from_one_address(self):
        """With a limit for each address the others do not even notice."""
        seconds, rate = amount(2, 4, 10), 1000
        with Server("-q", "--max-clients", "64", "--max-clients-per-address", "16") as server:
            server.write("small", SMALL)
            made, times = fork.Value("i", 0), []
            with attacking(storm, server.address, rate, rate * seconds, made, "127.0.0.2") as attack:
                wait_for("the attack", lambda: server.number("refused_over_share_total") > 0)
                while attack.is_alive():
                    times.append(fetch(server, "small", SMALL))
                    time.sleep(0.01)
            self.assertEqual(made.value, rate * seconds)
            refused = server.number("refused_over_share_total")
        figure(f"{made.value} connections from one address, of which {refused:.0f} were over its 16 places: all {len(times)} "
               f"fetches of others served, the median within {statistics.median(times) * 1e6:.0f} us")

    def until_normal(self, server, ended):
        """How long after `ended` twenty fetches in a row succeed."""
        def served():
            try:
                begun = time.monotonic()
                for _ in range(20):
                    fetch(server, "small", SMALL)
                return begun
            except (Answer, OSError):
                return None

        return wait_for("normal service", served) - ended

    def test_x3_one_address_takes_all_places(self):
        served = {}
        for share in (None, 16):
            arguments = ["--max-clients-per-address", str(share)] if share else []
            with Server("-q", "--max-clients", "64", *arguments) as server:
                server.write("small", SMALL)
                with attacking(greedy, server.address, "127.0.0.2", 500):
                    wait_for("the attack", lambda: server.number("clients") >= (share or 64))
                    time.sleep(1.2)
                    served[share] = 0
                    for number in range(100):
                        try:
                            fetch(server, "small", SMALL, f"127.0.0.{3 + number % 20}")
                            served[share] += 1
                        except (Answer, OSError):
                            pass
                    wait_for("the end of the last of them", lambda: server.number("clients") == (share or 64))
                    self.assertEqual(server.number("refused_over_share_total") > 0, share is not None)
        # Without a limit it is as .github/SECURITY.md says.
        self.assertEqual(served, {None: 0, 16: 100})
        figure(f"one address takes all 64 places: {served[None]} of 100 others served; with a limit of 16 {served[16]} of 100")

    def test_c20_2000_clients_within_a_second(self):
        """64 places and 2,000 of the library's clients, a mebibyte for each: all are served, and none waits for a place it has missed."""
        fetches, places = amount(500, 2000, 5000), 64
        content = os.urandom(1 << 20)
        with Server("-q", "--max-clients", str(places)) as server:
            server.write("mebibyte.bin", content)
            # A file that was just modified is served more carefully, and its digest is not remembered.
            time.sleep(2.1)
            command = [bench_client(), "crowd", "--dialect", "coracle-crc32", "--address", server.host, "--name", "mebibyte.bin",
                       "--size", str(len(content)), "--crc32", f"{zlib.crc32(content):08x}", "--fetches", str(fetches)]
            steady, crowd = (json.loads(subprocess.run([*command, *clients], check=True, stdout=subprocess.PIPE).stdout)
                             for clients in (["--clients", str(places)], []))
            self.assertEqual((steady["fetches"], crowd["fetches"]), (fetches, fetches))
            self.assertGreater(server.number("refused_total") + server.number("wait_seconds_count"), 0, "no client has found all places taken")
        figure(f"{fetches} clients within a second at {places} places, 1 MiB each: all served, in {crowd['seconds']:.2f} s, "
               f"{crowd['seconds'] / steady['seconds']:.2f} x what {places} steady ones take; the slowest "
               f"{crowd['slowest_seconds'] / crowd['median_seconds']:.2f} x the median")

    def test_f3_endless_lines(self):
        """A line without an end, of any kind, costs an answer and no memory, and slows no other client down."""
        length = amount(10, 20, 200) << 20
        kinds = [(b'{"type":"hello","x":"', b"x", "tooLong"), (b'{"type":"hello","x":[', b"1,", "tooLong"),
                 (b"", b"\x00", "badRequest"), (b"", b"x", "badRequest"), (b'{"x":', b"{", "badRequest")]
        with Server("-q") as server:
            server.write("small", SMALL)
            fetch(server, "small", SMALL)
            before = server.status("VmRSS")
            sent = 0
            for start, noise, code in kinds * 2:
                piece = noise * (65536 // len(noise))
                with Connection(server.address) as connection:
                    left = length
                    connection.socket.sendall(start)
                    try:
                        while left > 0:
                            connection.socket.sendall(piece)
                            left -= len(piece)
                            sent += len(piece)
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                    self.answers(connection, code, noise)
                fetch(server, "small", SMALL)
            grown = server.status("VmHWM") - before
            self.assertLess(grown, 2048, "it grows with what it is sent")
            wait_for("the end of all", lambda: server.number("clients") == 0)
        figure(f"endless lines, {sent >> 20} MiB taken of {len(kinds) * 2 * length >> 20}: {grown} KiB of memory more")

    def answers(self, connection, code, noise):
        """One error line, unless a reset was faster."""
        try:
            rest = connection.input.read()
        except ConnectionResetError:
            return
        self.assertEqual(rest.count(b"\n"), 1 if rest else 0, rest)
        self.assertIn(f'"code":"{code}"'.encode() if rest else b"", rest)
        self.assertNotIn(noise * 8, rest)
