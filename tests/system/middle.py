"""Somebody in between a client and a server, who keeps all that passes and may change it."""
import socket
import threading


class Middle:
    """`change(number, data)` gets the number of the connection and all that its server has sent, and returns what is let through
    and whether the connection ends there. Without it everything passes."""

    def __init__(self, port, change=None):
        self.port = port
        self.change = change or (lambda number, data: (data, False))
        self.seen = bytearray()
        self.connections = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.pass_on, args=(client, self.connections), daemon=True).start()
            self.connections += 1

    def keep(self, data):
        with self.lock:
            self.seen += data

    def pass_on(self, client, number):
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            threading.Thread(target=self.to_server, args=(client, server), daemon=True).start()
            sent, whole = 0, bytearray()
            try:
                while data := server.recv(65536):
                    self.keep(data)
                    whole += data
                    passed, ends = self.change(number, whole)
                    client.sendall(passed[sent:])
                    sent = len(passed)
                    if ends:
                        break
                client.shutdown(socket.SHUT_WR)
                server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # either end may be gone before

    def to_server(self, client, server):
        try:
            while data := client.recv(65536):
                self.keep(data)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # either end may be gone before
