"""
One leg of a call: a SIP dialog with a phone or a SIP Server, or the echo in this process.

A leg knows its own side only. What the other leg's peer did reaches it through the call, as
something to ring with, to answer, to offer, or to hang up for.
"""

from __future__ import annotations

from dataclasses import dataclass

from b2bua.call_events import LegKind
from b2bua.leg_media import LegMedia
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message
from b2bua.sip.uri import Uri
from b2bua.sip.usage_states import Exchange, UsageState
from b2bua.talk_hold import LegState, TalkHold, leg_state


@dataclass(frozen=True, slots=True)
class Target:
    """Where an INVITE of ours is to go. ``hop`` is None for the SIP Server in use by then."""

    uri: Uri
    from_: NameAddr
    to: NameAddr
    hop: Hop | None = None
    route: tuple[str, ...] = ()
    """Values of Route, of a phone that registered over proxies (RFC 3327)."""
    headers: tuple[tuple[str, str], ...] = ()


class Leg:
    """A SIP leg. ``usage`` is replaced where an INVITE is sent to another server."""

    __slots__ = (
        "answer_body",
        "asserted",
        "attempts",
        "hop",
        "is_picked_up",
        "is_unheard",
        "kept",
        "kind",
        "media",
        "number",
        "peer_events",
        "target",
        "usage",
        "was_held",
    )

    def __init__(self, kind: LegKind, number: str, media: LegMedia) -> None:
        self.kind = kind
        self.number = number
        """The user part of who is at the other end."""
        self.media = media
        self.usage: InviteUsage | None = None
        self.hop: Hop | None = None
        """Where our INVITE went."""
        self.target: Target | None = None
        self.attempts = 0
        self.answer_body = b""
        """Our answer to the peer's INVITE, as an early response gave it already."""
        self.peer_events: frozenset[str] = frozenset()
        """Event packages that the peer takes, in lower case."""
        self.asserted: list[str] = []
        """Who is at the other end, as a SIP Server said last: P-Asserted-Identity."""
        self.kept: TalkHold | None = None
        """A talk or hold that waits until an exchange is over."""
        self.was_held = False
        self.is_picked_up = False
        self.is_unheard = False
        """Nothing has come back for our INVITE, and there was nowhere else to send it."""

    @property
    def caller_usage(self) -> InviteServerUsage:
        """The usage of the leg that called us."""
        if not isinstance(self.usage, InviteServerUsage):
            raise TypeError("a leg that did not call us")
        return self.usage

    @property
    def is_up(self) -> bool:
        """Whether its session may be changed: both sides have an answer."""
        usage = self.usage
        return usage is not None and usage.state in (UsageState.ESTABLISHED, UsageState.ANSWERED)

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be done with it any more."""
        return self.usage is None or self.usage.state in (
            UsageState.ENDED,
            UsageState.ENDING,
            UsageState.LEAVING,
            UsageState.CANCELLING,
        )

    @property
    def takes_talk(self) -> bool:
        """Whether the peer lets itself be told to answer."""
        return "talk" in self.peer_events

    def note(self, message: Message) -> None:
        """Take what a message of the peer says of what it can do."""
        if message.has("Allow-Events"):
            self.peer_events = message.tokens("Allow-Events")
        if message.has("P-Asserted-Identity"):
            self.asserted = message.get_rows("P-Asserted-Identity")

    def talk_state(self) -> LegState:
        """Where this leg stands for talk and hold."""
        usage = self.usage
        if usage is None or not usage.sessions():
            return LegState.GONE
        session = usage.session or usage.sessions()[0]
        hold = self.media.session.hold
        return leg_state(usage.state, session.state, hold, picked_up=self.is_picked_up)

    def ring(
        self, status: int, body: bytes, headers: tuple[tuple[str, str], ...], now: float
    ) -> None:
        """Tell the caller how far it is, if it may still be told, with an answer only once."""
        usage = self.caller_usage
        if usage.state is UsageState.RINGING:
            usage.ring(status, now, b"" if self._has_said else body, headers=headers)

    @property
    def _has_said(self) -> bool:
        """Whether a reliable early response has given our answer."""
        session = self.caller_usage.session
        return session is not None and session.exchange is Exchange.DONE

    def answer(self, body: bytes, headers: tuple[tuple[str, str], ...], now: float) -> None:
        """Answer the caller. What a reliable early response gave already is not said again."""
        self.caller_usage.answer(now, b"" if self._has_said else body, headers)

    def hang_up(self, headers: tuple[tuple[str, str], ...], now: float) -> None:
        """End it in the way that its state asks for."""
        usage = self.usage
        if isinstance(usage, InviteServerUsage) and usage.state in (
            UsageState.RINGING,
            UsageState.WITHHELD,
        ):
            usage.reject(480, now, headers)
        elif usage is not None:
            usage.bye(now, headers)

    def abandon(self, now: float) -> None:
        """Give up an INVITE that went where nobody answers; late answers are ended by it."""
        usage, self.usage = self.usage, None
        if isinstance(usage, InviteClientUsage):
            usage.is_abandoned = True
            usage.cancel(now)
