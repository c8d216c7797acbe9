#!/usr/bin/env python3
"""Sends forged answers of multicast DNS.

usage: forger.py claim NAME ADDRESS PORT HOST     one server, again and again until standard input ends
       forger.py flood                            10,000 odd ones within some seconds; then a line on standard output
       forger.py hosts                            100,000 addresses that nobody asked for; then a line on standard output
"""
import random
import select
import socket
import struct
import sys
import time

GROUP = ("224.0.0.251", 5353)
PTR, SRV, A = 12, 33, 1
FLUSH = 0x8000


def main():
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@8xi", socket.if_nametoindex("eth0")))
    # Answers from other ports are not heeded (RFC 6762, section 11).
    wire.bind(("", 5353))
    if sys.argv[1] == "claim":
        _, _, name, address, port, host = sys.argv
        packet = message(service(name.encode(), host.encode(), address, int(port)))
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            wire.sendto(packet, GROUP)
        return
    forge = {"flood": odd_services, "hosts": unasked_hosts}[sys.argv[1]]
    for at, packet in enumerate(forge(random.Random(1))):
        wire.sendto(packet, GROUP)
        if at % 10 == 9:
            time.sleep(0.005)
    print("sent", flush=True)


def odd_services(chance):
    for number in range(1_000):
        records = []
        for one in range(10):
            odd = bytes(chance.randrange(1, 128) for _ in range(8)) + "\x1b[2J\n\u202e".encode()
            name = [f"{number}-{one}-".encode() + odd]
            records += service(name, f"h{number}-{one}".encode(), f"10.98.0.{number % 254 + 1}", 8888)
        yield message(records)
        # 300 bytes, and what is no UTF-8.
        yield message(service([b"x" * 60] * 5 if number % 2 else [b"y" * 63, b"\xff\xfe"], b"h", "10.98.0.9", 8888))
    # Pointers that lead to themselves, forward and out of the packet, lengths that lie, and what is cut.
    for tail in (b"\xc0\x0c", b"\xc0\x10", b"\xff\xff", b"\x3fx", b"\x80x", b""):
        yield header(1) + tail + struct.pack("!HHIH", PTR, 1, 120, 2) + tail
        yield header(65_535) + tail


def unasked_hosts(chance):
    for number in range(2_500):
        yield message(
            record(labels(f"u{number}-{one}".encode(), b"local"), A, chance.randbytes(4)) for one in range(40)
        )


def service(name, host, address, port):
    name = name if isinstance(name, list) else [name]
    kind = labels(b"_coracle", b"_tcp", b"local")
    full = b"".join(bytes([len(label)]) + label for label in name) + kind
    target = labels(host, b"local")
    yield record(kind, PTR, full, flush=0)
    yield record(full, SRV, struct.pack("!HHH", 0, 0, port) + target)
    yield record(target, A, socket.inet_aton(address))


def message(records):
    records = list(records)
    return header(len(records)) + b"".join(records)


def header(count):
    return struct.pack("!6H", 0, 0x8400, 0, count, 0, 0)


def record(name, kind, data, flush=FLUSH):
    return name + struct.pack("!HHIH", kind, 1 | flush, 120, len(data)) + data


def labels(*parts):
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


if __name__ == "__main__":
    main()
