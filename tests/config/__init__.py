"""Tests of reading and checking the configuration."""
