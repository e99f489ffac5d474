"""A policy from a plain function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt

from samplerkit.episodes.columns import row_of
from samplerkit.episodes.vector_infos import row_infos
from samplerkit.policies.base import RowPolicy
from samplerkit.policies.rows import RowRandom
from samplerkit.policies.stacking import rows_in, stack_infos, stack_rows


def from_callable(function: Callable[..., Any], *, batched: bool = False) -> CallablePolicy:
    """A policy that acts by `function(observation)`, which returns an action, or (action, info dict).

    Where the function has a second positional parameter without a default, it gets the row's random stream:
    `function(observation, random)`, with `random.uniform`, `random.normal` and `random.integers`. Draw from
    it and from nothing else, and keep no state, so that an episode depends on its seeds alone.

    Args:
        function: any callable; it is pickled by cloudpickle, so lambdas and local functions will do.
        batched: the function takes a column of n observations (and `RowStreams`, whose draws are (n, k)) and
            returns a column of n actions, or (actions, dict of columns). A boolean column "_key" says which
            rows have "key", where not all do.

    A pair whose second member is a dict is always taken as (action, info): for a Tuple action that looks like
    one, return (action, {}).
    """
    return CallablePolicy(function, batched=batched)


class CallablePolicy(RowPolicy):
    """See `from_callable`."""

    def __init__(self, function: Callable[..., Any], *, batched: bool = False) -> None:
        if not callable(function):
            raise TypeError(
                f"from_callable takes a function of an observation, not {type(function).__name__}"
            )
        super().__init__()
        self.function = function
        self.batched = batched
        self._wants_random = _takes_random(function)

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """The function's action for one observation, and its info (an empty dict where it gives none)."""
        if self._streams.n_rows != 1:
            self._check_rows(1)
        if not self.batched:
            return self._act(observation, 0)
        actions, infos = self._act_batched(stack_rows([observation]))
        return row_of(actions, 0), row_infos(infos, 0)

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """The function's actions for n observations, as a column, and its infos, as a dict of columns.

        A column has the dtype of its rows; where they do not have the same, it is one of objects.
        """
        n = rows_in(observations, self.n_rows)
        self._check_rows(n)
        if self.batched:
            return self._act_batched(observations)
        results = [self._act(row_of(observations, row), row) for row in range(n)]
        return stack_rows([action for action, _ in results]), stack_infos([info for _, info in results])

    def get_param_values(self) -> dict[str, npt.NDArray[np.float32]]:
        """No parameters: an empty dict."""
        return {}

    def set_param_values(self, params: Any) -> None:
        """Accepts the empty dict that `get_param_values` gives, nothing else."""
        if len(params):
            raise ValueError("a policy from a callable has no parameters: send a new policy instead")

    def _act(self, observation: Any, row: int) -> tuple[Any, dict[str, Any]]:
        if self._wants_random:
            return _with_info(self.function(observation, RowRandom(self._streams, row)))
        return _with_info(self.function(observation))

    def _act_batched(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        if self._wants_random:
            return _with_info(self.function(observations, self._streams))
        return _with_info(self.function(observations))

    def __getstate__(self) -> dict[str, Any]:
        # By value where the plain pickle would fail: lambdas, local functions, functions of a script.
        return {**self.__dict__, "function": cloudpickle.dumps(self.function)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.function = cloudpickle.loads(state["function"])


def _with_info(result: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        return result
    return result, {}


def _takes_random(function: Callable[..., Any]) -> bool:
    """Whether a second positional parameter without a default asks for the random stream."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # builtins and C functions may have no signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 2 and positional[1].default is inspect.Parameter.empty
