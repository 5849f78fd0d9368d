"""
Debian's turnserver as an oracle: the same request to both servers, and where the answers differ.

An answer is compared by class, error code and attributes. Values count where they cannot differ
by chance: not a nonce, a port, a token, a reason phrase or the bytes of an HMAC, of which only
matters whether it is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.interop.requests import REQUESTS, Request
from tests.peers import Coturn, RelayProcess, SuiteProcess
from tests.probe import Closed, Probe, Transport, describe, probing
from turn.stun.attributes import (
    Attribute,
    unpack_address,
    unpack_uint32,
    unpack_unknown,
    unpack_xor_address,
)
from turn.stun.message import Message

OPTIONS = ("allow-loopback-peers",)
_NAMES = {int(attribute): attribute.name.replace("_", "-") for attribute in Attribute}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is compared: a headline such as "error 401", and attributes with their values."""

    headline: str
    attributes: frozenset[str] = frozenset()

    def without(self, names: frozenset[str]) -> Answer:
        """The same less the attributes of these names."""
        kept = (text for text in self.attributes if text.split(" ")[0] not in names)
        return Answer(self.headline, frozenset(kept))

    def has(self, name: str) -> bool:
        """Whether it has an attribute of this name."""
        return any(text.split(" ")[0] == name for text in self.attributes)

    def __str__(self) -> str:
        return ", ".join([self.headline, *sorted(self.attributes)])


@dataclass(frozen=True, slots=True)
class Comparison:
    """One request over one transport, and what each server said."""

    request: Request
    transport: Transport
    ours: Answer
    coturn: Answer


def read_answer(message: Message | None, probe: Probe, relay: RelayProcess) -> Answer:
    """An answer that ``probe`` got from ``relay``, ready to be compared."""
    if message is None:
        return Answer("silence")
    attributes = {
        f"{_name(kind)} {_value(kind, value, message, probe, relay)}".strip()
        for kind, value in message.attributes
        if kind != Attribute.ERROR_CODE
    }
    return Answer(describe(message), frozenset(attributes))


def _name(kind: int) -> str:
    return _NAMES.get(kind, f"{kind:#06x}")


def _value(kind: int, value: bytes, message: Message, probe: Probe, relay: RelayProcess) -> str:
    match kind:
        case Attribute.XOR_MAPPED_ADDRESS | Attribute.XOR_RELAYED_ADDRESS:
            return _place(unpack_xor_address(value, message.transaction_id), probe, relay)
        case Attribute.MAPPED_ADDRESS | Attribute.RESPONSE_ORIGIN | Attribute.SOURCE_ADDRESS:
            return _place(unpack_address(value), probe, relay)
        case Attribute.LIFETIME:
            return str(unpack_uint32(value))
        case Attribute.REALM:
            return value.decode()
        case Attribute.UNKNOWN_ATTRIBUTES:
            return "+".join(f"{kind:#06x}" for kind in unpack_unknown(value))
        case Attribute.MESSAGE_INTEGRITY | Attribute.MESSAGE_INTEGRITY_SHA256:
            return "right" if probe.key and message.verify(probe.key) else "wrong"
    return ""


def _place(address: tuple[str, int], probe: Probe, relay: RelayProcess) -> str:
    """An address by what it is, since ports come by chance."""
    host, port = address
    if address == probe.address:
        return "of the client"
    if address == (relay.host, relay.port):
        return "of the server"
    if host == relay.host and relay.min_port <= port <= relay.max_port:
        return "in the relay range"
    return f"{host}:{port}"


def ask(request: Request, transport: Transport, relay: RelayProcess, source: str) -> Answer:
    """Put one request to one server, from a client of its own."""
    with probing(relay, transport, source=source) as probe:
        try:
            return read_answer(request.ask(probe), probe, relay)
        except Closed:
            return Answer("closed")
        except AssertionError as failure:
            return Answer(f"failed: {failure}")


def compare() -> list[Comparison]:
    """Every request over each of its transports, put to both servers."""
    with (
        SuiteProcess.started(OPTIONS) as ours,
        Coturn.started(OPTIONS) as coturn,
        ThreadPoolExecutor(4) as pool,
    ):
        tasks = [
            (
                request,
                transport,
                pool.submit(ask, request, transport, ours, source),
                pool.submit(ask, request, transport, coturn, source),
            )
            for request, transport, source in _asked()
        ]
        return [
            Comparison(request, transport, one.result(), other.result())
            for request, transport, one, other in tasks
        ]


def _asked() -> Iterator[tuple[Request, Transport, str]]:
    """
    Every request with a source of its own.

    A server may limit what it says to one source that has not authenticated yet.
    """
    pairs = ((request, transport) for request in REQUESTS for transport in request.transports)
    for number, (request, transport) in enumerate(pairs):
        yield request, transport, f"127.0.7.{1 + number}"
