"""A kind of worker written for sampler API 1.0: see acme_spec.py."""

from samplerkit import DefaultWorker


class EchoWorker(DefaultWorker):
    stateful = False

    def __init__(self, *, echo=0, **arguments):
        super().__init__(**arguments)
        self.echo = echo

    def rollout(self):
        self.start_episode()
        while not self.step_episode():
            pass
        return self.collect_episode()
