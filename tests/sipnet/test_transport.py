"""Which way messages take: connections, answers, long requests, limits. All in memory."""

from __future__ import annotations

import errno

from twisted.internet.error import ConnectBindError
from twisted.trial.unittest import SynchronousTestCase

from b2bua.net import transport as transport_module
from b2bua.net.limits import TransportLimits
from b2bua.net.listening import SipListen
from b2bua.net.opening import LocalPorts
from b2bua.net.transport import Access, Outgoing
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request
from tests.sipnet.wires import PHONE, SERVER, DatagramSocket, Setting, request

TCP = Hop("TCP", *SERVER)
UDP = Hop("UDP", *SERVER)


class OutgoingTests(SynchronousTestCase):
    """Requests of ours over connections."""

    def test_one_connection_serves_many_requests(self) -> None:
        """What is sent while it opens waits, in order; later requests take the same connection."""
        setting = Setting()
        setting.transports.send(request("TCP", branch="z9hG4bK1"), TCP)
        setting.transports.send(request("TCP", branch="z9hG4bK2"), TCP)
        wire = setting.connect()
        setting.transports.send(request("TCP", branch="z9hG4bK3"), TCP)
        sent = wire.take()
        self.assertEqual(1, len(setting.reactor.tcpClients))
        self.assertLess(sent.index(b"z9hG4bK1"), sent.index(b"z9hG4bK2"))
        self.assertLess(sent.index(b"z9hG4bK2"), sent.index(b"z9hG4bK3"))

    def test_answers_come_with_the_number_of_the_connection(self) -> None:
        """Two connections to one server are told apart."""
        setting = Setting()
        setting.transports.send(request("TCP"), TCP)
        wire = setting.connect()
        answer = request("TCP").response(200).render()
        assert wire._protocol is not None
        wire._protocol.dataReceived(answer)
        ((_, hop),) = setting.core.messages
        self.assertEqual(("TCP", *SERVER), (hop.transport, hop.host, hop.port))
        self.assertNotEqual(0, hop.flow)

    def test_refused_connection_is_told_once_and_later(self) -> None:
        """The core hears of it in a turn of its own, and not for each request that waited."""
        setting = Setting()
        for number in range(3):
            setting.transports.send(request("TCP", branch=f"z9hG4bK{number}"), TCP)
        setting.refuse()
        self.assertEqual([], setting.core.failures)
        setting.turn()
        ((hop, reason),) = setting.core.failures
        self.assertEqual("connection refused", reason)
        self.assertTrue(TCP.is_along(hop))

    def test_dead_server_is_not_hammered(self) -> None:
        """For half a second after a refusal requests fail without another attempt."""
        setting = Setting()
        setting.transports.send(request("TCP"), TCP)
        setting.refuse()
        setting.turn()
        setting.transports.send(request("TCP"), TCP)
        setting.turn()
        self.assertEqual(1, len(setting.reactor.tcpClients))
        self.assertEqual("no connection", setting.core.failures[-1][1])
        setting.clock.advance(0.5)
        setting.transports.send(request("TCP"), TCP)
        self.assertEqual(2, len(setting.reactor.tcpClients))

    def test_lost_connection_fails_its_requests_and_is_opened_again(self) -> None:
        """After a reset the next request opens a new connection at once."""
        setting = Setting()
        setting.transports.send(request("TCP"), TCP)
        wire = setting.connect()
        wire.abortConnection()
        setting.turn()
        setting.turn()
        self.assertEqual(["connection lost"], [reason for _, reason in setting.core.failures])
        setting.transports.send(request("TCP", branch="z9hG4bKnew"), TCP)
        self.assertIn(b"z9hG4bKnew", setting.connect().take())

    def test_what_waits_is_bounded(self) -> None:
        """A server that lets us wait does not fill our memory."""
        setting = Setting(limits=TransportLimits(waiting_messages=2))
        for number in range(3):
            setting.transports.send(request("TCP", branch=f"z9hG4bK{number}"), TCP)
        setting.turn()
        self.assertEqual(["too much waits"], [reason for _, reason in setting.core.failures])

    def test_taken_local_port_is_passed_over(self) -> None:
        """Connections leave from the configured address and the next free port of the range."""
        outgoing = Outgoing(host="192.0.2.1", ports=LocalPorts(7000, 7001))
        setting = Setting(outgoing=outgoing)
        setting.transports.send(request("TCP"), TCP)
        setting.refuse(reason=ConnectBindError())
        binds = [client[4] for client in setting.reactor.tcpClients]
        self.assertEqual([("192.0.2.1", 7000), ("192.0.2.1", 7001)], binds)
        setting.refuse(reason=ConnectBindError())
        setting.turn()
        self.assertEqual(["no local port free"], [reason for _, reason in setting.core.failures])

    def test_tls_needs_to_be_configured(self) -> None:
        """Nothing that should be secure is ever sent in the clear."""
        setting = Setting()
        setting.transports.send(request("TLS"), Hop("TLS", *SERVER))
        setting.turn()
        self.assertEqual([], setting.reactor.tcpClients)
        self.assertEqual(["no connection"], [reason for _, reason in setting.core.failures])

    def test_stopping_tells_nothing_more(self) -> None:
        """After the end the core is left in peace."""
        setting = Setting()
        setting.transports.send(request("TCP"), TCP)
        setting.connect()
        setting.transports.stop()
        setting.clock.advance(10)
        self.assertEqual([], setting.core.failures)
        self.assertEqual([], setting.clock.getDelayedCalls())


class AnswerTests(SynchronousTestCase):
    """Responses find their way back."""

    def test_answer_takes_the_connection_of_its_request(self) -> None:
        """Also when other connections lead to the same peer."""
        setting = Setting()
        first, wire = setting.accept()
        _, other = setting.accept()
        first.dataReceived(request("TCP").render())
        ((message, hop),) = setting.core.messages
        assert isinstance(message, Request)
        setting.transports.send(message.response(200), hop)
        self.assertTrue(wire.take().startswith(b"SIP/2.0 200"))
        self.assertEqual(b"", other.take())

    def test_answer_opens_a_connection_where_its_own_is_gone(self) -> None:
        """To the address that the request came from and the port in its Via."""
        setting = Setting()
        stream, wire = setting.accept()
        stream.dataReceived(request("TCP", sent_by="pbx.example:5070").render())
        wire.abortConnection()
        setting.turn()
        ((message, hop),) = setting.core.messages
        assert isinstance(message, Request)
        setting.transports.send(message.response(200), hop)
        self.assertEqual((PHONE[0], 5070), setting.reactor.tcpClients[0][:2])
        self.assertTrue(setting.connect().take().startswith(b"SIP/2.0 200"))

    def test_browser_that_is_gone_gets_no_answer(self) -> None:
        """Nobody can connect to a browser."""
        setting = Setting()
        hop = Hop("WSS", *PHONE, 99)
        setting.transports.send(request("WSS").response(200), hop)
        self.assertEqual([], setting.reactor.tcpClients)
        self.assertEqual(1, setting.transports.totals.failed["answer not sent"])

    def test_unreadable_request_on_a_stream_is_answered(self) -> None:
        """The stream stays in step, so the sender learns what is wrong."""
        setting = Setting()
        stream, wire = setting.accept()
        data = request("TCP").render().replace(b"CSeq: 1 OPTIONS", b"CSeq: one")
        stream.dataReceived(data + request("TCP").render())
        self.assertTrue(wire.take().startswith(b"SIP/2.0 400"))
        self.assertEqual(1, len(setting.core.messages))
        self.assertEqual(1, setting.transports.totals.malformed["value"])

    def test_stream_out_of_step_is_answered_and_closed(self) -> None:
        """Without Content-Length nobody knows where the next message begins."""
        setting = Setting()
        stream, wire = setting.accept()
        stream.dataReceived(request("TCP").render().replace(b"Content-Length: 0\r\n", b""))
        self.assertTrue(wire.take().startswith(b"SIP/2.0 400"))
        setting.turn()
        self.assertEqual(1, setting.transports.totals.closed["framing error"])


class AccessTests(SynchronousTestCase):
    """What strangers may do."""

    def test_strangers_are_few(self) -> None:
        """Above the limit connections are refused, but not those of configured peers."""
        limits = TransportLimits(strangers=2)
        setting = Setting(limits=limits, access=Access(is_known=lambda host: host == SERVER[0]))
        setting.accept()
        setting.accept()
        self.assertIsNone(setting.transports.accept("TCP", *PHONE))
        self.assertIsNotNone(setting.transports.accept("TCP", *SERVER))
        self.assertEqual(1, setting.transports.totals.refused["too many strangers"])

    def test_one_source_cannot_keep_others_out(self) -> None:
        """It may hold as many connections as it leaves free; an IPv6 network is one source."""
        setting = Setting(limits=TransportLimits(strangers=8))
        for _ in range(2):
            streams = [setting.accept(host=f"2001:db8::{n:x}")[1] for n in range(4)]
            setting.accept(host="2001:db8::a1")
            self.assertIsNone(setting.transports.accept("TCP", "2001:db8::ff", 5060))
            other, _ = setting.accept(host="203.0.113.9")
            for wire in streams:
                wire.abortConnection()
            setting.transports.authenticated(other.hop)
            setting.turn()
            for stream in setting.transports.flows:
                stream.abort("end")
            setting.turn()
        self.assertEqual(2, setting.transports.totals.refused["too many strangers"])

    def test_who_authenticates_makes_room(self) -> None:
        """A connection counts as a stranger's until its peer has proved who it is, or is gone."""
        setting = Setting(limits=TransportLimits(strangers=1))
        stream, wire = setting.accept()
        setting.transports.authenticated(stream.hop)
        setting.transports.authenticated(stream.hop)
        _, wire = setting.accept()
        wire.abortConnection()
        setting.turn()
        setting.accept()
        self.assertEqual(1, setting.transports.flows.strangers)

    def test_stranger_is_closed_after_thirty_seconds(self) -> None:
        """However busy; who has authenticated stays."""
        setting = Setting()
        _, idle = setting.accept()
        stream, kept = setting.accept()
        setting.transports.authenticated(stream.hop)
        setting.clock.advance(30)
        self.assertTrue(idle.disconnecting)
        self.assertFalse(kept.disconnecting)

    def test_connections_of_strangers_are_no_failures(self) -> None:
        """The core searches all its transactions for each failure: strangers cannot make it."""
        setting = Setting()
        _, wire = setting.accept()
        wire.abortConnection()
        setting.turn()
        setting.turn()
        self.assertEqual([], setting.core.failures)


class DatagramTests(SynchronousTestCase):
    """UDP, with a socket in memory."""

    def setUp(self) -> None:
        """Put a socket in memory in the place of a real one."""
        self.socket = DatagramSocket()
        self.patch(transport_module, "ReportingSocket", lambda host, port: self.socket)
        self.setting = Setting(
            listens=(SipListen("UDP", "192.0.2.1", 5066),),
            access=Access(is_known=lambda host: host == SERVER[0]),
        )

    def read(self) -> None:
        """Let the reactor find the socket readable, once."""
        (reader,) = self.setting.reactor.getReaders()
        reader.doRead()

    def test_answer_leaves_from_the_socket_to_the_source_port(self) -> None:
        """With rport, whatever port the Via names."""
        self.socket.arriving.append((request().render(), PHONE))
        self.read()
        ((message, hop),) = self.setting.core.messages
        assert isinstance(message, Request)
        self.setting.transports.send(message.response(200), hop)
        ((data, address),) = self.socket.sent
        self.assertEqual(PHONE, address)
        self.assertIn(b"rport=40000", data)

    def test_one_turn_reads_a_few_packets(self) -> None:
        """What is left keeps the socket readable: a flood does not hold the reactor."""
        self.socket.arriving = [(b"\r\n\r\n", PHONE)] * 100
        self.read()
        self.assertEqual(36, len(self.socket.arriving))

    def test_one_turn_is_short(self) -> None:
        """Two milliseconds are enough, however few packets that was."""
        self.setting.core.then = lambda message, hop: self.setting.clock.advance(0.0015)
        self.socket.arriving = [(request().render(), PHONE)] * 5
        self.read()
        self.assertEqual(3, len(self.socket.arriving))

    def test_fault_of_ours_leaves_the_socket_alive(self) -> None:
        """It is logged; the next datagram is read."""

        def fail(message: object, hop: Hop) -> None:
            raise RuntimeError("of the test")

        self.setting.core.then = fail
        self.socket.arriving = [(request().render(), PHONE)] * 2
        self.read()
        self.assertEqual(2, len(self.setting.core.messages))
        self.assertEqual(2, len(self.flushLoggedErrors(RuntimeError)))

    def test_closed_port_of_a_server_is_told(self) -> None:
        """ICMP says so, long before any timer."""
        self.setting.transports.send(request(), UDP)
        self.socket.arriving = [ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
        self.socket.errors = [(errno.ECONNREFUSED, SERVER)]
        self.read()
        self.setting.turn()
        self.assertEqual([(UDP, "port unreachable")], self.setting.core.failures)

    def test_icmp_about_answers_is_no_failure(self) -> None:
        """Where nothing was asked, nobody waits."""
        self.socket.arriving = [ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
        self.socket.errors = [(errno.ECONNREFUSED, PHONE)]
        self.read()
        self.setting.turn()
        self.assertEqual([], self.setting.core.failures)

    def test_error_of_an_earlier_packet_does_not_stop_this_one(self) -> None:
        """The kernel reports it on the next send, which is then repeated."""
        other = Hop("UDP", "192.0.2.11", 5060)
        self.setting.transports.send(request(), UDP)
        self.socket.sending = [ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
        self.socket.errors = [(errno.ECONNREFUSED, SERVER)]
        self.setting.transports.send(request(), other)
        self.setting.turn()
        self.assertEqual([SERVER, (other.host, other.port)], [to for _, to in self.socket.sent])
        self.assertEqual([(UDP, "port unreachable")], self.setting.core.failures)

    def test_no_route_is_told(self) -> None:
        """At once, though not from within send."""
        self.socket.sending = [OSError(errno.ENETUNREACH, "unreachable")]
        self.setting.transports.send(request(), UDP)
        self.assertEqual([], self.setting.core.failures)
        self.setting.turn()
        self.assertEqual([(UDP, "network unreachable")], self.setting.core.failures)

    def test_full_buffer_is_no_failure(self) -> None:
        """The transaction repeats its request anyway."""
        self.socket.sending = [BlockingIOError(errno.EAGAIN, "later")]
        self.setting.transports.send(request(), UDP)
        self.setting.turn()
        self.assertEqual([], self.setting.core.failures)

    def test_strangers_get_no_answer_to_what_cannot_be_read(self) -> None:
        """Their address may be forged; a configured server is told what was wrong."""
        broken = request().render().replace(b"CSeq: 1 OPTIONS", b"CSeq: one")
        self.socket.arriving = [(broken, PHONE), (broken, SERVER)]
        self.read()
        ((data, address),) = self.socket.sent
        self.assertEqual(SERVER, address)
        self.assertTrue(data.startswith(b"SIP/2.0 400"))

    # Requests that are too long for UDP.

    def send_long(self, branch: str = "z9hG4bKlong", method: str = "INVITE") -> Request:
        """Send what UDP would have to fragment."""
        message = request(method=method, branch=branch, body=b"v=0\r\n" * 400)
        self.setting.transports.send(message, UDP)
        return message

    def test_long_request_goes_by_tcp(self) -> None:
        """And says so in its Via."""
        self.send_long()
        self.assertEqual([], self.socket.sent)
        self.assertEqual(SERVER, self.setting.reactor.tcpClients[0][:2])
        data = self.setting.connect().take()
        self.assertIn(b"Via: SIP/2.0/TCP 192.0.2.1:5066;branch=z9hG4bKlong", data)

    def test_cancel_follows_its_invite(self) -> None:
        """It is short, but another server of the cluster might get it by UDP."""
        self.send_long()
        wire = self.setting.connect()
        self.setting.transports.send(request(method="CANCEL", branch="z9hG4bKlong"), UDP)
        self.assertEqual([], self.socket.sent)
        self.assertIn(b"CANCEL", wire.take())

    def test_refused_tcp_falls_back_to_udp(self) -> None:
        """The request still goes, and the refusal is remembered for a while."""
        message = self.send_long()
        self.setting.refuse()
        self.setting.turn()
        self.assertEqual([(message.render(), SERVER)], self.socket.sent)
        self.assertEqual([], self.setting.core.failures)
        self.setting.clock.advance(10)
        self.send_long("z9hG4bKnext")
        self.assertEqual(2, len(self.socket.sent))
        self.assertEqual(1, len(self.setting.reactor.tcpClients))
        self.setting.clock.advance(300)
        self.send_long("z9hG4bKlater")
        self.assertEqual(2, len(self.setting.reactor.tcpClients))

    def test_repeated_request_waits_once(self) -> None:
        """The transaction knows of UDP only and repeats what has not even left."""
        message = self.send_long()
        self.setting.transports.send(message, UDP)
        self.assertEqual(1, self.setting.connect().take().count(b"INVITE sip:"))

    def test_long_answer_stays_on_udp(self) -> None:
        """An answer takes the way of its request, whatever its length."""
        self.socket.arriving.append((request().render(), PHONE))
        self.read()
        ((message, hop),) = self.setting.core.messages
        assert isinstance(message, Request)
        response = message.response(200, body=b"v=0\r\n" * 400)
        self.setting.transports.send(response, hop)
        self.assertEqual(1, len(self.socket.sent))


class SentByTests(SynchronousTestCase):
    """What a Via shows."""

    def test_each_transport_shows_its_own_listener(self) -> None:
        """With the advertised host where one is set, IPv6 in brackets."""
        setting = Setting(
            listens=(
                SipListen("TCP", "0.0.0.0", 5066, "sip.example"),
                SipListen("TCP", "192.0.2.1", 5067),
            )
        )
        self.assertEqual("sip.example:5066", setting.transports.sent_by(TCP))
        self.assertEqual("sip.example:5066", setting.transports.sent_by(Hop("TLS", *SERVER)))
        self.assertEqual("[2001:db8::1]:5060", SipListen("UDP", "2001:db8::1", 0).sent_by(5060))

    def test_nobody_can_answer_to_a_wildcard(self) -> None:
        """Listening everywhere needs an address to advertise."""
        self.assertRaises(ValueError, SipListen, "UDP", "0.0.0.0", 5066)
