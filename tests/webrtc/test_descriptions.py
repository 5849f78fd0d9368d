"""
What both browsers make of our descriptions, one leg alone: each change, and whether media go on.

The browser hears itself: what it says comes back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.run import temporary_folder
from tests.webrtc.browsers import Browser, Desk, Page, PageError, desk
from tests.webrtc.network import SUITE, Network, network

TONE = 440
_ROOT = Path(__file__).resolve().parents[2]
_PAGE = """() => {
  const pc = globalThis.pc = new RTCPeerConnection();
  const gathered = () => new Promise((resolve) => {
    const look = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", look);
    look();
    setTimeout(resolve, 3000);
  });
  const media = (wanted) => navigator.mediaDevices.getUserMedia(wanted);
  globalThis.acts = {
    async speak(wanted) {
      const stream = await media(wanted);
      stream.getTracks().forEach((track) => pc.addTrack(track, stream));
    },
    // As clients did that knew streams only: away with the old one, and another in its place.
    async speakAnew(wanted) {
      pc.getSenders().forEach((sender) => pc.removeTrack(sender));
      await acts.speak(wanted);
    },
    point(ways) {
      pc.getTransceivers().forEach((each, slot) => { each.direction = ways[slot]; });
    },
    stop(slot) {
      pc.getTransceivers()[slot].stop();
    },
    async send(slot) {
      const [transceiver, stream] = [pc.getTransceivers()[slot], await media({ video: true })];
      await transceiver.sender.replaceTrack(stream.getVideoTracks()[0]);
      transceiver.direction = "sendrecv";
    },
  };
  globalThis.describe = {
    async offer(options) {
      await pc.setLocalDescription(await pc.createOffer(options ?? {}));
      await gathered();
      return pc.localDescription.sdp;
    },
    async answer(sdp) {
      await pc.setRemoteDescription({ type: "offer", sdp });
      await pc.setLocalDescription(await pc.createAnswer());
      await gathered();
      return pc.localDescription.sdp;
    },
    take: (sdp) => pc.setRemoteDescription({ type: "answer", sdp }),
  };
}"""


class OneLeg:
    """The leg in its process."""

    def __init__(self, folder: Path, bundle: bool) -> None:
        command = [sys.executable, "-m", "tests.webrtc.one_leg", SUITE, str(folder), str(bundle)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )

    def ask(self, order: str, **more: str) -> str:
        """Have one thing done; the description that comes of it, if any."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": order, **more}).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, str] = json.loads(self._process.stdout.readline())
        return answer.get("sdp", "")

    def end(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)


class OneLegTestCase(SynchronousTestCase):
    """A browser at the desk, and the leg in the data centre."""

    network: ClassVar[Network]
    desk: ClassVar[Desk]
    _stack: ClassVar[ExitStack]
    leg: OneLeg
    page: Page

    @classmethod
    def setUpClass(cls) -> None:
        """Make the networks."""
        with ExitStack() as stack:
            cls.network = stack.enter_context(network())
            cls.desk = stack.enter_context(desk(cls.network, []))
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        """Take them down."""
        cls._stack.close()

    def begin(self, browser: Browser, *, bundle: bool = True) -> None:
        """A page with a connection, and a leg for it."""
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.page = stack.enter_context(browser.page("", tone=TONE))
        self.leg = OneLeg(temporary_folder(self), bundle)
        stack.callback(self.leg.end)
        self.page.run(_PAGE)

    def act(self, what: str, argument: Any = None) -> None:
        """Let the page do something."""
        self.page.run(f"(argument) => acts.{what}(argument)", argument)


class DescriptionTests(OneLegTestCase):
    """What becomes of a session."""

    def offers(self, **options: bool) -> list[str]:
        """The page offers; the directions of our answer."""
        offer = self.page.run("(options) => describe.offer(options)", options)
        answer = self.leg.ask("take", sdp=offer)
        self.page.run("(sdp) => describe.take(sdp)", answer)
        return _directions(answer)

    def is_offered(self, change: str = "") -> None:
        """The page answers our offer."""
        offer = self.leg.ask("offer", change=change)
        answer = self.page.run("(sdp) => describe.answer(sdp)", offer)
        self.leg.ask("answered", sdp=answer)

    def hears_and_sees(self) -> None:
        """Both media come back."""
        self.page.hears(TONE)
        self.page.sees()

    def goes_on(self, browser: Browser, *, bundle: bool = True) -> None:
        """A session with all that becomes of it."""
        self.begin(browser, bundle=bundle)
        self.act("speak", {"audio": True})
        self.assertEqual(self.offers(), ["sendrecv"])
        self.page.hears(TONE)
        self.act("speakAnew", {"audio": True, "video": True})
        self.assertEqual(self.offers(), ["inactive", "sendrecv", "sendrecv"])
        self.hears_and_sees()
        self.act("point", ["inactive"] * 3)
        self.assertEqual(self.offers(), ["inactive"] * 3)
        self.page.hears_nothing()
        self.act("point", ["inactive", "sendrecv", "sendrecv"])
        self.offers()
        self.hears_and_sees()
        self.offers(iceRestart=True)
        self.hears_and_sees()
        self.is_offered("hold")
        self.page.hears_nothing()
        self.is_offered()
        self.hears_and_sees()
        self.is_offered("restart")
        self.hears_and_sees()
        self.act("stop", 2)
        self.offers()
        self.page.hears(TONE)
        self.assertRaises(PageError, self.page.sees, seconds=1)

    def test_chromium(self) -> None:
        """Video by another stream, hold, resume, restarts of both sides, no video."""
        self.goes_on(self.desk.chromium)

    def test_firefox(self) -> None:
        """The same."""
        self.goes_on(self.desk.firefox)

    def test_without_bundle(self) -> None:
        """The same with a transport for each medium."""
        self.goes_on(self.desk.chromium, bundle=False)

    def is_called(self, browser: Browser) -> None:
        """Our offer comes first, and audio; then we bring video, and the page sends some."""
        self.begin(browser)
        self.act("speak", {"audio": True})
        self.offers()
        self.page.hears(TONE)
        self.is_offered("video")
        self.page.hears(TONE)
        self.act("send", 1)
        self.offers()
        self.hears_and_sees()

    def test_video_of_ours_in_chromium(self) -> None:
        """Video that we bring into a session is taken, and answered with some."""
        self.is_called(self.desk.chromium)

    def test_video_of_ours_in_firefox(self) -> None:
        """The same."""
        self.is_called(self.desk.firefox)


def _directions(answer: str) -> list[str]:
    ways = ("sendrecv", "sendonly", "recvonly", "inactive")
    return [line[2:] for line in answer.splitlines() if line[2:] in ways]
