"""What the fork server imports last of all: it was started deaf to Ctrl-C, and not all its children are ours.

Importing this module has an effect, because a fork server offers nothing else to do at its start.
"""

from __future__ import annotations

import signal

if hasattr(signal, "pthread_sigmask"):
    # To ignore it for a moment forgets what came meanwhile; from here on the server ignores it by itself.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGINT, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
