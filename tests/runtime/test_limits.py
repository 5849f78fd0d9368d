from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from b2bua.settings import GatewaySettings
from suite.admission import ListenLimits
from suite.limits import MOST_DESCRIPTORS, descriptors, set_limits
from suite.settings import SuiteSettings
from tests.b2bua.network import default_settings


class LimitsTests(SynchronousTestCase):
    """What the process asks the kernel for."""

    def setUp(self) -> None:
        """Put limits of our own in the kernel's place."""
        self.limits = {resource.RLIMIT_NOFILE: (1024, 4096), resource.RLIMIT_CORE: (-1, -1)}
        self.patch(resource, "getrlimit", self.limits.__getitem__)
        self.patch(resource, "setrlimit", self.limits.__setitem__)

    def test_descriptors_are_raised_to_what_is_allowed(self) -> None:
        """The soft limit follows the hard one, and is never lowered."""
        set_limits()
        self.assertEqual(self.limits[resource.RLIMIT_NOFILE], (4096, 4096))
        self.assertEqual(descriptors(), 4096)
        self.limits[resource.RLIMIT_NOFILE] = (1 << 20, resource.RLIM_INFINITY)
        set_limits()
        self.assertEqual(descriptors(), 1 << 20)
        self.limits[resource.RLIMIT_NOFILE] = (1024, resource.RLIM_INFINITY)
        set_limits()
        self.assertEqual(descriptors(), MOST_DESCRIPTORS)

    def test_core_dumps_are_off(self) -> None:
        """Keys and passwords in memory do not reach a disk by a crash."""
        set_limits()
        self.assertEqual(self.limits[resource.RLIMIT_CORE], (0, -1))

    def test_strangers_leave_descriptors_for_relays(self) -> None:
        """However many connections are configured, half of the descriptors are not theirs."""
        for configured, granted in ((5000, 512), (99, 99)):
            settings = SuiteSettings(state_directory=Path("/nowhere"), max_connections=configured)
            self.assertEqual(ListenLimits.of(settings).max_connections, granted)

    def test_one_address(self) -> None:
        """Strangers of one address get what is configured, but a quarter of all at the most."""
        gateway = GatewaySettings(strangers_per_address=300, sessions_per_user=2)
        b2bua = dataclasses.replace(default_settings(), gateway=gateway)
        settings = SuiteSettings(state_directory=Path("/nowhere"), b2bua=b2bua)
        limits = ListenLimits.of(settings)
        self.assertEqual((128, 256), (limits.http_strangers, limits.http_clients))
        self.assertEqual(16, limits.http_of_user)
        self.limits[resource.RLIMIT_NOFILE] = (65536, 65536)
        limits = ListenLimits.of(settings)
        self.assertEqual((300, 16384), (limits.http_strangers, limits.http_clients))
