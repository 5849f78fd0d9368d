"""Requests, responses and hops for the tests of transactions and dialogs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.outputs import Output, Send

UDP = Hop("UDP", "192.0.2.11", 5060)
TCP = Hop("TCP", "192.0.2.11", 5060, flow=3)
OTHER = Hop("UDP", "192.0.2.12", 5060)


def counted(prefix: str) -> Callable[[], str]:
    """A source of words that count: predictable, and never the same twice."""
    numbers = count(1)
    return lambda: f"{prefix}{next(numbers)}"


def request(
    method: str = "INVITE",
    *headers: tuple[str, str],
    branch: str = "",
    sequence: int = 1,
    to_tag: str = "",
    from_tag: str = "alice",
    call_id: str = "call@client",
    sent_by: str = "client.example.com:5060",
    uri: str = "sip:bob@example.com",
) -> Request:
    """A request; without a branch it has no Via yet."""
    via = [("Via", f"SIP/2.0/UDP {sent_by};branch={branch}")] if branch else []
    return Request(
        method,
        uri,
        [
            *via,
            ("Max-Forwards", "70"),
            ("From", f"Alice <sip:alice@example.com>;tag={from_tag}"),
            ("To", "Bob <sip:bob@example.com>" + (f";tag={to_tag}" if to_tag else "")),
            ("Call-ID", call_id),
            ("CSeq", f"{sequence} {method}"),
            *headers,
        ],
    )


def answer(
    to: Request, status: int, *headers: tuple[str, str], tag: str = "bob", body: bytes = b""
) -> Response:
    """A peer's response to a request."""
    return to.response(status, None, headers, body, to_tag="" if status == 100 else tag)


def sent(outputs: list[Output]) -> list[Request | Response]:
    """The messages among the outputs."""
    return [output.message for output in outputs if isinstance(output, Send)]


def told(outputs: list[Output]) -> list[Output]:
    """What the outputs tell the user."""
    return [output for output in outputs if not isinstance(output, Send)]


def kinds(outputs: list[Output]) -> list[str]:
    """The outputs in a word each: what is sent by method or status, what is told by its type."""
    words = []
    for output in outputs:
        if not isinstance(output, Send):
            words.append(type(output).__name__)
        elif isinstance(output.message, Request):
            words.append(output.message.method)
        else:
            words.append(str(output.message.status))
    return words
