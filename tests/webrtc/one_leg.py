"""
A browser's leg alone, with its media plane, in a process of its own: it sends back what it hears.

JSON lines in, JSON lines out: {"do": "take", "sdp": OFFER} is answered with {"sdp": ANSWER},
{"do": "offer", "change": "hold"} with {"sdp": OFFER}, {"do": "answered", "sdp": ANSWER} with {}.
``python -m tests.webrtc.one_leg HOST FOLDER BUNDLE``
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite.reactor import install

install()

from twisted.internet import reactor, stdio  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402

from b2bua.media_plane import TransportEvent  # noqa: E402
from b2bua.sdp.codecs import parse_codec_list  # noqa: E402
from b2bua.sdp.formats import Format  # noqa: E402
from b2bua.sdp.negotiation import CodecRules  # noqa: E402
from b2bua.settings import DtlsSettings, MediaSettings, WebMediaSettings  # noqa: E402
from b2bua.web_leg_media import WebLegMedia, web_rules  # noqa: E402
from suite.datapath.media import TwinMediaPlane  # noqa: E402

_RULES = CodecRules(
    codecs=parse_codec_list("(opus=111,pcmu,pcma,telephone-event=126,vp8=100)"), transcoding=False
)
_VIDEO = (Format(100, "VP8", 90000),)


class _Plane(TwinMediaPlane):
    """Knows which transports there are."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        self.opened: list[int] = []

    def open_transport(self, tell: Callable[[TransportEvent], None], *, controlling: bool) -> int:
        """Note that there is one more."""
        self.opened.append(super().open_transport(tell, controlling=controlling))
        return self.opened[-1]

    def close_transport(self, transport: int) -> None:
        """Note that there is one less."""
        self.opened.remove(transport)
        super().close_transport(transport)


class OneLeg(LineReceiver):
    """Does what the lines say."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, host: str, folder: str, bundle: bool) -> None:
        web = WebMediaSettings(
            addresses=(host,),
            rules=_RULES,
            dtls=DtlsSettings(state_directory=Path(folder)),
            bundle=bundle,
        )
        self._plane = _Plane(
            reactor,
            reactor,
            MediaSettings(host=host, rules=_RULES),
            web=web,
            loop=asyncio.get_event_loop(),
        )
        self._leg = WebLegMedia(self._plane, web, web_rules(web), 4711, os.urandom)
        self._joined: set[int] = set()

    def lineReceived(self, line: bytes) -> None:
        """Do one thing."""
        order = json.loads(line)
        said = getattr(self, f"do_{order.pop('do')}")(**order)
        self.sendLine(json.dumps({} if said is None else {"sdp": said.decode()}).encode())

    def do_take(self, sdp: str) -> bytes:
        """Answer an offer with all that it has."""
        self._leg.take_offer(sdp.encode())
        answer = self._leg.answer(self._leg.offered)
        self._bridge()
        return answer

    def do_offer(self, change: str) -> bytes:
        """Offer what stands, with one change."""
        self._leg.by_us = change == "hold"
        if change == "restart":
            for transport in self._plane.opened:
                self._plane.restart(transport)
        named = dict(self._leg.agreed)
        return self._leg.offer(named | {"video": _VIDEO} if change == "video" else named or None)

    def do_answered(self, sdp: str) -> None:
        """Take the answer to that."""
        self._leg.take_answer(sdp.encode())
        self._bridge()

    def _bridge(self) -> None:
        self._leg.apply(self._leg)
        for end in self._leg.ends.values():
            if end not in self._joined:
                self._joined.add(end)
                self._plane.join(end, end)

    def connectionLost(self, reason: object = None) -> None:
        """End with whoever gives the orders."""
        self._leg.close()
        reactor.stop()  # type: ignore[attr-defined]


if __name__ == "__main__":
    stdio.StandardIO(OneLeg(sys.argv[1], sys.argv[2], sys.argv[3] == "True"))
    reactor.run()  # type: ignore[attr-defined]
