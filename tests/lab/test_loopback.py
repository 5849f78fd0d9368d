"""The lab over real sockets: registered, called, commanded, killed."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from suite.lab.errors import LabError
from suite.lab.lab import Lab
from suite.lab.settings import LabSettings
from tests.lab.client import LOOP, Client, until

SETTINGS = LabSettings(
    server_a=("127.0.0.11", 0),
    server_b=("127.0.0.12", 0),
    name_server=("127.0.0.10", 0),
    echo=("127.0.0.13", 0),
    music=("127.0.0.13", 0),
    password="secret",
)


class LabCase(TestCase):
    """A lab on free ports, and DN 1001."""

    timeout = 30

    def setUp(self) -> None:
        """Start both."""
        self.lab = Lab(SETTINGS, LOOP, reactor)  # type: ignore[arg-type]
        self.lab.start()
        self.addCleanup(self.finish)
        self.a, self.b = self.lab.servers
        self.client = self.make_client("1001")

    def make_client(self, dn: str, transport: str = "UDP") -> Client:
        """Another DN."""
        server = self.a.address[0], self.a.ports[transport]
        client = Client(dn, "secret", SETTINGS.domain, server, transport)
        self.addCleanup(client.stop)
        return client

    async def finish(self) -> None:
        """Stop the lab, and let its connections end."""
        await self.lab.stop()

    async def do(self, line: str) -> str:
        """Give a command."""
        return await self.lab.command(line.split())

    async def refusal(self, line: str) -> str:
        """Give a command that cannot be obeyed."""
        try:
            said = await self.lab.command(line.split())
        except LabError as error:
            return str(error)
        raise AssertionError(said)

    def state(self) -> str:
        """Of the latest call."""
        return self.lab.status().calls[-1].state


class ThirdPartyTests(LabCase):
    """Calls that the lab makes."""

    async def test_goes_on_after_a_kill(self) -> None:
        """The dialog of a call that A made is carried on by B."""
        self.assertEqual(200, (await self.client.register()).status)
        said = await self.do("call 1001 echo")
        self.assertEqual("c1: 1001 and 7001 are talking", said)
        self.assertEqual(self.a.address, self.client.from_[-1])
        await self.do("kill A")
        self.client.server = self.b.address
        said = await self.do("hold c1")
        self.assertEqual("c1: 1001 and 7001: held", said)
        notify = self.client.last("NOTIFY")
        self.assertEqual("hold", notify.get("Event"))
        self.assertEqual(self.b.address, self.client.from_[-1])
        said = await self.do("retrieve c1")
        self.assertEqual("c1: 1001 and 7001 are talking", said)
        said = await self.do("hangup c1")
        self.assertEqual("c1: 1001 and 7001: ended: by command", said)
        await until(lambda: "Ended" in self.client.events, "hung up")
