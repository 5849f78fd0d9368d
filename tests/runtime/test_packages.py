"""What an install from a wheel consists of."""

from __future__ import annotations

import configparser
from pathlib import Path

from twisted.trial import unittest

ROOT = Path(__file__).parents[2]


def packages_of(tree: str) -> set[str]:
    """Every package below a directory of the checkout, by its dotted name."""
    return {
        ".".join(found.parent.relative_to(ROOT).parts)
        for found in ROOT.joinpath(tree).rglob("__init__.py")
    }


class PackageTests(unittest.TestCase):
    """A checkout runs whatever setup.cfg says: only an install shows what it forgot."""

    def test_packages(self) -> None:
        """Every package of the suite is installed, and Twisted's plugin with them."""
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        installed = set(setup["options"]["packages"].split())
        there = {name for tree in ("suite", "turn", "b2bua") for name in packages_of(tree)}
        self.assertEqual(there | {"twisted.plugins"}, installed)
