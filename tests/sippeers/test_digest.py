"""SIP Servers that want passwords: MD5 and SHA-256, of REGISTER and of INVITE."""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase

from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.conversation import Seen
from tests.sippeers.sipp import Run, Sipp, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

DN = "2001"
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]+))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class DigestTests(SynchronousTestCase):
    """SIPp challenges, and what answers it is computed here once more, by RFC 7616."""

    def stage(self, scenario: str, stack: ExitStack) -> tuple[Sipp, Suite]:
        """A SIP Server that plays a scenario until it is dismissed, and the suite before it."""
        server = Endpoint(own_address())
        playing = stack.enter_context(
            sipp(Run(scenario=scenario, at=server, calls=None, timeout=60))
        )
        return playing, stack.enter_context(suite(Config(servers=(server,))))

    def phone(self, one: Suite) -> Endpoint:
        """A phone that registers with us, upon which its DN is registered with the server."""
        at = Endpoint(own_address())
        play(Run(scenario="phone-registers", at=at, to=one.at, service=DN, password=PASSWORD))
        one.until_said(f'dn-registered dn="{DN}"')
        return at

    def assert_answers(self, challenge: Seen, answer: Seen, field: str) -> None:
        """The second request answers the first one's challenge, with the CSeq after it."""
        wanted = _parameters(challenge.header(field))
        given = _parameters(
            answer.header(field.replace("WWW-", "").replace("Authenticate", "Authorization"))
        )
        self.assertEqual(given["nonce"], wanted["nonce"])
        self.assertEqual(given["opaque"], wanted["opaque"])
        self.assertEqual(given["algorithm"], wanted["algorithm"])
        self.assertEqual(given["username"], DN)
        self.assertEqual(given["response"], _response(given, answer.name))
        before, after = (int(m.header("CSeq").split()[0]) for m in (challenge, answer))
        self.assertEqual(after, before + 1)

    def registers(self, algorithm: str) -> None:
        """REGISTER is challenged and comes again."""
        with ExitStack() as stack:
            server, one = self.stage(f"server-challenges-{algorithm}", stack)
            self.phone(one)
            said = server.conversation
        challenge = said.sent("401 REGISTER")[0]
        answer = said.received("REGISTER")[1]
        self.assert_answers(challenge, answer, "WWW-Authenticate")
        self.assertNotIn(PASSWORD, "".join(m.text for m in said.messages))

    def test_register_md5(self) -> None:
        """MD5 of REGISTER."""
        self.registers("md5")

    def test_register_sha256(self) -> None:
        """SHA-256 of REGISTER."""
        self.registers("sha256")

    def invites(self, algorithm: str) -> None:
        """INVITE is challenged, acknowledged, and comes again with the answer."""
        with ExitStack() as stack:
            server, one = self.stage(f"callee-challenges-{algorithm}", stack)
            phone = self.phone(one)
            options = ("-d", "200")
            run = Run(scenario="call", at=phone, to=one.at, own=DN, service="4000", options=options)
            play(run)
            said = server.conversation
        first, second = said.received("INVITE")
        self.assert_answers(said.sent("407 INVITE")[0], second, "Proxy-Authenticate")
        self.assertEqual(first.header("Call-ID"), second.header("Call-ID"))
        self.assertNotEqual(first.header("Via"), second.header("Via"))

    def test_invite_md5(self) -> None:
        """MD5 of INVITE."""
        self.invites("md5")

    def test_invite_sha256(self) -> None:
        """SHA-256 of INVITE."""
        self.invites("sha256")


def _parameters(header: str) -> dict[str, str]:
    return {key: quoted or plain for key, quoted, plain in _PARAMETER.findall(header)}


def _response(given: dict[str, str], method: str) -> str:
    def digest(*parts: str) -> str:
        return _HASHES[given["algorithm"]](":".join(parts).encode()).hexdigest()

    secret = digest(DN, given["realm"], PASSWORD)
    request = digest(method, given["uri"])
    return digest(secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], request)
