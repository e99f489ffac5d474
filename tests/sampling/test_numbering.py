"""Unit numbers and their seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.sampling.numbering import UnitSeeds, agent_seed, update_seed

# Recorded once. A change here changes every batch of every user: never adjust these to the code.
RECORDED = {
    (0, 0): (1009188246, 14584187760040447831, 7402292003153977891),
    (0, 255): (1214996470, 6153319266557476751, 3383651788519802558),
    (0, 256): (568328125, 14018784465689921001, 18140990248870438416),
    (1, 0): (981596106, 5388939860413915384, 5471254088204176965),
    (1, 255): (1980093409, 11732433549033477137, 14260694130348120871),
    (1, 256): (470630110, 13848646368520114022, 17119651623489305395),
}


def by_the_contract(seed, number):
    sequence = np.random.SeedSequence(seed, spawn_key=(number // 256,))
    words = sequence.generate_state(768, np.uint64).reshape(256, 3)[number % 256].tolist()
    return number, words[0] >> 33, words[1], words[2]


@pytest.mark.parametrize(("at", "seeds"), RECORDED.items(), ids=str)
def test_seeds_are_those_on_record(at, seeds):
    seed, number = at
    assert UnitSeeds(seed).unit(number) == (number, *seeds)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 + 5, 2**100])
@pytest.mark.parametrize("number", [0, 1, 2, 254, 255, 256, 257, 511, 512, 100_000])
def test_seeds_follow_the_contract(seed, number):
    assert UnitSeeds(seed).unit(number) == by_the_contract(seed, number)


def test_seeds_are_plain_integers():
    unit = UnitSeeds(3).unit(7)
    assert {type(part) for part in unit} == {int}, "older environments refuse numpy integers"


def test_environment_seeds_have_31_bits_and_the_others_64():
    units = [UnitSeeds(3).unit(number) for number in range(256)]
    assert 2**30 < max(unit.env_seed for unit in units) < 2**31
    assert max(unit.policy_seed for unit in units) >= 2**63
    assert max(unit.worker_seed for unit in units) >= 2**63


def test_no_two_units_share_a_seed():
    seeds = UnitSeeds(0)
    units = [seeds.unit(number) for number in range(3 * 256)]
    words = [word for unit in units for word in unit[1:]]
    assert len(set(words)) == len(words)


def test_neighbouring_seeds_share_nothing():
    # seed + worker_number, the usual mistake, would make unit 1 of seed 100 unit 0 of seed 101.
    keys = [{UnitSeeds(seed).unit(number).policy_seed for number in range(512)} for seed in range(100, 104)]
    assert len(set().union(*keys)) == 4 * 512


@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 600)), max_size=4))
def test_units_asked_for_together_are_those_asked_for_one_by_one(ranges):
    numbers = [number for start, count in ranges for number in range(start, start + count)]
    assert [*UnitSeeds(5).units(numbers)] == [*map(UnitSeeds(5).unit, numbers)]


def test_the_order_of_questions_does_not_matter():
    seeds = UnitSeeds(5)
    numbers = [*range(0, 256 * 30, 97), 3, 0, 256 * 12]
    assert [seeds.unit(number) for number in numbers] == [by_the_contract(5, number) for number in numbers]


def test_memory_does_not_grow():
    seeds = UnitSeeds(5)
    for block in range(100):
        seeds.unit(block * 256)
    assert len(seeds._blocks) < 20


def test_update_seeds_are_distinct_from_each_other_and_from_units():
    updates = [update_seed(0, version, worker) for version in range(20) for worker in range(20)]
    units = [word for number in range(512) for word in UnitSeeds(0).unit(number)[2:]]
    assert len({*updates, *units}) == len(updates) + len(units)
    assert update_seed(0, 3, 4) == update_seed(0, 3, 4) != update_seed(1, 3, 4)


def test_agent_seeds_follow_from_the_update():
    seeds = [agent_seed(seed, update) for seed in range(5) for update in (0, 1, 2)]
    assert len(set(seeds)) == 15
    assert agent_seed(3, 7) == agent_seed(3, 7)
    assert not {update_seed(seed, 0, 0) for seed in range(5)} & set(seeds)
