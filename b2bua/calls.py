"""
All calls of the process: who is called where, under which limits, and whose event is whose.

A phone's call goes to the SIP Server that is in use, whomever it is for. The SIP Server's calls
go to the phones that have registered for the number, or to the echo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from b2bua.attached_data import PREFIX, SERVICE_TYPE
from b2bua.call import Call
from b2bua.call_control import CallControl
from b2bua.call_events import (
    CallRefused,
    CallResent,
    CallStarted,
    Fault,
    LegKind,
    Subscriber,
)
from b2bua.echo_call import EchoCall
from b2bua.faults import contained, let_go
from b2bua.header_policy import TooManyHops, Trust, carry, is_loop, next_max_forwards
from b2bua.leg import Leg, Target
from b2bua.media_plane import MediaPlane, TransportEvent
from b2bua.media_watch import MediaWatch
from b2bua.new_legs import NewLegs
from b2bua.parties import SELF, PhoneContact, number_of, sip_uri, without_dialog
from b2bua.settings import B2buaSettings, EchoAnswer
from b2bua.sip.digest import DigestClient
from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import BROWSER, Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Request
from b2bua.sip.timers import Deadlines, earliest
from b2bua.sip.transactions import TableFull
from b2bua.sip.uri import Uri
from b2bua.sip.usage_events import Ended, Faulted, Invitation, Invited, UsageEvent
from b2bua.sip.user_agent import UserAgent

Headers = tuple[tuple[str, str], ...]
_SERVICE_HEADER = PREFIX + SERVICE_TYPE
_LONGEST_NUMBER = 128
_LEAST_ATTEMPTS = 3
"""How often one INVITE may be sent, one server after the other; with more servers, once each."""

_WAIT_FOR_SERVER = 2.0
"""Seconds: a server that was only suspected answers its probe at once."""


class Surroundings(Protocol):
    """What calls ask of the rest of the B2BUA."""

    def place(self, now: float) -> Hop | None:
        """Where a new call to the SIP Server goes; None while none answers."""

    def is_server(self, host: str) -> bool:
        """Whether a host is one of the SIP Servers."""

    def credentials(self, number: str) -> DigestClient | None:
        """Who a DN is to the SIP Servers."""

    def contacts(self, number: str, now: float) -> list[PhoneContact]:
        """Where the phones of a DN are."""

    def sent_by(self) -> frozenset[str]:
        """What our Vias may show."""


class Calls:
    """
    The calls. ``session_id`` gives a new number for each ``o=`` line, ``call_id`` an id for logs,
    ``random`` the bytes of keys; ``wake`` asks for a call of ``handle_timeout`` soon, as something
    has happened to media; ``has_left`` tells whether the page at a hop has gone.
    """

    def __init__(
        self,
        settings: B2buaSettings,
        agent: UserAgent,
        around: Surroundings,
        plane: MediaPlane,
        *,
        session_id: Callable[[], int],
        call_id: Callable[[], str],
        random: Callable[[int], bytes],
        emit: Subscriber,
        wake: Callable[[], None],
        has_left: Callable[[Hop, float], bool] = lambda hop, now: False,
    ) -> None:
        self.plane = plane
        self.emit = emit
        self.control = CallControl(agent.profile.allow_events, around.is_server)
        self._settings = settings
        self._agent = agent
        self._around = around
        self._watch = MediaWatch(wake)
        self._has_left = has_left
        self._new = NewLegs(
            settings, plane, session_id=session_id, random=random, tell=self._watch.tell
        )
        self._call_id = call_id
        self._calls: dict[str, Call] = {}
        self._legs: dict[InviteUsage, tuple[Call, Leg]] = {}
        self._busy: Counter[str] = Counter()
        self._counted: dict[Call, str] = {}
        self._origins: dict[str, tuple[Uri, LegKind]] = {}
        self._branches: dict[Call, list[str]] = {}
        self._deadlines: Deadlines[Call] = Deadlines()

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call: Call) -> bool:
        return call.id in self._calls

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    @property
    def residue(self) -> int:
        """How many entries there are beside the calls; without calls it is 0."""
        tables: tuple[Sized, ...] = (
            *(self._legs, self._busy, self._counted, self._origins, self._branches),
            *(self._deadlines, self._watch, self.control),
        )
        return sum(len(table) for table in tables)

    def of(self, usage: InviteUsage) -> str:
        """The id of the call that a usage belongs to, "" for none."""
        found = self._legs.get(usage)
        return found[0].id if found else ""

    # Events of the user agent.

    def take(self, event: UsageEvent, now: float) -> None:
        """Take what the user agent tells of any usage."""
        found = self._legs.get(event.usage)
        with self._kept_to(now, None if found is None else found[0], event.usage):
            self._take(event, found, now)

    def _take(self, event: UsageEvent, found: tuple[Call, Leg] | None, now: float) -> None:
        if isinstance(event, Faulted):
            raise event.error
        if isinstance(event, Invited):
            self._invited(event, now)
        elif found is not None:
            call, leg = found
            if isinstance(event, Ended):
                del self._legs[event.usage]
            call.take(leg, event, now)

    @contextmanager
    def _kept_to(
        self, now: float, call: Call | None, usage: InviteUsage | None = None
    ) -> Iterator[None]:
        """Have a fault of ours in here end this call only, or that which has the usage by then."""
        try:
            yield
        except Exception as error:
            found = self._legs.get(usage) if usage is not None else None
            if call is None and found is not None:
                call = found[0]
            self.emit(Fault("" if call is None else call.id, error))
            if call is not None:
                call.fail([leg for other, leg in self._legs.values() if other is call], now)
            elif usage is not None:
                with contained(self.emit):
                    let_go(usage, now)

    # A new call.

    def _invited(self, event: Invited, now: float) -> None:
        usage = event.usage
        if not isinstance(usage, InviteServerUsage):
            raise TypeError("an invitation to our own INVITE")
        request, hop = event.request, usage.invite.hop
        refusal = self._refusal(request, now)
        if refusal is None:
            refusal = self._start(usage, request, hop, now)
        if refusal is not None:
            status, reason, headers = refusal
            usage.reject(status, now, headers)
            self.emit(CallRefused(hop, status, reason))

    def _refusal(self, request: Request, now: float) -> tuple[int, str, Headers] | None:
        if len(self._calls) >= self._settings.limits.calls:
            return 503, "too-many-calls", (("Retry-After", "10"),)
        number = number_of(request.uri)
        if is_loop(request, self._around.sent_by(), partial(self._origin, number, now)):
            return 482, "loop", ()
        if not 0 < len(number) <= _LONGEST_NUMBER or not number.isprintable():
            return 484, "no-number", ()
        return None

    def _start(
        self, usage: InviteServerUsage, request: Request, hop: Hop, now: float
    ) -> tuple[int, str, Headers] | None:
        try:
            max_forwards = next_max_forwards(request)
        except TooManyHops as error:
            return error.status, "max-forwards", ()
        if request.has("Replaces"):
            return self._replace(usage, request, hop, now)
        is_server = hop.transport != BROWSER and self._around.is_server(hop.host)
        kind = self._new.kind_of_caller(hop, request, is_server=is_server)
        number = number_of(request.uri)
        own = number if kind == "server" else number_of(request.from_.uri)
        if self._busy[own] >= self._settings.limits.calls_per_dn:
            return 486, "too-many-calls-of-dn", ()
        call = self._call(usage, request, kind, number, max_forwards, now)
        if call is None:
            known = self._settings.registered.matches(number)
            return (480, "not-signed-in", ()) if known else (404, "unknown-number", ())
        self._add(call, own, now)
        legs: tuple[LegKind, LegKind] = (
            kind,
            "echo" if not call.rung else call.rung[0].kind,
        )
        self.emit(CallStarted(call.id, call.caller.number, number, legs))
        call.start(now)
        return None

    def _call(
        self,
        usage: InviteServerUsage,
        request: Request,
        kind: LegKind,
        number: str,
        max_forwards: int,
        now: float,
    ) -> Call | None:
        caller = self._new.make(kind, number_of(request.from_.uri))
        caller.usage, caller.hop = usage, usage.hop
        if kind == "phone":
            caller.media.seen_host = usage.hop.host
        caller.note(request)
        call_id = self._call_id()
        is_page = kind == "browser" or usage.hop.transport == BROWSER
        if is_page and number == SELF:
            return EchoCall(self, call_id, caller, number, max_forwards, now, on_talk=False)
        if kind == "server" and self._settings.echo.matches(number):
            on_talk = self._settings.echo_answer is EchoAnswer.ON_TALK
            return EchoCall(self, call_id, caller, number, max_forwards, now, on_talk=on_talk)
        call = Call(self, call_id, caller, number, max_forwards, now)
        call.rung = (
            self._to_phones(request, number, now)
            if kind == "server"
            else [self._to_server(request, number)]
        )
        return call if call.rung else None

    def _to_phones(self, request: Request, number: str, now: float) -> list[Leg]:
        legs = []
        caller = without_dialog(request.from_)
        headers = carry(request, Trust(source=True)).headers
        for contact in self._around.contacts(number, now):
            leg = self._new.make(self._new.kind_of_callee(contact.hop), number)
            to = NameAddr("", sip_uri(number, self._settings.servers.domain))
            leg.media.seen_host = contact.hop.host
            leg.target = Target(contact.uri, caller, to, contact.hop, contact.route, headers)
            legs.append(leg)
        return legs

    def _to_server(self, request: Request, number: str) -> Leg:
        domain = self._settings.servers.domain
        leg = self._new.make("server", number)
        uri = sip_uri(number, domain)
        own = sip_uri(number_of(request.from_.uri), domain)
        headers = carry(request, Trust(target=True)).headers
        service = self._settings.service_type
        if service and service.lower() != "none":
            kept = [pair for pair in headers if pair[0].lower() != _SERVICE_HEADER.lower()]
            headers = ((_SERVICE_HEADER, service), *kept)
        from_ = NameAddr(request.from_.display, own)
        leg.target = Target(uri, from_, NameAddr("", uri), headers=headers)
        return leg

    def _replace(
        self, usage: InviteServerUsage, request: Request, hop: Hop, now: float
    ) -> tuple[int, str, Headers] | None:
        """
        Take the place of one of our dialogs (RFC 3891, section 3).

        Only a SIP Server may; that of an early dialog we did not make, or of a caller, is none.
        """
        replaces = request.replaces
        dialog = self._agent.dialogs.of_replaces(replaces) if replaces is not None else None
        replaced = next((u for u in self._legs if dialog is not None and dialog in u.dialogs), None)
        is_server = hop.transport != BROWSER and self._around.is_server(hop.host)
        if replaced is None or not is_server or replaces is None:
            return 481, "replaces", ()
        call, leg = self._legs[replaced]
        if leg.has_ended:
            return 603, "replaces", ()
        if not leg.is_up:
            return 481, "replaces", ()
        if replaces.early_only:
            return 486, "replaces", ()
        # Whoever takes a browser's place comes from the SIP Server, and is none.
        kind: LegKind = "server" if leg.kind == "browser" else leg.kind
        new = self._new.make(kind, number_of(request.from_.uri))
        new.usage, new.hop = usage, usage.hop
        new.note(request)
        self._legs[usage] = (call, new)
        call.take_over(leg, new, now)
        return None

    # What a call asks for.

    def place(self, call: Call, leg: Leg, body: bytes, now: float) -> bool:
        """Send the INVITE of a leg; whether it went out."""
        target = leg.target
        hop = None if target is None else target.hop or self._around.place(now)
        if target is None or hop is None:
            return False
        routes = tuple(("Route", route) for route in target.route)
        invitation = Invitation(
            target.uri,
            target.from_,
            target.to,
            body,
            (*routes, *target.headers),
            max_forwards=call.max_forwards,
            credentials=self._credentials(leg, target),
        )
        try:
            usage = self._agent.invite(invitation, hop, now)
        except TableFull:
            return False
        leg.usage, leg.hop = usage, hop
        leg.media.is_confirmed = True
        leg.attempts += 1
        self._legs[usage] = (call, leg)
        self._note_origin(call, usage)
        if leg not in call.rung:
            call.rung.append(leg)
        return True

    def _credentials(self, leg: Leg, target: Target) -> DigestClient | None:
        return self._around.credentials(number_of(target.from_.uri)) if not target.hop else None

    def _origin(self, number: str, now: float, branch: str) -> Uri | None:
        """
        The Request-URI that led to a branch of ours.

        What a phone has called comes back from the server where it is for another phone of ours,
        and goes there: that is no loop, though the URI may be the same.
        """
        found = self._origins.get(branch)
        if found is None:
            return None
        uri, caller = found
        is_ours = bool(self._around.contacts(number, now)) or self._settings.echo.matches(number)
        return None if caller != "server" and is_ours else uri

    def _note_origin(self, call: Call, usage: InviteClientUsage) -> None:
        caller = call.caller
        self._origins[usage.branch] = caller.caller_usage.invite.request.uri, caller.kind
        self._branches.setdefault(call, []).append(usage.branch)

    def place_again(self, call: Call, leg: Leg, now: float) -> bool:
        """Send the INVITE of a leg to the SIP Server that is in use by now, if it is another."""
        hop = self._around.place(now)
        old = leg.usage
        most = max(_LEAST_ATTEMPTS, len(self._settings.servers.addresses))
        if hop is None or hop == leg.hop or leg.attempts >= most:
            return False
        offer = leg.media.session.offer
        if old is not None:
            self._legs.pop(old, None)
        leg.abandon(now)
        if not self.place(call, leg, b"" if offer is None else offer.render(), now):
            return False
        self.rings_on(call, now)
        self.emit(CallResent(call.id, f"{hop.host}:{hop.port}"))
        return True

    def are_servers_down(self, now: float) -> bool:
        """Whether there is no SIP Server to send anything to."""
        return self._around.place(now) is None

    def wait_for_server(self, call: Call, now: float) -> None:
        """Let a call that no server has answered wait a little for one to come back."""
        self._deadlines.set(call, now + _WAIT_FOR_SERVER)

    def rings_on(self, call: Call, now: float) -> None:
        """Let a call that is with a server ring for as long as any."""
        self._deadlines.set(call, now + self._settings.limits.ringing_seconds)

    def server_changed(self, now: float) -> None:
        """Another SIP Server is in use: what nothing has come back for may be sent there."""
        for call in list(self._calls.values()):
            with self._kept_to(now, call):
                call.try_other_server(now)

    def adopt(self, call: Call, leg: Leg) -> None:
        """Have a leg's events go to its call."""
        if leg.usage is not None:
            self._legs[leg.usage] = (call, leg)

    def _add(self, call: Call, own: str, now: float) -> None:
        self._calls[call.id] = call
        self._busy[own] += 1
        self._counted[call] = own
        self.rings_on(call, now)
        self.adopt(call, call.caller)

    def answered(self, call: Call) -> None:
        """A call rings no more."""
        self._deadlines.set(call, None)

    def over(self, call: Call) -> None:
        """Forget a call."""
        self.control.forget(call)
        self._deadlines.set(call, None)
        self._calls.pop(call.id, None)
        own = self._counted.pop(call, None)
        if own is not None:
            self._busy[own] -= 1
            if not self._busy[own]:
                del self._busy[own]
        for branch in self._branches.pop(call, ()):
            self._origins.pop(branch, None)
        for leg in call.legs():
            self.left(leg)

    def left(self, leg: Leg) -> None:
        """Forget a leg that is in no call any more; its end is its own business."""
        self._watch.forget(leg)
        if leg.usage is not None:
            self._legs.pop(leg.usage, None)

    def at(self, hop: Hop, call_id: str) -> Leg | None:
        """The leg whose peer is at a hop and has this Call-ID."""
        for usage, (_, leg) in self._legs.items():
            if usage.hop.is_along(hop) and any(d.call_id == call_id for d in usage.dialogs):
                return leg
        return None

    # Time.

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return earliest(
            self._deadlines.next(), self._watch.next_timeout(), self.control.next_timeout()
        )

    def handle_timeout(self, now: float) -> None:
        """Give up what has rung for too long, and end calls whose media are gone."""
        for call in self.control.take_due(now):
            with self._kept_to(now, call):
                self.control.insist(call, now)
        for call in self._deadlines.take_due(now):
            with self._kept_to(now, call):
                call.no_answer(now)
        for leg, event in self._watch.take_told(now):
            if (found := self._call_of(leg)) is not None:
                with self._kept_to(now, found):
                    self._media_changed(found, leg, event, now)
        for leg in self._watch.take_due(now):
            if (found := self._call_of(leg)) is not None:
                with self._kept_to(now, found):
                    found.media_ended(leg, "media-lost", now)

    def _media_changed(self, call: Call, leg: Leg, event: TransportEvent, now: float) -> None:
        if event is TransportEvent.LOST and self._is_gone(leg, now):
            call.media_ended(leg, "page-gone", now)
        else:
            call.media_changed(leg, event, now)

    def _is_gone(self, leg: Leg, now: float) -> bool:
        """Whether nobody is left to be offered another way for lost media."""
        return leg.usage is not None and self._has_left(leg.usage.hop, now)

    def _call_of(self, leg: Leg) -> Call | None:
        found = self._legs.get(leg.usage) if leg.usage is not None else None
        return None if found is None else found[0]

    def hang_up_all(self, now: float) -> None:
        """End every call, as the process is about to end."""
        for call in list(self._calls.values()):
            with self._kept_to(now, call):
                call.hang_up("shutdown", now)
