"""
What a peer may cost: times in seconds, counts and sizes of the SIP transports; and the books.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """The same for all transports of a process."""

    handshake_timeout: float = 10.0
    """From the accept to the end of the TLS and the WebSocket handshake, however slow the bytes."""
    message_timeout: float = 10.0
    """For the rest of a message that has begun."""
    stranger_timeout: float = 30.0
    """For a connection that nobody vouches for, from its beginning."""
    idle_timeout: float = 900.0
    """Without a message or keep-alive from the peer."""
    connect_timeout: float = 4.0
    """For a connection of ours, TLS handshake included."""
    retry_pause: float = 0.5
    """After a connection that could not be opened, before another one to the same peer."""
    ping_interval: float = 100.0
    """Between keep-alives on connections of ours (RFC 5626, section 4.4.1)."""
    pong_timeout: float = 10.0
    """For the answer to one, where the peer has ever answered one."""
    close_patience: float = 5.0
    """For a peer to take what was written before a connection is closed."""
    strangers: int = 200
    """Connections at once that nobody vouches for; one source may have half of them."""
    connections: int = 10_000
    """Connections at once that peers opened."""
    waiting_messages: int = 256
    """Messages that wait for one connection to open."""
    unsent_bytes: int = 256 * 1024
    """What a peer that does not read leaves with us before its connection is cut."""
    datagrams_per_turn: int = 64
    seconds_per_turn: float = 0.002


@dataclass(slots=True)
class TransportTotals:
    """What happened so far, for metrics; the keys are fixed sets of words."""

    received: Counter[str] = field(default_factory=Counter)
    """Messages by transport."""
    sent: Counter[str] = field(default_factory=Counter)
    """Messages by transport."""
    malformed: Counter[str] = field(default_factory=Counter)
    """What could not be read, by the reason of its ParseError."""
    opened: Counter[str] = field(default_factory=Counter)
    """Connections that became usable, by transport."""
    closed: Counter[str] = field(default_factory=Counter)
    """Connections that ended, by reason."""
    refused: Counter[str] = field(default_factory=Counter)
    """Connections that were not taken, by reason."""
    failed: Counter[str] = field(default_factory=Counter)
    """Failures told to the core, by reason."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Datagrams that were not sent or not looked at, by reason."""
