"""Existing applications: the global Grtc beside jQuery."""

from __future__ import annotations

from tests.jsapi.scripts import ScriptTestCase
from tests.jsapi.test_calls import LOUD

SIGNED_IN = ["onMediaSuccess", "onDisconnect", "onRegister"]


class ClassicTests(ScriptTestCase):
    """What an application of the historic interface sees."""

    script = "classic.mjs"

    def test_call(self) -> None:
        """Events come in their order on both sides, with sound, data and statistics."""
        seen = self.outcome("call")
        self.assertGreater(seen["heard"], LOUD)
        self.assertEqual(seen["offered"], [{"key": "Skill", "value": "Sales"}])
        self.assertEqual(
            seen["first"], [*SIGNED_IN, "onCallEvent", "onCallEvent", "onRemoteStream"]
        )
        incoming = ["onCallEvent", "onIncomingCall", "onCallEvent", "onRemoteStream"]
        self.assertEqual(seen["answered"], [*SIGNED_IN, *incoming])
        self.assertEqual(seen["enabled"], [True, False, False, True, 0, -1])
        self.assertEqual(seen["information"], {"text": "a+b"})
        # Each is a request of its own, and the browser may have several on their way.
        posted = ["GET-STATS", "INFO-MAP CallType=x", "INFO-PEER text=a+b"]
        self.assertEqual(sorted(seen["posted"]), posted)
        self.assertEqual(seen["ends"], [[0, None, "new", None]] * 2)
        self.assertEqual(seen["out"], [-1, "onDisconnect"])
        self.assertEqual(seen["jquery"], ["function", True])

    def test_ice_servers(self) -> None:
        """An application that names none, on another origin, has those of its gateway."""
        self.assertEqual(self.outcome("offered"), [["turn:127.0.0.1:9?transport=udp", "600:1003"]])

    def test_video(self) -> None:
        """Video is added by a new stream and an offer, within the bandwidth; filters hold."""
        seen = self.outcome("video")
        self.assertEqual(seen["size"], [320, 180])
        self.assertEqual(seen["lines"], [["m=audio"], ["m=audio", "m=video"]])
        self.assertEqual(seen["limit"], ["b=AS:500"])
        self.assertFalse(seen["tcp"])
        self.assertGreater(seen["count"], 0)

    def test_ways_to_end(self) -> None:
        """Rejected, not answered, refused."""
        state, names = self.outcome("rejected")
        self.assertEqual((state, names[-1]), (0, "onPeerClosing"))
        self.assertEqual(self.outcome("noAnswer"), 0)
        self.assertEqual(self.outcome("refused"), {"error": "FAILED"})

    def test_talk_and_hold(self) -> None:
        """Both are told, and done."""
        told = [{"event": "talk", "peer": "1001"}, {"event": "hold", "peer": "1001"}]
        self.assertEqual(self.outcome("talk"), told)

    def test_ice_is_lost(self) -> None:
        """The application is told, and its next offer restarts ICE."""
        self.assertEqual(self.outcome("iceLost"), {"status": "ICE Failed"})

    def test_poll(self) -> None:
        """A failed poll is told and tried again; a success without a message is the end."""
        self.assertEqual(self.outcome("pollLoss"), [[500], False])
        self.assertEqual(self.outcome("dismissed"), -1)

    def test_sign_in(self) -> None:
        """Anonymous by GET, with a password by POST; each begins with a sign-out."""
        seen = self.outcome("signIn")
        names = [
            "onDisconnect",
            "onConnect",
            "onDisconnect",
            "onRegister",
            "onDisconnect",
            "onFailed",
        ]
        self.assertEqual(seen["names"], names)
        self.assertRegex(seen["anonymous"], "^anon.{32}$")
        self.assertEqual(seen["registered"], ["1003", 32])
        self.assertEqual(seen["out"], -1)
        self.assertEqual(
            seen["requests"],
            [f"GET /sign_in?{seen['anonymous']}", "POST /sign_in", "POST /sign_in"],
        )

    def test_errors(self) -> None:
        """What is thrown and what is only logged; what cannot be any more is warned of."""
        seen = self.outcome("errors")
        self.assertEqual(seen["thrown"], [[True, "CONFIGURATION_ERROR"]] * 6)
        self.assertIn("dtls_srtp=false cannot be", seen["said"][0])
        self.assertIn("setRenewSessionOnNeed is not needed", seen["said"][1])
        self.assertEqual(len(seen["said"]), 4)
        self.assertEqual(seen["status"], ["new", False, -1])

    def test_names(self) -> None:
        """Every name of the declarations is there."""
        seen = self.outcome("names")
        self.assertEqual(seen["missing"], [])
        self.assertTrue(all(count > 20 for count in seen["counts"]), seen["counts"])

    def test_callbacks(self) -> None:
        """Lists of functions behave as jQuery's, whatever is done to them."""
        self.assertEqual(self.outcome("callbacks"), "the same")
