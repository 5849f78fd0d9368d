"""
The one reactor of the process: Twisted's asyncio reactor over a uvloop loop.

aioice needs asyncio, and uvloop is the cheapest loop measured. Where uvloop is missing (PyPy, no
wheel), the standard loop serves; the start log says which. Install it before anything imports
``twisted.internet.reactor``, and never from the plugin file, which every twistd command reads.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from typing import cast

from twisted.internet import asyncioreactor
from twisted.internet.main import installReactor

from suite.clock import use_monotonic_time

REFUSAL = (
    "twistd webrtc-suite brings its own reactor (asyncio, over uvloop where it is installed), "
    "but {name} is installed already. Leave out twistd's --reactor option; it is not for this "
    "subcommand."
)


class OtherReactorInstalled(Exception):
    """Another reactor was installed first; its name is in the sentence."""


class MillisecondReactor(asyncioreactor.AsyncioSelectorReactor):
    """
    Asks its loop only for moments that the loop can meet.

    uvloop counts in whole milliseconds and rounds, so it wakes up before the moment as often as
    after it. The reactor then finds nothing due and asks again, for a wait that is rounded to
    none: it spins until the moment comes. Two milliseconds late is soon enough for any timer.
    """

    def timeout(self) -> float | None:
        """How long to wait for the next delayed call: rounded up, and one for the loop's own."""
        wait: float | None = super().timeout()
        return (int(1000 * wait) + 2) / 1000 if wait else wait


def install() -> None:
    """
    Make the loop, make it the thread's loop, and install the reactor over it.

    An asyncio reactor that is installed already (``--reactor=asyncio``) is used as it is. Any
    other one raises OtherReactorInstalled: ICE would not work on it.
    """
    installed: object = sys.modules.get("twisted.internet.reactor")
    if installed is None:
        loop = _loop_factory()()
        asyncio.set_event_loop(loop)
        installReactor(MillisecondReactor(loop))
    elif not isinstance(installed, asyncioreactor.AsyncioSelectorReactor):
        raise OtherReactorInstalled(REFUSAL.format(name=type(installed).__name__))
    use_monotonic_time(sys.modules["twisted.internet.reactor"])


def get_loop() -> asyncio.AbstractEventLoop:
    """
    The loop under the reactor.

    While services start no loop is running yet, so ``asyncio.get_running_loop`` fails there; ask
    here instead.
    """
    installed: object = sys.modules.get("twisted.internet.reactor")
    if not isinstance(installed, asyncioreactor.AsyncioSelectorReactor):
        raise RuntimeError("the suite's reactor is not installed")
    return installed._asyncioEventloop


def loop_under(reactor: object) -> asyncio.AbstractEventLoop | None:
    """The loop under this reactor; None if it is of another kind."""
    if isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        return reactor._asyncioEventloop
    return None


def loop_name() -> str:
    """Which loop runs, for the start log: ``uvloop 0.22.1`` or ``asyncio``."""
    package = type(get_loop()).__module__.partition(".")[0]
    version = getattr(sys.modules.get(package), "__version__", "")
    return f"{package} {version}".rstrip()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)
