"""
The kernel's limits on this process: as many descriptors as it may have, and no core dumps.

A core holds every key and password that the process has in memory.
"""

from __future__ import annotations

import resource

MOST_DESCRIPTORS = 1 << 18
"""Four relay addresses with every port bound; what is above it only costs tables."""


def set_limits() -> None:
    """Raise the soft limit of descriptors as far as allowed, and forbid core dumps."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def descriptors() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
