"""
Third-party call control (RFC 3725, flow I; BroadSoft talk and hold; RFC 3264): pure.

The dialogs belong to no server. Messages come through whichever server they reach and leave
through the one that is in use, so that calls go on where a server dies::

    lab            FROM                TO
     |--- INVITE --->|  no offer        |
     |<-- 200 offer -|                  |
     |--------- INVITE offer ---------->|
     |<-------- 200 answer -------------|
     |--- ACK answer>|---- ACK -------->|

Afterwards each offer of one side is handed to the other, and its answer back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from b2bua.sip.headers import NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.outputs import RequestReceived, ResponseReceived, TimedOut, TransportFailed
from b2bua.sip.transaction import Transaction
from b2bua.sip.uri import SipUri, Uri, escape_user
from b2bua.sip.usage_events import (
    AnswerReceived,
    Ended,
    Established,
    InDialogRequest,
    Invitation,
    Invited,
    ModificationFailed,
    OfferReceived,
    OfferRequested,
    Profile,
    Progress,
    RequestAnswered,
    UsageEvent,
)
from b2bua.sip.user_agent import AgentOutput, UserAgent
from suite.lab.calls import CallBook
from suite.lab.errors import LabError
from suite.lab.offers import Offers
from suite.lab.site import Site
from suite.lab.third_party import Leg, Pending, ThirdPartyCall, why
from suite.lab.third_party_sdp import HoldForm, held, version_of

MOST_CALLS = 200
CALL_IDS_KEPT = 2000
PROFILE = Profile(
    allow=(
        *("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS"),
        *("PRACK", "REFER", "UPDATE"),
    ),
    supported=("uui", "100rel", "timer"),
)
"""As Genesys SIP Server describes itself."""


class Controller:
    """
    Every call that the lab makes. Whoever calls a method pumps the agent afterwards.

    ``agent`` tells ``told``. ``place_of`` gives the name of the server that is in use; ``begun``
    hears of each Call-ID before its first message.
    """

    def __init__(
        self,
        agent: UserAgent,
        site: Site,
        book: CallBook,
        place_of: Callable[[], str],
        begun: Callable[[ThirdPartyCall, str], None],
    ) -> None:
        self._agent = agent
        self._site = site
        self._book = book
        self._place_of = place_of
        self._begun = begun
        self._calls: dict[str, ThirdPartyCall] = {}
        self._legs: dict[InviteUsage, Leg] = {}
        self._call_ids: OrderedDict[str, None] = OrderedDict()
        self._early: dict[Transaction, Leg] = {}
        self._offers = Offers()

    def owns(self, call_id: str) -> bool:
        """Whether messages of this Call-ID are for the controller."""
        return call_id in self._call_ids

    def find(self, name: str) -> ThirdPartyCall:
        """The call of this name. Raises LabError."""
        call = self._calls.get(name)
        if call is not None:
            return call
        up = ", ".join(self._calls) or "none is up"
        raise LabError(f"{name} is no call that the lab has made; those are: {up}")

    # Commands.

    def call(self, caller: str, callee: str, pending: Pending, now: float) -> ThirdPartyCall:
        """Let two be connected, ``caller`` first."""
        self._offers.now = now
        for party in (caller, callee):
            self._place(party)
        if caller == callee:
            raise LabError("a call needs two different numbers")
        if len(self._calls) >= MOST_CALLS:
            raise LabError(f"{MOST_CALLS} calls are up: hang one up first")
        seen = self._book.open(caller, callee, self._place_of(), now)
        seen.is_third_party = True
        call = ThirdPartyCall(seen, uuid=f"{self._agent.token()}{self._agent.token()}"[:32].upper())
        self._calls[call.id] = call
        call.waiting.append((pending, "talking"))
        first = self._invite(call, caller, callee, b"")
        call.legs.append(first)
        first.on_offer = lambda offer: self._call_second(call, first, callee, offer)
        return call

    def _call_second(self, call: ThirdPartyCall, first: Leg, callee: str, offer: bytes) -> None:
        if self._site.place(callee, self._offers.now) is None:
            self._hang_up(call, f"{callee} is not registered any more")
            return
        second = self._invite(call, callee, first.party, offer)
        call.legs.append(second)
        second.on_answer = lambda answer: self._offers.accept(first, answer)

    def talk(self, call: ThirdPartyCall, pending: Pending, now: float) -> None:
        """Tell who rings, or else the DN, to talk: NOTIFY talk."""
        self._offers.now = now
        self._check_alive(call)
        ringing = next((leg for leg in call.legs if leg.early is not None and not leg.is_up), None)
        self._notify(ringing or self._dn_leg(call), "talk", "talking", pending)

    def hold(
        self, call: ThirdPartyCall, form: HoldForm | None, pending: Pending, now: float
    ) -> None:
        """Hold the DN's leg: by NOTIFY hold, or by a re-INVITE of the server's own."""
        self._offers.now = now
        leg = self._answered_dn(call)
        if form is None:
            self._notify(leg, "hold", "held", pending)
            return
        call.waiting.append((pending, "held"))
        leg.on_answer = lambda answer: self._hold_taken(leg)
        leg.on_failure = lambda status: pending.done(f"{call.id}: {leg.party} refused: {status}")
        wanted = form

        def offer() -> bytes:
            last = leg.spoken.last
            return leg.spoken.say(held(last, wanted, version_of(last) + 1))

        leg.usage.modify(offer, now)

    def retrieve(self, call: ThirdPartyCall, pending: Pending, now: float) -> None:
        """End hold the way it began: NOTIFY talk, or a re-INVITE without an offer."""
        self._offers.now = now
        leg = self._answered_dn(call)
        if not leg.held:
            self._notify(leg, "talk", "talking", pending)
            return
        call.waiting.append((pending, "talking"))
        leg.on_offer = lambda offer: self._retrieve_with(leg, offer)
        leg.on_failure = lambda status: pending.done(f"{call.id}: {leg.party} refused: {status}")
        leg.usage.modify(None, now)

    def _retrieve_with(self, leg: Leg, offer: bytes) -> None:
        leg.held = False
        peer = leg.call.peer(leg)
        if peer is None or not peer.can_change:
            self._offers.accept(leg, leg.spoken.last)
            return
        peer.on_answer = lambda answer: self._offers.accept(leg, answer)
        peer.on_failure = lambda status: self._offers.accept(leg, leg.spoken.last)
        peer.usage.modify(lambda: peer.spoken.say(offer), self._offers.now)

    def transfer(
        self, call: ThirdPartyCall, target: str, leaver: str, pending: Pending, now: float
    ) -> None:
        """Put ``target`` in the place of one party: by default of the second."""
        self._offers.now = now
        self._check_alive(call)
        self._place(target)
        parties = [leg.party for leg in call.legs]
        leaving = leaver or parties[-1]
        if leaving not in parties:
            raise LabError(f"{leaver} is not in {call.id}; there are: {', '.join(parties)}")
        if call.target is not None or len(parties) != 2 or not all(x.can_change for x in call.legs):
            raise LabError(f"{call.id} cannot be transferred now: {call.seen.state}")
        gone = next(leg for leg in call.legs if leg.party == leaving)
        stays = next(leg for leg in call.legs if leg is not gone)
        new = call.target = self._invite(call, target, stays.party, b"")
        new.on_offer = lambda offer: self._transfer_with(call, stays, gone, offer, pending)
        new.on_failure = lambda status: pending.done(
            f"{call.id}: {target} did not take the call ({status}); nothing has changed"
        )

    def _transfer_with(
        self, call: ThirdPartyCall, stays: Leg, gone: Leg, offer: bytes, pending: Pending
    ) -> None:
        new = call.target
        if new is None or not stays.can_change:
            return
        new.on_failure = None

        def complete(answer: bytes) -> None:
            if not new.is_live:
                # The one has heard of the target already, which has hung up meanwhile.
                self._hang_up(call, f"{new.party} hung up")
                pending.done(call.describe())
                return
            call.target = None
            call.legs = [stays, new]
            call.seen.caller, call.seen.callee = stays.party, new.party
            self._offers.accept(new, answer)
            gone.usage.bye(self._offers.now)
            self._settle(call)
            pending.done(f"{call.describe()}; {gone.party} is out")

        def fail(status: int) -> None:
            call.target = None
            new.usage.bye(self._offers.now)
            pending.done(f"{call.id}: {stays.party} refused the change: {status}")

        stays.on_answer, stays.on_failure = complete, fail
        stays.usage.modify(lambda: stays.spoken.say(offer), self._offers.now)

    def hang_up(self, call: ThirdPartyCall, pending: Pending, now: float) -> None:
        """End a call."""
        self._offers.now = now
        self._check_alive(call)
        call.waiting.append((pending, "ended"))
        self._hang_up(call, "by command")

    def give_up(self, call: ThirdPartyCall, target: Leg | None, now: float) -> None:
        """End a call, or only its transfer to ``target``, that nobody has answered in time."""
        self._offers.now = now
        if target is not None:
            if call.target is target and not target.is_up:
                target.usage.bye(now)
        elif call.seen.state in ("calling", "ringing"):
            self._hang_up(call, "nobody answered")

    # What the agent tells.

    def told(self, output: AgentOutput, now: float) -> None:
        """Take what the agent tells."""
        self._offers.now = now
        if isinstance(output, Invited):
            # Nobody calls the controller itself.
            if isinstance(output.usage, InviteServerUsage):
                output.usage.reject(404, now)
        elif isinstance(output, UsageEvent):
            leg = self._legs.get(output.usage)
            if leg is not None:
                self._take(leg, output)
                self._settle(leg.call)
        elif isinstance(output, ResponseReceived):
            if output.response.status >= 200:
                self._early_notified(output.transaction, output.response.status)
        elif isinstance(output, TimedOut):
            self._early_notified(output.transaction, 408)
        elif isinstance(output, TransportFailed):
            self._early_notified(output.transaction, 503)
        elif isinstance(output, RequestReceived):
            transaction = output.transaction
            self._agent.respond(transaction, transaction.response(481), now)

    def _take(self, leg: Leg, event: UsageEvent) -> None:
        offers = self._offers
        if isinstance(event, Progress):
            self._ringing(leg, event)
            offers.progress(leg, event)
        elif isinstance(event, Established):
            leg.is_up = True
        elif isinstance(event, OfferReceived):
            offers.offered(leg, event.message.body)
        elif isinstance(event, OfferRequested):
            offers.wanted(leg)
        elif isinstance(event, AnswerReceived):
            offers.answered(leg, event.message.body)
        elif isinstance(event, ModificationFailed):
            offers.failed(leg, event.status)
        elif isinstance(event, InDialogRequest):
            offers.pass_on(leg, event)
        elif isinstance(event, RequestAnswered) and event.request.method == "NOTIFY":
            leg.notified(event.status)
        elif isinstance(event, Ended):
            self._ended(leg, event)

    def _ringing(self, leg: Leg, event: Progress) -> None:
        leg.early = event.dialog or leg.early
        call = leg.call
        if leg is call.target or call.seen.state != "calling":
            return
        self._book.change(call.seen, "ringing", self._offers.now)
        for pending, _ in call.waiting:
            pending.soon()

    def _ended(self, leg: Leg, event: Ended) -> None:
        call = leg.call
        leg.is_over, leg.is_up, leg.asks = True, False, False
        del self._legs[leg.usage]
        if leg is call.target:
            call.target = None
            if leg.on_failure is not None:
                leg.on_failure(event.status or 480)
        elif leg in call.legs:
            self._hang_up(call, why(leg, event))

    def _hang_up(self, call: ThirdPartyCall, reason: str) -> None:
        if call.is_over:
            return
        self._book.change(call.seen, f"ended: {reason}", self._offers.now)
        del self._calls[call.id]
        for leg in call.all_legs():
            if not leg.is_over:
                leg.usage.bye(self._offers.now)
        call.tell()

    def _settle(self, call: ThirdPartyCall) -> None:
        """Let the call's state be what its legs say."""
        stands = len(call.legs) == 2 and all(leg.is_up for leg in call.legs)
        if stands and call.is_settled and not call.is_over:
            is_held = any(leg.holds or leg.held for leg in call.legs)
            self._book.change(call.seen, "held" if is_held else "talking", self._offers.now)
        call.tell()

    def _hold_taken(self, leg: Leg) -> None:
        leg.held = True

    # NOTIFY.

    def _notify(self, leg: Leg, event: str, wanted: str, pending: Pending) -> None:
        """Send NOTIFY talk or hold; ``wanted`` is the state that shall come of it."""
        call, now = leg.call, self._offers.now

        def done(status: int) -> None:
            if status != 200:
                pending.done(f"{call.id}: {leg.party} answered {event} with {status}")
            elif call.seen.state == wanted:
                pending.done(call.describe())
            else:
                call.waiting.append((pending, wanted))

        headers = [("X-Genesys-CallUUID", call.uuid)]
        leg.on_notified.append(done)
        if leg.is_up:
            leg.usage.notify(event, now, headers)
            return
        if leg.early is None:
            leg.on_notified.clear()
            raise LabError(f"{leg.party} has not rung yet: there is no dialog for {event}")
        hop = self._agent.route(leg.early.next_hop, leg.usage.hop)
        request = leg.early.request(
            "NOTIFY",
            [
                ("Contact", str(self._agent.contact(hop))),
                ("Event", event),
                ("Subscription-State", "active"),
                *headers,
            ],
        )
        self._early[self._agent.table.start(request, hop, now)] = leg

    def _early_notified(self, transaction: Transaction, status: int) -> None:
        leg = self._early.pop(transaction, None)
        if leg is not None:
            leg.notified(status)

    # Legs.

    def _invite(self, call: ThirdPartyCall, party: str, other: str, offer: bytes) -> Leg:
        uri, hop = self._place(party)
        call_id = f"lab-{self._agent.token()}"
        self._call_ids[call_id] = None
        if len(self._call_ids) > CALL_IDS_KEPT:
            self._call_ids.popitem(last=False)
        self._book.join(call_id, call.seen)
        self._begun(call, call_id)
        invitation = Invitation(
            uri,
            self._name(other),
            self._name(party),
            offer,
            (("X-Genesys-CallUUID", call.uuid),),
            call_id=call_id,
        )
        leg = Leg(party, self._agent.invite(invitation, hop, self._offers.now), call)
        leg.spoken.last = offer
        self._legs[leg.usage] = leg
        return leg

    def _place(self, party: str) -> tuple[Uri, Hop]:
        place = self._site.place(party, self._offers.now)
        if place is None:
            known = ", ".join(self._site.numbers(self._offers.now))
            raise LabError(f"{party} is not registered; these can be called: {known}")
        return place

    def _name(self, party: str) -> NameAddr:
        return NameAddr("", SipUri("sip", escape_user(party), None, self._site.domain))

    def _check_alive(self, call: ThirdPartyCall) -> None:
        if call.is_over or not call.legs:
            raise LabError(f"{call.id} is {call.seen.state}")

    def _dn_leg(self, call: ThirdPartyCall) -> Leg:
        """The leg of a registered DN; the first one where both are, or neither is."""
        others = [leg for leg in call.legs if leg.party not in self._site.phones]
        return (others or call.legs)[0]

    def _answered_dn(self, call: ThirdPartyCall) -> Leg:
        self._check_alive(call)
        leg = self._dn_leg(call)
        if call.seen.state not in ("talking", "held") or not leg.can_change:
            raise LabError(f"{call.id} is not answered yet: {call.seen.state}")
        return leg
