"""
The INVITE usages of one user agent over its transactions and dialogs (RFC 3261, section 8).

Messages and the moments of timers go in, what is to be sent and told comes out in one order. It
shows the user a request outside any dialog as it is, but for INVITE, which comes as ``Invited``;
responses to requests that the user started itself come as the transaction gives them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from b2bua.sip.client_transaction import ClientTransaction
from b2bua.sip.dialog import Dialog, DialogRefusal, DialogTable, DialogTableFull
from b2bua.sip.errors import ParseError
from b2bua.sip.glare import RandomBelow
from b2bua.sip.grammar import is_token
from b2bua.sip.headers import BRANCH_COOKIE, NameAddr
from b2bua.sip.hop import Hop
from b2bua.sip.invite_client import InviteClientUsage
from b2bua.sip.invite_server import InviteServerUsage
from b2bua.sip.invite_usage import InviteUsage
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import (
    AckReceived,
    Cancelled,
    Output,
    RequestReceived,
    ResponseReceived,
    Send,
    StraySuccess,
    Terminated,
    TimedOut,
    TransportFailed,
    Unanswered,
)
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.session import Session
from b2bua.sip.session_timer import SessionTimer
from b2bua.sip.timers import Deadlines, Timers, earliest
from b2bua.sip.transaction import Transaction
from b2bua.sip.transactions import TransactionTable
from b2bua.sip.uri import Uri
from b2bua.sip.usage_events import Cause, Faulted, Invitation, Invited, Profile, UsageEvent
from b2bua.sip.usage_states import LIVE, UsageState

AgentOutput = Output | UsageEvent


class Watcher(Protocol):
    """
    Who keeps the books on how requests of usages fare. Told before the usage is, which may then
    send the request again if its way has changed.
    """

    def started(self, transaction: ClientTransaction, now: float) -> None:
        """A request goes out."""

    def heard(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response to it came, any but 100 included."""

    def unheard(self, transaction: ClientTransaction, now: float) -> None:
        """Nothing has come for the failover time."""

    def failed(self, transaction: ClientTransaction, now: float) -> None:
        """It could not be sent, or its connection broke."""

    def ended(self, transaction: ClientTransaction) -> None:
        """Nothing more is heard of it."""


_OPTIONAL: Final[dict[str, Callable[[Response], object]]] = {
    "Session-Expires": lambda response: response.session_expires,
    "Min-SE": lambda response: response.min_se,
    "RSeq": lambda response: response.rseq,
    "Retry-After": lambda response: response.retry_after,
}
"""What a response may lack, and so counts as lacking where it cannot be read."""
_LISTS: Final = ("Require", "Supported", "Allow", "Allow-Events")
_READ_LATER: Final = ("Session-Expires", "Min-SE", "RAck", "Event", "Replaces")
_OF_TRANSACTION: Final = (
    *(ResponseReceived, Unanswered, Cancelled),
    *(TimedOut, TransportFailed, Terminated),
)
"""What happens to one transaction, so concerns its usage only."""
_PAST_BYE: Final = frozenset({UsageState.ENDING, UsageState.ENDED})
"""What the peer had to be told has gone out."""
_DONE: Final = frozenset({UsageState.CANCELLING, UsageState.ENDED})
"""Where only transactions are waited for."""


class UserAgent:
    """
    One user agent: its transactions, dialogs and usages.

    ``sent_by`` and ``token`` are those of the table. ``contact`` gives our Contact on a hop,
    ``route`` where a request inside a dialog goes, from its next URI and the hop of the peer's
    latest message. Nothing else may take the outputs of ``table``. With ``contains_faults`` what
    goes wrong in one usage, and nobody has foreseen, is told as ``Faulted`` and keeps nothing from
    the others; it is raised else.
    """

    def __init__(
        self,
        table: TransactionTable,
        *,
        sent_by: Callable[[Hop], str],
        token: Callable[[], str],
        contact: Callable[[Hop], NameAddr],
        route: Callable[[Uri, Hop], Hop],
        random_below: RandomBelow,
        profile: Profile | None = None,
        timers: Timers | None = None,
        watcher: Watcher | None = None,
        contains_faults: bool = False,
    ) -> None:
        self.table = table
        self.watcher = watcher
        self.token = token
        self.contact = contact
        self.route = route
        self.random_below = random_below
        self.profile = profile or Profile()
        self.timers = timers or Timers()
        self.dialogs = DialogTable()
        self._sent_by = sent_by
        self._contains_faults = contains_faults
        self._usages: dict[Dialog, InviteUsage] = {}
        self._owners: dict[Transaction, InviteUsage] = {}
        self._unheard: dict[Transaction, InviteUsage] = {}
        """Requests inside sessions that nothing has come back for."""
        self._deadlines: Deadlines[InviteUsage] = Deadlines()
        self._touched: dict[InviteUsage, None] = {}
        self._faulty: set[InviteUsage] = set()
        """Those whose next fault is their last."""
        self._inbox: deque[Output] = deque()
        self._outputs: list[AgentOutput] = []
        self._waiting: list[Session] = []
        """Those that go on when the user has heard what happened before."""
        self._now = 0.0

    def __len__(self) -> int:
        return len(set(self._usages.values()) | set(self._owners.values()))

    @property
    def is_idle(self) -> bool:
        """Whether every session has ended; what is left answers copies for half a minute."""
        usages = {*self._usages.values(), *self._owners.values()}
        return all(usage.state is UsageState.ENDED for usage in usages)

    # What the user and the network do.

    def invite(self, invitation: Invitation, hop: Hop, now: float) -> InviteClientUsage:
        """Ask for a session. Raises TableFull."""
        self._now = now
        return InviteClientUsage(self, invitation, hop, now)

    def receive(self, message: Message, hop: Hop, now: float) -> None:
        """Take one message that arrived over this hop."""
        self.table.receive(message, hop, now)
        self._pump(now)

    def send_failed(self, transaction: Transaction, now: float) -> None:
        """Note that what was to be sent for this transaction could not be."""
        self.table.send_failed(transaction, now)
        self._pump(now)

    def hop_failed(self, hop: Hop, now: float) -> None:
        """Note that a connection broke."""
        self.table.hop_failed(hop, now)
        self._pump(now)

    def way_changed(self, now: float) -> None:
        """Send requests again that nothing has come back for, where their way is another now."""
        for transaction, usage in list(self._unheard.items()):
            with self._kept_to(usage):
                if isinstance(transaction, ClientTransaction) and usage.ask_again(transaction, now):
                    self._unheard.pop(transaction, None)
        self._pump(now)

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        self._pump(self._now)
        return earliest(self.table.next_timeout(), self._deadlines.next())

    def handle_timeout(self, now: float) -> None:
        """Let every timer fire that is due."""
        self.table.handle_timeout(now)
        self._pump(now)
        for usage in self._deadlines.take_due(now):
            self._touched[usage] = None
            with self._kept_to(usage):
                usage.handle_timeout(now)
        self._pump(now)

    def take_outputs(self) -> list[AgentOutput]:
        """Give what is to be sent and told, in order, once; with these done, there may be more."""
        waiting, self._waiting = self._waiting, []
        for session in waiting:
            with self._kept_to(session.usage):
                session.go_on(self._now)
        self._pump(self._now)
        outputs, self._outputs = self._outputs, []
        return outputs

    # What usages ask for.

    def start(
        self, usage: InviteUsage, request: Request, hop: Hop, now: float
    ) -> ClientTransaction:
        """Send a request of a usage in a transaction of its own."""
        transaction = self.table.start(request, hop, now)
        self._own(usage, transaction)
        if self.watcher is not None:
            self.watcher.started(transaction, now)
        self._collect()
        return transaction

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response."""
        self.table.respond(transaction, response, now)
        usage = self._owners.get(transaction)
        if usage is not None:
            self._touched[usage] = None
        self._collect()

    def cancel(
        self, transaction: ClientTransaction, now: float, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Give an INVITE up."""
        self.table.cancel(transaction, now, headers)
        self._collect()

    def with_via(self, request: Request, hop: Hop) -> Request:
        """Put a Via with a branch of its own on a request that has no transaction: an ACK."""
        branch = BRANCH_COOKIE + self.token()
        via = f"SIP/2.0/{hop.transport} {self._sent_by(hop)};branch={branch};rport"
        request.prepend("Via", via)
        return request

    def send(self, request: Request, hop: Hop) -> None:
        """Send a request that has no transaction."""
        self._collect()
        self._outputs.append(Send(request, hop))

    def emit(self, event: UsageEvent) -> None:
        """Tell the user something."""
        self._collect()
        self._touched[event.usage] = None
        self._outputs.append(event)

    def waits_for_user(self, session: Session) -> bool:
        """Whether the user is still to hear of an event; the session then goes on after that."""
        usage = session.usage
        untold = any(isinstance(o, UsageEvent) and o.usage is usage for o in self._outputs)
        if untold:
            self._waiting.append(session)
        return untold

    def add_dialog(self, usage: InviteUsage, dialog: Dialog) -> None:
        """Take in a dialog of a usage. Raises DialogTableFull."""
        self.dialogs.add(dialog)
        self._usages[dialog] = usage
        usage.dialogs.append(dialog)

    def remove_dialog(self, dialog: Dialog) -> None:
        """Forget a dialog."""
        self.dialogs.remove(dialog)
        usage = self._usages.pop(dialog, None)
        if usage is not None:
            usage.dialogs.remove(dialog)

    # What transactions give.

    def _collect(self) -> None:
        """Keep the order: what is to be sent stands before what is sent or told after it."""
        for output in self.table.take_outputs():
            if isinstance(output, Send):
                self._outputs.append(output)
            else:
                self._inbox.append(output)

    def _pump(self, now: float) -> None:
        self._now = now
        self._collect()
        while self._inbox:
            self._take(self._inbox.popleft(), now)
            self._collect()
        if self._touched:
            self._settle_touched()

    def _take(self, output: Output, now: float) -> None:
        if isinstance(output, RequestReceived):
            self._take_request(output, now)
        elif isinstance(output, AckReceived):
            self._take_ack(output, now)
        elif isinstance(output, StraySuccess):
            self._take_stray(output)
        elif isinstance(output, _OF_TRANSACTION):
            usage = self._owners.get(output.transaction)
            if usage is None:
                self._outputs.append(output)
            else:
                self._touched[usage] = None
                with self._kept_to(usage):
                    self._take_of(usage, output, now)
        else:
            self._outputs.append(output)

    def _take_of(
        self,
        usage: InviteUsage,
        output: ResponseReceived | Unanswered | Cancelled | TimedOut | TransportFailed | Terminated,
        now: float,
    ) -> None:
        """Hand on what happened to a transaction of a usage."""
        transaction = output.transaction
        if self.watcher is not None and isinstance(transaction, ClientTransaction):
            self._tell_watcher(self.watcher, transaction, output, now)
        if isinstance(output, ResponseReceived):
            _drop_unreadable(output.response)
            self._unheard.pop(transaction, None)
            usage.receive_response(output.transaction, output.response, now)
        elif isinstance(output, Unanswered):
            if isinstance(usage, InviteClientUsage):
                usage.unheard(transaction)
            if not usage.ask_again(output.transaction, now):
                self._unheard[output.transaction] = usage
        elif isinstance(output, Cancelled):
            usage.cancelled(output.transaction, output.cancel, now)
        elif isinstance(output, Terminated):
            del self._owners[transaction]
            self._unheard.pop(transaction, None)
            usage.transactions.discard(transaction)
        elif isinstance(output, TimedOut) or isinstance(transaction, ClientTransaction):
            # A response of ours that could not be sent is asked for again, or times out.
            usage.transaction_failed(transaction, 408 if isinstance(output, TimedOut) else 503, now)

    def _tell_watcher(
        self, watcher: Watcher, transaction: ClientTransaction, output: Output, now: float
    ) -> None:
        if isinstance(output, ResponseReceived):
            watcher.heard(transaction, output.response, now)
        elif isinstance(output, Unanswered):
            watcher.unheard(transaction, now)
        elif isinstance(output, TransportFailed):
            watcher.failed(transaction, now)
        elif isinstance(output, Terminated):
            watcher.ended(transaction)

    def _take_request(self, output: RequestReceived, now: float) -> None:
        transaction = output.transaction
        request = transaction.request
        if not request.to.tag and request.method != "INVITE":
            self._outputs.append(output)
            return
        try:
            _read_all(request)
        except ParseError:
            self.respond(transaction, transaction.response(400), now)
            return
        if not request.to.tag:
            self._take_invite(transaction, now)
            return
        dialog = self.dialogs.of_request(request)
        usage = self._usages.get(dialog) if dialog is not None else None
        if dialog is None or usage is None:
            self.respond(transaction, transaction.response(481), now)
            return
        self._own(usage, transaction)
        with self._kept_to(usage):
            usage.receive_request(dialog, transaction, now)

    def _take_invite(self, transaction: ServerTransaction, now: float) -> None:
        refusal = self._refusal_of(transaction)
        if refusal is not None:
            self.respond(transaction, refusal, now)
            return
        try:
            usage = InviteServerUsage(self, transaction)
            self.add_dialog(usage, usage.dialog)
        except DialogRefusal as refused:
            self.respond(transaction, transaction.response(refused.status), now)
        except DialogTableFull:
            self.respond(transaction, transaction.response(503), now)
        else:
            self._own(usage, transaction)
            usage.dialog.take_request(transaction.request, lenient=True)
            self.emit(Invited(usage, transaction.request))

    def _refusal_of(self, transaction: ServerTransaction) -> Response | None:
        """What an INVITE is refused with whoever it is for."""
        request = transaction.request
        known = {option.lower() for option in self.profile.supported} | {"replaces"}
        unknown = request.tokens("Require") - known
        if unknown:
            return transaction.response(420, None, [("Unsupported", ", ".join(sorted(unknown)))])
        too_small = SessionTimer(self.profile).refusal(request)
        return transaction.response(422, None, too_small) if too_small is not None else None

    def _take_ack(self, output: AckReceived, now: float) -> None:
        dialog = self.dialogs.of_request(output.request)
        usage = self._usages.get(dialog) if dialog is not None else None
        if usage is None:
            self._outputs.append(output)
            return
        self._touched[usage] = None
        with self._kept_to(usage):
            usage.receive_ack(output.request, now)

    def _take_stray(self, output: StraySuccess) -> None:
        dialog = self.dialogs.of_response(output.response)
        usage = self._usages.get(dialog) if dialog is not None else None
        if dialog is None or usage is None:
            self._outputs.append(output)
        else:
            with self._kept_to(usage):
                usage.receive_stray_success(output.response, dialog)

    @contextmanager
    def _kept_to(self, usage: InviteUsage) -> Iterator[None]:
        """Tell of a fault in here, instead of raising it."""
        try:
            yield
        except Exception as error:
            if not self._contains_faults:
                raise
            self._note_fault(usage, error, is_live=usage.state in LIVE)

    def _note_fault(self, usage: InviteUsage, error: Exception, *, is_live: bool) -> None:
        """
        Tell of a fault. The user ends a usage that ``is_live``; of any other the next is the last.

        Before its BYE a usage runs on: the peer may still have a session, and wait for its end.
        """
        if not is_live and (usage.state in _PAST_BYE or usage in self._faulty):
            self._outputs.append(Faulted(usage, error))
            self._discard(usage)
            return
        if not is_live:
            self._faulty.add(usage)
        self.emit(Faulted(usage, error))

    def _discard(self, usage: InviteUsage) -> None:
        """Have nothing more come up of a usage that cannot even end."""
        usage.state = UsageState.ENDED
        for transaction in usage.transactions:
            self._owners.pop(transaction, None)
            self._unheard.pop(transaction, None)
        usage.transactions.clear()
        usage.tell_end(Cause.LOCAL)
        self._release(usage)

    def _own(self, usage: InviteUsage, transaction: Transaction) -> None:
        self._owners[transaction] = usage
        usage.transactions.add(transaction)
        self._touched[usage] = None

    def _settle_touched(self) -> None:
        touched, self._touched = self._touched, {}
        for usage in touched:
            try:
                self._settle(usage)
            except Exception as error:
                if not self._contains_faults:
                    raise
                # It would come again each time: even a live usage has one more try only.
                self._note_fault(usage, error, is_live=False)

    def _settle(self, usage: InviteUsage) -> None:
        """Note when a usage must act next, or that nothing of it is left."""
        if usage.transactions or usage.state not in _DONE:
            self._deadlines.set(usage, usage.next_timeout())
        elif usage.state is UsageState.ENDED:
            self._release(usage)
        else:
            # The final response came, and a fault has lost it.
            self._discard(usage)

    def _release(self, usage: InviteUsage) -> None:
        self._deadlines.set(usage, None)
        self._faulty.discard(usage)
        for dialog in list(usage.dialogs):
            self.remove_dialog(dialog)
        usage.forget()


def _read_all(request: Request) -> None:
    """Read what is read later on, so that a garbled value is found before anything changes."""
    if not all(map(is_token, request.tokens("Require"))):
        # It is named in the refusal, so it must be a name.
        raise ParseError("value", "Require")
    if request.lacks(_READ_LATER):
        return
    _ = (request.session_expires, request.min_se, request.rack, request.event, request.replaces)
    for name in _LISTS:
        request.tokens(name)


def _drop_unreadable(response: Response) -> None:
    if response.lacks(_OPTIONAL):
        return
    for name, read in _OPTIONAL.items():
        try:
            read(response)
        except ParseError:
            response.remove(name)
    for name in _LISTS:
        try:
            response.tokens(name)
        except ParseError:
            response.remove(name)
