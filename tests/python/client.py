#!/usr/bin/env python3
"""Fetches a file from a Coracle server, or what is missing of it: client.py HOST PORT NAME DESTINATION"""
import json, os, socket, sys, zlib

def unique(pairs):
    return dict(pairs) if len(dict(pairs)) == len(pairs) else sys.exit("the server named a member twice")

def receive(stream):
    """The next line of the server's, behind any heartbeats (single spaces)."""
    while (start := stream.read(1)) == b" ":
        pass
    line = start + stream.readline(1024)
    if not line.endswith(b"}\n") or len(line) > 1024:
        sys.exit("the connection ended early, or a line is too long; run me again to resume")
    message = json.loads(line, object_pairs_hook=unique)
    if message["type"] == "error":
        if message["code"] == "changed" and os.path.exists(note):
            os.remove(note)  # what is here belongs to another version: the next run starts over
        sys.exit(f"{message['code']!r}: {message['message']!r}")  # as repr: no control character is printed
    return message

host, port, name, destination = sys.argv[1:]
part, note = destination + ".part", destination + ".part.version"
ask, have = {"type": "get", "fileName": name, "offset": 0, "digest": "crc32", "digestFrom": 0}, b""
if os.path.exists(part) and os.path.exists(note):
    have = open(part, "rb").read()
    ask.update(offset=len(have), version=open(note).read())
with socket.create_connection((host, port), timeout=60) as server:
    server.sendall(json.dumps(ask, ensure_ascii=False).encode() + b"\n")
    stream, crc = server.makefile("rb"), zlib.crc32(have)
    header = receive(stream)
    same = [member for member in ("fileName", "offset", "digest", "version") if member in ask]
    if any(header[member] != ask[member] for member in same) or header["length"] != header["fileSize"] - len(have):
        sys.exit("the server answers another question than was asked")
    open(note, "w").write(header["version"])
    with open(part, "ab" if have else "wb") as file:
        while piece := stream.read1(min(65536, header["fileSize"] - file.tell())):
            crc = zlib.crc32(piece, crc)
            file.write(piece)
    if receive(stream) != {"type": "end", "crc32": f"{crc:08x}"}:
        os.remove(note)
        sys.exit("what arrived is not what the server has: run me again to start over")
os.rename(part, destination)
os.remove(note)
