"""
What clients of the HTTP interface do wrong.
"""

from __future__ import annotations

from typing import Literal

SignInFault = Literal[
    "id",  # none, or none that could be one
    "password",  # wrong, or missing where one is needed
    "refused",  # by the SIP Server, which has no such DN
    "silenced",  # too many wrong ones lately
    "anonymous",  # not a DN of ours, and only those may sign in
    "full",  # no room for another session
    "user-full",  # every session of this user is in a call
]
"""Why nobody is signed in; fit for a metric's label."""

_STATUS: dict[str, int] = {"id": 400, "full": 503, "user-full": 503}


class Malformed(ValueError):
    """A message that nobody could mean; the text says what is wrong, not what it was."""


class TooLarge(Malformed):
    """A message that is longer than any may be."""


class TooOften(Exception):
    """One message more than a page may post in so short a time."""


class SignInRefusal(Exception):
    """Nobody is signed in. ``status`` is the answer's."""

    def __init__(self, reason: SignInFault) -> None:
        super().__init__(reason)
        self.reason: SignInFault = reason
        self.status = _STATUS.get(reason, 403)
