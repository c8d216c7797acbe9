"""The servers that are measured: each on a free port, all with the same files."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
from shutil import which

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LEGACY = os.path.join(TOP, "tests", "legacy")
# Debian's package for each command that is needed.
PACKAGES = {"nginx": "nginx-light", "rsync": "rsync", "curl": "curl", "ip": "iproute2", "unshare": "util-linux",
            "losetup": "mount", "mkfs.ext4": "e2fsprogs", "diff": "diffutils", "openssl": "openssl", "sshd": "openssh-server",
            "ssh": "openssh-client"}
MOST_CLIENTS = 12_000
LOCAL = "127.0.0.1"

# As Debian installs it, but for the log, the limits that idle clients need, and the listing as JSON. In particular there is
# no open_file_cache, which is off by default.
NGINX = """
user root;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx-error.log;
daemon off;
events {{ worker_connections {clients}; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    server {{
        listen {host}:{port}{tls} backlog=4096;
        root {files};
        location / {{ autoindex on; autoindex_format json; {writing} }}
        {certificate}
    }}
}}
"""
# TLS 1.3 with the channel's cipher and curve, and without resumption.
TLS = """
        ssl_certificate {scratch}/certificate.pem;
        ssl_certificate_key {scratch}/key.pem;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;
        ssl_ecdh_curve X25519;
        ssl_session_cache off;
        ssl_session_tickets off;
"""
CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
               "-subj", "/CN=bench", "-addext", "subjectAltName=IP:" + LOCAL]
# As Debian installs it, but for the keys, and for what is not needed to let root in.
SSH = """
Port {port}
ListenAddress {host}
HostKey {scratch}/host
AuthorizedKeysFile {scratch}/user.pub
PidFile {scratch}/sshd.pid
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""
RSYNC = """
port = {port}
address = {host}
use chroot = no
reverse lookup = no
pid file = {scratch}/rsyncd.pid
log file = {scratch}/rsyncd.log
[files]
    path = {files}
    uid = root
    gid = root
    read only = {read_only}
"""


class Server:
    """A server on `host`; `prefix` starts its command in another network namespace. `make` gives its command for an
    address, a port and a directory for what it writes."""

    def __init__(self, name, dialect, make, host=LOCAL, prefix=(), says_port=False):
        self.name, self.dialect, self.make = name, dialect, make
        self.host, self.prefix, self.says_port = host, list(prefix), says_port
        self.process = None
        # What a client needs to know it by: a public key or a certificate; and options of its command.
        self.key, self.options = None, []

    def start(self, scratch):
        self.port = free_port()
        place = os.path.join(scratch, re.sub(r"\W+", "-", self.name))
        os.makedirs(place, exist_ok=True)
        self.log = open(os.path.join(place, "log"), "wb")
        said = subprocess.PIPE if self.says_port else self.log
        command = [*self.prefix, *self.make(self.host, self.port, place)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=self.log)
        if self.says_port:
            line = self.process.stdout.readline().decode()
            match = re.match(rf"listening on {re.escape(self.host)}:(\d+)\s*$", line)
            if not match:
                raise RuntimeError(f"{self.name}: {command} said {line!r}; its log: {self.log.name}")
            self.port = int(match[1])
        self.wait_until_it_listens()
        return self

    def wait_until_it_listens(self):
        until = time.monotonic() + 10
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.name} does not listen; its log: {self.log.name}")
            time.sleep(0.02)

    def listens(self):
        """Asked of the process, since its namespace may be another one."""
        try:
            with open(f"/proc/{self.process.pid}/net/tcp") as sockets:
                return any(re.match(rf"\s*\d+: \w+:{self.port:04X} \w+:0000 0A ", line) for line in sockets)
        except OSError:
            return False

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

    def address(self):
        return f"{self.host}:{self.port}"

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
        """`None`: to all of them."""
        cores = cores or set(range(os.cpu_count()))
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

    def cpu_seconds(self):
        """Of its processes, their ended threads included."""
        # What clock_getcpuclockid(3) returns.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def threads(self):
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.pids())

    def forget_peak(self):
        for pid in self.pids():
            with open(f"/proc/{pid}/clear_refs", "w") as clear:
                clear.write("5")


def coracle(name, program, files, *arguments, host=LOCAL, prefix=(), clients=MOST_CLIENTS):
    def make(host, _, __):
        return [program, "serve", files, "--listen", f"{host}:0", "--max-clients", str(clients),
                "--quiet", *arguments]

    return Server(name, "coracle", make, host, prefix, says_port=True)


def bare_threads(name, client):
    """A thread for each client, and nothing but heartbeats."""
    return Server(name, "", lambda host, _, __: [client, "heartbeats", "--address", f"{host}:0"], says_port=True)


def encrypted_coracle(name, program, files):
    """With a key of its own."""
    def make(host, port, scratch):
        key = os.path.join(scratch, "key")
        server.key = server.key or said([program, "key", "new", key]).strip()
        return [*plain(host, port, scratch), "--key", key]

    server = coracle(name, program, files)
    plain, server.make = server.make, make
    return server


def nginx(name, files, writing="", is_encrypted=False):
    """`writing` is what allows it, where that is wanted."""
    def make(host, port, scratch):
        if is_encrypted:
            server.key = os.path.join(scratch, "certificate.pem")
            said([*CERTIFICATE, "-keyout", os.path.join(scratch, "key.pem"), "-out", server.key])
        path = os.path.join(scratch, "nginx.conf")
        with open(path, "w") as config:
            config.write(NGINX.format(host=host, port=port, scratch=scratch, files=files, clients=MOST_CLIENTS,
                                      writing=writing, tls=" ssl" if is_encrypted else "",
                                      certificate=TLS.format(scratch=scratch) if is_encrypted else ""))
        return ["nginx", "-c", path, "-e", f"{scratch}/nginx-error.log"]

    server = Server(name, "http", make)
    return server


def ssh(name):
    def make(host, port, scratch):
        for key in ("host", "user"):
            said(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(scratch, key)])
        with open(os.path.join(scratch, "host.pub"), encoding="ascii") as public:
            known = f"[{host}]:{port} {public.read()}"
        for file, text in (("known", known), ("sshd.conf", SSH.format(host=host, port=port, scratch=scratch))):
            with open(os.path.join(scratch, file), "w", encoding="ascii") as out:
                out.write(text)
        server.options = ["-F", "none", "-i", os.path.join(scratch, "user"), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
                          "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={scratch}/known"]
        # Where it keeps those apart who are not in yet; made at boot, or by the service, which is not started.
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
        return [which("sshd"), "-D", "-e", "-f", os.path.join(scratch, "sshd.conf")]

    server = Server(name, "ssh", make)
    return server


def rsync(name, files, host=LOCAL, prefix=(), is_writable=False):
    def make(host, port, scratch):
        path = os.path.join(scratch, "rsyncd.conf")
        with open(path, "w") as config:
            config.write(RSYNC.format(host=host, port=port, scratch=scratch, files=files,
                                      read_only="no" if is_writable else "yes"))
        return ["rsync", "--daemon", "--no-detach", f"--config={path}"]

    return Server(name, "rsync", make, host, prefix)


def legacy_server(name):
    def make(_, port, __):
        return [sys.executable, os.path.join(LEGACY, "ack_server.py"), str(port)]

    return Server(name, "text", make)


def free_port():
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def said(command):
    """What a command printed, which has to succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def missing_packages():
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return sorted({package for command, package in PACKAGES.items() if not which(command, path=path)})
