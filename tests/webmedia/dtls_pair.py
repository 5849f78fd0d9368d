"""Two DTLS associations and the way between them."""

from __future__ import annotations

import time
from collections.abc import Callable

from b2bua.net.dtls import DtlsAssociation
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.settings import DtlsSettings

OURS = DtlsIdentity.load(DtlsSettings())
THEIRS = DtlsIdentity.load(DtlsSettings())
MTU = 1200

Fate = Callable[[bytes], list[bytes]]
"""What becomes of a datagram on its way."""


def arrives(datagram: bytes) -> list[bytes]:
    return [datagram]


class Pair:
    """A client and a server, and the way between them."""

    def __init__(
        self,
        client: DtlsIdentity = OURS,
        server: DtlsIdentity = THEIRS,
        fate: Fate = arrives,
        mtu: int = MTU,
    ) -> None:
        self.client = DtlsAssociation(
            client, is_client=True, fingerprints=(server.fingerprint,), mtu=mtu
        )
        self.server = DtlsAssociation(
            server, is_client=False, fingerprints=(client.fingerprint,), mtu=mtu
        )
        self.fate = fate
        self.sent: list[bytes] = []
        self.ways: list[tuple[DtlsAssociation, bytes]] = []
        """Each that was sent, and to whom."""
        self.begun = time.monotonic()
        self.ahead = 0.0

    def now(self) -> float:
        return time.monotonic() - self.begun + self.ahead

    def start(self) -> None:
        self.server.start(self.now())
        self.client.start(self.now())

    def carry(self) -> bool:
        """Carry what both want to send; False if that was nothing."""
        moved = False
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            for datagram in sender.take_datagrams():
                moved = True
                self.sent.append(datagram)
                self.ways.append((receiver, datagram))
                for each in self.fate(datagram):
                    receiver.receive(each, self.now())
        return moved

    def settle(self) -> None:
        while self.carry():
            pass

    def run(self) -> Pair:
        self.start()
        self.settle()
        return self

    def repeat(self) -> None:
        """Send again what both have sent so far: what their timers do when time passes."""
        for receiver, datagram in list(self.ways):
            receiver.receive(datagram, self.now())
        self.settle()

    def let_pass(self, seconds: float) -> None:
        """Let time pass for all but OpenSSL."""
        self.ahead += seconds
        self._look_at_timers()

    def wait(self) -> None:
        """Let the timer run out. OpenSSL's clock is the system's, so the time really passes."""
        due = min(
            (at for each in (self.client, self.server) if (at := each.next_timeout()) is not None),
            default=None,
        )
        assert due is not None
        before = len(self.sent)
        # Its clock and ours do not agree to the millisecond.
        while len(self.sent) == before:
            time.sleep(max(0.001, due - self.now()))
            self._look_at_timers()

    def _look_at_timers(self) -> None:
        for each in (self.client, self.server):
            at = each.next_timeout()
            if at is not None and self.now() >= at:
                each.handle_timeout(self.now())
        self.settle()
