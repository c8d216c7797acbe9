#!/usr/bin/env python3
"""The older file server, re-created: a thread per client, JSON without framing, an echo.

usage: file_server.py FOLDER [PORT]

A client asks for the names of the folder's files, selects one, and confirms with its bare name; then it gets the bytes.
Anything else comes back as it came. One `recv` is one message: what arrives cut or joined is echoed, a weakness that
Coracle need not share.
"""
import json
import os
import socket
import sys
import threading

CHUNK_SIZE = 4096


def serve(connection, peer, folder):
    print(f"connected {peer[0]}:{peer[1]} on {threading.current_thread().name}", flush=True)
    selected = None
    with connection:
        while arrival := connection.recv(65536):
            if selected is not None and arrival == selected.encode():
                with open(os.path.join(folder, selected), "rb") as file:
                    while chunk := file.read(CHUNK_SIZE):
                        connection.sendall(chunk)
                continue
            try:
                request = json.loads(arrival)
                kind = request["type"]
            except (ValueError, TypeError, KeyError):
                kind = None
            if kind == 1:
                names = [entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
                answer = {"type": 1, "fileName": names, "data": len(names)}
            elif kind == 2:
                selected, answer = select(folder, request["fileName"])
            else:
                connection.sendall(arrival)
                continue
            connection.sendall(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode())
    print(f"disconnected {peer[0]}:{peer[1]}", flush=True)


def select(folder, name):
    try:
        size = os.path.getsize(os.path.join(folder, name))
    except OSError:
        return None, {"type": 2, "data": -1, "fileName": name, "readCnt": 0, "lastSize": 0}
    count = -(-size // CHUNK_SIZE)
    last = size - (count - 1) * CHUNK_SIZE if count else 0
    return name, {"type": 2, "data": size, "fileName": name, "readCnt": count, "lastSize": last}


def main():
    folder = sys.argv[1]
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8888), backlog=128)
    print("listening on {}:{}".format(*listener.getsockname()), flush=True)
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=serve, args=(connection, peer, folder), daemon=True).start()


if __name__ == "__main__":
    main()
