"""Handshakes of DTLS while somebody else sends in a peer's name: they end as if nobody had."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_client import COOKIE_PATIENCE, PATIENCE
from b2bua.net.dtls_handshake import REFUSED_SECONDS, WRONG_CERTIFICATE
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_messages import MOST_CHOICES
from b2bua.net.dtls_openssl import Attempt
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    CLIENT_HELLO,
    HANDSHAKE,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    SERVER_KEY_EXCHANGE,
    Message,
    fragments_in,
    write_record,
)
from b2bua.settings import DtlsSettings
from tests.webmedia.dtls_pair import (
    LENGTHY,
    MTU,
    OURS,
    THEIRS,
    Browser,
    CalledBrowser,
    CallingBrowser,
    Pair,
    rsa_identity,
)
from tests.webmedia.impostor import Impostor, joined

AnyPair = Pair | CallingBrowser | CalledBrowser
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
    [datagram] = Attempt(identity, MTU, count()).call()
    return datagram


def hello_with_cookie(server: DtlsAssociation, less: int = 0) -> bytes:
    """One of somebody who reads what the server says; ``less``: bytes that are cut off its end."""
    reader = Attempt(STRANGER, MTU, count())
    [first] = fragments_in(reader.call())
    server.receive(piece(CLIENT_HELLO, 0, first.body[: len(first.body) - less]), 0.0)
    said = fragments_in(server.take_datagrams())
    [request] = [each for each in said if each.kind == HELLO_VERIFY_REQUEST]
    reader.verify(Message(HELLO_VERIFY_REQUEST, 0, request.body))
    [again] = fragments_in(reader.drain())
    return piece(CLIENT_HELLO, 1, again.body[: len(again.body) - less])


def bad_hello(server: DtlsAssociation) -> bytes:
    """One with a cookie that OpenSSL refuses."""
    return hello_with_cookie(server, less=2)


def flight_of(identity: DtlsIdentity, hello: bytes) -> bytes:
    """A server's answer to that."""
    [fragment] = fragments_in([hello])
    if fragment.sequence:
        answer = Attempt(identity, 16_000, count()).answer(Message(1, 1, fragment.body))
        return b"".join(answer)
    server = Browser(identity, 16_000, is_client=False)
    server.receive(hello, 0.0)
    return b"".join(server.take_datagrams())


HELLO = hello_of(STRANGER)
SECOND_HELLO = hello_with_cookie(
    DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
)
"""The cookie is of a handshake that is over."""


def forged_ones(first: int) -> dict[str, bytes]:
    """What OpenSSL ends a handshake for, and some more; ``first``: of the ServerHello."""
    heard = SECOND_HELLO if first else HELLO
    return {
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
        "piece beyond its whole": piece(11, first + 1, bytes(20), of=10),
        "piece beyond its record": record(
            22, b"\x0b\x00\x01\xf4\x00\x01\x00\x00\x00\x00\x01\x90abc"
        ),
        "endless message": piece(11, first + 1, bytes(10), of=0xFFFFFF),
        "piece of nothing": piece(11, first + 1, b"", of=100),
        "unknown message": piece(99, 0, b"abc"),
        "unknown message, next": piece(99, 1, b"abc"),
        "HelloRequest": piece(0, 0, b""),
        "HelloVerifyRequest": piece(3, 0, b"\xfe\xff\x04abcd"),
        "odd HelloVerifyRequest": piece(3, 0, b"\xfe\xff\xffabcd"),
        "odd ClientHello": piece(1, 0, b"n" * 60),
        "ClientHello of another": HELLO,
        "with another cookie": SECOND_HELLO,
        "end of a second hello": piece(1, 1, bytes(40), of=200, at=160),
        "odd ServerHello": piece(2, first, b"n" * 60),
        "flight of another server": flight_of(STRANGER, heard),
        "flight to another client": flight_of(THEIRS, heard),
        "odd Certificate": piece(11, first + 1, b"\x00\x00\x05\x00\x00\x02ab"),
        "Certificate too soon": piece(11, first + 2, b"\x00\x00\x05\x00\x00\x02ab"),
        "no certificate": piece(11, first + 1, b"\x00\x00\x00"),
        "odd ClientKeyExchange": piece(16, first + 2, b"\x20" + b"k" * 32),
        "ClientKeyExchange too soon": piece(16, first + 1, b"\x20" + b"k" * 32),
        "odd CertificateVerify": piece(15, first + 3, b"\x04\x03\x00\x02ab"),
        "odd CertificateRequest": piece(13, first + 3, b"\x01\x40\x00\x02\x04\x03\x00\x00"),
        "part of a ServerHello": piece(2, first, b"n", of=80),
        "part of a Certificate": piece(11, first + 1, b"n", of=300),
        "ServerHelloDone": piece(14, first, b""),
        "ServerHelloDone, sooner": piece(14, first + 3, b""),
        "Finished": piece(20, first + 4, bytes(12)),
        "number far ahead": write_record(HANDSHAKE, 2**48 - 2, piece(14, first + 4, b"")[13:]),
        "encrypted": record(22, bytes(60), epoch=1),
        "encrypted alert": record(21, bytes(40), epoch=1),
        "epoch to come": record(22, bytes(60), epoch=2),
        "data": record(23, b"data"),
    }


FORGED = forged_ones(1)
FROM_BROWSERS = forged_ones(0)


class ForgeryTestCase(SynchronousTestCase):
    """A pair, and what is slipped in."""

    def assertConnected(self, pair: AnyPair, *about: object) -> None:
        states = (pair.client.state, pair.server.state)
        why = (pair.client.failure, pair.server.failure, *about)
        self.assertEqual(states, (CONNECTED, CONNECTED), why)
        ours, theirs = pair.client.keys, pair.server.keys
        assert ours is not None and theirs is not None
        self.assertEqual((ours.sends, ours.receives), (theirs.receives, theirs.sends))

    def slip_in(self, pair: AnyPair, before: Callable[[int], Iterator[tuple[bool, bytes]]]) -> None:
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

    def test_calling_browser(self) -> None:
        """In the name of a browser that calls us, from before its first hello to the end."""
        self.at_any_moment(CallingBrowser, FORGED, (False,))

    def test_called_browser(self) -> None:
        """In the name of one that waits for our hello."""
        self.at_any_moment(CalledBrowser, FROM_BROWSERS, (True,))

    def test_both(self) -> None:
        """In the names of both sides, once the second hello is on its way."""
        self.at_any_moment(Pair, FORGED, (True, False))

    def at_any_moment(
        self, kind: type[AnyPair], forged_ones: dict[str, bytes], sides: tuple[bool, ...]
    ) -> None:
        """Nothing that comes before any datagram of a handshake has it wait for time."""
        moments = len(kind().run().sent)
        self.assertGreaterEqual(moments, 4)
        for name, forged in forged_ones.items():
            for to_client in sides:
                for moment in range(moments):
                    pair = kind()

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

        def before(number: int) -> Iterator[tuple[bool, bytes]]:
            for data in FORGED.values():
                yield True, data
                yield False, data
            # No more at once than is looked at.
            pair.ahead += 1.0

        self.slip_in(pair, before)
        pair.let_pass(PATIENCE)
        self.assertConnected(pair)
        self.assertGreater(pair.client.dropped, 20)
        self.assertGreater(pair.server.dropped, 20)

    def test_alerts_are_told(self) -> None:
        """An alert in the clear ends nothing, and is what a log has of it in the end."""
        server = DtlsAssociation(OURS, is_client=False, fingerprints=())
        server.start(0.0)
        server.receive(FORGED["fatal alert"], 0.0)
        server.receive(FORGED["close_notify"], 0.0)
        self.assertEqual((server.state, server.dropped), (HANDSHAKING, 2))
        server.handle_timeout(30.0)
        self.assertEqual(server.state, FAILED)
        self.assertIn("(the peer ended the handshake: handshake failure)", server.failure)

    def test_refused_hello(self) -> None:
        """A hello that OpenSSL refuses is not answered: its alert would end the peer's try."""
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        server.receive(bad_hello(server), 0.0)
        self.assertEqual((server.state, server.take_datagrams()), (HANDSHAKING, []))
        self.assertIn("length mismatch", server.hint)


class HelloTests(ForgeryTestCase):
    """Hellos that are as good as the peer's."""

    def flood(self, server: DtlsAssociation, hellos: int) -> list[int]:
        """Send that many; returns how long the answers are."""
        lengths = []
        for _ in range(hellos):
            server.receive(hello_of(STRANGER), 0.0)
            lengths.append(len(b"".join(server.take_datagrams())))
        return lengths

    def test_asked_for_a_cookie(self) -> None:
        """No hello of who may not read what we send is answered by more than it was."""
        pair = Pair()
        pair.begin()
        lengths = self.flood(pair.server, 20)
        self.assertGreater(min(lengths), 0)
        self.assertLess(max(lengths), 64)

    def test_cookie(self) -> None:
        """However many there were, who reads what we send is answered."""
        pair = Pair()
        pair.begin()
        self.flood(pair.server, 100)
        pair.settle()
        self.assertEqual(pair.server.state, HANDSHAKING)
        pair.let_pass(COOKIE_PATIENCE)
        self.assertConnected(pair)

    def test_wrong_cookie(self) -> None:
        """One with another cookie is not answered."""
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        self.flood(server, 3)
        client = Attempt(OURS, MTU, count())
        client.call()
        client.verify(Message(HELLO_VERIFY_REQUEST, 0, b"\xfe\xff\x10" + b"c" * 16))
        for datagram in client.drain():
            server.receive(datagram, 0.0)
        self.assertEqual(server.take_datagrams(), [])

    def test_reader_comes_later(self) -> None:
        """One of somebody who reads the cookie is not answered after the peer's."""
        pair = CallingBrowser()
        pair.start()
        pair.carry()
        for datagram in pair.client.take_datagrams():
            pair.server.receive(datagram, pair.now())
        flight = pair.server.take_datagrams()
        pair.server.receive(hello_with_cookie(pair.server), pair.now())
        self.assertEqual(pair.server.take_datagrams(), [])
        for datagram in flight:
            pair.client.receive(datagram, pair.now())
        pair.settle()
        self.assertConnected(pair)

    def test_end_of_another_hello(self) -> None:
        """The end of a hello, of whomever, put behind the peer's beginning is not answered."""
        caller = Browser(LENGTHY, is_client=True)
        caller.start(0.0)
        [whole] = joined(caller.take_datagrams())
        end = whole.body.replace(b"g" * 200, b"h" * 200)[1000:]
        # The cookie makes the second one 16 bytes longer.
        forged = piece(CLIENT_HELLO, 1, end, of=len(whole.body) + 16, at=1016)
        for moment in range(5):
            pair = CallingBrowser(browser=LENGTHY)

            def before(number: int, at: int = moment) -> Iterator[tuple[bool, bytes]]:
                if number == at:
                    yield False, forged

            self.slip_in(pair, before)
            if moment == 4:
                # It came between the two pieces, so both have to come again.
                self.assertEqual(pair.server.state, HANDSHAKING)
                pair.repeat()
            self.assertConnected(pair, moment)

    def test_changed_hello(self) -> None:
        """A hello that is not what it was before is answered when it comes again."""
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        hello = hello_with_cookie(server)
        for number in range(3):
            server.receive(hello_of(STRANGER), number)
        server.take_datagrams()
        server.receive(hello, 3.0)
        self.assertEqual(server.take_datagrams(), [])
        server.receive(hello, 3.0)
        self.assertNotEqual(server.take_datagrams(), [])

    def test_heard_once(self) -> None:
        """A hello in pieces is heard each time that it comes, and not for a piece more."""
        whole = bytes(range(250)) * 2
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        for _ in range(3):
            for at in range(0, len(whole), 100):
                self.assertEqual(server.take_datagrams(), [])
                part = piece(CLIENT_HELLO, 0, whole[at : at + 100], of=len(whole), at=at)
                server.receive(part, 0.0)
            self.assertEqual(len(server.take_datagrams()), 1)
            server.receive(piece(CLIENT_HELLO, 0, b"x", of=len(whole), at=100), 0.0)
            self.assertEqual(server.take_datagrams(), [])

    def test_bad_ones_after(self) -> None:
        """When a hello is answered, others that would be refused say nothing of the peer."""
        pair = Pair()
        pair.start()
        pair.carry()
        own = pair.client.take_datagrams()
        for _ in range(3):
            pair.server.receive(bad_hello(pair.server), pair.now())
            pair.ahead += REFUSED_SECONDS
            pair.server.handle_timeout(pair.now())
        for datagram in own:
            pair.server.receive(datagram, pair.now())
        pair.settle()
        self.assertConnected(pair)

    def test_bad_one_first(self) -> None:
        """One that is refused is forgotten when a better one comes."""
        pair = Pair()
        pair.start()
        pair.server.receive(bad_hello(pair.server), pair.now())
        pair.carry()
        pair.server.handle_timeout(pair.now() + REFUSED_SECONDS + 1.0)
        pair.settle()
        self.assertConnected(pair)

    def test_none_for_long(self) -> None:
        """Somebody who says for long that there is no certificate ends nothing."""
        pair = Pair()
        pair.start()
        pair.carry()
        own = pair.client.take_datagrams()
        for _ in range(4):
            pair.server.receive(FORGED["no certificate"], pair.now())
            pair.ahead += REFUSED_SECONDS
            pair.server.handle_timeout(pair.now())
        for datagram in own:
            pair.server.receive(datagram, pair.now())
        pair.settle()
        self.assertConnected(pair)


class ImpostorTests(ForgeryTestCase):
    """Somebody reads all that is sent, and answers before the peer does, as himself."""

    def test_server(self) -> None:
        """His flight, made for our hello, waits for the peer's."""
        pair = Pair()
        pair.start()
        [hello] = pair.client.take_datagrams()
        pair.client.receive(flight_of(STRANGER, hello), pair.now())
        pair.client.handle_timeout(REFUSED_SECONDS - 1.0)
        self.assertEqual(pair.client.state, HANDSHAKING)
        pair.server.receive(hello, pair.now())
        pair.settle()
        self.assertConnected(pair)

    def test_client(self) -> None:
        """So does his answer to our flight."""
        pair = Pair()
        pair.start()
        [hello] = pair.client.take_datagrams()
        pair.server.receive(hello, pair.now())
        flight = pair.server.take_datagrams()
        pair.server.receive(Impostor().flight([hello, *flight]), pair.now())
        self.assertEqual(pair.server.hint, WRONG_CERTIFICATE)
        pair.server.handle_timeout(pair.now() + REFUSED_SECONDS - 1.0)
        self.assertEqual(pair.server.state, HANDSHAKING)
        for datagram in flight:
            pair.client.receive(datagram, pair.now())
        pair.settle()
        self.assertConnected(pair)

    def test_request_before(self) -> None:
        """A forged CertificateRequest that waits for the flight is not taken for the one in it."""
        for mtu in (MTU, 300):
            pair = Pair(mtu=mtu)
            pair.start()
            pair.client.receive(FORGED["odd CertificateRequest"], pair.now())
            pair.settle()
            self.assertConnected(pair, mtu)

    def test_more_than_a_certificate(self) -> None:
        """A copy of the server's certificate with something beside it gives way to the original."""
        by_rsa = rsa_identity(size=2048)
        for spoil in (lambda body: body + b"xyz", lambda body: b"\0\0\1" + body[3:]):
            pair = Pair(server=by_rsa, mtu=900)
            pair.start()
            [hello] = pair.client.take_datagrams()
            pair.server.receive(hello, pair.now())
            first, *rest = pair.server.take_datagrams()
            [shown] = [each.body for each in fragments_in([first]) if each.kind == CERTIFICATE]
            for datagram in (first, piece(CERTIFICATE, 2, spoil(shown)), *rest):
                pair.client.receive(datagram, pair.now())
            pair.settle()
            self.assertConnected(pair)

    def test_another_name_of_an_algorithm(self) -> None:
        """A flight that names its signature otherwise, ahead of the peer's, is passed over."""

        def fate(datagram: bytes) -> list[bytes]:
            pss, other = b"\x08\x04\x01\x00", b"\x08\x09\x01\x00"
            changed = datagram.replace(pss, other)
            self.renamed += changed != datagram
            return [datagram] if changed == datagram else [changed, datagram]

        by_rsa = rsa_identity(size=2048)
        for client, server in ((by_rsa, THEIRS), (OURS, by_rsa)):
            self.renamed = 0
            self.assertConnected(Pair(client, server, fate, mtu=4000).run())
            self.assertEqual(self.renamed, 1)

    def test_forged_request_to_verify(self) -> None:
        """A forged HelloVerifyRequest waits for a ServerHello, and asks for it once more."""
        pair = CalledBrowser()
        pair.begin()
        first = pair.client.take_datagrams()
        pair.client.receive(FORGED["HelloVerifyRequest"], pair.now())
        again = pair.client.take_datagrams()
        self.assertEqual(list(fragments_in(again)), list(fragments_in(first)))
        for datagram in again:
            pair.server.receive(datagram, pair.now())
        pair.settle()
        self.assertConnected(pair)


class UnaskedTests(ForgeryTestCase):
    """What comes before it can mean anything."""

    def client(self) -> DtlsAssociation:
        return DtlsAssociation(OURS, is_client=True, fingerprints=(THEIRS.fingerprint,))

    def test_patience(self) -> None:
        """A HelloVerifyRequest is believed after two seconds without a ServerHello."""
        client = self.client()
        client.start(0.0)
        first = client.take_datagrams()
        client.receive(FORGED["HelloVerifyRequest"], 0.1)
        self.assertEqual(
            list(fragments_in(client.take_datagrams())), list(fragments_in(first)), "once more"
        )
        client.handle_timeout(COOKIE_PATIENCE)
        self.assertEqual(client.take_datagrams(), [])
        client.handle_timeout(0.1 + COOKIE_PATIENCE)
        [hello] = fragments_in(client.take_datagrams())
        self.assertEqual((hello.kind, hello.sequence), (CLIENT_HELLO, 1))
        self.assertIn(b"\x04abcd", hello.body)

    def test_malformed(self) -> None:
        """One that OpenSSL would end the handshake for is not believed, whatever comes with it."""
        for body in (b"", b"\xfe\xff", b"\xfe\xff\x04abc", b"\xfe\xff\x04abcde", b"\x03\x03\0"):
            client = self.client()
            client.start(0.0)
            client.take_datagrams()
            client.receive(piece(HELLO_VERIFY_REQUEST, 0, body), 0.0)
            client.handle_timeout(COOKIE_PATIENCE)
            self.assertEqual((client.state, client.take_datagrams()), (HANDSHAKING, []))

    def test_malformed_after(self) -> None:
        """Some of those push out one that is not, and nothing comes of it."""
        client = self.client()
        client.start(0.0)
        client.receive(FORGED["HelloVerifyRequest"], 0.0)
        for number in range(MOST_CHOICES):
            client.receive(piece(HELLO_VERIFY_REQUEST, 0, bytes([number])), 0.0)
        client.take_datagrams()
        client.handle_timeout(COOKIE_PATIENCE)
        self.assertEqual((client.state, client.take_datagrams()), (HANDSHAKING, []))

    def test_with_server_hello(self) -> None:
        """One that comes beside a ServerHello is not believed."""
        client = self.client()
        client.start(0.0)
        client.take_datagrams()
        client.receive(FORGED["HelloVerifyRequest"], 0.0)
        client.receive(FROM_BROWSERS["odd ServerHello"], 0.0)
        client.take_datagrams()
        client.handle_timeout(COOKIE_PATIENCE)
        self.assertEqual(client.take_datagrams(), [])

    def test_before_start(self) -> None:
        """A client that has said nothing has not been answered."""
        client = self.client()
        client.receive(FORGED["HelloVerifyRequest"], 0.0)
        client.handle_timeout(REFUSED_SECONDS + COOKIE_PATIENCE)
        self.assertEqual(client.state, HANDSHAKING)
        self.assertEqual(client.take_datagrams(), [])
        pair = Pair()
        pair.client = client
        pair.run()
        self.assertConnected(pair)


def seen(kind: int, datagrams: list[bytes]) -> dict[bytes, bytes]:
    """Whole messages of a kind, by their random number, or by themselves."""
    found = [each.body for each in fragments_in(datagrams) if each.kind == kind]
    return {(body[2:34] if kind in (CLIENT_HELLO, SERVER_HELLO) else body): body for body in found}


def is_as_good_a_hello(forged: bytes, sent: list[bytes]) -> bool:
    """
    Whether it is another hello with the cookie, or its beginning, of a reader who is faster.

    The client has said another thing than the server has heard then.
    """
    own = [each for each in fragments_in(sent[-1:]) if each.kind == CLIENT_HELLO]
    return any(
        each.kind == CLIENT_HELLO and each.sequence and not each.offset and each not in own
        for each in fragments_in([forged])
        if own
    )


def is_as_good_a_flight(forged: bytes, sent: list[bytes]) -> bool:
    """
    Whether it is a server's own flight, changed where nothing is signed.

    Then nothing in it, nor before the end of the handshake, tells it from the server's. That is so
    for a CertificateRequest as soon as what is signed has come.
    """
    own, other = seen(SERVER_HELLO, sent), seen(SERVER_HELLO, [forged])
    hello = any(own.get(number, body) != body for number, body in other.items())
    signed = seen(SERVER_KEY_EXCHANGE, sent)
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


COPY = st.tuples(st.integers(0, 30), CHANGES, st.sampled_from((None, None, 40, 200)))
Plan = list[list[tuple[bool, bytes | tuple[int, list[tuple[int, int]], int | None]]]]
PLAN = st.lists(st.lists(st.tuples(st.booleans(), ANY | COPY), max_size=3), max_size=13)


class InjectionTests(ForgeryTestCase):
    """Anything in between does not keep a handshake from its end."""

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(PLAN, st.sampled_from((MTU, MTU, 400)))
    def test_both(self, plan: Plan, mtu: int) -> None:
        """In the names of both sides, once the second hello is on its way."""
        self.bears(Pair(mtu=mtu), plan, sides=(True, False))

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(PLAN, st.sampled_from((MTU, 400)), st.sampled_from((OURS, LENGTHY)))
    def test_calling_browser(self, plan: Plan, mtu: int, browser: DtlsIdentity) -> None:
        """In the name of a browser that calls us, from before its first hello to the end."""
        self.bears(CallingBrowser(mtu, browser), plan, sides=(False,))

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(PLAN, st.sampled_from((MTU, MTU, 400)))
    def test_called_browser(self, plan: Plan, mtu: int) -> None:
        """In the name of one that waits for our hello."""
        self.bears(CalledBrowser(mtu), plan, sides=(True,))

    def bears(self, pair: AnyPair, plan: Plan, sides: tuple[bool, ...]) -> None:
        """
        Up to three datagrams before each of the peers' own.

        They are anything, or what was sent so far and is on its way, as it is or changed; but for
        what nobody can tell from the peer's own, before that has arrived.
        """

        def before(number: int) -> Iterator[tuple[bool, bytes]]:
            for to_client, what in plan[number] if number < len(plan) else ():
                forged = what if isinstance(what, bytes) else self.copy(pair.sent, *what)
                if to_client:
                    excepted = is_as_good_a_flight(forged, pair.sent)
                else:
                    excepted = is_as_good_a_hello(forged, pair.sent)
                if to_client in sides and not excepted:
                    yield to_client, forged

        self.slip_in(pair, before)
        pair.fate = lambda datagram: [datagram]
        for _ in range(3):
            if CONNECTED is not pair.client.state or CONNECTED is not pair.server.state:
                pair.repeat()
                pair.let_pass(PATIENCE)
        self.assertConnected(pair)

    def copy(
        self, sent: list[bytes], which: int, changes: list[tuple[int, int]], length: int | None
    ) -> bytes:
        """What was sent, with some bytes changed, or cut short."""
        changed = bytearray(sent[which % len(sent)])
        for at, value in changes:
            changed[at % len(changed)] = value
        return bytes(changed[:length])
