"""
SRTP and SRTCP (RFC 3711; RFC 7714 for AES-GCM) of one peer, by libsrtp.

Bytes go in and come out; whatever cannot be, comes out as None. The keys are those of DTLS or of
SDP, and hold for all SSRCs of each way; other keys are another session. Absent: MKI, profiles
that do not encrypt or do not authenticate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import pylibsrtp
from pylibsrtp import Error, Policy, Session

from b2bua.media_plane import SrtpKeys

REPLAY_WINDOW: Final = 128
"""Packets that may come late."""
SEND_WINDOW: Final = 1024
"""Packets of ours that may be late: what is forwarded comes in any order."""
MOST_SOURCES: Final = 256
"""SSRCs of a peer, each of which costs memory until the session ends."""

LONGEST_SRTP: Final = 1500
"""Bytes of a packet as it goes over the wire. Ethernet has a little less for one of UDP."""
LONGEST_RTP: Final = LONGEST_SRTP - 16
"""Bytes before it is encrypted: the longest tag, that of AES-GCM, makes it LONGEST_SRTP."""
LONGEST_RTCP: Final = LONGEST_RTP - 4
"""RTCP has its index besides."""
_TRAILER: Final = 148
"""Bytes behind a packet that libsrtp may write to, by its contract: tag, MKI, index."""
_PUBLIC_LONGEST_RTP: Final = 1356
"""The public way of pylibsrtp keeps tag and MKI free in a buffer of 1500 bytes."""

_INSIDE: Final[Any] = pylibsrtp
"""Its ``ffi`` and ``lib`` are no API: whoever asks for them is ready for AttributeError."""
_Transform = Callable[[bytes], bytes | None]
_PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    # For RTCP libsrtp takes 80 bits here too, as RFC 4568, section 6.2.2, has it.
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}
"""By the names of SrtpKeys: libsrtp's number, bytes of key and salt together."""


class Sources(Protocol):
    """SSRCs of a peer that have sent something authentic: as much of a set as is wanted."""

    def __len__(self) -> int: ...
    def __contains__(self, ssrc: bytes, /) -> bool: ...
    def add(self, ssrc: bytes, /) -> None: ...


class SrtpSession:
    """
    Encrypts what we send and decrypts what the peer sends.

    Nothing is encrypted twice under one number and SSRC: two such packets give both away. Whoever
    may have to send a packet again keeps what came out.
    """

    __slots__ = (
        "_inbound",
        "_keys",
        "_open",
        "_open_rtcp",
        "_outbound",
        "_seal",
        "_seal_rtcp",
        "_sources",
        "longest",
    )

    _outbound: Session
    _inbound: Session
    _sources: Sources

    def __init__(
        self,
        keys: SrtpKeys,
        before: SrtpSession | None = None,
        make_sources: Callable[[], Sources] = set,
    ) -> None:
        """
        ValueError for a profile that is unknown, or keys of the wrong length.

        ``before`` is the session that this one takes the place of: a way whose key is the same
        goes on counting where it was. To begin anew there would be to encrypt two packets alike.
        """
        self._keys = keys
        same = before is not None and before._keys.profile == keys.profile
        if before is not None and same and before._keys.sends == keys.sends:
            self._outbound = before._outbound
        else:
            self._outbound = _outbound(keys)
        if before is not None and same and before._keys.receives == keys.receives:
            self._inbound, self._sources = before._inbound, before._sources
        else:
            self._inbound, self._sources = _inbound(keys), make_sources()
        ours, theirs = self._outbound, self._inbound
        room = _room()
        seal = _direct(room, ours, "srtp_protect", LONGEST_RTP)
        self.longest: Final = _PUBLIC_LONGEST_RTP if seal is None else LONGEST_RTP
        """Bytes of RTP that can be encrypted."""
        self._seal = seal or _outcome(ours.protect)
        self._seal_rtcp = _direct(room, ours, "srtp_protect_rtcp", LONGEST_RTCP) or _outcome(
            ours.protect_rtcp
        )
        self._open = _direct(room, theirs, "srtp_unprotect", LONGEST_SRTP) or _outcome(
            theirs.unprotect
        )
        self._open_rtcp = _direct(room, theirs, "srtp_unprotect_rtcp", LONGEST_SRTP) or _outcome(
            theirs.unprotect_rtcp
        )

    @property
    def sources(self) -> Sources:
        """SSRCs of the peer that have sent something authentic."""
        return self._sources

    @property
    def contexts(self) -> tuple[Context, Context]:
        """libsrtp's own sessions of what is sent and received, for whoever calls it directly."""
        return Context(self._outbound), Context(self._inbound)

    # Once per packet: the cost is in benchmarks/srtp.py.

    def protect(self, packet: bytes) -> bytes | None:
        """Encrypt an RTP packet; None if it is malformed, too long, or came before."""
        return self._seal(packet)

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """Encrypt a compound RTCP packet; None if it is malformed or too long."""
        return self._seal_rtcp(packet)

    def unprotect(self, packet: bytes) -> bytes | None:
        """Decrypt an RTP packet; None if it is not authentic, replayed, too old or malformed."""
        source = packet[8:12]
        if source not in self._sources and len(self._sources) >= MOST_SOURCES:
            return None
        plain = self._open(packet)
        if plain is not None:
            self._sources.add(source)
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """Decrypt a compound RTCP packet; None as for ``unprotect``."""
        source = packet[4:8]
        if source not in self._sources and len(self._sources) >= MOST_SOURCES:
            return None
        plain = self._open_rtcp(packet)
        if plain is not None:
            self._sources.add(source)
        return plain


class Context:
    """A session of libsrtp, alive as long as this is."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def address(self) -> int:
        """Where it is. Raises AttributeError where pylibsrtp is not what it was in 1.0."""
        return int(_INSIDE.ffi.cast("uintptr_t", self._session._srtp[0]))


def function_address(name: str) -> int:
    """Where a function of libsrtp is. Raises AttributeError where there is none."""
    ffi = _INSIDE.ffi
    return int(ffi.cast("uintptr_t", ffi.addressof(_INSIDE.lib, name)))


def _outcome(transform: Callable[[bytes], bytes]) -> _Transform:
    """The public way."""

    def checked(packet: bytes) -> bytes | None:
        try:
            return transform(packet)
        except (Error, ValueError):
            return None

    return checked


def _room() -> Any:
    """Return memory for a packet and what libsrtp may write behind it; None where there is none."""
    try:
        return _INSIDE.ffi.new("char[]", LONGEST_SRTP + _TRAILER)
    except (AttributeError, TypeError):
        return None


def _direct(room: Any, session: Session, name: str, longest: int) -> _Transform | None:
    """
    Return what calls libsrtp over memory of ours, in half the time of the public way.

    It needs what pylibsrtp 1.0 has inside; None where that is not so. Behind ``longest`` bytes
    there is room for whatever libsrtp may write.
    """
    try:
        library = _INSIDE.lib
        function, ok = getattr(library, name), library.srtp_err_status_ok
        buffer, context = _INSIDE.ffi.buffer(room), session._srtp[0]
        size = _INSIDE.ffi.new("int *")
    except (AttributeError, TypeError):
        return None

    def transform(packet: bytes) -> bytes | None:
        length = len(packet)
        if length > longest:
            return None
        size[0] = length
        buffer[:length] = packet
        if function(context, room, size) != ok:
            return None
        plain: bytes = buffer[: size[0]]
        return plain

    return transform


def _outbound(keys: SrtpKeys) -> Session:
    policy = _policy(keys.profile, keys.sends, Policy.SSRC_ANY_OUTBOUND)
    policy.window_size = SEND_WINDOW
    return Session(policy=policy)


def _inbound(keys: SrtpKeys) -> Session:
    policy = _policy(keys.profile, keys.receives, Policy.SSRC_ANY_INBOUND)
    policy.window_size = REPLAY_WINDOW
    return Session(policy=policy)


def _policy(profile: str, key: bytes, direction: int) -> Policy:
    if profile not in _PROFILES:
        raise ValueError(f"{profile!r} is no profile of SRTP that is served")
    number, length = _PROFILES[profile]
    if len(key) != length:
        raise ValueError(f"keys of {profile} have {length} bytes, not {len(key)}")
    return Policy(key=key, ssrc_type=direction, srtp_profile=number)
