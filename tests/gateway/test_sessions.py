"""Who signs in, how long sessions live, and what anonymous ones may do."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import CallEnded, PhoneGone, SignedIn, SignedOut, SignInRefused
from b2bua.dial_numbers import parse_dial_numbers
from b2bua.gateway.gateway import Verdict
from b2bua.gateway.session import Session
from b2bua.gateway.sessions import ANONYMOUS_CALLS, CALLS_TO_SELF, UNPROVED
from b2bua.net.web_sign_in import WAIT
from b2bua.settings import GatewaySettings, PhoneSettings
from b2bua.sip.digest import Login
from b2bua.sip.message import Request
from b2bua.sip.usage_events import Ended
from tests.b2bua.network import default_settings, sdp
from tests.b2bua.web_plane import FakeWebPlane
from tests.gateway.stage import ORIGIN, BrowserPage, Stage, Wire, roap

USERS = PhoneSettings(
    users={"1001": "s3cret", "alice": "wonder:land"}, networks=(ip_network("198.51.100.0/24"),)
)


class SignInTests(SynchronousTestCase):
    """IDs and passwords."""

    def build(self, **changes: object) -> BrowserPage:
        """Make a stage and a page."""
        self.stage = Stage(GatewaySettings(**changes), phones=USERS)  # type: ignore[arg-type]
        return BrowserPage(self.stage)

    def servers_ask(self) -> None:
        """Have both SIP Servers want a password."""
        for server in (self.stage.a, self.stage.b):
            server.behave = lambda request: 200 if request.get("Authorization") else 401

    def outlast(self, page: BrowserPage) -> None:
        """No SIP Server answers any more, until 1002 has lapsed there; the page stays."""
        self.stage.settle()
        self.stage.a.works = self.stage.b.works = False
        for _ in range(5):
            page.poll()
            self.stage.advance(60.0)
        self.assertFalse(self.stage.core.servers.has_proved("1002"))

    def reasons(self) -> list[str]:
        """Why pages were refused."""
        return [event.reason for event in self.stage.told(SignInRefused)]

    def registered(self) -> list[str]:
        """Who was registered with the SIP Server."""
        return [request.to.uri.user_text for request in self.stage.a.seen("REGISTER")]

    def test_password(self) -> None:
        """A DN that has a password in the list of users needs it."""
        page = self.build()
        for password in (None, "undefined", "wrong", "s3cret "):
            self.assertEqual(403, page.sign_in("1001", password).code, password)
        self.assertEqual(200, page.sign_in("1001", "s3cret").code)
        self.assertEqual(["password"] * 4, self.reasons())
        self.assertEqual(["1001"], self.registered())

    def test_guessing(self) -> None:
        """Whoever guesses is not listened to for a while, from that address, for that user."""
        page = self.build()
        for _ in range(8):
            page.sign_in("1001", "wrong")
        self.assertEqual(["password"] * 5 + ["silenced"] * 3, self.reasons())
        self.assertEqual(403, page.sign_in("1001", "s3cret").code)
        self.assertEqual(200, page.sign_in("alice", "wonder:land").code)
        other = BrowserPage(self.stage, "203.0.113.78")
        self.assertEqual(200, other.sign_in("1001", "s3cret").code)
        self.stage.advance(61)
        self.assertEqual(200, page.sign_in("1001", "s3cret").code)

    def test_dn_without_password(self) -> None:
        """Any other DN of the list needs none, by GET or by POST of undefined."""
        page = self.build()
        self.assertEqual(200, page.sign_in("1002").code)
        self.assertEqual(200, page.sign_in("1003", "undefined").code)
        self.assertEqual(["1002", "1003"], self.registered())

    def test_password_of_the_server(self) -> None:
        """One that is given all the same is the DN's at the SIP Server, until it signs out."""
        page = self.build()
        self.assertEqual(200, page.sign_in("1002", "upstream").code)
        self.assertEqual(Login("1002", "upstream"), self.login("1002"))
        self.assertIsNone(self.login("1003"))
        page.ask("GET", f"/sign_out?id={page.sid}")
        self.assertIsNone(self.login("1002"))

    def test_password_that_was_taken(self) -> None:
        """Once the SIP Server has asked for a password and taken it, others need the same."""
        page = self.build()
        self.stage.a.behave = lambda request: 200 if request.get("Authorization") else 401
        self.assertEqual(200, page.sign_in("1002", "upstream").code)
        self.stage.settle()
        self.assertTrue(self.stage.core.servers.has_proved("1002"))
        thief = BrowserPage(self.stage, "203.0.113.78")
        for password in (None, "undefined", "guess"):
            self.assertEqual(403, thief.sign_in("1002", password).code, password)
        self.assertEqual(Login("1002", "upstream"), self.login("1002"))
        self.assertEqual(200, thief.sign_in("1002", "upstream").code)
        self.assertEqual(["password"] * 3, self.reasons())

    def test_password_that_nobody_asked_for(self) -> None:
        """Where the SIP Server asks for none, a DN that gives one keeps no other page out."""
        page = self.build()
        self.assertEqual(200, page.sign_in("1002", "anything").code)
        self.assertEqual(200, BrowserPage(self.stage, "203.0.113.78").sign_in("1002").code)

    def test_wrong_at_the_server(self) -> None:
        """A page whose password the SIP Server refuses is told so, and may try another."""
        page = self.build()
        for status in (401, 403):
            self.stage.a.behave = lambda request, status=status: (  # type: ignore[misc]
                status if request.get("Authorization") else 401
            )
            self.assertEqual(403, page.sign_in("1002", f"wrong{status}").code, status)
        self.assertEqual(["password"] * 2, self.reasons())
        self.assertEqual(0, len(self.stage.gateway.sessions))
        self.assertIsNone(self.login("1002"))
        self.stage.a.behave = lambda request: 200 if request.get("Authorization") else 401
        self.assertEqual(200, page.sign_in("1002", "right").code)
        self.assertTrue(self.stage.core.servers.has_proved("1002"))
        self.assertEqual(0, len(self.stage.web.sign_ins))

    def test_another_page_knows_it(self) -> None:
        """A DN that was refused without a password is tried again when a page brings one."""
        self.build()
        self.stage.a.behave = lambda request: 200 if request.get("Authorization") else 401
        self.assertEqual(200, BrowserPage(self.stage).sign_in("1002").code)
        self.assertFalse(self.stage.core.servers.knows("1002"))
        self.assertEqual(200, BrowserPage(self.stage).sign_in("1002", "right").code)
        self.assertTrue(self.stage.core.servers.has_proved("1002"))

    def test_outage_after_a_password_was_taken(self) -> None:
        """A DN stays its owner's while no SIP Server answers, though it lapses there."""
        page = self.build()
        self.servers_ask()
        self.assertEqual(200, page.sign_in("1002", "upstream").code)
        self.outlast(page)
        thief = BrowserPage(self.stage, "203.0.113.78")
        for password in (None, "guess"):
            self.assertEqual(403, thief.sign_in("1002", password).code, password)
        self.assertEqual(Login("1002", "upstream"), self.login("1002"))

    def with_another_under_way(self, other: str, status: int) -> Session:
        """Sign in as 1002 while the SIP Server judges another password, then have it say so."""
        found: list[Session] = []

        def behave(request: Request) -> int:
            if not request.get("Authorization"):
                return 401
            if not found:
                found.append(
                    self.stage.gateway.sign_in("1002", other, "203.0.113.78", self.stage.now)
                )
                return status
            return 200

        self.stage.a.behave = behave
        self.page.sign_in("1002", "first")
        self.stage.settle()
        return found[0]

    def test_wrong_password_while_the_right_one_is_judged(self) -> None:
        """It is the password that the SIP Server was shown which is a DN's from then on."""
        self.page = self.build()
        thief = self.with_another_under_way("wrong", 200)
        self.assertTrue(thief.is_over)
        self.assertEqual("first", self.stage.core.proved("1002"))
        self.assertEqual(200, self.page.sign_in("1002", "first").code)
        self.assertEqual(403, BrowserPage(self.stage).sign_in("1002", "wrong").code)

    def test_right_password_while_a_wrong_one_is_judged(self) -> None:
        """What the SIP Server says of a stranger's password is no word on the owner's."""
        self.page = self.build()
        owner = self.with_another_under_way("right", 403)
        self.assertFalse(owner.is_over)
        self.assertIs(Verdict.TAKEN, self.stage.gateway.verdict(owner))
        self.assertEqual("right", self.stage.core.proved("1002"))
        self.assertEqual([owner], self.stage.gateway.sessions.of_user("1002"))

    def test_own_password_of_ours_in_an_outage(self) -> None:
        """While no server answers, a DN that has the password of all DNs is no page's to take."""
        servers = dataclasses.replace(default_settings().servers, password="general")
        self.stage = Stage(GatewaySettings(), servers=servers)
        self.servers_ask()
        page = BrowserPage(self.stage)
        self.assertEqual(200, page.sign_in("1002").code)
        self.outlast(page)
        BrowserPage(self.stage, "203.0.113.79").sign_in("1002", "W")
        self.assertEqual("general", self.stage.core.servers._password("1002"))

    def test_whoever_came_before_the_password(self) -> None:
        """
        A page without a DN's password is out once another's has been taken, and calls by no
        credentials that are not its own.
        """
        self.build()
        self.stage.a.behave = lambda request: 200 if request.get("Authorization") else 401
        early = BrowserPage(self.stage, "203.0.113.78")
        self.assertEqual(200, early.sign_in("1002").code)
        owner = BrowserPage(self.stage)
        self.assertEqual(200, owner.sign_in("1002", "right").code)
        self.assertEqual(404, early.offer("900123").code)
        self.assertEqual([owner.sid], [session.sid for session in self.stage.gateway.sessions])

    def test_no_such_dn_at_the_server(self) -> None:
        """So is one whose DN the SIP Server does not know, which is no guess."""
        page = self.build()
        self.stage.a.behave = lambda request: 404
        self.assertEqual(403, page.sign_in("1002", "any").code)
        self.assertEqual(["refused"], self.reasons())

    def test_silent_server(self) -> None:
        """A SIP Server that says nothing keeps nobody from signing in for long."""
        page = self.build()
        self.stage.a.works = self.stage.b.works = False
        wire = Wire(self.stage)
        wire.send("POST", "/sign_in", "1002:any")
        self.stage.advance(WAIT - 0.1)
        self.assertIsNone(wire.take())
        self.stage.advance(0.2)
        answer = wire.take()
        assert answer is not None
        self.assertEqual(200, answer.code)
        self.assertTrue(answer.text.startswith("sid="))
        self.assertEqual(200, page.sign_in("1003").code)
        self.assertEqual([], self.reasons())

    def test_busy_server(self) -> None:
        """Nor does one that refuses for the moment."""
        page = self.build()
        self.stage.a.behave = lambda request: 500
        self.assertEqual(200, page.sign_in("1002", "any").code)

    def test_page_that_does_not_wait(self) -> None:
        """Whoever closes the connection meanwhile is not waited for."""
        self.build()
        self.stage.a.works = self.stage.b.works = False
        wire = Wire(self.stage)
        wire.send("POST", "/sign_in", "1002:any")
        self.assertEqual(1, len(self.stage.web.sign_ins))
        wire.drop()
        self.assertEqual(0, len(self.stage.web.sign_ins))
        self.stage.advance(4)

    def test_guessing_at_the_server(self) -> None:
        """Nobody has the SIP Server judge one password after the other."""
        page = self.build()
        for number in range(UNPROVED):
            self.assertEqual(200, page.sign_in("1002", f"guess{number}").code, number)
            page.ask("GET", f"/sign_out?id={page.sid}")
        self.assertEqual(403, page.sign_in("1002", "another").code)
        self.assertEqual(["silenced"], self.reasons())
        self.assertEqual(200, page.sign_in("1002").code)
        self.assertEqual(200, page.sign_in("1003", "of another").code)
        self.stage.advance(61)
        self.assertEqual(200, page.sign_in("1002", "another").code)

    def login(self, dn: str) -> Login | None:
        """What the SIP Server would be answered."""
        core = self.stage.core
        password = core._password_of(dn)
        return None if password is None else Login(dn, password)

    def test_anonymous(self) -> None:
        """Whoever is no DN is anonymous: not registered, and can call."""
        page = self.build()
        self.assertEqual(200, page.sign_in("anon0815-x").code)
        self.assertEqual([], self.registered())
        self.assertTrue(self.stage.told(SignedIn)[0].is_anonymous)
        page.offer("2002")
        self.assertEqual("anon0815-x", self.stage.a.seen("INVITE")[0].from_.uri.user_text)

    def test_pretends_to_be_a_number(self) -> None:
        """Who signs in with a number that is not on the list does not call as that number."""
        page = self.build()
        self.assertEqual(200, page.sign_in("+5000").code)
        page.offer("2002")
        self.assertEqual("anonymous-1", self.stage.a.seen("INVITE")[0].from_.uri.user_text)

    def test_pretends_with_a_parameter(self) -> None:
        """Nor with a name that a SIP Server would cut down to somebody's number."""
        page = self.build()
        for name in ("1001;x", "1001;", ";1001", "alice;phone-context=x"):
            self.assertEqual(400, page.sign_in(name).code, name)
        self.assertEqual(["id"] * 4, self.reasons())

    def test_no_anonymous(self) -> None:
        """Unless that is off."""
        page = self.build(allow_anonymous=False)
        self.assertEqual(403, page.sign_in("anon").code)
        self.assertEqual(200, page.sign_in("1002").code)
        self.assertEqual(["anonymous"], self.reasons())

    def test_user_that_is_no_dn(self) -> None:
        """A user with a password that is no DN is bound here, and not at the SIP Server."""
        page = self.build()
        self.assertEqual(403, page.sign_in("alice").code)
        self.assertEqual(200, page.sign_in("alice", "wonder:land").code)
        self.assertEqual([], self.registered())
        self.assertEqual(1, len(self.stage.core.registrar.bindings("alice", self.stage.now)))

    def test_plus(self) -> None:
        """An ID may begin with a plus sign."""
        stage = Stage(registered=parse_dial_numbers("+1555"))
        self.assertEqual(200, BrowserPage(stage).sign_in("+1555").code)
        self.assertEqual("+1555", stage.a.seen("REGISTER")[0].to.uri.user_text)

    def test_full(self) -> None:
        """So many sessions, and no more."""
        self.build(sessions=2)
        pages = [BrowserPage(self.stage, f"203.0.113.{n}") for n in range(1, 5)]
        codes = [page.sign_in(f"100{n}").code for n, page in enumerate(pages, 2)]
        self.assertEqual([200, 200, 503, 503], codes)
        self.assertEqual("10", pages[0].sign_in("1005").headers["retry-after"])
        self.assertEqual(["full"] * 3, self.reasons())

    def test_one_gives_way_for_one(self) -> None:
        """Where a user's own session gives way, nobody else's has to, however full it is."""
        page = self.build(sessions=2, sessions_per_user=1)
        page.sign_in("1001", "s3cret")
        BrowserPage(self.stage, "203.0.113.78").sign_in("anon")
        self.assertEqual(200, page.sign_in("1001", "s3cret").code)
        users = {session.user for session in self.stage.gateway.sessions}
        self.assertEqual({"1001", "anon"}, users)

    def test_room_for_others(self) -> None:
        """Anonymous ones of one address have as many of them as they leave to others."""
        page = self.build(sessions=10)
        codes = [page.sign_in(f"anon{n}").code for n in range(10)]
        self.assertEqual([200] * 6 + [503] * 4, codes)
        other = BrowserPage(self.stage, "203.0.113.78")
        self.assertEqual(200, other.sign_in("anon").code)

    def test_centre(self) -> None:
        """Those of one address who have proved who they are may have all of them."""
        passwords = {f"110{n}": f"secret {n}" for n in range(5)}
        self.stage = Stage(GatewaySettings(sessions=10), phones=PhoneSettings(users=passwords))
        page = BrowserPage(self.stage)
        codes = [page.sign_in(user, password).code for user, password in passwords.items()]
        codes += [page.sign_in(f"120{n}").code for n in range(6)]
        self.assertEqual([200] * 10 + [503], codes)
        self.assertEqual([], self.stage.told(SignedOut))

    def test_not_registered(self) -> None:
        """Who signs in as a DN that the SIP Server does not have has proved nothing."""
        page = self.build(sessions=10)
        self.stage.a.behave = lambda request: 404
        codes = [page.sign_in(f"120{n}").code for n in range(8)]
        self.assertEqual([200] * 6 + [503] * 2, codes)
        self.stage.a.behave = lambda request: 200 if request.get("Authorization") else 401
        other = BrowserPage(self.stage, "203.0.113.78")
        self.assertEqual(200, other.sign_in("1201", "right").code)
        proved = [each.user for each in self.stage.gateway.sessions if each.is_proved]
        self.assertEqual(["1201"], proved)

    def test_registered_already(self) -> None:
        """Another page of a DN that is registered counts for its address as little."""
        page = self.build(sessions=10, sessions_per_user=10)
        codes = [page.sign_in("1201").code for _ in range(10)]
        self.assertEqual([200] * 10, codes)

    def test_stranger_gives_way(self) -> None:
        """Once all are taken, who has proved who he is gets one of who has most without that."""
        stranger = self.build(sessions=10)
        for number in range(6):
            stranger.sign_in(f"anon{number}")
        agents = BrowserPage(self.stage, "203.0.113.78")
        codes = [agents.sign_in(f"120{number}").code for number in range(9)]
        self.assertEqual([200] * 9, codes)
        left = [(event.user, event.reason) for event in self.stage.told(SignedOut)]
        self.assertEqual([(f"anon{number}", "replaced") for number in range(5)], left)
        self.assertEqual(503, stranger.sign_in("anon9").code)
        self.assertEqual(10, len(self.stage.gateway.sessions))

    def test_stranger_beside(self) -> None:
        """Nobody gives way before all are taken, not even to somebody of the same address."""
        page = self.build(sessions=8)
        for number in range(5):
            page.sign_in(f"anon{number}")
        codes = [page.sign_in("alice", "wonder:land").code for _ in range(3)]
        self.assertEqual(([200] * 3, []), (codes, self.stage.told(SignedOut)))
        self.assertEqual(200, page.sign_in("alice", "wonder:land").code)
        self.assertEqual(["anon0"], [event.user for event in self.stage.told(SignedOut)])

    def test_call_gives_no_way(self) -> None:
        """But nobody's call ends for that."""
        stranger = self.build(sessions=2)
        stranger.sign_in("anon")
        stranger.offer("2002")
        self.assertEqual(200, stranger.sign_in("anon2").code)
        alice = ("alice", "wonder:land")
        self.assertEqual(200, BrowserPage(self.stage, "203.0.113.78").sign_in(*alice).code)
        self.assertEqual(503, BrowserPage(self.stage, "203.0.113.78").sign_in(*alice).code)
        self.assertEqual(["anon2"], [event.user for event in self.stage.told(SignedOut)])

    def test_addresses_share(self) -> None:
        """Of those who have proved nothing an address with many gives way to one with few."""
        hoarder = self.build(sessions=10)
        for number in range(6):
            hoarder.sign_in(f"anon{number}")
        for number in range(4):
            other = BrowserPage(self.stage, f"203.0.113.{number}")
            self.assertEqual(200, other.sign_in("anon").code)
        few = BrowserPage(self.stage, "203.0.113.9")
        codes = [few.sign_in(f"anon{number}").code for number in range(4)]
        self.assertEqual([200, 200, 200, 503], codes)
        self.assertEqual(3, len(self.stage.told(SignedOut)))

    def test_gives_way(self) -> None:
        """Of too many sessions of one DN the oldest without a call gives way."""
        page = self.build(sessions_per_user=2)
        page.sign_in("1002")
        busy = page.sid
        page.offer("2002")
        second = BrowserPage(self.stage)
        second.sign_in("1002")
        third = BrowserPage(self.stage)
        self.assertEqual(200, third.sign_in("1002").code)
        self.assertEqual(404, second.ask("GET", f"/sign_out?id={second.sid}").code)
        self.assertEqual(200, page.ask("POST", f"/message?from={busy}&to=2002", "BYE").code)
        self.assertEqual(["replaced"], [event.reason for event in self.stage.told(SignedOut)])

    def test_all_in_calls(self) -> None:
        """When all of them have a call nobody gives way."""
        page = self.build(sessions_per_user=1)
        page.sign_in("1002")
        page.offer("2002")
        self.assertEqual(503, BrowserPage(self.stage).sign_in("1002").code)
        self.assertEqual(["user-full"], self.reasons())

    def test_secrets(self) -> None:
        """Each sign-in has a new secret, and what a client makes up is none."""
        page = self.build()
        sids = {page.sign_in("1002").text for _ in range(3)}
        self.assertEqual(3, len(sids))
        for sid in ("", "0" * 32, "x", sids.pop().splitlines()[0].partition("=")[2][:-1]):
            self.assertEqual(404, page.ask("GET", f"/wait?id={sid}").code)


class LifeTests(SynchronousTestCase):
    """How sessions end."""

    def setUp(self) -> None:
        """Sign a page in."""
        self.stage = Stage(GatewaySettings(poll_seconds=120, reap_seconds=60))
        self.page = BrowserPage(self.stage)
        self.page.sign_in()

    def ends(self) -> list[str]:
        """Why sessions have ended."""
        return [event.reason for event in self.stage.told(SignedOut)]

    def test_sign_out(self) -> None:
        """Its calls end, its DN is bound no more, its poll is closed without an answer."""
        self.page.offer("2002")
        self.stage.a.called.answer(self.stage.now, sdp())
        self.stage.settle()
        self.page.reply("2002", "OK", roap(self.page.next()))
        self.assertIsNone(self.page.poll())
        self.assertEqual(200, self.page.ask("GET", f"/sign_out?id={self.page.sid}").code)
        self.assertTrue(self.stage.a.has(Ended))
        self.assertEqual(["connection-lost"], [e.reason for e in self.stage.told(PhoneGone)])
        self.assertIsNone(self.page.got())
        self.assertTrue(self.page.polls.is_closed)
        self.assertEqual(["signed-out"], self.ends())
        self.stage.advance(60)
        self.assertTrue(self.stage.is_clean())
        self.assertEqual(0, len(self.stage.gateway.agent.user_agent))

    def test_beacon(self) -> None:
        """A page that is being left may say so as beacons do: POST, as text, and no preflight."""
        self.page.offer("2002")
        self.stage.a.called.answer(self.stage.now, sdp())
        self.stage.settle()
        wire = Wire(self.stage)
        wire.send("POST", f"/sign_out?id={self.page.sid}", Origin=ORIGIN, Content_Type="text/plain")
        wire.drop()
        self.assertTrue(self.stage.a.has(Ended))
        self.assertEqual(["signed-out"], self.ends())

    def test_reaped(self) -> None:
        """A session that nobody polls ends after a minute, and so do its calls."""
        self.page.offer("2002")
        self.stage.a.called.answer(self.stage.now, sdp())
        self.stage.advance(59)
        self.assertEqual([], self.ends())
        self.stage.advance(2)
        self.assertEqual(["no-poll"], self.ends())
        self.assertTrue(self.stage.a.has(Ended))
        self.assertEqual(1, len(self.stage.told(CallEnded)))

    def test_polled(self) -> None:
        """One that is polled lives; each poll is closed after its time without an answer."""
        for _ in range(4):
            self.assertIsNone(self.page.poll())
            self.stage.advance(119)
            self.assertFalse(self.page.polls.is_closed)
            self.stage.advance(2)
            self.assertTrue(self.page.polls.is_closed)
            self.assertIsNone(self.page.got())
        self.stage.advance(50)
        self.assertEqual([], self.ends())
        self.stage.advance(20)
        self.assertEqual(["no-poll"], self.ends())

    def test_rings_and_goes(self) -> None:
        """A page that is reaped while it rings is 480 to the caller."""
        self.page.poll()
        self.stage.a.call("1001", sdp())
        self.assertIsNotNone(self.page.got())
        self.stage.advance(61)
        statuses = [r.status for _, _, r in self.stage.trace if hasattr(r, "status")]
        self.assertIn(480, statuses)

    def test_refreshed(self) -> None:
        """A session that lives for hours stays bound."""
        for _ in range(40):
            self.page.poll()
            self.stage.advance(121)
        self.assertEqual(1, len(self.stage.core.registrar.bindings("1001", self.stage.now)))
        self.assertEqual([], self.stage.told(PhoneGone))

    def test_overflow(self) -> None:
        """One whose mailbox overflows, because it posts and never polls, ends."""
        for _ in range(50):
            for _ in range(5):
                self.page.offer("")
            self.stage.advance(0.5)
        self.assertEqual(["no-poll"], self.ends()[:1])


class AnonymousTests(SynchronousTestCase):
    """What those may do whom nobody knows."""

    def calls_to_self(self, pages: list[BrowserPage]) -> int:
        """How many calls to itself stand after each page has made one, and another one."""
        for page in pages:
            for peer in ("self", page.sid):
                page.offer(peer, multipleCalls=True)
            while page.poll() is not None:
                pass
        return sum(len(session.calls) for session in self.stage.gateway.sessions)

    def test_calls_to_self_of_one_address(self) -> None:
        """Strangers of one address cannot use up the ports by calls to themselves."""
        self.stage = Stage(GatewaySettings(), plane=FakeWebPlane(1000))
        pages = [BrowserPage(self.stage) for _ in range(90)]
        for number, page in enumerate(pages):
            page.sign_in(f"visitor-{number}")
            page.poll()
        self.assertEqual(CALLS_TO_SELF, self.calls_to_self(pages[:45]))
        self.stage.advance(61)
        self.assertEqual(ANONYMOUS_CALLS, self.calls_to_self(pages[45:]))
        elsewhere = BrowserPage(self.stage, "203.0.113.78")
        elsewhere.sign_in("visitor")
        elsewhere.offer("self")
        self.assertEqual("ANSWER", roap(elsewhere.next())["messageType"])

    def build(self, **changes: object) -> BrowserPage:
        """Make a stage and an anonymous page."""
        self.stage = Stage(GatewaySettings(**changes))  # type: ignore[arg-type]
        page = BrowserPage(self.stage)
        page.sign_in("anonymous-visitor")
        return page

    def test_rate(self) -> None:
        """Six calls a minute of one address, whatever the session; to self as many as anybody."""
        page = self.build()
        for number in range(8):
            page.offer(f"20{number:02}")
        self.assertEqual(6, len(self.stage.a.seen("INVITE")))
        other = BrowserPage(self.stage)
        other.sign_in("another-visitor")
        other.offer("2100")
        self.assertEqual(6, len(self.stage.a.seen("INVITE")))
        self.assertEqual("REFUSED", roap(other.next())["errorType"])
        self.assertEqual("BYE", other.next())
        other.offer("self")
        self.assertEqual("ANSWER", roap(other.next())["messageType"])
        known = BrowserPage(self.stage)
        known.sign_in("1001")
        known.offer("2101")
        self.assertEqual(7, len(self.stage.a.seen("INVITE")))

    def test_destinations(self) -> None:
        """Where there is a list, only to those on it."""
        page = self.build(anonymous_destinations=parse_dial_numbers("2000-2009"))
        page.offer("3001")
        page.offer("2001")
        self.assertEqual(["2001"], [r.uri.user_text for r in self.stage.a.seen("INVITE")])

    def test_not_called(self) -> None:
        """Nobody can call them."""
        page = self.build()
        self.stage.a.call("anonymous-visitor", sdp())
        self.assertIsNone(page.poll())
