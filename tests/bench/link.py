"""Two network namespaces and between them a link of 100 Mbit/s, on which a packet is 10 ms under way: 20 ms there and back."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "environment"))
import wire  # noqa: E402
from wire import CLIENT, SERVER  # noqa: E402

DELAY_MS = 10
ROUND_TRIP_MS = 2 * DELAY_MS
MEGABITS = 100


class Link(wire.Wire):
    """Namespaces and devices are those of the tests of bad networks; the packets are carried by the bench client, which is
    fast enough."""

    def __init__(self, program):
        self.program = program
        super().__init__()
        for side in (SERVER, CLIENT):
            # The same congestion control as on loopback.
            address = self.address(side)
            self.ip(side, "route", "replace", "10.99.0.0/24", "dev", "tun0", "proto", "kernel", "scope", "link",
                    "src", address, "congctl", "cubic")

    def address(self, side):
        return wire.ADDRESSES[side][0]

    def carry(self):
        command = [self.program, "wire", "--delay-ms", str(DELAY_MS), "--megabits", str(MEGABITS)]
        self.process = subprocess.Popen(command, stdin=self.handles[SERVER], stdout=self.handles[CLIENT])
        self.process.wait()

    def close(self):
        self.process.kill()
        super().close()
