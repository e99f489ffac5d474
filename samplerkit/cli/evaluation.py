"""Measuring a trained policy and printing the figure beside known ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from samplerkit.interfaces import ContinuingWorker
from samplerkit.plugins.worker_options import worker_options
from samplerkit.trainer.experiment import EvaluationSettings, Experiment, ExperimentConfig
from samplerkit.trainer.performance import performance
from samplerkit.trainer.records import as_number

if TYPE_CHECKING:
    from samplerkit.episodes import EpisodeBatch
    from samplerkit.trainer.trainer import Trainer

_N_WORKERS = 4
"""Where a run does not say how many: not one for each trial, and not what the machine has processors."""


def evaluate(
    trainer: Trainer, experiment: Experiment, config: ExperimentConfig, trials: int
) -> dict[str, float]:
    """The figures of a trained algorithm, the decisive one first.

    Args:
        trainer: Trained or restored.
        experiment: Its hook measures; without one, the sampler of the configuration collects episodes.
        config: Seed and sampler.
        trials: Fresh episodes or trials, at least 1.

    Raises:
        TypeError: The hook returned something else than figures by their names.
    """
    seed = config.evaluation.seed
    if experiment.evaluate is None:
        return _average_return(trainer, experiment, config, trials)
    figures = experiment.evaluate(trainer.algo, trainer.env, trials=trials, seed=seed)
    if not isinstance(figures, Mapping) or not figures:
        raise TypeError(
            f"The experiment's evaluate returned {figures!r}: let it return a dict of figures, the decisive "
            "one first."
        )
    return {name: as_number(name, value) for name, value in figures.items()}


def _average_return(
    trainer: Trainer, experiment: Experiment, config: ExperimentConfig, trials: int
) -> dict[str, float]:
    import samplerkit

    name, options = _of_whole_episodes(
        config.sampler.name, {**experiment.sampler_options, **config.sampler.options}
    )
    if config.sampler.n_workers is not None:
        options["n_workers"] = config.sampler.n_workers
    elif options.get("n_workers") is None and not isinstance(trainer.env, list):  # of one for each worker
        options["n_workers"] = min(_N_WORKERS, trials)
    options["seed"] = config.evaluation.seed
    policy = getattr(trainer.algo, "policy", trainer.policy)
    with samplerkit.make_sampler(name, agents=policy, envs=trainer.env, **options) as sampler:
        episodes = sampler.obtain_exact_episodes(-(-trials // sampler.n_workers))
    figures = performance(_first_units(episodes, trials))
    return {
        key: figures[key] for key in ("AverageReturn", "StdReturn", "MinReturn", "MaxReturn", "NumEpisodes")
    }


def _of_whole_episodes(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Backend and options of a sampler, without its kind of worker where that one gathers fragments."""
    import samplerkit

    backend, _, kind = name.rpartition("+")
    worker = samplerkit.get_backend(kind)
    if not issubclass(worker, ContinuingWorker):
        return name, dict(options)
    own = worker_options(worker)
    left = {key: value for key, value in options.items() if key not in own}
    if left.get("worker_args") is not None:
        left["worker_args"] = {key: it for key, it in left["worker_args"].items() if key not in own}
    return backend or "local", left


def _first_units(episodes: EpisodeBatch, n: int) -> EpisodeBatch:
    """The episodes of the first n units, which are the same for any number of workers."""
    assert episodes.provenance is not None, "samplers give it"
    units = episodes.provenance.units
    kept = np.isin(units, np.unique(units)[:n])
    first_rows = np.concatenate([[0], np.cumsum(episodes.lengths)])
    # Of each worker the last unit is left out at most: a few long runs of episodes stay.
    runs = np.flatnonzero(np.diff(kept, prepend=False, append=False)).reshape(-1, 2)
    return episodes.concatenate(
        *(episodes.view(slice(a, b), slice(first_rows[a], first_rows[b])) for a, b in runs)
    )


def report(figures: Mapping[str, float], settings: EvaluationSettings, trials: int) -> list[str]:
    """The lines to print: figures, then references and target beside the first."""
    entries = [(name, value) for name, value in figures.items()]
    references = [(f"({name})", value) for name, value in settings.references.items()]
    if settings.target is not None:
        references.append(("(target)", settings.target))
    width = max(len(name) for name, _ in entries + references)
    lines = [f"Evaluation over {trials:,} fresh trials:"]
    lines += [f"  {name:<{width}}  {_text(value)}" for name, value in entries[:1] + references + entries[1:]]
    return lines


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def missed_target(figures: Mapping[str, float], settings: EvaluationSettings) -> str | None:
    """A sentence if the decisive figure is below the target."""
    name, value = next(iter(figures.items()))
    if settings.target is None or value >= settings.target:
        return None
    return f"{name} is {value:.3f}, below the target {settings.target:g}."
