"""The files that are served: made once, kept beside the build."""
import os
import time
import zlib

BLOCK = 1 << 20


class Files:
    """`big.bin`, `small.bin` and a folder of many empty and small files, in `place`."""

    def __init__(self, place, big_len, entries):
        self.root = os.path.join(place, f"files-{big_len}-{entries}")
        self.big_len, self.entries = big_len, entries
        self.small = os.path.join(self.root, "small.bin")
        self.big = os.path.join(self.root, "big.bin")
        self.many = os.path.join(place, f"many-{entries}")
        os.makedirs(self.root, exist_ok=True)
        self.make()
        with open(self.big, "rb") as file:
            self.digest = 0
            while block := file.read(BLOCK):
                self.digest = zlib.crc32(block, self.digest)

    def make(self):
        made = False
        if not os.path.exists(self.small):
            with open(self.small, "wb") as file:
                file.write(os.urandom(1024))
            made = True
        if not os.path.exists(self.big) or os.path.getsize(self.big) != self.big_len:
            noise = bytearray(os.urandom(BLOCK))
            with open(self.big, "wb") as file:
                # Each block is another one, so that none can stand for another.
                for number in range(self.big_len // BLOCK):
                    noise[:8] = number.to_bytes(8, "big")
                    file.write(noise)
            made = True
        done = os.path.join(self.many + ".done")
        if not os.path.exists(done):
            os.makedirs(self.many, exist_ok=True)
            for number in range(self.entries):
                with open(os.path.join(self.many, f"measurement-{number:06}.csv"), "wb") as file:
                    file.write(b"x" * (number % 3))
            open(done, "w").close()
            made = True
        if made:
            # Coracle reads and hashes a file itself while it is younger than two seconds.
            time.sleep(2.5)
