"""
What one relayed frame costs on a TCP or TLS stream: CPU time of the reactor's thread.

Compares Twisted's transport with the one of ``suite.stream_port``. Frames come in turns of the
reactor that are a millisecond apart. Run it from a checkout: python -m benchmarks.stream_client
"""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import uvloop
from twisted.internet import asyncioreactor

asyncioreactor.install(uvloop.new_event_loop())

from twisted.internet import reactor, tcp  # noqa: E402
from twisted.internet.base import ReactorBase  # noqa: E402
from twisted.internet.interfaces import IReactorFDSet, IReactorTime  # noqa: E402
from twisted.internet.task import Cooperator  # noqa: E402

from suite.admission import Admission, ListenLimits  # noqa: E402
from suite.certificate import OwnCertificate  # noqa: E402
from suite.listen import StreamListener  # noqa: E402
from suite.settings import TcpListen  # noqa: E402
from suite.stream_port import PromptServer, StreamPort  # noqa: E402
from suite.tls import TlsContexts  # noqa: E402
from turn.data_plane import ClientPath  # noqa: E402
from turn.five_tuple import FiveTuple  # noqa: E402
from turn.net.stream import StreamClient, StreamLimits  # noqa: E402

TURNS = 2_000
FRAME = b"\x40\x00\x00\xac" + bytes(172)
BINDING = bytes.fromhex("000100002112a442") + b"transaction!"
CLOCK = cast(IReactorTime, reactor)


class Flood:
    """A relay that answers the first message with a flood, ``burst`` frames a turn."""

    def __init__(self, burst: int) -> None:
        self._burst = burst

    def control(self, message: bytes, path: ClientPath) -> None:
        """Begin."""
        self._before = time.thread_time()
        self._path = cast(StreamClient, path)
        Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=lambda call: CLOCK.callLater(0.001, call),
        ).cooperate(self._frames())

    def _frames(self) -> Iterator[None]:
        for _ in range(TURNS):
            for _ in range(self._burst):
                self._path.send_media(FRAME)
            yield
        self.spent = time.thread_time() - self._before
        self._path.close("done")

    def media(self, path: ClientPath, frame: bytes) -> None:
        """Nothing comes."""

    def disconnected(self, path: ClientPath, reason: str) -> None:
        """End the run."""
        self.dropped = self._path.media_dropped
        CLOCK.callLater(0, cast(ReactorBase, reactor).crash)


def read(port: int, secure: bool) -> None:
    """Be the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = socket.create_connection(("127.0.0.1", port))
    if secure:
        stream = context.wrap_socket(stream)
    stream.sendall(BINDING)
    while stream.recv(2**18):
        pass


def run(transport: type[tcp.Server], burst: int, secure: bool, tls: TlsContexts) -> Flood:
    """Flood one client and return what it took."""
    # Twisted's own server in place of ours, which is a subclass: that is what is compared.
    StreamPort.transport = transport  # type: ignore[assignment]
    flood = Flood(burst)

    def turn(five_tuple: FiveTuple) -> StreamClient:
        return StreamClient(five_tuple, flood, CLOCK, StreamLimits(media_age=60, media_bytes=2**30))

    listener = StreamListener(
        TcpListen(address=("127.0.0.1", 0)),
        turn=turn,
        web=None,
        tls=tls,
        clock=CLOCK,
        limits=Admission(ListenLimits(), CLOCK),
        reactor=cast(IReactorFDSet, reactor),
    )
    listener.start()
    client = threading.Thread(target=read, args=(listener.port, secure))
    client.start()
    cast(ReactorBase, reactor).run()
    client.join()
    listener.stop()
    return flood


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        own = OwnCertificate(Path(folder))
        own.ensure(datetime.now(UTC))
        tls = TlsContexts(own.settings)
    sys.stdout.write("transport     TLS  frames/turn  us/frame  dropped\n")
    for secure in (False, True):
        for burst in (1, 2, 8, 32):
            for transport in (tcp.Server, PromptServer):
                flood = run(transport, burst, secure, tls)
                cost = flood.spent / TURNS / burst * 1e6
                sys.stdout.write(
                    f"{transport.__name__:13} {secure!s:5} {burst:10} {cost:9.1f}"
                    f" {flood.dropped:8}\n"
                )


if __name__ == "__main__":
    main()
