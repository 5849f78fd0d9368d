"""``python -m suite`` is ``webrtc-suite``."""

import sys

from suite.cli import main

sys.exit(main())
