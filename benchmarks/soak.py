"""
Allocations come and go for minutes; memory and descriptors must not: `make soak`.

A few clients at a time allocate over UDP, TCP and TLS, exchange data with an echo peer, and end by
a Refresh for 0 seconds or, over a stream, by closing it. All traffic stays on the loopback.
"""

from __future__ import annotations

import argparse
import itertools
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.peers import Coturn, RelayProcess, SuiteProcess
from tests.probe import Probe, Transport, describe, probing

CLIENTS_AT_A_TIME = 8
SAMPLES = 200
MOST_GROWTH = 2 * 1024 * 1024
"""Bytes of resident memory that the second half may have over the first after the warm-up."""
MOST_DESCRIPTORS = 4
"""Beyond those at the start, once every client is gone."""
CHANNEL = 0x4000


@dataclass(frozen=True, slots=True)
class Sample:
    """The relay at one moment."""

    seconds: float
    resident: int
    descriptors: int
    allocations: int
    """Made since the start."""


@contextmanager
def echo_peer() -> Iterator[tuple[str, int]]:
    """A UDP socket that sends back what it gets."""

    def serve() -> None:
        while (packet := peer.recvfrom(2048))[0] != b"stop":
            peer.sendto(*packet)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield peer.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"stop", peer.getsockname())
            thread.join()


def live(client: Probe, peer: tuple[str, int]) -> None:
    """The whole life of one client, but for its end."""
    client.allocated()
    for answer in (client.permit(peer), client.bind(CHANNEL, peer)):
        if describe(answer) != "success":
            raise AssertionError(f"refused: {describe(answer)}")
    frame = CHANNEL.to_bytes(2, "big") + b"\0\x10sixteen of them."
    client.send(frame)
    if client.receive() != frame:
        raise AssertionError("the echo did not come back")


def one_round(relay: RelayProcess, peer: tuple[str, int], sources: Iterator[str]) -> int:
    """Some clients at the same time, each with a source of its own; how many there were."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                probing(relay, random.choice(tuple(Transport)), source=next(sources))
            )
            for _ in range(CLIENTS_AT_A_TIME)
        ]
        for client in clients:
            live(client, peer)
        for client in clients:
            if client.transport is Transport.UDP or random.random() < 0.5:
                client.refresh(0)
    return CLIENTS_AT_A_TIME


def churn(relay: RelayProcess, seconds: float) -> list[Sample]:
    """Round after round, with a sample every now and then; a table of them as it goes."""
    sources = (f"127.9.{n // 250 % 250}.{1 + n % 250}" for n in itertools.count())
    begin = time.monotonic()
    samples: list[Sample] = []
    made = 0
    with echo_peer() as peer:
        while (passed := time.monotonic() - begin) < seconds:
            made += one_round(relay, peer, sources)
            if passed >= len(samples) * seconds / SAMPLES:
                program = relay.program
                samples.append(
                    Sample(passed, program.resident_bytes(), program.descriptors(), made)
                )
                if len(samples) % (SAMPLES // 10) == 0:
                    show(samples[-1])
    return samples


def show(sample: Sample) -> None:
    """One line."""
    print(
        f"{sample.seconds:7.0f} s {sample.allocations:9} allocations"
        f" {sample.resident / 1e6:7.1f} MB {sample.descriptors:5} descriptors",
        flush=True,
    )


def growth(samples: list[Sample]) -> float:
    """Bytes by which the last third is larger than the middle one; the first is warm-up."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    return statistics.median(sample.resident for sample in last) - statistics.median(
        sample.resident for sample in middle
    )


def main() -> int:
    """Not 0 if something is left behind."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--coturn", action="store_true", help="coturn in place of the suite")
    arguments = options.parse_args()
    kind = Coturn if arguments.coturn else SuiteProcess
    with kind.started(["allow-loopback-peers"]) as relay:
        before = relay.program.descriptors()
        samples = churn(relay, arguments.minutes * 60)
        time.sleep(2)
        left = relay.program.descriptors() - before
    grown = growth(samples)
    print(f"memory: {grown / 1e6:+.1f} MB between the thirds; descriptors: {left:+} at the end")
    return 0 if grown <= MOST_GROWTH and left <= MOST_DESCRIPTORS else 1


if __name__ == "__main__":
    sys.exit(main())
