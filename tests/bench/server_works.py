"""Works that the bench client drives: what a server does, and what it costs."""
import json
import os
import subprocess
import time

from bench import run_json
from contest import (Bar, Work, at_least, at_most, byte_rate, count, cpu_for_byte, cpu_seconds, not_judged,
                     request_rate, seconds, shown_byte_rate, shown_cpu_for_byte, shown_request_rate, shown_seconds)

# Where a wake-up crosses from one core to another, it costs more than the request; so small ones are measured both ways.
PINNED, UNPINNED, APART = "one core", "unpinned", "a core each"
KIB = 1024
BURSTS = 4
SINKS = {"drop": "a client that reads", "splice": "a client that splices to /dev/null"}


def all_works():
    for clients, limit in ((1, 1.0), (8, 1.0), (64, 0.8)):
        for pinning in (PINNED, UNPINNED):
            title = f"1 KiB, distinct files at random from 100,000, kept connections, {count(clients)}, {pinning}"
            yield Work(f"kept {clients} {pinning}", title, "many", small(clients, pinning), [
                at_least(limit, "nginx", request_rate, shown_request_rate, beside=p99)], times=5)
    for clients in (1, 8, 64):
        for pinning in (PINNED, UNPINNED):
            title = f"1 KiB, the same, a new connection each, {count(clients)}, {pinning}"
            yield Work(f"new {clients} {pinning}", title, "many", small(clients, pinning, "--fresh"), [
                at_least(0.9, "nginx", request_rate, shown_request_rate, beside=p99)], times=5)
    for clients in (1, 64):
        yield Work(f"text {clients}", f"text acknowledged, {count(clients)}, {UNPINNED}", "",
                   {"coracle": text("coracle, text", clients), "Python": text("Python", clients)},
                   [at_least(1.0, "Python", request_rate, shown_request_rate, "the Python program")], times=3)
    yield Work("burst", "1 MiB by 64 clients at once, new connections, with CRC-32", "",
               {"coracle": burst("coracle", "coracle-crc32"), "nginx": burst("nginx", "http")},
               [at_most(1.0, "nginx", seconds, shown_seconds, "nginx without digest"),
                at_most(1.0, "nginx", cpu_seconds, shown_seconds, "nginx without digest", subject="CPU")], times=5)
    yield Work("crowd", "1 MiB by 2,000 clients within a second, 64 places, 1 Gbit/s", "", crowd(", 1 Gbit/s"), [
        at_most(1.3, "steady", seconds, shown_seconds, "64 steady clients of the same"),
        Bar("at most 3 x the median", slowest, shown_times, None, most=3, subject="the slowest")], most_rounds=1)
    yield Work("crowd unlimited", "the same at the speed of loopback", "", crowd(), [
        not_judged("nothing: 64 steady clients take less than the second in which the crowd comes", "steady", seconds,
                   shown_seconds),
        not_judged("nothing: most find a place at once", None, slowest, shown_times, subject="the slowest")])
    for sink, client in SINKS.items():
        yield Work(f"bulk {sink}", f"1 GiB, digest none, {client}", "",
                   {"coracle": bulk("coracle", sink), "nginx": bulk("nginx", sink)}, bulk_bars(), times=5)
        yield Work(f"known {sink}", f"1 GiB, CRC-32 known, {client}", "",
                   {"coracle": bulk("coracle", sink, "coracle-crc32"), "nginx": bulk("nginx", sink)}, bulk_bars(), times=5)
    yield Work("list", "list of 100,000", "many", {name: listing(name) for name in ("coracle", "nginx")}, [
        at_most(1.0, "nginx", seconds, shown_seconds, "nginx's autoindex"),
        Bar("at most 1 MiB", lambda taken: taken["memory_more"], lambda value: f"{value / KIB:,.0f} KiB", None,
            most=1 << 20, subject="memory beyond that of an earlier one")])
    yield Work("idle", "10,000 idle clients", "few", {name: idle(f"{name}, idle") for name in ("coracle", "nginx")}, [
        Bar("at most 12 KiB", lambda taken: taken["resident_each"], lambda value: f"{value / KIB:.1f} KiB", None,
            most=12 * KIB, subject="memory of the process for each"),
        Bar("at most 1 s", lambda taken: taken["connect_seconds"], shown_seconds, None, most=1, subject="connected")],
        most_rounds=1)


def bulk_bars():
    return [at_least(0.97, "nginx", byte_rate, shown_byte_rate, "nginx with sendfile"),
            at_most(1.1, "nginx", cpu_for_byte, shown_cpu_for_byte, subject="CPU per GB")]


def check_bodies(bench):
    """Every byte of the large files; the timed runs look at lengths, ends and digests only."""
    for name, dialect in (("coracle", "coracle"), ("coracle", "coracle-crc32"), ("nginx", "http")):
        bulk(name, "check", dialect)(bench)
        burst(name, dialect, "--check")(bench)


# --- One round of each work, for one server. -----------------------------------------------------------------------


def small(clients, pinning, *arguments):
    def measure(bench, name):
        server = bench.server(name)
        cores = {1} if pinning == PINNED else None
        server.pin(cores)
        return bench.run(server, "small", "--directory", "many", "--count", bench.files.sizes.many, "--clients", clients,
                         "--milliseconds", bench.milliseconds, *arguments, cores=cores)

    return {name: lambda bench, name=name: measure(bench, name) for name in ("coracle", "nginx")}


def text(name, clients):
    def measure(bench):
        server = bench.server(name)
        return bench.run(server, "small", "--clients", clients, "--milliseconds", bench.milliseconds, dialect="text")

    return measure


def p99(rounds):
    middle = sorted(taken["p99_us"] for taken in rounds)[len(rounds) // 2]
    return f"p99 {middle:,.0f} µs"


def burst(name, dialect, *arguments):
    def measure(bench):
        server = bench.server(name)
        server.pin(None)
        times = 1 if bench.quick else BURSTS
        return bench.run(server, "burst", "--name", "mebibyte.bin", "--size", 1 << 20, "--crc32",
                         f"{bench.files.mebibyte_digest:08x}", "--clients", 64, "--times", times, *arguments,
                         dialect=dialect)

    return measure


def crowd(link=""):
    def measure(bench, *clients):
        server = bench.server("coracle, 64 places" + link)
        server.pin(None)
        return bench.run(server, "crowd", "--name", "mebibyte.bin", "--size", 1 << 20, "--crc32",
                         f"{bench.files.mebibyte_digest:08x}", "--fetches", 128 if bench.quick else 2000, *clients,
                         dialect="coracle-crc32")

    return {"coracle": measure, "steady": lambda bench: measure(bench, "--clients", 64)}


def slowest(taken):
    return taken["slowest_seconds"] / taken["median_seconds"]


def shown_times(value):
    return f"{value:.2f} x"


def bulk(name, sink, dialect=None):
    def measure(bench):
        server = bench.server(name)
        server.pin({0})
        return bench.run(server, "bulk", "--name", "big.bin", "--size", bench.files.sizes.big, "--crc32",
                         f"{bench.files.digest:08x}", "--sink", sink, cores={1}, dialect=dialect)

    return measure


def listing(name):
    def measure(bench):
        server = bench.server(name)
        server.pin(None)
        marker = {"coracle": '"entry"', "nginx": '"name"'}[name]
        arguments = ["--name", "many", "--marker", marker, "--count", bench.files.sizes.many]
        # The first request allocates memory once.
        bench.run(server, "list", *arguments)
        server.forget_peak()
        before = server.memory()
        result = bench.run(server, "list", *arguments)
        return {**result, "memory_more": server.memory("VmHWM") - before}

    return measure


def idle(name):
    """Clients that connect, rest and wake."""
    def measure(bench):
        server = bench.server(name)
        server.stop()
        server.start(bench.scratch)
        before = server.memory()
        command = [bench.client, "idle", "--dialect", server.dialect, "--address", server.address(), "--directory", "few",
                   "--count", str(bench.files.sizes.few), "--clients", str(bench.idle_clients)]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        result = json.loads(client.stdout.readline() or "{}")
        begun = time.monotonic()
        seen = None
        # Until it has made all the threads and memory that it will.
        while (now := (server.memory(), server.threads())) != seen and time.monotonic() < begun + 30:
            seen = now
            time.sleep(0.3)
        result["resident_each"] = (now[0] - before) / bench.idle_clients
        out, _ = client.communicate("\n", timeout=120)
        server.stop()
        if client.returncode != 0:
            raise RuntimeError(f"{server.name}: not every idle client was served")
        return {**result, **json.loads(out)}

    return measure
