"""
What stands between this machine and a STUN server: pystun3's answer, in a process of its own.

pystun3 blocks, and spins for ever on some answers, so it runs where it can be ended:
``python -m suite.check_nat HOST PORT SOURCE`` prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from dataclasses import dataclass

# pystun3 has neither types nor stubs.
import stun  # type: ignore[import-untyped]

from turn.five_tuple import Address, joined

LIMIT = 10.0
"""Seconds after which the answer is no longer waited for."""
ANSWER_WAIT = 0.5

# pystun3's SymmetricUDPFirewall is left out: it says so of every server with one address.
WORDS = {
    stun.FullCone: "A NAT that lets everybody in on an open port (full cone): calls go direct.",
    stun.RestricNAT: "A NAT that lets in whom it was sent to (restricted cone): calls mostly go "
    "direct.",
    stun.RestricPortNAT: "A NAT that lets in the port it was sent to (port restricted): calls "
    "mostly go direct.",
    stun.SymmetricNAT: "A NAT that gives each destination another port (symmetric): many calls "
    "need the relay.",
    stun.OpenInternet: "No NAT and no firewall: calls go direct.",
}

UNTOLD = "Its kind takes a STUN server with two addresses to find out."


@dataclass(frozen=True, slots=True)
class NatReport:
    """How this machine looks from the server."""

    local: Address
    mapped: Address | None
    sentence: str


async def nat_type(server: Address, source: str, limit: float = LIMIT) -> str | None:
    """
    Ask pystun3, and end it after ``limit`` seconds.

    None where the server cannot tell: that takes a second address of it, which few have.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "suite.check_nat", server[0], str(server[1]), source),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(), limit)
    except TimeoutError:
        return None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        return None
    answer = json.loads(output)["type"]
    return answer if isinstance(answer, str) and answer in WORDS else None


def describe(local: Address, mapped: Address | None, kind: str | None) -> NatReport:
    """Put what is known about the way to the server into words."""
    if mapped is None:
        sentence = "Not known: the server does not answer STUN over UDP."
    elif kind is not None:
        sentence = WORDS[kind]
    elif mapped[0] == local[0]:
        sentence = "No NAT between this machine and the server."
    else:
        sentence = f"A NAT shows this machine as {joined(mapped)}. {UNTOLD}"
    return NatReport(local, mapped, sentence)


class CountingSocket(socket.socket):
    """
    A UDP socket that refuses to send for ever.

    pystun3 repeats a test at once when it is answered with an error; its five tests of four
    datagrams each never need more than ``MOST_SENT``.
    """

    MOST_SENT = 20
    _sent = 0

    # pystun3 calls it without flags, the form that this one leaves out.
    def sendto(self, data: bytes, address: Address) -> int:  # type: ignore[override]
        """Send, unless the server keeps pystun3 going round in a circle."""
        self._sent += 1
        if self._sent > self.MOST_SENT:
            raise RuntimeError("the server answers the tests with errors")
        return super().sendto(data, address)


def main(host: str, port: str, source: str) -> None:
    """Run pystun3's tests from ``source`` and print what it makes of them."""
    with CountingSocket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ANSWER_WAIT)
        sock.bind((source, 0))
        answer, _ = stun.get_nat_type(sock, source, 0, stun_host=host, stun_port=int(port))
    print(json.dumps({"type": answer}))


if __name__ == "__main__":
    main(*sys.argv[1:])
