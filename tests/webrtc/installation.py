"""
The suite as it is installed in a data centre: pages, gateway and relay on port 443, the lab behind.

Its SIP side is on the loopback interface, where the lab's servers and the tests' phones are.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sippeers.addresses import Endpoint
from tests.sippeers.suite import Config, Suite, suite
from tests.webrtc.network import NAME, SUITE

SECRET = "seeded-relay-secret-77c1"
ECHO, MUSIC = "7001", "7002"
"""The lab's phones."""
SERVER_A = Endpoint("127.0.0.11")


@dataclass(frozen=True, kw_only=True)
class Installation(Config):
    """Its suite.conf. Without ``servers`` the lab has the SIP Servers."""

    at: Endpoint = field(default_factory=lambda: Endpoint("127.0.0.1"))
    web: str = SUITE
    """The address of its pages, its relay, and its candidates."""
    relay: tuple[str, ...] = ("use-auth-secret", f"static-auth-secret = {SECRET}")
    """Whom its relay serves."""

    @property
    def url(self) -> str:
        """The address of its pages, without a path."""
        return f"https://[{self.web}]" if ":" in self.web else f"https://{self.web}"

    def text(self, folder: Path, status_port: int) -> str:
        """The whole suite.conf."""
        sections: dict[str, list[str]] = {
            "suite": [
                f"web-address = {self.web}",
                "web-ports = 443",
                "status-address = 127.0.0.1",
                f"status-port = {status_port}",
                f"state-directory = {folder}",
            ],
            "turn": [
                f"listening-ip = {self.web}",
                f"relay-ip = {self.web}",
                "listening-port = 443",
                "tls-listening-port = 443",
                "realm = calls.test",
                *self.relay,
            ],
            "rsmp": [
                f"sip-address = {self.at.host}",
                f"sip-port = {self.at.port}",
                "sip-register = 1000-1999",
                f"web-ice-addresses = {self.web}",
                *self._servers(),
            ],
            "lab": [] if self.servers else ["enabled = true"],
            "log": ["verbose = trace", "all = stdout"],
        }
        for name, lines in self.more.items():
            sections.setdefault(name, []).extend(lines)
        return "".join(
            f"[{name}]\n" + "".join(f"{line}\n" for line in lines)
            for name, lines in sections.items()
        )

    def _servers(self) -> Sequence[str]:
        return [f"sip-proxy = {', '.join(map(str, self.servers))}"] if self.servers else []


class Installed:
    """One that runs."""

    def __init__(self, one: Suite, url: str) -> None:
        self.suite = one
        self.url = url
        """Of its pages."""

    @property
    def authority(self) -> Path:
        """The PEM of the authority that the install made."""
        return self.suite.authority

    def ice_servers(self) -> list[dict[str, Any]]:
        """What its pages tell browsers of its relay, with credentials."""
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(
            f"{self.url}/api/ice-servers", timeout=5, context=context
        ) as got:
            servers: list[dict[str, Any]] = json.load(got)["iceServers"]
        return servers

    def relay(self, transport: str) -> list[dict[str, Any]]:
        """
        Its relay, to be reached by udp, tcp or tls only.

        TLS by the suite's name, for Firefox opens it to no address.
        """
        scheme, by = ("turns", "tcp") if transport == "tls" else ("turn", transport)
        url = f"{scheme}:{SUITE}:443?transport={by}"
        for one in self.ice_servers():
            if one["urls"] in (url, [url]):
                return [{**one, "urls": url.replace(SUITE, NAME) if scheme == "turns" else url}]
        raise AssertionError(f"{url} is not among {self.ice_servers()}")

    def lab(self, *words: str) -> str:
        """Have the lab do something; what it says of it."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.suite.status_port}/api/lab/command",
            json.dumps({"words": words}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as got:
                answer: Mapping[str, str] = json.load(got)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"lab {' '.join(words)}: {error.read().decode()}") from None
        return answer["text"]

    def lab_status(self) -> Any:
        """How everything in the lab is."""
        url = f"http://127.0.0.1:{self.suite.status_port}/api/lab/status"
        with urllib.request.urlopen(url, timeout=5) as got:
            return json.load(got)["lab"]

    def until_registered(self, dn: str) -> None:
        """Wait until the SIP Servers know where the DN is."""
        self.suite.program.wait_for(
            lambda: any(one["dn"] == dn for one in self.lab_status()["registrations"]),
            f"{dn} registered",
        )

    def last_call(self) -> Any:
        """The latest call that the lab has seen."""
        return self.lab_status()["calls"][-1]


@contextmanager
def installed(installation: Installation | None = None) -> Iterator[Installed]:
    """Run it until the end of the block; a traceback or a secret in its log fails the test."""
    wanted = installation or Installation()
    with suite(wanted) as one:
        yield Installed(one, wanted.url)
        for secret in (SECRET,):
            if secret in one.program.log():
                raise AssertionError(f"{secret} is in the log:\n{one.program.log()}")
