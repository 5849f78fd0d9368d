"""Calls of a page: to itself, to phones, to other pages, and calls that come."""

from __future__ import annotations

import asyncio

from tests.historic.client import CONNECTED, IDLE, HistoricClient
from tests.historic.loop_thread import on_loop
from tests.historic.peer import Kind
from tests.historic.sip_phone import SipPhone
from tests.historic.stage import ECHO, MUSIC, OWN_ECHO, StageTestCase
from tests.historic.waiting import holds, until
from tests.historic.wire_http import FIREFOX, Page

TONE = 450
"""Of pages, unless told otherwise; phones have 1200."""


class CallingTests(StageTestCase):
    """The page calls."""

    async def hears(self, client: HistoricClient, frequency: int) -> None:
        """Wait for a tone."""
        await until(
            lambda: client.media.ear().tone(frequency) > 0.8,
            lambda: client.story(f"hears {frequency}: {client.media.ears}"[:600]),
        )

    async def calls(self, number: str, page: Page | None = None, **told: object) -> HistoricClient:
        """Somebody new who is through to a number."""
        client = await self.signed_in("1001", page, **told)
        await client.make_offer(number)
        await client.connected()
        return client

    @on_loop
    async def test_self(self) -> None:
        """Who calls "self" hears itself: the test of an installation without any SIP Server."""
        client = await self.calls("self")
        await self.hears(client, TONE)
        await client.close_session()
        self.clean(client)

    @on_loop
    async def test_echo(self) -> None:
        """The lab's echo phone sends the voice back, through a SIP Server."""
        client = await self.calls(ECHO)
        await self.hears(client, TONE)
        media = client.media
        await until(lambda: media.reports > 0, "a receiver report about what we send", 8)
        self.clean(client)

    @on_loop
    async def test_own_echo(self) -> None:
        """So does a DN of the suite's own."""
        client = await self.calls(OWN_ECHO)
        await self.hears(client, TONE)
        self.clean(client)

    @on_loop
    async def test_music(self) -> None:
        """The music phone is heard."""
        client = await self.calls(MUSIC)
        await until(lambda: client.media.ear().loudness() > 500, "music")
        await client.close_session()
        self.assertEqual(IDLE, client.call.call_state)
        self.clean(client)

    @on_loop
    async def test_firefox(self) -> None:
        """From Firefox, whose candidates and SDP look otherwise."""
        client = await self.calls(ECHO, Page(FIREFOX))
        await self.hears(client, TONE)
        self.clean(client)

    @on_loop
    async def test_keys_in_sdp(self) -> None:
        """A client with nothing but keys of SDES is served, as the guide has it."""
        client = await self.calls(ECHO, kind=Kind(is_sdes=True))
        await self.hears(client, TONE)
        self.clean(client)

    @on_loop
    async def test_wrong_fingerprint(self) -> None:
        """Media of somebody with another certificate than the SDP's are not taken."""
        client = await self.signed_in("1001")
        kind, value = "sha-256", ":".join(["AB"] * 32)
        client.call.peer = ECHO
        client._begin()
        media = client.media
        media.add("audio")
        media.transport.fingerprint = (kind, value)
        await client._send_offer()
        await client.heard("onCallEvent", 2)
        # Five seconds are for somebody else having sent that certificate.
        await client.heard("onPeerClosing", seconds=15.0)
        self.assertEqual(0, sum(ear.packets for ear in media.ears.values()))

    @on_loop
    async def test_many_in_a_row(self) -> None:
        """The same page calls again and again; each call is new, with seq 1."""
        client = await self.signed_in("1001")
        for _ in range(3):
            await client.make_offer(ECHO)
            await client.connected()
            await self.hears(client, TONE)
            await client.close_session()
        offers = [body for _, body in client.sent if '"OFFER"' in body]
        self.assertEqual(3, sum('"seq":1,' in body for body in offers))
        self.clean(client)

    @on_loop
    async def test_nobody(self) -> None:
        """A number that does not exist ends the call: the page hears BYE."""
        client = await self.signed_in("1001")
        await client.make_offer("1888")
        await client.heard("onPeerClosing")
        self.assertEqual(IDLE, client.call.call_state)
        self.clean(client)

    @on_loop
    async def test_phone(self) -> None:
        """A phone hears the page and the page the phone; digits arrive as telephone-events."""
        phone = await self.phone("1102")
        client = await self.calls("1102")
        await self.hears(client, phone.tone)
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        client.send_dtmf("19#")
        await until(lambda: len(phone.ear.digits) == 3, lambda: f"digits {phone.ear}"[:500])
        self.assertEqual([1, 9, 11], [number for number, _ in phone.ear.digits])
        for _, duration in phone.ear.digits:
            self.assertTrue(700 <= duration <= 900, f"{duration} of 8000 a second for 100 ms")
        phone.medium().mouth.dial("7")
        await until(lambda: client.media.ear().digits, "a digit of the phone")
        self.assertEqual(7, client.media.ear().digits[0][0])
        await phone.hang_up()
        await client.heard("onPeerClosing")
        self.clean(client)

    @on_loop
    async def test_phone_sees_plain_sip(self) -> None:
        """The phone's SDP has nothing of browsers in it: no ICE, no DTLS, no AVPF."""
        phone = await self.phone("1103")
        client = await self.calls("1103")
        offer = phone.requests("INVITE")[0].body.decode()
        for word in ("candidate", "fingerprint", "ice-", "SAVP", "AVPF", "BUNDLE", "a=ssrc"):
            self.assertNotIn(word, offer)
        self.assertIn("RTP/AVP", offer)
        self.clean(client)

    @on_loop
    async def test_attached_data(self) -> None:
        """What the application attaches reaches the phone; quotes and commas of copies too."""
        phone = await self.phone("1104")
        client = await self.signed_in("1001")
        client.data = [
            {"key": "Customer", "value": "4711"},
            {"key": "Copy", "value": '"a(coma)b"'},
        ]
        await client.make_offer("1104")
        await client.connected()
        told = {k.lower(): v for k, v in phone.requests("INVITE")[0].headers}
        self.assertEqual("4711", told.get("x-genesys-customer"), told)
        self.assertIn("x-genesys-copy", told)
        for text, _ in client.texts:
            self.assertNotIn("attacheddata", text.raw)
        self.clean(client)

    @on_loop
    async def test_busy(self) -> None:
        """Who is called and busy: the page hears BYE, once."""
        phone = await self.phone("1105")
        phone.refuses = "486 Busy Here"
        client = await self.signed_in("1001")
        await client.make_offer("1105")
        await client.heard("onPeerClosing")
        self.assertEqual([], client.named("onGatewayError"))
        self.clean(client)

    @on_loop
    async def test_gives_up(self) -> None:
        """The page hangs up while it rings: the phone gets CANCEL."""
        phone = await self.phone("1106")
        phone.answers = False
        client = await self.signed_in("1001")
        await client.make_offer("1106")
        await until(lambda: phone.requests("INVITE"), "INVITE")
        await client.close_session()
        await until(lambda: phone.requests("CANCEL"), phone.story)
        await holds(lambda: not client.named("onPeerClosing"), "no BYE back", 0.3)
        self.clean(client)

    @on_loop
    async def test_two_pages(self) -> None:
        """Two pages talk over the SIP Servers, and see each other; either may hang up."""
        caller = await self.signed_in("1007")
        callee = await self.signed_in(
            "1008", Page(FIREFOX), kind=Kind(is_firefox=True, audio_tone=900)
        )
        await caller.make_offer("1008", video=True)
        ringing = await callee.heard("onIncomingCall")
        self.assertEqual({"peer": "1007", "event": "offer"}, ringing)
        await callee.accept_call(video=True)
        await asyncio.gather(caller.connected(), callee.connected())
        await self.hears(caller, 900)
        await self.hears(callee, TONE)
        for one in (caller, callee):
            ear = one.media
            await until(lambda ear=ear: ear.ear("video").pictures > 3, f"pictures {ear.ears}"[:500])
        await callee.close_session()
        await caller.heard("onPeerClosing")
        self.clean(caller, callee)


class LeavingTests(StageTestCase):
    """The page closes its transport before its BYE comes, as old clients do."""

    async def closes(self, dn: str) -> tuple[HistoricClient, str]:
        """A page without a call whose gateway knows only that media are lost; whom it called."""
        client = await self.signed_in(dn)
        await client.make_offer(ECHO)
        await client.connected()
        peer = client.call.peer
        client._reset()
        return client, peer

    @on_loop
    async def test_closes_before_it_says_so(self) -> None:
        """No offer is made to a page that is about to leave: it would ring."""
        client, peer = await self.closes("1017")
        await asyncio.sleep(0.1)
        await client._post("BYE", peer, resends=False)
        await holds(lambda: not client.named("onIncomingCall"), "no ring", 2)

    @on_loop
    async def test_says_so_late(self) -> None:
        """A page that does ring, for its BYE was slow, is told that it is over; then it calls."""
        client, peer = await self.closes("1018")
        await client.heard("onIncomingCall")
        await client._post("BYE", peer, resends=False)
        await client.heard("onPeerClosing")
        self.assertEqual(IDLE, client.call.call_state)
        await client.make_offer(ECHO)
        await client.connected()
        self.assertEqual(1, len(client.named("onIncomingCall")))


class CalledTests(StageTestCase):
    """The page is called."""

    more = {"b2bua": ("ring-time = 5",)}

    async def rings(self, dn: str, phone: SipPhone, **told: object) -> HistoricClient:
        """A page that a phone calls."""
        client = await self.signed_in(dn, **told)
        phone.begin_call(dn)
        event = await client.heard("onIncomingCall")
        self.assertEqual({"peer": phone.dn, "event": "offer"}, event)
        return client

    @on_loop
    async def test_accepts(self) -> None:
        """The page takes the call, and both hear each other."""
        phone = await self.phone("1101")
        client = await self.rings("1001", phone)
        await client.accept_call()
        self.assertEqual(200, (await phone.finish_call()).status)
        await client.connected()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone's tone")
        self.assertEqual(CONNECTED, client.call.call_state)
        await client.close_session()
        await until(lambda: not phone.is_up, "BYE")
        self.assertEqual(1, len(client.named("onIncomingCall")))
        self.clean(client)

    @on_loop
    async def test_firefox_accepts(self) -> None:
        """So does a page in Firefox."""
        phone = await self.phone("1102")
        client = await self.rings("1002", phone, page=Page(FIREFOX))
        await client.accept_call()
        await phone.finish_call()
        await client.connected()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.clean(client)

    @on_loop
    async def test_passive(self) -> None:
        """A page that wants to be the server of the handshake is."""
        phone = await self.phone("1103")
        client = await self.rings("1003", phone, kind=Kind(ends_are="passive"))
        await client.accept_call()
        await phone.finish_call()
        await client.connected()
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone's tone")
        self.clean(client)

    @on_loop
    async def test_rejects(self) -> None:
        """The page's BYE is a refusal for the phone."""
        phone = await self.phone("1104")
        client = await self.rings("1004", phone)
        await client.reject_call()
        self.assertIn((await phone.finish_call()).status, (403, 480, 486, 600, 603))
        self.clean(client)

    @on_loop
    async def test_cancelled(self) -> None:
        """The phone gives up: the page stops ringing."""
        phone = await self.phone("1105")
        client = await self.rings("1005", phone)
        self.assertEqual(487, (await phone.cancel()).status)
        await client.heard("onPeerClosing")
        self.assertEqual(1, len(client.named("onIncomingCall")))
        self.clean(client)

    @on_loop
    async def test_nobody_answers(self) -> None:
        """After ring-time both sides are told."""
        phone = await self.phone("1106")
        client = await self.rings("1006", phone)
        answer = await phone.finish_call(8)
        self.assertGreaterEqual(answer.status, 400)
        await client.heard("onPeerClosing")
        self.assertEqual(1, len(client.named("onIncomingCall")))
        self.clean(client)

    @on_loop
    async def test_second_call(self) -> None:
        """A page has one call: a second caller is busy, and the first hears nothing of it."""
        phone, other = await self.phone("1107"), await self.phone("1117")
        client = await self.rings("1007", phone)
        await client.accept_call()
        await phone.finish_call()
        await client.connected()
        other.begin_call("1007")
        self.assertEqual(486, (await other.finish_call()).status)
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.assertEqual(1, len(client.named("onIncomingCall")))
        self.clean(client)

    @on_loop
    async def test_call_without_offer(self) -> None:
        """A caller without SDP: the page rings all the same, and both hear each other."""
        phone = await self.phone("1108")
        client = await self.signed_in("1008")
        phone.begin_call("1008", with_sdp=False)
        await client.heard("onIncomingCall")
        await client.accept_call()
        answer = await phone.finish_call(with_sdp=False)
        self.assertEqual(200, answer.status)
        await client.connected()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone's tone")
        self.clean(client)

    @on_loop
    async def test_third_party(self) -> None:
        """The SIP Server connects the page with its echo phone."""
        client = await self.signed_in("1009")
        calling = asyncio.ensure_future(self.stage.lab(f"call 1009 {ECHO}"))
        await client.heard("onIncomingCall")
        await client.accept_call()
        await client.connected()
        await calling
        await until(lambda: client.media.ear().tone(TONE) > 0.8, "our own tone")
        await client.close_session()
        self.clean(client)

    @on_loop
    async def test_rings_for_third_party(self) -> None:
        """The SIP Server connects a phone of its own with the page, which is rung second."""
        client = await self.signed_in("1010")
        calling = asyncio.ensure_future(self.stage.lab(f"call {MUSIC} 1010"))
        await client.heard("onIncomingCall")
        await client.accept_call()
        await client.connected()
        await calling
        await until(lambda: client.media.ear().loudness() > 500, "music")
        self.clean(client)

    @on_loop
    async def test_data_of_the_caller(self) -> None:
        """Attached data of the SIP Server come with the OFFER, and only there."""
        phone = await self.phone("1111")
        client = await self.signed_in("1011")
        phone.begin_call("1011", more=("X-genesys-Customer: 4711",))
        await client.heard("onIncomingCall")
        assert client.call.incoming is not None
        data = client.call.incoming.get("attacheddata")
        self.assertIn({"key": "Customer", "value": "4711"}, data or [])
        await client.reject_call()
        await phone.finish_call()
        self.clean(client)
