"""Tests of b2bua.sip.digest."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.digest import (
    MAX_ATTEMPTS,
    MAX_SPACES,
    Algorithm,
    DigestClient,
    Login,
    Proof,
    Unanswerable,
)
from b2bua.sip.headers import Challenge, parse_credentials
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from tests.sip.exchanges import OTHER, UDP, answer, counted, request

REALM = "example.com"
LOGIN = Login("alice", "open sesame")


def challenge(
    nonce: str = "n1", *, algorithm: str = "MD5", realm: str = REALM, more: str = ', qop="auth"'
) -> tuple[str, str]:
    named = f", algorithm={algorithm}" if algorithm else ""
    return ("WWW-Authenticate", f'Digest realm="{realm}", nonce="{nonce}"{named}{more}')


def for_proxy(pair: tuple[str, str]) -> tuple[str, str]:
    return ("Proxy-Authenticate", pair[1])


def refusal(message: Request, *challenges: tuple[str, str], status: int = 401) -> Response:
    return answer(message, status, *challenges)


def new_client(*realms: str, hops: tuple[Hop, ...] = (UDP,)) -> DigestClient:
    """A client that has a password for these realms, at these servers."""

    def login_for(realm: str, hop: Hop) -> Login | None:
        known = realm in (realms or (REALM,)) and replace(hop, flow=0) in hops
        return LOGIN if known else None

    return DigestClient(login_for, counted("c"))


def credentials(message: Request, header: str = "Authorization") -> Challenge:
    (row,) = message.get_rows(header)
    return parse_credentials(row)


def is_right(message: Request, header: str = "Authorization", login: Login = LOGIN) -> bool:
    """Judge credentials the way a server does, by their own parameters."""
    given = credentials(message, header)

    def text(name: str) -> str:
        return given.text(name) or ""

    algorithm = Algorithm(text("algorithm") or "MD5")
    proof = Proof(message.method, text("uri"), text("nonce"), text("nc"), text("cnonce"))
    secret = algorithm.secret(login.username, text("realm"), login.password)
    return (
        text("username") == login.username
        and text("uri") == str(message.uri)
        and text("response") == proof.response(algorithm, secret)
    )


class VectorTests(SynchronousTestCase):
    """The examples of the RFCs."""

    def test_rfc_2617(self) -> None:
        """RFC 2617, section 3.5: MD5."""
        secret = Algorithm.MD5.secret("Mufasa", "testrealm@host.com", "Circle Of Life")
        proof = Proof(
            "GET",
            "/dir/index.html",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "00000001",
            "0a4f113b",
        )
        self.assertEqual(proof.response(Algorithm.MD5, secret), "6629fae49393a05397450978507c4ef1")

    def test_rfc_7616(self) -> None:
        """RFC 7616, section 3.9.1: MD5 and SHA-256 of the same request."""
        proof = Proof(
            "GET",
            "/dir/index.html",
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "00000001",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )
        for algorithm, expected in (
            (Algorithm.MD5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm.SHA_256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ):
            secret = algorithm.secret("Mufasa", "http-auth@example.org", "Circle of Life")
            self.assertEqual(proof.response(algorithm, secret), expected)

    def test_rfc_7616_beyond_ascii(self) -> None:
        """RFC 7616, section 3.9.2, as erratum 4897 has it: SHA-512-256 of UTF-8."""
        algorithm = Algorithm.SHA_512_256
        secret = algorithm.secret("J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?")
        proof = Proof(
            "GET",
            "/doe.json",
            "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            "00000001",
            "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        )
        self.assertEqual(
            proof.response(algorithm, secret),
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        )

    def test_without_qop(self) -> None:
        """The form of RFC 2069, whose example's response was corrected by an erratum."""
        secret = Algorithm.MD5.secret("Mufasa", "testrealm@host.com", "CircleOfLife")
        proof = Proof("GET", "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
        self.assertEqual(proof.response(Algorithm.MD5, secret), "1949323746fe6a43ef61f9606e7febea")


class AnswerTests(SynchronousTestCase):
    """One challenge."""

    def test_form(self) -> None:
        """Credentials repeat what the challenge said and prove the password over the URI."""
        ours = request("REGISTER", branch="z9hG4bK1")
        opaque = challenge("n,1", more=', qop="auth,auth-int", opaque="o\\"p"')
        again = new_client().answer(ours, refusal(ours, opaque), UDP, 2)
        given = credentials(again)
        self.assertEqual(given.scheme, "Digest")
        self.assertEqual(
            {name: given.parameters[name] for name in given.parameters if name != "response"},
            {
                "username": '"alice"',
                "realm": '"example.com"',
                "nonce": '"n,1"',
                "uri": '"sip:bob@example.com"',
                "algorithm": "MD5",
                "opaque": '"o\\"p"',
                "qop": "auth",
                "cnonce": '"c1"',
                "nc": "00000001",
            },
        )
        self.assertTrue(is_right(again))

    def test_request_again(self) -> None:
        """It is the same request, under the new number and without the old Via."""
        ours = request("REGISTER", ("Contact", "<sip:me@here>"), branch="z9hG4bK1")
        ours.body = b"body"
        again = new_client().answer(ours, refusal(ours, challenge()), UDP, 2)
        self.assertEqual(str(again.cseq), "2 REGISTER")
        self.assertFalse(again.has("Via"))
        self.assertEqual((again.call_id, again.body), (ours.call_id, b"body"))
        self.assertEqual(again.from_, ours.from_)
        self.assertEqual(str(again.contact), "<sip:me@here>")
        self.assertEqual(str(ours.cseq), "1 REGISTER")
        self.assertFalse(ours.has("Authorization"))

    def test_proxy(self) -> None:
        """407 is answered in a header field of its own."""
        ours = request()
        response = refusal(ours, for_proxy(challenge()), status=407)
        again = new_client().answer(ours, response, UDP, 2)
        self.assertFalse(again.has("Authorization"))
        self.assertTrue(is_right(again, "Proxy-Authorization"))

    def test_algorithms(self) -> None:
        """MD5, SHA-256, SHA-512-256 and no algorithm, which is MD5 and is not named back."""
        for algorithm in ("MD5", "SHA-256", "SHA-512-256", ""):
            ours = request()
            response = refusal(ours, challenge(algorithm=algorithm))
            again = new_client().answer(ours, response, UDP, 2)
            self.assertTrue(is_right(again), algorithm)
            self.assertEqual(credentials(again).text("algorithm") or "", algorithm)

    def test_without_qop(self) -> None:
        """A server older than qop gets neither nc nor cnonce."""
        ours = request()
        again = new_client().answer(ours, refusal(ours, challenge(more="")), UDP, 2)
        self.assertTrue(is_right(again))
        self.assertEqual({"nc", "cnonce", "qop"} & set(credentials(again).parameters), set())

    def test_topmost(self) -> None:
        """Of several challenges of one realm, the topmost that is supported is answered."""
        ours = request()
        offered = [
            ("WWW-Authenticate", 'Basic realm="example.com"'),
            ("WWW-Authenticate", "Negotiate"),
            challenge("a", algorithm="SHA3-256"),
            challenge("b", algorithm="SHA-256", more=', qop="auth-int"'),
            challenge("c", algorithm="MD5-sess"),
            challenge("d", algorithm="sha-256"),
            challenge("e", algorithm="MD5"),
        ]
        again = new_client().answer(ours, refusal(ours, *offered), UDP, 2)
        self.assertEqual(credentials(again).text("nonce"), "d")
        self.assertTrue(is_right(again))

    def test_several_realms(self) -> None:
        """Each realm that is ours is answered, and a stranger's among them is not."""
        ours = request()
        response = refusal(
            ours,
            challenge("a", realm="one"),
            challenge("b", realm="stranger"),
            for_proxy(challenge("c", realm="two")),
        )
        again = new_client("one", "two").answer(ours, response, UDP, 2)
        self.assertEqual(credentials(again).text("realm"), "one")
        self.assertEqual(credentials(again, "Proxy-Authorization").text("realm"), "two")

    def test_quoting(self) -> None:
        """Quotes and backslashes in names survive, and what is hashed has no escapes."""
        login = Login('a"l\\ice', "p")
        client = DigestClient(lambda realm, hop: login, counted("c"))
        ours = request()
        again = client.answer(ours, refusal(ours, challenge(realm='r\\"x, y=z')), UDP, 2)
        self.assertEqual(credentials(again).text("realm"), 'r"x, y=z')
        self.assertTrue(is_right(again, login=login))

    def test_as_it_came(self) -> None:
        """What a server quotes in its own way goes back byte for byte."""
        ours = request()
        again = new_client("rx").answer(
            ours,
            refusal(ours, challenge(realm="r\\x", nonce="n\\1", more=', opaque="o\\p"')),
            UDP,
            2,
        )
        row = again.get("Authorization") or ""
        for given in ('realm="r\\x"', 'nonce="n\\1"', 'opaque="o\\p"'):
            self.assertIn(given, row)
        self.assertTrue(is_right(again))


class RefusedTests(SynchronousTestCase):
    """Challenges that are not answered."""

    def unanswerable(
        self,
        message: Request,
        response: Response,
        client: DigestClient | None = None,
        hop: Hop = UDP,
        attempt: int = 0,
    ) -> str:
        client = client or new_client()
        error = self.assertRaises(Unanswerable, client.answer, message, response, hop, 2, attempt)
        return error.reason

    def test_policy(self) -> None:
        """Another realm, or the right one at another server, never gets a hash."""
        ours = request()
        foreign = refusal(ours, challenge(realm="evil.example.com"))
        self.assertEqual(self.unanswerable(ours, foreign), "not-allowed")
        right = refusal(ours, challenge())
        self.assertEqual(self.unanswerable(ours, right, hop=OTHER), "not-allowed")

    def test_methods(self) -> None:
        """A callee that challenges BYE gets nothing, nor do ACK and CANCEL carry anything."""
        client = new_client()
        ours = request("REGISTER")
        client.answer(ours, refusal(ours, challenge()), UDP, 2)
        for method in ("BYE", "ACK", "CANCEL"):
            message = request(method, to_tag="bob")
            client.authorize(message, UDP)
            self.assertFalse(message.has("Authorization"))
            response = refusal(message, challenge("n2"))
            self.assertEqual(self.unanswerable(message, response, client), "method")

    def test_nothing_to_answer(self) -> None:
        """Without a challenge that is supported, or that can be read, there is no answer."""
        for offered in (
            [],
            [challenge(algorithm="MD5-sess")],
            [challenge(more=', qop="auth-int"')],
            [("WWW-Authenticate", 'Digest realm="example.com"')],
            [("WWW-Authenticate", 'Digest nonce="n"')],
            [("WWW-Authenticate", 'Digest realm="example.com", nonce')],
            [("WWW-Authenticate", 'Basic realm="example.com", nonce="n"')],
        ):
            ours = request()
            self.assertEqual(self.unanswerable(ours, refusal(ours, *offered)), "no-challenge")

    def test_wrong_password(self) -> None:
        """Credentials made for the challenge and refused are not sent again, nonce new or old."""
        for nonce in ("n1", "n2"):
            client = new_client()
            ours = request()
            again = client.answer(ours, refusal(ours, challenge("n1")), UDP, 2)
            refused = refusal(again, challenge(nonce))
            self.assertEqual(self.unanswerable(again, refused, client), "refused")
            later = request("REGISTER")
            client.authorize(later, UDP)
            self.assertFalse(later.has("Authorization"))

    def test_wrong_password_without_qop(self) -> None:
        """The same holds where no count says how often a nonce was used."""
        client = new_client()
        ours = request()
        again = client.answer(ours, refusal(ours, challenge("n1", more="")), UDP, 2)
        refused = refusal(again, challenge("n2", more=""))
        self.assertEqual(self.unanswerable(again, refused, client), "refused")

    def test_stale_for_ever(self) -> None:
        """A server that calls every nonce stale is given up after a few attempts."""
        client = new_client()
        message = request()
        for attempt in range(MAX_ATTEMPTS):
            stale = refusal(message, challenge(f"n{attempt}", more=", stale=TRUE"))
            message = client.answer(message, stale, UDP, attempt + 2, attempt)
        stale = refusal(message, challenge("last", more=", stale=true"))
        reason = self.unanswerable(message, stale, client, attempt=MAX_ATTEMPTS)
        self.assertEqual(reason, "attempts")

    def test_same_nonce_called_stale(self) -> None:
        """A nonce that is stale and offered again is no new one."""
        client = new_client()
        ours = request()
        again = client.answer(ours, refusal(ours, challenge("n1")), UDP, 2)
        refused = refusal(again, challenge("n1", more=", stale=true"))
        self.assertEqual(self.unanswerable(again, refused, client), "refused")


class ReuseTests(SynchronousTestCase):
    """Credentials before anybody asks."""

    def registered(self, client: DigestClient, more: str = ', qop="auth"') -> Request:
        ours = request("REGISTER")
        return client.answer(ours, refusal(ours, challenge(more=more)), UDP, 2)

    def test_count(self) -> None:
        """The nonce serves for later requests, its count grows, and cnonce is always new."""
        client = new_client()
        self.registered(client)
        seen = []
        for method in ("REGISTER", "INVITE"):
            message = request(method)
            client.authorize(message, UDP)
            self.assertTrue(is_right(message))
            given = credentials(message)
            seen.append([given.text(name) for name in ("nonce", "nc", "cnonce")])
        self.assertEqual(seen, [["n1", "00000002", "c2"], ["n1", "00000003", "c3"]])

    def test_learnt(self) -> None:
        """A challenge may be kept for a request that is made later: its count begins at 1."""
        client = new_client()
        ours = request("REGISTER")
        client.learn(ours, refusal(ours, challenge(more=', qop="auth"')), UDP)
        later = request("REGISTER", sequence=2)
        client.authorize(later, UDP)
        self.assertTrue(is_right(later))
        self.assertEqual(credentials(later).text("nc"), "00000001")

    def test_replaced(self) -> None:
        """Credentials of a first try are taken off when the request is sent again."""
        client = new_client()
        message = self.registered(client)
        client.authorize(message, UDP)
        self.assertEqual(credentials(message).text("nc"), "00000002")

    def test_without_qop(self) -> None:
        """A nonce without qop serves again too."""
        client = new_client()
        self.registered(client, more="")
        message = request("REGISTER")
        client.authorize(message, UDP)
        self.assertTrue(is_right(message))
        again = client.answer(message, refusal(message, challenge("n2", more="")), UDP, 4)
        self.assertEqual(credentials(again).text("nonce"), "n2")

    def test_other_server(self) -> None:
        """Another server gets no credentials until it asks, and then has a nonce of its own."""
        client = new_client(hops=(UDP, OTHER))
        self.registered(client)
        message = request("REGISTER")
        client.authorize(message, OTHER)
        self.assertFalse(message.has("Authorization"))
        again = client.answer(message, refusal(message, challenge("other")), OTHER, 3)
        self.assertEqual(credentials(again).text("nonce"), "other")
        client.authorize(message, replace(UDP, flow=9))
        self.assertEqual(credentials(message).text("nonce"), "n1")

    def test_policy_withdrawn(self) -> None:
        """When the policy knows the server no more, nothing goes there."""
        known = [UDP]
        client = DigestClient(lambda realm, hop: LOGIN if hop in known else None, counted("c"))
        self.registered(client)
        known.clear()
        message = request("REGISTER")
        client.authorize(message, UDP)
        self.assertFalse(message.has("Authorization"))

    def test_stale(self) -> None:
        """A stale nonce is replaced by the one offered, and counting starts anew."""
        client = new_client()
        self.registered(client)
        message = request("REGISTER")
        client.authorize(message, UDP)
        stale = refusal(message, challenge("n2", more=', qop="auth", stale=true'))
        again = client.answer(message, stale, UDP, 4)
        given = credentials(again)
        self.assertEqual((given.text("nonce"), given.text("nc")), ("n2", "00000001"))
        self.assertTrue(is_right(again))

    def test_forgetful_server(self) -> None:
        """A nonce used again and refused without "stale" gets one more try, with the new one."""
        client = new_client()
        self.registered(client)
        message = request("REGISTER")
        client.authorize(message, UDP)
        again = client.answer(message, refusal(message, challenge("n2")), UDP, 4)
        refused = refusal(again, challenge("n3"))
        self.assertRaises(Unanswerable, client.answer, again, refused, UDP, 5, 1)

    def test_proxy_then_server(self) -> None:
        """After a 407 and a 401, the request carries both answers."""
        client = new_client("proxy", "server")
        ours = request()
        asked = refusal(ours, for_proxy(challenge("p", realm="proxy")), status=407)
        second = client.answer(ours, asked, UDP, 2)
        third = client.answer(second, refusal(second, challenge("s", realm="server")), UDP, 3, 1)
        self.assertTrue(is_right(third, "Proxy-Authorization"))
        self.assertTrue(is_right(third))
        self.assertEqual(credentials(third, "Proxy-Authorization").text("nc"), "00000002")

    def test_bounded(self) -> None:
        """A server that invents realms fills no memory; the latest are kept."""
        client = DigestClient(lambda realm, hop: LOGIN, counted("c"))
        for n in range(MAX_SPACES + 3):
            ours = request()
            client.answer(ours, refusal(ours, challenge(realm=f"r{n}")), UDP, 2)
        message = request()
        client.authorize(message, UDP)
        realms = [parse_credentials(row).text("realm") for row in message.get_rows("Authorization")]
        self.assertEqual(realms, [f"r{n}" for n in range(3, MAX_SPACES + 3)])


class SecrecyTests(SynchronousTestCase):
    """Passwords stay where they are."""

    def test_repr(self) -> None:
        """No repr shows a password."""
        client = new_client()
        ours = request()
        client.answer(ours, refusal(ours, challenge()), UDP, 2)
        for thing in (LOGIN, client, client._spaces):
            self.assertNotIn("sesame", repr(thing))
