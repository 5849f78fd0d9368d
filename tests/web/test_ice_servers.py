"""The ICE servers that the page offers."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.settings import SuiteSettings, TcpListen, UdpListen
from suite.web.credentials import CONFINED_SESSIONS, CredentialKind, rest_credential
from suite.web.ice_servers import RelayPorts, ice_servers, ice_urls, listening_ports
from turn.settings import CredentialSettings, TurnSettings

ANY = "0.0.0.0"
SECRET = CredentialSettings(use_secrets=True, secrets=("north",))


def settings(
    udp: tuple[UdpListen, ...] = (),
    tcp: tuple[TcpListen, ...] = (),
    turn: TurnSettings | None = None,
) -> SuiteSettings:
    """Describe a suite that listens so."""
    return SuiteSettings(state_directory=Path("/nonexistent"), udp=udp, tcp=tcp, turn=turn)


class ListeningPortsTests(SynchronousTestCase):
    """Which of our ports a browser should use."""

    def test_prefers_443(self) -> None:
        """Of several ports the one that firewalls let through is named."""
        suite = settings(
            udp=tuple(UdpListen(address=(ANY, port)) for port in (3478, 5349, 443)),
            tcp=tuple(TcpListen(address=(ANY, port)) for port in (8443, 443)),
        )
        self.assertEqual(listening_ports(suite, "h"), RelayPorts(443, 443, 443))

    def test_well_known_before_others(self) -> None:
        """Without 443 the ports of the RFC come before any other."""
        suite = settings(udp=(UdpListen(address=(ANY, 1000)), UdpListen(address=(ANY, 3478))))
        self.assertEqual(listening_ports(suite, "h"), RelayPorts(3478, None, None))

    def test_what_a_listener_does_not_speak(self) -> None:
        """A listener without TLS, without plain STUN or without TURN is not offered for it."""
        suite = settings(
            tcp=(
                TcpListen(address=(ANY, 1), tls=False),
                TcpListen(address=(ANY, 2), plain=False),
                TcpListen(address=(ANY, 443), turn=False, web=True),
                TcpListen(address=(ANY, 8443), plain=False, turn_over_tls=False, web=True),
            )
        )
        self.assertEqual(listening_ports(suite, "h"), RelayPorts(None, 1, 2))

    def test_loopback_listener(self) -> None:
        """A listener on loopback is named to a browser on this machine only."""
        suite = settings(udp=(UdpListen(address=("127.0.0.1", 9)),))
        self.assertEqual(listening_ports(suite, "turn.example.net").udp, None)
        for host in ("localhost", "127.0.0.1", "::1"):
            self.assertEqual(listening_ports(suite, host).udp, 9)


class IceUrlsTests(SynchronousTestCase):
    """The URLs of RFC 7064 and 7065."""

    def test_all_transports(self) -> None:
        """Every transport that listens has its URL, UDP first."""
        self.assertEqual(
            ice_urls("turn.example.net", RelayPorts(443, 3478, 5349), TurnSettings()),
            [
                "stun:turn.example.net:443",
                "turn:turn.example.net:443?transport=udp",
                "turn:turn.example.net:3478?transport=tcp",
                "turns:turn.example.net:5349?transport=tcp",
            ],
        )

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets."""
        urls = ice_urls("2001:db8::1", RelayPorts(None, 443, None), TurnSettings())
        self.assertEqual(urls, ["turn:[2001:db8::1]:443?transport=tcp"])

    def test_stun_only(self) -> None:
        """A server that does not relay offers STUN alone."""
        urls = ice_urls("h", RelayPorts(443, 443, 443), TurnSettings(turn=False))
        self.assertEqual(urls, ["stun:h:443"])


class IceServersTests(SynchronousTestCase):
    """The answer as a whole."""

    def test_credentials_on_relays_only(self) -> None:
        """Relays carry the temporary credential, the STUN server none."""
        suite = settings(
            udp=(UdpListen(address=(ANY, 443)),), turn=TurnSettings(credentials=SECRET)
        )
        answer = ice_servers(suite, lambda: 1000.0)("h").as_json()
        self.assertEqual(
            answer,
            {
                "iceServers": [
                    {"urls": "stun:h:443"},
                    {
                        "urls": "turn:h:443?transport=udp",
                        "username": "1600:check-page",
                        "credential": "Wptn1c/oEJW+pUpu0jLGN1y8jjM=",
                    },
                ],
                "credentials": "temporary",
                "lifetime": 600,
            },
        )

    def test_credentials_follow_the_clock(self) -> None:
        """Each answer has a credential of its own time."""
        now = [1000.0]
        suite = settings(
            udp=(UdpListen(address=(ANY, 443)),), turn=TurnSettings(credentials=SECRET)
        )
        offer = ice_servers(suite, lambda: now[0])
        first = offer("h").servers[1].credential
        now[0] += 1
        self.assertNotEqual(offer("h").servers[1].credential, first)

    def test_users_of_its_own(self) -> None:
        """A relay with static users only is offered without a credential."""
        suite = settings(udp=(UdpListen(address=(ANY, 443)),), turn=TurnSettings())
        offer = ice_servers(suite, lambda: 1000.0)("h")
        self.assertEqual(offer.kind, CredentialKind.ASK)
        self.assertEqual(offer.lifetime, 0)
        self.assertTrue(offer.servers)
        self.assertEqual({server.credential for server in offer.servers}, {None})

    def test_users_of_its_own_and_a_session(self) -> None:
        """Of such a relay a session has a credential all the same: the relay vouches for it."""
        turn = TurnSettings(confined=CONFINED_SESSIONS)
        suite = settings(udp=(UdpListen(address=(ANY, 443)),), turn=turn)
        offer = ice_servers(suite, lambda: 1000.0, "own")
        answer = offer("h", "gateway-session-1")
        self.assertEqual(answer.kind, CredentialKind.TEMPORARY)
        self.assertEqual(answer.lifetime, 600)
        expected = rest_credential("own", 1600, "gateway-session-1")
        self.assertEqual([s.credential for s in answer.servers], [None, expected])
        self.assertEqual(offer("h").kind, CredentialKind.ASK)

    def test_session_and_secret(self) -> None:
        """A shared secret goes first, which other relays may know, too."""
        turn = TurnSettings(credentials=SECRET, confined=CONFINED_SESSIONS)
        suite = settings(udp=(UdpListen(address=(ANY, 443)),), turn=turn)
        answer = ice_servers(suite, lambda: 1000.0, "own")("h", "gateway-session-1")
        expected = rest_credential("north", 1600, "gateway-session-1")
        self.assertEqual(answer.servers[1].credential, expected)

    def test_no_relay(self) -> None:
        """A suite without a relay offers nothing."""
        self.assertEqual(ice_servers(settings(), lambda: 0.0)("h").servers, ())
