"""The trainer: runs an algorithm epoch by epoch, samples for it, and keeps everything it takes to go on."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from samplerkit.interfaces import Sampler
from samplerkit.sampling import boundary, check_count
from samplerkit.sampling.packing import pack
from samplerkit.trainer.arguments import ExperimentStats, NotSetupError, TrainArgs
from samplerkit.trainer.clock import RunClock
from samplerkit.trainer.csv_output import CsvOutput, read_progress
from samplerkit.trainer.folders import begin_run, continue_run, first_free
from samplerkit.trainer.records import TIMING_COLUMNS, Output, Recorder, RunStart, named_values, own_column
from samplerkit.trainer.sampler_slot import SamplerRecord, SamplerSlot
from samplerkit.trainer.snapshots import (
    SnapshotConfig,
    SnapshotError,
    Snapshotter,
    can_be_saved,
    find_snapshot,
    remove_snapshots_after,
)
from samplerkit.trainer.whole_episodes import require_whole_episodes

if TYPE_CHECKING:
    from samplerkit.episodes import EpisodeBatch

_DEFAULT_FOLDER = Path("data", "local", "experiment")
_logger = logging.getLogger(__name__)


class Trainer:
    """Runs an algorithm. The algorithm's side of it::

        class MyAlgorithm:
            def __init__(self, policy):
                self.policy = policy

            def train(self, trainer):
                for epoch in trainer.step_epochs():
                    episodes = trainer.obtain_episodes(epoch)
                    loss = self.learn(episodes)
                    trainer.record({"Loss": loss})
                    log_performance(trainer, episodes, discount=0.99)

    and the other side::

        trainer = Trainer(SnapshotConfig("runs/1"))
        trainer.setup(MyAlgorithm(policy), env, sampler="multiprocessing", sampler_options={"seed": 1})
        trainer.train(n_epochs=100, batch_size=4_000)

        trainer = Trainer()                     # later, in the same folder, on any backend
        trainer.restore("runs/1")
        trainer.resume(n_epochs=200, sampler="local")

    The run's folder gets ``progress.csv``, a row for each epoch, and the snapshots. After Ctrl-C or an
    error the snapshot of the last finished epoch is there, and resuming gives the rows that an
    uninterrupted run would have given (all but the times), provided that the algorithm pickles with all
    its state. An algorithm may keep references to the trainer or to its sampler: snapshots leave these
    out, and put them back into the attribute ``_sampler`` of the algorithm when the run resumes.

    Args:
        snapshot_config: The run's folder, and when snapshots are kept there; None: "last", in the first
            of ``data/local/experiment``, ``experiment_1``, … that does not exist, or where `restore` found
            the run.

    Raises:
        TypeError: A folder in the place of its `SnapshotConfig`.
    """

    def __init__(self, snapshot_config: SnapshotConfig | None = None) -> None:
        self._snapshot_config = snapshot_config
        self._snapshotter: Snapshotter | None = None
        if isinstance(snapshot_config, (str, Path)):
            raise TypeError(f"snapshot_config is no folder: pass SnapshotConfig({str(snapshot_config)!r})")
        if snapshot_config is not None:
            self._use_folder(snapshot_config)
        self.algo: Any = None
        self.env: Any = None
        self.step_itr = 0
        self.step_episode: Any = None
        self._stats = ExperimentStats()
        self._train_args: TrainArgs | None = None
        self._slot: SamplerSlot | None = None
        self._recorder = Recorder([CsvOutput()])
        self._restored: _Restored | None = None
        self._clock = RunClock()
        self._in_training = False

    # ---- setting up

    def setup(
        self,
        algo: Any,
        env: Any,
        *,
        sampler: Sampler | str | None = None,
        sampler_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the algorithm, its environment, and where samples come from.

        A sampler that the trainer made for an earlier algorithm is shut down.

        Args:
            algo: An algorithm; see `samplerkit.trainer.Algorithm`.
            env: What `samplerkit.make_sampler` takes as ``envs``; kept in every snapshot.
            sampler: A `Sampler`, which stays the caller's to shut down; or a backend's name: that sampler
                is made when it is first needed, with the algorithm's policy and ``env``, and shut down when
                training ends. None: the algorithm's own attribute ``_sampler``, where it has one.
            sampler_options: Further arguments of `samplerkit.make_sampler`, with a name only.

        Raises:
            TypeError: ``sampler`` is neither, or there are options without a name.
        """
        own = getattr(algo, "_sampler", None) if sampler is None else sampler
        slot = SamplerSlot.of(own, sampler_options)
        if own is None or own is not self.sampler:  # which an algorithm may have been given before
            self.shutdown()
        self._slot = slot
        self.algo, self.env = algo, env
        self._restored = None

    def add_output(self, output: Output) -> None:
        """Send the rows to one more output, such as `LearningCurve` or a progress display."""
        self._recorder.outputs.append(output)

    # ---- training

    def train(
        self,
        n_epochs: int,
        batch_size: int | None = None,
        *,
        plot: bool = False,
        store_episodes: bool = False,
        pause_for_plot: bool = False,
        overwrite: bool = False,
    ) -> Any:
        """Train from the first epoch.

        Args:
            n_epochs: Number of epochs, at least 1.
            batch_size: Least number of environment steps in a batch, for `obtain_episodes`.
            plot: There is no live plotter; True gives a warning.
            store_episodes: Keep what the algorithm leaves in ``step_episode`` in the snapshot.
            pause_for_plot: As ``plot``.
            overwrite: Drop the rows and snapshots of another run in the folder, when the sampler is up: a
                call that cannot begin changes nothing.

        Returns:
            What the algorithm's ``train`` returns, by custom the average return of the last epoch.

        Raises:
            NotSetupError: Before `setup`.
            FileExistsError: The folder holds another run, and ``overwrite`` is False.
        """
        slot = self._require_setup("train")
        check_count("n_epochs", n_epochs)
        _warn_of_plots(plot or pause_for_plot)
        folder = begin_run(self.snapshotter.snapshot_dir, overwrite=overwrite)
        self._stats = ExperimentStats()
        self._clock = RunClock()
        args = TrainArgs(n_epochs, batch_size, store_episodes=store_episodes)
        return self._run(slot, args, RunStart(folder, n_epochs))

    def restore(self, from_dir: str | Path, from_epoch: int | str = "last") -> TrainArgs:
        """Load a snapshot, to look at it or to go on with `resume`. Snapshots are pickles: only your own.

        Args:
            from_dir: The folder of a run.
            from_epoch: ``"first"``, ``"last"`` or a number, among the snapshots that were kept.

        Returns:
            The arguments of the run, with ``start_epoch`` the next epoch.

        Raises:
            SnapshotError: There is no such snapshot.
        """
        path = find_snapshot(from_dir, from_epoch)
        saved = Snapshotter(path.parent).load(path, outside={"trainer": self})
        self.setup(saved["algo"], saved["env"])
        self._stats, self._train_args = saved["stats"], saved["train_args"]
        self._train_args.start_epoch = self._stats.total_epoch + 1
        self._restored = _Restored(path.parent, saved["sampler"], saved["random_states"])
        self._slot = SamplerSlot(kept=saved["sampler"])
        self._clock = RunClock(saved["elapsed"])
        self.set_extra_state(saved["extra"])
        if self._snapshot_config is None:
            self._use_folder(SnapshotConfig(path.parent, *saved["snapshot_mode"]))
        return TrainArgs(**vars(self._train_args))

    def resume(
        self,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        *,
        plot: bool | None = None,
        store_episodes: bool | None = None,
        pause_for_plot: bool | None = None,
        sampler: Sampler | str | None = None,
        sampler_options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Go on after `restore`; the folder loses the rows and snapshots of later epochs, if it has any.

        It loses them when the sampler is up and the run goes on: a call that cannot begin changes nothing.

        Args:
            n_epochs: Total number of epochs of the run; None: as before.
            batch_size: As in `train`; None: as before.
            plot: As in `train`.
            store_episodes: As in `train`; None: as before.
            pause_for_plot: As in `train`.
            sampler: Another backend's name, or a `Sampler`; None: the same backend. By name, a run whose
                sampler was an object goes on with the episode limit and the workers of its
                ``worker_factory``, if it had one.
            sampler_options: Changed or further arguments of `samplerkit.make_sampler`. The number of
                workers and the seed are part of the run's state and stay. When the backend changes, the old
                one's own options are dropped; those of the kind of worker stay with that kind.

        Returns:
            What the algorithm's ``train`` returns.

        Raises:
            NotSetupError: Before `restore`.
            ValueError: No epoch is left to run; or the run's progress.csv is damaged.
        """
        restored, before, slot = self._restored, self._train_args, self._slot
        if restored is None or before is None or slot is None:
            raise NotSetupError("There is nothing to resume: call restore(from_dir) first.")
        _warn_of_plots(bool(plot or pause_for_plot))
        args = replace(
            before,
            n_epochs=before.n_epochs if n_epochs is None else check_count("n_epochs", n_epochs),
            batch_size=before.batch_size if batch_size is None else batch_size,
            store_episodes=before.store_episodes if store_episodes is None else store_episodes,
        )
        if args.n_epochs <= args.start_epoch:
            raise ValueError(
                f"The run already has {args.start_epoch} epochs: pass n_epochs, the new total, above that."
            )
        if restored.sampler is not None:
            slot = slot.resumed(restored.sampler, sampler, sampler_options)
        elif sampler is not None:
            slot = SamplerSlot.of(sampler, sampler_options)
        folder = continue_run(self.snapshotter.snapshot_dir, restored.folder)
        rows = read_progress(restored.folder, before_epoch=args.start_epoch)
        return self._run(slot, args, RunStart(folder, args.n_epochs, args.start_epoch, rows))

    def _run(self, slot: SamplerSlot, args: TrainArgs, start: RunStart) -> Any:
        with contextlib.ExitStack() as stack:
            stack.callback(slot.stop)
            self._start(slot)
            stack.callback(self._recorder.close)
            # The snapshots before the rows: whoever is killed in between has rows too many, which resuming
            # drops, and never too few. What is likely to fail comes first, and leaves both as they were.
            self._recorder.open(
                start, before_first=lambda: remove_snapshots_after(start.folder, start.start_epoch - 1)
            )
            self._slot, self._train_args = slot, args
            stack.callback(self.shutdown)
            self._start_sampler()
            self._clock.start()
            stack.callback(setattr, self, "_in_training", False)
            self._in_training = True
            return self.algo.train(self)

    def step_epochs(self) -> Iterator[int]:
        """Yield the epochs that are to be run, and finish each: row, diagnostics, snapshot.

        The algorithm may keep its own count in ``trainer.step_itr``, and leave the epoch's episodes in
        ``trainer.step_episode``. An epoch that ends with ``break`` or an exception is not finished: a second
        loop begins with it.

        Raises:
            NotSetupError: Outside `train` and `resume`.
        """
        args = self._train_args
        if args is None or not self._in_training:
            raise NotSetupError(
                "There is no training to step through: call train(n_epochs) or resume(), within which the "
                "algorithm does."
            )
        self.step_itr = self._stats.total_itr
        self.step_episode = None
        if self._restored is not None:
            # Here and not in restore(): what the caller draws in between must not matter.
            _set_random_states(self._restored.random_states)
            self._restored = None
        for epoch in range(self._stats.total_epoch + 1, args.n_epochs):
            self._clock.start_epoch()
            yield epoch
            self._finish_epoch(epoch, store_episodes=args.store_episodes)

    def _finish_epoch(self, epoch: int, *, store_episodes: bool) -> None:
        self._stats.total_epoch = epoch
        self._stats.total_itr = self.step_itr
        self._stats.last_episode = self.step_episode if store_episodes else None
        # The row first: interrupted in between, a resumed run drops the row and runs the epoch again.
        self.log_diagnostics()
        self.save(epoch)

    # ---- samples

    def obtain_episodes(
        self,
        itr: int | None = None,
        batch_size: int | None = None,
        agent_update: Any = None,
        env_update: Any = None,
    ) -> EpisodeBatch:
        """Collect episodes of at least ``batch_size`` steps in all; see `Sampler.obtain_samples`.

        Args:
            itr: The epoch, for the sampler's information.
            batch_size: Least number of steps; None: as given to `train`.
            agent_update: A policy or weights; None: the present weights of the algorithm's
                ``exploration_policy`` or else ``policy``.
            env_update: As for the sampler; None: no update.

        Raises:
            NotSetupError: Before `setup`.
            ValueError: There is no sampler, or no batch size here nor in `train`.
        """
        sampler = self._start_sampler_for("obtain_episodes")
        if batch_size is None:
            batch_size = self._train_args.batch_size if self._train_args is not None else None
        if batch_size is None:
            raise ValueError("How many steps? Pass batch_size here, or to train() for every epoch.")
        itr = max(self._stats.total_epoch, 0) if itr is None else itr
        with self._clock.sampling():
            episodes = sampler.obtain_samples(
                itr, batch_size, agent_update=self._agent_update(agent_update), env_update=env_update
            )
        return self._count(episodes)

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        """Collect exactly so many episodes of every worker; see `Sampler.obtain_exact_episodes`.

        Args and errors as for `obtain_episodes`.
        """
        sampler = self._start_sampler_for("obtain_exact_episodes")
        with self._clock.sampling():
            episodes = sampler.obtain_exact_episodes(
                n_eps_per_worker, agent_update=self._agent_update(agent_update), env_update=env_update
            )
        return self._count(episodes)

    def obtain_samples(
        self,
        itr: int | None = None,
        batch_size: int | None = None,
        agent_update: Any = None,
        env_update: Any = None,
    ) -> list[dict[str, Any]]:
        """`obtain_episodes` as a list with a dict for each episode."""
        return self.obtain_episodes(itr, batch_size, agent_update, env_update).to_list()

    def _agent_update(self, agent_update: Any) -> Any:
        return self.policy.get_param_values() if agent_update is None else agent_update

    def _count(self, episodes: EpisodeBatch) -> EpisodeBatch:
        self._stats.total_env_steps += int(np.sum(episodes.lengths))
        return episodes

    # ---- records and snapshots

    def record(self, values: Mapping[str, object], *, prefix: str = "") -> None:
        """Add numbers to the row of the running epoch, such as ``{"Loss": 0.3}``.

        Raises:
            TypeError: These are no values by their names, or one is not one number; nothing is added.
            ValueError: A key is ``Epoch``, ``TotalEnvSteps`` or one of `TIMING_COLUMNS`, which the trainer
                records itself.
        """
        for key, _ in named_values(values):
            if prefix + key in TIMING_COLUMNS:
                raise own_column(prefix + key)
        self._recorder.record(values, prefix=prefix)

    def log_diagnostics(self, pause_for_plot: bool = False) -> None:
        """End the row of the running epoch with ``Time``, ``EpochTime`` and ``SamplingTime`` (seconds).

        `step_epochs` calls it after each epoch; ``pause_for_plot`` does nothing.
        """
        self._recorder.record(self._clock.diagnostics())
        self._recorder.end_row(self._stats.total_epoch, self._stats.total_env_steps)

    def save(self, epoch: int) -> None:
        """Write the snapshot of an epoch, if the snapshot mode keeps it; `step_epochs` does it for each.

        After training, too, and between `restore` and `resume`, it is one that the run can be resumed from.

        Raises:
            NotSetupError: Before `setup`.
            SnapshotError: Something in it cannot be pickled; earlier snapshots stay as they were.
        """
        slot = self._require_setup("save")
        saved = {
            "train_args": self._train_args,
            "stats": self._stats,
            "algo": self.algo,
            "env": self.env,
            "sampler": slot.record(),
            "random_states": _random_states() if self._restored is None else self._restored.random_states,
            "elapsed": self._clock.elapsed(),
            "snapshot_mode": (self.snapshotter.snapshot_mode, self.snapshotter.snapshot_gap),
            "extra": self.extra_state(),
        }
        things = {"trainer": self, "sampler": slot.sampler, "stopped sampler": slot.stopped}
        outside = {name: thing for name, thing in things.items() if thing is not None}
        try:
            self.snapshotter.save_itr_params(epoch, saved, outside=outside)
        except OSError:
            raise
        except Exception as error:
            culprit = _unpicklable(saved, outside)
            raise SnapshotError(
                f"The snapshot of epoch {epoch} was not written, the one before stays: {culprit} cannot be "
                f"pickled ({type(error).__name__}: {error}). Leave that part out in its __getstate__."
            ) from error

    def extra_state(self) -> dict[str, Any]:
        """What a subclass adds to the snapshot, such as the random state of its framework."""
        return {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what `extra_state` gave."""

    # ---- what there is to see

    @property
    def policy(self) -> Any:
        """The policy that samples: the algorithm's ``exploration_policy`` or else ``policy``."""
        exploration_policy = getattr(self.algo, "exploration_policy", None)
        return self.algo.policy if exploration_policy is None else exploration_policy

    @property
    def sampler(self) -> Sampler | None:
        """The running sampler; None where there is none, or none yet."""
        return self._slot.sampler if self._slot is not None else None

    @property
    def stats(self) -> ExperimentStats:
        """Where the run stands."""
        return self._stats

    @property
    def total_env_steps(self) -> int:
        """Steps in all batches obtained so far, over all resumptions."""
        return self._stats.total_env_steps

    @total_env_steps.setter
    def total_env_steps(self, value: int) -> None:
        self._stats.total_env_steps = value

    @property
    def snapshotter(self) -> Snapshotter:
        """The snapshotter; its folder is the run's."""
        if self._snapshotter is None:
            self._use_folder(SnapshotConfig(first_free(_DEFAULT_FOLDER)))
        assert self._snapshotter is not None
        return self._snapshotter

    def get_env_copy(self) -> Any:
        """A copy of the environment given to `setup`; what only describes one is made into one.

        Raises:
            NotSetupError: Before `setup`.
            TypeError: The environment cannot be pickled.
        """
        self._require_setup("get_env_copy")
        copy = pack(self.env, "the environment").load()
        return boundary.env_update(copy[0] if isinstance(copy, list) else copy)(None)

    # ---- life

    def shutdown(self) -> None:
        """Stop the sampler that the trainer made; one that was handed over stays up."""
        if self._slot is not None:
            self._slot.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def _start(self, slot: SamplerSlot) -> Sampler | None:
        sampler = slot.start(self.policy if slot.owned else None, self.env)
        if sampler is not None and not getattr(self.algo, "takes_fragments", False):
            require_whole_episodes(sampler, type(self.algo).__name__)
        return sampler

    def _start_sampler(self) -> Sampler | None:
        """Start the trainer's sampler, unless it is up, and give it to an algorithm that waits for it."""
        sampler = self._start(self._require_setup("train"))
        if sampler is not None and getattr(self.algo, "_sampler", sampler) is None:
            self.algo._sampler = sampler
        return sampler

    def _start_sampler_for(self, method: str) -> Sampler:
        self._require_setup(method)
        sampler = self._start_sampler()
        if sampler is None:
            raise ValueError(
                "There is no sampler: pass sampler= to setup() (a backend's name or a Sampler object; after "
                "restore(), to resume())."
            )
        return sampler

    def _require_setup(self, method: str) -> SamplerSlot:
        if self._slot is None:
            raise NotSetupError(f"The trainer is not set up: call setup(algo, env) before {method}().")
        return self._slot

    # ---- folders

    def _use_folder(self, config: SnapshotConfig) -> None:
        self._snapshotter = Snapshotter(config.snapshot_dir, config.snapshot_mode, config.snapshot_gap)


@dataclass(frozen=True)
class _Restored:
    """What `restore` found and `resume` needs."""

    folder: Path
    sampler: SamplerRecord | None
    random_states: tuple[Any, Any]


def _random_states() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()


def _set_random_states(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])


def _unpicklable(saved: Mapping[str, Any], outside: Mapping[str, object]) -> str:
    """Name the part of a snapshot that fails."""
    for key, value in saved.items():
        if not can_be_saved(value, outside):
            return f"{key} ({type(value).__name__})"
    return "something in it"


def _warn_of_plots(asked: bool) -> None:
    if asked:
        _logger.warning(
            "there is no live plotter: add_output(LearningCurve()) draws learning_curve.png instead"
        )
