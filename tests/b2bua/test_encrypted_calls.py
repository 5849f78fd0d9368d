"""Calls whose legs are encrypted by keys in SDP, or not: what each peer is offered and answered."""

from __future__ import annotations

from b2bua.media_plane import SrtpKeys
from b2bua.sdp.crypto import key_of, make_line
from b2bua.sdp.description import SessionDescription
from b2bua.settings import SrtpMode
from b2bua.sip.usage_events import AnswerReceived, Progress
from tests.b2bua.network import PHONE, SERVER_A, Ended, Established, described, sdp
from tests.b2bua.test_calls import CallCase

LONG = "AES_CM_128_HMAC_SHA1_80"


def crypto(tag: int, filling: int) -> str:
    return f"a=crypto:{make_line(tag, LONG, bytes([filling]) * 30)}\r\n"


def encrypted(
    host: str, port: int, tag: int, filling: int, *, version: int = 1, way: str = "sendrecv"
) -> bytes:
    """A description with one encrypted medium."""
    text = sdp(host, port, more=crypto(tag, filling), version=version, direction=way)
    return text.replace(b"RTP/AVP", b"RTP/SAVP")


def used(description: SessionDescription) -> list[tuple[str, int]]:
    """Protocol and lines of keys of each slot in use."""
    return [
        (each.line.protocol, len(each.cryptos)) for each in description.media if not each.rejected
    ]


class EncryptedCallCase(CallCase):
    """A call in some mode."""

    def keys(self, host: str) -> SrtpKeys | None:
        """The keys of the end toward a host."""
        terms = self.network.plane.terms.values()
        return next(each.keys for each in terms if each.remote and each.remote[0] == host)

    def offered(self) -> SessionDescription:
        """What the phone is offered."""
        return described(self.phone.called.invite.request)


class StrictTests(EncryptedCallCase):
    """Nothing in the clear."""

    def setUp(self) -> None:
        self.build(srtp=SrtpMode.STRICT)

    def call(self) -> None:
        """A call that is up."""
        self.a.call("1001", encrypted("203.0.113.5", 40000, 4, 7))
        self.phone.called.answer(self.now, encrypted(PHONE, 5000, 2, 8))
        self.settle()
        self.assertTrue(self.a.has(Established))

    def test_keys_of_each_leg(self) -> None:
        """Each leg has the keys of its own peer and of its own answer."""
        self.call()
        self.assertEqual(used(self.offered()), [("RTP/SAVP", 2)])
        answer = described(self.a.last(AnswerReceived).message)
        self.assertEqual(used(answer), [("RTP/SAVP", 1)])
        self.assertEqual(answer.media[0].cryptos[0].tag, 4)
        for host, filling in (("203.0.113.5", 7), (PHONE, 8)):
            keys = self.keys(host)
            assert keys is not None
            self.assertEqual((keys.profile, keys.receives), (LONG, bytes([filling]) * 30))

    def test_plain_offer(self) -> None:
        """488, and nothing is left of it."""
        self.a.call("1001", sdp())
        self.assertEqual(self.final(self.a), 488)
        self.assertEqual(self.phone.seen("INVITE"), [])
        self.assert_clean()

    def test_plain_answer(self) -> None:
        """A phone that answers in the clear is hung up on, and the caller told."""
        self.a.call("1001", encrypted("203.0.113.5", 40000, 4, 7))
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        self.assertTrue(self.phone.has(Ended))
        self.assertGreaterEqual(self.final(self.a), 400)
        self.assertFalse(any(terms.sends for terms in self.network.plane.terms.values()))
        self.assert_clean()

    def test_plain_later(self) -> None:
        """A re-INVITE that would end encryption is refused, and the call goes on."""
        self.call()
        before = self.keys("203.0.113.5")
        usage = self.a.last(Established).usage
        usage.modify(lambda: sdp(port=40000, version=2), self.now)
        self.settle()
        self.assertEqual(self.sent(SERVER_A)[-1], "488 INVITE")
        self.assertEqual(self.keys("203.0.113.5"), before)
        self.assertFalse(self.a.has(Ended))

    def test_hold(self) -> None:
        """A hold goes across with the keys that each leg has."""
        self.call()
        before = self.keys("203.0.113.5"), self.keys(PHONE)
        usage = self.a.last(Established).usage
        hold = encrypted("203.0.113.5", 40000, 4, 7, version=2, way="sendonly")
        usage.modify(lambda: hold, self.now)
        self.settle()
        again = described(self.phone.seen("INVITE")[-1])
        self.assertEqual(str(again.media[0].direction), "sendonly")
        line = again.media[0].cryptos[0]
        assert before[1] is not None
        self.assertEqual((line.suite, key_of(line)), (LONG, before[1].sends))
        self.assertEqual((self.keys("203.0.113.5"), self.keys(PHONE)), before)


class OptionalTests(EncryptedCallCase):
    """Encrypted where the peer can."""

    def setUp(self) -> None:
        self.build(srtp=SrtpMode.OPTIONAL)

    def test_one_leg_only(self) -> None:
        """The caller's leg is encrypted, the phone's is not."""
        self.a.call("1001", encrypted("203.0.113.5", 40000, 4, 7))
        self.assertEqual(used(self.offered()), [("RTP/SAVP", 2), ("RTP/AVP", 0)])
        refused = b"m=audio 0 RTP/SAVP 0\r\nm=audio"
        self.phone.called.answer(self.now, sdp(PHONE, 5000).replace(b"m=audio", refused, 1))
        self.settle()
        self.assertIsNone(self.keys(PHONE))
        self.assertIsNotNone(self.keys("203.0.113.5"))

    def test_early_media(self) -> None:
        """What a phone says of keys before it answers is used, and told with our early answer."""
        self.a.call("1001", encrypted("203.0.113.5", 40000, 4, 7))
        early = encrypted(PHONE, 5000, 2, 8) + b"m=audio 0 RTP/AVP 0\r\n"
        self.phone.called.ring(183, self.now, early)
        self.settle()
        keys = self.keys(PHONE)
        assert keys is not None
        self.assertEqual(keys.receives, bytes([8]) * 30)
        self.assertEqual(self.a.last(Progress).response.status, 183)


class WithoutTests(EncryptedCallCase):
    """No encryption at all."""

    def test_two_slots(self) -> None:
        """A peer that offers both gets the plain one."""
        both = sdp(more="m=audio 40002 RTP/AVP 0\r\n").replace(b"RTP/AVP", b"RTP/SAVP", 1)
        both += crypto(1, 7).encode()
        self.a.call("1001", both)
        self.assertEqual(used(self.offered()), [("RTP/AVP", 0)])
        self.phone.called.answer(self.now, sdp(PHONE, 5000))
        self.settle()
        answer = described(self.a.last(AnswerReceived).message)
        self.assertEqual([each.rejected for each in answer.media], [True, False])
        self.assertIsNone(self.keys("203.0.113.5"))

    def test_encrypted_only(self) -> None:
        """488 for a peer that has nothing else."""
        self.a.call("1001", encrypted("203.0.113.5", 40000, 4, 7))
        self.assertEqual(self.final(self.a), 488)
        self.assert_clean()
