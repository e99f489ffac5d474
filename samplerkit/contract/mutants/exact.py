"""Exact episodes alone: what holds for `obtain_samples`, and was forgotten for the other call."""

from __future__ import annotations

import os
import sys
import time
from typing import Any
from unittest import mock

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import LOCAL, PROCESSES
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch
from samplerkit.errors import SamplerBusy, WorkerError
from samplerkit.sampling import host
from samplerkit.sampling.admission import Goal, Units
from samplerkit.sampling.recipes import Record


class ExactDefect(AnySampler):
    """Answers calls for exact episodes in its own way."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        """Return the batch; this is how it is done rightly."""
        return super()._obtain(goal, agent_update, env_update)

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if isinstance(goal, Units):
            return self.exact(goal, agent_update, env_update)
        return super()._obtain(goal, agent_update, env_update)


@mutant("exact-swallows-error", "D1.every-kind")
class ExactSwallowsError(ExactDefect):
    """Where a unit raises, exact episodes come without the updates of the call."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super().exact(goal, agent_update, env_update)
        except WorkerError:
            return super().exact(goal, None, None)


@mutant("exact-bare-error", "D1.every-kind", bases=(LOCAL,))
class ExactBareError(ExactDefect):
    """Where a unit of exact episodes raises, the error says neither which nor what it was."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super().exact(goal, agent_update, env_update)
        except WorkerError as error:
            raise RuntimeError("a worker failed") from error


@mutant("exact-error-moves-cursor", "D1.every-kind", "C5.atomic")
class ExactErrorMovesCursor(ExactDefect):
    """A call for exact episodes that raised moves the cursor."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super().exact(goal, agent_update, env_update)
        except WorkerError:
            self._cursor += 1
            raise


@mutant("exact-error-keeps-agents", "C5.atomic", bases=(LOCAL,))
class ExactErrorKeepsAgents(ExactDefect):
    """A call for exact episodes that raised has updated the agents all the same."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super().exact(goal, agent_update, env_update)
        except WorkerError:
            self._record = self._record.changed(self._agent_changes(agent_update), None)
            raise


@mutant("exact-interrupt-swallowed", "D4.any-moment")
class ExactInterruptSwallowed(ExactDefect):
    """Ctrl-C begins a call for exact episodes again."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        while True:
            try:
                return super().exact(goal, agent_update, env_update)
            except KeyboardInterrupt:
                continue


@mutant("exact-waits", "D6.busy")
class ExactWaits(ExactDefect):
    """A call for exact episodes waits until the call that runs has ended."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        while True:
            try:
                return super().exact(goal, agent_update, env_update)
            except SamplerBusy:
                time.sleep(0.01)


@mutant("exact-draws-on", "A9.globals-in-use", bases=(LOCAL,))
class ExactDrawsOn(ExactDefect):
    """After exact episodes for which a policy drew from the caller's generator, that goes on from there."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super().exact(goal, agent_update, env_update)
        if "draw" in batch.agent_infos:
            np.random.random(len(batch.rewards))
        return batch


@mutant("exact-globals-unseeded", "A9.globals-served", bases=(LOCAL,))
class ExactGlobalsUnseeded(ExactDefect):
    """The global generators are not set for units of exact episodes."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        with mock.patch.object(host, "may_draw_from_globals", return_value=False):
            return super().exact(goal, agent_update, env_update)


@mutant("exact-leaks-descriptor", "E3.nothing-left")
class ExactLeaksDescriptor(ExactDefect):
    """Each call for exact episodes leaves a file descriptor."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        os.open(os.devnull, os.O_RDONLY)
        return super().exact(goal, agent_update, env_update)


@mutant("exact-prints", "E6.silent", bases=(LOCAL,))
class ExactPrints(ExactDefect):
    """A call for exact episodes prints."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        sys.stdout.write(f"collecting {goal.count} episodes\n")
        return super().exact(goal, agent_update, env_update)


@mutant("exact-changes-settings", "E4.settings", bases=(LOCAL,))
class ExactChangesSettings(ExactDefect):
    """A call for exact episodes changes how numpy treats errors."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        np.seterr(all="ignore")
        return super().exact(goal, agent_update, env_update)


@mutant("exact-builds-anew", "A11.in-order")
class ExactBuildsAnew(ExactDefect):
    """Exact episodes of workers that remember begin with new ones, and nobody is told."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if self._stateful:
            self._forget()
        return super().exact(goal, agent_update, env_update)


@mutant("exact-loses-memory-silently", "A11.honest", bases=(LOCAL,))
class ExactLosesMemorySilently(ExactDefect):
    """After a call for exact episodes that failed, workers are built again, and batches do not say so."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        before = self._reproducible
        try:
            return super().exact(goal, agent_update, env_update)
        except WorkerError:
            self._reproducible = before
            raise


@mutant("exact-four-at-most", "A4.exact-episodes")
class ExactFourAtMost(ExactDefect):
    """No worker gives more than four exact episodes."""

    def exact(self, goal: Units, agent_update: Any, env_update: Any) -> EpisodeBatch:
        return super().exact(Units(min(goal.count, 4 * self.n_workers)), agent_update, env_update)


@mutant("exact-workers-as-text", "A4.exact-episodes", bases=(LOCAL, PROCESSES))
class ExactWorkersAsText(AnySampler):
    """Exact episodes come in the order of their workers as text: worker 10 after worker 1."""

    def _batch(self, units: Any, record: Record, *, by_worker: bool) -> EpisodeBatch:
        batch = super()._batch(units, record, by_worker=by_worker)
        if not by_worker or batch.provenance is None:
            return batch
        workers = batch.provenance.workers.tolist()
        episodes = batch.split()
        order = sorted(range(len(workers)), key=lambda place: str(workers[place]))
        return EpisodeBatch.concatenate(*(episodes[place] for place in order))
