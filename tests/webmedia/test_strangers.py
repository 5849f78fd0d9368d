"""Tests of transports of the media plane under attack: nothing that is forged ends anything."""

from __future__ import annotations

import asyncio
import os
import socket

from aioice import stun
from aioice.candidate import Candidate
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import RemoteTransport, TransportEvent
from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.ice_agent import (
    LONGEST_MESSAGE,
    MOST_CANDIDATES,
    local_ufrag,
    read_message,
)
from b2bua.net.ice_candidates import is_peer, read_candidates
from b2bua.rtp.packet import Packet, build
from b2bua.settings import DtlsSettings
from tests.webmedia.dtls_pair import believe
from tests.webmedia.folders import temporary_folder
from tests.webmedia.loops import until
from tests.webmedia.planes import HOST, PCMU, WebPlaneTestCase

CONNECTED = TransportEvent.CONNECTED


class StrangerTests(WebPlaneTestCase):
    """Who is not the peer."""

    def stranger(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        self.addCleanup(sock.close)
        return sock

    def answers(self, sock: socket.socket) -> list[bytes]:
        found = []
        try:
            while True:
                found.append(sock.recv(2048))
        except BlockingIOError:
            return found

    def check(self, username: str, password: str, **attributes: object) -> bytes:
        """A check as ICE has it, but for what is wrong with it."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        values: dict[str, object] = {
            "USERNAME": username,
            "PRIORITY": 1,
            "ICE-CONTROLLING": 7,
            "USE-CANDIDATE": None,
        }
        request.attributes.update(values | attributes)
        for name in [name for name, value in attributes.items() if value is Ellipsis]:
            del request.attributes[name]
        request.add_message_integrity(password.encode())
        return bytes(request)

    def test_forged_checks(self) -> None:
        """They are not answered, change nothing, and the call goes on."""

        async def scenario() -> None:
            transport, end, peer = await self.connected()
            self.plane.join(end, end)
            local = self.plane.describe_transport(transport)
            theirs = peer.connection.local_username
            name = f"{local.ufrag}:{theirs}"
            unsigned = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            unsigned.attributes["USERNAME"] = name
            junk = self.check(name, local.password)
            forged = [
                self.check(name, "x" * 24),
                self.check(f"{local.ufrag}:other", local.password),
                self.check(f"other:{theirs}", local.password),
                self.check(local.ufrag, local.password),
                self.check(name, local.password, PRIORITY=...),
                self.check("", local.password),
                bytes(unsigned),
                junk[:-3],
                junk[:40] + b"\xff" + junk[41:],
                b"\0\1\0\4!\x12\xa4B" + bytes(12) + b"\0\x24\0\0",
                bytes(stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)),
                bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE)),
            ]
            stranger = self.stranger()
            for data in forged * 20:
                stranger.sendto(data, local.default)
                await asyncio.sleep(0)
            await peer.send(peer.media(b"still here"))
            await until(lambda: peer.packets)
            self.assertEqual(self.answers(stranger), [])
            self.assertEqual(self.told, [(transport, CONNECTED)])
            self.assertNotEqual(self.plane.counters(end).source, stranger.getsockname())

        self.run_loop(scenario())

    def test_forged_answers(self) -> None:
        """A response to a check of ours that somebody else makes up fails nothing."""

        async def scenario() -> None:
            transport = self.open(controlling=True)
            stranger = self.stranger()
            host, port = stranger.getsockname()
            candidate = f"1 1 udp 2130706431 {host} {port} typ host"
            remote = RemoteTransport(ufrag="peer", password="p" * 22, candidates=(candidate,))
            self.plane.set_remote(transport, remote)
            local = self.plane.describe_transport(transport)
            seen: list[bytes] = []
            await until(lambda: seen.extend(self.answers(stranger)) or seen)
            request = stun.parse_message(seen[0])
            for kind in (stun.Class.RESPONSE, stun.Class.ERROR):
                answer = stun.Message(stun.Method.BINDING, kind, request.transaction_id)
                if kind is stun.Class.ERROR:
                    answer.attributes["ERROR-CODE"] = (487, "Role Conflict")
                answer.add_message_integrity(b"guessed")
                stranger.sendto(bytes(answer), local.default)
            await until(lambda: seen.extend(self.answers(stranger)) or len(seen) > 1)
            again = stun.parse_message(seen[1])
            self.assertEqual(again.transaction_id, request.transaction_id)
            self.assertEqual(self.told, [])

        self.run_loop(scenario())

    def test_hello_of_a_stranger(self) -> None:
        """A DTLS hello from where ICE knows nobody is not answered; the peer's own one is."""

        async def scenario() -> None:
            transport = self.open()
            end = self.plane.open_on(transport)
            self.plane.set_terms(end, PCMU)
            local = self.plane.describe_transport(transport)
            identity = DtlsIdentity.load(DtlsSettings(state_directory=temporary_folder(self)))
            hello = DtlsAssociation(identity, is_client=True, fingerprints=())
            hello.start(0.0)
            flight = hello.take_datagrams()
            stranger = self.stranger()
            for data in flight * 50:
                stranger.sendto(data, local.default)
            peer = self.peer()
            await peer.gather()
            await peer.hear(local)
            remote = peer.describe(keys=None, fingerprints=(identity.fingerprint,))
            self.plane.set_remote(transport, remote)
            await peer.connect()
            for data in flight * 50:
                stranger.sendto(data, local.default)
            for data in flight:
                await peer.connection.send(data)
            await until(lambda: peer.other)
            self.assertEqual(self.answers(stranger), [])
            self.assertIn("source", self.plane.counters(end).dropped)
            self.assertEqual(self.told, [])

        self.run_loop(scenario())

    def test_forged_handshake(self) -> None:
        """What comes from the peer's own address while it has a handshake ends nothing."""
        forged = [
            b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28",
            b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x01\x00",
            b"\x16\xfe\xfd" + bytes(8) + b"\x00\x10\x0b\x00\x00\x0a" + bytes(12),
            b"\x16\xfe\xfd" + bytes(2) + b"\xff" * 6 + b"\x00\x0d\x63\x00\x00\x01" + bytes(9),
            b"\x14\xfe\xfd" + bytes(8) + b"\x00\x01\x02",
            b"\x16\xfe\xfd\xff",
        ]

        async def scenario() -> None:
            transport = self.open()
            end = self.plane.open_on(transport)
            identity = DtlsIdentity.load(DtlsSettings())
            local = self.plane.describe_transport(transport)
            peer = self.peer()
            await peer.gather()
            await peer.hear(local)
            remote = peer.describe(keys=None, fingerprints=(identity.fingerprint,))
            self.plane.set_remote(transport, remote)
            await peer.connect()
            dtls = DtlsAssociation(identity, is_client=True, fingerprints=(local.fingerprint,))
            dtls.start(0.0)
            while dtls.state is not DtlsState.CONNECTED:
                for data in forged:
                    await peer.connection.send(data)
                for data in dtls.take_datagrams():
                    await peer.connection.send(data)
                await until(lambda: peer.other)
                for data in peer.other:
                    dtls.receive(data, 0.0)
                peer.other.clear()
                believe(dtls, 0.0)
            await until(lambda: self.told)
            self.assertEqual(self.told, [(transport, CONNECTED)])
            dropped = self.plane.counters(end).dropped["malformed"]
            self.assertGreaterEqual(dropped, len(forged))

        self.run_loop(scenario())

    def test_media_of_a_stranger(self) -> None:
        """Whoever sprays every port gets nothing, and nothing of it goes on."""

        async def scenario() -> None:
            transport, end, peer = await self.connected()
            self.plane.join(end, end)
            local = self.plane.describe_transport(transport)
            stranger = self.stranger()
            packet = Packet(payload_type=0, sequence=1, timestamp=1, ssrc=5, payload=b"spray")
            sealed = peer.srtp.protect(peer.media(b"stolen")) if peer.srtp else b""
            assert sealed is not None
            for data in [
                build(packet),
                sealed,
                b"\x80\xc8" + bytes(26),
                b"\x80",
                b"",
                b"\xff" * 90,
            ]:
                for port in range(self.first_port, self.last_port + 1):
                    stranger.sendto(data, (local.default[0], port))
                    await asyncio.sleep(0)
            await peer.send(peer.media(b"mine"))
            await until(lambda: peer.packets)
            self.assertEqual([p.payload for p in peer.packets], [b"mine"])
            self.assertEqual(self.answers(stranger), [])
            self.assertEqual(self.plane.counters(end).dropped["source"], 3)

        self.run_loop(scenario())

    def test_bad_tags(self) -> None:
        """Thousands of packets that are not authentic are counted; the call lives, loss 0."""

        async def scenario() -> None:
            transport, end, peer = await self.connected()
            self.plane.join(end, end)
            good = 0
            for number in range(10_000):
                await peer.connection.send(peer.media()[:12] + os.urandom(40))
                if number % 100 == 0:
                    peer.sequence = good
                    await peer.send(peer.media(b"good"))
                    good += 1
                if number % 20 == 0:
                    await asyncio.sleep(0)
            await until(lambda: len(peer.packets) == 100)
            self.assertEqual({p.payload for p in peer.packets}, {b"good"})
            await until(lambda: self.plane.counters(end).dropped == {"srtp": 10_000})
            self.assertEqual(self.told, [(transport, CONNECTED)])

        self.run_loop(scenario())

    def test_replayed(self) -> None:
        """What was received once does not go on again, RTCP neither."""

        async def scenario() -> None:
            _, end, peer = await self.connected()
            self.plane.join(end, end)
            sent = [await peer.send(peer.media()) for _ in range(50)]
            await until(lambda: len(peer.packets) == 50)
            for data in sent * 20:
                await peer.connection.send(data)
                await asyncio.sleep(0)
            await until(lambda: self.plane.counters(end).dropped == {"srtp": 1000})
            self.assertEqual(len(peer.packets), 50)

        self.run_loop(scenario())

    def test_in_the_clear(self) -> None:
        """Without keys nothing goes out, and what comes in the clear goes nowhere."""

        async def scenario() -> None:
            transport, end, peer = await self.connected()
            other = self.open()
            mute = self.plane.open_on(other)
            self.plane.set_terms(mute, PCMU)
            self.plane.join(end, mute)
            deaf = self.peer()
            await deaf.gather()
            await deaf.hear(self.plane.describe_transport(other))
            fingerprints = (("sha-256", ":".join(["00"] * 32)),)
            self.plane.set_remote(other, deaf.describe(keys=None, fingerprints=fingerprints))
            await deaf.connect()
            await peer.send(peer.media())
            await deaf.connection.send(deaf.media())
            await until(lambda: self.plane.counters(mute).dropped)
            await until(lambda: self.plane.counters(end).dropped)
            self.assertEqual(self.plane.counters(mute).dropped, {"srtp": 1})
            self.assertEqual(self.plane.counters(end).dropped, {"nowhere": 1})
            self.assertEqual((deaf.packets, deaf.other), ([], []))
            self.assertEqual(self.told, [(transport, CONNECTED)])

        self.run_loop(scenario())


class ParserTests(SynchronousTestCase):
    """What is read of anybody's datagrams and descriptions."""

    @given(st.binary(max_size=120))
    def test_any_message(self, data: bytes) -> None:
        """No datagram raises anything, with a STUN header or without."""
        read_message(data)
        length = len(data).to_bytes(2, "big")
        message = read_message(b"\0\1" + length + b"\x21\x12\xa4\x42" + bytes(12) + data)
        if message is not None:
            local_ufrag(message)

    def test_long_message(self) -> None:
        """A datagram full of checksums, each over all before it, is not even read."""
        body = b""
        while len(body) < 1600:
            head = b"\0\1" + (len(body) + 8).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12)
            body += b"\x80\x28\0\4" + stun.message_fingerprint(head + body).to_bytes(4, "big")
            message = read_message(head + body)
            self.assertEqual(message is not None, len(head + body) <= LONGEST_MESSAGE)

    @given(st.data())
    def test_any_attributes(self, data: st.DataObject) -> None:
        """Attributes that we know, of any length, raise nothing either."""
        kinds = st.sampled_from([entry[0] for entry in stun.ATTRIBUTES])
        body = b""
        for kind, value in data.draw(
            st.lists(st.tuples(kinds, st.binary(max_size=24)), max_size=6)
        ):
            body += kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
            body += bytes(-len(value) % 4)
        head = b"\0\1" + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12)
        message = read_message(head + body)
        if message is not None:
            local_ufrag(message)

    @given(
        st.one_of(
            st.text(),
            st.lists(
                st.sampled_from(
                    [
                        "1",
                        "udp",
                        "tcp",
                        "9",
                        "::1",
                        "127.0.0.1",
                        "typ",
                        "host",
                        "raddr",
                        "rport",
                        "x",
                    ]
                ),
                max_size=14,
            ).map(" ".join),
        )
    )
    def test_any_candidate(self, line: str) -> None:
        """A candidate is one that packets can be sent to, or none."""
        for candidate in read_candidates([line], lambda host, port: True, 1):
            self.assertTrue(is_peer((candidate.host, candidate.port)))


class CandidateTests(WebPlaneTestCase):
    """Which candidates of a peer are checked."""

    def hosts(self, *lines: str, most: int = 100) -> list[str]:
        found = read_candidates(lines, lambda host, port: host != "10.0.0.1", most)
        return [candidate.host for candidate in found]

    def test_passed_over(self) -> None:
        """Names, TCP, other components, what leads nowhere, and what cannot be read."""
        good = "1 1 UDP 2130706431 192.0.2.1 4000 typ host generation 0 ufrag x network-cost 10"
        self.assertEqual(self.hosts(good), ["192.0.2.1"])
        self.assertEqual(self.hosts("a=candidate:" + good, "candidate:" + good), ["192.0.2.1"] * 2)
        for line in (
            "1 1 udp 2130706431 5b1d.local 4000 typ host",
            "1 1 udp 2130706431 gateway.example 4000 typ host",
            "1 1 tcp 2130706431 192.0.2.1 9 typ host tcptype active",
            "1 2 udp 2130706431 192.0.2.1 4000 typ host",
            "1 1 udp 2130706431 192.0.2.1 0 typ host",
            "1 1 udp 2130706431 192.0.2.1 65536 typ host",
            "1 1 udp -1 192.0.2.1 4000 typ host",
            "1 1 udp 99999999999999999999 192.0.2.1 4000 typ host",
            "1 1 udp 2130706431 0.0.0.0 4000 typ host",
            "1 1 udp 2130706431 224.0.0.1 4000 typ host",
            "1 1 udp 2130706431 255.255.255.255 4000 typ host",
            "1 1 udp 2130706431 ::ffff:127.0.0.1 4000 typ host",
            "1 1 udp 2130706431 fe80::1%lo 4000 typ host",
            "1 1 udp 2130706431 10.0.0.1 4000 typ host",
            "1 1 udp 2130706431 192.0.2.1 4000 typ other",
            "1 1 udp 2130706431 192.0.2.1 4000",
            "1 1 udp x 192.0.2.1 4000 typ host",
            "x" * 2000,
            "",
        ):
            self.assertEqual(self.hosts(line), [], line)

    def test_bounded(self) -> None:
        """A hundred at most, learnt ones included."""
        lines = [f"1 1 udp 1 192.0.2.1 {4000 + port} typ host" for port in range(300)]
        self.assertEqual(len(self.hosts(*lines, most=MOST_CANDIDATES)), MOST_CANDIDATES)
        self.assertFalse(is_peer(("name", 1)))

    def test_rules_for_peers(self) -> None:
        """Nobody is checked who may not be, not even when that one checks us."""

        async def scenario() -> None:
            self.plane.shut_down()
            asked: list[tuple[str, int]] = []

            def allows(host: str, port: int) -> bool:
                asked.append((host, port))
                return False

            self.plane = self.make_plane(allows_peer=allows)
            transport = self.open()
            peer = self.peer()
            await peer.gather()
            await peer.hear(self.plane.describe_transport(transport))
            self.plane.set_remote(transport, peer.describe())
            connecting = self.loop.create_task(peer.connect())
            await until(lambda: len(asked) > 1)
            await asyncio.sleep(0.1)
            self.assertFalse(connecting.done())
            connecting.cancel()
            (own,) = peer.connection.local_candidates
            self.assertEqual(set(asked), {(own.host, own.port)})

        self.run_loop(scenario())

    def test_a_name_for_a_host(self) -> None:
        """A peer whose candidates are all names connects by its own checks."""

        async def scenario() -> None:
            transport = self.open()
            peer = self.peer()
            await peer.gather()
            await peer.hear(self.plane.describe_transport(transport))
            (own,) = peer.connection.local_candidates
            hidden = Candidate.from_sdp(own.to_sdp())
            hidden.host = "0a1b2c3d.local"
            self.plane.set_remote(transport, peer.describe(candidates=(hidden.to_sdp(),)))
            await peer.connect()
            await until(lambda: self.told)
            self.assertEqual(self.told, [(transport, CONNECTED)])
            self.assertNotEqual(HOST, own.host)

        self.run_loop(scenario())
