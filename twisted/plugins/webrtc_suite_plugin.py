"""Tells twistd of the subcommand. Nothing else may be imported here: every twistd run reads it."""

from twisted.application.service import ServiceMaker

webrtc_suite = ServiceMaker(
    "webrtc-suite",
    "suite.tap",
    "TURN relay, WebRTC gateway and SIP B2BUA in one process.",
    "webrtc-suite",
)
