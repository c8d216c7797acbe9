"""What is measured: the contestants of each work, and how one round of it runs."""
import json
import os
import subprocess
import tempfile
import time

import rivals

PINNED, UNPINNED = "one core", "unpinned"
APART = "a core each"


class Bench:
    """The servers, the client program, and how long things may take."""

    def __init__(self, files, client, program, scratch, quick):
        self.files, self.client, self.program, self.scratch, self.quick = files, client, program, scratch, quick
        self.milliseconds = 40 if quick else 150
        self.idle_clients = 500 if quick else 10_000
        self.paced_seconds = 1 if quick else 2
        root, many = files.root, files.many
        quiet = ["--quiet"]
        self.servers = {server.name: server for server in [
            rivals.coracle("coracle", program, root, *quiet),
            rivals.coracle("coracle, log", program, root),
            rivals.coracle("coracle, no digest", program, root, *quiet),
            rivals.coracle("coracle, text", program, root, *quiet, "--on-text", "reply:" + SENTENCE),
            rivals.coracle("coracle, many", program, many, *quiet),
            rivals.coracle("coracle, idle", program, root, *quiet),
            rivals.nginx("nginx", root),
            rivals.nginx("nginx, log", root, log=True),
            rivals.nginx("nginx, no sendfile", root, sendfile=False),
            rivals.nginx("nginx, many", many),
            rivals.nginx("nginx, idle", root),
            rivals.lighttpd("lighttpd", root),
            rivals.http_server("http.server", root),
            rivals.http_server("http.server, many", many),
            rivals.legacy_server("legacy Python server"),
            rivals.iperf3("iperf3"),
            rivals.floor("floor: sendfile", client, files.big, "sendfile"),
            rivals.floor("floor: sendfile, hashed", client, files.big, "hashed"),
            rivals.floor("floor: small", client, files.small, "sendfile"),
        ]}

    def start(self, name):
        server = self.servers[name]
        if server.process is None:
            server.start(self.scratch)
        return server

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def run(self, server, work, *arguments, cores=None, dialect=None):
        """One run of the client against a server; what it printed."""
        command = [self.client, work, "--dialect", dialect or server.dialect, "--address", f"127.0.0.1:{server.port}"]
        for pid in server.pids():
            command += ["--pid", str(pid)]
        return run_json(server.name, [*command, *map(str, arguments)], cores)

    # --- One round of each work, for one server. ------------------------------------------------------------------

    def bulk(self, server, pinning, sink="drop", digest=False):
        server_cores, client_cores = ({0}, {1}) if pinning == APART else (None, None)
        set_cores(server, server_cores)
        if server.dialect == "iperf3":
            return self.iperf3(server, client_cores)
        dialect = "coracle-crc32" if digest else server.dialect
        return self.run(server, "bulk", "--name", "big.bin", "--size", self.files.big_len,
                        "--crc32", f"{self.files.digest:08x}", "--sink", sink, cores=client_cores, dialect=dialect)

    def iperf3(self, server, cores):
        command = ["iperf3", "-c", "127.0.0.1", "-p", str(server.port), "-n", str(self.files.big_len), "-J", "-R"]
        result = run_json("iperf3", command, cores)["end"]["sum_received"]
        return {"seconds": result["seconds"], "bytes": result["bytes"]}

    def first_fetch(self, server, pinning):
        """Of a server that has seen the file never before."""
        if server.dialect == "coracle" and server.name.startswith("coracle"):
            server.stop()
            server.start(self.scratch)
        return self.bulk(server, pinning, digest=server.dialect == "coracle")

    def known_digest(self, server, pinning):
        if server.name == "coracle":
            return self.bulk(server, pinning, digest=True)
        return self.bulk(server, pinning)

    def small(self, server, pinning, clients, fresh=False):
        cores = {1} if pinning == PINNED else None
        set_cores(server, cores)
        arguments = ["--name", "small.bin", "--body", self.files.small, "--clients", clients,
                     "--milliseconds", self.milliseconds]
        return self.run(server, "small", *arguments, *(["--fresh"] if fresh else []), cores=cores)

    def text(self, server, pinning, clients):
        cores = {1} if pinning == PINNED else None
        set_cores(server, cores)
        return self.run(server, "small", "--clients", clients, "--milliseconds", self.milliseconds, cores=cores,
                        dialect="text")

    def list(self, server, pinning):
        if server is None:
            result = run_json("floor", [self.client, "floor-list", self.files.many], None)
            return {"seconds": result["seconds"], "bytes": 0}
        marker = {"coracle, many": '"entry"', "nginx, many": '"name"', "http.server, many": "<li>"}[server.name]
        # The first request allocates memory once.
        self.run(server, "list", "--marker", marker, "--count", self.files.entries)
        server.forget_peak()
        before = server.memory()
        result = self.run(server, "list", "--marker", marker, "--count", self.files.entries)
        return {**result, "memory_more": server.memory("VmHWM") - before}

    def idle(self, server, _):
        """10,000 clients that connect, rest and wake."""
        server.stop()
        server.start(self.scratch)
        before = server.memory()
        command = [self.client, "idle", "--dialect", server.dialect, "--address", f"127.0.0.1:{server.port}",
                   "--name", "small.bin", "--body", self.files.small, "--clients", str(self.idle_clients)]
        kernel_before = kernel_memory()
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        result = json.loads(client.stdout.readline() or "{}")
        begun = time.monotonic()
        seen = None
        # Until it has made all the threads and memory that it will.
        while (now := (server.memory(), server.threads())) != seen and time.monotonic() < begun + 30:
            seen = now
            time.sleep(0.3)
        result["resident_each"] = (now[0] - before) / self.idle_clients
        result["kernel_each"] = (kernel_memory() - kernel_before) / self.idle_clients
        out, _ = client.communicate("\n", timeout=120)
        if client.returncode != 0:
            raise RuntimeError(f"{server.name}: not every idle client was served")
        return {**result, **json.loads(out)}

    def paced(self, server, _, clients):
        set_cores(server, None)
        return self.run(server, "paced", "--name", "small.bin", "--body", self.files.small, "--clients", clients,
                        "--seconds", self.paced_seconds if clients > 10 else 2 * self.paced_seconds)

    def fetch(self, server, _):
        """A whole program that stores the file on tmpfs."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
            path = os.path.join(place, "big.bin")
            if server.dialect == "http":
                command = ["curl", "-s", "-o", path, f"http://127.0.0.1:{server.port}/big.bin"]
            else:
                command = [self.program, "get", f"127.0.0.1:{server.port}", "big.bin", "-o", place + "/"]
            started = time.perf_counter()
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            seconds = time.perf_counter() - started
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
            if subprocess.run(["cmp", "-s", path, self.files.big]).returncode != 0:
                raise RuntimeError(f"{command[0]}: what was stored is wrong")
        return {"seconds": seconds, "bytes": self.files.big_len}


SENTENCE = "收到客户端信息"


class Work:
    """`most_rounds` are enough where one takes long; `times` as many as elsewhere belong to what is short and noisy. Of those,
    contestants that no bar asks after are `seldom` worth one."""

    def __init__(self, key, title, kind, contestants, reference, measure, pinnings, most_rounds=None, times=1, seldom=()):
        self.key, self.title, self.kind, self.contestants = key, title, kind, contestants
        self.reference, self.measure, self.pinnings = reference, measure, pinnings
        self.most_rounds, self.times, self.seldom = most_rounds, times, seldom

    def rounds(self, rounds):
        return min(rounds, self.most_rounds) if self.most_rounds else rounds * self.times

    def takes_part(self, name, number):
        """In the round of this number."""
        return name not in self.seldom or number % self.times == 0


def all_works():
    both = [PINNED, UNPINNED]
    bulk = [APART, UNPINNED]
    works = []
    for sink in ("drop", "splice"):
        contestants = ["coracle", "nginx", "lighttpd", "floor: sendfile"]
        contestants += ["http.server", "iperf3"] if sink == "drop" else []
        works.append(Work(f"bulk {sink}", f"1 GiB, digest none, a client that {SINKS[sink]}", "bulk", contestants, "nginx",
                          lambda bench, server, pin, sink=sink: bench.bulk(server, pin, sink), bulk,
                          times=8, seldom=("lighttpd", "http.server", "iperf3")))
    works.append(Work("known", "1 GiB, CRC-32 of a file fetched before", "bulk", ["coracle", "coracle, no digest"], "coracle, no digest",
                      lambda bench, server, pin: bench.known_digest(server, pin), bulk, times=3))
    works.append(Work("first", "1 GiB, CRC-32, first fetch of the file", "bulk",
                      ["coracle", "nginx, no sendfile", "floor: sendfile, hashed"], "nginx, no sendfile",
                      lambda bench, server, pin: bench.first_fetch(server, pin), bulk))
    for clients in (1, 8, 64):
        works.append(Work(f"kept {clients}", f"1 KiB, connection kept, {count(clients)}", "small",
                          ["coracle", "nginx", "lighttpd", "coracle, log", "nginx, log", "floor: small"], "nginx",
                          lambda bench, server, pin, n=clients: bench.small(server, pin, n), both,
                          times=5))
    for clients in (1, 8, 64):
        works.append(Work(f"new {clients}", f"1 KiB, new connection each, {count(clients)}", "small",
                          ["coracle", "nginx", "lighttpd", "coracle, log", "nginx, log", "floor: small",
                           # More clients than that overflow the five places of its accept queue.
                           *(["http.server"] if clients == 1 else [])], "nginx",
                          lambda bench, server, pin, n=clients: bench.small(server, pin, n, True), both))
    for clients in (1, 64):
        works.append(Work(f"text {clients}", f"text acknowledged, {count(clients)}", "small",
                          ["coracle, text", "legacy Python server", "floor: small"], "legacy Python server",
                          lambda bench, server, pin, n=clients: bench.text(server, pin, n), both))
    works.append(Work("list", "list of 100,000 files", "list",
                      ["coracle, many", "nginx, many", "http.server, many", "floor: getdents, statx"], "nginx, many",
                      lambda bench, server, pin: bench.list(server, pin), [UNPINNED]))
    works.append(Work("idle", "10,000 clients that rest and wake", "idle", ["coracle, idle", "nginx, idle"], "nginx, idle",
                      lambda bench, server, pin: bench.idle(server, pin), [UNPINNED], most_rounds=1))
    works.append(Work("get", "1 GiB stored on tmpfs by coracle get, and by curl from nginx", "bulk",
                      ["coracle", "nginx"], "nginx", lambda bench, server, pin: bench.fetch(server, pin), [UNPINNED]))
    for clients in (1, 10, 100, 1000):
        works.append(Work(f"paced {clients}", f"1 KiB once a second, {count(clients)}", "paced", ["coracle", "nginx"],
                          "nginx", lambda bench, server, pin, n=clients: bench.paced(server, pin, n), [UNPINNED],
                          most_rounds=2))
    return works


SINKS = {"drop": "reads and drops", "splice": "splices to /dev/null"}


def count(clients):
    return "1 client" if clients == 1 else f"{clients:,} clients"


def check_bodies(bench):
    """Every server that serves the large file does so byte for byte; the timed runs look at lengths and ends only."""
    for name in ("coracle", "nginx", "nginx, no sendfile", "lighttpd", "http.server", "floor: sendfile"):
        bench.bulk(bench.start(name), UNPINNED, "check")
    for name in ("coracle", "coracle", "coracle, log", "floor: sendfile, hashed"):
        bench.bulk(bench.start(name), UNPINNED, "check", digest=True)


def set_cores(server, cores):
    server.pin(cores or set(range(os.cpu_count())))


def run_json(name, command, cores):
    preexec = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=preexec)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()[-300:]}")
    return json.loads(done.stdout)


def kernel_memory():
    """Kernel stacks, page tables, sockets and the like, in bytes."""
    with open("/proc/meminfo") as info:
        fields = dict(line.split(":") for line in info)
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Slab", "KernelStack", "PageTables"))
