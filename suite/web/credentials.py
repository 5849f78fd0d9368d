"""
Credentials for pages: short-lived REST credentials, made when a page asks.

They follow what coTURN calls ``use-auth-secret``: the user name is the moment of expiry and an
id, the password is the base64 of the user name's HMAC under a secret that the relay knows too.
A page never carries a password that lives longer than a look at it.

The id says who asked. All of them are confined to this server (``turn.settings.ConfinedUsers``);
who has signed in shares a quota with nobody.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from b2bua.source_budget import source_of
from turn.settings import ConfinedUsers, CredentialSettings, TurnSettings
from turn.vouched import vouches

LIFETIME = 600
"""Seconds that a credential of the page is valid: long enough to read the page, no longer."""

PAGE_ID = "check-page"
"""
The id in the check page's user names: logs tell them from real users, and the relay confines them
to its own relays, since whoever can open the page gets one.
"""
SESSION_PREFIX = "gateway-session-"
"""What ids of sessions at the gateway begin with; the DN and something of the session follow."""
VISITOR_PREFIX = "gateway-visitor-"
"""The same for anonymous users: what follows stands for their address."""

PAGE_QUOTA = 100
"""Relays for all who open the check page together."""
SESSION_QUOTA = 40
"""
Relays of one session. A call of a browser takes one for each URL (UDP, TCP, TLS), network and
medium until it knows which one it uses: 12 with two networks and video. A page that was loaded anew
is another session, but an ICE restart takes as many again.
"""
VISITOR_QUOTA = 100
"""
Relays of all anonymous users of one address: anybody can be another one of them, as often as he
likes.
"""

CONFINED_PAGE = ConfinedUsers(name=PAGE_ID, quota=PAGE_QUOTA)
CONFINED_SESSIONS = (
    ConfinedUsers(name=SESSION_PREFIX, quota=SESSION_QUOTA, is_prefix=True, is_vouched_for=True),
    ConfinedUsers(name=VISITOR_PREFIX, quota=VISITOR_QUOTA, is_prefix=True, is_vouched_for=True),
)


class CredentialKind(StrEnum):
    """What the page can tell its reader about user name and password."""

    TEMPORARY = "temporary"
    """Made for this page, and for a few minutes only."""

    ANONYMOUS = "anonymous"
    """The relay asks for none."""

    ASK = "ask"
    """The relay has users of its own; the reader must type a name and password."""


class SignedIn(Protocol):
    """A session at the gateway, as far as it matters here."""

    @property
    def sid(self) -> str:
        """Its secret."""

    @property
    def user(self) -> str:
        """Its DN, or some name."""

    @property
    def host(self) -> str:
        """The address that it signed in from."""

    @property
    def is_anonymous(self) -> bool:
        """Whether anybody could have signed in so."""


def session_id(session: SignedIn) -> str:
    """The id for a session's credentials; nobody learns the session's secret from it."""
    if session.is_anonymous:
        return VISITOR_PREFIX + _digest(source_of(session.host))
    return f"{SESSION_PREFIX}{session.user}-{_digest(session.sid)}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and its password."""

    username: str
    password: str = field(repr=False)


ANONYMOUS = Credential("anonymous", "anonymous")
"""Browsers refuse a ``turn:`` server without credentials even where the relay asks for none."""


def rest_credential(
    secret: str, expires: int, user_id: str, *, digest: str = "sha1", separator: str = ":"
) -> Credential:
    """Make the REST credential of ``user_id`` that a relay knowing ``secret`` accepts."""
    username = f"{expires}{separator}{user_id}"
    mac = hmac.digest(secret.encode(), username.encode(), digest)
    return Credential(username, base64.b64encode(mac).decode("ascii"))


def session_settings(turn: TurnSettings, secret: str) -> CredentialSettings:
    """What credentials of sessions are made of; ``secret`` is the relay's own."""
    if not vouches(turn):
        return turn.credentials
    return replace(turn.credentials, use_secrets=True, secrets=(secret,))


class PageCredentials:
    """
    Credentials for pages out of what the relay was told.

    ``now`` is wall clock, because the expiry in a REST user name is. The first secret is used:
    the others are those that a rotation is about to drop.
    """

    def __init__(
        self, settings: CredentialSettings, now: Callable[[], float], lifetime: int = LIFETIME
    ) -> None:
        self._settings = settings
        self._now = now
        self.lifetime = lifetime

    @property
    def kind(self) -> CredentialKind:
        """Which credentials ``issue`` gives."""
        if self._settings.anonymous:
            return CredentialKind.ANONYMOUS
        if self._settings.use_secrets and self._settings.secrets:
            return CredentialKind.TEMPORARY
        return CredentialKind.ASK

    def issue(self, user_id: str = PAGE_ID) -> Credential | None:
        """Make a credential, or None where only the relay's own users have one."""
        match self.kind:
            case CredentialKind.ANONYMOUS:
                return ANONYMOUS
            case CredentialKind.ASK:
                return None
        return rest_credential(
            self._settings.secrets[0],
            int(self._now()) + self.lifetime,
            user_id,
            digest=self._settings.secret_digest.value,
            separator=self._settings.separator,
        )
