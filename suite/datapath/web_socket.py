"""
The UDP sockets of a browser's transport, one on each address: bases of its ICE.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from b2bua.net.ice_agent import IceBase
from b2bua.net.ice_candidates import Address
from suite.datapath.media_end import CONTROL_COST, PACKETS_PER_SOCKET, SHORTEST
from suite.datapath.sockets import udp_socket
from suite.datapath.twin_end import Surroundings

BUFFER = 512 * 1024
"""Bytes of the kernel's buffers, where it allows so many: a whole picture comes in one go."""


class Receiver(Protocol):
    """Whose socket it is."""

    def receive_media(self, data: bytes, now: float) -> int:
        """Take RTP or RTCP of a peer; say what that took from the budget."""

    def receive_other(self, data: bytes, base: IceBase, source: Address) -> None:
        """Take whatever else comes."""

    def drop(self, reason: str) -> None:
        """Count a packet that went nowhere."""


class WebSocket:
    """A socket as the plane polls it, and as ICE uses it."""

    __slots__ = (
        "_around",
        "_receive_into",
        "_receiver",
        "address",
        "preference",
        "put",
        "sock",
        "valid",
    )

    kind = "host"

    def __init__(self, address: Address, preference: int, around: Surroundings) -> None:
        """Bind. Raises OSError."""
        self.sock = udp_socket(address, BUFFER)
        self.address = address
        self.preference = preference
        self.valid: set[Address] = set()
        self._around = around
        self._receiver: Receiver | None = None
        self._receive_into = self.sock.recvfrom_into
        self.put: Callable[[bytes, Address], int] = self.sock.sendto

    def give_to(self, receiver: Receiver) -> None:
        """From now on this is whose it is."""
        self._receiver = receiver

    def send(self, data: bytes, target: Address) -> None:
        """Send a datagram, or lose it: the kernel may refuse, as the network may."""
        try:
            self.put(data, target)
        except OSError:
            return

    def close(self) -> None:
        """Close it; it was never given to anybody."""
        self.sock.close()

    def receive(self) -> int:
        """Per packet: hand on what came, media of the peer by the shortest way."""
        around, receiver, valid = self._around, self._receiver, self.valid
        assert receiver is not None
        view, now = around.view, around.seconds()
        most = min(PACKETS_PER_SOCKET, around.share)
        spent = 0
        while spent < most:
            try:
                size, source = self._receive_into(around.buffer)
            except OSError:
                break
            if size < SHORTEST:
                receiver.drop("malformed")
                spent += 1
            # RFC 7983: the first byte tells STUN, DTLS, and RTP with RTCP.
            elif view[0] & 0xC0 != 0x80:
                receiver.receive_other(bytes(view[:size]), self, source[:2])
                spent += CONTROL_COST
            elif source[:2] in valid:
                spent += receiver.receive_media(bytes(view[:size]), now)
            else:
                receiver.drop("source")
                spent += 1
        return spent or 1

    def report_errors(self) -> None:
        """Nobody asks for errors; reading the state clears it."""
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
