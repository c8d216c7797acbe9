"""Somebody between a server and its object store: slow, silent, encrypting, or a proxy."""
import socket
import threading
import time


class Between:
    """A port whose connections are passed on to `port`.

    `rate`: bytes a second that come back, over each connection. `silent_after`: of the first connection that gets so far, no more
    bytes than these come back, and it stays open. `tls`: a context of the side that is connected to. `is_proxy`: each connection
    begins with `CONNECT`, whose host may be any.
    """

    def __init__(self, port, rate=None, silent_after=None, tls=None, is_proxy=False):
        self.port, self.rate, self.silent_after, self.tls, self.is_proxy = port, rate, silent_after, tls, is_proxy
        self.hosts = []
        self.is_silent = threading.Event()
        self.is_over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host_port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.is_over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with client:
                if self.tls:
                    client = self.tls.wrap_socket(client, server_side=True)
                if self.is_proxy:
                    self.take_connect(client)
                with client, socket.create_connection(("127.0.0.1", self.port)) as server:
                    threading.Thread(target=self.to_server, args=(client, server), daemon=True).start()
                    self.to_client(server, client)
        except OSError:
            pass  # either end may be gone before

    def take_connect(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        self.hosts.append(head.split()[1].decode())
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    def to_client(self, server, client):
        passed = 0
        while data := server.recv(16384):
            if self.silent_after is not None and passed + len(data) > self.silent_after and not self.is_silent.is_set():
                self.is_silent.set()
                self.is_over.wait()
                return
            client.sendall(data)
            passed += len(data)
            if self.rate:
                time.sleep(len(data) / self.rate)
        client.shutdown(socket.SHUT_WR)

    def to_server(self, client, server):
        try:
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # either end may be gone before
