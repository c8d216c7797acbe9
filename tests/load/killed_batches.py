"""Trees that are fetched in batches, killed at any system call or moment, and fetched again: nothing wrong, nothing left over."""
import collections
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import TIMEOUT_S, Server, Settings, amount, figure

FILES = 60
# Of what a batch and the index are made.
CALLS = ("openat,openat2,mkdirat,flock,pwrite64,utimensat,fstat,newfstatat,close,syncfs,fsync,renameat,renameat2,"
         "unlinkat,getdents64,recvfrom,sendto,futex").split(",")
INDEX = ".coracle-index"


class Kills(unittest.TestCase):
    def test_d1_d6_killed_in_batches(self):
        rounds = amount(10, 25, 1000)
        counts = collections.Counter()
        choose = random.Random(7)
        with Server("-q") as server, tempfile.TemporaryDirectory(prefix="coracle-batches-") as home:
            tree = Tree(server, choose)
            calls = self.calls(server, home)
            duration = self.duration(server, home)
            # What was modified within the last 2 s is asked for once more.
            to = os.path.join(home, "to")
            for number in range(rounds):
                if choose.random() < 0.2:
                    shutil.rmtree(to, ignore_errors=True)
                    tree.forget()
                tree.change(choose.choice([1, 10, FILES, FILES]))
                where = f"round {number}, "
                if choose.random() < 0.7:
                    call = choose.choice(list(calls))
                    where += self.kill_at(server, to, call, choose.randrange(1, calls[call] + 1), counts)
                else:
                    where += self.kill_after(server, to, choose.uniform(0, 1.2 * duration), counts)
                tree.look(self, to, where)
                self.finish(server, to, tree, where)
        self.assertGreater(counts["killed"], rounds * 0.4, counts)
        figure(f"batches: {rounds} kills and runs again, " + ", ".join(f"{count} {what}" for what, count in counts.items())
               + f"; {tree.found['old']} old, {tree.found['new']} new and {tree.found['missing']} missing files found, 0 wrong,"
               " nothing left over")

    def command(self, server, to):
        # What was fetched before and is unchanged is replaced unasked.
        return [Settings.program, "get", "-r", server.host, "-o", to]

    def calls(self, server, home):
        """How often a thread makes each call at most."""
        log = os.path.join(home, "calls")
        command = ["strace", "-f", "-o", log, "-e", "trace=" + ",".join(CALLS), *self.command(server, home + "/first")]
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        seen = collections.Counter()
        with open(log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                thread, _, call = line.partition(" ")
                name = call.strip().partition("(")[0]
                seen[thread, name] += name in CALLS
        return {call: most for call in CALLS if (most := max((seen[key] for key in seen if key[1] == call), default=0))}

    def duration(self, server, home):
        begun = time.monotonic()
        subprocess.run(self.command(server, home + "/second"), check=True, capture_output=True, timeout=TIMEOUT_S)
        return time.monotonic() - begun

    def kill_at(self, server, to, call, number, counts):
        inject = f"inject={call}:signal=KILL:when={number}"
        command = ["strace", "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e", inject, *self.command(server, to)]
        ran = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
        self.assertIn(ran.returncode, (0, -9, 137), ran.stderr)
        counts["killed" if ran.returncode else "finished"] += 1
        return f"{call} {number}"

    def kill_after(self, server, to, seconds, counts):
        victim = subprocess.Popen(self.command(server, to), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(seconds)
        victim.kill()
        _, errors = victim.communicate(timeout=TIMEOUT_S)
        self.assertIn(victim.returncode, (0, -9), errors)
        counts["killed" if victim.returncode else "finished"] += 1
        return f"{seconds:.3f} s"

    def finish(self, server, to, tree, where):
        """The next run fetches what is missing, and leaves nothing but the tree and the index."""
        ran = subprocess.run(self.command(server, to), capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(ran.returncode, 0, f"{where}: {ran.stderr}")
        tree.forget()
        tree.look(self, to, where)
        left = {os.path.relpath(os.path.join(folder, name), to) for folder, _, names in os.walk(to) for name in names}
        folders = {name for _, names, _ in os.walk(to) for name in names}
        self.assertEqual(left - {INDEX}, set(tree.contents), where)
        self.assertFalse({name for name in folders if name.startswith(".")}, where)


class Tree:
    """What is served, and what may be here."""

    def __init__(self, server, choose):
        self.server, self.choose = server, choose
        self.contents = {}
        # What may lie here beside what is served.
        self.old = {}
        self.found = collections.Counter()
        for number in range(FILES):
            name = f"d{number % 3}/e{number % 2}/f{number}" if number % 5 else f"f{number}"
            os.makedirs(os.path.dirname(os.path.join(server.folder, name)), exist_ok=True)
            self.write(name)

    def write(self, name):
        size = self.choose.choice([0, 1, 300, 5_000, 60_000])
        self.contents[name] = f"{name} {self.choose.random()} ".encode() + self.choose.randbytes(size)
        # In one step, since it may be being sent.
        self.server.write("../" + os.path.basename(self.server.folder) + ".new", self.contents[name])
        os.rename(self.server.folder + ".new", os.path.join(self.server.folder, name))

    def change(self, count):
        for name in self.choose.sample(sorted(self.contents), count):
            self.old.setdefault(name, set()).add(self.contents[name])
            self.write(name)

    def forget(self):
        """Everything here is what is served, or missing."""
        self.old = {}

    def look(self, test, to, where):
        for name, new in self.contents.items():
            try:
                with open(os.path.join(to, name), "rb") as file:
                    found = file.read()
            except FileNotFoundError:
                self.found["missing"] += 1
                continue
            is_old = found in self.old.get(name, ())
            test.assertTrue(found == new or is_old, f"{where}: {name} is wrong, {len(found)} bytes")
            self.found["old" if is_old else "new"] += 1
