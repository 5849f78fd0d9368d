"""The small parts of the lab: descriptions, melody, trace, calls, settings."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sdp.description import parse
from b2bua.sdp.errors import SdpError
from b2bua.sip.message import Request, Response
from suite.lab.calls import ENDED_KEPT, CallBook, takes_media
from suite.lab.errors import LabError
from suite.lab.melody import FRAME, PCMA, PCMU, frame, to_alaw, to_ulaw
from suite.lab.phone_session import PhoneSession
from suite.lab.rtp import RtpSocket
from suite.lab.settings import LabSettings
from suite.lab.third_party_sdp import HoldForm, Spoken, held, version_of
from suite.lab.trace import LONGEST_SUMMARY, Trace, TracedMessage, summary_of

SDP = (
    b"v=0\r\no=- 5 3 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


def request(method: str, call_id: str = "x", tag: str = "", body: bytes = b"") -> Request:
    """A request from 1001 to 7001."""
    headers = [
        ("Via", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1"),
        ("From", "<sip:1001@siplab.test>;tag=f"),
        ("To", "<sip:7001@siplab.test>" + (f";tag={tag}" if tag else "")),
        ("Call-ID", call_id),
        ("CSeq", f"1 {method}"),
    ]
    if body:
        headers.append(("Content-Type", "application/sdp"))
    return Request(method, "sip:7001@siplab.test", headers, body)


class HoldTests(SynchronousTestCase):
    """Offers that hold."""

    def test_forms(self) -> None:
        """Both can be read, mean no media for us, and have the version."""
        for form, line in ((HoldForm.RFC3264, b"a=sendonly"), (HoldForm.ZERO, b"c=IN IP4 0.0.0.0")):
            body = held(SDP, form, 4)
            parse(body)
            self.assertIn(line, body.splitlines())
            self.assertNotIn(b"a=sendrecv", body)
            self.assertEqual(4, version_of(body))
            self.assertFalse(takes_media(body))

    def test_every_medium(self) -> None:
        """Each m= line has the direction."""
        body = held(SDP + b"m=video 0 RTP/AVP 96\r\n", HoldForm.RFC3264, 4)
        self.assertEqual(2, body.count(b"a=sendonly"))

    def test_versions_grow(self) -> None:
        """What differs has a higher version, what does not is the same text."""
        spoken = Spoken()
        self.assertEqual(SDP, spoken.say(SDP))
        self.assertEqual(4, version_of(spoken.say(held(SDP, HoldForm.ZERO, 4))))
        again = spoken.say(SDP)
        self.assertEqual(5, version_of(again))
        self.assertEqual(again, spoken.say(SDP))
        other = SDP.replace(b"o=- 5 3", b"o=- 6 1")
        self.assertEqual(other, spoken.say(other))

    @given(st.binary(max_size=300))
    def test_never_fails(self, body: bytes) -> None:
        """Whatever a party has said."""
        spoken = Spoken()
        spoken.say(SDP)
        spoken.say(held(body, HoldForm.RFC3264, 4))
        spoken.say(held(body, HoldForm.ZERO, 4))


class MelodyTests(SynchronousTestCase):
    """G.711."""

    def test_known_samples(self) -> None:
        """Silence and the extremes."""
        self.assertEqual([0xFF, 0x80, 0x00], [to_ulaw(s) for s in (0, 32767, -32768)])
        self.assertEqual([0xD5, 0xAA, 0x2A], [to_alaw(s) for s in (0, 32767, -32768)])
        self.assertEqual([0xCE, 0xFA], [to_ulaw(1000), to_alaw(1000)])

    def test_frames(self) -> None:
        """20 ms each, not silent, and over again at the end."""
        for law in (PCMU, PCMA):
            frames = [frame(number, law) for number in range(50)]
            self.assertEqual({FRAME}, {len(data) for data in frames})
            self.assertGreater(len(set(b"".join(frames))), 50)
        self.assertNotEqual(frame(20, PCMU), frame(20, PCMA))


class RtpTests(SynchronousTestCase):
    """The media of a phone, with a clock of the test's own."""

    def setUp(self) -> None:
        """Make a socket that only seems to be one."""
        self.clock = Clock()
        self.sent: list[tuple[bytes, object]] = []

    def media(self, *, echoes: bool) -> RtpSocket:
        """The media of one call."""
        media = RtpSocket(self.clock, echoes=echoes)
        media.makeConnection(self)
        return media

    def write(self, packet: bytes, address: object) -> None:
        """Stand in for the transport."""
        self.sent.append((packet, address))

    def test_pace(self) -> None:
        """Fifty a second, in sequence, stamps one frame apart."""
        media = self.media(echoes=False)
        media.direct(("127.0.0.1", 4000), may_send=True, payload_type=8)
        self.clock.pump([0.02] * 49)
        self.assertEqual(50, len(self.sent))
        heads = [struct.unpack("!BBHII", packet[:12]) for packet, _ in self.sent]
        self.assertEqual({(0x80, 8)}, {head[:2] for head in heads})
        self.assertEqual(1, (heads[1][2] - heads[0][2]) % 65536)
        self.assertEqual(FRAME, (heads[1][3] - heads[0][3]) % (1 << 32))
        self.assertEqual(1, len({head[4] for head in heads}))

    def test_hold(self) -> None:
        """Nothing is sent while that is not allowed."""
        media = self.media(echoes=False)
        media.direct(("127.0.0.1", 4000), may_send=True, payload_type=0)
        media.direct(("127.0.0.1", 4000), may_send=False, payload_type=0)
        self.sent.clear()
        self.clock.advance(1)
        self.assertEqual([], self.sent)
        media.close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stays_here(self) -> None:
        """A description that points elsewhere gets nothing."""
        media = self.media(echoes=False)
        media.direct(("192.0.2.1", 4000), may_send=True, payload_type=0)
        self.clock.advance(1)
        self.assertEqual([], self.sent)

    def test_rubbish_is_not_echoed(self) -> None:
        """Only what may be RTP comes back."""
        media = self.media(echoes=True)
        media.direct(("127.0.0.1", 4000), may_send=True, payload_type=0)
        for packet in (b"", b"\x80", b"\x00" * 40):
            media.datagramReceived(packet, ("127.0.0.1", 4000))
        self.assertEqual([], self.sent)


class PhoneSessionTests(SynchronousTestCase):
    """What a phone answers."""

    def setUp(self) -> None:
        """A phone in a call."""
        self.phone = PhoneSession("127.0.0.13", 20000, 9)
        self.first = self.phone.answer(SDP)

    def direction(self, answer: bytes) -> str:
        """Of the only medium."""
        description = parse(answer)
        return description.direction_of(description.media[0]).value

    def test_answer(self) -> None:
        """Media go where the offer says."""
        self.assertEqual("sendrecv", self.direction(self.first))
        flow = self.phone.flow()
        self.assertEqual(
            (("127.0.0.1", 4000), True, 0), (flow.target, flow.may_send, flow.payload_type)
        )

    def test_hold(self) -> None:
        """A phone on hold goes on to listen; it falls silent where nobody listens."""
        for offer, answer, may_send in (
            (SDP.replace(b"sendrecv", b"sendonly"), "recvonly", False),
            (SDP.replace(b"sendrecv", b"inactive"), "inactive", False),
            (SDP.replace(b"sendrecv", b"recvonly"), "sendonly", True),
            (SDP.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0"), "recvonly", False),
            (SDP, "sendrecv", True),
        ):
            self.assertEqual(answer, self.direction(self.phone.answer(offer)), offer)
            self.assertEqual(may_send, self.phone.flow().may_send, offer)

    def test_offer_while_held(self) -> None:
        """Who asks for an offer gets a full one."""
        self.phone.answer(SDP.replace(b"sendrecv", b"inactive"))
        self.assertEqual("sendrecv", self.direction(self.phone.offer()))

    def test_second_medium(self) -> None:
        """Video and a second audio stream are rejected in their slots."""
        more = b"m=video 5000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=audio 5002 RTP/AVP 0\r\n"
        answer = parse(PhoneSession("127.0.0.13", 20000, 9).answer(SDP + more))
        self.assertEqual([20000, 0, 0], [medium.port for medium in answer.media])

    def test_no_common_codec(self) -> None:
        """488, and the call is as it was."""
        offer = SDP.replace(b"RTP/AVP 0 8 101", b"RTP/AVP 18")
        error = self.assertRaises(SdpError, self.phone.answer, offer)
        self.assertEqual(488, error.status)
        self.assertTrue(self.phone.flow().may_send)
        self.assertRaises(SdpError, self.phone.answer, b"no sdp")


class TraceTests(SynchronousTestCase):
    """What is kept."""

    def test_bounded(self) -> None:
        """The oldest call makes room, with its Call-ID."""
        trace = Trace(calls=2)
        for name in ("c1", "c2", "c3"):
            trace.begin(name, name)
            trace.join(f"id of {name}", name)
            trace.add(TracedMessage(0.0, "A", "B", "INVITE", f"id of {name}"))
        self.assertEqual(["c2", "c3"], [call.name for call in trace.calls()])
        trace.add(TracedMessage(0.0, "A", "B", "BYE", "id of c1"))
        self.assertEqual(["BYE"], [message.summary for message in trace.others().messages])

    def test_summaries(self) -> None:
        """One line, short, without what proves who somebody is."""
        invite = request("INVITE", body=SDP)
        invite.add("Authorization", 'Digest username="1001", response="abc"')
        self.assertEqual("INVITE 7001 [sendrecv]", summary_of(invite))
        notify = request("NOTIFY", tag="t")
        notify.add("Event", "talk")
        self.assertEqual("NOTIFY talk", summary_of(notify))
        self.assertEqual("486 Busy Here (INVITE)", summary_of(invite.response(486)))
        long = Response(200, "x" * 500, invite.response(200).headers)
        self.assertEqual(LONGEST_SUMMARY, len(summary_of(long)))


class CallBookTests(SynchronousTestCase):
    """Calls as the servers see them."""

    def setUp(self) -> None:
        """An empty book."""
        self.book = CallBook()

    def state(self, *messages: Request | Response) -> str:
        """Of the latest call after these."""
        for message in messages:
            self.book.see(message, "A", 0.0)
        return self.book.all()[-1].state

    def test_call(self) -> None:
        """From INVITE to BYE, with hold."""
        invite = request("INVITE", body=SDP)
        self.assertEqual("calling", self.state(invite))
        self.assertEqual("ringing", self.state(invite.response(180)))
        self.assertEqual("talking", self.state(invite.response(200)))
        hold = request("INVITE", tag="t", body=SDP.replace(b"sendrecv", b"sendonly"))
        self.assertEqual("held", self.state(hold))
        self.assertEqual("talking", self.state(request("INVITE", tag="t", body=SDP)))
        self.assertEqual("ended: 1001 hung up", self.state(request("BYE", tag="t")))

    def test_tried_again(self) -> None:
        """A challenge is no end, and neither is another attempt after a refusal."""
        invite = request("INVITE")
        self.assertEqual("calling", self.state(invite, invite.response(401)))
        self.assertEqual("ended: 503 Service Unavailable", self.state(invite.response(503)))
        self.assertEqual("calling", self.state(invite))
        self.assertEqual(1, len(self.book.all()))

    def test_bounded(self) -> None:
        """Only the last that ended are kept."""
        for number in range(ENDED_KEPT + 5):
            invite = request("INVITE", f"call {number}".replace(" ", "-"))
            self.state(invite, invite.response(486))
        self.state(request("INVITE", "last"))
        self.assertEqual(ENDED_KEPT + 1, len(self.book.all()))
        self.assertIsNone(self.book.of("call-0"))


class SettingsTests(SynchronousTestCase):
    """Loopback only."""

    def test_other_addresses(self) -> None:
        """The sentence names which one, and what is allowed."""
        for host in ("0.0.0.0", "192.0.2.1", "localhost", "::1", ""):
            error = self.assertRaises(LabError, LabSettings, password="x", server_b=(host, 5060))
            self.assertIn("server b of the lab", str(error))
            self.assertIn("127.0.0.0/8", str(error))

    def test_password_is_not_shown(self) -> None:
        """Not even in a log of the settings."""
        self.assertNotIn("hidden", repr(LabSettings(password="hidden")))
