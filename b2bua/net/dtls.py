"""
One DTLS association of a browser's transport, for the keys of its SRTP (RFC 5764, RFC 6347).

Datagrams and moments go in, datagrams and a state come out; there is no socket here. OpenSSL does
the work over memory. It takes the time of its timers from the system: ``now`` tells when to ask
it, and how long a handshake may take, but does not hurry it. No fault of a peer raises anything:
it ends the association, and ``failure`` says why.

What is said before there are keys has no known sender, so nothing of it ends a handshake at once:
``dtls_handshake`` finds what the peer's certificate has signed, and OpenSSL, which believes
everybody, gets only that. Absent: DTLS 1.0 and 1.3, application data.
"""

from __future__ import annotations

from enum import Enum
from itertools import islice
from typing import Final

from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

from b2bua.media_plane import SrtpKeys
from b2bua.net.dtls_budget import Budget
from b2bua.net.dtls_client import ClientHandshake
from b2bua.net.dtls_handshake import WRONG_CERTIFICATE, Handshake, words
from b2bua.net.dtls_identity import DtlsIdentity
from b2bua.net.dtls_openssl import Attempt
from b2bua.net.dtls_records import Record, read_records
from b2bua.net.dtls_server import ServerHandshake
from b2bua.net.dtls_signatures import Fingerprints

HANDSHAKE_SECONDS: Final = 30.0
"""A flight is sent again after 1, 3, 7 and 15 seconds; a peer that is there has answered."""
MOST_A_SECOND: Final = 64 * 1024
"""Bytes that are looked at. A handshake has some five thousand, and twice that with long chains."""

_LEAST_COST: Final = 512
"""Bytes that a datagram counts as: small ones are work too."""
_MOST_RECORDS: Final = 16
"""Of one datagram; what comes after that is passed over."""
_PROFILES: Final = {
    b"SRTP_AEAD_AES_128_GCM": ("AEAD_AES_128_GCM", 16, 12),
    b"SRTP_AEAD_AES_256_GCM": ("AEAD_AES_256_GCM", 32, 12),
    b"SRTP_AES128_CM_SHA1_80": ("AES_CM_128_HMAC_SHA1_80", 16, 14),
    b"SRTP_AES128_CM_SHA1_32": ("AES_CM_128_HMAC_SHA1_32", 16, 14),
}
"""By OpenSSL's names: the name in SDP, bytes of the key and of the salt."""
_LABEL: Final = b"EXTRACTOR-dtls_srtp"


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
        "_attempt",
        "_budget",
        "_datagrams",
        "_deadline",
        "_handshake",
        "_is_client",
        "_peer",
        "dropped",
        "failure",
        "keys",
        "state",
    )

    state: DtlsState
    failure: str
    """Why it failed, in words for a log; "" while it has not."""
    keys: SrtpKeys | None
    """Those of SRTP, from the moment of CONNECTED on."""
    dropped: int
    """Records that were no part of a handshake, and datagrams beyond what is looked at."""

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
        self.dropped = 0
        self._is_client = is_client
        self._peer = Fingerprints(fingerprints)
        self._datagrams: list[bytes] = []
        self._budget = Budget(MOST_A_SECOND)
        self._deadline: float | None = None
        self._attempt: Attempt | None = None
        role = ClientHandshake if is_client else ServerHandshake
        self._handshake: Handshake | None = role(identity, self._peer, mtu)

    @property
    def hint(self) -> str:
        """What has gone wrong in a handshake so far, by whomever; "" if nothing has."""
        return "" if self._handshake is None else self._handshake.hint

    def start(self, now: float) -> None:
        """Begin: a client says hello, a server waits for that."""
        if self._deadline is None:
            self._deadline = now + HANDSHAKE_SECONDS
        if self._handshake is not None:
            self._handshake.start(now)
            self._take_stock(self._handshake)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram of the peer; what is no DTLS in it is dropped."""
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            return
        if not self._budget.take(max(len(datagram), _LEAST_COST), now):
            self.dropped += 1
            return
        records = list(islice(read_records(datagram), _MOST_RECORDS))
        if not records:
            self.dropped += 1
        elif self._handshake is not None:
            if self._deadline is None:
                self._deadline = now + HANDSHAKE_SECONDS
            self.dropped += self._handshake.receive(records, now)
            self._take_stock(self._handshake)
        elif self._attempt is not None:
            self._go_on(self._attempt, records)

    def take_datagrams(self) -> list[bytes]:
        """Take what is to be sent, each no longer than the MTU."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def next_timeout(self) -> float | None:
        """When to call ``handle_timeout``; None: not at all."""
        if self._handshake is None or self._deadline is None:
            return None
        at = self._handshake.next_timeout()
        return self._deadline if at is None else min(at, self._deadline)

    def handle_timeout(self, now: float) -> None:
        """Send again what was not answered, or give up."""
        if self._handshake is None or self._deadline is None:
            return
        if now >= self._deadline:
            hint = f" ({self.hint})" if self.hint else ""
            why = f"no handshake within {HANDSHAKE_SECONDS:.0f} seconds{hint}"
            self._end(DtlsState.FAILED, why)
            return
        self._handshake.handle_timeout(now)
        self._take_stock(self._handshake)

    def close(self) -> None:
        """Tell the peer that this is the end (close_notify)."""
        if self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            return
        if self._attempt is not None:
            self._say_end(self._attempt)
        self._end(DtlsState.CLOSED)

    # Before there are keys

    def _take_stock(self, handshake: Handshake) -> None:
        """See how far a handshake has come."""
        self._datagrams += handshake.take_datagrams()
        chosen = handshake.chosen
        if handshake.verdict:
            self._end(DtlsState.FAILED, handshake.verdict)
        elif chosen is not None and (chosen.is_done or chosen.is_ended):
            self._attempt = chosen
            if chosen.is_done:
                self._complete(chosen)
            if chosen.is_ended:
                self.close()

    def _complete(self, attempt: Attempt) -> None:
        shown = attempt.connection.get_peer_certificate()
        if shown is None or not self._peer.has(dump_certificate(FILETYPE_ASN1, shown)):
            # So it was before OpenSSL got anything of the peer; keys are worth a second look.
            self._refuse(attempt, WRONG_CERTIFICATE)
            return
        profile = attempt.connection.get_selected_srtp_profile()
        if profile not in _PROFILES:
            self._refuse(attempt, "the peer agrees to no protection profile of SRTP")
            return
        self.keys = self._export(attempt, profile)
        self._end(DtlsState.CONNECTED)

    def _export(self, attempt: Attempt, profile: bytes) -> SrtpKeys:
        """Cut the keying material as RFC 5764, section 4.2, has it: client's before server's."""
        name, key, salt = _PROFILES[profile]
        material = attempt.connection.export_keying_material(_LABEL, 2 * (key + salt))
        salts = material[2 * key :]
        client = material[:key] + salts[:salt]
        server = material[key : 2 * key] + salts[salt:]
        ours, theirs = (client, server) if self._is_client else (server, client)
        return SrtpKeys(profile=name, sends=ours, receives=theirs)

    # After that

    def _go_on(self, attempt: Attempt, records: list[Record]) -> None:
        """Take flights that come again, alerts, and data; in the clear there is nothing more."""
        try:
            for record in records:
                if record.epoch:
                    attempt.receive(record.data)
        except SSL.Error as error:
            self._end(DtlsState.FAILED, words(error))
        self._datagrams += attempt.drain()
        if attempt.is_ended:
            self.close()

    def _refuse(self, attempt: Attempt, why: str) -> None:
        """End an association whose handshake is done, but not to be believed."""
        self._say_end(attempt)
        self._end(DtlsState.FAILED, why)

    def _end(self, state: DtlsState, failure: str = "") -> None:
        """End the handshake, or what it has led to."""
        self.state = state
        self.failure = failure
        # What it has kept for the case of forgeries is not for the time after it.
        self._handshake = None
        if state is not DtlsState.CONNECTED:
            self._attempt = None

    def _say_end(self, attempt: Attempt) -> None:
        attempt.say_end()
        self._datagrams += attempt.drain()
