"""
Allocate: what a request may ask for, in the order in which RFC 8656 section 7.2 checks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from turn.errors import Refusal
from turn.settings import TurnSettings
from turn.stun.attributes import Attribute, Family
from turn.stun.message import Message

UDP_PROTOCOL = 17
EVEN_PORT_RESERVE = 0x80


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
    even = _even_port(message)
    token = message.first(Attribute.RESERVATION_TOKEN)
    requested = message.first(Attribute.REQUESTED_ADDRESS_FAMILY)
    additional = _additional_family(message)
    if token is not None:
        _check_token(token, even, requested, additional)
    if requested is not None and additional is not None:
        raise Refusal(400, "both address family attributes are present")
    if additional is not None and even is not None and even & EVEN_PORT_RESERVE:
        raise Refusal(400, "a reservation cannot go with an additional address family")
    families = (Family.IPV4, Family.IPV6) if additional is not None else (_family(requested),)
    return AllocateRequest(
        families=families,
        even_port=even is not None,
        reserve_next=even is not None and bool(even & EVEN_PORT_RESERVE),
        token=token,
        lifetime=read_lifetime(message),
    )


def read_lifetime(message: Message) -> int | None:
    """LIFETIME in seconds, if it is there. Raises Refusal (400) where it is malformed."""
    value = message.first(Attribute.LIFETIME)
    if value is None:
        return None
    if len(value) != 4:
        raise Refusal(400, "LIFETIME is not 4 bytes")
    return int.from_bytes(value, "big")


def granted_lifetime(wanted: int | None, settings: TurnSettings) -> int:
    """Between the default and the maximum, as RFC 8656 section 7.2 has it."""
    lowest = min(settings.default_lifetime, settings.max_lifetime)
    return lowest if wanted is None else max(lowest, min(wanted, settings.max_lifetime))


def read_family(value: bytes) -> Family:
    """An address family attribute. Raises Refusal: 400 malformed, 440 unknown family."""
    if len(value) != 4:
        raise Refusal(400, "the address family attribute is not 4 bytes")
    try:
        return Family(value[0])
    except ValueError:
        raise Refusal(440, f"address family {value[0]}") from None


def _check_transport(message: Message) -> None:
    value = message.first(Attribute.REQUESTED_TRANSPORT)
    if value is None or len(value) != 4:
        raise Refusal(400, "REQUESTED-TRANSPORT is missing or malformed")
    if value[0] != UDP_PROTOCOL:
        raise Refusal(442, f"transport protocol {value[0]}")


def _even_port(message: Message) -> int | None:
    value = message.first(Attribute.EVEN_PORT)
    if value is not None and len(value) != 1:
        raise Refusal(400, "EVEN-PORT is not 1 byte")
    return None if value is None else value[0]


def _additional_family(message: Message) -> Family | None:
    """ADDITIONAL-ADDRESS-FAMILY, also under the number that coTURN 4.6 uses."""
    value = message.first(Attribute.ADDITIONAL_ADDRESS_FAMILY)
    if value is None:
        value = message.first(Attribute.COTURN_ADDITIONAL_ADDRESS_FAMILY)
    if value is None:
        return None
    if len(value) != 4 or value[0] != Family.IPV6:
        raise Refusal(400, "ADDITIONAL-ADDRESS-FAMILY must be IPv6")
    return Family.IPV6


def _check_token(
    token: bytes, even: int | None, requested: bytes | None, additional: Family | None
) -> None:
    if even is not None:
        raise Refusal(400, "EVEN-PORT and RESERVATION-TOKEN exclude each other")
    if requested is not None or additional is not None:
        raise Refusal(400, "RESERVATION-TOKEN excludes an address family")
    if len(token) != 8:
        raise Refusal(400, "RESERVATION-TOKEN is not 8 bytes")


def _family(requested: bytes | None) -> Family:
    return Family.IPV4 if requested is None else read_family(requested)
