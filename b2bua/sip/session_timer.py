"""
The session timer (RFC 4028): who refreshes a session, how often, and when it counts as dead.
"""

from __future__ import annotations

from b2bua.sip.grammar import Parameters
from b2bua.sip.headers import Seconds
from b2bua.sip.message import Message, Request, Response
from b2bua.sip.timers import earliest
from b2bua.sip.usage_events import Profile

OPTION = "timer"
SMALLEST = 90
LARGEST = 24 * 3600
"""A longer interval would find no dead peer; it also bounds what a 422 can make us ask for."""
SLACK = 32.0


class SessionTimer:
    """
    The interval of one session and the two moments that follow from it.

    ``refresh_at`` is set where we refresh, ``expires_at`` wherever there is an interval: the
    session is to be ended then, a little before its end (section 10). Where the peer knows no
    interval there is ``probe_at``, when to ask whether it is still there: else a session whose
    peer has gone without a word would stay for ever.
    """

    __slots__ = (
        *("_profile", "expires_at", "interval", "min_se", "probe_at", "refresh_at", "we_refresh"),
    )

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.interval = 0
        self.min_se = profile.min_se
        self.we_refresh = False
        self.refresh_at: float | None = None
        self.expires_at: float | None = None
        self.probe_at: float | None = None

    def next_timeout(self) -> float | None:
        """When to refresh, to probe or to end the session, if ever."""
        return earliest(self.refresh_at, self.expires_at, self.probe_at)

    def stop(self) -> None:
        """Nothing is refreshed, nothing expires."""
        self.interval = 0
        self.refresh_at = self.expires_at = self.probe_at = None

    def watch(self, now: float) -> None:
        """There is no interval: probe, as often as we would refresh."""
        self.stop()
        if self._profile.session_expires:
            self.probe_at = now + self._profile.session_expires / 2

    # Requests of ours.

    def request_headers(self) -> list[tuple[str, str]]:
        """
        What our INVITE or UPDATE says: the interval, and inside a dialog the roles as they are.
        """
        wanted = self.interval or self._profile.session_expires
        if OPTION not in self._profile.supported or not wanted:
            return []
        expires = str(max(wanted, self.min_se))
        if self.interval:
            expires += ";refresher=" + ("uac" if self.we_refresh else "uas")
        headers = [("Session-Expires", expires)]
        if self.min_se > SMALLEST:
            headers.append(("Min-SE", str(self.min_se)))
        return headers

    def accepted(self, response: Response, now: float) -> None:
        """Take what a 2xx to our INVITE or UPDATE says; without an interval there is none."""
        expires = response.session_expires
        if expires is None:
            self.watch(now)
        else:
            self._start(expires.seconds, expires.refresher != "uas", now)

    def too_small(self, response: Response) -> bool:
        """Take the Min-SE of a 422; whether the request may be tried again with it."""
        min_se = response.min_se
        if min_se is None or not self.min_se < min_se.seconds <= LARGEST:
            return False
        self.min_se = min_se.seconds
        if self.interval:
            self.interval = max(self.interval, self.min_se)
        return True

    # Requests of the peer.

    def refusal(self, request: Request) -> list[tuple[str, str]] | None:
        """The header fields of the 422 that a request with too small an interval gets."""
        expires = request.session_expires
        if expires is None or expires.seconds >= self._profile.min_se or not _supports(request):
            return None
        return [("Min-SE", str(self._profile.min_se))]

    def accept(self, request: Request, now: float) -> list[tuple[str, str]]:
        """Start the timer by a request that gets a 2xx; give what the 2xx says of it."""
        asked = request.session_expires
        peer_supports = _supports(request)
        if OPTION not in self._profile.supported or (asked is None and not peer_supports):
            self.watch(now)
            return []
        interval = self._interval_for(request, asked)
        if not interval:
            self.watch(now)
            return []
        role = self._role_for(asked, peer_supports)
        self._start(interval, role == "uas", now)
        headers = [("Session-Expires", str(Seconds(interval, Parameters({"refresher": role}))))]
        if role == "uac":
            headers.append(("Require", OPTION))
        return headers

    def _interval_for(self, request: Request, asked: Seconds | None) -> int:
        """The shorter of what both sides want, but nothing below what the request allows."""
        ours = self._profile.session_expires
        least = max(self._profile.min_se, request.min_se.seconds if request.min_se else 0)
        if asked is None:
            return max(ours, least) if ours else 0
        wanted = min(asked.seconds, ours) if ours else asked.seconds
        # The answer is never longer than the request asked for (section 9).
        return min(max(wanted, least), max(asked.seconds, SMALLEST))

    def _role_for(self, asked: Seconds | None, peer_supports: bool) -> str:
        if not peer_supports:
            return "uas"
        if asked is not None and asked.refresher in ("uac", "uas"):
            return asked.refresher
        return "uas" if self.interval and self.we_refresh else "uac"

    def _start(self, interval: int, we_refresh: bool, now: float) -> None:
        interval = min(max(interval, SMALLEST), LARGEST)
        self.interval = interval
        self.we_refresh = we_refresh
        self.probe_at = None
        self.refresh_at = now + interval / 2 if we_refresh else None
        self.expires_at = now + interval - min(SLACK, interval / 3)


def _supports(message: Message) -> bool:
    return OPTION in message.tokens("Supported") or OPTION in message.tokens("Require")
