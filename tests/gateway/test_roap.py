"""ROAP messages as texts, both ways."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.gateway.candidates import MOST
from b2bua.gateway.errors import Malformed, TooLarge
from b2bua.gateway.roap import LONGEST, ErrorType, MessageType, RoapMessage, read, write
from b2bua.gateway.texts import Bye, GetStats, Info, info_from_peer, read_posted, stats

SDP = "v=0\r\no=- 4711 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
AUDIO = "m=audio 9 RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
VIDEO = "m=video 9 RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
HOST = "1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0"


def offer(**changes: object) -> str:
    """An OFFER as the old client writes it."""
    message: dict[str, object] = {
        "messageType": "OFFER",
        "sdp": SDP + AUDIO + VIDEO,
        "Candidates": [],
        "offererSessionId": 103,
        "answererSessionId": None,
        "seq": 1,
        "tiebreaker": 12345,
    }
    message.update(changes)
    return "RSMP " + json.dumps({k: v for k, v in message.items() if v is not ...})


def lines(message: RoapMessage) -> list[str]:
    """The lines of its description."""
    return message.sdp.decode().split("\r\n")


class ReadingTests(SynchronousTestCase):
    """What pages send."""

    def test_offer(self) -> None:
        """Every key of an OFFER."""
        found = read(offer(attacheddata=[{"key": "queue", "value": "gold"}]))
        self.assertEqual(MessageType.OFFER, found.type)
        self.assertEqual((103, None, 1, 12345), (found.offerer, found.answerer, found.seq, 12345))
        self.assertEqual((("queue", "gold"),), found.attached)
        self.assertEqual((SDP + AUDIO + VIDEO).encode(), found.sdp)
        self.assertFalse(found.follows_draft)

    def test_draft(self) -> None:
        """Whoever spells tieBreaker as the draft has it follows the draft."""
        found = read(offer(tiebreaker=..., tieBreaker=7))
        self.assertEqual((7, True), (found.tie_breaker, found.follows_draft))

    def test_others(self) -> None:
        """OK, ERROR and SHUTDOWN have no description; any word before the JSON will do."""
        ok = read('{"messageType":"OK","offererSessionId":"a","answererSessionId":103,"seq":"4"}')
        self.assertEqual((MessageType.OK, "a", 103, 4), (ok.type, ok.offerer, ok.answerer, ok.seq))
        error = read('ROAP {"messageType":"ERROR","errorType":"REFUSED"}')
        self.assertEqual((MessageType.ERROR, "REFUSED", 0), (error.type, error.error, error.seq))
        self.assertEqual(MessageType.SHUTDOWN, read('{"messageType":"SHUTDOWN"}').type)

    def test_candidates_beside(self) -> None:
        """Candidates go to the m-line of their index, whatever else they say."""
        found = read(
            offer(
                Candidates=[
                    {"sdpMLineIndex": 1, "sdpMid": "audio", "candidate": f"candidate:{HOST}"},
                    {"sdpMLineIndex": 0, "sdpMid": 0, "candidate": f"a=candidate:{HOST}\r\n"},
                ]
            )
        )
        rows = lines(found)
        at = [i for i, row in enumerate(rows) if row == f"a=candidate:{HOST}"]
        self.assertEqual(2, len(at))
        self.assertLess(at[0], rows.index("m=video 9 RTP/SAVPF 96"))
        self.assertGreater(at[1], rows.index("m=video 9 RTP/SAVPF 96"))

    def test_candidates_by_mid(self) -> None:
        """Without an index the mid counts, and the kind of medium where old clients say that."""
        for mid, after in (("1", True), ("video", True), ("0", False), ("audio", False)):
            found = read(offer(Candidates=[{"sdpMid": mid, "candidate": HOST}]))
            rows = lines(found)
            place = rows.index(f"a=candidate:{HOST}")
            self.assertEqual(after, place > rows.index("m=video 9 RTP/SAVPF 96"), mid)

    def test_candidates_in_both(self) -> None:
        """What is in the description already is not put there again."""
        sdp = SDP + AUDIO + f"a=candidate:{HOST}\r\n"
        entry = {"sdpMLineIndex": 0, "candidate": f"a=candidate:{HOST}"}
        self.assertEqual(sdp.encode(), read(offer(sdp=sdp, Candidates=[entry])).sdp)

    def test_candidates_of_no_use(self) -> None:
        """The end of candidates, those of no m-line and those that are none are passed over."""
        entries: list[object] = [
            {"sdpMLineIndex": 0, "candidate": ""},
            {"sdpMLineIndex": 7, "candidate": HOST},
            {"sdpMLineIndex": 0, "candidate": "1 1 udp"},
            {"sdpMLineIndex": 0, "candidate": f"{HOST}\r\na=inactive"},
            {"sdpMLineIndex": 0, "candidate": "x" * 600},
            {"sdpMid": "9", "candidate": HOST},
        ]
        self.assertEqual((SDP + AUDIO + VIDEO).encode(), read(offer(Candidates=entries)).sdp)

    def test_many_candidates(self) -> None:
        """So many are taken."""
        entries = [{"sdpMLineIndex": 0, "candidate": f"{i} {HOST[2:]}"} for i in range(300)]
        found = read(offer(Candidates=entries))
        self.assertEqual(MOST, sum(row.startswith("a=candidate:") for row in lines(found)))

    def test_many_media(self) -> None:
        """More m-lines than any page has are refused, whatever stands between them."""
        for count, refused in ((64, False), (65, True), (800, True)):
            text = offer(sdp="v=0\n" + "b\n" * 2000 + "m=\n" * count)
            with self.subTest(count=count):
                if refused:
                    self.assertRaises(Malformed, read, text)
                else:
                    read(text)

    def test_line_ends(self) -> None:
        """Descriptions have the line ends of SDP afterwards, whatever they had."""
        self.assertEqual(
            (SDP + AUDIO).encode(), read(offer(sdp=(SDP + AUDIO).replace("\r\n", "\n"))).sdp
        )

    def test_attached(self) -> None:
        """Numbers and truths are text, as JSON has them."""
        listed = [{"key": "n", "value": 5}, {"key": "b", "value": True}, {"key": "none"}]
        found = read(offer(attacheddata=listed))
        self.assertEqual((("n", "5"), ("b", "true"), ("none", "")), found.attached)

    def test_refused(self) -> None:
        """What is no message, or no value of its key."""
        for text in (
            "",
            "RSMP",
            "RSMP {",
            "RSMP []",
            'RSMP {"seq":1}',
            'RSMP {"messageType":"HELLO"}',
            offer(sdp=""),
            offer(sdp=5),
            offer(sdp="v=0\0"),
            offer(sdp="\ud800"),
            offer(sdp=SDP + AUDIO * 65),
            offer(seq=-1),
            offer(seq=1.5),
            offer(seq=True),
            offer(seq=2**60),
            offer(seq="x"),
            offer(tiebreaker=[]),
            offer(offererSessionId={}),
            offer(offererSessionId="x" * 200),
            offer(offererSessionId="a\nb"),
            offer(Candidates={}),
            offer(Candidates=[5]),
            offer(Candidates=[{"sdpMLineIndex": "a", "candidate": HOST}]),
            offer(Candidates=[{"sdpMid": [], "candidate": HOST}]),
            offer(Candidates=[{"candidate": 7}]),
            offer(attacheddata="x"),
            offer(attacheddata=[{"value": "x"}]),
            offer(attacheddata=[{"key": "x", "value": []}]),
            offer(attacheddata=[{"key": "x", "value": "y"}] * 65),
            'RSMP {"messageType":"OK","seq":NaN}',
            "RSMP " + "[" * 60_000,
            'RSMP {"messageType":"OK","seq":' + "9" * 5000 + "}",
        ):
            self.assertRaises(Malformed, read, text)

    def test_too_long(self) -> None:
        """A message has 64 KiB at most."""
        self.assertRaises(TooLarge, read, offer(sdp=SDP + "a=x\r\n" * LONGEST))
        self.assertRaises(TooLarge, read_posted, "INFO-PEER " + "x" * 9000)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is a message, or Malformed."""
        with contextlib.suppress(Malformed):
            read_posted(text)

    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    *("messageType", "sdp", "Candidates", "seq", "tiebreaker", "tieBreaker"),
                    *("offererSessionId", "answererSessionId", "attacheddata", "errorType"),
                ]
            ),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: (
                    st.lists(inner, max_size=4)
                    | st.dictionaries(
                        st.sampled_from(["key", "value", "candidate", "sdpMid", "sdpMLineIndex"]),
                        inner,
                        max_size=4,
                    )
                ),
                max_leaves=8,
            ),
        ),
        st.sampled_from(["OFFER", "ANSWER", "OK", "ERROR", "SHUTDOWN", None]),
    )
    def test_any_json(self, found: dict[str, object], kind: str | None) -> None:
        """So is any JSON, whatever its values are."""
        if kind is not None:
            found["messageType"] = kind
        try:
            message = read("RSMP " + json.dumps(found))
        except Malformed:
            return
        message.sdp.decode()


class WritingTests(SynchronousTestCase):
    """What pages are sent."""

    body = (SDP + AUDIO + f"a=candidate:{HOST}\r\n" + VIDEO).encode()

    def test_offer(self) -> None:
        """It begins with SDP; candidates are beside the description, by index and real mid."""
        text = write(
            RoapMessage(
                type=MessageType.OFFER,
                seq=4,
                offerer=9,
                sdp=self.body,
                tie_breaker=3,
                attached=(("k", "v"),),
            )
        )
        self.assertTrue(text.startswith("SDP"))
        found = json.loads(text[text.index("{") :])
        self.assertEqual("OFFER", found["messageType"])
        self.assertEqual((9, None, 4, 3), tuple(found[k] for k in KEYS))
        self.assertEqual(
            [{"sdpMLineIndex": 0, "candidate": f"candidate:{HOST}", "sdpMid": "0"}],
            found["Candidates"],
        )
        self.assertEqual([{"key": "k", "value": "v"}], found["attacheddata"])
        self.assertEqual(self.body.decode(), found["sdp"])

    def test_words(self) -> None:
        """No other message has the words in it by which old clients know OFFER and ERROR."""
        body = self.body.replace(b"s=-", b"s=OFFER ERROR OFFER")
        answer = RoapMessage(
            type=MessageType.ANSWER, seq=1, offerer="OFFER", answerer="ERROR", sdp=body
        )
        text = write(answer)
        self.assertNotIn("OFFER", text)
        self.assertNotIn("ERROR", text)
        found = json.loads(text[text.index("{") :])
        self.assertEqual(body.decode(), found["sdp"])
        self.assertEqual("OFFER", found["offererSessionId"])
        self.assertNotIn("attacheddata", found)

    def test_error(self) -> None:
        """An ERROR has something before its JSON, its type, and no OFFER."""
        text = write(
            RoapMessage(
                type=MessageType.ERROR, seq=1, offerer=1, error=ErrorType.FAILED, reason="OFFER"
            )
        )
        self.assertGreater(text.index("ERROR"), text.index("{"))
        self.assertNotEqual(0, text.index("{"))
        self.assertNotIn("OFFER", text)
        found = json.loads(text[text.index("{") :])
        self.assertEqual(("FAILED", "OFFER"), (found["errorType"], found["reason"]))

    def test_ids(self) -> None:
        """Both ids and the number are in every message, also where they are not known."""
        for kind in MessageType:
            text = write(RoapMessage(type=kind, seq=2, sdp=self.body))
            found = json.loads(text[text.index("{") :])
            self.assertLessEqual({"offererSessionId", "answererSessionId", "seq"}, set(found))

    @given(st.text(alphabet='OFERo\\"{}\u2028', max_size=60), st.text(max_size=20))
    def test_round_trip(self, name: str, value: str) -> None:
        """What is written can be read, and says the same."""
        body = f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns={name}\r\n{AUDIO}".encode()
        message = RoapMessage(
            type=MessageType.OFFER,
            seq=3,
            offerer=5,
            sdp=body,
            tie_breaker=1,
            follows_draft=True,
            attached=(("key", value),),
        )
        try:
            found = read(write(message))
        except Malformed:
            self.assertIn("\ud800", value)
            return
        self.assertEqual(message, found)


KEYS = ("offererSessionId", "answererSessionId", "seq", "tiebreaker")


class TextTests(SynchronousTestCase):
    """What is not ROAP."""

    def test_posted(self) -> None:
        """The words of pages."""
        self.assertEqual(Bye(), read_posted("BYE"))
        self.assertEqual(Bye(), read_posted("BYE\r\n"))
        self.assertEqual(GetStats(), read_posted("GET-STATS"))
        self.assertEqual(Info(b"a=b&c=d", False), read_posted("INFO-MAP a=b&c=d"))
        self.assertEqual(Info(b"text=a+b%26c", True), read_posted("INFO-PEER text=a+b%26c"))

    def test_info_from_peer(self) -> None:
        """Data of the peer come as they are; what is no text does not."""
        self.assertEqual("INFO-PEER text=a+b%26c", info_from_peer(b"text=a+b%26c"))
        self.assertIsNone(info_from_peer(b"\xff\xfe"))
        self.assertIsNone(info_from_peer(b"a\0"))

    def test_stats(self) -> None:
        """Everything behind nine characters is JSON."""
        self.assertEqual({"a": 1}, json.loads(stats({"a": 1})[9:]))
