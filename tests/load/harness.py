"""The program under attack: a server for each test, honest clients, and what they measure."""
import contextlib
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target"))
QUICK = os.environ.get("CORACLE_QUICK") == "1"
# What takes longer hangs, however slow the machine is.
TIMEOUT_S = 60

fork = multiprocessing.get_context("fork")


class Settings:
    """What the command line says."""
    program = os.path.join(TARGET, "release", "coracle")
    long = False


def bench_client():
    """It is built along with the program."""
    return os.path.join(os.path.dirname(Settings.program), "bench-client")


def amount(quick, normal, long):
    """How many rounds of something."""
    return long if Settings.long else quick if QUICK else normal


figures = []


def figure(text):
    """Notes what was measured, to be said at the end; tests/long gathers it."""
    figures.append(text)


class Server:
    """`coracle serve`, in a fresh directory unless one is given; gone at the end of the `with`."""

    def __init__(self, *arguments, folder=None):
        self.own_folder = tempfile.TemporaryDirectory(prefix="coracle-load-")
        self.folder = folder or self.own_folder.name
        self.log = tempfile.TemporaryFile("w+")
        command = [Settings.program, "serve", self.folder, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        self.port = int(self.line(r"listening on 127\.0\.0\.1:(\d+)"))
        self.page = self.line(r"metrics on (http://\S+)")
        self.address = ("127.0.0.1", self.port)
        self.host = f"127.0.0.1:{self.port}"

    def line(self, pattern):
        line = self.process.stdout.readline()
        found = re.match(pattern, line)
        assert found, f"the server says {line!r}, not {pattern}"
        return found[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.own_folder.cleanup()

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)

    def number(self, name):
        """One of the numbers that the server shows to Prometheus; those with labels are summed up."""
        with urllib.request.urlopen(self.page, timeout=TIMEOUT_S) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.split()[-1] for line in lines if re.match(re.escape(f"coracle_{name}") + r"[ {]", line)]
        return sum(float(value) for value in found)

    def status(self, name):
        """A line of /proc/PID/status, in its own unit: VmRSS and VmHWM in KiB, Threads."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(rf"^{name}:\s+(\d+)", status.read(), re.MULTILINE)[1])

    def told(self, event):
        """What the log has told of an event up to now, where it is in JSON."""
        with open(f"/proc/self/fd/{self.log.fileno()}", encoding="utf-8") as log:
            lines = [json.loads(line) for line in log if line.endswith("\n")]
        return [line for line in lines if line["event"] == event]

    def lives(self):
        assert self.process.poll() is None, f"the server has ended with {self.process.returncode}"
        return True


class Answer(Exception):
    """An error line in the place of an answer."""


class Connection:
    """An honest client's connection."""

    def __init__(self, address, source=None, timeout=TIMEOUT_S):
        self.socket = socket.create_connection(address, timeout, source_address=source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.input.close()
        self.socket.close()

    def send(self, request):
        self.socket.sendall(json.dumps(request).encode())

    def line(self):
        line = self.input.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed")
        line = json.loads(line)
        if line["type"] == "error":
            raise Answer(line["code"])
        return line

    def hello(self):
        self.send({"type": "hello"})
        return self.line()

    def get(self, name, **members):
        """The body of a file, its digest compared."""
        self.send({"type": "get", "fileName": name, **members})
        return self.body()

    def body(self):
        header = self.line()
        body = self.input.read(header["length"])
        if len(body) != header["length"]:
            raise ConnectionResetError("a short body")
        end = self.line()
        if header["digest"] == "crc32":
            assert end["crc32"] == f"{zlib.crc32(body):08x}", "the body and its digest differ"
        return body


def fetch(server, name, content, source=None):
    """Fetches a file over a connection of its own; the seconds that it took."""
    begun = time.perf_counter()
    with Connection(server.address, source) as connection:
        assert connection.get(name) == content, "another content"
    return time.perf_counter() - begun


def wait_for(what, condition, timeout_s=TIMEOUT_S):
    """Waits until `condition` has a value that counts as true, and returns it."""
    begun = time.monotonic()
    while not (value := condition()):
        assert time.monotonic() - begun < timeout_s, f"waited in vain for {what}"
        time.sleep(0.02)
    return value


@contextlib.contextmanager
def attacking(attack, *arguments):
    """Runs `attack(end, *arguments)` in a process of its own until the `with` ends; `end` is an event that says so."""
    end = fork.Event()
    process = fork.Process(target=attack, args=(end, *arguments), daemon=True)
    process.start()
    try:
        yield process
    finally:
        end.set()
        process.join(TIMEOUT_S)
        if process.is_alive():
            process.kill()
    assert process.exitcode == 0, f"the attack itself failed: {process.exitcode}"


def slowdown(attacked, calm, name, content, fetches, limit=2.0, rounds=3):
    """How many times as long a fetch takes from a server under attack as from one that is left in peace, by the medians.

    The fetches take turns, so that whatever else the machine does meets both. What it does may still meet one of them
    more: the best of `rounds` counts, and a round within `limit` is the last.
    """
    best = None
    for _ in range(rounds):
        times = {calm: [], attacked: []}
        for _ in range(fetches):
            for server in (calm, attacked):
                times[server].append(fetch(server, name, content))
        median = {server: statistics.median(of) for server, of in times.items()}
        ratio = median[attacked] / median[calm]
        worst = max(times[attacked])
        if best is None or ratio < best[0]:
            best = (ratio, median[attacked], median[calm], worst)
        if ratio <= limit:
            break
    return best
