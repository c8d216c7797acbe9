#!/usr/bin/env python3
"""One suite for whoever serves: what clients see of every server, in PCs and boards.

usage: tests/system/suite.py [--offers WORDS] [--clients N] [--only CHECK]... ADDRESS TREE [PROGRAM]

  ADDRESS          host and port of a server that serves the files of the directory TREE: at least one that is longer than what it sends at
                   once, one that is neither that nor empty, and one in a directory
  --offers WORDS   what it offers, which has to be what `hello` tells: list,stat,get and more, with commas between them; default: those
  --clients N      how many clients it serves at a time, of which one more is told `busy`; default: that is not tried
  PROGRAM          the client; default: target/debug/coracle

Who starts servers imports this in place of calling it: `checks_of` makes the checks of a server, each with one of its own.
"""
import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.dirname(HERE)]
import checks  # noqa: E402

READING = ("list", "stat", "get")
IMPATIENT, LIMITED = "impatient", "limited"
# For what a machine with nothing else to do takes a moment for.
PATIENCE_S = 120


@dataclasses.dataclass
class Served:
    """A server, and what is known of it."""

    host: str
    port: int
    # Contents by their names.
    files: dict
    offers: tuple = READING
    # How many it serves at a time.
    clients: int = None
    # What the client has to be told.
    options: tuple = ()
    environment: dict = None
    # Lets the file `log` grow: append(name, bytes).
    append: object = None
    # One that it does.
    action: str = None
    # Default: that of `small`.
    log: str = None
    # Names of files besides, which have other contents each time. Where `log` is one, `append` may append something else.
    made: tuple = ()
    # Length of files that are put.
    put_len: int = 300_000

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def small(self):
        """The name of a file of a few bytes, at the top."""
        return min((name for name in self.files if self.files[name] and "/" not in name), key=lambda name: len(self.files[name]))

    def large(self):
        return max(self.files, key=lambda name: len(self.files[name]))

    def nested(self):
        return next(name for name in self.files if "/" in name)


class Client:
    """A connection that speaks the protocol by hand."""

    def __init__(self, served):
        self.socket = checks.wait_for("a socket that listens", lambda: connect(served), PATIENCE_S)
        self.file = self.socket.makefile("rb")

    def send(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def line(self):
        return json.loads(self.file.readline())

    def ask(self, **request):
        self.send(**request)
        return self.line()

    def get(self, **request):
        """Header, bytes and the line behind them."""
        header = self.ask(type="get", **request)
        checks.same(header["type"], "file", f"the answer to {request}: {header}")
        return header, self.file.read(header["length"]), self.line()

    def ends(self):
        """The client has said all; returns what the server still says."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.file.read()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(served):
    """A socket; `None` where all of a server's are closing, and it refuses."""
    try:
        connected = socket.create_connection((served.host, served.port), timeout=PATIENCE_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    except (ConnectionRefusedError, ConnectionResetError):
        return None


def admitted(served):
    """A client that has a place, and was answered: those of the clients before may still be closing."""
    return checks.wait_for("a place", lambda: answered(served), PATIENCE_S)


def answered(served):
    client = Client(served)
    try:
        if client.ask(type="hello")["type"] == "hello":
            return client
    except (OSError, ValueError):
        # It was told `busy`, and reset before it could read that.
        pass
    client.close()
    return None


def told(served):
    """What a client is told that says nothing; `None` where it is reset, since another one is being told that."""
    with Client(served) as client:
        try:
            line = client.line()
        except (OSError, ValueError):
            return None
        checks.same(client.file.read(), b"", f"what follows {line}")
        return line


def run(program, served, command, *arguments, code=0):
    """What the program prints."""
    done = subprocess.run(
        [program, command, *served.options, *arguments],
        env=served.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    checks.same(done.returncode, code, f"the exit code of {command} {arguments}: {done.stderr.decode()}")
    return done.stdout


def fetch(program, served, name, *arguments):
    return run(program, served, "get", served.address, name, *arguments, "-o", "-")


def tells_what_it_offers(_program, served, _directory):
    with admitted(served) as client:
        hello = client.ask(type="hello")
        told = {word for word in hello["features"] if word in ("list", "stat", "get", "put", "delete", "rename", "makeDir", "space", "do", "wait")}
        checks.same(told, set(served.offers) - {"sha256"}, "what it offers")
        checks.same("crc32" in hello["digests"], True, "its digests")
        checks.same(client.ask(type="fly")["code"], "unknownType", "the answer to what nobody offers")


def serves_a_tree(program, served, directory):
    tree = os.path.join(directory, "tree")
    run(program, served, "get", "-r", served.address, "-o", tree)
    fetched = {os.path.relpath(os.path.join(place, name), tree) for place, _, names in os.walk(tree) for name in names}
    checks.same(fetched - {".coracle-index"}, {*served.made, *served.files}, "the files of the tree")
    for name, contents in served.files.items():
        checks.same(contents_of(os.path.join(tree, name)) == contents, True, f"{name} is what is served")
    listed = run(program, served, "ls", "-r", served.address).decode().splitlines()
    checks.same({line for line in listed if not line.endswith("/")}, {*served.made, *served.files}, "the listing")


def serves_ranges_and_digests(program, served, _directory):
    name, contents = served.large(), served.files[served.large()]
    checks.same(fetch(program, served, name, "--offset", "5", "--length", "3"), contents[5:8], "a range")
    said = json.loads(run(program, served, "stat", "--json", "--digest", "crc32", served.address, name))
    checks.same((said["fileSize"], said["crc32"]), (len(contents), f"{zlib.crc32(contents):08x}"), "what stat says")


def serves_ranges_by_hand(_program, served, _directory):
    name, contents = served.large(), served.files[served.large()]
    size = len(contents)
    with admitted(served) as client:
        for offset, length in ((0, 1), (1, 1023), (1023, 2), (size // 2, 20_001), (size - 1, 1), (size, 5)):
            _, body, end = client.get(fileName=name, offset=offset, length=length)
            expected = contents[offset : offset + length]
            checks.same(body == expected, True, f"the {length} bytes from {offset} on are what is served")
            checks.same(end["crc32"], f"{zlib.crc32(expected):08x}", "their digest")
        checks.same(client.ask(type="get", fileName=name, offset=size + 1)["code"], "badRange", "behind the end")


def resumes_with_a_digest_of_the_whole(_program, served, _directory):
    name, contents = served.large(), served.files[served.large()]
    with admitted(served) as client:
        version = client.ask(type="stat", fileName=name, digest="none")["version"]
        offset = len(contents) * 2 // 3
        header, body, end = client.get(fileName=name, offset=offset, version=version, digestFrom=0, digest="crc32")
        checks.same(header["version"], version, "the version")
        checks.same(body == contents[offset:], True, "the rest is what is served")
        checks.same(end["crc32"], f"{zlib.crc32(contents):08x}", "the digest of the whole")
        changed = client.ask(type="get", fileName=name, offset=offset, version="another")
        checks.same(changed["code"], "changed", "the rest of another version")


def refuses_what_is_not_there(program, served, _directory):
    directory = served.nested().split("/", maxsplit=1)[0]
    with admitted(served) as client:
        for request, code in (
            ({"type": "get", "fileName": "no such file"}, "notFound"),
            ({"type": "stat", "fileName": f"{directory}/no such file"}, "notFound"),
            ({"type": "get", "fileName": directory}, "notFile"),
            ({"type": "list", "path": "no such directory"}, "notFound"),
            ({"type": "list", "path": served.small()}, "notDirectory"),
            ({"type": "get", "fileName": "../motd"}, "badName"),
        ):
            checks.same(client.ask(**request)["code"], code, f"the answer to {request}")
        _, body, _ = client.get(fileName=served.small())
        checks.same(body, served.files[served.small()], "a file after that")
    run(program, served, "get", served.address, "no such file", "-o", "-", code=1)


def waits_for_half_a_request_no_longer_than_that(_program, served, _directory):
    with admitted(served) as client:
        client.socket.sendall(b'{"type":')
        checks.same(client.line()["code"], "timeout", "the error")
        checks.same(client.file.read(), b"", "what follows")


def tells_one_client_too_many_that_it_is_busy(_program, served, _directory):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(admitted(served)) for _ in range(served.clients)]
        another = checks.wait_for("what one more is told", lambda: told(served), PATIENCE_S)
        checks.same(another["code"], "busy", "what one more is told")
        for client in clients:
            _, body, _ = client.get(fileName=served.small())
            checks.same(body, served.files[served.small()], "what those have that were there")
        clients[0].close()
        stack.enter_context(admitted(served))


def outlives_clients_that_vanish_or_talk_nonsense(program, served, _directory):
    for _ in range(10):
        with admitted(served) as client:
            client.ask(type="get", fileName=served.large())
            client.reset()
    with admitted(served) as client:
        client.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
        checks.same(client.line()["code"], "badRequest", "what nonsense is told")
    admitted(served).close()
    checks.same(fetch(program, served, served.small()), served.files[served.small()], "a file after that")


def takes_files_once_they_are_whole(program, served, directory):
    local = os.path.join(directory, "new.bin")
    contents, sent = checks.noise(served.put_len, seed=2), served.put_len * 2 // 3
    with open(local, "wb") as file:
        file.write(contents)
    has_sha256 = True
    if not served.options:
        with admitted(served) as client:
            has_sha256 = "sha256" in client.ask(type="hello")["digests"]
            digest = {"sha256": checks.sha256(local)} if has_sha256 else {"crc32": f"{zlib.crc32(contents):08x}"}
            ready = client.ask(type="put", fileName="new.bin", fileSize=len(contents), **digest)
            checks.same((ready["type"], ready["offset"]), ("ready", 0), "where it begins")
            client.socket.sendall(contents[:sent])
            client.ends()
        with admitted(served) as client:
            checks.same(client.ask(type="get", fileName="new.bin")["code"], "notFound", "a file that is not whole")
    said = json.loads(run(program, served, "put", "--json", served.address, local, "-o", "new.bin").splitlines()[0])
    resumed = said.get("resumed", 0)
    is_rest = max(0, sent - 4_096) < resumed <= sent
    checks.same((said["outcome"], is_rest), ("sent", not served.options), f"how the rest is sent: {said}")
    checks.same(fetch(program, served, "new.bin") == contents, True, "it is what was sent")
    if has_sha256:
        # CRC-32 can be forged: what has the same one may be another file.
        said = json.loads(run(program, served, "put", "--json", served.address, local, "-o", "new.bin").splitlines()[0])
        checks.same(said["outcome"], "equal", "the same again")
    with open(local, "wb") as file:
        file.write(b"another")
    run(program, served, "put", served.address, local, "-o", "new.bin", code=1)
    checks.same(fetch(program, served, "new.bin") == contents, True, "what may not be replaced is what it was")
    run(program, served, "put", "-f", served.address, local, "-o", "new.bin")
    checks.same(fetch(program, served, "new.bin"), b"another", "what may")
    if "delete" in served.offers:
        run(program, served, "rm", served.address, "new.bin")
        run(program, served, "get", served.address, "new.bin", "-o", "-", code=1)


def manages_files(program, served, directory):
    local = os.path.join(directory, "local")
    with open(local, "wb") as file:
        file.write(b"moved")
    if "makeDir" in served.offers:
        # What exists is no error.
        for _ in range(2):
            run(program, served, "mkdir", served.address, "made")
        checks.same("made/" in run(program, served, "ls", served.address).decode().splitlines(), True, "the new directory is listed")
    if "rename" in served.offers:
        run(program, served, "put", served.address, local, "-o", "old name")
        run(program, served, "mv", served.address, "old name", "new name")
        checks.same(fetch(program, served, "new name"), b"moved", "the file by its new name")
        run(program, served, "get", served.address, "old name", "-o", "-", code=1)
        run(program, served, "mv", served.address, "new name", served.small(), code=1)
        run(program, served, "rm", served.address, "new name")
    if "space" in served.offers:
        free = json.loads(run(program, served, "df", "--json", served.address))["free"]
        checks.same(free > 0, True, f"there is room: {free}")
    if served.action:
        run(program, served, "do", served.address, served.action)
        run(program, served, "do", served.address, "no-such-action", code=1)


def tells_what_is_appended(program, served, directory):
    name, printed = served.log or served.small(), os.path.join(directory, "printed")
    command = [program, "tail", "-n", "1000", "-f", *served.options, served.address, name]
    contents = served.files.get(name)
    with open(printed, "wb") as output:
        tail = subprocess.Popen(command, env=served.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
    try:
        for number in range(4):
            if number:
                line = f"line {number}\n".encode()
                served.append(name, line)
                contents = contents and contents + line
            has = contents or fetch(program, served, name)
            checks.wait_for(f"what was appended: {has}", lambda: contents_of(printed).startswith(has), PATIENCE_S)
        if contents:
            checks.same(contents_of(printed), contents, "all that is printed")
    finally:
        tail.kill()
        tail.wait()


def contents_of(path):
    with open(path, "rb") as file:
        return file.read()


# Those that ask by hand cannot ask servers whose clients come encrypted.
BY_HAND = [
    tells_what_it_offers,
    serves_ranges_by_hand,
    resumes_with_a_digest_of_the_whole,
    refuses_what_is_not_there,
    waits_for_half_a_request_no_longer_than_that,
    tells_one_client_too_many_that_it_is_busy,
    outlives_clients_that_vanish_or_talk_nonsense,
]
BY_PROGRAM = [
    serves_a_tree,
    serves_ranges_and_digests,
    takes_files_once_they_are_whole,
    manages_files,
    tells_what_is_appended,
]


# What a server has to offer, or to be, for these: any of it.
NEEDS = {
    waits_for_half_a_request_no_longer_than_that: {IMPATIENT},
    tells_one_client_too_many_that_it_is_busy: {LIMITED},
    takes_files_once_they_are_whole: {"put"},
    manages_files: {"rename", "makeDir", "space", "do"},
    tells_what_is_appended: {"wait"},
}
ALL_NEEDS = set().union(*NEEDS.values())


def checks_of(name, serving, can, is_encrypted=False, faults=()):
    """The checks of the server `name`, which the context manager `serving(program)` starts and tells about. `can` is what it offers, with
    IMPATIENT where it waits a few seconds for a request, LIMITED where it is known how many clients it serves. `faults` are lines of
    tests/FAULTS.md by the names of the checks that show them."""

    def of(check):
        def one(program, _long):
            with serving(program) as served, tempfile.TemporaryDirectory() as directory:
                checks.same(set(served.offers) & ALL_NEEDS - set(can), set(), "what it offers and is not asked for")
                check(program, served, directory)

        line = dict(faults).get(check.__name__)
        one.__name__ = "_".join(filter(None, (line, name, check.__name__)))
        return one

    return [of(check) for check in BY_PROGRAM + ([] if is_encrypted else BY_HAND) if NEEDS.get(check, {"get"}) & set(can)]


def files_of(tree):
    """The contents of the files beneath a directory, by their names."""
    found = {}
    for place, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(place, name)
            found[os.path.relpath(path, tree)] = contents_of(path)
    return found


def main():
    options, rest, passed = {"--offers": ",".join(READING), "--clients": None}, [], []
    arguments = sys.argv[1:]
    while arguments:
        argument = arguments.pop(0)
        if argument in options and arguments:
            options[argument] = arguments.pop(0)
        elif argument.startswith("-"):
            passed += [argument] + ([arguments.pop(0)] if argument == "--only" and arguments else [])
        else:
            rest.append(argument)
    if "--help" in passed or "-h" in passed or "--list" in passed:
        sys.argv[1:] = passed
        checks.main(__doc__, checks_of("server", None, {*ALL_NEEDS, "get"}))
    if len(rest) < 2:
        sys.exit(checks.usage("an address and a directory are missing"))
    host, _, port = rest[0].rpartition(":")
    clients = options["--clients"] and int(options["--clients"])

    @contextlib.contextmanager
    def serving(_program):
        yield Served(host.strip("[]"), int(port), files_of(rest[1]), options["--offers"].split(","), clients)

    sys.argv[1:] = passed + rest[2:]
    can = set(options["--offers"].split(",")) | ({LIMITED} if clients else set())
    # Nobody here can let a file grow.
    asked = [check for check in checks_of("server", serving, can) if not check.__name__.endswith(tells_what_is_appended.__name__)]
    checks.main(__doc__, asked)


if __name__ == "__main__":
    main()
