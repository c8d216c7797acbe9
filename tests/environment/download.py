"""`coracle get` with calls that fail."""
import collections
import contextlib
import errno
import os
import shutil
import signal
import tempfile
import time

import checks
from system_calls import EXEMPT, HARMLESS, SHORT, faults
from tracer import Traced

NEW = checks.noise(200_000, 1)
OLD = checks.noise(1_000, 2)
# What is there before: nothing, an older file, half of a download and an older file; or a directory is fetched.
FRESH, REPLACED, RESUMED, RECURSIVE = "fresh", "replaced", "resumed", "recursive"
KINDS = [FRESH, REPLACED, RESUMED, RECURSIVE]
DONE, REFUSED, NETWORK, LOCAL_FILE = 0, 1, 3, 5


class Scene:
    """A server that has the file, and an empty directory to fetch it to."""

    def __init__(self, program):
        self.program = program
        self.root = tempfile.mkdtemp(prefix="coracle-kernel-", dir=checks.memory())
        self.target = os.path.join(self.root, "target")
        served = os.path.join(self.root, "served", "dir")
        os.makedirs(served)
        with open(os.path.join(served, "a"), "wb") as file:
            file.write(NEW)
        # A file that was modified within the last 2 s is served more carefully; that is not what is asked here.
        time.sleep(2.1)
        self.server = checks.Server(program, os.path.dirname(served), "-q")
        self.counts = collections.Counter()
        self.findings = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.root)

    @contextlib.contextmanager
    def noting(self):
        """Goes on after a finding: the others are wanted, too."""
        try:
            yield
        except AssertionError as error:
            self.findings.append(str(error))

    def arguments(self, kind):
        # Where sending fails, an answer is waited for all the same: the server may have had a reason.
        command = [self.program, "get", self.server.address, "--stall-timeout", "300ms"]
        if kind == RECURSIVE:
            return [*command, "-r", "dir/", "-o", self.target]
        force = [] if kind == FRESH else ["--force"]
        return [*command, "dir/a", "-o", os.path.join(self.target, "a"), *force]

    def prepare(self, kind):
        shutil.rmtree(self.target, ignore_errors=True)
        if kind != RECURSIVE:
            os.mkdir(self.target)
        if kind in (REPLACED, RESUMED):
            with open(os.path.join(self.target, "a"), "wb") as file:
                file.write(OLD)
        if kind == RESUMED:
            # Killed at the first write to the part.
            self.run(kind, lambda stop, _: stop.path().endswith(".part") and stop.name == "pwrite64" and "kill")
            assert os.path.exists(os.path.join(self.target, ".coracle-a.part")), "nothing to resume"

    def run(self, kind, tamper):
        """Runs the program; `tamper(stop, number)` is asked at each call of its own, which is the `number`th of its kind,
        and may say "kill". Returns the exit code, what was said, and the calls that were made: (name, is_socket)."""
        with tempfile.TemporaryFile() as said:
            traced = Traced(self.arguments(kind), said, said)
            seen = collections.Counter()
            made = []
            is_begun = False
            for stop in traced.stops():
                # What comes before is the loader's and the runtime's.
                is_begun = is_begun or (stop.is_entry and self.target.encode() in (stop.text(0), stop.text(1)))
                if not is_begun:
                    continue
                if stop.is_entry:
                    seen[stop.name] += 1
                    made.append((stop.name, stop.path().startswith("socket:")))
                if tamper(stop, seen[stop.name]) == "kill":
                    traced.kill()
            said.seek(0)
            return traced.code, said.read().decode(), made

    def calls(self, kind):
        """Every call of an undisturbed run: (name, number, is_socket)."""
        self.prepare(kind)
        code, said, made = self.run(kind, lambda *_: None)
        checks.same((code, self.state(kind)), (DONE, "new"), f"an undisturbed run, {said}")
        counter = collections.Counter()
        calls = []
        for name, is_socket in made:
            counter[name] += 1
            calls.append((name, counter[name], is_socket))
        unknown = {name for name in counter if name not in EXEMPT and not faults(name, False)}
        assert not unknown, f"calls that system_calls.py does not know: {sorted(unknown)}"
        return [call for call in calls if call[0] not in EXEMPT]

    def state(self, kind):
        try:
            with open(os.path.join(self.target, "a"), "rb") as file:
                found = file.read()
        except FileNotFoundError:
            return "old" if kind in (FRESH, RECURSIVE) else "gone"
        return "new" if found == NEW else "old" if found == OLD and kind in (REPLACED, RESUMED) else "wrong"

    def names(self):
        """What is in the directory but the index of what was fetched, which stays."""
        return [name for name in os.listdir(self.target) if name != ".coracle-index"]

    def judge(self, kind, code, said, what):
        """The file is the old or the new one, and the exit code agrees; then the next run completes it."""
        self.counts[code] += 1
        state = self.state(kind)
        if state not in ("old", "new") or (code == DONE and state != "new"):
            raise AssertionError(f"{what}: exit code {code} and the {state} file: {said}")
        if code == DONE:
            left = sorted(self.names())
            # That its note could not be removed is no reason to fail; the next download to this name does.
            # So with the directory of a batch.
            assert left in (["a"], [".coracle-a.part.json", "a"], [".coracle-batch-0", "a"]), f"{what}: {left}"
        elif code > 0:
            assert said.strip(), f"{what}: exit code {code} without a word"
            assert "panicked" not in said, f"{what}: {said}"
        with tempfile.TemporaryFile() as output:
            next_kind = REPLACED if kind != RECURSIVE else kind
            code = spawn(self.arguments(next_kind), output)
            output.seek(0)
            checks.same((code, self.state(kind)), (DONE, "new"), f"{what}: the next run, {output.read()!r}")
        left = [name for name in self.names() if name != "a" and ".old" not in name]
        # With -r a file that is equal is not fetched, and its note stays.
        may_stay = [".coracle-a.part.json"] if kind == RECURSIVE and state == "new" else []
        assert left in ([], may_stay), f"{what}: left over: {left}"


def k1_k2_interrupted_and_short_calls_of_a_download_change_nothing(program, long):
    with Scene(program) as scene:
        for kind in KINDS:
            for name, number, is_socket, fault in chosen(scene.calls(kind), long, lambda fault: fault in HARMLESS):
                # A close that was interrupted may have lost bytes.
                allowed = (DONE, LOCAL_FILE) if name == "close" else (DONE,)
                is_tampered, code, said = one(scene, kind, name, number, fault)
                what = f"{kind}, {name} {number}, {fault}"
                scene.counts["not met"] += not is_tampered
                with scene.noting():
                    assert code in allowed, f"{what}: exit code {code}: {said}"
                    scene.judge(kind, code, said, what)
            shortened(scene, kind)
        report("a download: interrupted and short calls", scene)


def shortened(scene, kind):
    """Every call moves at most so many bytes."""
    for length in (1_000, 4_097):
        scene.prepare(kind)
        code, said, _ = scene.run(kind, lambda stop, _: stop.is_entry and stop.shorten(length) and None)
        assert code == DONE, f"{kind}, all calls move {length} bytes: exit code {code}: {said}"
        scene.judge(kind, code, said, f"{kind}, all calls move {length} bytes")


def k4_k9_k10_k11_k12_every_call_of_a_download_fails(program, long):
    with Scene(program) as scene:
        for kind in KINDS:
            for name, number, is_socket, fault in chosen(scene.calls(kind), long, lambda fault: fault not in HARMLESS):
                is_tampered, code, said = one(scene, kind, name, number, fault)
                what = f"{kind}, {name} {number}, {fault}"
                # What is local cannot be mended by trying again; what is on the way can.
                allowed = (DONE, NETWORK) if is_socket or name in ("socket", "poll") else (DONE, LOCAL_FILE)
                scene.counts["not met"] += not is_tampered
                is_write = name in ("pwrite64", "fsync", "renameat", "renameat2")
                # Without its index the next run only asks for more.
                is_index = "the next run has to ask for more" in said
                if fault in ("ENOSPC", "EIO") and is_write and is_tampered and not is_index:
                    allowed = (LOCAL_FILE,)
                with scene.noting():
                    assert code in allowed, f"{what}: exit code {code}: {said}"
                    scene.judge(kind, code, said, what)
        report("a download: failing calls", scene)


def d1_killed_before_and_behind_every_call(program, long):
    with Scene(program) as scene:
        for kind in KINDS:
            calls = scene.calls(kind)
            for index, (name, number, _) in enumerate(calls):
                for is_entry in (True, False):
                    if not long and (index + is_entry) % 5:
                        continue
                    scene.prepare(kind)
                    at = (name, number, is_entry)
                    code, said, _ = scene.run(
                        kind, lambda stop, number: (stop.name, number, stop.is_entry) == at and "kill"
                    )
                    with scene.noting():
                        assert code in (DONE, -signal.SIGKILL), f"{kind}, killed at {at}: {code}"
                        scene.judge(kind, code, said, f"{kind}, killed at {at}")
        report("a download: killed", scene)


def one(scene, kind, name, number, fault):
    """A run in which one call fails: whether it was met, the exit code, and what was said."""
    scene.prepare(kind)
    tampered = []

    def tamper(stop, its_number):
        if stop.is_entry and stop.name == name and its_number == number:
            tampered.append(tampered_with(stop, fault))

    code, said, _ = scene.run(kind, tamper)
    assert code is not None and code >= 0, f"{kind}, {name} {number}, {fault}: ended by {code}"
    return any(tampered), code, said


def tampered_with(stop, fault):
    """Lets this call fail so; whether it could."""
    if fault == SHORT:
        return stop.shorten(1)
    stop.fail(getattr(errno, fault), is_made=stop.name == "close")
    return True


def chosen(calls, long, is_wanted):
    """What is to fail how: everything, or of each call some occurrences, and of those some faults."""
    occurrences = collections.Counter(name for name, _, _ in calls)
    result = []
    for name, number, is_socket in calls:
        wanted = [fault for fault in faults(name, is_socket) if is_wanted(fault)]
        if not long:
            if number not in (1, (occurrences[name] + 1) // 2, occurrences[name]):
                continue
            # Each fault comes round at another occurrence.
            wanted = wanted[number % 3 :: 3] if len(wanted) > 2 else wanted
        result += [(name, number, is_socket, fault) for fault in wanted]
    return result


def spawn(arguments, output):
    outputs = [(os.POSIX_SPAWN_DUP2, output.fileno(), handle) for handle in (1, 2)]
    pid = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=outputs)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def report(what, scene):
    """Of how many runs each ended how."""
    runs = sum(count for key, count in scene.counts.items() if key != "not met")
    not_met = scene.counts.pop("not met", 0)
    ends = ", ".join(f"{count} with {code}" for code, count in sorted(scene.counts.items(), key=str))
    checks.figure(f"{what}: {runs} runs, ended {ends}; {not_met} faults not met; {len(scene.findings)} findings")
    assert not scene.findings, "\n".join(scene.findings)
