"""The contract of samplers, clause by clause; then what is only ours."""

import sys

import gymnasium
import pytest

from samplerkit import make_sampler
from samplerkit.contract import contract_tests
from samplerkit.policies import RandomPolicy

TestPipes = contract_tests("pipes")

SPACE = gymnasium.spaces.Discrete(2)


def test_any_command_that_starts_python_will_do():
    command = ("env", "SOMETHING=else", sys.executable)
    with make_sampler("pipes", agents=RandomPolicy(SPACE), envs="CartPole-v1", command=command) as sampler:
        assert sampler.obtain_samples(0, 10).lengths.sum() >= 10


def test_a_command_is_a_sequence_of_words():
    with pytest.raises(TypeError, match="sequence of strings"):
        make_sampler("pipes", agents=RandomPolicy(SPACE), envs="CartPole-v1", command="nice python3")
