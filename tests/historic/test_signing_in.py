"""Signing in: who may, by which request, and what pages of other sites see."""

from __future__ import annotations

import asyncio
import re

from tests.historic.client import HistoricClient
from tests.historic.loop_thread import on_loop
from tests.historic.stage import ECHO, GATEWAY, PASSWORD, StageTestCase
from tests.historic.waiting import holds, until
from tests.historic.wire_http import FIREFOX, Browser, NetworkFailure, Page, Reply

PAGE = "http://127.0.0.1:8090"


class SignInTests(StageTestCase):
    """What an application does first."""

    @on_loop
    async def test_ping(self) -> None:
        """A monitor reads the word up."""
        reply = await self.stage.ask(GATEWAY, "/ping")
        self.assertEqual((200, "up"), (reply.status, reply.text.strip()))

    @on_loop
    async def test_dn(self) -> None:
        """A DN that signs in can be called: the SIP Server knows it."""
        client = await self.signed_in("1001")
        self.assertRegex(client.ssid or "", r"^[A-Za-z0-9._~-]+$")
        await self.registered("1001")
        await client.disconnect()
        self.assertEqual([], client.all_faults())

    @on_loop
    async def test_answer_is_plain_text(self) -> None:
        """The old client loses every answer that is not text/plain."""
        client = await self.signed_in("1002")
        for asked, reply in client.browser.replies:
            kind = reply.value("Content-Type") or ""
            self.assertTrue(kind.startswith("text/plain"), f"{asked}: {kind}")

    @on_loop
    async def test_anonymous(self) -> None:
        """A visitor without a DN gets in, and can call."""
        client = self.client()
        await client.connect()
        self.assertEqual(1, len(client.named("onConnect")))
        await client.make_offer(ECHO)
        await client.connected()
        await until(lambda: client.media.ear().tone(450) > 0.8, "our own tone")
        self.clean(client)

    @on_loop
    async def test_plus(self) -> None:
        """A DN may begin with +, bare or escaped; it is never a space."""
        bare, escaped = self.client(), self.client()
        await bare.register("+1003")
        await escaped.register("%2B1003")
        self.assertTrue(bare.ssid and escaped.ssid, bare.story("") + escaped.story(""))
        self.assertNotEqual(bare.ssid, escaped.ssid)

    @on_loop
    async def test_password(self) -> None:
        """The right password opens, a wrong one does not, and the page is told so."""
        right, wrong = self.client(), self.client()
        await right.register("1950", PASSWORD)
        self.assertEqual(1, len(right.named("onRegister")), right.story("right"))
        await wrong.register("1950", "guessed")
        failed = wrong.named("onFailed")
        self.assertEqual(1, len(failed), wrong.story("wrong"))
        self.assertIsInstance(failed[0], Reply, "CORS hides the refusal")
        self.assertIn(failed[0].status, (401, 403))

    @on_loop
    async def test_inverted_register(self) -> None:
        """The copies of the old client say the password undefined, and mean none."""
        client = await self.signed_in("1006", has_inverted_register=True)
        self.assertIn("POST /sign_in", [asked for asked, _ in client.browser.replies])

    @on_loop
    async def test_firefox(self) -> None:
        """Firefox sends no cookie: the id in the URL is enough."""
        client = await self.signed_in("1007", Page(FIREFOX))
        await client.make_offer(ECHO)
        await client.connected()
        self.clean(client)

    @on_loop
    async def test_two_tabs(self) -> None:
        """Two tabs of one browser share one cookie; the id in the URL wins over it."""
        jar: dict[str, str] = {}
        first = await self.signed_in("1008", Page(cookies=jar))
        second = await self.signed_in("1009", Page(cookies=jar))
        self.assertNotEqual(first.ssid, second.ssid)
        caller = await self.phone("1108")
        caller.begin_call("1008")
        self.assertEqual("1108", (await first.heard("onIncomingCall"))["peer"])
        self.assertEqual([], second.named("onIncomingCall"))
        await first.reject_call()
        await caller.finish_call()

    @on_loop
    async def test_two_sessions_of_one_dn(self) -> None:
        """An agent with two pages: both ring, one answers, the other falls silent."""
        first, second = await self.signed_in("1010"), await self.signed_in("1010")
        caller = await self.phone("1110")
        caller.begin_call("1010")
        await first.heard("onIncomingCall")
        await second.heard("onIncomingCall")
        await first.accept_call()
        await caller.finish_call()
        await first.connected()
        await second.heard("onPeerClosing")
        await until(lambda: caller.ear.tone(450) > 0.8, "the agent's tone")
        self.clean(first, second)

    @on_loop
    async def test_out_and_in(self) -> None:
        """Who has signed out is not rung any more, and can come again."""
        client = await self.signed_in("1011")
        dead = client.ssid
        await client.disconnect()
        reply = await Browser(GATEWAY, Page()).get(f"/wait?id={dead}")
        self.assertGreaterEqual(reply.status, 400)
        await client.register("1011")
        self.assertNotEqual(dead, client.ssid)
        self.clean(client)


class PollTests(StageTestCase):
    """The hanging GET."""

    def poll(self, client: HistoricClient) -> str:
        """The target of its poll."""
        return f"/wait?id={client.ssid}"

    @on_loop
    async def test_is_held(self) -> None:
        """While nothing happens nothing is answered, and the application hears nothing."""
        client = await self.signed_in("1001", polling_timeout=0.5)
        count = len(client.events)
        answered = len(client.browser.replies)
        await holds(lambda: len(client.events) == count, "silence", 1.8)
        self.assertEqual(answered, len(client.browser.replies))
        caller = await self.phone("1101")
        caller.begin_call("1001")
        await client.heard("onIncomingCall")
        await client.reject_call()
        await caller.finish_call()
        self.clean(client)

    @on_loop
    async def test_newer_replaces_older(self) -> None:
        """What comes goes to the poll that came last; the older one never says 2xx."""
        client = await self.signed_in("1002")
        await client.stop_polling()
        # Each on a connection of its own: an aborted one would be made again by the browser.
        older, newer = (Browser(GATEWAY, client.page) for _ in range(2))
        first = asyncio.ensure_future(older.get(self.poll(client)))
        await asyncio.wait([first], timeout=0.2)
        second = asyncio.ensure_future(newer.get(self.poll(client)))
        await asyncio.wait([first, second], timeout=0.3)
        self.assertFalse(second.done(), second)
        caller = await self.phone("1102")
        caller.begin_call("1002")
        reply = await second
        self.assertEqual((200, "1102"), (reply.status, reply.value("Pragma")))
        self.assertTrue(reply.text.startswith("SDP"), reply.text[:50])
        gone = (await asyncio.gather(first, return_exceptions=True))[0]
        self.assertTrue(isinstance(gone, NetworkFailure) or gone.status >= 400, gone)
        await caller.cancel()

    @on_loop
    async def test_one_text_each(self) -> None:
        """Texts that wait come one by one, in order, none twice."""
        client = await self.signed_in("1003")
        phone = await self.phone("1103")
        await client.make_offer("1103")
        await client.connected()
        await client.stop_polling()
        for number in range(4):
            await phone.request("INFO", "application/octet-stream", f"n={number}")
        client.begin_polling()
        await client.heard("onInfoFromPeer", 4)
        numbers = [data["n"] for data in client.named("onInfoFromPeer")]
        self.assertEqual(["0", "1", "2", "3"], numbers)

    @on_loop
    async def test_aborted_poll_loses_nothing(self) -> None:
        """Polls that were aborted, as every polling_timeout does it, swallow no text."""
        client = await self.signed_in("1004")
        phone = await self.phone("1104")
        await client.make_offer("1104")
        await client.connected()
        for number in range(8):
            # Whoever answers this has seen the poll, and then that it is gone.
            await self.stage.ask(GATEWAY, "/ping")
            await client.stop_polling()
            await self.stage.ask(GATEWAY, "/ping")
            if number % 2:
                client.begin_polling()
            await phone.request("INFO", "application/octet-stream", f"n={number}")
            if not number % 2:
                client.begin_polling()
            await client.heard("onInfoFromPeer", number + 1)
        numbers = [int(data["n"]) for data in client.named("onInfoFromPeer")]
        self.assertEqual(list(range(8)), numbers)

    @on_loop
    async def test_connections_that_close(self) -> None:
        """Behind a proxy with a connection for each request every text comes once, in order."""
        client = await self.signed_in("1016", Page(keeps_alive=False))
        phone = await self.phone("1116")
        await client.make_offer("1116")
        await client.connected()
        for number in range(10):
            await phone.request("INFO", "application/octet-stream", f"n={number}")
        await client.heard("onInfoFromPeer", 10)
        # Whoever is about to say something twice does so before this is answered.
        await self.stage.ask(GATEWAY, "/ping")
        await holds(lambda: len(client.named("onInfoFromPeer")) == 10, "no more texts", 0.2)
        numbers = [int(data["n"]) for data in client.named("onInfoFromPeer")]
        self.assertEqual(list(range(10)), numbers)


class OriginTests(StageTestCase):
    """Pages of other sites; with the lab those of this machine are the ones allowed."""

    async def ask(self, target: str, *headers: tuple[str, str], method: str = "GET") -> Reply:
        """A request with these headers."""
        host = ("Host", f"{GATEWAY[0]}:{GATEWAY[1]}")
        return await Browser(GATEWAY, Page()).raw(method, target, [host, *headers])

    @on_loop
    async def test_allowed(self) -> None:
        """The Origin is echoed, never *, with credentials; caches are told."""
        for origin in (PAGE, "http://localhost:3000"):
            reply = await self.ask("/sign_in?1001", ("Origin", origin))
            self.assertEqual(200, reply.status)
            self.assertEqual(origin, reply.value("Access-Control-Allow-Origin"))
            self.assertEqual("true", reply.value("Access-Control-Allow-Credentials"))
            self.assertIn("Origin", reply.value("Vary") or "")

    @on_loop
    async def test_strange(self) -> None:
        """Another site's page, and one without a site, get 403 and no permission."""
        for path in ("/sign_in?1001", "/wait?id=x", "/sign_out?id=x", "/message?from=x&to=y"):
            for origin in ("http://evil.test", "null", "http://127.0.0.1.evil.test"):
                reply = await self.ask(path, ("Origin", origin))
                self.assertEqual(403, reply.status, f"{path} {origin}")
                self.assertIsNone(reply.value("Access-Control-Allow-Origin"))

    @on_loop
    async def test_errors_are_seen(self) -> None:
        """An error without CORS headers would look like a broken network to the page."""
        for path in ("/wait?id=unknown", "/wait", "/message?from=unknown&to=1", "/sign_out?id=no"):
            method = "POST" if path.startswith("/message") else "GET"
            length = [("Content-Length", "0")] if method == "POST" else []
            reply = await self.ask(path, ("Origin", PAGE), *length, method=method)
            self.assertEqual(PAGE, reply.value("Access-Control-Allow-Origin"), path)
            self.assertEqual("true", reply.value("Access-Control-Allow-Credentials"), path)
            self.assertFalse(200 < reply.status < 300, f"{path}: {reply.status}")

    @on_loop
    async def test_cookie(self) -> None:
        """The cookie works where the id is not in the URL."""
        signed = await self.ask("/sign_in?1002", ("Origin", PAGE))
        cookies = signed.values("Set-Cookie")
        self.assertEqual(1, len(cookies))
        self.assertIn("httponly", cookies[0].lower())
        pair = cookies[0].split(";")[0]
        ssid = signed.text.split("\n")[0].split("=")[1]
        self.assertEqual(ssid, pair.split("=")[1])
        reply = await self.ask("/sign_out", ("Origin", PAGE), ("Cookie", pair))
        self.assertEqual(200, reply.status)
        again = await self.ask(f"/wait?id={ssid}", ("Origin", PAGE))
        self.assertGreaterEqual(again.status, 400)

    @on_loop
    async def test_strange_names(self) -> None:
        """No name that signs in makes a header field of its own, or a fault of ours."""
        for name in ("%0d%0aX-Evil:1", "a%00b", "%ff%fe", "", "%", "x" * 3000, "a%3db", "a%20b"):
            reply = await self.ask(f"/sign_in?{name}", ("Origin", PAGE))
            self.assertIsNone(reply.value("X-Evil"))
            self.assertIn(reply.status, (200, 400, 401, 403, 404, 414), name)
            if reply.status == 200:
                first = reply.text.split("\n")[0]
                self.assertTrue(re.fullmatch(r"\w+=[A-Za-z0-9._~-]+", first), first)
