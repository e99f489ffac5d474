"""For all tests."""

from __future__ import annotations

import signal

import hypothesis

# Jobs in the background are often started with SIGINT ignored, and children inherit that: tests of Ctrl-C
# would wait for ever. With a handler of our own in place, children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is a measurement: machines are busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
