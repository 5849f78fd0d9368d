"""Tests of keys and of the OpaqueString profile."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile
from twisted.trial.unittest import SynchronousTestCase

from turn.stun.integrity import md5_key, opaque_string, sha256_key, userhash


class OpaqueStringTests(SynchronousTestCase):
    """The profile of RFC 8265, section 4.2."""

    @given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
    def test_printable_ascii_is_unchanged(self, text: str) -> None:
        """The short cut for plain text gives what the whole profile gives."""
        self.assertEqual(opaque_string(text), get_profile("OpaqueString").enforce(text))
        self.assertEqual(opaque_string(text), text)

    @given(st.text(max_size=8))
    def test_only_value_errors(self, text: str) -> None:
        """A text is mapped, to the same again when mapped twice, or refused."""
        try:
            mapped = opaque_string(text)
        except ValueError:
            return
        self.assertEqual(opaque_string(mapped), mapped)

    def test_mapping(self) -> None:
        """Blanks become spaces, letters are composed, case is kept."""
        self.assertEqual(opaque_string("a\N{NO-BREAK SPACE}B"), "a B")
        self.assertEqual(opaque_string("e\N{COMBINING ACUTE ACCENT}"), "é")
        self.assertEqual(opaque_string("Ж ж"), "Ж ж")

    def test_forbidden(self) -> None:
        """Nothing at all, control characters and invisible ones are refused."""
        for text in ("", "a\tb", "a\n", "\x7f", "The\N{SOFT HYPHEN}M", "\ud800"):
            with self.assertRaises(ValueError, msg=repr(text)):
                opaque_string(text)


class KeyTests(SynchronousTestCase):
    """Long-term keys and USERHASH."""

    def test_md5(self) -> None:
        """The key is the digest of name, realm and password."""
        self.assertEqual(md5_key("u", "r", "p"), hashlib.md5(b"u:r:p").digest())

    def test_sha256(self) -> None:
        """The key is the digest of name, realm and password."""
        self.assertEqual(sha256_key("u", "r", "p"), hashlib.sha256(b"u:r:p").digest())

    def test_userhash(self) -> None:
        """The hash covers name and realm."""
        self.assertEqual(userhash("u", "r"), hashlib.sha256(b"u:r").digest())

    def test_realm_and_password_are_opaque_strings(self) -> None:
        """Different spellings of realm and password make the same key."""
        for make in (md5_key, sha256_key):
            composed = make("u", "é", "a b")
            spelled = make("u", "e\N{COMBINING ACUTE ACCENT}", "a\N{NO-BREAK SPACE}b")
            self.assertEqual(composed, spelled)
            for realm, password in (("\t", "p"), ("r", "\t"), ("r", "")):
                with self.assertRaises(ValueError):
                    make("u", realm, password)

    def test_userhash_is_of_opaque_strings(self) -> None:
        """Different spellings of the name make the same hash."""
        self.assertEqual(userhash("é", "r"), userhash("e\N{COMBINING ACUTE ACCENT}", "r"))

    def test_user_name_is_taken_as_it_came(self) -> None:
        """A name from the wire never makes a key fail, whatever is in it."""
        self.assertEqual(md5_key("a\t", "r", "p"), hashlib.md5(b"a\t:r:p").digest())
