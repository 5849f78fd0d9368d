"""The client itself, before it judges anybody: against a gateway that is none."""

from __future__ import annotations

import asyncio
import json
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.historic.client import CONNECTED, HistoricClient
from tests.historic.fake_gateway import Asked, FakeGateway, fake_gateway
from tests.historic.loop_thread import LoopThread, on_loop
from tests.historic.peer import Kind
from tests.historic.texts import deparam, escaped, read_text
from tests.historic.waiting import ManualClock, until
from tests.historic.wire_http import CHROMIUM, FIREFOX, Page


class TextTests(SynchronousTestCase):
    """What the client takes a text for."""

    def test_offer_anywhere(self) -> None:
        """An ANSWER with the capital word in its SDP is lost as an answer."""
        text = 'RSMP {"messageType":"ANSWER","sdp":"s=SPECIAL OFFER"}'
        self.assertEqual("LOST", read_text(text).kind)
        self.assertEqual("ANSWER", read_text(text.replace("OFFER", "")).kind)

    def test_offer_needs_its_word(self) -> None:
        """An OFFER is one behind SDP only."""
        text = '{"messageType":"OFFER"}'
        self.assertEqual("OFFER", read_text(f"SDP {text}").kind)
        self.assertEqual("LOST", read_text(text).kind)

    def test_error_needs_a_prefix(self) -> None:
        """Bare JSON of an ERROR is lost."""
        text = '{"messageType":"ERROR","errorType":"REFUSED"}'
        self.assertEqual("LOST", read_text(text).kind)
        self.assertEqual("REFUSED", read_text(f"ROAP {text}").data["errorType"])

    def test_words(self) -> None:
        """Bare words are commands, whatever follows."""
        self.assertEqual("BYE", read_text("BYE").kind)
        self.assertEqual({"a": 1}, read_text('PUT-STATS {"a":1}').data)
        self.assertEqual("k=v&OFFER=1", read_text("INFO-PEER k=v&OFFER=1").data)

    def test_data_of_a_peer(self) -> None:
        """Escaped on the way out, never unescaped on the way in, cut at a second sign."""
        self.assertEqual("text=a+b%26c", escaped({"text": "a b&c"}))
        self.assertEqual({"text": "a+b%26c", "x": "1"}, deparam("text=a+b%26c&x=1=2"))


class ClientTests(SynchronousTestCase):
    """The client on the wire."""

    thread: ClassVar[LoopThread]

    @classmethod
    def setUpClass(cls) -> None:
        """One loop for all."""
        cls.thread = LoopThread()

    @classmethod
    def tearDownClass(cls) -> None:
        """End it."""
        cls.thread.stop()

    @on_loop
    async def test_sign_in_by_get(self) -> None:
        """The DN stands bare behind the question mark; the id is what follows the first sign."""
        async with fake_gateway() as gateway:
            client = HistoricClient(("127.0.0.1", gateway.port))
            await client.register("+1001")
            self.assertEqual("s0", client.ssid)
            await until(lambda: gateway.requests("/wait"), "poll")
            first, poll = gateway.asked[:2]
            self.assertEqual(("GET", "/sign_in?+1001"), (first.method, first.target))
            self.assertEqual("/wait?id=s0", poll.target)
            self.assertEqual("http://127.0.0.1:8090/", first.headers["referer"])
            self.assertNotIn("cookie", first.headers)
            self.assertEqual("sid=c1", poll.headers["cookie"])
            await client.leave()

    @on_loop
    async def test_firefox_sends_no_cookie(self) -> None:
        """Firefox's requests never have one."""
        async with fake_gateway() as gateway:
            client = HistoricClient(("127.0.0.1", gateway.port), Page(FIREFOX))
            await client.register("1001")
            await until(lambda: gateway.requests("/wait"), "poll")
            self.assertFalse([one for one in gateway.asked if "cookie" in one.headers])
            await client.leave()

    @on_loop
    async def test_sign_in_by_post(self) -> None:
        """A password makes it a POST that looks like a form; the copies say undefined."""
        async with fake_gateway() as gateway:
            client = HistoricClient(("127.0.0.1", gateway.port))
            await client.register("1001", "a=b&c")
            copy = HistoricClient(("127.0.0.1", gateway.port), has_inverted_register=True)
            await copy.register("1002")
            posts = gateway.requests("/sign_in")
            self.assertEqual(["1001:a=b&c", "1002:undefined"], [one.body for one in posts])
            kind = "application/x-www-form-urlencoded; charset=UTF-8"
            self.assertEqual(kind, posts[0].headers["content-type"])
            await client.leave()
            await copy.leave()

    @on_loop
    async def test_polls_again(self) -> None:
        """After polling_timeout at once; after an error 3 s later, for ever."""
        async with fake_gateway() as gateway:
            clock = ManualClock()
            client = HistoricClient(("127.0.0.1", gateway.port), clock=clock)
            await client.register("1001")
            await self.polled(gateway, 1, clock)
            await clock.advance(30.0)
            await self.polled(gateway, 2, clock)
            gateway.instead = lambda asked: (404, "no", "") if "/wait" in asked.target else None
            gateway.tell("s0", "BYE", "1002")
            await client.heard("onPeerClosing")
            await self.polled(gateway, 3, clock)
            await client.heard("onConnectionError")
            await clock.advance(2.9)
            self.assertEqual(3, len(gateway.requests("/wait")))
            await clock.advance(0.2)
            await self.polled(gateway, 4, clock)
            await client.close_tab()

    async def polled(self, gateway: FakeGateway, times: int, clock: ManualClock) -> None:
        """Wait for a poll, and for the client to wait on it."""
        await until(lambda: len(gateway.requests("/wait")) == times, f"poll {times}")
        await until(lambda: clock.sleepers == 1, "one wait")

    @on_loop
    async def test_no_cors_is_no_answer(self) -> None:
        """What CORS hides is a connection error."""
        async with fake_gateway() as gateway:
            gateway.sends_cors = False
            client = HistoricClient(("127.0.0.1", gateway.port))
            await client.register("1001")
            self.assertIn("CORS", client.named("onFailed")[0])

    @on_loop
    async def test_posts_again(self) -> None:
        """A POST of ROAP is sent again, byte for byte, after 3 s; a BYE is not."""
        async with fake_gateway() as gateway:
            clock = ManualClock()
            client = HistoricClient(("127.0.0.1", gateway.port), clock=clock)
            await client.register("1001")
            refuse = [True]

            def instead(asked: Asked) -> tuple[int, str, str] | None:
                refused = refuse[0] and "/message" in asked.target
                return (0, "", "") if refused else None

            gateway.instead = instead
            await client.make_offer("1002")
            await until(lambda: clock.sleepers == 2, "waits")
            refuse[0] = False
            await clock.advance(3.0)
            await until(lambda: len(gateway.requests("/message")) == 2, "again")
            first, second = gateway.requests("/message")
            self.assertEqual(first, second)
            refuse[0] = True
            await client.close_session()
            before = len(gateway.requests("/message"))
            await clock.advance(10.0)
            self.assertEqual(before, len(gateway.requests("/message")))
            await client.close_tab()

    @on_loop
    async def test_first_offer(self) -> None:
        """Its keys stand in the order that was observed; nothing of ICE is in its SDP."""
        async with fake_gateway() as gateway:
            client = HistoricClient(("127.0.0.1", gateway.port))
            await client.register("1001")
            client.data = [{"key": "k", "value": "v"}]
            await client.make_offer("1002", video=True)
            await until(lambda: gateway.requests("/message"), "posted")
            asked = gateway.requests("/message")[0]
            self.assertEqual("/message?from=s0&to=1002", asked.target)
            offer = json.loads(asked.body.removeprefix("RSMP "))
            keys = "messageType sdp Candidates offererSessionId answererSessionId seq tiebreaker"
            self.assertEqual([*keys.split(), "attacheddata"], list(offer))
            self.assertEqual((103, None, 1), (*list(offer.values())[3:5], offer["seq"]))
            self.assertIn("m=audio 9 RTP/SAVPF 111 63 9 0 8 13 110 126\r\n", offer["sdp"])
            self.assertIn("b=AS:500\r\n", offer["sdp"])
            self.assertNotIn("a=candidate", offer["sdp"])
            self.assertNotIn("rtpmap:97 ", offer["sdp"])
            self.assertEqual("0", offer["Candidates"][0]["sdpMid"])
            await client.leave()

    async def call(self, page: Page, **told: object) -> tuple[HistoricClient, HistoricClient]:
        """Two clients that talk to each other."""
        async with fake_gateway() as gateway:
            address = ("127.0.0.1", gateway.port)
            caller = HistoricClient(address, page, **told)  # type: ignore[arg-type]
            callee = HistoricClient(address, Page(CHROMIUM), kind=Kind(audio_tone=900))
            await caller.register("1001")
            await callee.register("1002")
            await caller.make_offer("1002", video=True)
            ringing = await callee.heard("onIncomingCall")
            self.assertEqual({"peer": "1001", "event": "offer"}, ringing)
            await callee.accept_call(video=True)
            await until(lambda: callee.call.call_state or callee.faults, "accepted")
            self.assertEqual([], callee.faults)
            await asyncio.gather(caller.connected(), callee.connected())
            await self.talk(caller, callee)
            for one in (caller, callee):
                self.assertEqual([], one.all_faults())
            await self.change(caller, callee)
            await caller.disconnect()
            await callee.heard("onPeerClosing")
            await callee.leave()
            return caller, callee

    async def talk(self, caller: HistoricClient, callee: HistoricClient) -> None:
        """Each hears the other, and sees."""
        await until(lambda: caller.media.ear().tone(900) > 0.8, "the callee's tone")
        await until(lambda: callee.media.ear().tone(450) > 0.8, "the caller's tone")
        await until(lambda: callee.media.ear("video").pictures > 3, "pictures")
        caller.send_dtmf("5#")
        await until(lambda: len(callee.media.ear().digits) == 2, "digits")
        self.assertEqual([5, 11], [number for number, _ in callee.media.ear().digits])

    async def change(self, caller: HistoricClient, callee: HistoricClient) -> None:
        """Hold, and resume."""
        await caller.hold_call()
        await until(lambda: len(caller.named("onCallEvent")) >= 4, "answered")
        await until(lambda: callee.media.ear().quiet_for() > 0.3, "silence")
        self.assertFalse(caller.media.mouth().speaks)
        await caller.resume_call()
        await until(lambda: callee.media.ear().quiet_for() < 0.1, "sound again")
        self.assertEqual(CONNECTED, caller.call.call_state)

    @on_loop
    async def test_call(self) -> None:
        """Two Chromiums talk, see, dial, hold and resume."""
        await self.call(Page(CHROMIUM))

    @on_loop
    async def test_call_from_firefox(self) -> None:
        """Firefox calls."""
        await self.call(Page(FIREFOX))
