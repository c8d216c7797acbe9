"""`coracle put` and the server that it writes to: killed, and with calls that fail."""
import collections
import hashlib
import json
import os
import shutil
import signal
import socket
import tempfile

import checks
from download import chosen, report, spawn, tampered_with
from server import Service
from system_calls import EXEMPT, HARMLESS, faults
from tracer import Traced

NEW = checks.noise(200_000, 5)
# So much that the server hashes it in a thread of its own.
LARGE_NEW = checks.noise(5 << 20, 7)
OLD = checks.noise(1_000, 6)
# What is there before: nothing, an older file, or an older file and half of the upload.
FRESH, REPLACED, RESUMED = "fresh", "replaced", "resumed"
KINDS = [FRESH, REPLACED, RESUMED]
# An older file, and an upload that is durable later, or a large one.
DEFERRED, LARGE = "deferred", "large"
DONE, REFUSED, NETWORK, LOCAL_FILE = 0, 1, 3, 5
# A close that was interrupted may have lost bytes; a descriptor that is duplicated is not interrupted.
NEVER_INTERRUPTED = ("close", "fcntl")
WRITING = ["--write", "--allow-plain-writes"]


class Files:
    """The file that is sent, and the directory that it is sent to."""

    def __init__(self, program, root=None):
        self.program = program
        self.here = tempfile.mkdtemp(prefix="coracle-put-", dir=checks.memory())
        self.source = os.path.join(self.here, "new")
        self.new = None
        self.become(NEW)
        self.root = root or os.path.join(self.here, "served")
        os.makedirs(self.root, exist_ok=True)
        self.partial = None
        self.fsync = "file"
        self.stall_timeout = "10s"

    def remove(self):
        shutil.rmtree(self.here)

    def become(self, new):
        """Sends these contents from now on."""
        if self.new is not new:
            self.new = new
            with open(self.source, "wb") as file:
                file.write(new)

    def arguments(self, address):
        return [self.program, "put", address, self.source, "-o", "a", "--force", "--retries", "0", "--patience", "1s",
                "--stall-timeout", self.stall_timeout, "--fsync", self.fsync]

    def put(self, address):
        """Sends the file; the exit code, and what was said."""
        with tempfile.TemporaryFile() as output:
            code = spawn(self.arguments(address), output)
            output.seek(0)
            return code, output.read().decode()

    def prepare(self, kind):
        self.fsync = "batch" if kind == DEFERRED else "file"
        self.become(LARGE_NEW if kind == LARGE else NEW)
        for name in os.listdir(self.root):
            if name != "lost+found":
                os.unlink(os.path.join(self.root, name))
        if kind != FRESH:
            self.write("a", OLD)
        if kind == RESUMED:
            self.write(self.partial or self.learned(), NEW[: len(NEW) // 2])

    def write(self, name, contents):
        with open(os.path.join(self.root, name), "wb") as file:
            file.write(contents)

    def learned(self):
        """The name of an unfinished upload of the file: from a server that was sent half of it."""
        request = {"type": "put", "fileName": "a", "fileSize": len(NEW), "sha256": hashlib.sha256(NEW).hexdigest()}
        with checks.Server(self.program, self.root, "-q", *WRITING) as server:
            with socket.create_connection((server.host, server.port)) as connection:
                connection.sendall(json.dumps({**request, "version": "*"}).encode() + b"\n")
                assert b"ready" in connection.recv(1000)
                self.partial = next(name for name in os.listdir(self.root) if name.endswith(".upload"))
        os.unlink(os.path.join(self.root, self.partial))
        return self.partial

    def state(self, kind):
        try:
            with open(os.path.join(self.root, "a"), "rb") as file:
                found = file.read()
        except FileNotFoundError:
            return "old" if kind == FRESH else "gone"
        return "new" if found == self.new else "old" if found == OLD and kind != FRESH else "wrong"

    def judge(self, kind, code, said, what):
        """The file is the old or the new one, and what the client was told agrees."""
        state = self.state(kind)
        if state not in ("old", "new") or (code == DONE and state != "new"):
            raise AssertionError(f"{what}: exit code {code} and the {state} file: {said}")
        if code > 0:
            assert said.strip(), f"{what}: exit code {code} without a word"
        assert "panicked" not in said, f"{what}: {said}"

    def finish(self, kind, address, what):
        """The next run completes it, and nothing is left over."""
        code, said = self.put(address)
        if (code, self.state(kind)) != (DONE, "new"):
            raise AssertionError(f"{what}: the next run: exit code {code}, the {self.state(kind)} file: {said}")
        checks.same(self.names(), ["a"], f"{what}: what is left after the next run")

    def names(self):
        return sorted(name for name in os.listdir(self.root) if name != "lost+found")


class WrittenTo(Service):
    """A traced server that is written to."""

    def __init__(self, program, root=None):
        self.program = program
        self.files = Files(program, root)
        self.root = self.files.root
        self.counts = collections.Counter()
        self.findings = []
        self.log = tempfile.TemporaryFile()
        self.tamper = None
        self.seen = collections.Counter()
        self.made = []
        self.is_met = False
        self.address = None
        self.traced = None
        self.rest = None

    def __exit__(self, *_):
        self.files.remove()

    def arguments(self):
        return [*super().arguments(), *WRITING]

    def calls(self, kind):
        """Every call of an undisturbed upload: (name, number, is_socket)."""
        self.files.prepare(kind)
        (code, said), made = self.tampered(lambda *_: None, lambda: self.files.put(self.address))
        checks.same((code, self.files.state(kind)), (DONE, "new"), f"an undisturbed run, {said}")
        return numbered(made)


def numbered(made):
    counter = collections.Counter()
    result = []
    for name, is_socket in made:
        counter[name] += 1
        result.append((name, counter[name], is_socket))
    unknown = {name for name in counter if name not in EXEMPT and not faults(name, True)}
    assert not unknown, f"calls that system_calls.py does not know: {sorted(unknown)}"
    return [call for call in result if call[0] not in EXEMPT]


def u18_a_server_that_is_killed_at_every_call_of_a_put(program, long):
    with WrittenTo(program) as service:
        for number, kind in enumerate([*KINDS, DEFERRED, LARGE]):
            step = 1 if long else 60 if kind == LARGE else 13
            stops = killed_server(service, kind, None)
            for at in range(1 + number % step, stops + 1, step):
                killed_server(service, kind, at)
        report("a server that is written to: killed", service)


def killed_server(service, kind, at):
    """Kills the server at its `at`th stop while a client sends; how many stops there were."""
    files = service.files
    files.prepare(kind)
    stops = 0
    outcome = None

    def tamper(stop, _):
        nonlocal stops
        stops += stop.name not in EXEMPT
        return stops == at and stop.name not in EXEMPT and "kill"

    def work():
        nonlocal outcome
        service.tamper = tamper
        outcome = files.put(service.address)
        service.tamper = None

    service.seen.clear()
    service.run(work)
    service.tamper = None
    what = f"{kind}, the server killed at stop {at}"
    service.counts[outcome[0] if at else "undisturbed"] += 1
    try:
        files.judge(kind, *outcome, what)
        with checks.Server(service.program, files.root, "-q", *WRITING) as server:
            files.finish(kind, server.address, what)
    except AssertionError as error:
        service.findings.append(str(error))
    return stops


def k9_k10_k11_u18_every_call_of_a_server_fails_that_is_written_to(program, long):
    swept(program, long, lambda fault: fault not in HARMLESS, "a server that is written to: failing calls")


def k1_k2_interrupted_and_short_calls_of_a_server_that_is_written_to_change_nothing(program, long):
    swept(program, long, lambda fault: fault in HARMLESS, "a server that is written to: interrupted and short calls")


def u4_u18_what_is_there_already_is_synced_before_the_client_is_told(program, _):
    with WrittenTo(program) as service:

        def work():
            service.files.put(service.address)
            service.is_at_rest()
            # Another program has copied it, and synced neither the file nor its directory.
            service.files.prepare(FRESH)
            service.files.write("a", NEW)
            (code, said), made = service.tampered(lambda *_: None, lambda: service.files.put(service.address))
            service.counts[code] += 1
            checks.same(code, DONE, said)
            names = [name for name, _ in made]
            checks.same((names.count("fsync"), names.count("pwrite64")), (2, 0), f"syncs and writes among {names}")

        service.run(work)
        report("a file that is there already", service)


def swept(program, long, is_wanted, title):
    """One server lives through all of it; what it says is true, and the next client completes the upload."""
    with WrittenTo(program) as service:

        def work():
            service.files.put(service.address)
            service.is_at_rest()
            for kind in KINDS:
                for name, number, _, fault in chosen(service.calls(kind), long, is_wanted):
                    trial(service, kind, name, number, fault)

        code = service.run(work)
        if code != 0:
            service.findings.append(f"the server ended with {code}")
        service.log.seek(0)
        if b"panicked" in (log := service.log.read()):
            service.findings.append(f"a panic: {log[log.index(b'panicked') - 200 :][:600]}")
        report(title, service)


def trial(service, kind, name, number, fault):
    files = service.files
    files.prepare(kind)
    service.is_met = False

    def tamper(stop, its_number):
        if stop.is_entry and stop.name == name and its_number == number:
            service.is_met = tampered_with(stop, fault)

    what = f"{kind}, {name} {number}, {fault}"
    try:
        (code, said), _ = service.tampered(tamper, lambda: files.put(service.address))
        service.counts[code] += 1
        service.counts["not met"] += not service.is_met
        if fault in HARMLESS and name not in NEVER_INTERRUPTED:
            assert code == DONE, f"{what}: exit code {code}: {said}"
        files.judge(kind, code, said, what)
        files.finish(kind, service.address, what)
    except AssertionError as error:
        service.tamper = None
        service.findings.append(str(error))


class Sender:
    """A traced client, and a server that is not."""

    def __init__(self, program):
        self.program = program
        self.files = Files(program)
        self.files.prepare(RESUMED)
        self.server = checks.Server(program, self.files.root, "-q", *WRITING)
        self.counts = collections.Counter()
        self.findings = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        self.files.remove()

    def run(self, tamper):
        """Runs the client; the exit code, what was said, and the calls that were made."""
        with tempfile.TemporaryFile() as said:
            traced = Traced(self.files.arguments(self.server.address), said, said)
            seen = collections.Counter()
            made = []
            is_begun = False
            for stop in traced.stops():
                # What comes before is the loader's and the runtime's.
                is_begun = is_begun or (stop.is_entry and self.files.source.encode() in (stop.text(0), stop.text(1)))
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
        self.files.prepare(kind)
        code, said, made = self.run(lambda *_: None)
        checks.same((code, self.files.state(kind)), (DONE, "new"), f"an undisturbed run, {said}")
        return numbered(made)

    def trial(self, kind, tamper, what, allowed=None):
        self.files.prepare(kind)
        code, said, _ = self.run(tamper)
        self.counts[code] += 1
        try:
            assert allowed is None or code in allowed, f"{what}: exit code {code}: {said}"
            self.files.judge(kind, code, said, what)
            # A server that was told too little may wait for more of the body until it sees that the client is gone.
            self.files.finish(kind, self.server.address, what)
        except AssertionError as error:
            self.findings.append(str(error))


def u18_a_client_that_is_killed_at_every_call_of_a_put(program, long):
    with Sender(program) as sender:
        for kind in KINDS:
            for index, (name, number, _) in enumerate(sender.calls(kind)):
                for is_entry in (True, False):
                    if not long and (index + is_entry) % 5:
                        continue
                    at = (name, number, is_entry)
                    sender.trial(
                        kind,
                        lambda stop, number, at=at: (stop.name, number, stop.is_entry) == at and "kill",
                        f"{kind}, the client killed at {at}",
                        (DONE, -signal.SIGKILL),
                    )
        report("a client that puts: killed", sender)


def k1_k2_k9_every_call_of_a_client_that_puts_fails(program, long):
    with Sender(program) as sender:
        for kind in KINDS if long else [RESUMED]:
            for name, number, is_socket, fault in chosen(sender.calls(kind), long, lambda _: True):

                def tamper(stop, its_number, at=(name, number), fault=fault):
                    if stop.is_entry and (stop.name, its_number) == at:
                        tampered_with(stop, fault)

                is_harmless = fault in HARMLESS and name not in NEVER_INTERRUPTED
                # Where sending fails, an answer is waited for all the same: the server may have had a reason.
                sender.files.stall_timeout = "10s" if is_harmless else "300ms"
                allowed = (DONE,) if is_harmless else None
                sender.trial(kind, tamper, f"{kind}, {name} {number}, {fault}", allowed)
        report("a client that puts: failing calls", sender)
