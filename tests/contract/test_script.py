"""Scripts: what they hand to samplers, and how they are written down."""

from __future__ import annotations

import pickle

from hypothesis import given, settings

from samplerkit import SetTaskUpdate
from samplerkit.contract.probes import ProbePolicy, TattooEnv, read_ledger
from samplerkit.contract.script import Op, Script, examples, scripts
from samplerkit.interfaces import CAPABILITIES, YES, no


@settings(max_examples=100, derandomize=True)
@given(scripts)
def test_a_script_is_written_as_an_expression_for_it(script):
    assert eval(script.short(), {"Op": Op, "Script": Script}) == script


def test_what_is_at_its_default_is_not_written():
    assert Script().short() == "Script()"
    assert Script(ops=(Op(count=2),), seed=3).short() == "Script(ops=(Op(count=2),), seed=3)"


def test_the_program_of_a_script_names_the_backend():
    code = Script(seed=3).code("acme")
    assert "'acme'" in code
    assert "Script(seed=3)" in code
    compile(code, "code", "exec")


def test_examples_are_all_different():
    drawn = list(examples())
    assert len(set(drawn)) == len(drawn)


def test_workers_have_the_same_or_one_each():
    assert Script(n_workers=2).tags() == [1, 1]
    both = Script(n_workers=2, each=True)
    assert both.tags() == both.versions() == [1, 2]
    assert [it.params["version"][0] for it in both.agents()] == [1, 2]
    assert len(both.envs()) == 2
    assert isinstance(Script(n_workers=2).agents(), ProbePolicy)


def test_an_update_and_the_numbers_that_it_gives_each_worker():
    script = Script(n_workers=2, ops=(Op(), Op(agent="weights each", env="task")))
    assert script.agent_update(0) == (None, None)
    assert script.env_update(0) == (None, None)
    weights, versions = script.agent_update(1)
    assert versions == [200, 201]
    assert [it["version"][0] for it in weights] == versions
    update, tags = script.env_update(1)
    assert tags == [200, 200]
    assert isinstance(update, SetTaskUpdate)
    assert update(TattooEnv()).tag == 200


def test_no_environment_is_made_but_the_one_that_is_handed_over(tmp_path):
    script = Script(n_workers=3, ops=(Op(env="environment"),))
    script.env_update(0, ledger=tmp_path / "ledger")
    assert len(read_ledger(tmp_path / "ledger", "open")) == 1


@settings(max_examples=50, derandomize=True)
@given(scripts)
def test_a_script_is_cut_down_to_what_a_backend_declares(script):
    assert script.within(dict.fromkeys(CAPABILITIES, YES)) == script
    modest = script.within(dict.fromkeys(CAPABILITIES, no("it is modest")))
    assert "exact" not in modest.short()
    assert "each" not in modest.short()
    assert len(modest.ops) == len(script.ops)


def test_scripts_and_what_they_make_can_be_pickled():
    script = Script(n_workers=2, each=True, ops=(Op(env="new each", agent="policy each"),))
    assert pickle.loads(pickle.dumps(script)) == script
    assert [it(None).tag for it in pickle.loads(pickle.dumps(script.envs()))] == [1, 2]
