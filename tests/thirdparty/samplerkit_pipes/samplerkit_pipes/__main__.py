"""The far end of the pipes: ``python -m samplerkit_pipes``."""

import contextlib
import os
import threading

from samplerkit.sampling import serve
from samplerkit_pipes import framing


def main() -> None:
    """Serve the parent until it says so, or is gone."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what an environment prints must not land among the messages

    def receive() -> bytes | None:
        message = framing.read(inbox)
        if message is None:
            # The parent is gone: whatever an environment is doing, nothing outlives it for long.
            threading.Timer(1.0, os._exit, args=(1,)).start()
        return message

    setup = receive()
    if setup is not None:
        with contextlib.suppress(BrokenPipeError), outbox:
            serve(setup, receive, lambda message: framing.write(outbox, message))


main()
