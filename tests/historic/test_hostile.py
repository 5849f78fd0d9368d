"""What strangers and broken clients send: the call of somebody else goes on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aioice import stun

from tests.historic.client import HistoricClient
from tests.historic.loop_thread import on_loop
from tests.historic.sip_phone import SipPhone
from tests.historic.stage import ECHO, GATEWAY, StageTestCase
from tests.historic.waiting import holds, until
from tests.historic.wire_http import Browser, NetworkFailure, Page, Reply

TONE = 450


class MessageTests(StageTestCase):
    """Texts that make no sense."""

    async def post(self, client: HistoricClient, body: bytes, to: str = ECHO) -> Reply | None:
        """POST anything; None where the connection was closed on it."""
        try:
            return await client.browser.post(f"/message?from={client.ssid}&to={to}", body)
        except NetworkFailure as failure:
            self.assertNotIn("CORS", str(failure))
            return None

    async def all_came(self, client: HistoricClient) -> None:
        """Wait for what is still on its way: a late BYE does not say which call it ends."""
        seen = -1
        while seen != len(client.texts):
            seen = len(client.texts)
            await asyncio.sleep(1)

    async def still_calls(self, client: HistoricClient) -> None:
        """The session is as good as before."""
        await self.all_came(client)
        await client.make_offer(ECHO)
        await client.connected()
        await until(lambda: client.media.ear().tone(TONE) > 0.8, "our own tone")
        await client.close_session()

    @on_loop
    async def test_too_large(self) -> None:
        """A body of megabytes is refused; the page can call afterwards."""
        client = await self.signed_in("1001")
        for size in (2 << 20, 300 << 10):
            reply = await self.post(client, b"RSMP " + b"x" * size)
            self.assertTrue(reply is None or reply.status >= 400, reply)
        await self.still_calls(client)

    @on_loop
    async def test_nonsense(self) -> None:
        """No text is answered 5xx, and none does any harm."""
        client = await self.signed_in("1002")
        for body in _nonsense():
            reply = await self.post(client, body)
            self.assertIsNotNone(reply, body[:80])
            assert reply is not None
            self.assertLess(reply.status, 500, body[:80])
        await self.still_calls(client)

    @on_loop
    async def test_broken_offers(self) -> None:
        """An OFFER with a field of another kind is refused, and the next one works."""
        client = await self.signed_in("1003")
        good = await _an_offer(client)
        for field, value in _broken_fields():
            reply = await self.post(client, _rsmp({**good, field: value}))
            self.assertTrue(reply is not None and reply.status < 500, f"{field} {value!r}"[:90])
            await self.post(client, b"BYE")
        await self.still_calls(client)

    @on_loop
    async def test_broken_sdp(self) -> None:
        """SDP that was cut or mangled anywhere ends in an error, never in a fault of ours."""
        client = await self.signed_in("1004")
        good = await _an_offer(client)
        chance = random.Random(4)
        for _ in range(40):
            sdp = str(good["sdp"])
            at = chance.randrange(len(sdp))
            cut = sdp[:at] + chance.choice(("", "\r\n", "\x00", "9" * 40, "=")) + sdp[at + 7 :]
            offer = {**good, "sdp": chance.choice((sdp[:at], cut)), "seq": 1}
            reply = await self.post(client, _rsmp(offer))
            self.assertTrue(reply is not None and reply.status < 500, cut[at - 40 : at + 40])
            await self.post(client, b"BYE")
        await self.still_calls(client)

    @on_loop
    async def test_strange_candidates(self) -> None:
        """Candidates that are none are passed over; the good ones among them connect."""
        client = await self.signed_in("1005")
        real = client.browser.post

        async def post(target: str, body: bytes) -> Reply:
            if b'"OFFER"' in body:
                message = json.loads(body[5:])
                message["Candidates"] = [*_strange_candidates(), *message["Candidates"]]
                body = _rsmp(message)
            return await real(target, body)

        client.browser.post = post  # type: ignore[method-assign]
        await self.still_calls(client)

    @on_loop
    async def test_session_of_another(self) -> None:
        """Who guesses at ids gets an error, and nobody's texts."""
        client = await self.signed_in("1006")
        assert client.ssid is not None
        for guess in (client.ssid[:-1], client.ssid + "0", client.ssid.upper(), "", "../x", "1006"):
            if guess == client.ssid:
                continue
            reply = await Browser(GATEWAY, Page()).get(f"/wait?id={guess}")
            self.assertGreaterEqual(reply.status, 400, guess)

    @on_loop
    async def test_offer_during_offer(self) -> None:
        """A second OFFER while the first rings, and ANSWERs to nothing: the call lives."""
        phone = await self.phone("1107")
        phone.answers = False
        client = await self.signed_in("1007")
        await client.make_offer("1107")
        await until(lambda: phone.requests("INVITE"), "INVITE")
        for kind in ("ANSWER", "OK", "SHUTDOWN", "ERROR", "NONSENSE"):
            message = {"messageType": kind, "sdp": "v=0\r\n", "seq": 1, "offererSessionId": 9}
            reply = await self.post(client, _rsmp(message), "1107")
            self.assertTrue(reply is not None and reply.status < 500, kind)
        if not phone.requests("CANCEL") and client.call.browser is not None:
            phone.answer()
            await client.connected()


class MediaTests(StageTestCase):
    """Packets of strangers, and packets that come twice."""

    @asynccontextmanager
    async def talk(self, dn: str, other: str) -> AsyncIterator[tuple[HistoricClient, SipPhone]]:
        """A page and a phone that hear each other before and after."""
        phone = await self.phone(other)
        client = await self.signed_in(dn)
        await client.make_offer(other)
        await client.connected()
        await self.hear_each_other(client, phone)
        yield client, phone
        await self.hear_each_other(client, phone)
        self.clean(client)

    async def hear_each_other(self, client: HistoricClient, phone: SipPhone) -> None:
        """Both, from now on."""
        client.media.ear().forget()
        phone.ear.forget()
        await until(lambda: client.media.ear().tone(phone.tone) > 0.8, "the phone's tone")
        await until(lambda: phone.ear.tone(TONE) > 0.8, "the page's tone")

    @on_loop
    async def test_replayed(self) -> None:
        """Packets that come again are not forwarded again."""
        async with self.talk("1001", "1101") as (client, phone):
            media = client.media
            media.mouth().is_muted = True
            await until(lambda: phone.ear.loudness() < 50, "silence")
            before = [p.sequence for p in phone.ear.seen if any(p.payload.strip(b"\xff"))]
            for packet in media.sent[-30:] * 3:
                media.transport.send_raw(packet)
            await asyncio.sleep(0.3)
            after = [p.sequence for p in phone.ear.seen if any(p.payload.strip(b"\xff"))]
            self.assertEqual(before[-1], after[-1])
            media.mouth().is_muted = False

    @on_loop
    async def test_not_authentic(self) -> None:
        """SRTP and SRTCP with a flipped bit, cut, or of nobody's key are not forwarded."""
        async with self.talk("1002", "1102") as (client, phone):
            media = client.media
            media.mouth().is_muted = True
            await until(lambda: phone.ear.loudness() < 50, "silence")
            chance = random.Random(2)
            for packet in media.sent[-20:]:
                sequence = (int.from_bytes(packet[2:4], "big") + 100) & 0xFFFF
                forged = packet[:2] + sequence.to_bytes(2, "big") + packet[4:]
                media.transport.send_raw(forged)
                media.transport.send_raw(packet[: chance.randrange(1, len(packet))])
                media.transport.send_raw(b"\x80\xc8" + chance.randbytes(40))
            await holds(lambda: phone.ear.loudness() < 50, "silence", 0.4)
            media.mouth().is_muted = False

    @on_loop
    async def test_in_the_clear(self) -> None:
        """RTP without encryption is not forwarded."""
        async with self.talk("1003", "1103") as (client, phone):
            media, mouth = client.media, client.media.mouth()
            protect = media.transport.protect
            media.transport.protect = lambda packet: packet  # type: ignore[method-assign]
            await until(lambda: phone.ear.loudness() < 50, "nothing of it is heard")
            media.transport.protect = protect  # type: ignore[method-assign]
            self.assertTrue(mouth.speaks)

    @on_loop
    async def test_forged_checks(self) -> None:
        """STUN with a wrong password, from elsewhere or our own address, moves nothing."""
        async with self.talk("1004", "1104") as (client, _):
            media = client.media
            _, gateway = media.transport.where()
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stranger.setblocking(False)
            stranger.bind(("127.0.0.1", 0))
            remote = media.transport.connection
            for password in (b"wrong-password-of-22-chars", b""):
                for _ in range(20):
                    check = _check(f"{remote.remote_username}:{remote.local_username}", password)
                    stranger.sendto(check, gateway)
                    media.transport.send_raw(check)
            heard = client.media.ear().packets
            await until(lambda: media.ear().packets > heard + 20, "the phone is heard on")
            self.assertEqual([], _media_in(stranger))
            stranger.close()

    @on_loop
    async def test_noise(self) -> None:
        """Random datagrams of every first byte, and records of DTLS, harm nobody."""
        async with self.talk("1005", "1105") as (client, _):
            _, gateway = client.media.transport.where()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for first in range(0, 256, 3):
                    noise = bytes([first]) + os.urandom(60)
                    stranger.sendto(noise, gateway)
                    client.media.transport.send_raw(noise)
                for kind in (20, 21, 22, 23):
                    record = (
                        bytes([kind]) + b"\xfe\xfd" + os.urandom(8) + b"\x00\x04" + b"\x02\x28ab"
                    )
                    stranger.sendto(record, gateway)
                    client.media.transport.send_raw(record)
                for junk in (b"", b"\x00", b"\x16\xfe", b"\x80"):
                    stranger.sendto(junk, gateway)

    @on_loop
    async def test_stranger_on_the_sip_side(self) -> None:
        """RTP from a host that is not the phone's is not heard by the page."""
        async with self.talk("1006", "1106") as (client, phone):
            target = phone.medium().target
            assert target is not None
            before = client.media.ear().packets
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.77", 0))
                for number in range(50):
                    head = b"\x80\x00" + number.to_bytes(2, "big") + bytes(8)
                    stranger.sendto(head + os.urandom(160), target)
            await asyncio.sleep(0.3)
            self.assertLess(client.media.ear().packets - before, 40)


async def _an_offer(client: HistoricClient) -> dict[str, Any]:
    """An OFFER as the client would send it, of a call that is not made."""
    client._begin()
    media = client.media
    media.add("audio")
    sdp, candidates = await media.offer()
    await media.close()
    client.call.browser = None
    return {
        "messageType": "OFFER",
        "sdp": sdp,
        "Candidates": candidates,
        "offererSessionId": 103,
        "answererSessionId": None,
        "seq": 1,
        "tiebreaker": 5,
    }


def _rsmp(message: dict[str, Any]) -> bytes:
    return b"RSMP " + json.dumps(message).encode()


def _nonsense() -> list[bytes]:
    deep = b"RSMP " + b'{"sdp":' * 3000 + b"1" + b"}" * 3000
    lists = b"RSMP " + b"[" * 20000 + b"]" * 20000
    texts = [b"", b"RSMP", b"RSMP ", b"RSMP {", b"RSMP []", b"RSMP null", b"RSMP 1e999", b"NOPE"]
    texts += [b"RSMP {}", b'RSMP {"messageType":"OFFER"}', b'RSMP {"messageType":{}}', b"\xff\xfe"]
    texts += [b"INFO-MAP", b"INFO-PEER", b"INFO-MAP " + b"a" * 9000, b"INFO-PEER \xff\x00\r\n\r\n"]
    texts += [b"BYE", b"BYE now", b"INVITE", b"EVENT-TALK", b"PUT-STATS {}", b"GET-STATS x"]
    return [*texts, deep, lists, b'RSMP {"messageType":"OFFER","sdp":"\\ud800","seq":1}']


def _broken_fields() -> list[tuple[str, Any]]:
    odd: list[Any] = [None, 7, [], {}, True, "x", -1, 1.5, 10**30, "\r\nX: 1"]
    fields = ("sdp", "Candidates", "offererSessionId", "seq", "attacheddata", "messageType")
    pairs = [(field, value) for field in fields for value in odd]
    pairs += [("Candidates", [value]) for value in odd]
    pairs += [("Candidates", [{"candidate": value}]) for value in odd]
    pairs += [("attacheddata", [{"key": a, "value": b}]) for a in odd for b in ("v", None, 5)]
    return pairs


def _strange_candidates() -> list[dict[str, Any]]:
    texts = ["", "candidate:", "a=candidate:x", "candidate:1 1 udp 1 no.such.host.local 9 typ host"]
    texts += ["candidate:1 1 udp 1 0.0.0.0 0 typ host", "candidate:" + "1 " * 500, "nonsense", "🎺"]
    texts += ["candidate:1 1 udp 1 127.0.0.1 5066 typ host\r\nm=audio 9 X 0"]
    texts += ["candidate:1 1 udp 1 ::1 70000 typ host", "candidate:1 1 udp 1 255.255.255.255 9"]
    texts += ["candidate:1 1 udp -1 224.0.0.1 9 typ host"]
    texts += ["candidate:1 9 sctp 1 127.0.0.1 9 typ prflx raddr"]
    return [{"sdpMLineIndex": 0, "sdpMid": "audio", "candidate": text} for text in texts]


def _check(username: str, password: bytes) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1853693695
    message.attributes["ICE-CONTROLLING"] = random.getrandbits(60)
    message.attributes["USE-CANDIDATE"] = None
    if password:
        message.add_message_integrity(password)
    return bytes(message)


def _media_in(stranger: socket.socket) -> list[bytes]:
    """What a stranger was sent that is RTP."""
    found = []
    while True:
        try:
            data = stranger.recv(2048)
        except BlockingIOError:
            return [one for one in found if 127 < one[0] < 192]
        found.append(data)
