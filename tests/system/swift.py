"""An object store to test with: OpenStack Swift with its S3 interface, as four processes of one host.

It is installed from PyPI into a virtual environment of its own, which is kept for the next run.
"""
import base64
import hashlib
import hmac
import http.client
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse

VERSION = "2.38.3"
# The keys to it, which are in no log.
KEY_ID, SECRET = "test:tester", "secret-of-the-test"
TIMEOUT_S = 120
# How many keys a list has at most.
PAGE_KEYS = 10
# Of virtual hosts.
DOMAIN = "objects.test"

RINGS = """
import sys
from swift.common.ring import RingBuilder
directory, *ports = sys.argv[1:]
for kind, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(1, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(f"{directory}/{kind}.ring.gz")
"""


def environment(directory):
    """Installs Swift below `directory`, unless it is there, and returns where its programs are."""
    place = pathlib.Path(directory) / f"swift-{VERSION}"
    programs = place / "bin"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        command = [programs / "pip", "install", "--quiet", "--disable-pip-version-check", f"swift=={VERSION}"]
        if subprocess.run(command).returncode != 0:
            raise RuntimeError(f"Swift is missing, and this did not install it: {' '.join(map(str, command))}")
        (place / "complete").touch()
    return programs


class Swift:
    """A running Swift. `address` is that of its S3 interface."""

    def __init__(self, programs, root):
        self.programs, self.root = programs, pathlib.Path(root)
        self.processes = {}
        ports = dict(zip(("account", "container", "object", "proxy"), free_ports(4)))
        self.port = ports["proxy"]
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = open(self.root / "log", "w+", encoding="utf-8")
        (self.root / "devices" / "d").mkdir(parents=True)
        common = f"bind_ip = 127.0.0.1\nworkers = 0\nuser = {pwd.getpwuid(os.getuid()).pw_name}\nswift_dir = {self.root}\n" \
                 f"devices = {self.root}/devices\nmount_check = false\nfallocate_reserve = 0\n"
        self.write("swift.conf", "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n")
        for kind in ("account", "container", "object"):
            self.write(f"{kind}.conf", f"[DEFAULT]\n{common}bind_port = {ports[kind]}\n[pipeline:main]\npipeline = {kind}-server\n"
                                       f"[app:{kind}-server]\nuse = egg:swift#{kind}\n")
        self.write("proxy.conf", f"""[DEFAULT]
{common}bind_port = {self.port}
[pipeline:main]
pipeline = catch_errors s3api tempauth bulk slo proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:s3api]
use = egg:swift#s3api
storage_domain = {DOMAIN}
max_bucket_listing = {PAGE_KEYS}
[filter:tempauth]
use = egg:swift#tempauth
user_{KEY_ID.replace(":", "_")} = {SECRET} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
""")
        arguments = [str(self.root), *(str(ports[kind]) for kind in ("account", "container", "object"))]
        subprocess.run([programs / "python", "-c", RINGS, *arguments], check=True)
        for kind in ports:
            self.start(kind)

    def write(self, name, text):
        (self.root / name).write_text(text, encoding="utf-8")

    def start(self, kind="proxy"):
        command = [self.programs / "python", self.programs / f"swift-{kind}-server", self.root / f"{kind}.conf"]
        self.processes[kind] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self, kind="proxy"):
        process = self.processes.pop(kind)
        process.kill()
        process.wait()

    def stop(self):
        for kind in list(self.processes):
            self.kill(kind)
        self.log.close()

    def wait(self):
        """Waits until it answers."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            for kind, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"swift-{kind}-server ended with {process.returncode}: {self.told()}")
            try:
                if self.request("GET", "/").status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"Swift does not answer: {self.told()}")
            time.sleep(0.05)

    def told(self):
        self.log.flush()
        return (self.root / "log").read_text(encoding="utf-8")

    def put(self, path, body=b""):
        """Makes a bucket, or an object in it."""
        answer = self.request("PUT", path, body)
        if answer.status != 200:
            raise RuntimeError(f"PUT {path}: {answer.status} {answer.read()!r} {self.told()}")

    def delete(self, path):
        assert self.request("DELETE", path).status == 204

    def request(self, method, path, body=b""):
        """Sends a request with a signature of version 2, which is short; the program under test makes those of version 4."""
        path = urllib.parse.quote(path)
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        signed = hmac.digest(SECRET.encode(), f"{method}\n\n\n{date}\n{path}".encode(), hashlib.sha1)
        headers = {"Date": date, "Authorization": f"AWS {KEY_ID}:{base64.b64encode(signed).decode()}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
