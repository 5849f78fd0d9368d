"""HTTPS on http-port, on IPv4 and IPv6 at once, under certificates of the operator's own."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from b2bua.net.tls import OwnCertificate
from suite.cli import environment, twistd_command
from tests.namespaces import Namespace, may_make_namespaces, network_namespace
from tests.peers import CHECKOUT, judge_suite
from tests.programs import RunningProgram, lack, running
from tests.sipnet.authority import Authority, address

HOSTS = ("192.0.2.1", "2001:db8:86::1")
ADDRESSES = (f"{HOSTS[0]}/24", f"{HOSTS[1]}/64")
PORT = 8086
ORIGIN = "https://agents.example.com"
CONFIGURATION = """
[suite]
turn = false
web = false
status-address = 127.0.0.1
state-directory = {folder}
[rsmp]
allow-ipv6 = true
sip-address = 127.0.0.1
sip-proxy = 127.0.0.2
sip-register = 1000-1999
http-port = 8086
enable-https = true
https-cert = {own.certificate}
https-cert-key = {own.key}
{more}
domain-whitelist = https://*.example.com
web-ice-addresses = 192.0.2.1
[gateway]
address = 192.0.2.1
address = 2001:db8:86::1
[log]
verbose = debug
all = stdout
"""


class Certificates:
    """An authority that signs by another one, as public ones do, and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.root = Authority(folder, "root")
        self.issuing = Authority(folder, "issuing", self.root)
        self.stranger = Authority(folder, "stranger")
        self.own = self.issuing.issue(address(*HOSTS))


def trusting(authority: Authority, client: OwnCertificate | None = None) -> ssl.SSLContext:
    """Of a browser that trusts this one alone, and has a certificate of its own, or none."""
    context = ssl.create_default_context(cafile=str(authority.path))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


class HttpsTests(SynchronousTestCase):
    """One suite for all, with ``https-trusted-ca``."""

    space: ClassVar[Namespace]
    certificates: ClassVar[Certificates]
    _stack: ClassVar[ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        """Start it in a network of its own."""
        cls._stack = ExitStack()
        lack(None if may_make_namespaces() else "only root can make a network of its own")
        with ExitStack() as stack:
            cls.space = stack.enter_context(network_namespace(ADDRESSES))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="webrtc-suite-test-"))
            cls.certificates = Certificates(Path(folder))
            chain = f"https-trusted-ca = {cls.certificates.issuing.path}"
            stack.enter_context(cls.started(Path(folder), chain))
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        """End it."""
        cls._stack.close()

    @classmethod
    @contextmanager
    def started(cls, folder: Path, more: str) -> Iterator[RunningProgram]:
        """The suite, until the end of the block."""
        configuration = folder / "suite.conf"
        own = cls.certificates.own
        configuration.write_text(CONFIGURATION.format(folder=folder, own=own, more=more))
        command = cls.space.command(*twistd_command(["--config", str(configuration)]))
        variables = {**environment(os.environ, CHECKOUT), "HOME": str(folder)}
        with running(command, folder / "log", variables) as program:
            program.wait_for(lambda: all(cls.is_open(host) for host in HOSTS), "open", 60)
            program.wait_for(lambda: "05060" in program.log(), "started")
            yield program
            judge_suite(program, program.stop(), ())

    @classmethod
    def is_open(cls, host: str) -> bool:
        """Whether the port takes connections."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with cls.space.inside(), socket.socket(family) as probe:
            return probe.connect_ex((host, PORT)) == 0

    def ask(self, context: ssl.SSLContext, host: str, target: str) -> tuple[int, str, str]:
        """A page's request: status, text and cookie. Raises ssl.SSLError."""
        with self.space.inside():
            connection = http.client.HTTPSConnection(host, PORT, timeout=5, context=context)
            try:
                connection.request("GET", target, headers={"Origin": ORIGIN})
                answer = connection.getresponse()
                cookie = answer.headers.get("Set-Cookie", "")
                return answer.status, answer.read().decode(), cookie
            finally:
                connection.close()

    def signs_in(self, context: ssl.SSLContext, host: str, user: str) -> None:
        """Both requests are answered, and the cookie is for pages of other sites."""
        self.assertEqual((200, "up"), self.ask(context, host, "/ping")[:2])
        status, text, cookie = self.ask(context, host, f"/sign_in?{user}")
        self.assertEqual(200, status)
        self.assertRegex(text, r"\Asid=[0-9a-f]{32}")
        for word in ("Secure", "SameSite=None", "HttpOnly"):
            self.assertIn(word, cookie)

    def test_both_versions(self) -> None:
        """Pages sign in over either version of IP, knowing nobody but the root."""
        for number, host in enumerate(HOSTS):
            self.signs_in(trusting(self.certificates.root), host, f"110{number}")

    def test_not_trusted(self) -> None:
        """Who knows another authority only is told so, on both."""
        for host in HOSTS:
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.ask(trusting(self.certificates.stranger), host, "/ping")

    def test_chain(self) -> None:
        """Without https-trusted-ca the issuing authority is not sent, and the root is not found."""
        with (
            network_namespace(ADDRESSES) as space,
            tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as folder,
        ):
            self.patch(type(self), "space", space)
            with self.started(Path(folder), ""):
                for host in HOSTS:
                    with self.assertRaises(ssl.SSLCertVerificationError):
                        self.ask(trusting(self.certificates.root), host, "/ping")
                    known = trusting(self.certificates.root)
                    known.load_verify_locations(self.certificates.issuing.path)
                    self.assertEqual(200, self.ask(known, host, "/ping")[0])

    def test_client_certificates(self) -> None:
        """https-trusted-ca asks nobody for a certificate: any serves as well as none."""
        issuing, stranger = self.certificates.issuing, self.certificates.stranger
        shown = (None, issuing.issue([]), stranger.issue([]))
        for number, client in enumerate(shown):
            for host in HOSTS:
                self.signs_in(trusting(self.certificates.root, client), host, f"111{number}")

    def test_plain(self) -> None:
        """Who asks over plain HTTP is sent to HTTPS on the same port, and served nothing."""
        for host in HOSTS:
            with self.space.inside():
                connection = http.client.HTTPConnection(host, PORT, timeout=5)
                try:
                    connection.request("GET", "/ping", headers={"Origin": ORIGIN})
                    answer = connection.getresponse()
                    place = f"[{host}]" if ":" in host else host
                    self.assertEqual(
                        (301, f"https://{place}:{PORT}/ping", b""),
                        (answer.status, answer.headers["Location"], answer.read()),
                    )
                finally:
                    connection.close()
