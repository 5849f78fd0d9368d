"""Telling protocols apart by their first bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite.demultiplex import NotTls, Speaks, has_first_record, identify
from tests.listen.streams import BINDING, GET

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT")
COOKIE = bytes.fromhex("2112a442")


class IdentifyTests(SynchronousTestCase):
    """``identify`` decides by all bytes so far."""

    def test_every_first_byte(self) -> None:
        """Each of the 256 first bytes, followed by a cookie, has one meaning."""
        for first in range(256):
            data = bytes([first, 1, 0, 0]) + COOKIE + b"x" * 12
            if first == 0x16:
                expected = Speaks.TLS
            elif first < 0x40:
                expected = Speaks.STUN
            else:
                expected = Speaks.UNKNOWN
            self.assertIs(identify(data), expected, hex(first))

    def test_every_first_byte_alone(self) -> None:
        """One byte decides where it can: TLS at once, junk at once, the rest waits."""
        waiting = {*range(0x40), *(method[0] for method in METHODS)} - {0x16}
        for first in range(256):
            verdict = identify(bytes([first]))
            if first == 0x16:
                self.assertIs(verdict, Speaks.TLS)
            else:
                self.assertIs(verdict, None if first in waiting else Speaks.UNKNOWN, hex(first))

    def test_methods(self) -> None:
        """Every HTTP method with its space is HTTP; without the space it is not decided."""
        for method in METHODS:
            self.assertIs(identify(method + b" / HTTP/1.1\r\n"), Speaks.HTTP)
            self.assertIsNone(identify(method))
            self.assertIs(identify(method + b"X"), Speaks.UNKNOWN)

    def test_channel_data_and_proxy_are_not_guessed(self) -> None:
        """ChannelData, both PROXY headers and the HTTP/2 preface are nothing we know."""
        for data in (
            b"\x40\x00\x00\x04data",
            b"GE\x00\x04data",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n",
            b"PRI * HTTP/2.0\r\n",
        ):
            self.assertIs(identify(data), Speaks.UNKNOWN, repr(data))

    def test_wrong_cookie_is_seen_at_its_first_wrong_byte(self) -> None:
        """A STUN-like start fails as soon as the cookie does."""
        for right in range(4):
            data = b"\x00\x01\x00\x00" + COOKIE[:right]
            self.assertIsNone(identify(data))
            self.assertIs(identify(data + b"\xff"), Speaks.UNKNOWN)

    @given(data=st.binary(min_size=1, max_size=24))
    def test_a_verdict_is_final_and_comes_within_eight_bytes(self, data: bytes) -> None:
        """No later byte changes a verdict, and eight bytes always give one."""
        verdicts = [identify(data[:size]) for size in range(1, len(data) + 1)]
        decided = [verdict for verdict in verdicts if verdict is not None]
        self.assertLessEqual(len(set(decided)), 1)
        self.assertTrue(all(verdict is None for verdict in verdicts[: -len(decided) or None]))
        if len(data) >= 8:
            self.assertIsNotNone(verdicts[7])

    def test_splitting_anywhere(self) -> None:
        """A request and a STUN message are told however they are cut."""
        for data, speaks in ((GET, Speaks.HTTP), (BINDING, Speaks.STUN)):
            verdicts = [identify(data[:size]) for size in range(1, len(data) + 1)]
            self.assertEqual({verdict for verdict in verdicts if verdict}, {speaks})
            self.assertIsNone(verdicts[0])


class FirstRecordTests(SynchronousTestCase):
    """``has_first_record`` waits for the whole first TLS record."""

    def test_whole_record(self) -> None:
        """It says yes with the last byte of the record and not before."""
        record = b"\x16\x03\x01\x00\x05hello"
        for size in range(1, len(record)):
            self.assertFalse(has_first_record(record[:size]))
        self.assertTrue(has_first_record(record))
        self.assertTrue(has_first_record(record + b"more"))

    def test_no_record(self) -> None:
        """Another version, an empty record and one beyond 2**14 bytes are no TLS."""
        for data in (b"\x16\x02", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x40\x01"):
            self.assertRaises(NotTls, has_first_record, data)
        self.assertFalse(has_first_record(b"\x16\x03\x01\x40\x00"))
