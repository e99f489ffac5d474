"""Options of a backend: names, defaults and checks, in one table of its sampler class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

from samplerkit.errors import UnsupportedFeature
from samplerkit.interfaces import Capabilities
from samplerkit.sampling.boundary import check_count
from samplerkit.spelling import did_you_mean


@dataclass(frozen=True)
class Option:
    """One option.

    Args:
        default: what stands for an option that was not given, or given as None; unless it is None, the check
            must accept it.
        check: ``check(name, value)`` returns the value to use, or raises a TypeError or ValueError. It gets
            its own results too, where a sampler is unpickled, and must accept them.
    """

    default: Any
    check: Callable[[str, Any], Any]


Options: TypeAlias = Mapping[str, Option]


def checked_options(
    owner: str,
    table: Options,
    capabilities: Capabilities,
    given: Mapping[str, Any],
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Return every option of a table, as given or by default.

    Args:
        owner: the class, in errors.
        table: its options.
        capabilities: what it declares.
        given: options by name.
        arguments: what every sampler takes beside options: one of these may be misspelt.

    Raises:
        TypeError: for an option that is not in the table.
        UnsupportedFeature: if it names a capability that the owner declares not to have.
        TypeError, ValueError: from an option's check.
    """
    for name, value in given.items():
        support = capabilities.get(name)
        # A table that was inherited may hold options of what a backend lacks: None asks for nothing.
        if support is not None and not support and not (name in table and value is None):
            raise UnsupportedFeature(f"{owner} does not support {name!r}: {support.reason}")
        if name in table:
            continue
        raise no_such_option(owner, name, table, arguments)
    defaults = {name: _default(owner, name, option) for name, option in table.items()}
    return {
        name: default if given.get(name) is None else table[name].check(name, given[name])
        for name, default in defaults.items()
    }


def no_such_option(owner: str, name: str, table: Options, arguments: Sequence[str] = ()) -> TypeError:
    """Return the error for an option that is not in a table, with the nearest name and all that there are."""
    hint = did_you_mean(name, [*table, *arguments])
    common = f" Arguments of every sampler: {', '.join(arguments)}." if arguments else ""
    return TypeError(
        f"{owner} has no option {name!r}.{hint} Its options: {', '.join(table) or 'none'}.{common}"
    )


def _default(owner: str, name: str, option: Any) -> Any:
    """Return the default of an option, as its check returns it.

    Raises:
        TypeError: if it is no `Option`, or its own check refuses the default.
    """
    if not isinstance(option, Option):
        raise TypeError(f"{owner}.options[{name!r}] is {option!r}: it must be an Option(default, check)")
    if option.default is None:
        return None
    try:
        return option.check(name, option.default)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{owner}.options[{name!r}]: its own check refuses the default: {error}") from error


def check_flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def check_restarts(name: str, value: Any) -> int:
    """Return a number of restarts, at least 0."""
    if value == 0 and not isinstance(value, (bool, float)):
        return 0
    return check_count(name, value)


def check_seconds(name: str, value: Any) -> float:
    """Return a number of seconds, more than 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    seconds = float(value)
    if not seconds > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value}")
    return seconds


def check_timeout(name: str, value: Any) -> float | None:
    """Return a number of seconds, more than 0; None for infinity."""
    seconds = check_seconds(name, value)
    return None if seconds == math.inf else seconds
