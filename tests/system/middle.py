"""Somebody in between a client and a server, who keeps all that passes and may change it."""
import socket
import threading


class Middle:
    """`change(number, data)` gets the number of the connection and all that its server has sent, and returns what is let through
    and whether the connection ends there. Without it everything passes. Of the first connection's client no more is taken than
    `most`, until `let_go`, which ends that connection. Connections count as ended when their servers have ended them."""

    def __init__(self, port, change=None, most=None):
        self.port = port
        self.most = most
        self.is_full, self.is_let_go = threading.Event(), threading.Event()
        self.change = change or (lambda number, data: (data, False))
        self.seen = bytearray()
        self.connections = 0
        self.ended = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def let_go(self):
        self.is_let_go.set()

    def close(self):
        self.let_go()
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
            threading.Thread(target=self.to_server, args=(client, server, number), daemon=True).start()
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
        with self.lock:
            self.ended += 1

    def to_server(self, client, server, number):
        taken = 0
        try:
            while data := client.recv(65536):
                self.keep(data)
                server.sendall(data)
                taken += len(data)
                if number == 0 and self.most is not None and taken >= self.most:
                    self.is_full.set()
                    self.is_let_go.wait()
                    break
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # either end may be gone before
