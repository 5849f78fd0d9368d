"""
Where a SIP message goes or came from: one hop of its way (RFC 3261, section 18).
"""

from __future__ import annotations

from dataclasses import dataclass

DATAGRAM = "UDP"
BROWSER = "WEB"
"""No transport on any wire: the gateway's sessions of browsers, in this process. The host is that
of the browser, the flow numbers the session."""


@dataclass(frozen=True, slots=True)
class Hop:
    """
    A transport and the peer's address on it.

    ``flow`` numbers the connection, or the WebSocket, that a message came in on, so that the
    answer finds its way back; 0 leaves the choice of a connection to the transport.
    """

    transport: str
    """As it stands in a Via header: UDP, TCP, TLS, WS or WSS."""
    host: str
    port: int
    flow: int = 0

    @property
    def is_reliable(self) -> bool:
        """Whether the transport retransmits by itself, so that transactions need not."""
        return self.transport != DATAGRAM

    def is_along(self, other: Hop) -> bool:
        """Whether both are the same way; a flow of 0, on either side, may be any flow."""
        return (
            self.transport == other.transport
            and (self.host, self.port) == (other.host, other.port)
            and (self.flow == other.flow or 0 in (self.flow, other.flow))
        )
