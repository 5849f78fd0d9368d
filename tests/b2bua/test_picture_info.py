"""Whole pictures that are asked for by SIP (RFC 5168)."""

from __future__ import annotations

from b2bua.call_control import MEDIA_CONTROL
from b2bua.sip.usage_events import RequestAnswered
from tests.b2bua.browsers import web_sdp
from tests.b2bua.network import sdp
from tests.b2bua.test_browser_calls import VIDEO, TwoPartyCase


class PictureTests(TwoPartyCase):
    """A SIP Server asks for a whole picture by INFO (RFC 5168)."""

    def info(self, primitive: str, kind: str = MEDIA_CONTROL) -> int:
        """Send one; give the status of its answer."""
        body = f"<?xml version='1.0'?><media_control>{primitive}</media_control>".encode()
        self.a.called.info([("Content-Type", kind)], body, self.now)
        self.settle()
        return self.a.last(RequestAnswered).status

    def setUp(self) -> None:
        super().setUp()
        self.call(web_sdp("audio", "video"), sdp(codecs="0 8", more=VIDEO))

    def test_asked_for(self) -> None:
        """The browser is asked by RTCP, and sees no INFO."""
        (watched,) = [
            end for end, terms in self.plane.terms.items() if terms.picture_spacing == 1.0
        ]
        for said in (
            "<picture_fast_update/>",
            "<m:picture_fast_update >",
            "<picture_fast_update />",
        ):
            update = f"<vc_primitive><to_encoder>{said}</to_encoder></vc_primitive>"
            self.plane.pictures.clear()
            self.assertEqual(self.info(update, f"{MEDIA_CONTROL}; charset=utf-8"), 200)
            self.assertEqual(self.plane.pictures, [watched])
        self.assertEqual(self.browser.seen("INFO"), [])

    def test_nothing_asked_for(self) -> None:
        """What only tells something is answered, and that is all."""
        for told in ("<general_error>no</general_error>", "<picture_fast_updates/>", ""):
            self.assertEqual(self.info(told), 200)
        self.assertEqual(self.plane.pictures, [])
