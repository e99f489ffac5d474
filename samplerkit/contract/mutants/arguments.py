"""Arguments: bad ones that are accepted, good ones that are refused, and refusals that help nobody."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import LOCAL, PROCESSES
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import YES


class CountDefect(AnySampler):
    """Lets other counts through, or fewer."""

    def count(self, value: Any) -> Any:
        raise NotImplementedError

    def obtain_samples(
        self, itr: int, num_samples: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        return super().obtain_samples(itr, self.count(num_samples), agent_update, env_update)

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        return super().obtain_exact_episodes(self.count(n_eps_per_worker), agent_update, env_update)


@mutant("zero-accepted", "D5")
class ZeroAccepted(CountDefect):
    """A count of 0 gives one episode."""

    def count(self, value: Any) -> Any:
        return 1 if isinstance(value, int) and value == 0 else value


@mutant("negative-accepted", "D5", bases=(LOCAL,))
class NegativeAccepted(CountDefect):
    """A negative count gives one episode."""

    def count(self, value: Any) -> Any:
        return 1 if isinstance(value, int) and value < 0 else value


@mutant("floats-accepted", "D5")
class FloatsAccepted(CountDefect):
    """A float is cut to an integer."""

    def count(self, value: Any) -> Any:
        return max(1, int(value)) if isinstance(value, float) and value == value else value


@mutant("bools-accepted", "D5", bases=(LOCAL, PROCESSES))
class BoolsAccepted(CountDefect):
    """True counts as 1."""

    def count(self, value: Any) -> Any:
        return 1 if value is True else value


@mutant("text-accepted", "D5", bases=(LOCAL,))
class TextAccepted(CountDefect):
    """Text that reads like a number counts as one."""

    def count(self, value: Any) -> Any:
        return int(value) if isinstance(value, str) else value


@mutant("numpy-refused", "D5")
class NumpyRefused(CountDefect):
    """numpy's integers are refused."""

    def count(self, value: Any) -> Any:
        if isinstance(value, np.integer):
            raise TypeError(f"the count must be an int of at least 1, not {value!r}")
        return value


@mutant("opaque-refusal", "D5", bases=(LOCAL,))
class OpaqueRefusal(CountDefect):
    """A bad count ends in an IndexError from somewhere inside."""

    def count(self, value: Any) -> Any:
        if isinstance(value, int) and value < 1:
            raise IndexError("list index out of range")
        return value


@mutant("wordless-refusal", "D5", bases=(LOCAL,))
class WordlessRefusal(CountDefect):
    """The refusal of a bad count does not say what to pass."""

    def count(self, value: Any) -> Any:
        if isinstance(value, int) and value < 1:
            raise ValueError
        return value


class LateRefusal(AnySampler):
    """Does something with the update before it refuses a bad count."""

    def use(self, agent_update: Any) -> None:
        raise NotImplementedError

    def obtain_samples(
        self, itr: int, num_samples: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        try:
            return super().obtain_samples(itr, num_samples, agent_update, env_update)
        except (TypeError, ValueError):
            if agent_update is not None:
                self.use(agent_update)
            raise


@mutant("checked-too-late", "D5.counts", "D5", "C5")
class CheckedTooLate(LateRefusal):
    """A bad count is refused after the update was applied."""

    def use(self, agent_update: Any) -> None:
        self._record = self._record.changed(self._agent_changes(agent_update), None)


@mutant("options-swallowed", "F4.options", "D5", "F4")
class OptionsSwallowed(AnySampler):
    """Unknown options are silently ignored."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        known = {*self.options, "worker_factory", "max_episode_length", "is_tf_worker", "seed", "n_workers"}
        known |= {"worker_class", "worker_args", "stateful", "reseed"}
        super().__init__(agents, envs, **{k: v for k, v in arguments.items() if k in known})


@mutant("no-workers-accepted", "D5", bases=(LOCAL, PROCESSES))
class NoWorkersAccepted(AnySampler):
    """n_workers=0 gives one worker."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        if arguments.get("n_workers") == 0:
            arguments["n_workers"] = 1
        super().__init__(agents, envs, **arguments)


@mutant("zero-limit-accepted", "D5", bases=(LOCAL, PROCESSES))
class ZeroLimitAccepted(AnySampler):
    """max_episode_length=0 gives episodes of one step."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        if arguments.get("max_episode_length") == 0:
            arguments["max_episode_length"] = 1
        super().__init__(agents, envs, **arguments)


@mutant("renamed-arguments", "D5", "F", bases=(LOCAL,))
class RenamedArguments(AnySampler):
    """obtain_samples has other names for its arguments than the interface."""

    def obtain_samples(self, iteration: int, n: int, agent: Any = None, env: Any = None) -> EpisodeBatch:
        return super().obtain_samples(iteration, n, agent, env)


@mutant("claims-unit-timeout", "F4", bases=(LOCAL,))
class ClaimsUnitTimeout(AnySampler):
    """unit_timeout is declared, and refused when asked for."""

    capabilities = {"exact_episodes": YES}  # noqa: RUF012 - replaced below

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.capabilities = {**super().capabilities, "unit_timeout": YES}


@mutant("hides-exact-episodes", "F4", bases=(LOCAL, PROCESSES))
class HidesExactEpisodes(AnySampler):
    """exact_episodes is not declared, but works."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.capabilities = {k: v for k, v in super().capabilities.items() if k != "exact_episodes"}

    def _require(self, capability: str) -> None:
        if capability != "exact_episodes":
            super()._require(capability)


@mutant("claims-exact-episodes", "F4", "A4", bases=(LOCAL, PROCESSES))
class ClaimsExactEpisodes(AnySampler):
    """exact_episodes is declared and not there."""

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        raise NotImplementedError("exact episodes")


@mutant("supports-everything", "F4", "A11", bases=(LOCAL, PROCESSES))
class SupportsEverything(AnySampler):
    """supports() says yes to every name."""

    def supports(self, capability: str) -> bool:
        return True


@mutant("no-reason", "F4", bases=(LOCAL,))
class NoReason(AnySampler):
    """A capability is denied without a reason."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        from samplerkit.interfaces import no

        super().__init_subclass__(**arguments)
        cls.capabilities = {**super().capabilities, "remote": no("")}


@mutant("refused-count-reaches-workers", "D5.counts", bases=(LOCAL,))
class RefusedCountReachesWorkers(LateRefusal):
    """A bad count is refused when the living workers have got the update already."""

    def use(self, agent_update: Any) -> None:
        host: Any = getattr(self, "_host", None)
        workers = [seat.worker for seat in host._seats.values()] if host else []
        for worker in workers:
            if worker is not None and hasattr(agent_update, "get_action"):
                worker.update_agent(copy.deepcopy(agent_update))
