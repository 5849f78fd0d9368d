"""
Writes docs/failover.md: `make failover`.

Every way in which a SIP Server can go, at every moment at which it matters, with what must become
of the request that meets it, what did, and how long it took.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tests.peers import CHECKOUT
from tests.sippeers import outages, pair_outages
from tests.sippeers.outages import AT_ONCE, FAILOVER, Fault, Moment, Result

AT_A_TIME = 4
_T = TypeVar("_T")
_PAGE = CHECKOUT / "docs" / "failover.md"
_HEAD = f"""\
# When a SIP Server fails

This page is written by `make failover`, which runs every case against the suite as it is installed.

The rules behind the third column: a server is left after {FAILOVER:g} s of silence, and within
{AT_ONCE:g} s after a transport error or a 503. One outage is one switch. An INVITE without any
answer is sent to the other server, one with a 1xx never, unless its own server ends it with 503.
What still comes of a copy that was given up is ended by ACK and BYE. Calls that are up live on, and
their next request goes to the server in use. Over UDP the end of a process shows when something
is sent to it, so a request that it has taken is told of by its first copy, 0.5 s later.

Seconds are those between the phone's request, or the server's 401, and the request at the second
server; after a 1xx they are those between CANCEL and 487, or between 180 and 200.
"""
_FIRST = """\
## At one message

SIPp is both servers, the phone, and whoever is called: as the first server it kills or freezes
itself at that message, or says 503. A server that is slow or resets its connections is a responder
of the tests.
"""
_SECOND = """\
## A pair of Kamailios, both servers, and the DNS

Kamailio registers with a password and records its route; the pair shares its registrations.
Where both go down SIPp is both servers, with 40 more DNs registered, and every REGISTER is counted.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One case and what became of it."""

    what: tuple[str, ...]
    expected: str
    result: Result

    def cells(self) -> tuple[str, ...]:
        """As the table has it."""
        seen = self.result
        took = "" if seen.seconds is None else f"{seen.seconds:.2f}"
        outcome = seen.outcome if seen.is_expected else f"**not so**: {seen.outcome}"
        return *self.what, self.expected, outcome.replace("|", "/"), took


def _of_servers(case: outages.Case) -> Row:
    what = (case.moment.value, case.fault.value, case.transport)
    return Row(what, outages.expectation(case), outages.run(case))


def _of_pair(case: pair_outages.PairCase) -> Row:
    return Row((case.name,), case.expected, pair_outages.run(case))


def run(
    cases: Iterable[outages.Case], pair_cases: Iterable[pair_outages.PairCase]
) -> tuple[list[Row], list[Row]]:
    """Run them, a few at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        first = pool.map(_told(_of_servers), cases)
        second = pool.map(_told(_of_pair), pair_cases)
        return list(first), list(second)


def _told(play: Callable[[_T], Row]) -> Callable[[_T], Row]:
    """With a line of progress, since all of them take minutes."""

    def told(case: _T) -> Row:
        row = play(case)
        print(" | ".join(row.cells()), file=sys.stderr, flush=True)
        return row

    return told


def _table(head: Sequence[str], rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def page(first: Iterable[Row], second: Iterable[Row]) -> str:
    """The whole of docs/failover.md."""
    seen = ("must", "did", "s")
    return "\n".join(
        [
            _HEAD,
            _FIRST,
            _table(("when", "the first server", "over", *seen), first),
            _SECOND,
            _table(("what", *seen), second),
        ]
    )


QUICK = tuple(
    outages.Case(fault, moment, transport)
    for fault, moment, transport in (
        (Fault.KILLED, Moment.REGISTER, "UDP"),
        (Fault.FROZEN, Moment.CHALLENGED, "UDP"),
        (Fault.SLOW, Moment.INVITED, "UDP"),
        (Fault.KILLED, Moment.INVITED, "TCP"),
        (Fault.RESET, Moment.INVITED, "TCP"),
        (Fault.UNAVAILABLE, Moment.INVITED, "UDP"),
        (Fault.FROZEN, Moment.RINGING, "UDP"),
        (Fault.FROZEN, Moment.BYE, "UDP"),
        (Fault.KILLED, Moment.HOLD, "UDP"),
        (Fault.UNAVAILABLE, Moment.CHANGING, "UDP"),
    )
)
"""Those of `make test`: every fault, every moment that is treated in a way of its own."""


def main() -> int:
    """Write the page; not 0 if something is not as it must be."""
    first, second = run(outages.CASES, pair_outages.CASES)
    _PAGE.write_text(page(first, second))
    print(f"\n{_PAGE.read_text()}\n-> {_PAGE.relative_to(CHECKOUT)}")
    wrong = [row for row in [*first, *second] if not row.result.is_expected]
    for row in wrong:
        print(f"\n{' | '.join(row.cells())}\n{row.result.told}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
