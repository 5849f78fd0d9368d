"""
The rows of callers that vanish: ten thousand in memory, and some hundred that SIPp plays.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from benchmarks import sip_servers, sipp
from benchmarks.figures import Goal, Row, number
from benchmarks.load import LoadFailed, background
from benchmarks.servers import CHECKOUT
from benchmarks.sip import SipBench
from benchmarks.sip_servers import OurServer
from benchmarks.sipp import Address

EMPTY = Goal(0, 0)
GROWTH = Goal(1024, 256)
VANISHING_RATE = 50.0
CALLER: Address = ("127.0.0.3", 60040)
CALLEE: Address = ("127.0.0.15", 60690)
PORT = 60660
END_LIMIT = 120.0
"""Seconds in which every trace of a vanished caller must go; 64*T1, twice, would do."""
CALLS = "sgw_calls_active"
PAIRS = "sgw_media_pairs_free"
TRANSACTIONS = "sgw_sip_transactions"
PROBES = 1
"""Transactions that an idle server may have: OPTIONS to its SIP Server."""


def abandoned(bench: SipBench) -> Iterator[Row]:
    """Callers that vanish in memory, at each point of a call: a process of its own."""
    command = [sys.executable, "-m", "benchmarks.abandoned"]
    command += ["--calls", str(bench.extent.abandoned)]
    with background(["env", f"PYTHONPATH={CHECKOUT}", *command]) as process:
        while process.poll() is None:
            bench.pause(0.5)
        output, errors = process.communicate()
    if not output.startswith("{"):
        raise LoadFailed(f"benchmarks.abandoned: {errors[-300:]}")
    yield from abandoned_rows(json.loads(output))


def abandoned_rows(found: dict[str, object]) -> Iterator[Row]:
    """The figures of one run of ``benchmarks.abandoned``."""
    first, second = found["first"], found["second"]
    assert isinstance(first, dict) and isinstance(second, dict)
    grown = second["resident_kb"] - first["resident_kb"]
    blocks = second["blocks"] - first["blocks"]
    causes = found["causes"]
    assert isinstance(causes, dict)
    ended = ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items()))
    yield Row(
        name="abandoned",
        figure=f"entries left of {found['abandoned']} abandoned calls",
        goal=EMPTY,
        measured=first["entries"] + second["entries"],
        ours=f"{found['most']} at most",
        note=f"calls, dialogs, transactions, timers, ports; ended as {ended}",
    )
    yield Row(
        name="abandoned-memory",
        figure="resident memory grown by their second half, kB",
        goal=GROWTH,
        measured=grown,
        ours=f"{grown} kB, {blocks:+} objects",
        note=f"of {second['resident_kb'] // 1024} MB",
    )


def vanished(bench: SipBench) -> Iterator[Row]:
    """Callers that SIPp plays: an INVITE each, and never a word again."""
    many = bench.extent.vanished
    with (
        sipp.callee(CALLEE, bench.load_cpu),  # before us: nobody is to be found dead
        sip_servers.ours(port=PORT, callee=CALLEE) as server,
    ):
        pairs = server.metric(PAIRS)
        rate = VANISHING_RATE
        with sipp.vanishing(server.address, CALLER, rate, many, bench.load_cpu):
            await_calls(bench, server, many)
            began = time.monotonic()
            left = wait_until_empty(bench, server, pairs)
            lasted = time.monotonic() - began
        bench.say(f"  vanished: {left:.0f} left after {lasted:.0f} s")
    yield Row(
        name="vanished",
        figure=f"left of {many} calls whose caller vanished",
        goal=EMPTY,
        measured=left,
        ours=f"empty after {number(lasted)} s" if not left else f"{left:.0f}",
        note="calls, pairs of media ports and transactions; SIPp sends INVITE and is gone, "
        "the 200 is never acknowledged",
    )


def await_calls(bench: SipBench, server: OurServer, many: int) -> None:
    """Return when so many calls stand. Raises LoadFailed."""
    deadline = time.monotonic() + many / VANISHING_RATE + 5
    while (stand := server.metric(CALLS)) < many:
        if time.monotonic() > deadline:
            raise LoadFailed(f"{stand:.0f} of {many} calls stood")
        bench.pause(0.5)


def wait_until_empty(bench: SipBench, server: OurServer, pairs: float) -> float:
    """What is left once nothing is, or after a long time."""
    deadline = time.monotonic() + END_LIMIT
    while True:
        left = server.metric(CALLS) + max(0.0, pairs - server.metric(PAIRS))
        left += max(0.0, server.metric(TRANSACTIONS) - PROBES)
        if not left or time.monotonic() > deadline:
            return left
        bench.pause(1.0)
