"""Tests of browsers' media: DTLS, SRTP, ICE."""
