"""Downloads that are killed at any byte and run again: no wrong file, and no byte fetched twice without need."""
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import unittest

from proxy import Proxy
from harness import TIMEOUT_S, Server, Settings, amount, figure

SIZES = [1, 5_000, 70_000, 700_000, 4_000_000, 4_000_000]


class Kills(unittest.TestCase):
    def test_d1_d6_s6_killed_at_any_byte_and_resumed(self):
        counts = {"killed": 0, "changed": 0, "resumed": 0, "with nothing to resume": 0, "begun again": 0, "finished": 0}
        positions = amount(30, 60, 1000)
        choose = random.Random(6)
        with Server("-q") as server, tempfile.TemporaryDirectory(prefix="coracle-adversaries-") as home:
            for number in range(positions):
                size = choose.choice(SIZES)
                name = f"file{number}"
                folder = os.path.join(home, str(number))
                os.mkdir(folder)
                content = random.Random(number).randbytes(size)
                server.write(name, content)
                # A header has some 250 bytes and an end some 35: those are places to be killed at, too.
                at = choose.randrange(1, size + 290)
                self.cut(server, name, folder, at, counts)
                if number % 2:
                    counts["changed"] += 1
                    content = self.change(server, name, content, choose)
                self.resume(server, name, folder, content, bool(number % 2), f"position {number}, byte {at} of {size}", counts)
                os.remove(os.path.join(server.folder, name))
                shutil.rmtree(folder)
        self.assertGreater(counts["killed"], positions * 0.8, counts)
        self.assertGreater(counts["resumed"], positions * 0.1, counts)
        figure(f"kill and resume: {positions} positions, " + ", ".join(f"{count} {what}" for what, count in counts.items())
               + "; 0 wrong files, 0 begun again where a resume was right")

    def cut(self, server, name, folder, at, counts):
        """Fetches until `at` bytes have come, then kills."""
        proxy = Proxy(server)
        proxy.left = at
        proxy.part = os.path.join(folder, f".coracle-{name}.part")
        victim = subprocess.Popen([Settings.program, "get", proxy.host, name], cwd=folder, stderr=subprocess.PIPE)
        proxy.victim = victim
        _, errors = victim.communicate(timeout=TIMEOUT_S)
        proxy.close()
        counts["killed" if victim.returncode == -9 else "finished"] += 1
        self.assertIn(victim.returncode, (0, -9), errors)

    def change(self, server, name, content, choose):
        """Another content, of a kind that is easily mistaken for the old one. The name is the same."""
        path = os.path.join(server.folder, name)
        other = choose.choice([
            bytes([content[0] ^ 1]) + content[1:], content[:-1] + bytes([content[-1] ^ 1]), content + b"more",
            content[:len(content) // 2], choose.randbytes(len(content)), b"",
        ])
        if choose.random() < 0.5:
            server.write("new", other)
            os.rename(os.path.join(server.folder, "new"), path)
        else:
            with open(path, "r+b") as file:
                file.write(other)
                file.truncate()
        return other

    def resume(self, server, name, folder, content, is_changed, where, counts):
        """Fetches again; what lies there is what the server has now, however it came."""
        path, part = os.path.join(folder, name), os.path.join(folder, f".coracle-{name}.part")
        # Killed between the two, the part has a name already.
        was_done = os.path.exists(path)
        had = os.path.getsize(part) if os.path.exists(part) and os.path.exists(part + ".json") else 0
        proxy = Proxy(server)
        arguments = ["--force"] if was_done else []
        ran = subprocess.run([Settings.program, "get", proxy.host, name, *arguments], cwd=folder, capture_output=True,
                             timeout=TIMEOUT_S)
        proxy.close()
        self.assertEqual(ran.returncode, 0, f"{where}: {ran.stderr}")
        with open(path, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).digest(), hashlib.sha256(content).digest(), f"{where}: a wrong file")
        self.assertEqual(os.listdir(folder), [name], where)
        offsets = [request.get("offset", 0) for request in proxy.requests]
        if had == 0:
            counts["with nothing to resume"] += 1
        elif is_changed:
            counts["begun again"] += offsets[-1] == 0
        else:
            self.assertEqual(offsets, [had], f"{where}: it did not go on where it was")
            self.assertLess(proxy.answers_len, len(content) - had + 600, f"{where}: more came than was missing")
            counts["resumed"] += 1
