"""Whole files and all that is said about them, word for word."""

from __future__ import annotations

from pathlib import Path

from suite.config import Arguments, load
from suite.diagnostics import EX_CONFIG, Level, exit_code
from tests.config.machines import MACHINE, ConfigTestCase

GOLDEN = Path(__file__).parent / "golden"


def said_about(path: Path, shown: str) -> str:
    """Every diagnostic on the file, which goes by the name ``shown``."""
    if path.name.startswith("turnserver_"):
        loaded = load(Arguments(turn_config=path), machine=MACHINE)
    else:
        loaded = load(Arguments(config=path), machine=MACHINE)
    lines = [str(each).replace(str(path), shown) for each in loaded.diagnostics]
    return "\n".join([*lines, f"exit {exit_code(loaded.diagnostics)}"]) + "\n"


class GoldenTests(ConfigTestCase):
    """Each golden file against what is expected of it."""

    def test_files(self) -> None:
        """All problems of a file are said in one run, each with its line and the way out."""
        sources = sorted(GOLDEN.glob("*.conf"))
        self.assertTrue(sources)
        for source in sources:
            copy = self.write(source.read_bytes(), source.name)
            expected = source.with_suffix(".expected").read_text()
            self.assertEqual(expected, said_about(copy, source.name), source.name)

    def test_section_of_an_option(self) -> None:
        """A diagnostic names the section, for logs that speak of [section]:[option]."""
        loaded = self.load("[rsmp]\nhttp-port = x\n[turn]\nuser = a:b c\n")
        errors = [each for each in loaded.diagnostics if each.level is Level.ERROR]
        self.assertEqual([("rsmp", "http-port")], [(e.section, e.option) for e in errors])

    def test_no_secret_in_any(self) -> None:
        """The password that stands in the golden files stands in no expectation."""
        for expected in GOLDEN.glob("*.expected"):
            self.assertNotIn("hunter2", expected.read_text())

    def test_secrets_in_a_readable_file(self) -> None:
        """Who else may read the secrets is said; nothing is said if nobody else may."""
        content = "[turn]\nuser = alice:hunter2\n"
        for mode, words in ((0o644, ("warning", "everybody")), (0o640, ("notice", "group"))):
            path = self.write(content, mode=mode)
            self.said(load(Arguments(config=path), machine=MACHINE), *words)
        private = load(Arguments(config=self.write(content)), machine=MACHINE)
        self.silent(private, "may read the secrets")


class FileTests(ConfigTestCase):
    """Files that are no plain UTF-8 text files."""

    GOOD = b"[turn]\nuser = alice:password\nrealm = here\n"

    def test_byte_order_mark(self) -> None:
        """A UTF-8 mark is passed over and mentioned."""
        loaded = self.load(b"\xef\xbb\xbf" + self.GOOD)
        self.assertEqual("here", self.turn(loaded).realm)
        self.said(loaded, "suite.conf:1: notice", "byte order mark")

    def test_crlf(self) -> None:
        """CRLF changes nothing but a notice."""
        loaded = self.load(self.GOOD.replace(b"\n", b"\r\n"))
        self.assertEqual("here", self.turn(loaded).realm)
        self.said(loaded, "notice", "CRLF")

    def test_utf16(self) -> None:
        """A Windows editor's UTF-16 is refused by name."""
        self.refused(self.load(self.GOOD.decode().encode("utf-16")), "UTF-16", "UTF-8")

    def test_not_utf8(self) -> None:
        """A Latin-1 letter is refused with its place, except in a comment."""
        self.refused(self.load(self.GOOD + b"name = caf\xe9\n"), "suite.conf:4:", "byte 11")
        self.settings(self.load(b"# caf\xe9\n" + self.GOOD))

    def test_nul(self) -> None:
        """A NUL is refused."""
        self.refused(self.load(self.GOOD + b"name = a\0b\n"), "suite.conf:4:", "NUL")

    def test_too_large(self) -> None:
        """A file that cannot be a configuration is refused by its size."""
        self.refused(self.load(b"#" * 1_100_000), "larger")

    def test_missing_directory_device_unreadable(self) -> None:
        """What cannot be read is refused with the reason, and exits with 78."""
        file = self.write(self.GOOD)
        for path, word in (
            (file.parent / "absent.conf", "no such file"),
            (file.parent, "directory"),
            (Path("/dev/null"), "not a regular file"),
            (Path("/a\0b"), "impossible"),
        ):
            loaded = load(Arguments(config=path), machine=MACHINE)
            self.refused(loaded, word)
            self.assertEqual(EX_CONFIG, exit_code(loaded.diagnostics))

    def test_not_permitted(self) -> None:
        """A file without permission is refused with the reason."""
        path = self.write(self.GOOD, mode=0o000)
        self.patch(__import__("os"), "access", lambda *_: False)
        self.refused(load(Arguments(config=path), machine=MACHINE), "may not be read by this user")

    def test_long_line(self) -> None:
        """coTURN would break a line over 1 KB; it is taken whole and mentioned."""
        realm = "r" * 1100
        loaded = self.load_turn(f"realm={realm}\nuser=alice:password\n")
        self.assertEqual(realm, self.turn(loaded).realm)
        self.said(loaded, "turnserver.conf:1: warning", "1023 bytes")
