"""What is wrong with bytes that a peer sent. Every reason is one of a few fixed words."""

from __future__ import annotations

from typing import Final, Literal, get_args

MessageFault = Literal[
    "short",  # fewer bytes than a header
    "bits",  # the first two bits are not zero
    "length",  # the length field is no multiple of four, or not that of the datagram
    "overrun",  # an attribute ends beyond the message
    "fingerprint",  # FINGERPRINT is wrong, or not the last attribute
    "integrity",  # the length of an integrity value is none the RFC allows
    "address",  # an address of an unknown family or a wrong length
    "value",  # the value of another attribute does not have its form
    "type",  # not the kind of message that the caller reads
    "cookie",  # no magic cookie where one is needed
    "peer",  # a Send indication without XOR-PEER-ADDRESS
]
"""Why bytes are no message of ours; fit for a metric's label."""

MESSAGE_FAULTS: Final[tuple[str, ...]] = get_args(MessageFault)

FramingFault = Literal["bits", "length", "cookie"]
"""Why a stream carries neither STUN nor ChannelData."""


class MalformedMessage(ValueError):
    """Bytes that are no STUN message, or a value that is not its attribute's; never answered."""

    def __init__(self, reason: MessageFault) -> None:
        super().__init__(reason)
        self.reason: str = reason


class FramingError(ValueError):
    """
    A stream that cannot be read any further: it must be closed.

    ``frames`` are the whole frames that stood before the fault in the bytes just fed.
    """

    def __init__(self, reason: FramingFault, frames: list[bytes]) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.frames = frames
