"""The registrar of the lab, without a socket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.digest import DigestClient, Login
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from suite.lab.registry import MOST_CONTACTS, Registry
from suite.lab.site import hop_to
from tests.sip.exchanges import counted

HOP = Hop("UDP", "127.0.0.1", 5070, 3)
CONTACT = "<sip:1001@127.0.0.1:5070>"


class RegistryTests(SynchronousTestCase):
    """One DN and a registrar."""

    def setUp(self) -> None:
        """Make both."""
        self.registry = Registry("lab", "secret", 140, b"k" * 32, lambda size: b"r" * size)
        self.client = DigestClient(lambda realm, hop: Login("1001", "secret"), counted("t"))
        self.sequence = 0
        self.now = 1000.0

    def request(self, *headers: tuple[str, str], dn: str = "1001", call_id: str = "x") -> Request:
        """A REGISTER as it arrives."""
        self.sequence += 1
        return Request(
            "REGISTER",
            "sip:siplab.test",
            [
                ("Via", f"SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{self.sequence}"),
                ("From", f"<sip:{dn}@siplab.test>;tag=a"),
                ("To", f"<sip:{dn}@siplab.test>"),
                ("Call-ID", call_id),
                ("CSeq", f"{self.sequence} REGISTER"),
                *headers,
            ],
        )

    def ask(self, request: Request, server: str = "A") -> Response:
        """One request and its answer."""
        return self.registry.register(
            request, server, lambda uri, hop: hop_to(uri, hop.transport), HOP, self.now
        )

    def prove(self, request: Request, server: str = "A") -> Response:
        """Ask, through the challenge."""
        self.client.authorize(request, HOP)
        response = self.ask(request, server)
        if response.status != 401:
            return response
        self.sequence += 1
        return self.ask(self.client.answer(request, response, HOP, self.sequence), server)

    def expiries(self, response: Response) -> list[int | None]:
        """What was granted."""
        self.assertEqual(200, response.status)
        return [contact.expires for contact in response.contacts]

    def test_challenge(self) -> None:
        """SHA-256 and MD5 are offered, each in a row of its own."""
        response = self.ask(self.request(("Contact", CONTACT)))
        self.assertEqual(401, response.status)
        rows = response.get_rows("WWW-Authenticate")
        self.assertEqual(2, len(rows))
        self.assertIn("algorithm=SHA-256", rows[0])
        self.assertIn("algorithm=MD5", rows[1])
        self.assertEqual([], self.registry.bindings(self.now))

    def test_grants(self) -> None:
        """Never more than 140 s; less where that is asked for; 140 where nothing is."""
        for headers, granted in (
            ([("Contact", CONTACT)], 140),
            ([("Contact", CONTACT), ("Expires", "3600")], 140),
            ([("Contact", CONTACT), ("Expires", "60")], 60),
            ([("Contact", f"{CONTACT};expires=30"), ("Expires", "60")], 30),
        ):
            self.assertEqual([granted], self.expiries(self.prove(self.request(*headers))))

    def test_ends(self) -> None:
        """A binding is over when its time is, or when it is taken back."""
        self.prove(self.request(("Contact", CONTACT)))
        self.now += 139
        self.assertIsNotNone(self.registry.binding("1001", self.now))
        self.now += 1
        self.assertIsNone(self.registry.binding("1001", self.now))
        self.prove(self.request(("Contact", CONTACT)))
        self.assertEqual(
            [], self.expiries(self.prove(self.request(("Contact", f"{CONTACT};expires=0"))))
        )
        self.prove(self.request(("Contact", CONTACT)))
        self.assertEqual(
            [], self.expiries(self.prove(self.request(("Contact", "*"), ("Expires", "0"))))
        )

    def test_wildcard_with_time(self) -> None:
        """A wildcard only takes back."""
        response = self.prove(self.request(("Contact", "*"), ("Expires", "60")))
        self.assertEqual(400, response.status)

    def test_refresh_at_the_other_server(self) -> None:
        """It is the same binding, which the other server has taken over."""
        self.prove(self.request(("Contact", CONTACT)), "A")
        self.prove(self.request(("Contact", CONTACT)), "B")
        (binding,) = self.registry.bindings(self.now)
        self.assertEqual(("B", Hop("UDP", "127.0.0.1", 5070)), (binding.server, binding.hop))

    def test_copy_at_the_other_server(self) -> None:
        """The same number again is the same wish; a lower one comes too late."""
        self.prove(self.request(("Contact", CONTACT)))
        self.sequence -= 1
        self.assertEqual(200, self.prove(self.request(("Contact", CONTACT))).status)
        self.sequence -= 2
        self.assertEqual(500, self.prove(self.request(("Contact", CONTACT))).status)

    def test_of_another(self) -> None:
        """The password is good for the number that it was proved with."""
        response = self.prove(self.request(("Contact", CONTACT), dn="1002"))
        self.assertEqual(403, response.status)

    def test_contact_elsewhere(self) -> None:
        """The lab sends nothing to any other machine."""
        response = self.prove(self.request(("Contact", "<sip:1001@192.0.2.1>")))
        self.assertEqual(403, response.status)

    def test_query(self) -> None:
        """Without a Contact it asks only."""
        self.prove(self.request(("Contact", CONTACT)))
        self.now += 40
        self.assertEqual([100], self.expiries(self.prove(self.request())))

    def test_too_many_contacts(self) -> None:
        """Nothing changes by a REGISTER that is refused."""
        for number in range(MOST_CONTACTS):
            self.prove(self.request(("Contact", f"<sip:1001@127.0.0.1:{6000 + number}>")))
        response = self.prove(self.request(("Contact", CONTACT)))
        self.assertEqual(503, response.status)
        self.assertEqual(MOST_CONTACTS, len(self.registry.bindings(self.now)))
