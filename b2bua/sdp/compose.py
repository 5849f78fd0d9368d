"""
Descriptions of our own: an offer over the slots of the one before, an answer over those of an
offer (RFC 3264, sections 5, 6 and 8).

What is not media, such as ICE, DTLS or keys, comes in as attributes and is set in the order given.
The ``o=`` line is a placeholder that the offer/answer machine fills in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from b2bua.sdp.attributes import Fmtp, RtcpFeedback, RtpMap, Setup
from b2bua.sdp.description import MediaDescription, SessionDescription
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import Format, are_short
from b2bua.sdp.hold import effective_direction
from b2bua.sdp.lines import Connection, MediaLine
from b2bua.sdp.once import Memory

Attributes = Sequence[tuple[str, str]]
"""Names and values; the value of a flag is ""."""

_ORIGIN: Final = "- 0 0 IN IP4 0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """What we want to say of one slot."""

    kind: str
    port: int
    formats: tuple[Format, ...]
    protocol: str = "RTP/AVP"
    direction: Direction = Direction.SENDRECV
    connection: Connection | None = None
    """A ``c=`` line of its own, where the session's does not hold."""
    bandwidth: str | None = None
    attributes: Attributes = ()


def profile(*, dtls: bool = False, sdes: bool = False, feedback: bool = False) -> str:
    """
    Return the protocol of an m= line: RTP under AVP or, with feedback, AVPF.

    An answer has the protocol of its offer, whatever we prefer.
    """
    base = "UDP/TLS/RTP/SAVP" if dtls else "RTP/SAVP" if sdes else "RTP/AVP"
    return f"{base}F" if feedback else base


def compose_offer(
    host: str,
    media: Sequence[Medium | None],
    before: SessionDescription | None = None,
    attributes: Attributes = (),
) -> SessionDescription:
    """
    Return an offer with these media, a slot each; None leaves a slot of before unused.

    ``before`` is our description that was agreed last. Its slots stay, in their order: those that
    ``media`` does not reach are offered with port 0.
    """
    if before is None and attributes == ():
        said = [None if medium is None else _said(medium, medium) for medium in media]
        known = _like(host, said, media)
        if known is not None:
            return known
    slots: list[MediaDescription] = []
    old = before.media if before else ()
    for index in range(max(len(media), len(old))):
        medium = media[index] if index < len(media) else None
        if medium is not None:
            slots.append(_medium(medium))
        elif index < len(old):
            slots.append(unused(old[index]))
        else:
            raise ValueError("a new slot needs a medium")
    return _session(host, slots, attributes)


def compose_answer(
    host: str,
    offer: SessionDescription,
    media: Sequence[Medium | None],
    attributes: Attributes = (),
) -> SessionDescription:
    """
    Return an answer with a slot for each of the offer's; None rejects it.

    Raises SdpError, with the status 488, where every slot would be rejected. Kind, protocol and
    mid are those of the offer.
    """
    if len(media) != len(offer.media):
        raise ValueError("an answer has as many slots as its offer")
    if attributes == ():
        said = [
            _said(ours, theirs.line)
            if ours is not None and theirs.mid is None and not theirs.rejected
            else None
            for theirs, ours in zip(offer.media, media, strict=True)
        ]
        known = _like(host, said, media)
        if known is not None:
            return known
    slots = [
        unused(theirs)
        if ours is None or theirs.rejected
        else _answering(theirs, _medium(replace(ours, kind=theirs.kind)))
        for theirs, ours in zip(offer.media, media, strict=True)
    ]
    if all(slot.rejected for slot in slots) and not all(m.rejected for m in offer.media):
        raise SdpError("media")
    return _session(host, slots, attributes)


_Said = tuple[str, str, tuple[Format, ...], Direction]
"""The usual of a slot, but for its port: kind, protocol, formats, direction."""


def _said(medium: Medium, slot: Medium | MediaLine) -> _Said | None:
    """Return the usual of a slot; None where there is more to it than that."""
    if medium.connection or medium.bandwidth or medium.attributes or not medium.port:
        return None
    return slot.kind, slot.protocol, medium.formats, medium.direction


def _like(
    host: str, said: Sequence[_Said | None], media: Sequence[Medium | None]
) -> SessionDescription | None:
    """Return a description that differs from one of before in its ports, if that is all."""
    usual = tuple([each for each in said if each])
    if not usual or len(usual) < len(said):
        return None
    key = host, usual
    known = _known.get(key)
    if known is None:
        slots = [
            _medium(Medium(kind=kind, port=9, protocol=protocol, formats=formats, direction=way))
            for kind, protocol, formats, way in usual
        ]
        known = _session(host, slots, ())
        if all(len(each[1]) < 64 and are_short(each[2]) for each in usual):
            known.shape.is_known = True
            _known.keep(key, known)
    return known.at_ports(medium.port for medium in media if medium)


_known: Final[Memory[tuple[str, tuple[_Said, ...]], SessionDescription]] = Memory()


def _answering(theirs: MediaDescription, ours: MediaDescription) -> MediaDescription:
    ours = ours.with_line(replace(ours.line, protocol=theirs.line.protocol))
    return ours if theirs.mid is None else ours.with_attributes("mid", [theirs.mid])


def unused(slot: MediaDescription) -> MediaDescription:
    """Return a slot with port 0: it keeps its place, its kind and its mid, and says no more."""
    line = replace(slot.line, port=0, ports=1, formats=slot.line.formats or ("0",))
    lines = [f"m={line}"] if slot.mid is None else [f"m={line}", f"a=mid:{slot.mid}"]
    return MediaDescription(tuple(lines))


def _session(
    host: str, slots: Sequence[MediaDescription], attributes: Attributes
) -> SessionDescription:
    lines = ["v=0", f"o={_ORIGIN}", "s=-", f"c={Connection.to(host)}", "t=0 0"]
    return SessionDescription((*lines, *_attributes(attributes)), tuple(slots))


def _medium(medium: Medium) -> MediaDescription:
    numbers = tuple(str(item.payload_type) for item in medium.formats)
    lines = [f"m={MediaLine(medium.kind, medium.port, medium.protocol, numbers)}"]
    if medium.connection:
        lines.append(f"c={medium.connection}")
    if medium.bandwidth:
        lines.append(f"b={medium.bandwidth}")
    for item in medium.formats:
        lines += _format(item)
    # "sendrecv" is what silence means; it is written because some phones need to read it.
    lines += [f"a={medium.direction}", *_attributes(medium.attributes)]
    return MediaDescription(tuple(lines))


def _format(item: Format) -> tuple[str, ...]:
    number = item.payload_type
    lines = [f"a=rtpmap:{RtpMap(number, item.encoding, item.clock_rate, item.channels)}"]
    if item.fmtp:
        lines.append(f"a=fmtp:{Fmtp(str(number), item.fmtp)}")
    return (*lines, *(f"a=rtcp-fb:{RtcpFeedback(number, said)}" for said in item.feedback))


def _attributes(attributes: Attributes) -> list[str]:
    return [f"a={name}:{value}" if value else f"a={name}" for name, value in attributes]


def compose_refresh(local: SessionDescription, offer: SessionDescription) -> SessionDescription:
    """
    Return the answer to an offer that changes nothing: what we said last, as an answer to it.

    That is ``local`` itself unless it was an offer wider than what was agreed.
    """
    slots = [
        unused(ours) if theirs.rejected or ours.rejected else _narrowed(local, ours, offer, theirs)
        for ours, theirs in zip(local.media, offer.media, strict=True)
    ]
    return local.with_media(slots)


def _narrowed(
    local: SessionDescription,
    ours: MediaDescription,
    offer: SessionDescription,
    theirs: MediaDescription,
) -> MediaDescription:
    dropped = set(ours.line.formats) - set(theirs.line.formats)
    kept = tuple(item for item in ours.line.formats if item not in dropped)
    lines = [line for line in ours.lines if _format_of(line) not in dropped]
    medium = MediaDescription(tuple(lines)).with_line(replace(ours.line, formats=kept))
    allowed = effective_direction(offer, theirs).reversed
    direction = local.direction_of(ours).within(allowed)
    if direction is not local.direction_of(ours):
        medium = medium.without(*Direction).with_attributes(direction, [""])
    if local.setup_of(ours) is Setup.ACTPASS:
        passive = offer.setup_of(theirs) is Setup.ACTIVE
        medium = medium.with_attributes("setup", ["passive" if passive else "active"])
    if medium.has("crypto"):
        # An answer has the line that was taken, and no other.
        tags = {line.tag for line in theirs.cryptos}
        taken = [str(line) for line in ours.cryptos if line.tag in tags]
        medium = medium.with_attributes("crypto", taken)
    return medium


def _format_of(line: str) -> str:
    name, _, value = line.partition(":")
    return value.split(" ")[0] if name in ("a=rtpmap", "a=fmtp", "a=rtcp-fb") else ""
