"""
Whose a browser's transport is, for what is told of it: one that was never connected shows nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from b2bua.call import Call
from b2bua.web_leg_media import WebLegMedia


@dataclass(frozen=True, slots=True)
class TransportOwner:
    """The browser's side of a call."""

    call: str
    """The call's id in the log."""
    number: str
    """Its DN, or the name of somebody anonymous."""
    host: str
    """Where its page is, as its messages come; "" while nobody knows."""


def owner_of(calls: Iterable[Call], transport: int) -> TransportOwner | None:
    """Whose this transport of the media plane is; None if no call has it."""
    for call in calls:
        for leg in call.legs():
            media = leg.media
            if isinstance(media, WebLegMedia) and media.has_transport(transport):
                host = "" if leg.usage is None else leg.usage.hop.host
                return TransportOwner(call.id, leg.number, host)
    return None
