"""REINFORCE on CartPole, on any backend but +fragment: python reinforce.py [BACKEND] [N_EPOCHS] [FOLDER]."""

import sys

import numpy as np

from samplerkit.policies import RowStreams
from samplerkit.trainer import SnapshotConfig, Trainer, log_performance, read_progress


class LinearPolicy:
    def __init__(self, n_inputs, n_actions):
        self.weights, self.streams = np.zeros((n_inputs, n_actions)), RowStreams()

    def probabilities(self, observations):  # a sum, not a product: exact row by row
        logits = (observations[:, :, None] * self.weights).sum(axis=1)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def get_actions(self, observations):
        return (self.streams.uniform() >= self.probabilities(observations)[:, :1]).sum(axis=1), {}

    def get_action(self, observation):
        return self.get_actions(observation[None])[0][0], {}

    def reset(self, do_resets=None):
        self.rows = np.flatnonzero([True] if do_resets is None else do_resets)
        self.streams.resize(1 if do_resets is None else len(do_resets))

    def seed(self, seeds):  # all that is random in an episode comes from here
        self.streams.seed(seeds, self.rows)

    def get_param_values(self):
        return self.weights

    def set_param_values(self, weights):
        self.weights = weights


class Reinforce:
    def __init__(self):
        self.policy = LinearPolicy(n_inputs=4, n_actions=2)

    def train(self, trainer):
        for epoch in trainer.step_epochs():
            episodes = trainer.obtain_episodes(epoch)
            to_go = np.concatenate([e.rewards[::-1].cumsum()[::-1] for e in episodes.split()])
            scores = np.eye(2)[episodes.actions] - self.policy.probabilities(episodes.observations)
            gradient = episodes.observations.T @ (scores * (to_go - to_go.mean())[:, None])
            self.policy.weights = self.policy.weights + 0.3 * gradient / np.linalg.norm(gradient)
            print(f"epoch {epoch}  return {log_performance(trainer, episodes).mean():.1f}", flush=True)


backend, n_epochs, folder = (*sys.argv[1:], *("local", "40", None)[len(sys.argv) - 1 :])
trainer = Trainer(SnapshotConfig(folder) if folder else None)
if folder and read_progress(folder):
    trainer.restore(folder)
    trainer.resume(int(n_epochs), sampler=backend)
else:
    trainer.setup(Reinforce(), "CartPole-v1", sampler=backend, sampler_options={"seed": 1})
    trainer.train(int(n_epochs), batch_size=2000)
