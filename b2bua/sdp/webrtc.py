"""
What a browser's description says beside codecs: transports, their keys, bundles, sources.

ICE is RFC 8839, DTLS-SRTP RFC 5763 and RFC 8842, BUNDLE RFC 9143, sources RFC 5576, and all of it
together RFC 9429. Candidates stay text: who checks them reads them. No header extension is
negotiated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from b2bua.sdp.attributes import Crypto, Group, IceCredentials, Setup
from b2bua.sdp.description import MediaDescription, SessionDescription

PROFILES: Final = frozenset(
    {
        "UDP/TLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "RTP/SAVPF",
        "RTP/SAVP",
        "RTP/AVPF",
        "RTP/AVP",
    }
)
"""What an m= line of encrypted media may say: with a fingerprint the profile is only a word."""

ValueT = TypeVar("ValueT")
Attributes = list[tuple[str, str]]
_BUNDLE: Final = "BUNDLE"
_RTP: Final = "1"
"""The component of RTP; that of RTCP (2) is of no use where both share a port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTransport:
    """What a peer's description says of the transport of one slot."""

    ice: IceCredentials | None
    candidates: tuple[str, ...]
    is_lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    setup: Setup | None
    cryptos: tuple[Crypto, ...]


def peer_transport(description: SessionDescription, slots: Sequence[int]) -> PeerTransport:
    """
    Read the transport that slots share; what the session says holds where they say nothing.

    The first slot that says something counts: those that only follow in a bundle may leave it
    away. Candidates of all count, as far as they have the same credentials.
    """
    media = [description.media[slot] for slot in slots]
    ice = _first(map(description.ice_of, media))
    along = [each for each in media if description.ice_of(each) in (ice, None)]
    fingerprints = _first(map(description.fingerprints_of, media)) or ()
    return PeerTransport(
        ice=ice,
        candidates=tuple(dict.fromkeys(text for each in along for text in _candidates(each))),
        is_lite=description.has("ice-lite"),
        fingerprints=tuple((each.hash, each.value) for each in fingerprints),
        setup=_first(map(description.setup_of, media)),
        cryptos=_first(each.cryptos for each in media) or (),
    )


def _first(found: Iterable[ValueT | None]) -> ValueT | None:
    return next((each for each in found if each), None)


def _candidates(medium: MediaDescription) -> Iterable[str]:
    return (text for text in medium.attributes("candidate") if text.split(" ", 2)[1:2] == [_RTP])


def is_web_medium(medium: MediaDescription) -> bool:
    """Whether a slot is in use, for RTP under a profile that can be encrypted or says nothing."""
    return not medium.rejected and medium.line.protocol.upper() in PROFILES


def bundled(description: SessionDescription) -> tuple[int, ...]:
    """
    Return the slots of the first bundle, in its order; the first of them leads.

    Slots that are not in use are passed over.
    """
    slots = {
        medium.mid: slot
        for slot, medium in enumerate(description.media)
        if medium.mid is not None and not medium.rejected
    }
    for group in description.groups:
        if group.semantics.upper() == _BUNDLE:
            return tuple(slots[mid] for mid in dict.fromkeys(group.mids) if mid in slots)
    return ()


def answering_setup(asked: Setup | None, *, is_begun_by_peer: bool | None) -> Setup:
    """
    Return the DTLS role of an answer (RFC 8842, section 5.3).

    ``is_begun_by_peer`` says who has begun the association that stands; None: none does. Where
    the offer leaves it open the roles stay, and else the peer begins: a browser repeats a lost
    ClientHello sooner than we would.
    """
    if asked is Setup.ACTIVE:
        return Setup.PASSIVE
    if asked is Setup.PASSIVE:
        return Setup.ACTIVE
    return Setup.ACTIVE if is_begun_by_peer is False else Setup.PASSIVE


def does_peer_begin(ours: Setup | None, theirs: Setup | None) -> bool:
    """Return whether the peer is the DTLS client, after both sides of an exchange."""
    if ours in (Setup.ACTIVE, Setup.PASSIVE):
        return ours is Setup.PASSIVE
    return theirs is not Setup.PASSIVE


def transport_attributes(
    *,
    ufrag: str,
    password: str,
    candidates: Sequence[str],
    fingerprint: tuple[str, str],
    setup: Setup | None,
    cryptos: Sequence[Crypto] = (),
) -> Attributes:
    """
    What a slot of ours says of its transport.

    ``setup`` is None where there is no DTLS; ``candidates`` is empty but for the first of a bundle.
    """
    said: Attributes = [("ice-ufrag", ufrag), ("ice-pwd", password)]
    if setup is not None:
        said += [("fingerprint", " ".join(fingerprint)), ("setup", str(setup))]
    said += [("crypto", str(crypto)) for crypto in cryptos]
    said += [("candidate", text) for text in candidates]
    if candidates:
        said.append(("end-of-candidates", ""))
    return said


def source_attributes(ssrc: int, cname: str, stream: str, track: str) -> Attributes:
    """Which source a slot of ours sends, and what stream and track it is to a page."""
    return [
        ("msid", f"{stream} {track}"),
        ("ssrc", f"{ssrc} cname:{cname}"),
        ("ssrc", f"{ssrc} msid:{stream} {track}"),
    ]


def session_attributes(mids: Sequence[str]) -> Attributes:
    """What our description says before its media: those that share a transport, if any do."""
    group = [("group", str(Group(_BUNDLE, tuple(mids))))] if mids else []
    return [*group, ("ice-options", "ice2"), ("msid-semantic", " WMS *")]


def is_plain(body: bytes) -> bool:
    """
    Whether somebody who may be a browser says by this description that it is none.

    Browsers never offer media in the clear.
    """
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    profiles = [line.split(b" ")[2:3] for line in lines if line.startswith(b"m=")]
    is_encrypted = any(
        line.startswith((b"a=fingerprint:", b"a=crypto:", b"a=ice-ufrag:")) for line in lines
    )
    return bool(profiles) and not is_encrypted and [b"RTP/AVP"] in profiles
