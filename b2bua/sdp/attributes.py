"""
The values of attributes: what each is made of, read and written.

``parse`` raises SdpError for a value without its form and for numbers out of range; ``str`` gives
the value back as it stands on the wire. RFC 8866 unless a class names another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.grammar import UINT32, host, number, token, words
from b2bua.sdp.lines import Connection

_ice_chars: Final = re.compile(r"[A-Za-z0-9+/]+").fullmatch
_hex_pairs: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*").fullmatch
_key: Final = re.compile(r"inline:[A-Za-z0-9+/]+={0,2}(?:\|[^\s|]+){0,2}").fullmatch
_HASH_BYTES: Final = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}


class Setup(StrEnum):
    """Who opens the DTLS association (RFC 4145, RFC 8842)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"

    @classmethod
    def parse(cls, value: str) -> Setup:
        """Read the value of ``a=setup``."""
        try:
            return cls(value)
        except ValueError:
            raise SdpError("value", "setup") from None


@dataclass(frozen=True, slots=True)
class RtpMap:
    """
    ``a=rtpmap``: what a payload type means.

    A clock rate of 0 is one that was not written. RFC 8866 wants it; RFC 4475 has valid messages
    without it, so such a format is merely none that can be used.
    """

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int = 1

    @classmethod
    def parse(cls, value: str) -> RtpMap:
        """Read the value of ``a=rtpmap``."""
        payload_type, mapping = words(value, "rtpmap", 2, 2)
        encoding, *rest = mapping.split("/")
        if len(rest) > 2:
            raise SdpError("value", "rtpmap")
        return cls(
            number(payload_type, 0, 127, "payload type"),
            token(encoding, "rtpmap"),
            number(rest[0], 1, 1_000_000, "clock rate") if rest else 0,
            number(rest[1], 1, 255, "channels") if len(rest) == 2 else 1,
        )

    def __str__(self) -> str:
        text = f"{self.payload_type} {self.encoding}"
        if self.clock_rate:
            text += f"/{self.clock_rate}"
        return f"{text}/{self.channels}" if self.channels > 1 else text


@dataclass(frozen=True, slots=True)
class Fmtp:
    """``a=fmtp``: parameters of a format, whose grammar is each codec's own."""

    format: str
    parameters: str

    @classmethod
    def parse(cls, value: str) -> Fmtp:
        """Read the value of ``a=fmtp``."""
        item, _, parameters = value.partition(" ")
        if not parameters.strip(" "):
            raise SdpError("value", "fmtp")
        return cls(token(item, "fmtp"), parameters.strip(" "))

    def __str__(self) -> str:
        return f"{self.format} {self.parameters}"


@dataclass(frozen=True, slots=True)
class RtcpFeedback:
    """``a=rtcp-fb`` (RFC 4585); ``payload_type`` is None for all formats of the m= line."""

    payload_type: int | None
    feedback: str

    @classmethod
    def parse(cls, value: str) -> RtcpFeedback:
        """Read the value of ``a=rtcp-fb``."""
        which, _, feedback = value.partition(" ")
        if not feedback.strip(" "):
            raise SdpError("value", "rtcp-fb")
        payload_type = None if which == "*" else number(which, 0, 127, "rtcp-fb")
        return cls(payload_type, feedback.strip(" "))

    def __str__(self) -> str:
        return f"{'*' if self.payload_type is None else self.payload_type} {self.feedback}"


@dataclass(frozen=True, slots=True)
class Rtcp:
    """``a=rtcp`` (RFC 3605): where RTCP goes when it is not the port above RTP's."""

    port: int
    connection: Connection | None = None

    @classmethod
    def parse(cls, value: str) -> Rtcp:
        """Read the value of ``a=rtcp``."""
        port, _, address = value.rstrip(" ").partition(" ")
        connection = Connection.parse(address) if address else None
        return cls(number(port, 0, 65535, "rtcp"), connection)

    def __str__(self) -> str:
        return f"{self.port} {self.connection}" if self.connection else str(self.port)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``a=fingerprint`` (RFC 8122): the hash's name in lower case, its bytes in capitals."""

    hash: str
    value: str

    @classmethod
    def parse(cls, value: str) -> Fingerprint:
        """Read the value of ``a=fingerprint``; the length must be that of the hash, if known."""
        name, octets = words(value, "fingerprint", 2, 2)
        name = token(name, "fingerprint").lower()
        expected = _HASH_BYTES.get(name)
        if not _hex_pairs(octets) or (expected and len(octets) != 3 * expected - 1):
            raise SdpError("value", "fingerprint")
        return cls(name, octets.upper())

    def __str__(self) -> str:
        return f"{self.hash} {self.value}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """``a=candidate`` (RFC 8839). Names, TCP and unknown types are read: ICE skips them."""

    foundation: str
    component: int
    transport: str
    priority: int
    host: str
    port: int
    type: str
    related: tuple[str, int] | None = None
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, value: str) -> Candidate:
        """Read the value of ``a=candidate``, or a candidate's text with its name before it."""
        text = value.removeprefix("a=").removeprefix("candidate:")
        head = words(text, "candidate", 8, 40)
        foundation, component, transport, priority, address, port, typ, kind, *rest = head
        if typ != "typ" or not _ice_chars(foundation) or len(foundation) > 32 or len(rest) % 2:
            raise SdpError("value", "candidate")
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        return cls(
            foundation,
            number(component, 1, 256, "component"),
            token(transport, "candidate").lower(),
            number(priority, 0, UINT32, "priority"),
            host(address, "candidate"),
            number(port, 0, 65535, "port"),
            token(kind, "candidate"),
            _related(dict(pairs)),
            tuple(pair for pair in pairs if pair[0] not in ("raddr", "rport")),
        )

    @classmethod
    def read(cls, value: str) -> Candidate | None:
        """Read a peer's; None where it makes no sense: one that is of no use ends no call."""
        try:
            return cls.parse(value)
        except SdpError:
            return None

    def __str__(self) -> str:
        text = f"{self.foundation} {self.component} {self.transport} {self.priority}"
        text += f" {self.host} {self.port} typ {self.type}"
        if self.related:
            text += f" raddr {self.related[0]} rport {self.related[1]}"
        return " ".join((text, *(f"{name} {value}" for name, value in self.extensions)))


def _related(pairs: dict[str, str]) -> tuple[str, int] | None:
    if "raddr" not in pairs or "rport" not in pairs:
        return None
    return host(pairs["raddr"], "raddr"), number(pairs["rport"], 0, 65535, "rport")


@dataclass(frozen=True, slots=True)
class Crypto:
    """``a=crypto`` (RFC 4568). The key is a secret: ``repr`` does not show it."""

    tag: int
    suite: str
    keys: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: str) -> Crypto:
        """Read the value of ``a=crypto``; every key is ``inline:``."""
        tag, suite, keys, *parameters = words(value, "crypto", 3, 16)
        if not all(_key(key) for key in keys.split(";")):
            raise SdpError("value", "crypto")
        return cls(
            number(tag, 0, 999_999_999, "crypto"),
            token(suite, "crypto"),
            tuple(keys.split(";")),
            tuple(parameters),
        )

    def __str__(self) -> str:
        return " ".join((str(self.tag), self.suite, ";".join(self.keys), *self.parameters))

    def __repr__(self) -> str:
        return f"Crypto(tag={self.tag}, suite={self.suite!r})"


@dataclass(frozen=True, slots=True)
class Group:
    """``a=group`` (RFC 5888): the mids that belong together, BUNDLE's first one leads."""

    semantics: str
    mids: tuple[str, ...]

    @classmethod
    def parse(cls, value: str) -> Group:
        """Read the value of ``a=group``; there may be no mid in it."""
        semantics, *mids = words(value, "group", 1, 64)
        return cls(token(semantics, "group"), tuple(token(mid, "group") for mid in mids))

    def __str__(self) -> str:
        return " ".join((self.semantics, *self.mids))


@dataclass(frozen=True, slots=True)
class Extmap:
    """``a=extmap`` (RFC 8285): the number of an RTP header extension."""

    id: int
    uri: str
    direction: Direction = Direction.SENDRECV
    parameters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: str) -> Extmap:
        """Read the value of ``a=extmap``; 4096 and above are for offers of too many."""
        which, uri, *parameters = words(value, "extmap", 2, 16)
        identity, slash, way = which.partition("/")
        if slash and way not in set(Direction):
            raise SdpError("value", "extmap")
        ways = Direction(way) if slash else Direction.SENDRECV
        return cls(number(identity, 1, 4351, "extmap"), uri, ways, tuple(parameters))

    def __str__(self) -> str:
        way = "" if self.direction is Direction.SENDRECV else f"/{self.direction}"
        return " ".join((f"{self.id}{way}", self.uri, *self.parameters))


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """``a=ice-ufrag`` and ``a=ice-pwd`` of one m= line; a new pair is a restart (RFC 8839)."""

    ufrag: str
    pwd: str

    @classmethod
    def parse(cls, ufrag: str, pwd: str) -> IceCredentials:
        """Check the two values: 4 to 256 and 22 to 256 characters of ICE's alphabet."""
        if not (4 <= len(ufrag) <= 256 and 22 <= len(pwd) <= 256):
            raise SdpError("value", "ice")
        if not (_ice_chars(ufrag) and _ice_chars(pwd)):
            raise SdpError("value", "ice")
        return cls(ufrag, pwd)

    def __repr__(self) -> str:
        return f"IceCredentials(ufrag={self.ufrag!r})"
