"""
One SIP Server and one suite for all tests of a class, and what is checked once they are over.

What the suite sent in all of them is put before tshark, its log must be clean, and no call may be
left: a test that leaves something behind fails its class.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.conversation import Conversation
from tests.sippeers.dissect import complaints, write_capture
from tests.sippeers.kamailio import Kamailio, Settings, kamailio
from tests.sippeers.sipp import Run, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

__all__ = ["PASSWORD", "Conversation", "Endpoint", "StageTestCase", "own_address", "sipp"]


class StageTestCase(SynchronousTestCase):
    """Tests that share a Kamailio as the SIP Server and a suite that belongs to it."""

    echo_answer: ClassVar[str] = "at-once"
    transport: ClassVar[str] = "udp"
    server: ClassVar[Kamailio]
    suite: ClassVar[Suite]
    _stack: ClassVar[ExitStack]
    _heard: ClassVar[list[Conversation]]
    _ports: ClassVar[count[int]]

    @classmethod
    def setUpClass(cls) -> None:
        """Start both."""
        cls._stack, cls._heard, cls._ports = ExitStack(), [], count(5100)
        with ExitStack() as stack:
            at = Endpoint(own_address())
            cls.server = stack.enter_context(kamailio(Settings(at=at, password=PASSWORD)))
            config = Config(
                servers=(at,),
                echo_answer=cls.echo_answer,
                transport=cls.transport,
                # Tests with many calls at once are not about how many one DN may have.
                more={"b2bua": ["calls-per-dn = 100"]},
            )
            cls.suite = stack.enter_context(suite(config))
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        """Judge what they leave, and end them."""
        with cls._stack, tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
            _wait_until_quiet(cls.suite)
            capture = Path(name, "sent.pcap")
            if write_capture(capture, cls._heard) and (found := complaints(capture)):
                raise AssertionError("tshark finds faults in what we sent:\n" + "\n".join(found))

    def server_port(self) -> Endpoint:
        """Another port of the SIP Server's host: to the suite it is the server who calls."""
        return self.server.at.at(next(self._ports))

    def plays(self, scenario: str, *, pause: float = 0.3, **told: object) -> Conversation:
        """SIPp as the SIP Server, calling a DN of the suite."""
        run = Run(
            scenario=scenario,
            at=self.server_port(),
            to=self.suite.at,
            options=("-d", str(round(pause * 1000))),
            **told,  # type: ignore[arg-type]
        )
        return self.hear(play(run))

    def hear(self, said: Conversation) -> Conversation:
        """Remember what the suite sent, for tshark."""
        self._heard.append(said)
        return said

    def far_end(self, scenario: str) -> tuple[Run, str]:
        """Whoever is behind the SIP Server, and the number to call there."""
        at = self.server_port()
        return Run(scenario=scenario, at=at), f"1{at.port}"


def together(runs: list[Run]) -> list[Conversation]:
    """Several SIPps at the same time, each to its end."""
    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(play, runs))


def _wait_until_quiet(one: Suite) -> None:
    one.program.wait_for(lambda: one.metric("sgw_calls_active") == 0, "without calls", 5)
