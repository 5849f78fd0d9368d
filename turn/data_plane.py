"""
What the relay needs of whoever moves its packets.

A data plane owns every UDP socket of the relay: those that clients send to and those that peers
send to. It forwards ChannelData, Send and Data by itself (RFC 8656, sections 11 and 12) and hands
every other STUN message to the relay's server. It decides nothing: ports, permissions, channels
and limits are set from outside, and what was not permitted is dropped and counted.

Shared relay sockets
====================

A relay socket is a flow's own (``bind_relay``) or shared by many flows (``bind_shared_relay``;
coTURN's multiplex-peer). A flow may have one *home* among the shared sockets for each family. What
RFC 8656 leaves to the socket must then be said of each packet. Addresses below are those that are
*reached* (``PeerPermission.reached_at``). A permission *covers* a peer if it is of its host, has
its port and was not taken by ``expire``. The time is what ``expire`` last said, 0 before that. The
relay sockets of one flow are all shared or all its own.

1.  A *pair* is a shared socket and a peer's address and port. It belongs to one flow. A flow has
    at most one pair for one peer, and what it sends there leaves from the pair's socket.
2.  A pair is claimed by ``claim`` (for a channel) or by the first Send indication to the peer: on
    the home if nobody has it there, else on the next other shared socket of the same host on
    which it is free, in the order in which they were bound, from the home onward and round. If
    there is none, or the flow has ``max_peers`` pairs already, ``claim`` raises PeerTaken, a Send
    is dropped and counted for the flow, and either counts as ``refused``.
3.  A pair ends with its flow, or when both have ended: the flow's permission for the host, its
    channel to the peer. A dropped relay takes along the channels, pairs and links of its family.
4.  *Names.* A Binding request (type 0x0001, the magic cookie, a length that fits the datagram)
    carries in its first USERNAME two user name fragments of ICE, parted by the first colon: the
    receiver's, then the sender's. One that a flow sends to a peer, in whatever frame, teaches its
    second part as a name of this flow, if it has 1 to MAX_NAME bytes. A flow keeps the MAX_NAMES
    that it learnt last, until it ends. Of flows that one name is of, the MAX_NAMES that have known
    it longest count, and of them in rules 5 and 6 those whose home is on the socket's host.
5.  *From a peer, pair known:* to the pair's flow, as ChannelData if it has a channel to this peer,
    else as Data; dropped and counted for the flow if no permission covers the peer (for a channel:
    is alive). But a Binding request whose first part names flows with a permission that covers
    the source, the pair's own not among them, goes to each of those instead, and the pair stays.
6.  *From a peer, no pair:* only a Binding request is delivered: to each flow that its first part
    names and that has a permission that covers the source. All else counts as ``unclaimed``, and
    so does whatever the network brings from the address of a shared socket.
7.  A stranger claims nothing: the client's answer does. A flow to which rule 6 delivered what came
    in elsewhere than at its home notes that socket for the source (MAX_NOTES of them, the newest);
    rule 2 then begins there instead of at the home.
8.  An ICMP error goes to the flow that has the pair, if a permission covers the peer.

*Flow to flow.* What a flow (X) sends to the address of a shared socket (d) does not leave the
plane, and claims no pair. A *link* joins two flows; at each end it has the address of a shared
socket: the *name* of the other end. To one flow a name means at most one other flow.

9.  What X sends to d goes to the flow that d names to X. There it comes from its own name of X, as
    ChannelData or Data, by its permission as in rule 5.
10. A Binding request to d whose first part names another flow (Y) that is at home at d or is linked
    with X, and whose permission covers X's home, goes to Y whatever d names; if there are several,
    to the one that rule 4 counts first. It goes over the link of X and Y. If they have none, one
    is made: d names Y to X, and X's home names X to Y. If X uses d for another, the request is
    dropped. If Y uses X's home for another, the next other shared socket of that host (in the
    order of rule 2) that is free at Y names X; if none is, the request is dropped. A name whose
    link has carried nothing for LINK_SILENCE seconds is free; the old link ends when it is taken.
11. X *wants* d from the first ``permit`` or ``claim`` that names d with its port, or packet to d,
    on. If d names nobody to X, flows count that want an address and have no link by it: if Y
    alone, X aside, is at home at d and wants X's home, and X alone, Y aside, is at home there and
    wants d, and a permission of each covers the home of the other, then they are linked, each with
    the other's home as its name.
12. What finds no partner by rules 9 to 11 is dropped, counted for X, and counts as ``unclaimed``.
    A link ends with either flow. At either end it ends, and the flow wants its name no more, when
    both have ended: the permission for the name's host, the channel to the name.

Flow to flow, DONT-FRAGMENT asks for nothing. Bandwidth and counters are those of each end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from turn.five_tuple import Address, FiveTuple


class RelayPortBusy(Exception):
    """The transport address is taken by another socket of this machine."""


class RelaySocketsExhausted(Exception):
    """The machine gives no more sockets (descriptors or memory)."""


class PeerTaken(Exception):
    """
    No shared relay socket is free for this peer, or the flow has as many peers as it may.

    Nothing has changed when it is raised.
    """


LINK_SILENCE = 30.0
"""Seconds after which a silent link between two flows may be replaced: consent ends then (7675)."""
MAX_NAMES = 4
"""User name fragments kept of one flow, and flows that are looked at for one of them."""
MAX_NAME = 256
"""Bytes of a user name fragment (RFC 8839, section 5.4)."""
MAX_NOTES = 8
"""Sources of which a flow notes where it heard of them."""


class ClientPath(Protocol):
    """
    The way back to one client.

    Two paths of one five-tuple are interchangeable; nothing is kept for a path that has no flow.
    """

    @property
    def five_tuple(self) -> FiveTuple:
        """Where the client is."""

    def send_control(self, message: bytes) -> None:
        """Send one STUN message. It is never dropped in favour of media."""

    def send_media(self, frame: bytes) -> None:
        """
        Send a ChannelData message or Data indication, framed for the transport.

        Over a stream there may be several, one after another.
        """


@dataclass(slots=True)
class Counters:
    """Packets and payload bytes of one flow, as coTURN counts them."""

    received_packets: int = 0
    received_bytes: int = 0
    sent_packets: int = 0
    sent_bytes: int = 0
    peer_received_packets: int = 0
    peer_received_bytes: int = 0
    peer_sent_packets: int = 0
    peer_sent_bytes: int = 0
    dropped_packets: int = 0


@dataclass(slots=True)
class SharedTotals:
    """What the shared relay sockets hold now, and what they dropped since the start."""

    pairs: int = 0
    """Pairs that belong to a flow."""
    links: int = 0
    """Links between two flows."""
    unclaimed: int = 0
    """Packets that no flow was found for."""
    refused: int = 0
    """Claims and Sends for which no pair was to be had."""


@dataclass(frozen=True, slots=True)
class PeerPermission:
    """
    One peer address that a flow may exchange packets with.

    ``host`` is the address as the client names it; ``reached_at`` the one to send to, which
    differs where ``host`` is the public face of an address of this machine. ``ports`` are the
    inclusive ranges that count; an empty tuple means every port (the RFC's permission).
    """

    host: str
    reached_at: str
    ports: tuple[tuple[int, int], ...] = ()


ControlReceiver = Callable[[bytes, ClientPath], None]
"""Takes a STUN message (first two bits zero, at least 20 bytes) and the way back to its sender."""


class DataPlane(Protocol):
    """
    Moves packets between clients and peers.

    Handles are small integers that are never reused while the plane lives. Every method returns
    at once. Times are seconds of the suite's monotonic clock.
    """

    def bind_relay(self, host: str, port: int) -> int:
        """
        Bind the relay socket ``host:port``; nothing is forwarded until a flow owns it.

        Raises RelayPortBusy or RelaySocketsExhausted.
        """

    def bind_shared_relay(self, host: str, port: int) -> int:
        """
        Bind a relay socket that any number of flows share; it stays until ``release_relay``.

        Raises RelayPortBusy or RelaySocketsExhausted.
        """

    def release_relay(self, relay: int) -> None:
        """
        Close one relay socket: an unused reservation, or a shared one that no flow has any more.
        """

    def open(
        self, path: ClientPath, relays: Sequence[int], max_bps: int, max_peers: int = 0
    ) -> int:
        """
        Start a flow between a client and its relay sockets, at most one for each address family.

        ``max_bps`` is the most payload in bytes per second for each direction; 0 is no limit.
        ``max_peers`` is the most pairs on shared sockets; 0 is no limit.
        """

    def drop_relay(self, flow: int, relay: int) -> None:
        """
        Take one of its relay sockets from a flow: one family of a dual allocation has ended.

        The flow's own is closed, a shared one stays for the others.
        """

    def close(self, flow: int) -> Counters:
        """End a flow, close the relay sockets that are its own, and return what it moved."""

    def permit(self, flow: int, permission: PeerPermission, until: float, port: int = 0) -> None:
        """
        Install or refresh a permission (RFC 8656, section 9).

        ``port`` is the one that the client named beside the host. It limits nothing: on shared
        sockets it tells whom the client means (rule 11).
        """

    def claim(self, flow: int, peer: Address, permission: PeerPermission) -> None:
        """
        Make sure that a channel to ``peer`` can be bound, before anything is changed for it.

        Raises PeerTaken (a flow with relay sockets of its own never). ``permit`` and
        ``bind_channel`` follow at once: nothing else keeps what was claimed.
        """

    def bind_channel(
        self, flow: int, number: int, peer: Address, permission: PeerPermission, until: float
    ) -> None:
        """
        Install or refresh a channel (RFC 8656, section 12); ``peer`` is named as the client does.

        The permission is not refreshed by this: call ``permit`` as well, and ``claim`` before.
        """

    def from_stream(self, path: ClientPath, frame: bytes) -> None:
        """
        Forward one ChannelData message or Send indication that came over a stream.

        Frames of a path that has no flow are dropped.
        """

    def counters(self, flow: int) -> Counters:
        """What a live flow has moved so far (a copy)."""

    def shared_totals(self) -> SharedTotals:
        """What the shared relay sockets hold and dropped (a copy)."""

    def expire(self, now: float) -> None:
        """Forget permissions and channels whose time has come, and refill the byte budgets."""
