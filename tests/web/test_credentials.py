"""The page's credentials."""

import base64
import hashlib
import hmac

from twisted.trial.unittest import SynchronousTestCase

from suite.web.credentials import CredentialKind, PageCredentials, rest_credential
from turn.settings import CredentialSettings, SecretDigest, StaticUser

NOW = 1_700_000_000.75


def credentials(**settings: object) -> PageCredentials:
    """Make the page's credentials at a fixed moment."""
    return PageCredentials(CredentialSettings(**settings), lambda: NOW)  # type: ignore[arg-type]


class RestCredentialTests(SynchronousTestCase):
    """User name and password made from a shared secret."""

    def test_known_answer(self) -> None:
        """The password is what ``openssl dgst -sha1 -hmac north -binary | base64`` gives."""
        credential = rest_credential("north", 1433065916, "ninefingers")
        self.assertEqual(credential.username, "1433065916:ninefingers")
        self.assertEqual(credential.password, "SDuA3OErhfGFaxmFHH7fTICexdg=")

    def test_sha256(self) -> None:
        """With SHA-256 the password is the longer digest of the same user name."""
        credential = rest_credential("north", 5, "x", digest="sha256")
        expected = hmac.new(b"north", b"5:x", hashlib.sha256).digest()
        self.assertEqual(base64.b64decode(credential.password), expected)

    def test_password_is_not_shown(self) -> None:
        """A credential in a log or a traceback does not tell its password."""
        credential = rest_credential("north", 5, "x")
        self.assertNotIn(credential.password, repr(credential))


class PageCredentialsTests(SynchronousTestCase):
    """Which credentials the page gets from which relay."""

    def test_temporary(self) -> None:
        """A relay with a secret gives the page a credential that ends in ten minutes."""
        page = credentials(use_secrets=True, secrets=("north", "old"))
        self.assertEqual(page.kind, CredentialKind.TEMPORARY)
        self.assertEqual(page.issue(), rest_credential("north", 1_700_000_600, "check-page"))

    def test_digest_and_separator(self) -> None:
        """The relay's own digest and separator are used, or it would refuse."""
        page = credentials(
            use_secrets=True, secrets=("s",), secret_digest=SecretDigest.SHA256, separator="-"
        )
        expected = rest_credential("s", 1_700_000_600, "check-page", digest="sha256", separator="-")
        self.assertEqual(page.issue(), expected)

    def test_static_users(self) -> None:
        """The page never gets the password of a user of the relay."""
        page = credentials(users=(StaticUser("alice", "wonderland"),))
        self.assertEqual(page.kind, CredentialKind.ASK)
        self.assertIsNone(page.issue())

    def test_secret_not_in_use(self) -> None:
        """A secret that the relay was not told to use makes no credential."""
        self.assertIsNone(credentials(secrets=("north",)).issue())

    def test_anonymous(self) -> None:
        """Where no password is asked for there is one all the same, as browsers insist."""
        page = credentials(anonymous=True, use_secrets=True, secrets=("north",))
        credential = page.issue()
        assert credential is not None
        self.assertEqual(page.kind, CredentialKind.ANONYMOUS)
        self.assertEqual(credential.username, "anonymous")
