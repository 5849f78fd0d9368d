"""
What the lab says to a person who asked for something that it cannot do.
"""

from __future__ import annotations


class LabError(Exception):
    """One sentence for whoever typed the command; it names what would be accepted."""
