"""
Which header fields of one leg go on to the other leg of a call.

The legs of a back-to-back user agent share nothing but the call, so every message is built anew.
Only what stands in ``CARRIED``, and attached data, is taken over, each where its RFC has a
meaning for it. What routes and identifies a message never is, with one exception: Max-Forwards
goes on, one less, or a loop of such agents would have no end (RFC 7332).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from b2bua.attached_data import AttachedDataError, from_headers, to_headers
from b2bua.sip.dialog import MAX_FORWARDS
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import parse_parameters, split_list
from b2bua.sip.headers import NameAddr, Via, parse_name_addr, parse_token, parse_via, parse_word
from b2bua.sip.message import Message, Request
from b2bua.sip.uri import Uri

RESPONSE: Final = "response"
"""Stands for any response where ``CARRIED`` has methods."""

CARRIED: Final[Mapping[str, frozenset[str]]] = {
    "P-Asserted-Identity": frozenset({"INVITE", "UPDATE", RESPONSE}),
    "Privacy": frozenset({"INVITE", "UPDATE", RESPONSE}),
    "User-to-User": frozenset({"INVITE", "BYE", RESPONSE}),
    "Reason": frozenset({"BYE", "CANCEL"}),
    "P-Early-Media": frozenset({"INVITE", "UPDATE", RESPONSE}),
    "Diversion": frozenset({"INVITE"}),
    "History-Info": frozenset({"INVITE", RESPONSE}),
}
"""What goes on, and in which messages. Reasons of responses are made by ``causes``."""

ATTACHED: Final = frozenset({"INVITE"})
"""Where header fields hold attached data; while a call lasts it comes in INFO."""

IDENTITY: Final = frozenset({"P-Asserted-Identity", "Privacy"})
"""What tells who the other party is, and may change while a call lasts."""

_HIDES_HISTORY: Final = frozenset({"history", "header", "session"})


class TooManyHops(ValueError):
    """A request that may go no further (RFC 3261, section 16.3)."""

    status: Final = 483


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether the peer of each leg is within the trust domain of RFC 3325."""

    source: bool = False
    target: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """
    The header fields for the other leg.

    ``unreadable`` names those that were left out because two readers could differ about them.
    """

    headers: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[str, ...] = ()


def carry(message: Message, trust: Trust) -> Carried:
    """Return what goes on from a message of one leg to its counterpart on the other."""
    kind = message.method if isinstance(message, Request) else RESPONSE
    headers: list[tuple[str, str]] = []
    unreadable: list[str] = []
    there = () if message.lacks(CARRIED) else CARRIED.items()
    privacy = _privacy(message) if there else frozenset()
    for name, kinds in there:
        if kind not in kinds or not message.has(name):
            continue
        try:
            values = _values(message, name)
        except ParseError:
            unreadable.append(name)
            continue
        headers += [(name, value) for value in values if _may_pass(name, value, privacy, trust)]
    if kind in ATTACHED:
        attached, refused = _carry_attached(message.headers)
        headers += attached
        unreadable += refused
    return Carried(tuple(headers), tuple(unreadable))


def _values(message: Message, name: str) -> list[str]:
    """Return the values as read and printed again; ParseError where one cannot be read."""
    rows = message.get_rows(name)
    elements = rows if name == "Privacy" else [e for row in rows for e in split_list(row)]
    return [_READERS[name](value) for value in elements]


def _read_privacy(text: str) -> str:
    """Read the levels of privacy, which semicolons separate (RFC 3323, section 4.2)."""
    return ";".join(parse_token(level.strip(" \t")) for level in text.split(";"))


def _read_user_data(text: str) -> str:
    """Read User-to-User: hexadecimal digits, a token or a quoted string (RFC 7433)."""
    if text.startswith('"'):
        # Not a parameter, but a parameter's value has the very same form.
        parse_parameters(f";data={text}")
        return text
    return str(parse_word(text))


def _read_name_addr(text: str) -> str:
    return str(parse_name_addr(text))


_READERS: Final[Mapping[str, Callable[[str], str]]] = {
    "P-Asserted-Identity": _read_name_addr,
    "Privacy": _read_privacy,
    "User-to-User": _read_user_data,
    "Reason": lambda text: str(parse_word(text)),
    "P-Early-Media": lambda text: parse_token(text.strip(" \t")),
    "Diversion": _read_name_addr,
    "History-Info": _read_name_addr,
}


def _privacy(message: Message) -> frozenset[str]:
    """Return the levels asked for. One that nobody can read asks for all of them."""
    rows = message.get_rows("Privacy")
    try:
        levels = [level for row in rows for level in _read_privacy(row).lower().split(";")]
    except ParseError:
        return _HIDES_HISTORY | {"id"}
    return frozenset(levels)


def _may_pass(name: str, value: str, privacy: frozenset[str], trust: Trust) -> bool:
    if name == "P-Asserted-Identity":
        # RFC 3325, sections 5 and 9.3: an assertion of a stranger is none. Whoever is called may
        # see one, as the display of a telephone does, unless the caller asks for any privacy.
        return trust.source and (trust.target or privacy <= {"none"})
    if name == "P-Early-Media":
        # RFC 5009, section 6: who is not trusted authorises nothing.
        return trust.source
    if trust.target:
        return True
    if name == "History-Info":
        return not privacy & _HIDES_HISTORY
    if name == "Diversion":
        diverting: NameAddr = parse_name_addr(value)
        # RFC 5806: the one who diverted has a privacy of their own.
        return (diverting.parameters.text("privacy") or "off").lower() == "off"
    return True


def _carry_attached(
    headers: Iterable[tuple[str, str]],
) -> tuple[list[tuple[str, str]], list[str]]:
    """Build attached header fields anew, as many of the first as fit into a message of ours."""
    reading = from_headers(headers)
    refused: list[str] = [*reading.refused]
    for count in range(len(reading.pairs), 0, -1):
        try:
            return to_headers(reading.pairs[:count]), refused
        except AttachedDataError as fault:
            # Each pair alone has been checked: only together they can be too many.
            refused.append(fault.reason)
    return [], refused


def next_max_forwards(request: Request) -> int:
    """
    Return the Max-Forwards for the other leg; TooManyHops where there is no hop left.

    A request without one has never been counted, and starts at 70 (RFC 3261, section 16.6).
    """
    hops = request.max_forwards
    if hops is None:
        return MAX_FORWARDS
    if hops == 0:
        raise TooManyHops("no hop left")
    return hops - 1


def own_branches(request: Request, sent_by: Collection[str]) -> tuple[str, ...]:
    """
    Return the branches of the Vias that are ours, last first; ``sent_by`` as Via prints it.

    Those of others, further down, are nobody's business: one that cannot be read is no fault.
    """
    return tuple(via.branch for via in _readable_vias(request) if _is_ours(via, sent_by))


def _readable_vias(request: Request) -> Iterator[Via]:
    for row in request.get_rows("Via"):
        try:
            elements = split_list(row)
        except ParseError:
            continue
        for element in elements:
            with suppress(ParseError):
                yield parse_via(element)


def _is_ours(via: Via, sent_by: Collection[str]) -> bool:
    return via.sent_by in sent_by and via.has_cookie


def is_loop(
    request: Request, sent_by: Collection[str], origin: Callable[[str], Uri | None]
) -> bool:
    """
    Return whether a call has come back to where it came from: 482.

    ``origin`` gives, for a branch of ours, the Request-URI that led to the request with that
    branch, or None where no request did. A call that a proxy brings back for somebody else is a
    spiral, as any call between two of our users is, and goes on (RFC 3261, section 16.3).
    """
    origins = [origin(branch) for branch in own_branches(request, sent_by)]
    return any(uri is not None and uri.matches(request.uri) for uri in origins)
