"""
Every live transaction, found by what arrives and by when it must act (RFC 3261, section 17).

Messages and the moments of timers go in, outputs are drained: one change, then ``take_outputs``.
The table answers by itself what needs no user: copies of requests, CANCEL, merged requests, ACKs
of refusals. It is bounded. Filling in ``received`` and ``rport``, and finding the connection for
a response, is the transport's part, before and after.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from hashlib import blake2b

from b2bua.sip.client_transaction import (
    ClientTransaction,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from b2bua.sip.grammar import split_list
from b2bua.sip.headers import BRANCH_COOKIE
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.outputs import (
    AckReceived,
    CancelDue,
    Cancelled,
    Ignored,
    Output,
    Overloaded,
    RequestReceived,
    Send,
    StraySuccess,
)
from b2bua.sip.server_transaction import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
)
from b2bua.sip.timers import Deadlines, Timers
from b2bua.sip.transaction import State, Transaction

LIMIT = 10_000
"""How many transactions there may be before requests outside dialogs are turned away."""
RETRY_AFTER = 10
"""Seconds after which one that was turned away may ask again."""

Key = tuple[str, ...]


class TableFull(Exception):
    """There is no room for another request of ours."""


class TransactionTable:
    """
    Client and server transactions over all transports.

    ``sent_by`` gives the host and port that a Via shows on this hop, ``token`` gives a new word
    that nobody can guess, for branches and tags. A tenth over ``limit`` is kept for requests
    inside dialogs, so that calls can still end when there are too many. ``sharer`` names who is
    behind a hop: it may hold as much room as it leaves free. "" may take all there is.
    """

    def __init__(
        self,
        sent_by: Callable[[Hop], str],
        token: Callable[[], str],
        timers: Timers | None = None,
        limit: int = LIMIT,
        sharer: Callable[[Hop], str] = lambda hop: "",
    ) -> None:
        self._sent_by = sent_by
        self._token = token
        self._timers = timers or Timers()
        self._limit = limit
        self._sharer = sharer
        self._held: Counter[str] = Counter()
        self._sharers: dict[ServerTransaction, str] = {}
        self._client: dict[Key, ClientTransaction] = {}
        self._server: dict[Key, ServerTransaction] = {}
        self._originals: dict[Key, ServerTransaction] = {}
        self._deadlines: Deadlines[Transaction] = Deadlines()
        self._outputs: list[Output] = []

    def __len__(self) -> int:
        return len(self._client) + len(self._server)

    def knows(self, request: Request, hop: Hop) -> bool:
        """
        Whether a request is a copy of one that is here, or belongs to one as its ACK or CANCEL.

        It must come from the same host: an answer for one peer is not for another to ask for.
        """
        found: ServerTransaction | None = None
        if request.method != "ACK":
            found = self._server.get(server_key(request, request.method))
        if found is None and request.method in ("ACK", "CANCEL"):
            found = self._invite_of(request)
        return found is not None and found.hop.host == hop.host

    # What the user does.

    def start(self, request: Request, hop: Hop, now: float) -> ClientTransaction:
        """
        Send a request, other than ACK, in a transaction of its own.

        The request has no Via: what goes out is a copy with one. So the same request may be
        started again, toward another server. Raises TableFull.
        """
        if request.method == "ACK" or request.has("Via"):
            raise ValueError(f"{request.method}: an ACK starts nothing, and the Via is made here")
        if not self._has_room_for(request):
            raise TableFull(len(self))
        branch = BRANCH_COOKIE + self._token()
        via = f"SIP/2.0/{hop.transport} {self._sent_by(hop)};branch={branch};rport"
        return self._start(request.sent_over(via), hop, now)

    def cancel(
        self,
        transaction: ClientTransaction,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """
        Give an INVITE of ours up, by CANCEL as soon as that is allowed.

        It still has a final response, a 2xx perhaps, or it times out.
        """
        if not isinstance(transaction, InviteClientTransaction):
            raise ValueError(f"{transaction.request.method} cannot be cancelled")
        transaction.cancel(now, headers)
        self._settle(transaction, now)

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response through its transaction; see ``ServerTransaction.respond``."""
        transaction.respond(response, now)
        self._settle(transaction, now)

    # What the network does.

    def receive(self, message: Message, hop: Hop, now: float) -> None:
        """Take one message that arrived over this hop."""
        if isinstance(message, Response):
            self._receive_response(message, hop, now)
        elif not isinstance(message, Request):
            raise TypeError(type(message).__name__)
        elif message.method == "ACK":
            self._receive_ack(message, hop, now)
        elif (known := self._server.get(server_key(message, message.method))) is not None:
            self._receive_copy(known, message, hop, now)
        elif message.method == "CANCEL":
            self._receive_cancel(message, hop, now)
        else:
            self._receive_request(message, hop, now)

    def send_failed(self, transaction: Transaction, now: float) -> None:
        """Note that what was to be sent for this transaction could not be."""
        transaction.transport_failed(now)
        self._settle(transaction, now)

    def hop_failed(self, hop: Hop, now: float) -> None:
        """
        Note that a connection broke or a peer's port is closed.

        Requests of ours over it fail at once, so that another server can be tried, except for an
        INVITE that has had a 1xx: its final response may take another connection.
        """
        for transaction in [t for t in self._client.values() if t.hop.is_along(hop)]:
            self.send_failed(transaction, now)

    # What the clock does, and what comes out.

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``, if ever."""
        return self._deadlines.next()

    def handle_timeout(self, now: float) -> None:
        """Let every timer fire that is due."""
        due = deque(self._deadlines.take_due(now))
        try:
            while due:
                self._time_out(due.popleft(), now)
        finally:
            # A fault of ours in one of them: the others come up again at once.
            for other in due:
                self._deadlines.set(other, now)

    def _time_out(self, transaction: Transaction, now: float) -> None:
        try:
            transaction.handle_timeout(now)
            self._settle(transaction, now)
        except Exception:
            # It has no timer any more, so nothing else would ever end it.
            transaction.break_off()
            self._settle(transaction, now)
            raise

    def take_outputs(self) -> list[Output]:
        """Give what is to be sent and told, in order, once."""
        if not self._outputs:
            return []
        outputs, self._outputs = self._outputs, []
        return outputs

    # Client side.

    def _start(self, request: Request, hop: Hop, now: float) -> ClientTransaction:
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(request, hop, self._timers, now)
        self._client[client_key(request)] = transaction
        self._settle(transaction, now)
        return transaction

    def _receive_response(self, response: Response, hop: Hop, now: float) -> None:
        rows = response.get_rows("Via")
        # The parser has seen to it that the first row can be read.
        if len(rows) > 1 or len(split_list(rows[0])) > 1:
            self._ignore(response, hop, "misrouted")
        elif (transaction := self._client.get(client_key(response))) is not None:
            transaction.receive(response, now)
            self._settle(transaction, now)
        elif response.is_success and response.cseq.method == "INVITE":
            self._outputs.append(StraySuccess(response, hop))
        else:
            self._ignore(response, hop, "no-transaction")

    # Server side.

    def _receive_ack(self, ack: Request, hop: Hop, now: float) -> None:
        transaction = self._invite_of(ack)
        if transaction is None:
            self._outputs.append(AckReceived(ack, hop))
        else:
            transaction.receive_ack(ack, now)
            self._settle(transaction, now)

    def _receive_copy(self, known: ServerTransaction, copy: Request, hop: Hop, now: float) -> None:
        """Take a copy; from another host it is somebody who wants to have our responses."""
        if known.hop.host != hop.host:
            self._ignore(copy, hop, "elsewhere")
            return
        known.receive(hop, now)
        self._settle(known, now)

    def _receive_cancel(self, cancel: Request, hop: Hop, now: float) -> None:
        invite = self._invite_of(cancel)
        if invite is None:
            self._answer_without_memory(cancel, hop, 481)
            return
        # No look at the limit: there is at most one CANCEL for each INVITE that is here.
        transaction = NonInviteServerTransaction(cancel, hop, self._timers, invite.tag, now)
        self._server[server_key(cancel, "CANCEL")] = transaction
        self.respond(transaction, transaction.response(200), now)
        if invite.state is State.PROCEEDING:
            self._outputs.append(Cancelled(invite, cancel))

    def _receive_request(self, request: Request, hop: Hop, now: float) -> None:
        if not self._has_room_for(request) or not self._may_hold_more(hop):
            self._outputs.append(Overloaded(request, hop, _overload_response(request)))
            return
        transaction = self._take_in(request, hop, now)
        if not request.to.tag:
            original = self._originals.setdefault(_merge_key(request), transaction)
            if original is not transaction:
                self._ignore(request, hop, "merged")
                self.respond(transaction, transaction.response(482), now)
                return
        self._outputs.append(RequestReceived(transaction))
        self._settle(transaction, now)

    def _take_in(self, request: Request, hop: Hop, now: float) -> ServerTransaction:
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        tag = request.to.tag or self._token()
        transaction = kind(request, hop, self._timers, tag, now)
        self._server[server_key(request, request.method)] = transaction
        sharer = self._sharer(hop)
        if sharer:
            self._sharers[transaction] = sharer
            self._held[sharer] += 1
        return transaction

    def _invite_of(self, request: Request) -> InviteServerTransaction | None:
        """The INVITE that an ACK or a CANCEL belongs to."""
        transaction = self._server.get(server_key(request, "INVITE"))
        if not isinstance(transaction, InviteServerTransaction):
            return None
        if request.method == "ACK" and not request.via.has_cookie:
            # RFC 2543 knows no branch: the ACK of another dialog differs in our tag only.
            answered = transaction.last_response
            if answered is None or answered.to.tag != request.to.tag:
                return None
        return transaction

    def _answer_without_memory(self, request: Request, hop: Hop, status: int) -> None:
        response = request.response(status, to_tag=_repeatable_tag(request))
        self._outputs.append(Send(response, hop))

    # Both sides.

    def _has_room_for(self, request: Request) -> bool:
        reserve = self._limit // 10 if request.to.tag else 0
        return len(self) < self._limit + reserve

    def _may_hold_more(self, hop: Hop) -> bool:
        sharer = self._sharer(hop)
        return not sharer or self._held[sharer] <= self._limit - len(self)

    def _ignore(self, message: Request | Response, hop: Hop, reason: str) -> None:
        self._outputs.append(Ignored(message, hop, reason))

    def _settle(self, transaction: Transaction, now: float) -> None:
        """Hand on what a transaction gave; note when it must act next, or that it is over."""
        for output in transaction.take_outputs():
            if isinstance(output, CancelDue):
                self._start(output.request, transaction.hop, now)
            elif isinstance(output, Send) or transaction.request.method != "CANCEL":
                # Of a CANCEL itself the user hears nothing: the INVITE has its end in any case.
                self._outputs.append(output)
        if transaction.is_terminated:
            self._forget(transaction)
        else:
            self._deadlines.set(transaction, transaction.next_timeout())

    def _forget(self, transaction: Transaction) -> None:
        self._deadlines.set(transaction, None)
        request = transaction.request
        # A transaction that is used after its end must not take a newer one of its key along.
        if isinstance(transaction, ClientTransaction):
            _discard(self._client, client_key(request), transaction)
        elif isinstance(transaction, ServerTransaction):
            _discard(self._server, server_key(request, request.method), transaction)
            _discard(self._originals, _merge_key(request), transaction)
            self._give_back(transaction)

    def _give_back(self, transaction: ServerTransaction) -> None:
        sharer = self._sharers.pop(transaction, "")
        if sharer:
            self._held[sharer] -= 1
            if not self._held[sharer]:
                del self._held[sharer]


def client_key(message: Request | Response) -> Key:
    """What a response has in common with our request (section 17.1.3)."""
    return (message.via.branch, message.cseq.method)


def server_key(request: Request, method: str) -> Key:
    """
    What a request has in common with its copies (section 17.2.3).

    With "INVITE" for the method, what an ACK or a CANCEL has in common with its INVITE. Without
    a branch after RFC 3261 it takes more; the To tag is left out, because an ACK has another one
    than its INVITE.
    """
    via = request.via
    if via.has_cookie:
        return (via.branch, via.sent_by, method)
    return (
        via.branch,
        via.sent_by,
        method,
        str(request.uri),
        request.from_.tag,
        request.call_id,
        str(request.cseq.number),
    )


def _merge_key(request: Request) -> Key:
    """What a request has in common with itself on another path (section 8.2.2.2)."""
    return (request.from_.tag, request.call_id, str(request.cseq.number), request.method)


def _discard(
    index: dict[Key, ClientTransaction] | dict[Key, ServerTransaction],
    key: Key,
    transaction: Transaction,
) -> None:
    if index.get(key) is transaction:
        del index[key]


def _overload_response(request: Request) -> Response:
    headers = [("Retry-After", RETRY_AFTER)]
    return request.response(503, headers=headers, to_tag=_repeatable_tag(request))


def _repeatable_tag(request: Request) -> str:
    """A tag that a copy of the request gets again, with nothing kept (section 8.2.7)."""
    text = "\n".join(server_key(request, request.method))
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()
