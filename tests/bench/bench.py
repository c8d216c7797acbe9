"""What every work needs: the servers, the programs, an ext4 to write to, and a slow link."""
import json
import os
import shutil
import subprocess
import tempfile

import rivals
from link import CLIENT, SERVER, Link

SENTENCE = "收到客户端信息"
MEMORY = "/dev/shm"
# What TCP leaves of 1 Gbit/s, in bytes a second.
GIGABIT_LINK = 117_000_000


class Bench:
    def __init__(self, files, client, program, scratch, image, quick):
        self.files, self.client, self.program, self.scratch, self.quick = files, client, program, scratch, quick
        self.milliseconds = 40 if quick else 150
        self.idle_clients = 500 if quick else 10_000
        self.link = None
        self.disk = Disk(image, files.sizes.disk, os.path.join(scratch, "disk"))
        # Trees that were fetched before, by the program that did.
        self.fetched = {}
        root = files.root
        # A log of its own, which is appended to.
        self.followed = tempfile.mkdtemp(dir=scratch)
        self.servers = {server.name: server for server in [
            rivals.coracle("coracle", program, root),
            rivals.coracle("coracle, text", program, root, "--on-text", "reply:" + SENTENCE),
            rivals.coracle("coracle, idle", program, root, "--idle-timeout", "10m"),
            rivals.coracle("coracle, 64 places", program, root, clients=64),
            rivals.coracle("coracle, 64 places, 1 Gbit/s", program, root, "--limit-rate", str(GIGABIT_LINK), clients=64),
            rivals.coracle("coracle, followed", program, self.followed, "--append", "*.log", "--idle-timeout", "10m"),
            rivals.bare_threads("bare threads", client),
            rivals.encrypted_coracle("coracle, encrypted", program, root),
            rivals.nginx("nginx", root),
            rivals.nginx("nginx, idle", root),
            rivals.nginx("nginx, TLS", root, is_encrypted=True),
            rivals.ssh("ssh"),
            rivals.rsync("rsync", root),
            rivals.legacy_server("Python"),
        ]}

    def server(self, name):
        """A server, started where it is not yet."""
        if name.endswith(" over the link") and self.link is None:
            self.link = Link(self.client)
            host, prefix = self.link.address(SERVER), self.link.inside(SERVER)
            for server in [rivals.coracle("coracle over the link", self.program, self.files.root, host=host, prefix=prefix),
                           rivals.rsync("rsync over the link", self.files.root, host=host, prefix=prefix)]:
                self.servers[server.name] = server
        server = self.servers[name]
        if server.process is None:
            server.start(self.scratch)
        return server

    def inside_link(self):
        """What stands before a client's command."""
        return self.link.inside(CLIENT)

    def stop(self):
        for server in self.servers.values():
            server.stop()
        if self.link is not None:
            self.link.close()
        self.disk.close()

    def run(self, server, work, *arguments, cores=None, dialect=None, prefix=()):
        """One run of the bench client against a server; what it printed."""
        command = [*prefix, self.client, work, "--dialect", dialect or server.dialect, "--address", server.address()]
        for pid in server.pids():
            command += ["--pid", str(pid)]
        return run_json([*command, *map(str, arguments)], cores)


class Disk:
    """An ext4 of its own, so that `sync -f` waits for nobody else's writing: on a loop device that reads and writes its image
    directly."""

    def __init__(self, image, size, top):
        self.top = top
        if not os.path.exists(image) or os.path.getsize(image) != size:
            with open(image, "wb") as file:
                # Blocks that were never written would be slower the first time.
                for _ in range(size >> 20):
                    file.write(bytes(1 << 20))
        make = ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image]
        run(make)
        device = run(["losetup", "--find", "--show", "--direct-io=on", image]).stdout.strip()
        os.mkdir(top)
        try:
            run(["mount", "-t", "ext4", device, top])
        finally:
            # Where it is mounted, it goes with the mount.
            run(["losetup", "--detach", device])

    def settle(self):
        """Writes out what an earlier measurement left."""
        run(["sync", "-f", self.top])

    def directory(self):
        return tempfile.mkdtemp(dir=self.top)

    def remove(self, path):
        shutil.rmtree(path)
        self.settle()

    def close(self):
        run(["umount", self.top])


def run(command, cores=None):
    """Of a program that has to succeed."""
    def prepare():
        if cores:
            os.sched_setaffinity(0, cores)

    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          preexec_fn=prepare if cores else None)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()[-300:]}")
    return done


def run_json(command, cores=None):
    return json.loads(run(command, cores).stdout)
