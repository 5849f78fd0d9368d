"""Calls between two pages that use the module: real media, over a gateway that is none."""

from __future__ import annotations

from typing import Any

from tests.jsapi.scripts import ScriptTestCase

LOUD = 0.1
"""The fake microphone beeps at nearly full scale; silence is 0."""


class CallTests(ScriptTestCase):
    """What an application of the module sees."""

    script = "calls.mjs"

    def test_call(self) -> None:
        """Sound and video go both ways, are counted, and end with the call."""
        call = self.outcome("call")
        self.assertGreater(min(call["heard"]), LOUD)
        self.assertEqual(len(call["seen"]), 2)
        self.assertEqual(call["statistics"]["audio"]["codec"], "opus")
        self.assertGreater(call["statistics"]["video"]["rx"]["packets"], 0)
        self.assertEqual(call["statistics"]["path"]["protocol"], "udp")
        self.assertEqual(call["gatewayStatistics"]["duration"], 1000)
        self.assertEqual([end["cause"] for end in call["ends"]], ["peer", "local"])
        self.assertTrue(call["open"])

    def test_offer(self) -> None:
        """An offer is complete: candidates in their list, none in the description."""
        offer = self.outcome("call")["offer"]
        self.assertNotIn("a=candidate", offer["sdp"])
        self.assertTrue(all(each["candidate"] for each in offer["Candidates"]))
        self.assertGreater(len(offer["Candidates"]), 0)
        self.assertIsNone(offer["answererSessionId"])
        self.assertEqual(offer["tiebreaker"], offer["tieBreaker"])
        texts = self.outcome("call")["texts"]
        self.assertIn('"OK"', texts[1])

    def test_hold_and_resume(self) -> None:
        """Hold silences both, resume undoes it, and with sendonly the other side still hears."""
        seen = self.outcome("holdAndResume")
        self.assertEqual(
            seen["held"], [self.side("inactive", held=True), self.side("inactive", by_peer=True)]
        )
        self.assertEqual(seen["silence"], 0)
        self.assertEqual(seen["resumed"], [self.side("sendrecv"), self.side("sendrecv")])
        self.assertGreater(seen["sound"], LOUD)
        self.assertEqual(
            seen["music"], [self.side("recvonly", by_peer=True), self.side("sendonly", held=True)]
        )
        self.assertGreater(seen["heard"], LOUD)

    def side(self, audio: str, *, held: bool = False, by_peer: bool = False) -> dict[str, Any]:
        """One side of a call with sound alone."""
        return {"held": held, "heldByPeer": by_peer, "audio": audio, "video": None}

    def test_video_comes_and_goes(self) -> None:
        """Video that is added, taken away and added again stays on one m-line."""
        seen = self.outcome("addVideo")
        directions = [
            ["sendrecv"],
            *(["sendrecv", last] for last in ("sendrecv", "sendrecv", "recvonly", "sendrecv")),
        ]
        self.assertEqual(
            [
                [each.removeprefix("a=") for each in line.split() if each.startswith("a=")]
                for line in seen["answer"]
            ],
            directions,
        )
        self.assertGreater(seen["sound"], LOUD)

    def test_digits(self) -> None:
        """Digits go out one after the other; what is no digit is refused."""
        self.assertEqual(
            self.outcome("digits"), {"tones": ["1", "2", "#", ""], "answers": [True, False]}
        )

    def test_data(self) -> None:
        """Data go with the offer, to the other side and to the SIP Server."""
        seen = self.outcome("data")
        self.assertEqual(seen["attached"], [{"key": "Skill", "value": "Sales"}])
        self.assertEqual(seen["heard"]["fields"], {"text": "a b&c", "more": "="})
        self.assertEqual(
            seen["posted"], ["INFO-PEER text=a+b%26c&more=%3D", "INFO-MAP CallType=caf%C3%A9"]
        )

    def test_ways_to_end(self) -> None:
        """Rejected, not answered, refused, and a second call while there is one."""
        self.assertEqual([end["cause"] for end in self.outcome("reject")], ["refused", "rejected"])
        unanswered = self.outcome("noAnswer")
        self.assertEqual((unanswered["ending"]["cause"], unanswered["last"]), ("no-answer", "BYE"))
        for refused in (self.outcome("refused"), self.outcome("refusedInOneGo")):
            self.assertEqual((refused["cause"], refused["type"]), ("refused", "FAILED"))
        self.assertEqual(self.outcome("busy"), "INVALID_STATE_ERROR: There is a call already.")

    def test_redial_at_once(self) -> None:
        """What ends a refused call in old clients comes late, and leaves the next call alone."""
        self.assertEqual(self.outcome("redial"), [None, "peer"])

    def test_poll_fails(self) -> None:
        """Polls are tried again until they work, and what waited comes."""
        seen = self.outcome("pollLoss")
        self.assertEqual(seen["states"], ["signing-in", "signed-in", "reconnecting", "signed-in"])
        self.assertTrue(seen["established"])

    def test_post_fails(self) -> None:
        """A message that fails is sent again, once delivered, and the next one waits for it."""
        seen = self.outcome("postAgain")
        self.assertEqual([text.split('"')[3] for text in seen["posted"]], ["OFFER", "OK"])
        # Two failed offers, the offer, the answer, and its OK.
        self.assertEqual(seen["posts"], 5)

    def test_glare(self) -> None:
        """When two offers cross, both changes come to be, and there is no third m-line."""
        seen = self.outcome("glare")
        self.assertEqual([side["held"] for side in seen["pictures"]], [True, False])
        self.assertEqual([side["video"] for side in seen["pictures"]], ["inactive", "inactive"])
        self.assertEqual(seen["lines"], ["m=audio", "m=video"])
        self.assertEqual(seen["errors"], 1)

    def test_offer_comes_twice(self) -> None:
        """The answer is sent again as it was, and nothing else happens."""
        self.assertEqual(self.outcome("twice"), {"same": True, "established": True, "incoming": 1})

    def test_session_is_forgotten(self) -> None:
        """Whoever is not known any more signs in again."""
        self.assertTrue(self.outcome("forgotten"))

    def test_sign_in_is_refused(self) -> None:
        """The refusal carries its status, and nobody is signed in."""
        seen = self.outcome("signInRefused")
        self.assertEqual((seen["error"]["status"], seen["state"]), (403, "signed-out"))

    def test_page_is_left(self) -> None:
        """The call is hung up, and the session ended."""
        seen = self.outcome("leave")
        self.assertEqual((seen["texts"], seen["ending"]["cause"]), (["BYE"], "peer"))

    def test_path_is_lost(self) -> None:
        """ICE is restarted by itself, with new credentials, and connects again."""
        self.assertEqual(
            self.outcome("restart"), ["connecting", "connected", "failed", "connected"]
        )

    def test_path_is_interrupted(self) -> None:
        """ICE is restarted after some seconds, before the browser gives the path up."""
        seen = self.outcome("interruption")
        self.assertEqual(seen[:4], ["connecting", "connected", "interrupted", "connected"])
        self.assertEqual(seen[4:], ["interrupted", "failed", "connected"])

    def test_talk_and_hold(self) -> None:
        """Talk accepts and resumes, hold holds, and an application may keep both from happening."""
        self.assertEqual(
            self.outcome("talkAndHold"), {"asked": ["talk", "hold", "talk", "hold"], "held": False}
        )

    def test_invite_without_offer(self) -> None:
        """Who is invited without an offer makes it, at first and again later."""
        types = [text.split('"')[3] for text in self.outcome("invite")]
        self.assertEqual([each[:3] for each in types], ["OFF", "OK", "OFF", "OK"])

    def test_old_clients_quirks(self) -> None:
        """Profiles, mids and candidates as old clients write them do no harm."""
        self.assertGreater(min(self.outcome("oldTexts")), LOUD)

    def test_ice_servers(self) -> None:
        """An application of another origin has the gateway's, but no relay without a password."""
        seen = self.outcome("offered")
        self.assertEqual(seen["servers"], [["turn:127.0.0.1:9?transport=udp", "600:1003"]])
        self.assertEqual(seen["asked"], ["GET /api/ice-servers?id=SID"])
        [line] = seen["logged"]
        self.assertTrue(line.startswith("notice: The gateway's relay asks for a name"), line)

    def test_no_ice_servers(self) -> None:
        """Where there are none a call has none: a line in the log, no event, no long wait."""
        for name, seen in self.outcome("nothingOffered").items():
            self.assertEqual(seen["servers"], [], name)
            self.assertEqual(seen["logged"], ["notice: The gateway offers no ICE servers"], name)
            self.assertTrue(seen["soon"], name)

    def test_ice_servers_of_the_application(self) -> None:
        """What the application names is used, and nobody is asked."""
        seen = self.outcome("ownServers")
        self.assertEqual(seen, {"servers": [["stun:127.0.0.1:9", ""]], "asked": False})
