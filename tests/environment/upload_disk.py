"""A server that writes to disks of all sorts: one that fills up, and one that takes two names for the same."""
import errno
import json
import os
import socket
import subprocess
import tempfile
import zlib

import checks
from disk import STRICT, Disk
from upload import DONE, OLD, REFUSED, WRITING, WrittenTo

# More than what the kernel keeps back of a full disk.
LARGE = checks.noise(12_000_000, 7)
OLDER, NEWER = b"what was there", b"what is new"


def u8_a_disk_that_fills_up_is_told_and_the_upload_goes_on_when_there_is_room(program, long):
    """The room cannot be reserved, and somebody else takes it in the middle of the body."""
    disk = Disk()
    try:
        disk.mount(STRICT)
        with WrittenTo(program, disk.top) as service:
            source = service.files.source
            with open(source, "wb") as file:
                file.write(LARGE)
            service.files.write("a", OLD)
            filler = os.path.join(disk.top, "filler")

            def tamper(stop, number):
                if stop.name == "fallocate" and stop.is_entry:
                    stop.fail(errno.EOPNOTSUPP)
                if stop.name == "pwrite64" and stop.is_entry and number == 20:
                    fill(filler)

            def work():
                service.tamper = tamper
                code, said = service.files.put(service.address)
                service.tamper = None
                checks.same(code, REFUSED, f"the exit code on a full disk, {said}")
                assert "no room" in said, said
                with open(os.path.join(disk.top, "a"), "rb") as file:
                    assert file.read() == OLD, "the old file is not whole"
                [partial] = [name for name in os.listdir(disk.top) if name.endswith(".upload")]
                kept = os.path.getsize(os.path.join(disk.top, partial))
                assert 0 < kept < len(LARGE), f"{kept} bytes were kept"
                os.unlink(filler)
                code, said = service.files.put(service.address)
                checks.same(code, DONE, f"the exit code when there is room, {said}")
                assert f"resumed at {kept}" in said, f"{kept} bytes were kept, and {said}"
                with open(os.path.join(disk.top, "a"), "rb") as file:
                    assert file.read() == LARGE, "a wrong file"
                checks.same(service.files.names(), ["a"], "what is left over")

            checks.same(service.run(work), 0, "the server's exit code")
            assert not service.findings, service.findings
    finally:
        disk.close()


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError as error:
            checks.same(error.errno, errno.ENOSPC, "why the disk takes no more")


class Folding:
    """An exFAT in user space: its names are the same in whatever letters, it never renames without replacing, and has neither
    links nor room that is reserved."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="coracle-folding-", dir=checks.memory())
        self.top, self.image = os.path.join(self.root, "mounted"), os.path.join(self.root, "image")
        os.mkdir(self.top)
        with open(self.image, "wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.exfat", self.image], check=True, stdout=subprocess.DEVNULL)
        losetup = ["losetup", "--find", "--show", self.image]
        self.device = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
        mount = ["mount.exfat-fuse", "-d", self.device, self.top]
        self.process = subprocess.Popen(mount, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        checks.wait_for("the file system", lambda: os.path.ismount(self.top) or self.process.poll() is not None)
        assert os.path.ismount(self.top), f"{mount} ended with {self.process.returncode}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.top], check=True)
        self.process.wait(30)
        subprocess.run(["losetup", "--detach", self.device], check=True)
        os.unlink(self.image)
        os.rmdir(self.top)
        os.rmdir(self.root)

    def read(self, name):
        """The contents, by the name that is listed: others may be remembered by the kernel as they were."""
        [listed] = [found for found in os.listdir(self.top) if found.lower() == name.lower()]
        with open(os.path.join(self.top, listed), "rb") as file:
            return file.read()


def u14_names_that_a_file_system_takes_for_the_same(program, long):
    checks.must_have(("mount.exfat-fuse", "exfat-fuse"), ("mkfs.exfat", "exfatprogs"))
    with Folding() as disk, tempfile.TemporaryDirectory() as here:
        with checks.Server(program, disk.top, "-q", "--hidden", *WRITING) as server:

            def run(command, *arguments, body=None):
                path = os.path.join(here, "file")
                if body is not None:
                    with open(path, "wb") as file:
                        file.write(body)
                    arguments = (path, "-o", *arguments)
                ran = subprocess.run([program, command, server.address, *arguments], capture_output=True, text=True)
                return ran.returncode, ran.stderr

            checks.same(run("put", "Config.txt", body=OLDER)[0], DONE, "a put")
            assert os.path.exists(os.path.join(disk.top, "CONFIG.TXT")), "this file system tells letters apart"
            # Another name of the same file is a file that is there.
            for name in ("config.txt", "CONFIG.TXT"):
                code, said = run("put", name, body=NEWER)
                checks.same((code, disk.read("Config.txt")), (REFUSED, OLDER), f"{name}: {said}")
                assert "already" in said, said
            checks.same(run("put", "config.txt", "-f", body=NEWER)[0], DONE, "a put that replaces")
            checks.same((len(os.listdir(disk.top)), disk.read("Config.txt")), (1, NEWER), "the one file")
            code, said = run("mv", "Config.txt", "CONFIG.txt")
            checks.same((code, disk.read("config.txt")), (REFUSED, NEWER), f"a file moved onto itself: {said}")
            # Two that are sent at the same time become one file, and the later one is told.
            bodies = {"pair.txt": b"one of them", "PAIR.txt": b"the other one"}
            connections = {name: begun(server, name, body) for name, body in bodies.items()}
            answers = []
            for name, body in bodies.items():
                connections[name].sendall(body)
                answers.append(json.loads(connections[name].recv(1000).split(b"\n")[0]))
                connections[name].close()
            checks.same([answer.get("code", answer["type"]) for answer in answers], ["end", "exists"], "the answers to both")
            checks.same(disk.read("pair.txt"), b"one of them", "the file of the first")
            # The file of an upload is no name, in whatever letters.
            with begun(server, "held.txt", b"held back"):
                partials = [name for name in os.listdir(disk.top) if name.startswith(".coracle-")]
                for partial in partials:
                    for name in (partial, partial.upper()):
                        code, said = run("put", name, "-f", body=NEWER)
                        checks.same(code, REFUSED, f"{name}: {said}")
                        checks.same(run("rm", name)[0], REFUSED, f"rm {name}")
                        checks.same(run("mv", name, "mine")[0], REFUSED, f"mv {name}")
                        checks.same(run("get", name, "-o", os.path.join(here, "got"))[0], REFUSED, f"get {name}")
                assert partials, "nothing is being sent"
            # What it cannot hold is refused; what is there stays.
            code, said = run("put", "a:b", body=NEWER)
            checks.same(code, REFUSED, f"a name with a colon: {said}")
            assert "not a name here" in said, said


def begun(server, name, body):
    """A connection that has asked to send a file, and may."""
    connection = socket.create_connection((server.host, server.port), timeout=30)
    request = {"type": "put", "fileName": name, "fileSize": len(body), "crc32": f"{zlib.crc32(body):08x}"}
    connection.sendall(json.dumps(request).encode() + b"\n")
    answer = json.loads(connection.recv(1000))
    checks.same(answer["type"], "ready", f"the answer for {name}")
    return connection
