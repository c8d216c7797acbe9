#!/usr/bin/env python3
"""Puts a file on a Coracle server, or what the server lacks of it: put.py HOST PORT FILE NAME [VERSION-TO-REPLACE]"""
import hashlib, json, os, select, socket, sys

rest = b""

def unique(pairs):
    return dict(pairs) if len(dict(pairs)) == len(pairs) else sys.exit("the server named a member twice")

def receive(wait):
    """The next line of the server's, behind any heartbeats (single spaces); None where there is no need to wait for it."""
    global rest
    while b"\n" not in rest:
        if not wait and not select.select([server], [], [], 0)[0]:
            return None
        piece = server.recv(1024)
        rest = (rest + piece).lstrip(b" ")
        if not piece or len(rest) > 1024:
            sys.exit("the connection ended early, or a line is too long; run me again to resume")
    line, _, rest = rest.partition(b"\n")
    message = json.loads(line, object_pairs_hook=unique)
    if message["type"] == "error":
        sys.exit(f"{message['code']!r}: {message['message']!r}")  # as repr: no control character is printed
    return message

host, port, path, name, *replace = sys.argv[1:]
with open(path, "rb") as file, socket.create_connection((host, port), timeout=60) as server:
    size, digest = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    ask = {"type": "put", "fileName": name, "fileSize": size, "sha256": digest}
    if replace:
        ask["version"] = replace[0]
    server.sendall(json.dumps(ask, ensure_ascii=False).encode() + b"\n")
    answer = receive(wait=True)
    if answer["type"] == "ready":
        if answer["fileName"] != name or answer["fileSize"] != size or answer["offset"] + answer["length"] != size:
            sys.exit("the server answers another question than was asked")
        file.seek(answer["offset"])
        try:
            while piece := file.read(min(65536, size - file.tell())):
                server.sendall(piece)
                if file.tell() < size and receive(wait=False):
                    sys.exit("the server answers in the middle of the file")
        except OSError:
            pass  # the server has closed: its last line says why
        answer = receive(wait=True)
    if answer != {"type": "end", "fileName": name, "version": answer.get("version"), "sha256": digest}:
        sys.exit("the server answers another question than was asked")
    print(answer["version"])
