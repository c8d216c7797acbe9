"""The boards that the firmware is built for, and how the emulator runs them. Used by measure, boards and served."""

import dataclasses
import functools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
TARGET = TOP / os.environ.get("CARGO_TARGET_DIR", "target")
LOG_DECODER = TARGET / "debug/coracle-defmt-log"
# Of an instruction, by the emulator's option -icount shift=6.
INSTRUCTION_NS = 64
# For what a board does in a fraction of a second on a machine with nothing else to do.
TIMEOUT_S = 120


@dataclasses.dataclass(frozen=True)
class Kind:
    """One of them."""

    name: str
    target: str
    # What the build is told, beside what every board has.
    features: tuple
    emulator: tuple
    # Words in front of -netdev's.
    network_card: tuple
    clock_hz: int
    image_len: int = 1 << 20

    @property
    def instructions_a_tick(self):
        return 1e9 / self.clock_hz / INSTRUCTION_NS

    def build(self, binary, *features, keep=None):
        """The executable, which the next build of another board would replace; `keep` is its name among those of this board."""
        if shutil.which(self.emulator[0]) is None:
            sys.exit(f"{self.emulator[0]} is missing. This installs it: sudo apt-get install {PACKAGES[self.emulator[0]]}")
        environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
        environment.pop("CORACLE_FILES", None)
        command = [TOP / "tests/cross", "build", "--release", "--locked", "--target", self.target, "--bin", binary]
        command += ["--features", ",".join([*self.features, *features])]
        subprocess.run(command, cwd=HERE, env=environment, check=True)
        kept = TARGET / "boards" / f"{self.name}-{keep or binary}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        # By a rename, since a board may run the file before.
        copy = kept.with_suffix(f".{os.getpid()}")
        shutil.copy2(TARGET / self.target / "release" / binary, copy)
        copy.rename(kept)
        return kept

    def command(self, kernel, address, arguments, *more):
        """Boots `kernel`, whose port 8888 is `address` here."""
        semihosting = "enable=on,target=native," + ",".join(f"arg={argument}" for argument in ["firmware", *arguments])
        return [
            *self.emulator, "-display", "none", "-monitor", "none", "-serial", "none",
            "-semihosting-config", semihosting, *self.network_card[:1],
            f"{self.network_card[1]},hostfwd=tcp:{address}-:8888", *self.network_card[2:], *more, "-kernel", str(kernel),
        ]  # fmt: skip


ARM_NETWORK = ("-nic", "user")
PACKAGES = {"qemu-system-arm": "qemu-system-arm", "qemu-system-riscv32": "qemu-system-misc"}
MPS2 = Kind(
    "mps2-an385", "thumbv7m-none-eabi", (), ("qemu-system-arm", "-M", "mps2-an385"), ARM_NETWORK, 25_000_000
)
LM3S = Kind(
    "lm3s6965evb",
    "thumbv7m-none-eabi",
    ("lm3s6965evb",),
    ("qemu-system-arm", "-M", "lm3s6965evb"),
    ARM_NETWORK,
    12_500_000,
    image_len=32 << 10,
)
VIRT = Kind(
    "virt",
    "riscv32imc-unknown-none-elf",
    (),
    ("qemu-system-riscv32", "-M", "virt", "-bios", "none", "-global", "virtio-mmio.force-legacy=false"),
    ("-netdev", "user,id=network", "-device", "virtio-net-device,netdev=network"),
    10_000_000,
)
ALL = (MPS2, LM3S, VIRT)


class Running:
    """A board that runs, with its log, behind a port of its own; killed at the end."""

    def __init__(self, kind, elf, *arguments, emulator="", waits_for="listening"):
        """Boots `elf`, and waits for that line. `emulator` are more words for the emulator. `build_log_decoder` was called before."""
        self.kind, self.log, self.seen_len = kind, [], 0
        # Held, so that nobody else is given it; who allows that can listen there all the same, as the emulator does.
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.port = self.holder.getsockname()[1]
        self.output = tempfile.TemporaryFile()
        environment = os.environ | {
            "CORACLE_PORT": str(self.port),
            "CORACLE_BOARD": kind.name,
            "CORACLE_QEMU": emulator,
            "CORACLE_DEFMT_LOG": str(LOG_DECODER),
        }
        self.process = subprocess.Popen(
            [HERE / "run-in-qemu", elf, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        try:
            self.wait_for(waits_for)
        except BaseException:
            self.stop()
            raise

    def wait_for(self, text):
        """The next line of the log that contains `text`."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            # Before the look at the log: then all that it has said is there.
            has_ended = self.process.poll() is not None
            while (line := self.next_line()) is not None:
                if text in line:
                    return line
            if has_ended or time.monotonic() > end:
                raise AssertionError(f"{self.kind.name}: its log lacks '{text}': {self.log}")
            time.sleep(0.01)

    def next_line(self):
        """The next line of the log; `None` where there is none yet."""
        # The emulator writes where reading would move to.
        line, newline, _ = os.pread(self.output.fileno(), 1 << 16, self.seen_len).partition(b"\n")
        if not newline:
            return None
        self.seen_len += len(line) + 1
        self.log.append(line.decode())
        return self.log[-1]

    def all_found(self, pattern):
        """What the pattern's group is in the lines of the log that were looked at."""
        return [found[1] for line in self.log if (found := re.search(pattern, line))]

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 60).makefile("rwb")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()
        self.holder.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@functools.cache
def image_bytes(length):
    """`image.bin`, as build.rs makes it."""
    state, made = 1, bytearray()
    while len(made) < length:
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        made.append(state >> 24)
    return bytes(made)


def build_log_decoder():
    # With what the tests have built of the workspace: the example brings the features that tests want.
    command = ["cargo", "build", "--quiet", "--locked", "--workspace", "--example", "fat_image", "--bin", LOG_DECODER.name]
    subprocess.run(command, cwd=TOP, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)}, check=True)


def flash_and_ram(elf):
    """What an image takes of flash and of RAM, without its stack, in bytes."""
    sections = sizes(elf)
    flash = sum(sections.get(name, 0) for name in (".vector_table", ".text", ".init.rust", ".rodata", ".data"))
    return flash, sum(sections.get(name, 0) for name in (".data", ".bss", ".uninit"))


def sizes(elf):
    """The sections' sizes, by name."""
    listed = subprocess.run(["readelf", "-SW", elf], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"\] (\.\S+)\s+\S+\s+[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)", listed)
    return {name: int(size, 16) for name, size in found}
