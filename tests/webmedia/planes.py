"""A media plane with transports for browsers, on a loop of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import StreamTerms, TransportEvent
from b2bua.net.ice_consent import IceTimes
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import DtlsSettings, MediaSettings, WebMediaSettings
from suite.datapath.media import TwinMediaPlane
from tests.datapath.media import Plane, native_plane
from tests.webmedia.folders import temporary_folder
from tests.webmedia.loops import LoopReactor, run, until
from tests.webmedia.peers import Peer

# An address for each process, so that runs beside each other do not meet on one port.
HOST = f"127.84.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
PCMU = StreamTerms(payload_types={0: 0}, clock_rates={0: 8000})


class WebPlaneTestCase(SynchronousTestCase):
    """A plane on the loopback interface, and peers of it."""

    addresses: tuple[str, ...] = (HOST,)
    first_port, last_port = 36000, 36099
    times = IceTimes()
    native = False

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.told: list[tuple[int, TransportEvent]] = []
        self.peers: list[Peer] = []
        self.plane = self.make_plane()
        self.addCleanup(self.shut_down)

    def make_plane(self, **more: Any) -> Plane:
        values: dict[str, Any] = {
            "addresses": self.addresses,
            "first_port": self.first_port,
            "last_port": self.last_port,
            "rules": CodecRules(codecs=()),
            "dtls": DtlsSettings(state_directory=temporary_folder(self)),
        }
        return self.plane_of(
            MediaSettings(
                host=HOST, first_port=24000, last_port=24099, rules=CodecRules(codecs=())
            ),
            web=WebMediaSettings(**(values | more)),
            loop=self.loop,
            times=self.times,
        )

    def plane_of(self, settings: MediaSettings, **more: Any) -> Plane:
        reactor: Any = LoopReactor(self.loop)
        make: Callable[..., Plane] = native_plane if self.native else TwinMediaPlane
        return make(reactor, reactor, settings, **more)

    def socket_class(self) -> type[Any]:
        """Of the sockets of transports."""
        name = "native_web.NativeWebSocket" if self.native else "web_socket.WebSocket"
        module, _, of = name.partition(".")
        found: type[Any] = getattr(import_module(f"suite.datapath.{module}"), of)
        return found

    def shut_down(self) -> None:
        async def closed() -> None:
            for peer in self.peers:
                await peer.close()
            self.plane.shut_down()
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()

        run(self.loop, closed())

    def run_loop(self, work: Coroutine[Any, Any, None]) -> None:
        run(self.loop, work)

    def open(self, *, controlling: bool = False) -> int:
        handle = 0

        def tell(event: TransportEvent) -> None:
            self.told.append((handle, event))

        handle = self.plane.open_transport(tell, controlling=controlling)
        return handle

    def peer(self, *, controlling: bool = True, **more: Any) -> Peer:
        made = Peer(controlling=controlling, **more)
        self.peers.append(made)
        return made

    async def connected(
        self, *, controlling: bool = False, terms: StreamTerms = PCMU
    ) -> tuple[int, int, Peer]:
        """A transport, an end on it, and its peer, with media flowing."""
        transport = self.open(controlling=controlling)
        end = self.plane.open_on(transport)
        self.plane.set_terms(end, terms)
        peer = self.peer(controlling=not controlling)
        await peer.gather()
        await peer.hear(self.plane.describe_transport(transport))
        self.plane.set_remote(transport, peer.describe())
        await peer.connect()
        await until(lambda: (transport, TransportEvent.CONNECTED) in self.told)
        return transport, end, peer
