"""Tests of b2bua.server_requests: what is asked of a server, and what its answers say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.registration_terms import Answer, Register
from b2bua.server_accounts import Accounts
from b2bua.server_requests import RequestMaker, answer_of, granted, retry_after
from b2bua.sip.client_transaction import NonInviteClientTransaction
from b2bua.sip.headers import NameAddr, parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.parser import parse_datagram
from b2bua.sip.timers import Timers
from tests.sip.exchanges import counted

HOP = Hop("UDP", "192.0.2.1", 5060)
SIX = Hop("TLS", "2001:db8::1", 5061)
OURS = "<sip:1001@192.0.2.100:5062;transport=tcp>"


def contact(hop: Hop) -> NameAddr:
    """Where we are."""
    return parse_name_addr("<sip:192.0.2.100:5062;transport=tcp>")


def register(expires: int = 140) -> Request:
    """A REGISTER of ours."""
    maker = RequestMaker("pair.example", contact, counted("t"), ("INVITE", "BYE"))
    return maker.register(Register("1001", "call", 7, expires, 1), HOP)


def response(*headers: tuple[str, str], status: int = 200) -> Response:
    """A registrar's answer."""
    return register().response(status, None, headers, to_tag="r")


class RequestTests(SynchronousTestCase):
    """What goes out."""

    def test_readable(self) -> None:
        """Both requests are messages that our own parser takes."""
        maker = RequestMaker("[2001:db8::9]", contact, counted("t"), ("INVITE",))
        for request in (
            maker.register(Register("00*1#", "call", 1, 140, 1), SIX),
            maker.options(SIX),
            maker.options(HOP),
        ):
            request.prepend("Via", "SIP/2.0/UDP 192.0.2.100;branch=z9hG4bK1")
            read = parse_datagram(request.render())
            assert isinstance(read, Request)
            self.assertEqual(str(request.uri), str(read.uri))
            self.assertEqual(request.method, read.cseq.method)

    def test_addresses(self) -> None:
        """The domain is in all URIs of a DN; OPTIONS names the server, port and transport."""
        maker = RequestMaker("2001:db8::9", contact, counted("t"), ("INVITE",))
        asked = maker.register(Register("1001", "call", 1, 140, 1), SIX)
        self.assertEqual("sip:[2001:db8::9]", str(asked.uri))
        self.assertEqual("<sip:1001@[2001:db8::9]>", asked.get("To"))
        self.assertEqual(OURS, asked.get("Contact"))
        self.assertEqual("sip:[2001:db8::1]:5061;transport=tls", str(maker.options(SIX).uri))


class GrantedTests(SynchronousTestCase):
    """How long a binding lasts, by a 2xx."""

    def granted(self, *headers: tuple[str, str]) -> int:
        """The seconds, where 140 were asked for."""
        return granted(register(), response(*headers), 140)

    def test_our_contact(self) -> None:
        """Its own parameter counts, whatever other devices have, in one row or in several."""
        other = "<sip:1001@192.0.2.77>;expires=3600"
        self.assertEqual(90, self.granted(("Contact", f"{other}, {OURS};expires=90")))
        self.assertEqual(90, self.granted(("Contact", other), ("Contact", f"{OURS};expires=90")))
        self.assertEqual(
            90, self.granted(("Expires", "70"), ("Contact", f'"x, y" {OURS};q=1;expires=90'))
        )

    def test_spelling(self) -> None:
        """It is known again in capitals, with escapes, and with parameters more or less."""
        for spelled in (
            "<sip:%31001@192.0.2.100:5062;transport=TCP;ob>",
            "<sip:1001@192.0.2.100:5062>",
            "sip:1001@192.0.2.100:5062",
        ):
            self.assertEqual(90, self.granted(("Contact", f"{spelled};expires=90")), spelled)

    def test_exact_one_first(self) -> None:
        """An older binding of ours, over another transport, does not count where both are."""
        older = "<sip:1001@192.0.2.100:5062;transport=udp>;expires=5"
        self.assertEqual(90, self.granted(("Contact", older), ("Contact", f"{OURS};expires=90")))

    def test_header(self) -> None:
        """Without the parameter the Expires header counts; without either, what was asked for."""
        self.assertEqual(70, self.granted(("Contact", OURS), ("Expires", "70")))
        self.assertEqual(70, self.granted(("Expires", "70")))
        self.assertEqual(140, self.granted(("Contact", OURS)))
        self.assertEqual(140, self.granted())

    def test_not_listed(self) -> None:
        """Where only others are listed, there is no binding of ours."""
        self.assertEqual(0, self.granted(("Contact", "<sip:1001@192.0.2.77>;expires=3600")))
        self.assertEqual(0, self.granted(("Contact", "<tel:1001>;expires=3600")))

    def test_garbage(self) -> None:
        """What cannot be read counts as missing, and does not hide what can."""
        self.assertEqual(140, self.granted(("Contact", f"{OURS};expires=soon")))
        self.assertEqual(90, self.granted(("Contact", "<<"), ("Contact", f"{OURS};expires=90")))
        self.assertEqual(140, self.granted(("Contact", "*")))
        self.assertEqual(140, self.granted(("Contact", f"{OURS};expires=99999999999999999999999")))
        self.assertEqual(140, self.granted(("Expires", "-1")))


class AnswerTests(SynchronousTestCase):
    """What matters of other answers."""

    def test_fields(self) -> None:
        """The shortest interval and the pause are read where they are."""
        self.assertEqual(
            Answer(423, 0, 600),
            answer_of(register(), response(("Min-Expires", "600"), status=423), 140),
        )
        given = response(("Retry-After", "18 (in a meeting);duration=60"), status=500)
        self.assertEqual(Answer(500, retry_after=18.0), answer_of(register(), given, 140))

    def test_unreadable(self) -> None:
        """And count as missing where they are not to be read."""
        given = response(("Min-Expires", "many"), ("Retry-After", "Friday"), status=423)
        self.assertEqual(Answer(423), answer_of(register(), given, 140))
        self.assertEqual(0.0, retry_after(given))

    @given(
        st.sampled_from([200, 299, 401, 407, 423, 503, 699]),
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["Contact", "Expires", "Min-Expires", "Retry-After", "WWW-Authenticate"]
                ),
                st.one_of(
                    st.text(max_size=30),
                    st.text('<>;,="\\ sip:@1*expires0Digestrealmnonceqop', max_size=60),
                    st.builds(
                        lambda parts: "Digest " + ", ".join(parts),
                        st.lists(
                            st.builds(
                                lambda name, value: f"{name}={value}",
                                st.sampled_from(["realm", "nonce", "qop", "opaque", "algorithm"]),
                                st.sampled_from(['"x"', "auth", '"auth"', '"', "", "MD5", '"\\""']),
                            ),
                            max_size=6,
                        ),
                    ),
                ),
            ),
            max_size=6,
        ),
    )
    def test_never_raises(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Whatever a peer writes, there is an answer, and a challenge is answerable or not."""
        given = Response(status, None, headers)
        answer = answer_of(register(), given, 140)
        self.assertTrue(answer.expires >= 0 and answer.min_expires >= 0)
        accounts = Accounts(lambda dn: "x", lambda hop: True, lambda dn: True, counted("t"))
        sent = NonInviteClientTransaction(register(), HOP, Timers(), 0.0)
        if accounts.learn("1001", sent, given):
            again = register()
            accounts.authorize("1001", again, HOP)
            self.assertTrue(again.has("Authorization"))
            again.render()
