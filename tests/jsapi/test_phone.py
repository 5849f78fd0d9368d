"""The phone's page, used as a person uses it."""

from __future__ import annotations

import json

from suite.web.site import PHONE_HEADERS
from tests.jsapi.scripts import ScriptTestCase


class PhoneTests(ScriptTestCase):
    """The page under the policy that it is served with."""

    script = "phone.mjs"
    wishes = json.dumps({"policy": dict(PHONE_HEADERS)[b"content-security-policy"].decode()})

    def test_call(self) -> None:
        """Two people call, hold, mute, see each other, send digits and data, count, hang up."""
        seen = self.outcome("call")
        self.assertEqual(seen["ringing"]["news"], "1001 is calling.")
        self.assertEqual(seen["ringing"]["title"], "1001 is calling \N{EN DASH} Phone")
        self.assertEqual(seen["held"]["news"], "In a call with 1002.")
        self.assertEqual((seen["muted"], seen["digits"]), ("Unmute", "42#"))
        self.assertLess(seen["silence"], 0.1)
        self.assertEqual(
            seen["data"],
            "They sent: text=gr\u00fc\u00df & so",
        )
        self.assertIn("opus", seen["numbers"][0])
        self.assertRegex(seen["time"], r"^0:\d\d$")
        self.assertEqual([end["trouble"] for end in seen["ends"]], ["", ""])
        self.assertIn("You hung up.", seen["ends"][1]["news"])

    def test_video_call(self) -> None:
        """Each sees the other and themselves, and nothing is wrong at the end."""
        self.assertEqual([end["trouble"] for end in self.outcome("videoCall")], ["", ""])

    def test_keyboard(self) -> None:
        """Without a mouse; and what appears by itself has no key under the finger."""
        order = ["allow-audio", "ringing", "accept", "call", "hang-up", "to"]
        self.assertEqual(self.outcome("keyboard"), order)

    def test_refusals(self) -> None:
        """Each refusal is told in words that say what to do."""
        words = self.outcome("refusals", complaints=True)
        expected = {
            "empty": "Type your DN",
            "refused": "domain-whitelist",
            "unreachable": "Nothing answered at http://127.0.0.1:",
            "nonsense": "is no address of a gateway",
            "codec": "no codec in common with this browser (488)",
            "busy": "did not take the call",
            "NotAllowedError": "allow it, then try again",
            "NotAllowedError in a call": "allow it, then try again",
            "NotFoundError": "Plug in a microphone",
            "NotFoundError in a call": "Plug in a microphone",
        }
        self.assertEqual(set(words), set(expected))
        for name, part in expected.items():
            self.assertIn(part, words[name])

    def test_gateway_is_lost(self) -> None:
        """Without the gateway nothing can be dialled; with it again, all is as before."""
        seen = self.outcome("lost", complaints=True)
        self.assertEqual(seen, {"disabled": True, "again": True, "trouble": False})

    def test_insecure_page(self) -> None:
        """Over plain http the page says from the start why there is no microphone."""
        self.assertTrue(
            all("Open this page over https" in words for words in self.outcome("insecure"))
        )

    def test_looks(self) -> None:
        """On 360 pixels and on a desk, day and night: nothing sticks out, is faint or unnamed."""
        states = self.outcome("looks")
        self.assertEqual(len(states), 36)
        for state in states:
            self.assertEqual(
                (state["overflow"], state["small"], state["unnamed"], state["faint"]),
                (0, [], [], []),
                state["state"],
            )
            self.assertGreater(state["texts"], 12)
            self.assertEqual(state["live"], ["news", "trouble"])
