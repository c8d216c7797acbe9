#!/usr/bin/python3
"""Another implementation of multicast DNS, python-zeroconf: judges what we announce, and announces to us.

usage: neighbour.py watch            a line for each change: + or -, name, host, port, addresses
       neighbour.py announce NAME ADDRESS PORT

Runs until its standard input ends. Debian's Python has the module, as python3-zeroconf.
"""
import socket
import sys

from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

TYPE = "_coracle._tcp.local."


class Watcher(ServiceListener):
    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name, 3000)
        if info is None:
            say("?", name)
        else:
            addresses = ",".join(sorted(info.parsed_addresses(IPVersion.V4Only)))
            say("+", name.removesuffix("." + TYPE), info.server, info.port, addresses, len(info.properties))

    def update_service(self, zeroconf, kind, name):
        pass

    def remove_service(self, zeroconf, kind, name):
        say("-", name.removesuffix("." + TYPE))


def say(*words):
    print(*words, flush=True)


def main():
    zeroconf = Zeroconf(ip_version=IPVersion.V4Only)
    try:
        if sys.argv[1] == "watch":
            ServiceBrowser(zeroconf, TYPE, Watcher())
            say("watching")
        else:
            _, _, name, address, port = sys.argv
            info = ServiceInfo(TYPE, f"{name}.{TYPE}", int(port), addresses=[socket.inet_aton(address)], server="neighbour.local.")
            zeroconf.register_service(info)
            say("announced", info.name.removesuffix("." + TYPE))
        sys.stdin.read()
    finally:
        zeroconf.close()


if __name__ == "__main__":
    main()
