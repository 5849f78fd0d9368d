"""
Session descriptions in the forms that peers really send, and tools to make variants of them.

Addresses, keys and names are made up; line kinds, order and numbers are those of the peer.
"""

from __future__ import annotations

from typing import Final

from b2bua.sdp.description import SessionDescription, parse


def sdp(*lines: str) -> str:
    """Return lines as the body of a message."""
    return "".join(f"{line}\r\n" for line in lines)


FINGERPRINT: Final = "sha-256 " + ":".join(f"{octet:02X}" for octet in range(32))

SIPP: Final = sdp(
    "v=0",
    "o=user1 53655765 2353687637 IN IP4 127.0.0.1",
    "s=-",
    "c=IN IP4 127.0.0.1",
    "t=0 0",
    "m=audio 6000 RTP/AVP 0",
    "a=rtpmap:0 PCMU/8000",
)

BARESIP: Final = sdp(
    "v=0",
    "o=- 1382915274 2066112390 IN IP4 192.0.2.7",
    "s=-",
    "c=IN IP4 192.0.2.7",
    "t=0 0",
    "a=tool:baresip 1.0.0",
    "m=audio 23456 RTP/AVP 96 9 0 8 101",
    "b=AS:125",
    "a=rtpmap:96 opus/48000/2",
    "a=fmtp:96 stereo=1;sprop-stereo=1",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=rtcp:23457",
    "a=sendrecv",
    "a=label:1",
    "a=ptime:20",
    "m=video 0 RTP/AVP 97 98",
    "a=rtpmap:97 H264/90000",
    "a=fmtp:97 packetization-mode=0;profile-level-id=42801f",
    "a=rtpmap:98 VP8/90000",
    "a=sendrecv",
    "a=label:2",
)

GENESYS: Final = sdp(
    "v=0",
    "o=Genesys 1 1 IN IP4 198.51.100.20",
    "s=StreamManager 8.5.300",
    "c=IN IP4 198.51.100.20",
    "t=0 0",
    "m=audio 20010 RTP/AVP 0 8 18 101",
    "a=rtpmap:0 pcmu/8000",
    "a=rtpmap:8 pcma/8000",
    "a=rtpmap:18 G729/8000",
    "a=fmtp:18 annexb=no",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
)
"""The answer in an ACK to an offerless INVITE."""

GENESYS_HOLD: Final = sdp(
    "v=0",
    "o=Genesys 1 2 IN IP4 198.51.100.20",
    "s=StreamManager 8.5.300",
    "c=IN IP4 0.0.0.0",
    "t=0 0",
    "m=audio 20010 RTP/AVP 0 101",
    "a=rtpmap:0 pcmu/8000",
    "a=rtpmap:101 telephone-event/8000",
)

_CHROMIUM_AUDIO: Final = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
    "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=ice-ufrag:F7gI",
    "a=ice-pwd:x9cml/YzichV2+XlhiMu8g+z",
    "a=ice-options:trickle",
    f"a=fingerprint:{FINGERPRINT}",
    "a=setup:actpass",
    "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "a=extmap:4/recvonly urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=sendrecv",
    "a=msid:stream track-a",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=rtcp-xr:rcvr-rtt=all",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2",
    "a=fmtp:63 111/111",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:13 CN/8000",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
    "a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6",
    "a=ssrc:3570614608 msid:stream track-a",
)
_CHROMIUM_VIDEO: Final = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 109 114 117 118",
    "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=ice-ufrag:F7gI",
    "a=ice-pwd:x9cml/YzichV2+XlhiMu8g+z",
    "a=ice-options:trickle",
    f"a=fingerprint:{FINGERPRINT}",
    "a=setup:actpass",
    "a=mid:1",
    "a=extmap:14 urn:ietf:params:rtp-hdrext:toffset",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=rtpmap:96 VP8/90000",
    "a=rtcp-fb:96 goog-remb",
    "a=rtcp-fb:96 transport-cc",
    "a=rtcp-fb:96 ccm fir",
    "a=rtcp-fb:96 nack",
    "a=rtcp-fb:96 nack pli",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
    "a=rtpmap:103 H264/90000",
    "a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    "a=rtpmap:104 rtx/90000",
    "a=fmtp:104 apt=103",
    "a=rtpmap:109 H264/90000",
    "a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f",
    "a=rtpmap:114 H264/90000",
    "a=fmtp:114 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    "a=rtpmap:117 H264/90000",
    "a=fmtp:117 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
    "a=rtpmap:118 rtx/90000",
    "a=ssrc-group:FID 2231627014 632943048",
    "a=ssrc:2231627014 cname:4TOk42mSjXCkVIa6",
)
_BROWSER_HEAD: Final = ("s=-", "t=0 0")

CHROMIUM: Final = sdp(
    "v=0",
    "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
    *_BROWSER_HEAD,
    "a=group:BUNDLE 0 1",
    "a=extmap-allow-mixed",
    "a=msid-semantic: WMS stream",
    *_CHROMIUM_AUDIO,
    *_CHROMIUM_VIDEO,
)

FIREFOX: Final = sdp(
    "v=0",
    "o=mozilla...THIS_IS_SDPARTA-99.0 7388128513271840935 0 IN IP4 0.0.0.0",
    *_BROWSER_HEAD,
    f"a=fingerprint:{FINGERPRINT}",
    "a=group:BUNDLE 0",
    "a=ice-options:trickle",
    "a=msid-semantic:WMS *",
    "m=audio 40112 UDP/TLS/RTP/SAVPF 109 9 0 8 101",
    "c=IN IP4 192.0.2.33",
    "a=candidate:0 1 UDP 2122252543 192.0.2.33 40112 typ host",
    "a=candidate:2 1 TCP 2105524479 192.0.2.33 9 typ host tcptype active",
    "a=candidate:0 2 UDP 2122252542 192.0.2.33 55021 typ host",
    "a=candidate:3 1 UDP 1686052863 203.0.113.9 40112 typ srflx raddr 192.0.2.33 rport 40112",
    "a=candidate:9 1 UDP 2113937151 5b1f0f9c-7b1a-4e7b-9d2c.local 40113 typ host",
    "a=end-of-candidates",
    "a=sendrecv",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level",
    "a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1",
    "a=fmtp:101 0-15",
    "a=ice-pwd:0e2ae2a06ed9a1ea8a5a8e3ab8a0a6b1",
    "a=ice-ufrag:5f9c2d1e",
    "a=mid:0",
    "a=msid:{3d1f} {7a2b}",
    "a=rtcp:55021 IN IP4 192.0.2.33",
    "a=rtcp-mux",
    "a=rtpmap:109 opus/48000/2",
    "a=rtpmap:9 G722/8000/1",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000/1",
    "a=setup:actpass",
    "a=ssrc:1894562331 cname:{5e0c}",
)

SDES: Final = sdp(
    "v=0",
    "o=root 1821 1821 IN IP6 2001:db8::7",
    "s=SIP call",
    "c=IN IP6 2001:db8::7",
    "t=0 0",
    "m=audio 11008 RTP/SAVP 8 0",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4",
    "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj",
    "a=ptime:20",
    "a=maxptime:150",
    "a=sendrecv",
)

ALL: Final = (SIPP, BARESIP, GENESYS, GENESYS_HOLD, CHROMIUM, FIREFOX, SDES)


def audio(
    *attributes: str,
    formats: str = "0 8 101",
    port: int = 6000,
    host: str = "192.0.2.1",
    version: int = 1,
    session: int = 7,
) -> SessionDescription:
    """Return a description of one audio medium with some attributes."""
    return parse(
        sdp(
            "v=0",
            f"o=- {session} {version} IN IP4 192.0.2.1",
            "s=-",
            f"c=IN {'IP6' if ':' in host else 'IP4'} {host}",
            "t=0 0",
            f"m=audio {port} RTP/AVP {formats}",
            "a=rtpmap:101 telephone-event/8000",
            *(f"a={attribute}" for attribute in attributes),
        )
    )
