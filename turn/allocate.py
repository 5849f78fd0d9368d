"""
Allocate: what a request may ask for, in the order in which RFC 8656 section 7.2 checks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from turn.errors import Refusal
from turn.settings import TurnSettings
from turn.stun.attributes import (
    Attribute,
    Family,
    unpack_even_port,
    unpack_family,
    unpack_requested_transport,
    unpack_uint32,
)
from turn.stun.errors import MalformedMessage
from turn.stun.message import Message

T = TypeVar("T")

UDP_PROTOCOL = 17


@dataclass(frozen=True, slots=True)
class AllocateRequest:
    """What a well-formed Allocate asks for."""

    families: tuple[Family, ...]
    """One, or both for a dual allocation (ADDITIONAL-ADDRESS-FAMILY)."""
    even_port: bool
    reserve_next: bool
    token: bytes | None
    lifetime: int | None


def read_allocate(message: Message, settings: TurnSettings) -> AllocateRequest:
    """Check an Allocate request's attributes. Raises Refusal with the RFC's code."""
    _check_transport(message)
    reserve = read(message, Attribute.EVEN_PORT, unpack_even_port)
    token = message.first(Attribute.RESERVATION_TOKEN)
    requested = message.first(Attribute.REQUESTED_ADDRESS_FAMILY)
    additional = _additional_family(message)
    if token is not None:
        _check_token(token, reserve, requested, additional)
    if requested is not None and additional is not None:
        raise Refusal(400, "both address family attributes are present")
    if additional is not None and reserve:
        raise Refusal(400, "a reservation cannot go with an additional address family")
    if additional is not None:
        families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    else:
        families = (read_requested_family(message) or Family.IPV4,)
    return AllocateRequest(
        families=families,
        even_port=reserve is not None,
        reserve_next=bool(reserve),
        token=token,
        lifetime=read_lifetime(message),
    )


def read_lifetime(message: Message) -> int | None:
    """LIFETIME in seconds, if it is there. Raises Refusal (400) where it is malformed."""
    return read(message, Attribute.LIFETIME, unpack_uint32)


def granted_lifetime(wanted: int | None, settings: TurnSettings) -> int:
    """Between the default and the maximum, as RFC 8656 section 7.2 has it."""
    lowest = min(settings.default_lifetime, settings.max_lifetime)
    return lowest if wanted is None else max(lowest, min(wanted, settings.max_lifetime))


def read_requested_family(message: Message) -> Family | None:
    """REQUESTED-ADDRESS-FAMILY. Raises Refusal: 400 malformed, 440 unknown family."""
    number = read(message, Attribute.REQUESTED_ADDRESS_FAMILY, unpack_family)
    if number is None:
        return None
    try:
        return Family(number)
    except ValueError:
        raise Refusal(440, f"address family {number}") from None


def read(message: Message, kind: Attribute, unpack: Callable[[bytes], T]) -> T | None:
    """An attribute's value, None if it is not there. Raises Refusal (400) if it is malformed."""
    value = message.first(kind)
    if value is None:
        return None
    try:
        return unpack(value)
    except MalformedMessage as error:
        name = kind.name.replace("_", "-")
        raise Refusal(400, f"{name} is malformed") from error


def _check_transport(message: Message) -> None:
    protocol = read(message, Attribute.REQUESTED_TRANSPORT, unpack_requested_transport)
    if protocol is None:
        raise Refusal(400, "REQUESTED-TRANSPORT is missing")
    if protocol != UDP_PROTOCOL:
        raise Refusal(442, f"transport protocol {protocol}")


def _additional_family(message: Message) -> Family | None:
    """ADDITIONAL-ADDRESS-FAMILY, also under the number that coTURN 4.6 uses."""
    family = read(message, Attribute.ADDITIONAL_ADDRESS_FAMILY, unpack_family)
    if family is None:
        family = read(message, Attribute.COTURN_ADDITIONAL_ADDRESS_FAMILY, unpack_family)
    if family is None:
        return None
    if family != Family.IPV6:
        raise Refusal(400, "ADDITIONAL-ADDRESS-FAMILY must be IPv6")
    return Family.IPV6


def _check_token(
    token: bytes, even: bool | None, requested: bytes | None, additional: Family | None
) -> None:
    if even is not None:
        raise Refusal(400, "EVEN-PORT and RESERVATION-TOKEN exclude each other")
    if requested is not None or additional is not None:
        raise Refusal(400, "RESERVATION-TOKEN excludes an address family")
    if len(token) != 8:
        raise Refusal(400, "RESERVATION-TOKEN is not 8 bytes")
