from __future__ import annotations

import numpy as np
import pytest

import samplerkit
from samplerkit.episodes import EnvSpec
from samplerkit.policies import GRUPolicy
from samplerkit.rl2 import BanditEnv, NoResetPolicy, RL2AdaptedPolicy, RL2Env, RL2Worker, SetTaskSampler
from samplerkit.tf import RL2, RL2PPO, PPOSettings, TFGRUPolicy, TFGRUValue, TFTrainer
from samplerkit.trainer import SnapshotConfig, read_progress

SETTINGS = PPOSettings(minibatch_size=32, update_epochs=1, learning_rate=0.01, jit_compile=False)


def bandit():
    return RL2Env(BanditEnv(3), episodes_per_trial=4)


def rl2(settings=SETTINGS, **arguments):
    env = bandit()
    return RL2PPO(
        env_spec=EnvSpec.from_env(env),
        policy=TFGRUPolicy(env.observation_space, env.action_space, hidden_size=4, seed=1),
        baseline=TFGRUValue(env.observation_space, hidden_size=4, seed=2),
        episodes_per_trial=4,
        settings=settings,
        seed=3,
        **arguments,
    )


def weights_after_one_update(**sampling):
    algo = rl2()
    with samplerkit.make_sampler(
        "local", agents=algo.policy, envs=bandit(), seed=1, n_workers=2, **sampling
    ) as s:
        average = algo.train_once(0, s.obtain_samples(0, 160))
    return average, algo.policy.get_param_values()


@pytest.mark.slow
def test_trials_cut_by_the_worker_teach_what_trials_in_one_piece_teach():
    average, whole = weights_after_one_update()
    same, cut = weights_after_one_update(worker_class=RL2Worker, worker_args={"n_episodes_per_trial": 4})
    assert average == same
    for name, value in whole.items():
        np.testing.assert_allclose(cut[name], value, atol=1e-6, err_msg=name)


def test_training_records_trials_and_the_first_and_last_of_their_episodes(tmp_path):
    algo = rl2()
    with TFTrainer(SnapshotConfig(tmp_path)) as trainer:
        trainer.setup(algo, bandit(), sampler="local", sampler_options={"seed": 1, "n_workers": 1})
        average = trainer.train(2, batch_size=80)
    last = read_progress(tmp_path)[-1]
    assert last["Train/AverageReturn"] == pytest.approx(average)
    assert last["Train/NumEpisodes"] == 20
    assert last["Train/AverageDiscountedReturn"] < average, "discounted across the trial"
    assert 0 <= last["RL2/FirstEpisodeReturn"] <= 1
    assert 0 <= last["RL2/LastEpisodeReturn"] <= 1


def test_tasks_of_a_task_sampler_reach_the_workers(tmp_path):
    tasks = SetTaskSampler(BanditEnv, wrapper=lambda env, task: RL2Env(env, episodes_per_trial=4), seed=1)
    algo = rl2(meta_batch_size=3, task_sampler=tasks)
    seen = []
    algo.train_once = lambda itr, episodes, trainer: seen.append(episodes) or 0.0

    class FakeTrainer:
        def step_epochs(self):
            yield from range(2)

        def obtain_episodes(self, itr, env_update):
            return [update(None).unwrapped for update in env_update]

    algo.train(FakeTrainer())
    means = [env._given["means"].tolist() for epoch in seen for env in epoch]
    assert len(means) == 6
    assert len({tuple(mean) for mean in means}) == 6, "every epoch has new tasks"


def learning_curve(folder, algo, sampler, **arguments):
    """Train for three epochs, and return all that was recorded but the times."""
    with TFTrainer(SnapshotConfig(folder)) as trainer:
        trainer.setup(algo, bandit(), sampler=sampler, sampler_options={"seed": 1, **arguments})
        trainer.train(3, batch_size=100)
    return [
        {key: value for key, value in row.items() if not key.endswith("Time")}
        for row in read_progress(folder)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "arguments"),
    [("vectorized", {"n_envs": 7}), ("multiprocessing+vectorized", {"n_envs": 16})],
    ids=["vectorized", "multiprocessing+vectorized"],
)
def test_the_learning_curve_is_the_same_however_many_trials_run_side_by_side(tmp_path, sampler, arguments):
    one = learning_curve(tmp_path / "one", rl2(), "local", n_workers=2)
    many = learning_curve(tmp_path / "many", rl2(), sampler, n_workers=2, **arguments)
    assert one == many
    assert len({row["Train/AverageReturn"] for row in one}) == 3


def train_on_tasks(folder, sampler, **arguments):
    tasks = SetTaskSampler(BanditEnv3, wrapper=lambda env, task: RL2Env(env, episodes_per_trial=4), seed=1)
    algo = rl2(meta_batch_size=6, task_sampler=tasks, n_envs=arguments.get("n_envs"))
    return learning_curve(folder, algo, sampler, **arguments)


class BanditEnv3(BanditEnv):
    def __init__(self):
        super().__init__(3)


@pytest.mark.slow
def test_tasks_in_slots_teach_what_tasks_of_workers_teach(tmp_path):
    workers = train_on_tasks(tmp_path / "workers", "local", n_workers=6)
    slots = train_on_tasks(tmp_path / "slots", "vectorized", n_workers=2, n_envs=3)
    processes = train_on_tasks(tmp_path / "both", "multiprocessing+vectorized", n_workers=3, n_envs=2)
    assert workers == slots == processes
    assert len(workers) == 3


@pytest.mark.parametrize(
    "arguments", [{"meta_batch_size": 3}, {"task_sampler": SetTaskSampler(BanditEnv, seed=0)}]
)
def test_a_task_sampler_and_its_number_of_tasks_come_together(arguments):
    with pytest.raises(ValueError, match="pass both or neither"):
        rl2(**arguments)


@pytest.mark.parametrize("name", ["episodes_per_trial", "meta_batch_size", "n_envs"])
@pytest.mark.parametrize(("count", "error"), [(2.5, TypeError), (True, TypeError), (0, ValueError)])
def test_what_is_counted_is_an_integer_of_at_least_one(name, count, error):
    arguments = {"episodes_per_trial": 4, "meta_batch_size": 4, "n_envs": 2, name: count}
    tasks = SetTaskSampler(BanditEnv, seed=0)
    with pytest.raises(error, match=f"{name} must be .*at least 1, not {count}"):
        RL2(rl2().inner_algo, env_spec=EnvSpec.from_env(bandit()), task_sampler=tasks, **arguments)


def test_the_length_of_an_inner_episode_follows_from_the_trials():
    assert rl2().max_episode_length == 1


def test_exploring_leaves_the_trained_policy_alone():
    algo = rl2()
    explorer = algo.get_exploration_policy()
    assert isinstance(explorer, NoResetPolicy)
    before = algo.policy.get_state()["hidden"].copy()
    explorer.get_action(bandit().reset(seed=0)[0])
    np.testing.assert_array_equal(algo.policy.get_state()["hidden"], before)


def test_adapting_freezes_what_was_explored():
    algo, env = rl2(), bandit()
    explorer = algo.get_exploration_policy()
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        observation = env.step(explorer.get_action(observation)[0])[0]
    adapted = algo.adapt_policy(explorer, exploration_episodes=None)
    assert isinstance(adapted, RL2AdaptedPolicy)
    assert isinstance(explorer.policy, GRUPolicy), "needs no TensorFlow"
    hidden = explorer.get_state()["hidden"]
    adapted.get_action(observation)
    adapted.reset()
    np.testing.assert_array_equal(adapted.get_state()["hidden"], hidden)
    assert hidden.any()
