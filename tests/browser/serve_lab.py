"""
Serve the pages with a lab that is none.

``python -m tests.browser.serve_lab PORT`` on 127.0.0.1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from suite.settings import SuiteSettings
from suite.web.ice_servers import ice_servers
from suite.web.lab import LabWeb
from suite.web.site import build_site
from tests.lab.fake import FakeGateway, FakeLab


def main(port: str) -> None:
    """Listen and serve until the process is stopped."""
    settings = SuiteSettings(state_directory=Path())
    lab = LabWeb(FakeLab(), FakeGateway())
    endpoint = TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1")
    listening = endpoint.listen(build_site(ice_servers(settings, lambda: 0.0), lab=lab))
    listening.addCallback(lambda port: print("listening", flush=True))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
