"""Calls of browsers: how they begin, change and end."""

from __future__ import annotations

from b2bua.call_events import CallEnded, CallStarted
from b2bua.media_plane import TransportEvent
from b2bua.media_watch import PAUSE
from b2bua.sip.usage_events import Invited, OfferReceived
from b2bua.transport_owner import owner_of
from tests.b2bua.browsers import PAGE, BrowserCase, page_answer, web_sdp
from tests.b2bua.network import PHONE, SERVER_A, Ended, Established, described, sdp
from tests.b2bua.web_plane import FakeTransport

VIDEO = "m=video 41000 RTP/AVP 100\r\na=rtpmap:100 VP8/90000\r\n"


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
        refusal = self.last_to(PAGE, "488 INVITE")
        self.assertIn("media", refusal.get("Warning") or "")

    def test_without_keys(self) -> None:
        """488, with words."""
        offer = b"".join(
            line
            for line in web_sdp().splitlines(keepends=True)
            if not line.startswith(b"a=fingerprint")
        )
        self.browser.call("5555", offer, caller="1009")
        refusal = self.last_to(PAGE, "488 INVITE")
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


class OfferlessTests(TwoPartyCase):
    """Third parties ask for offers (RFC 3725)."""

    def test_browser_is_called(self) -> None:
        """It is offered all that it may have; the server chooses from its answer."""
        usage = self.a.call("1009")
        offer = described(self.browser.last(Invited).request)
        self.assertEqual([m.kind for m in offer.media], ["audio", "video"])
        answer = page_answer("audio", "video", version=1).replace(b"m=video 9 ", b"m=video 0 ")
        self.browser.called.answer(self.now, answer.replace(b"BUNDLE 0 1", b"BUNDLE 0"))
        self.settle()
        given = self.said_to(SERVER_A)
        self.assertEqual([m.kind for m in given.media], ["audio"])
        self.assertEqual(given.media[0].line.formats[:2], ("0", "8"))
        usage.accept(sdp(codecs="8"), self.now)
        self.settle()
        self.assertEqual(len(self.plane.joined), 1)
        # It may have sent either codec by its own answer.
        again = described(self.browser.last(OfferReceived).message)
        self.assertEqual(again.media[0].line.formats, ("8",))

    def test_browser_calls(self) -> None:
        """A browser without an offer is given one, and answers it in its ACK."""
        usage = self.browser.call("5555", b"", caller="1009")
        self.a.called.answer(self.now, sdp(codecs="0 8"))
        self.settle()
        given = self.said_to_browser()
        self.assertEqual(str(given.media[0].setup), "actpass")
        self.assertTrue(self.plane.only.controlling)
        usage.accept(page_answer("audio", version=1), self.now)
        self.settle()
        self.assertEqual(self.plane.only.remote.ufrag, "page")
        self.assertEqual(len(self.plane.joined), 1)


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

    def test_whose(self) -> None:
        """The plane's transports are known by call, number and the page's address."""
        self.call()
        [handle] = self.plane.transports
        calls = self.network.core.calls
        owner = owner_of(calls, handle)
        self.assertEqual([owner.call] if owner else [], [call.id for call in calls])
        self.assertEqual(owner and (owner.number, owner.host), ("1009", PAGE))
        self.assertIsNone(owner_of(calls, handle + 1))
        self.become(TransportEvent.FAILED)
        self.assertIsNone(owner_of(calls, handle))

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

    def test_restart_is_offered(self) -> None:
        """A browser whose media are lost is offered new credentials, and may come back by them."""
        self.call()
        before = self.said_to_browser().media[0].attribute("ice-ufrag")
        self.become(TransportEvent.LOST)
        self.assertFalse(self.browser.has(OfferReceived))
        self.network.advance(PAUSE)
        offer = described(self.browser.last(OfferReceived).message)
        self.assertNotEqual(offer.media[0].attribute("ice-ufrag"), before)
        answer = web_sdp(version=2, ufrag="back", setup="active", codecs="0 8")
        self.browser.last(OfferReceived).usage.accept(answer, self.now)
        self.settle()
        self.assertEqual(self.plane.only.remote.ufrag, "back")
        self.become(TransportEvent.CONNECTED)
        self.network.advance(30)
        self.assertFalse(self.a.has(Ended))

    def test_hangs_up(self) -> None:
        """A browser that closes its transport, and then the call, is offered nothing between."""
        self.call()
        self.become(TransportEvent.LOST)
        self.network.advance(PAUSE - 0.1)
        self.browser.last(Established).usage.bye(self.now)
        self.settle()
        self.network.advance(30)
        self.assertFalse(self.browser.has(OfferReceived))
        self.assert_clean()

    def test_restart_is_refused(self) -> None:
        """Who does not want it has no more time than others."""
        self.call()
        self.become(TransportEvent.LOST)
        self.network.advance(PAUSE)
        self.browser.last(OfferReceived).usage.refuse(488, self.now)
        self.settle()
        self.assertFalse(self.a.has(Ended))
        self.network.advance(16)
        self.assertTrue(self.a.has(Ended))
        self.assert_clean()

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


class ChangeTests(TwoPartyCase):
    """What changes on one leg, and what the other hears of it."""

    def setUp(self) -> None:
        super().setUp()
        self.call()
        self.usage = self.browser.last(Established).usage
        self.network.trace.clear()

    def browser_offers(self, offer: bytes) -> None:
        """A re-INVITE of the browser."""
        self.usage.modify(lambda: offer, self.now)
        self.settle()

    def server_offers(self, offer: bytes) -> None:
        """A re-INVITE of the server."""
        self.a.called.modify(lambda: offer, self.now)
        self.settle()

    def test_browser_adds_video(self) -> None:
        """The server is asked first, and the browser has its answer then."""
        self.browser_offers(web_sdp("audio", "video", version=2))
        asked = described(self.a.last(OfferReceived).message)
        self.assertEqual([m.kind for m in asked.media], ["audio", "video"])
        self.assertEqual(asked.media[0].line.formats[:2], ("0", "8"))
        self.assertNotIn("200 INVITE", self.sent(PAGE))
        self.a.called.accept(sdp(codecs="0 8", version=2, more=VIDEO), self.now)
        self.settle()
        answer = described(self.last_to(PAGE, "200 INVITE"))
        self.assertEqual([m.port > 0 for m in answer.media], [True, True])
        self.assertEqual(answer.attributes("group"), ["BUNDLE 0 1"])
        self.assertEqual(len(self.plane.joined), 2)
        self.assertEqual(len(self.plane.transports), 1)

    def test_server_refuses_video(self) -> None:
        """Audio stays as it is."""
        self.browser_offers(web_sdp("audio", "video", version=2))
        self.a.called.refuse(488, self.now)
        self.settle()
        answer = described(self.last_to(PAGE, "200 INVITE"))
        self.assertEqual([m.port > 0 for m in answer.media], [True, False])
        self.assertEqual(answer.attributes("group"), ["BUNDLE 0"])
        terms = self.plane.terms[self.plane.joined[0][0]]
        self.assertTrue(terms.sends and terms.receives)

    def test_refused_video_is_not_asked_for_again(self) -> None:
        """A hold with the same media is answered at once."""
        self.test_server_refuses_video()
        self.network.trace.clear()
        held = web_sdp("audio", "video", version=3, direction="inactive")
        self.browser_offers(held)
        answer = described(self.last_to(PAGE, "200 INVITE"))
        self.assertEqual([m.port > 0 for m in answer.media], [True, False])

    def test_server_adds_video(self) -> None:
        """The browser is asked first: a medium that shares the transport by bundle."""
        self.server_offers(sdp(codecs="0 8", version=2, more=VIDEO))
        asked = described(self.browser.last(OfferReceived).message)
        self.assertEqual([m.kind for m in asked.media], ["audio", "video"])
        self.assertEqual([m.port > 0 for m in asked.media], [True, False])
        self.assertTrue(asked.media[1].has("bundle-only"))
        self.assertEqual(asked.attributes("group"), ["BUNDLE 0 1"])
        answer = web_sdp("audio", "video", version=2, setup="active", codecs="0 8")
        self.usage.accept(
            answer.replace(b" 96 97\r\n", b" 100\r\n").replace(b":96", b":100"), self.now
        )
        self.settle()
        answer = described(self.last_to(SERVER_A, "200 INVITE"))
        self.assertEqual([m.port > 0 for m in answer.media], [True, True])

    def test_hold(self) -> None:
        """The browser holds: no restart, no new transport, and the server hears of it."""
        self.browser_offers(web_sdp(version=2, direction="inactive"))
        answer = described(self.last_to(PAGE, "200 INVITE"))
        self.assertEqual(str(answer.media[0].direction), "inactive")
        self.assertEqual(self.plane.only.generation, 1)
        self.assertEqual(len(self.plane.only.remotes), 1)
        offer = described(self.a.last(OfferReceived).message)
        self.assertEqual(str(offer.media[0].direction), "sendonly")

    def test_held_by_the_server(self) -> None:
        """The browser is put on hold, by an offer with the same transport."""
        self.server_offers(sdp(codecs="0 8", version=2, direction="sendonly"))
        offer = described(self.browser.last(OfferReceived).message)
        self.assertEqual(str(offer.media[0].direction), "sendonly")
        before = self.said_to_browser().media[0]
        self.assertEqual(before.attribute("ice-ufrag"), offer.media[0].attribute("ice-ufrag"))

    def test_restart(self) -> None:
        """New credentials are answered with new ones; the role stays."""
        self.browser_offers(web_sdp(version=2, ufrag="anew"))
        transport = self.plane.only
        self.assertEqual(transport.generation, 2)
        self.assertEqual(transport.remote.ufrag, "anew")
        answer = described(self.last_to(PAGE, "200 INVITE"))
        self.assertIn("g2", answer.media[0].attribute("ice-ufrag") or "")
        self.assertEqual(str(answer.media[0].setup), "passive")

    def test_transfer(self) -> None:
        """Another address on the server's side is nothing to the browser."""
        self.server_offers(sdp("203.0.113.99", 47000, codecs="0 8", version=2))
        self.assertEqual(self.sent(PAGE), [])

    def test_offerless_transfer(self) -> None:
        """An offer is given from what the browser has; the answer moves media, and that is all."""
        self.a.called.modify(None, self.now)
        self.settle()
        offer = described(self.a.last(OfferReceived).message)
        self.assertEqual(offer.media[0].line.formats[:2], ("0", "8"))
        self.a.called.accept(sdp("203.0.113.99", 47000, codecs="0 8", version=2), self.now)
        self.settle()
        self.assertIn(("203.0.113.99", 47000), {t.remote for t in self.plane.terms.values()})
        self.assertEqual(self.sent(PAGE), [])

    def test_transfer_to_fewer_codecs(self) -> None:
        """The browser is offered what is left, for it may send any codec that was agreed."""
        self.server_offers(sdp(codecs="8", version=2))
        self.assertIn("200 INVITE", self.sent(SERVER_A))
        offer = described(self.browser.last(OfferReceived).message)
        self.assertEqual(offer.media[0].line.formats[0], "8")
        self.assertNotIn("0", offer.media[0].line.formats)

    def test_video_goes_and_comes(self) -> None:
        """A party without video lets the browser's rest; the next one with it brings it back."""
        self.test_browser_adds_video()
        self.server_offers(sdp(codecs="0 8", version=3, more=VIDEO.replace("41000", "0")))
        offer = described(self.browser.last(OfferReceived).message)
        self.assertEqual([str(m.direction) for m in offer.media], ["sendrecv", "inactive"])
        self.assertTrue(offer.media[1].port)
        resting = page_answer("audio", "video", version=3)
        head, mark, video = resting.partition(b"m=video")
        self.usage.accept(head + mark + video.replace(b"sendrecv", b"inactive"), self.now)
        self.settle()
        self.server_offers(sdp(codecs="0 8", version=4, more=VIDEO))
        self.assertEqual([m.port > 0 for m in self.said_to(SERVER_A).media], [True, True])
        offer = described(self.browser.last(OfferReceived).message)
        self.assertEqual([str(m.direction) for m in offer.media], ["sendrecv", "sendrecv"])
