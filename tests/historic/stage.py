"""
The suite with its lab and its gateway, in a network of their own, for all tests of a class.

The suite is a process like any install's; what tests know of it is its configuration, its HTTP
ports and the lab's commands.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from suite.cli import environment, twistd_command
from tests.historic.client import HistoricClient
from tests.historic.loop_thread import LoopThread
from tests.historic.peer import Kind
from tests.historic.sip_phone import SipPhone
from tests.historic.wire_http import Browser, Page, Reply
from tests.namespaces import may_make_namespaces, network_namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import RunningProgram, lack, running

HOST = "127.0.0.1"
GATEWAY = (HOST, 8086)
STATUS = (HOST, 9641)
SIP = (HOST, 5066)
PASSWORD = "seeded-password-c7a2"
ECHO, MUSIC = "7001", "7002"
"""The lab's phones."""
OWN_ECHO = "1999"
"""The B2BUA's own."""
MELODY = (523, 659, 784)

_SECTIONS: Mapping[str, Sequence[str]] = {
    "suite": (
        "web = false",
        "turn = false",
        f"status-address = {HOST}",
        "status-port = 9641",
    ),
    "rsmp": (
        f"sip-address = {HOST}",
        "sip-port = 5066",
        "sip-register = 1000-1999",
        "http-port = 8086",
        f"web-ice-addresses = {HOST}",
    ),
    "b2bua": (f"echo = {OWN_ECHO}",),
    "users": (f"1950 = {PASSWORD}",),
    "lab": ("enabled = true",),
    "log": ("verbose = debug", "all = stdout"),
}


class Stage:
    """A suite that runs in ``folder``."""

    def __init__(self, folder: Path, thread: LoopThread, space: Any, more: Mapping[str, Any]):
        self.thread = thread
        self._folder, self._space = folder, space
        self._stack = ExitStack()
        self._log_number = 0
        self.program: RunningProgram
        sections = {name: [*lines, *more.get(name, ())] for name, lines in _SECTIONS.items()}
        sections["suite"].append(f"state-directory = {folder}")
        text = "".join(
            f"[{name}]\n" + "".join(f"{line}\n" for line in lines)
            for name, lines in sections.items()
        )
        self._configuration = folder / "suite.conf"
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(text)

    def start(self) -> None:
        """Run it, until it is ready."""
        self._log_number += 1
        command = self._space.command(*twistd_command(["--config", str(self._configuration)]))
        own = {"HOME": str(self._folder), "XDG_STATE_HOME": str(self._folder)}
        log = self._folder / f"log{self._log_number}"
        self._stack = ExitStack()
        self.program = self._stack.enter_context(
            running(command, log, {**environment(os.environ, CHECKOUT), **own})
        )
        self.program.wait_for(self._is_ready, "ready")

    def stop(self) -> None:
        """End it, and judge what it said."""
        with self._stack:
            judge_suite(self.program, self.program.stop(), (PASSWORD,))

    def kill(self) -> None:
        """Let it die without a word."""
        with self._stack:
            self.program.send_signal(signal.SIGKILL)
            self.program.wait(5)

    def _is_ready(self) -> bool:
        return bool(self.thread.run(self._asks_ready()))

    async def _asks_ready(self) -> bool:
        try:
            ready = (await self.ask(STATUS, "/health/ready")).status == 200
            await self.ask(GATEWAY, "/ping")
        except OSError:
            return False
        registered = (await self.lab_status())["registrations"]
        return ready and any(one["dn"] == OWN_ECHO for one in registered)

    async def ask(self, where: tuple[str, int], target: str, body: str = "") -> Reply:
        """A plain request, not a page's."""
        headers = [("Host", f"{where[0]}:{where[1]}")]
        if body:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        method = "POST" if body else "GET"
        return await Browser(where, Page()).raw(method, target, headers, body.encode())

    async def lab(self, words: str) -> str:
        """Give the lab a command; what it says."""
        body = json.dumps({"words": words.split()})
        reply = await self.ask(STATUS, "/api/lab/command", body)
        if reply.status != 200:
            raise AssertionError(f"{words}: {reply.text}")
        return reply.text

    async def lab_status(self) -> Any:
        """All that the lab knows."""
        told = json.loads((await self.ask(STATUS, "/api/lab/status")).text)
        return told.get("lab", told)

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = (await self.ask(STATUS, "/metrics")).text
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return sum(float(row[1]) for row in rows if row[0].split("{")[0] == name)


class StageTestCase(SynchronousTestCase):
    """Tests that share a suite. ``more`` has lines of suite.conf by section."""

    more: ClassVar[Mapping[str, Sequence[str]]] = {}
    stage: ClassVar[Stage]
    thread: ClassVar[LoopThread]
    _stack: ClassVar[ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        """Make the network, and start the suite in it."""
        lack(None if may_make_namespaces() else "only root can have sockets in another network")
        with ExitStack() as stack:
            space = stack.enter_context(network_namespace([]))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="webrtc-suite-test-"))
            cls.thread = LoopThread(space.inside())
            stack.callback(cls.thread.stop)
            cls.stage = Stage(Path(folder), cls.thread, space, cls.more)
            cls.stage.start()
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        """Judge it, and end it."""
        with cls._stack:
            cls.stage.stop()

    def setUp(self) -> None:
        """Nobody is there yet."""
        self._clients: list[HistoricClient] = []
        self._phones: list[SipPhone] = []
        self.addCleanup(lambda: self.thread.run(self._leave()))

    def client(self, page: Page | None = None, **told: Any) -> HistoricClient:
        """A page with the old client; it leaves at the end of the test."""
        made = HistoricClient(GATEWAY, page or Page(), **told)
        self._clients.append(made)
        return made

    async def signed_in(self, dn: str, page: Page | None = None, **told: Any) -> HistoricClient:
        """One that has signed in, and can be called."""
        made = self.client(page, **told)
        await made.register(dn)
        self.assertEqual(1, len(made.named("onRegister")), made.story("signed in"))
        await self.registered(dn)
        return made

    async def registered(self, dn: str) -> None:
        """Wait until the SIP Server knows a DN, which it does a moment after its sign-in."""
        for _ in range(100):
            status = await self.stage.lab_status()
            if any(one["dn"] == dn for one in status["registrations"]):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{dn} is not registered: {status['registrations']}")

    async def phone(self, dn: str, kinds: tuple[str, ...] = ("audio",)) -> SipPhone:
        """A plain phone that is registered, and can be called."""
        made = SipPhone(dn, SIP)
        self._phones.append(made)
        await made.start(kinds)
        await self.registered(dn)
        return made

    async def _leave(self) -> None:
        leaving = [*(one.leave() for one in self._clients), *(one.stop() for one in self._phones)]
        await asyncio.gather(*leaving)

    def clean(self, *clients: HistoricClient) -> None:
        """Nothing came that the old client cannot live with."""
        for one in clients:
            self.assertEqual([], one.all_faults(), one.story("clean"))


__all__ = ["ECHO", "GATEWAY", "MUSIC", "OWN_ECHO", "PASSWORD", "SIP", "STATUS", "Kind"]
__all__ += ["Stage", "StageTestCase"]
