"""
What does one forwarded packet cost, by the way Python is woken for its socket?

A relay in miniature: one listening socket for the clients and one relay socket per allocation, on
one loop. Three kinds of traffic: ``down`` (peer to client, every packet on another relay socket),
``trains`` (eight packets in a row on one relay socket, as video sends them) and ``up`` (client to
peer, all packets on the listening socket). Each way of reading does what a relay must: look up
the allocation, check the peer, add or take off the ChannelData header, send.

Server and generator share one core and packets come every millisecond, so no wake-up of another
core is in the figure. The cost is the server's own CPU time (schedstat) over packets that arrived.
Absolute figures move with the machine; read the ratio to the first row.

    python benchmarks/udp_readers.py [--reps 3] [--seconds 1.5] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import select
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

Address = tuple[str, int]
Receive = Callable[[bytes, Address], None]

ALLOCATIONS = 200
RATE = 10_000
PAYLOAD = 172
BUDGET = 64
HEADER = struct.Struct("!HH")
SHAPES = ("down", "trains", "up")
LOOPS = ("uvloop", "stdlib")


def bound_socket() -> socket.socket:
    """A non-blocking UDP socket on loopback with room for a burst."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind(("127.0.0.1", 0))
    return sock


# --- the relays under test ----------------------------------------------------------------------


class Relay:
    """The tables of a relay whose every client has the same peer."""

    def __init__(self, client: Address, peer: Address) -> None:
        self.listening = bound_socket()
        self.relays = [bound_socket() for _ in range(ALLOCATIONS)]
        self.client = client
        self.peer = peer
        self.permitted = {peer}
        self.by_channel = {0x4000 + i: sock for i, sock in enumerate(self.relays)}

    def up(self, data: bytes, source: Address) -> None:
        """ChannelData from the client leaves through the relay socket of its channel."""
        if source != self.client:
            return
        number, length = HEADER.unpack_from(data)
        self.by_channel[number].sendto(data[4 : 4 + length], self.peer)

    def down_of(self, index: int) -> Receive:
        """What arrives on one relay socket goes to the client in the channel's frame."""
        number = 0x4000 + index
        send, pack = self.listening.sendto, HEADER.pack
        permitted, client = self.permitted, self.client

        def down(data: bytes, source: Address) -> None:
            if source in permitted:
                send(pack(number, len(data)) + data, client)

        return down

    def readers(self) -> list[tuple[socket.socket, Receive]]:
        """Every socket with what its datagrams are given to."""
        pairs = [(sock, self.down_of(i)) for i, sock in enumerate(self.relays)]
        return [(self.listening, self.up), *pairs]


def drain(sock: socket.socket, receive: Receive, budget: int) -> Callable[[], None]:
    """Read until the socket is empty or ``budget`` packets were read."""
    recvfrom = sock.recvfrom

    def readable() -> None:
        try:
            for _ in range(budget):
                data, source = recvfrom(2048)
                receive(data, source)
        except BlockingIOError:
            return

    return readable


class EndpointProtocol(asyncio.DatagramProtocol):
    """A datagram endpoint that gives what arrives to a function."""

    def __init__(self, receive: Receive) -> None:
        # A method that calls it would be one call more for each packet than others have.
        self.datagram_received = receive  # type: ignore[method-assign,assignment]


def giving_to(receive: Receive) -> Callable[[], EndpointProtocol]:
    """What ``create_datagram_endpoint`` calls to make the protocol."""
    return lambda: EndpointProtocol(receive)


async def with_endpoints(relay: Relay) -> None:
    """The loop's datagram endpoints read; the relay sends on the sockets itself."""
    loop = asyncio.get_running_loop()
    for sock, receive in relay.readers():
        await loop.create_datagram_endpoint(giving_to(receive), sock=sock)


async def with_endpoints_sending(relay: Relay) -> None:
    """The loop's datagram endpoints read and send."""
    loop = asyncio.get_running_loop()
    transports: dict[socket.socket, asyncio.DatagramTransport] = {}
    receivers: dict[socket.socket, Receive] = {}

    def received_on(sock: socket.socket) -> Receive:
        return lambda data, source: receivers[sock](data, source)

    for sock, _ in relay.readers():
        transports[sock], _ = await loop.create_datagram_endpoint(
            giving_to(received_on(sock)), sock=sock
        )
    out = {number: transports[sock].sendto for number, sock in relay.by_channel.items()}

    def up(data: bytes, source: Address) -> None:
        if source == relay.client:
            number, length = HEADER.unpack_from(data)
            out[number](data[4 : 4 + length], relay.peer)

    def down_of(number: int) -> Receive:
        send = transports[relay.listening].sendto

        def down(data: bytes, source: Address) -> None:
            if source in relay.permitted:
                send(HEADER.pack(number, len(data)) + data, relay.client)

        return down

    receivers[relay.listening] = up
    receivers.update({sock: down_of(number) for number, sock in relay.by_channel.items()})


async def with_readers_draining(relay: Relay) -> None:
    """``add_reader`` per socket, each wake-up reads until empty, at most the budget."""
    loop = asyncio.get_running_loop()
    for sock, receive in relay.readers():
        loop.add_reader(sock, drain(sock, receive, BUDGET))


async def with_readers_once(relay: Relay) -> None:
    """``add_reader`` per socket; relay sockets read one packet a wake-up, the listener drains."""
    loop = asyncio.get_running_loop()
    for sock, receive in relay.readers():
        budget = BUDGET if sock is relay.listening else 1
        loop.add_reader(sock, drain(sock, receive, budget))


def inner_epoll(relay: Relay, per_socket: int, polls: int) -> None:
    """Watch one epoll descriptor that holds all sockets of the relay."""
    inner = select.epoll()
    drains: dict[int, Callable[[], None]] = {}
    for sock, receive in relay.readers():
        inner.register(sock, select.EPOLLIN)
        budget = BUDGET if sock is relay.listening else per_socket
        drains[sock.fileno()] = drain(sock, receive, budget)

    def readable() -> None:
        for _ in range(polls):
            ready = inner.poll(0, BUDGET)
            for descriptor, _ in ready:
                drains[descriptor]()
            if not ready:
                return

    asyncio.get_running_loop().add_reader(inner, readable)


async def with_inner_epoll(relay: Relay) -> None:
    """One packet a ready relay socket, then back to the loop."""
    inner_epoll(relay, per_socket=1, polls=1)


async def with_inner_epoll_again(relay: Relay) -> None:
    """One packet a ready relay socket, asked again until nothing is ready."""
    inner_epoll(relay, per_socket=1, polls=8)


async def with_inner_epoll_draining(relay: Relay) -> None:
    """Every ready socket is read until empty, then back to the loop."""
    inner_epoll(relay, per_socket=BUDGET, polls=1)


def with_twisted(relay: Relay) -> None:
    """Twisted's UDP ports on the same loop."""
    from twisted.internet import reactor
    from twisted.internet.interfaces import IReactorSocket
    from twisted.internet.protocol import DatagramProtocol

    class Port(DatagramProtocol):
        def __init__(self, receive: Receive) -> None:
            # As above.
            self.datagramReceived = receive  # type: ignore[method-assign,assignment]

    for sock, receive in relay.readers():
        cast(IReactorSocket, reactor).adoptDatagramPort(
            sock.fileno(), socket.AF_INET, Port(receive), maxPacketSize=2048
        )


WAYS: dict[str, tuple[str, Callable[[Relay], Any]]] = {
    "endpoint": ("create_datagram_endpoint, own sendto", with_endpoints),
    "endpoint-send": ("create_datagram_endpoint, transport.sendto", with_endpoints_sending),
    "reader-drain": ("add_reader, drain <= 64", with_readers_draining),
    "reader-once": ("add_reader, relay sockets 1 a wake-up", with_readers_once),
    "inner-epoll": ("one inner epoll descriptor, 1 a socket", with_inner_epoll),
    "inner-epoll-again": ("same, polled until nothing is ready", with_inner_epoll_again),
    "inner-epoll-drain": ("same, each socket drained <= 64", with_inner_epoll_draining),
    "twisted": ("Twisted adoptDatagramPort", with_twisted),
}


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """A uvloop loop, or the standard library's on epoll."""
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop(selectors.EpollSelector())


def serve(way: str, kind: str, client: Address, peer: Address) -> None:
    """Run one relay until standard input closes; print its ports first."""
    from twisted.internet import asyncioreactor

    loop = new_loop(kind)
    asyncio.set_event_loop(loop)
    relay = Relay(client, peer)
    attach = WAYS[way][1]
    if way == "twisted":
        asyncioreactor.install(loop)
        attach(relay)
    else:
        loop.run_until_complete(attach(relay))
    loop.add_reader(sys.stdin, loop.stop)
    ports = [sock.getsockname()[1] for sock in (relay.listening, *relay.relays)]
    print(*ports, flush=True)
    if way == "twisted":
        from twisted.internet import reactor

        # Stubs of the module name no method; the loop below runs, so the reactor must not.
        reactor.startRunning(installSignalHandlers=False)  # type: ignore[attr-defined]
    loop.run_forever()
    os._exit(0)  # the sockets are adopted twice over; there is nothing to put in order


# --- the generator ------------------------------------------------------------------------------


def cpu_ns(pid: int) -> int:
    """CPU time of every thread of ``pid`` so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def datagrams(shape: str, ports: list[int]) -> itertools.cycle[tuple[bytes, Address]]:
    """The endless order of (packet, destination) that one kind of traffic sends."""
    payload = b"\x80" + bytes(PAYLOAD - 1)
    listening = ("127.0.0.1", ports[0])
    if shape == "up":
        frames = [HEADER.pack(0x4000 + i, PAYLOAD) + payload for i in range(ALLOCATIONS)]
        return itertools.cycle([(frame, listening) for frame in frames])
    run = 8 if shape == "trains" else 1
    return itertools.cycle([(payload, ("127.0.0.1", p)) for p in ports[1:] for _ in range(run)])


def count_waiting(sock: socket.socket) -> int:
    """Read what waits on ``sock`` and say how many packets that was."""
    count = 0
    while True:
        try:
            sock.recv(2048)
        except BlockingIOError:
            return count
        count += 1


def offer(
    seconds: float,
    order: itertools.cycle[tuple[bytes, Address]],
    source: socket.socket,
    sink: socket.socket,
) -> tuple[int, int]:
    """Send at RATE in ticks of a millisecond; returns (sent, arrived)."""
    start = time.monotonic()
    sent = arrived = 0
    while (elapsed := time.monotonic() - start) < seconds:
        due = int(elapsed * RATE) - sent
        for packet, destination in itertools.islice(order, due):
            source.sendto(packet, destination)
        sent += due
        arrived += count_waiting(sink)
        time.sleep(0.001)
    time.sleep(0.05)
    return sent, arrived + count_waiting(sink)


def measure(way: str, kind: str, seconds: float) -> dict[str, tuple[float, float]]:
    """CPU microseconds a packet and loss, per kind of traffic, of one fresh relay."""
    client, peer = bound_socket(), bound_socket()
    arguments = [f"{s.getsockname()[1]}" for s in (client, peer)]
    command = ["taskset", "-c", "0", sys.executable, __file__, "--serve", way, kind, *arguments]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None and server.stdout is not None
    found = {}
    try:
        ports = [int(port) for port in server.stdout.readline().split()]
        for shape in SHAPES:
            source, sink = (client, peer) if shape == "up" else (peer, client)
            order = datagrams(shape, ports)
            offer(0.3, order, source, sink)
            before = cpu_ns(server.pid)
            sent, arrived = offer(seconds, order, source, sink)
            used = cpu_ns(server.pid) - before
            found[shape] = (used / 1000 / max(arrived, 1), 1 - arrived / sent)
    finally:
        server.stdin.close()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        client.close()
        peer.close()
    return found


def versions() -> str:
    """What the figures depend on, without naming the machine."""
    from importlib.metadata import version

    return (
        f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, uvloop {version('uvloop')}, "
        f"Twisted {version('twisted')}"
    )


def table(runs: list[dict[tuple[str, str], dict[str, tuple[float, float]]]]) -> str:
    """Medians of microseconds and of the ratio to the first row of the same repetition."""
    first = next(iter(runs[0]))
    lines = [
        f"{ALLOCATIONS} relay sockets, {RATE} packets/s of {PAYLOAD} B, server and generator on "
        f"one core, {len(runs)} repetitions. {versions()}.",
        "Cells: CPU us per forwarded packet, and the ratio to the first row.",
        "",
        "| loop | read by | " + " | ".join(SHAPES) + " | worst loss |",
        "|---|---|" + "---|" * (len(SHAPES) + 1),
    ]
    for key in runs[0]:
        cells = []
        for shape in SHAPES:
            cost = statistics.median(run[key][shape][0] for run in runs)
            ratio = statistics.median(run[key][shape][0] / run[first][shape][0] for run in runs)
            cells.append(f"{cost:.1f} ({ratio:.2f})")
        loss = max(run[key][shape][1] for run in runs for shape in SHAPES)
        lines.append(f"| {key[0]} | {WAYS[key[1]][0]} | {' | '.join(cells)} | {loss:.2%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every way in turn, the given number of times, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--markdown", type=Path, help="keep the table in this file")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        way, kind, client, peer = options.serve
        serve(way, kind, ("127.0.0.1", int(client)), ("127.0.0.1", int(peer)))
    os.sched_setaffinity(0, {0})
    runs = []
    for repetition in range(options.reps):
        run = {}
        for kind, way in itertools.product(LOOPS, WAYS):
            run[kind, way] = measure(way, kind, options.seconds)
            costs = {shape: round(cost, 1) for shape, (cost, _) in run[kind, way].items()}
            print(f"{repetition + 1}/{options.reps} {kind} {way}: {costs}", file=sys.stderr)
        runs.append(run)
    text = table(runs)
    print(text)
    if options.markdown:
        options.markdown.write_text("# Ways to read 200 UDP sockets\n\n" + text)


if __name__ == "__main__":
    main()
