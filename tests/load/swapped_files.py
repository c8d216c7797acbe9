"""Served files that change at the worst moment: links replace files and directories, files change while they are sent."""
import hashlib
import json
import os
import random
import subprocess
import tempfile
import threading
import time
import unittest

from proxy import Proxy
from harness import Connection, Server, Settings, amount, attacking, figure

INSIDE = b"inside\n"
OUTSIDE = b"what lies outside of the root\n"
BATCH = 32


def swap(end, root):
    """Lets a file and a directory take turns with links to outside, as fast as it can."""
    at = lambda name: os.path.join(root, name)
    while not end.is_set():
        for _ in range(100):
            os.symlink("../outside/secret", at("next"))
            os.rename(at("next"), at("file"))
            os.symlink("../outside", at("link"))
            os.rename(at("folder"), at("aside"))
            os.rename(at("link"), at("folder"))
            with open(at("next"), "wb") as file:
                file.write(INSIDE)
            os.rename(at("next"), at("file"))
            os.remove(at("folder"))
            os.rename(at("aside"), at("folder"))


class Swaps(unittest.TestCase):
    def test_p12_p13_links_swapped_in_while_it_is_opened(self):
        tries = amount(3_000, 10_000, 100_000)
        requests = [{"type": "get", "fileName": "file"}, {"type": "get", "fileName": "folder/secret"},
                    {"type": "stat", "fileName": "file", "digest": "crc32"}, {"type": "stat", "fileName": "folder/secret"},
                    {"type": "list", "path": "folder"}]
        seen, leaked, made = {}, 0, 0
        with tempfile.TemporaryDirectory(prefix="coracle-adversaries-") as top:
            for folder in ("root", "root/folder", "outside"):
                os.mkdir(os.path.join(top, folder))
            for name, content in [("root/file", INSIDE), ("root/folder/secret", INSIDE), ("outside/secret", OUTSIDE),
                                  ("outside/other", OUTSIDE)]:
                with open(os.path.join(top, name), "wb") as file:
                    file.write(content)
            with Server("-q", folder=os.path.join(top, "root")) as server, \
                    attacking(swap, os.path.join(top, "root")), Connection(server.address) as connection:
                while made < tries:
                    batch = random.choices(requests, k=BATCH)
                    connection.socket.sendall(b"".join(json.dumps(request).encode() for request in batch))
                    for request in batch:
                        outcome = self.outcome(connection, request)
                        leaked += outcome == "leaked"
                        seen[outcome] = seen.get(outcome, 0) + 1
                        made += 1
        self.assertEqual(leaked, 0, f"of {made}: {seen}")
        # Both sides of the swap were met, often enough that its middle was, too.
        for outcome in ("inside", "denied"):
            self.assertGreater(seen.get(outcome, 0), made / 20, seen)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(seen.items()))
        figure(f"links swapped in while it is opened: 0 of {made} tries read anything outside ({counts})")

    def outcome(self, connection, request):
        """How an answer ended; `leaked` where anything in it comes from outside."""
        line = json.loads(connection.input.readline())
        if request["type"] == "list":
            entries = []
            while line["type"] == "entry":
                entries.append((line["fileName"], line["fileSize"]))
                line = json.loads(connection.input.readline())
            if entries not in ([], [("folder/secret", len(INSIDE))]):
                return "leaked"
        if line["type"] == "error":
            return line["code"]
        if line["type"] == "file":
            body = INSIDE
            if request["type"] == "get":
                body = connection.input.read(line["length"])
                end = json.loads(connection.input.readline())
                self.assertIn((end["type"], end.get("code")), [("end", None), ("error", "changed")])
            # Of the other file not even the size is told.
            if line["fileSize"] != len(INSIDE) or body != INSIDE:
                return "leaked"
        return "inside"

    def test_s1_s2_s3_s4_s6_files_rewritten_while_they_are_sent(self):
        """Every client ends with a state that the file had, or with an error; never with two of them spliced."""
        rounds = amount(20, 60, 600)
        codes, states = {}, 0
        with Server("-q") as server, tempfile.TemporaryDirectory(prefix="coracle-adversaries-") as home:
            for number in range(rounds):
                path = os.path.join(server.folder, f"file{number}")
                writer = Writer(path, random.Random(number))
                mutating = threading.Thread(target=writer.run)
                output = os.path.join(home, f"{number}")
                # Slow enough that most of it is sent while the file changes.
                proxy = Proxy(server, random.Random(number).choice([0, 0.001, 0.004]))
                command = [Settings.program, "get", proxy.host, f"file{number}", "-o", output]
                options = [[], ["--snapshot"], ["--digest", "sha256"], ["--retries", "1"]]
                mutating.start()
                ran = subprocess.run([*command, *random.Random(number).choice(options)], capture_output=True, timeout=60)
                if number % 3 == 0 and ran.returncode != 0:
                    # What was left is gone on with, whatever has become of the file.
                    ran = subprocess.run(command, capture_output=True, timeout=60)
                writer.over = True
                mutating.join()
                proxy.close()
                self.assertIn(ran.returncode, (0, 1, 3), ran.stderr)
                self.assertEqual(os.path.exists(output), ran.returncode == 0, ran.stderr)
                if ran.returncode == 0:
                    with open(output, "rb") as file:
                        got = hashlib.file_digest(file, "sha256").digest()
                    self.assertIn(got, writer.states, f"round {number}: {os.path.getsize(output)} bytes are no state of it")
                codes[ran.returncode] = codes.get(ran.returncode, 0) + 1
                states += len(writer.states)
                os.remove(path) if os.path.exists(path) else None
            server.lives()
        self.assertGreater(codes.get(0, 0), rounds / 4, codes)
        figure(f"files rewritten while they are sent: {rounds} fetches, {states} states of the files, {codes.get(0, 0)} whole "
               f"ones and {rounds - codes.get(0, 0)} errors, 0 spliced")


class Writer:
    """Changes a file again and again, and knows every state that it had. No state is like another one anywhere."""

    def __init__(self, path, random):
        self.path, self.random, self.over = path, random, False
        self.states, self.content, self.count = set(), b"", 0
        self.replace()

    def run(self):
        ways = [self.replace, self.rewrite, self.append, self.shrink, self.remove]
        moment = self.random.choice([0.001, 0.02, 0.1])
        time.sleep(self.random.uniform(0, 0.01))
        for _ in range(self.random.choice([1, 2, 3, 5, 100])):
            if self.over:
                return
            self.random.choice(ways)()
            # A clock that ticks every 10 ms tells no two changes within one tick apart.
            time.sleep(0.012 + self.random.expovariate(1 / moment))

    def fresh(self, size):
        self.count += 1
        return hashlib.shake_128(b"%s %d" % (self.path.encode(), self.count)).digest(size)

    def note(self, content):
        self.content = content
        self.states.add(hashlib.sha256(content).digest())

    def replace(self):
        content = self.fresh(self.random.choice([100, 300_000, 2_000_000, 2_000_000]))
        with open(self.path + ".new", "wb") as file:
            file.write(content)
        self.note(content)
        os.rename(self.path + ".new", self.path)

    def rewrite(self):
        """In place, a page at a time: each of its states may be seen."""
        if not os.path.exists(self.path):
            return self.replace()
        descriptor = os.open(self.path, os.O_WRONLY)
        for _ in range(self.random.choice([1, 3])):
            at = self.random.randrange(0, max(1, len(self.content) - 4096), 4096) if len(self.content) > 4096 else 0
            piece = self.fresh(min(4096, len(self.content) - at))
            self.note(self.content[:at] + piece + self.content[at + len(piece):])
            os.pwrite(descriptor, piece, at)
            time.sleep(0.012)
        os.close(descriptor)

    def append(self):
        piece = self.fresh(4096 - len(self.content) % 4096)
        self.note(self.content + piece)
        with open(self.path, "ab") as file:
            if file.tell() == 0:
                self.note(piece)
            file.write(piece)

    def shrink(self):
        if os.path.exists(self.path):
            size = self.random.randrange(len(self.content) + 1)
            self.note(self.content[:size])
            os.truncate(self.path, size)

    def remove(self):
        if os.path.exists(self.path):
            os.remove(self.path)
            self.content = b""
