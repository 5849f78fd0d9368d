"""Tests of session descriptions, codecs, hold, offers and answers."""
