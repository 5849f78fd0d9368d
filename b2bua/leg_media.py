"""
What one SIP leg of a call says about media, and what its ends of the media plane do.

A leg has at most one medium of audio and one of video; every other slot is answered with port 0.
Descriptions go in and out as bytes. The leg never repeats what the other leg's peer said but for
codecs: ports, addresses, ``o=`` line and directions are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from b2bua.media_plane import MediaPlane, StreamCounters, StreamTerms
from b2bua.sdp.compose import (
    Medium,
    compose_answer,
    compose_offer,
    compose_refresh,
    unused,
)
from b2bua.sdp.description import MediaDescription, SessionDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import AgreedFormat, Format, agreed, find, formats_of
from b2bua.sdp.hold import Hold, effective_direction
from b2bua.sdp.lines import Origin
from b2bua.sdp.negotiation import (
    CodecRules,
    PayloadTypes,
    answer_formats,
    full_offer_formats,
    offer_formats,
)
from b2bua.sdp.offer_answer import OfferAnswer, Turn
from b2bua.sdp.once import Memory, of_shapes

KINDS: Final = ("audio", "video")
Sides = tuple[SessionDescription, SessionDescription]
"""Ours and theirs."""
Formats = Mapping[str, tuple[Format, ...]]
"""Formats by kind of medium."""
_PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_SILENT: Final = {"pcmu": 0, "pcma": 8}


@dataclass(frozen=True, slots=True, eq=False)
class _Agreed:
    """What two descriptions have in common: of each kind the first medium that both use."""

    slots: Mapping[str, int]
    formats: Mapping[str, tuple[AgreedFormat, ...]]
    named: Formats
    """The same with the numbers that the peer wants, and nothing else."""
    flows: Mapping[str, Direction]
    clock_rates: Mapping[str, Mapping[int, int]]
    is_known: bool
    """Others are likely to agree on the same."""


@of_shapes
def _agree(local: SessionDescription, remote: SessionDescription) -> _Agreed:
    """Compare two descriptions, slot by slot."""
    slots: dict[str, int] = {}
    flows: dict[str, Direction] = {}
    formats: dict[str, tuple[AgreedFormat, ...]] = {}
    for slot, (ours, theirs) in enumerate(zip(local.media, remote.media, strict=True)):
        kind = ours.kind
        if ours.rejected or theirs.rejected or kind not in KINDS or kind in slots:
            continue
        slots[kind] = slot
        formats[kind] = agreed(formats_of(ours), formats_of(theirs))
        flow = effective_direction(remote, theirs).reversed
        flows[kind] = effective_direction(local, ours).within(flow)
    return _Agreed(
        slots,
        formats,
        {kind: tuple(each.format for each in common) for kind, common in formats.items()},
        flows,
        {
            kind: {each.receive_type: each.format.clock_rate for each in common}
            for kind, common in formats.items()
        },
        local.shape.is_known and remote.shape.is_known,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Common:
    """Two descriptions and what they have in common."""

    sides: Sides
    agreed: _Agreed


class LegMedia:
    """One leg's session description and its ends. Its ends are opened when they are first said."""

    def __init__(
        self,
        plane: MediaPlane,
        rules: CodecRules,
        host: str,
        session_id: int,
        *,
        is_heard_first: bool = False,
    ) -> None:
        """``is_heard_first``: its ends send silence while there is nothing else to send."""
        family = "IP6" if ":" in host else "IP4"
        self.session = OfferAnswer(Origin("-", session_id, 1, family, host))
        self.ends: dict[str, int] = {}
        self.by_us = False
        """Whether this leg's peer is to be on hold."""
        self.seen_host = ""
        """Where a phone's messages come from. If it names a private address of another network
        for media it is behind a NAT, and its media come from here too."""
        self.is_confirmed = False
        """Whether the peer has shown, by ACK or a response, that it gets what we send. Before that
        nothing of our own goes to the address that it named: both may be forged."""
        self._plane = plane
        self._rules = rules
        self._host = host
        self._is_heard_first = is_heard_first
        self._numbers = PayloadTypes()
        self._early: SessionDescription | None = None
        self._branches: tuple[OfferAnswer, str] | None = None
        """Our first offer, as any branch may answer it, and which branch has done so."""
        self._common: _Common | None = None
        self._applied: object = None
        """What the terms of the ends were made from last."""

    # What is said.

    def offer(self, named: Formats | None) -> bytes:
        """
        Open an offer: the codecs of ``named`` as far as they may be used, None stands for all.

        Slots of the session stay. Raises MediaPortsExhausted, and SdpError where nothing is left.
        """
        return self._offer(named, Hold(self.by_us, self.session.hold.by_them).offered())

    def solicited_offer(self, named: Formats | None) -> bytes:
        """Open the full offer that the peer asked for; see ``offer``."""
        return self._offer(named, Hold(self.by_us, self.session.hold.by_them).solicited())

    def _offer(self, named: Formats | None, direction: Direction) -> bytes:
        self._take_back()
        local = self.session.local
        slots: list[Medium | None] = []
        seen: set[str] = set()
        kinds = [medium.kind for medium in local.media] if local else []
        # In a session that stands no medium is added that nobody has asked for.
        allowed = KINDS if local is None or named is not None else tuple(self.agreed)
        for kind in (*kinds, *(kind for kind in KINDS if kind not in kinds)):
            fits = kind in allowed and kind not in seen
            slot = self._offered(kind, named, direction) if fits else None
            seen.add(kind)
            if slot is not None or len(slots) < len(kinds):
                slots.append(slot)
        if not any(slots):
            raise SdpError("media", "no codec")
        made = compose_offer(self._host, slots, local)
        return self.session.send_offer(made, holding=self.by_us).render()

    def _offered(self, kind: str, named: Formats | None, direction: Direction) -> Medium | None:
        if kind not in KINDS:
            return None
        if named is None:
            formats = full_offer_formats(kind, self._rules, self._numbers)
        else:
            formats = offer_formats(kind, named.get(kind, ()), self._rules, self._numbers)
        if not formats:
            return None
        return Medium(kind=kind, port=self._port(kind), formats=formats, direction=direction)

    def take_offer(self, body: bytes) -> None:
        """Take an offer of the peer. Raises SdpError with the status to refuse it with."""
        offer = parse(body)
        live = [medium for medium in offer.media if _is_plain(medium)]
        if live and not any(self._reaches(offer, medium) for medium in live):
            raise SdpError("address")
        self._take_back()
        self.session.receive_offer(offer)
        for medium in offer.media:
            self._numbers.learn(formats_of(medium))

    def _take_back(self) -> None:
        """Forget an offer of ours that crossed with one of the peer, or is to be sent again."""
        if self.session.turn is Turn.OFFERED:
            self.session.roll_back()

    @property
    def offered(self) -> Formats:
        """The formats of the peer's open offer that this leg could take."""
        offer = self.session.offer
        return {} if offer is None else self._usable(offer)

    def _usable(self, offer: SessionDescription) -> dict[str, tuple[Format, ...]]:
        found: dict[str, tuple[Format, ...]] = {}
        for medium in offer.media:
            if medium.kind in KINDS and medium.kind not in found and self._takes(offer, medium):
                formats = self._rules.allowed(formats_of(medium))
                if formats:
                    found[medium.kind] = formats
        return found

    def answer(self, named: Formats) -> bytes:
        """
        Answer the open offer after the codecs of ``named``.

        Raises SdpError where nothing is common, and leaves the offer open; MediaPortsExhausted.
        """
        session = self.session
        offer, local = session.offer, session.local
        if offer is None:
            raise RuntimeError("there is no offer to answer")
        if session.refresh and local is not None and self.by_us == session.hold.by_us:
            return session.send_answer(compose_refresh(local, offer)).render()
        hold = Hold(self.by_us, session.asked_hold.by_them)
        slots: list[Medium | None] = []
        seen: set[str] = set()
        for medium in offer.media:
            slots.append(
                None if medium.kind in seen else self._answered(offer, medium, named, hold)
            )
            seen.add(medium.kind)
        made = compose_answer(self._host, offer, slots)
        return session.send_answer(made, holding=self.by_us).render()

    def _answered(
        self,
        offer: SessionDescription,
        medium: MediaDescription,
        named: Formats,
        hold: Hold,
    ) -> Medium | None:
        kind = medium.kind
        if kind not in KINDS or kind not in named or not self._takes(offer, medium):
            return None
        formats = answer_formats(kind, formats_of(medium), named[kind], self._rules)
        if not formats:
            return None
        direction = hold.answered(effective_direction(offer, medium))
        return Medium(kind=kind, port=self._port(kind), formats=formats, direction=direction)

    def _takes(self, offer: SessionDescription, medium: MediaDescription) -> bool:
        return _is_plain(medium) and self._reaches(offer, medium)

    def _reaches(self, offer: SessionDescription, medium: MediaDescription) -> bool:
        """Whether our sockets reach what a medium names; on hold it may name what it likes."""
        connection = offer.connection_of(medium)
        if connection is None or connection.unspecified:
            return True
        return connection.address_type == ("IP6" if ":" in self._host else "IP4")

    def take_answer(self, body: bytes) -> None:
        """
        Take the answer to our offer. Raises SdpError; the offer is then still open.

        Slots that are missing at the end count as refused: old peers leave them away.
        """
        session = self.session
        if session.turn is Turn.AGREED and self._branches is not None:
            session = self._branches[0].fork()
        session.receive_answer(_completed(parse(body), session.offer))
        self.session, self._early, self._branches = session, None, None

    def take_branch_answer(self, body: bytes, branch: str) -> None:
        """
        Take the answer that a reliable provisional response gave to our first offer.

        It binds its own branch only: an INVITE that forks may have another branch answer it, whose
        answer ``take_answer`` then takes in the place of this one.
        """
        first = self._branches[0] if self._branches is not None else self.session.fork()
        session = first.fork()
        session.receive_answer(_completed(parse(body), session.offer))
        self.session, self._early, self._branches = session, None, (first, branch)

    def is_answered_by(self, branch: str) -> bool:
        """Whether our first offer has an answer that binds this branch."""
        bound = self._branches is None or self._branches[1] == branch
        return bound and self.session.turn is Turn.AGREED

    def take_early_answer(self, body: bytes) -> None:
        """Take what an unreliable provisional response says the answer is going to be."""
        answer = _completed(parse(body), self.session.offer)
        self.session.check_answer(answer)
        self._early = answer

    def take_promised_answer(self) -> bool:
        """Take the answer that an unreliable response gave, as the final one had none."""
        early, self._early = self._early, None
        if early is None:
            return False
        self.session.receive_answer(early)
        return True

    def roll_back(self) -> None:
        """Forget the offer that is open: what was agreed before holds."""
        self.session.roll_back()

    # What is agreed.

    @property
    def agreed(self) -> Formats:
        """What both sides named, by kind, with the numbers that the peer wants."""
        common = self._compared()
        return {} if common is None else common.agreed.named

    def _sides(self) -> Sides | None:
        session = self.session
        if self._early is not None and session.offer is not None:
            return session.offer, self._early
        if session.local is None or session.remote is None:
            return None
        return session.local, session.remote

    def _compared(self) -> _Common | None:
        """What the two sides have in common, as far as there are two; compared once."""
        sides = self._sides()
        if sides is None:
            return None
        known = self._common
        if known is None or known.sides[0] is not sides[0] or known.sides[1] is not sides[1]:
            known = self._common = _Common(sides, _agree(*sides))
        return known

    # What the ends do.

    def _port(self, kind: str) -> int:
        if kind not in self.ends:
            self.ends[kind] = self._plane.open()
        return self._plane.local(self.ends[kind])[1]

    def apply(self, other: LegMedia) -> None:
        """Let this leg's ends do what was agreed, toward the ends of the other leg (or itself)."""
        common, across = self._compared(), other._compared()
        speaks = self._is_heard_first and self.is_confirmed and self._early is None
        made_from = common, across, speaks, self.seen_host, *self.ends.values()
        if made_from == self._applied:
            return
        self._applied = made_from
        for kind, end in self.ends.items():
            if common is None or kind not in common.agreed.slots:
                self._plane.set_terms(end, StreamTerms(sends=False, receives=False))
                continue
            there = None if across is None else across.agreed
            self._plane.set_terms(end, _terms(kind, common, there, speaks, self.seen_host))

    def close(self) -> dict[str, StreamCounters]:
        """Give the ends back; tell what each has moved, by kind of medium."""
        ends, self.ends = self.ends, {}
        return {kind: self._plane.close(end) for kind, end in ends.items()}


def _completed(answer: SessionDescription, offer: SessionDescription | None) -> SessionDescription:
    if offer is None or len(answer.media) >= len(offer.media):
        return answer
    missing = offer.media[len(answer.media) :]
    return answer.with_media((*answer.media, *map(unused, missing)))


def _terms(
    kind: str, common: _Common, there: _Agreed | None, speaks: bool, seen_host: str
) -> StreamTerms:
    remote, here = common.sides[1], common.agreed
    theirs = remote.media[here.slots[kind]]
    connection = remote.connection_of(theirs)
    reachable = connection is not None and not connection.unspecified
    host = connection.address if connection is not None and reachable else ""
    rtcp = theirs.rtcp
    rtcp_port = rtcp.port if rtcp is not None else theirs.port + 1
    rtcp_host = (rtcp.connection.address if rtcp and rtcp.connection else "") or host
    if host and _is_behind_nat(host, seen_host):
        host = rtcp_host = seen_host
    flow = here.flows[kind]
    return StreamTerms(
        remote=(host, theirs.port) if host else None,
        remote_rtcp=(rtcp_host, rtcp_port) if host and rtcp_port < 65536 else None,
        sends=flow.sends and bool(host),
        receives=flow.receives,
        payload_types={} if there is None else _mapping(kind, here, there),
        clock_rates=here.clock_rates[kind],
        silence=_silence(here.formats[kind]) if speaks else None,
    )


@lru_cache(1024)
def _is_behind_nat(host: str, seen_host: str) -> bool:
    try:
        named, seen = ip_address(host), ip_address(seen_host)
    except ValueError:
        # A name, or nothing known of the peer: the description is all there is.
        return False
    return named.is_private and not seen.is_private


def _mapping(kind: str, here: _Agreed, there: _Agreed) -> Mapping[int, int]:
    """Return which number of this leg goes on under which number of the other leg."""
    key = kind, here, there
    known = _mappings.get(key)
    if known is None:
        known = _mapped(here.formats[kind], there.formats.get(kind, ()))
        if here.is_known and there.is_known:
            _mappings.keep(key, known)
    return known


_mappings: Final[Memory[tuple[str, _Agreed, _Agreed], Mapping[int, int]]] = Memory()


def _mapped(here: tuple[AgreedFormat, ...], there: tuple[AgreedFormat, ...]) -> dict[int, int]:
    numbers = {each.format: each.send_type for each in there}
    found: dict[int, int] = {}
    for each in here:
        counterpart = find(each.format, numbers)
        if counterpart is not None:
            found[each.receive_type] = numbers[counterpart]
    return found


def _silence(here: tuple[AgreedFormat, ...]) -> int | None:
    """Return the number to send silence under: that of the peer's first codec, if it is easy."""
    first = next((each for each in here if not each.format.is_companion), None)
    return None if first is None else _SILENT.get(first.format.name)


def _is_plain(medium: MediaDescription) -> bool:
    return medium.line.protocol in _PLAIN and not medium.rejected
