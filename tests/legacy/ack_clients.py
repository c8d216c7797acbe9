#!/usr/bin/env python3
"""The acknowledging server's clients, re-created: three hand-written ones, a generated set, and a synchronised set.

usage: ack_clients.py HOST PORT first|second|third
       ack_clients.py HOST PORT generated COUNT
       ack_clients.py HOST PORT synchronised COUNT

Each connects, sends a line that has no newline, waits for one reply of up to 1,024 bytes, and closes. Exit code 1 if a
reply was not the sentence.
"""
import socket
import sys
import threading

SENTENCE = "收到客户端信息"
GREETINGS = {"first": "早上好", "second": "I am the second client", "third": "第三个客户端 reports"}


def converse(host, port, text, rounds=1):
    """One client's life; returns its replies."""
    replies = []
    with socket.create_connection((host, port), timeout=60) as connection:
        for _ in range(rounds):
            connection.sendall(text.encode())
            replies.append(connection.recv(1024).decode())
    return replies


def generated(host, port, count):
    """`count` threads that are started together."""
    replies, lock = [], threading.Lock()
    together = threading.Barrier(count)

    def client(number):
        together.wait()
        reply = converse(host, port, f"client {number} says hello")
        with lock:
            replies.extend(reply)

    run([threading.Thread(target=client, args=(number,)) for number in range(count)])
    return replies


def synchronised(host, port, count):
    """`count` connections that stand at once; the next one speaks when the one before is done. Returns the order."""
    order, replies, lock = [], [], threading.Lock()
    connections = [socket.create_connection((host, port), timeout=60) for _ in range(count)]

    def client(number):
        with connections[number] as connection:
            connection.sendall(f"client {number} waits its turn".encode())
            reply = connection.recv(1024).decode()
            with lock:
                order.append(number)
                replies.append(reply)

    run([threading.Thread(target=client, args=(number,)) for number in range(count)])
    return replies, order


def run(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    host, port, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if what in GREETINGS:
        count, replies = 3, converse(host, port, GREETINGS[what], rounds=3)
    elif what == "generated":
        count = int(sys.argv[4])
        replies = generated(host, port, count)
    else:
        count = int(sys.argv[4])
        replies, order = synchronised(host, port, count)
        print("served in the order", *order)
    print("\n".join(replies))
    sys.exit(replies != [SENTENCE] * count)


if __name__ == "__main__":
    main()
