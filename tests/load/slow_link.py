"""A link to a server that can be slow, stand still, be cut and be down."""
import select
import socket
import threading
import time

CHUNK_LEN = 16384


class Link:
    """Passes connections on to the port that `port` returns."""

    def __init__(self, port):
        self.port = port
        self.delay_s = 0
        # Cleared while nothing passes.
        self.passes = threading.Event()
        self.passes.set()
        self.is_down = False
        self.connections = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.passes.set()
        self.cut()

    def cut(self):
        """Ends the connections that there are, wherever they are in what they carry."""
        with self.lock:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # The other end has closed it.

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        try:
            with client:
                if self.is_down:
                    return
                with socket.create_connection(("127.0.0.1", self.port())) as server:
                    with self.lock:
                        self.connections |= {client, server}
                    try:
                        self.pass_on(client, server)
                    finally:
                        with self.lock:
                            self.connections -= {client, server}
        except OSError:
            pass  # The server is gone, or the link was cut.

    def pass_on(self, client, server):
        while True:
            for readable in select.select([client, server], [], [])[0]:
                piece = readable.recv(CHUNK_LEN)
                if not piece:
                    return
                time.sleep(self.delay_s)
                self.passes.wait()
                (client if readable is server else server).sendall(piece)
