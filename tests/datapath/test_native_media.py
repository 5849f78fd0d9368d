"""The native media plane does what its twin does: the same tests over it."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from suite.datapath.choice import missing_reason
from tests import fewer
from tests.datapath import (
    test_media,
    test_media_events,
    test_media_feedback,
    test_media_ports,
    test_media_reports,
    test_media_silence,
    test_media_strangers,
    test_media_trace,
)
from tests.datapath.media import MediaTestCase

BUDGET = 1024
"""Packets of a wake-up of the core."""


class NativeMediaCase(MediaTestCase):
    """Makes native planes."""

    native = True
    budget = BUDGET
    skip = missing_reason() or None


class NativeMediaPlaneTests(NativeMediaCase, test_media.MediaPlaneTests):
    """Packets between two ends."""


class NativeMediaPlaneIPv6Tests(NativeMediaPlaneTests):
    """The same over IPv6."""

    host = "::1"


class NativeAnyBytesTests(NativeMediaCase, test_media.AnyBytesTests):
    """Packets that nobody thought of."""

    @given(st.lists(test_media.ANY_BYTES))
    @fewer(4)
    def test_any_bytes(self, junk: Iterable[bytes]) -> None:
        """Whatever comes on either port, the plane lives and forwards."""
        self.survive(junk)


class NativePortsTests(NativeMediaCase, test_media_ports.PortsTests):
    """Opening and closing."""


class NativeRtcpTests(NativeMediaCase, test_media_reports.RtcpTests):
    """Every end says and hears its own RTCP."""


class NativePictureTests(NativeMediaCase, test_media_feedback.PictureTests):
    """How often a source is asked for a whole picture."""


class NativeNackTests(NativeMediaCase, test_media_feedback.NackTests):
    """How often a source is asked for lost packets."""


class NativeEventTests(NativeMediaCase, test_media_events.EventTests):
    """Keys that are held, between clocks."""


class NativeSilenceTests(NativeMediaCase, test_media_silence.SilenceTests):
    """Being heard before anybody talks."""


class NativeStrangersTests(NativeMediaCase, test_media_strangers.StrangersTests):
    """More packets in one second than an end takes, and the peer's after them."""


class NativeTracedPlaneTests(NativeMediaCase, test_media_trace.TracedPlaneTests):
    """A plane whose packets are written down."""
