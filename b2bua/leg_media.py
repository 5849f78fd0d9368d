"""
What one SIP leg of a call says about media, and what its ends of the media plane do.

A leg has at most one medium of audio and one of video; every other slot is answered with port 0.
Descriptions go in and out as bytes. The leg never repeats what the other leg's peer said but for
codecs: ports, addresses, ``o=`` line and directions are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from b2bua.agreed_media import (
    KINDS,
    NOWHERE,
    Common,
    Crossing,
    Formats,
    Sides,
    agree,
    codecs_go_over,
    crossing,
)
from b2bua.media_plane import MediaPlane, StreamCounters, StreamTerms
from b2bua.sdp.compose import (
    Medium,
    compose_answer,
    compose_offer,
    compose_refresh,
    profile,
    unused,
)
from b2bua.sdp.description import MediaDescription, SessionDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import AgreedFormat, Format, formats_of
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

Slots = Sequence[Medium | None]
"""What is said of each slot; None: nothing, it is not in use."""
_PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_SILENT: Final = {"pcmu": 0, "pcma": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What SIP peers are told of pictures and losses (RFC 4585)."""

    is_negotiated: bool = False
    """Video is offered as RTP/AVPF; otherwise it is not said that there is any."""
    is_sent: bool = True
    """Whether what the other leg's peer asks for goes on, negotiated or not."""


USUAL_FEEDBACK: Final = Feedback()


class LegMedia:
    """
    One leg's session description and its ends. Its ends are opened when they are first said.

    Here the peer is a SIP phone or a SIP Server; what another kind of peer needs stands in methods
    of its own.
    """

    def __init__(
        self,
        plane: MediaPlane,
        rules: CodecRules,
        host: str,
        session_id: int,
        *,
        is_heard_first: bool = False,
        feedback: Feedback = Feedback(),
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
        self._feedback = feedback
        self._numbers = PayloadTypes()
        self._early: SessionDescription | None = None
        self._branches: tuple[OfferAnswer, str] | None = None
        """Our first offer, as any branch may answer it, and which branch has done so."""
        self._common: Common | None = None
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
        slots = self._offered_slots(named, direction)
        if not any(slots):
            raise SdpError("media", "no codec")
        made = self._composed_offer(slots)
        return self.session.send_offer(made, holding=self.by_us).render()

    def _offered_slots(self, named: Formats | None, direction: Direction) -> Slots:
        local = self.session.local
        slots: list[Medium | None] = []
        seen: set[str] = set()
        kinds = [medium.kind for medium in local.media] if local else []
        for kind in (*kinds, *(kind for kind in KINDS if kind not in kinds)):
            fits = self._may_offer(kind, named) and kind not in seen
            slot = self._offered(kind, len(slots), named, direction) if fits else None
            seen.add(kind)
            if slot is not None or len(slots) < len(kinds):
                slots.append(slot)
        return slots

    def _may_offer(self, kind: str, named: Formats | None) -> bool:
        """In a session that stands no medium is added that nobody has asked for."""
        return kind in (KINDS if self.session.local is None or named is not None else self.agreed)

    def _composed_offer(self, slots: Slots) -> SessionDescription:
        return compose_offer(self._host, slots, self.session.local)

    def _offered(
        self, kind: str, slot: int, named: Formats | None, direction: Direction
    ) -> Medium | None:
        if kind not in KINDS:
            return None
        if named is None:
            formats = full_offer_formats(kind, self._rules, self._numbers)
        else:
            formats = offer_formats(kind, named.get(kind, ()), self._rules, self._numbers)
        if not formats:
            return None
        return Medium(
            kind=kind,
            port=self._port(kind),
            protocol=self._protocol(kind, slot),
            formats=formats,
            direction=direction,
        )

    def _protocol(self, kind: str, slot: int) -> str:
        """Return the profile to offer: that which the slot has, if it is there."""
        remote = self.session.remote
        if remote is not None and slot < len(remote.media) and not remote.media[slot].rejected:
            return remote.media[slot].line.protocol
        return self._first_protocol(kind)

    def _first_protocol(self, kind: str) -> str:
        return profile(feedback=self._feedback.is_negotiated and kind == "video")

    def take_offer(self, body: bytes) -> None:
        """Take an offer of the peer. Raises SdpError with the status to refuse it with."""
        offer = parse(body)
        self._check_offer(offer)
        self._take_back()
        self.session.receive_offer(offer)
        for medium in offer.media:
            self._numbers.learn(formats_of(medium))

    def _check_offer(self, offer: SessionDescription) -> None:
        """Raise SdpError for what cannot be had, whatever the codecs are."""
        live = [medium for medium in offer.media if _is_plain(medium)]
        if live and not any(self._reaches(offer, medium) for medium in live):
            raise SdpError("address")

    def _take_back(self) -> None:
        """Forget an offer of ours that crossed with one of the peer, or is to be sent again."""
        if self.session.turn is Turn.OFFERED:
            self.session.roll_back()

    @property
    def offered(self) -> Formats:
        """The formats of the peer's open offer that this leg could take."""
        offer = self.session.offer
        return {} if offer is None else self._usable(offer)

    @property
    def added(self) -> Formats:
        """As ``offered``, of media that the peer's description before this offer had not."""
        before = self.session.remote
        had = {} if before is None else self._chosen(before)
        return {kind: formats for kind, formats in self.offered.items() if kind not in had}

    def wanted(self, named: Formats) -> Formats:
        """
        Return what to offer the other leg's peer so that it takes what this one's offers.

        ``named`` is what it has agreed to: that stays, of each medium that it would do for.
        """
        offer = self.session.offer
        return {
            kind: named[kind] if offer is not None and self._meets(offer, kind, named) else formats
            for kind, formats in self.offered.items()
        }

    def _meets(self, offer: SessionDescription, kind: str, named: Formats) -> bool:
        formats = formats_of(offer.media[self._chosen(offer)[kind]])
        return kind in named and bool(answer_formats(kind, formats, named[kind], self._rules))

    def _usable(self, offer: SessionDescription) -> dict[str, tuple[Format, ...]]:
        found: dict[str, tuple[Format, ...]] = {}
        for kind, slot in self._chosen(offer).items():
            formats = self._rules.allowed(formats_of(offer.media[slot]))
            if formats:
                found[kind] = formats
        return found

    def _chosen(self, offer: SessionDescription) -> dict[str, int]:
        """Return the slot that each kind of medium goes over: the first that can be taken."""
        chosen: dict[str, int] = {}
        for slot, medium in enumerate(offer.media):
            if medium.kind in KINDS and medium.kind not in chosen and self._takes(offer, medium):
                chosen[medium.kind] = slot
        return chosen

    def answer(self, named: Formats) -> bytes:
        """
        Answer the open offer after the codecs of ``named``.

        Raises SdpError where nothing is common, and leaves the offer open; MediaPortsExhausted.
        """
        session = self.session
        offer = session.offer
        if offer is None:
            raise RuntimeError("there is no offer to answer")
        made = self._refreshed(offer)
        if made is None:
            made = self._composed_answer(offer, self._answered_slots(offer, named))
        return session.send_answer(made, holding=self.by_us).render()

    def _refreshed(self, offer: SessionDescription) -> SessionDescription | None:
        """Return the answer to what only repeats the offer before; None where it is another."""
        session, local = self.session, self.session.local
        if not session.refresh or local is None or self.by_us != session.hold.by_us:
            return None
        return compose_refresh(local, offer)

    def _answered_slots(self, offer: SessionDescription, named: Formats) -> Slots:
        hold = Hold(self.by_us, self.session.asked_hold.by_them)
        slots: list[Medium | None] = [None] * len(offer.media)
        for slot in self._chosen(offer).values():
            slots[slot] = self._answered(offer, offer.media[slot], named, hold)
        return slots

    def _composed_answer(self, offer: SessionDescription, slots: Slots) -> SessionDescription:
        return compose_answer(self._host, offer, slots)

    def _answered(
        self,
        offer: SessionDescription,
        medium: MediaDescription,
        named: Formats,
        hold: Hold,
    ) -> Medium | None:
        kind = medium.kind
        if kind not in named:
            return None
        formats = answer_formats(kind, formats_of(medium), named[kind], self._rules)
        if not formats:
            return None
        if not medium.line.protocol.endswith("F"):
            # Without AVPF there is no feedback, whatever lines are there (RFC 4585, section 4.1).
            formats = tuple(each.saying(fmtp=each.fmtp, feedback=()) for each in formats)
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
        session.receive_answer(self._read_answer(body, session.offer))
        self.session, self._early, self._branches = session, None, None

    def take_branch_answer(self, body: bytes, branch: str) -> None:
        """
        Take the answer that a reliable provisional response gave to our first offer.

        It binds its own branch only: an INVITE that forks may have another branch answer it, whose
        answer ``take_answer`` then takes in the place of this one.
        """
        first = self._branches[0] if self._branches is not None else self.session.fork()
        session = first.fork()
        session.receive_answer(self._read_answer(body, session.offer))
        self.session, self._early, self._branches = session, None, (first, branch)

    def is_answered_by(self, branch: str) -> bool:
        """Whether our first offer has an answer that binds this branch."""
        bound = self._branches is None or self._branches[1] == branch
        return bound and self.session.turn is Turn.AGREED

    def take_early_answer(self, body: bytes) -> None:
        """Take what an unreliable provisional response says the answer is going to be."""
        answer = self._read_answer(body, self.session.offer)
        self.session.check_answer(answer)
        self._early = answer

    def _read_answer(self, body: bytes, offer: SessionDescription | None) -> SessionDescription:
        return _completed(parse(body), offer)

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

    def follows(self, other: LegMedia) -> bool:
        """
        Whether whatever the peer may send can go on to the other leg.

        A medium that the other leg has not any more may stay: it can come back in its slot.
        """
        here, there = self._compared(), other._compared()
        return here is None or there is None or codecs_go_over(here.agreed, there.agreed)

    def _sides(self) -> Sides | None:
        session = self.session
        if self._early is not None and session.offer is not None:
            return session.offer, self._early
        if session.local is None or session.remote is None:
            return None
        return session.local, session.remote

    def _compared(self) -> Common | None:
        """What the two sides have in common, as far as there are two; compared once."""
        sides = self._sides()
        if sides is None:
            return None
        known = self._common
        if known is None or known.sides[0] is not sides[0] or known.sides[1] is not sides[1]:
            known = self._common = Common(sides, agree(*sides))
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
            over = NOWHERE if across is None else crossing(kind, common.agreed, across.agreed)
            self._plane.set_terms(end, self._terms(kind, common, over, speaks))

    def _terms(self, kind: str, common: Common, over: Crossing, speaks: bool) -> StreamTerms:
        """Return what one end is to do, and where what it receives goes ``over`` to."""
        remote, here = common.sides[1], common.agreed
        theirs = remote.media[here.slots[kind]]
        connection = remote.connection_of(theirs)
        reachable = connection is not None and not connection.unspecified
        host = connection.address if connection is not None and reachable else ""
        rtcp = theirs.rtcp
        rtcp_port = rtcp.port if rtcp is not None else theirs.port + 1
        rtcp_host = (rtcp.connection.address if rtcp and rtcp.connection else "") or host
        if host and _is_behind_nat(host, self.seen_host):
            host = rtcp_host = self.seen_host
        flow = here.flows[kind]
        return StreamTerms(
            remote=(host, theirs.port) if host else None,
            remote_rtcp=(rtcp_host, rtcp_port) if host and rtcp_port < 65536 else None,
            sends=flow.sends and bool(host),
            receives=flow.receives,
            payload_types=over.payload_types,
            clock_rates=here.clock_rates[kind],
            event_rates=over.event_rates,
            silence=_silence(here.formats[kind]) if speaks else None,
            takes_feedback=self._feedback.is_sent,
        )

    def ask_for_picture(self) -> None:
        """Have the peer asked for a whole picture of its video."""
        end = self.ends.get("video")
        if end is not None:
            self._plane.ask_for_picture(end)

    def counters(self) -> dict[str, StreamCounters]:
        """What each end has moved so far, by kind of medium."""
        return {kind: self._plane.counters(end) for kind, end in self.ends.items()}

    def close(self) -> dict[str, StreamCounters]:
        """Give the ends back; tell what each has moved, by kind of medium."""
        # One by one: should one fail, the others can be given back still.
        return {kind: self._plane.close(self.ends.pop(kind)) for kind in list(self.ends)}


def _completed(answer: SessionDescription, offer: SessionDescription | None) -> SessionDescription:
    if offer is None or len(answer.media) >= len(offer.media):
        return answer
    missing = offer.media[len(answer.media) :]
    return answer.with_media((*answer.media, *map(unused, missing)))


@lru_cache(1024)
def _is_behind_nat(host: str, seen_host: str) -> bool:
    try:
        named, seen = ip_address(host), ip_address(seen_host)
    except ValueError:
        # A name, or nothing known of the peer: the description is all there is.
        return False
    return named.is_private and not seen.is_private


def _silence(here: tuple[AgreedFormat, ...]) -> int | None:
    """Return the number to send silence under: that of the peer's first codec, if it is easy."""
    first = next((each for each in here if not each.format.is_companion), None)
    return None if first is None else _SILENT.get(first.format.name)


def _is_plain(medium: MediaDescription) -> bool:
    return medium.line.protocol in _PLAIN and not medium.rejected
