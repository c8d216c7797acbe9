"""The program under test: a server, a client's run, and what is on disk."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target"))
PROGRAM = os.path.join(TARGET, "release", "coracle")


class Server:
    def __init__(self, folder, *arguments):
        command = [PROGRAM, "serve", folder, "--listen", "127.0.0.1:0", "-q", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.match(r"listening on 127\.0\.0\.1:(\d+)$", line)[1])
        self.address = f"127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60)
        self.process.stdout.close()
        return code


def client(*arguments):
    """Runs the program; returns what it printed and its peak resident memory in KiB, seen every millisecond."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([PROGRAM, *arguments], stdout=output, stderr=errors)
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_kib(process.pid))
            time.sleep(0.001)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise AssertionError(f"{arguments} ended with {process.returncode}: {errors.read()}")
        return output.read(), peak


def peak_kib(pid):
    """The most memory that a process has had resident; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) if found else 0


# What `get -r` notes of the files that it fetched.
INDEX = ".coracle-index"


def sums(folder):
    """The SHA-256 of every file beneath `folder`, the client's own index left out."""
    command = f"find . -type f ! -name {INDEX} -print0 | sort -z | xargs -0 sha256sum"
    return subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True).stdout


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_len(target):
    try:
        return os.path.getsize(os.path.join(os.path.dirname(target), f".coracle-{os.path.basename(target)}.part"))
    except FileNotFoundError:
        return 0


def copy(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
