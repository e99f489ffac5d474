"""The documented example of a plugin of hooks: steps per second, in a CSV file."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "steps_per_second.py"

PROGRAM = """
import samplerkit
from samplerkit.contract.probes import ProbePolicy, TattooEnv
arguments = dict(agents=ProbePolicy(), envs=TattooEnv, max_episode_length=5, n_workers=1, seed=1)
one, two = (samplerkit.make_sampler("local", **arguments) for _ in range(2))
with one, two:
    for sampler in (one, two, one):
        sampler.obtain_samples(0, 10)
print([plugin.name for plugin in samplerkit.plugins.hook_plugins()])
"""


def run(*words, folder, **environment):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "SAMPLERKIT_NO_PLUGINS": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no warnings, no noise"
    return done.stdout


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
def test_run_as_a_program_it_shows_a_row_for_each_batch(tmp_path, backend):
    printed = run(str(EXAMPLE), "steps.csv", backend, folder=tmp_path)
    assert printed.replace("\r", "") == (tmp_path / "steps.csv").read_text()
    table = rows(tmp_path / "steps.csv")
    assert [row["backend"] for row in table] == [backend] * 5
    for row in table:
        assert int(row["steps"]) >= 2_000
        assert float(row["steps_per_second"]) == round(int(row["steps"]) / float(row["seconds"]))


@pytest.mark.slow
def test_installed_it_observes_every_sampler_by_itself(tmp_path):
    info = tmp_path / "steps_per_second-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: steps-per-second\nVersion: 1.0\n")
    (stated,) = [line.strip() for line in EXAMPLE.read_text().splitlines() if ":OBSERVER" in line]
    (info / "entry_points.txt").write_text(f"[samplerkit.hooks]\n{stated.replace(chr(34), '')}\n")
    path = os.pathsep.join([str(tmp_path), str(EXAMPLE.parent)])
    file = tmp_path / "rates.csv"
    for _ in range(2):
        printed = run("-c", PROGRAM, folder=tmp_path, PYTHONPATH=path, STEPS_PER_SECOND_CSV=str(file))
        assert printed.strip() == "['steps_per_second']"
    assert [row["sampler"] for row in rows(file)] == ["0", "1", "0"] * 2
    assert len({row["pid"] for row in rows(file)}) == 2
