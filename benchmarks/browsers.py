"""
What browsers cost the gateway: handshakes, calls that stand, polls that wait.

The client of these calls is the tests' own of the historic protocol, with aiortc's media; the
server has a CPU to itself. There is no peer to compare with in the same run, so these are figures
of this machine, and only their growth from one version to the next says something.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_client import COOKIE_PATIENCE
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.settings import DtlsSettings
from benchmarks.figures import Goal, Row, number, percentile
from benchmarks.load import LoadFailed
from benchmarks.progress import Progress
from benchmarks.servers import HOST, TWISTD, Running, await_answer, started
from benchmarks.stall_probe import answered, request
from tests.historic.client import HistoricClient
from tests.webrtc.browsers import desk
from tests.webrtc.installation import MUSIC, installed
from tests.webrtc.network import network
from tests.webrtc.phone import Phone

PORT = 48086
CONFIGURATION = """\
[suite]
web = false
status-address = {host}
status-port = {status_port}
state-directory = {directory}

[turn]
listening-ip = {host}
listening-port = {stun_port}
stun-only
no-tls

[rsmp]
sip-address = {host}
sip-port = 48066
sip-proxy = {host}:48060
http-port = {port}
web-ice-addresses = {host}

[log]
all = {directory}/log
verbose = standard
"""
STALL = Goal(50, 20)
"""Milliseconds that others wait, p99, while two thousand polls are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is done."""

    handshakes: int
    calls: int
    polls: int
    clicks: int
    limit: float


FULL = Extent(handshakes=1500, calls=40, polls=2000, clicks=10, limit=200)
QUICK = Extent(handshakes=300, calls=10, polls=400, clicks=3, limit=80)


@dataclass(slots=True, kw_only=True)
class BrowserBench(Progress):
    """One run of the table."""

    extent: Extent
    load_cpu: int = 1
    start: Callable[[], AbstractContextManager[Running]]


@contextlib.contextmanager
def gateway(cpu: int = 0) -> Iterator[Running]:
    """This checkout's gateway, on the CPU; calls go to ``self``, so nobody else is needed."""
    with tempfile.TemporaryDirectory(prefix="browser-bench-") as name:
        directory = Path(name)
        stun_port = PORT + 2
        text = CONFIGURATION.format(
            host=HOST, port=PORT, stun_port=stun_port, status_port=PORT + 1, directory=name
        )
        (directory / "suite.conf").write_text(text)
        output = directory / "output"
        command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", f"--logfile={output}"]
        command += ["webrtc-suite", "--config", f"{directory}/suite.conf"]
        with started(command, cpu, output) as process:
            logs = [directory / "log", output]
            question, is_answer = request(0), lambda data: answered(data) == 0
            await_answer(process, (HOST, stun_port), question, is_answer, logs)
            time.sleep(0.5)
            yield Running("ours", process)


# --- handshakes ----------------------------------------------------------------------------------


def handshakes(bench: BrowserBench) -> Iterator[Row]:
    """Handshakes in memory; only what our side of them takes is counted."""
    with tempfile.TemporaryDirectory(prefix="browser-bench-") as name:
        identity = DtlsIdentity.load(DtlsSettings(state_directory=Path(name)))
        costs = [shake(identity) for _ in range(bench.extent.handshakes)]
    middle = statistics.median(costs)
    yield Row(
        name="dtls",
        figure="DTLS handshakes/s of one core",
        measured=1e6 / statistics.fmean(costs),
        ours=f"median {number(middle)} us",
        note=f"{len(costs)} handshakes, ECDSA P-256, as the server, keys of SRTP included",
    )


def shake(identity: DtlsIdentity) -> float:
    """One handshake; CPU microseconds of the server."""
    now, spent = time.monotonic(), 0
    client = DtlsAssociation(identity, is_client=True, fingerprints=(identity.fingerprint,))
    before = time.thread_time_ns()
    server = DtlsAssociation(identity, is_client=False, fingerprints=(identity.fingerprint,))
    server.start(now)
    spent += time.thread_time_ns() - before
    client.start(now)
    for turn in range(10):
        sent = client.take_datagrams()
        before = time.thread_time_ns()
        for datagram in sent:
            server.receive(datagram, now)
        answers = server.take_datagrams()
        spent += time.thread_time_ns() - before
        for datagram in answers:
            client.receive(datagram, now)
        if not turn:
            # A browser comes again with a cookie at once, and says nothing before that.
            client.take_datagrams()
        client.handle_timeout(now + COOKIE_PATIENCE)
        if client.state is server.state is DtlsState.CONNECTED:
            return spent / 1000
    raise LoadFailed(f"the handshake ended as {server.state}: {server.failure}")


# --- calls ---------------------------------------------------------------------------------------


def calls(bench: BrowserBench) -> Iterator[Row]:
    """Calls to ``self`` that stand at once: what one takes of CPU and memory."""
    count = bench.extent.calls
    with bench.start() as server, _on_cpu(bench.load_cpu):
        asyncio.run(_standing(1))
        before, spent = server.resident_kb(), server.cpu_ms()
        found: list[int] = []

        def stand() -> None:
            found.append(server.resident_kb())

        setups = asyncio.run(_standing(count, stand))
        cpu = server.cpu_ms() - spent
    yield Row(
        name="web-memory",
        figure="resident memory per browser's call, kB",
        measured=(found[0] - before) / count,
        ours=f"{number((found[0] - before) / count)} kB",
        note=f"{count} audio calls to self at once: ICE, DTLS, one port each",
    )
    yield Row(
        name="web-setup",
        figure="from the click to the media path p50, ms",
        measured=1000 * statistics.median(setups),
        ours=f"p99 {number(1000 * percentile(sorted(setups), 0.99))} ms",
        note="one after the other, sign-in excluded; half of it is the client's, aiortc",
    )
    yield Row(
        name="web-cpu",
        figure="CPU of the server per browser's call, ms",
        measured=cpu / count,
        ours=f"{number(cpu / count)} ms",
        note="sign-in, call, a few seconds of its audio, hang-up, sign-out",
    )


async def _standing(count: int, then: Callable[[], None] = lambda: None) -> list[float]:
    """So many calls at once; how long each took to stand."""
    # aioice leaves out 127.0.0.1, where everything here happens.
    with mock.patch("aioice.ice.get_host_addresses", lambda **_: [HOST]):
        clients, setups = [], []
        try:
            for _ in range(count):
                client = HistoricClient((HOST, PORT))
                clients.append(client)
                await client.connect()
                began = time.monotonic()
                await client.make_offer("self")
                await client.connected(20.0)
                setups.append(time.monotonic() - began)
            then()
        finally:
            for client in clients:
                with contextlib.suppress(Exception):
                    await client.leave()
        return setups


@contextlib.contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- polls ---------------------------------------------------------------------------------------


def polls(bench: BrowserBench) -> Iterator[Row]:
    """Anonymous pages that only wait: memory of each, and how quick others are answered."""
    count = bench.extent.polls
    with bench.start() as server, _on_cpu(bench.load_cpu):
        before = server.resident_kb()
        spent, seconds, waits, resident = asyncio.run(_parked(server, count))
    waits.sort()
    yield Row(
        name="polls-memory",
        figure="resident memory per parked poll, kB",
        measured=(resident - before) / count,
        ours=f"{number((resident - before) / count)} kB",
        note=f"{count} sessions, each with its poll and its connection",
    )
    yield Row(
        name="polls-ping",
        figure="GET /ping p99 beside them, ms",
        goal=STALL,
        measured=1000 * percentile(waits, 0.99),
        ours=f"p50 {number(1000 * percentile(waits, 0.5))} ms",
        note=f"50 a second for {seconds:.0f} s; {100 * spent / 1000 / seconds:.1f} % of a core",
    )


async def _parked(server: Running, count: int) -> tuple[float, float, list[float], int]:
    parked = []
    try:
        for first in range(0, count, 50):
            parked += await asyncio.gather(*(_park(n) for n in range(first, first + 50)))
        await asyncio.sleep(1)
        resident, spent, began = server.resident_kb(), server.cpu_ms(), time.monotonic()
        waits = [await _ping() for _ in range(250)]
        return server.cpu_ms() - spent, time.monotonic() - began, waits, resident
    finally:
        for writer in parked:
            writer.close()


async def _park(number_of_page: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection(HOST, PORT)
    writer.write(_get(f"/sign_in?anon{number_of_page:032d}"))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if not head.startswith("HTTP/1.1 200"):
        raise LoadFailed(f"sign-in was answered {head.splitlines()[0]}")
    length = next(
        int(line.partition(":")[2])
        for line in head.splitlines()
        if line.lower().startswith("content-length")
    )
    body = (await reader.readexactly(length)).decode()
    sid = body.splitlines()[0].partition("=")[2]
    writer.write(_get(f"/wait?id={sid}"))
    return writer


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\n\r\n".encode()


async def _ping() -> float:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(HOST, PORT)
    writer.write(_get("/ping"))
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    waited = time.monotonic() - began
    await asyncio.sleep(max(0.0, 0.02 - waited))
    return waited


# --- a browser -----------------------------------------------------------------------------------

DIAL = """async (to) => {
  const begun = performance.now();
  await phone.dial({ to, media: { audio: true } });
  const { ok } = await phone.answered({ seconds: 10 });
  const answered = performance.now() - begun;
  const heard = await rig.untilHeard({ hz: null, seconds: 10 });
  return { ok: ok && heard.ok, answered, heard: performance.now() - begun - HEARING };
}""".replace("HEARING", "160")
"""The rig says that it has heard a sound when it has done so for 160 ms."""


def clicks(count: int) -> list[tuple[float, float]]:
    """Milliseconds until each call was answered, and until it was heard."""
    found = []
    with ExitStack() as stack:
        place = stack.enter_context(network())
        suite = stack.enter_context(installed())
        at = stack.enter_context(desk(place, [suite.authority]))
        url = f"{at.driver.url}/phone.html"
        tab = stack.enter_context(at.chromium.page(url, tone=440))
        phone = Phone(tab, suite.url, "1001")
        phone.sign_in()
        suite.until_registered("1001")
        for _ in range(count):
            got = tab.run(DIAL, MUSIC)
            if not got["ok"]:
                raise LoadFailed(f"Chromium did not hear the call: {got}")
            found.append((got["answered"], got["heard"]))
            phone.hang_up()
            phone.ended()
            tab.hears_nothing()
    return found


def click(bench: BrowserBench) -> Iterator[Row]:
    """Chromium calls the lab's phones: until the call stands, and until it is heard."""
    try:
        found = clicks(bench.extent.clicks)
    except AssertionError as failure:
        # The rig's own: a browser that does not start, a page that does not hear.
        raise LoadFailed(str(failure).splitlines()[0]) from failure
    answered_after, heard_after = (sorted(side) for side in zip(*found, strict=True))
    yield Row(
        name="click",
        figure="from the click to the first sound p50, ms",
        measured=percentile(heard_after, 0.5),
        ours=f"most {number(heard_after[-1])} ms; answered after {answered_after[0]:.0f} ms",
        note=f"{len(found)} calls of Chromium to the lab's music, G.711, candidates included",
    )


Benchmark = Callable[[BrowserBench], Iterator[Row]]
BENCHMARKS: Mapping[str, Benchmark] = {
    "dtls": handshakes,
    "web-calls": calls,
    "polls": polls,
    "click": click,
}
