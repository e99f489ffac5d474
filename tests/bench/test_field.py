from __future__ import annotations

import pytest

from samplerkit.bench import field
from samplerkit.bench.field import bare_name, chosen, filled, installed, spread
from samplerkit.errors import BackendBroken, UnknownBackend
from samplerkit.plugins import Backend, BackendSpec, State


def backend(name, state=State.OK, reason="", **kind):
    spec = BackendSpec(name=name, api=(1, 0), **(kind or {"factory": "m:C"}))
    return Backend(name, state, reason, spec=spec)


def test_every_sampler_takes_part_alone_and_with_every_kind_of_worker_local_first():
    found = installed(
        [
            backend("acme"),
            backend("fragment", worker="m:W"),
            backend("local"),
            backend("vectorized", worker="m:W"),
        ]
    )
    assert [it.label for it in found] == [
        "local",
        "local+fragment",
        "local+vectorized",
        "acme",
        "acme+fragment",
        "acme+vectorized",
    ]
    assert not any(it.reason for it in found)


def test_what_does_not_work_gives_its_reason():
    missing = backend("ray", State.UNAVAILABLE, "ray is not installed: pip install ray")
    broken = Backend("bad", State.BROKEN, "its description raised ImportError: no")
    found = {it.label: it.reason for it in installed([backend("local"), missing, broken])}
    assert found == {
        "local": "",
        "ray": "unavailable: ray is not installed: pip install ray",
        "bad": "broken: its description raised ImportError: no",
    }


def test_what_is_installed_here_is_found():
    assert {"local", "multiprocessing"} <= {it.label for it in installed() if not it.reason}


def test_options_go_to_the_backend_and_all_else_to_the_worker():
    it = chosen("mine", "multiprocessing", {"n_processes": 3, "n_envs": 8})
    assert (it.label, it.backend) == ("mine", "multiprocessing")
    assert it.options == {"n_processes": 3, "worker_args": {"n_envs": 8}}
    assert chosen("local", "local", {}).options == {}


@pytest.mark.parametrize("name", ["lcal", "local+nobody"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UnknownBackend):
        chosen(name, name, {})


def test_a_backend_is_spread_by_its_own_option():
    assert spread("multiprocessing", 3) == {"n_processes": 3}
    assert spread("local", 3) == {}


def test_the_bare_loop_says_over_how_many_processes():
    assert (bare_name(1), bare_name(2)) == ("bare loop, 1 process", "bare loop, 2 processes")


def test_one_call_of_each_fragment_worker_fills_a_batch():
    it = filled(chosen("multiprocessing+fragment", "multiprocessing+fragment", {}), 4_000, 2, 24)
    assert it.options == {"worker_args": {"timesteps_per_call": 250}}
    assert it.label == "multiprocessing+fragment:timesteps_per_call=250"
    few = filled(chosen("fragment:n_envs=3", "fragment", {"n_envs": 3}), 10, 2, 24)
    assert few.options == {"worker_args": {"n_envs": 3, "timesteps_per_call": 2}}
    assert few.label == "fragment:n_envs=3,timesteps_per_call=2"


def test_several_calls_of_each_fragment_worker_fill_a_batch_of_frames():
    frame = 84 * 84 * 4 + 8
    it = filled(chosen("multiprocessing+fragment", "multiprocessing+fragment", {}), 16_000, 2, frame)
    n_steps = it.options["worker_args"]["timesteps_per_call"]
    assert n_steps == 143  # seven calls of 32 MB
    assert 8 * n_steps * frame < 1 << 25
    assert 2 * 7 * 8 * (n_steps - 1) < 16_000 <= 2 * 7 * 8 * n_steps
    nothing = filled(chosen("fragment", "fragment", {}), 16_000, 2, 0)
    assert nothing.options["worker_args"]["timesteps_per_call"] == 1_000


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("multiprocessing", {}),
        ("local+vectorized", {"n_envs": 4}),
        ("local+fragment", {"timesteps_per_call": 7}),
    ],
)
def test_what_was_chosen_and_workers_of_whole_episodes_stay_as_they_are(name, given):
    it = chosen(name, name, given)
    assert filled(it, 4_000, 2, 24) is it


def test_a_broken_kind_of_worker_is_left_to_its_own_process(monkeypatch):
    (it,) = (one for one in installed() if one.label == "local+fragment")

    def broken(name):
        raise BackendBroken(f"backend {name!r} is broken")

    monkeypatch.setattr(field, "get_backend", broken)
    assert filled(it, 4_000, 2, 24) is it
