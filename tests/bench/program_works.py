"""Works of whole programs that store what they fetch: what people wait for."""
import contextlib
import os
import resource
import subprocess
import tempfile
import time

from bench import MEMORY, run, run_json
from contest import (Work, at_least, at_most, byte_rate, request_rate, seconds, shown_byte_rate, shown_request_rate,
                     shown_seconds)
from link import MEGABITS, ROUND_TRIP_MS

TREE = "tree of 10,000 files, 164 MB"
LINK = f"over a link of {ROUND_TRIP_MS} ms there and back and {MEGABITS} Mbit/s"
# What is here already of the large file, in tenths.
TENTHS = 9


def all_works():
    yield Work("tree", f"{TREE}, into an empty directory on ext4, durable at the end", "tree",
               {"coracle": fetch(coracle()), "rsync": fetch(rsync(), durable=True), "rsync --fsync": fetch(rsync("--fsync"))},
               [at_most(1.0, "rsync", seconds, shown_seconds, "rsync -a and sync -f"),
                at_most(0.5, "rsync --fsync", seconds, shown_seconds, "rsync -a --fsync")], once=["rsync --fsync"])
    yield Work("none", f"{TREE}, into an empty directory on ext4, get --fsync none", "tree",
               {"coracle": fetch(coracle("--fsync", "none")), "rsync": fetch(rsync())},
               [at_most(1.0, "rsync", seconds, shown_seconds, "rsync -a")], times=2)
    yield Work("again", f"{TREE}, again, nothing changed", "tree",
               {"coracle": again(coracle(), "coracle"), "rsync": again(rsync(), "rsync")},
               [at_most(1.0, "rsync", seconds, shown_seconds, "rsync -a")], times=3)
    yield Work("checksum", f"{TREE}, again, nothing changed, get --checksum", "tree",
               {"coracle": again(coracle("--checksum"), "coracle"), "rsync": again(rsync("-c"), "rsync")},
               [at_most(1.0, "rsync", seconds, shown_seconds, "rsync -ac")], times=2)
    yield Work("link", f"{TREE}, {LINK}, durable at the end", "tree",
               {"coracle": fetch(coracle(link=True)), "rsync": fetch(rsync(link=True), durable=True)},
               [at_most(1.0, "rsync", seconds, shown_seconds, "rsync -a and sync -f")])
    yield Work("few", f"1,000 files of 1 KiB, {LINK}", "few",
               {"coracle": fetch(coracle(directory="few", link=True)), "one at a time": one_at_a_time},
               [at_least(20, "one at a time", request_rate, shown_request_rate, "one request a round trip")],
               once=["one at a time"])
    yield Work("get tmpfs", "1 GiB stored on tmpfs, verified", "",
               {"coracle": store("coracle", MEMORY), "curl": store("nginx", MEMORY)},
               [at_least(1.0, "curl", byte_rate, shown_byte_rate, "curl -o from nginx")])
    yield Work("get ext4", "1 GiB stored on ext4, verified, durable at the end", "",
               {"coracle": store("coracle", None), "curl": store("nginx", None)},
               [at_least(1.0, "curl", byte_rate, shown_byte_rate, "curl -o from nginx and sync")])
    yield Work("rest", "1 GiB stored on tmpfs, verified, 90 % of it here already", "",
               {"coracle": continue_fetch, "read and curl": read_and_fetch},
               [at_most(1.2, "read and curl", seconds, shown_seconds, "reading 90 % and curl for the rest")])


# --- Trees. --------------------------------------------------------------------------------------------------------


def coracle(*options, directory="tree", link=False):
    """Makes the command that fetches a directory with everything in it, to the directory `place`."""
    def command(bench, place):
        server = bench.server("coracle over the link" if link else "coracle")
        prefix = bench.inside_link() if link else []
        return [*prefix, bench.program, "get", "-r", *options, server.address(), directory, "-o", place], directory

    return command


def rsync(*options, directory="tree", link=False):
    def command(bench, place):
        server = bench.server("rsync over the link" if link else "rsync")
        prefix = bench.inside_link() if link else []
        source = f"rsync://{server.host}:{server.port}/files/{directory}"
        return [*prefix, "rsync", "-a", *options, source, place], directory

    return command


def fetch(make_command, durable=False):
    """Into an empty directory; `durable` with a sync behind it."""
    def measure(bench):
        place = bench.disk.directory()
        command, directory = make_command(bench, place)
        bench.disk.settle()
        started = time.perf_counter()
        run(command)
        if durable:
            run(["sync", "-f", place])
        taken = time.perf_counter() - started
        check_tree(bench, place, directory, command)
        bench.disk.remove(place)
        return {"seconds": taken, "requests": count_files(bench, directory)}

    return measure


def again(make_command, name):
    """To where the same program fetched everything before."""
    def measure(bench):
        if name not in bench.fetched:
            bench.fetched[name] = bench.disk.directory()
            run(make_command(bench, bench.fetched[name])[0])
            bench.disk.settle()
        place = bench.fetched[name]
        command, directory = make_command(bench, place)
        started = time.perf_counter()
        run(command)
        taken = time.perf_counter() - started
        check_tree(bench, place, directory, command)
        return {"seconds": taken}

    return measure


def check_tree(bench, place, directory, command):
    """Nothing is missing, wrong, or left over, but for a file in which Coracle keeps what it fetched."""
    source, target = os.path.join(bench.files.root, directory), os.path.join(place, directory)
    differ = subprocess.run(["diff", "--recursive", "--brief", "--exclude", ".coracle-*", source, target],
                            capture_output=True, text=True)
    parts = [name for _, _, names in os.walk(place) for name in names if name.startswith(".coracle-") and ".part" in name]
    if differ.returncode != 0 or parts:
        found = (differ.stdout + differ.stderr).splitlines() + parts
        raise RuntimeError(f"{' '.join(command)}: what was stored is wrong: {'; '.join(found[:5])}")


def count_files(bench, directory):
    return bench.files.sizes.few if directory == "few" else bench.files.sizes.tree


def one_at_a_time(bench):
    """A client that asks for the next file when the last one has arrived, over a kept connection."""
    server = bench.server("coracle over the link")
    requests = bench.files.sizes.few // 10
    return bench.run(server, "small", "--directory", "few", "--count", bench.files.sizes.few, "--requests", requests,
                     prefix=bench.inside_link())


# --- One large file. -----------------------------------------------------------------------------------------------


def store(name, memory):
    """On tmpfs, or durably on ext4."""
    def measure(bench):
        with directory(bench, memory) as place:
            path = os.path.join(place, "big.bin")
            command = curl(bench, path) if name == "nginx" else get(bench, place)
            started = time.perf_counter()
            run(command)
            if name == "nginx" and memory is None:
                run(["sync", path])
            taken = time.perf_counter() - started
            check_file(bench, path, command)
        return {"seconds": taken, "bytes": bench.files.sizes.big}

    return measure


def continue_fetch(bench):
    """A file whose first part was fetched by a program that was killed."""
    here = bench.files.sizes.big // 10 * TENTHS
    with directory(bench, MEMORY) as place:
        command = get(bench, place)
        # The system ends it when it writes more.
        limit = (resource.RLIMIT_FSIZE, (here, here))
        killed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                preexec_fn=lambda: resource.setrlimit(*limit))
        sizes = [os.path.getsize(os.path.join(place, name)) for name in os.listdir(place)]
        if killed.returncode == 0 or here not in sizes:
            raise RuntimeError(f"{' '.join(command)}: no part of {here} bytes was left: {sizes}, {killed.stderr}")
        started = time.perf_counter()
        run(command)
        taken = time.perf_counter() - started
        check_file(bench, os.path.join(place, "big.bin"), command)
    return {"seconds": taken}


def read_and_fetch(bench):
    here = bench.files.sizes.big // 10 * TENTHS
    with directory(bench, MEMORY) as place:
        part, rest = (os.path.join(place, name) for name in ("part", "rest"))
        run(["cp", bench.files.big, part])
        read = run_json([bench.client, "read-file", part, "--length", str(here)])["seconds"]
        started = time.perf_counter()
        run(curl(bench, rest, "--range", f"{here}-"))
        taken = time.perf_counter() - started
        run(["cmp", rest, bench.files.big, "0", str(here)])
    return {"seconds": read + taken}


def curl(bench, path, *options):
    return ["curl", "-s", *options, "-o", path, f"http://{bench.server('nginx').address()}/big.bin"]


def get(bench, place):
    return [bench.program, "get", bench.server("coracle").address(), "big.bin", "-o", place + "/"]


def check_file(bench, path, command):
    if subprocess.run(["cmp", "-s", path, bench.files.big]).returncode != 0:
        raise RuntimeError(f"{command[0]}: what was stored is wrong")


@contextlib.contextmanager
def directory(bench, memory):
    """An empty one, on tmpfs or ext4."""
    if memory is None:
        place = bench.disk.directory()
        bench.disk.settle()
        yield place
        bench.disk.remove(place)
    else:
        with tempfile.TemporaryDirectory(dir=memory) as place:
            yield place
