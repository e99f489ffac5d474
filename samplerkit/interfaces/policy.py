"""What a sampler asks of a policy: a protocol, never a base class that one must inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

AgentInfo: TypeAlias = dict[str, Any]
Params: TypeAlias = npt.NDArray[Any] | tuple[npt.NDArray[Any], ...] | Mapping[str, npt.NDArray[Any]]


@runtime_checkable
class Policy(Protocol):
    """Chooses actions. An agent, in the words of the sampler's arguments.

    A policy acts on one observation (`get_action`, used by workers that step one environment) or on a
    batch of rows (`get_actions`, used by vectorized workers). Randomness and hidden state belong to
    rows: row i of a batch is slot i of the worker.

    Everything random in a unit comes from the unit's seeds, so a policy that draws random numbers should
    offer `seed`; one that draws from the global generators of `random`, `numpy.random` or torch is
    served by setting those for each unit.

    Optional methods, used where they exist:

    - ``seed(seeds)``: called right after `reset` with a uint64 array, one entry for each row that was
      reset (one entry for `get_action`). All later draws of that row follow from its seed alone.
    - ``get_state(rows)`` and ``set_state(rows, state)``: hidden state and random streams of these rows.
    - ``for_sampling()``: the policy that a sampler carries to its workers instead of this object; a
      TensorFlow policy returns its numpy twin, so that workers need no TensorFlow.

    Optional attributes:

    - ``reads_params_in_place = True``: `set_param_values` may get arrays that nobody can write to, which all
      workers of a machine share, instead of copies of its own; for policies that copy or convert what they
      are given, or only read it. They may keep such arrays for as long as they like.
    - ``draws_from_global_random = False``: it draws from generators of its own only, and the global ones need
      not be set for it; environments and wrappers can say so too. It counts for the class that says it, and
      not for subclasses, whose methods are others.
    """

    def get_action(self, observation: Any, /) -> tuple[Any, AgentInfo]:
        """Choose an action for one observation.

        Returns:
            The action, an element of the action space, and a dict of infos (may be empty).
        """

    def get_actions(self, observations: Any, /) -> tuple[Any, AgentInfo]:
        """Choose an action for each row of a batch, in slot order.

        Args:
            observations: columns with ``n_envs`` rows. What is returned for idle rows is ignored.

        Returns:
            The actions, one for each row, and a dict of columns of infos.
        """

    def reset(self, do_resets: npt.NDArray[np.bool_] | None = None, /) -> None:
        """Begin new episodes.

        Args:
            do_resets: one flag for each row; None means a single row, which is reset.
        """

    def get_param_values(self) -> Params:
        """Return the weights: an array, a tuple or a dict of arrays, never a list (it means "one each")."""

    def set_param_values(self, params: Any, /) -> None:
        """Set weights that `get_param_values` of an equal policy returned."""


def is_policy(value: object) -> bool:
    """Whether an agent update is a policy; all else are weights."""
    return callable(getattr(value, "get_action", None))
