"""Works of whole programs that send what a server stores: the other direction, durable at the end."""
import contextlib
import os
import subprocess
import time

import rivals
from bench import run
from contest import Work, at_most, seconds, shown_seconds
from program_works import TREE

# What nginx needs to store what is sent: on the file system of the target, so that a rename is enough.
DAV = "dav_methods PUT; client_max_body_size 0; client_body_temp_path {place}/.temporary;"


def all_works():
    yield Work("put tree", f"{TREE}, sent to an empty directory on ext4, durable at the end", "tree",
               {"coracle": send_tree("coracle"), "rsync": send_tree("rsync")},
               [at_most(1.2, "rsync", seconds, shown_seconds, "rsync -a and sync -f")])
    yield Work("put ext4", "1 GiB sent to ext4, verified, durable at the end", "",
               {"coracle": send_file("coracle"), "curl": send_file("nginx"), "rsync": send_file("rsync")},
               [at_most(1.0, "curl", seconds, shown_seconds, "sha256sum, curl -T to nginx's WebDAV and sync"),
                at_most(1.1, "rsync", seconds, shown_seconds, "rsync -c --fsync")])


def send_tree(name):
    def measure(bench):
        with served(bench, name) as (server, place):
            target = os.path.join(place, "tree")
            if name == "rsync":
                command = ["rsync", "-a", bench.files.tree, f"rsync://{server.host}:{server.port}/files/"]
            else:
                command = [bench.program, "put", "-r", server.address(), bench.files.tree, "--quiet"]
            started = time.perf_counter()
            run(command)
            if name == "rsync":
                run(["sync", "-f", place])
            taken = time.perf_counter() - started
            differ = subprocess.run(["diff", "--recursive", "--brief", bench.files.tree, target],
                                    capture_output=True, text=True)
            left = [file for _, _, files in os.walk(place) for file in files if file.startswith(".")]
            if differ.returncode != 0 or left:
                raise RuntimeError(f"{' '.join(command)}: what was stored is wrong: {differ.stdout[:300]} {left[:5]}")
        return {"seconds": taken}

    return measure


def send_file(name):
    def measure(bench):
        source = bench.files.big
        with served(bench, name) as (server, place):
            target = os.path.join(place, "big.bin")
            address = server.address()
            commands = {
                "coracle": [[bench.program, "put", address, source, "--quiet"]],
                "nginx": [["sha256sum", source], ["curl", "-sf", "-T", source, f"http://{address}/big.bin"], ["sync", target]],
                "rsync": [["rsync", "-c", "--fsync", source, f"rsync://{server.host}:{server.port}/files/"]],
            }[name]
            started = time.perf_counter()
            for command in commands:
                run(command)
            taken = time.perf_counter() - started
            if subprocess.run(["cmp", "-s", target, source]).returncode != 0:
                raise RuntimeError(f"{commands}: what was stored is wrong")
        return {"seconds": taken}

    return measure


@contextlib.contextmanager
def served(bench, name):
    """A server that may be written to, and its directory: an empty one on ext4."""
    place = bench.disk.directory()
    server = {
        "coracle": lambda: rivals.coracle("coracle, written to", bench.program, place, "--write", "--allow-plain-writes"),
        "nginx": lambda: rivals.nginx("nginx, written to", place, DAV.format(place=place)),
        "rsync": lambda: rivals.rsync("rsync, written to", place, is_writable=True),
    }[name]()
    server.start(bench.scratch)
    try:
        bench.disk.settle()
        yield server, place
    finally:
        server.stop()
    bench.disk.remove(place)
