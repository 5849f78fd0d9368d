"""What happens when something dies: a SIP Server, the suite, a tab."""

from __future__ import annotations

import pytest

from tests.historic.client import CONNECTED, HistoricClient
from tests.historic.loop_thread import on_loop
from tests.historic.peer import BrowserPeer
from tests.historic.stage import ECHO, StageTestCase
from tests.historic.waiting import holds, until
from tests.historic.wire_http import FIREFOX, Page, Reply

TONE = 450
LONGEST_GAP = 0.3
"""Seconds of silence that nobody takes for a broken call."""


class ServerDeathTests(StageTestCase):
    """The SIP Server in use dies."""

    async def finish(self, client: HistoricClient) -> None:
        """The lab is whole again."""
        await client.disconnect()
        await self.stage.lab("revive A")

    @on_loop
    async def test_call_goes_on(self) -> None:
        """The voice does not stop; hold, resume and the next call go over the other server."""
        phone = await self.phone("1101")
        client = await self.signed_in("1001")
        await client.make_offer("1101")
        await client.connected()
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone's tone")
        client.media.ear().forget()
        phone.ear.forget()
        await self.stage.lab("kill A")
        await client.hold_call()
        await until(lambda: not client.media.mouth().speaks, "held", 10)
        self.assertLess(client.media.ear().longest_gap, LONGEST_GAP)
        self.assertLess(phone.ear.longest_gap, LONGEST_GAP)
        await client.resume_call()
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone again", 10)
        await client.close_session()
        await until(lambda: not phone.is_up, "BYE", 10)
        await client.make_offer(ECHO)
        await client.connected()
        await until(lambda: client.media.ear().tone(TONE) > 0.8, "our own tone")
        self.clean(client)
        await self.finish(client)

    @on_loop
    async def test_next_call(self) -> None:
        """A frozen server costs the next call the failover time, no more."""
        client = await self.signed_in("1002")
        status = await self.stage.lab_status()
        active = next(server["name"] for server in status["servers"] if server["active"])
        await self.stage.lab(f"freeze {active}")
        await client.make_offer(ECHO)
        await client.connected(10)
        await until(lambda: client.media.ear().tone(TONE) > 0.8, "our own tone")
        self.clean(client)
        await client.disconnect()
        await self.stage.lab(f"revive {active}")


class RestartTests(StageTestCase):
    """The suite itself is started again."""

    def test_restart(self) -> None:
        """Pages see an error that they can read, in either browser; they sign in, and call."""
        pages = [self.thread.run(self.begin(page)) for page in (Page(), Page(FIREFOX))]
        self.stage.stop()
        self.stage.start()
        for client in pages:
            self.thread.run(self.come_back(client))

    async def begin(self, page: Page) -> HistoricClient:
        """A page that has a call with itself."""
        client = await self.signed_in("1001", page)
        await client.make_offer(ECHO)
        await client.connected()
        return client

    async def come_back(self, client: HistoricClient) -> None:
        """After two errors the application registers again."""

        def readable() -> list[Reply]:
            return [e for e in client.named("onConnectionError") if isinstance(e, Reply)]

        await until(readable, lambda: client.story("an error that the page can read"), 10)
        self.assertGreaterEqual(readable()[0].status, 400)
        await client.close_tab()
        again = await self.signed_in("1001", client.page)
        await again.make_offer(ECHO)
        await again.connected()
        await until(lambda: again.media.ear().tone(TONE) > 0.8, "our own tone")
        self.clean(again)


class TabTests(StageTestCase):
    """Somebody closes the tab in the middle of a call, and nothing is sent any more."""

    @pytest.mark.slow
    @on_loop
    async def test_closed_tab(self) -> None:
        """Phone and page at the other ends hear BYE, long before ICE's consent is over."""
        phone = await self.phone("1101")
        first = await self.talking("1001", "1101")
        second = await self.signed_in("1002")
        third = await self.signed_in("1003")
        await second.make_offer("1003")
        await third.heard("onIncomingCall")
        await third.accept_call()
        await third.connected()
        for ear in (phone.ear, third.media.ear()):
            await until(lambda ear=ear: ear.tone(TONE) > 0.8, "the page's tone")
        await first.close_tab()
        await second.close_tab()
        took = await until(lambda: not phone.is_up, lambda: f"BYE: {phone.story()}", 20)
        await third.heard("onPeerClosing", seconds=5)
        self.assertGreater(took, 5, "a moment without network is no end")

    @on_loop
    async def test_lost_network(self) -> None:
        """Media stop for seven seconds and return: the call is still there."""
        phone = await self.phone("1104")
        client = await self.talking("1004", "1104")
        muted = _Muted(client.media)
        await until(lambda: phone.ear.loudness() < 50, "silence")
        await holds(lambda: phone.is_up and client.call.call_state == CONNECTED, "the call", 7)
        muted.end()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone", 10)
        self.assertTrue(phone.is_up)

    async def talking(self, dn: str, other: str) -> HistoricClient:
        """A page in a call with a phone."""
        client = await self.signed_in(dn)
        await client.make_offer(other)
        await client.connected()
        return client


class _Muted:
    """A client whose datagrams reach nobody."""

    def __init__(self, media: BrowserPeer) -> None:
        pair = media.transport.connection._nominated[1]
        self._transport = pair.protocol.transport
        self._sendto = self._transport.sendto
        pair.protocol.transport = self
        self._protocol = pair.protocol

    def sendto(self, data: bytes, addr: object = None) -> None:
        """Drop it."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def end(self) -> None:
        """Let them through again."""
        self._protocol.transport = self._transport
