"""
A PeerConnection of a browser, as the old client uses it: SDP, transport, what is sent and heard.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tests.historic.listening import AUDIBLE, Ear
from tests.historic.remote_sdp import (
    Description,
    Refused,
    Section,
    check,
    check_answer,
    read_sdp,
    remote_of,
)
from tests.historic.rtp import (
    Packet,
    mid_extension,
    parse,
    picture_loss,
    rtcp_parts,
    sender_report,
)
from tests.historic.shapes import MID_URI, Line, Shape, candidate_objects
from tests.historic.speaking import Mouth
from tests.historic.transports import DtlsTransport, SdesTransport, Transport

Candidates = list[dict[str, object]]
REPORTS = 1.0
"""Seconds between two of our reports."""
ICE_TIMEOUT = 1.0


@dataclass(frozen=True)
class Kind:
    """What sort of browser it is."""

    is_firefox: bool = False
    is_sdes: bool = False
    """No fingerprint, only keys: scripted, since no browser of today does it."""
    audio_tone: int = 450
    audio: tuple[str, ...] = ()
    """Names of the only audio codecs, such as pcmu; none: all of the browser's."""
    ends_are: str = ""
    """a=setup that answers have; "": active, as browsers answer."""


class BrowserPeer:
    """One PeerConnection; it lives as long as a call."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.faults: list[str] = []
        """What the gateway sent and no browser would take without harm."""
        self.lines: list[Line] = []
        self.mouths: dict[str, Mouth] = {}
        """By mid."""
        self.ears: dict[str, Ear] = {}
        self.pictures_wanted = 0
        """PLI and FIR that came."""
        self.reports = 0
        """Report blocks about ours that came."""
        self.local: Description | None = None
        self.remote: Description | None = None
        self.started_at = time.monotonic()
        self.connected_at: float | None = None
        number = random.getrandbits(48)
        self.shape = Shape(kind.is_firefox, f"stream-{number:x}", f"cname{number:x}", number)
        factory = SdesTransport if kind.is_sdes else DtlsTransport
        self.transport: Transport = factory(self._take_rtp, self._take_rtcp)
        self.sent: list[bytes] = []
        """What went out last, encrypted."""
        self._is_settled = False
        self._is_started = False
        self._is_offering = False
        """Media may be here before the answer that names their sources."""
        self._remote_types: dict[int, tuple[str, str]] = {}
        """From a payload type that we receive to the m-line and the codec."""
        self._sources: dict[int, str] = {}
        """From each SSRC that the gateway has named to its m-line."""
        self._mid_extension: int | None = None
        self._previous: list[Line] | None = None
        self._tasks = [asyncio.get_running_loop().create_task(self._report())]

    # Offer and answer.

    def add(self, kind: str, direction: str = "sendrecv") -> Line:
        """Another m-line."""
        line = Line(
            kind=kind,
            mid=str(len(self.lines)),
            ssrc=random.getrandbits(31),
            direction=direction,
            codecs=self._own_codecs(kind),
            extensions=self.shape.extensions(kind),
        )
        self.lines.append(line)
        self.ears[line.mid] = Ear(kind)
        return line

    def _own_codecs(self, kind: str) -> tuple[Any, ...]:
        codecs = self.shape.codecs(kind)
        if kind == "video" or not self.kind.audio:
            return codecs
        wanted = {name.lower() for name in self.kind.audio}
        return tuple(codec for codec in codecs if codec.key.split("/")[0] in wanted)

    async def offer(self) -> tuple[str, Candidates]:
        """The next offer, of the m-lines as they are."""
        await self._gather(controlling=True)
        settled = self._is_settled
        text = self.shape.write(
            self.lines, self.transport, "actpass", is_offer=True, settled=settled
        )
        self._is_offering = True
        self.local = read_sdp(text)
        self._expect(self.local)
        return text, self._candidates(is_offer=True)

    def take_answer(self, text: str, candidates: Candidates) -> None:
        """Set the gateway's answer; raises Refused."""
        answer = read_sdp(text)
        if self.local is None:
            raise Refused("nothing was offered")
        check(answer, is_answer=True, needs_dtls=not self.kind.is_sdes)
        check_answer(self.local, answer)
        self._start(answer, candidates, offerer=True)
        self._is_offering = False
        self.remote = answer
        self._learn(self.local, answer)
        for line, ours, theirs in zip(
            self.lines, self.local.sections, answer.sections, strict=True
        ):
            self._direct(line, ours, theirs, theirs)

    def take_offer(self, text: str) -> Description:
        """Look at the gateway's offer; raises Refused."""
        offer = read_sdp(text)
        check(offer, is_answer=False, needs_dtls=not self.kind.is_sdes)
        if len(offer.sections) < len(self.lines):
            raise Refused(f"{len(offer.sections)} m-lines where there were {len(self.lines)}")
        for line, section in zip(self.lines, offer.sections, strict=False):
            if line.kind != section.kind or section.mid not in (None, line.mid):
                raise Refused(f"m={section.kind} {section.mid} in place of {line.kind} {line.mid}")
        return offer

    async def answer(
        self, offer: Description, candidates: Candidates, *, audio: bool, video: bool
    ) -> tuple[str, Candidates]:
        """The answer to it; ``audio`` and ``video``: what of our own is sent."""
        await self._gather(controlling=False)
        self.remote = offer
        wanted = {"audio": audio, "video": video}
        for index, section in enumerate(offer.sections):
            if index == len(self.lines):
                self.add(section.kind)
            self._answer_line(self.lines[index], section, sends=wanted.get(section.kind, False))
        setup = self._setup(offer)
        settled = self._is_settled
        text = self.shape.write(self.lines, self.transport, setup, is_offer=False, settled=settled)
        given = self._candidates(is_offer=False)
        self.local = read_sdp(text)
        self._start(offer, candidates, offerer=False, active=setup == "active")
        self._learn(self.local, offer)
        for line, ours, theirs in zip(self.lines, self.local.sections, offer.sections, strict=True):
            self._direct(line, theirs, ours, theirs)
        return text, given

    def _setup(self, offer: Description) -> str:
        said = next((s.one("setup") for s in offer.sections if not s.is_rejected), None)
        if self._is_started:
            # The association stands, and with it who is who.
            return self.transport.role
        if said in ("active", "passive"):
            return "passive" if said == "active" else "active"
        return self.kind.ends_are or "active"

    def _answer_line(self, line: Line, section: Section, *, sends: bool) -> None:
        known = {codec.key: codec for codec in reversed(self._own_codecs(section.kind))}
        line.mid = section.mid if section.mid is not None else line.mid
        line.profile = section.profile
        chosen = []
        for number in section.types:
            codec = known.get(section.codec(number))
            if codec is not None and "rtx" not in codec.key:
                chosen.append(replace(codec, number=number))
        line.codecs = tuple(chosen)
        line.is_rejected = section.is_rejected or not chosen
        offered = {value.partition(" ")[2].split(" ")[0] for value in section.all("extmap")}
        line.extensions = tuple(
            (section.extension(uri) or 0, uri)
            for _, uri in self.shape.extensions(section.kind)
            if uri in offered
        )
        line.direction = _answered(section.direction, sends=sends)

    def _candidates(self, *, is_offer: bool) -> Candidates:
        settled, self._is_settled = self._is_settled, True
        return candidate_objects(
            self.lines,
            self.transport,
            is_firefox=self.kind.is_firefox,
            settled=settled,
            is_offer=is_offer,
        )

    async def _gather(self, *, controlling: bool) -> None:
        if not self.transport.candidates:
            # Checks may come before we have seen who checks.
            self.transport.connection.ice_controlling = controlling
            await self.transport.gather()

    # Transport.

    def _start(
        self, remote: Description, candidates: Candidates, *, offerer: bool, active: bool = False
    ) -> None:
        extra = self._usable(remote, candidates)
        section = next((s for s in remote.sections if not s.is_rejected), None)
        if section is None:
            return
        if self._is_started:
            self._check_still(section)
            return
        self._is_started = True
        said = remote_of(section, extra)
        if not said.candidates:
            self.faults.append("no candidate at all")
        if offerer:
            active = said.setup == "passive"
        self.transport.start(said, controlling=offerer or said.is_lite, active=active)
        self._tasks.append(asyncio.get_running_loop().create_task(self._watch()))

    def _check_still(self, section: Section) -> None:
        connection = self.transport.connection
        if section.one("ice-ufrag") != connection.remote_username:
            self.faults.append("ICE was restarted though nobody asked")
        setup = section.one("setup")
        other = "passive" if self.transport.role == "active" else "active"
        if setup not in ("actpass", other):
            self.faults.append(f"setup:{setup} while we are {self.transport.role}")

    def _usable(self, remote: Description, candidates: Candidates) -> list[str]:
        """Candidates that addIceCandidate takes; a wrong name makes it fail, silently."""
        mids = [section.mid for section in remote.sections]
        found = []
        for one in candidates:
            text = str(one.get("candidate") or "").strip().removeprefix("a=")
            mid, index = one.get("sdpMid"), one.get("sdpMLineIndex")
            if not text.startswith("candidate:"):
                self.faults.append(f"candidate {one}")
            elif mid is not None and mid not in mids:
                self.faults.append(f"sdpMid {mid!r} is none of {mids}")
            elif mid is None and not (isinstance(index, int) and 0 <= index < len(mids)):
                self.faults.append(f"sdpMLineIndex {index!r}")
            elif (mids.index(mid) if mid is not None else index) == 0:
                # Those of other lines belong to transports that the bundle makes needless.
                found.append(text)
        return found

    async def _watch(self) -> None:
        while not self.transport.is_connected:
            await asyncio.sleep(0.01)
        self.connected_at = time.monotonic()

    @property
    def is_connected(self) -> bool:
        """Whether media can flow."""
        return self.transport.is_connected

    # Media.

    def _learn(self, local: Description, remote: Description) -> None:
        """What arrives under which number: what our own description says of it."""
        self._remote_types = {}
        self._expect(local)
        for section in remote.sections:
            for value in section.all("ssrc"):
                if section.mid is not None:
                    self._sources[int(value.split(" ")[0])] = section.mid
        first = next((s for s in remote.sections if not s.is_rejected), None)
        self._mid_extension = first.extension(MID_URI) if first is not None else None

    def _expect(self, local: Description) -> None:
        """What we have offered may come before its answer."""
        for ours in local.sections:
            for number in ours.types:
                if ours.codec(number) and ours.mid is not None:
                    self._remote_types[number] = (ours.mid, ours.codec(number))

    def _direct(self, line: Line, offered: Section, answered: Section, theirs: Section) -> None:
        """Send or do not, as agreed; ``theirs`` tells the codecs."""
        # An answerer takes over the offerer's names.
        self.ears.setdefault(line.mid, Ear(line.kind))
        mouth = self.mouths.get(line.mid)
        if mouth is None:
            send, tone = partial(self._send, line), self.kind.audio_tone
            mouth = Mouth(line.kind, line.ssrc, send, tone, lambda: self.transport.is_connected)
            self.mouths[line.mid] = mouth
        ours_sends = (
            line.direction in ("sendrecv", "sendonly")
            and theirs.direction in ("sendrecv", "recvonly")
            and line.sends_track
        )
        chosen = self._chosen(line, theirs)
        if theirs.is_rejected or answered.is_rejected or not ours_sends or chosen is None:
            mouth.stop()
            return
        number, key = chosen
        mouth.speak(number, key, self._event(line, theirs, key))

    def _chosen(self, line: Line, theirs: Section) -> tuple[int, str] | None:
        able = {codec.key for codec in line.codecs}
        usable = (*AUDIBLE, "vp8/90000")
        for number in theirs.types:
            key = theirs.codec(number)
            if key in usable and key in able:
                return number, key
        return None

    def _event(self, line: Line, theirs: Section, key: str) -> tuple[int, int] | None:
        wanted = "48000" if key.startswith("opus") else "8000"
        able = {codec.key for codec in line.codecs}
        # Firefox has but one, whose clock is not that of Opus.
        for clock in (wanted, "8000"):
            for number in theirs.types:
                if theirs.codec(number) == f"telephone-event/{clock}" in able:
                    return number, int(clock)
        return None

    def _send(self, line: Line, packet: Packet) -> None:
        if not self.transport.is_connected:
            return
        extension = b""
        if self._mid_extension is not None:
            extension = mid_extension(self._mid_extension, line.mid)
        data = self.transport.protect(packet.render(extension))
        self.sent.append(data)
        del self.sent[:-50]
        self.transport.send_raw(data)

    def _take_rtp(self, data: bytes) -> None:
        try:
            packet = parse(data)
        except (ValueError, struct.error, IndexError):
            self.faults.append(f"no RTP: {data[:20]!r}")
            return
        known = self._remote_types.get(packet.payload_type)
        if known is None:
            self.faults.append(f"payload type {packet.payload_type} was never agreed")
            return
        mid, key = known
        mid = self._told_mid(packet, mid)
        self.ears.setdefault(mid, Ear("audio")).take(packet, key)

    def _told_mid(self, packet: Packet, mid: str) -> str:
        """The m-line that a source was signalled for, or else what the payload type says."""
        if packet.ssrc in self._sources:
            return self._sources[packet.ssrc]
        if self._sources and not self._is_offering:
            self.faults.append(f"SSRC {packet.ssrc} is none of {self._sources}")
        return mid

    def _take_rtcp(self, data: bytes) -> None:
        ours = {mouth.ssrc: mouth for mouth in self.mouths.values()}
        for kind, count, body in rtcp_parts(data):
            if kind in (200, 201):
                self._take_report(kind, count, body, ours)
            elif kind == 206 and count in (1, 4):
                self.pictures_wanted += 1
                for mouth in ours.values():
                    mouth.wants_picture |= mouth.kind == "video"

    def _take_report(self, kind: int, count: int, body: bytes, ours: dict[int, Mouth]) -> None:
        start = 24 if kind == 200 else 4
        if kind == 200:
            ssrc, high, low = struct.unpack_from("!III", body)
            middle = (high & 0xFFFF) << 16 | low >> 16
            for ear in self.ears.values():
                if ssrc in ear.sources:
                    ear.sources[ssrc].last_report = (middle, time.monotonic())
        for index in range(count):
            (about,) = struct.unpack_from("!I", body, start + 24 * index)
            if about in ours:
                self.reports += 1
            elif about:
                self.faults.append(f"a report about {about}, which is none of ours")

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORTS)
            if self.transport.is_connected:
                self._send_reports()
                if any(ear.needs_picture for ear in self.ears.values()):
                    self.ask_for_picture()

    def _send_reports(self) -> None:
        for mid, mouth in self.mouths.items():
            ear = self.ears.get(mid)
            heard = [*ear.sources.values()][-1:] if ear is not None else []
            if mouth.speaks:
                counts = (mouth.packets, mouth.octets)
                report = sender_report(mouth.ssrc, mouth.stamp, counts, heard, self.shape.cname)
                self.transport.send_raw(self.transport.protect_rtcp(report))

    def ask_for_picture(self) -> None:
        """PLI for the video that we receive."""
        for mid, ear in self.ears.items():
            for ssrc in ear.sources if ear.kind == "video" else ():
                report = picture_loss(self.mouths[mid].ssrc, ssrc)
                self.transport.send_raw(self.transport.protect_rtcp(report))

    # For tests.

    def mouth(self, kind: str = "audio") -> Mouth:
        """The one that speaks, or the last of its kind."""
        found = [mouth for mouth in self.mouths.values() if mouth.kind == kind]
        return next((mouth for mouth in found if mouth.speaks), found[-1])

    def ear(self, kind: str = "audio") -> Ear:
        """The one that hears most lately, of a kind."""
        found = [e for e in self.ears.values() if e.kind == kind]
        return max(found, key=lambda ear: ear.last or 0.0, default=Ear(kind))

    async def close(self) -> None:
        """End it as pc.close() does."""
        self._stop()
        await self.transport.close()

    async def vanish(self) -> None:
        """End it as a tab that is closed: not a word to anybody."""
        self._stop()
        await self.transport.vanish()

    def _stop(self) -> None:
        for mouth in self.mouths.values():
            mouth.stop()
        for task in self._tasks:
            task.cancel()


def _answered(offered: str, *, sends: bool) -> str:
    receives = offered in ("sendrecv", "sendonly")
    sends = sends and offered in ("sendrecv", "recvonly")
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"
