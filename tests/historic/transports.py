"""
What lies under a browser's media: ICE by aioice, then DTLS-SRTP by aiortc or keys of SDES.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pylibsrtp
from aioice import Candidate, Connection
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceParameters, RTCIceTransport

Take = Callable[[bytes], None]


@dataclass(frozen=True)
class Remote:
    """What the peer's SDP says of its transport."""

    ufrag: str
    password: str
    candidates: Sequence[str]
    """``candidate:...``"""
    fingerprints: Sequence[tuple[str, str]] = ()
    setup: str = ""
    crypto: str = ""
    """The value of a=crypto that was chosen."""
    is_lite: bool = False


class Transport:
    """One 5-tuple: ICE, and whatever encrypts above it."""

    fingerprint: tuple[str, str] | None = None
    crypto: str = ""

    def __init__(self, take_rtp: Take, take_rtcp: Take) -> None:
        self._take_rtp, self._take_rtcp = take_rtp, take_rtcp
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.connection: Connection = self.gatherer._connection
        self.failure = ""
        """What went wrong, if anything."""
        self.role = ""
        """active or passive, once it stands."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ufrag(self) -> str:
        """Of our side."""
        return str(self.connection.local_username)

    @property
    def password(self) -> str:
        """Of our side."""
        return str(self.connection.local_password)

    @property
    def candidates(self) -> list[Candidate]:
        """Of ours, once gathered."""
        return list(self.connection.local_candidates)

    async def gather(self) -> None:
        """Find our candidates."""
        await self.gatherer.gather()

    def start(self, remote: Remote, *, controlling: bool, active: bool) -> None:
        """Begin checks and handshake."""
        self.role = "active" if active else "passive"
        self.connection.ice_controlling = controlling
        task = asyncio.get_running_loop().create_task(self._connect(remote))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = repr(task.exception())

    async def _connect(self, remote: Remote) -> None:
        for text in remote.candidates:
            await self._add(text)
        await self.connection.add_remote_candidate(None)
        await self.ice.start(RTCIceParameters(remote.ufrag, remote.password, remote.is_lite))
        if self.ice.state == "completed":
            await self._secure(remote)

    async def _add(self, text: str) -> None:
        candidate = Candidate.from_sdp(text.removeprefix("candidate:"))
        # Of another component, or over TCP: browsers pass over what they cannot use.
        if candidate.component == 1 and candidate.transport.lower() == "udp":
            await self.connection.add_remote_candidate(candidate)

    def describe(self) -> str:
        """How far it is."""
        return f"ICE {self.ice.state}, {self.role}, {self.is_connected} {self.failure}"

    @property
    def is_connected(self) -> bool:
        """Whether media can be sent."""
        raise NotImplementedError

    @property
    def profile(self) -> str:
        """The SRTP profile in use."""
        raise NotImplementedError

    async def _secure(self, remote: Remote) -> None:
        raise NotImplementedError

    def protect(self, packet: bytes) -> bytes:
        """Encrypt RTP, and give it."""
        raise NotImplementedError

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt RTCP, and give it."""
        raise NotImplementedError

    def send_raw(self, datagram: bytes) -> None:
        """Send bytes as they are over the selected pair."""
        pair = self.connection._nominated.get(1)
        if pair is not None:
            pair.protocol.transport.sendto(datagram, pair.remote_addr)

    def where(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Our address and the peer's, of the selected pair."""
        pair = self.connection._nominated[1]
        return pair.local_addr, pair.remote_addr

    async def close(self) -> None:
        """End it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.ice.stop()

    async def vanish(self) -> None:
        """End it without a word, as a tab that is closed."""
        for task in list(self._tasks):
            task.cancel()
        consent = self.connection._query_consent_task
        if consent is not None:
            consent.cancel()
            await asyncio.gather(consent, return_exceptions=True)
        for protocol in self.connection._protocols:
            if protocol.transport is not None:
                protocol.transport.abort()


class _Dtls(RTCDtlsTransport):  # type: ignore[misc]
    """aiortc's, whose packets are ours."""

    take_rtp: Take
    take_rtcp: Take
    unauthentic = 0

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self.take_rtp(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self.take_rtcp(data)


class DtlsTransport(Transport):
    """DTLS-SRTP (RFC 5764)."""

    def __init__(self, take_rtp: Take, take_rtcp: Take) -> None:
        super().__init__(take_rtp, take_rtcp)
        certificate = RTCCertificate.generateCertificate()
        printed = next(f for f in certificate.getFingerprints() if f.algorithm == "sha-256")
        self.fingerprint = (printed.algorithm, printed.value)
        self.dtls = _Dtls(self.ice, [certificate])
        self.dtls.take_rtp, self.dtls.take_rtcp = take_rtp, take_rtcp

    async def _secure(self, remote: Remote) -> None:
        self.dtls._set_role("client" if self.role == "active" else "server")
        prints = [RTCDtlsFingerprint(kind, value) for kind, value in remote.fingerprints]
        await self.dtls.start(RTCDtlsParameters(fingerprints=prints))

    @property
    def is_connected(self) -> bool:
        return bool(self.dtls.state == "connected")

    @property
    def profile(self) -> str:
        return str(self.dtls._ssl.get_selected_srtp_profile().decode())

    def protect(self, packet: bytes) -> bytes:
        return bytes(self.dtls._tx_srtp.protect(packet))

    def protect_rtcp(self, packet: bytes) -> bytes:
        return bytes(self.dtls._tx_srtp.protect_rtcp(packet))

    async def close(self) -> None:
        await self.dtls.stop()
        await super().close()

    async def vanish(self) -> None:
        if self.dtls._task is not None:
            self.dtls._task.cancel()
            await asyncio.gather(self.dtls._task, return_exceptions=True)
        await super().vanish()


class SdesTransport(Transport):
    """Keys in the SDP (RFC 4568), as Chromium had them long ago; no browser of today does."""

    SUITE = "AES_CM_128_HMAC_SHA1_80"

    def __init__(self, take_rtp: Take, take_rtcp: Take) -> None:
        super().__init__(take_rtp, take_rtcp)
        self._key = secrets.token_bytes(30)
        self.crypto = f"1 {self.SUITE} inline:{base64.b64encode(self._key).decode()}"
        self._sends: Any = None
        self._receives: Any = None

    async def _secure(self, remote: Remote) -> None:
        inline = remote.crypto.split("inline:")[1].split("|")[0]
        profile = pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        keys = (
            (self._key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND),
            (base64.b64decode(inline), pylibsrtp.Policy.SSRC_ANY_INBOUND),
        )
        self._sends, self._receives = (
            pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=way, srtp_profile=profile))
            for key, way in keys
        )
        while True:
            self._take(await self.connection.recv())

    def _take(self, data: bytes) -> None:
        if not 127 < data[0] < 192:
            return
        try:
            if 192 <= data[1] <= 223:
                self._take_rtcp(self._receives.unprotect_rtcp(data))
            else:
                self._take_rtp(self._receives.unprotect(data))
        except pylibsrtp.Error:
            return

    @property
    def is_connected(self) -> bool:
        return self._sends is not None

    @property
    def profile(self) -> str:
        return self.SUITE

    def protect(self, packet: bytes) -> bytes:
        return bytes(self._sends.protect(packet))

    def protect_rtcp(self, packet: bytes) -> bytes:
        return bytes(self._sends.protect_rtcp(packet))
