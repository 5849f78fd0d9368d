"""Tests of Send and Data indications."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import strategies
from turn.five_tuple import Address
from turn.stun.attributes import Attribute, pack_xor_address, unpack_icmp, unpack_xor_address
from turn.stun.errors import MESSAGE_FAULTS, MalformedMessage
from turn.stun.message import Class, Integrity, Method, decode, encode
from turn.stun.relayed import (
    UNDERSTOOD,
    SendIndication,
    pack_data,
    pack_icmp_data,
    parse_send,
)

IDENTITY = bytes(range(12))
PEER = ("192.0.2.1", 9000)
XOR_PEER = (int(Attribute.XOR_PEER_ADDRESS), pack_xor_address(PEER, IDENTITY))
DATA = (int(Attribute.DATA), b"hello")


def send(*attributes: tuple[int, bytes], **options: object) -> bytes:
    """A Send indication with these attributes."""
    return encode(Method.SEND, Class.INDICATION, IDENTITY, attributes, **options)


def parse_slowly(data: bytes) -> SendIndication:
    """What a Send indication says, by way of the general decoder."""
    message = decode(data)
    peer = message.first(Attribute.XOR_PEER_ADDRESS)
    if peer is None:
        raise MalformedMessage("peer")
    return SendIndication(
        unpack_xor_address(peer, message.transaction_id),
        message.first(Attribute.DATA),
        message.has(Attribute.DONT_FRAGMENT),
        bool(message.unknown_required(UNDERSTOOD)),
    )


@st.composite
def send_indications(draw: st.DrawFn) -> bytes:
    """Send indications with what belongs there, in any order, and with what does not."""
    identity = draw(strategies.transaction_ids)
    attribute = st.one_of(
        st.tuples(
            st.just(int(Attribute.XOR_PEER_ADDRESS)),
            strategies.addresses().map(lambda address: pack_xor_address(address, identity))
            | st.binary(max_size=21),
        ),
        st.tuples(st.just(int(Attribute.DATA)), st.binary(max_size=30)),
        st.just((int(Attribute.DONT_FRAGMENT), b"")),
        st.tuples(
            st.sampled_from(list(Attribute)).map(int) | st.integers(0, 0xFFFF),
            st.binary(max_size=4) | st.just(bytes(20)) | st.just(bytes(32)),
        ),
    )
    valid_peer = (int(Attribute.XOR_PEER_ADDRESS), pack_xor_address(PEER, identity))
    data = encode(
        Method.SEND,
        Class.INDICATION,
        identity,
        draw(st.sampled_from([[], [valid_peer]])) + draw(st.lists(attribute, max_size=5)),
        key=draw(st.none() | strategies.keys),
        integrity=draw(st.sampled_from(Integrity)),
        fingerprint=draw(st.booleans()),
    )
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(20, len(data)))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + 2 :]
    return data


class SendTests(SynchronousTestCase):
    """Reading Send indications."""

    def assertRefused(self, data: bytes, reason: str) -> None:
        with self.assertRaises(MalformedMessage) as caught:
            parse_send(data)
        self.assertEqual(caught.exception.reason, reason)

    @given(strategies.addresses(), st.binary(max_size=200), strategies.transaction_ids)
    def test_peer_and_payload(self, peer: Address, payload: bytes, identity: bytes) -> None:
        """Peer and payload are those that were sent."""
        attributes = [
            (Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, identity)),
            (Attribute.DATA, payload),
        ]
        data = encode(Method.SEND, Class.INDICATION, identity, attributes)
        self.assertEqual(parse_send(data), SendIndication(peer, payload, False, False))

    @given(send_indications())
    def test_agrees_with_the_decoder(self, data: bytes) -> None:
        """The short way and the general decoder understand every Send indication alike."""
        try:
            expected = parse_slowly(data)
        except MalformedMessage:
            self.assertRaises(MalformedMessage, parse_send, data)
        else:
            self.assertEqual(parse_send(data), expected)

    @given(strategies.malformed())
    def test_only_malformed_message(self, data: bytes) -> None:
        """Bytes are read or refused with a word from the list; nothing else is raised."""
        try:
            parse_send(data)
        except MalformedMessage as error:
            self.assertIn(error.reason, MESSAGE_FAULTS)

    def test_empty_and_missing_data(self) -> None:
        """An empty DATA is an empty payload, no DATA is none."""
        self.assertEqual(parse_send(send(XOR_PEER, (DATA[0], b""))).payload, b"")
        self.assertIsNone(parse_send(send(XOR_PEER)).payload)

    def test_first_duplicate_wins(self) -> None:
        """Of several peers and payloads the first counts, even before a malformed one."""
        other = (XOR_PEER[0], b"nonsense")
        indication = parse_send(send(DATA, XOR_PEER, other, (DATA[0], b"bye")))
        self.assertEqual(indication, SendIndication(PEER, b"hello", False, False))

    def test_dont_fragment(self) -> None:
        """DONT-FRAGMENT is told, wherever it stands."""
        self.assertTrue(parse_send(send((0x001A, b""), XOR_PEER, DATA)).dont_fragment)
        self.assertTrue(parse_send(send(XOR_PEER, DATA, (0x001A, b""))).dont_fragment)

    def test_unknown_required(self) -> None:
        """An attribute that a server must know and does not is told; others are not."""
        for kind, unknown in (
            (0x7FFF, True),
            (Attribute.CHANGE_REQUEST, True),
            (0x8000, False),
            (0xFFFF, False),
            (Attribute.USERNAME, False),
            (Attribute.LIFETIME, False),
        ):
            indication = parse_send(send(XOR_PEER, DATA, (kind, b"")))
            self.assertIs(indication.unknown_required, unknown, hex(kind))

    def test_after_integrity(self) -> None:
        """What no HMAC covers is not there."""
        protected = send(XOR_PEER, key=b"key")
        tail = b"\0\x13\0\x04evil"
        length = (len(protected) + len(tail) - 20).to_bytes(2, "big")
        indication = parse_send(protected[:2] + length + protected[4:] + tail)
        self.assertEqual(indication, SendIndication(PEER, None, False, False))

    def test_fingerprint(self) -> None:
        """A wrong FINGERPRINT is refused here too."""
        data = send(XOR_PEER, DATA, fingerprint=True)
        self.assertEqual(parse_send(data).payload, b"hello")
        self.assertRefused(data[:-1] + bytes([data[-1] ^ 1]), "fingerprint")

    def test_refusals(self) -> None:
        """Each fault has its word."""
        data = send(XOR_PEER, DATA)
        self.assertRefused(data[:19], "short")
        self.assertRefused(b"\0\x17" + data[2:], "type")
        self.assertRefused(data[:4] + bytes(4) + data[8:], "cookie")
        self.assertRefused(data[:-4], "length")
        self.assertRefused(data + b"\0", "length")
        self.assertRefused(send(DATA), "peer")
        self.assertRefused(send(DATA, key=b"key"), "peer")
        self.assertRefused(send((XOR_PEER[0], b"\0\1"), DATA), "address")
        overrun = bytearray(data)
        overrun[35] = 9
        self.assertRefused(bytes(overrun), "overrun")


class DataTests(SynchronousTestCase):
    """Making Data indications."""

    @given(strategies.addresses(), st.binary(max_size=200), strategies.transaction_ids)
    def test_data(self, peer: Address, payload: bytes, identity: bytes) -> None:
        """The bytes are those of the general encoder."""
        expected = encode(
            Method.DATA,
            Class.INDICATION,
            identity,
            [
                (Attribute.XOR_PEER_ADDRESS, pack_xor_address(peer, identity)),
                (Attribute.DATA, payload),
            ],
        )
        self.assertEqual(pack_data(peer, payload, identity), expected)

    @given(
        strategies.addresses(),
        st.integers(0, 127),
        st.integers(0, 255),
        st.integers(0, 0xFFFFFFFF),
        strategies.transaction_ids,
    )
    def test_icmp(
        self, peer: Address, icmp_type: int, code: int, extra: int, identity: bytes
    ) -> None:
        """An error is told by peer and ICMP, without DATA."""
        message = decode(pack_icmp_data(peer, icmp_type, code, extra, identity))
        self.assertEqual((message.method, message.message_class), (Method.DATA, Class.INDICATION))
        self.assertEqual(message.transaction_id, identity)
        (peer_kind, peer_value), (kind, value) = message.attributes
        self.assertEqual((peer_kind, kind), (Attribute.XOR_PEER_ADDRESS, Attribute.ICMP))
        self.assertEqual(unpack_xor_address(peer_value, identity), peer)
        self.assertEqual(unpack_icmp(value), (icmp_type, code, extra))
