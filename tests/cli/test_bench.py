"""``samplerkit bench``: a table, a sentence, files, and an exit status."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys

import pytest
from bench_fakes import Scripted

from samplerkit.bench import Skipped
from samplerkit.bench.contestant import Memory
from samplerkit.bench.field import Candidate
from samplerkit.cli import main

command = importlib.import_module("samplerkit.cli.bench")

ENV = "bench_environments:Plain"


def bench(*words):
    return main(["bench", ENV, "--rounds", "2", "--processes", "2", *words])


class Stage:
    """Replaces what is measured: each contestant delivers its script."""

    def __init__(self):
        self.scripts = {"local": [600] * 3, "multiprocessing": [900] * 3}
        self.made = []

    def contestant(self, candidate, workload, n_processes, folders):
        self.made.append((candidate, workload, n_processes))
        script = self.scripts[candidate.backend]
        if isinstance(script, Exception):
            return Scripted(candidate.label, fails={("start", 1): script})
        return Scripted(candidate.label, script, memory=Memory(50.0, 45.0, 3))

    def bare_loops(self, workload, n, folders):
        return Scripted(command.bare_name(n), [500 * n] * 3, memory=Memory(0.0, 40.0, n))

    def installed(self):
        broken = Candidate("bad", "bad", reason="unavailable: acme is not installed: pip install acme")
        return [*(Candidate(name, name) for name in self.scripts), broken]


@pytest.fixture
def stage(monkeypatch):
    made = Stage()
    for name in ("contestant", "bare_loops", "installed"):
        monkeypatch.setattr(command, name, getattr(made, name))
    return made


def rows(text):
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if cells[1:]}


@pytest.mark.slow
def test_the_table_shows_each_beside_the_limit_and_the_sentence_recommends(stage, capsys):
    assert bench() == 0
    out, errors = capsys.readouterr()
    assert out.startswith(f"{ENV}, policy mlp, 4,000 steps a batch")
    table = rows(out)
    assert table["bare loop, 2 processes"] == ["1,000", "1.00", "1.00..1.00", "0.50", "40"]
    assert table["bare loop, 1 process"] == ["500", "0.50", "0.50..0.50", "0.50", "40"]
    assert table["local"] == ["600", "0.60", "0.60..0.60", "0.50", "50", "45"]
    assert table["multiprocessing"] == ["900", "0.90", "0.90..0.90", "0.50", "50", "45"]
    assert "Use multiprocessing: 900 steps per second, 90% of the limit, 1.5 times what local gives." in out
    assert "skipped: bad: unavailable: acme is not installed: pip install acme" in out
    assert errors == "", "progress is for terminals"


def test_backends_can_be_chosen_with_options(stage, capsys):
    chosen = ("--backend", "multiprocessing:n_processes=3,start_method=spawn", "--seed", "5", "-n", "70")
    assert bench(*chosen) == 0
    ((candidate, workload, n_processes),) = stage.made
    assert candidate.options == {"n_processes": 3, "start_method": "spawn"}
    assert (workload.seed, workload.num_samples, n_processes) == (5, 70, 2)
    assert chosen[1] in rows(capsys.readouterr().out)


def test_fragments_are_measured_with_calls_that_fill_a_batch_and_it_says_so(stage, capsys):
    stage.scripts["local+fragment"] = [1200] * 3
    assert bench("--backend", "local+fragment", "--backend", "local", "-n", "800") == 0
    out = capsys.readouterr().out
    assert "Use local+fragment:timesteps_per_call=50: 1,200 steps per second" in out
    assert stage.made[0][0].options == {"worker_args": {"timesteps_per_call": 50}}


def test_no_figure_is_cut_however_long_a_name_is(stage, capsys):
    name = f"multiprocessing:n_processes={'0' * 120}2"
    stage.scripts["multiprocessing"] = [123_456] * 3
    assert bench("--backend", name) == 0
    expected = ["123,456", "123.46", "123.46..123.46", "0.50", "50", "45"]  # of 1,000 steps per second
    assert rows(capsys.readouterr().out)[name] == expected


@pytest.mark.slow
def test_json_has_machine_versions_arguments_and_all_rounds(stage, tmp_path):
    stage.scripts["local"] = [1, 600, 400]
    assert bench("--json", str(tmp_path / "out.json"), "--max-episode-length", "9") == 0
    read = json.loads((tmp_path / "out.json").read_text())
    assert {"cpu", "cpus_usable", "memory_gb"} <= read["machine"].keys()
    assert {"python", "samplerkit", "numpy"} <= read["versions"].keys()
    assert read["arguments"] == {"backends": [], "seconds": 1.0, "rounds": 2, "processes": 2}
    assert read["workload"] == {
        "env": ENV,
        "policy": "mlp",
        "num_samples": 4000,
        "seed": 0,
        "max_episode_length": 9,
    }
    found = {row["name"]: row for row in read["contestants"]}
    assert [(it["steps"], it["seconds"]) for it in found["local"]["rounds"]] == [(600, 1.0), (400, 1.0)]
    assert found["local"]["fraction_of_limit"] == {"median": 0.5, "min": 0.4, "max": 0.6}
    assert found["bad"]["skipped"].startswith("unavailable")
    assert read["limit"] == "bare loop, 2 processes"
    assert read["recommendation"].startswith("Use multiprocessing: 900 ")


@pytest.mark.slow
def test_a_picture_is_drawn(stage, tmp_path):
    assert bench("--plot", str(tmp_path / "out.png")) == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_where_no_backend_delivers_anything_the_status_is_one(stage, capsys):
    stage.scripts = {"local": Skipped("no room")}
    assert bench() == 1
    out = capsys.readouterr().out
    assert "skipped: local: no room" in out
    assert "nothing to recommend" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["NoSuchEnv-v0"], "NoSuchEnv-v0 cannot be measured: there is no gymnasium environment"),
        (["nobody:Env"], "nobody cannot be imported"),
        (["bench_environments:Nothing"], "has no 'Nothing'"),
        (["bench_environments:breaks"], "RuntimeError: no power"),
        (["bench_environments:Nested"], "no episode limit of its own: give --max-episode-length"),
        ([ENV, "--policy", "mpl"], "there is no policy 'mpl': mlp, random, constant or module:callable"),
        ([ENV, "--policy", "bench_environments:number"], "the policy is a int"),
        ([ENV, "--backend", "lcal"], "--backend: there is no backend 'lcal'. Did you mean 'local'?"),
        ([ENV, "--backend", "local:n"], "written key=value, not 'n'"),
        ([ENV, "--backend", "local:foo=1"], "--backend: 'local' has no option 'foo'."),
        ([ENV, "--backend", "local:n_envs=2"], "make 'local+fragment' or 'local+vectorized'"),
        ([ENV, "--backend", "vectorized:n_env=2"], "Did you mean 'n_envs'?"),
        ([ENV, "--backend", "local:seed=2"], "'local' takes no 'seed' here"),
        ([ENV, "--backend", "local+local"], "a composite is a sampler, '+', and a kind of worker"),
        ([ENV, "--backend", "local+vectorized+fragment"], "no backend 'vectorized+fragment'"),
        ([ENV, "--num-samples", "0"], "'--num-samples' / '-n': Input should be greater"),
        ([ENV, "--seconds", "no"], "'--seconds': Input should be a valid number"),
        ([ENV, "--json", "/no/such/folder/o.json"], "there is no folder /no/such/folder"),
        ([ENV, "--json", "/"], "that is a folder"),
        ([ENV, "--plot", "out.xyz"], "its ending must be one of"),
        ([], "Missing argument"),
    ],
    ids=lambda part: "-".join(part) if isinstance(part, list) else "",
)
def test_what_cannot_be_measured_exits_with_two(capsys, words, said):
    assert main(["bench", *words]) == 2
    out, errors = capsys.readouterr()
    assert said in errors
    assert errors.count("\n") == 1, errors
    assert out == ""


def test_where_nothing_ran_the_title_stands_on_one_line_and_no_table_below(stage, capsys, monkeypatch):
    stage.scripts = {"local": Skipped("no room, " * 30 + "none")}
    monkeypatch.setattr(
        stage, "bare_loops", lambda workload, n, folders: Scripted(str(n), fails={("start", 1): Skipped("x")})
    )
    monkeypatch.setattr(command, "bare_loops", stage.bare_loops)
    assert bench() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{ENV}, policy mlp, 4,000 steps a batch"
    assert lines[1:4] == ["skipped: 2: x", "skipped: 1: x", f"skipped: local: {'no room, ' * 30}none"]


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_file_that_must_not_be_written_is_refused_before_anything_is_measured(
    stage, capsys, monkeypatch, tmp_path, option
):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(tmp_path)))
    assert bench(option, str(tmp_path / "out.png")) == 2
    assert "you may not write there; give another file" in capsys.readouterr().err
    assert not stage.made


def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(stage, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert bench("--plot", "out.png") == 2
    assert "--plot needs matplotlib: run `pip install matplotlib`" in capsys.readouterr().err
    assert not stage.made


@pytest.mark.slow
def test_it_really_measures(capsys, tmp_path):
    words = ("--seconds", "0.1", "--rounds", "1", "-n", "500", "--json", str(tmp_path / "out.json"))
    assert main(["bench", "CartPole-v1", "--backend", "local", "--backend", "multiprocessing", *words]) == 0
    table = rows(capsys.readouterr().out)
    read = json.loads((tmp_path / "out.json").read_text())
    for row in read["contestants"]:
        assert row["name"] in table
        assert not row["skipped"]
        assert row["start_seconds"] > 0
        assert row["rounds"][0]["steps"] >= 256
        assert row["memory_mb"]["parent"] + row["memory_mb"]["worker"] > 10
    assert read["contestants"][-1]["memory_mb"]["n_workers"] >= 1
