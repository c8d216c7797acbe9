"""Uploads whose connection is cut at any byte, and writers and readers of one name at the same time."""
import collections
import hashlib
import json
import os
import random
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

from harness import TIMEOUT_S, Answer, Connection, Server, Settings, amount, figure, wait_for

WRITING = ("-q", "--write", "--allow-plain-writes")
SIZES = [0, 1, 5_000, 70_000, 700_000, 700_000, 4_000_000]
# A request, and what the server answers before and behind a body, have some hundred bytes: those are cut in, too.
LINES = 500


class Wire:
    """Carries bytes between clients and the server. `cuts` are for the first connections, one each: which way, after how many
    bytes, and whether by a reset. `held` is called once, when so many bytes have gone up; nothing is carried meanwhile."""

    def __init__(self, server, cuts=(), hold_at=None, held=None):
        self.server, self.cuts, self.hold_at, self.held = server, list(cuts), hold_at, held
        self.carried = collections.Counter()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            cut = self.cuts.pop(0) if self.cuts else None
            threading.Thread(target=self.carry, args=(client, cut), daemon=True).start()

    def carry(self, client, cut):
        with client, socket.create_connection(self.server.address) as server:
            ways = {client: ("up", server), server: ("down", client)}
            left = {way: cut[1] if cut and cut[0] == way else None for way, _ in ways.values()}
            try:
                while ways:
                    for source in select.select(list(ways), [], [])[0]:
                        way, sink = ways[source]
                        piece = source.recv(65536 if left[way] is None else min(65536, left[way]))
                        sink.sendall(piece)
                        self.carried[way] += len(piece)
                        if self.hold_at is not None and self.carried["up"] >= self.hold_at:
                            self.hold_at = None
                            self.held(client, server)
                        if not piece:
                            sink.shutdown(socket.SHUT_WR)
                            del ways[source]
                        elif left[way] is not None:
                            left[way] -= len(piece)
                            if not left[way]:
                                raise ConnectionAbortedError
            except OSError:
                if cut and cut[2]:
                    for end in (client, server):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self):
        self.listener.close()


def put(host, path, name, *arguments):
    command = [Settings.program, "put", host, path, "-o", name, *arguments]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)


def contents(server, name):
    try:
        with open(os.path.join(server.folder, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def request(name, body, version=None):
    members = {"type": "put", "fileName": name, "fileSize": len(body), "crc32": f"{zlib.crc32(body):08x}"}
    return json.dumps(members | ({"version": version} if version else {})).encode() + b"\n"


def begin(connection, name, body, version=None):
    """Asks to send a file; where it begins."""
    connection.socket.sendall(request(name, body, version))
    return connection.line()["offset"]


class Uploads(unittest.TestCase):
    def test_u1_u4_cut_at_any_byte_and_resumed(self):
        rounds = amount(15, 25, 1000)
        counts = collections.Counter()
        choose = random.Random(8)
        with Server(*WRITING) as server, tempfile.TemporaryDirectory(prefix="coracle-uploads-") as home:
            path = os.path.join(home, "file")
            for number in range(rounds):
                size = choose.choice(SIZES)
                new, old = choose.randbytes(size), choose.choice([None, choose.randbytes(100)])
                name = f"d{number % 3}/file" if number % 4 == 0 else "file"
                os.makedirs(os.path.dirname(os.path.join(server.folder, name)), exist_ok=True)
                if old is not None:
                    server.write(name, old)
                with open(path, "wb") as file:
                    file.write(new)
                cuts = [self.cut(choose, size) for _ in range(choose.choice([1, 1, 2]))]
                self.round(server, path, name, old, new, cuts, f"round {number}, {size} bytes, cuts {cuts}", counts)
                os.remove(os.path.join(server.folder, name))
        self.assertGreater(counts["cut"], rounds * 0.3, counts)
        self.assertGreater(counts["resumed"] + counts["retried"], rounds * 0.1, counts)
        figure(f"cut uploads: {rounds} rounds, " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
               + "; 0 wrong files, nothing left over")

    def cut(self, choose, size):
        way = choose.choice(["up", "up", "up", "down"])
        return way, choose.randrange(1, size + LINES if way == "up" else LINES), choose.random() < 0.5

    def round(self, server, path, name, old, new, cuts, where, counts):
        # Half of them go on by themselves.
        retries = "3" if len(cuts) > 1 else "0"
        wire = Wire(server, cuts)
        ran = put(wire.host, path, name, "-f", "--retries", retries)
        wire.close()
        self.assertIn(ran.returncode, (0,) if retries == "3" else (0, 3), f"{where}: {ran.stderr}")
        counts["retried" if retries == "3" else "cut" if ran.returncode else "sent"] += 1
        found = contents(server, name)
        self.assertIn(found, [new] if ran.returncode == 0 else [new, old], where)
        folder = os.path.dirname(os.path.join(server.folder, name))
        had = sum(os.path.getsize(os.path.join(folder, kept)) for kept in os.listdir(folder) if kept.endswith(".upload"))
        while True:
            wire = Wire(server)
            ran = put(wire.host, path, name, "-f", "--retries", "0")
            wire.close()
            # What came over the first connection may still be on its way to the disk.
            if b"another client is sending" not in ran.stderr:
                break
            counts["had to wait"] += 1
            had = sum(os.path.getsize(os.path.join(folder, kept)) for kept in os.listdir(folder) if kept.endswith(".upload"))
        self.assertEqual(ran.returncode, 0, f"{where}: {ran.stderr}")
        self.assertTrue(contents(server, name) == new, f"{where}: a wrong file")
        self.assertLess(wire.carried["up"], (0 if found == new else len(new) - had) + 2 * LINES, f"{where}: more was sent than was missing")
        counts["resumed"] += had > 0
        left = [kept for _, _, names in os.walk(server.folder) for kept in names]
        self.assertEqual(left, [os.path.basename(name)], where)

    def test_u5_a_writer_that_is_gone_is_displaced_and_one_that_sends_is_not(self):
        body = random.Random(9).randbytes(300_000)
        with Server(*WRITING) as server, tempfile.TemporaryDirectory(prefix="coracle-uploads-") as home:
            path = os.path.join(home, "file")
            with open(path, "wb") as file:
                file.write(body)
            identity = {"type": "put", "fileName": "file", "fileSize": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            with Connection(server.address) as silent:
                silent.socket.sendall(json.dumps(identity).encode() + b"\n")
                self.assertEqual(silent.line()["offset"], 0)
                silent.socket.sendall(body[:100_000])
                begun = time.monotonic()
                ran = put(server.host, path, "file", "--retries", "0", "--json")
                took = time.monotonic() - begun
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertGreater(took, 1.5, "the first one was silent for less than 2 s")
                self.assertEqual(json.loads(ran.stdout.splitlines()[0])["resumed"], 100_000)
                self.assertEqual(contents(server, "file"), body)
                # It is told, and what it sends from now on is nobody's.
                silent.socket.sendall(body[100_000:100_100])
                self.assertRaisesRegex(Answer, "inUse", silent.line)
            os.remove(os.path.join(server.folder, "file"))
            with Connection(server.address) as sender:
                sender.socket.sendall(json.dumps(identity).encode() + b"\n")
                self.assertEqual(sender.line()["offset"], 0)
                second = subprocess.Popen([Settings.program, "put", server.host, path, "--retries", "0"],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                sent = 0
                while second.poll() is None and sent + 1_000 < len(body):
                    sender.socket.sendall(body[sent:sent + 1_000])
                    sent += 1_000
                    time.sleep(0.05)
                _, errors = second.communicate(timeout=TIMEOUT_S)
                self.assertEqual(second.returncode, 1, errors)
                self.assertIn(b"another client is sending to that name", errors)
                sender.socket.sendall(body[sent:])
                self.assertEqual(sender.line()["type"], "end")
            self.assertEqual(contents(server, "file"), body)

    def test_u1_u2_what_was_kept_and_is_damaged_is_sent_anew(self):
        body = random.Random(13).randbytes(300_000)
        identity = {"type": "put", "fileName": "file", "fileSize": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        with Server(*WRITING) as server, tempfile.TemporaryDirectory(prefix="coracle-uploads-") as home:
            path = os.path.join(home, "file")
            with open(path, "wb") as file:
                file.write(body)
            with Connection(server.address) as first:
                first.socket.sendall(json.dumps(identity).encode() + b"\n")
                self.assertEqual(first.line()["offset"], 0)
            [kept] = os.listdir(server.folder)
            # As a power cut leaves it: all of its length, and none of its bytes.
            os.truncate(os.path.join(server.folder, kept), len(body))
            ran = wait_for("the name", lambda: b"another client" not in (again := put(server.host, path, "file")).stderr and again)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertEqual(contents(server, "file"), body)
            self.assertEqual(os.listdir(server.folder), ["file"])

    def test_u5_what_is_on_its_way_when_a_connection_breaks_is_waited_for(self):
        body = random.Random(12).randbytes(600_000)
        with Server(*WRITING) as server, tempfile.TemporaryDirectory(prefix="coracle-uploads-") as home:
            path = os.path.join(home, "file")
            with open(path, "wb") as file:
                file.write(body)
            # The client's end breaks; what it had sent goes on to the server for a while.
            wire = Wire(server, hold_at=200_000)
            late = threading.Event()

            def held(client, upstream):
                rest = client.recv(60_000, socket.MSG_WAITALL)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                for at in range(0, len(rest), 1_000):
                    upstream.sendall(rest[at:at + 1_000])
                    time.sleep(0.03)
                late.set()
                raise ConnectionAbortedError

            wire.held = held
            ran = put(wire.host, path, "file", "--retries", "6")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertTrue(late.is_set(), "the client did not wait")
            self.assertEqual(contents(server, "file"), body)
            wire.close()

    def test_u6_other_contents_for_a_name_that_is_written_wait_for_nobody(self):
        with Server(*WRITING) as server, tempfile.TemporaryDirectory(prefix="coracle-uploads-") as home:
            path = os.path.join(home, "file")
            with open(path, "wb") as file:
                file.write(b"the second writer's")
            with Connection(server.address) as first:
                begin(first, "file", b"the first one's")
                ran = put(server.host, path, "file", "-f", "--retries", "0")
                self.assertEqual(ran.returncode, 1, ran.stderr)
                self.assertIsNone(contents(server, "file"))
                first.socket.sendall(b"the first one's")
                self.assertEqual(first.line()["type"], "end")
            self.assertEqual(put(server.host, path, "file").returncode, 1, "it replaces nothing unasked")
            self.assertEqual(contents(server, "file"), b"the first one's")
            self.assertEqual(put(server.host, path, "file", "-f").returncode, 0)
            self.assertEqual(contents(server, "file"), b"the second writer's")

    def test_u20_a_file_that_changes_while_it_is_sent_is_not_stored(self):
        # More than sockets hold.
        old = random.Random(10).randbytes(24 << 20)
        with Server(*WRITING) as server, tempfile.TemporaryDirectory(prefix="coracle-uploads-") as home:
            path = os.path.join(home, "file")

            def change(mode, where, piece):
                with open(path, mode) as file:
                    file.seek(0, where)
                    file.write(piece)

            changes = {
                "appended to": lambda *_: change("ab", os.SEEK_END, b"more"),
                "overwritten at the beginning": lambda *_: change("r+b", os.SEEK_SET, b"other"),
                "cut": lambda *_: os.truncate(path, 1000),
            }
            for what, held in changes.items():
                with open(path, "wb") as file:
                    file.write(old)
                wire = Wire(server, hold_at=1 << 20, held=held)
                ran = put(wire.host, path, "file", "--retries", "0")
                wire.close()
                self.assertEqual(ran.returncode, 5, f"{what}: {ran.stderr}")
                self.assertIn(b"changed", ran.stderr, what)
                self.assertIsNone(contents(server, "file"), f"{what}: something was stored")
                # What came over the first connection may still be on its way to the disk.
                wait_for("the name", lambda: b"another client is sending" not in (again := put(server.host, path, "file")).stderr
                         and self.assertEqual(again.returncode, 0, f"{what}: {again.stderr}") is None)
                with open(path, "rb") as file:
                    self.assertTrue(contents(server, "file") == file.read(), what)
                os.remove(os.path.join(server.folder, "file"))
                self.assertEqual(os.listdir(server.folder), [], what)

    def test_u20_standard_input_is_sent_when_it_has_ended(self):
        body = random.Random(11).randbytes(3_000_000)
        with Server(*WRITING) as server:
            command = [Settings.program, "put", server.host, "-", "-o", "log"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
                for at in range(0, len(body), 500_000):
                    sender.stdin.write(body[at:at + 500_000])
                    sender.stdin.flush()
                    time.sleep(0.02)
                    self.assertEqual(os.listdir(server.folder), [], "it is sent before its size is known")
                _, errors = sender.communicate(timeout=TIMEOUT_S)
                self.assertEqual(sender.returncode, 0, errors)
            self.assertTrue(contents(server, "log") == body)
            # Where there is no room to spool it, nothing is sent.
            ran = subprocess.run(command, input=body, capture_output=True, timeout=TIMEOUT_S, env={"TMPDIR": "/nonexistent"})
            self.assertEqual(ran.returncode, 5, ran.stderr)
            self.assertEqual(os.listdir(server.folder), ["log"])
            self.assertTrue(contents(server, "log") == body)

    def test_u3_u6_u16_writers_lose_no_update_and_readers_see_whole_files(self):
        wanted = amount(30, 60, 3000)
        with Server(*WRITING) as server:
            server.write("counter", count(0, 0))
            counts = collections.Counter()
            stop = threading.Event()
            failures = []
            workers = [(update, number) for number in range(4)] + [(watch, None)] * 2

            def work(job, argument):
                try:
                    job(server, stop, counts, wanted, argument)
                except Exception as error:  # told at the end
                    failures.append(error)
                    stop.set()

            threads = [threading.Thread(target=work, args=worker) for worker in workers]
            for thread in threads:
                thread.start()
            wait_for("the writers", stop.is_set, timeout_s=TIMEOUT_S + wanted / 10)
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            final = value(contents(server, "counter"))
            self.assertEqual(final, counts["stored"], f"an update was lost, or one counted that was refused: {counts}")
            self.assertEqual(os.listdir(server.folder), ["counter"])
            figure(f"one name: {counts['stored']} updates by 4 writers, {counts['refused']} refused, "
                   f"{counts['read']} reads; none lost, no reader saw a mixture")


def count(number, writer):
    """Contents that tell a number, and whether they are of one piece."""
    return f"{number:06d}{writer}".encode() * 3_000


def value(body):
    assert body == body[:7] * 3_000, "a mixture"
    return int(body[:6])


def read(connection):
    """The number, and the version that it has."""
    connection.send({"type": "get", "fileName": "counter"})
    header = connection.line()
    body = connection.input.read(header["length"])
    assert connection.line()["crc32"] == f"{zlib.crc32(body):08x}"
    return value(body), header["version"]


def update(server, stop, counts, wanted, writer):
    """Counts one further again and again, where nobody else did meanwhile."""
    connection = Connection(server.address)
    while not stop.is_set():
        try:
            number, version = read(connection)
            body = count(number + 1, writer)
            offset = begin(connection, "counter", body, version)
            connection.socket.sendall(body[offset:])
            connection.line()
        except Answer as error:
            assert str(error) in ("inUse", "changed"), error
            counts["refused"] += 1
        except ConnectionError:
            connection.close()
            connection = Connection(server.address)
        else:
            counts["stored"] += 1
            if counts["stored"] >= wanted:
                stop.set()
    connection.close()


def watch(server, stop, counts, _wanted, _):
    """Reads again and again: what is read never goes back."""
    last = 0
    with Connection(server.address) as connection:
        while not stop.is_set():
            try:
                number, _ = read(connection)
            except Answer as error:
                # It was replaced meanwhile, so its digest is not sent.
                assert str(error) == "changed", error
                continue
            assert number >= last, f"{number} behind {last}"
            last = number
            counts["read"] += 1
