"""The emulated board with keys of its own, and clients of it that have keys. Used by encrypted and strangers."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
TARGET = TOP / os.environ.get("CARGO_TARGET_DIR", "target")
BUILT = TARGET / "thumbv7m-none-eabi/release"
TIMEOUT_S = 120
EMULATOR = ["-icount", "shift=6"]


class Board:
    """The board with its chip, which outlives the emulator."""

    def __init__(self, directory, image):
        self.chip, self.image, self.process = directory / "chip", image, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.network = f"user,hostfwd=tcp:{self.address}-:8888"

    def command(self):
        arguments = ["firmware", f"flash={self.chip}", f"factory={self.image}", "config=none", "dhcp=off", "write=any"]
        semihosting = "enable=on,target=native," + ",".join(f"arg={argument}" for argument in arguments)
        command = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "none"]
        command += [*EMULATOR, "-semihosting-config", semihosting, "-nic", self.network]
        return [*command, "-kernel", BUILT / "loader"]

    def start(self):
        self.process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.wait()

    def wait(self):
        """Until it answers: in plain, that it is encrypted."""
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            check(f"the board runs: {self.process.poll()}", self.process.poll() is None)
            with contextlib.suppress(OSError, ValueError):
                host, port = self.address.split(":")
                with socket.create_connection((host, int(port)), 5) as wire:
                    wire.settimeout(1)
                    wire.sendall(b'{"type":"get","fileName":"welcome.txt"}')
                    answer = json.loads(wire.makefile("rb").readline())
                    # Those before may have found it too slow, and their connections are not over.
                    if answer.get("code") != "busy":
                        check(f"nothing is told in plain: {answer}", answer.get("code") == "encrypted")
                        return
            time.sleep(0.1)
        check("the board answers", False)

    def cut_power(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class Client:
    """The program, with a key and a pre-shared one, and nothing of this user's."""

    def __init__(self, program, board, directory, key, psk, pin):
        self.program, self.board, self.directory = program, board, directory
        self.options = ["--key", key, "--psk", psk, "--pin", pin]

    def start(self, command, *arguments, output=subprocess.PIPE):
        return subprocess.Popen(
            [self.program, command, *self.options, *arguments],
            env=os.environ | {"XDG_CONFIG_HOME": str(self.directory), "HOME": str(self.directory)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command, *arguments, exit_code=0):
        return self.end(self.start(command, *arguments), f"{command} {arguments}", exit_code)

    def end(self, process, what, exit_code=0):
        """What it has written, once it has ended by itself."""
        try:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        check(f"{what}: exit code {process.returncode}: {errors}", (process.returncode == 0) == (exit_code == 0))
        return (output or "") + errors

    def get(self, name):
        place = self.directory / "got"
        place.unlink(missing_ok=True)
        self.run("get", self.board.address, name, "-o", str(place))
        return place.read_bytes()

    def status(self):
        return json.loads(self.get("status.json"))


def wait_for(what, is_so):
    end = time.monotonic() + TIMEOUT_S
    while not is_so():
        check(f"not in time: {what}", time.monotonic() < end)
        time.sleep(0.005)


def check(what, is_so):
    if not is_so:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {what}")


def keys(program, directory):
    """A fleet's, the board's of it, two clients' and a stranger's, two pre-shared ones; and who may do what."""

    def key(*arguments):
        done = subprocess.run([program, "key", *arguments], cwd=directory, capture_output=True, text=True, check=True)
        return re.search(r"ck1\w+", done.stdout + done.stderr)

    public = {name: key("new", f"{name}.key")[0] for name in ("fleet", "writer", "reader", "stranger")}
    public["board"] = key("derive", "fleet.key", "bench-7", "board.key")[0]
    for name in ("first", "second", "wrong"):
        key("new", "--psk", f"{name}.psk")
    (directory / "authorized").write_text(
        f"{public['writer']} read write delete do=psk-next do=restart # writer\n{public['reader']} read # reader\n"
    )
    return public


def provisioned(program, directory, kind=Board):
    """A board with keys of its own that is not started, its image, and what makes a client with the keys of these names."""
    image = directory / "image"
    subprocess.run(["llvm-objcopy", "-O", "binary", BUILT / "firmware", image], check=True)
    board = kind(directory, image)
    return board, image, provision(program, directory, board)


def provision(program, directory, board):
    """Makes keys, and gives the board its own; returns what makes a client with the keys of these names."""
    public = keys(program, directory)
    files = [f"--{name}={directory / file}" for name, file in
             (("key", "board.key"), ("psk", "first.psk"), ("authorized", "authorized"))]
    subprocess.run([HERE / "provision", *files, board.chip], check=True)

    def client(key, psk="first", pin="board"):
        return Client(program, board, directory, directory / f"{key}.key", directory / f"{psk}.psk", public[pin])

    return client
