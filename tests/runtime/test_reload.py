"""What of a changed configuration applies at once."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from suite.reload import CREDENTIALS_AT_START, LIVE, TURN_LIVE, plan
from suite.settings import LogLevel, LogSettings, SuiteSettings, TlsSettings, UdpListen
from turn.settings import CredentialSettings, TurnSettings

RUNNING = SuiteSettings(state_directory=Path("/nowhere"), turn=TurnSettings())


class PlanTests(SynchronousTestCase):
    """The difference between what runs and what was read."""

    def test_nothing_changed(self) -> None:
        """Equal settings change nothing."""
        change = plan(RUNNING, replace(RUNNING, turn=TurnSettings()))
        self.assertEqual((change.settings, change.applied, change.waiting), (RUNNING, (), ()))

    def test_users_and_logs_apply(self) -> None:
        """New secrets, quotas and log levels run from now on."""
        turn = TurnSettings(credentials=CredentialSettings(secrets=("new",)), user_quota=3)
        read = replace(RUNNING, turn=turn, log=LogSettings(verbose=LogLevel.DEBUG))
        change = plan(RUNNING, read)
        self.assertEqual(change.settings, read)
        self.assertEqual(set(change.applied), {"turn.credentials", "turn.user_quota", "log"})
        self.assertEqual(change.waiting, ())

    def test_sockets_wait(self) -> None:
        """Listeners and the port range stay, are named, and the rest applies."""
        read = replace(
            RUNNING,
            udp=(UdpListen(address=("127.0.0.1", 1)),),
            turn=TurnSettings(min_port=50000, total_quota=9),
        )
        change = plan(RUNNING, read)
        self.assertEqual(change.settings, replace(RUNNING, turn=TurnSettings(total_quota=9)))
        self.assertEqual(change.applied, ("turn.total_quota",))
        self.assertEqual(set(change.waiting), {"udp", "turn.min_port"})

    def test_what_the_relay_does_not_take_over_waits(self) -> None:
        """The realm, and of the credentials the database and the algorithms, wait and are named."""
        credentials = CredentialSettings(database="/other.db", secrets=("new",))
        read = replace(RUNNING, turn=TurnSettings(realm="other", credentials=credentials))
        change = plan(RUNNING, read)
        kept = TurnSettings(credentials=CredentialSettings(secrets=("new",)))
        self.assertEqual(change.settings.turn, kept)
        self.assertEqual(change.applied, ("turn.credentials",))
        self.assertEqual(change.waiting, ("turn.credentials.database", "turn.realm"))

    def test_switching_a_part_waits(self) -> None:
        """A relay or TLS that is switched on or off waits for a start."""
        off = replace(RUNNING, turn=None)
        tls = TlsSettings(certificate=Path("c"), private_key=Path("k"))
        self.assertEqual(plan(RUNNING, off).waiting, ("turn",))
        self.assertEqual(plan(off, RUNNING).waiting, ("turn",))
        self.assertEqual(plan(RUNNING, replace(RUNNING, tls=tls)).waiting, ("tls",))

    def test_other_certificate_files_apply(self) -> None:
        """Another certificate is a reload, not a restart."""
        old = TlsSettings(certificate=Path("c"), private_key=Path("k"))
        change = plan(replace(RUNNING, tls=old), replace(RUNNING, tls=replace(old, minimum="1.3")))
        self.assertEqual(change.applied, ("tls",))

    def test_the_own_certificate_waits_with_its_folder(self) -> None:
        """The install's own certificate stands in the state directory, which stays till a start."""
        old = TlsSettings(certificate=Path("/a/c"), private_key=Path("/a/k"))
        new = TlsSettings(certificate=Path("/b/c"), private_key=Path("/b/k"))
        running = replace(RUNNING, tls=old)
        change = plan(running, replace(RUNNING, tls=new, state_directory=Path("/b")))
        self.assertEqual(change.settings, running)
        self.assertEqual(set(change.waiting), {"tls", "state_directory"})

    def test_the_lists_name_real_fields(self) -> None:
        """A renamed field cannot fall out of the lists unseen."""
        self.assertLessEqual(LIVE, {field.name for field in fields(SuiteSettings)})
        self.assertLessEqual(TURN_LIVE, {field.name for field in fields(TurnSettings)})
        names = {field.name for field in fields(CredentialSettings)}
        self.assertLessEqual(CREDENTIALS_AT_START, names)
