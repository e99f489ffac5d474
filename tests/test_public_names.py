"""What `import samplerkit` offers, and what it leaves alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import samplerkit

HEAVY = {
    "tensorflow",
    "ray",
    "torch",
    "hypothesis",
    "pytest",
    "pluggy",
    "typer",
    "rich",
    "matplotlib",
    "samplerkit_multiprocessing",
    "samplerkit.plugins",
    "samplerkit.tf",
    "samplerkit.rl2",
    "samplerkit.cli",
    "samplerkit.trainer",
}


def modules_after(code):
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('\\n'.join(sys.modules))"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(run.stdout.split())


def test_import_is_light():
    modules = modules_after("import samplerkit")
    assert not modules & (HEAVY | {"numpy", "gymnasium", "multiprocessing"})


def test_the_core_imports_nothing_heavy_either():
    modules = modules_after("from samplerkit import *")
    assert not modules & (HEAVY - {"samplerkit.plugins", "samplerkit.trainer"})


def test_listing_backends_imports_no_sampler():
    modules = modules_after("import samplerkit\nsamplerkit.backends()")
    wanted = {"samplerkit.local", "samplerkit_multiprocessing.sampler"}
    assert not modules & (wanted | {"tensorflow", "ray", "torch"})


@pytest.mark.parametrize("name", samplerkit.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(samplerkit, name) is not None


def test_errors_of_the_ray_backend_can_be_had_without_ray():
    modules_after(
        "sys.modules['ray'] = None\nfrom samplerkit_ray import ActorsNotPlaced, NodeDiffers, RayLost"
    )


@pytest.mark.parametrize("code", ["import samplerkit.tf.policies", "import samplerkit; samplerkit.TFTrainer"])
def test_without_tensorflow_its_part_says_what_to_install(code):
    without = f"import sys\nsys.modules['tensorflow'] = None\n{code}"
    run = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert "samplerkit.tf needs TensorFlow: run `pip install 'samplerkit[tf]'`" in run.stderr


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("gymnasium", (1, 1)),  # kinds of worker need its `AutoresetMode`
        ("typer", (0, 19)),  # arguments of commands are a `Literal`
    ],
)
def test_what_is_too_old_to_import_samplerkit_with_is_not_allowed(name, needed):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    pattern = rf"{name}(?:\[.+\])?>=(\d+)\.(\d+)"
    bounds = [re.fullmatch(pattern, requirement) for them in lists for requirement in them]
    oldest = [tuple(map(int, bound.groups())) for bound in bounds if bound]
    assert oldest
    assert min(oldest) >= needed


STUB = ast.parse(Path(samplerkit.__file__).with_suffix(".pyi").read_text()).body
STUB_IMPORTS = {
    alias.asname: node.module for node in STUB if isinstance(node, ast.ImportFrom) for alias in node.names
}
STUB_PACKAGES = {name for name, module in STUB_IMPORTS.items() if module == "samplerkit"}


def test_the_stub_lists_the_same_names():
    declared = [node.target.id for node in STUB if isinstance(node, ast.AnnAssign)]
    names = sorted([*STUB_IMPORTS.keys() - STUB_PACKAGES, *declared])
    assert [name for name in names if name != "TFTrainer"] == samplerkit.__all__


def test_the_stub_takes_each_name_from_its_home():
    homes = {name: home for name, home in STUB_IMPORTS.items() if name not in STUB_PACKAGES}
    assert homes == samplerkit._HOME


def test_packages_of_the_stub_are_there_as_attributes():
    assert set(samplerkit._PACKAGES) >= STUB_PACKAGES


@pytest.mark.parametrize(
    "name", ["bench", "contract", "episodes", "interfaces", "policies", "sampling", "plugins", "workers"]
)
def test_packages_are_imported_at_first_use(name):
    modules = modules_after(f"import samplerkit\nassert samplerkit.{name}.__name__ == 'samplerkit.{name}'")
    assert f"samplerkit.{name}" in modules


def test_dir_lists_the_public_names():
    assert set(dir(samplerkit)) >= {*samplerkit.__all__, "TFTrainer", "policies"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="obtain"):
        samplerkit.obtain  # noqa: B018


def test_the_version_is_a_string():
    assert samplerkit.__version__.count(".") >= 1


def test_the_api_version_is_two_integers():
    assert [type(part) for part in samplerkit.API] == [int, int]
