"""What a backend's transport must be: whoever wrote it otherwise is told so when the sampler starts."""

from __future__ import annotations

import pytest

from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.sampling import PoolSampler, Transport


class DeafTransport(Transport[str]):
    """Its carriers say what `heard` says, or nothing at all."""

    n_carriers = 2
    closed = False

    def __init__(self, heard=()):
        self.heard = heard

    def start(self, index, setup):
        return f"carrier {index}"

    def send(self, carrier, message): ...

    def receive(self, carriers, timeout):
        return self.heard

    def exit_status(self, carrier): ...

    def kill(self, carrier): ...

    def stop(self, carrier, timeout): ...

    def wake(self): ...

    def close(self):
        self.closed = True


def start(transport, **options):
    class Pool(PoolSampler):
        def make_transport(self):
            return transport

    return Pool(ProbePolicy(), TattooEnv, n_workers=2, max_episode_length=5, seed=1, **options)


@pytest.mark.parametrize("made", [None, DeafTransport, 3], ids=str)
def test_make_transport_returns_a_transport(made):
    with pytest.raises(TypeError, match=r"Pool\.make_transport returned .*: it must return a Transport"):
        start(made)


def test_how_many_carriers_there_are_is_a_property():
    class Forgetful(DeafTransport):
        def n_carriers(self):
            return 2

    transport = Forgetful()
    with pytest.raises(TypeError, match=r"Forgetful\.n_carriers must be a number.*write @property above it"):
        start(transport)
    assert transport.closed


@pytest.mark.parametrize(("number", "error"), [("2", TypeError), (0, ValueError), (None, TypeError)])
def test_how_many_carriers_there_are_is_a_number(number, error):
    odd = type("Odd", (DeafTransport,), {"n_carriers": number})
    with pytest.raises(error, match=r"Odd\.n_carriers must be .*at least 1"):
        start(odd())


@pytest.mark.parametrize(
    "heard", [None, b"message", ("carrier 0", None), [b"message"], [("carrier 0",)]], ids=str
)
def test_receive_returns_a_list_of_pairs(heard):
    with pytest.raises(TypeError, match=r"DeafTransport\.receive returned .*must return a list of pairs"):
        start(DeafTransport(heard))
