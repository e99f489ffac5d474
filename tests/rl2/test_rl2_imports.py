from __future__ import annotations

import subprocess
import sys

import pytest

import samplerkit.rl2


def test_nothing_in_it_needs_tensorflow():
    script = (
        "import sys, samplerkit.rl2 as rl2\n"
        "for name in rl2.__all__: getattr(rl2, name)\n"
        "heavy = {'tensorflow', 'torch', 'ray', 'pytest', 'samplerkit.trainer'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_listed_and_an_unknown_one_refused():
    assert set(samplerkit.rl2.__all__) <= set(dir(samplerkit.rl2))
    with pytest.raises(AttributeError, match="no attribute 'Bandit'"):
        _ = samplerkit.rl2.Bandit
