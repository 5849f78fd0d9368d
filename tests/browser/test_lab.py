"""The lab's page in Chromium, in front of a lab that is none."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.coturn import free_ports, process, wait_for
from tests.browser.run import missing, run_browser, temporary_folder
from tests.programs import lack


class LabPageTests(SynchronousTestCase):
    """What a person sees and does."""

    def setUp(self) -> None:
        """There must be a browser."""
        lack(missing())

    def browse(self, **wishes: object) -> dict[str, Any]:
        """Open the page; it must not complain or call another host."""
        (port,) = free_ports(1)
        context = process([sys.executable, "-m", "tests.browser.serve_lab", str(port)])
        serving = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        wait_for(port, serving)
        url = f"http://localhost:{port}/lab"
        answer = run_browser("lab.mjs", url, home=temporary_folder(self), **wishes)
        self.assertEqual(answer["complaints"], [])
        return answer

    def test_picture(self) -> None:
        """Servers, calls with the keys that fit them, DNs, the B2BUA's view and a ladder."""
        answer = self.browse()
        self.assertEqual(answer["news"], "SIP Server A is in use. 3 DNs registered, 2 calls up.")
        self.assertEqual([each["used"] for each in answer["servers"]], [True, False, False])
        self.assertEqual(
            [(each["who"], each["keys"]) for each in answer["calls"]],
            [
                ("c3: 7001 → music", ["Talk", "Hang up", "Ladder"]),
                ("c2: 7002 → echo", ["Hold", "Hang up", "Ladder"]),
                ("c1: 7001 → 7999", ["Ladder"]),
            ],
        )
        self.assertIn("127.0.0.11:5060 UDP (in use, generation 1)", answer["gateway"])
        self.assertEqual(answer["registered"][0][:3], ["7001", "A", "2 min 11 s"])
        self.assertEqual(len(answer["arrows"]), 17)

    def test_press(self) -> None:
        """Keys do what they say, the answer is told, and the picture follows."""
        answer = self.browse(press=["Kill server A", "Name server off"])
        self.assertEqual(answer["heard"], ["SIP Server A is killed.", "The name server is off."])
        self.assertEqual(
            answer["news"],
            "SIP Server B is in use, A is killed, the name server is silent. "
            "3 DNs registered, 2 calls up.",
        )
        statuses = [each["status"] for each in answer["servers"]]
        self.assertEqual(statuses, ["fails", "works", "fails"])

    def test_command(self) -> None:
        """What is typed goes to the lab word by word."""
        answer = self.browse(command="  call  7001 7999 ")
        self.assertEqual(answer["heard"], ["c4: 7001 calls 7999."])

    def test_choose_a_ladder(self) -> None:
        """Another ladder can be chosen, and stays."""
        self.assertEqual(self.browse(ladder="others")["arrows"], ["OPTIONS"])

    def test_stands_still(self) -> None:
        """While the lab stands still, so does the page: nothing is made anew."""
        self.assertEqual(self.browse()["steady"], [])

    def test_phone(self) -> None:
        """Nothing but the ladder is wider than a phone, and every key is big enough for a thumb."""
        path = temporary_folder(self) / "page.png"
        answer = self.browse(phone=True, dark=True, screenshot=str(path))
        self.assertEqual(self.width(path), 2 * 390)
        self.assertEqual(answer["overflow"], 0)
        self.assertEqual(answer["small"], [])

    def test_contrast(self) -> None:
        """Every text stands out, the ladder's too, by day and by night (WCAG AA)."""
        for dark in (False, True):
            answer = self.browse(dark=dark, press=["Freeze server B"])
            self.assertGreater(len(answer["contrasts"]), 80)
            for text, ratio in answer["contrasts"]:
                self.assertGreaterEqual(ratio, 4.5, text)

    def test_accessible(self) -> None:
        """Every field, key and drawing has a name."""
        self.assertEqual(self.browse()["unnamed"], [])

    def width(self, picture: Path) -> int:
        """How wide a PNG is."""
        wide: int = struct.unpack("!II", picture.read_bytes()[16:24])[0]
        return wide
