"""A log that is appended to, rotated and rewritten at random, and what a reader of it printed, compared with what was written."""
import hashlib
import os
import random
import re
import shutil

NOT_KNOWN = re.compile(r"-- what (\S+) had behind byte ([\d,]+) is not known --")
OUTAGE = "-- unreachable, trying again --"
# What else is told of what passes; nothing of it says that bytes are lost. A file cannot be read that shrinks meanwhile.
HARMLESS = re.compile(r"-- (going on|busy, trying again|\S+ is not there, waiting for it|cannot be read: \S+, trying again) --")


class File:
    """All that was written to the file that had the name for a while, or to what a truncation made of it."""

    def __init__(self, first):
        # The number of its first line.
        self.first = first
        self.lines = []
        self.starts = []
        self.size = 0
        # Whether its name was given to another file; otherwise it was written anew in place.
        self.is_renamed = False

    def add(self, line):
        self.lines.append(line)
        self.starts.append(self.size)
        self.size += len(line) + 1


class GrowingLog:
    """The writer. Each line has a number, which is never used again, and a digest of it."""

    def __init__(self, path, seed):
        self.path = path
        self.random = random.Random(seed)
        self.number = 0
        self.files = []
        self.descriptor = self.create()
        self.append(3)

    def create(self, *flags):
        """Opens the file, and notes that what is written from now on is in another one."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | sum(flags))
        self.files.append(File(self.number))
        return descriptor

    def close(self):
        os.close(self.descriptor)

    def line(self, length):
        number, self.number = self.number, self.number + 1
        digest = hashlib.sha256(b"%d" % number).hexdigest().encode()
        line = (b"%08d " % number + digest * (length // len(digest) + 1))[:length]
        self.files[-1].add(line)
        return line + b"\n"

    def append(self, count=None, length=None):
        count = count or self.random.choice([1, 1, 3, 50])
        self.write(b"".join(self.line(length or self.random.randrange(20, 200)) for _ in range(count)))

    def write(self, text):
        while text:
            text = text[os.write(self.descriptor, text):]

    def append_much(self):
        """More than a reader asks for at a time."""
        self.append(self.random.randrange(300, 900), 1000)

    def append_in_halves(self):
        line = self.line(self.random.randrange(40, 9000))
        at = self.random.randrange(20, len(line))
        self.write(line[:at])
        yield
        self.write(line[at:])

    def rename(self):
        """As logrotate does it, with a writer that goes on in the old file until there is another one."""
        os.rename(self.path, self.path + ".1")
        if self.random.random() < 0.5:
            self.append()
            yield
        os.close(self.descriptor)
        self.files[-1].is_renamed = True
        self.descriptor = self.create(os.O_EXCL)
        self.append()

    def copy_and_truncate(self):
        shutil.copyfile(self.path, self.path + ".1")
        os.truncate(self.path, 0)
        self.files.append(File(self.number))
        if self.random.random() < 0.5:
            yield
        self.append()

    def rewrite(self):
        """In place, often to the size that it had, which alone shows nothing then."""
        size = self.files[-1].size
        os.close(self.descriptor)
        self.descriptor = self.create(os.O_TRUNC)
        if 21 <= size <= 1 << 20 and self.random.random() < 0.7:
            self.append(1, size - 1)
        else:
            self.append()


class Printed:
    """What a reader has printed and told, compared with what was written."""

    def __init__(self, log, output, told):
        self.log = log
        self.gaps = []
        self.count = 0
        # The numbers of the lines of the output that continue a file, and are whole.
        self.continuing = []
        self.read(output)
        self.beginnings = list(beginnings(os.path.basename(log.path), told))
        self.explain()

    def read(self, output):
        """Goes through the lines: each is the next one of its file, or the first one of a later file."""
        assert output.endswith(b"\n"), f"the last line has no end: {output[-100:]!r}"
        files = self.log.files
        at, index, position, is_cut = 0, 0, 0, False
        for number, line in enumerate(output[:-1].split(b"\n")):
            lines = files[at].lines
            if not is_cut and index < len(lines) and line == lines[index]:
                position = files[at].starts[index] + len(line) + 1
                self.continuing += [number] * (index > 0)
            elif (later := self.later(at, line)) is not None:
                self.gaps.append(Gap(files, at, later, position, is_cut))
                at, index = later, 0
                position, is_cut = len(line) + 1, line != files[at].lines[0]
                position -= is_cut
            else:
                # The beginning of a line, which has to be the last one of its file.
                assert not is_cut and index < len(lines) and line and lines[index].startswith(line), (
                    f"behind line {index} of file {at} of {len(files)}, which begins with number {files[at].first}: {line[:100]!r}")
                position, is_cut = files[at].starts[index] + len(line), True
            index += 1
            self.count += not is_cut
        assert (at, position) == (len(files) - 1, files[-1].size), f"it ends in file {at} of {len(files)}, at byte {position}"

    def later(self, at, line):
        """The file behind `at` that begins with this line, or with a longer one that it begins."""
        if len(line) >= 20 and line[:8].isdigit():
            for index in range(at + 1, len(self.log.files)):
                file = self.log.files[index]
                if file.first == int(line[:8]) and file.lines and file.lines[0].startswith(line):
                    return index
        return None

    def explain(self):
        """Finds for each gap what was told of it: a file that begins anew, and maybe others of which nothing was read.

        Where the rest of a file is missing, or a file was renamed of which nothing was read, one has to name the byte up to which
        the one before was printed. Otherwise it was read to its end, and what was written anew in place before the first look at
        it is known to nobody.
        """
        told, used = self.beginnings, {0}
        for gap in self.gaps:
            after = set()
            for index in used:
                if index < len(told) and (told[index] in gap.positions or (told[index] is None and gap.rest_len == 0)):
                    gap.is_told |= told[index] is not None
                    after.add(index := index + 1)
                    while index < len(told) and told[index] in (None, 0):
                        gap.is_told |= told[index] is not None
                        after.add(index := index + 1)
            assert after, f"{gap} is not told: {told[min(used):max(used) + 3]} of {len(told)}"
            assert gap.is_told or not gap.renamed, f"{gap} of {gap.renamed} files that were renamed is not told"
            used = after
        assert len(told) in used, f"{len(self.gaps)} gaps, and {len(told)} times it is told to begin anew"


class Gap:
    """From the last byte that was printed of one file to the beginning of another one."""

    def __init__(self, files, before, after, position, is_cut):
        self.before, self.after = before, after
        # Where the line feed alone was not read, the reader has ended the line itself.
        self.positions = [position] if is_cut else [position, position - 1]
        self.rest_len = files[before].size - position
        self.is_told = False
        self.renamed = sum(file.is_renamed for file in files[before + 1:after])
        self.between_len = sum(file.size for file in files[before + 1:after])

    def __str__(self):
        return f"the gap of {self.rest_len} bytes from byte {self.positions} of file {self.before} on, to file {self.after},"


def beginnings(name, told):
    """For each time that the file is told to begin anew the byte behind which the one before is not known, or `None`."""
    known_to, is_error = None, False
    for line in told.splitlines():
        if is_error:
            assert line == OUTAGE, f"an error that is none of the server's absence, before {line!r}"
            is_error = False
        elif found := NOT_KNOWN.fullmatch(line):
            assert (found[1], known_to) == (name, None), line
            known_to = int(found[2].replace(",", ""))
        elif line == f"-- {name} begins anew --":
            yield known_to
            known_to = None
        else:
            assert known_to is None, f"{line!r} instead of a file that begins anew"
            is_error = not HARMLESS.fullmatch(line)
            assert not (is_error and line.startswith("--")), f"told: {line!r}"
    assert not is_error and known_to is None, f"it ends in the middle of {told[-200:]!r}"
