"""The boards that the firmware is built for, and how the emulator runs them. Used by measure and boards."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
TARGET = TOP / os.environ.get("CARGO_TARGET_DIR", "target")
# Of an instruction, by the emulator's option -icount shift=6.
INSTRUCTION_NS = 64


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
