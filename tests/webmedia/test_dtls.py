"""Tests of b2bua.net.dtls."""

from __future__ import annotations

import random
from itertools import count

from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.dtls import HANDSHAKE_SECONDS, MOST_A_SECOND, DtlsAssociation, DtlsState
from b2bua.net.dtls_client import COOKIE_PATIENCE, PATIENCE
from b2bua.net.dtls_handshake import REFUSED_SECONDS
from b2bua.net.dtls_identity import OWN_FILE, PROFILES, DtlsIdentity
from b2bua.net.dtls_records import pack, read_records
from b2bua.net.dtls_server import AGAIN_SECONDS
from b2bua.settings import DtlsSettings
from tests.webmedia.dtls_pair import LENGTHY, MTU, OURS, THEIRS, CallingBrowser, Pair, rsa_identity
from tests.webmedia.folders import temporary_folder

CONNECTED, FAILED, CLOSED = DtlsState.CONNECTED, DtlsState.FAILED, DtlsState.CLOSED


class HandshakeTests(SynchronousTestCase):
    """Two of our own, one in each role."""

    def assertConnected(self, pair: Pair) -> None:
        self.assertEqual((pair.client.failure, pair.server.failure), ("", ""))
        self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))
        ours, theirs = pair.client.keys, pair.server.keys
        assert ours is not None and theirs is not None
        self.assertEqual(ours.profile, theirs.profile)
        self.assertEqual((ours.sends, ours.receives), (theirs.receives, theirs.sends))
        self.assertNotEqual(ours.sends, ours.receives)

    def test_connects(self) -> None:
        """Both come to the same keys, in opposite order, and wait for nothing any more."""
        pair = Pair().run()
        self.assertConnected(pair)
        assert pair.client.keys is not None
        self.assertEqual(pair.client.keys.profile, "AEAD_AES_128_GCM")
        self.assertEqual(len(pair.client.keys.sends), 16 + 12)
        self.assertEqual((pair.client.next_timeout(), pair.server.next_timeout()), (None, None))

    def test_keys_are_secret(self) -> None:
        """No key shows in a log by accident."""
        keys = Pair().run().client.keys
        assert keys is not None
        self.assertNotIn("sends", repr(keys))

    def test_profiles(self) -> None:
        """Each profile is agreed on where it is the only common one; keys have its length."""
        lengths = {
            b"SRTP_AEAD_AES_128_GCM": ("AEAD_AES_128_GCM", 28),
            b"SRTP_AEAD_AES_256_GCM": ("AEAD_AES_256_GCM", 44),
            b"SRTP_AES128_CM_SHA1_80": ("AES_CM_128_HMAC_SHA1_80", 30),
            b"SRTP_AES128_CM_SHA1_32": ("AES_CM_128_HMAC_SHA1_32", 30),
        }
        self.assertEqual(tuple(lengths), tuple(PROFILES.split(b":")))
        for profile, (name, length) in lengths.items():
            peer = DtlsIdentity.load(DtlsSettings())
            peer.context.set_tlsext_use_srtp(profile)
            pair = Pair(client=peer).run()
            self.assertConnected(pair)
            keys = pair.server.keys
            assert keys is not None
            self.assertEqual((keys.profile, len(keys.sends)), (name, length))

    def test_rsa(self) -> None:
        """Certificates of RSA sign as well, on either side, and over several datagrams."""
        for mtu in (MTU, 400):
            self.assertConnected(Pair(client=rsa_identity(), server=rsa_identity(), mtu=mtu).run())

    def test_no_signature(self) -> None:
        """A cipher by which a server signs nothing leaves the peer unknown, so it ends in time."""
        ciphers = "kRSA+AESGCM"
        pair = Pair(client=rsa_identity(ciphers), server=rsa_identity(ciphers)).run()
        pair.let_pass(HANDSHAKE_SECONDS)
        self.assertEqual(pair.client.state, FAILED)

    def test_small_mtu(self) -> None:
        """Flights are cut so that no datagram is longer than the MTU."""
        pair = Pair(mtu=400).run()
        self.assertConnected(pair)
        self.assertLessEqual(max(map(len, pair.sent)), 400)

    def test_hello_in_two_datagrams(self) -> None:
        """Browsers' first flights are longer than one datagram."""
        pair = Pair(client=LENGTHY)
        pair.start()
        hello = pair.client.take_datagrams()
        self.assertEqual(len(hello), 2)
        for datagram in hello:
            self.assertEqual(pair.server.take_datagrams(), [])
            pair.server.receive(datagram, 0.0)
        pair.settle()
        self.assertConnected(pair)

    def test_duplicates(self) -> None:
        """What comes twice does no harm."""
        self.assertConnected(Pair(fate=lambda datagram: [datagram, datagram]).run())

    def test_reordered(self) -> None:
        """The datagrams of the server's flight, which has most, may come in any order."""
        chance = random.Random(7)
        for _ in range(20):
            pair = Pair(mtu=300)
            pair.start()
            for datagram in pair.client.take_datagrams():
                pair.server.receive(datagram, 0.0)
            flight = pair.server.take_datagrams()
            self.assertGreater(len(flight), 2)
            chance.shuffle(flight)
            for datagram in flight:
                pair.client.receive(datagram, 0.0)
            pair.settle()
            # What is not signed waits for what is, and a moment more.
            pair.let_pass(PATIENCE)
            self.assertConnected(pair)

    def test_before_start(self) -> None:
        """A hello that is there before the server begins is taken."""
        pair = Pair()
        pair.client.start(0.0)
        pair.settle()
        pair.server.start(0.0)
        pair.let_pass(COOKIE_PATIENCE)
        self.assertConnected(pair)

    def test_strangers(self) -> None:
        """STUN, RTP and noise in between are dropped."""
        stun, rtp = bytes(20), b"\x80\x00" + bytes(170)
        noise = b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff"
        pair = Pair(fate=lambda datagram: [stun, rtp, noise, datagram, datagram[:9], b""])
        self.assertConnected(pair.run())

    def test_forged_alerts(self) -> None:
        """Alerts in the clear, alone or with a genuine record, end no handshake that goes on."""
        header = b"\x15\xfe\xfd" + bytes(8)
        for body in (b"\x02\x28", b"\x01\x00", b"\x02\xff", b"\x02", b""):
            alert = header + len(body).to_bytes(2, "big") + body
            pair = Pair(fate=lambda datagram, alert=alert: [alert, alert + datagram])
            self.assertConnected(pair.run())

    def test_half_a_record(self) -> None:
        """A record that is cut short takes nothing of the next datagram with it."""
        pair = Pair(fate=lambda datagram: [datagram[:-1], datagram])
        self.assertConnected(pair.run())


class LossTests(SynchronousTestCase):
    """What is lost is sent again, after a second of OpenSSL's clock."""

    def pair_losing(self, number: int) -> Pair:
        """Lose the datagram with this number, counted from 0."""
        numbers = count()
        return Pair(fate=lambda datagram: [] if next(numbers) == number else [datagram])

    def lose(self, number: int) -> Pair:
        """Lose that one, and carry on."""
        return self.pair_losing(number).run()

    def test_hello_lost(self) -> None:
        """The client says hello again."""
        pair = self.lose(0)
        due = pair.client.next_timeout()
        assert due is not None
        self.assertTrue(0.5 < due - pair.now() < 1.5, due)
        pair.wait()
        self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def test_first_hello_lost(self) -> None:
        """So it does where its first hello was lost, or the request for a cookie."""
        for lost in (0, 1):
            pair = self.pair_losing(lost)
            pair.begin()
            pair.settle()
            pair.wait()
            pair.let_pass(COOKIE_PATIENCE)
            self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def test_pieces_of_hellos(self) -> None:
        """Of hellos in two datagrams any may be lost, or come twice, or after the next one."""
        for number in range(5):
            for times in (0, 2):
                sent = count()
                pair = CallingBrowser(browser=LENGTHY)
                pair.fate = lambda datagram, sent=sent, number=number, times=times: (
                    [datagram] * (times if next(sent) == number else 1)
                )
                pair.run().repeat()
                self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def test_hellos_out_of_order(self) -> None:
        """The second datagram of a hello comes first."""
        pair = CallingBrowser(browser=LENGTHY)
        pair.start()
        for _ in range(2):
            for datagram in pair.client.take_datagrams()[::-1] * 2:
                pair.server.receive(datagram, pair.now())
            for datagram in pair.server.take_datagrams():
                pair.client.receive(datagram, pair.now())
        pair.settle()
        self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def test_last_flight_lost(self) -> None:
        """A server that is done already repeats its last flight for a client that missed it."""
        pair = self.lose(3)
        self.assertEqual(pair.server.state, CONNECTED)
        self.assertEqual(pair.client.state, DtlsState.HANDSHAKING)
        pair.wait()
        self.assertEqual(pair.client.state, CONNECTED)

    def test_rest_of_a_flight_lost(self) -> None:
        """A client that has a part of the server's flight, and says nothing more, gets the rest."""
        for lost in (1, 2):
            pair = Pair(mtu=300)
            pair.start()
            for datagram in pair.client.take_datagrams():
                pair.server.receive(datagram, 0.0)
            flight = pair.server.take_datagrams()
            del flight[lost]
            for datagram in flight:
                pair.client.receive(datagram, pair.now())
            self.assertEqual(pair.server.next_timeout(), AGAIN_SECONDS)
            pair.server.handle_timeout(AGAIN_SECONDS)
            self.assertEqual(pair.server.next_timeout(), 3 * AGAIN_SECONDS)
            pair.settle()
            self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def test_own_clock(self) -> None:
        """Asked too early by a clock that runs ahead, OpenSSL is asked again, and soon."""
        pair = Pair()
        pair.client.start(0.0)
        self.assertEqual(len(pair.client.take_datagrams()), 1)
        pair.client.handle_timeout(20.0)
        self.assertEqual(pair.client.take_datagrams(), [])
        due = pair.client.next_timeout()
        assert due is not None
        self.assertTrue(20.0 < due <= 21.0, due)

    def test_gives_up(self) -> None:
        """A peer that never answers is given up after half a minute."""
        for is_client in (True, False):
            alone = DtlsAssociation(OURS, is_client=is_client, fingerprints=())
            self.assertIsNone(alone.next_timeout())
            alone.start(5.0)
            alone.handle_timeout(5.0 + HANDSHAKE_SECONDS)
            self.assertEqual(alone.state, FAILED)
            self.assertEqual(alone.failure, "no handshake within 30 seconds")
            self.assertIsNone(alone.next_timeout())


class RefusalTests(SynchronousTestCase):
    """Who is not believed gets no keys."""

    def test_alert_and_silence(self) -> None:
        """A peer that ends the handshake and says no more is given up soon, and once."""
        for body, words in (
            (b"\x02\x50", "the peer ended the handshake: internal error"),
            (b"\x02\xee", "the peer ended the handshake"),
            (b"\x02", "the peer ended the handshake"),
        ):
            alert = b"\x15\xfe\xfd" + bytes(8) + len(body).to_bytes(2, "big") + body
            client = DtlsAssociation(OURS, is_client=True, fingerprints=())
            client.start(0.0)
            client.receive(alert, 1.0)
            client.receive(alert, 3.0)
            client.handle_timeout(5.9)
            self.assertEqual(client.state, DtlsState.HANDSHAKING)
            client.handle_timeout(1.0 + REFUSED_SECONDS)
            self.assertEqual((client.state, client.failure), (FAILED, words))

    def test_alert_before_hello(self) -> None:
        """Who has heard nothing of us has nothing to refuse: it has all its time for a hello."""
        pair = Pair()
        pair.server.start(0.0)
        pair.server.receive(b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", 0.0)
        pair.let_pass(HANDSHAKE_SECONDS - COOKIE_PATIENCE - 1.0)
        pair.run()
        self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def test_alert_and_more(self) -> None:
        """Who says anything of a handshake after an alert has not ended it."""
        pair = Pair()
        pair.start()
        pair.carry()
        [flight] = pair.client.take_datagrams()
        pair.server.receive(b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", pair.now())
        pair.server.receive(pair.sent[0], pair.now())
        pair.let_pass(REFUSED_SECONDS)
        pair.server.receive(flight, pair.now())
        pair.settle()
        self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))

    def fingerprint_of(self, identity: DtlsIdentity, function: str) -> str:
        kinds = {"sha-1": hashes.SHA1(), "sha-384": hashes.SHA384(), "sha-512": hashes.SHA512()}
        return identity.certificate.fingerprint(kinds[function]).hex(":")

    def serve(self, *fingerprints: tuple[str, str]) -> DtlsAssociation:
        pair = Pair()
        pair.server = DtlsAssociation(THEIRS, is_client=False, fingerprints=fingerprints)
        pair.run().let_pass(REFUSED_SECONDS)
        return pair.server

    def test_wrong_fingerprint(self) -> None:
        """Somebody else's certificate ends it, and the peer hears of it."""
        for is_client in (True, False):
            pair = Pair()
            doubter = DtlsAssociation(
                OURS if is_client else THEIRS,
                is_client=is_client,
                fingerprints=(("sha-256", "00:" * 31 + "00"),),
            )
            if is_client:
                pair.client = doubter
            else:
                pair.server = doubter
            pair.run()
            # Somebody may have been quicker than the peer.
            self.assertEqual(doubter.state, DtlsState.HANDSHAKING)
            pair.let_pass(REFUSED_SECONDS)
            self.assertEqual(doubter.state, FAILED)
            self.assertEqual(
                doubter.failure, "the peer's certificate is not that of its fingerprint"
            )
            self.assertIsNone(doubter.keys)
            other = pair.server if is_client else pair.client
            pair.let_pass(REFUSED_SECONDS)
            self.assertEqual(
                (other.state, other.failure),
                (FAILED, "the peer ended the handshake: bad certificate"),
            )

    def assertRefused(self, pair: Pair, why: str) -> None:
        """The server waits for something better, and then says why there is none."""
        pair.run().let_pass(REFUSED_SECONDS - 1.0)
        pair.repeat()
        self.assertEqual(pair.server.state, DtlsState.HANDSHAKING)
        self.assertIn(why, pair.server.hint)
        pair.let_pass(1.0)
        self.assertEqual(pair.server.state, FAILED)
        self.assertIn(why, pair.server.failure)

    def test_any_of_several(self) -> None:
        """One of several fingerprints is enough, however it is written."""
        function, value = OURS.fingerprint
        server = self.serve(("sha-256", "AA:BB"), (function.upper(), value.lower()))
        self.assertEqual(server.state, CONNECTED)

    def test_better_hashes(self) -> None:
        """sha-384 and sha-512 are as good."""
        for function in ("sha-384", "sha-512"):
            server = self.serve((function, self.fingerprint_of(OURS, function)))
            self.assertEqual(server.state, CONNECTED)

    def test_weak_hashes(self) -> None:
        """A fingerprint of sha-1 proves nothing, even the right one."""
        server = self.serve(("sha-1", self.fingerprint_of(OURS, "sha-1")))
        self.assertEqual(server.state, FAILED)
        self.assertIn("sha-256 or better", server.failure)

    def test_no_certificate(self) -> None:
        """A client without a certificate has until the end to show one."""
        peer = DtlsIdentity.load(DtlsSettings())
        peer.context = SSL.Context(SSL.DTLS_METHOD)
        peer.context.set_options(SSL.OP_NO_QUERY_MTU)
        peer.context.set_tlsext_use_srtp(PROFILES)
        pair = Pair(client=peer).run()
        pair.let_pass(HANDSHAKE_SECONDS - COOKIE_PATIENCE - 1.0)
        pair.repeat()
        self.assertEqual(pair.server.state, DtlsState.HANDSHAKING)
        pair.let_pass(1.0)
        self.assertEqual(pair.server.state, FAILED)
        self.assertIn("(the peer shows no certificate)", pair.server.failure)

    def test_no_srtp(self) -> None:
        """A peer that agrees to no profile is of no use."""
        directory = temporary_folder(self)
        peer = DtlsIdentity.load(DtlsSettings(state_directory=directory))
        peer.context = SSL.Context(SSL.DTLS_METHOD)
        peer.context.set_options(SSL.OP_NO_QUERY_MTU)
        peer.context.use_certificate_file(str(directory / OWN_FILE))
        peer.context.use_privatekey_file(str(directory / OWN_FILE))
        server = Pair(client=peer).run().server
        self.assertEqual(server.state, FAILED)
        self.assertIn("no protection profile", server.failure)

    def test_ciphers(self) -> None:
        """Nothing in common ends it for a server that hears nothing else; the client is told."""
        modern = DtlsIdentity.load(DtlsSettings(ciphers="ECDHE-ECDSA-CHACHA20-POLY1305"))
        pair = Pair(client=modern, server=DtlsIdentity.load(DtlsSettings(ciphers="ECDHE+AESGCM")))
        self.assertRefused(pair, "no shared cipher")
        # It cannot know who said so.
        self.assertEqual(pair.client.state, DtlsState.HANDSHAKING)
        pair.let_pass(REFUSED_SECONDS)
        self.assertEqual(pair.client.state, FAILED)
        self.assertEqual(pair.client.failure, "the peer ended the handshake: handshake failure")

    def test_no_ciphers(self) -> None:
        """Ciphers of ours that none can be offered of end it with a reason, and raise nothing."""
        client = DtlsAssociation(
            DtlsIdentity.load(DtlsSettings(ciphers="PSK")), is_client=True, fingerprints=()
        )
        client.start(0.0)
        self.assertEqual(client.state, FAILED)
        self.assertIn("no ciphers available", client.failure)

    def test_old_version(self) -> None:
        """DTLS 1.0 is not spoken."""
        peer = DtlsIdentity.load(DtlsSettings())
        peer.context.set_min_proto_version(0xFEFF)
        peer.context.set_max_proto_version(0xFEFF)
        peer.context.set_cipher_list(b"ALL:@SECLEVEL=0")
        self.assertRefused(Pair(client=peer), "unsupported protocol")

    def test_flood(self) -> None:
        """Of what comes in a second a part is looked at, and soon something more."""
        pair = Pair()
        pair.start()
        record = b"\x16\xfe\xfd" + bytes(8) + b"\x04\x00" + bytes(1024)
        for _ in range(MOST_A_SECOND // len(record) + 1):
            pair.server.receive(record, 10.0)
        [hello] = pair.client.take_datagrams()
        pair.server.receive(hello, 10.0)
        self.assertEqual(pair.server.take_datagrams(), [])
        pair.server.receive(hello, 10.1)
        pair.settle()
        self.assertEqual((pair.client.state, pair.server.state), (CONNECTED, CONNECTED))


class EndTests(SynchronousTestCase):
    """How an association ends."""

    def test_close(self) -> None:
        """The other side hears of it, and says nothing that anybody would wait for."""
        pair = Pair().run()
        pair.client.close()
        pair.client.close()
        pair.settle()
        self.assertEqual((pair.client.state, pair.server.state), (CLOSED, CLOSED))
        self.assertIsNone(pair.server.next_timeout())

    def test_close_before(self) -> None:
        """One that is closed in its handshake is closed without a word."""
        client = DtlsAssociation(OURS, is_client=True, fingerprints=())
        client.start(0.0)
        client.take_datagrams()
        client.close()
        self.assertEqual((client.state, client.take_datagrams()), (CLOSED, []))
        self.assertIsNone(client.next_timeout())
        client.receive(b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", 0.0)
        self.assertEqual(client.state, CLOSED)

    def test_data(self) -> None:
        """Data of the peer (a data channel) are nothing to us, and do no harm."""
        pair = Pair().run()
        attempt = pair.client._attempt
        assert attempt is not None
        attempt.connection.send(b"hello")
        [datagram] = attempt.drain()
        pair.server.receive(datagram, 0.0)
        self.assertEqual(pair.server.state, CONNECTED)

    def test_forged_after(self) -> None:
        """What is not authentic does not end an association that stands."""
        pair = Pair().run()
        for epoch in (0, 1):
            for kind, body in ((21, b"\x02\x28"), (21, b"\x01\x00"), (22, bytes(64)), (20, b"\1")):
                header = bytes((kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 9, 9, 0, len(body)))
                pair.server.receive(header + body, 0.0)
        self.assertEqual(pair.server.state, CONNECTED)


class HostileBytesTests(SynchronousTestCase):
    """No bytes raise anything."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
    def test_any(self, datagrams: list[bytes], is_client: bool) -> None:
        """Whatever comes, in either role."""
        association = DtlsAssociation(OURS, is_client=is_client, fingerprints=())
        association.start(0.0)
        for datagram in datagrams:
            association.receive(datagram, 0.0)
        self.assertIsNot(association.state, CONNECTED)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(20, 23), st.integers(0, 1), st.binary(max_size=200)), max_size=6
        )
    )
    def test_records(self, records: list[tuple[int, int, bytes]]) -> None:
        """Records that are well framed, before and after the handshake."""
        pair = Pair()
        pair.start()
        for number, (kind, epoch, body) in enumerate(records):
            header = bytes((kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, number, 0, len(body)))
            pair.server.receive(header + body, 0.0)
        pair.settle()
        for number, (kind, epoch, body) in enumerate(records):
            header = bytes((kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 1, number, 0, len(body)))
            pair.client.receive(header + body, 0.0)
        pair.settle()

    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 3), st.integers(0, 2000), st.integers(1, 255))
    def test_changed(self, which: int, where: int, by: int) -> None:
        """One changed byte may keep a handshake from its end; keys of both are the same."""
        count = iter(range(10_000))

        def spoil(datagram: bytes) -> list[bytes]:
            if next(count) != which:
                return [datagram]
            spoiled = bytearray(datagram)
            spoiled[where % len(spoiled)] ^= by
            return [bytes(spoiled)]

        pair = Pair(fate=spoil).run()
        ours, theirs = pair.client.keys, pair.server.keys
        if ours is not None and theirs is not None:
            self.assertEqual(ours.sends, theirs.receives)

    @given(st.binary(max_size=400))
    def test_split(self, data: bytes) -> None:
        """What is split off is a beginning of what came; packing changes but numbers in it."""
        records = list(read_records(data))
        self.assertTrue(data.startswith(b"".join(record.data for record in records)))
        packed = list(read_records(b"".join(pack(data, 100, count()))))
        self.assertEqual(
            [(each.kind, each.epoch, each.body) for each in packed],
            [(each.kind, each.epoch, each.body) for each in records],
        )
