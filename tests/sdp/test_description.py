"""Tests of reading and writing whole descriptions."""

from __future__ import annotations

import time

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.description import MAX_BYTES, MediaDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SDP_FAULTS, SdpError
from b2bua.sdp.formats import formats_of
from b2bua.sdp.section import Section
from tests.sdp import samples
from tests.sdp.samples import sdp

_HEAD = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0")
_letters = st.sampled_from("vosiuepcbtrzkamx")
_texts = st.text(st.characters(codec="utf-8"), max_size=40)


def _mutated(draw: st.DrawFn) -> str:
    lines = draw(st.sampled_from(samples.ALL)).split("\r\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        action = draw(st.sampled_from(["drop", "double", "cut", "splice", "swap", "number"]))
        if action == "drop":
            lines[at : at + draw(st.integers(1, 3))] = []
        elif action == "double":
            lines[at:at] = [lines[at]]
        elif action == "cut":
            lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        elif action == "splice":
            lines[at] += draw(_texts)
        elif action == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            number = str(draw(st.integers(-1, 2**70)))
            lines[at] = "".join(number if c == "1" else c for c in lines[at])
        lines = lines or [""]
    return draw(st.sampled_from(["\r\n", "\n", "\r"])).join(lines)


mutated = st.composite(_mutated)()
line_texts = st.builds(lambda letter, text: f"{letter}={text}", _letters, _texts)


class ReadingTests(SynchronousTestCase):
    """Text that peers send."""

    def refused(self, reason: str, status: int, *lines: str) -> None:
        """Assert that a description is refused for one reason, with the status to answer."""
        problem = self.assertRaises(SdpError, parse, sdp(*lines))
        self.assertEqual((reason, status), (problem.reason, problem.status), problem)

    def test_samples_come_back_as_they_were(self) -> None:
        """Each line of what browsers, phones and servers send is kept, whatever it means."""
        for text in samples.ALL:
            self.assertEqual(parse(text).render(), text.encode())
            self.assertEqual(str(parse(text.encode())), text)

    def test_line_feeds_alone(self) -> None:
        """Lines may all end in LF, the last one may lack its end, empty ones after it go."""
        wanted = parse(samples.BARESIP)
        bare = samples.BARESIP.replace("\r\n", "\n")
        for text in (bare, bare.rstrip(), samples.BARESIP.rstrip(), samples.BARESIP + "\r\n\r\n"):
            self.assertEqual(parse(text), wanted)

    def test_line_ends_that_two_readers_take_differently(self) -> None:
        """CR alone, LF among CRLF, and an empty line in the middle are refused."""
        good = samples.SIPP
        for text in (
            good.replace("\r\n", "\r"),
            good.replace("\r\n", "\n", 1),
            good.replace("t=0 0\r\n", "t=0 0\r\n\r\n"),
            good.replace("t=0 0", "t=0 0\ra=x"),
        ):
            problem = self.assertRaises(SdpError, parse, text)
            self.assertEqual(("line-end", 400), (problem.reason, problem.status))

    def test_characters(self) -> None:
        """NUL and bytes that are not UTF-8 are refused; any other name of a session stays."""
        for data in (samples.SIPP.replace("s=-", "s=\0"), b"v=0\r\ns=\xff\r\n", "s=\ud800"):
            self.assertEqual("encoding", self.assertRaises(SdpError, parse, data).reason)
        named = samples.SIPP.replace("s=-", "s=Grüße ☎ \t OFFER")
        self.assertEqual(parse(named).render(), named.encode())

    def test_lines_every_description_has(self) -> None:
        """v=, o= and s= come first, t= is somewhere before the media; none is there twice."""
        self.refused("order", 400, *_HEAD[1:])
        self.refused("order", 400, _HEAD[1], _HEAD[0], *_HEAD[2:])
        self.refused("missing", 400, *_HEAD[:4])
        self.refused("value", 400, "v=1", *_HEAD[1:])
        for line in _HEAD[:4]:
            self.refused("duplicate", 400, *_HEAD, line)
        self.assertEqual("missing", self.assertRaises(SdpError, parse, "").reason)

    def test_lines_that_are_none(self) -> None:
        """A line is a letter of SDP, "=" and a value, in a section where it may stand."""
        for line in ("a", "=x", "a =x", " a=x", "ab=x", "A=x", "1=x"):
            self.refused("line", 400, *_HEAD, line)
        self.refused("order", 400, *_HEAD, "x=1")
        self.refused("order", 400, *_HEAD, "m=audio 1 RTP/AVP 0", "t=0 0")
        self.refused("duplicate", 400, *_HEAD, "m=audio 1 RTP/AVP 0", *2 * ["c=IN IP4 192.0.2.1"])

    def test_values_are_checked_at_once(self) -> None:
        """What has a meaning here is refused when it is read, not when it is used."""
        audio = "m=audio 6000 RTP/AVP 0 96"
        for reason, status, line in (
            ("range", 488, "m=audio 65536 RTP/AVP 0"),
            ("range", 488, "m=audio 6000 RTP/AVP 128"),
            ("value", 400, "m=audio -1 RTP/AVP 0"),
            ("value", 400, "m=audio 6000 RTP/AVP x"),
            ("value", 400, "m=audio 6000"),
            ("missing", 400, "m=audio 6000 RTP/AVP"),
        ):
            self.refused(reason, status, *_HEAD, line)
        for reason, status, line in (
            ("value", 400, "a=rtpmap:96"),
            ("value", 400, "a=rtpmap:96 opus/x"),
            ("value", 400, "a=rtpmap:96 opus/48000/2/2"),
            ("range", 488, "a=rtpmap:96 opus/0"),
            ("range", 488, "a=rtpmap:96 opus/99999999999999999999"),
            ("value", 400, "a=rtpmap:96 opus/999999999999999999999"),
            ("range", 488, "a=rtpmap:300 opus/48000"),
            ("value", 400, "a=fmtp:96"),
            ("value", 400, "a=fmtp"),
            ("value", 400, "a=rtcp-fb:x nack"),
            ("range", 488, "a=rtcp:65536"),
            ("range", 488, "a=ptime:9"),
            ("range", 488, "a=ptime:61"),
            ("value", 400, "a=ptime:20.0"),
            ("range", 488, "a=maxptime:0"),
            ("value", 400, "c=IN IP4 "),
            ("value", 400, "c=IN IP5 192.0.2.1"),
            ("value", 400, "a=fingerprint:sha-256 00:11"),
            ("value", 400, "a=setup:maybe"),
            ("value", 400, "a=ice-ufrag:abcd"),
            ("value", 400, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 clear:abc"),
            ("range", 488, "a=extmap:0 urn:x"),
        ):
            self.refused(reason, status, *_HEAD, audio, line)

    def test_candidates_of_no_use(self) -> None:
        """One that makes no sense is passed over, wherever it stands, and the others are read."""
        good = "1 1 udp 1 192.0.2.1 9 typ host"
        bad = (
            *("", "1", "1 1 udp", "1 1 udp 1 192.0.2.1 9", "1 1 udp 1 192.0.2.1 9 typ"),
            *("1 1 udp 1 ::1 70000 typ host", "1 1 udp -1 224.0.0.1 9 typ host"),
            *("1 1 udp 1 255.255.255.255 9", "1 9 sctp 1 127.0.0.1 9 typ prflx raddr"),
            *("1 999 udp 1 192.0.2.1 9 typ host", "1 1 udp 4294967296 192.0.2.1 9 typ host"),
            *("1  1 udp 1 192.0.2.1 9 typ host", "\u0661 1 udp 1 192.0.2.1 9 typ host"),
        )
        lines = [f"a=candidate:{value}" for value in (*bad, good, *bad)]
        audio = parse(sdp(*_HEAD, "m=audio 6000 RTP/AVP 0", "a=candidate", *lines)).media[0]
        self.assertEqual([good], list(map(str, audio.candidates)))

    def test_two_meanings(self) -> None:
        """One payload type, mid, tag or direction cannot stand for two things."""
        audio = "m=audio 6000 RTP/AVP 96"
        mapping = "a=rtpmap:96 opus/48000/2"
        self.refused("duplicate", 400, *_HEAD, audio, mapping, "a=rtpmap:96 VP8/90000")
        self.refused("duplicate", 400, *_HEAD, audio, "a=mid:0", audio, "a=mid:0")
        self.refused("duplicate", 400, *_HEAD, audio, "a=sendonly", "a=recvonly")
        crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA"
        self.refused("duplicate", 400, *_HEAD, audio, crypto, crypto)
        parse(sdp(*_HEAD, audio, mapping, mapping, "a=sendonly", "a=sendonly"))

    def test_limits(self) -> None:
        """Eight media, 64 formats, 100 candidates, 64 KiB are read; one more is refused."""
        audio = "m=audio 6000 RTP/AVP 0"
        candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"
        formats = " ".join(str(number) for number in range(64))
        parse(sdp(*_HEAD, *8 * [audio]))
        parse(sdp(*_HEAD, f"m=audio 1 RTP/AVP {formats}", *100 * [candidate]))
        self.refused("count", 488, *_HEAD, *9 * [audio])
        self.refused("count", 488, *_HEAD, f"m=audio 1 RTP/AVP {formats} 64")
        self.refused("count", 488, *_HEAD, audio, *51 * [candidate], audio, *50 * [candidate])
        self.refused("count", 488, *_HEAD, *10_000 * ["a=x"])
        head = sdp(*_HEAD)
        full = head + "a=" + "x" * (MAX_BYTES - len(head) - 4) + "\r\n"
        parse(full)
        for text in (full[:-2] + "x\r\n", full[:-3] + "ü\r\n"):
            self.assertEqual("size", self.assertRaises(SdpError, parse, text).reason)

    def test_a_connection_for_every_medium_in_use(self) -> None:
        """A medium has a c= line, or the session; a slot with port 0 needs none."""
        head = (*_HEAD[:3], _HEAD[4])
        self.refused("missing", 400, *head, "m=audio 6000 RTP/AVP 0")
        parse(sdp(*head, "m=audio 6000 RTP/AVP 0", "c=IN IP4 192.0.2.1", "m=video 0 RTP/AVP 96"))

    def test_worst_text_costs_little(self) -> None:
        """The longest description within all limits is read in a few milliseconds of CPU."""
        fill = [f"a=crypto:{tag} A inline:AAAA" for tag in range(1_900)]
        text = sdp(*_HEAD, "m=audio 6000 RTP/AVP 0", *fill)
        # It takes 1 to 5 ms; the bound leaves room for a machine that is busy.
        best = min(_cpu_seconds(text) for _ in range(5))
        self.assertLess(best, 0.05)

    @given(st.text(max_size=200) | st.binary(max_size=200) | mutated)
    @example("v=0\r\no=\r\ns=")
    @example("v=0\no=- 1 1 IN IP4 1\ns=\nt=0 0\nm=")
    def test_nothing_but_sdp_errors(self, data: str | bytes) -> None:
        """Whatever comes is read or refused with a known word; what is read can be used."""
        try:
            description = parse(data)
        except SdpError as problem:
            self.assertIn(problem.reason, SDP_FAULTS)
            self.assertIn(problem.status, (400, 488))
            return
        self.assertEqual(parse(description.render()), description)
        for medium in description.media:
            formats_of(medium)
            description.direction_of(medium)

    @given(st.lists(line_texts, max_size=12))
    def test_valid_text_is_unchanged(self, lines: list[str]) -> None:
        """Whatever lines a description has, reading and writing it gives the same bytes."""
        text = sdp(*_HEAD, "m=audio 6000 RTP/AVP 0", *lines)
        try:
            description = parse(text)
        except SdpError:
            return
        self.assertEqual(description.render(), text.encode())


def _cpu_seconds(text: str) -> float:
    start = time.process_time()
    parse(text)
    return time.process_time() - start


class AccessTests(SynchronousTestCase):
    """What is asked of a description."""

    def test_chromium(self) -> None:
        """The typed view of a browser's offer."""
        offer = parse(samples.CHROMIUM)
        audio, video = offer.media
        self.assertEqual((4611731400430051336, 2), (offer.origin.session_id, 2))
        self.assertEqual(offer.groups[0].mids, ("0", "1"))
        self.assertEqual((audio.mid, audio.kind, audio.port), ("0", "audio", 9))
        self.assertEqual(offer.setup_of(audio), "actpass")
        self.assertEqual([str(f) for f in offer.fingerprints_of(video)], [samples.FINGERPRINT])
        ice = offer.ice_of(audio)
        assert ice is not None
        self.assertEqual(ice.ufrag, "F7gI")
        self.assertNotIn(ice.pwd, repr(ice))
        self.assertTrue(audio.has("rtcp-mux"))
        self.assertFalse(audio.has("rtcp"[:3]))
        self.assertEqual(audio.extmaps[2].direction, Direction.RECVONLY)
        self.assertEqual(video.feedback[2].feedback, "ccm fir")

    def test_firefox(self) -> None:
        """Session-level fingerprint, candidates with a name, TCP and reflexive ones."""
        offer = parse(samples.FIREFOX)
        (audio,) = offer.media
        self.assertEqual(len(offer.fingerprints_of(audio)), 1)
        self.assertEqual([c.transport for c in audio.candidates].count("udp"), 4)
        self.assertEqual(audio.candidates[3].related, ("192.0.2.33", 40112))
        self.assertEqual(audio.candidates[1].extensions, (("tcptype", "active"),))
        rtcp = audio.rtcp
        assert rtcp is not None and rtcp.connection is not None
        self.assertEqual((rtcp.port, rtcp.connection.address), (55021, "192.0.2.33"))

    def test_sdes(self) -> None:
        """Keys are read and never shown."""
        (audio,) = parse(samples.SDES).media
        first, second = audio.cryptos
        self.assertEqual((first.tag, first.suite), (1, "AES_CM_128_HMAC_SHA1_80"))
        self.assertNotIn("inline", repr(first))
        self.assertTrue(second.keys[0].startswith("inline:NzB4"))
        self.assertEqual((audio.ptime, audio.maxptime), (20, 150))

    def test_direction_of_the_session(self) -> None:
        """A medium without a direction has the session's, and sendrecv where that has none."""
        text = sdp(*_HEAD, "a=inactive", *2 * ["m=audio 6000 RTP/AVP 0"], "a=recvonly")
        description = parse(text)
        self.assertEqual(
            [description.direction_of(medium) for medium in description.media],
            [Direction.INACTIVE, Direction.RECVONLY],
        )
        plain = parse(samples.SIPP)
        self.assertEqual(plain.direction_of(plain.media[0]), Direction.SENDRECV)

    def test_rejected_slot(self) -> None:
        """Port 0 means unused, but not where the port is the bundle's."""
        audio, video = parse(samples.BARESIP).media
        self.assertFalse(audio.rejected)
        self.assertTrue(video.rejected)
        self.assertFalse(video.with_attributes("bundle-only", [""]).rejected)


class ChangeTests(SynchronousTestCase):
    """New descriptions from old ones."""

    def test_line_in_its_place(self) -> None:
        """A line replaces its like, or goes where RFC 8866 has it."""
        (audio,) = parse(samples.SIPP).media
        changed = audio.with_value("c", "IN IP4 192.0.2.9").with_value("i", "voice")
        self.assertEqual([line[0] for line in changed.lines], ["m", "i", "c", "a"])
        self.assertEqual(changed.with_value("c", "IN IP4 192.0.2.8").value("c"), "IN IP4 192.0.2.8")
        self.assertEqual(changed.with_value("c", None).with_value("i", None), audio)

    def test_attributes_in_their_place(self) -> None:
        """Attributes replace those of the same name where the first one stood."""
        section = Section(("a=x:1", "a=y", "a=x:2", "a=xx:3"))
        self.assertEqual(
            section.with_attributes("x", ["7", ""]).lines, ("a=x:7", "a=x", "a=y", "a=xx:3")
        )
        self.assertEqual(section.with_attributes("z", ["1"]).lines[-1], "a=z:1")
        self.assertEqual(section.without("x", "y").lines, ("a=xx:3",))

    def test_no_line_within_a_line(self) -> None:
        """A value of ours that would become two lines is refused."""
        section = Section(())
        self.assertRaises(SdpError, section.with_attributes, "x", ["1\r\na=y"])
        self.assertRaises(SdpError, section.with_value, "s", "a\nb")
        self.assertRaises(SdpError, MediaDescription, ("a=x",))
