"""
What a relay is told when it starts: typed, checked, immutable.

Files, option names and messages about them are not known here; ``suite`` reads them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum, StrEnum

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PeerProfile(StrEnum):
    """Which built-in peer rules apply."""

    SAFE = "safe"
    """Every block that is not routable on the Internet is denied."""

    COTURN = "coturn"
    """coTURN's rules: loopback, link-local and ULA denied; private and multicast allowed."""


class PasswordAlgorithm(Enum):
    """How a long-term key is made of name, realm and password (RFC 8489, section 18.5)."""

    MD5 = 1
    SHA256 = 2


class SecretDigest(StrEnum):
    """The HMAC that turns a shared secret and a REST user name into a password."""

    SHA1 = "sha1"
    SHA256 = "sha256"


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from ``first`` to ``last``, both included, as integers of one family."""

    version: int
    first: int
    last: int
    text: str
    """How the configuration spelled it, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """Who may be a peer: explicit rules, allowed before denied, then the profile's table."""

    profile: PeerProfile = PeerProfile.SAFE
    allowed: tuple[AddressRange, ...] = ()
    denied: tuple[AddressRange, ...] = ()
    allow_loopback: bool = False
    deny_multicast: bool = True
    open_ports: tuple[tuple[str, int, int], ...] = ()
    """(address, first port, last port) opened beside the relay's own range."""
    local_faces: tuple[tuple[str, str], ...] = ()
    """(public address, local address) where what is sent to a public address of ours goes; beside
    those of the relay itself, which come first."""


@dataclass(frozen=True, slots=True, repr=False)
class StaticUser:
    """A long-term user from the configuration: an open password or a ready MD5 key."""

    name: str
    password: str | None = None
    md5_key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CredentialSettings:
    """Who may relay. ``anonymous`` must be asked for; it is an open relay."""

    anonymous: bool = False
    users: tuple[StaticUser, ...] = ()
    secrets: tuple[str, ...] = ()
    use_secrets: bool = False
    """REST credentials (coTURN's use-auth-secret); static users are then not looked at."""
    secret_digest: SecretDigest = SecretDigest.SHA1
    separator: str = ":"
    database: str = ""
    """Path of coTURN's SQLite user database, or empty."""
    algorithms: tuple[PasswordAlgorithm, ...] = (PasswordAlgorithm.SHA256, PasswordAlgorithm.MD5)
    """Offered in PASSWORD-ALGORITHMS, the preferred first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAddress:
    """A public address of this server and the local one behind it (coTURN's external-ip)."""

    public: str
    local: str | None = None
    """None: every local relay address of the same family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPorts:
    """Relay ports that all allocations share, the same ones on every relay address."""

    first: int
    last: int
    max_peers: int = 256
    """Peers of one allocation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfinedUsers:
    """
    Users of the pages: they may reach the relays of this server, ``PeerSettings.open_ports``, and
    nobody else.
    """

    name: str
    """Who counts as one of them, by the name that quotas know."""
    quota: int
    """Allocations at a time, beside what user_quota says: their credentials are easily had."""
    is_prefix: bool = False
    """Whether there are many, whose names begin with ``name``; each has a quota of its own."""
    is_vouched_for: bool = False
    """Whether this relay gives them credentials also where it knows no shared secret."""

    def has(self, quota_name: str) -> bool:
        """Whether that is one of them."""
        return quota_name.startswith(self.name) if self.is_prefix else quota_name == self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """One relay. Durations are seconds, rates bytes per second; 0 means no limit."""

    realm: str = "webrtc-suite"
    relay_addresses: tuple[str, ...] = ()
    """Local addresses of relay sockets; empty: the address the client reached."""
    external_addresses: tuple[ExternalAddress, ...] = ()
    external_auto: bool = False
    """Ask a STUN server for the public address (external-ip = auto)."""
    external_stun_server: tuple[str, int] | None = None
    min_port: int = 49152
    max_port: int = 65535
    shared_ports: SharedPorts | None = None
    """In place of a port of its own for each allocation (coTURN's multiplex-peer)."""
    peers: PeerSettings = field(default_factory=PeerSettings)
    credentials: CredentialSettings = field(default_factory=CredentialSettings)
    stun: bool = True
    turn: bool = True
    classic_stun: bool = True
    """Answer the cookie-less Binding of RFC 3489."""
    authenticate_binding: bool = False
    user_quota: int = 0
    total_quota: int = 0
    max_bps: int = 0
    bps_capacity: int = 0
    confined: tuple[ConfinedUsers, ...] = ()
    default_lifetime: int = 600
    max_lifetime: int = 3600
    permission_lifetime: int = 300
    channel_lifetime: int = 600
    max_permissions: int = 256
    max_channels: int = 256
    nonce_lifetime: int = 600
    nonce_secret: str = field(default="", repr=False)
    """Shared by a fleet so that one server accepts another's nonces; empty: random at start."""
    unauthorized_rate: int = 10
    """401 replies per second to one source over UDP."""
    binding_rate: int = 100
    """Binding replies per second to one source over UDP."""
    fingerprint: bool = False
    """Always add FINGERPRINT; otherwise a reply mirrors its request."""
    software: bool = False
    reason_phrases: bool = False
    """Say what is wrong in error replies, not only the standard phrase."""
    legacy_channel_numbers: bool = False
    """Accept channels 0x5000 to 0x7FFF (RFC 5766)."""

    def confined_as(self, quota_name: str) -> ConfinedUsers | None:
        """The users that this one is among if it is confined."""
        return next((users for users in self.confined if users.has(quota_name)), None)

    @property
    def relay_ports(self) -> tuple[int, int]:
        """The first and the last port on which peers meet relays."""
        if self.shared_ports is not None:
            return self.shared_ports.first, self.shared_ports.last
        return self.min_port, self.max_port
