"""What forged records of DTLS cost and keep at most."""

from __future__ import annotations

from b2bua.net import dtls_messages, dtls_signatures
from b2bua.net.dtls import DtlsAssociation
from b2bua.net.dtls_messages import LONGEST, MOST_JOINED, MOST_PIECES
from b2bua.net.dtls_records import (
    CERTIFICATE,
    CERTIFICATE_VERIFY,
    CLIENT_HELLO,
    CLIENT_KEY_EXCHANGE,
    fragments_in,
)
from b2bua.net.dtls_server import ServerHandshake
from b2bua.net.dtls_signatures import MOST_AT_ONCE, NAMED_A_SECOND, OTHERS_A_SECOND
from tests.webmedia.dtls_pair import OURS, THEIRS, Pair
from tests.webmedia.test_dtls_forgeries import (
    CONNECTED,
    HELLO,
    STRANGER,
    ForgeryTestCase,
    flight_of,
    hello_with_cookie,
    piece,
    record,
)


class BoundTests(ForgeryTestCase):
    """What a flood costs."""

    def setUp(self) -> None:
        self.checked = 0
        self.joined = 0
        check, join = dtls_signatures._verify, dtls_messages._join

        def count_check(key: object, *arguments: object) -> bool:
            self.checked += 1
            return check(key, *arguments)  # type: ignore[arg-type]

        def count_join(*arguments: object) -> bytes:
            self.joined += 1
            return join(*arguments)  # type: ignore[arg-type]

        self.patch(dtls_signatures, "_verify", count_check)
        self.patch(dtls_messages, "_join", count_join)

    def certificate_in(self, flight: bytes) -> bytes:
        [shown] = [each for each in fragments_in([flight]) if each.kind == CERTIFICATE]
        return piece(CERTIFICATE, 2, shown.body)

    def guess(self, number: int) -> bytes:
        """What might be the rest of a client's flight."""
        odd = number.to_bytes(8, "big")
        signature = b"\x04\x03\x00\x40" + bytes(56) + odd
        exchange = piece(CLIENT_KEY_EXCHANGE, 3, b"\x20" + odd * 4)
        return exchange + piece(CERTIFICATE_VERIFY, 4, signature)

    def test_signatures(self) -> None:
        """By the right certificate a hundred are checked in a second, some for each datagram."""
        pair = Pair()
        pair.start()
        pair.carry()
        [own] = pair.client.take_datagrams()
        self.checked = 0
        pair.server.receive(self.certificate_in(own), 0.0)
        for number in range(120):
            before = self.checked
            pair.server.receive(self.guess(number), 0.0)
            self.assertLessEqual(self.checked - before, MOST_AT_ONCE)
        self.assertEqual(self.checked, NAMED_A_SECOND)
        pair.server.receive(own, 0.1)
        pair.settle()
        self.assertConnected(pair)

    def test_signatures_of_others(self) -> None:
        """Those of other certificates take nothing away from the right one."""
        pair = Pair()
        pair.start()
        pair.carry()
        [own] = pair.client.take_datagrams()
        self.checked = 0
        pair.server.receive(self.certificate_in(flight_of(STRANGER, HELLO)), 0.0)
        for number in range(100):
            pair.server.receive(self.guess(number), 0.0)
        self.assertEqual(self.checked, OTHERS_A_SECOND)
        pair.server.receive(own, 0.0)
        pair.settle()
        self.assertConnected(pair)

    def test_overlaps(self) -> None:
        """Pieces are joined when they leave no gap, for few messages of each datagram."""
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        kinds = ((CLIENT_HELLO, 0), (CERTIFICATE, 2), (CLIENT_KEY_EXCHANGE, 3))
        for kind, sequence in kinds:
            length = LONGEST[kind]
            most = MOST_PIECES[kind] - 1
            step = length // most
            for number in range(most):
                body = bytes(min(step + 9, length - 20 - number * step))
                forged = piece(kind, sequence, body, of=length, at=number * step)
                server.receive(forged, number * 0.1)
        self.assertEqual(self.joined, 0)
        ends = [
            piece(kind, at, bytes(40), of=LONGEST[kind], at=LONGEST[kind] - 40)
            for kind, at in kinds
        ]
        server.receive(b"".join(ends), 10.0)
        self.assertEqual(self.joined, 2 * MOST_JOINED)
        # A poke does not have them looked at again.
        server.receive(piece(CERTIFICATE_VERIFY, 4, b"p"), 20.0)
        self.assertEqual(self.joined, 2 * MOST_JOINED)

    def test_kept(self) -> None:
        """What is kept, beside what OpenSSL has for a hello, is less than 100 KB."""
        server = DtlsAssociation(THEIRS, is_client=False, fingerprints=(OURS.fingerprint,))
        server.receive(hello_with_cookie(server), 0.0)
        kinds = (CLIENT_HELLO, CLIENT_HELLO, CERTIFICATE, CLIENT_KEY_EXCHANGE, CERTIFICATE_VERIFY)
        for number in range(1000):
            for sequence, kind in enumerate(kinds):
                whole, size = LONGEST[kind], 1 + number % 250
                body = number.to_bytes(4, "big") * (size // 4 + 1)
                part = piece(kind, sequence, body[:size], of=whole, at=number % 2)
                server.receive(part, number * 0.1)
                server.receive(piece(kind, sequence, body[:size]), number * 0.1)
        handshake = server._handshake
        assert isinstance(handshake, ServerHandshake)
        slots = handshake._inbox._slots.values()
        pieces = [each.body for slot in slots for each in slot.pieces]
        whole_ones = [body for slot in slots for body in slot.whole]
        self.assertGreater(len(pieces), 40)
        self.assertLess(sum(map(len, pieces + whole_ones)) + 300 * len(pieces), 100_000)
        self.assertIsNotNone(handshake._attempt)

    def test_kept_for_the_handshake_only(self) -> None:
        """When it is connected, failed or closed, an association keeps nothing of before."""
        connected = Pair().run().server
        failed, closed = (
            DtlsAssociation(OURS, is_client=is_client, fingerprints=())
            for is_client in (True, False)
        )
        for each in (failed, closed):
            each.start(0.0)
            each.receive(HELLO, 0.0)
            self.assertIsNotNone(each._handshake)
        failed.handle_timeout(30.0)
        closed.close()
        for each in (connected, failed, closed):
            self.assertIsNone(each._handshake)
            self.assertEqual(each._attempt is None, each is not connected)

    def test_after(self) -> None:
        """When it is connected no more is looked at in a second than before."""
        pair = Pair().run()
        garbage = record(23, bytes(40), epoch=1)
        for _ in range(300):
            pair.server.receive(garbage, 100.0)
        self.assertGreater(pair.server.dropped, 100)
        self.assertEqual(pair.server.state, CONNECTED)
