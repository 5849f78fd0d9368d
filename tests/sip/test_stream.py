"""Tests of messages in a stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.errors import ParseError, StreamError
from b2bua.sip.message import Message, Request
from b2bua.sip.parser import MAX_BODY, MAX_HEAD
from b2bua.sip.stream import Item, KeepAlive, StreamFramer
from tests.sip import strategies
from tests.sip.test_parser import COMMON, OPTIONS

PING, PONG = KeepAlive.PING, KeepAlive.PONG
EMPTY = OPTIONS + b"l: 0\r\n\r\n"
FULL = OPTIONS + b"l: 3\r\n\r\nabc"


def shown(item: Item) -> object:
    """An item in comparable form."""
    if isinstance(item, Message):
        return item.render()
    return (item.status, item.reason) if isinstance(item, ParseError) else item


def feed(chunks: list[bytes]) -> tuple[list[object], object, bool]:
    """Feed the chunks: the items, the fault if there is one, and whether something waits."""
    framer = StreamFramer()
    items: list[Item] = []
    for chunk in chunks:
        try:
            items += framer.feed(chunk)
        except StreamError as error:
            items += error.items
            return [shown(item) for item in items], shown(error.fault), framer.pending
    return [shown(item) for item in items], None, framer.pending


class StreamFramerTests(SynchronousTestCase):
    """Content-Length frames messages in a stream, however it is cut."""

    def test_two_in_one(self) -> None:
        """Two messages in one chunk are two messages."""
        items = StreamFramer().feed(FULL + EMPTY)
        bodies = [item.body for item in items if isinstance(item, Message)]
        self.assertEqual(bodies, [b"abc", b""])

    def test_one_in_many(self) -> None:
        """A message is given once its last byte is there, not before."""
        framer = StreamFramer()
        self.assertFalse(framer.pending)
        for at in range(len(FULL) - 1):
            self.assertEqual(framer.feed(FULL[at : at + 1]), [])
            self.assertTrue(framer.pending)
        (message,) = framer.feed(FULL[-1:])
        assert isinstance(message, Request)
        self.assertEqual((message.body, framer.pending), (b"abc", False))

    def test_keep_alive(self) -> None:
        """Two line ends are a ping, and the first of them may have been a pong."""
        framer = StreamFramer()
        self.assertEqual(framer.feed(b"\r\n"), [PONG])
        self.assertEqual(framer.feed(b"\r"), [])
        self.assertTrue(framer.pending)
        self.assertEqual(framer.feed(b"\n"), [PING])
        self.assertEqual(framer.feed(b"\r\n\r\n\r\n"), [PONG, PING, PONG])
        self.assertEqual(len(framer.feed(EMPTY)), 1)
        self.assertEqual(framer.feed(b"\r\n"), [PONG])

    def test_broken_but_whole(self) -> None:
        """A message that is broken, but whose length is known, does not end the stream."""
        broken = FULL.replace(b"From: <sip:a@h>", b'From: "<sip:a@h>')
        items, fault, pending = feed([broken + EMPTY])
        self.assertEqual(items[0], (400, "value"))
        self.assertEqual((len(items), fault, pending), (2, None, False))

    def test_length_in_doubt(self) -> None:
        """Without a good length the stream ends, after what stood before; it stays ended."""
        for line, fault in (
            (b"", (400, "length")),
            (b"l: -1\r\n", (400, "length")),
            (b"l: 0\r\nContent-Length: 0\r\n", (400, "duplicate")),
            (b"l: %d\r\n" % (MAX_BODY + 1), (513, "body-size")),
            (b"l: 9999999999\r\n", (513, "body-size")),
            (b"Z: a\nb\r\n", (None, "line-end")),
        ):
            with self.subTest(line):
                framer = StreamFramer()
                error = self.assertRaises(
                    StreamError, framer.feed, EMPTY + OPTIONS + line + b"\r\n"
                )
                self.assertEqual((len(error.items), shown(error.fault)), (1, fault))
                again = self.assertRaises(StreamError, framer.feed, EMPTY)
                self.assertEqual((again.items, again.fault), ([], error.fault))
                self.assertFalse(framer.pending)

    def test_response(self) -> None:
        """A response without a length ends the stream without an answer."""
        self.assertEqual(
            feed([b"SIP/2.0 200 OK\r\n" + COMMON + b"\r\n"]), ([], (None, "length"), False)
        )

    def test_bounded(self) -> None:
        """A head that does not end is refused at its limit, a megabyte of junk at once."""
        framer = StreamFramer()
        self.assertEqual(framer.feed(OPTIONS + b"Z: " + b"a" * (MAX_HEAD - len(OPTIONS) - 4)), [])
        error = self.assertRaises(StreamError, framer.feed, b"a")
        self.assertEqual(shown(error.fault), (513, "head-size"))
        self.assertEqual(feed([b"a" * 1_000_000]), ([], (None, "head-size"), False))
        self.assertEqual(feed([b"\r" * 10]), ([], (None, "line-end"), False))

    def test_longest(self) -> None:
        """A head and a body at their limits are read."""
        filler = (
            b"Z: " + b"a" * (MAX_HEAD - len(OPTIONS) - len(b"Z: \r\nl: 65536\r\n\r\n")) + b"\r\n"
        )
        data = OPTIONS + filler + b"l: 65536\r\n\r\n" + bytes(MAX_BODY)
        (message,) = StreamFramer().feed(data)
        assert isinstance(message, Request)
        self.assertEqual(len(message.body), MAX_BODY)
        longer = data.replace(b"Z: ", b"Z: a")
        self.assertEqual(feed([longer])[1], (513, "head-size"))

    def test_split_everywhere(self) -> None:
        """Cutting at every byte changes nothing: messages, pings and faults are the same."""
        broken = FULL.replace(b"1 OPTIONS", b"1 BYE")
        for data in (
            EMPTY + b"\r\n\r\n" + FULL + b"\r\n" + broken + EMPTY,
            FULL + OPTIONS + b"l: x\r\n\r\n" + EMPTY,
            EMPTY + b"\r\rOPTIONS",
            FULL + b"Z" * 20,
        ):
            whole = feed([data])
            self.assertEqual(feed([data[i : i + 1] for i in range(len(data))]), whole)
            for at in range(len(data)):
                self.assertEqual(feed([data[:at], data[at:]]), whole)

    @given(st.data())
    def test_any_split(self, data: st.DataObject) -> None:
        """However messages, broken ones and line ends are cut, the same is read."""
        pieces = data.draw(
            st.lists(
                strategies.messages.map(Message.render)
                | strategies.mutated()
                | st.sampled_from([b"\r\n", b"\r\n\r\n", EMPTY, FULL]),
                max_size=4,
            )
        )
        stream = b"".join(pieces)
        self.assertEqual(feed(data.draw(strategies.chunked(stream))), feed([stream]))

    @given(st.lists(strategies.messages, max_size=4))
    def test_all_given(self, messages: list[Message]) -> None:
        """Every message that is written to a stream comes out of it, in order."""
        written = [message.render() for message in messages]
        items, fault, pending = feed([b"".join(written)])
        self.assertEqual((items, fault, pending), (written, None, False))

    @given(st.lists(st.binary(max_size=60), max_size=6))
    def test_junk(self, chunks: list[bytes]) -> None:
        """Junk gives a StreamError or waits; nothing else is raised."""
        feed(chunks)
