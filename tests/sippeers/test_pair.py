"""A pair of Kamailios as the SIP Servers: found by the DNS, registered with, called through."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase

from tests.programs import require_program
from tests.sippeers.addresses import Endpoint, own_address
from tests.sippeers.baresip import Account, baresip
from tests.sippeers.dns_server import DOMAIN, Zone, dnsmasq
from tests.sippeers.kamailio import Settings, kamailio
from tests.sippeers.outages import DN, switches
from tests.sippeers.pair_outages import PairStage, by_name
from tests.sippeers.sipp import Run, play, sipp
from tests.sippeers.suite import PASSWORD, Config, Suite, suite

_ANSWER = re.compile(r'REGISTER of 2001: Digest .*[ ,]nonce="([^"]*)".*nc=([0-9a-f]{8})')


class SrvTests(SynchronousTestCase):
    """``sip-proxy-srv`` with dnsmasq as the name server."""

    def test_priorities(self) -> None:
        """The server with the lowest number is used first, whatever its name or address."""
        with ExitStack() as stack:
            stage = PairStage(
                stack,
                lambda at: by_name(stack.enter_context(dnsmasq(Zone(servers=at[::-1], ttl=60)))),
            )
            stage.sign_in()
            stage.call()
            self.assertEqual(len(stage.far[1].conversation.received("BYE")), 1)
            self.assertEqual(stage.far[0].conversation.messages, ())

    def test_next_after_a_failure(self) -> None:
        """The one with the next number takes over, as one that is listed by address does."""
        with ExitStack() as stack:
            stage = PairStage(
                stack, lambda at: by_name(stack.enter_context(dnsmasq(Zone(servers=at, ttl=60))))
            )
            stage.sign_in()
            stage.servers[0].kill()
            said = stage.call()
            seconds = stage.far_saw(1, "INVITE").at - said.sent("INVITE")[0].at
            self.assertLess(seconds, 0.5)

    def test_ttl(self) -> None:
        """What the DNS says is asked again when its time is over: a server that is gone is left."""
        with ExitStack() as stack:
            names = stack.enter_context(ExitStack())
            found: list[Endpoint] = []

            def config(at: Sequence[Endpoint]) -> Config:
                found.append(names.enter_context(dnsmasq(Zone(servers=at, ttl=2))))
                return by_name(found[0])

            stage = PairStage(stack, config)
            stage.sign_in()
            names.close()
            names.enter_context(dnsmasq(Zone(servers=stage.at[1:], ttl=60), at=found[0]))
            stage.suite.until_said(f"SIP Server {stage.at[1]} UDP is in use")
            stage.call()
            stage.far_saw(1, "BYE")
            self.assertEqual(len(switches(stage.suite)), 1)

    def test_name_in_routes(self) -> None:
        """
        The name of the pair in a Route, which no DNS has an address for, means the server in use.
        """
        with ExitStack() as stack:
            stage = PairStage(
                stack,
                lambda at: by_name(stack.enter_context(dnsmasq(Zone(servers=at, ttl=60)))),
                name=DOMAIN,
            )
            stage.sign_in()
            phone = Run(scenario="callee-hangs-up", at=stage.phone, service=DN, options=_PAUSE)
            answering = stack.enter_context(sipp(phone))
            caller = Endpoint(own_address())
            said = play(Run(scenario="caller-is-left", at=caller, to=stage.at[0], service=DN))
            answering.finish()
            answer = said.received("200 INVITE")[0]
            self.assertIn(f"<sip:{DOMAIN};", answer.header("Record-Route"))
            calling = stack.enter_context(sipp(stage.calling("call", 1.0)))
            stage.far_saw(0, "ACK")
            stage.servers[0].kill()
            calling.finish()
            self.assertIn(stage.at[1].host, stage.far_saw(0, "BYE").headers("Via")[0])


class RegistrationTests(SynchronousTestCase):
    """What Kamailio sees of our REGISTERs."""

    def test_nonce_is_used_again(self) -> None:
        """One challenge; the REGISTERs after it have its nonce, and a count that rises by one."""
        server = Settings(at=Endpoint(own_address()), password=PASSWORD, expires=6)
        with kamailio(server) as one, suite(Config(servers=[server.at])) as ours:
            _register(Endpoint(own_address()), ours)
            one.program.wait_for(lambda: len(_ANSWER.findall(one.program.log())) >= 3, "3 REGISTER")
            answers = _ANSWER.findall(one.program.log())
            self.assertEqual(len({nonce for nonce, _ in answers}), 1, answers)
            self.assertEqual([int(count, 16) for _, count in answers[:3]], [1, 2, 3])
            self.assertEqual(one.program.log().count(f"REGISTER of {DN} is challenged"), 1)


class RouteTests(SynchronousTestCase):
    """Calls over servers that record their route, while another one of the pair is in use."""

    def test_called_through_the_other_server(self) -> None:
        """
        A call that came through the second server is hung up through the first, which is in use.
        """
        with ExitStack() as stack:
            stage = PairStage(stack)
            stage.sign_in()
            phone = Run(scenario="callee-hangs-up", at=stage.phone, service=DN, options=_PAUSE)
            answering = stack.enter_context(sipp(phone))
            caller = Run(
                scenario="caller-is-left", at=Endpoint(own_address()), to=stage.at[1], service=DN
            )
            said = play(caller)
            answering.finish()
            self.assertIn(stage.at[1].host, said.received("200 INVITE")[0].header("Record-Route"))
            # Each server that a request passes has a Via in it.
            vias = said.received("BYE")[0].headers("Via")
            self.assertIn(stage.at[0].host, vias[0])
            self.assertEqual(switches(stage.suite), [])

    def test_calls(self) -> None:
        """A call of the phone goes through the first server from its first request to its last."""
        with ExitStack() as stack:
            stage = PairStage(stack)
            stage.sign_in()
            stage.call()
            for name in ("INVITE", "ACK", "BYE"):
                self.assertIn(stage.at[0].host, stage.far_saw(0, name).headers("Via")[0])
            self.assertIn("lr", stage.far_saw(0, "INVITE").header("Record-Route"))
            self.assertEqual(stage.far_saw(0, "BYE").headers("Route"), [])


_PAUSE = ("-d", "300")


class SipsakTests(SynchronousTestCase):
    """sipsak asks who we are, and registers."""

    def test_options(self) -> None:
        """200 for a phone's network, and for a stranger over a stream only."""
        for networks, transport, code in (
            ("127.0.0.0/8", "udp", 0),
            ("127.0.0.0/8", "tcp", 0),
            ("192.0.2.0/24", "tcp", 0),
            ("192.0.2.0/24", "udp", None),
        ):
            more = {"b2bua": [f"phone-networks = {networks}"]}
            with suite(Config(servers=[Endpoint(own_address())], more=more)) as one:
                self.assertEqual(_sipsak("-E", transport, "-s", f"sip:{one.at}"), code)

    def test_register(self) -> None:
        """REGISTER with the right password, whose DN is registered then; and with a wrong one."""
        server = Settings(at=Endpoint(own_address()), password=PASSWORD)
        with kamailio(server), suite(Config(servers=[server.at])) as one:
            user = ("-U", "-i", "-u", DN, "-x", "60", "-s", f"sip:{DN}@{one.at}")
            self.assertEqual(_sipsak(*user, "-a", "wrong"), 2)
            self.assertNotIn("dn-registered", one.program.log())
            self.assertEqual(_sipsak(*user, "-a", PASSWORD), 0)
            one.until_said(f'dn-registered dn="{DN}"')


class BaresipTests(SynchronousTestCase):
    """baresip as a phone of ours over UDP."""

    def test_call(self) -> None:
        """It calls through Kamailio, holds, resumes and hangs up."""
        server = Settings(at=Endpoint(own_address()), password=PASSWORD)
        with ExitStack() as stack:
            stack.enter_context(kamailio(server))
            one = stack.enter_context(suite(Config(servers=[server.at])))
            account = Account(dn=DN, server=one.at, password=PASSWORD)
            phone = stack.enter_context(baresip(account))
            phone.registered()
            one.until_said(f'dn-registered dn="{DN}"')
            far = stack.enter_context(
                sipp(Run(scenario="callee-is-held", at=server.at.at(5777), timeout=30))
            )
            phone.command("dial", f"sip:15777@{one.at}")
            phone.event("CALL_ESTABLISHED")
            phone.command("hold")
            far.wait_for("INVITE", 2)
            phone.command("resume")
            far.wait_for("INVITE", 3)
            phone.command("hangup")
            said = far.finish()
            self.assertEqual(
                [m.direction for m in said.received("INVITE")], ["sendrecv", "sendonly", "sendrecv"]
            )


def _register(phone: Endpoint, one: Suite) -> None:
    run = Run(scenario="phone-registers", at=phone, to=one.at, service=DN, password=PASSWORD)
    play(run)
    one.until_said(f'dn-registered dn="{DN}"')


def _sipsak(*words: str) -> int | None:
    """Its exit code, None where it gets no answer."""
    try:
        done = subprocess.run(
            [require_program("sipsak"), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=3,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode
