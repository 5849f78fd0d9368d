"""
What the leg of a browser says about media, and what its ends of the media plane do.

It is a ``LegMedia`` whose slots have ICE, DTLS-SRTP and a bundle (RFC 9429). Of several slots of
one kind the one is used that the browser sends on; the others are kept, inactive, in the same
bundle: the page that has been told of them counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from b2bua.agreed_media import KINDS, Common, Crossing, Formats, goes_over, liveliness
from b2bua.leg_media import LegMedia, Slots
from b2bua.media_plane import StreamCounters, StreamTerms, TransportEvent, WebMediaPlane
from b2bua.sdp.attributes import Crypto, Setup
from b2bua.sdp.compose import Medium, compose_answer, compose_offer, profile
from b2bua.sdp.crypto import Random, accept, choose
from b2bua.sdp.description import MediaDescription, SessionDescription
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import formats_of
from b2bua.sdp.hold import Hold, effective_direction
from b2bua.sdp.lines import Connection
from b2bua.sdp.negotiation import CodecRules
from b2bua.sdp.webrtc import (
    PeerTransport,
    bundled,
    does_peer_begin,
    is_web_medium,
    peer_transport,
    session_attributes,
    source_attributes,
    transport_attributes,
)
from b2bua.settings import WebMediaSettings
from b2bua.web_transports import Transport, WebTransports

PICTURES: Final = ("nack pli", "ccm fir")
"""How a whole picture is asked for (RFC 4585, RFC 5104), as ``a=rtcp-fb`` has it."""
_DISCARD: Final = 9
_NACK: Final = "nack"
_NACK_INTERVAL: Final = 1.0
"""Seconds; what ``web-nack-enabled`` promises."""


def web_rules(settings: WebMediaSettings) -> CodecRules:
    """Return the codecs toward browsers, with the feedback that is negotiated for video."""
    feedback = (_NACK, *PICTURES) if settings.nack else PICTURES
    return replace(settings.rules, feedback=feedback)


@dataclass(frozen=True, slots=True)
class _Place:
    """Which transport a slot of ours is on, and with which slots of the bundle, itself among."""

    transport: Transport
    group: tuple[int, ...]
    apart: Transport | None = None
    """What it says it is on, until the peer agrees to the bundle."""

    @property
    def said(self) -> Transport:
        """The transport that our description has."""
        return self.apart or self.transport


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keying:
    """How our description has a transport encrypted: by DTLS, by keys of SDES, or by either."""

    setup: Setup | None = None
    lines: tuple[Crypto, ...] = ()


class WebLegMedia(LegMedia):
    """A browser's leg. ``rules`` are those of ``web_rules``."""

    def __init__(
        self,
        plane: WebMediaPlane,
        settings: WebMediaSettings,
        rules: CodecRules,
        session_id: int,
        random: Random,
    ) -> None:
        """``random`` gives the bytes of keys."""
        address = settings.addresses[0]
        super().__init__(plane, rules, settings.external.get(address, address), session_id)
        self._web = plane
        self._settings = settings
        self._dtls = settings.dtls
        self._random = random
        self._transports = WebTransports(plane)
        self._slots: dict[str, int] = {}
        """The slot that each kind goes over."""
        self._stream = str(session_id)

    def on_change(self, tell: Callable[[TransportEvent], None]) -> None:
        """Call ``tell`` with what becomes of the media."""
        self._transports.tell = tell

    def has_transport(self, handle: int) -> bool:
        """Whether a transport of the plane is this leg's."""
        return self._transports.has_handle(handle)

    def restart_lost(self) -> bool:
        """Have the next offer restart ICE where media are lost; whether any are."""
        return self._transports.restart_lost()

    # What an offer may have.

    def _check_offer(self, offer: SessionDescription) -> None:
        live = [slot for slot, medium in enumerate(offer.media) if is_web_medium(medium)]
        if live and not any(self._is_served(offer, slot) for slot in live):
            self._check_transport(offer, live[0])

    def _is_served(self, offer: SessionDescription, slot: int) -> bool:
        medium = offer.media[slot]
        if not is_web_medium(medium) or (not medium.port and slot not in self._bundle(offer)):
            return False
        try:
            self._check_transport(offer, slot)
        except SdpError:
            return False
        return True

    def _check_transport(self, description: SessionDescription, slot: int) -> None:
        """Raise SdpError where media of a peer's slot cannot be encrypted, or have no ICE."""
        peer = self._peer_of(description, (slot,))
        by_keys = self._dtls.accepts_sdes or self._dtls.offers_sdes or not self._dtls.enabled
        if not self._is_dtls(peer) and not (by_keys and choose(peer.cryptos)):
            raise SdpError("encryption")
        if peer.ice is None:
            raise SdpError("ice")

    def _peer_of(self, description: SessionDescription, group: tuple[int, ...]) -> PeerTransport:
        """
        Read the transport of slots of a peer that share one.

        All of its bundle may say what it is: those too that we have no use for.
        """
        bundle = self._bundle(description)
        rest = bundle if group[0] in bundle else ()
        return peer_transport(description, tuple(dict.fromkeys((*group, *rest))))

    def _is_dtls(self, peer: PeerTransport) -> bool:
        return self._dtls.enabled and bool(peer.fingerprints)

    def _bundle(self, description: SessionDescription) -> tuple[int, ...]:
        """Return the slots of a peer's bundle, as far as we take part in one."""
        return bundled(description) if self._settings.bundle else ()

    def _chosen(self, offer: SessionDescription) -> dict[str, int]:
        best: dict[str, tuple[bool, ...]] = {}
        chosen: dict[str, int] = {}
        for slot, medium in enumerate(offer.media):
            kind = medium.kind
            if kind not in KINDS or not self._is_served(offer, slot):
                continue
            flow = effective_direction(offer, medium).reversed
            rank = (*liveliness(flow), self._slots.get(kind) == slot)
            if kind not in best or rank > best[kind]:
                best[kind], chosen[kind] = rank, slot
        return chosen

    # Our answers.

    def _refreshed(self, offer: SessionDescription) -> SessionDescription | None:
        # What we said may have been an offer, whose bundle is said otherwise in an answer.
        return None

    def _answered_slots(self, offer: SessionDescription, named: Formats) -> Slots:
        slots = [*super()._answered_slots(offer, named)]
        bundle, chosen = self._bundle(offer), self._chosen(offer)
        for slot, medium in enumerate(offer.media):
            used = chosen.get(medium.kind)
            if used is None or used == slot or slots[used] is None:
                continue
            shares = slot in bundle and used in bundle
            if self._is_served(offer, slot) and (shares or self._stands(slot)):
                slots[slot] = self._spare(self._answered(offer, medium, named, Hold()))
        return slots

    @staticmethod
    def _spare(medium: Medium | None) -> Medium | None:
        return None if medium is None else replace(medium, direction=Direction.INACTIVE)

    def _composed_answer(self, offer: SessionDescription, slots: Slots) -> SessionDescription:
        if not any(slots):
            return compose_answer(self._host, offer, slots)
        self._slots |= {k: s for k, s in self._chosen(offer).items() if slots[s] is not None}
        kinds = _kinds(slots)
        bundle = tuple(slot for slot in self._bundle(offer) if slot in kinds)
        places = self._places(kinds, bundle, controlling=offer.has("ice-lite"))
        keyed = self._keyed(offer, places)
        said = [
            None
            if medium is None
            else self._worded(
                medium,
                slot,
                places[slot],
                keyed[places[slot].transport],
                mid=theirs.mid or "",
                shares_rtcp=theirs.has("rtcp-mux"),
            )
            for slot, (medium, theirs) in enumerate(zip(slots, offer.media, strict=True))
        ]
        mids = [offer.media[slot].mid or "" for slot in bundle]
        return compose_answer(self._host, offer, said, session_attributes(mids))

    def _keyed(
        self, offer: SessionDescription, places: Mapping[int, _Place]
    ) -> dict[Transport, _Keying]:
        """Say how each transport is encrypted, and restart what the peer restarts."""
        found: dict[Transport, _Keying] = {}
        for place in places.values():
            if place.transport not in found:
                peer = self._peer_of(offer, place.group)
                found[place.transport] = (
                    _Keying(setup=place.transport.setup_for(peer))
                    if self._is_dtls(peer)
                    else _Keying(lines=place.transport.answered_lines(peer, self._random))
                )
                if place.transport.is_restarted_by(peer):
                    self._transports.restart(place.transport)
        return found

    def _places(
        self, used: Iterable[int], bundle: tuple[int, ...], *, controlling: bool
    ) -> dict[int, _Place]:
        places = {}
        for slot in used:
            leader = bundle[0] if slot in bundle else None
            transport = self._transports.of(slot, leader=leader, controlling=controlling)
            places[slot] = _Place(transport, (slot,) if leader is None else bundle)
        return places

    # Our offers.

    def _first_protocol(self, kind: str) -> str:
        is_sure = self._dtls.enabled and not self._dtls.offers_sdes
        return profile(dtls=is_sure, sdes=True, feedback=True)

    def _offered_slots(self, named: Formats | None, direction: Direction) -> Slots:
        local, remote = self.session.local, self.session.remote
        if local is None or remote is None:
            return super()._offered_slots(named, direction)
        slots: list[Medium | None] = []
        used, is_empty = self._used_slots(local), True
        for slot, (ours, theirs) in enumerate(zip(local.media, remote.media, strict=True)):
            fits = used.get(ours.kind) == slot and self._may_offer(ours.kind, named)
            medium = self._offered(ours.kind, slot, named, direction) if fits else None
            is_empty = is_empty and medium is None
            if medium is None and not (ours.rejected or theirs.rejected):
                medium = self._kept(ours)
            slots.append(medium)
        for kind in KINDS:
            if kind not in used and self._may_offer(kind, named):
                medium = self._offered(kind, len(slots), named, direction)
                is_empty = is_empty and medium is None
                slots += [medium] if medium is not None else []
        return [] if is_empty else slots

    def _offered(
        self, kind: str, slot: int, named: Formats | None, direction: Direction
    ) -> Medium | None:
        medium = super()._offered(kind, slot, named, direction)
        if medium is not None:
            self._slots[kind] = slot
        return medium

    def _port(self, kind: str) -> int:
        # Ends are opened with their transports, whose ports they have.
        return _DISCARD

    def _used_slots(self, local: SessionDescription) -> dict[str, int]:
        """Return the slot to offer each kind in: that which it goes over, else one of its own."""
        used: dict[str, int] = {}
        for slot, medium in enumerate(local.media):
            if medium.kind in KINDS and (
                medium.kind not in used or self._slots.get(medium.kind) == slot
            ):
                used[medium.kind] = slot
        return used

    @staticmethod
    def _kept(ours: MediaDescription) -> Medium:
        """Return a slot that is kept for nothing: some pages cannot do with one less."""
        return Medium(
            kind=ours.kind,
            port=_DISCARD,
            protocol=ours.line.protocol,
            formats=formats_of(ours),
            direction=Direction.INACTIVE,
        )

    def _composed_offer(self, slots: Slots) -> SessionDescription:
        kinds = _kinds(slots)
        bundle = self._offered_bundle(tuple(kinds))
        places = self._places(kinds, bundle, controlling=True)
        mids = self._mids(slots)
        said = [
            None if medium is None else self._said(medium, slot, places[slot], mids[slot])
            for slot, medium in enumerate(slots)
        ]
        group = [mids[slot] for slot in bundle]
        return compose_offer(self._host, said, self.session.local, session_attributes(group))

    def _offered_bundle(self, used: tuple[int, ...]) -> tuple[int, ...]:
        """Return the slots of an offer's bundle: those that are in it, and those that are new."""
        remote = self.session.remote
        if remote is None:
            return used if self._settings.bundle else ()
        agreed = [slot for slot in self._bundle(remote) if slot in used]
        new = [slot for slot in used if not self._stands(slot)]
        return (*agreed, *new) if agreed else ()

    def _stands(self, slot: int) -> bool:
        """Whether a slot is in use already."""
        local, remote = self.session.local, self.session.remote
        if local is None or remote is None or slot >= len(remote.media):
            return False
        return not (local.media[slot].rejected or remote.media[slot].rejected)

    def _mids(self, slots: Slots) -> list[str]:
        """Return a mid for each slot: what it has, or a new one where it is used anew."""
        local, remote = self.session.local, self.session.remote
        before = [
            medium.mid for side in (local, remote) if side is not None for medium in side.media
        ]
        taken = {mid for mid in before if mid is not None}
        mids: list[str] = []
        for slot in range(len(slots)):
            known = local.media[slot].mid if local is not None and self._stands(slot) else None
            if known is None:
                known = next(str(n) for n in count(slot) if str(n) not in taken)
            taken.add(known)
            mids.append(known)
        return mids

    def _said(self, medium: Medium, slot: int, place: _Place, mid: str) -> Medium:
        """Word a slot of an offer."""
        if slot == place.group[0] or self._stands(slot):
            return self._worded(medium, slot, place, self._keying(place.transport), mid=mid)
        if self._settings.bundle_only:
            made = self._worded(medium, slot, place, self._keying(place.transport), mid=mid)
            said = (*made.attributes, ("bundle-only", ""))
            return replace(made, port=0, connection=None, attributes=said)
        # Until the peer agrees to the bundle it may use a transport for this medium alone.
        apart = self._transports.of(slot, controlling=True)
        alone = _Place(place.transport, (slot,), apart)
        return self._worded(medium, slot, alone, self._keying(apart), mid=mid)

    def _keying(self, transport: Transport) -> _Keying:
        """Say how a transport may be encrypted; where one way is in use, that one."""
        known = transport.remote
        by_dtls = self._dtls.enabled and (known is None or known.keys is None)
        by_keys = not by_dtls or (self._dtls.offers_sdes and known is None)
        return _Keying(
            setup=Setup.ACTPASS if by_dtls else None,
            lines=transport.offered_lines(self._random) if by_keys else (),
        )

    # What offers and answers have in common.

    def _worded(
        self,
        medium: Medium,
        slot: int,
        place: _Place,
        keying: _Keying,
        *,
        mid: str,
        shares_rtcp: bool = True,
    ) -> Medium:
        """Return a slot with all that a browser needs; ``mid`` is "" where there are none."""
        local = self._transports.describe(place.said)
        said = [("mid", mid)] if mid else []
        said += [("rtcp-mux", "")] if shares_rtcp else []
        said += transport_attributes(
            ufrag=local.ufrag,
            password=local.password,
            candidates=local.candidates if slot == place.group[0] else (),
            fingerprint=local.fingerprint,
            setup=keying.setup,
            cryptos=keying.lines,
        )
        if self._slots.get(medium.kind) == slot:
            said += self._source(medium.kind, mid, place.transport)
        host, port = local.default
        return replace(medium, port=port, connection=Connection.to(host), attributes=tuple(said))

    def _source(self, kind: str, mid: str, transport: Transport) -> list[tuple[str, str]]:
        end = self.ends[kind] = self._transports.place(kind, mid, transport)
        ssrc, cname = self._web.source_of(end)
        return source_attributes(ssrc, cname, self._stream, f"{self._stream}-{kind}")

    # The peer's answers.

    def _read_answer(self, body: bytes, offer: SessionDescription | None) -> SessionDescription:
        answer = super()._read_answer(body, offer)
        bundle = self._bundle(answer)
        for slot, theirs in enumerate(answer.media):
            if theirs.rejected or theirs.kind not in KINDS:
                continue
            self._check_transport(answer, slot)
            if slot not in bundle and not self._transports.has(slot):
                raise SdpError("mismatch", "bundle")
            peer = self._peer_of(answer, (slot,))
            if offer is not None and not self._are_keyed(offer.media[slot], peer):
                raise SdpError("encryption")
        return answer

    def _are_keyed(self, ours: MediaDescription, peer: PeerTransport) -> bool:
        """Whether two sides have a way in common to encrypt their media."""
        if self._is_dtls(peer) and ours.fingerprints:
            return True
        return accept(ours.cryptos, peer.cryptos) is not None

    # What the ends do.

    def follows(self, other: LegMedia) -> bool:
        """Whether what was agreed here fits what was agreed on the other leg, medium by medium."""
        here, there = self._compared(), other._compared()
        if here is None or there is None:
            return True
        is_held = self.session.hold != Hold()
        return goes_over(here.agreed, there.agreed, is_held=is_held)

    def apply(self, other: LegMedia) -> None:
        """Let the transports and ends do what was agreed; see ``LegMedia.apply``."""
        sides = self._sides()
        if sides is not None:
            self._connect(*sides)
        super().apply(other)

    def _connect(self, local: SessionDescription, remote: SessionDescription) -> None:
        kinds = {
            slot: ours.kind
            for slot, (ours, theirs) in enumerate(zip(local.media, remote.media, strict=True))
            if ours.kind in KINDS and not (ours.rejected or theirs.rejected)
        }
        bundle = tuple(slot for slot in self._bundle(remote) if slot in kinds)
        places = self._places(kinds, bundle, controlling=True)
        for slot, place in places.items():
            if self._slots.get(kinds[slot]) == slot:
                mid = local.media[slot].mid or ""
                self.ends[kinds[slot]] = self._transports.place(kinds[slot], mid, place.transport)
        for transport, group in {each.transport: each.group for each in places.values()}.items():
            peer = self._peer_of(remote, group)
            ours = local.media[group[0]]
            begins = does_peer_begin(ours.setup, peer.setup)
            is_dtls = self._is_dtls(peer) and bool(ours.fingerprints)
            keys = None if is_dtls else accept(ours.cryptos, peer.cryptos)
            self._transports.connect(transport, peer, begins_handshake=begins, keys=keys)
        self._transports.keep(place.transport for place in places.values())

    def _terms(self, kind: str, common: Common, over: Crossing, speaks: bool) -> StreamTerms:
        here = common.agreed
        flow = here.flows[kind]
        said = {each for item in here.formats[kind] for each in item.format.feedback}
        is_watched = kind == "video" and flow.receives
        asks = is_watched and not said.isdisjoint(PICTURES)
        nacks = is_watched and self._settings.nack and _NACK in said
        return StreamTerms(
            sends=flow.sends,
            receives=flow.receives,
            payload_types=over.payload_types,
            clock_rates=here.clock_rates[kind],
            event_rates=over.event_rates,
            picture_spacing=self._settings.picture_spacing if asks else None,
            picture_interval=self._settings.picture_interval if asks else None,
            takes_nacks=nacks,
            nack_interval=_NACK_INTERVAL if nacks else None,
        )

    def counters(self) -> dict[str, StreamCounters]:
        """See ``LegMedia.counters``."""
        found = super().counters()
        return {kind: self._transports.counted(kind, each) for kind, each in found.items()}

    def close(self) -> dict[str, StreamCounters]:
        """Give ends and transports back; see ``LegMedia.close``."""
        closed = super().close()
        self._transports.close()
        return {kind: self._transports.counted(kind, each) for kind, each in closed.items()}


def _kinds(slots: Slots) -> dict[int, str]:
    return {slot: medium.kind for slot, medium in enumerate(slots) if medium is not None}
