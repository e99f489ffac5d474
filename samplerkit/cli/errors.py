"""From an exception to one sentence on stderr and an exit status."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from samplerkit.errors import SamplerKitError, UnknownBackend
from samplerkit.trainer.tables import ConfigError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


class UsageError(SamplerKitError):
    """The command was called in a way that cannot work."""


def guarded(call: Callable[[], Any], *, debug: bool) -> int:
    """Run a command.

    Args:
        call: The command; an int that it returns is the exit status, anything else means 0.
        debug: Show tracebacks instead of sentences.

    Returns:
        The exit status.
    """
    try:
        result = call()
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            sys.stderr.write(f"Error: {sentence(error)}\n")
        return _status(error)
    return result if isinstance(result, int) else 0


def sentence(error: BaseException) -> str:
    """The error's first paragraph on one line; with its type where it is none of ours."""
    own_words = getattr(error, "format_message", None)
    text = own_words() if callable(own_words) else str(error)
    first = " ".join(text.strip().split("\n\n")[0].split())
    if isinstance(error, (SamplerKitError, OSError, ValueError, TypeError)) or callable(own_words):
        return first or type(error).__name__
    return f"{type(error).__name__}: {first} (--debug shows where)"


def _status(error: BaseException) -> int:
    if isinstance(error, (ConfigError, UsageError, UnknownBackend)):
        return USAGE
    status = getattr(error, "exit_code", FAILURE)
    return status if isinstance(status, int) else FAILURE
