"""
What a connection with HTTP counts as: a stranger's, somebody's who has signed in, or a user's.
"""

from __future__ import annotations

from enum import IntEnum

from twisted.internet.interfaces import IProtocol

from suite.admission import Admission
from suite.web.connections import PageChannel


class _As(IntEnum):
    STRANGER = 0
    CLIENT = 1
    """Of a session whose user may be anybody."""
    VOUCHED = 2
    """Of a user who has proved to be one."""
    NOTHING = 3


class HttpStanding:
    """The place of one connection in the books of all, from its first request on."""

    def __init__(self, admission: Admission, host: str, channel: IProtocol) -> None:
        self._admission = admission
        self._host = host
        self._channel = channel if isinstance(channel, PageChannel) else None
        self._user = ""
        self._is = _As.STRANGER
        admission.http_began(host, self)

    @property
    def is_idle(self) -> bool:
        """Whether it is a stranger's that asks for nothing at present."""
        return self._channel is not None and self._channel.is_idle

    def give_way(self) -> None:
        """Another connection of the same source is to have its place: it ends as if by time."""
        self._leave()
        if self._channel is not None:
            self._channel.give_way()

    def signed_in(self) -> None:
        """Its client has a session."""
        if self._is is _As.STRANGER:
            self._leave()
            self._is = _As.CLIENT
            self._admission.count_client(self._host, 1)

    def vouched(self, user: str) -> None:
        """The session's user has proved to be that one."""
        self.signed_in()
        if self._is is _As.CLIENT and self._admission.vouch(self._host, user):
            self._is, self._user = _As.VOUCHED, user

    def end(self) -> None:
        """It is gone."""
        self._leave()

    def _leave(self) -> None:
        was, self._is = self._is, _As.NOTHING
        if was is _As.STRANGER:
            self._admission.http_ended(self._host, self)
        elif was is _As.CLIENT:
            self._admission.count_client(self._host, -1)
        elif was is _As.VOUCHED:
            self._admission.vouched_ended(self._user)
