"""A plugin of hooks: a row of steps per second for each batch of every sampler, appended to a CSV file.

Try it: python steps_per_second.py [FILE] [BACKEND]. To have it always, name it in a distribution's pyproject:

    [project.entry-points."samplerkit.hooks"]
    steps_per_second = "steps_per_second:OBSERVER"
"""

import csv
import itertools
import os
import sys
import time
from pathlib import Path

from samplerkit.plugins.hookspecs import hookimpl

COLUMNS = ("time", "pid", "sampler", "backend", "steps", "seconds", "steps_per_second", "restarts")


class StepsPerSecond:
    def __init__(self, path):
        self.path = Path(path)
        self.names = {}  # by id, which is unique while a sampler lives
        self.numbers = itertools.count()

    @hookimpl
    def samplerkit_sampler_created(self, sampler, spec):
        self.names[id(sampler)] = (next(self.numbers), spec.name)

    @hookimpl
    def samplerkit_batch_collected(self, sampler, batch, seconds):
        number, backend = self.names.get(id(sampler), ("", ""))  # made before this was registered
        steps = int(batch.lengths.sum())
        restarts = sampler.statistics().restarts
        row = (time.time(), os.getpid(), number, backend, steps, seconds, round(steps / seconds), restarts)
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(COLUMNS)
            writer.writerow(row)

    @hookimpl
    def samplerkit_sampler_shutdown(self, sampler):
        self.names.pop(id(sampler), None)


OBSERVER = StepsPerSecond(os.environ.get("STEPS_PER_SECOND_CSV", "steps_per_second.csv"))

if __name__ == "__main__":
    import gymnasium

    import samplerkit
    from samplerkit.policies import RandomPolicy

    path, backend = (*sys.argv[1:], *("steps_per_second.csv", "local")[len(sys.argv) - 1 :])
    samplerkit.register_hooks(StepsPerSecond(path))
    policy = RandomPolicy(gymnasium.make("CartPole-v1").action_space)
    with samplerkit.make_sampler(backend, agents=policy, envs="CartPole-v1", n_workers=2, seed=1) as sampler:
        for epoch in range(5):
            sampler.obtain_samples(epoch, 2_000)
    print(Path(path).read_text(), end="")
