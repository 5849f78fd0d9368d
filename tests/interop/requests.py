"""
The requests that are put to both servers: what a client may do right or wrong, one by one.

Each takes a fresh client and gives the last answer, None for silence. They need a relay of IPv4
only, at most 127.0.0.1, that allows loopback peers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from tests.peers import OTHER_PASSWORD, OTHER_USER
from tests.probe import QUIET, Probe, Transport, probing, transport_attribute
from turn.stun.attributes import (
    Attribute,
    Family,
    pack_channel_number,
    pack_even_port,
    pack_family,
    pack_uint32,
)
from turn.stun.integrity import md5_key
from turn.stun.message import Class, Integrity, Message, Method, encode

Asking = Callable[[Probe], Message | None]
PEER = ("127.0.0.1", 40_000)
OTHER_PEER = ("127.0.0.1", 40_001)
UNKNOWN_REQUIRED = 0x7F33
UNKNOWN_OPTIONAL = 0xFF33
UNKNOWN_METHOD = 0x0BB
EVERY_TRANSPORT = (Transport.UDP, Transport.TCP)


@dataclass(frozen=True, slots=True)
class Request:
    """One of them. ``name`` is how tables call it."""

    name: str
    ask: Asking
    transports: tuple[Transport, ...]


REQUESTS: list[Request] = []


def _request(
    name: str, transports: tuple[Transport, ...] = EVERY_TRANSPORT
) -> Callable[[Asking], Asking]:
    def add(ask: Asking) -> Asking:
        REQUESTS.append(Request(name, ask, transports))
        return ask

    return add


def _lifetime(seconds: int) -> tuple[int, bytes]:
    return Attribute.LIFETIME, pack_uint32(seconds)


def _family(kind: int, family: int) -> tuple[int, bytes]:
    return kind, pack_family(family)


def _replace(probe: Probe, kind: int, value: bytes) -> None:
    """Change one attribute of our proof."""
    probe.challenge = [(one, value if one == kind else old) for one, old in probe.challenge]


def _leave_out(probe: Probe, kind: int) -> None:
    """Give no such attribute as a proof."""
    probe.challenge = [(one, old) for one, old in probe.challenge if one != kind]


# -- Binding ---------------------------------------------------------------------------------


@_request("Binding")
def binding(probe: Probe) -> Message | None:
    return probe.request(Method.BINDING, signed=False)


@_request("Binding with FINGERPRINT")
def binding_with_fingerprint(probe: Probe) -> Message | None:
    return probe.exchange(
        encode(Method.BINDING, Class.REQUEST, secrets.token_bytes(12), [], fingerprint=True)
    )


@_request("Binding with a wrong FINGERPRINT")
def binding_with_wrong_fingerprint(probe: Probe) -> Message | None:
    data = encode(Method.BINDING, Class.REQUEST, secrets.token_bytes(12), [], fingerprint=True)
    return probe.exchange(data[:-1] + bytes([data[-1] ^ 1]), QUIET)


@_request("Binding without the magic cookie (RFC 3489)", (Transport.UDP,))
def classic_binding(probe: Probe) -> Message | None:
    data = encode(Method.BINDING, Class.REQUEST, secrets.token_bytes(16), [], classic=True)
    return probe.exchange(data, QUIET)


@_request("Binding of RFC 3489 with CHANGE-REQUEST", (Transport.UDP,))
def classic_change_request(probe: Probe) -> Message | None:
    data = encode(
        Method.BINDING,
        Class.REQUEST,
        secrets.token_bytes(16),
        [(Attribute.CHANGE_REQUEST, b"\0\0\0\6")],
        classic=True,
    )
    return probe.exchange(data, QUIET)


@_request("Binding with an unknown required attribute")
def binding_with_unknown_attribute(probe: Probe) -> Message | None:
    return probe.request(Method.BINDING, [(UNKNOWN_REQUIRED, b"what")], signed=False)


@_request("Binding with an unknown optional attribute")
def binding_with_optional_attribute(probe: Probe) -> Message | None:
    return probe.request(Method.BINDING, [(UNKNOWN_OPTIONAL, b"what")], signed=False)


@_request("Binding indication")
def binding_indication(probe: Probe) -> Message | None:
    data = probe.encode(Method.BINDING, signed=False, message_class=Class.INDICATION)
    return probe.exchange(data, QUIET)


@_request("Binding success response")
def binding_response(probe: Probe) -> Message | None:
    data = probe.encode(Method.BINDING, signed=False, message_class=Class.SUCCESS)
    return probe.exchange(data, QUIET)


# -- who asks --------------------------------------------------------------------------------


@_request("Unknown method")
def unknown_method(probe: Probe) -> Message | None:
    return probe.exchange(probe.encode(UNKNOWN_METHOD, signed=False), QUIET)


@_request("Unknown method with credentials")
def unknown_method_signed(probe: Probe) -> Message | None:
    probe.learn_challenge()
    return probe.exchange(probe.encode(UNKNOWN_METHOD), QUIET)


@_request("Allocate without credentials")
def allocate_unsigned(probe: Probe) -> Message | None:
    return probe.learn_challenge()


@_request("Refresh without credentials")
def refresh_unsigned(probe: Probe) -> Message | None:
    return probe.request(Method.REFRESH, [_lifetime(600)], signed=False)


@_request("Allocate with MESSAGE-INTEGRITY but no USERNAME, REALM, NONCE")
def allocate_without_names(probe: Probe) -> Message | None:
    return probe.exchange(
        encode(
            Method.ALLOCATE,
            Class.REQUEST,
            secrets.token_bytes(12),
            [transport_attribute()],
            key=bytes(16),
        )
    )


@_request("Allocate with a nonce that was never issued")
def allocate_with_made_up_nonce(probe: Probe) -> Message | None:
    probe.learn_challenge()
    _replace(probe, Attribute.NONCE, b"0123456789abcdef")
    return probe.request(Method.ALLOCATE, [transport_attribute()])


@_request("Allocate by an unknown user")
def allocate_by_unknown_user(probe: Probe) -> Message | None:
    probe.learn_challenge()
    proof = [(Attribute.USERNAME, b"nobody"), *probe.challenge]
    data = encode(
        Method.ALLOCATE,
        Class.REQUEST,
        secrets.token_bytes(12),
        [transport_attribute(), *proof],
        key=probe.key,
    )
    return probe.exchange(data)


@_request("Allocate with a wrong password")
def allocate_with_wrong_password(probe: Probe) -> Message | None:
    probe.learn_challenge(password="not-the-password")
    return probe.request(Method.ALLOCATE, [transport_attribute()])


@_request("Allocate with only MESSAGE-INTEGRITY-SHA256")
def allocate_sha256(probe: Probe) -> Message | None:
    probe.learn_challenge()
    data = probe.encode(Method.ALLOCATE, [transport_attribute()], integrity=Integrity.SHA256)
    return probe.exchange(data)


@_request("Refresh with a wrong nonce")
def refresh_with_wrong_nonce(probe: Probe) -> Message | None:
    probe.allocated()
    _replace(probe, Attribute.NONCE, b"0123456789abcdef")
    return probe.refresh(600)


@_request("Refresh without REALM")
def refresh_without_realm(probe: Probe) -> Message | None:
    probe.allocated()
    _leave_out(probe, Attribute.REALM)
    return probe.refresh(600)


@_request("Refresh without NONCE")
def refresh_without_nonce(probe: Probe) -> Message | None:
    probe.allocated()
    _leave_out(probe, Attribute.NONCE)
    return probe.refresh(600)


@_request("Refresh without USERNAME")
def refresh_without_username(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.exchange(
        encode(
            Method.REFRESH,
            Class.REQUEST,
            secrets.token_bytes(12),
            probe.challenge,
            key=probe.key,
        )
    )


def _refresh_as(probe: Probe, user: str, password: str) -> Message | None:
    probe.allocated()
    realm = dict(probe.challenge)[Attribute.REALM].decode()
    probe.key = md5_key(user, realm, password)
    return probe.exchange(
        encode(
            Method.REFRESH,
            Class.REQUEST,
            secrets.token_bytes(12),
            [(Attribute.USERNAME, user.encode()), *probe.challenge],
            key=probe.key,
        )
    )


@_request("Refresh by another user")
def refresh_by_another_user(probe: Probe) -> Message | None:
    return _refresh_as(probe, OTHER_USER, OTHER_PASSWORD)


@_request("Refresh by an unknown user")
def refresh_by_an_unknown_user(probe: Probe) -> Message | None:
    return _refresh_as(probe, "nobody", "anything")


@_request("Refresh with a wrong password")
def refresh_with_wrong_password(probe: Probe) -> Message | None:
    probe.allocated()
    probe.key = bytes(16)
    return probe.refresh(600)


# -- Allocate --------------------------------------------------------------------------------


def _allocate_with(name: str, *attributes: tuple[int, bytes]) -> None:
    """An Allocate for UDP with these attributes beside."""
    _request(name)(lambda probe: probe.allocate(attributes))


def _allocate_for(name: str, *attributes: tuple[int, bytes]) -> None:
    """An Allocate with these attributes only."""

    def ask(probe: Probe) -> Message | None:
        probe.learn_challenge()
        return probe.request(Method.ALLOCATE, attributes)

    _request(name)(ask)


_TOKEN = (Attribute.RESERVATION_TOKEN, b"12345678")
_EVEN = (Attribute.EVEN_PORT, pack_even_port(False))
_EVEN_RESERVED = (Attribute.EVEN_PORT, pack_even_port(True))
_ASKED_FAMILY = Attribute.REQUESTED_ADDRESS_FAMILY
_ADDED_FAMILY = Attribute.ADDITIONAL_ADDRESS_FAMILY

_allocate_with("Allocate")
_allocate_for("Allocate without REQUESTED-TRANSPORT")
_allocate_for("Allocate for transport 99", transport_attribute(99))
_allocate_for(
    "Allocate with REQUESTED-TRANSPORT of one byte", (Attribute.REQUESTED_TRANSPORT, b"\x11")
)
_allocate_with("Allocate for 0 seconds", _lifetime(0))
_allocate_with("Allocate for 1 second", _lifetime(1))
_allocate_with("Allocate for 777 seconds", _lifetime(777))
_allocate_with("Allocate for 99999 seconds", _lifetime(99_999))
_allocate_with("Allocate, LIFETIME of two bytes", (Attribute.LIFETIME, b"\x02\x58"))
_allocate_with("Allocate, IPv4 asked for", _family(_ASKED_FAMILY, Family.IPV4))
_allocate_with("Allocate, IPv6 asked for, none there", _family(_ASKED_FAMILY, Family.IPV6))
_allocate_with("Allocate, family 9 asked for", _family(_ASKED_FAMILY, 9))
_allocate_with("Allocate, IPv4 in addition", _family(_ADDED_FAMILY, Family.IPV4))
_allocate_with("Allocate, IPv6 in addition, none there", _family(_ADDED_FAMILY, Family.IPV6))
_allocate_with(
    "Allocate, IPv4 asked for and IPv6 in addition",
    _family(_ASKED_FAMILY, Family.IPV4),
    _family(_ADDED_FAMILY, Family.IPV6),
)
_allocate_with(
    "Allocate, IPv6 in addition by coturn's older number, none there",
    _family(Attribute.COTURN_ADDITIONAL_ADDRESS_FAMILY, Family.IPV6),
)
_allocate_with("Allocate with EVEN-PORT", _EVEN)
_allocate_with("Allocate with EVEN-PORT and a reservation", _EVEN_RESERVED)
_allocate_with("Allocate with EVEN-PORT and RESERVATION-TOKEN", _EVEN, _TOKEN)
_allocate_with("Allocate with an unknown RESERVATION-TOKEN", _TOKEN)
_allocate_with(
    "Allocate with RESERVATION-TOKEN and a family", _TOKEN, _family(_ASKED_FAMILY, Family.IPV4)
)
_allocate_with("Allocate with DONT-FRAGMENT", (Attribute.DONT_FRAGMENT, b""))
_allocate_with("Allocate with an unknown required attribute", (UNKNOWN_REQUIRED, b"what"))
_allocate_with("Allocate with an unknown optional attribute", (UNKNOWN_OPTIONAL, b"what"))


@_request("Allocate for TCP over UDP", (Transport.UDP,))
def allocate_tcp_over_udp(probe: Probe) -> Message | None:
    probe.learn_challenge()
    return probe.request(Method.ALLOCATE, [transport_attribute(6)])


@_request("Allocate with the token of a reservation")
def allocate_reserved(probe: Probe) -> Message | None:
    with probing(probe.relay, probe.transport, source=probe.address[0]) as other:
        reserved = other.allocate([_EVEN_RESERVED]).first(Attribute.RESERVATION_TOKEN)
        assert reserved is not None, "no reservation"
        return probe.allocate([(Attribute.RESERVATION_TOKEN, reserved)])


@_request("Second Allocate")
def second_allocate(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.allocate()


@_request("Allocate, sent twice as it was")
def retransmitted_allocate(probe: Probe) -> Message | None:
    probe.learn_challenge()
    data = probe.encode(Method.ALLOCATE, [transport_attribute()])
    first = probe.exchange(data)
    assert first is not None and first.message_class is Class.SUCCESS
    return probe.exchange(data)


# -- Refresh ---------------------------------------------------------------------------------


@_request("Refresh")
def refresh(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.request(Method.REFRESH)


@_request("Refresh for 1200 seconds")
def refresh_longer(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.refresh(1200)


@_request("Refresh for 0 seconds")
def refresh_to_end(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.refresh(0)


@_request("Refresh after Refresh for 0 seconds")
def refresh_after_the_end(probe: Probe) -> Message | None:
    probe.allocated()
    probe.refresh(0)
    return probe.refresh(600)


@_request("Refresh without an allocation")
def refresh_nothing(probe: Probe) -> Message | None:
    probe.learn_challenge()
    return probe.refresh(600)


@_request("Refresh of the family that was not allocated")
def refresh_other_family(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.request(Method.REFRESH, [_family(_ASKED_FAMILY, Family.IPV6)])


# -- CreatePermission and ChannelBind --------------------------------------------------------


def _permit(name: str, *peers: tuple[str, int]) -> None:
    def ask(probe: Probe) -> Message | None:
        probe.allocated()
        return probe.permit(*peers)

    _request(name)(ask)


def _bind(name: str, *bindings: tuple[int, tuple[str, int]]) -> None:
    def ask(probe: Probe) -> Message | None:
        probe.allocated()
        for channel, peer in bindings:
            answer = probe.bind(channel, peer)
        return answer

    _request(name)(ask)


_permit("CreatePermission", PEER)
_permit("CreatePermission for two peers", PEER, ("127.0.0.2", 40_000))
_permit("CreatePermission for nobody")
_permit("CreatePermission for an IPv6 peer", ("2001:470::1", 40_000))
_permit("CreatePermission for an allowed and an IPv6 peer", PEER, ("2001:470::1", 40_000))
_permit("CreatePermission for 0.0.0.0", ("0.0.0.0", 40_000))
_permit("CreatePermission for 10.0.0.1", ("10.0.0.1", 40_000))
_permit("CreatePermission for 169.254.169.254", ("169.254.169.254", 40_000))
_permit("CreatePermission for 224.0.0.5", ("224.0.0.5", 40_000))
_permit("CreatePermission for an allowed peer and 10.0.0.1", PEER, ("10.0.0.1", 40_000))
_bind("ChannelBind", (0x4000, PEER))
_bind("ChannelBind of 0x4FFF", (0x4FFF, PEER))
_bind("ChannelBind of 0x3FFF", (0x3FFF, PEER))
_bind("ChannelBind of 0x5000", (0x5000, PEER))
_bind("ChannelBind of 0x7FFF", (0x7FFF, PEER))
_bind("ChannelBind of 0x8000", (0x8000, PEER))
_bind("ChannelBind, again as it was", (0x4000, PEER), (0x4000, PEER))
_bind("ChannelBind of a taken channel", (0x4000, PEER), (0x4000, OTHER_PEER))
_bind("ChannelBind of a bound peer", (0x4000, PEER), (0x4001, PEER))
_bind("ChannelBind to an IPv6 peer", (0x4000, ("2001:470::1", 40_000)))
_bind("ChannelBind to 10.0.0.1", (0x4000, ("10.0.0.1", 40_000)))
_bind("ChannelBind to port 0", (0x4000, ("127.0.0.1", 0)))


@_request("CreatePermission without an allocation")
def permit_without_allocation(probe: Probe) -> Message | None:
    probe.learn_challenge()
    return probe.permit(PEER)


@_request("ChannelBind without an allocation")
def bind_without_allocation(probe: Probe) -> Message | None:
    probe.learn_challenge()
    return probe.bind(0x4000, PEER)


@_request("ChannelBind without CHANNEL-NUMBER")
def bind_without_number(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.exchange(probe.peer(Method.CHANNEL_BIND, PEER))


@_request("ChannelBind without XOR-PEER-ADDRESS")
def bind_without_peer(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.request(
        Method.CHANNEL_BIND, [(Attribute.CHANNEL_NUMBER, pack_channel_number(0x4000))]
    )


@_request("CreatePermission with an address of three bytes")
def permit_broken_address(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.request(Method.CREATE_PERMISSION, [(Attribute.XOR_PEER_ADDRESS, b"\0\1\2")])


# -- what is never answered, and RFC 6062 on a relay of UDP ----------------------------------


@_request("Send without a permission")
def send_without_permission(probe: Probe) -> Message | None:
    probe.allocated()
    probe.send_indication(PEER, b"data")
    return _silence(probe)


@_request("Send without an allocation")
def send_without_allocation(probe: Probe) -> Message | None:
    probe.send_indication(PEER, b"data")
    return _silence(probe)


@_request("Send as a request")
def send_as_request(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.exchange(probe.peer(Method.SEND, PEER), QUIET)


@_request("ChannelData on an unbound channel")
def unbound_channel(probe: Probe) -> Message | None:
    probe.allocated()
    probe.send(b"\x40\x00\x00\x04data")
    return _silence(probe)


@_request("Connect on a UDP allocation")
def connect_on_udp_allocation(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.exchange(probe.peer(Method.CONNECT, PEER), QUIET)


@_request("ConnectionBind for a connection that is not there", (Transport.TCP,))
def connection_bind_unknown(probe: Probe) -> Message | None:
    probe.learn_challenge()
    data = probe.encode(Method.CONNECTION_BIND, [(Attribute.CONNECTION_ID, pack_uint32(7))])
    return probe.exchange(data, QUIET)


@_request("LIFETIME after MESSAGE-INTEGRITY")
def attribute_after_integrity(probe: Probe) -> Message | None:
    """The end of the allocation, said where no HMAC covers it."""
    probe.allocated()
    signed = probe.encode(Method.REFRESH, [_lifetime(1000)])
    appended = b"\x00\x0d\x00\x04\x00\x00\x00\x00"
    length = int.from_bytes(signed[2:4], "big") + len(appended)
    return probe.exchange(signed[:2] + length.to_bytes(2, "big") + signed[4:] + appended)


@_request("LIFETIME twice")
def duplicate_attribute(probe: Probe) -> Message | None:
    probe.allocated()
    return probe.request(Method.REFRESH, [_lifetime(1000), _lifetime(0)])


def _silence(probe: Probe) -> Message | None:
    """Whatever comes after something that wants no answer."""
    answer = probe.receive(QUIET)
    assert answer is None, f"an answer to an indication: {answer!r}"
    return None
