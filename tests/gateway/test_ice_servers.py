"""ICE servers for pages that are signed in, wherever they come from."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

from twisted.web.server import Request

from suite.web.credentials import PAGE_ID, SESSION_PREFIX, VISITOR_PREFIX, Credential, session_id
from suite.web.credentials import CredentialKind as Kind
from suite.web.gateway_pages import GatewayDoor
from suite.web.ice_servers import IceServer, IceServers
from suite.web.site import build_gateway_root, build_root, site_of
from tests.gateway.stage import BROWSER_HOST, Answer
from tests.gateway.test_http import HttpCase

ASK = "/api/ice-servers"
APPLICATION = "https://agents.example.com"
STRANGER = "https://evil.example"


def offer(host: str, user_id: str = PAGE_ID) -> IceServers:
    """One relay."""
    server = IceServer(f"turn:{host}:443", Credential(f"600:{user_id}", "p"))
    return IceServers((server,), Kind.TEMPORARY, 600)


class IceServersCase(HttpCase):
    """A gateway whose pages have ICE servers beside it."""

    def build(self, *origins: str, has_pages: bool = True, **changes: object) -> None:
        """Make it."""
        super().build(*origins, **changes)
        web = self.stage.web

        def relay_user(request: Request) -> str | None:
            session = web.session_of(request)
            return None if session is None else session_id(session)

        door = GatewayDoor(web.pages, relay_user=relay_user)
        root = build_root(offer, gateway=door) if has_pages else build_gateway_root(door, offer)
        self.stage.site = site_of(root, self.stage.clock)

    def sign_in(self, user: str = "1001", origin: str = APPLICATION) -> str:
        """Sign in; the session's id."""
        answer = self.ask(f"/sign_in?{user}", Origin=origin)
        return answer.text.splitlines()[0].partition("=")[2]

    def cross(self, path: str, origin: str = APPLICATION, **headers: str) -> Answer:
        """Ask as a browser does for a page of another site."""
        return self.ask(path, Origin=origin, Sec_Fetch_Site="cross-site", **headers)

    def user(self, answer: Answer) -> str:
        """Whose credential an answer has."""
        self.assertEqual(200, answer.code, answer.text)
        found: dict[str, Any] = json.loads(answer.text)
        return str(found["iceServers"][0]["username"]).partition(":")[2]

    def is_refused(self, answer: Answer) -> None:
        """Refused, and without a word that the page could read."""
        self.assertEqual(403, answer.code)
        self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertNotIn("credential", answer.text)


class SignedInTests(IceServersCase):
    """Who has a session."""

    def test_application_of_another_origin(self) -> None:
        """A page of another site gets those of its session, and may read them."""
        self.build(APPLICATION)
        sid = self.sign_in()
        answer = self.cross(f"{ASK}?id={sid}")
        self.assertTrue(self.user(answer).startswith(f"{SESSION_PREFIX}1001-"))
        self.assertEqual(APPLICATION, answer.headers["access-control-allow-origin"])
        self.assertEqual("true", answer.headers["access-control-allow-credentials"])
        self.assertEqual("Origin", answer.headers["vary"])
        self.assertEqual("no-store", answer.headers["cache-control"])
        self.assertNotIn(sid, answer.text)

    def test_each_session_its_own(self) -> None:
        """Two sessions of one DN are two, and what is asked for again is of the same one."""
        self.build(APPLICATION)
        first, second = self.sign_in(), self.sign_in()
        users = [self.user(self.cross(f"{ASK}?id={sid}")) for sid in (first, second, first)]
        self.assertEqual(users[0], users[2])
        self.assertNotEqual(users[0], users[1])

    def test_anonymous(self) -> None:
        """Who is nobody in particular counts by the address."""
        self.build(APPLICATION)
        users = {self.user(self.cross(f"{ASK}?id={self.sign_in(name)}")) for name in ("x", "y")}
        self.assertEqual(1, len(users))
        self.assertTrue(users.pop().startswith(VISITOR_PREFIX))

    def test_other_origins(self) -> None:
        """An origin that is not on the list has nothing, whatever session it names; no null."""
        self.build(APPLICATION)
        sid = self.sign_in()
        for origin in (STRANGER, "null", "x" * 600):
            self.is_refused(self.cross(f"{ASK}?id={sid}", origin))

    def test_no_list(self) -> None:
        """Without a list every origin that has a session may, as everywhere here; never null."""
        self.build()
        sid = self.sign_in()
        answer = self.cross(f"{ASK}?id={sid}", STRANGER)
        self.assertEqual(STRANGER, answer.headers["access-control-allow-origin"])
        self.assertTrue(self.user(answer).startswith(SESSION_PREFIX))
        self.is_refused(self.cross(f"{ASK}?id={sid}", "null"))

    def test_cookie(self) -> None:
        """The cookie is a session's where it is one for a poll."""
        self.build(APPLICATION)
        cookie = f"sid={self.sign_in()}"
        self.assertIn(SESSION_PREFIX, self.user(self.cross(ASK, Cookie=cookie)))
        self.build()
        cookie = f"sid={self.sign_in()}"
        self.is_refused(self.cross(ASK, STRANGER, Cookie=cookie))
        self.assertIn(SESSION_PREFIX, self.user(self.ask(ASK, Cookie=cookie)))

    def test_cookie_only(self) -> None:
        """Where the URL does not count only the cookie does."""
        self.build(APPLICATION, sid_from_url=False)
        sid = self.sign_in()
        self.is_refused(self.cross(f"{ASK}?id={sid}"))
        self.assertIn(SESSION_PREFIX, self.user(self.cross(ASK, Cookie=f"sid={sid}")))

    def test_networks(self) -> None:
        """Who is in none of the gateway's networks has no session there."""
        self.build(APPLICATION, networks=(ip_network(f"{BROWSER_HOST}/32"),))
        path = f"{ASK}?id={self.sign_in()}"
        self.assertIn(SESSION_PREFIX, self.user(self.cross(path)))
        self.is_refused(self.cross(path, host="192.0.2.99"))

    def test_signed_out(self) -> None:
        """A session that is over is none."""
        self.build(APPLICATION)
        sid = self.sign_in()
        self.ask(f"/sign_out?id={sid}", Origin=APPLICATION)
        self.is_refused(self.cross(f"{ASK}?id={sid}"))


class StrangerTests(IceServersCase):
    """Who has none."""

    def test_as_ever(self) -> None:
        """Our own page has those of all who open it; pages of other sites have none."""
        self.build(APPLICATION)
        self.assertEqual(PAGE_ID, self.user(self.ask(ASK, Sec_Fetch_Site="same-origin")))
        self.assertEqual(PAGE_ID, self.user(self.ask(ASK)))
        for path in (ASK, f"{ASK}?id=", f"{ASK}?id=0123456789"):
            self.is_refused(self.cross(path))

    def test_own_page_with_a_session(self) -> None:
        """Our own page that has signed in has those of its session."""
        self.build()
        sid = self.sign_in()
        own = self.ask(f"{ASK}?id={sid}", Sec_Fetch_Site="same-origin")
        self.assertIn(SESSION_PREFIX, self.user(own))
        self.assertNotIn("access-control-allow-origin", own.headers)

    def test_no_pages(self) -> None:
        """Where the pages are off there is nothing for strangers, and sessions have theirs."""
        self.build(APPLICATION, has_pages=False)
        sid = self.sign_in()
        self.assertIn(SESSION_PREFIX, self.user(self.cross(f"{ASK}?id={sid}")))
        self.assertEqual(404, self.ask(ASK).code)
