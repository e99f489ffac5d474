"""What a configuration file says (`ExperimentConfig`) and what its builder makes of it (`Experiment`).

A builder is a function named in the file as ``build = "module:function"``::

    def build(config: ExperimentConfig) -> Experiment:
        options = table_as(MyOptions, config.algo, where="algo")
        policy = MyPolicy(..., seed=config.seed)
        return Experiment(algo=MyAlgo(policy, **asdict(options)), env=make_env(config.env))

The tables ``[algo]``, ``[env]`` and ``[policy]`` are the builder's own; it checks them (`table_as` does so
with a suggestion for a misspelt key). All other tables mean the same for every experiment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from samplerkit.spelling import did_you_mean
from samplerkit.trainer.tables import ConfigError, table_as

Table = Mapping[str, object]


class Algorithm(Protocol):
    """What a trainer needs of an algorithm; see `samplerkit.trainer.Trainer` for the loop it lives in.

    An algorithm has its own ``policy`` (or ``exploration_policy``, which then samples) and is picklable
    with everything that decides what it does next: weights, optimizer state, random generators.

    One that learns from fragments, parts of episodes that go on from call to call, says
    ``takes_fragments = True``; others are refused a sampler of fragments before the first epoch.
    """

    policy: Any

    def train(self, trainer: Any) -> object:
        """Run ``for epoch in trainer.step_epochs(): …`` and return whatever `Trainer.train` shall return."""


class Evaluate(Protocol):
    """Measure a trained algorithm on fresh episodes or trials.

    Called as ``evaluate(algo, env, trials=…, seed=…)`` with the restored or freshly trained algorithm and
    the experiment's environment. Returns numbers by name, the decisive one first: that one is printed beside
    ``[evaluation] references`` and compared with ``[evaluation] target``. It logs and prints nothing.
    """

    def __call__(self, algo: Any, env: Any, /, *, trials: int, seed: int) -> Mapping[str, float]:
        """Return the figures."""


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """``[sampler]``: the backend's name, the number of logical workers, and the backend's own options.

    Attributes:
        name: The backend, such as ``"local"`` or ``"multiprocessing"``.
        n_workers: Logical workers; None: `samplerkit.make_sampler`'s default.
        options: All other keys of the table, passed to `samplerkit.make_sampler` as they are.
    """

    name: str = "local"
    n_workers: int | None = None
    options: Table = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """``[train]``: the arguments of `Trainer.train`, and when snapshots are kept."""

    n_epochs: int
    batch_size: int | None = None
    store_episodes: bool = False
    snapshot_mode: str = "last"
    snapshot_gap: int = 1

    def __post_init__(self) -> None:
        _refuse_less(self, "train", n_epochs=1, batch_size=1)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """``[evaluation]``: how the trained policy is measured, and what to print beside the figure.

    Attributes:
        trials: Fresh episodes (or trials); 0: no evaluation after training.
        seed: Seed of the evaluation, apart from training's.
        references: Known values of the same figure by name: ``references = { "random play" = 5.0 }``.
        target: The figure a full training run should reach; only ``--require-target`` makes it a failure.
    """

    trials: int = 0
    seed: int = 1
    references: Mapping[str, float] = field(default_factory=dict)
    target: float | None = None

    def __post_init__(self) -> None:
        _refuse_less(self, "evaluation", trials=0, seed=0)


@dataclass(frozen=True, kw_only=True)
class ChartSettings:
    """``[chart]``: what learning_curve.png shows; its reference lines are ``[evaluation] references``."""

    y: str = "Train/AverageReturn"
    y_label: str = "mean return per episode"
    title: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """A whole configuration as resolved: file, ``--set`` and defaults; what a builder is given.

    Attributes:
        name: The run's name for titles and messages.
        build: The builder, ``"module:function"``.
        seed: Seeds policy weights, the algorithm's draws and the sampler; always a number here (drawn where
            the file gives none) and kept in the run's config.toml.
        description: One line for ``samplerkit train --list``.
        folder: Where modules of the builder are found, beside those that Python finds: that of the
            configuration's file. None for a configuration that comes with samplerkit, or that is no file.
        algo, env, policy: Free tables, checked by the builder.
        sampler, train, evaluation, chart: See their classes.
    """

    name: str
    build: str
    seed: int
    train: TrainSettings
    description: str = ""
    folder: str | None = None
    algo: Table = field(default_factory=dict)
    env: Table = field(default_factory=dict)
    policy: Table = field(default_factory=dict)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    chart: ChartSettings = field(default_factory=ChartSettings)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> ExperimentConfig:
        """Check the tables of a file and build the configuration.

        Raises:
            ConfigError: A table or key is unknown, missing, or has a value of another type.
        """
        for name in tables:
            if name not in _TABLES:
                raise ConfigError(
                    f"There is no table [{name}].{did_you_mean(name, _TABLES)} Tables: {', '.join(_TABLES)}."
                )
            if not isinstance(tables[name], Mapping):
                raise ConfigError(f"{name!r} must be a table: write [{name}] and its keys below.")
        experiment = table_as(_ExperimentTable, tables.get("experiment", {}), where="experiment")
        return cls(
            **vars(experiment),
            train=table_as(TrainSettings, tables.get("train", {}), where="train"),
            sampler=_sampler_settings(tables.get("sampler", {})),
            evaluation=table_as(EvaluationSettings, tables.get("evaluation", {}), where="evaluation"),
            chart=table_as(ChartSettings, tables.get("chart", {}), where="chart"),
            algo=dict(tables.get("algo", {})),
            env=dict(tables.get("env", {})),
            policy=dict(tables.get("policy", {})),
        )

    def as_tables(self) -> dict[str, dict[str, Any]]:
        """The tables again, with defaults filled in and unset values left out, ready for a TOML file."""
        everything = dataclasses.asdict(self)
        tables = {name: everything.pop(name) for name in _TABLES if name != "experiment"}
        tables["sampler"].update(tables["sampler"].pop("options"))
        return {name: _without_none(table) for name, table in {"experiment": everything, **tables}.items()}


@dataclass(frozen=True, kw_only=True)
class _ExperimentTable:
    name: str
    build: str
    seed: int
    description: str = ""
    folder: str | None = None

    def __post_init__(self) -> None:
        _refuse_less(self, "experiment", seed=0)


_TABLES = ("experiment", "algo", "env", "policy", "sampler", "train", "evaluation", "chart")


def _sampler_settings(table: Mapping[str, Any]) -> SamplerSettings:
    own = {key: value for key, value in table.items() if key in ("name", "n_workers")}
    options = {key: value for key, value in table.items() if key not in own}
    return table_as(SamplerSettings, {**own, "options": options}, where="sampler")


def _refuse_less(settings: object, table: str, **least: int) -> None:
    """Refuse a number below its least value, before a run has begun.

    Raises:
        ConfigError: It is less; None is no number.
    """
    for key, allowed in least.items():
        value = getattr(settings, key)
        if value is not None and value < allowed:
            raise ConfigError(f"{table}.{key} is {value}: pass at least {allowed}.")


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a builder returns.

    Attributes:
        algo: The algorithm; its ``policy`` is what the sampler runs.
        env: What `samplerkit.make_sampler` takes as ``envs``: an environment, an id, a callable, …; it is
            pickled into every snapshot.
        trainer: The trainer's class as ``"module:Class"``; ``"samplerkit.tf:TFTrainer"`` for TensorFlow.
        sampler_options: Further arguments of `samplerkit.make_sampler` that belong to the experiment and not
            to the backend: ``max_episode_length``, ``worker_class``, ``worker_args``.
        evaluate: The hook behind ``samplerkit evaluate`` and the evaluation after training; None: average
            return of ``[evaluation] trials`` fresh episodes of ``algo.policy``.
    """

    algo: Algorithm
    env: Any
    trainer: str = "samplerkit.trainer:Trainer"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    evaluate: Evaluate | None = None


Builder = Callable[[ExperimentConfig], Experiment]
