"""
What the B2BUA tells of itself, for logs, metrics, pages and whoever else is interested.

No secrets in here. ``call`` is one id for both legs of a call, fit for a log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from b2bua.media_plane import StreamCounters
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response

LegKind = Literal["server", "phone", "browser", "echo"]
"""A browser's leg has ICE and DTLS-SRTP, however it is signalled; a phone's has plain RTP."""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call has two legs now."""

    call: str
    caller: str
    """The user part of who calls."""
    callee: str
    legs: tuple[LegKind, LegKind]
    """Who called first."""


@dataclass(frozen=True, slots=True)
class CallRinging:
    """The callee's side says that it rings."""

    call: str
    status: int


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Media flow from now on."""

    call: str
    after: float
    """Seconds since the call started."""


@dataclass(frozen=True, slots=True)
class CallHeld:
    """Hold has begun or ended. ``by`` is the leg whose side wants it."""

    call: str
    by: LegKind
    held: bool


@dataclass(frozen=True, slots=True)
class CallResent:
    """An INVITE that one server has not answered was sent to the next."""

    call: str
    server: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Both legs are over, or will be without anybody's doing."""

    call: str
    status: int
    """0 where an answered call ended in the usual way, else what the caller was told."""
    cause: str
    """A fixed word."""
    by: LegKind
    """The leg that ended first."""
    seconds: float
    """Since it was answered; 0.0 if it never was."""


@dataclass(frozen=True, slots=True)
class CallMedia:
    """What one leg's medium has moved, told when it is over, before the call's end."""

    call: str
    leg: LegKind
    kind: str
    """audio or video."""
    counters: StreamCounters


@dataclass(frozen=True, slots=True)
class CallRefused:
    """An INVITE that made no call; ``reason`` is a fixed word."""

    source: Hop
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """Another SIP Server is in use, or one is again after all were down."""

    old: str
    new: str
    """``host:port transport``."""
    reason: str


@dataclass(frozen=True, slots=True)
class ServersDown:
    """No SIP Server answers; calls are refused with 503 until one does."""


@dataclass(frozen=True, slots=True)
class ServersUnknown:
    """The SRV name leads nowhere. ``problem`` is a fixed word of b2bua.srv.Problem."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class DnRegistered:
    """A DN can be called through the SIP Server."""

    dn: str


@dataclass(frozen=True, slots=True)
class DnUnregistered:
    """It cannot any more. ``status`` is the server's, 0 for an ordinary sign-out."""

    dn: str
    status: int


@dataclass(frozen=True, slots=True)
class PhoneBound:
    """A phone, or a page, has registered with us for a DN."""

    dn: str
    hop: Hop


@dataclass(frozen=True, slots=True)
class PhoneGone:
    """Its binding has ended: signed out, expired, or its connection is lost."""

    dn: str
    reason: str


@dataclass(frozen=True, slots=True)
class PhoneRefused:
    """A REGISTER was not accepted; ``reason`` is a fixed word."""

    hop: Hop
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A page has a session over HTTP. Anonymous ones can call and not be called."""

    user: str
    host: str
    is_anonymous: bool


@dataclass(frozen=True, slots=True)
class SignedOut:
    """Its session is over; ``reason`` is a fixed word."""

    user: str
    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class PageGone:
    """A page has gone without a word, and so many calls of it were ended for that."""

    user: str
    host: str
    calls: int


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """Somebody at this host has no session; ``reason`` is a fixed word."""

    host: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class MessagePassed:
    """
    A SIP message was received or sent. Only told where somebody asked for a trace.

    The message is not to be kept: who shows it takes what is needed, without credentials.
    """

    message: Request | Response
    hop: Hop
    is_ours: bool
    """We sent it."""
    call: str
    """Empty where it belongs to none."""
    at: float


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Something went wrong that nobody has foreseen: an error of ours, to be logged as one.

    ``call`` has ended for it, together with what is told of that; it is empty where no call had to.
    A page's call, of the gateway's side, is named by the user of its Contact, as in SIP traces.
    """

    call: str
    error: Exception


Event = (
    CallStarted
    | CallRinging
    | CallAnswered
    | CallHeld
    | CallResent
    | CallMedia
    | CallEnded
    | CallRefused
    | ServerChanged
    | ServersDown
    | ServersUnknown
    | DnRegistered
    | DnUnregistered
    | PhoneBound
    | PhoneGone
    | PhoneRefused
    | SignedIn
    | SignedOut
    | PageGone
    | SignInRefused
    | MessagePassed
    | Fault
)

Subscriber = Callable[[Event], None]
