"""
What a phone of the lab offers and answers: G.711 and digits, hold in both forms (RFC 3264).
"""

from __future__ import annotations

from dataclasses import dataclass

from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.compose import Medium, compose_answer, compose_offer
from b2bua.sdp.description import MediaDescription, SessionDescription, parse
from b2bua.sdp.direction import Direction
from b2bua.sdp.errors import SdpError
from b2bua.sdp.formats import Format, formats_of
from b2bua.sdp.hold import effective_direction
from b2bua.sdp.lines import Origin
from b2bua.sdp.negotiation import (
    CodecRules,
    PayloadTypes,
    answer_formats,
    full_offer_formats,
)
from b2bua.sdp.offer_answer import OfferAnswer
from suite.lab.settings import Address

RULES = CodecRules(codecs=parse_codec_list("(pcmu,pcma,telephone-event)"))


@dataclass(frozen=True, slots=True)
class Flow:
    """Where media go, and whether."""

    target: Address | None
    may_send: bool
    payload_type: int


class PhoneSession:
    """One call of a phone, whose RTP is at ``host`` and ``port``. Raises SdpError."""

    def __init__(self, host: str, port: int, session_id: int) -> None:
        self._host = host
        self.port = port
        self._numbers = PayloadTypes()
        self._state = OfferAnswer(Origin("-", session_id, 1, "IP4", host))

    def offer(self) -> bytes:
        """A full offer: who asks for one wants to talk."""
        formats = full_offer_formats("audio", RULES, self._numbers)
        direction = self._state.hold.solicited()
        media = [Medium(kind="audio", port=self.port, formats=formats, direction=direction)]
        offer = compose_offer(self._host, media, self._state.local)
        return self._state.send_offer(offer).render()

    def answer(self, body: bytes) -> bytes:
        """The answer to an offer; with an SdpError nothing has changed."""
        offer = parse(body)
        self._state.receive_offer(offer)
        try:
            media = [self._answer_medium(offer, medium) for medium in offer.media]
            # One audio stream is all that a phone has.
            first = next((i for i, medium in enumerate(media) if medium is not None), -1)
            media = [medium if i == first else None for i, medium in enumerate(media)]
            return self._state.send_answer(compose_answer(self._host, offer, media)).render()
        except SdpError:
            self._state.roll_back()
            raise

    def take_answer(self, body: bytes) -> None:
        """Take the answer to our offer."""
        self._state.receive_answer(parse(body))

    def roll_back(self) -> None:
        """What was offered last has come to nothing."""
        self._state.roll_back()

    def flow(self) -> Flow:
        """Where media go after what was agreed last."""
        ours, theirs = self._state.local, self._state.remote
        if ours is None or theirs is None:
            return Flow(None, False, 0)
        pairs = zip(ours.media, theirs.media, self._state.directions, strict=True)
        for mine, other, direction in pairs:
            if mine.rejected or other.rejected or mine.kind != "audio":
                continue
            codec = next((f for f in _common(mine, other) if not f.is_companion), None)
            return Flow(
                _address(theirs, other),
                direction.sends and effective_direction(theirs, other).receives,
                codec.payload_type if codec is not None else 0,
            )
        return Flow(None, False, 0)

    def _answer_medium(self, offer: SessionDescription, theirs: MediaDescription) -> Medium | None:
        if theirs.kind != "audio" or theirs.rejected or theirs.line.protocol not in _PROTOCOLS:
            return None
        offered = formats_of(theirs)
        self._numbers.learn(offered)
        formats = answer_formats("audio", offered, offered, RULES)
        if not formats:
            return None
        asked = effective_direction(offer, theirs)
        direction = self._state.asked_hold.answered(asked, Direction.SENDRECV)
        return Medium(kind="audio", port=self.port, formats=formats, direction=direction)


_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")


def _common(ours: MediaDescription, theirs: MediaDescription) -> list[Format]:
    """What both have, under the numbers that the other side reads."""
    named = {item.codec for item in formats_of(ours)}
    return [item for item in formats_of(theirs) if item.codec in named]


def _address(description: SessionDescription, medium: MediaDescription) -> Address | None:
    connection = description.connection_of(medium)
    if connection is None or connection.unspecified or connection.address_type != "IP4":
        return None
    return connection.address, medium.port
