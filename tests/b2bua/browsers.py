"""
Browsers around the core of ``network``: sessions of the gateway, or pages with a WebSocket.
"""

from __future__ import annotations

from b2bua.sdp.codecs import parse_codec_list
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.negotiation import CodecRules
from b2bua.settings import MediaSettings, WebMediaSettings
from b2bua.sip.hop import BROWSER, Hop
from tests.b2bua.network import OURS, Network, Peer
from tests.b2bua.test_calls import CallCase
from tests.b2bua.web_plane import FakeWebPlane

PAGE = "198.51.100.9"
RULES = CodecRules(
    codecs=parse_codec_list("(opus=111,pcmu,pcma,telephone-event=126,vp8=100)"),
    transcoding=False,
)
_PRINT = ":".join(["CD"] * 32)


class Browser(Peer):
    """One that has signed in at the gateway, or speaks SIP over a WebSocket."""

    def __init__(self, network: Network, transport: str = BROWSER, dn: str = "1009") -> None:
        super().__init__(network, dn, PAGE, None)
        self.hop = Hop(transport, PAGE, 0 if transport == BROWSER else 44444, 1)
        self.ours = Hop(transport, OURS, 5066, 1)
        network.peers[PAGE] = self


def web_sdp(
    *kinds: str,
    version: int = 1,
    direction: str = "sendrecv",
    ufrag: str = "page",
    setup: str = "actpass",
    codecs: str = "111 0 8 126",
) -> bytes:
    """What a page says, in short."""
    kinds = kinds or ("audio",)
    lines = [
        *("v=0", f"o=- 4711 {version} IN IP4 127.0.0.1", "s=-", "t=0 0"),
        "a=group:BUNDLE " + " ".join(str(slot) for slot in range(len(kinds))),
    ]
    for slot, kind in enumerate(kinds):
        numbers = codecs if kind == "audio" else "96 97"
        lines += [
            f"m={kind} 9 UDP/TLS/RTP/SAVPF {numbers}",
            *("c=IN IP4 0.0.0.0", f"a=mid:{slot}", f"a=ice-ufrag:{ufrag}"),
            *(f"a=ice-pwd:{ufrag * 6}", f"a=fingerprint:sha-256 {_PRINT}"),
            *(f"a=setup:{setup}", f"a={direction}", "a=rtcp-mux"),
        ]
        lines += _MAPS[kind]
    return "".join(f"{line}\r\n" for line in lines).encode()


_MAPS = {
    "audio": ["a=rtpmap:111 opus/48000/2", "a=rtpmap:126 telephone-event/8000"],
    "video": [
        *("a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli"),
        *("a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"),
    ],
}


def page_answer(*kinds: str, version: int) -> bytes:
    """What a page answers to an offer of ours, with our numbers."""
    answer = web_sdp(*kinds, version=version, setup="active", codecs="0 8")
    return answer.replace(b" 96 97\r\n", b" 100\r\n").replace(b":96", b":100")


class BrowserCase(CallCase):
    """Two servers, a phone, and a browser signed in as 1009."""

    transport = BROWSER

    def build(self, **changes: object) -> None:
        """Make a network whose plane has transports."""
        plane = self.plane = FakeWebPlane()
        web = WebMediaSettings(addresses=(OURS,), rules=RULES)
        media = MediaSettings(host=OURS, rules=RULES)
        super().build(**({"web": web, "media": media, "plane": plane} | changes))
        self.browser = Browser(self.network, self.transport)
        self.browser.register()

    def said_to_browser(self) -> SessionDescription:
        """The last description that went to the browser."""
        return self.said_to(PAGE)

    def said_to(self, host: str) -> SessionDescription:
        """The last description that went to an address."""
        for _, to, message in reversed(self.network.trace):
            if to == host and message.body:
                return parse(message.body)
        raise AssertionError("nothing was said")
