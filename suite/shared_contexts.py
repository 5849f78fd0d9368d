"""
The TLS contexts of all listeners: those of the pages and the relay, and those of http-port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from suite.certificate import CertificateError, CertificateWatcher, OwnCertificate
from suite.service import SuiteService
from suite.settings import SuiteSettings, TcpListen, TlsSettings
from suite.tls import TlsContexts


class SharedContexts:
    """
    The contexts, made when the first listener that shows them is opened.

    A certificate that cannot be read fails that try of its listeners only; the supervisor comes
    again.
    """

    def __init__(self, service: SuiteService) -> None:
        self._service = service
        self._shared = _Shown(service, lambda: service.settings.tls)
        self._of_gateway = _Shown(service, lambda: service.settings.https)

    def get(self, listen: TcpListen) -> TlsContexts | None:
        """
        The contexts that a listener shows; None where TLS is off.

        Raises CertificateError, or OSError.
        """
        return (self._of_gateway if listen.https_certificate else self._shared).get()

    def reload(self) -> None:
        """Read all files again; raises the first CertificateError, and what it is of stays."""
        errors = []
        for shown in (self._shared, self._of_gateway):
            try:
                shown.reload()
            except CertificateError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def seconds_left(self) -> float:
        """How long the first to end is valid yet; not a number while there is none."""
        left = [each.seconds_left() for each in self._made()]
        return min(left, default=float("nan"))

    def watch(self) -> CertificateWatcher:
        """Reload by itself when a file changes."""
        clock = self._service.clocks.monotonic
        return CertificateWatcher(self._files, clock, self.reload, self._look)

    def _files(self) -> tuple[Path, ...]:
        return (*self._shared.files(), *self._of_gateway.files())

    def _look(self) -> None:
        for contexts in self._made():
            contexts.check_expiry()

    def _made(self) -> Iterator[TlsContexts]:
        for shown in (self._shared, self._of_gateway):
            if shown.contexts is not None:
                yield shown.contexts


class _Shown:
    """One certificate. ``settings`` are those of the moment: a reload may name other files."""

    def __init__(self, service: SuiteService, settings: Callable[[], TlsSettings | None]) -> None:
        self._service = service
        self._settings = settings
        self.contexts: TlsContexts | None = None

    def get(self) -> TlsContexts | None:
        settings = self._settings()
        if self.contexts is None and settings is not None:
            self._make_own(settings)
            self.contexts = TlsContexts(settings, self._now)
        return self.contexts

    def reload(self) -> None:
        settings = self._settings()
        if self.contexts is None or settings is None:
            return
        self._make_own(settings)
        self.contexts.reload(settings)

    def files(self) -> tuple[Path, ...]:
        settings = self._settings()
        if settings is None:
            return ()
        more = () if settings.authorities is None else (settings.authorities,)
        return (settings.certificate, settings.private_key, *more)

    def _make_own(self, settings: TlsSettings) -> None:
        own = OwnCertificate(self._service.settings.state_directory, _hosts(self._service.settings))
        if settings.certificate == own.settings.certificate:
            own.ensure(self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._service.clocks.wall(), UTC)


def _hosts(settings: SuiteSettings) -> list[str]:
    turn = settings.turn
    public = [each.public for each in turn.external_addresses] if turn else []
    return [*(each.address[0] for each in settings.tcp), *public]
