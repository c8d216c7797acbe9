"""`coracle sync --delete`, killed and with calls that fail: what the server has is never deleted, and no name is half-written."""
import collections
import errno
import os
import shutil
import signal
import tempfile
import time

import checks
from system_calls import EXEMPT, HARMLESS, SHORT, faults
from tracer import Traced

# What the server has, and what is here before: an older file, an equal one, and four that are to be deleted.
SERVED = {"a": checks.noise(100_000, 3), "d/same": checks.noise(1_000, 4), "d/new": checks.noise(2_000, 5)}
OLD = checks.noise(500, 6)
BEFORE = {"a": OLD, "d/same": SERVED["d/same"], "extra": b"1", "d/extra": b"2", "gone/x": b"3", "gone/deep/y": b"4"}
MODIFIED = 1_700_000_000


class Scene:
    """A server, a directory that is to become the same, and one beside it that is none of the mirror's business."""

    def __init__(self, program):
        self.program = program
        self.root = tempfile.mkdtemp(prefix="coracle-mirror-", dir=checks.memory())
        self.target = os.path.join(self.root, "target")
        self.outside = os.path.join(self.root, "outside")
        write_tree(os.path.join(self.root, "served"), SERVED)
        write_tree(self.outside, {"secret": b"outside"})
        # A file that was modified within the last 2 s is served more carefully; that is not what is asked here.
        time.sleep(2.1)
        self.server = checks.Server(program, os.path.join(self.root, "served"), "-q")
        self.counts = collections.Counter()
        self.findings = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.root)

    def arguments(self):
        return [
            self.program, "sync", self.server.address, "/", self.target, "--delete", "--max-delete", "100%",
            "--stall-timeout", "300ms",
        ]

    def prepare(self):
        shutil.rmtree(self.target, ignore_errors=True)
        write_tree(self.target, BEFORE)
        os.symlink(self.outside, os.path.join(self.target, "link"))

    def run(self, tamper):
        """Runs the program; `tamper(stop, number)` is asked at each call, which is the `number`th of its kind, and may say
        "kill". Returns the exit code, what was said, and the calls: (name, number, is_socket)."""
        self.prepare()
        with tempfile.TemporaryFile() as said:
            traced = Traced(self.arguments(), said, said)
            seen, made, is_begun = collections.Counter(), [], False
            for stop in traced.stops():
                # What comes before is the loader's and the runtime's.
                is_begun = is_begun or (stop.is_entry and self.target.encode() in (stop.text(0), stop.text(1)))
                if not is_begun:
                    continue
                if stop.is_entry:
                    seen[stop.name] += 1
                    made.append((stop.name, seen[stop.name], stop.path().startswith("socket:")))
                if tamper(stop, seen[stop.name]) == "kill":
                    traced.kill()
            said.seek(0)
            return traced.code, said.read().decode(), made

    def calls(self):
        """Every call of an undisturbed run that can fail."""
        code, said, made = self.run(lambda *_: None)
        assert code == 0 and read_tree(self.target) == SERVED, f"an undisturbed run: {code}, {said}"
        unknown = {name for name, _, _ in made if name not in EXEMPT and not faults(name, False)}
        assert not unknown, f"calls that system_calls.py does not know: {sorted(unknown)}"
        return [call for call in made if call[0] not in EXEMPT]

    def judge(self, code, said, what):
        """Everything is as before or as at the server, and the next run completes it."""
        self.counts[code] += 1
        try:
            found = read_tree(self.target)
            for name, content in found.items():
                if ".coracle-" not in name:
                    assert content in (BEFORE.get(name), SERVED.get(name)), f"{name} is half-written"
            for name in SERVED.keys() & BEFORE.keys():
                assert name in found, f"{name} is gone, and the server has it"
            assert read_tree(self.outside) == {"secret": b"outside"}, "something outside was deleted"
            # That a note could not be removed is no reason to fail.
            assert code != 0 or without_notes(found) == SERVED, f"exit code 0 and {sorted(found)}"
            assert code is None or code <= 0 or (said.strip() and "panicked" not in said), f"exit code {code}: {said}"
            with tempfile.TemporaryFile() as output:
                outputs = [(os.POSIX_SPAWN_DUP2, output.fileno(), handle) for handle in (1, 2)]
                pid = os.posix_spawn(self.program, self.arguments(), os.environ, file_actions=outputs)
                again = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                output.seek(0)
                found = read_tree(self.target)
                is_complete = again == 0 and without_notes(found) == SERVED
                assert is_complete, f"the next run: {again}, {sorted(found)}, {output.read()!r}"
        except AssertionError as error:
            self.findings.append(f"{what}: {error}")

    def report(self, what):
        runs = sum(self.counts.values())
        ends = ", ".join(f"{count} with {code}" for code, count in sorted(self.counts.items(), key=str))
        checks.figure(f"a mirror: {what}: {runs} runs, ended {ends}; {len(self.findings)} findings")
        assert not self.findings, "\n".join(self.findings)


def d20_a_mirror_that_is_killed_at_every_call(program, long):
    with Scene(program) as scene:
        for index, (name, number, _) in enumerate(scene.calls()):
            for is_entry in (True, False):
                # Each deletion, and of the others some.
                if not long and name != "unlinkat" and (index + is_entry) % 7:
                    continue
                at = (name, number, is_entry)
                code, said, _ = scene.run(lambda stop, number: (stop.name, number, stop.is_entry) == at and "kill")
                assert code in (0, -signal.SIGKILL), f"killed at {at}: {code}"
                scene.judge(code, said, f"killed at {at}")
        scene.report("killed")


def d20_every_call_of_a_mirror_fails(program, long):
    with Scene(program) as scene:
        calls = scene.calls()
        occurrences = collections.Counter(name for name, _, _ in calls)
        for name, number, is_socket in calls:
            wanted = [fault for fault in faults(name, is_socket) if fault not in HARMLESS]
            if not long:
                if number not in (1, (occurrences[name] + 1) // 2, occurrences[name]):
                    continue
                # Each fault comes round at another occurrence.
                wanted = wanted[number % 4 :: 4] if len(wanted) > 3 else wanted
            for fault in wanted:
                assert fault != SHORT

                def tamper(stop, its_number, at=(name, number), fault=fault):
                    if stop.is_entry and (stop.name, its_number) == at:
                        stop.fail(getattr(errno, fault), is_made=stop.name == "close")

                code, said, _ = scene.run(tamper)
                scene.judge(code, said, f"{name} {number}, {fault}")
        scene.report("failing calls")


def without_notes(files):
    return {name: content for name, content in files.items() if ".coracle-" not in name}


def write_tree(root, files):
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.utime(path, (MODIFIED, MODIFIED + len(content)))


def read_tree(root):
    """The files beneath, and links as what they point to."""
    found = {}
    for directory, directories, names in os.walk(root):
        for name in [*names, *(name for name in directories if os.path.islink(os.path.join(directory, name)))]:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                # Beside the files: a link is to go, or to stay for the next run.
                continue
            with open(path, "rb") as file:
                found[relative] = file.read()
    return found
