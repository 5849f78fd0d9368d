"""Tests of what is read and worked out once for all descriptions that are alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.compose import Medium, compose_answer, compose_offer
from b2bua.sdp.description import MediaDescription, SessionDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import Format, formats_of
from b2bua.sdp.hold import Hold, effective_direction
from b2bua.sdp.lines import Origin
from b2bua.sdp.negotiation import CodecRules, PayloadTypes, full_offer_formats, offer_formats
from b2bua.sdp.once import Memory

_PCMU = Format(0, "PCMU", 8000)
_OPUS = Format(111, "opus", 48000, 2)
_RULES = CodecRules(codecs=parse_codec_list("(pcmu,pcma,opus=107,telephone-event=101)"))


def text(
    session: str = "1",
    host: str = "192.0.2.7",
    port: str = "4000",
    video: str = "4002",
    more: str = "",
) -> str:
    """A description with an audio medium and one of video."""
    return (
        f"v=0\r\no=- {session} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{more}"
        f"m=video {video} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    )


def read_alone(description: SessionDescription) -> SessionDescription:
    """The same description, made line by line."""
    media = tuple(MediaDescription(medium.lines) for medium in description.media)
    return SessionDescription(description.lines, media)


class AlikeDescriptionTests(SynchronousTestCase):
    """What differs is each description's own."""

    @given(
        st.integers(0, 10**19 - 1),
        st.integers(1, 255),
        st.integers(0, 65535),
        st.integers(0, 65535),
    )
    def test_differences_are_read(self, session: int, host: int, port: int, video: int) -> None:
        """Ids, address and ports are those of the text, as is every line."""
        written = text(str(session), f"{host}.0.2.7", str(port), str(video))
        description = parse(written)
        alone = read_alone(description)
        self.assertEqual(description.render(), written.encode())
        self.assertEqual(description, alone)
        self.assertEqual(description.origin, alone.origin)
        self.assertEqual(description.origin.session_id, session)
        self.assertEqual(description.value("o"), alone.value("o"))
        self.assertEqual(description.value("c"), f"IN IP4 {host}.0.2.7")
        self.assertEqual([medium.port for medium in description.media], [port, video])
        for medium, other in zip(description.media, alone.media, strict=True):
            self.assertEqual(medium.line, other.line)
            self.assertEqual(medium.rejected, other.rejected)
            self.assertEqual(formats_of(medium), formats_of(other))
            self.assertEqual(description.connection_of(medium), alone.connection_of(other))
            self.assertEqual(
                effective_direction(description, medium), effective_direction(alone, other)
            )

    def test_same_shape(self) -> None:
        """Ids, an address and ports in use make no difference; all else does."""
        shape = parse(text()).shape
        for other in (text("2"), text(host="192.0.2.8"), text(port="1"), text(video="65535")):
            self.assertIs(parse(other).shape, shape)
        for other in (text(host="0.0.0.0"), text(port="0"), text(more="a=sendonly\r\n")):
            self.assertIsNot(parse(other).shape, shape)

    def test_what_is_wrong_is_still_refused(self) -> None:
        """That a description is like a good one does not excuse what differs."""
        parse(text())
        for bad in (
            text(str(2**64)),
            text("-1"),
            text(host="192.0.2.7 x"),
            text(port="65536"),
            text(port="-1"),
            text(port="4,000"),
            text(session="1\n"),
            text(more="a=ptime:1\r\n"),
        ):
            with self.assertRaises(SdpError):
                parse(bad)
            with self.assertRaises(SdpError):
                parse(bad)

    def test_changed_origin(self) -> None:
        """Another ``o=`` line leaves all else, the address too."""
        description = parse(text(host="192.0.2.9"))
        changed = description.with_origin(Origin("-", 5, 6, "IP4", "192.0.2.1"))
        self.assertEqual(changed.origin.session_version, 6)
        self.assertEqual(changed.value("o"), "- 5 6 IN IP4 192.0.2.1")
        self.assertEqual(changed.connection, description.connection)
        self.assertTrue(changed.is_alike(description))
        self.assertFalse(changed.is_alike(parse(text(port="4010"))))
        self.assertEqual(changed, read_alone(changed))

    def test_hold_by_address(self) -> None:
        """Whoever names 0.0.0.0 holds, whatever those that are alike have said."""
        hold = Hold().after_offer(parse(text()))
        self.assertFalse(hold.by_them)
        hold = hold.after_offer(parse(text(host="0.0.0.0")))
        self.assertTrue(hold.by_them)
        self.assertFalse(hold.after_offer(parse(text(host="10.0.0.1"))).by_them)


class AlikeCompositionTests(SynchronousTestCase):
    """What we say for the second time is the same but for ports."""

    def test_offers(self) -> None:
        """Each offer has its own ports, formats and directions."""
        for port in (4000, 5000):
            for way in Direction:
                for formats in ((_PCMU,), (_OPUS, _PCMU)):
                    media = [
                        Medium(kind="audio", port=port, formats=formats, direction=way),
                        Medium(kind="video", port=9, formats=formats, direction=way),
                    ]
                    made = compose_offer("192.0.2.1", media)
                    self.assertEqual(made, read_alone(made))
                    self.assertEqual([medium.port for medium in made.media], [port, 9])
                    self.assertEqual(formats_of(made.media[0]), formats)
                    self.assertEqual(made.media[0].direction, way)

    def test_answers(self) -> None:
        """An answer has its own ports, and the protocol of its offer."""
        for protocol in ("RTP/AVP", "RTP/AVPF"):
            for port in (4000, 5000):
                offer = parse(text().replace("RTP/AVP", protocol))
                medium = Medium(kind="audio", port=port, formats=(_PCMU,))
                made = compose_answer("192.0.2.1", offer, [medium, medium])
                self.assertEqual(made, read_alone(made))
                self.assertEqual(
                    [str(each.line) for each in made.media],
                    [f"audio {port} {protocol} 0", f"video {port} {protocol} 0"],
                )


class RememberedFormatsTests(SynchronousTestCase):
    """Legs that were offered the same go their own ways."""

    def test_numbers_are_of_one_leg(self) -> None:
        """What one leg learns later does not reach another."""
        first, second = PayloadTypes(), PayloadTypes()
        offered = offer_formats("audio", (_OPUS,), _RULES, first)
        self.assertEqual(offer_formats("audio", (_OPUS,), _RULES, second), offered)
        first.learn([_OPUS.with_payload_type(99)])
        self.assertEqual(first.number(_OPUS), 99)
        self.assertEqual(second.number(_OPUS), offered[0].payload_type)
        self.assertEqual(offer_formats("audio", (_OPUS,), _RULES, PayloadTypes()), offered)

    def test_numbers_stay_after_a_remembered_offer(self) -> None:
        """A number that a remembered offer used is not given to another codec."""
        for _ in range(2):
            numbers = PayloadTypes()
            (opus,) = offer_formats("audio", (_OPUS,), _RULES, numbers)
            every = full_offer_formats("audio", _RULES, numbers)
            self.assertIn((111, "opus"), [(each.payload_type, each.name) for each in every])
            self.assertEqual(opus.payload_type, 111)

    def test_full_offer_is_not_that_after_nothing(self) -> None:
        """All codecs and no codec named are two things."""
        full = full_offer_formats("audio", _RULES, PayloadTypes())
        self.assertEqual(len(full), 5)
        self.assertEqual(offer_formats("audio", (), _RULES, PayloadTypes()), ())
        self.assertEqual(full_offer_formats("audio", _RULES, PayloadTypes()), full)

    def test_memory_is_bounded(self) -> None:
        """However much is asked, only so much is remembered."""
        memory: Memory[int, int] = Memory()
        for number in range(10_000):
            self.assertEqual(memory.keep(number, number), number)
        self.assertLessEqual(len(memory), 256)
        for number in range(1000):
            _RULES.allowed((Format(96, f"x{number}", 8000),))
        long = Format(96, "opus", 48000, 2, "x" * 10_000)
        self.assertEqual(_RULES.allowed((long,)), (long,))
        self.assertLessEqual(len(_RULES._allowed), 256)
        self.assertNotIn((long,), _RULES._allowed)
