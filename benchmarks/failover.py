"""
DNs that are held through the failure of a SIP Server: `python -m benchmarks.failover`.

Two Kamailio share their registrations; the one in use is stopped (SIGSTOP: its sockets take
everything, nobody reads) once refreshes flow. From then on the survivor is asked again and again
which DNs it has, and a capture of the loopback interface shows every REGISTER that went out and
every answer. Copies, which only the silent server gets, are counted apart. Nothing here is CPU
time: other rows may run beside it.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import dataclasses
import itertools
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import plot
from benchmarks.figures import BAD, Goal, Row, number, table
from benchmarks.load import LoadFailed
from benchmarks.registering import dns, registering
from benchmarks.registrars import Sweep, address_of, await_bound, sign_in
from benchmarks.sip import FULL, QUICK, Extent, SipBench
from benchmarks.sip_servers import OurServer
from benchmarks.sipp import Address
from tests.programs import SEARCH_PATH, require_program
from tests.sippeers.dissect import Capture, captured, finish

LOST = Goal(0, 0)
RATE = Goal(50, 50)
REGISTER_RATE = 50
SIGN_IN_RATE = 100.0
FLOWING = 20
"""REGISTER beyond the first ones: as soon as they went out, refreshes flow."""
SWEEP_EVERY = 10.0
PORT = 60560
FIELDS = ("frame.time_epoch", "ip.src", "udp.srcport", "ip.dst", "udp.dstport")
FIELDS_OF_SIP = ("sip.Status-Code", "sip.to.user", "sip.Via.branch")


@dataclass(frozen=True, slots=True)
class Seen:
    """One REGISTER, or the answer to one."""

    at: float
    source: Address
    target: Address
    status: int
    """0 for a request."""
    dn: str
    branch: str
    """Its transaction: copies of a request have the same."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen of one. The first of the servers was stopped."""

    ours: Address
    servers: tuple[Address, Address]
    stopped_at: float
    ended_at: float
    seen: Sequence[Seen]
    held: Sequence[int]
    """How many DNs the survivor had, from sweep to sweep."""

    def sent(self) -> list[float]:
        """When each REGISTER went out for the first time, in order."""
        first: dict[str, float] = {}
        for one in self._requests():
            first[one.branch] = min(one.at, first.get(one.branch, one.at))
        return sorted(first.values())

    def with_copies(self) -> list[float]:
        """When each REGISTER went out, in order, whether or not anybody had heard it before."""
        return sorted(one.at for one in self._requests())

    def _requests(self) -> Iterator[Seen]:
        for one in self.seen:
            if not one.status and one.source == self.ours and one.target in self.servers:
                yield one

    def granted(self) -> list[Seen]:
        """Every 200 of a server, in order."""
        found = [
            one
            for one in self.seen
            if one.status == 200 and one.target == self.ours and one.source in self.servers
        ]
        return sorted(found, key=lambda one: one.at)

    def first_success(self) -> float:
        """Seconds from the stop to the survivor's first 200. Raises LoadFailed."""
        for one in self.granted():
            if one.source == self.servers[1] and one.at > self.stopped_at:
                return one.at - self.stopped_at
        raise LoadFailed("the survivor never said 200")

    def lapsed(self, expires: float) -> set[str]:
        """The DNs that were unregistered for a moment, by the times of their 200."""
        granted: defaultdict[str, list[float]] = defaultdict(list)
        for one in self.granted():
            granted[one.dn].append(one.at)
        return {dn for dn, times in granted.items() if longest([*times, self.ended_at]) > expires}


def longest(times: Sequence[float]) -> float:
    """The longest wait from one moment to the next."""
    return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


def busiest(times: Sequence[float], seconds: float = 1.0) -> int:
    """The most moments that lie within so many seconds, wherever these begin; in order."""
    return max(
        (bisect.bisect_left(times, at + seconds) - place for place, at in enumerate(times)),
        default=0,
    )


def per_second(times: Iterable[float], zero: float) -> tuple[int, list[int]]:
    """The first second, counted from ``zero``, and how many there are in it and in each after."""
    seconds = [int((at - zero) // 1) for at in times]
    if not seconds:
        return 0, []
    counts = [0] * (max(seconds) - min(seconds) + 1)
    for second in seconds:
        counts[second - min(seconds)] += 1
    return min(seconds), counts


# --- the run -------------------------------------------------------------------------------------


def outage(bench: SipBench) -> Outage:
    """Register, wait for refreshes, stop the server in use, watch the other one."""
    extent = bench.extent
    numbers = dns(0, extent.dns)
    with registering(bench, PORT, extent.expires, REGISTER_RATE) as (
        server,
        (first, second),
    ):
        servers = (address_of(first), address_of(second))
        with capturing(" or ".join(f"host {host}" for host, _ in servers)) as capture:
            sign_in(server.address, numbers, SIGN_IN_RATE, bench.load_cpu)
            await_bound(server, extent.dns, 4 * extent.dns / REGISTER_RATE + 10, bench.pause)
            bench.say(f"  failover: {extent.dns} DNs are registered")
            await_refreshes(bench, server)
            first.freeze()
            stopped_at = time.time()
            bench.say("  failover: the SIP Server in use is stopped")
            try:
                held = watch(bench, Sweep(servers[1]), numbers)
            finally:
                first.thaw()
            ended_at = time.time()
            seen = list(read(finish(capture)))
    return Outage(server.address, servers, stopped_at, ended_at, seen, held)


def await_refreshes(bench: SipBench, server: OurServer) -> None:
    """Return when refreshes flow. Raises LoadFailed."""
    before = server.metric("sgw_sip_sent_total")
    deadline = time.monotonic() + bench.extent.expires
    while server.metric("sgw_sip_sent_total") < before + FLOWING:
        if time.monotonic() > deadline:
            raise LoadFailed("no DN was refreshed")
        bench.pause(0.5)


def watch(bench: SipBench, sweep: Sweep, numbers: Sequence[str]) -> list[int]:
    """How many DNs a server has, time and again until the outage is over."""
    held: list[int] = []
    began = time.monotonic()
    while time.monotonic() < began + bench.extent.outage:
        held.append(len(sweep.bound(numbers)))
        bench.say(f"  failover: {held[-1]} of {len(numbers)} held")
        bench.pause(SWEEP_EVERY - (time.monotonic() - began) % SWEEP_EVERY)
    return [*held, len(sweep.bound(numbers))]


@contextlib.contextmanager
def capturing(hosts: str) -> Iterator[Capture]:
    """A capture of SIP of these hosts. Raises LoadFailed where it may not be made."""
    with contextlib.ExitStack() as stack:
        try:
            capture = stack.enter_context(captured(f"udp and ({hosts})"))
        except AssertionError as error:
            raise LoadFailed(str(error)[:300]) from error
        yield capture


def read(capture: Path) -> Iterator[Seen]:
    """Every REGISTER of a capture and its answers, as tshark sees them."""
    wanted = "sip.CSeq.method == REGISTER"
    command = [require_program("tshark"), "-r", str(capture), "-Y", wanted, "-T", "fields"]
    command += [word for field in FIELDS + FIELDS_OF_SIP for word in ("-e", field)]
    environment = {**os.environ, "PATH": SEARCH_PATH, "HOME": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    if done.returncode:
        raise LoadFailed(f"tshark ended with {done.returncode}: {done.stderr[-300:]}")
    return map(parse, done.stdout.splitlines())


def parse(line: str) -> Seen:
    """One line of tshark's fields."""
    at, source, source_port, target, target_port, status, dn, branch = line.split("\t")
    ends = (source, int(source_port)), (target, int(target_port))
    return Seen(float(at), *ends, int(status or 0), dn, branch)


# --- the rows ------------------------------------------------------------------------------------


def failover(bench: SipBench) -> Iterator[Row]:
    """DNs lost, the storm that there was not, and how long it took."""
    found = outage(bench)
    bench.plots["failover"] = drawn(found)
    yield from rows(found, bench.extent)


def rows(found: Outage, extent: Extent) -> Iterator[Row]:
    """The figures of one outage."""
    lapsed = found.lapsed(extent.expires)
    watched = found.ended_at - found.stopped_at
    yield Row(
        name="failover-lost",
        figure=f"of {extent.dns} DNs lost at the survivor",
        goal=LOST,
        measured=max(extent.dns - min(found.held), len(lapsed)),
        ours=f"{min(found.held)} held",
        note=f"asked {len(found.held)} times in {watched:.0f} s; {len(lapsed)} without "
        f"a 200 for {extent.expires} s",
    )
    sent = found.sent()
    copies = len(found.with_copies()) - len(sent)
    after = [at for at in sent if at > found.stopped_at]
    yield Row(
        name="failover-rate",
        figure="most REGISTER within a second",
        goal=RATE,
        measured=busiest(sent),
        ours=f"{busiest(after)} after the stop",
        note=f"{len(sent)} REGISTER captured, and {copies} copies, with which it is "
        f"{busiest(found.with_copies())}; register-rate = {REGISTER_RATE}",
    )
    yield Row(
        name="failover-first",
        figure="stop to the survivor's first 200, s",
        measured=found.first_success(),
        ours=f"{number(found.first_success())} s",
        note="failover-time is 4 s; DNs are bound meanwhile",
    )


def drawn(found: Outage) -> str:
    """REGISTER per second, from the first one on; second 0 is the stop."""
    first, counts = per_second(found.sent(), found.stopped_at)
    moments = {"the SIP Server in use is stopped": 0.0}
    moments["first 200 of the other one"] = found.first_success()
    title = "REGISTER per second toward two SIP Servers"
    return plot.bars(counts, title, limit=REGISTER_RATE, moments=moments, first=first)


def main() -> int:
    """One outage by itself, of any length; the plot goes where it is told."""
    parser = argparse.ArgumentParser(description="DNs held through a failover")
    parser.add_argument("--dns", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=300.0, help="watched after the stop")
    parser.add_argument("--quick", action="store_true", help="few DNs, for a shorter time each")
    parser.add_argument("--plot", type=Path, help="file for the plot, SVG")
    chosen = parser.parse_args()
    extent = QUICK
    if not chosen.quick:
        extent = dataclasses.replace(FULL, dns=chosen.dns, outage=chosen.seconds)
    bench = SipBench(starts=(), extent=extent, load_cpu=0, limit=3600)
    found = list(failover(bench))
    print(table(found, "peer"))
    if chosen.plot:
        chosen.plot.write_text(bench.plots["failover"])
    return int(any(row.verdict in BAD for row in found))


if __name__ == "__main__":
    sys.exit(main())
