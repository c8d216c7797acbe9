"""The servers that are measured: each on a free port of loopback, all with the same files."""
import os
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LEGACY = os.path.join(TOP, "tests", "legacy")
# Debian's package for each command that is needed.
PACKAGES = {"nginx": "nginx-light", "lighttpd": "lighttpd", "iperf3": "iperf3", "curl": "curl", "ip": "iproute2",
            "unshare": "util-linux"}
MOST_CLIENTS = 12_000

NGINX = """
user root;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx-error.log;
daemon off;
events {{ worker_connections {clients}; }}
http {{
    access_log {access_log};
    sendfile {sendfile};
    tcp_nopush on;
    default_type application/octet-stream;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {files};
        location / {{ autoindex on; autoindex_format json; }}
    }}
}}
"""
LIGHTTPD = """
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{files}"
server.errorlog = "{scratch}/lighttpd-error.log"
server.max-fds = 20000
server.max-connections = {clients}
server.listen-backlog = 4096
server.max-keep-alive-idle = 600
server.max-keep-alive-requests = 65535
server.modules = ("mod_dirlisting")
"""


class Server:
    """A running server. `make` gives its command for a port and a directory for what it writes."""

    def __init__(self, name, dialect, make, says_port=False):
        self.name, self.dialect, self.make, self.says_port = name, dialect, make, says_port
        self.process = None

    def start(self, scratch):
        self.port = free_port()
        place = os.path.join(scratch, re.sub(r"\W+", "-", self.name))
        os.makedirs(place, exist_ok=True)
        self.log = open(os.path.join(place, "log"), "wb")
        said = subprocess.PIPE if self.says_port else self.log
        command = self.make(self.port, place)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=self.log)
        if self.says_port:
            line = self.process.stdout.readline().decode()
            match = re.match(r"listening on 127\.0\.0\.1:(\d+)\s*$", line)
            if not match:
                raise RuntimeError(f"{self.name}: {command} said {line!r}; its log: {self.log.name}")
            self.port = int(match[1])
        self.wait_until_it_listens()
        return self

    def wait_until_it_listens(self):
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{self.name} does not listen; its log: {self.log.name}") from None
                time.sleep(0.02)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()
        self.process = None

    def pids(self):
        """Its process and the ones that it made."""
        found, rest = [], [self.process.pid]
        while rest:
            pid = rest.pop()
            found.append(pid)
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        rest += [int(child) for child in children.read().split()]
                except (FileNotFoundError, ProcessLookupError):
                    pass  # a thread that has ended
        return found

    def pin(self, cores):
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    os.sched_setaffinity(int(task), cores)
                except ProcessLookupError:
                    pass

    def memory(self, field="VmRSS"):
        """Resident memory in bytes, or its peak with `VmHWM`."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as status:
                total += int(re.search(rf"^{field}:\s*(\d+) kB", status.read(), re.M)[1]) * 1024
        return total

    def threads(self):
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.pids())

    def forget_peak(self):
        for pid in self.pids():
            with open(f"/proc/{pid}/clear_refs", "w") as clear:
                clear.write("5")


def coracle(name, program, files, *arguments):
    def make(_, __):
        return [program, "serve", files, "--listen", "127.0.0.1:0", "--max-clients", str(MOST_CLIENTS),
                "--idle-timeout", "10m", *arguments]

    return Server(name, "coracle", make, says_port=True)


def nginx(name, files, sendfile=True, log=False):
    def make(port, scratch):
        path = os.path.join(scratch, "nginx.conf")
        with open(path, "w") as config:
            config.write(NGINX.format(port=port, scratch=scratch, files=files, clients=MOST_CLIENTS,
                                      sendfile="on" if sendfile else "off",
                                      access_log=f"{scratch}/access.log" if log else "off"))
        return ["nginx", "-c", path, "-e", f"{scratch}/nginx-error.log"]

    return Server(name, "http", make)


def lighttpd(name, files):
    def make(port, scratch):
        path = os.path.join(scratch, "lighttpd.conf")
        with open(path, "w") as config:
            config.write(LIGHTTPD.format(port=port, scratch=scratch, files=files, clients=MOST_CLIENTS))
        return ["lighttpd", "-D", "-f", path]

    return Server(name, "http", make)


def http_server(name, files):
    def make(port, _):
        return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", files,
                "--protocol", "HTTP/1.1"]

    return Server(name, "http", make)


def floor(name, client, file, way):
    return Server(name, "coracle", lambda *_: [client, "floor", file, "--way", way], says_port=True)


def legacy_server(name):
    return Server(name, "text", lambda port, _: [sys.executable, os.path.join(LEGACY, "ack_server.py"), str(port)])


def iperf3(name):
    return Server(name, "iperf3", lambda port, _: ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def missing_packages():
    from shutil import which
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return sorted({package for command, package in PACKAGES.items() if not which(command, path=path)})
