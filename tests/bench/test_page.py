"""The tables of docs/performance.md, and the profiles among them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.instructions import NATIVE, grown, per_packet
from benchmarks.load import HERE, LoadFailed
from benchmarks.page import NOTHING, PAGE, RESULTS, TABLES, filled
from benchmarks.profiles import condensed, share_of, stacks

ROW: dict[str, Any] = {
    "name": "udp-172", "figure": "CPU", "goal": {"must": 0.95, "aim": 0.8, "at_least": False},
    "measured": 0.7, "ours": "5 us", "peer": "7 us", "note": "", "verdict": "aim met",
    "facts": {"ours_delay_ms": [0.1, 0.2, 0.3], "peer_delay_ms": [0.4, 0.5, 0.6]},
}  # fmt: skip
GROWN = ROW | {"name": "growth-5000", "goal": None, "measured": None, "verdict": "FAILED"}
ABOUT = {"date": "2026-01-02", "CPUs": "2", "data plane": "native"}

SENDING = """\
        ffffffff820442c2 udp_sendmsg ([kernel.kallsyms])
        ffffffff81e2e830 __x64_sys_sendto ([kernel.kallsyms])
        10ad0c __libc_sendto (/usr/lib/x86_64-linux-gnu/libc.so.6)
"""
IN_PYTHON = "        12b25d _PyEval_EvalFrameDefault (/usr/bin/python3.11)\n"
SWITCHED = "        ffffffff813a2293 finish_task_switch.isra.0 ([kernel.kallsyms])\n" + IN_PYTHON


class PageTests(SynchronousTestCase):
    """What the page says is what was measured."""

    def folder(self, *rows: dict[str, Any]) -> Path:
        """A folder of results with these rows of the relay."""
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        document = {"circumstances": ABOUT, "extent": "Full run", "rows": rows}
        (folder / "relay.json").write_text(json.dumps(document))
        return folder

    def test_the_page_is_that_of_the_results(self) -> None:
        """Whoever brings new results runs ``python -m benchmarks.page``."""
        self.assertEqual(PAGE.read_text(), filled(PAGE.read_text(), RESULTS))

    def test_every_table_has_its_place(self) -> None:
        """The page has markers for each of them."""
        text = PAGE.read_text()
        self.assertEqual([name for name in TABLES if f"<!-- table: {name} -->" not in text], [])

    def test_what_was_not_measured(self) -> None:
        """Is said to be so, in place of any older table."""
        empty = Path("/nowhere")
        for name in TABLES:
            text = f"a\n<!-- table: {name} -->\n| old |\n<!-- end -->\nb\n"
            expected = f"a\n<!-- table: {name} -->\n{NOTHING}<!-- end -->\nb\n"
            self.assertEqual(filled(text, empty), expected)

    def test_rows(self) -> None:
        """A row is a line, with its goals; those of growth have a table of their own."""
        folder = self.folder(ROW, GROWN)
        lines = TABLES["relay"](folder).splitlines()
        self.assertEqual(
            lines[2:], ["| `udp-172` | CPU | 5 us | 7 us | 0.700 | <= 0.95 | <= 0.8 | aim met |"]
        )
        self.assertIn("| 5000 | 5 us | 7 us | failed |", TABLES["relay-growth"](folder))
        self.assertIn(
            "2026-01-02, full run: CPUs 2, data plane native.", TABLES["relay-about"](folder)
        )

    def test_delays(self) -> None:
        """Of each row that has them."""
        found = TABLES["relay-delays"](self.folder(ROW, ROW | {"facts": {}}))
        self.assertEqual(len(found.splitlines()), 3)
        self.assertIn("| `udp-172` | 0.100 ms | 0.200 ms | 0.300 ms | 0.400 ms |", found)

    def test_browsers(self) -> None:
        """Nobody is beside ours, so a line says how it was measured."""
        row = ROW | {"name": "click", "goal": None, "measured": 207.4, "note": "10 calls | music"}
        folder = self.folder()
        document = {"circumstances": ABOUT, "extent": "Full run", "rows": [row]}
        (folder / "browser.json").write_text(json.dumps(document))
        lines = TABLES["browser"](folder).splitlines()
        line = "| `click` | CPU | 207 | 5 us |  |  | aim met | 10 calls / music |"
        self.assertEqual(lines[2:], [line])
        self.assertIn("CPUs 2", TABLES["browser-about"](folder))

    def test_profiles(self) -> None:
        """A column for each, of one data plane; a share that one has not is none there."""
        folder = self.folder()
        profiles = [
            {"name": "relay", "plane": "native", "samples": 9, "shares": {"a": 60.0, "b": 40.0}},
            {"name": "bridge", "plane": "native", "samples": 8, "shares": {"b": 100.0}},
            {"name": "relay", "plane": "python", "samples": 7, "shares": {"c": 100.0}},
        ]
        (folder / "profile.json").write_text(json.dumps(profiles))
        lines = TABLES["profile-native"](folder).splitlines()
        expected = ["| b | 40 % | 100 % |", "| a | 60 % | 0 % |", "| samples | 9 | 8 |"]
        self.assertEqual(lines[2:], expected)


class ProfileTests(SynchronousTestCase):
    """What perf prints, as shares."""

    def test_shares(self) -> None:
        """The kernel's part by the system call, all else by the file of the innermost frame."""
        other = IN_PYTHON.replace("/usr/bin/python3.11", "/x/suite/datapath/_native.so")
        shares, samples = condensed(stacks("\n\n".join([SENDING, IN_PYTHON, SENDING, other])))
        self.assertEqual(samples, 4)
        self.assertEqual(shares, {"kernel: send": 50.0, "Python": 25.0, "native data plane": 25.0})

    def test_getting_the_core_back(self) -> None:
        """Is no work."""
        shares, samples = condensed(stacks("\n".join([SWITCHED, IN_PYTHON])))
        self.assertEqual((shares, samples), ({"Python": 100.0}, 1))

    def test_names_of_python_do_not_count(self) -> None:
        """Only the kernel and libc send; a function of ours with such a name is code."""
        stack = [("recvfrom_ready", "/x/suite/datapath/_native.so")]
        self.assertEqual(share_of(stack), "native data plane")
        self.assertEqual(share_of([("page_fault", "[kernel.kallsyms]"), *stack]), "kernel: other")
        self.assertEqual(share_of([]), "other")


class InstructionTests(SynchronousTestCase):
    """What valgrind counted, as a guard."""

    @skipIf(shutil.which("cc") is None, "there is no C compiler")
    def test_the_driver_fits_the_core(self) -> None:
        """It is compiled only where it is used, and the core's functions change."""
        command = ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Werror", "-fsyntax-only", f"-I{NATIVE}"]
        driver = str(HERE / "instructions.c")
        done = subprocess.run([*command, driver], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_per_packet(self) -> None:
        """By the packets that came out; without any there is no figure."""
        valgrind = "==1== Events    : Ir\n==1== Collected : 2445510\n"
        self.assertEqual(per_packet("5000\n", valgrind), 489.1)
        for output, said in (("0\n", valgrind), ("", valgrind), ("5\n", "killed")):
            self.assertRaises(LoadFailed, per_packet, output, said)

    def test_what_has_grown(self) -> None:
        """A tenth more is the most; what is new is compared with nothing."""
        before = {"up": 100.0, "down": 100.0}
        self.assertEqual(grown(before, {"up": 109.0, "down": 111.0, "trains": 900.0}), ["down"])
