"""Probes that fail in a cell of the fault table: policies, environments, updates, workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from samplerkit.contract.faults import BALLAST, LARGE, WHILE_CLOSING, Cell
from samplerkit.contract.probes import Fault, Faults, ProbePolicy, TattooEnv, unit_key
from samplerkit.contract.script import Op, Script
from samplerkit.interfaces import Env, EnvUpdate, Worker
from samplerkit.workers import DefaultWorker

N_WORKERS = 3
LENGTH = 3
"""Steps of every episode: so many steps are so many units."""

MANY = 1000
"""Steps that take longer than anybody would wait."""

_POLICY_SITES = ("get_action", "reset_policy", "unpickle", "update_agent")
_FAULT_SITES = {"update_agent": "set_param_values"}


class FragilePolicy(ProbePolicy):
    """A probe policy that may also fail when it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._strike("unpickle")


class Cargo:
    """An info that may fail when it is pickled."""

    def __init__(self, fault: Fault | Faults | None, key: int, step: int) -> None:
        self.fault, self.key, self.step = fault, key, step

    def __reduce__(self) -> tuple[Any, ...]:
        if self.fault is not None:
            self.fault.strike("transfer", key=self.key, step=self.step)
        return Cargo, (None, self.key, self.step)


class CargoEnv(TattooEnv):
    """A probe environment whose infos are large, or fail when they are pickled."""

    def __init__(self, *, ballast: bool, **arguments: Any) -> None:
        self.ballast = ballast
        super().__init__(**arguments)

    def _info(self, action: Any) -> dict[str, Any]:
        info = super()._info(action)
        if self.ballast:
            info["ballast"] = np.full(LARGE // 8, self.t, np.float64)
        elif self.fault is not None and self.fault.site == "transfer":
            info["cargo"] = Cargo(self.fault, self.key, self.t)
        return info


@dataclass(frozen=True)
class FaultScript(Script):
    """A script whose environments carry something.

    Attributes:
        ballast: see `CargoEnv`.
    """

    ballast: bool = False

    @property
    def pace(self) -> tuple[int, int]:
        """Fragments are whole episodes: what goes wrong then goes wrong in the same unit."""
        return (1, LENGTH)

    def env(self, tag: int, **more: Any) -> TattooEnv:
        """Make an environment with a tag."""
        return CargoEnv(ballast=self.ballast, tag=tag, lengths=self.lengths, infos=self.infos, **more)


class FaultyUpdate(EnvUpdate):
    """Fails, or weighs much, and does what another update does."""

    def __init__(self, update: Any, fault: Fault, ballast: bool) -> None:
        self.update, self.fault = update, fault
        self.ballast = np.zeros(LARGE // 8 if ballast else 0)

    def __call__(self, old_env: Env | None = None) -> Env:
        self.fault.strike("update_env")
        env: Env = self.update(old_env)
        return env

    def supersedes(self, previous: EnvUpdate) -> bool:
        """What was there before plays no part."""
        return True


def faulty_worker(base: type[Worker] | None) -> type[Worker]:
    """Return a worker class that may fail when it is built."""

    class FaultyWorker(base or DefaultWorker):  # type: ignore[misc]
        def __init__(self, *, fault: Fault, struck: int | None, **arguments: Any) -> None:
            if struck in (None, arguments["worker_number"]):
                fault.strike("factory")
            super().__init__(**arguments)

    return FaultyWorker


class Props:
    """Everything that is passed to a sampler in one cell.

    Args:
        cell: of the table.
        marker: path of a file that need not exist, for faults that come once.
        ledger: path of a file, for the environments' lives.
    """

    def __init__(self, cell: Cell, marker: str, ledger: str) -> None:
        self.cell = cell
        self.ledger = ledger
        self.at_start = cell.moment.startswith("at the start")
        each = cell.last_only
        self.script = FaultScript(
            ops=self._ops(),
            n_workers=N_WORKERS,
            seed=11,
            lengths=(LENGTH if cell.moment != WHILE_CLOSING else MANY,),
            limit=MANY,
            infos="plain",
            each=each,
            ballast=cell.kind == BALLAST and cell.site == "transfer",
        )
        self.unit = self._unit()
        by_step = not cell.interrupted and cell.moment != WHILE_CLOSING
        self.fault = Fault(
            _FAULT_SITES.get(cell.site, cell.site),
            action=(lambda: None) if cell.kind == BALLAST else cell.action(),
            key=unit_key(self.script.seed, self.unit) if cell.in_one_unit and self.unit is not None else None,
            # Later in the episode, too: what was recorded so far must not be returned.
            step=1 if cell.site in ("step", "get_action") and by_step else None,
            once=marker if cell.once else None,
        )

    def _ops(self) -> tuple[Op, ...]:
        """Return a call before, the call in question, and a call after."""
        cell = self.cell
        # What an earlier call brought is still there after one that raised.
        earlier = Op(1, env="new") if cell.site in _POLICY_SITES else Op(1, agent="weights")
        # A unit that ran ahead would end the earlier call, or be there before anybody presses Ctrl-C.
        later = cell.moment == "later unit" and not cell.by_hand
        before = (earlier,) if cell.in_update or later else ()
        each: Any = " each" if cell.last_only else ""
        asked = Op(6 // N_WORKERS, exact=True) if cell.exact else Op(6 * LENGTH)
        if cell.in_update and cell.site == "update_agent":
            asked = replace(asked, agent="weights")
        elif cell.in_update and cell.site in _POLICY_SITES:
            asked = replace(asked, agent="policy" + each)
        elif cell.in_update:
            asked = replace(asked, env="new" + each)
        return (*before, asked, Op(4 * LENGTH))

    @property
    def index(self) -> int:
        """Index of the call in question."""
        return len(self.script.ops) - 2

    def _unit(self) -> int | None:
        """Return the unit in which it goes wrong; None if it is none."""
        cell = self.cell
        if cell.site in ("factory", "construct", "unpickle", "update_agent", "update_env", "close"):
            return None
        cursor = self.index
        if cell.site == "reset_policy" and not cell.in_update:
            return cursor
        if cell.in_update:
            return N_WORKERS - 1 if cell.last_only else cursor
        return {"first unit, worker 0": 0, "first unit, last worker": N_WORKERS - 1}.get(
            cell.moment, 2 * N_WORKERS - 1
        )

    @property
    def worker(self) -> int:
        """Number of the worker that is to blame."""
        if self.unit is not None:
            return self.unit % N_WORKERS
        return N_WORKERS - 1 if self.cell.last_only else 0

    def _struck(self, worker: int) -> bool:
        return not self.cell.last_only or worker == N_WORKERS - 1

    # -- what a sampler is made of ---------------------------------------------------------------

    def agents(self) -> Any:
        """Return the sampler's first argument."""
        # Weights can only be set on a policy that was there before.
        in_place = not self.cell.in_update or self.cell.site == "update_agent"
        armed = self.cell.site in _POLICY_SITES and in_place
        return self._each(
            self.script.agents(), lambda it, worker: self._policy(it, armed and self._struck(worker))
        )

    def envs(self) -> Any:
        """Return the sampler's second argument."""
        armed = self.cell.site not in _POLICY_SITES and not self.cell.in_update
        return self._armed_envs(lambda **more: self.script.envs(**more), armed)

    def arguments(self, base: type[Worker] | None, given: Any) -> dict[str, Any]:
        """Return further arguments.

        Args:
            base: the kind of worker that is under test, if any.
            given: its arguments.
        """
        arguments: dict[str, Any] = {
            "n_workers": N_WORKERS,
            "seed": self.script.seed,
            "max_episode_length": MANY,
        }
        if self.cell.site == "factory":
            struck = N_WORKERS - 1 if self.cell.last_only else None
            arguments["worker_class"] = faulty_worker(base)
            arguments["worker_args"] = {**given, "fault": self.fault, "struck": struck}
        return arguments

    # -- what the calls get ----------------------------------------------------------------------

    def call(self, sampler: Any, index: int, *, script: FaultScript | None = None) -> Any:
        """Make a call.

        Args:
            sampler: to call.
            index: of the call.
            script: that it is in; None means this one, with the faulty updates.
        """
        armed, script = script is None and index == self.index, script or self.script
        agent, env = self._agent_update(script, index, armed), self._env_update(script, index, armed)
        return script.ops[index].ask(sampler, index, agent, env)

    def recovery(self) -> FaultScript:
        """Return the script in which the call in question has not happened.

        The call after it replaces what was faulty from the start.
        """
        *before, last = (*self.script.ops[: self.index], self.script.ops[-1])
        if not self.cell.in_update and self.cell.site in _POLICY_SITES:
            last = replace(last, agent="policy")
        elif not self.cell.in_update:
            last = replace(last, env="new")
        return replace(self.script, ops=(*before, last))

    def _agent_update(self, script: FaultScript, index: int, armed: bool) -> Any:
        made, _ = script.agent_update(index)
        if made is None or not armed:
            return made
        if self.cell.site == "update_agent":
            return {**made, "ballast": np.zeros(LARGE // 8 if self.cell.kind == BALLAST else 0)}
        return self._each(made, lambda it, worker: self._policy(it, self._struck(worker)))

    def _env_update(self, script: FaultScript, index: int, armed: bool) -> Any:
        if script.ops[index].env is None:
            return None
        if self.cell.site != "update_env":
            return self._armed_envs(lambda **more: script.env_update(index, **more)[0], armed)
        made = script.env_update(index, ledger=self.ledger)[0]
        heavy = self.cell.kind == BALLAST
        return self._each(
            made,
            lambda it, worker: FaultyUpdate(it, self.fault, heavy) if armed and self._struck(worker) else it,
        )

    # -- parts -----------------------------------------------------------------------------------

    def _policy(self, like: ProbePolicy, armed: bool) -> ProbePolicy:
        return FragilePolicy(int(like.params["version"][0]), self.fault if armed else None)

    def _armed_envs(self, make: Any, armed: bool) -> Any:
        plain = make(ledger=self.ledger)
        faulty = make(ledger=self.ledger, fault=self.fault) if armed else plain
        if not isinstance(plain, list):
            return faulty
        return [faulty[w] if self._struck(w) else plain[w] for w in range(len(plain))]

    @staticmethod
    def _each(value: Any, change: Any) -> Any:
        if isinstance(value, Sequence):
            return [change(item, worker) for worker, item in enumerate(value)]
        return change(value, 0)
