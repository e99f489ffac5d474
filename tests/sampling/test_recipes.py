"""Recipes: how workers came to be, and which of them are interchangeable."""

from __future__ import annotations

import pickle

import pytest

from samplerkit import EnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.sampling import boundary
from samplerkit.sampling.recipes import EnvChange, Recipe, Record


class AddToTag(EnvUpdate):
    """Supersedes nothing: its result depends on what was there."""

    def __call__(self, old_env=None):
        old_env.tag += 1
        return old_env


def agent(value):
    return boundary.agent_change(value)


def env(value):
    return boundary.env_change(value, 0)


def record(n=3, agents=None):
    agents = agents or [agent(ProbePolicy())] * n
    first = env(NewEnvUpdate(TattooEnv))
    made = {id(change): Recipe(change.packed, None, (first,)) for change in agents}
    return Record(tuple(made[id(change)] for change in agents))


def names(recipe):
    return [type(change.value()).__name__ for change in recipe.envs]


def test_no_update_is_the_same_record():
    before = record()
    assert before.changed(None, None) is before


def test_equal_workers_with_equal_updates_stay_interchangeable():
    weights = agent({})
    after = record().changed([weights] * 3, None)
    assert after.seats(stateful=False) == (0, 0, 0)
    assert (after.agent_version, after.env_version) == (1, 0)
    after = after.changed(None, [env(AddToTag())] * 3)
    assert (after.agent_version, after.env_version) == (1, 1)


def test_lists_make_workers_different():
    one, other = agent({}), agent({})
    after = record().changed([one, other, one], None)
    assert after.seats(stateful=False) == (0, 1, 0)


def test_workers_that_differ_stay_different_under_an_equal_update():
    one, other = agent(ProbePolicy()), agent(ProbePolicy(1))
    after = record(agents=[one, other, other]).changed(None, [env(NewEnvUpdate(TattooEnv))] * 3)
    assert after.seats(stateful=False) == (0, 1, 1)


def test_stateful_workers_have_a_seat_each():
    assert record().seats(stateful=True) == (0, 1, 2)


def test_none_in_a_list_leaves_that_worker_as_it_was():
    before = record()
    after = before.changed([None, agent({}), None], None)
    assert after.recipes[0] is after.recipes[2] is before.recipes[0]
    assert after.recipes[1] is not before.recipes[1]
    assert after.agent_version == 1


def test_a_record_is_not_changed_by_its_successors():
    before = record()
    recipe = before.recipes[0]
    before.changed([agent({})] * 3, [env(AddToTag())] * 3)
    assert before.recipes == (recipe,) * 3
    assert (before.agent_version, before.env_version, len(recipe.envs)) == (0, 0, 1)


def test_only_the_last_weights_are_kept_and_a_new_policy_drops_them():
    first, second, policy = agent({"a": 1}), agent({"a": 2}), agent(ProbePolicy(9))
    recipe = record().recipes[0].changed(first, None).changed(second, None)
    assert recipe.params is second.packed
    recipe = recipe.changed(policy, None)
    assert (recipe.agent, recipe.params) == (policy.packed, None)


def test_updates_that_build_on_each_other_are_all_kept():
    recipe = record().recipes[0]
    for update in (SetTaskUpdate(TattooEnv, 1), AddToTag(), AddToTag()):
        recipe = recipe.changed(None, env(update))
    assert names(recipe) == ["NewEnvUpdate", "SetTaskUpdate", "AddToTag", "AddToTag"]


def test_a_new_environment_drops_all_before_it():
    recipe = record().recipes[0].changed(None, env(AddToTag())).changed(None, env(TattooEnv()))
    assert names(recipe) == ["ExistingEnvUpdate"]


def test_tasks_do_not_pile_up():
    recipe = record().recipes[0]
    for task in range(50):
        recipe = recipe.changed(None, env(SetTaskUpdate(TattooEnv, task)))
    assert len(recipe.envs) <= 3
    assert recipe.envs[-1].value()._task == 49


def test_tasks_drop_only_tasks():
    recipe = record().recipes[0].changed(None, env(AddToTag()))
    for task in range(3):
        recipe = recipe.changed(None, env(SetTaskUpdate(TattooEnv, task)))
    assert names(recipe)[:2] == ["NewEnvUpdate", "AddToTag"]


def test_lists_for_slots_supersede_item_by_item():
    recipe = record().recipes[0]
    recipe = recipe.changed(None, env([TattooEnv, TattooEnv]))
    recipe = recipe.changed(None, env([TattooEnv, TattooEnv]))
    kept = len(recipe.envs)
    assert len(recipe.changed(None, env([AddToTag(), TattooEnv])).envs) == kept + 1
    assert len(recipe.changed(None, env([TattooEnv, TattooEnv])).envs) == kept


def test_a_recipe_says_what_changed_and_since_which():
    before = record().recipes[0]
    weights, update = agent({}), env(AddToTag())
    change = before.changed(weights, update).change
    assert (change.base, change.agent, change.env) == (before.key, weights, update)
    assert before.change is None


def test_every_recipe_has_its_own_key():
    before = record().recipes[0]
    assert len({before.key, before.changed(agent({}), None).key, before.changed(agent({}), None).key}) == 3


def test_a_recipe_keeps_its_key_when_it_travels():
    recipe = record().recipes[0].changed(agent({}), env(AddToTag()))
    copy = pickle.loads(pickle.dumps(recipe))
    assert copy.key == recipe.key
    assert names(copy) == names(recipe)


def test_a_change_is_sent_without_the_caller_s_object():
    change = env(TattooEnv())
    copy = pickle.loads(pickle.dumps(change))
    assert isinstance(copy, EnvChange)
    assert copy.update is None
    assert type(copy.value()).__name__ == "ExistingEnvUpdate"


@pytest.mark.parametrize("update", [TattooEnv(), TattooEnv, "CartPole-v1"])
def test_any_description_of_an_environment_supersedes_a_record(update):
    recipe = record().recipes[0].changed(None, env(AddToTag()))
    assert len(recipe.changed(None, env(update)).envs) == 1
