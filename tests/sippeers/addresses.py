"""Loopback addresses of one's own: every peer has port 5060 to itself, whatever else runs here."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass

SIP_PORT = 5060
_PORTS = (SIP_PORT, 5061)
_taken: set[str] = set()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer listens."""

    host: str
    port: int = SIP_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def at(self, port: int) -> Endpoint:
        """Another port of this host."""
        return Endpoint(self.host, port)


def own_address() -> str:
    """An address in 127.0.0.0/8 whose SIP ports nobody uses; never the same one twice."""
    for _ in range(1000):
        host = f"127.{random.randint(16, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        if host not in _taken and _is_free(host):
            _taken.add(host)
            return host
    raise AssertionError("no address of 127.0.0.0/8 has its SIP ports free")


def _is_free(host: str) -> bool:
    with ExitStack() as held:
        for port in _PORTS:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                probe = held.enter_context(socket.socket(socket.AF_INET, kind))
                try:
                    probe.bind((host, port))
                except OSError:
                    return False
    return True
