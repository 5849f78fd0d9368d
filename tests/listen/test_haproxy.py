"""A real haproxy in front of a real port, on loopback."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from suite.admission import Admission, ListenLimits
from suite.listen import StreamListener
from suite.settings import TcpListen
from suite.tls import TlsContexts
from tests.listen.streams import BINDING, own_certificate
from tests.programs import require_program
from turn.five_tuple import FiveTuple

LOOPBACK = ip_network("127.0.0.0/8")
CLIENT_HOST = "127.0.0.77"
TIMEOUT = 20

CONFIGURATION = """
global
    maxconn 50
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen one
    bind fd@{one}
    server relay 127.0.0.1:{port} send-proxy check check-send-proxy inter 200ms
listen two
    bind fd@{two}
    server relay 127.0.0.1:{port} send-proxy-v2 check check-send-proxy inter 200ms
"""


class Mirror(Protocol):
    """Tells the client who the relay thinks it is, once a whole message has come."""

    def __init__(self, five_tuple: FiveTuple) -> None:
        self._five_tuple = five_tuple
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer a Binding request with an address."""
        assert self.transport is not None
        self._received += data
        if self._received == BINDING:
            seen = self._five_tuple
            peer = self.transport.getPeer()
            self.transport.write(f"{seen.transport} {seen.client} {peer.host}".encode())
            self.transport.loseConnection()


class HaproxyTests(TestCase):
    """``send-proxy`` and ``send-proxy-v2`` of Debian's haproxy."""

    timeout: ClassVar[int] = 60

    def setUp(self) -> None:
        """Start a listener that trusts loopback, and haproxy before it."""
        program = require_program("haproxy")
        clock = cast(IReactorTime, reactor)
        self.admission = Admission(ListenLimits(), clock)
        self.listener = StreamListener(
            TcpListen(address=("127.0.0.1", 0), proxy_from=(LOOPBACK,)),
            turn=Mirror,
            web=None,
            tls=TlsContexts(own_certificate().settings),
            clock=clock,
            limits=self.admission,
            reactor=cast(IReactorFDSet, reactor),
        )
        self.listener.start()
        self.addCleanup(self.stop_listener)
        self.start_haproxy(program)

    def start_haproxy(self, program: str) -> None:
        """Give haproxy two sockets that listen already, so no port can be taken in between."""
        one, two = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.ports = {"one": one.getsockname()[1], "two": two.getsockname()[1]}
        folder = Path(tempfile.mkdtemp(prefix="listen-test-"))
        self.addCleanup(shutil.rmtree, folder)
        configuration = folder / "haproxy.cfg"
        configuration.write_text(
            CONFIGURATION.format(one=one.fileno(), two=two.fileno(), port=self.listener.port)
        )
        self.haproxy = subprocess.Popen(
            [program, "-db", "-q", "-f", str(configuration)],
            pass_fds=(one.fileno(), two.fileno()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        one.close()
        two.close()
        self.addCleanup(self.stop_haproxy)

    def stop_haproxy(self) -> None:
        """End the process that ``setUp`` started."""
        self.haproxy.kill()
        self.haproxy.wait(TIMEOUT)

    def stop_listener(self) -> Deferred[None]:
        """Free the port."""
        self.listener.disconnect()
        return self.listener.stop()

    @inlineCallbacks
    def test_both_versions(self) -> object:
        """The relay sees the client's address, not haproxy's, in the clear and inside TLS."""
        for name in ("one", "two"):
            for secure in (False, True):
                answer, address = yield deferToThread(ask, self.ports[name], secure)
                transport = "TLS" if secure else "TCP"
                self.assertEqual(answer, f"{transport} {address} {CLIENT_HOST}")
        self.assertEqual(self.admission.refused, {})

    @inlineCallbacks
    def test_without_haproxy(self) -> object:
        """A client that comes to the port itself is closed without an answer."""
        answer, _ = yield deferToThread(ask, self.listener.port, False)
        self.assertEqual(answer, "")
        self.assertEqual(self.admission.refused["bad PROXY header"], 1)


def ask(port: int, secure: bool) -> tuple[str, tuple[str, int]]:
    """Connect from an address of our own, send a request and return the answer."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT, (CLIENT_HOST, 0)) as plain:
        stream = _client_context().wrap_socket(plain) if secure else plain
        with stream:
            address = plain.getsockname() if not secure else stream.getsockname()
            try:
                stream.sendall(BINDING)
                answer = b"".join(iter(lambda: stream.recv(4096), b""))
            except ConnectionResetError:
                return "", address
            return answer.decode(), address


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(own_certificate().settings.certificate.parent / "ca.pem")
    return context
