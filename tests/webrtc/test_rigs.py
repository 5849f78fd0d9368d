"""
What the other tests here rely on: that the rigs tell apart what they are to tell apart.

Pages talk to each other directly; nothing of the suite is in between but its relay.
"""

from __future__ import annotations

import time

from tests.webrtc.browsers import PageError
from tests.webrtc.network import SUITE
from tests.webrtc.stage import StageTestCase

_MUTE = """async (milliseconds) => {
  const [sender] = rig.connections.at(-1).getSenders();
  sender.track.enabled = false;
  await new Promise((resolve) => { setTimeout(resolve, milliseconds); });
  sender.track.enabled = true;
}"""


class RigTests(StageTestCase):
    """Chromium and Firefox, with each other."""

    def test_tones(self) -> None:
        """Who is heard is told by the tone, and another tone is not taken for it."""
        one, other = self.direct(self.desk.chromium, self.desk.chromium)
        one.hears(880)
        other.hears(440)
        self.assertRaises(PageError, other.hears, 480, seconds=1)
        self.assertRaises(PageError, other.hears_nothing, seconds=1)

    def test_gap(self) -> None:
        """A pause of a speaker is measured; where there is none, next to nothing is."""
        one, other = self.direct(self.desk.chromium, self.desk.firefox)
        other.hears(440)
        other.watch()
        time.sleep(1)
        self.assertLess(other.gaps().longest, 60)
        other.watch()
        one.run(_MUTE, 3000)
        time.sleep(0.5)
        # Jitter buffers use a silence to make up for lost time: 600 ms of it have been seen to go.
        longest = other.gaps().longest
        self.assertGreater(longest, 1500)
        self.assertLess(longest, 3300)

    def test_pictures(self) -> None:
        """Pictures are counted where they come, in both browsers, and only there."""
        one, other = self.direct(self.desk.firefox, self.desk.chromium, video=True)
        one.sees()
        other.sees()
        one.run("() => rig.connections[0].getSenders().forEach((each) => each.track?.stop())")
        self.assertRaises(PageError, other.sees, seconds=1.5)

    def test_firewall(self) -> None:
        """With nothing but TCP port 443 open, media go by the relay over TLS, or not at all."""
        relay = {"iceServers": self.installed.relay("tls")}
        with self.network.firewall(f"ip daddr {SUITE} tcp dport 443"):
            one, other = self.direct(self.desk.chromium, self.desk.firefox, relayOnly=True, **relay)
            one.hears(880)
            other.hears(440)
            self.assertEqual(one.stats()["local"]["relay"], "tls")
            relay = {"iceServers": self.installed.relay("udp")}
            silent = self.page(self.desk.chromium, relayOnly=True, **relay)
            self.assertNotIn("a=candidate", silent.run("() => rig.offer({ seconds: 2 })"))
