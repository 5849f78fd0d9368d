"""
The values of lines that are no attributes (RFC 8866, section 5): o=, c=, t= and m=.

``parse`` raises SdpError for a value without its form and for numbers out of range; ``str`` gives
the value back as it stands on the wire.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Final

from b2bua.sdp.errors import SdpError
from b2bua.sdp.grammar import UINT64, host, number, token, words

MAX_FORMATS: Final = 64
"""The most formats of one m= line."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line: which session, and how often it has been changed."""

    username: str
    session_id: int
    session_version: int
    address_type: str
    address: str

    @classmethod
    def parse(cls, value: str) -> Origin:
        """Read the value of an ``o=`` line."""
        user, session, version, network, family, address = words(value, "o=", 6, 6)
        return cls(
            user,
            number(session, 0, UINT64, "session id"),
            number(version, 0, UINT64, "session version"),
            _address_type(network, family, "o="),
            host(address, "o="),
        )

    def __str__(self) -> str:
        return (
            f"{self.username} {self.session_id} {self.session_version}"
            f" IN {self.address_type} {self.address}"
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """The ``c=`` line. ``suffix`` is what follows a multicast address: its TTL and count."""

    address_type: str
    address: str
    suffix: str = ""

    @classmethod
    def parse(cls, value: str) -> Connection:
        """Read the value of a ``c=`` line; the address may be a host name."""
        network, family, text = words(value, "c=", 3, 3)
        address, _, suffix = text.partition("/")
        for part in suffix.split("/") if suffix else ():
            number(part, 0, 255, "c=")
        address_type = _address_type(network, family, "c=")
        return cls(address_type, host(address, "c="), suffix)

    @classmethod
    def to(cls, host: str) -> Connection:
        """Return the line for an address of either family."""
        return cls("IP6" if ":" in host else "IP4", host)

    @property
    def unspecified(self) -> bool:
        """The address is 0.0.0.0 or ``::`` in any spelling: nobody can send there."""
        if not self.address.startswith(("0", ":")):
            return False
        try:
            return ipaddress.ip_address(self.address).is_unspecified
        except ValueError:
            return False

    def __str__(self) -> str:
        text = f"IN {self.address_type} {self.address}"
        return f"{text}/{self.suffix}" if self.suffix else text


def _address_type(network: str, family: str, what: str) -> str:
    if network.upper() != "IN" or family.upper() not in ("IP4", "IP6"):
        raise SdpError("value", what)
    return family.upper()


@dataclass(frozen=True, slots=True)
class Timing:
    """The ``t=`` line; 0 and 0 is a session without end."""

    start: int
    stop: int

    @classmethod
    def parse(cls, value: str) -> Timing:
        """Read the value of a ``t=`` line."""
        start, stop = words(value, "t=", 2, 2)
        return cls(number(start, 0, UINT64, "t="), number(stop, 0, UINT64, "t="))

    def __str__(self) -> str:
        return f"{self.start} {self.stop}"


@dataclass(frozen=True, slots=True)
class MediaLine:
    """The ``m=`` line. Formats of RTP are payload types, of anything else they are tokens."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    ports: int = 1

    @classmethod
    def parse(cls, value: str) -> MediaLine:
        """Read the value of an ``m=`` line; formats may be missing where the port is 0."""
        kind, port_text, protocol, *formats = words(value, "m=", 3, 3 + 4 * MAX_FORMATS)
        if len(formats) > MAX_FORMATS:
            raise SdpError("count", "formats")
        port, slash, ports = port_text.partition("/")
        line = cls(
            token(kind, "m="),
            number(port, 0, 65535, "port"),
            "/".join(token(part, "m=") for part in protocol.split("/")),
            tuple(token(item, "m=") for item in formats),
            number(ports, 1, 255, "ports") if slash else 1,
        )
        if line.port and not line.formats:
            raise SdpError("missing", "formats")
        return line._plain() if line.is_rtp else line

    def _plain(self) -> MediaLine:
        """The same with each payload type as everybody writes it: 00 is 0."""
        types = tuple(str(number(item, 0, 127, "payload type")) for item in self.formats)
        return self if types == self.formats else replace(self, formats=types)

    @property
    def is_rtp(self) -> bool:
        """The protocol is RTP under any profile."""
        return "RTP/" in self.protocol.upper()

    def __str__(self) -> str:
        port = f"{self.port}/{self.ports}" if self.ports > 1 else str(self.port)
        return " ".join((self.kind, port, self.protocol, *self.formats))
