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
from tests.sippeers.conversation import Seen
from tests.sippeers.kamailio import Settings, kamailio
from tests.sippeers.sipp import Run, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

CALLER, CALLEE = "2001", "2002"
ECHO = "7001"
_ENABLED = "SRTP is Enabled"


def slots(message: Seen) -> list[str]:
    """Kind, protocol, and whether it is in use, of each slot; ``+`` for keys."""
    found = []
    for section in message.body.split("m=")[1:]:
        kind, port, protocol, *_ = section.split()
        used = "0" if port == "0" else "used"
        found.append(f"{kind} {used} {protocol}" + "+" * section.count("a=crypto:"))
    return found


class SrtpTestCase(SynchronousTestCase):
    """A SIP Server, a suite in some mode, and two phones."""

    mode = "none"

    def setUp(self) -> None:
        """Start the SIP Server and the suite."""
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.server = Endpoint(own_address())
        self.stack.enter_context(kamailio(Settings(at=self.server, password=PASSWORD)))
        more = {"rsmp": [f"sip-srtp-mode = {self.mode}"]}
        self.suite: Suite = self.stack.enter_context(
            suite(Config(servers=[self.server], more=more))
        )

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

    def offers_both(self) -> list[str]:
        """A call of the SIP Server that leaves it to us: the slots of our answer."""
        at = self.server.at(5777)
        said = play(Run(scenario="call-offers-both", at=at, to=self.suite.at, service=ECHO))
        return slots(said.received("200 INVITE")[0])

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

    def test_offered_both(self) -> None:
        """Of two slots the encrypted one is taken."""
        self.assertEqual(self.offers_both(), ["audio used RTP/SAVP+", "audio 0 RTP/AVP"])

    def test_far_end_takes_plain(self) -> None:
        """Whoever is behind the SIP Server takes the slot in the clear; the phone is encrypted."""
        far = Run(scenario="callee-takes-plain", at=self.server.at(5777), timeout=30)
        phone = self.phone(CALLER, "srtp-mand")
        with sipp(far) as answering:
            phone.command("dial", f"sip:15777@{self.suite.at}")
            phone.event("CALL_ESTABLISHED")
            phone.command("hangup")
            offered = answering.finish().received("INVITE")[0]
        self.assertEqual(slots(offered), ["audio used RTP/SAVP++", "audio used RTP/AVP"])
        self.assertIn(_ENABLED, phone.log())

    def test_beside(self) -> None:
        """Keys beside RTP/AVP are taken."""
        self.assertEqual(self.talk("srtp", ""), (True, False))


class StrictTests(SrtpTestCase):
    """sip-srtp-mode = strict."""

    mode = "strict"

    def test_both(self) -> None:
        """Both demand it."""
        self.assertEqual(self.talk("srtp-mand", "srtp-mand"), (True, True))

    def test_offered_both(self) -> None:
        """Of two slots the encrypted one is taken."""
        self.assertEqual(self.offers_both(), ["audio used RTP/SAVP+", "audio 0 RTP/AVP"])

    def test_plain(self) -> None:
        """A phone without it can neither call nor be called."""
        phone = self.phone(CALLER, "")
        phone.command("dial", f"sip:{CALLEE}@{self.suite.at}")
        phone.event("CALL_CLOSED")
        self.assertIn("488", phone.log())


class WithoutTests(SrtpTestCase):
    """sip-srtp-mode = none."""

    def test_offered_both(self) -> None:
        """Of two slots the one in the clear is taken."""
        self.assertEqual(self.offers_both(), ["audio 0 RTP/SAVP", "audio used RTP/AVP"])
