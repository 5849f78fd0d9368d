"""
Credentials for the check page: short-lived REST credentials, made when the page asks.

They follow what coTURN calls ``use-auth-secret``: the user name is the moment of expiry and an
id, the password is the base64 of the user name's HMAC under a secret that the relay knows too.
A page never carries a password that lives longer than a look at it.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from turn.settings import CredentialSettings

LIFETIME = 600
"""Seconds that a credential of the page is valid: long enough to read the page, no longer."""

PAGE_ID = "check-page"
"""
The id in the page's user names: logs tell them from real users, and the relay confines them to
its own relays, since whoever can open the page gets one.
"""


class CredentialKind(StrEnum):
    """What the page can tell its reader about user name and password."""

    TEMPORARY = "temporary"
    """Made for this page, and for a few minutes only."""

    ANONYMOUS = "anonymous"
    """The relay asks for none."""

    ASK = "ask"
    """The relay has users of its own; the reader must type a name and password."""


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


class PageCredentials:
    """
    Credentials for the page out of what the relay was told.

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

    def issue(self) -> Credential | None:
        """Make a credential, or None where only the relay's own users have one."""
        match self.kind:
            case CredentialKind.ANONYMOUS:
                return ANONYMOUS
            case CredentialKind.ASK:
                return None
        return rest_credential(
            self._settings.secrets[0],
            int(self._now()) + self.lifetime,
            PAGE_ID,
            digest=self._settings.secret_digest.value,
            separator=self._settings.separator,
        )
