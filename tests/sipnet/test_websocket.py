"""SIP over WebSocket against a client of wsproto, cut at every byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from b2bua.net.websocket import WebSocketFraming
from b2bua.sip.errors import ParseError
from b2bua.sip.hop import Hop
from b2bua.sip.message import Message
from b2bua.sip.stream import Item, KeepAlive
from tests.sipnet.wires import Setting, request

SIP = request("WS").render()


class Browser:
    """The other end, and the framing under test."""

    def __init__(self, framing: WebSocketFraming | None = None) -> None:
        self.framing = framing or WebSocketFraming()
        self.socket = WSConnection(ConnectionType.CLIENT)
        self.items: list[Item] = []
        self.events: list[Event] = []

    def send(self, *events: Event, cuts: tuple[int, ...] = ()) -> None:
        """Send these in one go, or in pieces."""
        self.give(b"".join(self.socket.send(event) for event in events), cuts)

    def give(self, data: bytes, cuts: tuple[int, ...] = ()) -> None:
        """Send bytes and read what comes back."""
        edges = [0, *cuts, len(data)]
        for begin, end in itertools.pairwise(edges):
            self.items += self.framing.feed(data[begin:end])
        self.take(self.framing.take_output())

    def take(self, data: bytes) -> None:
        """Read what the server sent."""
        if data:
            self.socket.receive_data(data)
            self.events += self.socket.events()

    def open(self, *subprotocols: str, origin: str = "", cuts: tuple[int, ...] = ()) -> None:
        """Shake hands."""
        headers = [(b"Origin", origin.encode())] if origin else []
        self.send(
            Request("sip.example", "/ws", subprotocols=list(subprotocols), extra_headers=headers),
            cuts=cuts,
        )


class HandshakeTests(SynchronousTestCase):
    """The HTTP request and its answer."""

    def test_subprotocol_is_agreed_on(self) -> None:
        """Among several, ``sip`` is the one."""
        browser = Browser()
        browser.open("xmpp", "sip")
        (event,) = browser.events
        assert isinstance(event, AcceptConnection)
        self.assertEqual("sip", event.subprotocol)
        self.assertTrue(browser.framing.is_open)

    def test_request_may_come_byte_by_byte(self) -> None:
        """Nothing depends on where the stream is cut."""
        browser = Browser()
        browser.open("sip", cuts=tuple(range(1, 150)))
        self.assertTrue(browser.framing.is_open)

    def test_other_subprotocols_are_refused(self) -> None:
        """RFC 7118 wants ``sip`` and nothing else will do."""
        for offered in ((), ("xmpp",)):
            browser = Browser()
            browser.open(*offered)
            self.assertIsInstance(browser.events[0], RejectConnection)
            self.assertEqual("subprotocol sip not offered", browser.framing.end)

    def test_other_paths_are_not_there(self) -> None:
        """Where one path is named, nothing is served at others; a query changes nothing."""
        browser = Browser(WebSocketFraming(path="/sip"))
        browser.open("sip")
        event = browser.events[0]
        assert isinstance(event, RejectConnection)
        self.assertEqual((404, "no such path"), (event.status_code, browser.framing.end))
        for target in ("/ws", "/ws?a=b"):
            browser = Browser(WebSocketFraming(path="/ws"))
            browser.send(Request("sip.example", target, subprotocols=["sip"]))
            self.assertTrue(browser.framing.is_open)

    def test_foreign_page_is_refused(self) -> None:
        """A browser does not guard WebSockets by itself."""
        framing = WebSocketFraming(lambda origin: origin == "https://desk.example")
        browser = Browser(framing)
        browser.open("sip", origin="https://evil.example")
        event = browser.events[0]
        assert isinstance(event, RejectConnection)
        self.assertEqual(403, event.status_code)

    def test_allowed_page_is_served(self) -> None:
        """The Origin is compared as it came."""
        browser = Browser(WebSocketFraming(lambda origin: origin == "https://desk.example"))
        browser.open("sip", origin="https://desk.example")
        self.assertTrue(browser.framing.is_open)

    def test_anything_else_is_answered_and_ends(self) -> None:
        """Plain HTTP, no HTTP at all, names that cannot be read, and what never ends."""
        for head in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"\x16\x03\x01\r\n\r\n",
            b"OPTIONS sip:x SIP/2.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: xn--\xff\r\nUpgrade: websocket\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: " + b"a." * 200 + b"\xff\r\n\r\n",
            b"GET /" + b"x" * 9000,
        ):
            framing = WebSocketFraming()
            self.assertEqual([], framing.feed(head))
            self.assertTrue(framing.take_output().startswith(b"HTTP/1.1 4"), head[:40])
            self.assertTrue(framing.end, head[:40])
            self.assertFalse(framing.is_open)

    @given(st.binary(max_size=300))
    def test_no_bytes_break_it(self, data: bytes) -> None:
        """Neither before the handshake nor after it."""
        WebSocketFraming().feed(data + b"\r\n\r\n")
        browser = Browser()
        browser.open("sip")
        browser.framing.feed(data)


class MessageTests(SynchronousTestCase):
    """Messages both ways."""

    def setUp(self) -> None:
        """Open a connection."""
        self.browser = Browser()
        self.browser.open("sip")
        self.browser.events.clear()

    def test_text_and_binary_are_messages(self) -> None:
        """A client may use either."""
        self.browser.send(TextMessage(SIP.decode()), BytesMessage(SIP))
        self.assertEqual(2, len([i for i in self.browser.items if isinstance(i, Message)]))

    def test_fragments_are_one_message(self) -> None:
        """However it is cut into frames, and the frames into packets."""
        self.browser.send(
            TextMessage(SIP[:50].decode(), message_finished=False),
            TextMessage(SIP[50:].decode()),
            cuts=tuple(range(1, len(SIP))),
        )
        (item,) = self.browser.items
        self.assertIsInstance(item, Message)

    def test_ours_are_text(self) -> None:
        """Scripts in a browser get a string, and bytes only where there is no text."""
        self.browser.take(self.browser.framing.pack(SIP))
        self.browser.take(self.browser.framing.pack(b"\xff"))
        text, binary = self.browser.events
        assert isinstance(text, TextMessage)
        self.assertEqual(SIP, text.data.encode())
        self.assertIsInstance(binary, BytesMessage)

    def test_keep_alives_of_both_kinds(self) -> None:
        """Line ends are SIP's own, ping and pong are WebSocket's."""
        self.browser.send(TextMessage("\r\n\r\n"), Ping(b"7"))
        self.assertEqual([KeepAlive.PING], self.browser.items)
        self.assertEqual([Pong(bytearray(b"7"))], self.browser.events)

    def test_garbled_message_is_only_that(self) -> None:
        """WebSocket keeps the borders, so the next message is fine."""
        self.browser.send(TextMessage("no SIP"), TextMessage(SIP.decode()))
        self.assertIsInstance(self.browser.items[0], ParseError)
        self.assertIsInstance(self.browser.items[1], Message)

    def test_endless_message_ends_the_connection(self) -> None:
        """In small frames too."""
        for _ in range(80):
            if self.browser.framing.end:
                break
            self.browser.send(TextMessage("x" * 1000, message_finished=False))
        self.assertEqual("message too big", self.browser.framing.end)
        (event,) = self.browser.events
        assert isinstance(event, CloseConnection)
        self.assertEqual(1009, event.code)

    def test_good_bye_is_returned(self) -> None:
        """The peer closes properly."""
        self.browser.send(CloseConnection(1000))
        self.assertEqual("peer closed", self.browser.framing.end)
        self.assertIsInstance(self.browser.events[0], CloseConnection)

    def test_broken_frames_end_the_connection(self) -> None:
        """An unmasked frame of a client is an attack or a fault."""
        self.browser.give(b"\x81\x02hi")
        self.assertEqual("WebSocket error", self.browser.framing.end)


class TransportTests(SynchronousTestCase):
    """The framing under the transports."""

    def test_browser_registers_and_is_answered(self) -> None:
        """Answers take the WebSocket of their request."""
        setting = Setting()
        stream, wire = setting.accept("WS")
        browser = Browser()
        stream.dataReceived(browser.socket.send(Request("x", "/", subprotocols=["sip"])))
        browser.take(wire.take())
        stream.dataReceived(browser.socket.send(TextMessage(SIP.decode())))
        ((message, hop),) = setting.core.messages
        self.assertEqual("WS", hop.transport)
        setting.transports.send(message.response(200), hop)  # type: ignore[attr-defined]
        browser.take(wire.take())
        answer = browser.events[-1]
        assert isinstance(answer, TextMessage)
        self.assertTrue(answer.data.startswith("SIP/2.0 200"))

    def test_refused_browser_is_told_before_the_end(self) -> None:
        """The refusal leaves before the connection closes."""
        setting = Setting()
        stream, wire = setting.accept("WS")
        stream.dataReceived(Browser().socket.send(Request("x", "/")))
        self.assertTrue(wire.take().startswith(b"HTTP/1.1 400"))
        self.assertTrue(wire.disconnecting)

    def test_answer_after_the_good_bye(self) -> None:
        """What is asked in one breath with a good-bye, or a fault, has no answer and no fault."""
        for end in (b"", b"\x81\x02hi"):
            setting = Setting()
            stream, wire = setting.accept("WS")
            browser = Browser()
            client = browser.socket
            stream.dataReceived(client.send(Request("x", "/", subprotocols=["sip"])))
            browser.take(wire.take())
            received = setting.core.received

            def answer(
                message: Message,
                hop: Hop,
                received: Callable[[Message, Hop], None] = received,
                setting: Setting = setting,
            ) -> None:
                received(message, hop)
                setting.transports.send(message.response(200), hop)  # type: ignore[attr-defined]

            setting.core.received = answer  # type: ignore[method-assign]
            ping = client.send(TextMessage("\r\n\r\n"))
            asked = client.send(TextMessage(SIP.decode()))
            stream.dataReceived(asked + ping + (end or client.send(CloseConnection(1000))))
            self.assertEqual(1, len(setting.core.messages))
            self.assertEqual(1, setting.transports.totals.failed["answer not sent"])
            self.assertTrue(wire.disconnecting)
