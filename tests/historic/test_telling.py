"""What is told beside media: data, statistics; and what is told twice."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qs

from tests.historic.client import ESTABLISHED, HistoricClient
from tests.historic.loop_thread import on_loop
from tests.historic.peer import Kind
from tests.historic.sip_phone import SipPhone
from tests.historic.stage import ECHO, StageTestCase
from tests.historic.waiting import holds, until

TONE = 450


class TellingTests(StageTestCase):
    """INFO and statistics."""

    async def talk(self, dn: str, other: str, **told: object) -> tuple[HistoricClient, SipPhone]:
        """A page and a phone in a call."""
        phone = await self.phone(other)
        client = await self.signed_in(dn, **told)
        await client.make_offer(other)
        await client.connected()
        return client, phone

    @on_loop
    async def test_info_for_the_server(self) -> None:
        """INFO-MAP is a form that SIP Servers map; every value arrives."""
        client, phone = await self.talk("1001", "1101")
        await client.send_info({"Key-1": "a b&c", "Name": "ß=1"})
        await until(lambda: phone.requests("INFO"), phone.story)
        info = phone.requests("INFO")[0]
        self.assertEqual("application/x-www-form-urlencoded", info.one("Content-Type"))
        self.assertEqual({"Key-1": ["a b&c"], "Name": ["ß=1"]}, parse_qs(info.body.decode()))
        self.clean(client)

    @on_loop
    async def test_keys_of_any_text(self) -> None:
        """Keys of INFO-MAP that no header field could have arrive as well."""
        client, phone = await self.talk("1011", "1111")
        await client.send_info({"Key 1": "a", "ü": "b"})
        await until(lambda: phone.requests("INFO"), phone.story)
        body = phone.requests("INFO")[0].body.decode()
        self.assertEqual({"Key 1": ["a"], "ü": ["b"]}, parse_qs(body))
        self.clean(client)

    @on_loop
    async def test_info_for_the_peer(self) -> None:
        """INFO-PEER goes through byte for byte, and so does the answer."""
        client, phone = await self.talk("1002", "1102")
        await client.send_info({"text": "a b&c", "x": "=100%"}, map_data=False)
        await until(lambda: phone.requests("INFO"), phone.story)
        info = phone.requests("INFO")[0]
        self.assertEqual("application/octet-stream", info.one("Content-Type"))
        self.assertEqual(b"text=a+b%26c&x=%3D100%25", info.body)
        answer = await phone.request("INFO", "application/octet-stream", "k=a+b%26c&OFFER=1=2")
        self.assertEqual(200, answer.status)
        data = await client.heard("onInfoFromPeer")
        self.assertEqual({"k": "a+b%26c", "OFFER": "1"}, data)
        self.assertEqual("INFO-PEER k=a+b%26c&OFFER=1=2", client.texts[-1][0].raw)
        self.clean(client)

    @on_loop
    async def test_info_between_pages(self) -> None:
        """What one page sends the other one reads, undecoded as ever, both ways."""
        caller = await self.signed_in("1003")
        callee = await self.signed_in("1004", kind=Kind(audio_tone=900))
        await caller.make_offer("1004")
        await callee.heard("onIncomingCall")
        await callee.accept_call()
        await asyncio.gather(caller.connected(), callee.connected())
        await caller.send_info({"text": "a b&c"}, map_data=False)
        self.assertEqual({"text": "a+b%26c"}, await callee.heard("onInfoFromPeer"))
        await callee.send_info({"text": "ü"}, map_data=False)
        self.assertEqual({"text": "%C3%BC"}, await caller.heard("onInfoFromPeer"))
        self.clean(caller, callee)

    @on_loop
    async def test_statistics(self) -> None:
        """The numbers that a page shows are those of the call."""
        client, _ = await self.talk("1005", "1105")
        media = client.media
        await until(lambda: media.reports > 0, "a report", 12)
        stats = await client.get_server_stats()
        for _ in range(20):
            if stats["audio"]["rtt"]:
                break
            await asyncio.sleep(0.2)
            stats = await client.get_server_stats()
        self.assertLess(abs(stats["timestamp"] / 1000 - time.time()), 5)
        lasted = (time.monotonic() - media.started_at) * 1000
        self.assertTrue(500 < stats["duration"] <= lasted + 500, stats)
        audio = stats["audio"]
        for name in ("rtt", "rtt_max", "rtt_average"):
            self.assertTrue(0 < audio[name] < 1000, f"{name}: {audio}")
        self.assertLessEqual({"packets", "bytes", "lost", "jitter"}, set(audio["rx"]))
        self.assertIn("bytes", audio["tx"])
        self.near(media.mouth().packets, audio["rx"]["packets"], "what the gateway received")
        self.near(media.mouth().octets, audio["rx"]["bytes"], "its bytes")
        self.near(media.ear().octets, audio["tx"]["bytes"], "what it sent")
        self.assertEqual(0, audio["rx"]["lost"])
        self.clean(client)

    def near(self, ours: int, theirs: int, what: str) -> None:
        """The same but for what is under way; bytes may count headers."""
        self.assertTrue(0.7 * ours - 20 <= theirs <= 1.4 * ours + 500, f"{what}: {ours}, {theirs}")

    @on_loop
    async def test_statistics_of_video(self) -> None:
        """Video has numbers of its own."""
        phone = await self.phone("1106", ("audio", "video"))
        client = await self.signed_in("1006")
        await client.make_offer("1106", video=True)
        await client.connected()
        await until(lambda: phone.medium("video").ear.pictures > 3, "pictures")
        stats = await client.get_server_stats()
        self.assertLess(0, stats["video"]["rx"]["packets"])
        self.clean(client)


class TwiceTests(StageTestCase):
    """Replies that are lost: the client says the same again, and nobody notices."""

    def once(self, phone: SipPhone, method: str, times: int) -> None:
        """So many requests came, and no more."""
        self.assertEqual(times, len(phone.requests(method)), phone.story())

    @on_loop
    async def test_every_message_twice(self) -> None:
        """OFFER, OK and re-OFFER, each twice: one INVITE each, one ANSWER each."""
        phone = await self.phone("1101")
        client = await self.signed_in("1001", posts_twice=True)
        await client.make_offer("1101")
        await client.connected()
        await client.hold_call()
        await until(lambda: client.call.state == ESTABLISHED, "held")
        await until(lambda: client.media.ear().quiet_for() > 0.3, "silence")
        await client.resume_call()
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone's tone")
        await holds(lambda: len(phone.requests("INVITE")) <= 3, "no more INVITEs", 0.3)
        self.once(phone, "INVITE", 3)
        answers = [text for text, _ in client.texts if text.kind == "ANSWER"]
        self.assertEqual([1, 2, 3], [text.data["seq"] for text in answers])
        self.clean(client)

    @on_loop
    async def test_answer_twice(self) -> None:
        """An ANSWER twice: one 200 for the caller, one OK for the page."""
        phone = await self.phone("1102")
        client = await self.signed_in("1002", posts_twice=True)
        phone.begin_call("1002")
        await client.heard("onIncomingCall")
        await client.accept_call()
        self.assertEqual(200, (await phone.finish_call()).status)
        await client.connected()
        self.assertEqual(1, sum(text.kind == "OK" for text, _ in client.texts))
        self.clean(client)

    @on_loop
    async def test_offer_during_ringing(self) -> None:
        """The OFFER again while it rings: still one call."""
        phone = await self.phone("1103")
        phone.answers = False
        client = await self.signed_in("1003", posts_twice=True)
        await client.make_offer("1103")
        await until(lambda: len(client.sent) == 2 and phone.requests("INVITE"), "both OFFERs")
        phone.answer()
        await client.connected()
        self.once(phone, "INVITE", 1)
        self.clean(client)

    async def leaves(self, dn: str, other: str, *, out_first: bool) -> None:
        """Sign out in the middle of a call, whatever comes first on the wire."""
        phone = await self.phone(other)
        client = await self.signed_in(dn)
        await client.make_offer(other)
        await client.connected()
        await client.disconnect(out_first=out_first)
        await until(lambda: not phone.is_up, lambda: f"BYE: {phone.story()}")
        self.once(phone, "BYE", 1)
        hidden = [fault for fault in client.faults if "CORS" in fault]
        self.assertEqual([], hidden)

    @on_loop
    async def test_leaves_saying_goodbye_first(self) -> None:
        """BYE, then sign_out: the phone hears one BYE."""
        await self.leaves("1004", "1104", out_first=False)

    @on_loop
    async def test_leaves_signing_out_first(self) -> None:
        """sign_out, then BYE with a session that is gone: the phone hears one BYE all the same."""
        await self.leaves("1005", "1105", out_first=True)

    @on_loop
    async def test_goodbye_twice(self) -> None:
        """BYE without a call is no fault; the next call works."""
        client = await self.signed_in("1006")
        await client.make_offer(ECHO)
        await client.connected()
        await client.close_session()
        for text in ("BYE", "INFO-MAP a=b", "GET-STATS"):
            await client._post(text, ECHO, resends=False)
        await client.make_offer(ECHO)
        await client.connected()
        await until(lambda: client.media.ear().tone(TONE) > 0.8, "our own tone")
