"""
A call's messages as a ladder diagram: SVG made of what the trace has kept, and of nothing else.

Time runs downward in milliseconds since the first message. What a peer wrote is text here: it is
escaped, shortened, and cannot bring an element, a colour or a direction of writing of its own.

Colours are the page's: everything is drawn in ``currentColor``, and the classes (``request``,
``trying``, ``done``, ``asked``, ``refused``, ``again``, ``lost``) let a style sheet tell the kinds
apart. Without one it is black on white, and still dashed where sent again, crossed where lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from suite.lab.trace import TracedCall, TracedMessage

MOST_ARROWS = 120
MOST_LANES = 8
"""Whoever comes after them shares the last lane."""
REST = "others"
LONGEST_HEADING = 22
PAUSE = 1.0
"""Seconds without a message after which the drawing leaves a gap."""

_TIMES = 56
"""Width of the column of times."""
_LANE = 176
_HEAD = 28
_ROW = 32
_GAP = 26
_MARGIN = 12
_LETTER = 6.15
"""Width that a letter of a label takes, on average; a label is cut to fit its arrow."""
_LONG = 14
"""Arrows after which the names are written below, too."""

# What XML 1.0 has no place for, and what turns the direction of writing.
_UNFIT = re.compile(
    "[^\t\u0020-\u007e\u00a0-\u200d\u2010-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd"
    "\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class _Arrow:
    """One message, placed."""

    milliseconds: float
    source: int
    target: int
    label: str
    kind: str
    again: bool
    lost: bool
    pause: float
    """Seconds of silence before it, 0.0 if it was short."""


def ladder(
    call: TracedCall, headings: Mapping[str, str] | None = None, *, latest: bool = False
) -> str:
    """
    Draw a call, as SVG that stands alone or in a page.

    ``headings`` gives labels a name to show; those it has come in its order, right of those it
    has not, and those with one name share a lifeline. Of a call longer than ``MOST_ARROWS`` the
    first are drawn, or the ``latest``.
    """
    messages = list(call.messages)
    shown = messages[-MOST_ARROWS:] if latest else messages[:MOST_ARROWS]
    lanes, names = _lanes(shown, headings or {})
    arrows = _arrows(shown, lanes)
    return _drawing(call, arrows, names, len(messages) - len(shown))


def text(value: str, limit: int) -> str:
    """Make text fit for XML: shortened, escaped, without what would not be shown as it is."""
    kept = value if len(value) <= limit else value[: limit - 1] + "…"
    return escape(_UNFIT.sub("\ufffd", kept), {'"': "&quot;"})


def sent_again(messages: Sequence[TracedMessage]) -> list[bool]:
    """
    Tell which messages repeat an earlier one of theirs that nobody has answered.

    The trace has no branch and no CSeq: what is alike in a dialog, with no word from the other
    end in between, is taken for the same.
    """
    waiting: dict[tuple[str, str, str], set[str]] = {}
    repeats = []
    for message in messages:
        mine = waiting.setdefault((message.call_id, message.source, message.target), set())
        repeats.append(message.summary in mine)
        mine.add(message.summary)
        if not message.lost:
            waiting.pop((message.call_id, message.target, message.source), None)
    return repeats


def _lanes(
    messages: Iterable[TracedMessage], headings: Mapping[str, str]
) -> tuple[dict[str, int], list[str]]:
    ends = (end for message in messages for end in (message.source, message.target))
    seen = dict.fromkeys(ends)
    order = [label for label in seen if label not in headings]
    order += [label for label in headings if label in seen]
    named = {label: headings.get(label, label) for label in order}
    # Several sockets of one peer share its name, and its lane.
    names = list(dict.fromkeys(named.values()))
    places = {name: min(place, MOST_LANES - 1) for place, name in enumerate(names)}
    if len(names) > MOST_LANES:
        names[MOST_LANES - 1 :] = [REST]
    return {label: places[name] for label, name in named.items()}, names


def _arrows(messages: Sequence[TracedMessage], lanes: Mapping[str, int]) -> list[_Arrow]:
    arrows = []
    first = previous = messages[0].at if messages else 0.0
    for message, again in zip(messages, sent_again(messages), strict=True):
        silence = message.at - previous
        arrows.append(
            _Arrow(
                milliseconds=(message.at - first) * 1000,
                source=lanes[message.source],
                target=lanes[message.target],
                label=message.summary,
                kind=_kind(message.summary),
                again=again,
                lost=message.lost,
                pause=silence if silence >= PAUSE else 0.0,
            )
        )
        previous = message.at
    return arrows


def _kind(summary: str) -> str:
    status = summary[:3]
    if not (status.isascii() and status.isdigit()):
        return "request"
    if status in ("401", "407"):
        return "asked"
    return {"1": "trying", "2": "done", "3": "asked"}.get(status[0], "refused")


def _drawing(call: TracedCall, arrows: Sequence[_Arrow], names: Sequence[str], more: int) -> str:
    top = _MARGIN + _HEAD
    rows, bottom = _rows(arrows, top + 8)
    is_long = len(arrows) > _LONG
    height = bottom + (_HEAD if is_long else 0) + (_ROW if more else 0) + _MARGIN
    width = _TIMES + max(len(names), 1) * _LANE + _MARGIN
    key = hashlib.sha256(call.name.encode("utf-8", "replace")).hexdigest()[:8]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" role="img" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-size="12" '
        f'font-family="system-ui, sans-serif" fill="currentColor" stroke="none" '
        f'aria-labelledby="ladder-{key}-title" aria-describedby="ladder-{key}-desc">',
        f'<title id="ladder-{key}-title">{text(_title(call), 160)}</title>',
        f'<desc id="ladder-{key}-desc">{_in_words(arrows, names, more)}</desc>',
        *_lifelines(names, top, bottom),
        *_heads(names, _MARGIN),
        *(_heads(names, bottom) if is_long else ()),
        *rows,
    ]
    if more:
        below = height - _MARGIN
        parts.append(f'<text class="note" x="{_MARGIN}" y="{below}">{_note(more)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _title(call: TracedCall) -> str:
    return f"SIP ladder of {call.name}: {call.title}" if call.name else f"SIP ladder: {call.title}"


def _note(more: int) -> str:
    return f"{more} more message{'' if more == 1 else 's'} not drawn"


def _middle(lane: int) -> int:
    return _TIMES + lane * _LANE + _LANE // 2


def _lifelines(names: Sequence[str], top: int, bottom: int) -> list[str]:
    return [
        f'<path class="lifeline" d="M{_middle(lane)} {top}V{bottom}" '
        f'stroke="currentColor" stroke-opacity=".35"/>'
        for lane in range(len(names))
    ]


def _heads(names: Sequence[str], top: int) -> list[str]:
    parts = [f'<text class="unit" x="{_TIMES - 6}" y="{top + 18}" text-anchor="end">ms</text>']
    for lane, name in enumerate(names):
        left, middle = _middle(lane) - _LANE // 2 + 6, _middle(lane)
        parts.append(
            f'<g class="head"><title>{text(name, 200)}</title><rect x="{left}" y="{top}" '
            f'width="{_LANE - 12}" height="{_HEAD}" rx="6" fill="none" stroke="currentColor"/>'
            f'<text x="{middle}" y="{top + 19}" text-anchor="middle" font-weight="600">'
            f"{text(name, LONGEST_HEADING)}</text></g>"
        )
    return parts


def _rows(arrows: Sequence[_Arrow], top: int) -> tuple[list[str], int]:
    rows, y = [], top
    for arrow in arrows:
        if arrow.pause:
            y += _GAP
            rows.append(
                f'<text class="pause" x="{_TIMES - 6}" y="{y - 4}" text-anchor="end">'
                f"+ {arrow.pause:.1f} s</text>"
            )
        y += _ROW
        rows.append(_row(arrow, y))
    return rows, y + 18


def _row(arrow: _Arrow, y: int) -> str:
    classes = ["arrow", arrow.kind, *(["again"] if arrow.again else [])]
    classes += ["lost"] if arrow.lost else []
    marks = [word for word, holds in (("again", arrow.again), ("lost", arrow.lost)) if holds]
    suffix = f" ({', '.join(marks)})" if marks else ""
    start, end = _middle(arrow.source), _middle(arrow.target)
    room = max(abs(end - start), _LANE) - (24 if start == end else 16)
    label = text(arrow.label, int(room / _LETTER))
    # From the left end on: a narrow window shows the beginning of every label.
    at = min(start, end) + 12
    return (
        f'<g class="{" ".join(classes)}"><title>{text(arrow.label, 200)}{suffix}</title>'
        f'<text class="time" x="{_TIMES - 6}" y="{y + 4}" text-anchor="end">'
        f"{_time(arrow.milliseconds)}</text>"
        f'<text class="label" x="{at}" y="{y - 7}">{label}</text>'
        f"{_line(arrow, start, end, y)}</g>"
    )


def _line(arrow: _Arrow, start: int, end: int, y: int) -> str:
    dashes = ' stroke-dasharray="5 4"' if arrow.again else ""
    stroke = f'fill="none" stroke="currentColor" stroke-width="1.75"{dashes}'
    if start == end:
        shaft = f"M{start} {y}h22v10h-20"
        tip, way, level = start + 2, -1, y + 10
    else:
        way, level = (1 if end > start else -1), y
        tip = end - way * (_LANE // 5 if arrow.lost else 1)
        shaft = f"M{start} {y}H{tip - way * (0 if arrow.lost else 6)}"
    if arrow.lost:
        cross = f"M{tip - 5} {level - 5}l10 10m0 -10l-10 10"
        solid = 'fill="none" stroke="currentColor" stroke-width="2"'
        return f'<path d="{shaft}" {stroke}/><path class="cross" d="{cross}" {solid}/>'
    return f'<path d="{shaft}" {stroke}/><path d="M{tip} {level}l{-9 * way} -4.5v9z"/>'


def _time(milliseconds: float) -> str:
    if milliseconds < 99.95:
        return f"{milliseconds:.1f}"
    return f"{milliseconds:,.0f}".replace(",", "\u2009")


def _in_words(arrows: Sequence[_Arrow], names: Sequence[str], more: int) -> str:
    """Tell the drawing to whoever cannot see it."""
    if not arrows:
        return "No message yet."
    sentences = [f"{len(arrows)} messages between {text(', '.join(names), 240)}."]
    for arrow in arrows:
        marks = (", sent again" if arrow.again else "") + (", lost" if arrow.lost else "")
        source, target = (text(names[lane], 48) for lane in (arrow.source, arrow.target))
        when = _time(arrow.milliseconds)
        sentences.append(f"{when} ms, {source} to {target}: {text(arrow.label, 80)}{marks}.")
    if more:
        sentences.append(f"{_note(more)}.")
    return " ".join(sentences)
