"""What the checks from outside of the program share: how they are listed, run and reported, and a server to ask.

A check is a function `name(program, long)` that raises where something is wrong. Its name begins with the number of the
line of tests/FAULTS.md that it shows, and is printed as cargo prints a test's.
"""
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Server:
    """`coracle serve`, on a free port, with its log in a file."""

    def __init__(self, program, folder, *arguments, listen="127.0.0.1:0", wrapper=()):
        self.log_file = tempfile.TemporaryFile("w+")
        command = [*wrapper, program, "serve", folder, "--listen", listen, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log_file, text=True)
        line = self.process.stdout.readline()
        found = re.match(r"listening on (.*):(\d+)$", line)
        if not found:
            raise RuntimeError(f"{command} said {line!r} and {self.log()!r}")
        self.host, self.port = found[1].strip("[]"), int(found[2])
        self.address = f"{found[1]}:{found[2]}"

    def log(self):
        self.log_file.flush()
        with open(f"/proc/self/fd/{self.log_file.fileno()}", encoding="utf-8") as file:
            return file.read()

    def stop(self, timeout_s=30):
        """Ends it in good order; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.process.stdout.close()
            self.log_file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()


def memory():
    """A directory in memory, where nothing waits for the disk; `None` where there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def noise(size, seed=1):
    """Bytes that do not repeat, and are the same for the same seed."""
    return random.Random(seed).randbytes(size)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wait_for(what, happens, timeout_s=30):
    """Returns what `happens` returns, as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := happens()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.005)
    return value


def same(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: {found!r} instead of {expected!r}")


def figure(text):
    """A line for the table at the end of tests/long."""
    print(f"figure: {text}", flush=True)


def must_have(*pairs):
    """Ends the program where a command is missing; a pair is the command and its package at Debian."""
    missing = [package for command, package in pairs if shutil.which(command) is None]
    if missing:
        sys.exit(f"{sys.argv[0]}: missing; this installs it: apt-get install {' '.join(missing)}")


def main(doc, checks, begin=None):
    """Runs the checks that the command line asks for, and ends the program.

    `begin` is called with the program's path before the first, and what it returns after the last.
    """
    arguments = sys.argv[1:]
    if any(argument in ("-h", "--help") for argument in arguments):
        print(doc.strip())
        sys.exit(0)
    if "--list" in arguments:
        print(*(check.__name__ for check in checks), sep="\n")
        sys.exit(0)
    chosen, rest = [], []
    long = False
    while arguments:
        argument = arguments.pop(0)
        if argument == "--long":
            long = True
        elif argument == "--only" and arguments:
            chosen.append(arguments.pop(0))
        elif argument.startswith("-"):
            sys.exit(usage(f"unknown argument {argument!r}"))
        else:
            rest.append(argument)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target"))
    program = os.path.abspath(rest[0] if rest else os.path.join(target, "debug", "coracle"))
    if len(rest) > 1 or not os.access(program, os.X_OK):
        sys.exit(usage(f"{program} is not there: cargo build -p coracle-cli"))
    if unknown := set(chosen) - {check.__name__ for check in checks}:
        sys.exit(usage(f"no such check: {', '.join(sorted(unknown))}"))
    end = begin(program) if begin else None
    try:
        status = run_all([check for check in checks if not chosen or check.__name__ in chosen], program, long)
    finally:
        if end:
            end()
    sys.exit(status)


def run_all(checks, program, long):
    begun = time.monotonic()
    failed = []
    print(f"\nrunning {len(checks)} tests")
    for check in checks:
        try:
            check(program, long)
            outcome = "ok"
        except Exception:  # whatever it is, the other checks still run
            traceback.print_exc(file=sys.stdout)
            failed.append(check.__name__)
            outcome = "FAILED"
        print(f"test {check.__name__} ... {outcome}", flush=True)
    word = "FAILED" if failed else "ok"
    seconds = time.monotonic() - begun
    print(
        f"\ntest result: {word}. {len(checks) - len(failed)} passed; {len(failed)} failed; 0 ignored; 0 measured; "
        f"0 filtered out; finished in {seconds:.2f}s"
    )
    return 1 if failed else 0


def usage(message):
    print(f"{sys.argv[0]}: {message}; --help says more", file=sys.stderr)
    return 2
