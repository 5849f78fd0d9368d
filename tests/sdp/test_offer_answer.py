"""Tests of offers and answers on one leg."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.compose import Medium, compose_answer, compose_offer, compose_refresh, profile
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import Format, formats_of
from b2bua.sdp.hold import Hold
from b2bua.sdp.lines import Origin
from b2bua.sdp.offer_answer import OfferAnswer, Turn, WrongTurn
from tests.sdp import samples
from tests.sdp.samples import audio

ORIGIN = Origin("-", 7000, 100, "IP4", "203.0.113.1")
PCMU, VP8 = Format(0, "PCMU", 8000), Format(96, "VP8", 90000)
DIGITS = Format(101, "telephone-event", 8000, 1, "0-15")


def sound(direction: Direction = Direction.SENDRECV, port: int = 9000) -> Medium:
    """Return an audio medium of ours."""
    return Medium(kind="audio", port=port, formats=(PCMU, DIGITS), direction=direction)


def picture() -> Medium:
    """Return a video medium of ours."""
    return Medium(kind="video", port=9002, formats=(VP8,))


def ours(*media: Medium | None, before: SessionDescription | None = None) -> SessionDescription:
    """Return an offer of ours."""
    return compose_offer("203.0.113.1", media, before)


def answering(offer: SessionDescription, *media: Medium | None) -> SessionDescription:
    """Return an answer of ours."""
    return compose_answer("203.0.113.1", offer, media)


def agreed_machine() -> OfferAnswer:
    """Return a machine with one audio medium agreed, offered by us."""
    machine = OfferAnswer(ORIGIN)
    machine.send_offer(ours(sound()))
    machine.receive_answer(audio())
    return machine


class ComposeTests(SynchronousTestCase):
    """Descriptions of our own."""

    def test_offer_text(self) -> None:
        """What a phone gets to read."""
        medium = Medium(
            kind="video",
            port=9002,
            formats=(Format(96, "VP8", 90000, 1, "max-fs=99", ("nack",)),),
            protocol=profile(feedback=True),
            bandwidth="AS:500",
            attributes=(("rtcp-mux", ""), ("mid", "1")),
        )
        text = compose_offer("2001:db8::1", [sound(Direction.SENDONLY), medium])
        self.assertEqual(
            str(text),
            samples.sdp(
                "v=0",
                "o=- 0 0 IN IP4 0.0.0.0",
                "s=-",
                "c=IN IP6 2001:db8::1",
                "t=0 0",
                "m=audio 9000 RTP/AVP 0 101",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
                "a=sendonly",
                "m=video 9002 RTP/AVPF 96",
                "b=AS:500",
                "a=rtpmap:96 VP8/90000",
                "a=fmtp:96 max-fs=99",
                "a=rtcp-fb:96 nack",
                "a=sendrecv",
                "a=rtcp-mux",
                "a=mid:1",
            ),
        )
        self.assertEqual(parse(text.render()), text)

    def test_profiles(self) -> None:
        """The protocol says how media are protected and whether feedback goes at once."""
        self.assertEqual(profile(), "RTP/AVP")
        self.assertEqual(profile(sdes=True), "RTP/SAVP")
        self.assertEqual(profile(dtls=True, feedback=True), "UDP/TLS/RTP/SAVPF")

    def test_slots_stay(self) -> None:
        """A medium that is not wanted any more keeps its slot, with port 0."""
        before = ours(sound(), picture())
        for media in ((sound(),), (sound(), None)):
            offer = ours(*media, before=before)
            self.assertEqual([m.kind for m in offer.media], ["audio", "video"])
            self.assertEqual(offer.media[1].lines, ("m=video 0 RTP/AVP 96",))
        again = ours(sound(), picture(), before=offer)
        self.assertEqual(again.media[1].port, 9002)
        self.assertRaises(ValueError, ours, sound(), None)

    def test_answer_follows_the_offer(self) -> None:
        """Protocol, kind and mid are the offer's; what is not taken keeps its slot."""
        offer = parse(samples.CHROMIUM)
        opus = replace(sound(), formats=(Format(111, "opus", 48000, 2),))
        answer = answering(offer, opus, None)
        self.assertEqual(answer.media[0].line.protocol, "UDP/TLS/RTP/SAVPF")
        self.assertEqual([m.mid for m in answer.media], ["0", "1"])
        self.assertEqual([m.rejected for m in answer.media], [False, True])
        self.assertRaises(ValueError, answering, offer, opus)

    def test_slot_that_was_not_offered(self) -> None:
        """A slot with port 0 is answered with port 0, whatever we have for it."""
        answer = answering(parse(samples.BARESIP), sound(), picture())
        self.assertTrue(answer.media[1].rejected)

    def test_nothing_left(self) -> None:
        """An answer that takes nothing is a 488 with a warning instead."""
        problem = self.assertRaises(SdpError, answering, parse(samples.SIPP), None)
        self.assertEqual((problem.status, problem.warning), (488, 305))
        self.assertEqual(answering(audio(port=0), None).media[0].port, 0)

    def test_refresh_of_a_wide_offer(self) -> None:
        """What we said as an offer is narrowed to an answer: formats, direction, DTLS role."""
        local = parse(samples.CHROMIUM)
        audio_line, video_line = local.media
        narrow = audio_line.with_line(replace(audio_line.line, formats=("111", "126")))
        theirs = local.with_media(
            [
                narrow.with_attributes("sendrecv", []).with_attributes("recvonly", [""])
                .with_attributes("setup", ["active"]),
                video_line.with_line(replace(video_line.line, port=0)),
            ]
        )  # fmt: skip
        answer = compose_refresh(local, theirs)
        first, second = answer.media
        self.assertEqual([f.payload_type for f in formats_of(first)], [111, 126])
        self.assertFalse([line for line in first.lines if ":63 " in line])
        self.assertEqual(first.attribute("setup"), "passive")
        self.assertEqual(first.direction, Direction.SENDONLY)
        self.assertTrue(second.rejected)
        self.assertEqual(compose_refresh(answer, theirs), answer)


class TurnTests(SynchronousTestCase):
    """One offer at a time."""

    def test_our_offer(self) -> None:
        """An offer is open until it is answered."""
        machine = OfferAnswer(ORIGIN)
        offer = machine.send_offer(ours(sound()))
        self.assertEqual((machine.turn, machine.offer, machine.local), (Turn.OFFERED, offer, None))
        machine.receive_answer(audio())
        self.assertEqual((machine.turn, machine.offer), (Turn.AGREED, None))
        self.assertEqual((machine.local, machine.remote), (offer, audio()))
        self.assertEqual(machine.directions, ("sendrecv",))

    def test_their_offer(self) -> None:
        """So is theirs."""
        machine = OfferAnswer(ORIGIN)
        machine.receive_offer(audio("sendonly"))
        self.assertEqual(machine.turn, Turn.ASKED)
        machine.send_answer(answering(audio("sendonly"), sound(Direction.RECVONLY)))
        self.assertEqual((machine.turn, machine.directions), (Turn.AGREED, ("recvonly",)))

    def test_glare(self) -> None:
        """Their offer while ours is open is a 491, a second of theirs a 500; nothing changes."""
        machine = agreed_machine()
        machine.send_offer(ours(sound(Direction.SENDONLY)))
        problem = self.assertRaises(SdpError, machine.receive_offer, audio())
        self.assertEqual((problem.reason, problem.status), ("pending", 491))
        self.assertEqual(machine.turn, Turn.OFFERED)
        machine.roll_back()
        machine.receive_offer(audio())
        problem = self.assertRaises(SdpError, machine.receive_offer, audio())
        self.assertEqual((problem.reason, problem.status), ("unanswered", 500))

    def test_answer_without_an_offer(self) -> None:
        """Nobody asked; but the answer that was taken may come again."""
        problem = self.assertRaises(SdpError, OfferAnswer(ORIGIN).receive_answer, audio())
        self.assertEqual(problem.reason, "unasked")
        machine = agreed_machine()
        machine.receive_answer(audio())
        self.assertRaises(SdpError, machine.receive_answer, audio("sendonly"))
        machine.receive_offer(audio(version=2))
        self.assertRaises(SdpError, machine.receive_answer, audio())

    def test_our_own_faults(self) -> None:
        """We neither answer what nobody asked nor offer twice; the peer hears nothing of it."""
        machine = OfferAnswer(ORIGIN)
        self.assertRaises(WrongTurn, machine.send_answer, ours(sound()))
        machine.send_offer(ours(sound()))
        for verb in (machine.send_offer, machine.send_answer):
            self.assertRaises(WrongTurn, verb, ours(sound()))
        machine.roll_back()
        machine.receive_offer(audio())
        self.assertRaises(WrongTurn, machine.send_offer, ours(sound()))

    def test_roll_back(self) -> None:
        """A failure leaves what was agreed before, or nothing where nothing was."""
        machine = OfferAnswer(ORIGIN)
        machine.receive_offer(audio())
        machine.roll_back()
        self.assertEqual((machine.turn, machine.offer), (Turn.IDLE, None))
        machine = agreed_machine()
        local, remote = machine.local, machine.remote
        machine.roll_back()
        machine.send_offer(ours(sound(Direction.SENDONLY), picture()), holding=True)
        machine.roll_back()
        self.assertEqual((machine.local, machine.remote), (local, remote))
        self.assertEqual((machine.turn, machine.hold), (Turn.AGREED, Hold()))

    def test_offer_they_asked_for(self) -> None:
        """An offerless re-INVITE gets a full offer, and the answer comes with the ACK."""
        machine = OfferAnswer(ORIGIN)
        machine.receive_offer(parse(samples.GENESYS_HOLD))
        held = answering(parse(samples.GENESYS_HOLD), sound(Direction.RECVONLY))
        machine.send_answer(held)
        self.assertEqual(machine.hold, Hold(by_them=True))
        full = sound(machine.hold.solicited())
        machine.send_offer(ours(full, before=machine.local))
        machine.receive_answer(parse(samples.GENESYS))
        self.assertEqual((machine.hold, machine.directions), (Hold(), ("sendrecv",)))

    def test_early_answer(self) -> None:
        """An unreliable provisional answer is looked at and does not close the offer."""
        machine = OfferAnswer(ORIGIN)
        machine.send_offer(ours(sound()))
        machine.check_answer(audio(port=7000))
        self.assertRaises(SdpError, machine.check_answer, parse(samples.CHROMIUM))
        self.assertEqual(machine.turn, Turn.OFFERED)
        machine.receive_answer(audio())
        self.assertRaises(SdpError, machine.check_answer, audio())

    def test_fork(self) -> None:
        """Every early dialog answers the same offer by itself."""
        machine = OfferAnswer(ORIGIN)
        machine.send_offer(ours(sound()))
        other = machine.fork()
        machine.receive_answer(audio())
        self.assertEqual((machine.turn, other.turn), (Turn.AGREED, Turn.OFFERED))
        other.receive_answer(audio("sendonly"))
        self.assertEqual((machine.hold, other.hold), (Hold(), Hold(by_them=True)))


class VersionTests(SynchronousTestCase):
    """Our o= line."""

    def versions(self, machine: OfferAnswer, *offers: SessionDescription) -> list[int]:
        """Return the versions under which offers go out, each answered."""
        found = []
        for offer in offers:
            sent = machine.send_offer(offer)
            self.assertEqual(replace(sent.origin, session_version=100), ORIGIN)
            found.append(sent.origin.session_version)
            machine.receive_answer(audio("sendonly", version=found[-1]))
        return found

    def test_counts_changes_only(self) -> None:
        """One more for each change; the same where nothing changed."""
        talk, hold = ours(sound()), ours(sound(Direction.SENDONLY))
        machine = OfferAnswer(ORIGIN)
        self.assertEqual(
            self.versions(machine, talk, talk, hold, hold, talk, ours(sound(port=9100))),
            [100, 100, 101, 101, 102, 103],
        )

    def test_answers_count_too(self) -> None:
        """An answer that says what we said last has its version."""
        machine = agreed_machine()
        machine.receive_offer(audio(version=2))
        same = machine.send_answer(answering(audio(), sound()))
        self.assertEqual(same.origin.session_version, 100)
        machine.receive_offer(audio("sendonly", version=3))
        other = machine.send_answer(answering(audio("sendonly"), sound(Direction.RECVONLY)))
        self.assertEqual(other.origin.session_version, 101)

    def test_after_a_failure(self) -> None:
        """A version that was refused is never used for something else."""
        machine = agreed_machine()
        hold = ours(sound(Direction.SENDONLY))
        self.assertEqual(machine.send_offer(hold).origin.session_version, 101)
        machine.roll_back()
        self.assertEqual(machine.send_offer(hold).origin.session_version, 101)
        machine.roll_back()
        other = machine.send_offer(ours(sound(port=9100)))
        self.assertEqual(other.origin.session_version, 102)
        machine.roll_back()
        self.assertEqual(machine.send_offer(ours(sound())).origin.session_version, 100)

    def test_refresh(self) -> None:
        """Their description again, o= line and all, changes nothing; the answer is the same."""
        machine = agreed_machine()
        machine.receive_offer(audio())
        self.assertTrue(machine.refresh)
        assert machine.local is not None and machine.offer is not None
        before = machine.local
        self.assertEqual(machine.send_answer(compose_refresh(before, machine.offer)), before)
        machine.receive_offer(audio(version=2))
        self.assertFalse(machine.refresh)
        machine.roll_back()
        self.assertFalse(machine.refresh)


class SlotTests(SynchronousTestCase):
    """Media lines keep their place."""

    def test_our_offers(self) -> None:
        """We never drop a slot or put one in use to another use."""
        machine = OfferAnswer(ORIGIN)
        machine.send_offer(ours(sound(), picture()))
        both = parse(str(audio()) + samples.sdp("m=video 7000 RTP/AVP 96", "a=rtpmap:96 VP8/90000"))
        machine.receive_answer(both)
        for offer in (ours(sound()), ours(picture(), sound())):
            self.assertRaises(ValueError, machine.send_offer, offer)
        machine.send_offer(ours(sound(), None, before=machine.local))

    def test_rejected_slot_may_be_used_anew(self) -> None:
        """A slot that one side closed may carry another kind of medium."""
        machine = OfferAnswer(ORIGIN)
        machine.send_offer(ours(sound(), picture()))
        machine.receive_answer(parse(str(audio()) + samples.sdp("m=video 0 RTP/AVP 96")))
        self.assertEqual(machine.directions, ("sendrecv", "inactive"))
        machine.send_offer(ours(sound(), sound(port=9100)))

    def test_their_offers(self) -> None:
        """They may not drop a slot either; another party behind the dialog starts anew."""
        machine = OfferAnswer(ORIGIN)
        both = parse(str(audio()) + samples.sdp("m=video 7000 RTP/AVP 96", "a=rtpmap:96 VP8/90000"))
        machine.receive_offer(both)
        machine.send_answer(answering(both, sound(), picture()))
        problem = self.assertRaises(SdpError, machine.receive_offer, audio(version=2))
        self.assertEqual((problem.reason, problem.status), ("mismatch", 488))
        self.assertEqual(machine.turn, Turn.AGREED)
        other = audio(session=99)
        machine.receive_offer(other)
        machine.send_answer(answering(other, sound()))
        self.assertEqual(machine.directions, ("sendrecv",))

    def test_their_answers(self) -> None:
        """An answer has our slots, our kinds, protection and at least one of our codecs."""
        machine = OfferAnswer(ORIGIN)
        machine.send_offer(ours(sound()))
        plain = str(audio())
        for text, reason in (
            (plain + samples.sdp("m=video 0 RTP/AVP 96"), "mismatch"),
            (plain.split("m=")[0], "mismatch"),
            (plain.replace("m=audio", "m=video"), "mismatch"),
            (plain.replace("RTP/AVP", "RTP/SAVP"), "mismatch"),
            (plain.replace("RTP/AVP", "udptl"), "mismatch"),
            (plain.replace("RTP/AVP 0 8 101", "RTP/AVP 8"), "media"),
        ):
            problem = self.assertRaises(SdpError, machine.receive_answer, parse(text))
            self.assertEqual(problem.reason, reason)
            self.assertEqual(machine.turn, Turn.OFFERED)
        machine.receive_answer(parse(plain.replace("RTP/AVP", "RTP/AVPF")))
        machine.send_offer(ours(None, before=machine.local))
        self.assertRaises(SdpError, machine.receive_answer, audio())

    def test_our_answers(self) -> None:
        """Our own answer must be within the offer; if not, nothing goes out."""
        machine = OfferAnswer(ORIGIN)
        offer = parse(str(audio("sendonly")) + samples.sdp("m=video 0 RTP/AVP 96"))
        machine.receive_offer(offer)
        good = answering(offer, sound(Direction.RECVONLY), None)
        first, second = good.media
        wide = replace(first.line, formats=("0", "9"))
        other = replace(first.line, protocol="RTP/AVPF")
        open_slot = second.with_line(replace(second.line, port=9))
        for media in (
            (first,),
            (second, first),
            (first.with_line(other), second),
            (first.with_line(wide), second),
            (first, open_slot),
            (first.without("recvonly"), second),
        ):
            self.assertRaises(ValueError, machine.send_answer, good.with_media(media))
        self.assertEqual(machine.turn, Turn.ASKED)
        machine.send_answer(good)

    def test_answer_wider_than_the_offer(self) -> None:
        """Who answers sendonly with sendrecv gets no sound from us all the same."""
        machine = agreed_machine()
        machine.send_offer(ours(sound(Direction.SENDONLY)), holding=True)
        machine.receive_answer(audio("sendrecv"))
        self.assertEqual(machine.directions, ("sendonly",))
        self.assertEqual(machine.hold, Hold(by_us=True))


class HoldTests(SynchronousTestCase):
    """Two holds on one leg."""

    def test_both_hold_and_let_go(self) -> None:
        """We hold, they hold, we let go, they let go: each frees its own side only."""
        machine = agreed_machine()
        machine.send_offer(ours(sound(Direction.SENDONLY)), holding=True)
        machine.receive_answer(audio("recvonly", version=2))
        self.assertEqual(machine.hold, Hold(by_us=True))
        machine.receive_offer(audio("inactive", version=3))
        way = machine.asked_hold.answered(Direction.INACTIVE)
        machine.send_answer(answering(audio(), sound(way)))
        self.assertEqual((machine.hold, machine.directions), (Hold(True, True), ("inactive",)))
        machine.send_offer(ours(sound(Hold(by_them=True).offered())), holding=False)
        machine.receive_answer(audio("sendonly", version=4))
        self.assertEqual((machine.hold, machine.directions), (Hold(by_them=True), ("recvonly",)))
        machine.receive_offer(audio(version=5))
        self.assertEqual(machine.asked_hold, Hold())
        machine.send_answer(answering(audio(), sound()))
        self.assertEqual((machine.hold, machine.directions), (Hold(), ("sendrecv",)))

    def test_refused_hold(self) -> None:
        """A hold that was refused, by us or by them, never was."""
        machine = agreed_machine()
        machine.receive_offer(audio("sendonly", version=2))
        self.assertEqual((machine.asked_hold, machine.hold), (Hold(by_them=True), Hold()))
        machine.roll_back()
        self.assertEqual((machine.asked_hold, machine.hold), (Hold(), Hold()))
