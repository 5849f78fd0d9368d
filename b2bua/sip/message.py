"""
Requests and responses: header fields in order, typed where asked for, and their bytes.

Values are kept as they came (unfolded). A typed value is read when it is first asked for, and
kept until the header field changes; what ``parser`` has let through has a readable Via, From, To,
Call-ID, CSeq, Max-Forwards, Contact, Route and Record-Route. Every other accessor may raise
ParseError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final, TypeVar, cast

from b2bua.sip.errors import InvalidHeader, ParseError
from b2bua.sip.grammar import (
    has_bare_control,
    is_token,
    parse_number,
    remembering,
    split_list,
)
from b2bua.sip.header_names import KNOWN, LISTS, by_spelling, canonical_name
from b2bua.sip.headers import (
    CSeq,
    MediaType,
    NameAddr,
    RAck,
    Replaces,
    Seconds,
    TypedHeader,
    Via,
    Word,
    parse_call_id,
    parse_cseq,
    parse_expires,
    parse_max_forwards,
    parse_media_type,
    parse_name_addr,
    parse_rack,
    parse_replaces,
    parse_seconds,
    parse_via,
    parse_word,
)
from b2bua.sip.reasons import REASONS
from b2bua.sip.uri import Uri, parse_uri

T = TypeVar("T")
HeaderValue = str | int | TypedHeader

_NEEDED: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    ("From", parse_name_addr),
    ("To", parse_name_addr),
    ("Call-ID", parse_call_id),
    ("CSeq", parse_cseq),
)
_KEPT: Final = frozenset({"From", "To", "CSeq"})
"""What stays typed where it is given typed: it is asked for in every message that is built."""
_ANSWERED: Final = ("top Via", "From", "Call-ID", "CSeq")
"""What a response has in common with its request, and need not be read again."""


class Message(ABC):
    """
    What requests and responses have in common.

    ``headers`` are pairs of canonical name and value in the order of the wire. Change them through
    ``add``, ``prepend``, ``replace`` and ``remove`` only: typed values are kept beside them.
    """

    __slots__ = ("_first", "_typed", "body", "datagram_size", "headers")

    def __init__(self, headers: Iterable[tuple[str, HeaderValue]] = (), body: bytes = b"") -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = body
        self.datagram_size = 0
        """The bytes of the datagram, or WebSocket message, that it came in; 0: it came in none."""
        self._typed: dict[str, object] = {}
        self._first: dict[str, str] | None = None
        for given, value in headers:
            name = by_spelling(given) or canonical_name(given)
            if isinstance(value, str):
                self.headers.append((name, value))
                continue
            self.headers.append((name, str(value)))
            if name in _KEPT:
                self._typed.setdefault(name, value)

    @property
    @abstractmethod
    def start_line(self) -> str:
        """The first line, without its end."""

    def get(self, name: str) -> str | None:
        """Return the value of the first header field of this name."""
        name = by_spelling(name) or canonical_name(name)
        value = self.firsts().get(name)
        if value is not None or name in KNOWN:
            return value
        lower = name.lower()
        return next((value for present, value in self.headers if present.lower() == lower), None)

    def firsts(self) -> dict[str, str]:
        """The value of the first header field of each name, by the name as it stands there."""
        first = self._first
        if first is None:
            first = self._first = dict(reversed(self.headers))
        return first

    def get_rows(self, name: str) -> list[str]:
        """Return the values of every header field of this name, each row as it came."""
        name = by_spelling(name) or canonical_name(name)
        if name not in KNOWN:
            lower = name.lower()
            return [value for present, value in self.headers if present.lower() == lower]
        first = self.firsts()
        if name not in first:
            return []
        if len(first) == len(self.headers):  # no name is there twice
            return [first[name]]
        return [value for present, value in self.headers if present == name]

    def get_all(self, name: str) -> list[str]:
        """Return every value of this name; lists are split at their commas."""
        name = by_spelling(name) or canonical_name(name)
        rows = self.get_rows(name)
        if name not in LISTS:
            return rows
        return [element for row in rows if row for element in split_list(row)]

    def has(self, name: str) -> bool:
        """Return whether there is a header field of this name."""
        return self.get(name) is not None

    def add(self, name: str, value: HeaderValue) -> None:
        """Append a header field."""
        name = canonical_name(name)
        self.headers.append((name, str(value)))
        self._forget(name)

    def prepend(self, name: str, value: HeaderValue) -> None:
        """Put a header field before the first of its name, or before all others."""
        name = canonical_name(name)
        at = next((i for i, (present, _) in enumerate(self.headers) if present == name), 0)
        self.headers.insert(at, (name, str(value)))
        self._forget(name)

    def replace(self, name: str, *values: HeaderValue) -> None:
        """Put these where the first header field of this name stood, or at the end."""
        name = canonical_name(name)
        at = next(
            (i for i, (present, _) in enumerate(self.headers) if present.lower() == name.lower()),
            len(self.headers),
        )
        self.remove(name)
        self.headers[at:at] = [(name, str(value)) for value in values]

    def remove(self, name: str) -> None:
        """Take away every header field of this name."""
        name = canonical_name(name)
        if name in KNOWN:
            self.headers[:] = [pair for pair in self.headers if pair[0] != name]
        else:
            lower = name.lower()
            self.headers[:] = [pair for pair in self.headers if pair[0].lower() != lower]
        self._forget(name)

    def _forget(self, name: str) -> None:
        self._first = None
        self._typed.pop(name, None)
        self._typed.pop("top " + name, None)

    @property
    def via(self) -> Via:
        """The topmost Via: the last hop."""
        kept = self._typed.get("top Via")
        if kept is None:
            kept = self._typed["top Via"] = _parse_top_via(self.get("Via"))
        return cast(Via, kept)

    @property
    def vias(self) -> list[Via]:
        """Every Via, topmost first."""
        return self._list("Via", parse_via)

    @property
    def from_(self) -> NameAddr:
        """Who sends the request."""
        return self._needed("From", parse_name_addr)

    @property
    def to(self) -> NameAddr:
        """Whom the request is for."""
        return self._needed("To", parse_name_addr)

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self._needed("Call-ID", parse_call_id)

    @property
    def cseq(self) -> CSeq:
        """Number and method of the request, or of the request that is answered."""
        return self._needed("CSeq", parse_cseq)

    @property
    def max_forwards(self) -> int | None:
        """How many hops are left, at most 255."""
        return self._single("Max-Forwards", parse_max_forwards)

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact; empty where the Contact is "*"."""
        if "Contact" not in self._typed and self.contact_is_wildcard:
            return []
        return self._list("Contact", parse_name_addr)

    @property
    def contact_is_wildcard(self) -> bool:
        """Whether the Contact is "*": every binding of an address-of-record."""
        return self.get_rows("Contact") == ["*"]

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def route(self) -> list[NameAddr]:
        """Where the request has still to go, next hop first."""
        return self._list("Route", parse_name_addr)

    @property
    def record_route(self) -> list[NameAddr]:
        """Who wants to stay on the path, in the order of the wire."""
        return self._list("Record-Route", parse_name_addr)

    @property
    def content_type(self) -> MediaType | None:
        """What the body is."""
        return self._single("Content-Type", parse_media_type)

    @property
    def content_disposition(self) -> Word | None:
        """What the body is for."""
        return self._single("Content-Disposition", parse_word)

    @property
    def expires(self) -> int | None:
        """The Expires header field; None if it is missing or no number (section 10.2.1.1)."""
        return self._single("Expires", parse_expires)

    @property
    def min_expires(self) -> int | None:
        """The shortest expiry a registrar takes."""
        return self._single("Min-Expires", parse_number)

    @property
    def session_expires(self) -> Seconds | None:
        """The session interval and its refresher (RFC 4028)."""
        return self._single("Session-Expires", parse_seconds)

    @property
    def min_se(self) -> Seconds | None:
        """The shortest session interval (RFC 4028)."""
        return self._single("Min-SE", parse_seconds)

    @property
    def retry_after(self) -> Seconds | None:
        """How long to wait before asking again."""
        return self._single("Retry-After", parse_seconds)

    @property
    def rseq(self) -> int | None:
        """The number of a reliable provisional response (RFC 3262)."""
        return self._single("RSeq", parse_number)

    @property
    def rack(self) -> RAck | None:
        """Which response a PRACK acknowledges (RFC 3262)."""
        return self._single("RAck", parse_rack)

    @property
    def event(self) -> Word | None:
        """The event package of a SUBSCRIBE or NOTIFY (RFC 6665)."""
        return self._single("Event", parse_word)

    @property
    def subscription_state(self) -> Word | None:
        """The state of a subscription (RFC 6665)."""
        return self._single("Subscription-State", parse_word)

    @property
    def replaces(self) -> Replaces | None:
        """The dialog to replace (RFC 3891)."""
        return self._single("Replaces", parse_replaces)

    @property
    def refer_to(self) -> NameAddr | None:
        """Where a REFER points (RFC 3515)."""
        return self._single("Refer-To", parse_name_addr)

    @property
    def reasons(self) -> list[Word]:
        """Why a request was sent (RFC 3326): protocol, cause and text."""
        return self._list("Reason", parse_word)

    def read_needed(self) -> None:
        """
        Read at once what no message can be processed without.

        Raises ParseError where one is missing or garbled.
        """
        first = self.firsts()
        for name, parse in _NEEDED:
            value = first.get(name)
            if value is None:
                raise ParseError("missing", name)
            self._typed[name] = parse(value)
        self._typed["top Via"] = _parse_top_via(first.get("Via"))

    def tokens(self, name: str) -> frozenset[str]:
        """
        Return a list of tokens as a set, in lower case: Require, Supported, Allow-Events.

        This never raises: a token holds no comma, so all readers see the same ones in any list.
        What is none is among them as it stands.
        """
        rows = self.get_rows(name)
        if len(rows) == 1:
            return _tokens(rows[0])
        return frozenset[str]().union(*map(_tokens, rows))

    def lacks(self, names: Iterable[str]) -> bool:
        """Return whether there is none of these header fields, in their canonical names."""
        return self.firsts().keys().isdisjoint(names)

    def _needed(self, name: str, parse: Callable[[str], T]) -> T:
        kept = self._typed.get(name)
        if kept is None:
            kept = self._single(name, parse)
            if kept is None:
                raise ParseError("missing", name)
        return cast(T, kept)

    def _single(self, name: str, parse: Callable[[str], T]) -> T | None:
        kept = self._typed.get(name)
        if kept is None:
            value = self.get(name)
            if value is None:
                return None
            kept = self._typed[name] = parse(value)
        return cast(T, kept)

    def _list(self, name: str, parse: Callable[[str], T]) -> list[T]:
        kept = self._typed.get(name)
        if kept is None:
            kept = self._typed[name] = [parse(value) for value in self.get_all(name)]
        return cast(list[T], kept).copy()

    def render(self) -> bytes:
        """
        Return the bytes; Content-Length is that of the body, whatever the headers say.

        Raises InvalidHeader where a name or a value would end its line.
        """
        lines = [self.start_line]
        length = f"Content-Length: {len(self.body)}"
        for name, value in self.headers:
            if name == "Content-Length":
                if length:
                    lines.append(length)
                    length = ""
                continue
            if name not in KNOWN and not is_token(name):
                raise InvalidHeader(f"name {name!r}")
            lines.append(f"{name}: {value}")
        if length:
            lines.append(length)
        text = "\r\n".join(lines)
        ends = len(lines) - 1
        if text.count("\n") != ends or text.count("\r") != ends:
            raise InvalidHeader("line end in a header field")
        try:
            head = text.encode()
        except UnicodeEncodeError:
            raise InvalidHeader("a lone surrogate") from None
        if has_bare_control(head):
            raise InvalidHeader("control character in a header field")
        return head + b"\r\n\r\n" + self.body


class Request(Message):
    """A request. ``uri`` may be given as text, which must be a URI."""

    __slots__ = ("method", "uri")

    def __init__(
        self,
        method: str,
        uri: Uri | str,
        headers: Iterable[tuple[str, HeaderValue]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri: Uri = parse_uri(uri) if isinstance(uri, str) else uri

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"

    @property
    def start_line(self) -> str:
        """The Request-Line."""
        if not is_token(self.method):
            raise InvalidHeader(f"method {self.method!r}")
        uri = str(self.uri)
        if " " in uri or "\t" in uri:
            raise InvalidHeader("white space in a URI")
        return f"{self.method} {uri} SIP/2.0"

    def response(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, HeaderValue]] = (),
        body: bytes = b"",
        *,
        to_tag: str = "",
    ) -> Response:
        """
        Build a response as RFC 3261, section 8.2.6.2 wants it; what is copied stays as it came.

        ``to_tag`` is added to a To that has no tag; a 100 needs none. A request that could not be
        read is answered with what it has.
        """
        copied = [("Via", value) for value in self.get_rows("Via")]
        first = self.firsts()
        copied += [(name, first[name]) for name, _ in _NEEDED if name in first]
        if status == 100 and "Timestamp" in first:
            copied.append(("Timestamp", first["Timestamp"]))
        if to_tag and self._lacks_to_tag():
            copied[copied.index(("To", first["To"]))] = ("To", f"{first['To']};tag={to_tag}")
        response = Response(status, reason, headers, body)
        response.headers[:0] = copied
        response._typed |= {name: self._typed[name] for name in _ANSWERED if name in self._typed}
        return response

    def sent_over(self, via: str) -> Request:
        """A copy with one more Via on top, in which all that was read stays read."""
        copy = Request(self.method, self.uri, (), self.body)
        copy.headers = [("Via", via), *self.headers]
        copy._typed = self._typed.copy()
        copy._forget("Via")
        return copy

    def _lacks_to_tag(self) -> bool:
        try:
            return not self.to.tag
        except ParseError:
            # To is missing, or nobody can say where its parameters are.
            return False


class Response(Message):
    """A response. Without a reason it gets the one that RFC 3261 has for its status."""

    __slots__ = ("reason", "status")

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, HeaderValue]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = REASONS.get(status, "") if reason is None else reason

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"

    @property
    def start_line(self) -> str:
        """The Status-Line."""
        if not 100 <= self.status <= 699:
            raise InvalidHeader(f"status {self.status}")
        return f"SIP/2.0 {self.status} {self.reason}"

    @property
    def is_provisional(self) -> bool:
        """Whether another response follows (1xx)."""
        return self.status < 200

    @property
    def is_success(self) -> bool:
        """Whether the request was done (2xx)."""
        return 200 <= self.status < 300


@remembering
def _tokens(row: str) -> frozenset[str]:
    listed = (token.strip(" \t") for token in row.lower().split(","))
    return frozenset(token for token in listed if token)


def _parse_top_via(row: str | None) -> Via:
    if row is None:
        raise ParseError("missing", "Via")
    return parse_via(split_list(row)[0])
