"""Updates of environments: what they return, what they close, what they make superfluous."""

from __future__ import annotations

import cloudpickle
import gymnasium
import pytest
from gymnasium.wrappers import TimeLimit

from samplerkit import EnvUpdate, ExistingEnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.contract.probes import Fault, TattooEnv, read_ledger
from samplerkit.interfaces import close_others, close_replaced, layers_of


class OtherEnv(TattooEnv):
    """A subclass: not exactly the type that a SetTaskUpdate names."""


class TaskWrapper(gymnasium.Wrapper):
    def __init__(self, env, task):
        super().__init__(env)
        self.task = task


class AddToTag(EnvUpdate):
    def __call__(self, old_env=None):
        old_env.set_task(old_env.tag + 1)
        return old_env


def test_the_abstract_update_cannot_be_made():
    with pytest.raises(TypeError):
        EnvUpdate()


def test_new_env_update_constructs_at_every_call():
    update = NewEnvUpdate(TattooEnv)
    old = update(None)
    assert update(old) is not old


@pytest.mark.parametrize("nonsense", [None, 3, "CartPole-v1", TattooEnv()])
def test_new_env_update_refuses_what_cannot_be_called(nonsense):
    with pytest.raises(TypeError, match="callable without arguments"):
        NewEnvUpdate(nonsense)


def test_existing_env_update_returns_the_environment_it_carries():
    env = TattooEnv()
    assert ExistingEnvUpdate(env)(TattooEnv()) is env


@pytest.mark.parametrize("update", [NewEnvUpdate(lambda: TattooEnv(tag=4)), SetTaskUpdate(TattooEnv, 4)])
def test_updates_travel_by_cloudpickle(update):
    assert cloudpickle.loads(cloudpickle.dumps(update))(None).tag == 4


def test_set_task_constructs_where_there_is_nothing():
    env = SetTaskUpdate(TattooEnv, 5)(None)
    assert type(env) is TattooEnv
    assert env.tag == 5


def test_set_task_keeps_an_environment_of_the_type():
    env = TattooEnv(tag=1)
    assert SetTaskUpdate(TattooEnv, 5)(env) is env
    assert env.tag == 5


def test_set_task_keeps_the_wrappers_of_an_environment_of_the_type():
    env = TimeLimit(TattooEnv(), 3)
    assert SetTaskUpdate(TattooEnv, 5)(env) is env
    assert env.unwrapped.tag == 5


@pytest.mark.parametrize("other", [OtherEnv(), gymnasium.make("CartPole-v1")])
def test_set_task_constructs_anew_where_the_type_is_not_exactly_the_same(other):
    env = SetTaskUpdate(TattooEnv, 5)(other)
    assert type(env) is TattooEnv
    assert env is not other


def test_set_task_makes_the_wrapper_anew_around_the_same_environment():
    first = SetTaskUpdate(TattooEnv, 5, TaskWrapper)(None)
    second = SetTaskUpdate(TattooEnv, 6, TaskWrapper)(first)
    assert (first.task, second.task) == (5, 6)
    assert second is not first, "an old wrapper may remember the old task"
    assert second.env is first.env, "wrappers must not pile up"


def test_set_task_refuses_a_constructor_that_is_no_class():
    with pytest.raises(ValueError, match="must be a class"):
        SetTaskUpdate(lambda: TattooEnv(), 5)


@pytest.mark.parametrize("previous", [NewEnvUpdate(TattooEnv), SetTaskUpdate(TattooEnv, 1), AddToTag()])
def test_new_and_existing_supersede_everything(previous):
    assert NewEnvUpdate(TattooEnv).supersedes(previous)
    assert ExistingEnvUpdate(TattooEnv()).supersedes(previous)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        (SetTaskUpdate(TattooEnv, 1), True),
        (SetTaskUpdate(OtherEnv, 1), False),
        (SetTaskUpdate(TattooEnv, 1, TaskWrapper), False),
        (NewEnvUpdate(TattooEnv), False),
        (AddToTag(), False),
    ],
)
def test_set_task_supersedes_only_tasks_of_the_same_kind(previous, expected):
    assert SetTaskUpdate(TattooEnv, 2).supersedes(previous) is expected


def test_an_update_of_a_stranger_supersedes_nothing():
    assert not AddToTag().supersedes(NewEnvUpdate(TattooEnv))


def closes(ledger):
    return len(read_ledger(ledger, "close"))


def test_a_replaced_environment_is_closed(tmp_path):
    close_replaced(TattooEnv(ledger=tmp_path / "l"), TattooEnv())
    assert closes(tmp_path / "l") == 1


def test_nothing_is_closed_where_there_was_nothing():
    close_replaced(None, TattooEnv())


@pytest.mark.parametrize(
    "keep",
    [
        lambda env: env,
        lambda env: TimeLimit(env, 3),
        lambda env: TimeLimit(TimeLimit(env, 3), 2),
    ],
    ids=["the same", "wrapped", "wrapped twice"],
)
def test_an_environment_that_goes_on_inside_the_new_one_is_not_closed(keep, tmp_path):
    old = TattooEnv(ledger=tmp_path / "l")
    close_replaced(old, keep(old))
    assert closes(tmp_path / "l") == 0


def test_a_wrapper_that_is_taken_off_does_not_close_what_was_inside(tmp_path):
    old = TimeLimit(TattooEnv(ledger=tmp_path / "l"), 3)
    close_replaced(old, old.env)
    assert closes(tmp_path / "l") == 0


def test_an_exchanged_wrapper_does_not_close_what_was_inside(tmp_path):
    old = TimeLimit(TattooEnv(ledger=tmp_path / "l"), 3)
    close_replaced(old, TimeLimit(old.env, 5))
    assert closes(tmp_path / "l") == 0


def test_of_several_environments_those_that_go_on_in_any_of_the_new_ones_are_not_closed(tmp_path):
    ledgers = [tmp_path / name for name in "abc"]
    first, second, third = (TattooEnv(ledger=ledger) for ledger in ledgers)
    close_others([first, second, third], [TimeLimit(third, 3), first])
    assert [closes(ledger) for ledger in ledgers] == [0, 1, 0]


def test_each_is_closed_though_one_raises(tmp_path):
    ledgers = [tmp_path / name for name in "ab"]
    first, second = (TattooEnv(ledger=ledger, fault=Fault("close")) for ledger in ledgers)
    with pytest.raises(ValueError, match="the probe raised this"):
        close_others([first, second], [])
    assert [closes(ledger) for ledger in ledgers] == [1, 1]


def test_layers_go_from_the_outermost_wrapper_to_the_environment_itself():
    env = TattooEnv()
    inner = TimeLimit(env, 3)
    outer = TaskWrapper(inner, task=1)
    assert layers_of(outer) == [outer, inner, env]


class SelfishEnv(TattooEnv):
    """Some environments call themselves the one inside."""

    @property
    def env(self):
        return self


def test_an_environment_that_says_it_is_inside_itself_is_one_layer():
    env = SelfishEnv()
    assert layers_of(env) == [env]
