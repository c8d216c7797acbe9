"""`coracle serve` with calls that fail."""
import collections
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
import zlib

import checks
from download import chosen, report, spawn, tampered_with
from system_calls import EXEMPT, HARMLESS, faults
from tracer import Traced

FILE = checks.noise(200_000, 1)
SMALL = checks.noise(3_000, 2)
# Longer than what one `sendfile` sends.
LONG = checks.noise(1_500_000, 3)
TIMEOUT_S = 30
# What an answer may come to. Anything else is wrong.
ANSWERED, REFUSED, CUT = "answered", "refused", "cut off"
REQUESTS = {
    "sendfile": {"type": "get", "fileName": "a", "digest": "none"},
    "sendfile and crc32": {"type": "get", "fileName": "a"},
    "a long file": {"type": "get", "fileName": "long", "digest": "none"},
    "a long file and crc32": {"type": "get", "fileName": "long"},
    "sha256 of a prefix": {"type": "get", "fileName": "a", "offset": 70_000, "digestFrom": 0, "digest": "sha256"},
    "a file that was just written": {"type": "get", "fileName": "fresh", "digest": "crc32"},
    "list": {"type": "list"},
    "list of a directory": {"type": "list", "path": "below"},
    "stat": {"type": "stat", "fileName": "a", "digest": "sha256"},
}


class Service:
    """A traced server, and how it is tampered with while one client asks."""

    def __init__(self, program):
        self.program = program
        self.root = tempfile.mkdtemp(prefix="coracle-kernel-", dir=checks.memory())
        os.mkdir(os.path.join(self.root, "below"))
        for name, contents in {"a": FILE, "long": LONG, "below/b": SMALL, "below/c": SMALL}.items():
            with open(os.path.join(self.root, name), "wb") as file:
                file.write(contents)
        # A file that was modified within the last 2 s is served more carefully.
        time.sleep(2.1)
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)

    def run(self, work, is_replaced=False):
        """Runs a server, and beside it `work()`, which asks it; ends it after that. Its exit code.

        Where it is killed before, another one may take its place.
        """
        reader, writer = os.pipe()
        with open(writer, "wb") as stdout:
            self.traced = Traced(self.arguments(), stdout, self.log)
        thread = threading.Thread(target=self.work, args=(work, reader))
        thread.start()
        for stop in self.traced.stops():
            self.stopped(stop)
        if is_replaced and self.traced.code != 0:
            with checks.Server(self.program, self.root, "-q", listen=self.address):
                thread.join()
        thread.join()
        return self.traced.code

    def arguments(self):
        return [self.program, "serve", self.root, "--listen", "127.0.0.1:0", "--stall-timeout", "5s"]

    def work(self, work, reader):
        try:
            with open(reader, encoding="utf-8") as stdout:
                line = stdout.readline()
            self.address = re.match(r"listening on (127\.0\.0\.1:\d+)$", line)[1]
            work()
        except Exception as error:  # told at the end, like all findings
            self.findings.append(f"{type(error).__name__}: {error}")
        finally:
            # One that is killed may end at any moment.
            if self.traced.code is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.traced.pid, signal.SIGTERM)

    def stopped(self, stop):
        # The other thread may take it away meanwhile.
        tamper = self.tamper
        if tamper is None:
            return
        if stop.is_entry:
            self.seen[stop.name] += 1
            self.made.append((stop.name, stop.path().startswith("socket:")))
        if tamper(stop, self.seen[stop.name]) == "kill":
            self.traced.kill()

    def tampered(self, tamper, ask):
        """What `ask()` comes to while the server is tampered with; and the calls that were made meanwhile."""
        self.seen.clear()
        self.made.clear()
        self.tamper = tamper
        outcome = ask()
        self.is_at_rest()
        self.tamper = None
        return outcome, list(self.made)

    def is_at_rest(self):
        """Waits until the client's descriptors are closed. (Threads are kept for the next client.)"""
        if self.rest is None:
            # One socket listens, two bring signals, and two wake the thread that watches followed files.
            is_socket = lambda target: target.startswith("socket:")  # noqa: E731
            checks.wait_for("the first client's end", lambda: sum(map(is_socket, self.descriptors())) == 5)
            self.rest = len(self.descriptors())
        checks.wait_for(f"{self.rest} open descriptors", lambda: len(self.descriptors()) == self.rest)

    def descriptors(self):
        """What the open ones lead to."""
        folder = f"/proc/{self.traced.pid}/fd"
        targets = []
        for descriptor in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(f"{folder}/{descriptor}"))
        return targets

    def ask(self, request):
        """What becomes of a request: answered, refused or cut off. Wrong bytes are an AssertionError."""
        if request.get("fileName") == "fresh":
            with open(os.path.join(self.root, "fresh"), "wb") as file:
                file.write(SMALL)
        host, port = self.address.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
                connection.sendall(json.dumps(request).encode())
                connection.shutdown(socket.SHUT_WR)
                with connection.makefile("rb") as answer:
                    return read(request, answer)
        except TimeoutError:
            raise AssertionError("no answer, and no end of the connection") from None
        except (OSError, EOFError):
            return CUT


def read(request, answer):
    head = line(answer)
    if head["type"] == "error":
        return REFUSED
    if request["type"] == "stat":
        checks.same((head["fileSize"], head["sha256"]), (len(FILE), hashlib.sha256(FILE).hexdigest()), "a stat")
        return ANSWERED
    if request["type"] == "list":
        names = set()
        while head["type"] == "entry":
            names.add(head["fileName"])
            head = line(answer)
        if head["type"] == "error":
            return REFUSED
        expected = {"below/b", "below/c"} if "path" in request else {"a", "below", "fresh", "long"}
        left_out = head.get("skipped", 0)
        assert names <= expected and head["count"] == len(names), f"{names} of {expected}, {head}"
        assert len(names) + left_out >= len(expected) - ("fresh" not in names), f"{names} and {left_out} left out"
        return ANSWERED
    file = {"a": FILE, "fresh": SMALL, "long": LONG}[request["fileName"]]
    body = answer.read(head["length"])
    offset = request.get("offset", 0)
    assert file[offset:].startswith(body), f"wrong bytes among {len(body)}"
    if len(body) < head["length"]:
        assert head["length"] == len(file) - offset
        return CUT
    end = line(answer)
    checks.same(len(body), len(file) - offset, "a body's length")
    digest = request.get("digest", "crc32")
    expected = {"crc32": f"{zlib.crc32(file):08x}", "sha256": hashlib.sha256(file).hexdigest(), "none": None}[digest]
    if end["type"] == "error":
        return REFUSED
    checks.same(end.get(digest), expected, "a digest")
    return ANSWERED


def line(answer):
    text = answer.readline()
    if not text.endswith(b"\n"):
        raise EOFError
    return json.loads(text)


def sweep(program, long, is_wanted, allowed, title):
    """Lets every call that is made for every kind of request fail, in one server that has to survive it all."""
    with Service(program) as service:

        def work():
            service.ask(REQUESTS["list"])
            service.is_at_rest()
            for what, request in REQUESTS.items():
                for call in chosen(calls(service, request), long, is_wanted):
                    trial(service, what, request, call, allowed)
            if allowed == {ANSWERED}:
                for length in (1_000, 4_097):
                    for what, request in REQUESTS.items():
                        tamper = lambda stop, _: stop.is_entry and stop.shorten(length) and None  # noqa: E731, B023
                        outcome, _ = service.tampered(tamper, lambda: service.ask(request))  # noqa: B023
                        service.counts[outcome] += 1
                        if outcome != ANSWERED:
                            service.findings.append(f"{what}, all calls move {length} bytes: {outcome}")

        code = service.run(work)
        if code != 0:
            service.findings.append(f"the server ended with {code}")
        service.log.seek(0)
        if b"panicked" in (log := service.log.read()):
            service.findings.append(f"a panic: {log[log.index(b'panicked') - 200 :][:600]}")
        report(title, service)


def calls(service, request):
    """Every call that an undisturbed request takes: (name, number, is_socket)."""
    outcome, made = service.tampered(lambda *_: None, lambda: service.ask(request))
    checks.same(outcome, ANSWERED, f"an undisturbed {request}")
    counter = collections.Counter()
    result = []
    for name, is_socket in made:
        counter[name] += 1
        result.append((name, counter[name], is_socket))
    unknown = {name for name in counter if name not in EXEMPT and not faults(name, True)}
    assert not unknown, f"calls that system_calls.py does not know: {sorted(unknown)}"
    return [call for call in result if call[0] not in EXEMPT]


def trial(service, what, request, call, allowed):
    name, number, _, fault = call
    service.is_met = False

    def tamper(stop, its_number):
        if stop.is_entry and stop.name == name and its_number == number:
            service.is_met = tampered_with(stop, fault)

    where = f"{what}, {name} {number}, {fault}"
    try:
        outcome, _ = service.tampered(tamper, lambda: service.ask(request))
        service.counts[outcome] += 1
        service.counts["not met"] += not service.is_met
        if outcome not in allowed:
            service.findings.append(f"{where}: {outcome}")
        after = service.ask(request)
        if after != ANSWERED:
            service.findings.append(f"{where}: the next client was {after}")
    except AssertionError as error:
        service.tamper = None
        service.findings.append(f"{where}: {error}")


def k1_k2_interrupted_and_short_calls_of_a_server_change_nothing(program, long):
    sweep(program, long, lambda fault: fault in HARMLESS, {ANSWERED}, "a server: interrupted and short calls")


def k4_k6_k8_k9_every_call_of_a_server_fails(program, long):
    anything = {ANSWERED, REFUSED, CUT}
    sweep(program, long, lambda fault: fault not in HARMLESS, anything, "a server: failing calls")


def k4_a_server_that_is_killed_at_every_call(program, long):
    """It is started again at once; the client goes on where it was, and has the file in the end."""
    with Service(program) as service, tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "a")
        stops = 0
        at = 0
        while at <= stops:
            outcome = killed(service, target, at)
            if at == 0:
                stops = outcome["stops"]
            service.counts[outcome["code"]] += 1
            with open(target, "rb") as file:
                found = file.read()
            if outcome["code"] != 0 or found != FILE or os.listdir(folder) != ["a"]:
                service.findings.append(f"killed at stop {at}: {outcome}, {len(found)} bytes, {os.listdir(folder)}")
            at += 1 if long else 3
        report("a client of a server that is killed and started again", service)


def killed(service, target, at):
    """Kills the server at its `at`th stop while a client fetches (never, with 0), and starts another in its place."""
    outcome = {"stops": 0}

    def tamper(stop, _):
        outcome["stops"] += stop.name not in EXEMPT
        return outcome["stops"] == at and stop.name not in EXEMPT and "kill"

    def work():
        with tempfile.TemporaryFile() as output:
            arguments = [service.program, "get", service.address, "a", "-o", target, "--force", "--stall-timeout", "2s"]
            service.seen.clear()
            service.tamper = tamper
            outcome["code"] = spawn(arguments, output)
            service.tamper = None
            output.seek(0)
            outcome["said"] = output.read().decode()

    service.run(work, is_replaced=True)
    return outcome
