"""
Phones of ours and whoever is behind the SIP Server: SIPp at both ends, Kamailio as the server.

Each call has two legs, and each end sees a whole call of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import parse_qsl

from tests.peers import Place, free_port
from tests.sippeers.sipp import Run, play, sipp
from tests.sippeers.stage import PASSWORD, Conversation, Endpoint, StageTestCase, own_address

DN = "2001"


class PhoneTests(StageTestCase):
    """A phone that has registered with us for DN, and so is registered with the SIP Server."""

    def setUp(self) -> None:
        """It registers, and has the SIP Server's word for it."""
        self.phone = Endpoint(own_address())
        self.register(self.phone)
        self.addCleanup(self.register, self.phone, expires=0)
        self.until_registered(1)

    def register(self, phone: Endpoint, expires: int = 120) -> None:
        """REGISTER with the suite."""
        run = Run(
            scenario="phone-registers",
            at=phone,
            to=self.suite.at,
            service=DN,
            password=PASSWORD,
            keys={"expires": str(expires)},
        )
        self.hear(play(run))

    def until_registered(self, dns: int) -> None:
        """Until so many DNs are registered with the SIP Server."""
        self.suite.program.wait_for(
            lambda: self.suite.metric("sgw_sip_registered_dns") == dns, f"{dns} DNs registered"
        )

    def places(self, caller: str, callee: str, pause: int = 300) -> tuple[Conversation, ...]:
        """A call of the phone to somebody behind the SIP Server; what both saw."""
        far, number = self.far_end(callee)
        options = ("-d", str(pause))
        with sipp(far) as answering:
            run = Run(
                scenario=caller,
                at=self.phone,
                to=self.suite.at,
                own=DN,
                service=number,
                options=options,
            )
            calling = play(run)
            return self.hear(calling), self.hear(answering.finish())

    def takes(self, caller: str, callee: str, pause: int = 300) -> tuple[Conversation, ...]:
        """A call from behind the SIP Server to the phone."""
        options = ("-d", str(pause))
        with sipp(Run(scenario=callee, at=self.phone, service=DN, options=options)) as answering:
            run = Run(
                scenario=caller,
                at=Endpoint(own_address()),
                to=self.server.at,
                service=DN,
                options=options,
            )
            calling = play(run)
            return self.hear(calling), self.hear(answering.finish())

    def test_places_a_call(self) -> None:
        """A plain call to the far end; the legs share neither Call-ID nor tags."""
        near, far = self.places("call", "callee")
        ours, theirs = near.sent("INVITE")[0], far.received("INVITE")[0]
        self.assertNotEqual(ours.header("Call-ID"), theirs.header("Call-ID"))
        self.assertIn(f"sip:{DN}@", theirs.header("From"))
        self.assertLess(int(theirs.header("Max-Forwards")), int(ours.header("Max-Forwards")))

    def test_takes_a_call(self) -> None:
        """A plain call from the far end, through the SIP Server's registration of the DN."""
        self.takes("call", "callee")

    def test_stock(self) -> None:
        """The SIP Server and the phone are those that SIPp brings along, ten times in a second."""
        with sipp(Run(scenario="uas", at=self.phone, service=DN, calls=10)) as answering:
            self.plays("uac", service=DN, calls=10)
            self.hear(answering.finish())

    def test_hangs_up(self) -> None:
        """The callee ends the call, in either direction."""
        self.places("caller-is-left", "callee-hangs-up")
        self.takes("caller-is-left", "callee-hangs-up")

    def test_busy(self) -> None:
        """486 comes through, in either direction."""
        self.places("caller-meets-busy", "callee-busy")
        self.takes("caller-meets-busy", "callee-busy")

    def test_busy_beside_another_contact(self) -> None:
        """One of its two phones is gone and the other is busy: that is what the caller hears."""
        gone = Endpoint(own_address())
        self.register(gone)
        self.addCleanup(self.register, gone, expires=0)
        self.takes("caller-meets-busy", "callee-busy")

    def test_gives_up(self) -> None:
        """CANCEL: the far end's 200 crosses it and is acknowledged and ended."""
        self.takes("caller-cancels", "callee-answers-cancel")

    def test_forks(self) -> None:
        """A proxy before the phone forks: one branch has the call, the other ACK and BYE."""
        near, far = self.takes("call", "callee-forks", pause=1500)
        self.assertEqual(len(near.received("200 INVITE")), 1)
        self.assertEqual(len(far.received("BYE")), 2)

    def test_crossing_byes(self) -> None:
        """BYE of both ends at once."""
        self.takes("call", "callee-crosses-bye")

    def test_held_by_the_callee(self) -> None:
        """The callee holds and retrieves; the caller is asked for nothing that it cannot do."""
        near, _ = self.takes("holdable-call", "callee-holds", pause=1500)
        self.assertEqual([m.direction for m in near.received("INVITE")], ["sendonly", "sendrecv"])

    def test_attached_data(self) -> None:
        """X-genesys-* of INVITE, and INFO both ways, with the same meaning at the other end."""
        near, far = self.takes("caller-attached-data", "callee-attached-data")
        self.assertEqual(far.received("INVITE")[0].header("X-genesys-tier"), "gold")
        for said, pairs in (
            (far, [("from", "caller"), ("word", "rot x")]),
            (near, [("from", "callee"), ("word", "grün x")]),
        ):
            self.assertEqual(parse_qsl(said.received("INFO")[0].body), pairs)

    def test_wrong_password(self) -> None:
        """A phone with a wrong password is refused, and its DN not touched."""
        run = Run(
            scenario="phone-is-refused",
            at=Endpoint(own_address()),
            to=self.suite.at,
            service="2002",
            password="wrong",
        )
        self.hear(play(run))
        self.assertNotIn('dn-registered dn="2002"', self.suite.program.log())

    def test_stranger(self) -> None:
        """Whoever has not registered cannot call."""
        run = Run(
            scenario="caller-is-refused",
            at=Endpoint(own_address()),
            to=self.suite.at,
            own="2003",
            service="15060",
        )
        self.hear(play(run))


class ThirdPartyTests(StageTestCase):
    """SIPp's own controllers as the SIP Server, and two phones of ours."""

    def test_controllers(self) -> None:
        """Flow I of RFC 3725: the answer of one phone is in the ACK that the other has."""
        phones = {"2001": Endpoint(own_address()), "2002": Endpoint(own_address())}
        for dn, phone in phones.items():
            keys = {"expires": "120"}
            run = Run(scenario="phone-registers", at=phone, to=self.suite.at, service=dn)
            self.hear(play(replace(run, password=PASSWORD, keys=keys)))
        control = Endpoint("127.0.0.1", free_port(Place(addresses=("0.0.0.0",))))
        # Whoever ends first takes the connection of the controllers away from the other one, so
        # it is the first of two calls that is judged, and the second, 3 s later, never begins.
        to = self.suite.at
        left, right = self.server_port(), self.server_port()
        runs = [
            Run(scenario="3pcc-A", at=phones["2001"], calls=None),
            Run(scenario="uas", at=phones["2002"], calls=None),
            Run(scenario="3pcc-C-B", at=right, to=to, service="2002", twin=control, calls=None),
            Run(
                scenario="3pcc-C-A",
                at=left,
                to=to,
                service="2001",
                twin=control,
                calls=2,
                rate=1,
                options=("-rp", "3000"),
            ),
        ]
        with ExitStack() as stack:
            parties = [stack.enter_context(sipp(run)) for run in runs]
            for party in parties[:2]:
                party.wait_for("BYE")
            for party in parties:
                self.hear(party.conversation)
