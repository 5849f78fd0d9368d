"""
What two descriptions of one leg have in common, and how it goes on to the other leg.

All of it follows from the shapes of the descriptions, so what phones say in each call is worked
out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from b2bua.sdp.description import SessionDescription
from b2bua.sdp.direction import Direction
from b2bua.sdp.formats import AgreedFormat, Format, agreed, find, formats_of
from b2bua.sdp.hold import effective_direction
from b2bua.sdp.once import Memory, of_shapes

KINDS: Final = ("audio", "video")
Sides = tuple[SessionDescription, SessionDescription]
"""Ours and theirs."""
Formats = Mapping[str, tuple[Format, ...]]
"""Formats by kind of medium."""
_EVENT: Final = "telephone-event"


@dataclass(frozen=True, slots=True, eq=False)
class Agreed:
    """What two descriptions have in common: of each kind one medium that both use."""

    slots: Mapping[str, int]
    formats: Mapping[str, tuple[AgreedFormat, ...]]
    named: Formats
    """The same with the numbers that the peer wants, and nothing else."""
    flows: Mapping[str, Direction]
    strays: Mapping[str, Mapping[int, int]]
    """Numbers of ours that the peer may use without having answered them: see ``_strays``."""
    clock_rates: Mapping[str, Mapping[int, int]]
    is_known: bool
    """Others are likely to agree on the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """Two descriptions and what they have in common."""

    sides: Sides
    agreed: Agreed


@of_shapes
def agree(local: SessionDescription, remote: SessionDescription) -> Agreed:
    """
    Compare two descriptions, slot by slot.

    Of several slots of a kind that one counts which the peer sends on, else one that it listens
    on, else the first.
    """
    slots: dict[str, int] = {}
    flows: dict[str, Direction] = {}
    for slot, (ours, theirs) in enumerate(zip(local.media, remote.media, strict=True)):
        kind = ours.kind
        if ours.rejected or theirs.rejected or kind not in KINDS:
            continue
        flow = effective_direction(remote, theirs).reversed
        flow = effective_direction(local, ours).within(flow)
        if kind not in slots or liveliness(flow) > liveliness(flows[kind]):
            slots[kind], flows[kind] = slot, flow
    formats = {
        kind: agreed(formats_of(local.media[slot]), formats_of(remote.media[slot]))
        for kind, slot in slots.items()
    }
    strays = {
        kind: _strays(formats_of(local.media[slot]), formats[kind]) for kind, slot in slots.items()
    }
    return Agreed(
        slots,
        formats,
        {kind: tuple(each.format for each in common) for kind, common in formats.items()},
        flows,
        strays,
        {kind: _clock_rates(common, strays[kind]) for kind, common in formats.items()},
        local.shape.is_known and remote.shape.is_known,
    )


def _strays(ours: tuple[Format, ...], common: tuple[AgreedFormat, ...]) -> dict[int, int]:
    """
    Return each number of H.264 that the peer left out of its answer, and what it stands for.

    Chromium and baresip send by the first H.264 of an offer, whatever profile they answered. A
    decoder learns the profile from the stream itself, so that goes on as what was answered, if
    possible in the same packetization mode.
    """
    h264 = [each for each in ours if each.name == "h264"]
    numbers = {each.receive_type for each in common}
    chosen = [each for each in h264 if each.payload_type in numbers]
    found: dict[int, int] = {}
    for each in h264:
        if chosen and each not in chosen:
            mode = each.codec[-1]
            stands_for = next((one for one in chosen if one.codec[-1] == mode), chosen[0])
            found[each.payload_type] = stands_for.payload_type
    return found


def _clock_rates(common: tuple[AgreedFormat, ...], strays: Mapping[int, int]) -> dict[int, int]:
    rates = {each.receive_type: each.format.clock_rate for each in common}
    return rates | {number: rates[stands_for] for number, stands_for in strays.items()}


def codecs_go_over(here: Agreed, there: Agreed) -> bool:
    """Whether all that one peer may send in media that both have can go on to the other leg."""
    return all(
        each.format.is_companion or find(each.format, there.named[kind])
        for kind in here.formats.keys() & there.formats.keys()
        for each in here.formats[kind]
    )


def goes_over(here: Agreed, there: Agreed, *, is_held: bool) -> bool:
    """
    Whether all that one peer may send by ``here`` is something that the other leg can pass on.

    Nor may a medium rest here that flows there, unless this leg ``is_held``.
    """
    for kind, flow in here.flows.items():
        is_idle = flow is Direction.INACTIVE
        if kind not in there.flows:
            if not is_idle:
                return False
        elif is_idle and not is_held and there.flows[kind] is not Direction.INACTIVE:
            return False
    return codecs_go_over(here, there)


def liveliness(flow: Direction) -> tuple[bool, bool]:
    """Rank directions of ours: what is received counts more than what is sent."""
    return flow.receives, flow.sends


@dataclass(frozen=True, slots=True)
class Crossing:
    """How what one leg receives goes on to the other; see b2bua.media_plane.StreamTerms."""

    payload_types: Mapping[int, int]
    event_rates: Mapping[int, tuple[int, int]]


NOWHERE: Final = Crossing({}, {})


def crossing(kind: str, here: Agreed, there: Agreed) -> Crossing:
    """Return which number of this leg goes on under which number of the other leg."""
    key = kind, here, there
    known = _crossings.get(key)
    if known is None:
        known = _crossed(here.formats[kind], there.formats.get(kind, ()), here.strays[kind])
        if here.is_known and there.is_known:
            _crossings.keep(key, known)
    return known


_crossings: Final[Memory[tuple[str, Agreed, Agreed], Crossing]] = Memory()


def _crossed(
    here: tuple[AgreedFormat, ...], there: tuple[AgreedFormat, ...], strays: Mapping[int, int]
) -> Crossing:
    numbers = {each.format: each.send_type for each in there}
    digits = next((each for each in there if each.format.name == _EVENT), None)
    found: dict[int, int] = {}
    rates: dict[int, tuple[int, int]] = {}
    for each in here:
        counterpart = find(each.format, numbers)
        if counterpart is not None:
            found[each.receive_type] = numbers[counterpart]
        elif each.format.name == _EVENT and digits is not None:
            # Digits have the clock of the audio beside them here, and another one there.
            found[each.receive_type] = digits.send_type
            rates[each.receive_type] = each.format.clock_rate, digits.format.clock_rate
    for number, stands_for in strays.items():
        if stands_for in found:
            found[number] = found[stands_for]
    return Crossing(found, rates)
