"""A proxy between a client and a server."""
import json
import os
import random
import socket
import threading
import time


class Proxy:
    """Notes what is asked. With `left` it kills `victim` when so many bytes have come through; with `pause` it waits so many
    seconds before each 64 KiB that it takes from the server, which meanwhile cannot send much more."""

    def __init__(self, server, pause=0):
        self.server, self.pause = server, pause
        self.requests, self.answers_len = [], 0
        self.left, self.victim, self.part = None, None, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with client, socket.socket() as server:
            if self.pause:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
            server.connect(self.server.address)
            threading.Thread(target=self.up, args=(client, server), daemon=True).start()
            try:
                while piece := self.next(server):
                    if self.left is not None and len(piece) >= self.left:
                        client.sendall(piece[:self.left])
                        self.left = 0
                        self.kill()
                        return
                    if self.left is not None:
                        self.left -= len(piece)
                    client.sendall(piece)
                    self.answers_len += len(piece)
            except OSError:
                pass

    def next(self, server):
        if self.pause:
            time.sleep(self.pause)
        return server.recv(65536)

    def up(self, client, server):
        try:
            while piece := client.recv(65536):
                self.requests += [json.loads(line) for line in piece.splitlines()]
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def kill(self):
        while self.victim is None:
            time.sleep(0.000_2)
        # Mostly it takes what has come first; a header alone makes no part.
        if random.random() < 0.7:
            end = time.monotonic() + 0.1
            while time.monotonic() < end and self.victim.poll() is None and not self.has_part():
                time.sleep(0.000_2)
            time.sleep(random.uniform(0, 0.004))
        self.victim.kill()

    def has_part(self):
        try:
            return os.path.getsize(self.part) > 0
        except OSError:
            return False

    def close(self):
        self.listener.close()
