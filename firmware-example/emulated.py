"""The emulated board with its flash chip, and a client for it. Used by update and measure."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time

TIMEOUT_S = 60


class PowerCut(Exception):
    """The emulator was killed, or the connection ended."""


class Board:
    """A board with its chip, which outlives the emulator."""

    def __init__(self, loader, factory, directory):
        self.loader, self.factory = loader, factory
        self.chip, self.said = directory / "chip", directory / "loader-said"
        self.said.write_bytes(b"")
        self.process = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, *more, emulator=()):
        arguments = ["firmware", f"flash={self.chip}", f"factory={self.factory}", "config=none", *more]
        semihosting = "enable=on,target=native," + ",".join(f"arg={argument}" for argument in arguments)
        with open(self.said, "ab") as said:
            self.process = subprocess.Popen(
                ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "none"]
                + ["-semihosting-config", semihosting, "-nic", f"user,hostfwd=tcp:127.0.0.1:{self.port}-:8888"]
                + [*emulator, "-kernel", self.loader],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def cut_power(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def status(self):
        """How the emulation ended by itself."""
        return self.process.wait(TIMEOUT_S)

    def loader_said(self):
        """The lines of the loader so far. The emulator has the same standard error."""
        return [said for said in self.said.read_text().splitlines() if said.startswith("loader: ")]

    def wait_for_loader(self, text, before):
        """Waits until the loader has said `text` behind the first `before` lines; returns all lines from there on."""
        end = time.monotonic() + TIMEOUT_S
        while not any(text in said for said in self.loader_said()[before:]):
            check(f"the loader says '{text}': {self.loader_said()[before:]}", time.monotonic() < end)
            time.sleep(0.02)
        return self.loader_said()[before:]

    def connect(self):
        """A connection, once the board answers."""
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ConnectionError(f"the board stopped with status {self.process.returncode}")
            try:
                wire = socket.create_connection(("127.0.0.1", self.port), 5)
                # What was sent before the board has an address is lost.
                wire.settimeout(0.7)
                stream = wire.makefile("rwb")
                if ask(stream, {"type": "hello"})["type"] == "hello":
                    wire.settimeout(TIMEOUT_S)
                    return stream
            except OSError:
                time.sleep(0.05)
        sys.exit("the board does not answer")

    def ask(self, request):
        with self.connect() as stream:
            return ask(stream, request)

    def stat(self, name):
        return self.ask({"type": "stat", "fileName": name})

    def get(self, name):
        with self.connect() as stream:
            header = ask(stream, {"type": "get", "fileName": name, "digest": "none"})
            check(f"{name} is there: {header}", header["type"] == "file")
            body = stream.read(header["length"])
            check("the body is followed by an end", line(stream)["type"] == "end")
            return body

    def put(self, name, contents, until=None):
        """Puts a file; `until` is how many bytes are sent before the power is cut."""
        with self.connect() as stream:
            answer = ask(stream, put_request(name, contents))
            if answer["type"] != "ready":
                return answer
            for offset in range(answer["offset"], len(contents), 4096):
                if until is not None and offset >= until:
                    raise PowerCut
                stream.write(contents[offset : offset + 4096])
                stream.flush()
            if until is not None:
                raise PowerCut
            return line(stream)

    def do(self, action):
        return self.ask({"type": "do", "action": action})

    def restart(self, action="restart"):
        """Restarts the board by one of its actions, and waits until its loader runs; returns what that says."""
        before = len(self.loader_said())
        check(f"do {action} is answered", self.do(action)["type"] == "end")
        return self.wait_for_loader("slot", before)


def put_request(name, contents):
    digest = hashlib.sha256(contents).hexdigest()
    return {"type": "put", "fileName": name, "fileSize": len(contents), "sha256": digest, "version": "*"}


def line(stream):
    text = stream.readline()
    if not text.endswith(b"\n"):
        raise ConnectionError("the board closed the connection")
    return json.loads(text)


def ask(stream, request):
    stream.write(json.dumps(request).encode() + b"\n")
    stream.flush()
    return line(stream)


def check(what, is_so):
    if not is_so:
        raise AssertionError(what)
