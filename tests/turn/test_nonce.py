"""Tests of turn.nonce."""

from __future__ import annotations

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from turn.nonce import CLOCK_SKEW, NONCE_LENGTH, NonceSource, NonceState, derive_key

NOW = 1_800_000_000.25
CLIENT = ("192.0.2.1", 40000)
REALM = "example.org"


def source(key: bytes = b"k" * 32, lifetime: float = 600, *, anonymity: bool = True) -> NonceSource:
    return NonceSource(key, lifetime, password_algorithms=True, username_anonymity=anonymity)


class NonceSourceTests(SynchronousTestCase):
    """What is issued checks for its client, and nothing else does."""

    def test_own_nonce_is_valid(self) -> None:
        """A nonce is valid for the client it was given to."""
        nonce = source().issue(CLIENT, REALM, NOW)
        self.assertIs(source().check(nonce, CLIENT, REALM, NOW + 5), NonceState.VALID)

    def test_form(self) -> None:
        """It is 28 characters of a quoted string, and begins with the cookie and the features."""
        nonce = source().issue(CLIENT, REALM, NOW)
        self.assertRegex(nonce, r"\AobMatJos2[A-Za-z0-9+/]{4}[A-Za-z0-9_-]{15}\Z")
        self.assertEqual(len(nonce), NONCE_LENGTH)

    def test_features(self) -> None:
        """Bit 0 (the first) says password algorithms, bit 1 user name anonymity."""
        for algorithms, anonymity, bits in (
            (False, False, b"\x00\x00\x00"),
            (True, False, b"\x80\x00\x00"),
            (False, True, b"\x40\x00\x00"),
            (True, True, b"\xc0\x00\x00"),
        ):
            nonces = NonceSource(
                b"k", 600, password_algorithms=algorithms, username_anonymity=anonymity
            )
            self.assertEqual(b64decode(nonces.issue(CLIENT, REALM, NOW)[9:13]), bits)

    def test_bid_down(self) -> None:
        """A nonce whose announced features were changed on the way is forged."""
        nonce = source(anonymity=True).issue(CLIENT, REALM, NOW)
        bare = nonce[:9] + "AAAA" + nonce[13:]
        self.assertIs(source().check(bare, CLIENT, REALM, NOW), NonceState.FORGED)
        other = source(anonymity=False)
        self.assertIs(other.check(nonce, CLIENT, REALM, NOW), NonceState.FORGED)

    def test_other_client_realm_or_key(self) -> None:
        """A nonce is worth nothing from another address, port or realm, or under another key."""
        nonce = source().issue(CLIENT, REALM, NOW)
        for client, realm, key in (
            (("192.0.2.2", 40000), REALM, b"k" * 32),
            (("192.0.2.1", 40001), REALM, b"k" * 32),
            (CLIENT, "example.com", b"k" * 32),
            (CLIENT, REALM, b"l" * 32),
        ):
            state = source(key).check(nonce, client, realm, NOW)
            self.assertIs(state, NonceState.FORGED, (client, realm))

    @given(
        st.tuples(st.ip_addresses().map(str), st.integers(0, 65535)),
        st.tuples(st.ip_addresses().map(str), st.integers(0, 65535)),
    )
    def test_bound_to_any_client(self, one: tuple[str, int], other: tuple[str, int]) -> None:
        """Of any two clients, one's nonce serves the other only if they are the same."""
        nonce = source().issue(one, REALM, NOW)
        expected = NonceState.VALID if one == other else NonceState.FORGED
        self.assertIs(source().check(nonce, other, REALM, NOW), expected)

    def test_parts_do_not_run_together(self) -> None:
        """Digits cannot be shifted from the address to the port or from there to the realm."""
        nonce = source().issue(("192.0.2.1", 12), "3", NOW)
        for client, realm in ((("192.0.2.11", 2), "3"), (("192.0.2.1", 1), "23")):
            self.assertIs(source().check(nonce, client, realm, NOW), NonceState.FORGED)
        state = source().check(nonce, ("192.0.2.1", 123), "", NOW)
        self.assertIs(state, NonceState.FORGED)

    def test_age(self) -> None:
        """A nonce is good through its lifetime, in whole seconds, and stale after it."""
        nonces = source(lifetime=600)
        nonce = nonces.issue(CLIENT, REALM, NOW)
        self.assertIs(nonces.check(nonce, CLIENT, REALM, NOW + 600), NonceState.VALID)
        self.assertIs(nonces.check(nonce, CLIENT, REALM, NOW + 601), NonceState.STALE)

    def test_stale_for_another_is_forged(self) -> None:
        """Age is not told to a client that the nonce was not given to."""
        nonce = source().issue(CLIENT, REALM, NOW)
        state = source().check(nonce, ("192.0.2.9", 1), REALM, NOW + 9999)
        self.assertIs(state, NonceState.FORGED)

    def test_never_stale(self) -> None:
        """With lifetime 0 the age does not count, in either direction."""
        nonces = source(lifetime=0)
        nonce = nonces.issue(CLIENT, REALM, NOW)
        for now in (NOW + 10**9, NOW - 10**9):
            self.assertIs(nonces.check(nonce, CLIENT, REALM, now), NonceState.VALID)

    def test_clock_set_back(self) -> None:
        """A nonce from slightly ahead is valid (a fleet's clocks differ), from far ahead stale."""
        nonce = source().issue(CLIENT, REALM, NOW)
        near, far = NOW - CLOCK_SKEW, NOW - CLOCK_SKEW - 1
        self.assertIs(source().check(nonce, CLIENT, REALM, near), NonceState.VALID)
        self.assertIs(source().check(nonce, CLIENT, REALM, far), NonceState.STALE)

    def test_counter_wraps(self) -> None:
        """In 2106 the seconds pass 2**32 and nothing happens."""
        nonces = source()
        nonce = nonces.issue(CLIENT, REALM, 2**32 - 1)
        self.assertIs(nonces.check(nonce, CLIENT, REALM, 2**32 + 10), NonceState.VALID)
        self.assertIs(nonces.check(nonce, CLIENT, REALM, 2**32 + 1000), NonceState.STALE)

    @given(
        st.one_of(
            st.text(),
            st.text(st.characters(), min_size=28, max_size=28),
            st.text("AZaz09-_+/=\x00", min_size=15, max_size=15).map("obMatJos2wAAA".__add__),
        )
    )
    def test_any_text_is_judged(self, nonce: str) -> None:
        """Arbitrary text, lone surrogates included, is forged; nothing is raised."""
        self.assertIs(source().check(nonce, CLIENT, REALM, NOW), NonceState.FORGED)

    @given(st.integers(0, NONCE_LENGTH - 1), st.characters())
    def test_any_change_is_seen(self, position: int, character: str) -> None:
        """No character can be exchanged for another, the unused bits of the last included."""
        nonce = source().issue(CLIENT, REALM, NOW)
        changed = nonce[:position] + character + nonce[position + 1 :]
        expected = NonceState.VALID if changed == nonce else NonceState.FORGED
        self.assertIs(source().check(changed, CLIENT, REALM, NOW), expected)


class DeriveKeyTests(SynchronousTestCase):
    """The key of one server, and of a fleet."""

    def test_fleet(self) -> None:
        """Servers that share a secret accept each other's nonces, whatever their random bytes."""
        one = source(derive_key("fleet", b"a" * 32))
        other = source(derive_key("fleet", b"b" * 32))
        nonce = one.issue(CLIENT, REALM, NOW)
        self.assertIs(other.check(nonce, CLIENT, REALM, NOW), NonceState.VALID)

    def test_other_secret(self) -> None:
        """Another secret gives another key, and the secret itself is not the key."""
        keys = {derive_key("fleet", b"a" * 32), derive_key("Fleet", b"a" * 32), b"fleet"}
        self.assertEqual(len(keys), 3)

    def test_without_secret(self) -> None:
        """The random bytes are the key; too few are an error."""
        self.assertEqual(derive_key("", b"r" * 32), b"r" * 32)
        self.assertRaises(ValueError, derive_key, "", b"r" * 15)
