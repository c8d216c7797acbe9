"""Cuts the power of the disk that a server writes uploads to."""
import collections
import json
import os
import random
import tempfile

import checks
from disk import LOOSE, STRICT, WITH_JOURNAL, WITH_NOTHING, Disk
from download import spawn
from upload import DONE, FRESH, LARGE, REPLACED, RESUMED, WRITING, WrittenTo

# A tree whose files the server stores one by one, or many at a time.
TREE, DEFERRED = "tree", "deferred tree"
TREES = (TREE, DEFERRED)
TREE_FILES = {f"tree/{'below/' * (number % 3 == 0)}{number}": checks.noise(400 * number, number) for number in range(14)}
# How far the server is with the file, by what it has made durable.
UNSYNCED, FILE_SYNCED, ALL_SYNCED, OVER = "unsynced", "file synced", "all synced", "over"
PHASES = [UNSYNCED, FILE_SYNCED, ALL_SYNCED]


class Scene(WrittenTo):
    """A disk, and a server of it that is stopped before and behind each of its calls."""

    def __init__(self, program, what):
        self.what = what
        self.disk = Disk()
        self.disk.mount(STRICT)
        super().__init__(program, self.disk.top)
        for name, contents in TREE_FILES.items():
            path = os.path.join(self.files.here, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(contents)
        self.files.learned()
        self.random = random.Random(1)
        self.cuts = collections.Counter()
        self.found = collections.Counter()
        self.begin(None, None, None, False)

    def __exit__(self, *_):
        super().__exit__()
        self.disk.close()
        counted = lambda counter: ", ".join(f"{count} {what}" for what, count in sorted(counter.items()))  # noqa: E731
        checks.figure(f"a server that {self.what}: {sum(self.cuts.values())} power cuts ({counted(self.cuts)}); "
                      f"found: {counted(self.found)}; 0 wrong")

    def begin(self, phase, number, how, goes_on):
        self.phase, self.number, self.how, self.goes_on = phase, number, how, goes_on
        self.reached, self.stops, self.cut_in, self.is_begun = UNSYNCED, 0, None, False
        self.findings = []

    def stopped(self, stop):
        self.is_begun = self.is_begun or (stop.name == "accept4" and not stop.is_entry and stop.result >= 0)
        if not self.is_begun or self.cut_in:
            return
        if stop.result == 0 and not stop.is_entry:
            if stop.name == "syncfs":
                self.reached = FILE_SYNCED if self.reached == UNSYNCED else ALL_SYNCED
            elif stop.name in ("fsync", "fdatasync"):
                if stop.path().endswith(".upload"):
                    self.reached = FILE_SYNCED
                elif self.reached == FILE_SYNCED:
                    self.reached = ALL_SYNCED
        self.stops += self.reached == self.phase
        if self.reached == self.phase and self.stops > self.number:
            self.cut()
            if not self.goes_on:
                self.traced.kill()

    def cut(self):
        self.disk.cut(self.how)
        self.cut_in = self.reached

    def send(self, kind, address):
        """Runs a client; its exit code, what it said, and the names that it said are stored."""
        arguments = self.files.arguments(address)
        if kind in TREES:
            fsync = "file" if kind == TREE else "batch"
            arguments = [self.program, "put", "-r", address, os.path.join(self.files.here, "tree"), "--json", "--retries", "0",
                         "--force", "--fsync", fsync]
        with tempfile.TemporaryFile() as output:
            code = spawn(arguments, output)
            output.seek(0)
            said = output.read().decode()
        if kind not in TREES:
            return code, said, ["a"] if code == DONE else []
        # At most the last line is cut.
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{") and line.endswith("}")]
        return code, said, [line["fileName"] for line in lines if line.get("outcome") in ("sent", "equal")]

    def cut_at(self, kind, options, how, phase, number, goes_on=False):
        """Cuts at the `number`th stop of a phase, or at the end where there are fewer. Returns how many there were."""
        self.disk.mount(options)
        self.clear()
        self.files.prepare(FRESH if kind in TREES else kind)
        self.disk.write_out()
        self.begin(phase, number, how, goes_on)
        outcome = None

        def work():
            nonlocal outcome
            outcome = self.send(kind, self.address)

        self.run(work)
        if not self.cut_in:
            self.reached = OVER
            self.cut()
        what = f"{kind}, {phase} {number}, {options}, {how}, {'goes on' if goes_on else 'killed'}"
        if self.findings:
            raise AssertionError(f"{what}: {self.findings}")
        stops = self.stops
        self.look(kind, options, outcome, what)
        return stops

    def look(self, kind, options, outcome, what):
        """Mounts the disk again, judges what is on it, and lets the next client finish the work."""
        code, said, stored = outcome
        self.disk.unmount()
        self.disk.mount(options)
        self.cuts[self.cut_in] += 1
        if kind in TREES:
            for name, new in TREE_FILES.items():
                found = contents(os.path.join(self.root, name))
                state = "new" if found == new else "old" if found is None else "wrong"
                if state == "wrong" or (name in stored and state != "new"):
                    raise AssertionError(f"{what}: {name} is {state}, and {'was' if name in stored else 'was not'} said to be stored")
                self.found[f"{state} of a tree"] += 1
        else:
            self.files.judge(kind, code, said, what)
            state = self.files.state(kind)
            if self.cut_in == UNSYNCED and state != "old":
                raise AssertionError(f"{what}: the file is there before its contents were synced")
            if self.cut_in in (ALL_SYNCED, OVER) and state != "new":
                raise AssertionError(f"{what}: the {state} file is there after the new one was made durable")
            self.found[state] += 1
        with checks.Server(self.program, self.root, "-q", *WRITING) as server:
            code, said, _ = self.send(kind, server.address)
        checks.same(code, DONE, f"{what}: the next run, {said}")
        wanted = TREE_FILES if kind in TREES else {"a": self.files.new}
        left = {os.path.relpath(os.path.join(folder, name), self.root) for folder, _, names in os.walk(self.root) for name in names}
        checks.same(left, set(wanted), f"{what}: what is there after the next run")
        for name, new in wanted.items():
            assert contents(os.path.join(self.root, name)) == new, f"{what}: {name} is wrong after the next run"

    def clear(self):
        for folder, folders, names in os.walk(self.root, topdown=False):
            for name in names:
                os.unlink(os.path.join(folder, name))
            for name in folders:
                if name != "lost+found":
                    os.rmdir(os.path.join(folder, name))

    def any_way(self):
        # Mostly as the last time: to mount anew takes time.
        options = self.random.choice([STRICT, LOOSE, *([self.disk.options] * 6)])
        return options, self.random.choice([WITH_JOURNAL, WITH_NOTHING])


def contents(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def u18_power_cuts_of_a_server_that_is_written_to(program, long):
    with Scene(program, "is written to") as scene:
        kinds = [REPLACED, FRESH, RESUMED, LARGE] if long else [REPLACED, LARGE]
        for kind in kinds:
            for phase in PHASES:
                stops = scene.cut_at(kind, STRICT, WITH_JOURNAL, phase, 10**9)
                assert stops > 0, f"the server never was in the phase {phase!r}"
                if phase == FILE_SYNCED and (long or kind != LARGE):
                    # Every stop there is.
                    for number in range(stops):
                        scene.cut_at(kind, STRICT, WITH_JOURNAL, phase, number)
                # The last stops before a phase ends are those that a wrong order would show.
                for _ in range(100 if long else 2 if kind == LARGE else 5):
                    number = scene.random.choice([scene.random.randrange(stops), max(0, stops - 1 - scene.random.randrange(8))])
                    scene.cut_at(kind, *scene.any_way(), phase, number, scene.random.random() < 0.5)


def u18_power_cuts_while_a_tree_is_put(program, long):
    cuts_of_a_tree(program, long, TREE, "a tree is put to")


def u18_power_cuts_while_a_tree_is_put_that_is_durable_later(program, long):
    cuts_of_a_tree(program, long, DEFERRED, "a tree is put to that is durable later")


def cuts_of_a_tree(program, long, kind, what):
    with Scene(program, what) as scene:
        for phase in PHASES:
            stops = scene.cut_at(kind, STRICT, WITH_JOURNAL, phase, 10**9)
            for _ in range(100 if long else 6):
                scene.cut_at(kind, *scene.any_way(), phase, scene.random.randrange(stops), scene.random.random() < 0.5)
