"""
What ``webrtc-suite check`` is asked to check: a TURN URI (RFC 7065) or a plain host and port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from turn.five_tuple import Transport, joined

PLAIN_PORT = 443
TURN_PORT = 3478
TURNS_PORT = 5349

_FORM = re.compile(
    r"(?:(?P<scheme>turns?):)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?@\[\]]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A server and the transports to try with it."""

    host: str
    """A name or an address; an IPv6 address without brackets."""
    port: int
    transports: tuple[Transport, ...]

    def __str__(self) -> str:
        return joined((self.host, self.port))


def parse_target(text: str) -> Target:
    """
    Read ``turn:host:port``, ``turns:host:port`` or ``host:port``.

    ``turn:`` means UDP and TCP, ``turns:`` means TLS, neither means all three on one port.
    Raises ValueError with a sentence for whoever typed it.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a TURN address; write turn:turn.example.net:443")
    scheme = (match["scheme"] or "").lower()
    default = {"turn": TURN_PORT, "turns": TURNS_PORT}.get(scheme, PLAIN_PORT)
    port = int(match["port"] or default)
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return Target(match["host"].strip("[]"), port, _transports(scheme, match["transport"]))


def _transports(scheme: str, parameter: str | None) -> tuple[Transport, ...]:
    if scheme == "turns":
        # TURN over DTLS (transport=udp) is spoken by no browser: they all use TLS over TCP.
        return (Transport.TLS,)
    if parameter is not None:
        return (Transport(parameter.upper()),)
    if scheme == "turn":
        return (Transport.UDP, Transport.TCP)
    return (Transport.UDP, Transport.TCP, Transport.TLS)
