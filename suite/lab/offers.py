"""
Offers and answers that third-party control hands from one party to the other (RFC 3725).
"""

from __future__ import annotations

from b2bua.sip.usage_events import InDialogRequest, Progress
from suite.lab.calls import takes_media
from suite.lab.third_party import Leg

REFUSED = 488


class Offers:
    """
    The exchange between the two legs of a call. ``now`` is the time of what is going on.

    Offer and answer are never ours: one party has to answer before the other can be.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def accept(self, leg: Leg, body: bytes) -> None:
        """Give a leg the answer, or the offer, that it waits for; if it still does."""
        if not leg.asks or not leg.is_live:
            return
        leg.asks = False
        leg.usage.accept(leg.spoken.say(body), self.now, leg.early if not leg.is_up else None)

    def offered(self, leg: Leg, body: bytes) -> None:
        """A party offers: somebody waits for that, or its peer has to answer."""
        leg.asks = True
        leg.holds = not takes_media(body)
        waiting = leg.take_on_offer()
        if waiting is not None:
            leg.on_failure = None
            waiting(body)
            return
        peer = leg.call.peer(leg)
        if peer is None or not peer.can_change or peer.asks:
            self._refuse(leg, 491 if peer is not None and peer.asks else REFUSED)
            return
        peer.on_answer = lambda answer: self.accept(leg, answer)
        peer.on_failure = lambda status: self._refuse(leg, REFUSED)
        peer.usage.modify(lambda: peer.spoken.say(body), self.now)

    def wanted(self, leg: Leg) -> None:
        """A party wants an offer: its peer is asked for one, and gets the answer."""
        leg.asks = True
        peer = leg.call.peer(leg)
        if peer is None or not peer.can_change or peer.asks:
            self._refuse(leg, 491 if peer is not None and peer.asks else REFUSED)
            return

        def give(offer: bytes) -> None:
            leg.on_answer = lambda answer: self.accept(peer, answer)
            self.accept(leg, offer)

        peer.on_offer = give
        peer.on_failure = lambda status: self._refuse(leg, REFUSED)
        peer.usage.modify(None, self.now)

    def answered(self, leg: Leg, body: bytes) -> None:
        """A party has answered."""
        leg.holds = not takes_media(body)
        waiting = leg.take_on_answer()
        if waiting is not None:
            waiting(body)

    def failed(self, leg: Leg, status: int) -> None:
        """A change has come to nothing."""
        leg.asks = False
        waiting = leg.take_on_failure()
        if waiting is not None:
            waiting(status)

    def progress(self, leg: Leg, event: Progress) -> None:
        """
        Take the offer of a reliable provisional response, whose answer stands in the PRACK, or
        its answer: the 2xx does not say that again.
        """
        if event.is_offer:
            self.offered(leg, event.response.body)
        elif event.is_answer and event.is_reliable:
            self.answered(leg, event.response.body)

    def pass_on(self, leg: Leg, event: InDialogRequest) -> None:
        """Accept an INFO or a MESSAGE, and hand an INFO to the other party."""
        request = event.transaction.request
        leg.usage.respond(event.transaction, 200, self.now)
        peer = leg.call.peer(leg)
        if request.method == "INFO" and peer is not None and peer.can_change:
            kept = [
                (name, value)
                for name, value in request.headers
                if name in ("Content-Type", "Content-Disposition")
            ]
            peer.usage.info(kept, request.body, self.now)

    def _refuse(self, leg: Leg, status: int) -> None:
        """Refuse what a party asks; where it asked in a 2xx, its own description answers it."""
        if not leg.asks or not leg.is_live:
            return
        leg.asks = False
        leg.usage.refuse(status, self.now)
