"""
Our media plane as a server of its own, for the benchmark of bridges: no SIP, only its ends.

    python -m benchmarks.bridge_server CALLS

``CALLS`` has a line for each call, as rtpload reads it, without our two ports: those are filled in,
and the file is written anew. It prints which data plane runs, the port on which its reactor answers
STUN Bindings, which shows how long the media keep it, and "ready". Ends with its standard input.
"""

from __future__ import annotations

import os
import sys
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import DatagramProtocol, Protocol
from twisted.internet.stdio import StandardIO

from b2bua.media_plane import SrtpKeys, StreamTerms
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings
from benchmarks.sdes import suite_of
from suite import reactor as suite_reactor
from suite.datapath.choice import choose
from suite.datapath.media import TwinMediaPlane

if TYPE_CHECKING:
    from suite.datapath.native_media import NativeMediaPlane

HOST = "127.0.0.1"
BINDING_BYTES = 20


def the_reactor() -> Any:
    """The suite's own, once it is installed."""
    from twisted.internet import reactor

    return reactor


class Bindings(DatagramProtocol):
    """Answers Bindings, with what a stall probe needs and no more."""

    def datagramReceived(self, data: bytes, address: tuple[str, int]) -> None:
        """A success response is the request with another type."""
        if data[:2] == b"\0\x01" and len(data) == BINDING_BYTES:
            assert self.transport is not None
            self.transport.write(b"\x01\x01" + data[2:], address)


class UntilClosed(Protocol):
    """Ends the process with its standard input."""

    def connectionLost(self, reason: object = None) -> None:
        """Whoever started us is gone."""
        if the_reactor().running:
            the_reactor().stop()


def keys(sends: str, receives: str) -> SrtpKeys | None:
    """Our keys toward an endpoint, from what it receives and sends."""
    if not (suite := suite_of(sends)):
        return None
    return SrtpKeys(profile=suite, sends=b64decode(sends), receives=b64decode(receives))


def media_plane(reactor: Any, settings: MediaSettings) -> TwinMediaPlane | NativeMediaPlane:
    """The native media plane where it is chosen and can encrypt, else its twin."""
    if not choose(os.environ).is_native:
        return TwinMediaPlane(reactor, reactor, settings)
    from suite.datapath import native_media, native_srtp
    from suite.datapath.native_core import NativeCore

    if missing := native_srtp.missing_reason():  # which also tells the core what to encrypt with
        print(f"SRTP: {missing}", file=sys.stderr)
        return TwinMediaPlane(reactor, reactor, settings)
    core = NativeCore(reactor, reactor.seconds, suite_reactor.loop_under(reactor))
    return native_media.NativeMediaPlane(core, reactor, settings)


def open_end(plane: TwinMediaPlane | NativeMediaPlane, port: int, of: SrtpKeys | None) -> int:
    """An end toward one endpoint."""
    end: int = plane.open()
    plane.set_terms(
        end,
        StreamTerms(
            remote=(HOST, port),
            remote_rtcp=(HOST, port),
            payload_types={0: 0},
            clock_rates={0: 8000},
            keys=of,
        ),
    )
    return end


def bridge(plane: TwinMediaPlane | NativeMediaPlane, line: str) -> str:
    """Open the call of a line; return the line with our ports."""
    fields = line.split()
    a_sends, a_receives, b_sends, b_receives = fields[5:9]
    a = open_end(plane, int(fields[0]), keys(a_receives, a_sends))
    b = open_end(plane, int(fields[1]), keys(b_receives, b_sends))
    plane.join(a, b)
    fields[3], fields[4] = str(plane.local(a)[1]), str(plane.local(b)[1])
    return " ".join(fields)


def main() -> None:
    """Open every call of the file and forward until standard input ends."""
    suite_reactor.install()
    reactor = the_reactor()
    path = Path(sys.argv[1])
    settings = MediaSettings(
        host=HOST, first_port=10000, last_port=29999, rules=CodecRules(codecs=())
    )
    plane = media_plane(reactor, settings)
    lines = [bridge(plane, line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    port = reactor.listenUDP(0, Bindings(), interface=HOST)
    print(f"data plane: {plane.kind}\nstun-port: {port.getHost().port}\nready", flush=True)
    StandardIO(UntilClosed())
    reactor.run()


if __name__ == "__main__":
    main()
