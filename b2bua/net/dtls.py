"""
One DTLS association of a browser's transport, for the keys of its SRTP (RFC 5764, RFC 6347).

Datagrams and moments go in, datagrams and a state come out; there is no socket here. OpenSSL does
the work over memory. It takes the time of its timers from the system: ``now`` tells when to ask
it, and how long a handshake may take, but does not hurry it. No fault of a peer raises anything:
it ends the association, and ``failure`` says why. Absent: DTLS 1.0 and 1.3, application data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from typing import Final

from OpenSSL import SSL

from b2bua.media_plane import SrtpKeys
from b2bua.net.dtls_identity import DtlsIdentity

HANDSHAKE_SECONDS: Final = 30.0
"""OpenSSL sends a flight again after 1, 3, 7 and 15 seconds; a peer that is there has answered."""
REFUSED_SECONDS: Final = 5.0
"""
How much longer to wait once an alert has come in the clear: whoever knows the addresses can forge
one (RFC 9147, section 4.5.2), and a peer that did not send it goes on with its handshake.
"""
MOST_BEFORE_CONNECTED: Final = 64 * 1024
"""Bytes. A handshake has some five thousand, and twice that with long chains."""

_PROFILES: Final = {
    b"SRTP_AEAD_AES_128_GCM": ("AEAD_AES_128_GCM", 16, 12),
    b"SRTP_AEAD_AES_256_GCM": ("AEAD_AES_256_GCM", 32, 12),
    b"SRTP_AES128_CM_SHA1_80": ("AES_CM_128_HMAC_SHA1_80", 16, 14),
    b"SRTP_AES128_CM_SHA1_32": ("AES_CM_128_HMAC_SHA1_32", 16, 14),
}
"""By OpenSSL's names: the name in SDP, bytes of the key and of the salt."""
_HASHES: Final = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
"""Those that a fingerprint may be made with; sha-1 and md5 prove nothing any more."""
_ALERTS: Final = {
    0: "close notify",
    10: "unexpected message",
    40: "handshake failure",
    42: "bad certificate",
    43: "unsupported certificate",
    47: "illegal parameter",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
    90: "user canceled",
}
"""Those that a browser may end a handshake with, by number (RFC 5246, section 7.2)."""
_LABEL: Final = b"EXTRACTOR-dtls_srtp"
_READ: Final = 65536
_SOONEST: Final = 0.01
"""Seconds after which OpenSSL is asked again when its clock says that it is not time yet."""

_HEADER: Final = 13
_EPOCH: Final = slice(3, 5)
_MAJOR: Final = 0xFE
_FIRST_TYPE: Final = 20
_ALERT: Final = 21
_DATA: Final = 23
_LONGEST_RECORD: Final = 2**14 + 2048


class DtlsState(Enum):
    """How far an association has come."""

    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    """The peer is who its SDP says, and there are keys."""
    FAILED = "failed"
    CLOSED = "closed"
    """By us or by the peer."""


class DtlsAssociation:
    """
    A handshake and what it leads to.

    After each call, ``take_datagrams`` has what is to be sent, and ``next_timeout`` when to call
    ``handle_timeout``. Keep feeding what comes: a peer that missed our last flight asks for it.
    """

    __slots__ = (
        "_again_at",
        "_alert",
        "_connection",
        "_datagrams",
        "_deadline",
        "_fingerprints",
        "_is_client",
        "_mtu",
        "_received",
        "failure",
        "keys",
        "state",
    )

    state: DtlsState
    failure: str
    """Why it failed, in words for a log; "" while it has not."""
    keys: SrtpKeys | None
    """Those of SRTP, from the moment of CONNECTED on."""

    def __init__(
        self,
        identity: DtlsIdentity,
        *,
        is_client: bool,
        fingerprints: tuple[tuple[str, str], ...],
        mtu: int = 1200,
    ) -> None:
        """``fingerprints``: hash function and value; the peer's certificate must be of one."""
        self.state = DtlsState.HANDSHAKING
        self.failure = ""
        self.keys = None
        self._is_client = is_client
        self._fingerprints = fingerprints
        self._mtu = mtu
        self._datagrams: list[bytes] = []
        self._received = 0
        self._alert = ""
        self._deadline: float | None = None
        self._again_at: float | None = None
        self._connection = SSL.Connection(identity.context, None)
        self._connection.set_ciphertext_mtu(mtu)
        if is_client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    def start(self, now: float) -> None:
        """Begin: a client says hello, a server waits for that."""
        if self._deadline is None:
            self._deadline = now + HANDSHAKE_SECONDS
        self._step(now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram of the peer; what is no DTLS in it is dropped."""
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            return
        found = list(split_records(datagram))
        if not found:
            return
        if self._deadline is None:
            self._deadline = now + HANDSHAKE_SECONDS
        records = b"".join(each for each in found if not self._doubts(each, now))
        if not records:
            return
        if self.state is DtlsState.HANDSHAKING:
            self._received += len(records)
            if self._received > MOST_BEFORE_CONNECTED:
                self._fail("the peer sends more than a handshake has")
                return
        # One at a time: OpenSSL takes what one read gives for one datagram.
        self._connection.bio_write(records)
        self._step(now)

    def _doubts(self, record: bytes, now: float) -> bool:
        """Whether a record is an alert that anybody may have sent; it is not shown to OpenSSL."""
        is_clear = not any(record[_EPOCH])
        if record[0] != _ALERT or not is_clear or self.state is not DtlsState.HANDSHAKING:
            return False
        if not self._alert and self._deadline is not None:
            self._alert = _alert(record)
            self._deadline = min(self._deadline, now + REFUSED_SECONDS)
        return True

    def take_datagrams(self) -> list[bytes]:
        """Take what is to be sent, each no longer than the MTU."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        if self.state is not DtlsState.HANDSHAKING or self._deadline is None:
            return None
        return self._deadline if self._again_at is None else min(self._again_at, self._deadline)

    def handle_timeout(self, now: float) -> None:
        """Send again what was not answered, or give up."""
        if self.state is not DtlsState.HANDSHAKING or self._deadline is None:
            return
        if now >= self._deadline:
            self._fail(self._alert or f"no handshake within {HANDSHAKE_SECONDS:.0f} seconds")
            return
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(_words(error))
            return
        self._drain()
        self._schedule(now)

    def close(self) -> None:
        """Tell the peer that this is the end (close_notify)."""
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            return
        self.state = DtlsState.CLOSED
        self._say_end()

    # What OpenSSL does.

    def _step(self, now: float) -> None:
        try:
            if self.state is DtlsState.HANDSHAKING:
                self._connection.do_handshake()
                self._complete()
            while self.state is DtlsState.CONNECTED:
                # Flights that came again, alerts, and data that nobody here is waiting for.
                self._connection.recv(_READ)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.close()
        except SSL.Error as error:
            self._fail(_words(error))
        self._drain()
        self._schedule(now)

    def _complete(self) -> None:
        fault = self._why_unknown()
        if fault:
            self._refuse(fault)
            return
        profile = self._connection.get_selected_srtp_profile()
        if profile not in _PROFILES:
            self._refuse("the peer agrees to no protection profile of SRTP")
            return
        self.keys = self._export(profile)
        self.state = DtlsState.CONNECTED

    def _why_unknown(self) -> str:
        """Why the peer's certificate is not the one of its SDP; "" if it is."""
        shown = self._connection.get_peer_certificate()
        if shown is None:
            return "the peer shows no certificate"
        usable = [
            (_HASHES[function.lower()], _digits(value))
            for function, value in self._fingerprints
            if function.lower() in _HASHES
        ]
        if not usable:
            return "the peer's SDP has no fingerprint of sha-256 or better"
        if any(_digits(shown.digest(name).decode("ascii")) == value for name, value in usable):
            return ""
        return "the peer's certificate is not that of its fingerprint"

    def _export(self, profile: bytes) -> SrtpKeys:
        """Cut the keying material as RFC 5764, section 4.2, has it: client's before server's."""
        name, key, salt = _PROFILES[profile]
        material = self._connection.export_keying_material(_LABEL, 2 * (key + salt))
        salts = material[2 * key :]
        client = material[:key] + salts[:salt]
        server = material[key : 2 * key] + salts[salt:]
        ours, theirs = (client, server) if self._is_client else (server, client)
        return SrtpKeys(profile=name, sends=ours, receives=theirs)

    def _drain(self) -> None:
        written: list[bytes] = []
        try:
            while True:
                written.append(self._connection.bio_read(_READ))
        except SSL.WantReadError:
            pass
        self._datagrams += pack(b"".join(written), self._mtu)

    def _schedule(self, now: float) -> None:
        left = self._connection.DTLSv1_get_timeout()
        self._again_at = None if left is None else now + max(left, _SOONEST)

    def _refuse(self, why: str) -> None:
        """End an association whose handshake is done, but not to be believed."""
        self._fail(why)
        self._say_end()

    def _fail(self, why: str) -> None:
        self.state = DtlsState.FAILED
        self.failure = why

    def _say_end(self) -> None:
        with suppress(SSL.Error):  # There is no way to say so before the handshake is done.
            self._connection.shutdown()
        self._drain()


def split_records(datagram: bytes) -> Iterator[bytes]:
    """
    Give the records at the beginning of a datagram, up to the first that is none of DTLS 1.2.

    What OpenSSL reads from memory has no ends of datagrams: half a record would swallow the
    next datagram's first.
    """
    at = 0
    while at + _HEADER <= len(datagram):
        length = int.from_bytes(datagram[at + 11 : at + 13], "big")
        end = at + _HEADER + length
        is_record = _FIRST_TYPE <= datagram[at] <= _DATA and datagram[at + 1] == _MAJOR
        if not is_record or length > _LONGEST_RECORD or end > len(datagram):
            return
        # Data in the clear are forged, and would end a handshake.
        if datagram[at] == _DATA and not any(datagram[at:end][_EPOCH]):
            return
        yield datagram[at:end]
        at = end


def pack(flight: bytes, mtu: int) -> list[bytes]:
    """Cut what OpenSSL wrote at once into datagrams of whole records, as few as the MTU allows."""
    datagrams: list[bytes] = []
    for record in split_records(flight):
        if datagrams and len(datagrams[-1]) + len(record) <= mtu:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams


def _digits(value: str) -> str:
    return value.replace(":", "").strip().lower()


def _alert(record: bytes) -> str:
    """What a peer means that sends this alert."""
    name = _ALERTS.get(record[_HEADER + 1]) if len(record) > _HEADER + 1 else None
    return "the peer ended the handshake" + (f": {name}" if name else "")


def _words(error: SSL.Error) -> str:
    """The last of what OpenSSL says, which is the nearest to the cause."""
    reasons = error.args[0] if error.args else ()
    words = [entry[-1] for entry in reasons if entry[-1]] if isinstance(reasons, list) else []
    return f"OpenSSL gave up: {words[0] if words else type(error).__name__}"
