#!/usr/bin/env python3
"""The file server's client, re-created: unframed JSON out and in, the bare name as confirmation, no newline anywhere.

usage: file_client.py HOST PORT list
       file_client.py HOST PORT fetch NAME DESTINATION [--piece BYTES]

With --piece every message is sent in pieces of so many bytes, a packet each.
"""
import json
import socket
import sys
import time


class FileClient:
    def __init__(self, host, port, piece=0):
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.piece = piece

    def close(self):
        self.socket.close()

    def send(self, message):
        if not self.piece:
            self.socket.sendall(message)
            return
        for start in range(0, len(message), self.piece):
            self.socket.sendall(message[start : start + self.piece])
            time.sleep(0.0005)

    def ask(self, request):
        """Sends JSON without an end and reads until what came is JSON."""
        self.send(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())
        answer = b""
        while True:
            arrival = self.socket.recv(65536)
            if not arrival:
                raise ConnectionError(f"closed behind {answer!r}")
            answer += arrival
            try:
                return json.loads(answer)
            except ValueError:
                pass

    def names(self):
        answer = self.ask({"type": 1})
        assert answer["type"] == 1 and answer["data"] == len(answer["fileName"]), answer
        return answer["fileName"]

    def select(self, name):
        return self.ask({"type": 2, "fileName": name})

    def fetch(self, name, sink):
        """Selects, confirms and writes the chunks to `sink`; returns how many bytes."""
        header = self.select(name)
        if header["data"] < 0:
            raise FileNotFoundError(name)
        assert header["type"] == 2 and header["fileName"] == name, header
        # The count and the last chunk's length have to make up the size, for one chunk size for all chunks but the last.
        size, count, last = header["data"], header["readCnt"], header["lastSize"]
        assert (count == 0) == (size == 0) and (count < 2 or (size - last) % (count - 1) == 0) and last <= size, header
        if size == 0:
            return 0
        self.confirm(name, size, sink)
        return size

    def confirm(self, name, size, sink):
        self.send(name.encode())
        rest = size
        while rest:
            chunk = self.socket.recv(min(rest, 1 << 16))
            if not chunk:
                raise ConnectionError(f"{rest} bytes are missing of {name}")
            sink.write(chunk)
            rest -= len(chunk)


def main():
    host, port, what, *rest = sys.argv[1:]
    piece = int(rest[rest.index("--piece") + 1]) if "--piece" in rest else 0
    client = FileClient(host, int(port), piece)
    if what == "list":
        print("\n".join(client.names()))
    else:
        with open(rest[1], "wb") as sink:
            print(client.fetch(rest[0], sink), "bytes")
    client.close()


if __name__ == "__main__":
    main()
