"""
One session of the HTTP interface: a page that has signed in, its mailbox and its calls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from b2bua.gateway.allowance import Allowance
from b2bua.gateway.call import Call, Key
from b2bua.gateway.mailbox import Mailbox
from b2bua.gateway.roap import RoapMessage
from b2bua.sip.hop import BROWSER, Hop

_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+*-._~@!$'():,;")

_DIALLED = frozenset("+*#0123456789")


class Session:
    """
    ``sid`` is the secret that its page knows it by, ``number`` what stands for it in hops.

    ``user`` is a DN, or the name of somebody anonymous, who can call and not be called.
    ``tell`` hears of each change of its mailbox.
    """

    def __init__(
        self,
        sid: str,
        number: int,
        user: str,
        host: str,
        tell: Callable[[Session], None],
        *,
        is_anonymous: bool,
        is_proved: bool,
        now: float,
    ) -> None:
        self.sid = sid
        self.number = number
        self.user = user
        self.host = host
        self.hop = Hop(BROWSER, host, 0, flow=number)
        self.is_anonymous = is_anonymous
        self.is_proved = is_proved
        """Whether its password was right, or the SIP Server has registered its DN since."""
        self.mailbox = Mailbox(partial(tell, self))
        self.allowance = Allowance()
        self.calls: dict[str, Call] = {}
        self.is_over = False
        self.is_polled = False
        self.last_polled = now
        """When a poll was last there."""
        self.left_at: float | None = None
        """When its page closed the connection of a poll, and has not been heard of since."""
        self.register_status = 0
        """How the B2BUA has answered its REGISTER; 0: not yet, or there is none."""
        self.register_sequence = 0
        self.password: str | None = None
        """What it began with, if the SIP Server is to judge that."""
        self.is_refused = False
        """Whether the SIP Server has taken another password for its DN."""
        self.holds_several = False
        """Whether its page can have several calls at a time; the old client cannot."""
        self._closing: dict[str, frozenset[Key]] = {}
        """Of calls that are over, what was received, as long as their pages may not know it."""

    def __repr__(self) -> str:
        return f"<Session {self.number}>"

    @property
    def caller(self) -> str:
        """
        Who calls, toward the SIP Server. Somebody anonymous is nobody's number, whatever its name.
        """
        poses = self.is_anonymous and set(self.user) <= _DIALLED
        return f"anonymous-{self.number}" if poses else self.user

    def note(self, message: RoapMessage) -> None:
        """Take what a message of the page says of what it can do."""
        self.holds_several = self.holds_several or message.holds_several

    def find(self, peer: str) -> Call | None:
        """The call with a peer; where none is named, the only one."""
        if not peer and len(self.calls) == 1:
            return next(iter(self.calls.values()))
        found = self.calls.get(peer)
        # A page may escape a name that was escaped for it.
        return self.calls.get(unquote(peer)) if found is None else found

    def add(self, call: Call) -> None:
        """Take in a call."""
        self.calls[call.peer] = call
        self._closing.pop(call.peer, None)

    def remove(self, call: Call, *, is_told: bool) -> None:
        """Forget a call; ``is_told``: its page gets a BYE, and may send copies until then."""
        if self.calls.get(call.peer) is call:
            del self.calls[call.peer]
            if is_told:
                self._closing[call.peer] = frozenset(call.seen)

    def is_copy(self, peer: str, key: Key) -> bool:
        """Whether a message belongs to a call that is over, which its page does not know yet."""
        return key in self._closing.get(peer, ())

    def knows_end(self, peer: str) -> None:
        """The page has been told that a call is over."""
        self._closing.pop(peer, None)

    def name_for(self, number: str) -> str:
        """
        A name for a new peer: the number, in characters that are safe in a query.

        A page has one name for each call; a second one of the same number gets another.
        """
        plain = "".join(c if c in _SAFE else "_" for c in number)[:64] or "anonymous"
        name, count = plain, 1
        while name in self.calls:
            count += 1
            name = f"{plain}~{count}"
        return name
