"""coturn's load client ``turnutils_uclient``, what it says, and what it is asked to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.peers import (
    PASSWORD,
    SECRET,
    USER,
    Coturn,
    Place,
    RelayProcess,
    SuiteProcess,
    run_tool,
    turn_peer,
)

MESSAGES = 10
CLIENTS = 2
# This client takes channels up to 0x7FFF, as RFC 5766 let it; coturn 4.6 knows no other way.
OPTIONS = ("allow-loopback-peers", "rfc5766-channel-numbers")
PLACE = Place(addresses=("127.0.0.1", "::1"))

_LOST = re.compile(r"Total lost packets (\d+) ")
_RECEIVED = re.compile(r"start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)")
_ERROR_CODE = re.compile(r"error (\d{3})\b")
_STAMP = re.compile(r"^\d+: : ")
_ASKED_TWICE = "trying again"
_ALONE = 3
"""Times that a scenario is run by itself when the client was kept waiting among the others."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to call the client: its flags, and what they make it do."""

    flags: str
    meaning: str
    rest: bool = False
    """With REST credentials (-W) in place of a user and a password."""
    quick: bool = False
    """It leaves at once and sends nothing, so there is nothing to count."""
    leaves: bool = False
    """
    It closes its sockets in the moment in which more than five packets were due, that is when it
    had no processor for a while: what it then loses says nothing of a server.
    """
    provoked: frozenset[str] = frozenset()
    """
    Errors that the client asks for, by chance more in one run than in another. One that gives up
    at such an answer has not failed.
    """
    drawn: frozenset[str] = frozenset()
    """Errors that a draw of the client's brings now and then; a run that has one is done again."""

    def is_by_chance(self, run: Run) -> bool:
        """Whether a run says nothing of the server, and another one would."""
        # The quick ones ask again and again without waiting: that is what they are for.
        return not self.quick and (run.asked_twice or not self.drawn.isdisjoint(run.complaints))


TOKEN_TWICE = frozenset(["error 404", "error 508"])
"""
In its quick mode the client now and then makes two allocations of one token and gives up when the
second is refused: with code 404 by coturn, five times of sixty, with the RFC's 508 by us.
"""

UDP = (
    Scenario("-X -c", "IPv4 asked for by name, channels"),
    Scenario("-X", "with an RTCP port pair (EVEN-PORT, RESERVATION-TOKEN)"),
    Scenario("-s -c", "Send and Data indications"),
    Scenario("-s", "Send and Data indications, port pairs"),
    Scenario("-D", "channel data padded to four bytes"),
    Scenario("-y", "client to client through two relays"),
    Scenario("-y -c -D", "client to client, padded channel data"),
    Scenario("-y -s", "client to client with indications"),
    Scenario("-B", "clients that leave without a word", leaves=True),
    Scenario("-y -B", "the same, client to client", leaves=True),
    Scenario("-O", "allocate, bind, vanish", quick=True, provoked=TOKEN_TWICE),
    Scenario(
        "-G",
        "extra requests, some for peers of the wrong family",
        provoked=frozenset(["error 443"]),
        # Up to 24 more channels, of 16,384 numbers: one may be bound already (RFC 8656, 12.2).
        drawn=frozenset(["error 400"]),
    ),
    Scenario("-c -l 1200", "large packets"),
    Scenario("-g", "with DONT-FRAGMENT"),
)
TCP = (
    Scenario("-t", "over TCP, port pairs"),
    Scenario("-t -c", "over TCP, channels"),
    Scenario("-t -s", "over TCP, indications"),
    Scenario("-t -y", "over TCP, client to client"),
    Scenario("-t -y -s -c", "over TCP, client to client, indications"),
    Scenario("-t -B", "over TCP, clients that leave without a word", leaves=True),
    Scenario("-t -O", "over TCP: allocate, bind, vanish", quick=True, provoked=TOKEN_TWICE),
)
TLS = (
    Scenario("-t -S -c", "over TLS, channels"),
    Scenario("-t -S -X", "over TLS, port pairs"),
    Scenario("-t -S -s", "over TLS, indications"),
    Scenario("-t -S -y", "over TLS, client to client"),
    Scenario("-t -S -c -z 1", "over TLS, frames close behind each other"),
)
IPV6 = (
    Scenario("-x -c", "an IPv6 relay for an IPv4 client"),
    Scenario("-x", "an IPv6 relay, port pairs"),
    Scenario("-x -y", "IPv6 relays, client to client"),
    Scenario("-x -t", "an IPv6 relay over TCP"),
    Scenario("-Z", "an IPv4 and an IPv6 relay in one allocation"),
    Scenario("-x -t -S -c", "an IPv6 relay over TLS"),
)
REST = (
    Scenario("-c", "over UDP", rest=True),
    Scenario("-t -c", "over TCP", rest=True),
    Scenario("-y", "client to client", rest=True),
)
ALL = (*UDP, *TCP, *TLS, *IPV6, *REST)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the client came to."""

    exit_code: int
    received: int
    lost: int | None
    """None: it gave up before it could count."""
    complaints: frozenset[str]
    """Error codes it was answered with, and other lines with the word error, as they come."""
    output: str

    @property
    def asked_twice(self) -> bool:
        """
        Whether the client heard nothing for a moment and asked again.

        It does so as a new transaction, not as a retransmission, and so earns the error of the
        RFC for a second request. Where several clients share two processors that happens now and
        then, with either server, and says nothing of them.
        """
        return _ASKED_TWICE in self.output

    def is_as_clean_as(self, other: Run, *, leaves: bool = False) -> bool:
        """Whether nothing went wrong here that did not go wrong there too; see ``Scenario``."""
        if self.exit_code != 0 and other.exit_code == 0:
            return False
        if self.lost is None and other.lost is not None:
            return False
        is_lossless = leaves or (self.lost or 0) <= (other.lost or 0)
        return is_lossless and self.complaints <= other.complaints

    def cell(self) -> str:
        """For a table."""
        if self.exit_code != 0:
            return f"exit {self.exit_code}" + self._complaints()
        return ("done" if self.lost is None else f"{self.lost} lost") + self._complaints()

    def _complaints(self) -> str:
        return "".join(f", {complaint}" for complaint in sorted(self.complaints))


def read_run(exit_code: int, output: str, provoked: frozenset[str] = frozenset()) -> Run:
    """The parse: its exit code says little, its words say it all."""
    lost = _LOST.search(output)
    received = _RECEIVED.findall(output)
    complaints = frozenset(_complaints(output))
    gave_up = bool(complaints) and complaints <= provoked
    return Run(
        exit_code=0 if gave_up else exit_code,
        received=int(received[-1][1]) if received else 0,
        lost=int(lost.group(1)) if lost else None,
        complaints=complaints - provoked,
        output=output,
    )


def _complaints(output: str) -> Iterator[str]:
    """
    Alerts of TLS do not count: the client tries versions at random, old ones too, until it is in.
    """
    for line in output.splitlines():
        text = _STAMP.sub("", line).strip()
        if code := _ERROR_CODE.search(text):
            yield f"error {code.group(1)}"
        elif "error" in text.lower() and "SSL routines" not in text:
            yield text


def run_uclient(relay: RelayProcess, scenario: Scenario, echo: dict[str, int], source: str) -> Run:
    """
    Run it once against ``relay``; ``echo`` gives the echo peer's port by its host.

    A source of its own keeps it clear of what a server allows one source that is not known yet.
    """
    flags = scenario.flags.split()
    peer = "::1" if "-x" in flags else "127.0.0.1"
    arguments = [
        *(["-W", SECRET, "-u", "agent"] if scenario.rest else ["-u", USER, "-w", PASSWORD]),
        *([] if "-y" in flags else ["-e", peer, "-r", str(echo[peer])]),
        *["-n", str(MESSAGES), "-m", str(CLIENTS), "-L", source],
        *["-p", str(relay.tls_port if "-S" in flags else relay.port)],
        *flags,
        relay.host,
    ]
    ended = run_tool(relay.place, "turnutils_uclient", *arguments)
    return read_run(ended.returncode, ended.stdout, scenario.provoked)


@dataclass(frozen=True, slots=True)
class Pair:
    """One scenario with both servers."""

    scenario: Scenario
    ours: Run
    coturn: Run


@contextmanager
def echo_peers() -> Iterator[dict[str, int]]:
    """coturn's own echo peer on each loopback address."""
    with ExitStack() as stack:
        yield {host: stack.enter_context(turn_peer(host)) for host in PLACE.addresses}


def compare(scenarios: Sequence[Scenario]) -> list[Pair]:
    """Every scenario with both servers. The client mostly waits, so several run at a time."""
    rest = scenarios[0].rest
    with (
        SuiteProcess.started(OPTIONS, place=PLACE, rest=rest) as ours,
        Coturn.started(OPTIONS, place=PLACE, rest=rest) as coturn,
        echo_peers() as echo,
        ThreadPoolExecutor(6) as pool,
    ):
        sources = {one: f"127.0.8.{number}" for number, one in enumerate(scenarios, 1)}
        tasks = [
            (
                one,
                [pool.submit(run_uclient, relay, one, echo, source) for relay in (ours, coturn)],
            )
            for one, source in sources.items()
        ]
        pairs = [Pair(one, *(task.result() for task in pair)) for one, pair in tasks]
        return [_alone(pair, ours, coturn, echo, sources[pair.scenario]) for pair in pairs]


def _alone(
    pair: Pair, ours: RelayProcess, coturn: RelayProcess, echo: dict[str, int], source: str
) -> Pair:
    """The pair, run anew with nothing beside it as long as chance had a hand in it."""
    for _ in range(_ALONE):
        if not any(pair.scenario.is_by_chance(run) for run in (pair.ours, pair.coturn)):
            break
        runs = [run_uclient(relay, pair.scenario, echo, source) for relay in (ours, coturn)]
        pair = Pair(pair.scenario, *runs)
    return pair
