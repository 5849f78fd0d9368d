"""Handshakes of DTLS while somebody else sends in a peer's name: they end as if nobody had."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net import dtls_signatures
from b2bua.net.dtls import MOST_A_SECOND, DtlsAssociation, DtlsState
from b2bua.net.dtls_answering import HELLO_SECONDS, MOST_HELLOS
from b2bua.net.dtls_attempt import Attempt
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_opening import BELIEVED_AFTER, PATIENCE
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    CLIENT_HELLO,
    HANDSHAKE,
    SERVER_HELLO,
    SERVER_KEY_EXCHANGE,
    Message,
    fragments_in,
    write_record,
)
from b2bua.net.dtls_signatures import CHECKS_A_SECOND
from b2bua.settings import DtlsSettings
from tests.webmedia.dtls_pair import MTU, OURS, THEIRS, Pair

HANDSHAKING, CONNECTED, FAILED = DtlsState.HANDSHAKING, DtlsState.CONNECTED, DtlsState.FAILED
STRANGER = DtlsIdentity.load(DtlsSettings())


def record(kind: int, body: bytes, *, epoch: int = 0, number: int = 7) -> bytes:
    header = struct.pack("!BHHHIH", kind, 0xFEFD, epoch, number >> 32, number & (2**32 - 1), 0)
    return header[:-2] + len(body).to_bytes(2, "big") + body


def piece(kind: int, sequence: int, body: bytes, *, of: int | None = None, at: int = 0) -> bytes:
    """A record with a message, or with a piece of one."""
    whole = len(body) if of is None else of
    lengths = whole.to_bytes(3, "big"), at.to_bytes(3, "big"), len(body).to_bytes(3, "big")
    header = bytes((kind,)) + lengths[0] + sequence.to_bytes(2, "big") + lengths[1] + lengths[2]
    return record(HANDSHAKE, header + body)


def hello_of(identity: DtlsIdentity) -> bytes:
    """A ClientHello that nothing is wrong with."""
    [datagram] = Attempt(identity, MTU).call()
    return datagram


def flight_of(identity: DtlsIdentity, hello: bytes) -> bytes:
    """A server's answer to that."""
    [fragment] = fragments_in([hello])
    answer = Attempt(identity, 16_000).answer(Message(1, 0, fragment.body))
    return b"".join(answer)


HELLO = hello_of(STRANGER)
FORGED = {
    "fatal alert": record(21, b"\x02\x28"),
    "warning": record(21, b"\x01\x5a"),
    "close_notify": record(21, b"\x01\x00"),
    "half an alert": record(21, b"\x02"),
    "another version": b"\x16\xfe\x01" + bytes(10),
    "no end": b"\x16\xfe\xfd" + b"\xff" * 30,
    "ChangeCipherSpec": record(20, b"\x01"),
    "odd ChangeCipherSpec": record(20, b"\x02\x02"),
    "nothing": record(22, b""),
    "half a header": record(22, b"\x01\x00\x00"),
    "piece beyond its whole": piece(11, 1, bytes(20), of=10),
    "piece beyond its record": record(22, b"\x0b\x00\x01\xf4\x00\x01\x00\x00\x00\x00\x01\x90abc"),
    "endless message": piece(11, 1, bytes(10), of=0xFFFFFF),
    "piece of nothing": piece(11, 1, b"", of=100),
    "unknown message": piece(99, 0, b"abc"),
    "unknown message, next": piece(99, 1, b"abc"),
    "HelloRequest": piece(0, 0, b""),
    "HelloVerifyRequest": piece(3, 0, b"\xfe\xff\x04abcd"),
    "odd HelloVerifyRequest": piece(3, 0, b"\xfe\xff\xffabcd"),
    "odd ClientHello": piece(1, 0, b"n" * 60),
    "ClientHello of another": HELLO,
    "odd ServerHello": piece(2, 0, b"n" * 60),
    "flight of another server": flight_of(STRANGER, HELLO),
    "flight to another client": flight_of(THEIRS, HELLO),
    "odd Certificate": piece(11, 1, b"\x00\x00\x05\x00\x00\x02ab"),
    "Certificate too soon": piece(11, 2, b"\x00\x00\x05\x00\x00\x02ab"),
    "no certificate": piece(11, 1, b"\x00\x00\x00"),
    "odd ClientKeyExchange": piece(16, 2, b"\x20" + b"k" * 32),
    "ClientKeyExchange too soon": piece(16, 1, b"\x20" + b"k" * 32),
    "odd CertificateVerify": piece(15, 3, b"\x04\x03\x00\x02ab"),
    "odd CertificateRequest": piece(13, 3, b"\x01\x40\x00\x02\x04\x03\x00\x00"),
    "part of a ServerHello": piece(2, 0, b"n", of=80),
    "part of a Certificate": piece(11, 1, b"n", of=300),
    "ServerHelloDone": piece(14, 0, b""),
    "ServerHelloDone, sooner": piece(14, 3, b""),
    "Finished": piece(20, 4, bytes(12)),
    "number far ahead": write_record(HANDSHAKE, 2**48 - 2, piece(14, 4, b"")[13:]),
    "encrypted": record(22, bytes(60), epoch=1),
    "encrypted alert": record(21, bytes(40), epoch=1),
    "epoch to come": record(22, bytes(60), epoch=2),
    "data": record(23, b"data"),
}


class ForgeryTestCase(SynchronousTestCase):
    """A pair, and what is slipped in."""

    def assertConnected(self, pair: Pair, *about: object) -> None:
        states = (pair.client.state, pair.server.state)
        why = (pair.client.failure, pair.server.failure, *about)
        self.assertEqual(states, (CONNECTED, CONNECTED), why)
        ours, theirs = pair.client.keys, pair.server.keys
        assert ours is not None and theirs is not None
        self.assertEqual((ours.sends, ours.receives), (theirs.receives, theirs.sends))

    def slip_in(self, pair: Pair, before: Callable[[int], Iterator[tuple[bool, bytes]]]) -> None:
        """
        Run a handshake; ``before`` each datagram that is carried others come in.

        It gives for each whether it comes to the client.
        """

        def fate(datagram: bytes) -> list[bytes]:
            for to_client, forged in before(len(pair.sent) - 1):
                to = pair.client if to_client else pair.server
                to.receive(forged, pair.now())
            return [datagram]

        pair.fate = fate
        pair.run()


class KindTests(ForgeryTestCase):
    """Each kind of datagram that OpenSSL would end a handshake for, and some more."""

    def test_any_moment(self) -> None:
        """Before any datagram of a handshake, to either side, nothing of it waits for time."""
        for name, forged in FORGED.items():
            for to_client in (True, False):
                for moment in range(4):
                    pair = Pair()

                    def before(
                        number: int, at: int = moment, to: bool = to_client, data: bytes = forged
                    ) -> Iterator[tuple[bool, bytes]]:
                        if number == at:
                            yield to, data

                    self.slip_in(pair, before)
                    self.assertConnected(pair, name, to_client, moment)

    def test_all_at_once(self) -> None:
        """All of them before each datagram, to both sides."""
        pair = Pair()
        self.slip_in(
            pair, lambda number: ((to, data) for data in FORGED.values() for to in (True, False))
        )
        self.assertConnected(pair)
        self.assertGreater(pair.client.dropped, 20)
        self.assertGreater(pair.server.dropped, 20)

    def test_alerts_are_told(self) -> None:
        """An alert in the clear ends nothing, and is what a log has of it in the end."""
        for is_client in (True, False):
            alone = DtlsAssociation(OURS, is_client=is_client, fingerprints=())
            alone.start(0.0)
            alone.receive(FORGED["fatal alert"], 0.0)
            alone.receive(FORGED["close_notify"], 0.0)
            self.assertEqual((alone.state, alone.dropped), (HANDSHAKING, 2))
            alone.handle_timeout(30.0)
            self.assertEqual(alone.state, FAILED)
            self.assertIn("(somebody said in the clear: handshake failure)", alone.failure)

    def test_refused_hello(self) -> None:
        """A hello that OpenSSL refuses is not answered: its alert would end the peer's try."""
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        server.receive(FORGED["odd ClientHello"], 0.0)
        self.assertEqual((server.state, server.take_datagrams()), (HANDSHAKING, []))
        self.assertIn("length mismatch", server.hint)


class HelloTests(ForgeryTestCase):
    """Hellos that are as good as the peer's."""

    def test_bounded(self) -> None:
        """Some are answered, and no more until the first of them have had their time."""
        pair = Pair()
        pair.start()
        for number in range(MOST_HELLOS + 3):
            pair.server.receive(hello_of(STRANGER), pair.now())
            self.assertEqual(len(pair.server.take_datagrams()), number < MOST_HELLOS)
        pair.settle()
        self.assertEqual(pair.server.state, HANDSHAKING)
        pair.ahead += HELLO_SECONDS
        pair.repeat()
        self.assertConnected(pair)

    def test_bad_ones_for_long(self) -> None:
        """While a hello is answered, others that are refused say nothing of the peer."""
        pair = Pair()
        pair.start()
        pair.server.receive(HELLO, pair.now())
        for _ in range(3):
            pair.server.receive(FORGED["odd ClientHello"], pair.now())
            pair.ahead += BELIEVED_AFTER
        pair.settle()
        self.assertConnected(pair)

    def test_none_for_long(self) -> None:
        """Somebody who says for long that there is no certificate ends nothing."""
        pair = Pair()
        pair.start()
        for _ in range(4):
            pair.server.receive(FORGED["no certificate"], pair.now())
            pair.ahead += BELIEVED_AFTER
        pair.settle()
        self.assertConnected(pair)


class ImpostorTests(ForgeryTestCase):
    """Somebody reads all that is sent, and answers before the peer does, as himself."""

    def test_server(self) -> None:
        """His flight, made for our hello, waits for the peer's, which comes within a second."""
        pair = Pair()
        pair.start()
        [hello] = pair.client.take_datagrams()
        pair.client.receive(flight_of(STRANGER, hello), pair.now())
        pair.ahead += PATIENCE / 2
        self.assertEqual(pair.client.take_datagrams(), [])
        pair.server.receive(hello, pair.now())
        pair.settle()
        self.assertConnected(pair)

    def test_client(self) -> None:
        """So does his answer to our flight."""
        impostor = DtlsAssociation(STRANGER, is_client=True, fingerprints=(THEIRS.fingerprint,))
        impostor.start(0.0)
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        peer = DtlsAssociation(OURS, is_client=True, fingerprints=(THEIRS.fingerprint,))
        peer.start(0.0)
        self.cross(impostor, server)
        self.assertEqual(server.state, HANDSHAKING)
        self.cross(peer, server)
        self.assertEqual((peer.state, server.state), (CONNECTED, CONNECTED))
        self.assertNotEqual(impostor.state, CONNECTED)

    def cross(self, client: DtlsAssociation, server: DtlsAssociation) -> None:
        for _ in range(3):
            for datagram in client.take_datagrams():
                server.receive(datagram, 0.0)
            for datagram in server.take_datagrams():
                client.receive(datagram, 0.0)

    def spoil(self, hello: bytes) -> bytes:
        """Make the peer's flight for a hello, with a cipher that was not offered."""
        flight = flight_of(THEIRS, hello)
        [shown] = [each for each in fragments_in([flight]) if each.kind == SERVER_HELLO]
        # It comes after version, random number and session.
        at = flight.index(shown.body) + 35 + shown.body[34]
        return flight[:at] + b"\x00\x00" + flight[at + 2 :]

    def test_spoiled(self) -> None:
        """After a flight that is spoiled where nothing is signed comes another hello."""
        pair = Pair()
        pair.start()
        [hello] = pair.client.take_datagrams()
        pair.server.receive(hello, pair.now())
        pair.client.receive(self.spoil(hello), pair.now())
        self.assertEqual((pair.client.state, pair.client.take_datagrams()), (HANDSHAKING, []))
        self.assertIn("OpenSSL gave up", pair.client.hint)
        pair.let_pass(PATIENCE)
        self.assertConnected(pair)

    def test_spoiled_for_long(self) -> None:
        """If each one is, that is the peer's fault after a while, and it is told."""
        client = DtlsAssociation(OURS, is_client=True, fingerprints=(THEIRS.fingerprint,))
        client.start(0.0)
        tries = 0
        while client.state is HANDSHAKING:
            [hello] = client.take_datagrams()
            client.receive(self.spoil(hello), tries * PATIENCE)
            tries += 1
            client.handle_timeout(tries * PATIENCE)
        self.assertEqual((client.state, tries), (FAILED, 1 + BELIEVED_AFTER / PATIENCE))
        self.assertIn("OpenSSL gave up", client.failure)
        self.assertEqual(len(client.take_datagrams()), 1)


def seen(kind: int, datagrams: list[bytes]) -> dict[bytes, bytes]:
    """Whole messages of a kind, by their random number, or by themselves."""
    found = [each.body for each in fragments_in(datagrams) if each.kind == kind]
    return {(body[2:34] if kind in (CLIENT_HELLO, SERVER_HELLO) else body): body for body in found}


def is_as_good_a_hello(forged: bytes, sent: list[bytes]) -> bool:
    """
    Whether it is the client's hello but for what is beside its random number.

    A server's flight in answer is signed for the client as well, who then has said another thing
    than the server has heard.
    """
    own, other = seen(CLIENT_HELLO, sent), seen(CLIENT_HELLO, [forged])
    return any(own.get(number, body) != body for number, body in other.items())


def is_as_good_a_flight(forged: bytes, sent: list[bytes]) -> bool:
    """
    Whether it is a server's own flight, changed where nothing is signed.

    Then nothing in it, nor before the end of the handshake, tells it from the server's.
    """
    own, other = seen(SERVER_HELLO, sent), seen(SERVER_HELLO, [forged])
    hello = any(own.get(number, body) != body for number, body in other.items())
    signed = seen(SERVER_KEY_EXCHANGE, sent).keys() & seen(SERVER_KEY_EXCHANGE, [forged]).keys()
    wishes = seen(CERTIFICATE_REQUEST, [forged]).keys() - seen(CERTIFICATE_REQUEST, sent).keys()
    return hello or bool(signed and wishes)


KINDS = (0, 1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 20, 22, 99)
ANY_RECORD = st.builds(
    record,
    st.integers(20, 24),
    st.binary(max_size=120),
    epoch=st.integers(0, 2),
    number=st.integers(0, 2**48 - 1),
)
ANY_PIECE = st.builds(
    lambda kind, sequence, body, more, at: piece(kind, sequence, body, of=len(body) + more, at=at),
    st.sampled_from(KINDS),
    st.integers(0, 6),
    st.binary(max_size=120),
    st.sampled_from((0, 0, 0, 1, 40, 1000)),
    st.sampled_from((0, 0, 0, 1, 40)),
)
ANY = st.one_of(
    st.binary(max_size=200), ANY_RECORD, ANY_PIECE, st.sampled_from(sorted(FORGED.values()))
)
CHANGES = st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=3)


class InjectionTests(ForgeryTestCase):
    """Anything in between does not keep a handshake from its end."""

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_anything(self, data: st.DataObject) -> None:
        """
        Up to three datagrams before each of the peers' own, to either side.

        They are anything, or what was sent so far and is on its way, as it is or changed; but for
        what nobody can tell from the peer's own, before that has arrived.
        """
        pair = Pair(mtu=data.draw(st.sampled_from((MTU, MTU, 400))))

        def before(number: int) -> Iterator[tuple[bool, bytes]]:
            if number > 12:
                return
            for _ in range(data.draw(st.integers(0, 3))):
                to_client = data.draw(st.booleans())
                forged = self.forge(data, pair.sent)
                if to_client:
                    excepted = is_as_good_a_flight(forged, pair.sent)
                else:
                    excepted = number == 0 and is_as_good_a_hello(forged, pair.sent)
                if not excepted:
                    yield to_client, forged

        self.slip_in(pair, before)
        pair.fate = lambda datagram: [datagram]
        if CONNECTED is not pair.client.state or CONNECTED is not pair.server.state:
            pair.repeat()
        self.assertConnected(pair)

    def forge(self, data: st.DataObject, sent: list[bytes]) -> bytes:
        if data.draw(st.booleans()):
            return data.draw(ANY)
        copy = bytearray(data.draw(st.sampled_from(sent)))
        for at, value in data.draw(CHANGES):
            copy[at % len(copy)] = value
        return bytes(copy[: data.draw(st.sampled_from((None, None, 40, 200)))])


class BoundTests(ForgeryTestCase):
    """What a flood costs."""

    def test_signatures(self) -> None:
        """In a second a hundred are checked, whatever comes; what is left is for the next one."""
        checked: list[bytes] = []
        check = dtls_signatures._has_signed

        def count(certificate: bytes, signature: bytes, signed: bytes) -> bool:
            checked.append(signature)
            return check(certificate, signature, signed)

        self.patch(dtls_signatures, "_has_signed", count)
        pair = Pair()
        pair.start()
        for _ in range(MOST_HELLOS - 1):
            pair.server.receive(hello_of(STRANGER), 0.0)
        pair.carry()
        [own] = pair.client.take_datagrams()
        [shown] = [each for each in fragments_in([own]) if each.kind == CERTIFICATE]
        pair.server.receive(piece(CERTIFICATE, 1, shown.body), 0.0)
        for number in range(MOST_A_SECOND // 512):
            odd = number.to_bytes(8, "big")
            signature = b"\x04\x03\x00\x40" + bytes(56) + odd
            pair.server.receive(piece(16, 2, b"\x20" + odd * 4) + piece(15, 3, signature), 0.0)
        of_clients = [each for each in checked if each[:4] == b"\x04\x03\x00\x40"]
        self.assertEqual(len(of_clients), CHECKS_A_SECOND)
        pair.ahead += 1.0
        pair.server.receive(own, pair.now())
        pair.settle()
        self.assertConnected(pair)
