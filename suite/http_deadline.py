"""
When a connection with HTTP has to end, whatever its client does.

A stranger has a fixed time, however slowly bytes come. A request that is here whole is answered
first. A browser that has signed in gets the time anew with each answer.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class HttpDeadline:
    """
    The time of one connection; it does nothing before ``start``.

    ``too_late`` ends a connection at once, ``close`` one whose answer has just been written, and
    ``signed_in`` hears once that its client is no stranger.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        *,
        too_late: Callable[[], None],
        close: Callable[[], None],
        signed_in: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._too_late = too_late
        self._close = close
        self._signed_in = signed_in
        self._delayed: IDelayedCall | None = None
        self._is_answering = False
        self._is_overdue = False
        self._is_known = False

    def start(self) -> None:
        """Count from now."""
        self.stop()
        self._delayed = self._clock.callLater(self._seconds, self._expired)

    def stop(self) -> None:
        """Count no more."""
        delayed, self._delayed = self._delayed, None
        if delayed is not None:
            delayed.cancel()

    def asked(self) -> None:
        """A request is here whole, and is being answered."""
        self._is_answering = True

    def known(self) -> None:
        """Its client has signed in."""
        if not self._is_known:
            self._is_known = True
            self._signed_in()

    def held(self) -> None:
        """It waits for something to tell, which only a client that has signed in may do."""
        self.stop()
        self.known()

    def answered(self) -> None:
        """The answer has been written."""
        self._is_answering = False
        if self._is_overdue:
            self._close()
        elif self._is_known:
            self.start()

    def _expired(self) -> None:
        self._delayed = None
        if self._is_answering:
            self._is_overdue = True
        else:
            self._too_late()
