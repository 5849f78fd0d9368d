"""
An ICE agent: one pair of credentials of ours, and at most one of the peer's (RFC 8445).

Candidate pairs and the order of checks are aioice's. Its sockets, its gathering, its consent and
its end are not: datagrams come from whoever owns the sockets, nobody ends an agent but its owner,
and checks that do not prove that they are the peer's are dropped without an answer. Nomination is
regular: the first pair that is found valid, and then whatever the controlling side names.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aioice import stun
from aioice.candidate import Candidate, candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol
from aioice.utils import random_string

from b2bua.net.ice_candidates import (
    COMPONENT,
    Address,
    AllowsPeer,
    is_peer,
    make_candidate,
    read_candidates,
)
from b2bua.net.ice_consent import Consent, IceTimes

MOST_CANDIDATES = 100
"""Of the peer, learnt ones included, and pairs (RFC 8445, section 6.1.2.5)."""
MOST_ROLE_CHANGES = 3
"""That one check of ours may cause; a peer that wants more is not served."""
NOMINATION_RETRIES = 2
"""Over a pair that was valid just now: after 3.5 seconds another one has its turn."""
_UFRAG, _PASSWORD = 8, 24
_STALE = 0.1
"""Seconds after which a check that the peer's own one meets is sent again at once."""

_SUCCEEDED = CandidatePair.State.SUCCEEDED
_FAILED = CandidatePair.State.FAILED
_IN_PROGRESS = CandidatePair.State.IN_PROGRESS


class IceBase(Protocol):
    """Where checks are sent from: a socket, or an address on a relay."""

    kind: str
    """host or relay."""
    address: Address
    preference: int
    """Local preference: no two bases of a transport have the same."""
    valid: set[Address]
    """Whose media may come in here; the agents keep it."""

    def send(self, data: bytes, target: Address) -> None:
        """Send a datagram, or lose it."""

    def put(self, data: bytes, target: Address) -> object:
        """Send a datagram. Raises OSError."""


Path = tuple[IceBase, Address]
"""Where to send from, and to whom."""


LONGEST_MESSAGE: Final = 1500
"""Bytes; what is sent without knowing the path's MTU is shorter (RFC 8489, section 6.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceTerms:
    """What holds for every agent of a transport."""

    loop: asyncio.AbstractEventLoop
    times: IceTimes = field(default_factory=IceTimes)
    allows_peer: AllowsPeer = lambda host, port: True
    """Whether anything may be sent there."""
    seeks_peer: AllowsPeer = lambda host, port: True
    """Whether a candidate may be checked that has sent us nothing yet."""


def read_message(data: bytes) -> stun.Message | None:
    """
    Read a STUN message; None where it is none, or longer than one between ICE agents ever is.

    Each FINGERPRINT of a message is computed anew over all before it, and anybody may send one.
    """
    if len(data) > LONGEST_MESSAGE:
        return None
    try:
        return stun.parse_message(data)
    except (ValueError, struct.error):
        return None


def local_ufrag(message: stun.Message) -> str:
    """Whose credentials a check was made for: the part of its USERNAME before the colon."""
    return str(message.attributes.get("USERNAME", "")).partition(":")[0]


class _Outlet(asyncio.DatagramTransport):
    """What a StunProtocol takes for its transport."""

    def __init__(self, base: IceBase) -> None:
        super().__init__({"sockname": base.address})
        self._base = base

    def sendto(self, data: object, addr: object = None) -> None:
        """Hand a datagram to whoever owns the socket."""
        assert isinstance(data, bytes) and isinstance(addr, tuple)
        self._base.send(data, addr)

    def close(self) -> None:
        """The socket is not ours to close."""


class BaseProtocol(StunProtocol):
    """One agent's share of a base: its transactions."""

    def __init__(self, agent: IceAgent, base: IceBase, candidate: Candidate) -> None:
        super().__init__(agent)
        self.base = base
        self.local_candidate = candidate
        self.connection_made(_Outlet(base))


class IceAgent(Connection):
    """
    Checks pairs from the moment at which the peer's credentials are known, until it is stopped.

    ``changed`` is called when a pair was found valid, was selected, or lost its consent.
    """

    def __init__(
        self,
        bases: Sequence[IceBase],
        terms: IceTerms,
        changed: Callable[[], None],
        *,
        controlling: bool,
    ) -> None:
        super().__init__(
            ice_controlling=controlling,
            local_username=random_string(_UFRAG),
            local_password=random_string(_PASSWORD),
        )
        self.selected: Path | None = None
        """The nominated pair; None before the first, and once its consent is gone."""
        self.has_expired = False
        """Whether the consent of the selected pair is gone."""
        self.authentic: set[Path] = set()
        """Who has proved to know our password, and where."""
        self._terms = terms
        self._changed = changed
        self._by_base: dict[IceBase, BaseProtocol] = {}
        self._driver: asyncio.Task[None] | None = None
        self._consent: Consent | None = None
        self._is_resting = False
        self._begun: dict[CandidatePair, float] = {}
        """When the latest check of a pair was begun."""
        for base in bases:
            self.add_base(base)

    @property
    def has_remote(self) -> bool:
        """Whether the peer's credentials are known."""
        return self.remote_username is not None

    @property
    def paths(self) -> list[Path]:
        """The valid pairs, the best one first."""
        return [_path(pair) for pair in self._check_list if pair.state is _SUCCEEDED]

    def add_base(self, base: IceBase) -> None:
        """Send checks from there too."""
        candidate = make_candidate(base.kind, base.address, base.preference)
        protocol = BaseProtocol(self, base, candidate)
        self._by_base[base] = protocol
        self._protocols.append(protocol)
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()

    def knows(self, ufrag: str, password: str) -> bool:
        """Whether these are the credentials of the peer."""
        return (ufrag, password) == (self.remote_username, self.remote_password)

    def begin(self, ufrag: str, password: str, *, is_lite: bool) -> None:
        """Take the peer's credentials and check pairs, those that it has checked already first."""
        if is_lite:
            self.ice_controlling = True
        self.remote_username, self.remote_password = ufrag, password
        self._driver = self._terms.loop.create_task(self._drive())

    def add_candidates(self, lines: Iterable[str]) -> None:
        """
        Take candidates of the peer; those known already change nothing.

        One that may not be sought waits until it is there by itself: then it is a reflexive one.
        """
        room = MOST_CANDIDATES - len(self._remote_candidates)
        for candidate in read_candidates(lines, self._may_seek, room):
            self._add_remote_candidate(candidate, candidate.host)

    def rest(self) -> None:
        """Make no more checks, but answer those of the peer."""
        self._is_resting = True
        if self._driver is not None:
            self._driver.cancel()
        if self._consent is not None:
            self._consent.stop()
        for pair in self._check_list:
            self._give_up(pair)

    def stop(self) -> None:
        """Neither check nor answer any more."""
        self.rest()
        self._closing = True

    def receive(self, message: stun.Message, base: IceBase, source: Address) -> None:
        """Take a message; a request is one for our ufrag."""
        protocol = self._by_base.get(base)
        if protocol is None or self._closing:
            return
        if message.message_class == stun.Class.REQUEST:
            self.request_received(message, source, protocol)
        elif message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            transaction = protocol.transactions.get(message.transaction_id)
            if transaction is not None:
                transaction.response_received(message, source)
            else:
                self._consented(message, (base, source))

    # What the peer checks

    def request_received(
        self, message: stun.Message, addr: Address, protocol: StunProtocol
    ) -> None:
        """Answer a check that is the peer's, and check the same pair ourselves."""
        assert isinstance(protocol, BaseProtocol)
        path = (protocol.base, addr)
        if not self._is_authentic(message) or not self._may_come(path):
            return
        if self._conflicts(message):
            self.respond_error(message, addr, protocol, (487, "Role Conflict"))
            return
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=message.transaction_id,
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = addr
        response.add_message_integrity(self.local_password.encode())
        protocol.send_stun(response, addr)
        self.authentic.add(path)
        if self._is_resting:
            return
        if not self._early_checks_done:
            self._early_checks.append((message, addr, protocol))
        else:
            self.check_incoming(message, addr, protocol)

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """Learn where the peer is, and check that pair without waiting for its turn."""
        for pair in self._check_list:
            if pair.protocol is protocol and pair.remote_addr == addr:
                since = self._begun.get(pair, 0.0)
                if pair.state is _IN_PROGRESS and self._terms.loop.time() - since > _STALE:
                    # The first check opened the peer's way to us, and was lost on ours to it.
                    self._give_up(pair)
        super().check_incoming(message, addr, protocol)

    def _is_authentic(self, message: stun.Message) -> bool:
        attributes = message.attributes
        return (
            message.message_method == stun.Method.BINDING
            and {"USERNAME", "MESSAGE-INTEGRITY", "PRIORITY"} <= attributes.keys()
            and self._valid_username(attributes["USERNAME"])
            and message.check_message_integrity(self.local_password.encode())
        )

    def _may_come(self, path: Path) -> bool:
        if path in self.authentic:
            return True
        _, address = path
        return (
            len(self.authentic) < MOST_CANDIDATES
            and len(self._remote_candidates) < MOST_CANDIDATES
            and is_peer(address)
            and self._terms.allows_peer(*address)
        )

    def _may_seek(self, host: str, port: int) -> bool:
        return self._terms.allows_peer(host, port) and self._terms.seeks_peer(host, port)

    def _conflicts(self, message: stun.Message) -> bool:
        """Repair roles that are the same (section 7.3.1.1); tell whether the peer has to."""
        word = "ICE-CONTROLLING" if self.ice_controlling else "ICE-CONTROLLED"
        if word not in message.attributes:
            return False
        if self.ice_controlling is (self._tie_breaker >= message.attributes[word]):
            return True
        self.switch_role(ice_controlling=not self.ice_controlling)
        return False

    # What we check

    async def _drive(self) -> None:
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._unfreeze_initial()
        for early in self._early_checks:
            self.check_incoming(*early)
        self._early_checks.clear()
        self._early_checks_done = True
        # More candidates may come as long as nothing is selected.
        while self._check_periodic():
            await asyncio.sleep(self._terms.times.pace)

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        """As aioice does, with the preference of the base in PRIORITY (section 7.1.1)."""
        request = super().build_request(pair, nominate)
        assert isinstance(pair.protocol, BaseProtocol)
        request.attributes["PRIORITY"] = candidate_priority(
            COMPONENT, "prflx", pair.protocol.base.preference
        )
        return request

    def check_start_task(self, pair: CandidatePair) -> None:
        """Check a pair, unless that is being done."""
        if pair.task is None:
            self._begun[pair] = self._terms.loop.time()
            pair.task = self._terms.loop.create_task(self.check_start(pair))

    async def check_start(self, pair: CandidatePair) -> None:
        """Check a pair; nominate it if it is valid, and nomination is ours and not yet done."""
        self.check_state(pair, _IN_PROGRESS)
        if not await self._ask(pair, nominate=False):
            self.check_state(pair, _FAILED)
        else:
            self.check_state(pair, _SUCCEEDED)
            self._changed()
            if self.ice_controlling:
                await self._nominate(pair)
            else:
                pair.nominated = pair.remote_nominated
        self.check_complete(pair)

    async def _nominate(self, pair: CandidatePair) -> None:
        if COMPONENT in self._nominating or self.selected is not None:
            return
        self._nominating.add(COMPONENT)
        try:
            pair.nominated = await self._ask(pair, nominate=True)
        finally:
            self._nominating.discard(COMPONENT)
        if not pair.nominated:
            self.check_state(pair, _FAILED)

    async def _ask(self, pair: CandidatePair, *, nominate: bool) -> bool:
        """Do a transaction; tell whether the pair is good for both ways."""
        assert self.remote_password is not None
        for _ in range(MOST_ROLE_CHANGES):
            request = self.build_request(pair, nominate)
            try:
                _, source = await pair.protocol.request(
                    request,
                    pair.remote_addr,
                    integrity_key=self.remote_password.encode(),
                    retransmissions=NOMINATION_RETRIES if nominate else None,
                )
            except stun.TransactionError as error:
                if error.response is None or error.response.error_code != 487:
                    return False
                self.switch_role(ice_controlling="ICE-CONTROLLED" in request.attributes)
                nominate = nominate and self.ice_controlling
            else:
                return source == pair.remote_addr
        return False

    def check_complete(self, pair: CandidatePair) -> None:
        """Go on after a check, or after the peer has nominated a pair."""
        before = self._nominated.get(COMPONENT)
        super().check_complete(pair)
        after = self._nominated.get(COMPONENT)
        if after is None:
            self._nominate_another()
        elif after is not before:
            self._select(after)

    def _nominate_another(self) -> None:
        """Where nomination of one valid pair failed, try the next one."""
        if not self.ice_controlling or COMPONENT in self._nominating:
            return
        for pair in self._check_list:
            if pair.state is _SUCCEEDED and pair.task is None:
                pair.state = CandidatePair.State.WAITING
                self.check_start_task(pair)
                return

    def _select(self, pair: CandidatePair) -> None:
        if self.has_expired:
            # Only a restart revives what has lost its consent.
            return
        self.selected = _path(pair)
        for other in self._check_list:
            if other is not pair and other.state is _IN_PROGRESS:
                self._give_up(other)
        if self._consent is not None:
            self._consent.stop()
        self._consent = Consent(
            self._terms.loop, self._terms.times, lambda: self._check_consent(pair), self._expire
        )
        self._changed()

    def _give_up(self, pair: CandidatePair) -> None:
        """Stop a check; one of the peer's begins it anew."""
        if pair.task is not None:
            pair.task.cancel()
            pair.task = None
        if pair.state is _IN_PROGRESS:
            self.check_state(pair, _FAILED)

    def _pair_remote_candidate(self, remote_candidate: Candidate) -> None:
        if len(self._check_list) < MOST_CANDIDATES:
            super()._pair_remote_candidate(remote_candidate)

    # Consent

    def _check_consent(self, pair: CandidatePair) -> bytes:
        assert self.remote_password is not None
        request = self.build_request(pair, nominate=False)
        request.add_message_integrity(self.remote_password.encode())
        pair.protocol.send_stun(request, pair.remote_addr)
        return request.transaction_id

    def _consented(self, message: stun.Message, path: Path) -> None:
        consent = self._consent
        if (
            consent is not None
            and self.remote_password is not None
            and path == self.selected
            and consent.awaits(message.transaction_id)
            and message.message_class == stun.Class.RESPONSE
            and message.check_message_integrity(self.remote_password.encode())
        ):
            consent.renew()

    def _expire(self) -> None:
        self.selected = None
        self.has_expired = True
        self.rest()
        self._changed()


def _path(pair: CandidatePair) -> Path:
    assert isinstance(pair.protocol, BaseProtocol)
    return pair.protocol.base, pair.remote_addr
