"""
A plain SIP phone at the far end: UDP, G.711, telephone-event, VP8 if wanted; no libraries.

It registers with the suite like any phone, takes one call at a time, and keeps all that it was
told. Loopback loses nothing, so nothing is repeated.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from itertools import count

from tests.historic.listening import Ear
from tests.historic.remote_sdp import Description, Section, read_sdp
from tests.historic.rtp import Packet, parse, rtcp_parts
from tests.historic.sip_message import SipMessage, rendered, uri_of
from tests.historic.speaking import Mouth
from tests.historic.waiting import until

HOST = "127.0.0.1"
DOMAIN = "siplab.test"
EVENTS = 101
PICTURES = 100
_numbers = count(1)
_FORMATS = {
    "audio": (
        "0 8 101",
        ("rtpmap:0 PCMU/8000", "rtpmap:8 PCMA/8000", "rtpmap:101 telephone-event/8000"),
    ),
    "video": ("100", ("rtpmap:100 VP8/90000",)),
}
_MIRRORED = {"sendonly": "recvonly", "recvonly": "sendonly"}


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: object) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr)  # type: ignore[operator]


@dataclass
class Medium:
    """One RTP socket of the phone."""

    kind: str
    transport: asyncio.DatagramTransport
    control: asyncio.DatagramTransport
    ear: Ear
    mouth: Mouth
    target: tuple[str, int] | None = None
    echoes: bool = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.transport.get_extra_info("sockname")[1])


class SipPhone:
    """One DN of the suite's own phones."""

    def __init__(self, dn: str, server: tuple[str, int], *, tone: int = 1200) -> None:
        self.dn = dn
        self.server = server
        self.tone = tone
        self.answers = True
        """At once; otherwise a test says when."""
        self.refuses = ""
        """Status and reason that calls are refused with."""
        self.media: dict[str, Medium] = {}
        self.messages: list[SipMessage] = []
        self.is_up = False
        self.pictures_wanted = 0
        """PLI and FIR that came."""
        self.remote: Description | None = None
        self.direction = "sendrecv"
        self._tag = f"t{random.getrandbits(32):x}"
        self._call_id = ""
        self._near = self._far = self._target = ""
        self._routes: list[str] = []
        self._cseq = 1
        self._branch = ""
        self._versions = count(1)
        self._session = random.getrandbits(31)
        self._said: dict[tuple[str, str], str] = {}
        self.invite: SipMessage | None = None
        self._transport: asyncio.DatagramTransport | None = None

    # Life.

    async def start(self, kinds: tuple[str, ...] = ("audio",)) -> SipPhone:
        """Bind, and register."""
        self._transport = await _bind(self._received)
        for kind in kinds:
            ear = Ear(kind)
            transport, control = await _bind_pair(
                lambda data, _, kind=kind: self._take_rtp(kind, data),
                lambda data, _, kind=kind: self._take_rtcp(kind, data),
            )
            mouth = Mouth(
                kind,
                random.getrandbits(31),
                lambda packet, kind=kind: self._send_rtp(kind, packet),
                self.tone,
                lambda: True,
            )
            self.media[kind] = Medium(kind, transport, control, ear, mouth)
        await self.register()
        return self

    async def register(self, expires: int = 120) -> None:
        """Sign the DN in, or out with 0."""
        own = f"<sip:{self.dn}@{DOMAIN}>"
        contact = f"Contact: {self._contact()}"
        dialog = [f"From: {own};tag={self._tag}", f"To: {own}", f"Call-ID: r{self._tag}"]
        self._cseq += 1
        self._request("REGISTER", f"sip:{DOMAIN}", dialog, [contact, f"Expires: {expires}"])
        answer = await self.response("REGISTER", self._cseq)
        if answer.status != 200:
            raise AssertionError(answer.first)

    async def stop(self) -> None:
        """Go, signed out."""
        if self.is_up:
            await self.hang_up()
        await self.register(0)
        for medium in self.media.values():
            medium.mouth.stop()
            medium.transport.abort()
            medium.control.abort()
        if self._transport is not None:
            self._transport.abort()

    @property
    def _port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def _contact(self) -> str:
        return f"<sip:{self.dn}@{HOST}:{self._port}>"

    # What a test does.

    async def call(self, number: str, *, with_sdp: bool = True) -> None:
        """Call, until answered."""
        self.begin_call(number, with_sdp=with_sdp)
        answer = await self._finish(self._cseq, with_sdp=with_sdp, seconds=10)
        if answer.status != 200:
            raise AssertionError(answer.first)

    def begin_call(self, number: str, *, more: tuple[str, ...] = (), with_sdp: bool = True) -> None:
        """Send an INVITE, and wait for nothing."""
        self._call_id = f"c{random.getrandbits(48):x}"
        self._target = f"sip:{number}@{DOMAIN}"
        self._near = f"<sip:{self.dn}@{DOMAIN}>;tag={self._tag}"
        self._far, self._routes = f"<{self._target}>", []
        self._invite(with_sdp=with_sdp, more=more)

    async def finish_call(self, seconds: float = 10, *, with_sdp: bool = True) -> SipMessage:
        """Wait for what becomes of it; ``with_sdp``: its INVITE had an offer."""
        return await self._finish(self._cseq, with_sdp=with_sdp, seconds=seconds)

    async def cancel(self) -> SipMessage:
        """Give up the call that rings there; the final response of the INVITE."""
        number = self._cseq
        port = self._port
        lines = [f"Via: SIP/2.0/UDP {HOST}:{port};branch={self._branch}", "Max-Forwards: 70"]
        lines += [*self._dialog(), f"CSeq: {number} CANCEL"]
        self._send(rendered(f"CANCEL {self._target} SIP/2.0", lines))
        return await self._finish(number, with_sdp=True, seconds=5)

    def _invite(self, *, with_sdp: bool, more: tuple[str, ...] = ()) -> None:
        self._cseq += 1
        fields = ["Allow: INVITE, ACK, BYE, CANCEL, INFO, NOTIFY, UPDATE", *more]
        body = self._description(None) if with_sdp else ""
        self._request("INVITE", self._target, self._dialog(), fields, body)

    async def offer(self, direction: str = "sendrecv", *, with_sdp: bool = True) -> SipMessage:
        """Re-INVITE, again after a collision (491); the final response."""
        self.direction = direction
        for _ in range(10):
            self._invite(with_sdp=with_sdp)
            answer = await self._finish(self._cseq, with_sdp=with_sdp, seconds=10)
            if answer.status != 491:
                break
            await asyncio.sleep(random.uniform(0.05, 0.3))
        return answer

    async def _finish(self, number: int, *, with_sdp: bool, seconds: float) -> SipMessage:
        answer = await self.response("INVITE", number, seconds)
        ack = ""
        if answer.status == 200:
            self._far, self._target = answer.one("To"), uri_of(answer.one("Contact"))
            self._routes = answer.all("Record-Route")[::-1]
            self.is_up = True
            if with_sdp:
                self._agree(read_sdp(answer.body.decode()))
            else:
                offer = read_sdp(answer.body.decode())
                ack = self._description(offer)
                self._agree(offer)
        self._request("ACK", self._target, self._dialog(), [], ack, number)
        return answer

    def answer(self) -> None:
        """Take the call that rings."""
        assert self.invite is not None
        self._accept(self.invite)

    def refuse(self, status: str) -> None:
        """Do not take it."""
        assert self.invite is not None
        self._respond(self.invite, status)

    async def hang_up(self) -> None:
        """BYE."""
        self.is_up = False
        await self.request("BYE")
        self._stop()

    async def request(self, method: str, kind: str = "", body: str = "") -> SipMessage:
        """A request of the dialog; its response."""
        self._cseq += 1
        number = self._cseq
        self._request(method, self._target, self._dialog(), [], body, number, kind)
        return await self.response(method, number)

    async def response(self, method: str, number: int, seconds: float = 5) -> SipMessage:
        """The final response to a request of ours."""

        def found() -> list[SipMessage]:
            wanted = f"{number} {method}"
            return [m for m in self.messages if m.status >= 200 and m.one("CSeq") == wanted]

        await until(found, lambda: f"answer to {method} among {self.story()}", seconds)
        return found()[-1]

    def requests(self, method: str) -> list[SipMessage]:
        """What came."""
        return [m for m in self.messages if not m.status and m.method == method]

    def story(self) -> str:
        """First lines of all that came."""
        return " | ".join(message.first for message in self.messages)

    def medium(self, kind: str = "audio") -> Medium:
        """One of its media."""
        return self.media[kind]

    @property
    def ear(self) -> Ear:
        """What it hears."""
        return self.media["audio"].ear

    # SIP.

    def _dialog(self) -> list[str]:
        head = [f"From: {self._near}", f"To: {self._far}", f"Call-ID: {self._call_id}"]
        return [*head, *(f"Route: {route}" for route in self._routes)]

    def _request(
        self,
        method: str,
        uri: str,
        dialog: list[str],
        more: list[str],
        body: str = "",
        number: int = 0,
        kind: str = "",
    ) -> None:
        branch = f"z9hG4bKp{next(_numbers)}"
        if method == "INVITE":
            self._branch = branch
        lines = [
            f"Via: SIP/2.0/UDP {HOST}:{self._port};branch={branch}",
            "Max-Forwards: 70",
            *dialog,
            f"CSeq: {number or self._cseq} {method}",
            *([] if method == "REGISTER" else [f"Contact: {self._contact()}"]),
            *more,
        ]
        self._send(rendered(f"{method} {uri} SIP/2.0", lines, body, kind or "application/sdp"))

    def _send(self, text: str) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode(), self.server)

    def _respond(self, request: SipMessage, status: str, body: str = "") -> None:
        more = (f"Contact: {self._contact()}",) if request.method == "INVITE" else ()
        text = request.response(status, self._tag, more, body)
        self._said[request.key] = text
        self._send(text)

    def _received(self, data: bytes, _: tuple[str, int]) -> None:
        if not data.strip():
            return
        message = SipMessage.read(data)
        if not message.status and message.key in self._said and message.method != "ACK":
            self._send(self._said[message.key])
            return
        self.messages.append(message)
        if not message.status:
            self._take(message)

    def _take(self, request: SipMessage) -> None:
        method = request.method
        if method == "INVITE" and ";tag=" not in request.one("To"):
            self._ring(request)
        elif method == "INVITE":
            self._accept(request)
        elif method == "ACK":
            if request.body:
                self._agree(read_sdp(request.body.decode()))
        elif method == "CANCEL":
            self._respond(request, "200 OK")
            if self.invite is not None:
                self._respond(self.invite, "487 Request Terminated")
        elif method == "BYE":
            self.is_up = False
            self._stop()
            self._respond(request, "200 OK")
        else:
            self._respond(request, "200 OK")

    def _ring(self, request: SipMessage) -> None:
        if self.is_up:
            self._respond(request, "486 Busy Here")
            return
        self.invite = request
        if self.refuses:
            self._respond(request, self.refuses)
            return
        self._respond(request, "180 Ringing")
        if self.answers:
            self._accept(request)

    def _accept(self, request: SipMessage) -> None:
        self._call_id = request.one("Call-ID")
        self._far = request.one("From")
        to = request.one("To")
        self._near = to if ";tag=" in to else f"{to};tag={self._tag}"
        self._target = uri_of(request.one("Contact"))
        self._routes = request.all("Record-Route")
        offer = read_sdp(request.body.decode()) if request.body else None
        self.is_up = True
        self._respond(request, "200 OK", self._description(offer))
        if offer is not None:
            self._agree(offer)

    # Media.

    def _description(self, offer: Description | None) -> str:
        wanted = [s.kind for s in offer.sections] if offer else list(self.media)
        lines = ["v=0", f"o=- {self._session} {next(self._versions)} IN IP4 {HOST}", "s=-"]
        lines += [f"c=IN IP4 {HOST}", "t=0 0"]
        done: set[str] = set()
        for index, kind in enumerate(wanted):
            section = offer.sections[index] if offer else None
            if kind not in self.media or kind in done or (section and section.port == 0):
                lines.append(f"m={kind} 0 {section.profile if section else 'RTP/AVP'} 0")
                continue
            done.add(kind)
            lines += self._section(kind, section)
        return "".join(f"{line}\r\n" for line in lines)

    def _section(self, kind: str, section: Section | None) -> list[str]:
        formats, attributes = _FORMATS[kind]
        direction = self.direction
        if section is not None:
            formats, attributes = _answered(section)
            direction = _MIRRORED.get(section.direction, section.direction)
        profile = section.profile if section is not None else "RTP/AVP"
        lines = [f"m={kind} {self.media[kind].port} {profile} {formats}"]
        return [*lines, *(f"a={attribute}" for attribute in attributes), f"a={direction}"]

    def _agree(self, remote: Description) -> None:
        """Send where and what the other side wants."""
        self.remote = remote
        for kind, medium in self.media.items():
            section = next((s for s in remote.sections if s.kind == kind and s.port), None)
            if section is None:
                medium.mouth.stop()
                continue
            medium.target = (_host(remote, section), section.port)
            chosen = next(
                ((n, section.codec(n)) for n in section.types if section.codec(n) in _CODECS), None
            )
            sends = section.direction in ("sendrecv", "recvonly")
            sends = sends and self.direction in ("sendrecv", "sendonly")
            if chosen is None or not sends or medium.echoes:
                medium.mouth.stop()
                continue
            event = next((n for n in section.types if section.codec(n) == _EVENT), None)
            medium.mouth.speak(*chosen, None if event is None else (event, 8000))

    def _stop(self) -> None:
        for medium in self.media.values():
            medium.mouth.stop()

    def _send_rtp(self, kind: str, packet: Packet) -> None:
        medium = self.media[kind]
        if medium.target is not None:
            medium.transport.sendto(packet.render(), medium.target)

    def _take_rtcp(self, kind: str, data: bytes) -> None:
        if any(part[0] == 206 and part[1] in (1, 4) for part in rtcp_parts(data)):
            self.pictures_wanted += 1
            self.media[kind].mouth.wants_picture = True

    def _take_rtp(self, kind: str, data: bytes) -> None:
        if len(data) > 1 and 192 <= data[1] <= 223:
            return
        packet = parse(data)
        section = (
            next((s for s in self.remote.sections if s.kind == kind), None)
            if (self.remote is not None)
            else None
        )
        key = section.codec(packet.payload_type) if section is not None else ""
        if not key:
            key = {0: "pcmu/8000", 8: "pcma/8000"}.get(packet.payload_type, "")
        if key:
            self.media[kind].ear.take(packet, key)


_EVENT = "telephone-event/8000"
_CODECS = ("pcmu/8000", "pcma/8000", "vp8/90000")


def _answered(section: Section) -> tuple[str, list[str]]:
    """Of the offered formats those that the phone has, under the offerer's numbers."""
    able = (*_CODECS, _EVENT)
    kept = [number for number in section.types if section.codec(number) in able]
    names = {n: section.codec(n) for n in kept}
    return " ".join(str(n) for n in kept), [f"rtpmap:{n} {name}" for n, name in names.items()]


def _host(remote: Description, section: Section) -> str:
    line = next(x for x in [*section.lines, *remote.session] if x.startswith("c="))
    return line.split(" ")[2]


async def _bind(take: object) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(take), local_addr=(HOST, 0)
    )
    return transport


async def _bind_pair(
    rtp: object, rtcp: object
) -> tuple[asyncio.DatagramTransport, asyncio.DatagramTransport]:
    """An even port and the one after it."""
    loop = asyncio.get_running_loop()
    while True:
        port = random.randrange(40_000, 48_000, 2)
        try:
            first, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(rtp), local_addr=(HOST, port)
            )
        except OSError:
            continue
        try:
            second, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(rtcp), local_addr=(HOST, port + 1)
            )
        except OSError:
            first.abort()
            continue
        return first, second
