"""``webrtc-suite check`` as far as it needs no network."""

import argparse
import errno
import json
import os
import ssl
from io import StringIO
from unittest.mock import patch

from aioice import stun
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from suite import check
from suite.check_nat import CountingSocket, describe
from suite.check_probe import Outcome, judge
from suite.check_relay import Exchange
from suite.check_report import Report
from suite.check_target import Target, parse_target
from suite.check_verdict import Stage, explain, printable
from suite.web.credentials import Credential, rest_credential
from tests.browser.run import temporary_folder
from turn.five_tuple import Transport

SERVER = ("turn.example.net", 443)
UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS


class TargetTests(SynchronousTestCase):
    """What may be typed as the server."""

    def test_forms(self) -> None:
        """A URI names its transports; a plain host means all of them."""
        for text, target in {
            "turn:h:443": Target("h", 443, (UDP, TCP)),
            "turn:h": Target("h", 3478, (UDP, TCP)),
            "TURN:h?transport=TCP": Target("h", 3478, (TCP,)),
            "turn:h:1?transport=udp": Target("h", 1, (UDP,)),
            "turns:h": Target("h", 5349, (TLS,)),
            "turns:h:443?transport=tcp": Target("h", 443, (TLS,)),
            "h": Target("h", 443, (UDP, TCP, TLS)),
            "h:8443": Target("h", 8443, (UDP, TCP, TLS)),
            "[2001:db8::1]:443": Target("2001:db8::1", 443, (UDP, TCP, TLS)),
            "turn:[::1]": Target("::1", 3478, (UDP, TCP)),
        }.items():
            self.assertEqual(parse_target(text), target)

    def test_mistakes(self) -> None:
        """A mistake is a sentence, not a guess."""
        for text in ("", "http://h/", "turn:", "h:0", "h:65536", "h:x", "a b", "turn:h?x=y", "::1"):
            with self.assertRaises(ValueError):
                parse_target(text)

    def test_ipv6_is_written_in_brackets(self) -> None:
        """Messages show an IPv6 server the way it is typed."""
        self.assertEqual(str(parse_target("turn:[::1]:9")), "[::1]:9")


class ExplainTests(SynchronousTestCase):
    """Failures in words."""

    def refusal(self, code: int, phrase: str = "no") -> stun.TransactionFailed:
        """Make the client library's error for a server's refusal."""
        response = stun.Message(stun.Method.ALLOCATE, stun.Class.ERROR)
        response.attributes["ERROR-CODE"] = (code, phrase)
        return stun.TransactionFailed(response)

    def test_refused_by_network(self) -> None:
        """A closed port is told apart by transport."""
        error = ConnectionRefusedError()
        self.assertIn("refuses UDP", explain(error, Stage.CONNECTING, UDP, SERVER))
        self.assertIn("refuses TCP", explain(error, Stage.CONNECTING, TLS, SERVER))

    def test_silence(self) -> None:
        """How far the check came decides what silence means."""
        words = {
            (Stage.ALLOCATING, UDP): "firewall drops UDP to port 443",
            (Stage.CONNECTING, TCP): "firewall drops TCP to port 443",
            (Stage.SECURING, TLS): "does not answer TLS",
            (Stage.ALLOCATING, TCP): "does not answer as a TURN server",
            (Stage.RELAYING, UDP): "external-ip",
        }
        for (stage, transport), part in words.items():
            for error in (TimeoutError(), stun.TransactionTimeout()):
                self.assertIn(part, explain(error, stage, transport, SERVER))

    def test_refused_by_server(self) -> None:
        """The server's code is explained and shown."""
        words = explain(self.refusal(401, "Unauthorized"), Stage.ALLOCATING, UDP, SERVER)
        self.assertIn("user name", words)
        self.assertIn("(401 Unauthorized)", words)
        self.assertIn("user-quota", explain(self.refusal(486), Stage.ALLOCATING, UDP, SERVER))

    def test_peer_denied(self) -> None:
        """403 while data shall flow is about the peer, before that about the user."""
        denied = self.refusal(403)
        self.assertIn("its own relay address", explain(denied, Stage.RELAYING, UDP, SERVER))
        self.assertIn("this user", explain(denied, Stage.ALLOCATING, UDP, SERVER))

    def test_certificate(self) -> None:
        """Each fault of a certificate has its own remedy."""
        for code, part in {
            10: "Renew",
            18: "signed by nobody but itself",
            62: "another name",
        }.items():
            error = ssl.SSLCertVerificationError()
            error.verify_code, error.verify_message = code, "said \x1b[31mred"
            words = explain(error, Stage.SECURING, TLS, SERVER)
            self.assertIn(part, words)
            self.assertNotIn("\x1b", words)

    def test_not_tls(self) -> None:
        """A port that speaks something else is not called untrusted."""
        words = explain(ssl.SSLError(1, "wrong version"), Stage.SECURING, TLS, SERVER)
        self.assertIn("something else", words)

    def test_other_errors(self) -> None:
        """No error of the network or of the peer is without words."""
        unreachable = OSError(errno.ENETUNREACH, "x")
        self.assertIn("no way", explain(unreachable, Stage.CONNECTING, UDP, SERVER))
        reset = ConnectionResetError()
        self.assertIn("closed the connection", explain(reset, Stage.ALLOCATING, TCP, SERVER))
        self.assertIn("no sense", explain(ValueError("x"), Stage.ALLOCATING, TCP, SERVER))

    @given(st.text())
    def test_printable(self, text: str) -> None:
        """What a server says cannot steer a terminal or fill it."""
        shown = printable(text)
        self.assertTrue(shown.isprintable())
        self.assertLessEqual(len(shown), 200)


class JudgeTests(SynchronousTestCase):
    """What the datagrams that came back mean."""

    def judged(self, numbers: range | list[int]) -> Outcome:
        """Judge an exchange of 20 in which these came back."""
        outcome = Outcome(UDP)
        judge(outcome, Exchange(20, {number: float(number) for number in numbers}))
        return outcome

    def test_all_back(self) -> None:
        """Nothing lost: works, with the median round trip."""
        outcome = self.judged(range(1, 21))
        self.assertEqual((outcome.works, outcome.verdict), (True, "Works."))
        self.assertEqual((outcome.sent, outcome.received, outcome.round_trip), (20, 20, 11.0))

    def test_some_lost(self) -> None:
        """Some loss still works, and is told."""
        outcome = self.judged(range(1, 18))
        self.assertTrue(outcome.works)
        self.assertIn("3 of 20", outcome.verdict)

    def test_large_ones_lost(self) -> None:
        """Only the small ones back: the MTU, and not a working relay."""
        outcome = self.judged(list(range(2, 21, 2)))
        self.assertFalse(outcome.works)
        self.assertIn("MTU", outcome.verdict)

    def test_nothing_back(self) -> None:
        """Nothing back is no working relay, although the first datagram was."""
        self.assertFalse(self.judged([]).works)


class NatTests(SynchronousTestCase):
    """The way to the server in words."""

    def test_words(self) -> None:
        """What is not known is not guessed."""
        local = ("192.0.2.1", 5)
        self.assertIn("does not answer", describe(local, None, None).sentence)
        self.assertIn("No NAT", describe(local, ("192.0.2.1", 5), None).sentence)
        shown = describe(local, ("198.51.100.1", 6), None).sentence
        self.assertIn("198.51.100.1:6", shown)
        self.assertIn("two addresses", shown)
        self.assertIn("symmetric", describe(local, ("198.51.100.1", 6), "Symmetric NAT").sentence)

    def test_no_endless_test(self) -> None:
        """pystun3 is stopped when it goes round in a circle."""
        with CountingSocket() as sock, patch("socket.socket.sendto", return_value=1):
            for _ in range(CountingSocket.MOST_SENT):
                sock.sendto(b"", SERVER)
            with self.assertRaises(RuntimeError):
                sock.sendto(b"", SERVER)


class ReportTests(SynchronousTestCase):
    """The table and the JSON."""

    def setUp(self) -> None:
        """Report on one transport that works and one that does not."""
        works = Outcome(
            UDP, True, ("198.51.100.1", 50000), ("192.0.2.1", 5), 12.3, 20, 20, 1.0, "Works."
        )
        fails = Outcome(TLS, verdict="It is broken.")
        nat = describe(("192.0.2.1", 5), ("192.0.2.1", 5), None)
        target = Target("turn.example.net", 443, (UDP, TLS))
        self.report = Report(target, "198.51.100.1", [works, fails], nat)

    def test_text(self) -> None:
        """Each transport has a line and a sentence."""
        text = self.report.as_text()
        self.assertIn("TURN check of turn.example.net:443 (198.51.100.1)\n", text)
        self.assertRegex(
            text, r"\nUDP +works +198\.51\.100\.1:50000 +12\.3 ms +20 of 20 +1\.0 ms\n"
        )
        self.assertRegex(text, r"\nTLS +FAILS +- +- +- +-\n")
        self.assertIn("\nTLS: It is broken.\n", text)

    def test_json(self) -> None:
        """Programs get the same."""
        answer = json.loads(self.report.as_json())
        self.assertFalse(answer["works"])
        self.assertEqual(answer["transports"][0]["relay"], "198.51.100.1:50000")
        self.assertEqual(answer["transports"][1]["verdict"], "It is broken.")
        self.assertIn("No NAT", answer["nat"]["sentence"])

    def test_works_only_if_all_do(self) -> None:
        """One transport that fails is a failure."""
        self.assertFalse(self.report.works)
        self.report.outcomes.pop()
        self.assertTrue(self.report.works)


class CredentialOptionTests(SynchronousTestCase):
    """Where the check takes its credential from."""

    def credential(self, *arguments: str, **environment: str) -> Credential | None:
        """Read a command line in an environment, without a terminal."""
        options: argparse.Namespace = check.parser().parse_args([*arguments, "h"])
        self.said = StringIO()
        with (
            patch.dict(os.environ, environment, clear=True),
            patch("sys.stderr", self.said),
            patch("sys.stdin", StringIO()),
            patch("suite.check.time.time", return_value=1000.0),
        ):
            return check.credential_from(options)

    def file(self, text: str) -> str:
        """Write a file for an option to name."""
        path = temporary_folder(self) / "file"
        path.write_text(text)
        return str(path)

    def test_environment_and_file(self) -> None:
        """A password from a file or the environment is used without a word."""
        expected = Credential("alice", "wonderland")
        self.assertEqual(self.credential("-u", "alice", TURN_PASSWORD="wonderland"), expected)
        name = self.file("wonderland\n")
        self.assertEqual(self.credential("-u", "alice", "--password-file", name), expected)
        self.assertEqual(self.said.getvalue(), "")

    def test_command_line_is_warned_of(self) -> None:
        """A password that other users can see is used, with a warning that does not repeat it."""
        credential = self.credential("-u", "alice", "-p", "wonderland")
        self.assertEqual(credential, Credential("alice", "wonderland"))
        self.assertIn("--password-file", self.said.getvalue())
        self.assertNotIn("wonderland", self.said.getvalue())

    def test_secret(self) -> None:
        """A secret makes a REST credential, for a user if one is named."""
        self.assertEqual(
            self.credential("-W", "north"), rest_credential("north", 1600, "check-page")
        )
        self.assertEqual(
            self.credential("-u", "bob", "--sha256", TURN_SECRET="north"),
            rest_credential("north", 1600, "bob", digest="sha256"),
        )

    def test_nothing_given(self) -> None:
        """Without a user the server is asked as an open one."""
        self.assertIsNone(self.credential())

    def test_mistakes(self) -> None:
        """Half a credential is a mistake, and an empty file is."""
        for arguments in (["-p", "x"], ["-u", "alice"], ["--secret-file", self.file("")]):
            with self.assertRaises(ValueError):
                self.credential(*arguments)


class MainTests(SynchronousTestCase):
    """Ends of the command before it reaches a network."""

    def run_main(self, *arguments: str) -> tuple[int, str]:
        """Run and give the exit code and what was said on stderr."""
        said = StringIO()
        with patch("sys.stderr", said), patch.dict(os.environ, {}, clear=True):
            return check.main(arguments), said.getvalue()

    def test_mistakes(self) -> None:
        """A mistake on the command line is exit code 2 and one line."""
        bad = temporary_folder(self) / "file"
        bad.write_text("no PEM")
        for arguments in (
            ["http://h/"],
            ["turn:h", "--ca", "/nonexistent/ca.pem"],
            ["turn:h", "--ca", str(bad)],
            ["turn:h", "-p", "x"],
        ):
            code, said = self.run_main(*arguments)
            self.assertEqual(code, check.MISUSED)
            self.assertEqual(said.splitlines()[-1][:19], "webrtc-suite check:")

    def test_unknown_name(self) -> None:
        """A name that does not resolve is told, without a traceback."""
        with patch("socket.getaddrinfo", side_effect=OSError("x")):
            code, said = self.run_main("turn:turn.invalid")
        self.assertEqual(code, check.MISUSED)
        self.assertNotIn("Traceback", said)

    def test_name_not_fit_for_dns(self) -> None:
        """A name with an overlong label is told like any other that is not found."""
        code, said = self.run_main(f"turn:{'a' * 64}.example.net")
        self.assertEqual(code, check.MISUSED)
        self.assertIn("was not found", said)
