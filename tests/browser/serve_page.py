"""
Serve the check page alone, for a relay that runs elsewhere.

``python -m tests.browser.serve_page PAGE_PORT TURN_PORT TLS_PORT SECRET`` on 127.0.0.1. With an
empty secret the relay is taken to have users of its own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from suite.settings import SuiteSettings, TcpListen, UdpListen
from suite.web.ice_servers import ice_servers
from suite.web.site import build_site
from turn.settings import CredentialSettings, TurnSettings

HOST = "127.0.0.1"


def settings(turn_port: int, tls_port: int, secret: str) -> SuiteSettings:
    """Describe a relay that listens where coTURN was told to."""
    return SuiteSettings(
        state_directory=Path(),
        udp=(UdpListen(address=(HOST, turn_port)),),
        tcp=(
            TcpListen(address=(HOST, turn_port), tls=False),
            TcpListen(address=(HOST, tls_port), plain=False),
        ),
        turn=TurnSettings(
            credentials=CredentialSettings(
                secrets=(secret,) if secret else (), use_secrets=bool(secret)
            )
        ),
    )


def main(page_port: str, turn_port: str, tls_port: str, secret: str) -> None:
    """Listen and serve until the process is stopped."""
    offer = ice_servers(settings(int(turn_port), int(tls_port), secret), time.time)
    endpoint = TCP4ServerEndpoint(reactor, int(page_port), interface=HOST)
    listening = endpoint.listen(build_site(offer))
    listening.addCallback(lambda port: print("listening", flush=True))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
