"""Measuring a trained policy and printing the figure beside known ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from samplerkit.trainer.experiment import EvaluationSettings, Experiment, ExperimentConfig
from samplerkit.trainer.performance import performance

if TYPE_CHECKING:
    from samplerkit.trainer.trainer import Trainer


def evaluate(
    trainer: Trainer, experiment: Experiment, config: ExperimentConfig, trials: int
) -> dict[str, float]:
    """The figures of a trained algorithm, the decisive one first.

    Args:
        trainer: Trained or restored.
        experiment: Its hook measures; without one, the sampler of the configuration collects episodes.
        config: Seed and sampler.
        trials: Fresh episodes or trials, at least 1.
    """
    seed = config.evaluation.seed
    if experiment.evaluate is not None:
        return dict(experiment.evaluate(trainer.algo, trainer.env, trials=trials, seed=seed))
    return _average_return(trainer, experiment, config, trials)


def _average_return(
    trainer: Trainer, experiment: Experiment, config: ExperimentConfig, trials: int
) -> dict[str, float]:
    import samplerkit

    # Workers beyond the number of trials would only add episodes.
    n_workers = min(config.sampler.n_workers or trials, trials)
    options: dict[str, Any] = {**experiment.sampler_options, **config.sampler.options, "n_workers": n_workers}
    options["seed"] = config.evaluation.seed
    policy = getattr(trainer.algo, "policy", trainer.policy)
    with samplerkit.make_sampler(config.sampler.name, agents=policy, envs=trainer.env, **options) as sampler:
        episodes = sampler.obtain_exact_episodes(-(-trials // n_workers))
    figures = performance(episodes)
    return {
        key: figures[key] for key in ("AverageReturn", "StdReturn", "MinReturn", "MaxReturn", "NumEpisodes")
    }


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
