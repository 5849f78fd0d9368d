"""
What does one forwarded RTP packet cost the pure-Python media plane?

One process, one core: 100 calls of two legs, each leg's phone sends a packet of 20 ms PCMU per
round, and the plane forwards them all. Only the time in ``doRead`` is counted (CPU time of the
thread), so that the phones' own work is not in the figure; the kernel charges the way to the
receiving socket to it. ``trains`` is eight packets in a row per socket, as video sends them, of
1200 bytes.

    python -m benchmarks.rtp [--seconds 2]

Ends by itself: at most 5 seconds for both rows together.
"""

from __future__ import annotations

import argparse
import socket
import time

from twisted.internet.task import Clock

from b2bua.media_plane import StreamTerms
from b2bua.rtp.packet import Packet, build
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings
from suite.datapath.media import TwinMediaPlane

HOST = "127.0.0.1"
CALLS = 100
MOST_SECONDS = 2.5


class NoReactor:
    """Takes the plane's descriptor; the benchmark wakes the plane by hand."""

    def addReader(self, reader: object) -> None:
        """Nothing to watch."""

    def removeReader(self, reader: object) -> None:
        """Nothing was watched."""


class Phone:
    """One leg's peer: sends numbered packets to its end and throws away what it gets."""

    def __init__(self, plane: TwinMediaPlane, ssrc: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((HOST, 0))
        self.sock.setblocking(False)
        self.end = plane.open()
        self.ssrc = ssrc
        self.sequence = 0
        self.received = 0
        plane.set_terms(
            self.end,
            StreamTerms(
                remote=self.sock.getsockname(), payload_types={0: 0}, clock_rates={0: 8000}
            ),
        )
        self.sock.connect(plane.local(self.end))

    def send(self, payload: bytes) -> None:
        """One packet, 20 ms after the one before."""
        self.sequence += 1
        packet = Packet(
            payload_type=0,
            sequence=self.sequence & 0xFFFF,
            timestamp=160 * self.sequence,
            ssrc=self.ssrc,
            payload=payload,
        )
        self.sock.send(build(packet))

    def drain(self) -> None:
        """Count what came."""
        try:
            while self.sock.recv(2048):
                self.received += 1
        except BlockingIOError:
            return


def measure(seconds: float, train: int, size: int) -> tuple[float, int, int]:
    """Return CPU microseconds a packet, packets forwarded and packets sent."""
    settings = MediaSettings(
        host=HOST, first_port=20000, last_port=21999, rules=CodecRules(codecs=())
    )
    clock = Clock()
    # Of a reactor the plane only wants its descriptor watched, and here it is read by hand.
    plane = TwinMediaPlane(NoReactor(), clock, settings)  # type: ignore[arg-type]
    phones = [Phone(plane, ssrc + 1) for ssrc in range(2 * CALLS)]
    for first, second in zip(phones[::2], phones[1::2], strict=True):
        plane.join(first.end, second.end)
    payload, spent, sent = b"\xff" * size, 0, 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for phone in phones:
            for _ in range(train):
                phone.send(payload)
            sent += train
        clock.advance(0.02)
        before = time.thread_time_ns()
        while (budget := plane.budget_exhausted) >= 0:
            plane.doRead()
            if plane.budget_exhausted == budget:
                break
        spent += time.thread_time_ns() - before
        for phone in phones:
            phone.drain()
    forwarded = sum(phone.received for phone in phones)
    plane.shut_down()
    for phone in phones:
        phone.sock.close()
    return spent / 1000 / forwarded, forwarded, sent


def main() -> None:
    """Print one row a shape."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    options.add_argument("--seconds", type=float, default=2.0, help="for each row, at most 2.5")
    seconds = min(MOST_SECONDS, options.parse_args().seconds)
    for name, train, size in (("audio", 1, 160), ("trains", 8, 1200)):
        cost, forwarded, sent = measure(seconds, train, size)
        print(f"{name:8} {cost:6.2f} us a packet   {forwarded} of {sent} forwarded")


if __name__ == "__main__":
    main()
