"""Samplers by name."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

import samplerkit
from samplerkit import BackendSpec, DefaultWorker, LocalSampler, WorkerFactory, errors
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.plugins import YES, State, making
from samplerkit.plugins.discovery import Registry
from samplerkit.plugins.making import LOCAL
from samplerkit.sampling import Option

PROBE_WORKER = BackendSpec(name="probe", api=(1, 0), worker="probe_backends:MarkingWorker")
PROBE_SAMPLER = BackendSpec(name="probe-sampler", api=(1, 0), factory="probe_backends:ProbeSampler")


class MarkingWorker(DefaultWorker):
    """Says in its infos that it was here."""

    def __init__(self, *, mark=1, **arguments):
        super().__init__(**arguments)
        self.mark = mark

    def rollout(self):
        return super().rollout().replace(episode_infos={"mark": np.array([self.mark])})


class ProbeSampler(LocalSampler):
    """Has an option."""

    options: ClassVar = {"colour": Option("red", lambda name, value: value)}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """A registry like the real one, that forgets what a test registers."""
    import sys
    import types

    module = types.ModuleType("probe_backends")
    module.MarkingWorker, module.ProbeSampler, module.NoClass, module.Foreign = (
        MarkingWorker,
        ProbeSampler,
        3,
        dict,
    )
    monkeypatch.setitem(sys.modules, "probe_backends", module)
    monkeypatch.setattr(making, "registry", Registry((LOCAL,)))


def make(name, **changes):
    arguments = {
        "agents": ProbePolicy(),
        "envs": TattooEnv,
        "max_episode_length": 5,
        "n_workers": 2,
        "seed": 1,
    }
    return samplerkit.make_sampler(name, **{**arguments, **changes})


def marks(sampler):
    with sampler:
        return set(sampler.obtain_samples(0, 5).episode_infos_by_episode.get("mark", ()))


def test_local():
    with make("local") as sampler:
        assert type(sampler) is LocalSampler
        assert sampler.obtain_samples(0, 5).provenance.units[0] == 0


def test_all_arguments_arrive():
    with make("local", seed=7, n_workers=3, worker_class=MarkingWorker, worker_args={"mark": 4}) as sampler:
        assert (sampler.seed, sampler.n_workers) == (7, 3)
        assert set(sampler.obtain_samples(0, 5).episode_infos_by_episode["mark"]) == {4}


def test_a_factory_instead_of_its_arguments():
    factory = WorkerFactory(max_episode_length=5, seed=3, n_workers=4)
    with samplerkit.make_sampler(
        "local", agents=ProbePolicy(), envs=TattooEnv, worker_factory=factory
    ) as sampler:
        assert (sampler.seed, sampler.n_workers) == (3, 4)
    with pytest.raises(TypeError, match="seed cannot be given beside worker_factory"):
        samplerkit.make_sampler("local", agents=ProbePolicy(), envs=TattooEnv, worker_factory=factory, seed=1)


def test_the_environment_s_own_limit_is_the_default():
    with make("local", envs="CartPole-v1", agents=Balancing(), max_episode_length=None) as sampler:
        assert sampler.worker_factory.max_episode_length == 500
        assert sampler.obtain_samples(0, 5).env_spec.max_episode_length == 500


class Balancing(ProbePolicy):
    def get_action(self, observation):
        return int(observation[2] > 0), {}


@pytest.mark.parametrize("name", ["local", "multiprocessing", "probe-sampler"])
def test_an_unknown_option_is_refused_by_name(name):
    samplerkit.register_backend(PROBE_SAMPLER)
    with pytest.raises(TypeError, match="no_such_option"):
        make(name, no_such_option=1)


def test_an_option_of_another_backend_is_refused():
    with pytest.raises(TypeError, match="n_processes"):
        make("local", n_processes=2)


def test_an_option_of_a_kind_of_worker_is_refused_without_one():
    samplerkit.register_backend(PROBE_WORKER)
    with pytest.raises(TypeError, match=r"'local' has no option 'mark'.*make 'local\+probe'"):
        make("local", mark=3)


def test_a_kind_of_worker_that_cannot_be_loaded_spoils_no_error():
    samplerkit.register_backend(BackendSpec(name="bad", api=(1, 0), worker="probe_backends:Missing"))
    with pytest.raises(TypeError, match="Did you mean 'n_workers'"):
        make("local", n_worker=3)


def test_options_reach_their_backend():
    samplerkit.register_backend(PROBE_SAMPLER)
    with make("probe-sampler", colour="blue") as sampler:
        assert type(sampler) is ProbeSampler
        assert sampler._options == {"colour": "blue"}


# -- kinds of workers ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local+probe", "probe", "probe-sampler+probe"])
def test_a_kind_of_worker_composes_with_any_sampler(name):
    samplerkit.register_backend(PROBE_WORKER)
    samplerkit.register_backend(PROBE_SAMPLER)
    assert marks(make(name)) == {1}
    assert marks(make(name, worker_args={"mark": 6})) == {6}


def test_a_kind_of_worker_on_processes(tmp_path, monkeypatch):
    # Processes cannot see what a test put into sys.modules, but they share its path.
    (tmp_path / "probe_on_disk.py").write_text(
        "import numpy as np\n"
        "from samplerkit import DefaultWorker\n"
        "class Marking(DefaultWorker):\n"
        "    def rollout(self):\n"
        "        return super().rollout().replace(episode_infos={'mark': np.array([3])})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    samplerkit.register_backend(BackendSpec(name="probe", api=(1, 0), worker="probe_on_disk:Marking"))
    assert marks(make("multiprocessing+probe", n_processes=1)) == {3}


def test_a_bare_kind_of_worker_is_on_the_local_sampler():
    samplerkit.register_backend(PROBE_WORKER)
    with make("probe") as sampler:
        assert type(sampler) is LocalSampler


@pytest.mark.parametrize("name", ["local+probe", "probe"])
@pytest.mark.parametrize(
    "conflict", [{"worker_class": DefaultWorker}, {"worker_factory": WorkerFactory(max_episode_length=5)}]
)
def test_a_kind_of_worker_excludes_naming_it_again(name, conflict):
    samplerkit.register_backend(PROBE_WORKER)
    with pytest.raises(TypeError, match=f"{next(iter(conflict))} out"):
        make(name, **conflict)


@pytest.mark.parametrize("name", ["probe+local", "local+local", "probe+probe", "local+multiprocessing"])
def test_a_composite_is_a_sampler_and_a_kind_of_worker(name):
    samplerkit.register_backend(PROBE_WORKER)
    with pytest.raises(ValueError, match="a composite is a sampler"):
        make(name)


@pytest.mark.parametrize(
    "name", ["", "+", "local+", "+probe", "local+nope", "nope+probe", "local+probe+probe"]
)
def test_unknown_parts_are_unknown_backends(name):
    samplerkit.register_backend(PROBE_WORKER)
    with pytest.raises(errors.UnknownBackend):
        make(name)


@pytest.mark.parametrize("name", [None, 3, LocalSampler, b"local"])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError, match="string such as 'local'"):
        make(name)


def test_an_unknown_name_comes_with_a_suggestion():
    with pytest.raises(errors.UnknownBackend, match="Did you mean 'multiprocessing'"):
        make("multiprocesing")


# -- classes -------------------------------------------------------------------------------------


def test_get_backend_gives_the_class():
    samplerkit.register_backend(PROBE_WORKER)
    assert samplerkit.get_backend("local") is LocalSampler
    assert samplerkit.get_backend("multiprocessing").__name__ == "MultiprocessingSampler"
    assert samplerkit.get_backend("probe") is MarkingWorker


def test_get_backend_takes_no_composites():
    samplerkit.register_backend(PROBE_WORKER)
    with pytest.raises(ValueError, match="composite"):
        samplerkit.get_backend("local+probe")


@pytest.mark.parametrize("field", ["factory", "worker"])
@pytest.mark.parametrize("path", ["NoClass", "Foreign", "Missing"])
def test_a_class_that_is_none_of_ours_is_broken(field, path):
    samplerkit.register_backend(BackendSpec(name="bad", api=(1, 0), **{field: f"probe_backends:{path}"}))
    with pytest.raises(errors.BackendBroken, match="'bad'"):
        samplerkit.get_backend("bad")


def test_a_sampler_is_no_kind_of_worker():
    samplerkit.register_backend(BackendSpec(name="bad", api=(1, 0), worker="probe_backends:ProbeSampler"))
    with pytest.raises(errors.BackendBroken, match="not a subclass of Worker"):
        make("local+bad")


# -- the list ------------------------------------------------------------------------------------


def test_backends_lists_what_is_installed():
    listed = {backend.name: backend for backend in samplerkit.backends()}
    assert listed["local"].state == listed["multiprocessing"].state == State.OK
    assert listed["local"].distribution == listed["multiprocessing"].distribution == "samplerkit"
    assert listed["local"].capabilities["exact_episodes"] == YES
    assert listed["multiprocessing"].summary


def test_a_registered_backend_is_listed():
    samplerkit.register_backend(PROBE_WORKER)
    assert "probe" in [backend.name for backend in samplerkit.backends()]


def test_an_unavailable_backend_is_refused_with_the_install_line():
    spec = BackendSpec(
        name="far",
        api=(1, 0),
        factory="far:Sampler",
        requires=("no_such_module_a",),
        install="pip install far",
    )
    samplerkit.register_backend(spec)
    with pytest.raises(errors.BackendUnavailable, match="pip install far"):
        make("far")
    with pytest.raises(errors.BackendUnavailable, match="pip install far"):
        make("far+probe")
