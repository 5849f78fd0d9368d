"""
Client transactions (RFC 3261, section 17.1, figures 5 and 6; RFC 6026, section 7.2).

An INVITE, with the states Withdrawn and Cancelled that section 9.1 asks for; every response is
passed to the user, but for copies of a refusal::

                            | INVITE is sent
                            v       cancel
      Timer A: send   +-- Calling ---------> Withdrawn --+  Timer A: send
                      +-->  |                   |     <--+
                            | 1xx               | 1xx: send CANCEL
                            v       cancel:     v
                1xx   +-- Proceeding --------> Cancelled --+  1xx
                      +-->  |     send CANCEL   |       <--+
                            |                   |
                            +--- from each of --+
          300-699: send ACK |    the four       | 2xx
                            v                   v
  300-699: send ACK   +-- Completed         Accepted --+  2xx
                      +-->  |                   |   <--+
                            | Timer D           | Timer M
                            +--> Terminated <---+
                                     ^
      Timer B, Timer Cancel, transport error

Any other request::

                            | request is sent
                            v
      Timer E: send   +-- Trying -- 1xx --> Proceeding --+  1xx; Timer E: send
                      +-->  |                   |     <--+
                            +------- final -----+
                            |                   |
                            v                   |
                        Completed               | Timer F, transport error
                            | Timer K           v (from Trying too)
                            +-------------> Terminated

The dialogs that an INVITE makes, and the ACK of a 2xx, are not the transaction's business.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from b2bua.sip.headers import CSeq
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.outputs import CancelDue, ResponseReceived, Unanswered
from b2bua.sip.timers import Timers
from b2bua.sip.transaction import Input, Machine, State, Transaction

MAX_FORWARDS = "70"


class ClientTransaction(Transaction):
    """A request of ours and the responses to it. It is sent once at the start."""

    __slots__ = ("_interval", "_response")

    _response: Response

    def __init__(self, request: Request, hop: Hop, timers: Timers, now: float) -> None:
        super().__init__(request, hop, timers, State.TRYING)
        self._interval = timers.t1
        self._send(request)
        if timers.failover is not None:
            self._start(Input.TIMER_SILENCE, timers.failover, now)

    @abstractmethod
    def receive(self, response: Response, now: float) -> None:
        """Take a response that matches this transaction."""

    # Effects.

    def _pass(self, now: float) -> None:
        self._outputs.append(ResponseReceived(self, self._response))

    def _report_silence(self, now: float) -> None:
        self._outputs.append(Unanswered(self))


class NonInviteClientTransaction(ClientTransaction):
    """Any request but INVITE and ACK."""

    __slots__ = ()

    def __init__(self, request: Request, hop: Hop, timers: Timers, now: float) -> None:
        super().__init__(request, hop, timers, now)
        self._start(Input.TIMER_F, timers.transaction, now)
        if not hop.is_reliable:
            self._start(Input.TIMER_E, timers.t1, now)

    def receive(self, response: Response, now: float) -> None:
        """Take a response that matches this transaction."""
        self._response = response
        self._take(Input.PROVISIONAL if response.status < 200 else Input.FINAL, now)

    def _take(self, given: Input, now: float) -> None:
        NON_INVITE_CLIENT.step(self, given, now)

    # Effects.

    def _retransmit(self, now: float) -> None:
        self._interval = min(2 * self._interval, self.timers.t2)
        self._start(Input.TIMER_E, self._interval, now)
        self._send(self.request)

    def _retransmit_slowly(self, now: float) -> None:
        self._interval = self.timers.t2
        self._retransmit(now)

    def _complete(self, now: float) -> None:
        self._pass(now)
        self._start(Input.TIMER_K, 0 if self.hop.is_reliable else self.timers.t4, now)


class InviteClientTransaction(ClientTransaction):
    """An INVITE. It acknowledges refusals by itself; a 2xx is for the user to acknowledge."""

    __slots__ = ("_ack", "_cancel_headers")

    _ack: Request

    def __init__(self, request: Request, hop: Hop, timers: Timers, now: float) -> None:
        super().__init__(request, hop, timers, now)
        self.state = State.CALLING
        self._cancel_headers: tuple[tuple[str, str], ...] = ()
        self._start(Input.TIMER_B, timers.transaction, now)
        if not hop.is_reliable:
            self._start(Input.TIMER_A, timers.t1, now)

    def receive(self, response: Response, now: float) -> None:
        """Take a response that matches this transaction."""
        self._response = response
        if response.status < 200:
            self._take(Input.PROVISIONAL, now)
        else:
            self._take(Input.SUCCESS if response.status < 300 else Input.FAILURE, now)

    def cancel(self, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """
        Give the INVITE up. The CANCEL comes out when the server has shown that it is there.

        ``headers`` go with the CANCEL: a Reason, for one. There still will be a final response,
        and it may be a 2xx, which needs ACK and BYE. After a final response this does nothing.
        """
        self._cancel_headers = tuple(headers)
        self._take(Input.CANCEL, now)

    def _take(self, given: Input, now: float) -> None:
        INVITE_CLIENT.step(self, given, now)

    # Effects.

    def _retransmit(self, now: float) -> None:
        self._interval *= 2
        self._start(Input.TIMER_A, self._interval, now)
        self._send(self.request)

    def _cancel(self, now: float) -> None:
        self._start(Input.TIMER_CANCEL, self.timers.transaction, now)
        self._outputs.append(CancelDue(self, cancel_of(self.request, self._cancel_headers)))

    def _pass_and_cancel(self, now: float) -> None:
        self._pass(now)
        self._cancel(now)

    def _accept(self, now: float) -> None:
        self._pass(now)
        self._start(Input.TIMER_M, self.timers.transaction, now)

    def _complete(self, now: float) -> None:
        self._ack = ack_of(self.request, self._response)
        self._send(self._ack)
        self._pass(now)
        self._start(Input.TIMER_D, 0 if self.hop.is_reliable else self.timers.next_failure, now)

    def _acknowledge(self, now: float) -> None:
        self._send(self._ack)


def ack_of(invite: Request, response: Response) -> Request:
    """The ACK of a final response other than 2xx (RFC 3261, section 17.1.1.3)."""
    ack = _companion(invite, "ACK")
    ack.replace("To", *response.get_rows("To"))
    return ack


def cancel_of(invite: Request, headers: Iterable[tuple[str, str]] = ()) -> Request:
    """The CANCEL of an INVITE (RFC 3261, section 9.1)."""
    cancel = _companion(invite, "CANCEL")
    for name, value in headers:
        cancel.add(name, value)
    return cancel


def _companion(invite: Request, method: str) -> Request:
    """A request that goes where the INVITE went, within its transaction as the server sees it."""
    copied = [(name, value) for name, value in invite.headers if name in _COMPANION_HEADERS]
    return Request(
        method,
        invite.uri,
        [
            ("Via", invite.via),
            *copied,
            ("CSeq", CSeq(invite.cseq.number, method)),
            ("Max-Forwards", MAX_FORWARDS),
        ],
    )


_COMPANION_HEADERS = ("Route", "From", "To", "Call-ID")


INVITE_CLIENT: Machine[InviteClientTransaction] = Machine(
    table={
        State.CALLING: {
            Input.TIMER_A: (InviteClientTransaction._retransmit, State.CALLING),
            Input.TIMER_B: (InviteClientTransaction._time_out, State.TERMINATED),
            Input.TIMER_SILENCE: (InviteClientTransaction._report_silence, State.CALLING),
            Input.TRANSPORT_ERROR: (InviteClientTransaction._report_failure, State.TERMINATED),
            Input.PROVISIONAL: (InviteClientTransaction._pass, State.PROCEEDING),
            Input.SUCCESS: (InviteClientTransaction._accept, State.ACCEPTED),
            Input.FAILURE: (InviteClientTransaction._complete, State.COMPLETED),
            Input.CANCEL: (InviteClientTransaction._nothing, State.WITHDRAWN),
        },
        State.WITHDRAWN: {
            # Copies still go out: where the server's 1xx was lost they bring another, and with
            # it the leave to cancel. Else a phone would ring for nobody.
            Input.TIMER_A: (InviteClientTransaction._retransmit, State.WITHDRAWN),
            Input.TIMER_B: (InviteClientTransaction._time_out, State.TERMINATED),
            Input.TRANSPORT_ERROR: (InviteClientTransaction._report_failure, State.TERMINATED),
            Input.PROVISIONAL: (InviteClientTransaction._pass_and_cancel, State.CANCELLED),
            Input.SUCCESS: (InviteClientTransaction._accept, State.ACCEPTED),
            Input.FAILURE: (InviteClientTransaction._complete, State.COMPLETED),
        },
        State.PROCEEDING: {
            Input.PROVISIONAL: (InviteClientTransaction._pass, State.PROCEEDING),
            Input.SUCCESS: (InviteClientTransaction._accept, State.ACCEPTED),
            Input.FAILURE: (InviteClientTransaction._complete, State.COMPLETED),
            Input.CANCEL: (InviteClientTransaction._cancel, State.CANCELLED),
        },
        State.CANCELLED: {
            Input.TIMER_CANCEL: (InviteClientTransaction._time_out, State.TERMINATED),
            Input.PROVISIONAL: (InviteClientTransaction._pass, State.CANCELLED),
            Input.SUCCESS: (InviteClientTransaction._accept, State.ACCEPTED),
            Input.FAILURE: (InviteClientTransaction._complete, State.COMPLETED),
        },
        State.COMPLETED: {
            Input.TIMER_D: (InviteClientTransaction._nothing, State.TERMINATED),
            Input.TRANSPORT_ERROR: (InviteClientTransaction._report_failure, State.TERMINATED),
            Input.FAILURE: (InviteClientTransaction._acknowledge, State.COMPLETED),
            # A proxy that forks passes a 2xx on even after a refusal (section 16.7, step 5).
            # Unless the user acknowledges it and hangs up, that phone is off the hook for good.
            Input.SUCCESS: (InviteClientTransaction._pass, State.COMPLETED),
        },
        State.ACCEPTED: {
            Input.TIMER_M: (InviteClientTransaction._nothing, State.TERMINATED),
            Input.SUCCESS: (InviteClientTransaction._pass, State.ACCEPTED),
        },
        State.TERMINATED: {},
    },
    ignored={
        State.CALLING: {},
        State.WITHDRAWN: {Input.CANCEL: "it is asked for already"},
        State.PROCEEDING: {
            Input.TRANSPORT_ERROR: "nothing is being sent; the answer may take another connection"
        },
        State.CANCELLED: {
            Input.CANCEL: "it was sent already",
            Input.TRANSPORT_ERROR: "the CANCEL has a transaction of its own, this one a timer",
        },
        State.COMPLETED: {
            Input.PROVISIONAL: "overtaken by the refusal",
            Input.CANCEL: "too late to have an effect (section 9.1)",
        },
        State.ACCEPTED: {
            Input.PROVISIONAL: "another branch of a fork that has been answered",
            Input.FAILURE: "a 2xx is final; another branch of a fork failed",
            Input.CANCEL: "too late to have an effect; what is answered ends by BYE",
            Input.TRANSPORT_ERROR: "nothing is being sent; the ACK belongs to the user",
        },
        State.TERMINATED: dict.fromkeys(
            (
                Input.PROVISIONAL,
                Input.SUCCESS,
                Input.FAILURE,
                Input.CANCEL,
                Input.TRANSPORT_ERROR,
            ),
            "it is over",
        ),
    },
)

NON_INVITE_CLIENT: Machine[NonInviteClientTransaction] = Machine(
    table={
        State.TRYING: {
            Input.TIMER_E: (NonInviteClientTransaction._retransmit, State.TRYING),
            Input.TIMER_F: (NonInviteClientTransaction._time_out, State.TERMINATED),
            Input.TIMER_SILENCE: (NonInviteClientTransaction._report_silence, State.TRYING),
            Input.TRANSPORT_ERROR: (NonInviteClientTransaction._report_failure, State.TERMINATED),
            Input.PROVISIONAL: (NonInviteClientTransaction._pass, State.PROCEEDING),
            Input.FINAL: (NonInviteClientTransaction._complete, State.COMPLETED),
        },
        State.PROCEEDING: {
            Input.TIMER_E: (NonInviteClientTransaction._retransmit_slowly, State.PROCEEDING),
            Input.TIMER_F: (NonInviteClientTransaction._time_out, State.TERMINATED),
            Input.TRANSPORT_ERROR: (NonInviteClientTransaction._report_failure, State.TERMINATED),
            Input.PROVISIONAL: (NonInviteClientTransaction._pass, State.PROCEEDING),
            Input.FINAL: (NonInviteClientTransaction._complete, State.COMPLETED),
        },
        State.COMPLETED: {
            Input.TIMER_K: (NonInviteClientTransaction._nothing, State.TERMINATED),
        },
        State.TERMINATED: {},
    },
    ignored={
        State.TRYING: {},
        State.PROCEEDING: {},
        State.COMPLETED: {
            Input.PROVISIONAL: "overtaken by the final response",
            Input.FINAL: "a copy",
            Input.TRANSPORT_ERROR: "nothing is being sent any more",
        },
        State.TERMINATED: dict.fromkeys(
            (Input.PROVISIONAL, Input.FINAL, Input.TRANSPORT_ERROR), "it is over"
        ),
    },
)
