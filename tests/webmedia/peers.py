"""Peers of a transport: aioice's agent with libsrtp, and with aiortc's DTLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aioice import Candidate, Connection

from b2bua.media_plane import LocalTransport, RemoteTransport, SrtpKeys
from b2bua.net.srtp import SrtpSession
from b2bua.rtp.packet import Packet, build, parse
from b2bua.rtp.rtcp import RtcpPacket, build_compound, is_rtcp, parse_compound

LOOPBACK = "127.0.0.1"
OUR_KEYS = SrtpKeys(profile="AEAD_AES_128_GCM", sends=b"s" * 28, receives=b"r" * 28)
PEER_KEYS = SrtpKeys(profile="AEAD_AES_128_GCM", sends=b"r" * 28, receives=b"s" * 28)


class PeerConnection(Connection):
    """aioice's agent on the loopback interface, which it leaves out by itself."""

    addresses: Sequence[str] = (LOOPBACK,)

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[Candidate]:
        return await super().get_component_candidates(component, list(self.addresses), timeout)


class Peer:
    """A browser without a face: an agent of ICE, keys, streams."""

    def __init__(self, *, controlling: bool, addresses: Sequence[str] = (LOOPBACK,)) -> None:
        self.connection = PeerConnection(ice_controlling=controlling)
        self.connection.addresses = addresses
        self.srtp: SrtpSession | None = SrtpSession(PEER_KEYS)
        self.packets: list[Packet] = []
        self.reports: list[list[RtcpPacket]] = []
        self.other: list[bytes] = []
        self.sequence = 0
        self.connection.data_received = self._data  # type: ignore[method-assign]

    async def gather(self) -> None:
        await self.connection.gather_candidates()

    def describe(self, **more: Any) -> RemoteTransport:
        """What its SDP says."""
        values: dict[str, Any] = {
            "ufrag": self.connection.local_username,
            "password": self.connection.local_password,
            "candidates": tuple(c.to_sdp() for c in self.connection.local_candidates),
            "keys": OUR_KEYS,
        }
        return RemoteTransport(**(values | more))

    async def hear(self, local: LocalTransport) -> None:
        """Take the other side's SDP."""
        self.connection.remote_username = local.ufrag
        self.connection.remote_password = local.password
        for line in local.candidates:
            await self.connection.add_remote_candidate(Candidate.from_sdp(line))
        await self.connection.add_remote_candidate(None)

    async def connect(self) -> None:
        await self.connection.connect()

    async def close(self) -> None:
        await self.connection.close()

    def media(self, payload: bytes = b"sound", number: int = 0, **more: Any) -> bytes:
        """The next packet, 20 ms after the one before, in the clear."""
        self.sequence += 1
        values: dict[str, Any] = {
            "payload_type": number,
            "sequence": self.sequence & 0xFFFF,
            "timestamp": 160 * self.sequence,
            "ssrc": 0xB0B,
            "payload": payload,
        }
        return build(Packet(**(values | more)))

    async def send(self, packet: bytes) -> bytes:
        """Encrypt and send it; return what went over the wire."""
        assert self.srtp is not None
        data = self.srtp.protect(packet)
        assert data is not None
        await self.connection.send(data)
        return data

    async def report(self, *packets: RtcpPacket) -> None:
        assert self.srtp is not None
        data = self.srtp.protect_rtcp(build_compound(packets))
        assert data is not None
        await self.connection.send(data)

    def _data(self, data: bytes, component: int) -> None:
        if not 128 <= data[0] <= 191 or self.srtp is None:
            self.other.append(data)
        elif is_rtcp(data[1]):
            plain = self.srtp.unprotect_rtcp(data)
            assert plain is not None, "RTCP that is not authentic"
            self.reports.append(parse_compound(plain))
        else:
            plain = self.srtp.unprotect(data)
            assert plain is not None, "RTP that is not authentic"
            self.packets.append(parse(plain))
