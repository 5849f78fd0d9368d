"""
Calls to ourselves: what the caller sends comes back.

They answer at once, or ring until the SIP Server says talk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from b2bua.agreed_media import Formats
from b2bua.call import Call, warning
from b2bua.call_events import CallRinging
from b2bua.call_legs import CallState
from b2bua.leg import Leg
from b2bua.media_plane import MediaPortsExhausted
from b2bua.sdp.errors import SdpError

if TYPE_CHECKING:
    from b2bua.calls import Calls


class EchoCall(Call):
    """A call to ourselves: what the caller sends comes back."""

    def __init__(
        self,
        calls: Calls,
        call_id: str,
        caller: Leg,
        number: str,
        max_forwards: int,
        now: float,
        *,
        on_talk: bool,
    ) -> None:
        super().__init__(calls, call_id, caller, number, max_forwards, now)
        self._on_talk = on_talk

    def _begin(self, now: float) -> None:
        self._rang = 180
        self.emit(CallRinging(self.id, 180))
        self.caller.ring(180, b"", (), now)
        if not self._on_talk:
            self.answer(now)

    @property
    def can_be_answered(self) -> bool:
        """Until it is."""
        return self.state is CallState.RINGING

    def named_for(self, leg: Leg) -> Formats | None:
        """An echo takes whatever is offered."""
        return None

    def answer(self, now: float) -> None:
        """Let the echo pick up."""
        media = self.caller.media
        try:
            body = media.answer(media.offered) if self._has_offer else media.offer(None)
        except SdpError as error:
            self.refuse(error.status, "sdp", now, warning(error))
        except MediaPortsExhausted:
            self.refuse(503, "media-ports", now, (("Retry-After", "10"),))
        else:
            self.pick_up(body, (), now)

    def bridge(self) -> None:
        """Send back what comes."""
        media = self.caller.media
        media.apply(media)
        for end in media.ends.values():
            if (end, end) not in self._joined:
                self._plane.join(end, end)
                self._joined.add((end, end))
