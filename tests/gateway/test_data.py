"""INFO both ways, statistics, and what a page attaches to a call."""

from __future__ import annotations

import json

from b2bua.sip.usage_events import (
    Ended,
    InDialogRequest,
)
from tests.gateway.pages import PageCase
from tests.gateway.stage import BrowserPage


class DataTests(PageCase):
    """INFO, numbers, and the SIP Server that works the page."""

    def test_info_map(self) -> None:
        """INFO-MAP is attached data for the SIP Server."""
        self.up()
        self.page.post("2002", "INFO-MAP color=red&n=a%20b")
        info = self.server.seen("INFO")[-1]
        self.assertEqual("application/x-www-form-urlencoded", info.get("Content-Type"))
        self.assertEqual(b"color=red&n=a%20b", info.body)

    def test_info_peer(self) -> None:
        """INFO-PEER goes to the peer as it is, and comes from it so."""
        called = self.up()
        self.page.post("2002", "INFO-PEER text=a+b%26c")
        info = self.server.seen("INFO")[-1]
        self.assertEqual("application/octet-stream", info.get("Content-Type"))
        self.assertEqual(b"text=a+b%26c", info.body)
        self.server.last(InDialogRequest).usage.respond(
            self.server.last(InDialogRequest).transaction, 200, self.stage.now
        )
        called.info([("Content-Type", "application/octet-stream")], b"k=%41+", self.stage.now)
        self.stage.settle()
        self.assertEqual("INFO-PEER k=%41+", self.page.next())
        self.assertEqual("2002", self.page.peer)

    def test_large_info(self) -> None:
        """Data have their bounds on every leg."""
        called = self.up()
        self.assertEqual(413, self.page.post("2002", "INFO-PEER " + "x" * 8193).code)
        body = b"x" * 8193
        called.info([("Content-Type", "application/octet-stream")], body, self.stage.now)
        self.stage.settle()
        self.assertIn(413, self.statuses())
        self.assertIsNone(self.page.poll())

    def test_too_often(self) -> None:
        """Who posts more data than any page has is told to wait, and hangs up all the same."""
        self.up()
        answers = [self.page.post("2002", f"INFO-MAP n={i}") for i in range(90)]
        self.assertEqual({200}, {answer.code for answer in answers[:60]})
        refused = [answer for answer in answers if answer.code == 429]
        # Each answer takes five milliseconds in these tests, so some more were let in.
        self.assertIn(len(refused), (90 - 60 - 9, 90 - 60 - 8))
        self.assertEqual({"1"}, {answer.headers["retry-after"] for answer in refused})
        self.assertEqual(len(refused), self.stage.web.refused["too-often"])
        self.assertEqual(200, self.page.post("2002", "BYE").code)
        self.stage.settle()
        self.assertTrue(self.server.has(Ended))

    def test_too_often_for_long(self) -> None:
        """In the long run twenty a second go on."""
        self.up()
        for _ in range(10):
            codes = [self.page.post("2002", "INFO-MAP n=1").code for _ in range(100)]
            self.stage.advance(0.5)
        self.assertIn(codes.count(200), (20, 21))

    def test_too_many_descriptions(self) -> None:
        """Each OFFER is work for everybody: thirty at once are more than any page has to make."""
        for prefix in ("RSMP ", "BYE", "RSMP \n "):
            page = BrowserPage(self.stage)
            page.sign_in("1002")
            text = prefix + json.dumps({"messageType": "OFFER", "seq": 1, "sdp": "v=0"})
            codes = [page.post("2002", text).code for _ in range(60)]
            self.assertTrue(25 <= codes.count(429) <= 30, (prefix, codes))
            self.assertEqual(200, page.post("2002", "BYE").code)

    def test_name_of_a_peer(self) -> None:
        """Nobody's name fills the head of an answer."""
        for length, code in ((256, 200), (257, 400)):
            self.assertEqual(code, self.page.offer("x" * length).code, length)

    def test_too_many_texts(self) -> None:
        """So is who floods with ROAP, or what should be; another page notices nothing."""
        codes = [self.page.post("2002", "RSMP {").code for _ in range(300)]
        self.assertEqual({400}, set(codes[:200]))
        self.assertIn(429, codes)
        while self.page.post("2002", "RSMP {").code != 429:
            pass
        self.assertEqual(429, self.page.offer("2002").code)
        self.assertEqual([], self.server.seen("INVITE"))
        other = BrowserPage(self.stage)
        other.sign_in("1002")
        self.assertEqual(200, other.offer("2002").code)
        self.stage.advance(1)
        self.assertEqual(200, self.page.offer("2003").code)

    def test_stats(self) -> None:
        """GET-STATS brings the numbers of the call's media."""
        self.up()
        self.stage.advance(2)
        self.page.post("2002", "GET-STATS")
        text = self.page.next()
        self.assertTrue(text.startswith("PUT-STATS"))
        found = json.loads(text[9:])
        self.assertEqual(1_700_000_000_500, found["timestamp"])
        self.assertGreaterEqual(found["duration"], 2000)
        self.assertEqual({"packets": 0, "bytes": 0, "lost": 0, "jitter": 0}, found["audio"]["rx"])
        self.assertLessEqual({"rtt", "rtt_max", "rtt_average", "tx"}, set(found["audio"]))

    def test_unknown_peer(self) -> None:
        """What is about a call that is over is 200 and nothing else."""
        for text in ("BYE", "INFO-PEER a=b", "GET-STATS", 'RSMP {"messageType":"OK","seq":1}'):
            self.assertEqual(200, self.page.post("2002", text).code)
        self.assertIsNone(self.page.poll())


class InjectionTests(PageCase):
    """What a page attaches never is more than that."""

    def test_attached(self) -> None:
        """Each pair is one header field or none; the call is made in any case."""
        nasty: list[tuple[object, object]] = [
            ("a\r\nVia", "x"),
            ("a", "x\r\nRoute: <sip:evil.example>"),
            ("b", "x\nX-Evil: 1"),
            ("c", "x\0y"),
            ("d: e", "f"),
            ("", "x"),
            ("k" * 65, "x"),
            ("f", "y" * 1025),
            ("CallUUID", "1"),
            ("g", "\x7f"),
            ("h", "%0d%0aX-Evil: 1"),
            ("ok", "caf\u00e9 %"),
        ]
        self.page.offer("2002", attacheddata=[{"key": k, "value": v} for k, v in nasty])
        invite = self.server.seen("INVITE")[-1]
        found = {n: v for n, v in invite.headers if n.lower().startswith("x-")}
        self.assertEqual({"X-genesys-service_type", "X-genesys-h", "X-genesys-ok"}, set(found))
        self.assertEqual("caf%C3%A9 %25", found["X-genesys-ok"])
        self.assertEqual("%250d%250aX-Evil: 1", found["X-genesys-h"])
        plain = BrowserPage(self.stage)
        plain.sign_in("1002")
        plain.offer("2002")
        others = len(self.server.seen("INVITE")[-1].headers)
        self.assertEqual(others + 2, len(invite.headers))

    def test_too_much(self) -> None:
        """Of too much data the first goes on."""
        listed = [{"key": f"k{i}", "value": "v" * 900} for i in range(20)]
        self.page.offer("2002", attacheddata=listed)
        invite = self.server.seen("INVITE")[-1]
        kept = [n for n, _ in invite.headers if n.startswith("X-genesys-k")]
        self.assertTrue(1 <= len(kept) <= 4, kept)

    def test_info(self) -> None:
        """INFO-MAP with what may not go on goes nowhere, and the call stays."""
        self.up()
        for body in ("a%0d%0a=b", "a=%00", "%=1", "a=%ff"):
            self.assertEqual(200, self.page.post("2002", f"INFO-MAP {body}").code)
        self.assertEqual([], self.server.seen("INFO"))
        self.assertFalse(self.server.has(Ended))

    def test_user(self) -> None:
        """A name that would be more than a name does not sign in."""
        for user in ("a%0d%0aVia:x", "%3Csip:a@b%3E", "a%20b", "", "x" * 65, "%22", "%ff"):
            self.assertEqual(400, self.page.ask("GET", f"/sign_in?{user}").code, user)
