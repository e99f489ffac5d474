"""REINFORCE on CartPole, on any backend: python reinforce.py [BACKEND] [N_EPOCHS] [FOLDER (resumes)]."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from samplerkit.trainer import SnapshotConfig, Trainer, log_performance


class LinearPolicy:
    def __init__(self, n_inputs, n_actions):
        self.weights = np.zeros((n_inputs, n_actions))
        self.streams = [np.random.default_rng(0)]

    def probabilities(self, observations):  # a sum, not a product: exact row by row
        logits = (observations[:, :, None] * self.weights).sum(axis=1)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def get_actions(self, observations):
        draws = np.array([[stream.random()] for stream in self.streams])
        return (draws >= self.probabilities(observations).cumsum(axis=1)[:, :-1]).sum(axis=1), {}

    def get_action(self, observation):
        return self.get_actions(observation[None])[0][0], {}

    def reset(self, do_resets=(True,)):
        self.rows = np.flatnonzero(do_resets)
        self.streams += self.streams[:1] * (len(do_resets) - len(self.streams))

    def seed(self, seeds):  # all that is random in an episode comes from here
        for row, seed in zip(self.rows, seeds, strict=True):
            self.streams[row] = np.random.default_rng(seed)

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
            print(
                f"epoch {epoch}  average return {log_performance(trainer, episodes).mean():.1f}", flush=True
            )


backend, n_epochs, folder = (*sys.argv[1:], *("local", "40", tempfile.mkdtemp())[len(sys.argv) - 1 :])
trainer = Trainer(SnapshotConfig(folder))
if Path(folder, "params.pkl").exists():
    trainer.restore(folder)
    trainer.resume(int(n_epochs), sampler=backend)
else:
    trainer.setup(Reinforce(), "CartPole-v1", sampler=backend, sampler_options={"seed": 1})
    trainer.train(int(n_epochs), batch_size=2000)
