"""
Makes the legs of calls: of which kind each is, and the media that goes with it.

A browser's media are for browsers: those of the gateway, and web pages that speak SIP over
WebSocket. Whoever offers plain RTP over a WebSocket is taken for the phone that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from b2bua.call_events import LegKind
from b2bua.leg import Leg
from b2bua.leg_crypto import SecureLegMedia
from b2bua.leg_media import Feedback, LegMedia
from b2bua.media_plane import MediaPlane, TransportEvent, WebMediaPlane
from b2bua.sdp.webrtc import is_plain
from b2bua.settings import B2buaSettings, SrtpMode
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.message import Request
from b2bua.web_leg_media import PICTURES, WebLegMedia, web_rules

_WEB_SOCKETS = frozenset({"WS", "WSS"})
_FEEDBACK = ("nack", *PICTURES)


class NewLegs:
    """
    ``session_id`` gives a number for each ``o=`` line, ``random`` bytes of keys; ``tell`` hears of
    browsers' media.
    """

    def __init__(
        self,
        settings: B2buaSettings,
        plane: MediaPlane,
        *,
        session_id: Callable[[], int],
        random: Callable[[int], bytes],
        tell: Callable[[Leg, TransportEvent], None],
    ) -> None:
        self._settings = settings
        self._plane = plane
        self._session_id = session_id
        self._random = random
        self._tell = tell
        rules = settings.media.rules
        self._rules = replace(rules, feedback=_FEEDBACK) if settings.avpf else rules
        self._feedback = Feedback(is_negotiated=settings.avpf, is_sent=settings.feedback)
        self._web_plane: WebMediaPlane | None = None
        if settings.web is not None:
            if not isinstance(plane, WebMediaPlane):
                raise TypeError("browsers need a media plane with transports")
            self._web_plane = plane
            self._web_rules = web_rules(settings.web)

    def kind_of_caller(self, hop: Hop, request: Request, *, is_server: bool) -> LegKind:
        """Who calls by this INVITE; ``is_server``: its host is that of a SIP Server."""
        if hop.transport in _WEB_SOCKETS and is_plain(request.body):
            return "phone"
        if hop.transport in (BROWSER, *_WEB_SOCKETS):
            # A SIP Server on the same machine does not come this way.
            return self.kind_of_callee(hop)
        return "server" if is_server else "phone"

    def kind_of_callee(self, hop: Hop) -> LegKind:
        """Who is called where a DN has registered from."""
        is_web = hop.transport in (BROWSER, *_WEB_SOCKETS)
        return "browser" if is_web and self._web_plane is not None else "phone"

    def make(self, kind: LegKind, number: str) -> Leg:
        """Make a leg of this kind for a number."""
        if kind == "browser":
            return self._browser(number)
        settings = self._settings
        host = settings.media.advertised or settings.media.host
        common = self._plane, self._rules, host, self._session_id()
        # Servers that latch, and address translators before them, learn us from packets; a phone
        # is known by its own.
        is_heard_first = kind == "server"
        if settings.srtp is SrtpMode.NONE:
            made = LegMedia(*common, is_heard_first=is_heard_first, feedback=self._feedback)
        else:
            made = SecureLegMedia(
                *common,
                is_strict=settings.srtp is SrtpMode.STRICT,
                random=self._random,
                is_heard_first=is_heard_first,
                feedback=self._feedback,
            )
        return Leg(kind, number, made)

    def _browser(self, number: str) -> Leg:
        web = self._settings.web
        if web is None or self._web_plane is None:
            raise RuntimeError("a browser's leg without settings for it")
        media = WebLegMedia(self._web_plane, web, self._web_rules, self._session_id(), self._random)
        leg = Leg("browser", number, media)
        media.on_change(partial(self._tell, leg))
        return leg
