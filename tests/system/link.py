"""Links between a client and a balancer that are cut every few megabytes, and what passes over them."""
import json
import os
import random
import re
import select
import socket
import threading

REQUEST = re.compile(rb'\{"type":"get".*?\}')
# A request may ask for so much that has arrived.
REPEATED = 1 << 20


class Link:
    """A port for one client, whose connections are passed on to `port`, and cut at random places.

    `part` is the client's unfinished file. Each request is compared with what it holds, and with the requests before.
    """

    def __init__(self, port, part, seed):
        self.port, self.part, self.random = port, part, random.Random(seed)
        self.delivered, self.cuts, self.faults, self.last_offset = 0, 0, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(30)
        self.listener.close()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self.port)) as server:
                self.pass_on(client, server, self.random.randrange(2 << 20, 8 << 20))

    def pass_on(self, client, server, limit):
        """Passes `limit` bytes on to the client at most, then both ends of the connection are gone."""
        pipe_out, pipe_in = os.pipe()
        client.settimeout(60)
        requests, left = b"", limit
        try:
            while left > 0:
                readable, _, _ = select.select([client, server], [], [], 60)
                if client in readable:
                    request = client.recv(65536)
                    if not request:
                        return
                    requests = self.note(requests + request)
                    server.sendall(request)
                if server in readable:
                    taken = os.splice(server.fileno(), pipe_in, min(left, 65536))
                    if taken == 0:
                        return
                    left -= taken
                    self.delivered += taken
                    while taken > 0:
                        taken -= os.splice(pipe_out, client.fileno(), taken)
            self.cuts += 1
        except OSError:
            # Either end was killed.
            pass
        finally:
            os.close(pipe_in)
            os.close(pipe_out)

    def note(self, requests):
        """Looks at each whole request, and returns what is left."""
        while found := REQUEST.search(requests):
            offset = json.loads(found[0]).get("offset", 0)
            held = os.path.getsize(self.part) if os.path.exists(self.part) else 0
            if not held - REPEATED <= offset <= held or offset < self.last_offset:
                self.faults.append(f"asks for {offset}, holds {held}, asked for {self.last_offset} before")
            self.last_offset = offset
            requests = requests[found.end():]
        return requests
