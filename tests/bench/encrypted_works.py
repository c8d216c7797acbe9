"""Works of encrypted connections: what a server and a whole program do, beside TLS 1.3 and ssh."""
import os
import re
import tempfile
import time

from bench import MEMORY, run
from contest import (Work, at_least, byte_rate, request_rate, shown_byte_rate, shown_request_rate)
from program_works import check_file

# The cipher of the channel.
CIPHER = "TLS_CHACHA20_POLY1305_SHA256"
# What serves, and what fetches.
SERVER, CLIENT = {0}, {1}


def all_works():
    yield Work("encrypted get", "1 GiB, encrypted, stored on tmpfs, a core each", "",
               {"coracle": store("coracle, encrypted", get), "curl": store("nginx, TLS", curl),
                "scp": store("ssh", scp), "rsync": store("ssh", rsync)},
               [at_least(0.9, "curl", byte_rate, shown_byte_rate, "curl from nginx over TLS 1.3, ChaCha20-Poly1305"),
                at_least(1.5, "scp", byte_rate, shown_byte_rate),
                at_least(1.5, "rsync", byte_rate, shown_byte_rate, "rsync over ssh")], times=2)
    yield Work("encrypted handshakes", "handshakes, new connections, for a second of the server's processor", "",
               {"coracle": handshakes, "nginx": tls_handshakes},
               [at_least(0.7, "nginx", handshake_rate, shown_request_rate, "nginx, TLS 1.3, X25519, ECDSA P-256")], times=3)
    yield Work("encrypted 64", "1 KiB, distinct files at random from 100,000, kept connections, 64 clients, a core each", "many",
               {"encrypted": small("coracle, encrypted"), "plain": small("coracle")},
               [at_least(0.6, "plain", request_rate, shown_request_rate, "plain", ours="encrypted")], times=5)


def handshake_rate(taken):
    return taken["requests"] / taken["cpu_seconds"]


# --- One large file. -----------------------------------------------------------------------------------------------


def store(name, command):
    """Fetches it with the command that is made for the server and the path."""
    def measure(bench):
        server = bench.server(name)
        server.pin(SERVER)
        with tempfile.TemporaryDirectory(dir=MEMORY) as place:
            path = os.path.join(place, "big.bin")
            words = command(bench, server, path)
            started = time.perf_counter()
            run(words, CLIENT)
            taken = time.perf_counter() - started
            check_file(bench, path, words)
        return {"seconds": taken, "bytes": bench.files.sizes.big}

    return measure


def get(bench, server, path):
    return [bench.program, "get", "--pin", server.key, server.address(), "big.bin", "-o", path]


def curl(_, server, path):
    return ["curl", "-s", "--tls13-ciphers", CIPHER, "--cacert", server.key, "-o", path, f"https://{server.address()}/big.bin"]


def scp(bench, server, path):
    return ["scp", "-q", *server.options, "-P", str(server.port), f"root@{server.host}:{bench.files.big}", path]


def rsync(bench, server, path):
    shell = " ".join(["ssh", *server.options, "-p", str(server.port)])
    return ["rsync", "-a", "-e", shell, f"root@{server.host}:{bench.files.big}", path]


# --- Many connections, and many requests. --------------------------------------------------------------------------


def handshakes(bench):
    server = bench.server("coracle, encrypted")
    server.pin(SERVER)
    return bench.run(server, "handshakes", "--milliseconds", 4 * bench.milliseconds, "--key", server.key, cores=CLIENT)


def tls_handshakes(bench):
    """By OpenSSL's program, which counts whole seconds."""
    server = bench.server("nginx, TLS")
    server.pin(SERVER)
    busy, started = server.cpu_seconds(), time.perf_counter()
    told = run(["openssl", "s_time", "-connect", server.address(), "-new", "-tls1_3", "-ciphersuites", CIPHER, "-CAfile",
                server.key, "-verify", "1", "-time", "1"], CLIENT).stdout
    taken = {"seconds": time.perf_counter() - started, "cpu_seconds": server.cpu_seconds() - busy}
    made = re.search(r"^(\d+) connections in [\d.]+s", told, re.MULTILINE)
    if not made or int(made[1]) == 0:
        raise RuntimeError(f"openssl s_time made no handshake: {told}")
    return {**taken, "requests": int(made[1])}


def small(name):
    def measure(bench):
        server = bench.server(name)
        server.pin(SERVER)
        key = ["--key", server.key] if server.key else []
        return bench.run(server, "small", "--directory", "many", "--count", bench.files.sizes.many, "--clients", 64,
                         "--milliseconds", bench.milliseconds, *key, cores=CLIENT)

    return measure
