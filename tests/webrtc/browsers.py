"""
Chromium and Firefox at the desk, worked from Python: a node process does what JSON lines ask for.

A `Page` is one user's: nothing is shared with others of the same browser. Its microphone says a
tone of its own, so that who is heard can be told apart.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browser.run import CHROMIUM, MODULES, missing
from tests.programs import lack, require_program, running
from tests.webrtc.network import Network

FIREFOX = os.environ.get("FIREFOX", "/usr/bin/firefox-esr")
_DRIVER = Path(__file__).with_name("driver.mjs")
_PATIENCE = 30.0


class PageError(AssertionError):
    """What a page or a browser could not do."""


@dataclass(frozen=True)
class Ticket:
    """Something under way in a page."""

    driver: Driver
    number: int

    def result(self, timeout: float = _PATIENCE) -> Any:
        """Wait for its end; raises PageError for a failure."""
        return self.driver.collect(self.number, timeout)


class Driver:
    """The node process at the desk. ``url`` is where it serves the tests' own pages."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._answers: dict[int, dict[str, Any]] = {}
        self._pending = b""
        self._last = 0
        self.url = f"http://localhost:{self.collect(0)}"

    def begin(self, order: str, **wishes: object) -> Ticket:
        """Have something done, without waiting for it."""
        self._last += 1
        assert self._process.stdin is not None
        line = json.dumps({"id": self._last, "do": order, **wishes})
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return Ticket(self, self._last)

    def ask(self, order: str, **wishes: object) -> Any:
        """Have something done."""
        return self.begin(order, **wishes).result()

    def collect(self, number: int, timeout: float = _PATIENCE) -> Any:
        """What a ticket came to."""
        deadline = time.monotonic() + timeout
        while number not in self._answers:
            self._read(deadline - time.monotonic())
        answer = self._answers.pop(number)
        if "error" in answer:
            raise PageError(answer["error"])
        return answer["value"]

    def _read(self, timeout: float) -> None:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, timeout))
        data = os.read(self._process.stdout.fileno(), 1 << 20) if readable else b""
        if not data:
            what = "ended" if readable else "is not done in time"
            raise PageError(f"the browsers' driver {what}:\n{self._log.read_text()[-4000:]}")
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            self._answers[answer["id"]] = answer


@dataclass(frozen=True)
class Browser:
    """One that runs."""

    driver: Driver
    number: int
    kind: str

    def crash(self) -> None:
        """End it at once, with all of its pages; Chromium only."""
        self.driver.ask("crash", browser=self.number)

    @contextmanager
    def page(self, url: str = "", *, tone: int = 440, **rig: object) -> Iterator[Page]:
        """Open a page for a user whose microphone says ``tone``; it is closed at the end."""
        number = self.driver.ask(
            "open",
            browser=self.number,
            url=url or f"{self.driver.url}/blank.html",
            rig={"tone": tone, **rig},
        )
        page = Page(self.driver, number, tone)
        try:
            yield page
        finally:
            page.shut()


@dataclass
class Page:
    """What one user looks at, and how it is worked."""

    driver: Driver
    number: int
    tone: int
    is_open: bool = True

    def begin(self, text: str, argument: object = None) -> Ticket:
        """Start a function of JavaScript, given as text, in the page."""
        return self.driver.begin("evaluate", page=self.number, text=text, argument=argument)

    def run(self, text: str, argument: object = None) -> Any:
        """Call a function of JavaScript, given as text, in the page."""
        return self.begin(text, argument).result()

    def press(self, selector: str) -> None:
        """Click."""
        self.driver.ask("press", page=self.number, selector=selector)

    def type(self, selector: str, text: str) -> None:
        """Fill a field."""
        self.driver.ask("type", page=self.number, selector=selector, text=text)

    def load(self, package: str) -> None:
        """Put what an npm package exports into the page."""
        self.driver.ask("load", page=self.number, name=package)

    def reload(self) -> None:
        """As by F5."""
        self.driver.ask("reload", page=self.number)

    def shut(self) -> None:
        """Close the tab, as users do: without a word."""
        if self.is_open:
            self.is_open = False
            self.driver.ask("shut", page=self.number)

    def complaints(self) -> list[str]:
        """Errors of its console since the last time."""
        found: list[str] = self.driver.ask("complaints", page=self.number)
        return found

    # What the user hears and sees.

    def hears(self, hz: int | None, seconds: float = 10) -> int:
        """Wait until that tone is heard, or any sound; gives the milliseconds that it took."""
        got = self.run("(wish) => rig.untilHeard(wish)", {"hz": hz, "seconds": seconds})
        if not got["ok"]:
            raise PageError(f"{hz or 'no'} Hz not heard, but {got}; {self.stats()}")
        return int(got["after"])

    def hears_nothing(self, seconds: float = 10) -> int:
        """Wait until all has been quiet for half a second; gives the milliseconds it took."""
        got = self.run("(wish) => rig.untilSilent(wish)", {"seconds": seconds})
        if not got["ok"]:
            raise PageError(f"not silent: {got}; {self.stats()}")
        return int(got["after"])

    def sees(self, count: int = 5, seconds: float = 15) -> None:
        """Wait until so many more pictures have been decoded."""
        got = self.run("(wish) => rig.untilSeen(wish)", {"count": count, "seconds": seconds})
        if got < count:
            raise PageError(f"{got} pictures decoded in {seconds} s, not {count}; {self.stats()}")

    def watch(self) -> None:
        """Begin to take note of every moment of what is heard."""
        self.run("() => rig.watch()")

    def gaps(self) -> Gaps:
        """End that; what was missing."""
        return Gaps(**self.run("() => rig.gaps()"))

    def stats(self) -> Any:
        """What the browser tells of its latest connection."""
        return self.run("() => rig.stats()")


@dataclass(frozen=True)
class Gaps:
    """What was missing of a sound, in milliseconds."""

    longest: int
    """Of silence in one piece."""
    after: int
    """When that began."""
    watched: int
    concealed: int
    """What the browser made up for packets that did not come in time; None where it is not told."""


@dataclass
class Desk:
    """Where browsers are started; each kind once, with the trust that ``home`` has."""

    driver: Driver
    home: Path
    network: Network
    _stack: ExitStack
    _running: dict[str, Browser] = field(default_factory=dict)

    @property
    def chromium(self) -> Browser:
        """Chromium with nothing special."""
        return self._one("chromium")

    @property
    def firefox(self) -> Browser:
        """Firefox with nothing special."""
        lack(None if Path(FIREFOX).exists() else f"{FIREFOX} is not installed")
        lack(None if (MODULES / "puppeteer-core").is_dir() else "puppeteer-core is not installed")
        return self._one("firefox", environment={"PULSE_SERVER": f"unix:{self._sound()}"})

    def _one(self, kind: str, **options: object) -> Browser:
        if kind not in self._running:
            self._running[kind] = self.launch(kind, **options)
        return self._running[kind]

    def _sound(self) -> Path:
        """The socket of a sound card that nobody hears: without any Firefox plays no sound."""
        path = self.home / "sound"
        if path.exists():
            return path
        protocol = f"module-native-protocol-unix auth-anonymous=1 socket={path}"
        command = self.network.at_the_desk(
            *(require_program("pulseaudio"), "-n", "--daemonize=no", "--use-pid-file=no"),
            *("--exit-idle-time=-1", "--load=module-null-sink", f"--load={protocol}"),
        )
        own = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home)}
        card = self._stack.enter_context(running(command, self.home / "sound.log", own))
        card.wait_for(path.exists, "open")
        return path

    def launch(self, kind: str, **options: object) -> Browser:
        """Another one; ``options`` are those of chromium.mjs and firefox.mjs."""
        number = self.driver.ask("launch", kind=kind, home=str(self.home), **options)
        return Browser(self.driver, number, kind)

    @contextmanager
    def launched(self, kind: str, **options: object) -> Iterator[Browser]:
        """Another one until the end of the block."""
        browser = self.launch(kind, **options)
        try:
            yield browser
        finally:
            self.driver.ask("quit", browser=browser.number)


@contextmanager
def desk(network: Network, authorities: Sequence[Path] = ()) -> Iterator[Desk]:
    """Let browsers be started at the desk that trust these; all are gone at the end."""
    lack(missing())
    with tempfile.TemporaryDirectory(
        prefix="webrtc-suite-test-", ignore_cleanup_errors=True
    ) as name:
        home, log = Path(name), Path(name, "driver.log")
        _trust(home, authorities)
        with log.open("wb") as errors:
            process = subprocess.Popen(
                network.at_the_desk(require_program("node"), str(_DRIVER)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "CHROMIUM": CHROMIUM, "FIREFOX": FIREFOX},
            )
        try:
            with ExitStack() as stack:
                yield Desk(Driver(process, log), home, network, stack)
        finally:
            process.communicate(timeout=20)


def _trust(home: Path, authorities: Sequence[Path]) -> None:
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    orders = [["-N", "--empty-password"]]
    for number, path in enumerate(authorities):
        orders.append(["-A", "-t", "C,,", "-n", f"test authority {number}", "-i", str(path)])
    for order in orders:
        command = [require_program("certutil"), "-d", f"sql:{database}", *order]
        subprocess.run(command, check=True, capture_output=True, timeout=10)
