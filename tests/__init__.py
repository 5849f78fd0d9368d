"""
Tests, as trial cases: pytest and trial both run them.

HYPOTHESIS_PROFILE chooses how many examples a property is tried with: ``ci``, the default, is
bounded so that a whole run stays short and tries the same examples each time, so that what passed
passes again; ``nightly``, for `make fuzz`, tries new ones and more of them.
"""

import os

from hypothesis import HealthCheck, settings

# A busy machine is no fault of the code: time limits stand in the tests that are about time.
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly", settings.get_profile("ci"), derandomize=False, max_examples=20_000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def fewer(times: int) -> settings:
    """The profile's settings for a property that takes ``times`` as long as others to try."""
    return settings(max_examples=max(1, settings.default.max_examples // times))
