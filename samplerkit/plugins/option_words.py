"""Options of a backend, as words on a command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any


def parse_options(words: Iterable[str]) -> dict[str, Any]:
    """Return the options that words such as ``n_processes=2`` give.

    Values are TOML (``2``, ``1.5``, ``true``, ``[1, 2]``); anything else is a string as it stands.

    Raises:
        ValueError: for a word without a key.
    """
    options = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (equals and key.strip().isidentifier()):
            raise ValueError(f"an option of a backend is written key=value, not {word!r}")
        options[key.strip()] = value_of(text.strip())
    return options


def value_of(text: str) -> Any:
    """Return what a word stands for as TOML, or the word itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
