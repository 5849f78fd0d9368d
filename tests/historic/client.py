"""
The old JavaScript client as it is on the wire: sign-in, poll, ROAP, texts, retries, states.

The names of its verbs and events are those that applications know. What an application would
hear is in ``events``; what would be told to nobody is not told here either.
"""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.historic.peer import BrowserPeer, Candidates, Kind
from tests.historic.remote_sdp import Refused
from tests.historic.texts import UNDEFINED, Text, deparam, escaped, read_text, stringified
from tests.historic.waiting import Clock, WallClock, until
from tests.historic.wire_http import Address, Browser, NetworkFailure, Page, Reply, is_converted

RETRY = 3.0
"""Seconds after which a failed poll or POST of ROAP is made again."""
IDLE, ACCEPTED, STARTED, CONNECTED = range(4)
NEW, MAKE_OFFER, PREPARING_OFFER, OFFER_SENT = "new", "make-offer", "preparing-offer", "offer-sent"
OFFER_RECEIVED, PREPARING_ANSWER = "offer-received", "offer-received-preparing-answer"
ESTABLISHED = "established"
MOST_TIEBREAKER = 429_496_723


@dataclass(frozen=True)
class Event:
    """What an application hears."""

    name: str
    data: Any = None


@dataclass
class Call:
    """What the client keeps of a call; all of it is new after each hang-up."""

    peer: str = ""
    state: str = NEW
    call_state: int = IDLE
    seq: int = 0
    session: Any = None
    """answererSessionId or offererSessionId of ours, a counter of the page."""
    holds: bool = False
    incoming: dict[str, Any] | None = None
    incoming_event: str = ""
    browser: BrowserPeer | None = None


@dataclass
class HistoricClient:
    """One page with the old client in it. ``polling_timeout`` 0 is none."""

    gateway: Address
    page: Page = field(default_factory=Page)
    kind: Kind | None = None
    clock: Clock = field(default_factory=WallClock)
    polling_timeout: float = 30.0
    has_inverted_register: bool = False
    """As both public copies: register without a password POSTs the word undefined."""
    posts_twice: bool = False
    """As if the reply to each POST of ROAP had been lost once."""
    answers_itself: bool = False
    """What a test's application does with a call that comes."""

    def __post_init__(self) -> None:
        if self.kind is None:
            self.kind = Kind(is_firefox=self.page.habits.is_firefox)
        self.browser = Browser(self.gateway, self.page)
        self.ssid: str | None = None
        self.call = Call()
        self.events: list[Event] = []
        self.texts: list[tuple[Text, str | None]] = []
        """What came, with its Pragma."""
        self.sent: list[tuple[str, str]] = []
        """Target and body of each POST, each time that it was sent."""
        self.data: list[dict[str, str]] = []
        """setData: goes with the next OFFER."""
        self.faults: list[str] = []
        self._sessions = count(103)
        self._accepted = (True, True)
        self._kept: list[str] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._poll: asyncio.Task[None] | None = None

    # Signing in and out.

    async def connect(self) -> None:
        """Sign in anonymously."""
        rest = "".join(random.choices(string.ascii_lowercase + string.digits, k=32))
        await self._sign_in(f"anon{rest}", None, "onConnect")

    async def register(self, dn: str, password: str | None = None) -> None:
        """Sign in with a DN."""
        if password is None and self.has_inverted_register:
            password = "undefined"
        await self._sign_in(dn, password, "onRegister")

    async def _sign_in(self, name: str, password: str | None, event: str) -> None:
        await self.disconnect()
        try:
            if password is None:
                reply = await self.browser.get(f"/sign_in?{name}")
            else:
                reply = await self.browser.post("/sign_in", f"{name}:{password}".encode())
        except NetworkFailure as failure:
            self._fire("onFailed", str(failure))
            return
        if reply.status != 200 or is_converted(reply):
            self._fire("onFailed", reply)
            return
        # Every "=" cuts; the second piece is all that counts.
        self.ssid = reply.text.split("\n")[0].split("=")[1]
        self._fire(event, reply.text)
        self.begin_polling()

    async def disconnect(self, *, out_first: bool = True) -> None:
        """Sign out; with a call, BYE and sign_out go at once, in no sure order."""
        if self.ssid is None:
            return
        if self.call.browser is None:
            await self._sign_out()
            return
        bye = self.close_session(ssid=self.ssid)
        await asyncio.gather(*((self._sign_out(), bye) if out_first else (bye, self._sign_out())))

    async def _sign_out(self) -> None:
        ssid, self.ssid = self.ssid, None
        await self.stop_polling()
        try:
            await self.browser.get(f"/sign_out?id={ssid}")
        except NetworkFailure as failure:
            # The client ignores the answer; a test does not.
            self.faults.append(f"sign_out: {failure}")
        self._fire("onDisconnect")

    async def close_tab(self) -> None:
        """End everything without a word."""
        self.ssid = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.browser.close()
        if self.call.browser is not None:
            await self.call.browser.vanish()

    async def leave(self) -> None:
        """End what is left at the end of a test."""
        await self.disconnect()
        await self.close_tab()

    # The poll.

    def begin_polling(self) -> None:
        """Ask for texts from now on."""
        self._poll = self._start(self._keep_polling())

    async def stop_polling(self) -> None:
        """Abort the poll, and make no other."""
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)

    async def _keep_polling(self) -> None:
        while self.ssid is not None:
            await self._poll_once(self.ssid)

    async def _poll_once(self, ssid: str) -> None:
        request = asyncio.ensure_future(self.browser.get(f"/wait?id={ssid}"))
        try:
            reply = await self._timed(request)
        except NetworkFailure as failure:
            await self._poll_failed(str(failure))
            return
        if reply is None or self.ssid is None:
            return
        if reply.status >= 300 or is_converted(reply):
            await self._poll_failed(reply)
        elif reply.status != 200:
            self._fire("onPeerClosing")
            await self._sign_out()
        else:
            self._take(reply.text, reply.value("Pragma"))

    async def _timed(self, request: asyncio.Future[Reply]) -> Reply | None:
        """The answer, or None once polling_timeout is over and the request aborted."""
        if not self.polling_timeout:
            return await request
        timer = asyncio.ensure_future(self.clock.sleep(self.polling_timeout))
        try:
            await asyncio.wait([request, timer], return_when=asyncio.FIRST_COMPLETED)
            return await request if request.done() else None
        finally:
            timer.cancel()
            request.cancel()

    async def _poll_failed(self, status: object) -> None:
        self._fire("onConnectionError", status)
        await self.clock.sleep(RETRY)

    # What comes.

    def _take(self, text: str, pragma: str | None) -> None:
        read = read_text(text)
        self.texts.append((read, pragma))
        if read.kind == "LOST":
            self.faults.append(f"lost: {text[:200]}")
            return
        name = read.kind.lower().replace("-", "_")
        getattr(self, f"_take_{name}")(read.data, pragma)

    def _take_bye(self, _: None, pragma: str | None) -> None:
        self._reset()
        self._fire("onPeerClosing")

    def _take_invite(self, _: None, pragma: str | None) -> None:
        if self.call.call_state == IDLE:
            self.call.peer = pragma or ""
            self.call.incoming_event = "invite"
            self._fire("onIncomingCall", {"peer": pragma, "event": "invite"})
        else:
            self._start(self._offer_again())

    def _take_event_talk(self, _: None, pragma: str | None) -> None:
        self._fire("onNotifyEvent", {"event": "talk", "peer": pragma})
        accept = self.call.call_state == IDLE
        self._start(self.accept_call() if accept else self.resume_call())

    def _take_event_hold(self, _: None, pragma: str | None) -> None:
        self._fire("onNotifyEvent", {"event": "hold", "peer": pragma})
        self._start(self.hold_call())

    def _take_info_peer(self, data: str, pragma: str | None) -> None:
        self._fire("onInfoFromPeer", deparam(data))

    def _take_put_stats(self, data: Any, pragma: str | None) -> None:
        self._fire("onStatsFromServer", data)

    def _take_error(self, message: dict[str, Any], pragma: str | None) -> None:
        # The call is not ended by it.
        self._fire("onGatewayError", (message or {}).get("errorType"))

    def _take_offer(self, message: dict[str, Any], pragma: str | None) -> None:
        call = self.call
        if not pragma:
            self.faults.append("an OFFER without Pragma")
            return
        if call.state not in (NEW, ESTABLISHED):
            self.faults.append(f"an OFFER that the client ignores for good, in {call.state}")
            return
        call.seq = message.get("seq", call.seq)
        call.incoming = message
        if call.call_state == IDLE:
            call.peer = pragma
            call.incoming_event = "offer"
            self._fire("onIncomingCall", {"peer": pragma, "event": "offer"})
            if self.answers_itself:
                self._start(self.accept_call())
            return
        self._fire("onCallEvent", "offer received")
        self._start(self._answer())

    def _take_answer(self, message: dict[str, Any], pragma: str | None) -> None:
        call = self.call
        if call.state != OFFER_SENT or call.browser is None:
            self.faults.append(f"an ANSWER in {call.state}")
            return
        if call.seq != message.get("seq"):
            self.faults.append(f"ANSWER has seq {message.get('seq')}, our OFFER {call.seq}")
        ok = {
            "messageType": "OK",
            "offererSessionId": message.get("offererSessionId", UNDEFINED),
            "answererSessionId": call.session,
            "seq": message.get("seq", UNDEFINED),
        }
        self._start(self._post(f"RSMP {stringified(ok)}", call.peer, resends=True))
        call.state, call.call_state = ESTABLISHED, CONNECTED
        try:
            call.browser.take_answer(message.get("sdp") or "", _candidates(message))
        except Refused as refused:
            self.faults.append(f"ANSWER: {refused}")
            self._fire("onWebrtcError", str(refused))
            return
        self._fire("onCallEvent", "answer received")

    def _take_ok(self, message: dict[str, Any], pragma: str | None) -> None:
        if self.call.browser is not None and self.call.state != OFFER_SENT:
            self.call.state, self.call.call_state = ESTABLISHED, CONNECTED

    # What a call does.

    async def make_offer(self, peer: str = "", *, audio: bool = True, video: bool = False) -> None:
        """Call somebody, or offer again to whom we are connected with."""
        call = self.call
        if peer:
            call.peer = peer
        call.state = MAKE_OFFER
        if call.browser is None:
            self._begin()
            for kind in ("audio",) * audio + ("video",) * video:
                self._browser.add(kind)
        elif video and not any(line.kind == "video" for line in self._browser.lines):
            self._add_stream()
        await self._send_offer()

    def _add_stream(self) -> None:
        """The old stream goes, a new one comes: Chromium never uses a sender twice."""
        old = self._browser.lines[0]
        old.direction, old.sends_track = "recvonly", False
        if not self._browser.kind.is_firefox:
            self._browser.add("audio")
        else:
            old.direction, old.sends_track = "sendrecv", True
        self._browser.add("video")

    def _begin(self) -> None:
        call = self.call
        assert self.kind is not None
        call.browser = BrowserPeer(self.kind)
        call.session = next(self._sessions)
        call.seq = 0 if call.incoming is None else call.seq

    async def _send_offer(self) -> None:
        call, browser = self.call, self._browser
        call.state = PREPARING_OFFER
        call.call_state = max(call.call_state, STARTED)
        sdp, candidates = await browser.offer()
        if self.call is not call:
            return
        call.seq += 1
        call.state = OFFER_SENT
        message = {
            "messageType": "OFFER",
            "sdp": sdp,
            "Candidates": candidates,
            "offererSessionId": call.session,
            "answererSessionId": None,
            "seq": call.seq,
            "tiebreaker": random.randint(1, MOST_TIEBREAKER),
        }
        data, self.data = self.data, []
        more = {"attacheddata": data} if data else {}
        self._fire("onCallEvent", "offer sent")
        self._start(self._post(f"RSMP {stringified({**message, **more})}", call.peer, resends=True))

    async def _offer_again(self) -> None:
        if self.call.browser is not None:
            await self._send_offer()

    async def accept_call(self, *, audio: bool = True, video: bool = False) -> None:
        """Take the call that rings."""
        call = self.call
        if call.incoming_event == "invite":
            call.incoming_event = ""
            await self.make_offer(audio=audio, video=video)
            return
        if call.incoming is None or call.browser is not None:
            return
        self._begin()
        call.call_state = ACCEPTED
        self._accepted = (audio, video)
        await self._answer()

    async def _answer(self) -> None:
        call, message = self.call, self.call.incoming
        assert message is not None
        call.state = OFFER_RECEIVED
        browser = self._browser
        audio, video = self._accepted
        try:
            offer = browser.take_offer(message.get("sdp") or "")
        except Refused as refused:
            self.faults.append(f"OFFER: {refused}")
            self._fire("onPeerClosing")
            await self.close_session()
            return
        call.state = PREPARING_ANSWER
        sdp, candidates = await browser.answer(
            offer, _candidates(message), audio=audio and not call.holds, video=video
        )
        if self.call is not call:
            return
        answer = {
            "messageType": "ANSWER",
            "sdp": sdp,
            "Candidates": candidates,
            "offererSessionId": message.get("offererSessionId", UNDEFINED),
            "answererSessionId": call.session,
            "seq": message.get("seq", UNDEFINED),
        }
        call.state = ESTABLISHED
        call.call_state = max(call.call_state, STARTED)
        self._fire("onCallEvent", "answer sent")
        self._start(self._post(f"RSMP {stringified(answer)}", call.peer, resends=True))

    async def reject_call(self) -> None:
        """Refuse the call that rings: a BYE."""
        await self.close_session()

    async def hold_call(self) -> None:
        """Offer again, with every direction inactive."""
        if self.call.browser is None:
            return
        self.call.holds = True
        self._kept = [line.direction for line in self._browser.lines]
        for line in self._browser.lines:
            line.direction = "inactive"
        await self._send_offer()

    async def resume_call(self) -> None:
        """Offer again as before the hold."""
        if self.call.browser is None:
            return
        self.call.holds = False
        kept = self._kept or ["sendrecv"] * len(self._browser.lines)
        for line, direction in zip(self._browser.lines, kept, strict=False):
            line.direction = direction
        await self._send_offer()

    async def close_session(self, *, sends_bye: bool = True, ssid: str | None = None) -> None:
        """Hang up."""
        peer, ssid, browser = self.call.peer, ssid or self.ssid, self.call.browser
        self._reset(closes=False)
        closing = [browser.close()] if browser is not None else []
        if sends_bye:
            closing.append(self._post("BYE", peer, resends=False, ssid=ssid))
        await asyncio.gather(*closing)

    async def send_info(self, values: dict[str, str], *, map_data: bool = True) -> None:
        """Send data to the SIP Server, or to the peer."""
        word = "INFO-MAP" if map_data else "INFO-PEER"
        await self._post(f"{word} {escaped(values)}", self.call.peer, resends=False)

    async def get_server_stats(self) -> Any:
        """Ask for statistics, and wait for them."""
        if self.call.call_state != CONNECTED:
            raise AssertionError("the client asks only while it is connected")
        before = len(self.named("onStatsFromServer"))
        await self._post("GET-STATS", self.call.peer, resends=False)
        await until(lambda: len(self.named("onStatsFromServer")) > before, "PUT-STATS")
        return self.named("onStatsFromServer")[-1]

    def send_dtmf(self, digits: str, duration: int = 100) -> None:
        """Press keys."""
        self._browser.mouth().dial(digits, duration)

    # POST.

    async def _post(
        self, text: str, peer: str, *, resends: bool, ssid: str | None = None
    ) -> Reply | None:
        target = f"/message?from={ssid or self.ssid}&to={peer}"
        call, body = self.call, text.encode()
        while True:
            self.sent.append((target, text))
            try:
                reply = await self.browser.post(target, body)
                if reply.status == 200 and (not resends or self._is_enough(target, text)):
                    return reply
                if reply.status == 200:
                    continue
                self.faults.append(f"{text[:40]!r} was answered {reply.status}")
            except NetworkFailure as failure:
                self.faults.append(f"{text[:40]!r}: {failure}")
            if not resends or self.call is not call:
                return None
            await self.clock.sleep(RETRY)
            if self.call is not call:
                return None

    def _is_enough(self, target: str, text: str) -> bool:
        return not self.posts_twice or self.sent.count((target, text)) == 2

    # Inside.

    @property
    def _browser(self) -> BrowserPeer:
        assert self.call.browser is not None
        return self.call.browser

    @property
    def media(self) -> BrowserPeer:
        """The media of the call."""
        return self._browser

    def _reset(self, *, closes: bool = True) -> None:
        browser = self.call.browser
        self.call = Call()
        self._accepted = (True, True)
        if browser is not None:
            self.faults += browser.faults
            if closes:
                self._start(browser.close())

    def _fire(self, name: str, data: Any = None) -> None:
        self.events.append(Event(name, data))

    def _start(self, doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.faults.append(f"{task.exception()!r}")

    # For tests.

    def named(self, name: str) -> list[Any]:
        """The data of every event of a name."""
        return [event.data for event in self.events if event.name == name]

    async def heard(self, name: str, times: int = 1, seconds: float = 5.0) -> Any:
        """Wait until an event was fired so often; its data."""
        await until(lambda: len(self.named(name)) >= times, lambda: self.story(name), seconds)
        return self.named(name)[times - 1]

    async def connected(self, seconds: float = 8.0) -> None:
        """Wait until the call stands and media can flow."""
        await until(
            lambda: self.call.call_state == CONNECTED and self.media.is_connected,
            lambda: self.story("connected"),
            seconds,
        )

    def story(self, wanted: str) -> str:
        """What happened so far, for who reads a failed test."""
        lines = [f"{wanted}; state {self.call.state}, {self.call.call_state}"]
        lines += [f"  event {event.name} {str(event.data)[:300]}" for event in self.events[-12:]]
        lines += [f"  sent {body[:120]}" for _, body in self.sent[-6:]]
        lines += [f"  got {text.raw[:300]}" for text, _ in self.texts[-6:]]
        lines += [f"  fault {fault}" for fault in self.all_faults()]
        lines += [f"  {self.media.transport.describe()}"] if self.call.browser else []
        return "\n".join(lines)

    def all_faults(self) -> list[str]:
        """What the gateway did and the old client cannot live with."""
        return [*self.faults, *(self.call.browser.faults if self.call.browser else [])]


def _candidates(message: dict[str, Any]) -> Candidates:
    found = message.get("Candidates")
    return found if isinstance(found, list) else []
