"""The ladder of a call."""

from __future__ import annotations

from collections import deque
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite.lab.ladder import MOST_ARROWS, MOST_LANES, REST, ladder, sent_again
from suite.lab.trace import TracedCall, TracedMessage

SVG = "{http://www.w3.org/2000/svg}"
GATEWAY = "127.0.0.1:5060"


def message(
    at: float,
    source: str,
    target: str,
    summary: str,
    *,
    call_id: str = "1@host",
    lost: bool = False,
) -> TracedMessage:
    """One message."""
    return TracedMessage(at, source, target, summary, call_id, lost=lost)


def call(*messages: TracedMessage, name: str = "c1", title: str = "7001 to 7002") -> TracedCall:
    """A call with these messages."""
    return TracedCall(name, title, deque(messages))


def parsed(svg: str) -> ElementTree.Element:
    """Read the drawing as XML."""
    return ElementTree.fromstring(svg)


def arrows(root: ElementTree.Element) -> list[ElementTree.Element]:
    """The groups that are arrows."""
    return [group for group in root.iter(f"{SVG}g") if "arrow" in group.get("class", "").split()]


def words(group: ElementTree.Element, kind: str) -> str:
    """What the text of this class in a group says."""
    return next(t.text or "" for t in group.iter(f"{SVG}text") if t.get("class") == kind)


FAILOVER = call(
    message(100.0, GATEWAY, "A", "INVITE 7002", lost=True),
    message(100.5, GATEWAY, "A", "INVITE 7002", lost=True),
    message(104.0, GATEWAY, "B", "INVITE 7002"),
    message(104.0012, "B", GATEWAY, "100 Trying (INVITE)"),
    message(104.002, "B", "echo", "INVITE 7002"),
    message(104.25, "echo", "B", "200 OK (INVITE) [sendrecv]"),
)


class LadderTests(SynchronousTestCase):
    """What is drawn."""

    def test_lanes(self) -> None:
        """Strangers come first, then those that have a heading, in the order of the headings."""
        svg = ladder(FAILOVER, {"echo": "echo phone", "A": "SIP Server A", "B": "SIP Server B"})
        heads = [
            group.findtext(f"{SVG}text")
            for group in parsed(svg).iter(f"{SVG}g")
            if group.get("class") == "head"
        ]
        self.assertEqual(heads, [GATEWAY, "echo phone", "SIP Server A", "SIP Server B"])

    def test_shared_lane(self) -> None:
        """Several sockets of one peer are one lifeline."""
        two = call(message(0, "h:1", "A", "INVITE 1"), message(1, "h:2", "A", "REGISTER"))
        svg = ladder(two, {"h:1": "gateway", "h:2": "gateway"})
        heads = [g for g in parsed(svg).iter(f"{SVG}g") if g.get("class") == "head"]
        self.assertEqual([head.findtext(f"{SVG}text") for head in heads], ["gateway", "A"][::-1])

    def test_times(self) -> None:
        """Times are milliseconds since the first message."""
        times = [words(group, "time") for group in arrows(parsed(ladder(FAILOVER)))]
        self.assertEqual(
            times, ["0.0", "500", "4\u2009000", "4\u2009001", "4\u2009002", "4\u2009250"]
        )

    def test_kinds(self) -> None:
        """Requests, what was sent again, what was lost and each kind of answer have a class."""
        kinds = [group.get("class") for group in arrows(parsed(ladder(FAILOVER)))]
        self.assertEqual(
            kinds,
            [
                "arrow request lost",
                "arrow request again lost",
                "arrow request",
                "arrow trying",
                "arrow request",
                "arrow done",
            ],
        )
        challenge = call(
            message(0, "A", "x", "401 Unauthorized (REGISTER)"),
            message(1, "A", "x", "302 Moved (INVITE)"),
            message(2, "A", "x", "503 Service Unavailable (INVITE)"),
        )
        kinds = [group.get("class") for group in arrows(parsed(ladder(challenge)))]
        self.assertEqual(kinds, ["arrow asked", "arrow asked", "arrow refused"])

    def test_without_colours(self) -> None:
        """What was sent again is dashed, what was lost has a cross, and both are said in words."""
        lost, again, sound, *_ = arrows(parsed(ladder(FAILOVER)))
        self.assertEqual(lost.findtext(f"{SVG}title"), "INVITE 7002 (lost)")
        self.assertEqual(again.findtext(f"{SVG}title"), "INVITE 7002 (again, lost)")
        self.assertIn("cross", [path.get("class") for path in lost.iter(f"{SVG}path")])
        self.assertNotIn("cross", [path.get("class") for path in sound.iter(f"{SVG}path")])
        dashes = [
            any(path.get("stroke-dasharray") for path in group.iter(f"{SVG}path"))
            for group in (lost, again, sound)
        ]
        self.assertEqual(dashes, [False, True, False])

    def test_only_the_colour_of_the_page(self) -> None:
        """No colour and no style is in the drawing, so both themes hold."""
        for element in parsed(ladder(FAILOVER)).iter():
            self.assertIsNone(element.get("style"))
            for paint in ("fill", "stroke"):
                self.assertIn(element.get(paint), (None, "none", "currentColor"))

    def test_silence(self) -> None:
        """Where nothing was said for a second there is a gap, and how long it was."""
        pauses = [
            each.text
            for each in parsed(ladder(FAILOVER)).iter(f"{SVG}text")
            if each.get("class") == "pause"
        ]
        self.assertEqual(pauses, ["+ 3.5 s"])

    def test_screen_reader(self) -> None:
        """Title and description are named by the drawing and tell it in words."""
        root = parsed(ladder(FAILOVER, {"A": "SIP Server A"}))
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None and description is not None
        self.assertEqual(root.get("aria-labelledby"), title.get("id"))
        self.assertEqual(root.get("aria-describedby"), description.get("id"))
        self.assertEqual(title.text, "SIP ladder of c1: 7001 to 7002")
        said = description.text or ""
        self.assertIn("6 messages between", said)
        self.assertIn(f"500 ms, {GATEWAY} to SIP Server A: INVITE 7002, sent again, lost.", said)

    def test_to_itself(self) -> None:
        """A message to oneself is a loop, not a line of no length."""
        (arrow,) = arrows(parsed(ladder(call(message(0, "A", "A", "OPTIONS")))))
        paths = [path.get("d", "") for path in arrow.iter(f"{SVG}path")]
        self.assertIn("h22v10h-20", paths[0])

    def test_no_message(self) -> None:
        """A call without a message is a drawing that says so."""
        self.assertEqual(parsed(ladder(call())).findtext(f"{SVG}desc"), "No message yet.")


class BoundsTests(SynchronousTestCase):
    """How much is drawn of how much."""

    def test_most_arrows(self) -> None:
        """So many arrows and a note; the first of a call, or the latest."""
        many = call(*(message(n, "A", "B", f"INFO {n}") for n in range(MOST_ARROWS + 30)))
        for latest, first in ((False, "INFO 0"), (True, "INFO 30")):
            root = parsed(ladder(many, latest=latest))
            self.assertEqual(len(arrows(root)), MOST_ARROWS)
            self.assertEqual(words(arrows(root)[0], "label"), first)
            notes = [t.text for t in root.iter(f"{SVG}text") if t.get("class") == "note"]
            self.assertEqual(notes, ["30 more messages not drawn"])

    def test_most_lanes(self) -> None:
        """Whoever comes too late shares the last lane, and the drawing stays so wide."""
        crowd = call(*(message(n, f"10.0.0.{n}:5060", "A", "OPTIONS") for n in range(40)))
        root = parsed(ladder(crowd))
        heads = [g.findtext(f"{SVG}text") for g in root.iter(f"{SVG}g") if g.get("class") == "head"]
        self.assertEqual(len(heads), 2 * MOST_LANES)
        self.assertEqual(heads[MOST_LANES - 1], REST)
        self.assertLess(int(root.get("width", "0")), 1600)

    def test_size(self) -> None:
        """The longest texts make no endless drawing."""
        long = call(
            *(message(n, "s" * 5000, "&" * 5000, "<" * 5000) for n in range(400)),
            name="n" * 5000,
            title="t" * 5000,
        )
        self.assertLess(len(ladder(long)), 512 * 1024)

    def test_long_label(self) -> None:
        """A label is cut to the room of its arrow; all of it stands in the tooltip."""
        summary = "INVITE " + "7" * 60
        (arrow,) = arrows(parsed(ladder(call(message(0, "A", "B", summary)))))
        self.assertLess(len(words(arrow, "label")), 27)
        self.assertTrue(words(arrow, "label").endswith("…"))
        self.assertEqual(arrow.findtext(f"{SVG}title"), summary)


class HostileTextTests(SynchronousTestCase):
    """What a peer may write."""

    @given(st.lists(st.text(max_size=40), min_size=5, max_size=5))
    def test_any_text(self, texts: list[str]) -> None:
        """Whatever stands in a message, the drawing is well-formed and has our elements only."""
        name, title, source, target, summary = texts
        one = call(message(0, source, target, summary), name=name, title=title)
        root = parsed(ladder(one, {source: summary}))
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        self.assertLessEqual(tags, {"svg", "title", "desc", "g", "rect", "path", "text"})

    def test_markup(self) -> None:
        """Markup is shown, not obeyed."""
        evil = '"/><script>alert(1)</script>'
        svg = ladder(call(message(0, evil, "A", evil), name=evil, title=evil))
        self.assertNotIn("<script", svg)
        self.assertIn("&lt;script&gt;", svg)

    def test_unfit_characters(self) -> None:
        """Control characters and turns of the direction of writing are replaced."""
        svg = ladder(call(message(0, "A", "B", "IN\x00\x1bVITE\u202e\ud800\ufffe")))
        self.assertIn("IN\ufffd\ufffdVITE\ufffd\ufffd\ufffd", svg)


class SentAgainTests(SynchronousTestCase):
    """What counts as a retransmission."""

    def test_unanswered(self) -> None:
        """The same message with no word from the other end is a repeat."""
        pair = [message(n, "x", "A", "INVITE 1") for n in range(3)]
        self.assertEqual(sent_again(pair), [False, True, True])

    def test_answered(self) -> None:
        """After an answer the same message is a new one: a second hold, a request with a digest."""
        messages = [
            message(0, "x", "A", "REGISTER"),
            message(1, "A", "x", "401 Unauthorized (REGISTER)"),
            message(2, "x", "A", "REGISTER"),
            message(3, "A", "x", "200 OK (REGISTER)"),
        ]
        self.assertEqual(sent_again(messages), [False] * 4)

    def test_lost_answer(self) -> None:
        """An answer that was thrown away is none."""
        messages = [
            message(0, "x", "A", "INVITE 1"),
            message(1, "A", "x", "100 Trying (INVITE)", lost=True),
            message(2, "x", "A", "INVITE 1"),
        ]
        self.assertEqual(sent_again(messages), [False, False, True])

    def test_other_dialogs(self) -> None:
        """Another Call-ID or another server is no repeat."""
        messages = [
            message(0, "x", "A", "OPTIONS", call_id="1"),
            message(1, "x", "A", "OPTIONS", call_id="2"),
            message(2, "x", "B", "OPTIONS", call_id="1"),
        ]
        self.assertEqual(sent_again(messages), [False] * 3)
