"""
Which data plane serves: the native one where it is, else its twin in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

VARIABLE: Final = "WEBRTC_SUITE_DATA_PLANE"
NATIVE: Final = "native"
PYTHON: Final = "python"


class DataPlaneUnavailable(Exception):
    """The environment asks for a data plane that is not here; the text says why."""


@dataclass(frozen=True, slots=True)
class DataPlaneChoice:
    """What serves."""

    is_native: bool
    why: str = ""
    """Why it is not the native one; empty where it is."""

    @property
    def words(self) -> str:
        """For the log."""
        return "native" if self.is_native else f"pure Python ({self.why})"


def choose(environ: Mapping[str, str]) -> DataPlaneChoice:
    """
    The native plane, unless it is missing, fails its own test, or the environment forbids it.

    Raises DataPlaneUnavailable.
    """
    wanted = environ.get(VARIABLE, "")
    if wanted not in ("", NATIVE, PYTHON):
        raise DataPlaneUnavailable(f"{VARIABLE}={wanted}: it is {NATIVE} or {PYTHON}")
    if wanted == PYTHON:
        return DataPlaneChoice(False, f"{VARIABLE}={PYTHON}")
    missing = missing_reason()
    if missing and wanted == NATIVE:
        raise DataPlaneUnavailable(f"{VARIABLE}={NATIVE}, but {missing}")
    return DataPlaneChoice(not missing, missing)


def missing_reason() -> str:
    """Why the native plane cannot serve here; empty if it can."""
    if find_spec("suite.datapath._native") is None:
        return "the native extension was not built, for want of a C compiler"
    try:
        from suite.datapath import _native, native_media, native_relay, native_stream

        assert native_media and native_relay and native_stream
        _native.Core()
    except ImportError as error:
        return f"the native extension is not of this version: {error}"
    except OSError as error:
        return f"the native extension does not start: {error}"
    return ""
