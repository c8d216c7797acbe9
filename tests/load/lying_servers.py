"""Servers that lie at random, one for each seed, and the real client, which must verify everything they say."""
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

from harness import Settings, amount, figure

# The client gives up by itself: three tries without progress, four times a changed file, each after a pause.
LONGEST = 20
# The data that a process may have: that of the client without any liar, and little more. With -r it has sixteen threads more.
MOST_DATA = {False: 8 << 20, True: 48 << 20}
# What a terminal would act on, and what turns the order of its characters around.
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
EVIL = ["../escaped", "/tmp/coracle-escaped", "..", ".", "", "a/../../escaped", "sub/deeper", "a\\b", "a\nb", "\x1b[2J\x1b]0;x\x07",
        "\u202egnp.exe", "a\r\x08b", "\x9b31m", "x" * 300, "name", "name.part", "name.part.json", ".hidden", "CON", "a/b", "é", "\0"]
NUMBERS = [0, 1, 2, 7, 1023, 1024, 65536, 2**31, 2**32, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -1, 1.5, "7", None, [], {}, True]
CODES = ["badRequest", "unknownType", "badName", "notFound", "notFile", "notDirectory", "denied", "badRange", "changed", "tooLong",
         "busy", "timeout", "io", "unsupported", "shuttingDown", "\x1b[31m", "", "x" * 2000, None, 7]


class Liar:
    """A server that answers as its seed says: honestly first, then with some of it put otherwise."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.content = self.random.randbytes(self.random.choice([0, 1, 700, 5000, 70_000]))
        self.lies = self.random.choice([0, 1, 1, 2, 2, 3])
        # Sizes that were announced, and digests that were sent: a file has to have one of each.
        self.sizes, self.digests = set(), set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(LONGEST)
        self.listener.close()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                with client:
                    client.settimeout(LONGEST)
                    self.converse(client)
            except (OSError, ValueError):
                pass

    def converse(self, client):
        if self.is_time(30):
            return client.sendall(self.line({"type": "error", "code": self.random.choice(CODES), "message": self.words()}))
        with client.makefile("rb") as lines:
            for line in lines:
                answer = self.answer(json.loads(line))
                if self.is_time(8):
                    answer = answer[:self.random.randrange(len(answer) + 1)]
                    client.sendall(answer)
                    if self.is_time(3):
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return None
                client.sendall(answer)
        return None

    def is_time(self, chance):
        """True once in `chance` times, while there are lies left."""
        if self.lies > 0 and self.random.randrange(chance) == 0:
            self.lies -= 1
            return True
        return False

    def words(self):
        return self.random.choice(["later", "no", *EVIL, "y" * 5000])

    def answer(self, request):
        if self.is_time(12):
            return self.line({"type": "error", "code": self.random.choice(CODES), "message": self.words()})
        if self.is_time(12):
            return self.noise()
        kind = request.get("type")
        if kind == "list":
            return self.listing(request)
        body = b"" if kind == "stat" else self.content
        digest = request.get("digest", "none" if kind == "stat" else "crc32")
        offset = request.get("offset", 0)
        if offset > len(self.content) or request.get("version", self.version()) != self.version():
            return self.line({"type": "error", "code": "changed", "message": "it changed"})
        length = len(self.content) - offset
        header = {"type": "file", "fileName": request.get("fileName", ""), "fileSize": len(self.content), "offset": offset,
                  "length": length, "chunkSize": 65536, "readCnt": -(-length // 65536),
                  "lastSize": (length - 1) % 65536 + 1 if length else 0, "version": self.version()}
        if digest != "none":
            header["digest"] = digest
        sum_now = f"{zlib.crc32(self.content):08x}"
        end = {"type": "end"}
        if digest == "crc32":
            (header if kind == "stat" else end)["crc32"] = sum_now
        body = body[offset:]
        header, end = self.bent(header), self.bent(end)
        if kind == "get" and self.is_time(3):
            body = self.random.choice([body[:-1], body + b"x", body[::-1], b"", body * 2, body[1:] + b"\n", b"\0" * len(body)])
        if isinstance(header.get("fileSize"), int):
            self.sizes.add(header["fileSize"])
        self.digests.add(end.get("crc32") if isinstance(end.get("crc32"), str) else None)
        answer = self.line(header)
        if kind == "get":
            answer += body + self.line(end)
        return self.spoilt(answer)

    def version(self):
        return "v%d" % self.random.randrange(3) if self.is_time(8) else "v"

    def listing(self, request):
        path = request.get("path", "")
        prefix = path + "/" if path else ""
        answer = b""
        names = [prefix + "name", prefix + "other"] + ([prefix + "sub"] if prefix.count("/") < 2 else [])
        for name in names:
            entry = {"type": "entry", "fileName": name, "fileSize": len(self.content)}
            if name.endswith("sub"):
                entry = {"type": "entry", "fileName": name, "directory": True}
            if self.is_time(4):
                entry["fileName"] = self.random.choice(EVIL)
            answer += self.line(self.bent(entry))
        return self.spoilt(answer + self.line(self.bent({"type": "end", "count": len(names)})))

    def bent(self, line):
        """A member of it put otherwise, left out, or added."""
        if not self.is_time(3):
            return line
        member = self.random.choice(list(line) + ["type", "fileName", "version", "digest", "extra", "modified", "link"])
        if self.random.random() < 0.2:
            return {name: value for name, value in line.items() if name != member}
        value = self.random.choice([self.random.choice(NUMBERS), self.random.choice(EVIL), self.random.choice(NUMBERS),
                                    "0" * 8, "FFFFFFFF", "sha256", "end", "file", "entry", "error", {"a": [[[[[[[[[1]]]]]]]]]}])
        return {**line, member: value}

    def line(self, line):
        return json.dumps(line, ensure_ascii=self.random.random() < 0.5).encode(errors="surrogatepass") + b"\n"

    def noise(self):
        return self.random.choice([
            b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03\x01" + self.random.randbytes(200), b" " * 5000, b"{" * 5000, b"\n" * 100,
            b'{"type":"file","x":"' + b"y" * 3_000_000, b"[1]\n", b"null\n", b'{"type":"end"}\n', b"\xff\xfe\n", b"{}\n",
            b'{"type":"error","code":"notFound","message":"\\ud800"}\n', b'{"type":"hello"}\n', b"\x1b[2J",
        ])

    def spoilt(self, answer):
        """With a byte turned, or a piece out of it or in it twice."""
        if not answer or not self.is_time(4):
            return answer
        at = self.random.randrange(len(answer))
        length = self.random.choice([1, 1, 2, 10, 100])
        way = self.random.randrange(3)
        if way == 0:
            return answer[:at] + bytes([answer[at] ^ (1 << self.random.randrange(8))]) + answer[at + 1:]
        if way == 1:
            return answer[:at] + answer[at + length:]
        return answer[:at] + answer[at:at + length] + answer[at:]


class Liars(unittest.TestCase):
    def test_m1_m2_m3_m6_m7_m8_m9_m10_m12_a_client_believes_nothing(self):
        seeds = amount(500, 2000, 20_000)
        codes, slowest, kept = {}, 0, 0
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for code, seconds, files in pool.map(try_seed, range(seeds)):
                codes[code] = codes.get(code, 0) + 1
                slowest, kept = max(slowest, seconds), kept + files
        self.assertGreater(kept, seeds / 20, "the lies are so many that nothing is ever fetched")
        for code in (0, 1, 4):
            self.assertIn(code, codes)
        report = ", ".join(f"{count} x exit {code}" for code, count in sorted(codes.items()))
        figure(f"lying servers: {seeds} seeds, {report}; {kept} files, each right by its digest; at most {slowest:.1f} s "
               f"and {MOST_DATA[False] >> 20} MiB; 0 files elsewhere, 0 control characters")


def try_seed(seed):
    """One client against one liar; its exit code, its seconds, and how many files it kept."""
    choose = random.Random(-1 - seed)
    what = choose.choice([["get", "name"], ["get", "name"], ["get", "name"], ["get", "name"], ["get", "name", "--snapshot"], ["get", "name", "--digest", "none"],
                          ["get", "name", "--force"], ["get", "-r"], ["get", "-r", "sub"], ["ls"], ["ls", "-lr"], ["ls", "--json"],
                          ["stat", "name"]])
    home = tempfile.mkdtemp(prefix="coracle-liar-")
    inside = os.path.join(home, "in")
    os.mkdir(inside)
    for name in ("name", "escaped", "precious"):
        with open(os.path.join(home, name), "w") as file:
            file.write("precious")
    liar = Liar(seed)
    try:
        code, seconds, output = run([what[0], liar.host, *what[1:], "--retries", "1", "--stall-timeout", "2s"], inside)
    finally:
        liar.close()
    where = f"seed {seed}, {' '.join(what)}"
    assert code in (0, 1, 3, 4, 5), f"{where}: exit code {code}: {output}"
    assert seconds < LONGEST, f"{where}: {seconds} s"
    assert not STEERS.search(output), f"{where}: the terminal is steered by {output!r}"
    assert sorted(os.listdir(home)) == ["escaped", "in", "name", "precious"], f"{where}: {os.listdir(home)}"
    for name in ("name", "escaped", "precious"):
        with open(os.path.join(home, name)) as file:
            assert file.read() == "precious", f"{where}: {name} was written to"
    files = check_files(inside, liar, what, where)
    shutil.rmtree(home)
    return code, seconds, files


def check_files(inside, liar, what, where):
    """Every file that has its name was announced in its length and has a digest that was sent."""
    files = 0
    for folder, folders, names in os.walk(inside):
        for name in [*folders, *names]:
            # With -r the names are the server's, as long as they lead nowhere else.
            good = r"[^\x00-\x1f\x7f-\x9f\\]+" if "-r" in what else r"name|\.coracle-name\.part(\.json)?"
            assert re.fullmatch(good, name), f"{where}: {name!r}"
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
            if name.startswith(".coracle-"):
                continue
            assert len(content) in liar.sizes, f"{where}: {name} has {len(content)} bytes"
            if "none" not in what:
                assert f"{zlib.crc32(content):08x}" in liar.digests, f"{where}: {name} is wrong by its digest"
            files += 1
    return files


def run(arguments, folder):
    """Runs the program, with little memory: its exit code, how long it took, and all that it printed."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([Settings.program, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT)
        most = MOST_DATA["-r" in arguments]
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="backslashreplace")
    return process.returncode, time.monotonic() - begun, text
