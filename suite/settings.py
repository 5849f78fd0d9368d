"""
What the suite is told when it starts: typed, checked, immutable.

``suite.config`` makes these values from ``suite.conf``, a ``turnserver.conf`` and the command
line; nothing else in the suite reads a file of options or knows an option's spelling.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from b2bua.settings import B2buaSettings
from suite.lab.settings import LabSettings
from turn.five_tuple import Address
from turn.settings import Network, TurnSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpListen:
    """One UDP address that clients of the relay send to."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpListen:
    """
    One TCP address. What arrives is told apart by its first bytes; what is not served is closed.
    """

    address: Address
    tls: bool = True
    """Accept TLS."""
    plain: bool = True
    """Accept STUN without TLS."""
    turn: bool = True
    turn_over_tls: bool = True
    """Serve TURN within TLS too; off where TLS is there for the pages only."""
    web: bool = False
    """Serve the pages (over TLS; over plain HTTP to this machine only, others are redirected)."""
    http_port: bool = False
    """It is the gateway's own, [rsmp] http-port."""
    plain_http: bool = False
    """Serve the pages over plain HTTP to everybody, as behind a proxy that has the certificate."""
    https_certificate: bool = False
    """Show the certificate of ``SuiteSettings.https`` in place of ``SuiteSettings.tls``."""
    redirect_to: int = 0
    """Answer HTTP with a redirect to HTTPS on this port, and serve nothing else; 0: see above."""
    proxy_from: tuple[Network, ...] = ()
    """Sources that must send a PROXY protocol header; empty: this listener takes none."""

    @property
    def secures_turn(self) -> bool:
        """Whether clients of the relay are served over TLS here."""
        return self.turn and self.tls and self.turn_over_tls


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The certificate that every TLS listener shows."""

    certificate: Path
    """PEM chain, the server's own certificate first."""
    private_key: Path
    authorities: Path | None = None
    """PEM certificates that are sent behind the chain."""
    key_password: str | None = field(default=None, repr=False)
    cipher_list: str | None = None
    """OpenSSL's cipher list for TLS 1.2; None: AEAD with forward secrecy."""
    minimum: str = "1.2"


class LogLevel(StrEnum):
    """Levels of the log, the rarest first; each includes those before it."""

    STANDARD = "standard"
    INTERACTION = "interaction"
    TRACE = "trace"
    DEBUG = "debug"


class TimeFormat(StrEnum):
    """How a record's time is written."""

    TIME = "time"
    LOCALE = "locale"
    ISO8601 = "ISO8601"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOutput:
    """Where records of one level and all rarer ones go."""

    level: LogLevel
    target: str
    """``stdout``, ``stderr``, ``syslog``, ``memory`` or a file's path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The log, after the guide's [log] section."""

    verbose: LogLevel | None = LogLevel.TRACE
    """The most detailed level that is written; None writes nothing."""
    outputs: tuple[LogOutput, ...] = (LogOutput(level=LogLevel.DEBUG, target="stdout"),)
    json: bool = False
    full_headers: bool = False
    time_format: TimeFormat = TimeFormat.ISO8601
    utc: bool = False
    segment_bytes: int = 10_000 * 1024
    """0: one file for ever."""
    segment_seconds: int = 0
    expire_files: int = 20
    """0: no limit."""
    expire_days: int = 0
    check_point_hours: int = 1
    memory_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSettings:
    """Health and metrics over plain HTTP, on an address of their own."""

    address: Address = ("127.0.0.1", 9641)
    metrics_path: str = "/metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """Everything. A part that is None is switched off."""

    name: str = "webrtc-suite"
    state_directory: Path
    """For what the suite makes itself: the certificate of this install."""
    udp: tuple[UdpListen, ...] = ()
    tcp: tuple[TcpListen, ...] = ()
    tls: TlsSettings | None = None
    https: TlsSettings | None = None
    """The certificate of the listeners that are to show one of their own."""
    turn: TurnSettings | None = None
    b2bua: B2buaSettings | None = None
    lab: LabSettings | None = None
    web: bool = False
    """The pages are on; which listeners show them is each listener's own setting. Without them the
    gateway's addresses are there all the same."""
    log: LogSettings = field(default_factory=LogSettings)
    status: StatusSettings | None = None
    socket_buffer: int = 2 * 1024 * 1024
    """Kernel buffers of each UDP listener, bytes."""
    handshake_timeout: float = 10.0
    frame_timeout: float = 10.0
    unauthenticated_timeout: float = 30.0
    stop_timeout: float = 8.0
    max_connections: int = 5000
    """Streams that have not authenticated yet, over all listeners."""
