from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from samplerkit.trainer import ConfigError, ExperimentConfig, table_as

MINIMAL: dict[str, Any] = {
    "experiment": {"name": "a", "build": "module:function", "seed": 3},
    "train": {"n_epochs": 5},
}


@dataclass(frozen=True, kw_only=True)
class Options:
    rate: float = 0.1
    size: int = 32
    layers: tuple[int, ...] = (64,)
    name: str | None = None
    fast: bool = False


def test_a_table_becomes_the_dataclass() -> None:
    options = table_as(Options, {"rate": 1, "layers": [8, 8], "name": "x", "fast": True}, where="algo")
    assert options == Options(rate=1.0, layers=(8, 8), name="x", fast=True)
    assert isinstance(options.rate, float)


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"\[algo\] has no key 'siez'\. Did you mean 'size'\?"):
        table_as(Options, {"siez": 3}, where="algo")


@pytest.mark.parametrize(
    "table",
    [
        {"rate": "fast"},
        {"rate": True},
        {"size": 2.0},
        {"size": True},
        {"layers": 8},
        {"layers": [8, "x"]},
        {"name": 5},
        {"fast": 1},
    ],
)
def test_a_value_of_another_type_is_refused_by_name(table: dict[str, Any]) -> None:
    (key,) = table
    with pytest.raises(ConfigError, match=rf"algo\.{key} must be"):
        table_as(Options, table, where="algo")


def test_a_required_key_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[train\] lacks 'n_epochs'"):
        ExperimentConfig.from_tables({"experiment": MINIMAL["experiment"]})


def test_free_tables_and_options_of_the_backend_pass() -> None:
    config = ExperimentConfig.from_tables(
        {**MINIMAL, "algo": {"x": 1}, "sampler": {"name": "m", "n_workers": 2, "n_processes": 3}}
    )
    assert config.algo == {"x": 1}
    assert (config.sampler.name, config.sampler.n_workers, config.sampler.options) == (
        "m",
        2,
        {"n_processes": 3},
    )


def test_an_unknown_table_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sampler'"):
        ExperimentConfig.from_tables({**MINIMAL, "samplr": {}})


def test_a_value_where_a_table_should_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be a table"):
        ExperimentConfig.from_tables({**MINIMAL, "algo": 5})


def test_the_tables_of_a_configuration_give_it_again() -> None:
    config = ExperimentConfig.from_tables(
        {
            **MINIMAL,
            "policy": {"size": 3},
            "sampler": {"name": "m", "n_processes": 3},
            "evaluation": {"trials": 7, "references": {"random play": 5}, "target": 6},
            "chart": {"title": "t"},
        }
    )
    assert ExperimentConfig.from_tables(config.as_tables()) == config
