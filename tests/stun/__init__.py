"""Tests of the STUN codec."""
