"""
What an INVITE usage tells the one who runs the call, and what it is told once about itself.

Bodies are opaque: whether one is an offer or an answer follows from where it stands (RFC 3264;
RFC 3261, section 13.2.1), what it says is for others to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from b2bua.sip.dialog import Dialog
from b2bua.sip.digest import DigestClient
from b2bua.sip.headers import NameAddr
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.server_transaction import ServerTransaction
from b2bua.sip.uri import Uri

if TYPE_CHECKING:
    from b2bua.sip.invite_usage import InviteUsage

SDP = "application/sdp"

Offer = Callable[[], bytes]
"""
Gives an offer at the moment it is sent. A change may have to wait, or to be sent again after
the peer's own, and an offer made before that would take the peer's back. Raises NotOffered.
"""


class NotOffered(Exception):
    """There is nothing to offer now; ``status`` tells why, as that of a refusal would."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Profile:
    """What this user agent can do, as its messages say it, and how long its sessions last."""

    allow: tuple[str, ...] = (
        *("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"),
        *("INFO", "NOTIFY", "PRACK", "UPDATE"),
    )
    allow_events: tuple[str, ...] = ()
    """Event packages that a NOTIFY may have without any SUBSCRIBE: talk and hold, for one."""
    supported: tuple[str, ...] = ("100rel", "timer")
    recv_info: tuple[str, ...] = ()
    """Info packages (RFC 6086); an INFO without any package is handed up in any case."""
    session_expires: int = 1800
    """The session interval that we ask for, in seconds; 0 asks for none."""
    min_se: int = 90
    """The shortest session interval that is accepted (RFC 4028, section 4)."""
    lenient_sequence: bool = False
    """Take requests with a lower number too, from a peer whose other half took over."""

    def headers(self, contact: NameAddr, method: str) -> list[tuple[str, str]]:
        """
        What a request of this method inside a dialog, or a response ("200"), says of us.

        A re-INVITE does not offer reliable responses: a session that stands has no use for them.
        """
        said = self._said_inside if method == "INVITE" else self._said
        return [("Contact", str(contact)), *said]

    @cached_property
    def _said(self) -> list[tuple[str, str]]:
        return self._lists(self.supported)

    @cached_property
    def _said_inside(self) -> list[tuple[str, str]]:
        return self._lists(tuple(option for option in self.supported if option != "100rel"))

    def _lists(self, supported: tuple[str, ...]) -> list[tuple[str, str]]:
        lists = {
            "Allow": self.allow,
            "Supported": supported,
            "Allow-Events": self.allow_events,
            "Recv-Info": self.recv_info,
        }
        return [(name, ", ".join(listed)) for name, listed in lists.items() if listed]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An INVITE of ours that is to be sent. Tags, numbers, Via and Contact are made for it."""

    uri: Uri
    from_: NameAddr
    to: NameAddr
    body: bytes = b""
    """The offer; empty to be given one."""
    headers: tuple[tuple[str, str], ...] = ()
    call_id: str = ""
    max_forwards: int = 70
    """One less than the call had that this one goes on (RFC 7332)."""
    credentials: DigestClient | None = field(default=None, repr=False)


class Cause(Enum):
    """Why a session ended."""

    REFUSED = "refused"
    """The INVITE had a final response other than 2xx, which is in the event."""
    CANCELLED = "cancelled"
    """Whoever sent the INVITE gave it up."""
    LOCAL = "local"
    """We hung up, or refused."""
    REMOTE = "remote"
    """The peer sent BYE."""
    NO_ACK = "no-ack"
    NO_PRACK = "no-prack"
    NO_ANSWER = "no-answer"
    """An offer of ours was never answered, though the message came that had to do it."""
    GONE = "gone"
    """The peer does not know the dialog (481)."""
    SILENT = "silent"
    """A request inside the dialog had no answer."""
    EXPIRED = "expired"
    """The session was not refreshed in time (RFC 4028)."""


@dataclass(slots=True)
class UsageEvent:
    """Something that happened to a usage. Nobody changes it; see ``outputs``."""

    usage: InviteUsage


@dataclass(slots=True)
class Invited(UsageEvent):
    """An INVITE came; ``ring``, then ``answer`` or ``reject`` it. Its body, if any, is an offer."""

    request: Request


@dataclass(slots=True)
class Progress(UsageEvent):
    """
    A provisional response from 101 to 199 to our INVITE.

    ``is_offer``: the usage waits for ``accept`` on this dialog. ``is_answer``: the body is the
    answer; in a response that is not reliable only what the answer is going to be.
    """

    dialog: Dialog | None
    response: Response
    is_offer: bool = False
    is_answer: bool = False
    is_reliable: bool = False


@dataclass(slots=True)
class Unheard(UsageEvent):
    """Nothing at all has come from where our INVITE went: another server may be tried."""


@dataclass(slots=True)
class Established(UsageEvent):
    """The INVITE is answered: by the 2xx for its sender, by the ACK for its receiver."""

    dialog: Dialog
    message: Message


@dataclass(slots=True)
class OfferReceived(UsageEvent):
    """The peer offers: ``accept`` answers, wherever the answer has to stand; or ``refuse``."""

    dialog: Dialog
    message: Message


@dataclass(slots=True)
class OfferRequested(UsageEvent):
    """A re-INVITE without an offer wants a full one of ours: ``accept`` gives it."""

    dialog: Dialog
    message: Message


@dataclass(slots=True)
class AnswerReceived(UsageEvent):
    """The peer answers our offer."""

    dialog: Dialog
    message: Message


@dataclass(slots=True)
class Modified(UsageEvent):
    """An offer and its answer are in force, besides those of the first INVITE."""

    dialog: Dialog


@dataclass(slots=True)
class ModificationFailed(UsageEvent):
    """An offer, of either side, came to nothing; the session is what it was before."""

    dialog: Dialog
    status: int
    is_ours: bool = True
    """Whether it was one of ours, which the peer refused or which could not be made; a refresh
    offers nothing."""


@dataclass(slots=True)
class InDialogRequest(UsageEvent):
    """A request inside the dialog for whoever runs the call, who must ``respond``."""

    transaction: ServerTransaction


@dataclass(slots=True)
class RequestAnswered(UsageEvent):
    """The end of an INFO or NOTIFY of ours; without any answer the status is 408 or 503."""

    request: Request
    status: int


@dataclass(slots=True)
class Faulted(UsageEvent):
    """Something went wrong in it that nobody has foreseen: it cannot be relied on, and must end."""

    error: Exception


@dataclass(slots=True)
class Ended(UsageEvent):
    """The session is over. Told once, and nothing is asked of the user after it."""

    cause: Cause
    status: int = 0
    message: Message | None = None
