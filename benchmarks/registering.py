"""
The rows of REGISTER: phones that register with us, and DNs that we keep registered.

A phone's registration is two requests, since its password is asked for; Debian's Kamailio does
the same work in C. A DN's registration at the SIP Servers is refreshed at 55 to 85 % of its time,
so of what one REGISTER costs follows how many DNs one core keeps registered.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import sip_servers, sipp
from benchmarks.figures import Row, number, paired_ratio
from benchmarks.load import LoadFailed
from benchmarks.registrars import (
    PASSWORD,
    address_of,
    await_bound,
    registrar,
    registrars,
    sign_in,
)
from benchmarks.servers import descendants, spent_ms
from benchmarks.sip import SipBench
from benchmarks.sip_servers import OurServer
from benchmarks.sipp import Address
from tests.sippeers.kamailio import Kamailio

FIRST_DN = 2000
NUMBERS = "2000-9999"
REGISTER_RATE = 100.0
"""Phones per second at which costs are taken."""
FIRST_RATE = 400.0
STEP = 1.3
HIGHEST_RATE = 2000.0
SHORT = 30
"""Seconds of a registration where the cost of a refresh is measured: they come often."""
EXPIRES = 140
REFRESHED_AT = 0.70
"""Of its time, in the mean."""
WINDOW = 10.0
IDLE_WINDOW = 3.0
UNTIL_QUIET = 36.0
"""Seconds until every transaction of a burst is over."""
PORT = 60360
MEMORY_PORT = 60460


def dns(first: int, many: int) -> list[str]:
    """So many numbers."""
    return [str(FIRST_DN + first + each) for each in range(many)]


# --- phones --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registrar:
    """One whose phones need a password."""

    name: str
    address: Address
    cpu_ms: Callable[[], float]


@contextlib.contextmanager
def ours(bench: SipBench) -> Iterator[Registrar]:
    """Our B2BUA with phones that need a password, and no DN that it registers elsewhere."""
    users = [f"{dn} = {PASSWORD}" for dn in dns(0, bench.extent.dns)]
    callee: Address = ("127.0.0.14", PORT + 9)
    with (
        sipp.callee(callee, bench.load_cpu),
        sip_servers.ours(
            port=PORT, callee=callee, b2bua=("phone-networks = 127.0.0.1/32",), users=users
        ) as server,
    ):
        yield Registrar("ours", server.address, server.cpu_ms)


@contextlib.contextmanager
def kamailio(bench: SipBench) -> Iterator[Registrar]:
    """Debian's Kamailio, on the same CPU."""
    with registrar(0) as one:
        yield Registrar("kamailio", address_of(one), lambda: _spent(one))


def _spent(one: Kamailio) -> float:
    return spent_ms(descendants(one.program.pid))


def phones(bench: SipBench) -> Iterator[Row]:
    """CPU time per REGISTER of a phone, next to Kamailio's, and how many phones a second."""
    numbers = dns(0, bench.extent.dns)[: round(REGISTER_RATE * bench.extent.seconds)]
    costs: dict[str, list[float]] = {}
    with ours(bench) as first, kamailio(bench) as second:
        for registering in (first, second):  # code and caches warm
            sign_in(registering.address, dns(0, bench.extent.dns), 200.0, bench.load_cpu)
        for _ in range(bench.extent.repetitions):
            for registering in (first, second):
                before = registering.cpu_ms()
                sign_in(registering.address, numbers, REGISTER_RATE, bench.load_cpu)
                spent = 1000 * (registering.cpu_ms() - before) / (2 * len(numbers))
                costs.setdefault(registering.name, []).append(spent)
                bench.say(f"  {registering.name}: {spent:.0f} us/REGISTER")
        yield phone_row(costs["ours"], costs["kamailio"])
        yield rate_row(bench, first)


def phone_row(mine: list[float], theirs: list[float]) -> Row:
    """The cost of one REGISTER of a phone."""
    return Row(
        name="register-phone-cpu",
        figure="CPU per REGISTER of a phone, ours/Kamailio",
        measured=paired_ratio(mine, theirs),
        ours=f"{number(statistics.median(mine))} us",
        peer=f"Kamailio {number(statistics.median(theirs))} us",
        note=f"half of them without password; {REGISTER_RATE:g} phones/s, two REGISTER each",
    )


def rate_row(bench: SipBench, server: Registrar) -> Row:
    """The most phones a second of which none fails; a rate that fails is tried twice."""
    best, rate = 0.0, FIRST_RATE
    while rate <= HIGHEST_RATE and (
        _is_clean(bench, server, rate) or _is_clean(bench, server, rate)
    ):
        best, rate = rate, rate * STEP
    if not best:
        raise LoadFailed(f"not even {FIRST_RATE:g} phones a second register")
    return Row(
        name="register-phone-rate",
        figure="highest clean phones/s on one core",
        measured=best,
        ours=f"{number(2 * best)} REGISTER/s",
        note=f"no phone failed, at most 1 retransmission in 200 phones; steps of {STEP:g}",
    )


def _is_clean(bench: SipBench, server: Registrar, rate: float) -> bool:
    numbers = dns(0, bench.extent.dns)
    many = [numbers[at % len(numbers)] for at in range(round(rate * bench.extent.seconds))]
    try:
        found = sign_in(server.address, many, rate, bench.load_cpu)
    except LoadFailed as failure:
        bench.say(f"  {rate:.0f}/s: {failure}")
        return False
    bench.say(f"  {rate:.0f}/s: {found.retransmissions} retransmissions")
    return found.is_clean


# --- DNs -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def registering(
    bench: SipBench, port: int, expires: int, register_rate: int, cpu: int = 0
) -> Iterator[tuple[OurServer, tuple[Kamailio, Kamailio]]]:
    """Our B2BUA, which registers each DN that has a phone with a pair of Kamailio."""
    with (
        registrars(bench.load_cpu, expires) as pair,
        sip_servers.ours(
            cpu,
            port,
            proxies=[address_of(one) for one in pair],
            rsmp=(f"sip-register = {NUMBERS}",),
            b2bua=(
                "phone-networks = 127.0.0.0/8",
                f"register-password = {PASSWORD}",
                f"register-expires = {expires}",
                f"register-rate = {register_rate}",
            ),
        ) as server,
    ):
        yield server, pair


def refreshes(bench: SipBench) -> Iterator[Row]:
    """CPU time per REGISTER that we send, with its answer."""
    many = bench.extent.dns
    with registering(bench, PORT, SHORT, 500) as (server, _):
        idle = idle_ms(bench, server)
        sign_in(server.address, dns(0, many), 300.0, bench.load_cpu)
        await_bound(server, many, 30.0, bench.pause)
        bench.pause(0.55 * SHORT)  # until the first refreshes, and then some
        sent, before = server.metric("sgw_sip_sent_total"), server.cpu_ms()
        bench.pause(WINDOW)
        spent = server.cpu_ms() - before - WINDOW * idle
        sent = server.metric("sgw_sip_sent_total") - sent
        bench.say(f"  {sent:.0f} REGISTER in {WINDOW:g} s, {spent:.0f} ms; idle {idle:.1f} ms/s")
        await_bound(server, many, 0.0, bench.pause)
    if sent < many / SHORT * WINDOW / 2:
        raise LoadFailed(f"only {sent:.0f} REGISTER of {many} DNs in {WINDOW:g} s")
    yield refresh_row(1000 * spent / sent, sent / WINDOW)


def idle_ms(bench: SipBench, server: OurServer) -> float:
    """CPU time per second of a server without any DN."""
    before = server.cpu_ms()
    bench.pause(IDLE_WINDOW)
    return (server.cpu_ms() - before) / IDLE_WINDOW


def refresh_row(cost: float, rate: float) -> Row:
    """The cost of one REGISTER of ours, in microseconds, and what follows for a core."""
    of_a_core = 1e6 / cost * REFRESHED_AT * EXPIRES
    return Row(
        name="register-server-cpu",
        figure="CPU per REGISTER to a SIP Server, us",
        measured=cost,
        ours=f"{number(of_a_core)} DNs a core",
        note=f"refreshes at {rate:.0f}/s with a known nonce, idle time taken off; "
        f"DNs of {EXPIRES} s, refreshed at {100 * REFRESHED_AT:.0f} % of it",
    )


# --- memory --------------------------------------------------------------------------------------


def memory(bench: SipBench) -> Iterator[Row]:
    """Resident memory of a DN: its phone's binding, and its registration at the SIP Servers."""
    many = bench.extent.dns
    with registering(bench, MEMORY_PORT, EXPIRES, 100) as (server, _):
        grown: list[float] = []
        for first in (0, many):
            before = server.resident_kb()
            sign_in(server.address, dns(first, many), 50.0, bench.load_cpu)
            await_bound(server, first + many, 60.0, bench.pause)
            bench.pause(UNTIL_QUIET if bench.extent.linger else 0.0)
            grown.append((server.resident_kb() - before) / many)
            bench.say(f"  {grown[-1]:.2f} kB per DN")
    yield Row(
        name="register-memory",
        figure="resident memory per DN, kB",
        measured=grown[1],
        ours=f"{number(grown[1])} kB",
        note=f"phone and registration; {many} DNs beside {many}, which took "
        f"{number(grown[0])} kB each with the transactions",
    )
