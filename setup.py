"""Only for the optional native extension that pyproject.toml and setup.cfg cannot describe."""

from setuptools import setup

setup()
