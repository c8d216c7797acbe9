"""Hosts in network namespaces on Ethernet bridges: one for each link, and a device on it for each host.

A host's devices are eth0, eth1 and so on, in the order of its links. A link is the number of a subnet, 10.98.LINK.0/24.
"""
import os
import subprocess
import sys


class Lan:
    """`hosts` are pairs of a name and its links, as {"server": [0], "client": [0, 1]}."""

    def __init__(self, hosts):
        self.prefix = f"coracle-{os.getpid()}"
        self.names = {host: f"{self.prefix}-{host}" for host in ("switch", *hosts)}
        self.addresses = {}
        self.ports = {}
        try:
            for name in self.names.values():
                run("ip", "netns", "add", name)
            for link in sorted({link for links in hosts.values() for link in links}):
                self.ip("switch", "link", "add", f"link{link}", "type", "bridge", "mcast_snooping", "0")
                self.ip("switch", "link", "set", f"link{link}", "up")
            for number, (host, links) in enumerate(hosts.items()):
                self.ip(host, "link", "set", "lo", "up")
                for at, link in enumerate(links):
                    self.plug(host, f"eth{at}", link, number + 1)
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            sys.exit(f"no network namespaces with a bridge to be had: {error}\nThis needs root.")

    def plug(self, host, device, link, number):
        port = self.ports[host, device] = f"p{number}-{device}"
        self.ip("switch", "link", "add", port, "type", "veth", "peer", "name", device, "netns", self.names[host])
        self.ip("switch", "link", "set", port, "master", f"link{link}", "up")
        # Without a wait for other hosts of the same address.
        self.ip(host, "link", "set", device, "addrgenmode", "none")
        address = self.addresses[host, device] = f"10.98.{link}.{number}"
        self.ip(host, "address", "add", f"{address}/24", "dev", device)
        self.ip(host, "link", "set", device, "up")

    def tap(self, name, link):
        """Plugs in a device for an emulator, which runs inside "switch"."""
        self.ip("switch", "tuntap", "add", "dev", name, "mode", "tap")
        self.ip("switch", "link", "set", name, "master", f"link{link}", "up")

    def untap(self, name):
        self.ip("switch", "link", "delete", name)

    def address(self, host, device="eth0"):
        return self.addresses[host, device]

    def inside(self, host):
        """What stands before a command that is to run on a host."""
        return ["ip", "netns", "exec", self.names[host]]

    def ip(self, host, *arguments):
        run("ip", "-n", self.names[host], *arguments)

    def filter_multicast(self, host, is_on):
        """Lets the switch drop multicast to a host, or no longer."""
        for (owner, _), port in self.ports.items():
            if owner == host:
                flood = "off" if is_on else "on"
                run("bridge", "-n", self.names["switch"], "link", "set", "dev", port, "mcast_flood", flood)

    def close(self):
        for name in self.names.values():
            if os.path.exists(f"/run/netns/{name}"):
                subprocess.run(["ip", "netns", "delete", name], check=True)


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
