"""
Media of a SIP leg that may be, or must be, encrypted by keys in SDP (RFC 4568).

Where they may be, each medium is offered in two slots on one port, encrypted first; the peer
refuses one of them. Slots stay where they are: while a medium is in use its own slot alone is
offered again, with the key that is in use. A new key of the peer is met with a new one of ours,
and so is a peer that asks for an offer, for another party may be behind it by now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from b2bua.agreed_media import KINDS, Common, Crossing, Formats
from b2bua.leg_media import USUAL_FEEDBACK, Feedback, LegMedia, Slots
from b2bua.media_plane import MediaPlane, SrtpKeys, StreamTerms
from b2bua.sdp.attributes import Crypto
from b2bua.sdp.compose import Medium
from b2bua.sdp.crypto import (
    KEY_SIZES,
    OFFERED,
    Random,
    accept,
    answer_crypto,
    choose,
    key_of,
    make_line,
    suite_of,
)
from b2bua.sdp.description import MediaDescription, SessionDescription
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.hold import Hold
from b2bua.sdp.negotiation import CodecRules

_PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_ENCRYPTED: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})


class SecureLegMedia(LegMedia):
    """As LegMedia; ``is_strict``: nothing is offered or taken in the clear."""

    def __init__(
        self,
        plane: MediaPlane,
        rules: CodecRules,
        host: str,
        session_id: int,
        *,
        is_strict: bool,
        random: Random,
        is_heard_first: bool = False,
        feedback: Feedback = USUAL_FEEDBACK,
    ) -> None:
        """``random`` gives the bytes of our keys."""
        super().__init__(
            plane, rules, host, session_id, is_heard_first=is_heard_first, feedback=feedback
        )
        self._is_strict = is_strict
        self._random = random
        self._own: dict[str, dict[str, bytes]] = {}
        """Our keys as they were offered last, by kind of medium and suite."""
        self._is_full = False
        """While an offer is made that the peer asked for."""

    # What is offered.

    def solicited_offer(self, named: Formats | None) -> bytes:
        """Open the full offer that the peer asked for: both slots of each medium, new keys."""
        self._is_full = True
        try:
            return super().solicited_offer(named)
        finally:
            self._is_full = False

    def _offered_slots(self, named: Formats | None, direction: Direction) -> Slots:
        local = self.session.local
        slots: list[Medium | None] = [None] * (0 if local is None else len(local.media))
        for kind in KINDS:
            if not self._may_offer(kind, named):
                continue
            for slot, protocol in self._places(kind, len(slots)):
                medium = self._offered(kind, slot, named, direction)
                if medium is None:
                    break
                if slot == len(slots):
                    slots.append(None)
                slots[slot] = self._protected(medium, protocol)
        return slots

    def _places(self, kind: str, end: int) -> Iterator[tuple[int, str]]:
        """Give slots and protocols for a medium; new slots are at the ``end``."""
        common = self._compared()
        if common is not None and kind in common.agreed.slots and not self._is_full:
            slot = common.agreed.slots[kind]
            yield slot, common.sides[1].media[slot].line.protocol
            return
        plain = self._first_protocol(kind)
        encrypted = plain.replace("RTP/", "RTP/S")
        for wanted in (encrypted,) if self._is_strict else (encrypted, plain):
            slot = self._slot_like(kind, wanted)
            if slot < 0:
                slot, end = end, end + 1
            yield slot, wanted

    def _slot_like(self, kind: str, protocol: str) -> int:
        """The slot of the session that can have this protocol; -1 if there is none yet."""
        local = self.session.local
        for slot, medium in enumerate(() if local is None else local.media):
            if medium.kind == kind and _is_encrypted(medium) == (protocol in _ENCRYPTED):
                return slot
        return -1

    def _protected(self, medium: Medium, protocol: str) -> Medium:
        keys = None if self._is_full else self._keys(medium.kind)
        if protocol in _PLAIN and keys is None:
            return replace(medium, protocol=protocol)
        said = [("crypto", str(line)) for line in self._lines(medium.kind, keys)]
        return replace(medium, protocol=protocol, attributes=(*medium.attributes, *said))

    def _lines(self, kind: str, keys: SrtpKeys | None) -> list[Crypto]:
        """Make the lines of an offer; the suite and the key in use come first."""
        suites = [*OFFERED]
        own: dict[str, bytes] = {}
        if keys is not None:
            own = self._own.get(kind, {})
            own[keys.profile] = keys.sends
            suites = [keys.profile, *(suite for suite in OFFERED if suite != keys.profile)]
        for suite in suites:
            if suite not in own:
                own[suite] = self._random(KEY_SIZES[suite])
        self._own[kind] = own
        return [make_line(tag, suite, own[suite]) for tag, suite in enumerate(suites, 1)]

    # What is answered.

    def _check_offer(self, offer: SessionDescription) -> None:
        live = [medium for medium in offer.media if not medium.rejected and medium.kind in KINDS]
        served = [medium for medium in live if self._serves(medium)]
        if self._is_strict and live and not served:
            raise SdpError("encryption")
        if served and not any(self._reaches(offer, medium) for medium in served):
            raise SdpError("address")

    def _serves(self, medium: MediaDescription) -> bool:
        """Whether a slot can be used as it is meant."""
        if medium.rejected:
            return False
        if _is_encrypted(medium):
            return choose(medium.cryptos) is not None
        return not self._is_strict and medium.line.protocol in _PLAIN

    def _takes(self, offer: SessionDescription, medium: MediaDescription) -> bool:
        return self._serves(medium) and self._reaches(offer, medium)

    def _chosen(self, offer: SessionDescription) -> dict[str, int]:
        """Return the slot of each kind: the one that is in use, else the safest one."""
        common = self._compared()
        used = {} if common is None else common.agreed.slots
        best: dict[str, tuple[bool, int]] = {}
        chosen: dict[str, int] = {}
        for slot, medium in enumerate(offer.media):
            kind = medium.kind
            if kind not in KINDS or not self._takes(offer, medium):
                continue
            rank = used.get(kind) != slot, _exposure(medium)
            if kind not in best or rank < best[kind]:
                best[kind], chosen[kind] = rank, slot
        return chosen

    def _answered(
        self,
        offer: SessionDescription,
        medium: MediaDescription,
        named: Formats,
        hold: Hold,
    ) -> Medium | None:
        answer = super()._answered(offer, medium, named, hold)
        line = None if answer is None else self._line(medium)
        if answer is None or line is None:
            return answer
        return replace(answer, attributes=(*answer.attributes, ("crypto", str(line))))

    def _line(self, medium: MediaDescription) -> Crypto | None:
        """Answer the lines of a slot; without any it stays plain."""
        keys = self._keys(medium.kind)
        for line in medium.cryptos if keys is not None else ():
            if keys is not None and (suite_of(line), key_of(line)) == (keys.profile, keys.receives):
                return make_line(line.tag, keys.profile, keys.sends)
        answered = answer_crypto(medium.cryptos, self._random)
        return None if answered is None else answered[0]

    def _read_answer(self, body: bytes, offer: SessionDescription | None) -> SessionDescription:
        answer = super()._read_answer(body, offer)
        for ours, theirs in zip(() if offer is None else offer.media, answer.media, strict=False):
            is_used = _is_encrypted(theirs) and not theirs.rejected
            if is_used and accept(ours.cryptos, theirs.cryptos) is None:
                raise SdpError("encryption")
        return answer

    # What is agreed.

    def _keys(self, kind: str) -> SrtpKeys | None:
        """The keys that a medium is encrypted with now."""
        common = self._compared()
        return None if common is None else _keys_of(common, kind)

    def _terms(self, kind: str, common: Common, over: Crossing, speaks: bool) -> StreamTerms:
        terms = super()._terms(kind, common, over, speaks)
        keys = _keys_of(common, kind)
        if keys is None and _is_encrypted(common.sides[0].media[common.agreed.slots[kind]]):
            return replace(terms, sends=False, receives=False)
        return replace(terms, keys=keys)


def _keys_of(common: Common, kind: str) -> SrtpKeys | None:
    slot = common.agreed.slots.get(kind)
    if slot is None:
        return None
    ours, theirs = (side.media[slot] for side in common.sides)
    return accept(ours.cryptos, theirs.cryptos)


def _is_encrypted(medium: MediaDescription) -> bool:
    return medium.line.protocol in _ENCRYPTED


def _exposure(medium: MediaDescription) -> int:
    """Rank slots: encrypted, encrypted if both can (RTP/AVP with keys), in the clear."""
    if _is_encrypted(medium):
        return 0
    return 1 if choose(medium.cryptos) is not None else 2
