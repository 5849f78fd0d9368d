"""
What the B2BUA is told when it starts: typed, checked, immutable.

Whoever reads configuration makes these values; nothing in this package knows an option's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class SrtpMode(StrEnum):
    """SRTP on the SIP side, by keys in SDP (RFC 4568)."""

    NONE = "none"
    OPTIONAL = "optional"
    """Two m-lines for each medium are offered, with and without; either is accepted."""
    STRICT = "strict"
    """Nothing else is offered or accepted."""


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
    trace_level: int = 1
    """How many packets are written down, 0 to 4, where somebody reads that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How much one process, and one DN, may have at once."""

    calls: int = 2000
    calls_per_dn: int = 8
    ringing_seconds: float = 180.0
    """After which an INVITE of ours that was not answered is given up."""
    transactions: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DtlsSettings:
    """How browsers' media are encrypted."""

    certificate: Path | None = None
    """PEM, with or without its key; None: one of this install, made at first start."""
    key: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    state_directory: Path | None = None
    """Where the certificate of this install is kept."""
    ciphers: str = ""
    """OpenSSL's cipher list; "": AEAD with forward secrecy."""
    enabled: bool = True
    """Off: SDES only (RFC 4568), which browsers of today do not take."""
    offers_sdes: bool = False
    """Our first offers have keys of SDES beside the fingerprint."""
    accepts_sdes: bool = True
    """An offer with nothing but keys of SDES is answered; off: 488."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAccess:
    """The TURN server that candidates of ours are relayed by."""

    host: str
    port: int = 3478
    user: str
    password: str = field(repr=False)
    over_tcp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebMediaSettings:
    """Media of browsers: ICE, DTLS-SRTP, SDP."""

    addresses: tuple[str, ...]
    """Local addresses, IPv4 and IPv6, of host candidates."""
    external: Mapping[str, str] = field(default_factory=dict)
    """What a local address is known as outside (1:1 NAT); told in place of the local one."""
    first_port: int = 36000
    last_port: int = 36999
    rest: float = 30.0
    """Seconds that a freed port is not used again."""
    stun_server: tuple[str, int] | None = None
    turn_server: TurnAccess | None = None
    dtls: DtlsSettings = field(default_factory=DtlsSettings)
    rules: CodecRules
    """Codecs toward browsers."""
    bundle: bool = True
    """One transport for all media (RFC 9143) where the browser can; else one each."""
    bundle_only: bool = True
    """Media after the first are offered as bundle-only."""
    nack: bool = True
    """Whether browsers are sent NACK, at most one a second."""
    picture_spacing: float | None = 1.0
    """Least seconds between two requests for a whole picture; None: browsers are sent none."""
    picture_interval: float | None = 1.0
    """Seconds after which a browser is asked for a whole picture again; None: only on demand."""
    allows_peer: Callable[[str, int], bool] = lambda host, port: True
    """Whether anything may be sent to where a browser is (host, port)."""
    seeks_peer: Callable[[str, int], bool] = field(default=lambda host, port: True, compare=False)
    """Whether a candidate of a browser may be checked that has sent us nothing yet. It follows the
    relay's rules as they were at the start: a change of those alone restarts nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The HTTP interface of browsers: sessions, and who may have one."""

    allow_anonymous: bool = True
    sid_from_url: bool = True
    """The session may stand in the URL; off: in the cookie only."""
    networks: tuple[Network, ...] = ()
    """Where clients may be; empty: anywhere."""
    proxies: tuple[Network, ...] = ()
    """Whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    poll_seconds: float = 120.0
    """How long a poll is held before it is closed without an answer."""
    reap_seconds: float = 60.0
    """A session without a poll for so long has ended."""
    sessions: int = 5000
    strangers_per_address: int = 300
    """Connections of one address whose clients have not signed in; idle ones give way to others."""
    sessions_per_user: int = 4
    """Of one DN; the oldest without a call gives way."""
    anonymous_calls_per_minute: int = 6
    """Of one address."""
    anonymous_destinations: DialNumbers | None = None
    """Whom anonymous users may call; None: anybody."""
    trace: bool = False
    """Log requests and answers, without secrets."""


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
    web: WebMediaSettings | None = None
    """Media of browsers; None: none are served."""
    gateway: GatewaySettings | None = None
    """The HTTP interface of browsers; None: off. Needs ``web``."""
    srtp: SrtpMode = SrtpMode.NONE
    """SRTP of SIP phones and SIP Servers."""
    avpf: bool = False
    """Whether AVPF may be negotiated there (RFC 4585)."""
    feedback: bool = True
    """Whether RTCP feedback of browsers goes on to them."""
