"""
Who may make us keep state: asked for every request, before the transactions see it.

SIP Servers and what belongs to something known pass. A phone proves its password when it
registers, or comes from a network that needs none; over the way that it registered by it may
then call as the DN that it registered, and as no other. From such a network it may call before
it registers as well. Everybody else is a stranger, is answered without any state, at most
``MOST_PER_BYTE`` for each byte by datagram, and with silence once it has asked for too much. What
a stranger gets never depends on whether a DN exists or is bound:

=====================  ==========================================================
ACK                    nothing, ever
CANCEL                 481: it cannot be challenged (RFC 3261, section 22.1)
with a To tag          481: a dialog that is not here
OPTIONS                by datagram nothing, so that a scan finds nobody here; over a
                       stream, which shows anyway that somebody is here, 200 without
                       a word on what we can do
anything else          401 where there are users at all, since any of them may come
                       from anywhere; else 403
=====================  ==========================================================

Even a server's REGISTER is judged like a phone's: servers do not register with us, and datagrams
with their address could be anybody's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from b2bua.call_events import PhoneRefused, Subscriber
from b2bua.dn import dn_of
from b2bua.settings import PhoneSettings
from b2bua.sip.digest import Algorithm
from b2bua.sip.digest_server import DigestServer, NotAuthenticated
from b2bua.sip.hop import BROWSER, DATAGRAM, Hop
from b2bua.sip.message import Request, Response
from b2bua.source_budget import SourceBudget, source_of
from b2bua.stateless import does_not_amplify, stateless_response

WINDOW: Final = 60.0
"""Seconds over which a source's troubles count, and for which it then meets silence."""
TROUBLE: Final = 500
"""
Points of one source. An answer costs one, which a right password gives back: many phones may
stand behind one address, and all may have lost their power at once.
"""
WRONG_PASSWORD: Final = 10
"""Points of a wrong password, beside the one of the answer."""
GUESSES: Final = 5
"""Wrong passwords for one user from one source: one wrong phone must not silence its neighbours."""
TAKEN: Final = (Algorithm.SHA_256, Algorithm.MD5)
"""The algorithms that answers to challenges may have."""
CELLS: Final = 65_536
"""So many that forged sources, a few datagrams each, cannot silence everybody at once."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The request goes to the transactions."""

    user: str | None = None
    """The DN that its sender has proved to be; None where nothing had to be proved."""
    is_server: bool = False
    """Whether it came from a SIP Server's address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """This is sent back, and nothing is kept."""

    response: Response


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing happens; ``reason`` is a fixed word."""

    reason: str


Verdict = Pass | Answer | Drop


@dataclass(slots=True)
class GateTotals:
    """What was decided so far, for metrics; the keys are fixed sets of words."""

    passed: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


class _Silenced(Exception):
    """No more guesses are taken for a user from this source."""


class Gate:
    """
    Judges requests.

    ``is_server`` knows the hosts of SIP Servers, ``knows`` what belongs to a transaction or a
    dialog, ``dns_of`` what is bound over a way. ``key`` is secret, ``random`` gives random bytes.
    Memory does not grow with the number of strangers.

    Answers with MD5 and with SHA-256 are taken, but only ``offered`` is asked for, what is liked
    best first. MD5 alone is what every phone understands: several of those that know nothing else
    read the first challenge only, or give up where there is any other.
    """

    def __init__(
        self,
        settings: PhoneSettings,
        key: bytes,
        random: Callable[[int], bytes],
        *,
        is_server: Callable[[str], bool],
        knows: Callable[[Request, Hop], bool],
        dns_of: Callable[[Hop], Collection[str]],
        emit: Subscriber,
        offered: Sequence[Algorithm] = (Algorithm.MD5,),
    ) -> None:
        self.totals = GateTotals()
        self._settings = settings
        self._key = key
        self._is_server = is_server
        self._knows = knows
        self._dns_of = dns_of
        self._emit = emit
        self._offered = [TAKEN.index(algorithm) for algorithm in offered]
        self._digest = DigestServer(settings.realm, key, random, algorithms=TAKEN)
        self._trouble = SourceBudget(TROUBLE, WINDOW, key, CELLS)
        self._guesses = SourceBudget(GUESSES, WINDOW, key, CELLS)

    def judge(self, request: Request, hop: Hop, now: float) -> Verdict:
        """Say what becomes of a request that came by ``hop``."""
        method = request.method
        if hop.transport == BROWSER:
            # The gateway has asked its page who it is, and speaks in no other's name.
            return self._pass("page", dn_of(request.from_.uri))
        if method != "REGISTER" and self._is_server(hop.host):
            return self._pass("server", is_server=True)
        if self._knows(request, hop):
            return self._pass("known")
        if method == "ACK":
            return self._drop("ack")
        if method == "REGISTER":
            return self._judge_register(request, hop, now)
        if method == "CANCEL" or request.to.tag:
            return self._answer(request, hop, now, 481, "unknown")
        return self._judge_new(request, hop, now)

    def _judge_register(self, request: Request, hop: Hop, now: float) -> Verdict:
        if self._needs_no_password(hop.host):
            return self._pass("network")
        return self._authenticate(request, hop, now, dn_of(request.to.uri))

    def _judge_new(self, request: Request, hop: Hop, now: float) -> Verdict:
        """Judge what would begin something: an INVITE, a MESSAGE."""
        caller = dn_of(request.from_.uri)
        bound = self._dns_of(hop)
        if caller and caller in bound:
            return self._pass("bound", caller)
        is_open = request.method == "OPTIONS" or not bound
        if is_open and self._needs_no_password(hop.host):
            return self._pass("network")
        if request.method == "OPTIONS":
            if hop.transport == DATAGRAM:
                return self._drop("options")
            return self._answer(request, hop, now, 200, "options")
        if bound and not request.has("Authorization"):
            return self._answer(request, hop, now, 403, "other-user")
        verdict = self._authenticate(request, hop, now, caller)
        if isinstance(verdict, Pass) and verdict.user != caller:
            return self._answer(request, hop, now, 403, "other-user")
        return verdict

    # Passwords.

    def _authenticate(self, request: Request, hop: Hop, now: float, dn: str) -> Verdict:
        """
        Ask for a password, or check it.

        Whoever has a DN bound here has proved its password over this very way: what others do
        from its address, or with that address in forged datagrams, does not silence it.
        """
        if not self._settings.users:
            return self._answer(request, hop, now, 403, "no-users")
        source = source_of(hop.host)
        bound = self._dns_of(hop)
        is_spent = self._trouble.is_spent(source, now)
        if is_spent and dn not in bound:
            return self._drop("silenced")
        claimed = ""

        def secret_of(user: str, algorithm: Algorithm) -> str | None:
            nonlocal claimed
            claimed = f"{source} {user}"
            if user not in bound and (is_spent or self._guesses.is_spent(claimed, now)):
                raise _Silenced
            return self._secret_of(user, algorithm)

        try:
            user = self._digest.authenticate(request, secret_of, now, client=source)
        except _Silenced:
            return self._drop("silenced")
        except NotAuthenticated as error:
            if error.reason in ("password", "user"):
                self._trouble.charge(source, now, WRONG_PASSWORD)
                self._guesses.charge(claimed, now)
                self._tell(request, hop, 401, error.reason)
            self._trouble.charge(source, now)
            return self._challenge(request, hop, now, error)
        self._trouble.refund(source)
        return self._pass("password", user)

    def _secret_of(self, user: str, algorithm: Algorithm) -> str | None:
        password = self._settings.users.get(user)
        # Whoever asks for a user that there is not must wait as long as for one that there is.
        secret = algorithm.secret(user, self._settings.realm, password or "")
        return secret if password is not None else None

    def _challenge(
        self, request: Request, hop: Hop, now: float, error: NotAuthenticated
    ) -> Verdict:
        """
        Challenge with what is offered, or where that is too long with the last of it; MD5 need
        not even be named, since it is what no name means.
        """
        client = source_of(hop.host)
        challenges = self._digest.challenges(now, stale=error.stale, client=client)
        offered = [challenges[at] for at in self._offered]
        name, value = offered[-1]
        short = (name, value.removesuffix(f", algorithm={Algorithm.MD5.value}"))
        forms = (
            stateless_response(request, 401, self._key, headers, reason)
            for headers, reason in ((offered, None), (offered[-1:], None), ([short], ""))
        )
        return self._first_that_fits(forms, request, hop, "stale" if error.stale else error.reason)

    # Verdicts.

    def _pass(self, reason: str, user: str | None = None, *, is_server: bool = False) -> Verdict:
        self.totals.passed[reason] += 1
        return Pass(user, is_server)

    def _drop(self, reason: str) -> Verdict:
        self.totals.dropped[reason] += 1
        return Drop(reason)

    def _answer(self, request: Request, hop: Hop, now: float, status: int, reason: str) -> Verdict:
        """Answer without a challenge; phones that are bound may ask for as much as they like."""
        if not self._dns_of(hop):
            source = source_of(hop.host)
            if self._trouble.is_spent(source, now):
                return self._drop("silenced")
            self._trouble.charge(source, now)
        forms = (stateless_response(request, status, self._key, (), text) for text in (None, ""))
        verdict = self._first_that_fits(forms, request, hop, reason)
        if isinstance(verdict, Answer):
            self._tell(request, hop, status, reason)
        return verdict

    def _first_that_fits(
        self, forms: Iterable[Response], request: Request, hop: Hop, reason: str
    ) -> Verdict:
        """Answer with the first of these that may go to somebody who may be anybody."""
        for response in forms:
            if hop.transport != DATAGRAM or does_not_amplify(response, request):
                self.totals.answered[reason] += 1
                return Answer(response)
        return self._drop("amplifies")

    def _tell(self, request: Request, hop: Hop, status: int, reason: str) -> None:
        if request.method == "REGISTER":
            self._emit(PhoneRefused(hop, status, reason))

    def _needs_no_password(self, host: str) -> bool:
        if not self._settings.networks:
            return False
        address = _address(host)
        return any(address in network for network in self._settings.networks)


@lru_cache(1024)
def _address(host: str) -> IPv4Address | IPv6Address:
    """The address of a host, IPv4 also where it came mapped."""
    address = ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
