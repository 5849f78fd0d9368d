"""What is wrong with bytes that came as RTP or RTCP. Every reason is one of a few fixed words."""

from __future__ import annotations

from typing import Final, Literal, get_args

RtpFault = Literal[
    "short",  # fewer bytes than a header
    "version",  # not version 2
    "csrc",  # the list of contributing sources ends beyond the packet
    "extension",  # the header extension ends beyond the packet
    "padding",  # the last byte counts more padding than there is, or none
    "length",  # an RTCP packet ends beyond its datagram, or is too short for its type
    "type",  # the datagram does not begin with RTCP
    "count",  # more RTCP packets than are read
    "size",  # more bytes of RTCP than are read
    "text",  # an item of a source description ends beyond its packet
]
"""Why bytes are not read; fit for a metric's label."""

RTP_FAULTS: Final[tuple[str, ...]] = get_args(RtpFault)


class MalformedRtp(ValueError):
    """Bytes that are neither RTP nor RTCP; never answered."""

    def __init__(self, reason: RtpFault) -> None:
        super().__init__(reason)
        self.reason: RtpFault = reason
