"""
A user agent of the lab with its clock: messages in, messages and events out, one timer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from b2bua.sip.errors import ParseError
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request
from b2bua.sip.outputs import Send
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import Uri
from b2bua.sip.usage_events import Profile
from b2bua.sip.user_agent import AgentOutput, UserAgent


def token() -> str:
    """A word that nobody can guess."""
    return secrets.token_hex(8)


_LISTS = ("Require", "Supported", "Allow", "Allow-Events", "Recv-Info")
"""What a user agent reads as lists of tokens, wherever it stands."""


def _is_readable(message: Message, name: str) -> bool:
    try:
        message.tokens(name)
    except ParseError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What an agent needs of whoever sends for it."""

    send: Callable[[Message, Hop], None]
    sent_by: Callable[[Hop], str]
    contact: Callable[[Hop], NameAddr]
    route: Callable[[Uri, Hop], Hop]


class RunningAgent:
    """
    Runs one ``UserAgent``. ``told`` gets everything that it tells, in order.

    Whoever calls methods of the agent itself, or of a usage, calls ``pump`` afterwards; within
    ``told`` that is not needed.
    """

    log = Logger(namespace="lab")

    def __init__(
        self,
        network: Network,
        clock: IReactorTime,
        told: Callable[[AgentOutput, float], None],
        profile: Profile,
    ) -> None:
        self._network = network
        self._clock = clock
        self._told = told
        self._timer: IDelayedCall | None = None
        self._is_pumping = False
        self._is_stopped = False
        self.agent = UserAgent(
            TransactionTable(network.sent_by, token),
            sent_by=network.sent_by,
            token=token,
            contact=network.contact,
            route=network.route,
            random_below=secrets.randbelow,
            profile=profile,
        )

    @property
    def now(self) -> float:
        """The clock's time."""
        return self._clock.seconds()

    def receive(self, message: Message, hop: Hop) -> None:
        """Take a message; a request with a list that cannot be read has 400."""
        garbled = [name for name in _LISTS if not _is_readable(message, name)]
        if garbled and isinstance(message, Request):
            if message.method != "ACK":
                self._network.send(message.response(400, to_tag=token()), hop)
            return
        for name in garbled:
            message.remove(name)
        self.agent.receive(message, hop, self.now)
        self.pump()

    def hop_failed(self, hop: Hop) -> None:
        """Note that what went out over this hop has not arrived."""
        self.agent.hop_failed(hop, self.now)
        self.pump()

    def stop(self) -> None:
        """Send and tell nothing any more."""
        self._is_stopped = True
        self._cancel_timer()

    def pump(self) -> None:
        """Hand on what the agent has to say, until it has nothing more, and set the timer."""
        if self._is_pumping or self._is_stopped:
            return
        self._is_pumping = True
        try:
            while outputs := self.agent.take_outputs():
                for output in outputs:
                    self._hand_on(output)
        finally:
            self._is_pumping = False
            self._set_timer()

    def _hand_on(self, output: AgentOutput) -> None:
        if isinstance(output, Send):
            self._network.send(output.message, output.hop)
        else:
            self._told(output, self.now)

    def _set_timer(self) -> None:
        self._cancel_timer()
        due = self.agent.next_timeout()
        if due is not None and not self._is_stopped:
            self._timer = self._clock.callLater(max(0.0, due - self.now), self._wake)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _wake(self) -> None:
        self._timer = None
        self.agent.handle_timeout(self.now)
        self.pump()
