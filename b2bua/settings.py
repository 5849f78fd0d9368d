"""
What the B2BUA is told when it starts: typed, checked, immutable.

Whoever reads configuration makes these values; nothing in this package knows an option's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from b2bua.dial_numbers import DialNumbers
from b2bua.sdp.negotiation import CodecRules
from b2bua.srv import IpVersion
from b2bua.upstreams import PoolTimes, Server

Network = IPv4Network | IPv6Network


class EchoAnswer(StrEnum):
    """When a DN that echoes answers a call."""

    AT_ONCE = "at-once"
    ON_TALK = "on-talk"
    """It rings until the SIP Server sends NOTIFY talk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SipAddress:
    """One address that SIP is taken in at; ``advertised`` is what peers are told instead."""

    transport: str
    """UDP, TCP, TLS, WS or WSS."""
    host: str
    port: int
    advertised: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SipTls:
    """Certificates of SIP over TLS, as PEM files."""

    certificate: Path | None = None
    """Our chain, shown by listeners and to servers that ask for one."""
    key: Path | None = None
    trusted: Path | None = None
    """The CAs of the servers that we connect to; None believes anybody, and says so in the log."""
    ask_clients: bool = False
    """Whether clients of our listeners must show a certificate of ``trusted``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The SIP Servers: their addresses in the order of use, or the SRV name of all of them."""

    addresses: tuple[Server, ...] = ()
    """In the order of use; with none the SRV records of ``srv_name`` say which there are."""
    srv_name: str = ""
    """What stands for all of them in URIs; beside ``addresses`` the DNS need not know it."""
    srv_transport: str = "UDP"
    name_servers: tuple[tuple[str, int], ...] = ()
    """Who is asked for names; empty: whom the machine asks."""
    prefer: IpVersion = IpVersion.IPV4
    ipv6: bool = False
    """Whether IPv6 addresses of names are used at all."""
    password: str | None = field(default=None, repr=False)
    """With it and its own number a DN answers a challenge, unless it has one of its own."""
    times: PoolTimes = field(default_factory=PoolTimes)
    register_expires: int = 140
    register_rate: int = 50
    register_burst: int = 20

    @property
    def domain(self) -> str:
        """The host in the URIs of our DNs: what stands for all the servers together."""
        return self.srv_name or self.addresses[0].host


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSettings:
    """SIP phones, and web pages that speak SIP over WebSocket: who may register with us."""

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords by DN."""
    networks: tuple[Network, ...] = ()
    """Where phones need no password."""
    realm: str = "webrtc-suite"
    shortest_expires: int = 60
    longest_expires: int = 3600
    most_contacts: int = 4
    """Of one DN at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """RTP between two SIP legs."""

    host: str
    """The address of our RTP sockets, and the one in SDP unless ``advertised`` is set."""
    advertised: str = ""
    first_port: int = 9000
    last_port: int = 9999
    rest: float = 30.0
    """Seconds that a freed pair of ports is not used again, so that late packets find nobody."""
    rules: CodecRules
    """Codecs of both legs; transcoding is none of this plane's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How much one process, and one DN, may have at once."""

    calls: int = 2000
    calls_per_dn: int = 8
    ringing_seconds: float = 180.0
    """After which an INVITE of ours that was not answered is given up."""
    transactions: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class B2buaSettings:
    """Everything that the B2BUA is told."""

    listens: tuple[SipAddress, ...]
    tls: SipTls = field(default_factory=SipTls)
    allowed_origins: tuple[str, ...] = ()
    """Web origins that may open a WebSocket, as domain-whitelist has them; none: all."""
    web_socket_path: str = "/sip"
    """Where a WebSocket for SIP is opened; others get 404."""
    local_host: str = ""
    """The address that outgoing connections come from; "": the system's choice."""
    local_ports: tuple[int, int] | None = None
    """The range of their ports; None: the system's choice."""
    servers: ServerSettings
    registered: DialNumbers = field(default_factory=DialNumbers)
    """DNs that are registered with the SIP Server when somebody signs in with one."""
    phones: PhoneSettings = field(default_factory=PhoneSettings)
    media: MediaSettings
    talk_hold: bool = True
    """NOTIFY talk and hold are obeyed and advertised; off: 489."""
    service_type: str = "none"
    """Sent as attached data of each call toward the SIP Server; "none": not sent."""
    echo: DialNumbers = field(default_factory=DialNumbers)
    """DNs of our own that send a caller's media back; registered from the start if listed."""
    echo_answer: EchoAnswer = EchoAnswer.AT_ONCE
    limits: CallLimits = field(default_factory=CallLimits)
