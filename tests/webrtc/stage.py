"""
A data centre and a desk for all tests of a class, with the suite in the one and browsers at the
other.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.webrtc.browsers import Browser, Desk, Page, desk
from tests.webrtc.installation import Installation, Installed, installed
from tests.webrtc.network import Network, network
from tests.webrtc.phone import Phone


class StageTestCase(SynchronousTestCase):
    """Tests that share one suite, one lab, and a browser of each kind that they use."""

    installation: ClassVar[Installation] = Installation()
    network: ClassVar[Network]
    installed: ClassVar[Installed]
    desk: ClassVar[Desk]
    _stack: ClassVar[ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        """Start the suite; browsers follow when they are asked for."""
        cls._stack = ExitStack()
        with ExitStack() as stack:
            cls.network = stack.enter_context(network())
            cls.surround(stack)
            cls.installed = stack.enter_context(installed(cls.installation))
            cls.desk = stack.enter_context(desk(cls.network, [cls.installed.authority]))
            cls._stack = stack.pop_all()

    @classmethod
    def surround(cls, stack: ExitStack) -> None:
        """Start what the suite finds when it starts; nothing but its lab, if it has one."""

    @classmethod
    def tearDownClass(cls) -> None:
        """End all of it; a traceback in the suite's log fails the class."""
        cls._stack.close()

    def setUp(self) -> None:
        """Have something that ends with the test."""
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def page(self, browser: Browser, tone: int = 440, url: str = "", **rig: object) -> Page:
        """Open a page until the end of the test."""
        return self.stack.enter_context(browser.page(url, tone=tone, **rig))

    def direct(
        self, near: Browser, far: Browser, *, video: bool = False, **rig: object
    ) -> tuple[Page, Page]:
        """Two pages that are connected: 440 Hz and 880 Hz."""
        one, other = self.page(near, 440, **rig), self.page(far, 880, **rig)
        offer = one.run("(wish) => rig.offer(wish)", {"video": video})
        answer = other.run("(wish) => rig.answer(wish)", {"sdp": offer, "video": video})
        one.run("(wish) => rig.accept(wish)", {"sdp": answer})
        return one, other

    def phone(self, browser: Browser, dn: str, tone: int = 440, **rig: object) -> Phone:
        """A page of another host that has signed in with a DN and can be called."""
        page = self.page(browser, tone, f"{self.desk.driver.url}/phone.html", **rig)
        one = Phone(page, self.installed.url, dn)
        one.sign_in()
        self.until_registered(dn)
        return one

    def until_registered(self, dn: str) -> None:
        """Wait until the SIP Server knows where the DN is."""
        self.installed.until_registered(dn)
