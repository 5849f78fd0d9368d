"""
How long does the server keep anybody waiting?

A process of its own sends a STUN Binding at 50 Hz from a source address of its own and records
how long each answer took. What a timer inside the server would say can be tuned away; this
cannot. A probe without an answer counts as one that took the whole time-out.

    python benchmarks/stall_probe.py --host 127.0.0.1 --port 3478 [--seconds 10] [--cpu 1]

With ``--ask ng`` it sends pings of rtpengine's control protocol in place of Bindings.

One JSON object: sent, lost, p50/p99/p99.9/max in milliseconds, and how late the probe itself was
woken at worst (``late_ms``): where that is large, the machine stalled and not the server.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import sys
import time
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.figures import percentile

LONGEST_RUN = 120.0
TIMEOUT = 1.0
BINDING = struct.Struct("!HHI8sI")


def request(serial: int) -> bytes:
    """A Binding request whose transaction id ends with ``serial``."""
    return BINDING.pack(0x0001, 0, 0x2112A442, b"stallprb", serial)


def answered(data: bytes) -> int | None:
    """The serial number that a Binding response answers, or None for anything else."""
    if len(data) < BINDING.size:
        return None
    kind, _, cookie, _, serial = BINDING.unpack_from(data)
    return serial if kind == 0x0101 and cookie == 0x2112A442 else None


def ping(serial: int) -> bytes:
    """rtpengine's ping; the process in its cookie, since answers are kept by cookie for a while."""
    return b"%d.%d d7:command4:pinge" % (os.getpid(), serial)


def ponged(data: bytes) -> int | None:
    """The serial number of the ping that rtpengine answers, or None for anything else."""
    cookie, _, rest = data.partition(b" ")
    pid, _, serial = cookie.partition(b".")
    if rest != b"d6:result4:ponge" or pid != b"%d" % os.getpid() or not serial.isdigit():
        return None
    return int(serial)


QUESTIONS = {"stun": (request, answered), "ng": (ping, ponged)}


class Probe:
    """One run against one server."""

    def __init__(
        self, server: tuple[str, int], source: str, interval: float, ask: str = "stun"
    ) -> None:
        self._server = server
        self._question, self._answered = QUESTIONS[ask]
        self._interval = interval
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((source, 0))
        self._sent: dict[int, float] = {}
        self._trips: list[float] = []
        self._late = 0.0
        self._refused = 0

    def run(self, seconds: float) -> dict[str, float]:
        """Probe for so long, wait for the last answers, and sum up."""
        count = max(1, round(seconds / self._interval))
        start = time.monotonic()
        for serial in range(count):
            due = start + serial * self._interval
            self._receive_until(due)
            self._send(serial, due)
        end = time.monotonic() + TIMEOUT
        while self._sent and time.monotonic() < end:
            self._receive_until(min(end, time.monotonic() + 0.05))
        return self._summary(count)

    def _send(self, serial: int, due: float) -> None:
        now = time.monotonic()
        self._late = max(self._late, now - due)
        self._sent[serial] = now
        try:
            self._socket.sendto(self._question(serial), self._server)
        except OSError:  # a full queue on the way out: the probe is lost like any other
            self._refused += 1

    def _receive_until(self, moment: float) -> None:
        while (rest := moment - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], rest)[0]:
                return
            now = time.monotonic()
            serial = self._answered(self._socket.recv(2048))
            if serial is not None and (sent := self._sent.pop(serial, None)) is not None:
                self._trips.append(now - sent)

    def _summary(self, count: int) -> dict[str, float]:
        lost = len(self._sent)
        milliseconds = sorted(1000 * trip for trip in [*self._trips, *[TIMEOUT] * lost])
        marks = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
        found = {name: round(percentile(milliseconds, mark), 3) for name, mark in marks.items()}
        own = {"refused": self._refused, "late_ms": round(1000 * self._late, 3)}
        return {"sent": count, "lost": lost, **found, **own}


def come_first() -> None:
    """Be scheduled before the load generators, where that is permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except PermissionError:
        print("stall_probe: no real-time priority; see late_ms", file=sys.stderr)


def main() -> None:
    """Read the options, probe, print one JSON object."""
    parser = argparse.ArgumentParser(description="STUN Bindings at a fixed rate, and their delay")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3478)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--hz", type=float, default=50)
    parser.add_argument("--source", default="127.99.0.1", help="our own address")
    parser.add_argument("--ask", choices=[*QUESTIONS], default="stun")
    parser.add_argument("--cpu", type=int, help="run on this CPU only")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    come_first()
    probe = Probe((options.host, options.port), options.source, 1 / options.hz, options.ask)
    print(json.dumps(probe.run(min(options.seconds, LONGEST_RUN))))


if __name__ == "__main__":
    main()
