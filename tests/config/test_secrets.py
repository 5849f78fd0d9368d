"""No secret comes out: not in a diagnostic, not in a repr, whatever is written around it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from suite.config import Arguments, check, load
from suite.option_table import OPTIONS
from suite.options import Mark
from tests import fewer
from tests.config.machines import MACHINE, ConfigTestCase

SECRET_OPTIONS = sorted((row.section, row.name) for row in OPTIONS.rows if row.has(Mark.SECRET))
CORE = "Xk7qZr"
"""Stands in every secret below; no name, path or sentence of ours holds it."""

around = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12)


class SecretTests(ConfigTestCase):
    """Secrets with anything around them."""

    def assert_hidden(self, arguments: Arguments) -> None:
        """Nothing that is printed or represented holds the secret."""
        written: list[str] = []
        check(arguments, machine=MACHINE, write=written.append)
        loaded = load(arguments, machine=MACHINE)
        for text in (*written, repr(loaded), repr(loaded.settings), repr(arguments)):
            self.assertNotIn(CORE, text)

    @fewer(3)
    @given(option=st.sampled_from(SECRET_OPTIONS), before=around, after=around)
    def test_in_files_and_overrides(self, option: tuple[str, str], before: str, after: str) -> None:
        """A secret in either file or on the command line, well formed or not, is never shown."""
        section, name = option
        value = f"{before}{CORE}{after}"
        ini = self.write(f"[{section}]\n{name} = {value}\n")
        conf = self.write(f"{name}={value}\n{name} {value}\n", "turnserver.conf")
        self.assert_hidden(Arguments(config=ini, turn_config=conf))
        self.assert_hidden(Arguments(turn_config=conf, overrides=((f"{section}.{name}", value),)))

    def test_broken_lines(self) -> None:
        """Lines from which a password hangs by a slip of the pen hide it."""
        for line in (
            f"user:alice:{CORE}",
            f"user:alice:{CORE} more",
            f"static-auth-secret:{CORE}",
            f"static-auth-secert={CORE}",
            f"static_auth_secret={CORE}",
            f"{CORE}",
            f"user=alice:0x{CORE}",
            f"-u alice:{CORE}",
            f"user=alice {CORE}",
            f'user="alice:{CORE}',
            f"pkey-pwd {CORE};",
            f"1020 {CORE}",
            f"1020:{CORE}",
            f"1020: = {CORE}",
            f"+{CORE} = 1020",
            f"register-password {CORE}",
        ):
            self.assert_hidden(Arguments(turn_config=self.write(f"{line}\n")))
            for section in ("turn", "users", "b2bua"):
                self.assert_hidden(Arguments(config=self.write(f"[{section}]\n{line}\n")))

    def test_settings_hide_them(self) -> None:
        """Settings made of secrets do not show them in their repr."""
        path = self.write(
            f"[turn]\nuser = alice:{CORE}\nstatic-auth-secret = {CORE}\n"
            f"stateless-nonce-secret = {CORE}\npkey-pwd = {CORE}\n"
        )
        loaded = load(Arguments(config=path), machine=MACHINE)
        turn = self.turn(loaded)
        self.assertEqual((CORE,), turn.credentials.secrets)
        self.assertEqual(CORE, turn.nonce_secret)
        self.assertNotIn(CORE, repr(loaded))


class ArbitraryTextTests(ConfigTestCase):
    """Files that hold anything."""

    LINES = st.lists(
        st.one_of(
            st.text(max_size=40),
            st.sampled_from([f"[{section}]" for section in OPTIONS.sections]),
            st.builds(
                lambda row, joint, value: f"{row.name}{joint}{value}",
                st.sampled_from(OPTIONS.rows),
                st.sampled_from(["=", " = ", " ", ""]),
                st.one_of(
                    st.text(max_size=20),
                    st.sampled_from(["0", "1", "65535", "::1", "localhost", "auto", "false", ""]),
                ),
            ),
        ),
        max_size=12,
    ).map("\n".join)

    @fewer(2)
    @given(st.one_of(LINES.map(lambda text: text.encode("utf-8", "replace")), st.binary()))
    def test_never_raises(self, content: bytes) -> None:
        """Loading either kind of file gives settings or an error, never an exception."""
        path = self.write(content)
        for arguments in (Arguments(config=path), Arguments(turn_config=path)):
            loaded = load(arguments, machine=MACHINE)
            errors = [each for each in loaded.diagnostics if each.level.name == "ERROR"]
            self.assertEqual(loaded.settings is None, bool(errors))
            for each in loaded.diagnostics:
                self.assertTrue(str(each).isprintable())
