"""
Dialogs: what two user agents agree on beyond one transaction (RFC 3261, section 12).

A dialog builds the requests that belong to it and judges those that arrive. It knows no usage:
whether it carries a call, and when it ends, is decided above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import IntEnum

from b2bua.sip.headers import CSeq, NameAddr, Replaces
from b2bua.sip.message import Request, Response
from b2bua.sip.uri import SipUri, Uri

MAX_FORWARDS = 70
TARGET_REFRESH = frozenset({"INVITE", "UPDATE"})
"""The methods that move the remote target (section 12.2; RFC 3311). No other does."""
CREDENTIALS = ("Authorization", "Proxy-Authorization")

LIMIT = 10_000
FORK_LIMIT = 16
"""How many dialogs one INVITE of ours may make; a forking proxy decides how many there are."""


class DialogState(IntEnum):
    """An early dialog has had 1xx only."""

    EARLY = 0
    CONFIRMED = 1


class DialogRefusal(Exception):
    """A request that a dialog cannot take: the status to answer, and a fixed word for why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class DialogTableFull(Exception):
    """There is no room for another dialog, at all or of the same INVITE."""


DialogId = tuple[str, str, str]
"""Call-ID, our tag, the peer's tag."""


class Dialog:
    """
    One dialog, as one of its two ends has it.

    ``local`` and ``remote`` are From and To as they first stood on the wire, with their tags:
    peers compare more of them than they should.
    """

    __slots__ = (
        "call_id",
        "is_caller",
        "is_secure",
        "local",
        "local_sequence",
        "local_tag",
        "remote",
        "remote_sequence",
        "remote_tag",
        "remote_target",
        "route_set",
        "state",
    )

    def __init__(
        self,
        identity: DialogId,
        *,
        local: str,
        remote: str,
        remote_target: Uri,
        route_set: Iterable[NameAddr],
        is_caller: bool,
        is_secure: bool,
    ) -> None:
        self.call_id, self.local_tag, self.remote_tag = identity
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.route_set = tuple(route_set)
        self.is_caller = is_caller
        """Whether the dialog's first request was ours; its sender owns the Call-ID."""
        self.is_secure = is_secure
        self.state = DialogState.EARLY
        self.local_sequence = 0
        self.remote_sequence: int | None = None

    def __repr__(self) -> str:
        return f"<Dialog {self.call_id} {self.state.name}>"

    @property
    def id(self) -> DialogId:
        """What tells this dialog from all others at our end."""
        return (self.call_id, self.local_tag, self.remote_tag)

    @property
    def next_hop(self) -> Uri:
        """Where requests go first; what the transport resolves (section 8.1.2)."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    # Requests of ours.

    def request(
        self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """
        Build the next request; it takes the next sequence number.

        A Contact, where the method has one, comes with ``headers``. The Via is not made here.
        """
        if method in ("ACK", "CANCEL"):
            raise ValueError(f"{method} has the number of its INVITE")
        return self._build(method, self.next_sequence(), headers, body)

    def ack(
        self, invite: Request, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """
        Build the ACK of a 2xx to this INVITE of ours (section 13.2.2.4).

        It needs a Via with a branch of its own. Each copy of the 2xx gets the same ACK again.
        """
        credentials = [(name, value) for name, value in invite.headers if name in CREDENTIALS]
        return self._build("ACK", invite.cseq.number, [*credentials, *headers], body)

    def next_sequence(self) -> int:
        """Take the next sequence number, for a request or for trying one again."""
        self.local_sequence += 1
        return self.local_sequence

    def _build(
        self, method: str, number: int, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Request:
        uri, routes = self._way()
        return Request(
            method,
            uri,
            [
                ("Max-Forwards", MAX_FORWARDS),
                *(("Route", route) for route in routes),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", CSeq(number, method)),
                *headers,
            ],
            body,
        )

    def _way(self) -> tuple[Uri, list[NameAddr]]:
        """Request-URI and Route; a strict router gets what RFC 2543 had (section 12.2.1.1)."""
        target = _request_uri(self.remote_target)
        if not self.route_set:
            return target, []
        first = self.route_set[0].uri
        if isinstance(first, SipUri) and not first.loose:
            return _request_uri(first), [*self.route_set[1:], NameAddr("", target)]
        return target, list(self.route_set)

    # What arrives.

    def take_request(self, request: Request, *, lenient: bool = False) -> None:
        """
        Note a request inside the dialog, or refuse it with 500: its number must have grown.

        An ACK has the number of its INVITE and is always in order. ``lenient`` lets numbers
        start again from below, as they may when a peer's other half takes its calls over.
        """
        if request.method == "ACK":
            return
        number = request.cseq.number
        if self.remote_sequence is not None and number <= self.remote_sequence and not lenient:
            raise DialogRefusal(500, "out-of-order")
        self.remote_sequence = number

    def request_accepted(self, request: Request) -> None:
        """
        Note that a request of the peer gets a 2xx.

        It confirms the dialog if it is the first INVITE. A target refresh counts from here, not
        from its arrival: one that is refused leaves everything as it was (RFC 6141).
        """
        if request.method == "INVITE":
            self.state = DialogState.CONFIRMED
        self._refresh_target(request, request)

    def response_received(self, request: Request, response: Response) -> None:
        """
        Note a response to a request of ours inside this dialog.

        The 2xx to the first INVITE confirms the dialog and sets its route for good.
        """
        if not response.is_success:
            return
        if request.method == "INVITE" and self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED
            if self.is_caller:
                self.route_set = tuple(reversed(response.record_route))
        self._refresh_target(request, response)

    def _refresh_target(self, request: Request, message: Request | Response) -> None:
        contact = message.contact
        if request.method in TARGET_REFRESH and contact is not None:
            self.remote_target = contact.uri


def dialog_of_response(request: Request, response: Response, *, over_tls: bool = False) -> Dialog:
    """
    The dialog that a response from 101 to 299 to our INVITE makes (section 12.1.2).

    A 1xx without Contact leaves the Request-URI as the target, until the 2xx has one. It takes
    the 2xx to go through ``Dialog.response_received`` to be confirmed.
    """
    contact = response.contact
    dialog = Dialog(
        (response.call_id, response.from_.tag, response.to.tag),
        local=_text(request, "From"),
        remote=_text(response, "To"),
        remote_target=request.uri if contact is None else contact.uri,
        route_set=reversed(response.record_route),
        is_caller=True,
        is_secure=_is_secure(request, over_tls),
    )
    dialog.local_sequence = request.cseq.number
    return dialog


def dialog_of_request(request: Request, tag: str, *, over_tls: bool = False) -> Dialog:
    """
    The dialog that our response from 101 to 299 to an INVITE makes (section 12.1.1).

    Without a Contact there is no dialog: DialogRefusal with 400. ``Dialog.request_accepted``
    confirms it. The response itself must carry ``establishing_headers``.
    """
    contact = request.contact
    if contact is None:
        raise DialogRefusal(400, "no-contact")
    to = _text(request, "To")
    dialog = Dialog(
        (request.call_id, tag, request.from_.tag),
        local=to if request.to.tag else f"{to};tag={tag}",
        remote=_text(request, "From"),
        remote_target=contact.uri,
        route_set=request.record_route,
        is_caller=False,
        is_secure=_is_secure(request, over_tls),
    )
    dialog.remote_sequence = request.cseq.number
    return dialog


def establishing_headers(request: Request, contact: NameAddr) -> list[tuple[str, str]]:
    """What a response that makes a dialog carries: Record-Route as it came, and our Contact."""
    routes = [("Record-Route", row) for row in request.get_rows("Record-Route")]
    return [*routes, ("Contact", str(contact))]


class DialogTable:
    """The dialogs of one user agent, by Call-ID and tags. It is bounded."""

    def __init__(self, limit: int = LIMIT, fork_limit: int = FORK_LIMIT) -> None:
        self._limit = limit
        self._fork_limit = fork_limit
        self._dialogs: dict[tuple[str, str], dict[str, Dialog]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Dialog]:
        return iter([dialog for forks in self._dialogs.values() for dialog in forks.values()])

    def add(self, dialog: Dialog) -> None:
        """Take in a dialog that is not there yet. Raises DialogTableFull."""
        key = (dialog.call_id, dialog.local_tag)
        forks = self._dialogs.get(key, {})
        if dialog.remote_tag in forks:
            raise ValueError(f"{dialog} is there already")
        if self._count >= self._limit or len(forks) >= self._fork_limit:
            raise DialogTableFull(self._count)
        self._dialogs.setdefault(key, forks)[dialog.remote_tag] = dialog
        self._count += 1

    def remove(self, dialog: Dialog) -> None:
        """Forget a dialog, if it is there."""
        key = (dialog.call_id, dialog.local_tag)
        forks = self._dialogs.get(key, {})
        if forks.get(dialog.remote_tag) is not dialog:
            return
        del forks[dialog.remote_tag]
        self._count -= 1
        if not forks:
            del self._dialogs[key]

    def find(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """The dialog of this Call-ID and these tags."""
        return self._dialogs.get((call_id, local_tag), {}).get(remote_tag)

    def of_request(self, request: Request) -> Dialog | None:
        """The dialog that a peer's request belongs to."""
        return self.find(request.call_id, request.to.tag, request.from_.tag)

    def knows(self, request: Request) -> bool:
        """Whether a peer's request belongs to a dialog that is here."""
        return self.of_request(request) is not None

    def of_response(self, response: Response) -> Dialog | None:
        """The dialog that a response to a request of ours belongs to."""
        return self.find(response.call_id, response.from_.tag, response.to.tag)

    def of_replaces(self, replaces: Replaces) -> Dialog | None:
        """The dialog that an INVITE is to replace (RFC 3891, section 3)."""
        return self.find(replaces.call_id, replaces.to_tag, replaces.from_tag)

    def forks(self, call_id: str, local_tag: str) -> list[Dialog]:
        """Every dialog that one INVITE of ours has made, in the order of their coming."""
        return list(self._dialogs.get((call_id, local_tag), {}).values())


def _request_uri(uri: Uri) -> Uri:
    """A URI without what may not stand in a Request-URI (section 19.1.1, table 1)."""
    if not isinstance(uri, SipUri) or not (uri.headers or "method" in uri.parameters):
        return uri
    return replace(uri.without_parameter("method"), headers=())


def _is_secure(request: Request, over_tls: bool) -> bool:
    return over_tls and request.uri.scheme == "sips"


def _text(message: Request | Response, name: str) -> str:
    """A header field byte for byte; the parser has seen to it that there is one."""
    return message.get_rows(name)[0]
