"""dnsmasq as the name server that knows the pair of SIP Servers, on a port of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers import Place, free_port
from tests.programs import require_program, running
from tests.sippeers.addresses import Endpoint, own_address

DOMAIN = "sip.test"


@dataclass(frozen=True, kw_only=True)
class Zone:
    """What it knows under DOMAIN, and nothing else: other names do not exist."""

    servers: Sequence[Endpoint] = ()
    """In the order of their priorities; their names are a, b, and so on."""
    transport: str = "udp"
    service: str = "sip"
    ttl: int = 1
    more: Sequence[str] = field(default_factory=tuple)
    """Lines of dnsmasq.conf."""

    def lines(self) -> list[str]:
        """Its part of dnsmasq.conf."""
        names = [f"{chr(ord('a') + i)}.{DOMAIN}" for i in range(len(self.servers))]
        return [
            *(f"host-record={n},{s.host}" for n, s in zip(names, self.servers, strict=True)),
            *(
                f"srv-host=_{self.service}._{self.transport}.{DOMAIN},{n},{s.port},{10 + i},10"
                for i, (n, s) in enumerate(zip(names, self.servers, strict=True))
            ),
            f"local-ttl={self.ttl}",
            *self.more,
        ]


@contextmanager
def dnsmasq(zone: Zone, at: Endpoint | None = None) -> Iterator[Endpoint]:
    """Serve the zone; gives where. The end of it is a name server that is gone."""
    if at is None:
        host = own_address()
        at = Endpoint(host, free_port(Place(addresses=(host,))))
    with tempfile.TemporaryDirectory(prefix="webrtc-suite-test-") as name:
        folder = Path(name)
        configuration = folder / "dnsmasq.conf"
        configuration.write_text("".join(f"{line}\n" for line in [*_common(at), *zone.lines()]))
        command = [require_program("dnsmasq"), "--keep-in-foreground", f"-C{configuration}"]
        with running(command, folder / "log") as program:
            program.wait_for(lambda: "started" in program.log(), "started")
            yield at


def _common(at: Endpoint) -> list[str]:
    return [
        f"listen-address={at.host}",
        f"port={at.port}",
        "bind-interfaces",
        "no-resolv",
        "no-hosts",
        "no-poll",
        "no-dhcp-interface=",
        "user=",
        "log-facility=-",
        "log-queries",
        f"local=/{DOMAIN}/",
        "local=/test/",
    ]
