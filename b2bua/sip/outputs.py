"""
What transactions give back: messages to send, and what their user is to know.

Nobody changes these values; they are not frozen because making frozen ones takes twice the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response

if TYPE_CHECKING:
    from b2bua.sip.client_transaction import ClientTransaction
    from b2bua.sip.server_transaction import ServerTransaction
    from b2bua.sip.transaction import Transaction


@dataclass(slots=True)
class Send:
    """Send this message there. If that fails and there is a transaction, it must be told."""

    message: Request | Response
    hop: Hop
    transaction: Transaction | None = None


@dataclass(slots=True)
class ResponseReceived:
    """A response for the user: each provisional one, each 2xx to an INVITE, the first other."""

    transaction: ClientTransaction
    response: Response


@dataclass(slots=True)
class Unanswered:
    """
    The server has been silent for the failover time. Told once, and nothing ends by it.

    The request may be sent to another server, in a transaction of its own. This one stays: what
    the first server still answers belongs to it, and the user has to undo it (CANCEL, or ACK and
    BYE).
    """

    transaction: ClientTransaction


@dataclass(slots=True)
class CancelDue:
    """The CANCEL of an INVITE may go out now, in a transaction of its own."""

    transaction: ClientTransaction
    request: Request


@dataclass(slots=True)
class RequestReceived:
    """A new request, which the user must answer through its transaction."""

    transaction: ServerTransaction


@dataclass(slots=True)
class AckReceived:
    """
    An ACK that concerns the user, so one for a 2xx. Usually no transaction knows it.

    ACKs of other final responses end in the transaction.
    """

    request: Request
    hop: Hop
    transaction: ServerTransaction | None = None


@dataclass(slots=True)
class Cancelled:
    """
    A CANCEL came for an INVITE without a final response; it has its 200 already.

    The user answers the INVITE, with 487.
    """

    transaction: ServerTransaction
    cancel: Request


@dataclass(slots=True)
class Overloaded:
    """
    There is no room for this request. The answer is ready and needs no memory.

    Sending it is the user's decision, since a flood may deserve silence.
    """

    request: Request
    hop: Hop
    response: Response


@dataclass(slots=True)
class StraySuccess:
    """A 2xx to an INVITE whose transaction is over: its dialog, if there is one, must ACK it."""

    response: Response
    hop: Hop


@dataclass(slots=True)
class Ignored:
    """A message that was dropped; ``reason`` is a fixed word, fit for a metric's label."""

    message: Request | Response
    hop: Hop
    reason: str


@dataclass(slots=True)
class TimedOut:
    """The peer, or the user, did not do in time what was needed. The transaction has ended."""

    transaction: Transaction


@dataclass(slots=True)
class TransportFailed:
    """
    A message could not be sent. A client transaction has ended by it, a server's has not.

    It may follow a refusal that the user has heard of: then it was the ACK.
    """

    transaction: Transaction


@dataclass(slots=True)
class Terminated:
    """The transaction has ended; it is the last that is heard of it."""

    transaction: Transaction


Output = (
    Send
    | ResponseReceived
    | Unanswered
    | CancelDue
    | RequestReceived
    | AckReceived
    | Cancelled
    | Overloaded
    | StraySuccess
    | Ignored
    | TimedOut
    | TransportFailed
    | Terminated
)
"""All of them; a user handles each, or names it among those that it leaves out."""
