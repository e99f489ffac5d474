"""Policies of meta-testing: one that explores without forgetting, one that starts from what was learned."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from samplerkit.interfaces import AgentInfo, Params

_FIRST_ROW = np.array([0])


class NoResetPolicy:
    """A policy whose `reset` does nothing, so that its hidden state lives on from episode to episode.

    What it does in a unit depends on the units before it, so give it to a sampler with ``stateful=True``,
    whose units run in order and none ahead of its call. Without, no error tells that other backends give
    other batches: a sampler cannot know what a policy remembers. `RL2AdaptedPolicy` freezes the state that
    it has reached.

    Args:
        policy: the policy; shared, not copied.
    """

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    @property
    def policy(self) -> Any:
        """The policy itself."""
        return self._policy

    def reset(self, do_resets: npt.NDArray[np.bool_] | None = None) -> None:
        """Do nothing."""

    def get_action(self, observation: Any) -> tuple[Any, AgentInfo]:
        """As the policy does."""
        action, info = self._policy.get_action(observation)
        return action, info

    def get_actions(self, observations: Any) -> tuple[Any, AgentInfo]:
        """As the policy does."""
        actions, infos = self._policy.get_actions(observations)
        return actions, infos

    def get_param_values(self) -> Params:
        """The policy's weights."""
        params: Params = self._policy.get_param_values()
        return params

    def set_param_values(self, params: Any) -> None:
        """Set the policy's weights."""
        self._policy.set_param_values(params)

    def __getattr__(self, name: str) -> Any:
        return _optional(self, name)


class RL2AdaptedPolicy:
    """A policy that begins every episode with the hidden state that exploration has led to.

    It owns copies of the weights and of the hidden state: using, resetting or training the policy it came
    from changes nothing here, nor do two adapted policies share anything.

    Args:
        policy: a recurrent policy that has just explored a task (row 0 of it), with ``get_state(rows)`` and
            ``set_state(rows, state)``.

    Raises:
        TypeError: the policy has no `get_state`.
    """

    def __init__(self, policy: Any) -> None:
        if not (hasattr(policy, "get_state") and hasattr(policy, "set_state")):
            raise TypeError(
                f"{type(policy).__name__} has no get_state and set_state, so the state that it reached "
                "cannot be kept: use a recurrent policy such as GRUPolicy"
            )
        self._policy = copy.deepcopy(policy)
        self._initial_state = copy.deepcopy(policy.get_state(_FIRST_ROW))
        self.reset()

    def reset(self, do_resets: npt.NDArray[np.bool_] | None = None) -> None:
        """Put every row that is reset into the adapted state."""
        self._policy.reset(do_resets)
        rows = _FIRST_ROW if do_resets is None else np.flatnonzero(do_resets)
        for row in rows:
            self._policy.set_state(np.array([row]), copy.deepcopy(self._initial_state))

    def get_action(self, observation: Any) -> tuple[Any, AgentInfo]:
        """As the policy does."""
        action, info = self._policy.get_action(observation)
        return action, info

    def get_actions(self, observations: Any) -> tuple[Any, AgentInfo]:
        """As the policy does."""
        actions, infos = self._policy.get_actions(observations)
        return actions, infos

    def get_param_values(self) -> tuple[Params, Any]:
        """Return the weights, and the state that every episode begins with."""
        return self._policy.get_param_values(), copy.deepcopy(self._initial_state)

    def set_param_values(self, params: tuple[Params, Any]) -> None:
        """Set weights and initial state.

        Raises:
            TypeError: it is not the pair that `get_param_values` returns.
        """
        if not (isinstance(params, tuple) and len(params) == 2):
            raise TypeError("the parameters of an RL2AdaptedPolicy are a pair: weights and initial state")
        weights, state = params
        self._policy.set_param_values(weights)
        self._initial_state = copy.deepcopy(state)

    def __getattr__(self, name: str) -> Any:
        return _optional(self, name)


def _optional(wrapper: NoResetPolicy | RL2AdaptedPolicy, name: str) -> Any:
    """What is optional exists where the wrapped policy has it.

    Any other name ends here, also while unpickling, when there is no wrapped policy yet.
    """
    if name not in ("seed", "get_state", "set_state", "reads_params_in_place"):
        raise AttributeError(f"{type(wrapper).__name__!r} object has no attribute {name!r}")
    return getattr(wrapper._policy, name)
