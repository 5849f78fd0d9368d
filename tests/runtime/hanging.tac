"""A suite whose parts hang, as told by HANGS: stop, thread or reactor. For test_process."""

import os
import time
from pathlib import Path

from suite import reactor as suite_reactor

suite_reactor.install()

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from suite.clock import Clocks
from suite.composition import Composition, Standing
from suite.logs import Log
from suite.service import SuiteService
from suite.settings import SuiteSettings
from suite.unit import Health


class Hanging:
    name = "hanging"
    required = True

    def start(self):
        hangs = os.environ["HANGS"]
        if hangs == "thread":
            reactor.callInThread(time.sleep, 60)
        if hangs == "reactor":
            reactor.callLater(0.2, time.sleep, 60)

    def stop(self):
        return Deferred() if os.environ["HANGS"] == "stop" else None

    def health(self):
        return Health(True)


settings = SuiteSettings(state_directory=Path("."), stop_timeout=float(os.environ["PATIENCE"]))
application = Application("hanging")
SuiteService(
    settings,
    load=lambda: None,
    compose=lambda service: Composition([[Hanging()]], [], None, None, Standing()),
    log=Log(settings.name, settings.log),
    clocks=Clocks(reactor),
    reactor=reactor,
).setServiceParent(application)
