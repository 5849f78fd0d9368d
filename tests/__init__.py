"""Tests, as trial cases: pytest and trial both run them."""
