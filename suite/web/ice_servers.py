"""
The ICE servers that pages are offered: our own listeners, named as the browser named us.

The host is the one in the browser's address bar, because that is the name that resolves for it
and that its certificate check will compare; the ports are those that really listen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from suite.settings import SuiteSettings
from suite.web.credentials import (
    PAGE_ID,
    Credential,
    CredentialKind,
    PageCredentials,
    session_settings,
)
from turn.five_tuple import Address, bracketed
from turn.settings import TurnSettings

PREFERRED_PORTS = (443, 3478, 5349, 8443)
"""The port least likely to be blocked first."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """One entry of RTCConfiguration.iceServers."""

    url: str
    credential: Credential | None = None

    def as_json(self) -> dict[str, str]:
        """Give the members that a browser's RTCIceServer has."""
        members = {"urls": self.url}
        if self.credential is not None:
            members["username"] = self.credential.username
            members["credential"] = self.credential.password
        return members


@dataclass(frozen=True, slots=True)
class IceServers:
    """Everything that the page needs to fill in its form."""

    servers: tuple[IceServer, ...]
    kind: CredentialKind
    lifetime: int
    """Seconds that the credentials in it are valid; 0 where they do not end."""

    def as_json(self) -> dict[str, object]:
        """Give the answer to ``GET /api/ice-servers``."""
        return {
            "iceServers": [server.as_json() for server in self.servers],
            "credentials": self.kind.value,
            "lifetime": self.lifetime,
        }


NO_RELAY = IceServers((), CredentialKind.ASK, 0)
"""What a suite without a relay offers: an empty form."""


class Offer(Protocol):
    """What answers ``GET /api/ice-servers``."""

    def __call__(self, host: str, user_id: str = PAGE_ID) -> IceServers:
        """``host`` is what the browser called us; ``user_id`` stands for who asks."""


@dataclass(frozen=True, slots=True)
class RelayPorts:
    """The port of each transport that a browser should use, None where nothing listens."""

    udp: int | None
    tcp: int | None
    tls: int | None


def listening_ports(settings: SuiteSettings, host: str) -> RelayPorts:
    """Choose the ports for a browser that reached us under ``host``."""
    local = is_loopback(host)
    turn = [listen for listen in settings.tcp if listen.turn]
    return RelayPorts(
        udp=_best_port((listen.address for listen in settings.udp), local),
        tcp=_best_port((listen.address for listen in turn if listen.plain), local),
        tls=_best_port((listen.address for listen in turn if listen.secures_turn), local),
    )


def _best_port(addresses: Iterable[Address], local: bool) -> int | None:
    ports = {port for host, port in addresses if local or not is_loopback(host)}
    for port in PREFERRED_PORTS:
        if port in ports:
            return port
    return min(ports, default=None)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def ice_urls(host: str, ports: RelayPorts, turn: TurnSettings) -> list[str]:
    """Write the URLs of RFC 7064 and 7065, the cheapest transport first."""
    authority = bracketed(host)
    urls = []
    if turn.stun and ports.udp is not None:
        urls.append(f"stun:{authority}:{ports.udp}")
    if turn.turn and ports.udp is not None:
        urls.append(f"turn:{authority}:{ports.udp}?transport=udp")
    if turn.turn and ports.tcp is not None:
        urls.append(f"turn:{authority}:{ports.tcp}?transport=tcp")
    if turn.turn and ports.tls is not None:
        urls.append(f"turns:{authority}:{ports.tls}?transport=tcp")
    return urls


def ice_servers(settings: SuiteSettings, now: Callable[[], float], secret: str = "") -> Offer:
    """
    Make the function that answers ``GET /api/ice-servers``.

    ``now`` is wall clock, ``secret`` the relay's own. Each call makes new credentials.
    """
    turn = settings.turn
    if turn is None:
        return lambda host, user_id=PAGE_ID: NO_RELAY
    of_page = PageCredentials(turn.credentials, now)
    of_sessions = PageCredentials(session_settings(turn, secret), now)

    def offer(host: str, user_id: str = PAGE_ID) -> IceServers:
        credentials = of_page if user_id == PAGE_ID else of_sessions
        credential = credentials.issue(user_id)
        kind = credentials.kind
        servers = tuple(
            IceServer(url, None if url.startswith("stun:") else credential)
            for url in ice_urls(host, listening_ports(settings, host), turn)
        )
        lifetime = credentials.lifetime if kind is CredentialKind.TEMPORARY else 0
        return IceServers(servers, kind, lifetime)

    return offer
