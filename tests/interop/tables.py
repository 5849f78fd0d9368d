"""
Writes what stands in docs/ about coturn: `make interop`.

docs/interop.md is a run of coturn's client against both servers, and
docs/differences-from-coturn.md is the table that the comparison of answers is held to.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.interop import oracle, uclient
from tests.interop.differences import DIFFERENCES, EXTRAS, unlisted
from tests.interop.requests import REQUESTS
from tests.interop.uclient import Pair, Scenario
from tests.peers import CHECKOUT

_INTEROP = f"""\
# coturn's client with our relay

`turnutils_uclient` of coturn 4.6.1 (Debian 12) is run with the flags on the left,
{uclient.CLIENTS} clients and {uclient.MESSAGES} messages each, against this suite and against
coturn's own server with the same `turnserver.conf`. The client counts lost packets; an error code
is one that it was answered with. Where coturn's server has one too, the client brought it about.

This page is written by `make interop`, and `make test` fails where our column is worse.
"""

_DIFFERENCES = f"""\
# Where we answer otherwise than coturn

{len(REQUESTS)} kinds of requests are sent to this suite and to Debian's coturn 4.6.1 with the same
`turnserver.conf`, over UDP and TCP, and the answers are compared by class, error code, attributes
and values. What differs is listed here with its reason; `make test` fails for a difference that is
not listed and for an entry that no longer holds.

This page is written by `make interop` from `tests/interop/differences.py`.
"""

_TITLES: tuple[tuple[str, tuple[Scenario, ...]], ...] = (
    ("UDP", uclient.UDP),
    ("TCP", uclient.TCP),
    ("TLS", uclient.TLS),
    ("IPv6 relays", uclient.IPV6),
    ("REST credentials (`-W`)", uclient.REST),
)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _row(pair: Pair) -> tuple[str, ...]:
    scenario = pair.scenario
    return f"`{scenario.flags}`", scenario.meaning, pair.ours.cell(), pair.coturn.cell()


def interop_page() -> str:
    """docs/interop.md, from a run that happens now."""

    def sections() -> Iterator[str]:
        for title, scenarios in _TITLES:
            rows = [_row(pair) for pair in uclient.compare(scenarios)]
            yield f"## {title}\n\n" + _table(("flags", "what", "ours", "coturn"), rows)

    return "\n".join([_INTEROP, *sections()])


def differences_page() -> str:
    """docs/differences-from-coturn.md, from the table."""
    extras = [
        (one.attribute, "ours" if one.ours else "coturn", one.reason)
        for one in sorted(EXTRAS, key=lambda one: one.attribute)
    ]
    differences = [(one.request, one.ours, one.coturn, one.reason) for one in DIFFERENCES]
    return "\n".join(
        [
            _DIFFERENCES,
            "## Attributes that one of the two adds\n",
            _table(("attribute", "sent by", "why"), extras),
            "## Requests that are answered otherwise\n",
            _table(("request", "ours", "coturn", "why"), differences),
        ]
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"\n{text}\n-> {path.relative_to(CHECKOUT)}")


def main() -> int:
    """Write both pages; not 0 if the answers are not as the second of them says."""
    _write(CHECKOUT / "docs" / "interop.md", interop_page())
    _write(CHECKOUT / "docs" / "differences-from-coturn.md", differences_page())
    wrong = unlisted(oracle.compare())
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
