"""
REST users that this relay itself makes, beside whatever users it has.

A page that is signed in has a credential also where the configuration knows users only, or where
the shared secrets are in a database. Nobody else learns the secret of these names.
"""

from __future__ import annotations

from turn.credentials import Credentials, Lookup, SharedSecrets
from turn.settings import TurnSettings


def vouches(settings: TurnSettings) -> bool:
    """
    Whether credentials of pages are made from a secret of the relay's own.

    Where the configuration has a shared secret that one serves, so that several relays behind one
    name take each other's.
    """
    credentials = settings.credentials
    if credentials.anonymous or (credentials.use_secrets and credentials.secrets):
        return False
    return any(users.is_vouched_for for users in settings.confined)


def with_vouched(others: Credentials, settings: TurnSettings, secret: str) -> Credentials:
    """Give the user lists to use: ``others``, with the relay's own beside them if it has any."""
    return VouchedUsers(others, settings, secret) if vouches(settings) else others


class VouchedUsers:
    """Names that ``secret`` vouches for, and those of ``others``."""

    def __init__(self, others: Credentials, settings: TurnSettings, secret: str) -> None:
        credentials = settings.credentials
        self._others = others
        self._settings = settings
        self._own = SharedSecrets(
            (secret,), settings.realm, credentials.separator, credentials.secret_digest
        )

    def find(self, username: str, wall: float) -> Lookup:
        """Give the keys of a user; ``others`` are not asked for a name of the relay's own."""
        return self._of(username).find(username, wall)

    def find_userhash(self, userhash: bytes) -> str | None:
        """Give the name if ``others`` know it."""
        return self._others.find_userhash(userhash)

    def quota_name(self, username: str) -> str:
        """Give the name that a user's allocations are counted under."""
        return self._of(username).quota_name(username)

    def _of(self, username: str) -> Credentials:
        identity = self._own.quota_name(username)
        confined = None if identity == username else self._settings.confined_as(identity)
        return self._own if confined and confined.is_vouched_for else self._others
