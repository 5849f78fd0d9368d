"""A telephone in a page: the gateway's own module, worked as an application works it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.webrtc.browsers import Page, PageError

Media = Mapping[str, object]
AUDIO: Media = {"audio": True}
VIDEO: Media = {"audio": True, "video": True}


class Phone:
    """One that has signed in, or is about to, with a DN."""

    def __init__(self, page: Page, gateway: str, dn: str) -> None:
        self.page = page
        self.gateway = gateway
        self.dn = dn

    def sign_in(self, **options: object) -> None:
        """Load the module from the gateway and sign in with the DN."""
        wish = {"gateway": self.gateway, "dn": self.dn, **options}
        self.page.run("(wish) => phone.signIn(wish)", wish)

    # A call's life.

    def dial(self, to: str, media: Media = AUDIO, data: object = ()) -> None:
        """Call; it rings there, or not, when this comes back."""
        self.page.run("(wish) => phone.dial(wish)", {"to": to, "media": media, "data": data})

    def rings(self, seconds: float = 10) -> None:
        """Wait until somebody calls."""
        self.client_event("incoming", seconds)

    def answer(self, media: Media = AUDIO) -> None:
        """Take the call."""
        self.page.run("(wish) => phone.answer(wish)", media)

    def is_answered(self, seconds: float = 10) -> None:
        """Wait until the call stands."""
        got = self.page.run("(wish) => phone.answered(wish)", {"seconds": seconds})
        if not got["ok"]:
            raise PageError(f"{self.dn} is not answered: {got}; {self.events()}")

    def hang_up(self) -> None:
        """End the call."""
        self.page.run("() => phone.call.hangUp()")

    def ended(self, seconds: float = 10) -> dict[str, Any]:
        """Wait for the call's end; what the page was told of it."""
        return self.event("ended", seconds)

    # What is done in a call.

    def hold(self) -> None:
        """Put it on hold."""
        self.page.run("() => phone.call.hold()")

    def resume(self) -> None:
        """Go on."""
        self.page.run("() => phone.call.resume()")

    def add_video(self) -> None:
        """Show oneself, too."""
        self.page.run("() => phone.client.addVideo()")

    def press(self, digits: str) -> None:
        """Send digits; they take a while."""
        if not self.page.run("(digits) => phone.call.sendDigits(digits)", digits):
            raise PageError(f"{self.dn} cannot send digits")

    def tell(self, fields: Mapping[str, str]) -> None:
        """Send fields to the other side."""
        self.page.run("(fields) => phone.call.sendToPeer(fields)", fields)

    def gateway_statistics(self) -> Any:
        """What the gateway counted of the call."""
        return self.page.run("() => phone.call.gatewayStatistics()")

    # What the page hears of it.

    def event(self, kind: str, seconds: float = 10, **having: object) -> dict[str, Any]:
        """The next event of the call of that kind with these values; earlier ones are lost."""
        return self._next("call", kind, seconds, having)

    def client_event(self, kind: str, seconds: float = 10, **having: object) -> dict[str, Any]:
        """The same of the client."""
        return self._next("client", kind, seconds, having)

    def events(self) -> Any:
        """Those that nobody has asked for yet."""
        return self.page.run("() => phone.events")

    def _next(
        self, whose: str, kind: str, seconds: float, having: Mapping[str, object]
    ) -> dict[str, Any]:
        wish = {"from": whose, "type": kind, "having": having, "seconds": seconds}
        found: dict[str, Any] | None = self.page.run("(wish) => phone.next(wish)", wish)
        if found is None:
            raise PageError(f"{self.dn}: no {kind} {dict(having) or ''}; {self.events()}")
        return found
