"""What changes in the middle of a call: hold, video, commands of the SIP Server, collisions."""

from __future__ import annotations

import asyncio
import re

from tests.historic.client import ESTABLISHED, HistoricClient
from tests.historic.loop_thread import on_loop
from tests.historic.peer import Kind
from tests.historic.sip_phone import SipPhone
from tests.historic.stage import ECHO, MUSIC, StageTestCase
from tests.historic.waiting import holds, until
from tests.historic.wire_http import FIREFOX, Page

TONE = 450
PLAIN = Kind(audio=("pcmu", "telephone-event"))
"""Who answers with one codec leaves no choice to what is agreed later."""


async def hears(client: HistoricClient, frequency: int) -> float:
    """Wait until a page hears a tone; how long it took."""
    return await until(
        lambda: client.media.ear().tone(frequency) > 0.8,
        lambda: client.story(f"hears {frequency}: {client.media.ears}"[:600]),
    )


async def is_quiet(client: HistoricClient) -> None:
    """Wait until nothing comes any more."""
    await until(
        lambda: client.media.ear().quiet_for() > 0.4,
        lambda: client.story("silence"),
    )


async def hears_nothing(client: HistoricClient) -> None:
    """Wait until the page hears nothing; packets of silence may come."""
    await until(lambda: client.media.ear().loudness() < 50, lambda: client.story("silence"))


async def settled(client: HistoricClient) -> None:
    """Wait until the page's own offer has been answered."""
    await until(lambda: client.call.state == ESTABLISHED, lambda: client.story("answered"))


class HoldTests(StageTestCase):
    """Silence that is wanted."""

    async def talk(
        self, dn: str, other: str, kinds: tuple[str, ...] = ("audio",), **told: object
    ) -> tuple[HistoricClient, SipPhone]:
        """A page and a phone that hear each other."""
        phone = await self.phone(other, kinds)
        client = await self.signed_in(dn, **told)
        await client.make_offer(other, video="video" in kinds)
        await client.connected()
        await hears(client, phone.tone)
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        return client, phone

    @on_loop
    async def test_page_holds(self) -> None:
        """The page's hold silences both ways; resume brings both back, the same call."""
        client, phone = await self.talk("1001", "1101")
        ufrag = client.media.transport.connection.remote_username
        await client.hold_call()
        await settled(client)
        await is_quiet(client)
        await until(lambda: phone.ear.loudness() < 50, "the phone hears nothing")
        await client.resume_call()
        await settled(client)
        await hears(client, phone.tone)
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.assertEqual(ufrag, client.media.transport.connection.remote_username)
        self.assertEqual(1, len(phone.ear.sources), "one SSRC toward the phone")
        self.clean(client)

    @on_loop
    async def test_holds_again_and_again(self) -> None:
        """Hold and resume three times; the last word counts."""
        client, phone = await self.talk("1002", "1102")
        for _ in range(3):
            await client.hold_call()
            await settled(client)
            await client.resume_call()
            await settled(client)
        await hears(client, phone.tone)
        client.media.ear().forget()
        await hears(client, phone.tone)
        self.clean(client)

    @on_loop
    async def test_phone_holds(self) -> None:
        """The phone's hold, in each form, silences the page; its return is heard."""
        client, phone = await self.talk("1003", "1103")
        for direction in ("sendonly", "inactive"):
            self.assertEqual(200, (await phone.offer(direction)).status)
            await until(lambda: phone.ear.loudness() < 50, "the page is silent")
            self.assertEqual(200, (await phone.offer("sendrecv")).status)
            phone.ear.forget()
            await until(lambda: phone.ear.tone(TONE) > 0.8, lambda: client.story("the page's tone"))
            await hears(client, phone.tone)
        self.clean(client)

    @on_loop
    async def test_both_hold(self) -> None:
        """The phone's return does not end the page's hold."""
        client, phone = await self.talk("1004", "1104")
        await client.hold_call()
        await settled(client)
        self.assertEqual(200, (await phone.offer("inactive")).status)
        self.assertEqual(200, (await phone.offer("sendrecv")).status)
        await holds(lambda: not client.media.mouth().speaks, "still held", 0.5)
        await client.resume_call()
        await settled(client)
        await hears(client, phone.tone)
        phone.ear.forget()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.clean(client)

    @on_loop
    async def test_firefox_holds(self) -> None:
        """From Firefox, whose m-lines say it otherwise."""
        client, phone = await self.talk("1005", "1105", page=Page(FIREFOX))
        await client.hold_call()
        await settled(client)
        await is_quiet(client)
        await client.resume_call()
        await settled(client)
        await hears(client, phone.tone)
        self.clean(client)

    @on_loop
    async def test_collision(self) -> None:
        """Page and phone change the call at the same moment: both get through, nobody is lost."""
        client, phone = await self.talk("1006", "1106")
        for _ in range(3):
            offering = asyncio.ensure_future(phone.offer("sendrecv"))
            await client.hold_call()
            self.assertEqual(200, (await offering).status)
            await settled(client)
            await is_quiet(client)
            await client.resume_call()
            await settled(client)
            await hears(client, phone.tone)
        phone.ear.forget()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.clean(client)

    @on_loop
    async def test_offerless(self) -> None:
        """A re-INVITE without an offer, as SIP Servers send: the call goes on."""
        client, phone = await self.talk("1007", "1107")
        answer = await phone.offer(with_sdp=False)
        self.assertEqual(200, answer.status)
        client.media.ear().forget()
        phone.ear.forget()
        await hears(client, phone.tone)
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.clean(client)


class ServerHoldTests(StageTestCase):
    """The SIP Server's commands."""

    async def third_party(self, client: HistoricClient, other: str) -> str:
        """Let the SIP Server connect; the name of the call."""
        dn = client.browser.replies[0][0].partition("?")[2]
        said = asyncio.ensure_future(self.stage.lab(f"call {dn} {other}"))
        await client.heard("onIncomingCall")
        await client.accept_call()
        await client.connected()
        found = re.search(r"\bc[0-9]+\b", await said)
        assert found is not None
        return found[0]

    @on_loop
    async def test_server_holds(self) -> None:
        """Hold by re-INVITE of the SIP Server in both forms, and the retrieval."""
        client = await self.signed_in("1001", kind=PLAIN)
        call = await self.third_party(client, ECHO)
        await hears(client, TONE)
        for form in ("rfc3264", "zero"):
            await self.stage.lab(f"hold {call} {form}")
            await hears_nothing(client)
            await self.stage.lab(f"retrieve {call}")
            await hears(client, TONE)
        await self.stage.lab(f"hangup {call}")
        await client.heard("onPeerClosing")
        self.clean(client)

    @on_loop
    async def test_told_to_hold(self) -> None:
        """NOTIFY hold and talk become EVENT-HOLD and EVENT-TALK, which the client obeys."""
        client = await self.signed_in("1002", kind=PLAIN)
        call = await self.third_party(client, ECHO)
        await hears(client, TONE)
        await self.stage.lab(f"hold {call}")
        await client.heard("onNotifyEvent")
        self.assertEqual("hold", client.named("onNotifyEvent")[0]["event"])
        await settled(client)
        await hears_nothing(client)
        await self.stage.lab(f"retrieve {call}")
        await client.heard("onNotifyEvent", 2)
        self.assertEqual("talk", client.named("onNotifyEvent")[1]["event"])
        await settled(client)
        await hears(client, TONE)
        self.clean(client)

    @on_loop
    async def test_told_to_answer(self) -> None:
        """NOTIFY talk while it rings: the client takes the call without a click."""
        client = await self.signed_in("1003", kind=PLAIN)
        said = await self.stage.lab(f"call 1003 {ECHO}")
        call = re.search(r"\bc[0-9]+\b", said)
        assert call is not None
        await client.heard("onIncomingCall")
        self.assertIn("ringing", said)
        await self.stage.lab(f"talk {call[0]}")
        await client.connected()
        self.assertEqual("talk", client.named("onNotifyEvent")[0]["event"])
        await hears(client, TONE)
        self.clean(client)

    @on_loop
    async def test_transferred(self) -> None:
        """The SIP Server puts somebody else on the line: the page hears that one then."""
        client, phone = await self.signed_in("1004", kind=PLAIN), await self.phone("1104")
        call = await self.third_party(client, ECHO)
        await hears(client, TONE)
        await self.stage.lab(f"transfer {call} 1104")
        await hears(client, phone.tone)
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")
        self.assertEqual(1, len(client.media.ear().sources), "one SSRC toward the page")
        self.clean(client)

    @on_loop
    async def test_music_while_held(self) -> None:
        """Held by sendonly the page hears on and says nothing; thrice."""
        client = await self.signed_in("1005", kind=PLAIN)
        call = await self.third_party(client, MUSIC)
        for _ in range(3):
            await until(lambda: client.media.ear().loudness() > 500, "music")
            await self.stage.lab(f"hold {call} rfc3264")
            await until(lambda: not client.media.mouth().speaks, "the page is silent")
            client.media.ear().forget()
            await until(lambda: client.media.ear().loudness() > 500, "music while held")
            await self.stage.lab(f"retrieve {call}")
            await until(lambda: client.media.mouth().speaks, "the page speaks again")
        self.clean(client)


class VideoTests(StageTestCase):
    """Pictures, and how they come into a call that had none."""

    @on_loop
    async def test_from_the_start(self) -> None:
        """Page and phone see each other; a lost picture is asked for."""
        phone = await self.phone("1101", ("audio", "video"))
        client = await self.signed_in("1001")
        await client.make_offer("1101", video=True)
        await client.connected()
        await until(lambda: client.media.ear("video").pictures > 3, f"{client.media.ears}"[:500])
        await until(lambda: phone.medium("video").ear.pictures > 3, "the phone sees the page")
        await until(lambda: client.media.pictures_wanted > 0, "a request for a whole picture")
        self.assertEqual(["0", "1"], client.media.remote.bundled if client.media.remote else None)
        self.clean(client)

    @on_loop
    async def test_refused(self) -> None:
        """A phone without video: the page hears it, and its m-line of video is refused."""
        phone = await self.phone("1102")
        client = await self.signed_in("1002")
        await client.make_offer("1102", video=True)
        await client.connected()
        await hears(client, phone.tone)
        remote = client.media.remote
        assert remote is not None
        self.assertEqual(2, len(remote.sections))
        self.assertFalse(client.media.mouths["1"].speaks)
        self.clean(client)

    async def add_video(self, client: HistoricClient, phone: SipPhone) -> None:
        """Three m-lines, of which the second has the voice now."""
        await client.make_offer(video=True)
        await settled(client)
        media, remote = client.media, client.media.remote
        assert remote is not None
        self.assertEqual(["audio", "audio", "video"], [s.kind for s in remote.sections])
        self.assertTrue(media.mouths["1"].speaks and media.mouths["2"].speaks, media.mouths)
        phone.ear.forget()
        await until(lambda: phone.ear.tone(TONE) > 0.8, lambda: client.story("the page's voice"))
        media.ear().forget()
        await hears(client, phone.tone)
        await until(lambda: phone.medium("video").ear.pictures > 3, "the page's picture")
        await until(lambda: media.ear("video").pictures > 3, "the phone's picture")

    @on_loop
    async def test_added(self) -> None:
        """Chromium adds video with a third m-line: the voice moves, and neither side loses it."""
        phone = await self.phone("1103", ("audio", "video"))
        client = await self.signed_in("1003")
        await client.make_offer("1103")
        await client.connected()
        await hears(client, phone.tone)
        await self.add_video(client, phone)
        for description in (message.body for message in phone.requests("INVITE")[1:]):
            self.assertEqual(1, description.count(b"m=audio"), description)
        await client.hold_call()
        await settled(client)
        await is_quiet(client)
        await client.resume_call()
        await settled(client)
        await hears(client, phone.tone)
        phone.ear.forget()
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's voice after the hold")
        self.clean(client)

    @on_loop
    async def test_added_then_phone_offers(self) -> None:
        """After three m-lines an offer of the phone still has three for the page."""
        phone = await self.phone("1104", ("audio", "video"))
        client = await self.signed_in("1004")
        await client.make_offer("1104")
        await client.connected()
        await self.add_video(client, phone)
        self.assertEqual(200, (await phone.offer("sendonly")).status)
        self.assertEqual(200, (await phone.offer("sendrecv")).status)
        self.assertEqual(3, len(client.media.remote.sections if client.media.remote else ()))
        phone.ear.forget()
        await until(lambda: phone.ear.tone(TONE) > 0.8, lambda: client.story("the page's voice"))
        await hears(client, phone.tone)
        self.clean(client)

    @on_loop
    async def test_added_by_firefox(self) -> None:
        """Firefox adds the second m-line."""
        phone = await self.phone("1105", ("audio", "video"))
        client = await self.signed_in("1005", Page(FIREFOX))
        await client.make_offer("1105")
        await client.connected()
        await client.make_offer(video=True)
        await settled(client)
        await until(lambda: phone.medium("video").ear.pictures > 3, "the page's picture")
        await until(lambda: client.media.ear("video").pictures > 3, "the phone's picture")
        self.clean(client)

    @on_loop
    async def test_page_to_page(self) -> None:
        """A page adds video to its call with another page, which is offered two or more m-lines."""
        caller = await self.signed_in("1006")
        callee = await self.signed_in("1007", kind=Kind(audio_tone=900))
        await caller.make_offer("1007")
        await callee.heard("onIncomingCall")
        await callee.accept_call(video=True)
        await asyncio.gather(caller.connected(), callee.connected())
        await caller.make_offer(video=True)
        await settled(caller)
        await until(lambda: callee.media.ear("video").pictures > 3, lambda: callee.story("video"))
        await until(lambda: caller.media.ear("video").pictures > 3, lambda: caller.story("video"))
        callee.media.ear().forget()
        await hears(callee, TONE)
        caller.media.ear().forget()
        await hears(caller, 900)
        self.clean(caller, callee)
