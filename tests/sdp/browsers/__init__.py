"""
Descriptions of real browsers: Chromium 156 and Firefox 153, taken on loopback between two peer
connections of one page.

In the order in which they were made: ``audio``; ``three``, after the track was taken away and a
stream with video added, so that a second audio medium is there; ``hold``, ``resume``, ``restart``
(of ICE), ``reverse`` (the other side offers). Then, of a second pair, ``video`` (with audio) and
``stopped`` (no video any more).
"""

from __future__ import annotations

from pathlib import Path

BROWSERS = ("chromium", "firefox")
NAMES = ("audio", "three", "hold", "resume", "restart", "reverse", "video", "stopped")


def said(browser: str, name: str, kind: str = "offer") -> bytes:
    """One description, as the browser gave it."""
    return (Path(__file__).parent / browser / f"{name}-{kind}.sdp").read_bytes()
