"""
Which codecs go into an offer or an answer of ours, in what order, under which numbers.

What one side named goes to the other in its order, as far as ``codecs`` lists it and it is not
disallowed there; then the added codecs follow (those need a transcoder). An answer keeps to what
was offered. Digits are offered for each clock rate that audio has, and only for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from b2bua.sdp.codecs import Codec
from b2bua.sdp.formats import STATIC, Format, are_short, find
from b2bua.sdp.once import Memory

# Dynamic numbers in the order of use; 64 to 95 look like RTCP where both share a port (RFC 5761).
_DYNAMIC: Final[tuple[int, ...]] = (*range(96, 128), *range(35, 64))
_EVENT: Final = "telephone-event"
_ALL_EVENTS: Final = "0-15"


class PayloadTypes:
    """
    The numbers in our descriptions on one leg: one that was used never gets another meaning.

    That holds over all media of the leg, as bundled media need it. Only a peer that offers a
    number anew may change it, for our answer has to follow.
    """

    def __init__(self) -> None:
        self._meaning: dict[int, tuple[str, ...]] = {}
        self._chosen: dict[tuple[str, ...], int] = {}

    @property
    def is_fresh(self) -> bool:
        """No number has been used yet."""
        return not self._meaning

    def copy(self) -> PayloadTypes:
        """Return the same numbers, which go their own way from here."""
        copied = PayloadTypes()
        copied.take_over(self)
        return copied

    def take_over(self, other: PayloadTypes) -> None:
        """Use the numbers that others have used, and no more."""
        self._meaning, self._chosen = dict(other._meaning), dict(other._chosen)

    def learn(self, formats: Iterable[Format]) -> None:
        """Take over the numbers of an offer that we answer, of one codec twice the first."""
        chosen: dict[tuple[str, ...], int] = {}
        for item in formats:
            self._meaning[item.payload_type] = item.codec
            chosen.setdefault(item.codec, item.payload_type)
        self._chosen.update(chosen)

    def number(self, wanted: Format, preferred: Iterable[int] = ()) -> int | None:
        """
        Return the number for a codec, the one it had if it had one.

        Otherwise the first of ``preferred`` that is free, then any free one; None if there is
        none left.
        """
        codec = wanted.codec
        known = self._chosen.get(codec)
        if known is not None and self._meaning[known] == codec:
            return known
        for free in (*preferred, *_DYNAMIC):
            if free not in self._meaning and _may_mean(free, wanted):
                self._meaning[free] = codec
                self._chosen[codec] = free
                return free
        return None


def _may_mean(number: int, wanted: Format) -> bool:
    # A static number keeps its meaning even where nobody uses it.
    return number not in STATIC or STATIC[number][0].lower() == wanted.name


_Formats = tuple[Format, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecRules:
    """What one side of a call may be offered and answered, from the configuration."""

    codecs: tuple[Codec, ...]
    """Codecs that may be used at all, and their default numbers and parameters."""
    added: tuple[Codec, ...] = ()
    """Codecs that are offered on this side although the other side did not name them."""
    disallowed: tuple[Codec, ...] = ()
    transcoding: bool = True
    """Without it nothing is added: nobody could translate."""
    feedback: tuple[str, ...] = ()
    """RTCP feedback for video that this side does, as ``a=rtcp-fb`` has it; none without AVPF."""
    _offers: Memory[tuple[str, _Formats | None], tuple[_Formats, PayloadTypes]] = field(
        default_factory=Memory, init=False, repr=False, compare=False
    )
    _answers: Memory[tuple[str, _Formats, _Formats], _Formats] = field(
        default_factory=Memory, init=False, repr=False, compare=False
    )
    _allowed: Memory[_Formats, _Formats] = field(
        default_factory=Memory, init=False, repr=False, compare=False
    )

    def allowed(self, formats: _Formats) -> _Formats:
        """Return those of a peer's formats that it may use; none if no codec is among them."""
        known = self._allowed.get(formats)
        if known is None:
            usable = tuple(item for item in formats if self.codec(item))
            known = usable if has_codec(usable) else ()
            if are_short(formats):
                self._allowed.keep(formats, known)
        return known

    def offers(
        self,
        kind: str,
        named: _Formats | None,
        numbers: PayloadTypes,
        make: Callable[[], _Formats],
    ) -> _Formats:
        """Return what ``make`` gives for the formats named, and the numbers that it leaves."""
        if not numbers.is_fresh:
            return make()
        known = self._offers.get((kind, named))
        if known is not None:
            numbers.take_over(known[1])
            return known[0]
        made = make()
        if are_short(named or ()):
            self._offers.keep((kind, named), (made, numbers.copy()))
        return made

    def answers(
        self, kind: str, offered: _Formats, named: _Formats, make: Callable[[], _Formats]
    ) -> _Formats:
        """Return what ``make`` gives for the formats offered and named."""
        key = kind, offered, named
        known = self._answers.get(key)
        if known is None:
            known = make()
            if are_short(offered) and are_short(named):
                self._answers.keep(key, known)
        return known

    def codec(self, format: Format) -> Codec | None:
        """Return the entry that allows a format on this side, or None."""
        if any(codec.covers(format) for codec in self.disallowed):
            return None
        return next((codec for codec in self.codecs if codec.covers(format)), None)

    def added_codecs(self, kind: str) -> tuple[Codec, ...]:
        """Return the codecs to add to media of a kind, completed from ``codecs``."""
        if not self.transcoding:
            return ()
        return tuple(self._completed(codec) for codec in self.added if codec.kind == kind)

    def _completed(self, added: Codec) -> Codec:
        listed = self.codec(added.format(0, ""))
        if listed is None:
            return added
        number = listed.payload_type if added.payload_type is None else added.payload_type
        return replace(added, payload_type=number, fmtp=added.fmtp or listed.fmtp)


def offer_formats(
    kind: str, named: Sequence[Format], rules: CodecRules, numbers: PayloadTypes
) -> tuple[Format, ...]:
    """
    Return the formats for an offer on one side, after ``named`` of the other side.

    Empty when there is nothing that this side may use: then the medium is not offered.
    """
    listed = tuple(named)
    return rules.offers(kind, listed, numbers, lambda: _offered(kind, listed, rules, numbers))


def _offered(kind: str, named: _Formats, rules: CodecRules, numbers: PayloadTypes) -> _Formats:
    wanted = [(item, codec) for item in named if (codec := rules.codec(item))]
    for codec in rules.added_codecs(kind):
        item = codec.format(codec.payload_type or 0, codec.offered_fmtp())
        if rules.codec(item) and not any(codec.covers(had) for had, _ in wanted):
            wanted.append((item, codec))
    offered: list[Format] = []
    for item, codec in _with_events(wanted, rules):
        number = numbers.number(item, _preferred(item, codec))
        if number is not None and not any(had.payload_type == number for had in offered):
            fmtp = item.fmtp or codec.offered_fmtp()
            feedback = rules.feedback if kind == "video" else ()
            offered.append(item.saying(fmtp=fmtp, payload_type=number, feedback=feedback))
    return tuple(offered) if has_codec(offered) else ()


def full_offer_formats(kind: str, rules: CodecRules, numbers: PayloadTypes) -> tuple[Format, ...]:
    """Return the formats for an offer that nobody else's stands behind: all of ``codecs``."""
    return rules.offers(kind, None, numbers, lambda: _full(kind, rules, numbers))


def _full(kind: str, rules: CodecRules, numbers: PayloadTypes) -> _Formats:
    named = tuple(
        codec.format(codec.payload_type or 0, codec.offered_fmtp())
        for codec in rules.codecs
        if codec.kind == kind
    )
    return _offered(kind, named, replace(rules, transcoding=False), numbers)


def answer_formats(
    kind: str,
    offered: Sequence[Format],
    named: Sequence[Format],
    rules: CodecRules,
) -> tuple[Format, ...]:
    """
    Return the formats for our answer to ``offered``, after ``named`` in the other side's answer.

    Each has the number it was offered under. Empty when nothing is common: then the medium is
    answered with port 0, and with 488 where no medium is left.
    """
    theirs, across = tuple(offered), tuple(named)
    return rules.answers(kind, theirs, across, lambda: _answered(kind, theirs, across, rules))


def _answered(kind: str, offered: _Formats, named: _Formats, rules: CodecRules) -> _Formats:
    answered: list[Format] = []
    for item in named:
        theirs = find(item, offered)
        codec = theirs and rules.codec(theirs)
        if theirs and codec:
            answered.append(_answer(theirs, codec, item.fmtp))
    for added in rules.added_codecs(kind):
        for theirs in offered:
            if added.covers(theirs) and rules.codec(theirs):
                answered.append(_answer(theirs, added, ""))
    clocks = _clocks(answered)
    digits = [theirs for theirs in offered if theirs.name == _EVENT and rules.codec(theirs)]
    # They are translated between clock rates, so every one that fits is taken; and one that does
    # not, of a peer that has no other: some offer Opus with digits at 8000 Hz.
    digits = [theirs for theirs in digits if theirs.clock_rate in clocks] or digits[:1]
    for theirs in digits:
        codec = rules.codec(theirs)
        if codec:
            answered.append(_answer(theirs, codec, ""))
    fitting = {theirs.payload_type for theirs in digits}
    kept: dict[int, Format] = {}
    for item in answered:
        if item.name != _EVENT or item.payload_type in fitting:
            kept.setdefault(item.payload_type, item)
    if not has_codec(kept.values()):
        return ()
    return tuple(
        item.saying(
            fmtp=item.fmtp,
            feedback=tuple(said for said in item.feedback if said in rules.feedback),
        )
        for item in kept.values()
    )


def has_codec(formats: Iterable[Format]) -> bool:
    """Tell whether anything is there that can carry a call, not digits and repairs alone."""
    return any(not item.is_companion for item in formats)


def _answer(theirs: Format, codec: Codec, named_fmtp: str) -> Format:
    if codec.fmtp:
        return theirs.saying(fmtp=codec.answered_fmtp(theirs.fmtp))
    if theirs.name == "h264":
        # Profile and mode of an answer are those of the offer (RFC 6184, section 8.2.2).
        return theirs
    if theirs.name == _EVENT:
        return theirs.saying(fmtp=_common_events(named_fmtp or _ALL_EVENTS, theirs.fmtp))
    return theirs.saying(fmtp=named_fmtp)


def _common_events(ours: str, theirs: str) -> str:
    events = sorted(_events(ours) & _events(theirs or _ALL_EVENTS))
    runs: list[list[int]] = []
    for event in events:
        if runs and runs[-1][-1] == event - 1:
            runs[-1].append(event)
        else:
            runs.append([event])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _events(text: str) -> set[int]:
    # RFC 4733, section 2.4.1; what is malformed counts for nothing.
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if (first + (last or first)).isascii() and first.isdigit() and (last or first).isdigit():
            found.update(range(int(first[:4]), min(int((last or first)[:4]), 255) + 1))
    return found


def _preferred(item: Format, codec: Codec) -> tuple[int, ...]:
    # The other side's own number spares rewriting every packet.
    static = () if codec.static_type is None else (codec.static_type,)
    named = (item.payload_type,) if item.payload_type in _DYNAMIC else ()
    return (*static, *named, *codec.preferred_types)


def _with_events(
    wanted: Sequence[tuple[Format, Codec]], rules: CodecRules
) -> list[tuple[Format, Codec]]:
    """Offer digits at the clock rate of each audio codec, where they are offered at all."""
    events = [(item, codec) for item, codec in wanted if item.name == _EVENT]
    clocks = _clocks(item for item, _ in wanted)
    kept = [
        (item, codec) for item, codec in wanted if item.name != _EVENT or item.clock_rate in clocks
    ]
    if not events:
        return kept
    have = {item.clock_rate for item, _ in events}
    for clock in sorted(clocks - have):
        item = replace(events[0][0], clock_rate=clock)
        codec = rules.codec(item)
        if codec:
            kept.append((item, codec))
    return kept


def _clocks(formats: Iterable[Format]) -> set[int]:
    return {item.clock_rate for item in formats if not item.is_companion}
