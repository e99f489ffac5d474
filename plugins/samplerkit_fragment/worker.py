"""The fragment worker: a fixed number of steps a call, of episodes that go on from call to call."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import cloudpickle
import numpy as np

from samplerkit.episodes import EpisodeBatch, EpisodeSlice, join
from samplerkit.interfaces import (
    CallShape,
    ContinuingWorker,
    OpenEpisode,
    Resumption,
    Unit,
    UnitCancelled,
    is_policy,
)
from samplerkit.sampling import check_count
from samplerkit.workers.slot_worker import DEFAULT_N_ENVS, SlotWorker
from samplerkit_fragment.gathering import in_one
from samplerkit_fragment.replay import Part, Rehearsal


class FragmentWorker(SlotWorker, ContinuingWorker):
    """Gathers fragments of episodes: `timesteps_per_call` steps of each of `n_envs` environments a call.

    For off-policy learners and those with a fixed horizon: every call yields just as many steps, and none
    that was taken is thrown away. Where a call ends, an open episode is cut: its last step is MID, the next
    call goes on with MID, and `EpisodeBatch.stitch` joins the parts. One call of ``policy.get_actions``
    serves all environments; one that ends its episode begins the next one in the next tick.

    Units are episodes. Environment s begins its episodes in rounds 0, 1, 2, …; that of round r is the
    worker's own unit ``r * n_envs + s``, and unit ``(r * n_envs + s) * n_workers + worker_number`` of the
    sampler. So what an environment does depends on nothing but its own units and on the policy, and a unit's
    number says in which worker and environment it ran.

    New weights count from the next call on, in the middle of episodes: provenance has the version of each
    step. A new policy object, and new environments, abandon what is open.

    Environments may be one for all, of which every slot gets a copy, a list of exactly `n_envs`, or one
    vector environment of as many slots that takes a seed for each.

    Args:
        seed, max_episode_length, worker_number: as for `Worker`.
        n_envs: how many environments.
        timesteps_per_call: how many steps of each a call yields.

    Raises:
        TypeError, ValueError: if one of the last two is no integer of at least 1.
    """

    draws_from_global_random: ClassVar[bool] = False

    rehearsal_type: ClassVar[type[Rehearsal]] = Rehearsal
    """What brings open episodes back."""

    def __init__(
        self,
        *,
        seed: int | None,
        max_episode_length: float,
        worker_number: int,
        n_envs: int = DEFAULT_N_ENVS,
        timesteps_per_call: int = 1,
    ) -> None:
        shape = self.call_shape(n_envs=n_envs, timesteps_per_call=timesteps_per_call)
        super().__init__(
            seed=seed,
            max_episode_length=max_episode_length,
            worker_number=worker_number,
            n_envs=shape.n_slots,
        )
        self.timesteps_per_call = shape.n_steps
        self._acted = False
        self._rounds = [0] * self.n_envs
        self._parts: list[list[EpisodeSlice]] = [[] for _ in range(self.n_envs)]

    @classmethod
    def call_shape(
        cls, *, n_envs: int = DEFAULT_N_ENVS, timesteps_per_call: int = 1, **worker_args: Any
    ) -> CallShape:
        """See `ContinuingWorker.call_shape`."""
        del worker_args
        return CallShape(check_count("n_envs", n_envs), check_count("timesteps_per_call", timesteps_per_call))

    # -- updates ---------------------------------------------------------------------------------

    def update_agent(self, agent_update: Any) -> None:
        """See `SlotWorker.update_agent`; a new policy abandons what is open, new weights do not."""
        if is_policy(agent_update):
            self._abandon(self._slots.live)
            self._acted = False
        super().update_agent(agent_update)

    def update_env(self, env_update: Any) -> None:
        """See `SlotWorker.update_env`; what is open is abandoned."""
        if env_update is None:
            return
        self._abandon(self._slots.live)
        super().update_env(env_update)

    def _abandon(self, slots: Iterable[int]) -> None:
        for slot in list(slots):
            self._slots.drop(slot)
            self._rounds[slot] += 1

    # -- steps -----------------------------------------------------------------------------------

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, EpisodeBatch | EpisodeSlice]]:
        """Run calls as they are handed out; ``unit.number`` is the number of a call."""
        for unit in units:
            self.unit = unit
            yield unit, self._call()

    def rollout(self) -> EpisodeBatch:
        """Run one call and return its fragments."""
        return join([self._call()])

    def _call(self) -> EpisodeSlice:
        self._slots.reserve(self.timesteps_per_call)
        for _ in range(self.timesteps_per_call):
            self.start_episode()
            self.step_episode()
        return self._gathered()

    def start_episode(self) -> None:
        """Begin the next episode of each environment that has none open.

        Raises:
            UnitCancelled: if the call is not wanted any more; this worker must not be used then.
        """
        if len(self._slots.live) == self.n_envs:
            return
        for slot in range(self.n_envs):
            if slot not in self._slots.live:
                unit = self._unit(slot)
                self._slots.begin(slot, unit, self._slot_seed(slot, unit))
                if self.cancelled:
                    raise UnitCancelled

    def step_episode(self) -> bool:
        """Take a step in every environment.

        Returns:
            True if at least one episode ended; `start_episode` begins the next ones.

        Raises:
            UnitCancelled: as `start_episode`.
        """
        self._acted = True
        ended = self._slots.tick(self)
        if self.cancelled:
            raise UnitCancelled
        for slot, last_step_type in ended:
            self._parts[slot].append(self._slots.keep(slot, last_step_type))
            self._rounds[slot] += 1
        return bool(ended)

    def collect_episode(self) -> EpisodeBatch:
        """Cut what is open, and return all fragments since the last time, environment by environment."""
        return join([self._gathered()])

    def _gathered(self) -> EpisodeSlice:
        if not any(self._parts):
            together = self._slots.cut_together()
            if together is not None:
                return in_one([together])
        for slot, part in self._slots.cut_each():
            self._parts[slot].append(part)
        parts, self._parts = self._parts, [[] for _ in range(self.n_envs)]
        return in_one([part for of_slot in parts for part in of_slot])

    def _unit(self, slot: int) -> Unit | None:
        return None if self.own_unit is None else self.own_unit(self._rounds[slot] * self.n_envs + slot)

    # -- going on elsewhere ----------------------------------------------------------------------

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        """See `ContinuingWorker.go_on`: environments are seeded, and the recorded actions played again.

        A policy that offers `get_state` gets its hidden state back. Of any other it is known only that it
        stands where it stood if it chooses all the recorded actions again; where weights were changed since,
        that cannot be told, and the episode is given up.
        """
        self._rounds = list(resumption.rounds)
        if not resumption.episodes:
            return ()
        self._acted = True
        hidden = resumption.hidden
        lost = self.rehearsal_type(self._slots, self.agent, ask=hidden is None).play(
            [self._part(episode) for episode in resumption.episodes]
        )
        if hidden is not None:
            self.agent.reset(np.ones(self.n_envs, np.bool_))
            self.agent.set_state(np.arange(self.n_envs), pickle.loads(hidden))
        for slot in lost:
            self._rounds[slot] += 1
        return tuple(sorted(lost))

    def _part(self, episode: OpenEpisode) -> Part:
        unit = self._unit(episode.slot)
        assert unit is not None, "set before, by whoever builds this worker"
        return Part(episode, unit, self._slot_seed(episode.slot, unit))

    def hidden_state(self) -> bytes | None:
        """See `ContinuingWorker.hidden_state`."""
        get_state = getattr(self.agent, "get_state", None)
        if not self._acted or get_state is None or not callable(getattr(self.agent, "set_state", None)):
            return None
        state = get_state(np.arange(self.n_envs))
        try:
            return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)
        except Exception:
            data: bytes = cloudpickle.dumps(state)
            return data
