#!/usr/bin/env python3
"""The acknowledging server that came before Coracle, re-created: whatever text arrives gets one fixed sentence.

usage: ack_server.py [PORT] [--serial]

With --serial clients are served strictly one after another although they connect together.
"""
import socket
import sys
import threading

SENTENCE = "收到客户端信息"


def serve(connection, peer):
    with connection:
        while arrival := connection.recv(1024):
            print(f"{peer[0]}:{peer[1]} {arrival.decode('utf-8', 'replace')}", flush=True)
            connection.sendall(SENTENCE.encode())
    print(f"client gone {peer[0]}:{peer[1]}", flush=True)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--serial"]
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(arguments[0]) if arguments else 8888))
    listener.listen(128)
    print("listening on {}:{}".format(*listener.getsockname()), flush=True)
    while True:
        connection, peer = listener.accept()
        if "--serial" in sys.argv:
            serve(connection, peer)
        else:
            threading.Thread(target=serve, args=(connection, peer), daemon=True).start()


if __name__ == "__main__":
    main()
