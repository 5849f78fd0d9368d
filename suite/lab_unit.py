"""
The lab as a unit of the suite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed

from suite.bind_failure import BindFailure
from suite.lab.errors import LabError
from suite.lab.lab import Lab
from suite.lab.status import LabStatus
from suite.lab.trace import Trace
from suite.unit import Health
from suite.units import NotOpened

_NOT_RUNNING = "the lab does not run; the log says why"


class LabUnit:
    """
    A lab that is made anew for each start. It is also what the lab's pages ask, so that they
    need not know which lab it is.
    """

    name = "lab"
    required = False

    def __init__(self, make: Callable[[], Lab]) -> None:
        self._make = make
        self._lab: Lab | None = None
        self._nothing = Trace()

    def start(self) -> None:
        """Open the lab's addresses; raises NotOpened."""
        lab = self._make()
        try:
            lab.start()
        except LabError as error:
            raise NotOpened(BindFailure(str(error))) from error
        self._lab = lab

    def stop(self) -> Deferred[None]:
        """Close them."""
        lab, self._lab = self._lab, None
        return succeed(None) if lab is None else lab.stop()

    def health(self) -> Health:
        """A lab whose servers are dead is well."""
        return Health(True, "two SIP Servers, a name server, two phones")

    # What the pages ask.

    @property
    def trace(self) -> Trace:
        """The messages of the last calls."""
        return self._nothing if self._lab is None else self._lab.trace

    def status(self) -> LabStatus:
        """Tell how everything in it is. Raises LabError while it does not run."""
        return self._running().status()

    def command(self, words: Sequence[str]) -> str | Deferred[str]:
        """Do what a person typed and say what was done. Raises LabError with a sentence."""
        return self._running().command(words)

    def _running(self) -> Lab:
        if self._lab is None:
            raise LabError(_NOT_RUNNING)
        return self._lab
