"""
SDP as the old client sends it from Chromium and from Firefox of today, mungings included.

What a browser writes is written here line by line; then the old client's changes follow: the
profile without UDP/TLS, retransmission formats that lose their description one by one, bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.historic.transports import Transport

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
_OFFSET_URI = "urn:ietf:params:rtp-hdrext:toffset"
_WEBRTC = "http://www.webrtc.org/experiments/rtp-hdrext"
_TWCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


@dataclass(frozen=True)
class Codec:
    """One payload type of a browser's."""

    number: int
    name: str
    fmtp: str = ""
    feedback: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``name/clock`` in lower case."""
        return "/".join(self.name.lower().split("/")[:2])

    def lines(self) -> list[str]:
        """Its attributes."""
        lines = [f"a=rtpmap:{self.number} {self.name}"]
        lines += [f"a=rtcp-fb:{self.number} {value}" for value in self.feedback]
        return [*lines, *([f"a=fmtp:{self.number} {self.fmtp}"] if self.fmtp else [])]


_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
_H264 = "level-asymmetry-allowed=1;packetization-mode={};profile-level-id={}"


def _video(number: int, rtx: int, name: str, fmtp: str = "") -> list[Codec]:
    return [
        Codec(number, f"{name}/90000", fmtp, _FEEDBACK),
        Codec(rtx, "rtx/90000", f"apt={number}"),
    ]


CHROMIUM_AUDIO = (
    Codec(111, "opus/48000/2", "minptime=10;useinbandfec=1", ("transport-cc",)),
    Codec(63, "red/48000/2", "111/111"),
    Codec(9, "G722/8000"),
    Codec(0, "PCMU/8000"),
    Codec(8, "PCMA/8000"),
    Codec(13, "CN/8000"),
    Codec(110, "telephone-event/48000"),
    Codec(126, "telephone-event/8000"),
)
CHROMIUM_VIDEO = (
    *_video(96, 97, "VP8"),
    *_video(102, 103, "H264", _H264.format(1, "42001f")),
    *_video(106, 107, "H264", _H264.format(0, "42001f")),
    *_video(108, 109, "H264", _H264.format(1, "42e01f")),
    *_video(127, 125, "H264", _H264.format(0, "42e01f")),
    *_video(45, 46, "AV1", "level-idx=5;profile=0;tier=0"),
    *_video(98, 99, "VP9", "profile-id=0"),
    Codec(112, "red/90000"),
    Codec(113, "rtx/90000", "apt=112"),
    Codec(114, "ulpfec/90000"),
)
FIREFOX_AUDIO = (
    Codec(109, "opus/48000/2", "maxplaybackrate=48000;stereo=1;useinbandfec=1"),
    Codec(9, "G722/8000/1"),
    Codec(0, "PCMU/8000"),
    Codec(8, "PCMA/8000"),
    Codec(101, "telephone-event/8000/1", "0-15"),
)
_FIREFOX_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
FIREFOX_VIDEO = (
    Codec(120, "VP8/90000", "max-fs=12288;max-fr=60", _FIREFOX_FEEDBACK),
    Codec(124, "rtx/90000", "apt=120"),
    Codec(121, "VP9/90000", "max-fs=12288;max-fr=60", _FIREFOX_FEEDBACK),
    Codec(125, "rtx/90000", "apt=121"),
)
_CHROMIUM_EXTENSIONS = {
    "audio": ((1, LEVEL_URI), (2, f"{_WEBRTC}/abs-send-time"), (3, _TWCC), (4, MID_URI)),
    "video": (
        (14, _OFFSET_URI),
        (2, f"{_WEBRTC}/abs-send-time"),
        (13, "urn:3gpp:video-orientation"),
        (3, _TWCC),
        (5, f"{_WEBRTC}/playout-delay"),
        (6, f"{_WEBRTC}/video-content-type"),
        (7, f"{_WEBRTC}/video-timing"),
        (8, f"{_WEBRTC}/color-space"),
        (4, MID_URI),
        (10, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
        (11, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
    ),
}
_FIREFOX_EXTENSIONS = {
    "audio": ((1, LEVEL_URI), (3, MID_URI)),
    "video": (
        (3, MID_URI),
        (4, f"{_WEBRTC}/abs-send-time"),
        (5, "urn:ietf:params:rtp-hdrext:toffset"),
    ),
}


@dataclass
class Line:
    """An m-line of the client's session; its place never changes."""

    kind: str
    mid: str
    ssrc: int
    direction: str = "sendrecv"
    codecs: tuple[Codec, ...] = ()
    extensions: tuple[tuple[int, str], ...] = ()
    profile: str = "UDP/TLS/RTP/SAVPF"
    is_rejected: bool = False
    sends_track: bool = True


@dataclass
class Shape:
    """How one browser, with the old client above it, writes its descriptions."""

    is_firefox: bool
    stream: str
    cname: str
    session_id: int
    version: int = 1
    _rtx_lost: int = field(default=0, repr=False)

    def codecs(self, kind: str) -> tuple[Codec, ...]:
        """All that it offers of a kind."""
        if self.is_firefox:
            return FIREFOX_AUDIO if kind == "audio" else FIREFOX_VIDEO
        return CHROMIUM_AUDIO if kind == "audio" else CHROMIUM_VIDEO

    def extensions(self, kind: str) -> tuple[tuple[int, str], ...]:
        """All header extensions that it offers of a kind."""
        return (_FIREFOX_EXTENSIONS if self.is_firefox else _CHROMIUM_EXTENSIONS)[kind]

    def write(
        self, lines: list[Line], transport: Transport, setup: str, *, is_offer: bool, settled: bool
    ) -> str:
        """The whole text; ``settled``: candidates are known and stand in it."""
        self.version += 1
        if is_offer:
            self._rtx_lost += 1
        head = [*self._head(lines, transport), *self._session_end()]
        body: list[str] = []
        for index, line in enumerate(lines):
            if line.is_rejected:
                body += [f"m={line.kind} 0 {line.profile} 0", "c=IN IP4 0.0.0.0", "a=inactive"]
                body += [f"a=mid:{line.mid}"]
                continue
            body += self._section(line, transport, setup, is_offer=is_offer)
            if settled and index == 0:
                body += [f"a=candidate:{one.to_sdp()}" for one in transport.candidates]
        text = "".join(f"{line}\r\n" for line in [*head, *body])
        return _at(text, transport) if settled else text

    def _head(self, lines: list[Line], transport: Transport) -> list[str]:
        alive = " ".join(line.mid for line in lines if not line.is_rejected)
        name = "mozilla...THIS_IS_SDPARTA-99.0" if self.is_firefox else "-"
        host = "0.0.0.0" if self.is_firefox else "127.0.0.1"
        head = ["v=0", f"o={name} {self.session_id} {self.version} IN IP4 {host}", "s=-", "t=0 0"]
        if self.is_firefox:
            head += ["a=sendrecv", *_fingerprint(transport)]
        return [*head, f"a=group:BUNDLE {alive}"]

    def _session_end(self) -> list[str]:
        if self.is_firefox:
            return ["a=ice-options:trickle", "a=msid-semantic:WMS *"]
        return ["a=extmap-allow-mixed", f"a=msid-semantic: WMS {self.stream}"]

    def _section(
        self, line: Line, transport: Transport, setup: str, *, is_offer: bool
    ) -> list[str]:
        # The old client strips UDP/TLS/ off its offers; answers echo what was offered.
        profile = "RTP/SAVPF" if is_offer else line.profile
        codecs, silent = self._formats(line, is_offer=is_offer)
        numbers = " ".join(str(codec.number) for codec in codecs)
        lines = [f"m={line.kind} 9 {profile} {numbers}", "c=IN IP4 0.0.0.0"]
        lines += ["b=AS:500"] if line.kind == "video" else []
        lines += [] if self.is_firefox else ["a=rtcp:9 IN IP4 0.0.0.0"]
        lines += self._transport(transport, setup)
        lines += [f"a=mid:{line.mid}"]
        lines += [f"a=extmap:{number} {uri}" for number, uri in line.extensions]
        lines += [f"a={line.direction}"]
        sends = line.direction in ("sendrecv", "sendonly", "inactive") and line.sends_track
        lines += [f"a=msid:{self.stream} track-{line.mid}"] if sends else []
        lines += ["a=rtcp-mux", *([] if line.kind == "audio" else ["a=rtcp-rsize"])]
        for codec in codecs:
            lines += [] if codec.number == silent else codec.lines()
        return [*lines, *(self._sources(line) if sends else [])]

    def _transport(self, transport: Transport, setup: str) -> list[str]:
        lines = [f"a=ice-ufrag:{transport.ufrag}", f"a=ice-pwd:{transport.password}"]
        if transport.crypto:
            return [*lines, f"a=crypto:{transport.crypto}"]
        if self.is_firefox:
            return [*lines, f"a=setup:{setup}"]
        return [*lines, "a=ice-options:trickle", *_fingerprint(transport), f"a=setup:{setup}"]

    def _sources(self, line: Line) -> list[str]:
        sources = [f"a=ssrc:{line.ssrc} cname:{self.cname}"]
        if not self.is_firefox:
            sources += [f"a=ssrc:{line.ssrc} msid:{self.stream} track-{line.mid}"]
        if line.kind == "video" and not self.is_firefox:
            other = line.ssrc + 1
            group = [f"a=ssrc-group:FID {line.ssrc} {other}"]
            sources = [*group, *sources, f"a=ssrc:{other} cname:{self.cname}"]
        return sources

    def _formats(self, line: Line, *, is_offer: bool) -> tuple[list[Codec], int | None]:
        """The codecs in their order, and the one that loses its description."""
        again = [codec for codec in line.codecs if codec.name.startswith("rtx")]
        if not is_offer or line.kind != "video" or self.is_firefox or not again:
            return list(line.codecs), None
        lost = (self._rtx_lost - 1) % len(again)
        last = again[:lost]
        return [*(codec for codec in line.codecs if codec not in last), *last], again[lost].number


def _fingerprint(transport: Transport) -> list[str]:
    if transport.fingerprint is None:
        return []
    return ["a=fingerprint:{} {}".format(*transport.fingerprint)]


def _at(text: str, transport: Transport) -> str:
    """Real ports and addresses in place of 9 and 0.0.0.0, as in every later description."""
    found = next((c for c in transport.candidates if c.component == 1), None)
    if found is None:
        return text
    text = text.replace("m=audio 9 ", f"m=audio {found.port} ")
    text = text.replace("m=video 9 ", f"m=video {found.port} ")
    return text.replace("c=IN IP4 0.0.0.0", f"c=IN IP4 {found.host}")


def candidate_objects(
    lines: list[Line], transport: Transport, *, is_firefox: bool, settled: bool, is_offer: bool
) -> list[dict[str, object]]:
    """What goes into ``Candidates``: bare first, with ``a=`` and a kind for a name later."""
    if settled:
        return [
            {
                "sdpMLineIndex": 0,
                "sdpMid": lines[0].kind,
                "candidate": f"a=candidate:{one.to_sdp()}\r\n",
            }
            for one in transport.candidates
        ]
    found: list[dict[str, object]] = []
    # Only a first offer does not know yet whether the other side bundles.
    for index, line in enumerate(lines if is_offer else lines[:1]):
        texts = [f"candidate:{one.to_sdp()}" for one in transport.candidates]
        texts = texts if index == 0 else [_elsewhere(text) for text in texts]
        texts = _firefox(texts) if is_firefox else [*texts, *_over_tcp(texts)]
        found += [
            {
                "candidate": text,
                "sdpMid": line.mid,
                "sdpMLineIndex": index,
                "usernameFragment": transport.ufrag,
            }
            for text in texts
        ]
    return found


def _elsewhere(text: str) -> str:
    """Another port, of a transport that the bundle makes needless: nobody answers there."""
    parts = text.split(" ")
    parts[5] = str(int(parts[5]) - 3)
    return " ".join(parts)


def _over_tcp(texts: list[str]) -> list[str]:
    """Chromium's candidates over TCP: they name port 9, where nobody listens."""
    found = []
    for text in texts:
        parts = text.split(" ")
        parts[2], parts[3], parts[5] = "tcp", "1518280447", "9"
        found.append(" ".join(parts) + " tcptype active generation 0")
    return found


def _firefox(texts: list[str]) -> list[str]:
    """Firefox's habits: capitals, a second component, an empty one for the end."""
    found = []
    for text in texts:
        parts = text.split(" ")
        parts[2] = parts[2].upper()
        other = [*parts]
        other[1], other[5] = "2", str(int(parts[5]) - 1)
        found += [" ".join(parts), " ".join(other)]
    return [*found, *_over_tcp(found[:1]), ""]
