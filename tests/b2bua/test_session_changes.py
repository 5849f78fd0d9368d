"""What becomes of media lines, codecs and addresses while third parties move a call about."""

from __future__ import annotations

from b2bua.call_events import CallHeld
from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings
from b2bua.sip.usage_events import Invited, OfferReceived
from tests.b2bua.network import OURS, PHONE, Ended, FakePlane, Peer, described, sdp
from tests.b2bua.test_server_dialogs import WireCase

VIDEO = "m=video {port} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"


def media_settings(codecs: str) -> MediaSettings:
    """Media with these codecs on both sides."""
    rules = CodecRules(codecs=parse_codec_list(codecs), transcoding=False)
    return MediaSettings(host=OURS, rules=rules)


def with_video(port: int = 41000, version: int = 1) -> bytes:
    """Audio and video of the server."""
    return sdp(version=version) + VIDEO.format(port=port).encode()


class VideoTests(WireCase):
    """Calls with two media."""

    def setUp(self) -> None:
        self.build(media=media_settings("(pcmu,pcma,vp8=100)"))

    def answer_with_video(self) -> None:
        """The phone takes both."""
        self.phone.called.answer(self.now, sdp(PHONE, 5000) + VIDEO.format(port=5002).encode())
        self.settle()
        self.wire.acknowledge()

    def test_both_media(self) -> None:
        """Each medium has ends of its own, joined with those of its kind."""
        self.wire.invite(with_video())
        offer = described(self.phone.last(Invited).request)
        self.assertEqual([m.kind for m in offer.media], ["audio", "video"])
        self.answer_with_video()
        answer = described(self.wire.answers("INVITE")[-1])
        self.assertTrue(all(m.port for m in answer.media))
        self.assertEqual(
            self.remotes(),
            {("203.0.113.5", 40000), ("203.0.113.5", 41000), (PHONE, 5000), (PHONE, 5002)},
        )
        self.assertEqual(len(self.network.plane.joined), 2)

    def test_video_first(self) -> None:
        """The answer keeps the order of the offer, whatever order the other leg has."""
        head, mark, audio = sdp().partition(b"m=audio")
        self.wire.invite(head + VIDEO.format(port=41000).encode() + mark + audio)
        offer = described(self.phone.last(Invited).request)
        self.assertEqual([m.kind for m in offer.media], ["audio", "video"])
        self.phone.called.answer(self.now, sdp(PHONE, 5000) + VIDEO.format(port=5002).encode())
        self.settle()
        answer = described(self.wire.answers("INVITE")[-1])
        self.assertEqual([m.kind for m in answer.media], ["video", "audio"])
        self.assertTrue(all(m.port for m in answer.media))

    def test_video_that_the_phone_refuses(self) -> None:
        """Port 0 for it in the answer, and the slot stays in every later description."""
        self.wire.invite(with_video())
        refused = sdp(PHONE, 5000) + VIDEO.format(port=0).encode()
        self.phone.called.answer(self.now, refused)
        self.settle()
        self.wire.acknowledge()
        answer = described(self.wire.answers("INVITE")[-1])
        self.assertEqual([m.port > 0 for m in answer.media], [True, False])
        again = self.wire.within("INVITE", 2)
        assert again is not None
        self.assertEqual([m.kind for m in described(again).media], ["audio", "video"])

    def test_slot_is_used_again(self) -> None:
        """Video that the server stopped by port 0 comes back in the same slot."""
        self.wire.invite(with_video())
        self.answer_with_video()
        stopped = self.wire.within("INVITE", 2, with_video(0, version=2))
        assert stopped is not None
        self.assertEqual([m.port > 0 for m in described(stopped).media], [True, False])
        self.wire.acknowledge(2)
        self.assertNotIn(("203.0.113.5", 41000), self.remotes())
        again = self.wire.within("INVITE", 3, with_video(43000, version=3))
        assert again is not None
        self.assertEqual([m.port > 0 for m in described(again).media], [True, True])
        self.wire.acknowledge(3)
        self.assertIn(("203.0.113.5", 43000), self.remotes())

    def test_hold_of_both_media(self) -> None:
        """A hold of one leg is a hold of every medium on the other."""
        self.wire.invite(with_video())
        self.answer_with_video()
        held = with_video(version=2).replace(b"sendrecv", b"sendonly") + b"a=sendonly\r\n"
        self.wire.within("INVITE", 2, held)
        offer = described(self.phone.last(OfferReceived).message)
        directions = [str(offer.direction_of(medium)) for medium in offer.media]
        self.assertEqual(directions, ["sendonly", "sendonly"])

    def test_another_party(self) -> None:
        """Another o= line is another party: it may have fewer slots than the one before."""
        self.wire.invite(with_video())
        self.answer_with_video()
        other = sdp("203.0.113.99", 47000).replace(b"o=peer 77", b"o=ring 4711")
        answer = self.wire.within("INVITE", 2, other)
        assert answer is not None
        self.assertEqual([m.kind for m in described(answer).media], ["audio"])
        self.wire.acknowledge(2)
        self.assertIn(("203.0.113.99", 47000), self.remotes())
        self.assertNotIn(("203.0.113.5", 41000), self.remotes())
        back = self.wire.within("INVITE", 3, with_video(version=4))
        self.assertEqual(back and back.status, 200)


class NoPortsTests(WireCase):
    """Video is added while no pair of ports is free."""

    def setUp(self) -> None:
        self.plane = FakePlane(pairs=2)
        self.build(media=media_settings("(pcmu,pcma,vp8=100)"), plane=self.plane)

    def test_video_is_refused(self) -> None:
        """The phone is not asked; the server's answer has audio as it was, and no video."""
        self.up()
        answer = self.wire.within("INVITE", 2, with_video(version=2))
        assert answer is not None
        self.assertEqual(answer.status, 200)
        self.assertEqual([m.port > 0 for m in described(answer).media], [True, False])
        self.assertFalse(self.phone.has(OfferReceived))
        self.assertEqual(len(self.plane.open_ends), 2)

    def test_later_changes(self) -> None:
        """A hold that follows reaches the phone, and so does video once ports are free."""
        self.up()
        self.wire.within("INVITE", 2, with_video(version=2))
        self.wire.acknowledge(2)
        held = with_video(0, version=3).replace(b"sendrecv", b"sendonly")
        answer = self.wire.within("INVITE", 3, held)
        self.assertEqual(answer and answer.status, 200)
        self.wire.acknowledge(3)
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual(str(offer.direction_of(offer.media[0])), "sendonly")
        self.plane._pairs = 4
        self.wire.within("INVITE", 4, with_video(version=4))
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual([m.kind for m in offer.media], ["audio", "video"])


class FewerCodecsTests(WireCase):
    """One peer gives up codecs that the other one may be sending."""

    def test_ack_names_fewer(self) -> None:
        """Who was called without an offer answers in ACK: the phone is offered what is left."""
        self.wire.invite(b"")
        self.phone.called.answer(self.now, sdp(PHONE, 5000, codecs="0 8"))
        self.settle()
        self.wire.acknowledge(1, sdp(codecs="8"))
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual(offer.media[0].line.formats, ("8",))

    def test_offer_names_fewer(self) -> None:
        """The same where a re-INVITE says so."""
        self.up(body=sdp(codecs="0 8"))
        self.wire.within("INVITE", 2, sdp(codecs="8", version=2))
        offer = described(self.phone.last(OfferReceived).message)
        self.assertEqual(offer.media[0].line.formats, ("8",))

    def test_nothing_is_given_up(self) -> None:
        """An ACK that names all that the phone may send changes nothing there."""
        self.wire.invite(b"")
        self.phone.called.answer(self.now, sdp(PHONE, 5000, codecs="8"))
        self.settle()
        self.wire.acknowledge(1, sdp(codecs="8"))
        self.assertEqual([e for e in self.phone.events if isinstance(e, OfferReceived)], [])


class DigitsTests(WireCase):
    """telephone-event, whose number each leg chooses for itself."""

    def test_numbers_differ(self) -> None:
        """126 on one leg and 101 on the other are translated both ways."""
        events = "a=rtpmap:{0} telephone-event/8000\r\na=fmtp:{0} 0-15\r\n"
        self.wire.invite(sdp(codecs="0 126", more=events.format(126)))
        self.phone.called.answer(
            self.now, sdp(PHONE, 5000, codecs="0 101", more=events.format(101))
        )
        self.settle()
        self.wire.acknowledge()
        terms = {t.remote: t.payload_types for t in self.network.plane.terms.values()}
        toward_phone = terms["203.0.113.5", 40000]
        toward_server = terms[PHONE, 5000]
        self.assertEqual(toward_phone[126], 101)
        offered = described(self.phone.last(Invited).request).media[0].line.formats[-1]
        self.assertEqual(toward_server[int(offered)], 126)

    def test_clock_rates(self) -> None:
        """With Opus there are digits at 48,000 Hz too, and each goes on at its own rate."""
        self.build(
            media=media_settings("(opus=111,pcmu,telephone-event=126)"),
        )
        more = (
            "a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
        )
        self.wire.invite(sdp(codecs="96 0 97 101", more=more))
        offered = described(self.phone.last(Invited).request).media[0]
        rates = sorted(
            int(m.clock_rate) for m in offered.rtpmaps.values() if m.encoding == "telephone-event"
        )
        self.assertEqual(rates, [8000, 48000])
        numbers = {(m.encoding, m.clock_rate): n for n, m in offered.rtpmaps.items()}
        back = (
            f"a=rtpmap:{numbers['opus', 48000]} opus/48000/2\r\n"
            f"a=rtpmap:{numbers['telephone-event', 48000]} telephone-event/48000\r\n"
        )
        codecs = f"{numbers['opus', 48000]} {numbers['telephone-event', 48000]}"
        self.phone.called.answer(self.now, sdp(PHONE, 5000, codecs=codecs, more=back))
        self.settle()
        self.wire.acknowledge()
        terms = {t.remote: t for t in self.network.plane.terms.values()}
        here = terms["203.0.113.5", 40000]
        self.assertEqual(here.payload_types[97], int(numbers["telephone-event", 48000]))
        self.assertEqual(here.clock_rates[97], 48000)


class QuickAnswerTests(WireCase):
    """What must not wait for the other leg."""

    def test_conference(self) -> None:
        """A re-INVITE toward a mixer is answered at once, whatever the phone is at."""
        self.up()
        self.network.after = lambda peer, event: None
        mixer = sdp("203.0.113.80", 48000).replace(b"o=peer 77", b"o=mixer 5")
        answer = self.wire.within("INVITE", 2, mixer.replace(b"sendrecv", b"sendonly"))
        self.assertEqual(answer and answer.status, 200)
        self.wire.acknowledge(2)
        answer = self.wire.within("INVITE", 3, mixer.replace(b"77 1", b"77 2"))
        self.assertEqual(answer and answer.status, 200)

    def test_both_legs_are_busy(self) -> None:
        """
        Changes that need the other leg, from both at once: one is refused with 491, the other
        goes through, and nothing is left open.
        """
        self.up(body=sdp(codecs="0"))
        usage = self.phone.called
        self.network.after = lambda peer, event: None
        self.wire.within("INVITE", 2, sdp(codecs="8", version=2))
        usage.modify(lambda: sdp(PHONE, 5000, codecs="8", version=9), self.now)
        self.settle()
        self.network.after = self.take_codec_8
        for event in [e for e in self.phone.events if isinstance(e, OfferReceived)]:
            event.usage.accept(sdp(PHONE, 5000, codecs="8", version=8), self.now)
            break
        self.settle()
        self.network.advance(10)
        final = [m for m in self.wire.answers("INVITE") if m.cseq.number == 2][-1]
        self.assertEqual(final.status, 200)
        self.assertEqual(described(final).media[0].line.formats[0], "8")
        self.assertFalse(self.phone.has(Ended))
        self.wire.acknowledge(2)
        self.assertEqual(self.wire.within("BYE", 3) is not None, True)
        self.assert_clean()

    def take_codec_8(self, peer: Peer, event: object) -> None:
        """The phone takes PCMA."""
        if isinstance(event, OfferReceived) and peer is self.phone:
            event.usage.accept(
                sdp(PHONE, 5000, codecs="8", version=len(self.network.trace)), self.now
            )


class CrossingHoldTests(WireCase):
    """Who holds ends it; the other's hold stays."""

    def direction_at_phone(self) -> str:
        """What the phone was offered last."""
        offer = described(self.phone.last(OfferReceived).message)
        return str(offer.direction_of(offer.media[0]))

    def test_each_ends_its_own(self) -> None:
        """The server holds, the phone holds, the server retrieves, the phone retrieves."""
        self.up()
        held = self.wire.within("INVITE", 2, sdp(direction="sendonly", version=2))
        self.wire.acknowledge(2)
        self.assertEqual(self.direction_at_phone(), "sendonly")
        usage = self.phone.called
        usage.modify(lambda: sdp(PHONE, 5000, direction="inactive", version=9), self.now)
        self.settle()
        ours = self.wire.asked("INVITE")[-1]
        description = described(ours)
        self.assertEqual(str(description.direction_of(description.media[0])), "inactive")
        assert held is not None
        self.wire.respond(ours, 200, "theirs", sdp(direction="inactive", version=3))
        self.assertTrue(self.wire.asked("ACK"))
        answer = self.wire.within("INVITE", 3, sdp(version=4))
        assert answer is not None
        answered = described(answer)
        self.assertEqual(str(answered.direction_of(answered.media[0])), "sendonly")
        self.wire.acknowledge(3)
        self.assertEqual(self.direction_at_phone(), "recvonly")
        usage.modify(lambda: sdp(PHONE, 5000, version=12), self.now)
        self.settle()
        ours = self.wire.asked("INVITE")[-1]
        description = described(ours)
        self.assertEqual(str(description.direction_of(description.media[0])), "sendrecv")


class FamilyTests(WireCase):
    """Addresses of a family that our RTP sockets do not have."""

    OTHER = sdp(version=2).replace(b"c=IN IP4 203.0.113.5", b"c=IN IP6 2001:db8::5")

    def test_offer(self) -> None:
        """An offer that nothing could be sent to is 488, with the warning that says so."""
        self.wire.invite(self.OTHER)
        refusal = self.wire.answers("INVITE")[-1]
        self.assertEqual(refusal.status, 488)
        self.assertTrue((refusal.get("Warning") or "").startswith("301 "))
        self.assertEqual(self.sent(PHONE), [])

    def test_change(self) -> None:
        """In a call it is refused too, and the session is as before."""
        self.up()
        before = self.remotes()
        answer = self.wire.within("INVITE", 2, self.OTHER)
        self.assertEqual(answer and answer.status, 488)
        self.assertEqual(self.remotes(), before)
        answer = self.wire.within("INVITE", 3, sdp(port=45000, version=3))
        self.assertEqual(answer and answer.status, 200)


class WorkedHoldTests(WireCase):
    """NOTIFY hold whose re-INVITE comes to nothing."""

    def notify(self, event: str, sequence: int) -> int:
        """Send a NOTIFY in the call; give the status."""
        headers = (("Event", event), ("Subscription-State", "active"))
        answer = self.wire.within("NOTIFY", sequence, headers=headers)
        return answer.status if answer else 0

    def direction_at_phone(self) -> str:
        """What the phone was offered last."""
        offer = described(self.phone.last(OfferReceived).message)
        return str(offer.direction_of(offer.media[0]))

    def test_server_refuses(self) -> None:
        """The server refuses our hold: the phone is taken off it too, and the next one is tried."""
        self.up()
        self.assertEqual(self.notify("hold", 2), 200)
        self.assertEqual(self.direction_at_phone(), "sendonly")
        self.wire.respond(self.wire.asked("INVITE")[-1], 488, "theirs")
        self.assertEqual(self.direction_at_phone(), "sendrecv")
        self.assertEqual([e.held for e in self.network.told(CallHeld)], [True, False])
        self.assertEqual(self.notify("hold", 3), 200)
        invite = self.wire.asked("INVITE")[-1]
        self.wire.respond(invite, 200, "theirs", sdp(direction="recvonly", version=2))
        self.assertEqual(self.direction_at_phone(), "sendonly")

    def test_server_refuses_to_retrieve(self) -> None:
        """The server refuses to go on: the phone stays on hold, and talk is tried again."""
        self.up()
        self.notify("hold", 2)
        invite = self.wire.asked("INVITE")[-1]
        self.wire.respond(invite, 200, "theirs", sdp(direction="recvonly", version=2))
        self.notify("talk", 3)
        self.wire.respond(self.wire.asked("INVITE")[-1], 488, "theirs")
        self.assertEqual(self.direction_at_phone(), "sendonly")
        before = len(self.wire.asked("INVITE"))
        self.notify("talk", 4)
        self.assertEqual(len(self.wire.asked("INVITE")), before + 1)

    def test_refusal_of_the_phones_own_change(self) -> None:
        """A hold waits while a change of the phone is open, and outlives that change's refusal."""
        self.up(body=sdp(codecs="0"))
        usage = self.phone.called
        usage.modify(lambda: sdp(PHONE, 5000, codecs="8", version=9), self.now)
        self.settle()
        ours = self.wire.asked("INVITE")[-1]
        self.assertEqual(described(ours).media[0].line.formats[0], "8")
        self.assertEqual(self.notify("hold", 2), 200)
        self.wire.respond(ours, 488, "theirs")
        self.assertIn("488 INVITE", self.sent(PHONE))
        self.network.advance(5)
        self.assertEqual(self.direction_at_phone(), "sendonly")
        held = described(self.wire.asked("INVITE")[-1])
        self.assertEqual(str(held.direction_of(held.media[0])), "sendonly")

    def test_servers_own_hold_stays(self) -> None:
        """The server holds by re-INVITE and by NOTIFY: each is ended for itself."""
        self.up()
        self.notify("hold", 2)
        invite = self.wire.asked("INVITE")[-1]
        self.wire.respond(invite, 200, "theirs", sdp(direction="recvonly", version=2))
        self.wire.within("INVITE", 3, sdp(direction="inactive", version=3))
        self.wire.acknowledge(3)
        self.notify("talk", 4)
        invite = self.wire.asked("INVITE")[-1]
        offer = described(invite)
        self.assertEqual(str(offer.direction_of(offer.media[0])), "recvonly")
        self.wire.respond(invite, 200, "theirs", sdp(direction="inactive", version=4))
        self.assertEqual(self.direction_at_phone(), "sendonly")
        self.wire.within("INVITE", 5, sdp(version=5))
        self.assertEqual(self.direction_at_phone(), "sendrecv")


class SlowPhoneTests(WireCase):
    """Changes that come faster than the phone can follow."""

    def up_with_slow_phone(self) -> None:
        """A call with a phone that answers offers when it is told to."""
        self.up()
        self.network.after = lambda peer, event: None

    def phone_answers(self) -> str:
        """The phone takes the latest offer; give the direction that it had."""
        event = self.phone.last(OfferReceived)
        offer = described(event.message)
        direction = offer.direction_of(offer.media[0])
        version = len(self.network.trace)
        body = sdp(PHONE, 5000, direction=direction.reversed, version=version)
        event.usage.accept(body, self.now)
        self.settle()
        return str(direction)

    def test_hold_and_retrieve(self) -> None:
        """The retrieve waits for the phone's answer to the hold, and is offered then."""
        self.up_with_slow_phone()
        self.wire.within("INVITE", 2, sdp(direction="sendonly", version=2))
        self.wire.acknowledge(2)
        self.wire.within("INVITE", 3, sdp(version=3))
        self.wire.acknowledge(3)
        self.assertEqual(self.phone_answers(), "sendonly")
        self.assertEqual(self.phone_answers(), "sendrecv")
        self.assertFalse(self.phone.has(Ended))
        self.assertTrue(all(t.sends for t in self.network.plane.terms.values()))

    def test_refused_hold_and_retrieve(self) -> None:
        """The same where the phone refuses the hold."""
        self.up_with_slow_phone()
        self.wire.within("INVITE", 2, sdp(direction="sendonly", version=2))
        self.wire.acknowledge(2)
        self.wire.within("INVITE", 3, sdp(version=3))
        self.wire.acknowledge(3)
        self.phone.called.refuse(488, self.now)
        self.settle()
        self.assertEqual(self.phone_answers(), "sendrecv")
        self.assertFalse(self.phone.has(Ended))

    def test_six_changes(self) -> None:
        """Of many holds and retrieves the last counts."""
        self.up_with_slow_phone()
        for sequence in range(2, 9):
            direction = "sendonly" if sequence % 2 else "sendrecv"
            answer = self.wire.within(
                "INVITE", sequence, sdp(direction=direction, version=sequence)
            )
            self.assertEqual(answer and answer.status, 200)
            self.wire.acknowledge(sequence)
        for _ in range(4):
            offers = len([e for e in self.phone.events if isinstance(e, OfferReceived)])
            last = self.phone_answers()
            if offers == len([e for e in self.phone.events if isinstance(e, OfferReceived)]):
                break
        self.assertEqual(last, "sendrecv")
        self.assertFalse(self.phone.has(Ended))
