from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import StepType
from samplerkit.trainer import episode_returns, log_performance, performance

rewards = st.lists(
    st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=6), min_size=1, max_size=5
)


@given(rewards, st.floats(0, 1))
def test_returns_are_the_discounted_sums_of_each_episode(rewards: Any, discount: float) -> None:
    from types import SimpleNamespace

    batch: Any = SimpleNamespace(lengths=np.array([len(r) for r in rewards]), rewards=np.concatenate(rewards))
    expected = [sum(r * discount**i for i, r in enumerate(episode)) for episode in rewards]
    np.testing.assert_allclose(episode_returns(batch, discount=discount), expected, atol=1e-9)


def test_performance_of_a_known_batch(make_episodes: Any) -> None:
    figures = performance(make_episodes([[1.0, 1.0], [4.0]]), discount=0.5)
    assert figures["NumEpisodes"] == 2
    assert figures["AverageEpisodeLength"] == 1.5
    assert (figures["MinReturn"], figures["AverageReturn"], figures["MaxReturn"]) == (2.0, 3.0, 4.0)
    assert figures["StdReturn"] == 1.0
    assert figures["AverageDiscountedReturn"] == pytest.approx((1.5 + 4.0) / 2)


@pytest.mark.parametrize(("last", "rate"), [(StepType.TERMINAL, 1.0), (StepType.TIMEOUT, 0.0)])
def test_only_termination_counts_as_termination(make_episodes: Any, last: StepType, rate: float) -> None:
    assert performance(make_episodes([[1.0], [1.0, 2.0]], last))["TerminationRate"] == rate


def test_logging_records_under_a_prefix_and_gives_the_returns(make_episodes: Any) -> None:
    recorded: dict[str, Any] = {}

    class Trainer:
        def record(self, values: Any, *, prefix: str = "") -> None:
            recorded.update({prefix + key: value for key, value in values.items()})

    returns = log_performance(Trainer(), make_episodes([[1.0, 1.0], [4.0]]), prefix="Test/")
    assert list(returns) == [2.0, 4.0]
    assert recorded["Test/AverageReturn"] == 3.0
