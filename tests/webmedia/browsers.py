"""aiortc as a browser: an RTCPeerConnection, and what its SDP says, without any signalling."""

from __future__ import annotations

from aiortc import RTCPeerConnection, RTCSessionDescription

from b2bua.media_plane import LocalTransport, RemoteTransport

AUDIO, VIDEO = 96, 97


def read_transport(sdp: str) -> RemoteTransport:
    """What an SDP with one transport says of it."""
    lines = [line.partition(":")[::2] for line in sdp.split("\r\n") if line.startswith("a=")]
    values = dict(reversed(lines))
    hash_function, _, value = values["a=fingerprint"].partition(" ")
    return RemoteTransport(
        ufrag=values["a=ice-ufrag"],
        password=values["a=ice-pwd"],
        candidates=tuple(value for name, value in lines if name == "a=candidate"),
        fingerprints=((hash_function, value),),
        begins_handshake=values["a=setup"] != "passive",
    )


def write_answer(local: LocalTransport, sources: dict[str, int], *, setup: str) -> str:
    """Answer an offer of audio, and video if there is a source for it: opus and VP8."""
    codecs = {
        "audio": (AUDIO, ["a=rtpmap:96 opus/48000/2"]),
        "video": (VIDEO, ["a=rtpmap:97 VP8/90000", "a=rtcp-fb:97 nack", "a=rtcp-fb:97 nack pli"]),
    }
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    lines.append("a=group:BUNDLE " + " ".join(str(place) for place in range(len(sources))))
    for place, (kind, ssrc) in enumerate(sources.items()):
        number, attributes = codecs[kind]
        hash_function, value = local.fingerprint
        lines += [f"m={kind} {local.default[1]} UDP/TLS/RTP/SAVPF {number}"]
        lines += [f"c=IN IP4 {local.default[0]}", f"a=mid:{place}", "a=sendrecv", "a=rtcp-mux"]
        lines += [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}"]
        lines += [f"a=fingerprint:{hash_function} {value}", f"a=setup:{setup}"]
        lines += [f"a=candidate:{candidate}" for candidate in local.candidates]
        lines += ["a=end-of-candidates", *attributes, f"a=ssrc:{ssrc} cname:us"]
    return "\r\n".join(lines) + "\r\n"


async def offer(browser: RTCPeerConnection) -> str:
    """Let it make its offer, with opus as 96 and VP8 as 97."""
    await browser.setLocalDescription(await browser.createOffer())
    return browser.localDescription.sdp


async def answer(browser: RTCPeerConnection, sdp: str) -> None:
    """Let it take our answer."""
    await browser.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
