"""The files that are served: made once, kept beside the build, and the same on every machine but for `big.bin`."""
import concurrent.futures
import os
import random
import time
import zlib

BLOCK = 1 << 20
# 2024-01-01, so that no file counts as just changed.
MODIFIED = 1_704_067_200


class Sizes:
    """Of everything that is served: bytes of the large file, entries of the directories."""

    def __init__(self, quick):
        self.big = (64 << 20) if quick else (1 << 30)
        self.many = 2_000 if quick else 100_000
        self.few = 100 if quick else 1_000
        self.tree = 300 if quick else 10_000
        self.disk = (640 << 20) if quick else (3 << 30)

    def __str__(self):
        return f"{self.big >> 20}-{self.many}-{self.few}-{self.tree}"


class Files:
    """In `root`: `big.bin` and `mebibyte.bin`; `many` and `few` small files of 1 KiB; and `tree`, of directories of a
    hundred files, 0.2 to 60 KB each, most of them short."""

    def __init__(self, place, sizes):
        self.root, self.sizes = os.path.join(place, f"files-{sizes}"), sizes
        self.big, self.mebibyte, self.tree, self.few = (
            os.path.join(self.root, name) for name in ("big.bin", "mebibyte.bin", "tree", "few"))
        done = self.root + ".done"
        if not os.path.exists(done):
            self.make()
            with open(done, "w"):
                pass
        self.digest, self.mebibyte_digest = digest(self.big), digest(self.mebibyte)

    def make(self):
        noise = random.Random(1)
        os.makedirs(self.root, exist_ok=True)
        block = bytearray(noise.randbytes(BLOCK))
        with open(self.mebibyte, "wb") as file:
            file.write(block)
        with open(self.big, "wb") as file:
            # Each block is another one, so that none can stand for another.
            for number in range(self.sizes.big // BLOCK):
                block[:8] = number.to_bytes(8, "big")
                file.write(block)
        self.make_numbered("many", self.sizes.many)
        self.make_numbered("few", self.sizes.few)
        for number in range(self.sizes.tree):
            directory = os.path.join(self.tree, f"station-{number // 100:03}")
            os.makedirs(directory, exist_ok=True)
            path = os.path.join(directory, f"log-{number % 100:02}.bin")
            with open(path, "wb") as file:
                file.write(noise.randbytes(200 + round(59_800 * noise.random() ** 2.7)))
            os.utime(path, (MODIFIED + number, MODIFIED + number))
        # Coracle reads and hashes a file itself while it is younger than two seconds.
        time.sleep(2.5)

    def make_numbered(self, directory, count):
        """The bench client knows what is in these files: src/content.rs."""
        os.makedirs(os.path.join(self.root, directory), exist_ok=True)
        for number in range(count):
            path = os.path.join(self.root, directory, f"measurement-{number:06}.csv")
            with open(path, "wb") as file:
                file.write(f"{number:016x}".encode() * 64)
            os.utime(path, (MODIFIED + number, MODIFIED + number))

    def warm(self, directory):
        """Reads what a first measurement would otherwise have to fetch from the disk, many files at a time."""
        top = os.path.join(self.root, directory)
        paths = (os.path.join(place, name) for place, _, names in os.walk(top) for name in names)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            for _ in pool.map(read, paths):
                pass


def read(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(BLOCK):
            pass


def digest(path):
    crc32 = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            crc32 = zlib.crc32(block, crc32)
    return crc32
