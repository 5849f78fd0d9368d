"""Two DTLS associations and the way between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from b2bua.media_plane import SrtpKeys
from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_client import COOKIE_PATIENCE
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_records import pack, read_records
from b2bua.settings import DtlsSettings

OURS = DtlsIdentity.load(DtlsSettings())
THEIRS = DtlsIdentity.load(DtlsSettings())
LENGTHY = DtlsIdentity.load(DtlsSettings())
"""Its hello is as long as browsers have them: two datagrams."""
LENGTHY.context.set_alpn_protos([bytes([letter]) * 200 for letter in b"abcdefg"])
MTU = 1200

Fate = Callable[[bytes], list[bytes]]
"""What becomes of a datagram on its way."""


def rsa_identity(ciphers: str = "", size: int = 3072) -> DtlsIdentity:
    """An identity with the other kind of key."""
    key = rsa.generate_private_key(65537, size)
    own = OURS.certificate
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        own.issuer, own.subject, key.public_key(), 5, now, now + timedelta(1)
    )
    return DtlsIdentity(builder.sign(key, hashes.SHA256()), key, ciphers)


def arrives(datagram: bytes) -> list[bytes]:
    return [datagram]


def believe(client: DtlsAssociation, now: float) -> None:
    """Have a client of ours come again with a cookie at once, as browsers do."""
    client.handle_timeout(now + COOKIE_PATIENCE)


class Side(Protocol):
    """What a pair needs of either."""

    state: DtlsState
    failure: str
    keys: SrtpKeys | None

    def start(self, now: float) -> None: ...
    def receive(self, datagram: bytes, now: float) -> None: ...
    def take_datagrams(self) -> list[bytes]: ...
    def next_timeout(self) -> float | None: ...
    def handle_timeout(self, now: float) -> None: ...


class Browser:
    """A side as browsers are: OpenSSL alone, which believes everybody, and asks for no cookie."""

    def __init__(self, identity: DtlsIdentity, mtu: int = MTU, *, is_client: bool) -> None:
        self.state = DtlsState.HANDSHAKING
        self.failure = ""
        self.keys: SrtpKeys | None = None
        self._mtu = mtu
        self._numbers = count()
        self._is_client = is_client
        self._connection = SSL.Connection(identity.context, None)
        self._connection.set_ciphertext_mtu(mtu)
        if is_client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    def start(self, now: float) -> None:
        """Say hello, or wait for that."""
        if self._is_client:
            self._step()

    def receive(self, datagram: bytes, now: float) -> None:
        for record in read_records(datagram):
            if self.state is DtlsState.HANDSHAKING:
                self._connection.bio_write(record.data)
                self._step()

    def _step(self) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            self.state, self.failure = DtlsState.FAILED, str(error)
            return
        self.state, self.keys = DtlsState.CONNECTED, self._export()

    def _export(self) -> SrtpKeys:
        """RFC 5764, section 4.2, for keys of 16 bytes and salts of 12."""
        material = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 56)
        client, server = material[:16] + material[32:44], material[16:32] + material[44:]
        ours, theirs = (client, server) if self._is_client else (server, client)
        return SrtpKeys(profile="AEAD_AES_128_GCM", sends=ours, receives=theirs)

    def take_datagrams(self) -> list[bytes]:
        with suppress(SSL.WantReadError):
            return pack(self._connection.bio_read(65536), self._mtu, self._numbers)
        return []

    def next_timeout(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> None:
        """Send nothing again."""


class Way:
    """A client and a server, and the way between them."""

    client: Side
    server: Side

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.sent: list[bytes] = []
        self.ways: list[tuple[Side, bytes]] = []
        """Each that was sent, and to whom."""
        self.begun = time.monotonic()
        self.ahead = 0.0

    def now(self) -> float:
        return time.monotonic() - self.begun + self.ahead

    def start(self) -> None:
        """Begin, until a hello that will be answered is on its way."""
        self.begin()

    def begin(self) -> None:
        """Begin: the first hello is on its way."""
        self.server.start(self.now())
        self.client.start(self.now())

    def carry(self) -> bool:
        """Carry what both want to send; False if that was nothing."""
        moved = False
        ends: tuple[Side, Side] = self.client, self.server
        for sender, receiver in (ends, ends[::-1]):
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

    def run(self) -> Self:
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


class Pair(Way):
    """Both are ours: the server asks for a cookie."""

    client: DtlsAssociation
    server: DtlsAssociation

    def __init__(
        self,
        client: DtlsIdentity = OURS,
        server: DtlsIdentity = THEIRS,
        fate: Fate = arrives,
        mtu: int = MTU,
    ) -> None:
        super().__init__(fate)
        self.client = DtlsAssociation(
            client, is_client=True, fingerprints=(server.fingerprint,), mtu=mtu
        )
        self.server = DtlsAssociation(
            server, is_client=False, fingerprints=(client.fingerprint,), mtu=mtu
        )

    def start(self) -> None:
        """Begin, until the hello with a cookie is on its way."""
        self.begin()
        for datagram in self.client.take_datagrams():
            self.server.receive(datagram, self.now())
        for datagram in self.server.take_datagrams():
            self.client.receive(datagram, self.now())
        # Somebody else may have asked for the cookie: it says hello once more, and waits.
        self.client.take_datagrams()
        believe(self.client, self.now())
        self.ahead += COOKIE_PATIENCE


class CalledBrowser(Way):
    """We say hello to a browser."""

    client: DtlsAssociation

    def __init__(self, mtu: int = MTU) -> None:
        super().__init__(arrives)
        self.client = DtlsAssociation(
            OURS, is_client=True, fingerprints=(THEIRS.fingerprint,), mtu=mtu
        )
        self.server = Browser(THEIRS, mtu, is_client=False)


class CallingBrowser(Way):
    """A browser says hello to us; it comes again with a cookie at once."""

    server: DtlsAssociation

    def __init__(self, mtu: int = MTU, browser: DtlsIdentity = OURS) -> None:
        super().__init__(arrives)
        self.client = Browser(browser, mtu, is_client=True)
        self.server = DtlsAssociation(
            THEIRS, is_client=False, fingerprints=(browser.fingerprint,), mtu=mtu
        )
