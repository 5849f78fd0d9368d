"""Calls of browsers: how they begin, change and end."""

from __future__ import annotations

from b2bua.call_events import CallEnded, CallStarted
from b2bua.media_plane import TransportEvent
from b2bua.sip.usage_events import Invited
from tests.b2bua.browsers import BrowserCase, web_sdp
from tests.b2bua.network import PHONE, Ended, Established, described, sdp
from tests.b2bua.web_plane import FakeTransport


class TwoPartyCase(BrowserCase):
    """Calls between the browser and the server."""

    def call(self, offer: bytes = b"", answer: bytes = b"") -> None:
        """A call of the browser that the server answers."""
        self.browser.call("5555", offer or web_sdp(), caller="1009")
        self.a.called.answer(self.now, answer or sdp(codecs="0 8"))
        self.settle()

    def called(self, offer: bytes = b"", answer: bytes = b"") -> None:
        """A call of the server that the browser answers."""
        self.a.call("1009", offer or sdp(codecs="0 8"))
        self.browser.called.answer(self.now, answer or web_sdp(codecs="0", setup="active"))
        self.settle()


class BrowserCallTests(TwoPartyCase):
    """Through the gateway."""

    def test_browser_calls(self) -> None:
        """Its call goes to the SIP Server with plain RTP, and it gets an answer with its own."""
        self.call()
        offer = described(self.a.last(Invited).request)
        self.assertEqual(offer.media[0].line.protocol, "RTP/AVP")
        self.assertFalse(offer.media[0].has("fingerprint") or offer.media[0].has("ice-ufrag"))
        answer = self.said_to_browser()
        self.assertEqual(answer.media[0].line.protocol, "UDP/TLS/RTP/SAVPF")
        self.assertEqual(str(answer.media[0].setup), "passive")
        self.assertEqual(self.network.told(CallStarted)[-1].legs, ("browser", "server"))
        self.assertTrue(self.browser.has(Established))
        self.assertEqual(self.plane.only.remote.ufrag, "page")
        self.assertEqual(len(self.plane.joined), 1)

    def test_browser_is_called(self) -> None:
        """It is offered media with ICE and DTLS-SRTP."""
        self.called()
        offer = described(self.browser.last(Invited).request)
        self.assertEqual(offer.media[0].line.protocol, "UDP/TLS/RTP/SAVPF")
        self.assertTrue(self.plane.only.controlling)
        self.assertEqual(self.network.told(CallStarted)[-1].legs, ("server", "browser"))
        self.assertEqual(len(self.plane.joined), 1)
        self.assertTrue(self.a.has(Established))

    def test_end(self) -> None:
        """Whoever hangs up, nothing is left."""
        self.call()
        self.browser.last(Established).usage.bye(self.now)
        self.settle()
        self.assertTrue(self.a.has(Ended))
        self.assertFalse(self.plane.transports)
        self.assert_clean()

    def test_without_codec_in_common(self) -> None:
        """488, with words."""
        self.browser.call("5555", web_sdp(codecs="126"), caller="1009")
        refusal = self.last_to("198.51.100.9", "488 INVITE")
        self.assertIn("media", refusal.get("Warning") or "")

    def test_without_keys(self) -> None:
        """488, with words."""
        offer = b"".join(
            line
            for line in web_sdp().splitlines(keepends=True)
            if not line.startswith(b"a=fingerprint")
        )
        self.browser.call("5555", offer, caller="1009")
        refusal = self.last_to("198.51.100.9", "488 INVITE")
        self.assertIn("encryption", refusal.get("Warning") or "")

    def test_self(self) -> None:
        """A browser that calls "self" hears itself, and no SIP Server is asked."""
        self.browser.call("self", web_sdp("audio", "video"), caller="1009")
        self.assertTrue(self.browser.has(Established))
        self.assertFalse(self.a.has(Invited))
        self.assertEqual([m.port > 0 for m in self.said_to_browser().media], [True, True])
        self.assertEqual(len(self.plane.joined), 2)
        self.assertTrue(all(one == other for one, other in self.plane.joined))

    def test_early_media(self) -> None:
        """An answer in 183 goes on, and stands."""
        self.browser.call("5555", web_sdp(), caller="1009")
        self.a.called.ring(183, self.now, sdp(codecs="0"))
        self.settle()
        self.assertEqual(self.plane.only.remote.ufrag, "page")
        self.a.called.answer(self.now, sdp(codecs="0"))
        self.settle()
        self.assertTrue(self.browser.has(Established))

    def test_counters(self) -> None:
        """What a leg has moved is known by its dialog."""
        self.call()
        usage = self.browser.last(Established)
        counters = self.network.core.media_counters(self.browser.hop, usage.dialog.call_id)
        self.assertEqual(set(counters), {"audio"})
        self.assertEqual(self.network.core.media_counters(self.phone.hop, "other"), {})


class LossTests(TwoPartyCase):
    """Media that fail, or are lost."""

    def become(self, event: TransportEvent) -> FakeTransport:
        """Let the plane tell something of the transport."""
        transport = self.plane.only
        transport.tell(event)
        self.network.core.handle_timeout(self.now)
        self.settle()
        return transport

    def test_failed(self) -> None:
        """The call ends on both legs at once."""
        self.call()
        self.become(TransportEvent.FAILED)
        self.assertTrue(self.a.has(Ended) and self.browser.has(Ended))
        self.assertEqual(self.network.told(CallEnded)[-1].cause, "media-failed")
        self.assert_clean()

    def test_lost(self) -> None:
        """What does not come back within 15 s ends the call."""
        self.call()
        self.become(TransportEvent.CONNECTED)
        self.become(TransportEvent.LOST)
        self.network.advance(14.9)
        self.assertFalse(self.a.has(Ended))
        self.network.advance(0.2)
        self.assertTrue(self.a.has(Ended) and self.browser.has(Ended))
        self.assertEqual(self.network.told(CallEnded)[-1].cause, "media-lost")
        self.assert_clean()

    def test_revived(self) -> None:
        """What comes back is as if it had never been away."""
        self.call()
        self.become(TransportEvent.LOST)
        self.network.advance(10)
        self.become(TransportEvent.CONNECTED)
        self.network.advance(30)
        self.assertFalse(self.a.has(Ended))

    def test_failed_while_it_rings(self) -> None:
        """Early media that fail end the call as well."""
        self.browser.call("5555", web_sdp(), caller="1009")
        self.a.called.ring(183, self.now, sdp(codecs="0"))
        self.settle()
        self.become(TransportEvent.FAILED)
        self.assertTrue(self.browser.has(Ended))
        self.assert_clean()


class WebSocketTests(BrowserCase):
    """Pages that speak SIP over WebSocket, and phones that do."""

    transport = "WSS"

    def test_page_calls(self) -> None:
        """Its media are those of a browser."""
        self.browser.call("5555", web_sdp(), caller="1009")
        self.assertEqual(self.network.told(CallStarted)[-1].legs[0], "browser")

    def test_phone_calls(self) -> None:
        """Who offers plain RTP is a phone."""
        self.browser.call("5555", sdp(PHONE, 5000), caller="1009")
        self.a.called.answer(self.now, sdp())
        self.settle()
        self.assertEqual(self.network.told(CallStarted)[-1].legs[0], "phone")
        self.assertEqual(self.said_to_browser().media[0].line.protocol, "RTP/AVP")

    def test_page_is_called(self) -> None:
        """It is offered what browsers take."""
        self.a.call("1009", sdp())
        offer = described(self.browser.last(Invited).request)
        self.assertEqual(offer.media[0].line.protocol, "UDP/TLS/RTP/SAVPF")

    def test_without_web_media(self) -> None:
        """Where browsers are not served, it is a phone."""
        self.build(web=None)
        self.a.call("1009", sdp())
        offer = described(self.browser.last(Invited).request)
        self.assertEqual(offer.media[0].line.protocol, "RTP/AVP")
