"""What the scripts beside this one share: a client of stomp.py, comparisons, and the run of checks."""

import logging
import queue
import sys
import threading
import traceback
import urllib.parse
import uuid

import stomp

CEILING = 20
"""Seconds any single thing may take; only a failure takes so long."""

URL = urllib.parse.urlsplit(sys.argv[1])

logging.getLogger("stomp").setLevel(logging.CRITICAL)


class Client(stomp.ConnectionListener):
    """A connection and what came over it."""

    def __init__(
        self,
        login="guest",
        passcode="guest",
        vhost="/",
        heartbeats=(0, 0),
        binary=False,
        headers=None,
    ):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()
        self.heartbeats = queue.Queue()
        self.connected = queue.Queue()
        self.lost = threading.Event()
        settings = {"vhost": vhost, "heartbeats": heartbeats, "auto_decode": False}
        if URL.scheme == "tcp":
            self.connection = stomp.Connection12([(URL.hostname, URL.port)], **settings)
        else:
            self.connection = stomp.WSStompConnection(
                [(URL.hostname, URL.port)], ws_path=URL.path, binary_mode=binary, **settings
            )
        self.connection.set_listener("client", self)
        self.connection.connect(login, passcode, headers=headers)

    def on_connected(self, frame):
        self.connected.put(frame)

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_heartbeat(self):
        self.heartbeats.put(None)

    def on_disconnected(self):
        self.lost.set()

    def logged_in(self):
        self.greeting = self.connected.get(timeout=CEILING)
        equal(self.greeting.headers["version"], "1.2")
        return self

    def send(self, destination, body, **headers):
        self.connection.send(destination, body, headers=headers)

    def subscribe(self, destination, ack="auto", **headers):
        receipt = str(uuid.uuid4())
        self.connection.subscribe(destination, "sub", ack, headers={"receipt": receipt, **headers})
        self.confirmed(receipt)

    def confirmed(self, receipt):
        equal(self.receipts.get(timeout=CEILING), receipt)

    def message(self, body, redelivered=None):
        frame = self.messages.get(timeout=CEILING)
        equal(frame.body, body.encode() if isinstance(body, str) else body)
        if redelivered is not None:
            equal(frame.headers["redelivered"], redelivered)
        return frame

    def ack(self, frame, **more):
        self.connection.ack(frame.headers["ack"], **more)

    def nack(self, frame, **more):
        self.connection.nack(frame.headers["ack"], **more)

    def cut(self):
        """Ends the TCP connection without a word."""
        socket = self.connection.transport.socket
        getattr(socket, "sock", socket).shutdown(2)
        holds(self.lost.wait(CEILING), "the cut was not noticed")

    def close(self):
        receipt = str(uuid.uuid4())
        self.connection.disconnect(receipt)
        self.confirmed(receipt)
        holds(self.lost.wait(CEILING), "DISCONNECT did not end the connection")


def equal(got, expected):
    if got != expected:
        raise AssertionError(f"got {str(got)[:300]!r}, expected {str(expected)[:300]!r}")


def holds(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def run(checks):
    """Prints one line for each check; ends the process, with 1 if one has failed."""
    failed = 0
    for check in checks:
        try:
            check()
            print(f"ok {check.__name__}", flush=True)
        except Exception as error:
            failed += 1
            why = repr(error).replace("\n", " ")
            where = traceback.extract_tb(error.__traceback__)[1].lineno
            print(f"not ok {check.__name__}: {why} in line {where}", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} checks passed", flush=True)
    sys.exit(1 if failed else 0)
