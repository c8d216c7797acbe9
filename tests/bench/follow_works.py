"""Clients that follow one log: what each costs the server, and how soon all have what is appended."""
import os
import resource
import select
import socket
import time

from contest import Bar, Work, at_most, shown_seconds

KIB = 1024
LOG, FIRST, SECOND = "followed.log", b"the first line\n", b"the second line\n"
QUIET_SECONDS, QUICK_SECONDS = 20, 0.5


def all_works():
    contestants = {"coracle": follow("coracle, followed", append), "threads": follow("bare threads", None)}
    yield Work("follow", "10,000 followers of one log, and a line that is appended", "", contestants, [
        at_most(1.3, "threads", lambda taken: taken["quiet_cpu"], shown_quiet, "bare threads that send heartbeats",
                subject="CPU while it is quiet"),
        Bar("at most 12 KiB", lambda taken: taken["resident_each"], lambda value: f"{value / KIB:.1f} KiB", None,
            most=12 * KIB, subject="memory of the process for each"),
        Bar("at most 2 s", lambda taken: taken["seconds"], shown_seconds, None, most=2, subject="all have it")],
        most_rounds=1)


def shown_quiet(value):
    return f"{value * 1e3:.1f} ms/s"


def follow(name, end):
    return lambda bench: measure(bench, name, end)


def measure(bench, name, end):
    server = bench.server(name)
    path = os.path.join(bench.followed, LOG)
    with open(path, "wb") as log:
        log.write(FIRST)
    before, limits = server.memory(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    crowd = []
    try:
        crowd = [Follower(server) for _ in range(bench.idle_clients)]
        # Until all of them wait.
        seen = None
        while (now := (server.memory(), server.threads())) != seen:
            seen = now
            time.sleep(0.5)
        resident = (now[0] - before) / len(crowd)
        busy, seconds = server.cpu_seconds(), QUICK_SECONDS if bench.quick else QUIET_SECONDS
        time.sleep(seconds)
        busy = server.cpu_seconds() - busy
        return {"resident_each": resident, "quiet_cpu": busy / seconds, "seconds": end(path, crowd) if end else 0}
    finally:
        for follower in crowd:
            follower.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        server.stop()


def append(path, crowd):
    """Seconds from an append until everybody has been sent it."""
    poll, waiting = select.epoll(), {}
    for follower in crowd:
        poll.register(follower.socket, select.EPOLLIN)
        waiting[follower.socket.fileno()] = follower
    with open(path, "ab") as log:
        begun = time.monotonic()
        log.write(SECOND)
    while waiting:
        ready = poll.poll(20)
        if not ready:
            raise RuntimeError(f"{len(waiting)} followers were not sent what was appended")
        for descriptor, _ in ready:
            if descriptor in waiting and waiting[descriptor].receive():
                poll.unregister(descriptor)
                del waiting[descriptor]
    poll.close()
    return time.monotonic() - begun


class Follower:
    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port), timeout=20)
        self.received = b""
        request = f'{{"type":"get","fileName":"{LOG}","offset":{len(FIRST)},"digest":"none","wait_ms":60000}}'
        self.socket.sendall(request.encode())

    def receive(self):
        """Whether the answer is complete; it has to be the right one."""
        piece = self.socket.recv(4096)
        # Behind heartbeats.
        self.received = (self.received + piece).lstrip(b" ")
        if not piece or self.received and not b'{"type":"file",'.startswith(self.received[:15]):
            raise RuntimeError(f"a follower was sent {self.received!r}")
        _, header, rest = self.received.partition(b"\n")
        return bool(header) and rest == SECOND + b'{"type":"end"}\n'
