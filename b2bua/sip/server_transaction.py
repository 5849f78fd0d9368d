"""
Server transactions (RFC 3261, section 17.2, figures 7 and 8; RFC 6026, section 7.1; RFC 4320).

An INVITE::

                          | INVITE to user
                          v
                      Proceeding --+  INVITE: send the last response
                        |    |  <--+  1xx from user: send; 200 ms without one: send 100
                        |    |
     300-699 from user: |    | 2xx from user: send
                   send v    v
                Completed   Accepted --+  ACK to user
  INVITE, Timer G: +  | |       |   <--+  2xx from user: send
  send the last    +->| | ACK   |
            Timer H:  | v       | Timer L
            tell user | Confirmed
                      |  |      |
                      |  | Timer I
                      v  v      v
                      Terminated

Any other request::

                          | request to user
                          v
                       Trying -- 100: send --> Proceeding --+  request: send the last response
                          |                        |     <--+
                          +-- final from user: ----+
                          |       send             |
                          v                        |
  request: send    +-- Completed                   | the user gave nothing in 64*T1:
  the response     +-->   | Timer J                v tell user (from Trying too)
                          +------------------> Terminated

A transport error is told to the user and changes no state: the peer asks again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.outputs import AckReceived
from b2bua.sip.timers import Timers
from b2bua.sip.transaction import Input, Machine, OutOfPlace, State, Transaction


class ServerTransaction(Transaction):
    """A request of a peer and our responses to it. A copy of the request gets the last one."""

    __slots__ = ("_offered", "last_response", "tag")

    _offered: Response

    def __init__(self, request: Request, hop: Hop, timers: Timers, tag: str, state: State) -> None:
        super().__init__(request, hop, timers, state)
        self.tag = tag
        """Our tag in the To of every response but 100; that of the request, if it has one."""
        self.last_response: Response | None = None
        """What a copy of the request would get now."""

    def response(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """A response to the request, with what it copies and our tag; ``respond`` sends it."""
        tag = "" if status == 100 else self.tag
        return self.request.response(status, reason, headers, body, to_tag=tag)

    def receive(self, hop: Hop, now: float) -> None:
        """Take a copy of the request. Responses go to where the latest copy came from."""
        self.hop = hop
        self._take(Input.REQUEST, now)

    @abstractmethod
    def respond(self, response: Response, now: float) -> None:
        """
        Send a response of the user.

        After a final response there is no other, except that the user repeats its 2xx to an
        INVITE until the ACK comes; else OutOfPlace. Once the transaction is over, nothing is sent.
        """

    def _respond(self, given: Input, response: Response, now: float) -> None:
        self._offered = response
        self._take(given, now)

    # Effects.

    def _answer(self, now: float) -> None:
        self.last_response = self._offered
        self._send(self._offered)

    def _send_trying(self, now: float) -> None:
        self._offered = self.response(100)
        self._answer(now)

    def _repeat(self, now: float) -> None:
        if self.last_response is not None:
            self._send(self.last_response)


class InviteServerTransaction(ServerTransaction):
    """An INVITE. Copies of a 2xx, unlike those of a refusal, are the user's to send."""

    __slots__ = ("_ack", "_interval")

    _ack: Request

    def __init__(self, request: Request, hop: Hop, timers: Timers, tag: str, now: float) -> None:
        super().__init__(request, hop, timers, tag, State.PROCEEDING)
        self._interval = timers.t1
        self._start(Input.TIMER_100, timers.trying, now)

    def respond(self, response: Response, now: float) -> None:
        """Send a response of the user."""
        if response.status < 200:
            self._respond(Input.PROVISIONAL, response, now)
        else:
            given = Input.SUCCESS if response.status < 300 else Input.FAILURE
            self._respond(given, response, now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK that matches this transaction."""
        self._ack = ack
        self._take(Input.ACK, now)

    def _take(self, given: Input, now: float) -> None:
        INVITE_SERVER.step(self, given, now)

    # Effects.

    def _answer_provisionally(self, now: float) -> None:
        self._running.pop(Input.TIMER_100, None)
        self._answer(now)

    def _accept(self, now: float) -> None:
        self._answer(now)
        self._start(Input.TIMER_L, self.timers.transaction, now)

    def _refuse(self, now: float) -> None:
        self._answer(now)
        self._start(Input.TIMER_H, self.timers.transaction, now)
        if not self.hop.is_reliable:
            self._start(Input.TIMER_G, self._interval, now)

    def _retransmit(self, now: float) -> None:
        self._interval = min(2 * self._interval, self.timers.t2)
        self._start(Input.TIMER_G, self._interval, now)
        self._repeat(now)

    def _confirm(self, now: float) -> None:
        self._start(Input.TIMER_I, 0 if self.hop.is_reliable else self.timers.t4, now)

    def _pass_ack(self, now: float) -> None:
        self._outputs.append(AckReceived(self._ack, self.hop, self))


class NonInviteServerTransaction(ServerTransaction):
    """Any request but INVITE and ACK."""

    __slots__ = ()

    def __init__(self, request: Request, hop: Hop, timers: Timers, tag: str, now: float) -> None:
        super().__init__(request, hop, timers, tag, State.TRYING)
        self._start(Input.TIMER_100, timers.slow_non_invite, now)
        self._start(Input.TIMER_USER, timers.transaction, now)

    def respond(self, response: Response, now: float) -> None:
        """Send a response of the user; RFC 4320 leaves of 1xx only 100, and forbids 408."""
        if 100 < response.status < 200 or response.status == 408:
            raise OutOfPlace(f"{response.status} to {self.request.method} (RFC 4320)")
        given = Input.PROVISIONAL if response.status == 100 else Input.FINAL
        self._respond(given, response, now)

    def _take(self, given: Input, now: float) -> None:
        NON_INVITE_SERVER.step(self, given, now)

    # Effects.

    def _complete(self, now: float) -> None:
        self._answer(now)
        self._start(Input.TIMER_J, 0 if self.hop.is_reliable else self.timers.transaction, now)


INVITE_SERVER: Machine[InviteServerTransaction] = Machine(
    table={
        State.PROCEEDING: {
            Input.TIMER_100: (InviteServerTransaction._send_trying, State.PROCEEDING),
            Input.REQUEST: (InviteServerTransaction._repeat, State.PROCEEDING),
            Input.PROVISIONAL: (InviteServerTransaction._answer_provisionally, State.PROCEEDING),
            Input.SUCCESS: (InviteServerTransaction._accept, State.ACCEPTED),
            Input.FAILURE: (InviteServerTransaction._refuse, State.COMPLETED),
            Input.TRANSPORT_ERROR: (InviteServerTransaction._report_failure, State.PROCEEDING),
        },
        State.COMPLETED: {
            Input.TIMER_G: (InviteServerTransaction._retransmit, State.COMPLETED),
            Input.TIMER_H: (InviteServerTransaction._time_out, State.TERMINATED),
            Input.REQUEST: (InviteServerTransaction._repeat, State.COMPLETED),
            Input.ACK: (InviteServerTransaction._confirm, State.CONFIRMED),
            Input.TRANSPORT_ERROR: (InviteServerTransaction._report_failure, State.COMPLETED),
        },
        State.CONFIRMED: {
            Input.TIMER_I: (InviteServerTransaction._nothing, State.TERMINATED),
        },
        State.ACCEPTED: {
            Input.TIMER_L: (InviteServerTransaction._nothing, State.TERMINATED),
            Input.ACK: (InviteServerTransaction._pass_ack, State.ACCEPTED),
            Input.SUCCESS: (InviteServerTransaction._answer, State.ACCEPTED),
            Input.TRANSPORT_ERROR: (InviteServerTransaction._report_failure, State.ACCEPTED),
        },
        State.TERMINATED: {},
    },
    ignored={
        State.PROCEEDING: {Input.ACK: "there is no final response yet that it could acknowledge"},
        State.CONFIRMED: {
            Input.REQUEST: "a copy that was long under way; its answer has arrived",
            Input.ACK: "a copy",
            Input.TRANSPORT_ERROR: "nothing is being sent any more",
        },
        State.ACCEPTED: {
            Input.REQUEST: "a copy; the user repeats the 2xx by its own timer (RFC 6026)",
        },
        State.TERMINATED: dict.fromkeys(
            (
                Input.REQUEST,
                Input.ACK,
                Input.PROVISIONAL,
                Input.SUCCESS,
                Input.FAILURE,
                Input.TRANSPORT_ERROR,
            ),
            "it is over",
        ),
    },
    refused={
        State.COMPLETED: dict.fromkeys(
            (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE), "the INVITE was refused already"
        ),
        State.CONFIRMED: dict.fromkeys(
            (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE), "the INVITE was refused already"
        ),
        State.ACCEPTED: dict.fromkeys(
            (Input.PROVISIONAL, Input.FAILURE), "the INVITE was accepted already"
        ),
    },
)

NON_INVITE_SERVER: Machine[NonInviteServerTransaction] = Machine(
    table={
        State.TRYING: {
            Input.TIMER_100: (NonInviteServerTransaction._send_trying, State.PROCEEDING),
            Input.TIMER_USER: (NonInviteServerTransaction._time_out, State.TERMINATED),
            Input.PROVISIONAL: (NonInviteServerTransaction._answer, State.PROCEEDING),
            Input.FINAL: (NonInviteServerTransaction._complete, State.COMPLETED),
        },
        State.PROCEEDING: {
            # The sender gives up by its Timer F, and a later answer would only make work for it
            # (RFC 4320, section 4.2). Else what the user forgets would stay for ever.
            Input.TIMER_USER: (NonInviteServerTransaction._time_out, State.TERMINATED),
            Input.REQUEST: (NonInviteServerTransaction._repeat, State.PROCEEDING),
            Input.PROVISIONAL: (NonInviteServerTransaction._answer, State.PROCEEDING),
            Input.FINAL: (NonInviteServerTransaction._complete, State.COMPLETED),
            Input.TRANSPORT_ERROR: (NonInviteServerTransaction._report_failure, State.PROCEEDING),
        },
        State.COMPLETED: {
            Input.TIMER_J: (NonInviteServerTransaction._nothing, State.TERMINATED),
            Input.REQUEST: (NonInviteServerTransaction._repeat, State.COMPLETED),
            Input.TRANSPORT_ERROR: (NonInviteServerTransaction._report_failure, State.COMPLETED),
        },
        State.TERMINATED: {},
    },
    ignored={
        State.TRYING: {
            Input.REQUEST: "a copy, and there is nothing to answer it with yet",
            Input.TRANSPORT_ERROR: "nothing has been sent",
        },
        State.TERMINATED: dict.fromkeys(
            (Input.REQUEST, Input.PROVISIONAL, Input.FINAL, Input.TRANSPORT_ERROR), "it is over"
        ),
    },
    refused={
        State.COMPLETED: dict.fromkeys(
            (Input.PROVISIONAL, Input.FINAL), "the request was answered already"
        ),
    },
)
