"""DTLS with other implementations, over real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from twisted.trial.unittest import SynchronousTestCase

from b2bua.media_plane import SrtpKeys
from b2bua.net.dtls import DtlsAssociation, DtlsState
from b2bua.net.dtls_identity import OWN_FILE, DtlsIdentity
from b2bua.net.srtp import SrtpSession
from b2bua.settings import DtlsSettings
from tests.programs import require_program
from tests.webmedia.folders import temporary_folder

PATIENCE = 10.0
OURS = DtlsIdentity.load(DtlsSettings())
HANDSHAKING, CONNECTED, CLOSED = DtlsState.HANDSHAKING, DtlsState.CONNECTED, DtlsState.CLOSED
LENGTHS = {
    "SRTP_AEAD_AES_128_GCM": (16, 12),
    "SRTP_AEAD_AES_256_GCM": (32, 12),
    "SRTP_AES128_CM_SHA1_80": (16, 14),
    "SRTP_AES128_CM_SHA1_32": (16, 14),
}


class Wire:
    """An association on a socket of its own, run until it has come where it should."""

    def __init__(self, association: DtlsAssociation, peer: tuple[str, int] | None = None) -> None:
        self.association = association
        self.peer = peer
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.socket.getsockname()

    def run_until(self, *states: DtlsState) -> None:
        """Start if that is still to be done, and move datagrams both ways."""
        self.association.start(time.monotonic())
        deadline = time.monotonic() + PATIENCE
        while self.association.state not in states:
            self._flush()
            assert time.monotonic() < deadline, self.association.failure or self.association.state
            self.socket.settimeout(0.1)
            try:
                datagram, source = self.socket.recvfrom(65536)
            except TimeoutError:
                self._look_at_timer()
                continue
            except ConnectionRefusedError:
                continue  # The program does not listen yet.
            self.peer = source
            self.association.receive(datagram, time.monotonic())
        self._flush()

    def _look_at_timer(self) -> None:
        due = self.association.next_timeout()
        if due is not None and time.monotonic() >= due:
            self.association.handle_timeout(time.monotonic())

    def _flush(self) -> None:
        for datagram in self.association.take_datagrams():
            if self.peer is not None:
                self.socket.sendto(datagram, self.peer)


@contextmanager
def openssl(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program, with an input that has not ended."""
    process = subprocess.Popen(
        [require_program("openssl"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OpenSslTests(SynchronousTestCase):
    """The system's ``openssl``, which is older than the library that we use."""

    def setUp(self) -> None:
        folder = temporary_folder(self)
        self.theirs = DtlsIdentity.load(DtlsSettings(state_directory=folder))
        self.pem = str(folder / OWN_FILE)

    def arguments(self, profile: str) -> list[str]:
        size = 2 * sum(LENGTHS[profile])
        export = ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", str(size)]
        return ["-dtls1_2", "-cert", self.pem, "-key", self.pem, "-use_srtp", profile, *export]

    def associate(self, *, is_client: bool) -> DtlsAssociation:
        prints = (self.theirs.fingerprint,)
        return DtlsAssociation(OURS, is_client=is_client, fingerprints=prints)

    def assertExported(self, profile: str, keys: SrtpKeys | None, shown: bytes, ours: int) -> None:
        """The program printed what our keys were cut from; ``ours`` is 0 for the client."""
        found = re.search(rb"Keying material: ([0-9A-F]+)", shown)
        assert found is not None and keys is not None, shown
        material = bytes.fromhex(found[1].decode())
        key, salt = LENGTHS[profile]
        halves = [
            material[at * key :][:key] + material[2 * key + at * salt :][:salt] for at in (0, 1)
        ]
        self.assertEqual((keys.sends, keys.receives), (halves[ours], halves[1 - ours]))

    def test_their_client(self) -> None:
        """``s_client`` calls us, with a cookie and each profile; it hangs up and we notice."""
        for profile in LENGTHS:
            wire = Wire(self.associate(is_client=False))
            self.addCleanup(wire.socket.close)
            at = f"127.0.0.1:{wire.address[1]}"
            with openssl("s_client", "-connect", at, *self.arguments(profile)) as program:
                wire.run_until(CONNECTED)
                keys = wire.association.keys
                assert program.stdin is not None and program.stdout is not None
                program.stdin.write(b"Q\n")
                program.stdin.close()
                wire.run_until(CLOSED)
                self.assertExported(profile, keys, program.stdout.read(), ours=1)

    def test_their_server_with_cookies(self) -> None:
        """``s_server`` that asks for one gets it."""
        port = free_port()
        arguments = self.arguments("SRTP_AEAD_AES_128_GCM")
        at = f"127.0.0.1:{port}"
        with openssl("s_server", "-accept", at, "-Verify", "1", "-listen", *arguments):
            wire = Wire(self.associate(is_client=True), ("127.0.0.1", port))
            self.addCleanup(wire.socket.close)
            wire.run_until(CONNECTED)

    def test_their_server(self) -> None:
        """``s_server`` is called by us; it chooses, and it hears when we hang up."""
        for profile in LENGTHS:
            port = free_port()
            at = f"127.0.0.1:{port}"
            arguments = ["s_server", "-accept", at, "-Verify", "1", *self.arguments(profile)]
            with openssl(*arguments, "-naccept", "1") as program:
                wire = Wire(self.associate(is_client=True), ("127.0.0.1", port))
                self.addCleanup(wire.socket.close)
                wire.run_until(CONNECTED)
                keys = wire.association.keys
                wire.association.close()
                wire.run_until(CLOSED)
                assert program.stdout is not None
                self.assertExported(profile, keys, program.stdout.read(), ours=0)


class AiortcIce:
    """The part of an ICE transport that aiortc's DTLS needs, over a socket."""

    state = "completed"

    def __init__(self, peer: tuple[str, int], role: str) -> None:
        self.role = role
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._peer = peer
        self.address: tuple[str, int] = self._socket.getsockname()

    async def _recv(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, 65536)

    async def _send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendto(self._socket, data, self._peer)

    def close(self) -> None:
        self._socket.close()


class AiortcTests(SynchronousTestCase):
    """aiortc, in both roles."""

    def connect(self, *, is_client: bool) -> tuple[DtlsAssociation, RTCDtlsTransport]:
        certificate = RTCCertificate.generateCertificate()
        prints = certificate.getFingerprints()[0]
        ours = DtlsAssociation(
            OURS, is_client=is_client, fingerprints=((prints.algorithm, prints.value),)
        )
        wire = Wire(ours)
        # Without SDP it takes the role from ICE.
        ice = AiortcIce(wire.address, "controlling" if is_client else "controlled")
        wire.peer = ice.address
        remote = RTCDtlsParameters(fingerprints=[RTCDtlsFingerprint(*OURS.fingerprint)])

        async def run() -> RTCDtlsTransport:
            transport = RTCDtlsTransport(ice, [certificate])
            await asyncio.gather(
                transport.start(remote), asyncio.to_thread(wire.run_until, CONNECTED)
            )
            self.assertEqual(transport.state, "connected")
            await transport.stop()
            return transport

        transport = asyncio.run(run())
        wire.run_until(CLOSED)
        ice.close()
        wire.socket.close()
        return ours, transport

    def test_both_roles(self) -> None:
        """The certificates are believed, what either encrypts the other reads, stop() ends it."""
        packet = struct.pack("!BBHII", 0x80, 0, 1, 160, 0xCAFE) + bytes(160)
        for is_client in (True, False):
            association, transport = self.connect(is_client=is_client)
            assert association.keys is not None
            session = SrtpSession(association.keys)
            self.assertEqual(session.unprotect(transport._tx_srtp.protect(packet)), packet)
            sealed = session.protect(packet)
            assert sealed is not None
            self.assertEqual(transport._rx_srtp.unprotect(sealed), packet)
