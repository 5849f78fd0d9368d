"""
SRTP of phones by keys in SDP, with baresip: each combination of what it wants and what we do.

What a phone receives went through us, encrypted on one leg with one key and on the other leg with
another one, or not at all. What is not authentic, a phone and we would both say and drop.
"""

from __future__ import annotations

from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase

from tests.peers import Place, free_port
from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.baresip import Account, Baresip, baresip
from tests.sippeers.kamailio import Settings, kamailio
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

CALLER, CALLEE = "2001", "2002"
_ENABLED = "SRTP is Enabled"


class SrtpTestCase(SynchronousTestCase):
    """A SIP Server, a suite in some mode, and two phones."""

    mode = "none"

    def setUp(self) -> None:
        """Start the SIP Server and the suite."""
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        server = Settings(at=Endpoint(own_address()), password=PASSWORD)
        self.stack.enter_context(kamailio(server))
        more = {"rsmp": [f"sip-srtp-mode = {self.mode}"]}
        self.suite: Suite = self.stack.enter_context(suite(Config(servers=[server.at], more=more)))

    def phone(self, dn: str, encryption: str) -> Baresip:
        """One that has registered."""
        account = Account(
            dn=dn,
            server=self.suite.at,
            password=PASSWORD,
            answer_mode="auto" if dn == CALLEE else "manual",
            encryption=encryption,
        )
        at = Endpoint("127.0.0.1", free_port(Place()))
        phone = self.stack.enter_context(baresip(account, at))
        phone.registered()
        self.suite.until_said(f'dn-registered dn="{dn}"')
        return phone

    def talk(self, caller: str, callee: str) -> tuple[bool, bool]:
        """Let both talk, hold, talk again; tell which of them has encrypted media."""
        phones = self.phone(CALLER, caller), self.phone(CALLEE, callee)
        phones[0].command("dial", f"sip:{CALLEE}@{self.suite.at}")
        for phone in phones:
            phone.event("CALL_ESTABLISHED")
        self.until_heard(phones)
        phones[0].command("hold")
        self.suite.until_said("call-held")
        phones[0].command("resume")
        self.suite.until_said("call-retrieved")
        self.until_heard(phones)
        phones[0].command("hangup")
        phones[1].event("CALL_CLOSED")
        for phone in phones:
            self.assertNotIn("failed to decrypt", phone.log())
        # What crosses a hold on its way is dropped, and nothing else.
        self.assertLessEqual(set(self.suite.metrics("sgw_media_dropped")), {'{reason="held"}'})
        return _ENABLED in phones[0].log(), _ENABLED in phones[1].log()

    def until_heard(self, phones: tuple[Baresip, Baresip]) -> None:
        """Until each receives what the other one says: 64 kbit/s, and no silence of ours."""
        for phone in phones:
            phone.program.wait_for(lambda phone=phone: phone.rate > 50_000, "hearing the other")


class OptionalTests(SrtpTestCase):
    """sip-srtp-mode = optional."""

    mode = "optional"

    def test_both(self) -> None:
        """Both demand it."""
        self.assertEqual(self.talk("srtp-mand", "srtp-mand"), (True, True))

    def test_caller(self) -> None:
        """The caller demands it, the callee has none."""
        self.assertEqual(self.talk("srtp-mand", ""), (True, False))

    def test_callee(self) -> None:
        """The caller has none, the callee demands it."""
        self.assertEqual(self.talk("", "srtp-mand"), (False, True))

    def test_beside(self) -> None:
        """Keys beside RTP/AVP are taken."""
        self.assertEqual(self.talk("srtp", ""), (True, False))


class StrictTests(SrtpTestCase):
    """sip-srtp-mode = strict."""

    mode = "strict"

    def test_both(self) -> None:
        """Both demand it."""
        self.assertEqual(self.talk("srtp-mand", "srtp-mand"), (True, True))

    def test_plain(self) -> None:
        """A phone without it can neither call nor be called."""
        phone = self.phone(CALLER, "")
        phone.command("dial", f"sip:{CALLEE}@{self.suite.at}")
        phone.event("CALL_CLOSED")
        self.assertIn("488", phone.log())
