from __future__ import annotations

import dataclasses
import pickle
import re

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import EnvSpec, EpisodeBatch, Provenance, StepType, TimeStepBatch

SPEC = EnvSpec(spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3), 10)
LENGTHS = [2, 1, 3]


def provenance(units=(0, 1, 2), **changes):
    n = len(units)
    return Provenance(np.array(units), np.zeros(n, int), np.full(n, 4), np.full(n, 2), **changes)


def fields(lengths=LENGTHS, **changes):
    """Return the arguments of a batch of these episodes whose rows are all different."""
    n, rows = len(lengths), sum(lengths)
    types = [[0] + [1] * (length - 2) + [2] if length > 1 else [3] for length in lengths]
    return {
        "env_spec": SPEC,
        "episode_infos": {"goal": np.arange(n * 2.0).reshape(n, 2)},
        "observations": np.arange(rows * 2, dtype=np.float32).reshape(rows, 2),
        "last_observations": -np.arange(1, n * 2 + 1, dtype=np.float32).reshape(n, 2),
        "actions": np.arange(rows) % 3,
        "rewards": np.arange(rows) + 0.5,
        "env_infos": {"x": np.arange(rows, dtype=np.int8), "n": {"y": np.zeros((rows, 1))}},
        "agent_infos": {"log_prob": np.arange(rows, dtype=np.float32)},
        "step_types": np.array([step_type for episode in types for step_type in episode], np.int8),
        "lengths": np.array(lengths),
        **changes,
    }


def batch_of(lengths=LENGTHS, **changes):
    return EpisodeBatch(**fields(lengths, **changes))


# ---------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": [2, 1, 3]}, "lengths is not of type <class 'numpy.ndarray'>"),
        ({"lengths": np.array([[2, 1, 3]])}, r"lengths has shape \(1, 3\)"),
        ({"lengths": np.array([2.0, 1, 3])}, "lengths has dtype float64"),
        ({"lengths": np.array([2, 1, 2])}, "lengths sum to 5, but rewards has 6 rows"),
        ({"lengths": np.array([2, 0, 4])}, r"lengths\[1\] is 0, but an episode has at least one step"),
        ({"lengths": np.array([], int)}, "lengths is empty"),
        ({"episode_infos": [1]}, "episode_infos is of type <class 'list'>"),
        ({"episode_infos": {"k": [1, 2, 3]}}, "Entry 'k' in episode_infos is of type <class 'list'>"),
        (
            {"episode_infos": {"k": np.zeros(6)}},
            "Entry 'k' in episode_infos has batch size 6, .* 3 to match lengths",
        ),
        ({"last_observations": np.zeros((2, 2))}, "last_observations must have the same number of entries"),
        ({"last_observations": [0]}, "last_observations is not of type"),
        ({"last_observations": np.zeros((3, 5))}, r"Each observation has shape \(5,\) in last_observations"),
        ({"observations": [[0, 0]] * 6}, "observations is not of type"),
        (
            {"observations": np.zeros((5, 2))},
            "observations has batch size 5, but must have batch size 6 to match rew",
        ),
        ({"observations": np.zeros((6, 3))}, r"Each observation has shape \(3,\)"),
        ({"actions": np.zeros((6, 2))}, r"Each action has shape \(2,\)"),
        ({"actions": np.zeros(7, int)}, "actions has batch size 7"),
        ({"rewards": np.zeros((6, 1))}, r"rewards has shape \(6, 1\)"),
        ({"rewards": np.array(["a"] * 6)}, "rewards has dtype <U1"),
        ({"rewards": [0.0] * 6}, "rewards is not of type"),
        ({"env_infos": {"k": [1]}}, "Entry 'k' in env_infos is of type <class 'list'>"),
        ({"env_infos": {"n": {"k": np.zeros(2)}}}, r"Entry 'n\.k' in env_infos has batch size 2"),
        (
            {"agent_infos": {"k": np.zeros(5)}},
            "Entry 'k' in agent_infos has batch size 5, but must have batch size 6",
        ),
        ({"agent_infos": {"k": np.float64(5)}}, "Entry 'k' in agent_infos is of type"),
        ({"step_types": np.zeros((6, 1), np.int8)}, r"step_types has shape \(6, 1\)"),
        ({"step_types": np.zeros(5, np.int8)}, "step_types has batch size 5"),
        ({"step_types": np.zeros(6, np.float32)}, "step_types has dtype float32"),
        ({"step_types": np.array([0, 2, 3, 0, 1, 4])}, r"step_types holds \[0, 1, 2, 3, 4\]"),
        ({"step_types": np.array([0, 2, 3, 0, 0, 2])}, "step_types has FIRST at step 1 of 3 in episode 2"),
        ({"step_types": np.array([2, 2, 3, 0, 1, 2])}, "step_types has TERMINAL at step 0 of 2 in episode 0"),
        ({"step_types": np.array([0, 2, 3, 0, 3, 2])}, "step_types has TIMEOUT at step 1 of 3 in episode 2"),
        ({"provenance": provenance((1, 2))}, "provenance has batch size 2, but must have batch size 3"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EpisodeBatch(**{**fields(), **changes})


@pytest.mark.parametrize(
    "types",
    [
        [0, 2, 3, 0, 1, 3],
        [0, 1, 0, 0, 1, 1],  # cut at the end
        [1, 2, 1, 1, 1, 2],  # going on from the start
        [1, 1, 2, 0, 1, 2],
    ],
)
def test_episodes_and_fragments_of_them_are_legal(types):
    assert batch_of(step_types=np.array(types)).step_types.tolist() == types


def test_integers_of_any_width_and_step_type_objects_become_int8():
    for types in (np.array([0, 2, 3, 0, 1, 2]), np.array([StepType(i) for i in (0, 2, 3, 0, 1, 2)], object)):
        assert batch_of(step_types=types).step_types.dtype == np.int8


def test_rewards_and_lengths_take_the_contracts_dtypes():
    batch = batch_of(rewards=np.zeros(6, np.float32), lengths=np.array(LENGTHS, np.uint8))
    assert batch.rewards.dtype == np.float64
    assert batch.lengths.dtype == np.int64


def test_flattened_observations_are_fine():
    spec = EnvSpec(spaces.Discrete(4), spaces.Discrete(3))
    batch_of(env_spec=spec, observations=np.zeros((6, 4)), last_observations=np.zeros((3, 4)))
    nested = EnvSpec(spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), spaces.Discrete(3))
    batch_of(env_spec=nested, observations=np.zeros((6, 4)), last_observations=np.zeros((3, 4)))


def test_nested_observations_are_checked_by_path():
    spec = EnvSpec(spaces.Dict({"a": spaces.Tuple([spaces.Discrete(2)])}), spaces.Discrete(3))
    good = {"a": (np.zeros(6, int),)}
    last = {"a": (np.zeros(3, int),)}
    batch_of(env_spec=spec, observations=good, last_observations=last)
    for bad, message in [
        ({"a": (np.zeros(5, int),)}, r"observations\['a'\]\[0\] has batch size 5"),
        ({"a": (np.zeros((6, 3)),)}, r"Each observation has shape \(3,\) in observations\['a'\]\[0\]"),
        ({"a": ()}, r"observations\['a'\] has 0 entries"),
        ({"b": ()}, r"observations has the keys \['b'\]"),
        ({"a": {}}, r"observations\['a'\] is not of type"),
    ]:
        with pytest.raises(ValueError, match=message):
            batch_of(env_spec=spec, observations=bad, last_observations=last)


def test_a_batch_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch_of().rewards = np.zeros(6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch_of().anything = 1


def test_fields_can_be_given_by_position_in_the_documented_order():
    assert EpisodeBatch(*fields().values()).equals(batch_of())


def test_it_is_a_time_step_batch():
    assert isinstance(batch_of(), TimeStepBatch)
    assert repr(batch_of()) == "<EpisodeBatch of 3 episodes, 6 steps>"


def test_unchecked_makes_the_same_batch():
    arguments = fields()
    batch = EpisodeBatch.unchecked(**arguments)
    assert batch.observations is arguments["observations"]
    assert batch.equals(batch_of())


def test_replace_checks_again():
    assert batch_of().replace(rewards=np.zeros(6)).rewards.tolist() == [0] * 6
    with pytest.raises(ValueError, match="rewards"):
        batch_of().replace(rewards=np.zeros(5))


# ---------------------------------------------------------------- derived columns


def test_episode_infos_are_repeated_for_each_step():
    batch = batch_of()
    assert batch.episode_infos["goal"][:, 0].tolist() == [0, 0, 2, 4, 4, 4]
    assert batch.episode_infos_by_episode["goal"][:, 0].tolist() == [0, 2, 4]


def test_next_observations_end_with_the_last_observation_of_each_episode():
    assert batch_of().next_observations[:, 0].tolist() == [2, -1, -3, 8, 10, -5]


def test_terminals_are_terminations_only():
    assert batch_of().terminals.tolist() == [False, True, False, False, False, True]


def test_lists_hold_one_entry_for_each_episode():
    batch = batch_of()
    assert [len(entry) for entry in batch.observations_list] == LENGTHS
    assert [entry.tolist() for entry in batch.actions_list] == [[0, 1], [2], [0, 1, 2]]


# ---------------------------------------------------------------- split and concatenate


def test_split_gives_views_in_order():
    batch = batch_of(provenance=provenance((7, 8, 9)))
    parts = batch.split()
    assert [int(part.lengths[0]) for part in parts] == LENGTHS
    for part in parts:
        assert np.shares_memory(part.observations, batch.observations)
        assert np.shares_memory(part.env_infos["n"]["y"], batch.env_infos["n"]["y"])
        part.replace()
    assert parts[2].rewards.tolist() == [3.5, 4.5, 5.5]
    assert parts[1].last_observations.tolist() == [[-3, -4]]
    assert parts[2].episode_infos_by_episode["goal"].tolist() == [[4, 5]]
    assert [part.provenance.units.tolist() for part in parts] == [[7], [8], [9]]


def test_concatenate_takes_split_back():
    batch = batch_of(provenance=provenance())
    joined = EpisodeBatch.concatenate(*batch.split())
    assert joined.difference(batch) is None
    assert joined.provenance.units.tolist() == [0, 1, 2]
    assert not np.shares_memory(joined.observations, batch.observations)


def test_concatenating_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one EpisodeBatch"):
        EpisodeBatch.concatenate()


def test_time_steps_cannot_be_concatenated_as_episodes():
    with pytest.raises(TypeError, match="Only an EpisodeBatch"):
        EpisodeBatch.concatenate(batch_of(), time_steps())


def time_steps():
    batch = batch_of()
    return TimeStepBatch(
        SPEC, batch.episode_infos, batch.observations, batch.actions, batch.rewards, batch.next_observations,
        batch.agent_infos, batch.env_infos, batch.step_types,
    )  # fmt: skip


def test_keys_may_differ_between_batches():
    one = batch_of([2], env_infos={"a": np.ones(2)}, episode_infos={})
    other = batch_of([1], env_infos={"b": np.array(["x"])}, episode_infos={"e": np.array([5])})
    joined = EpisodeBatch.concatenate(one, other)
    assert joined.env_infos["a"].tolist() == [1, 1, 0]
    assert joined.env_infos["_a"].tolist() == [True, True, False]
    assert joined.env_infos["b"].tolist() == ["", "", "x"]
    assert joined.episode_infos_by_episode["_e"].tolist() == [False, True]
    joined.replace()
    assert EpisodeBatch.concatenate(*joined.split()).equals(joined)


def test_observations_are_never_widened():
    other = batch_of(observations=np.zeros((6, 2)))
    with pytest.raises(ValueError, match=r"observations has dtype float32 .* float64"):
        EpisodeBatch.concatenate(batch_of(), other)


def test_provenance_is_kept_where_all_have_one():
    one = batch_of(provenance=provenance((3, 4, 5), abandoned=(1,)))
    other = batch_of(provenance=provenance((6, 7, 8), reproducible=False, abandoned=(1, 2)))
    joined = EpisodeBatch.concatenate(one, other).provenance
    assert joined.units.tolist() == [3, 4, 5, 6, 7, 8]
    assert joined.agent_versions.tolist() == [4] * 6
    assert joined.reproducible is False
    assert joined.abandoned == (1, 2)
    assert EpisodeBatch.concatenate(one, batch_of()).provenance is None


@pytest.mark.parametrize("name", ["step_agent_versions", "step_env_versions"])
def test_versions_of_steps_must_be_those_of_all_steps(name):
    assert batch_of(provenance=provenance(**{name: np.arange(6)})).provenance is not None
    with pytest.raises(ValueError, match=rf"provenance\.{name} has batch size 5, but must have batch size 6"):
        batch_of(provenance=provenance(**{name: np.arange(5)}))


def test_many_episodes_concatenate_like_few():
    parts = [batch_of([1 + i % 3]) for i in range(200)]
    halves = EpisodeBatch.concatenate(
        EpisodeBatch.concatenate(*parts[:90]), EpisodeBatch.concatenate(*parts[90:])
    )
    assert halves.equals(EpisodeBatch.concatenate(*parts))


# ---------------------------------------------------------------- dicts


def test_to_list_and_from_list_are_inverse():
    batch = batch_of()
    paths = batch.to_list()
    assert sorted(paths[0]) == [
        "actions", "agent_infos", "env_infos", "episode_infos", "next_observations", "observations",
        "rewards", "step_types",
    ]  # fmt: skip
    assert len(paths[0]["episode_infos"]["goal"]) == 1
    assert EpisodeBatch.from_list(SPEC, paths).difference(batch) is None


def path_of(batch):
    path = batch.to_list()[2]
    del path["step_types"], path["next_observations"]
    return path


def test_from_list_makes_step_types_of_dones():
    done = {**path_of(batch_of()), "dones": np.array([False, False, True])}
    assert EpisodeBatch.from_list(SPEC, [done]).step_types.tolist() == [0, 1, 2]
    open_ended = {**done, "dones": np.zeros(3, bool)}
    assert EpisodeBatch.from_list(SPEC, [open_ended]).step_types.tolist() == [0, 1, 1]
    limited = EnvSpec(SPEC.observation_space, SPEC.action_space, 3)
    assert EpisodeBatch.from_list(limited, [open_ended]).step_types.tolist() == [0, 1, 3]


def test_from_list_takes_the_final_observation_from_where_it_is():
    path = {**path_of(batch_of()), "dones": np.array([0, 0, 1])}
    assert EpisodeBatch.from_list(SPEC, [path]).last_observations.tolist() == [[10, 11]], "repeated"
    longer = {**path, "observations": np.concatenate([path["observations"], np.full((1, 2), 9, np.float32)])}
    batch = EpisodeBatch.from_list(SPEC, [longer])
    assert batch.last_observations.tolist() == [[9, 9]]
    assert len(batch.observations) == 3
    given = {**path, "next_observations": np.full((3, 2), 8, np.float32)}
    assert EpisodeBatch.from_list(SPEC, [given]).last_observations.tolist() == [[8, 8]]


def test_episodes_can_be_had_as_single_steps():
    steps = batch_of().to_time_step_list()
    assert len(steps) == 6
    assert TimeStepBatch.from_time_step_list(SPEC, steps).difference(time_steps()) is None


def test_from_list_refuses_next_observations_of_other_steps():
    path = batch_of([2]).to_list()[0]
    path["next_observations"] = np.zeros((7, 2), np.float32)
    with pytest.raises(ValueError, match="next_observations has batch size 7, but must have batch size 2"):
        EpisodeBatch.from_list(SPEC, [path])


@pytest.mark.parametrize("missing", ["observations", "actions", "rewards", "step_types"])
def test_from_list_says_what_an_episode_lacks(missing):
    paths = batch_of().to_list()
    del paths[1][missing]
    with pytest.raises(ValueError, match=f"episode 1 lacks {missing}: it has "):
        EpisodeBatch.from_list(SPEC, paths)
    with pytest.raises(ValueError, match="episode 0 is of type int: give a dict"):
        EpisodeBatch.from_list(SPEC, [3])


def test_from_list_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one dict"):
        EpisodeBatch.from_list(SPEC, [])


# ---------------------------------------------------------------- pickling


def test_a_pickled_batch_is_equal_and_frozen():
    batch = batch_of(provenance=provenance())
    copy = pickle.loads(pickle.dumps(batch))
    assert copy.difference(batch) is None
    assert copy.provenance.units.tolist() == [0, 1, 2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.rewards = None


def test_a_pickle_is_compact():
    episode = batch_of([12], provenance=provenance((0,)))
    data = sum(array.nbytes for array in (episode.observations, episode.actions, episode.rewards))
    assert len(pickle.dumps(episode)) < data + 3000
    whole = batch_of([100] * 50)
    assert len(pickle.dumps(whole.split()[0])) < len(pickle.dumps(whole)) / 20, (
        "a view must not carry its base"
    )


# ---------------------------------------------------------------- comparison


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("field", "change", "sentence"),
    [
        ("rewards", lambda a: changed(a, 4, 9), "rewards at episode 2, step 1 is 4.5 here and 9. there."),
        (
            "observations",
            lambda a: changed(a, (2, 1), 9),
            r"observations at episode 1, step 0 is \[4. 5.\] here and",
        ),
        (
            "observations",
            lambda a: a.astype(np.float64),
            "observations has dtype float32 here and float64 there.",
        ),
        ("actions", lambda a: changed(a, 5, 0), "actions at episode 2, step 2 is 2 here and 0 there."),
        ("step_types", lambda a: changed(a, 5, 3), "step_types at episode 2, step 2 is 2 here and 3 there."),
        ("last_observations", lambda a: changed(a, (1, 0), 7), "last_observations at episode 1 is "),
        (
            "env_infos",
            lambda a: {**a, "n": {"y": changed(a["n"]["y"], 3, 1)}},
            r"env_infos\['n'\]\['y'\] at episode 2, s",
        ),
        (
            "env_infos",
            lambda a: {"x": a["x"]},
            r"env_infos has the keys \['n', 'x'\] here and \['x'\] there.",
        ),
        (
            "agent_infos",
            lambda a: {"log_prob": a["log_prob"][:, None]},
            r"agent_infos\['log_prob'\] has shape",
        ),
        ("env_infos", lambda a: {**a, "x": {}}, r"env_infos\['x'\] is of type ndarray here and dict there."),
    ],
)
def test_difference_names_the_first_wrong_place(field, change, sentence):
    batch = batch_of()
    other = batch.replace(**{field: change(getattr(batch, field))})
    assert not batch.equals(other)
    assert batch.digest() != other.digest()
    assert re.match(sentence, batch.difference(other)), batch.difference(other)


def test_difference_compares_episode_infos_by_episode():
    batch = batch_of()
    other = batch.replace(episode_infos={"goal": changed(batch.episode_infos_by_episode["goal"], (2, 0), 9)})
    assert batch.difference(other).startswith("episode_infos_by_episode['goal'] at episode 2 is [4. 5.] here")
    assert batch.digest() != other.digest()


def test_difference_names_the_earliest_of_several_fields():
    batch = batch_of()
    other = batch.replace(
        observations=changed(batch.observations, 5, 0), rewards=changed(batch.rewards, 1, 0)
    )
    assert batch.difference(other).startswith("rewards at episode 0, step 1")


def test_difference_of_lengths_comes_first():
    assert batch_of([2, 4]).difference(batch_of([3, 3])) == "lengths at episode 0 is 2 here and 3 there."
    assert batch_of([2, 4]).difference(batch_of([6])) == "lengths has shape (2,) here and (1,) there."


def test_difference_compares_specs_and_types():
    other = batch_of(env_spec=EnvSpec(SPEC.observation_space, SPEC.action_space, 11))
    assert "env_spec is" in batch_of().difference(other)
    assert batch_of().digest() != other.digest()
    assert batch_of().difference(time_steps()) == "One is a EpisodeBatch, the other a TimeStepBatch."


def test_the_order_of_keys_and_the_provenance_do_not_count():
    batch = batch_of()
    other = batch.replace(env_infos=dict(reversed(batch.env_infos.items())), provenance=provenance())
    assert batch.equals(other)
    assert batch.digest() == other.digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (np.nan, -np.nan),
        (np.uint64(0x7FF8000000000001).view(np.float64), np.nan),
        (5e-324, 0.0),
    ],
)
def test_bits_count_not_values(one, other):
    batch = batch_of()
    here = batch.replace(rewards=changed(batch.rewards, 3, one))
    there = batch.replace(rewards=changed(batch.rewards, 3, other))
    assert here.equals(batch.replace(rewards=changed(batch.rewards, 3, one)))
    assert "rewards at episode 2, step 0 is" in here.difference(there)
    assert here.digest() != there.digest()
    sentence = here.difference(there)
    said = sentence.split(" is ")[1].removesuffix(".").split(" here and ")
    assert said[0] != said[1].removesuffix(" there"), f"the two values must be told apart: {sentence}"


def test_objects_are_compared_by_type_and_value():
    def with_objects(*items):
        column = np.empty(len(items), object)
        column[:] = items
        return batch_of([len(items)], env_infos={"o": column})

    assert with_objects(None, {"a": 1.5}).equals(with_objects(None, {"a": 1.5}))
    assert (
        with_objects(1, None)
        .difference(with_objects(1.0, None))
        .startswith("env_infos['o'] at episode 0, step 0")
    )
    assert not with_objects(None, 0.0).equals(with_objects(None, -0.0))
    assert with_objects(None, "x").digest() != with_objects("x", None).digest()


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="its long doubles use all of their bytes")
def test_unused_bytes_of_long_doubles_do_not_count():
    one, other = np.ones(6, np.longdouble), np.ones(6, np.longdouble)
    one.view(np.uint8).reshape(6, -1)[:, 10:] = 0xAA
    other.view(np.uint8).reshape(6, -1)[:, 10:] = 0xBB
    here, there = (batch_of(env_infos={"long": column}) for column in (one, other))
    assert here.difference(there) is None
    assert here.digest() == there.digest()


def test_keys_of_several_types_are_compared_and_hashed():
    space = spaces.Dict([(1, spaces.Discrete(2)), ("a", spaces.Discrete(2))])
    of = lambda rows: {1: np.zeros(rows, np.int64), "a": np.ones(rows, np.int64)}  # noqa: E731
    changes = {
        "env_spec": EnvSpec(space, spaces.Discrete(4)),
        "observations": of(6),
        "last_observations": of(3),
    }
    one, other = batch_of(**changes), batch_of(**changes)
    assert one.equals(other)
    assert one.digest() == other.digest()
    fewer = one.with_columns(observations={1: np.zeros(6, np.int64)})
    assert one.difference(fewer) == "observations has the keys [1, 'a'] here and [1] there."


def test_the_digest_is_the_same_in_every_process_and_release():
    expected = "da44f030379aa8dab51505585bde167115fc887843f0968de0155aeb26839a83"
    assert batch_of().digest() == expected, (
        "digests are recorded by users: change them only with a major version"
    )
