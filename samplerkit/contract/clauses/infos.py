"""Clause B4: the recorded action is the one that was given, and infos stay under their keys."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import EchoEnv, ProbePolicy, ScriptedPolicy, TattooEnv, WordyPolicy, counting
from samplerkit.contract.probes.tattoo import chain, word_of
from samplerkit.contract.script import Script
from samplerkit.contract.views import EpisodeView, column_violation, require_same_units
from samplerkit.interfaces import NewEnvUpdate

_CALLS = 120
"""How many small batches are looked at where it depends on the time what goes wrong."""

_FEW_CALLS = 20
"""How many where it does not."""


@clause(
    "B4.actions",
    kind="script",
    says="The recorded action is the one that the environment was given at that step.",
    why="Importance weights are computed for the recorded action, and the reward came of the other.",
    causes="actions shifted by one; recording before a clip or a cast; a buffer that the policy reuses.",
)
def actions(lab: Lab, script: Script) -> None:
    """Compare actions with what the environment made of them in its next observation."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            for step, action in enumerate(episode.actions):
                before, after = episode.marks[step], episode.marks[step + 1]
                if not np.array_equal(after[:3], before[:3] + np.array([0, 0, 1])):
                    break  # B1 says so
                require(
                    int(after[3]) == chain(int(before[3]), action),
                    f"{episode.place(step)}: expected in actions what the environment was given, got "
                    f"{action}, which is not what its next observation was computed from",
                )


@clause(
    "B4.env-infos",
    kind="script",
    says="Env infos are kept under their keys, a row for each step; keys that come and go get a mask _key.",
    why="Costs, constraints and task ids travel in infos: lost or shifted, they are wrong silently.",
    causes="keeping the infos of the first or last step; keys of one step dropped; nested dicts flattened.",
)
def env_infos(lab: Lab, script: Script) -> None:
    """Compare keys and values with what the probe reports at each step."""
    for call in lab.trace(script).calls:
        if call.as_long_as_wanted:  # else there may be other keys: B2.length says so
            wanted = call.wanted.batch.env_infos
            _same_keys(f"call {call.index}, env_infos", wanted, call.batch.env_infos)
        for episode in call.episodes:
            infos = episode.env_infos
            for step in range(episode.length):
                for path, value, got in _env_infos_at(episode, infos, step):
                    require(
                        np.array_equal(value, got),
                        f"{episode.place(step)}: expected env_infos{path} {value}, got {got}",
                    )


def _env_infos_at(episode: EpisodeView, infos: dict[str, Any], step: int) -> list[tuple[str, Any, Any]]:
    """Return (path, expected, got) of each info of a step."""
    t = episode.begins + step + 1
    rows: list[tuple[str, Any, Any]] = []
    if "action" in infos:
        rows += [("['action']", episode.actions[step], infos["action"][step])]
        rows += [("['t']", t, infos["t"][step])]
    if "nested" in infos:
        nested = infos["nested"]
        rows += [("['nested']['key']", episode.key, nested["key"][step])]
        rows += [("['nested']['array']", [t, 0], nested["array"][step].tolist())]
    if "at_odd_steps" in infos:
        rows += [("['at_odd_steps']", t / 4 if t % 2 else 0, infos["at_odd_steps"][step])]
    if "_at_odd_steps" in infos:
        rows += [("['_at_odd_steps']", bool(t % 2), infos["_at_odd_steps"][step])]
    if "word" in infos and t >= 3:
        rows += [
            ("['word']", word_of(episode.key, t), infos["word"][step]),
            ("['odd']", bool(t % 2), infos["odd"][step]),
        ]
    if "_word" in infos:
        rows += [("['_word']", t >= 3, infos["_word"][step])]
    return rows


@clause(
    "B4.alone",
    says="The infos of a batch have the keys and the dtypes that its own rows ask for.",
    why="Which other episodes were sampled, or sent with these, is a matter of time.",
    causes="episodes of several units joined for a message, of which a call takes some: longer words, floats "
    "among integers, masks of keys that none of them has; those of a worker joined before they meet others'; "
    "keys in the order in which they came.",
)
def infos_alone(lab: Lab) -> None:
    """Take small batches of episodes that differ in their infos, and compare them with local ones."""
    late, one, other = (
        NewEnvUpdate(partial(TattooEnv, tag=tag, lengths=(1, 2, 3, 3, 4), infos=infos))
        for tag, infos in ((1, "late"), (1, "unlike"), (2, "unlike"))
    )
    arguments = {"n_workers": 2, "seed": 1, "max_episode_length": 9}
    local = Lab(lab.local, lab.profile, lab.note)
    with lab.sampler(ProbePolicy(1), late, **arguments) as sampler:
        unlike = [one, other] if sampler.supports("per_worker_envs") else other
    for envs, calls in ((late, _CALLS), (unlike, _FEW_CALLS)):
        with (
            lab.sampler(ProbePolicy(1), envs, **arguments) as sampler,
            local.sampler(ProbePolicy(1), envs, **arguments) as reference,
        ):
            for call in range(calls):
                count = 1 + call % 7
                got, wanted = sampler.obtain_samples(call, count), reference.obtain_samples(call, count)
                require_same_units(f"call {call}", got, wanted)
                for name in ("env_infos", "agent_infos", "episode_infos_by_episode"):
                    keys, found = ([*getattr(batch, name)] for batch in (wanted, got))
                    require(keys == found, f"call {call}, {name}: expected the keys {keys}, got {found}")


@clause(
    "B4.agent-infos",
    kind="script",
    says="Agent infos are kept under their keys, a row for each step.",
    why="Log-probabilities and recurrent states are agent infos: an algorithm computes with them.",
    causes="keys lost where batches are joined; infos of the next step; of another slot.",
)
def agent_infos(lab: Lab, script: Script) -> None:
    """Compare keys and dtypes; A2, B1 and C3 look at the values."""
    for call in lab.trace(script).calls:
        wanted, got = call.wanted.batch.agent_infos, call.batch.agent_infos
        _same_keys(f"call {call.index}, agent_infos", wanted, got)
        for key, column in wanted.items():
            assert isinstance(column, np.ndarray), "the probe's infos are numbers"
            found = got[key]
            kind = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
            require(
                kind == column.dtype,
                f"call {call.index}, agent_infos[{key!r}]: expected dtype {column.dtype}, got {kind}",
            )


@clause(
    "B4.dtypes",
    says="Strings are as wide as the widest one of the batch, and numbers in the byte order of the machine.",
    why="Batches are compared bit for bit; how wide a policy's arrays are, and in which order their bytes "
    "stand, is seen on some ways to the learner and not on others.",
    causes="columns for several environments that have the dtype of the policy's arrays; the widest word of "
    "all calls; the dtype of whatever array came first.",
)
def dtypes(lab: Lab) -> None:
    """Let a policy say words in wide arrays, and numbers in foreign ones."""
    envs = NewEnvUpdate(partial(TattooEnv, lengths=(1, 2, 3, 8), infos="none"))
    with lab.sampler(WordyPolicy(1), envs, n_workers=2, seed=1, max_episode_length=9) as sampler:
        for call in range(_FEW_CALLS):
            infos = sampler.obtain_samples(call, 1 + 5 * (call % 2)).agent_infos
            counts = np.asarray(infos["count"]).tolist()
            words, halves = np.array(WordyPolicy.words_after(counts)), WordyPolicy.halves_after(counts)
            for key, wanted in (("word", words), ("halves", halves)):
                got = np.asarray(infos[key])
                kinds = f"expected dtype {wanted.dtype.str}, got {got.dtype.str}"
                require(got.dtype.str == wanted.dtype.str, f"call {call}, agent_infos[{key!r}]: {kinds}")
                require(
                    np.array_equal(got, wanted),
                    f"call {call}, agent_infos[{key!r}]: expected {wanted.tolist()}, got {got.tolist()}",
                )


@clause(
    "B4.episode-infos",
    kind="script",
    says="What reset returns as info is kept as episode_infos, a row for each episode.",
    why="They say which task or level an episode was of.",
    causes="keeping them for the first episode only; scalars that cannot be joined; those of the next reset.",
)
def episode_infos(lab: Lab, script: Script) -> None:
    """Compare with the length and tag that the probe reports at a reset."""
    env = script.env(0)
    for call in lab.trace(script).calls:
        infos = call.batch.episode_infos_by_episode
        _same_keys(f"call {call.index}, episode_infos", call.wanted.batch.episode_infos_by_episode, infos)
        for episode in call.episodes if infos else ():
            wanted = {"length": env.length_of(episode.key), "tag": episode.tag}
            for key, value in wanted.items():
                got = np.asarray(infos[key])[episode.index]
                require(
                    got == value,
                    f"{episode.place()}: expected episode_infos[{key!r}] {value}, got {got}",
                )


def _same_keys(where: str, wanted: dict[str, Any], got: dict[str, Any]) -> None:
    require(
        list(_paths(wanted)) == list(_paths(got)),
        f"{where}: expected the keys {list(_paths(wanted))}, got {list(_paths(got))}",
    )


def _paths(columns: dict[str, Any], prefix: str = "") -> list[str]:
    paths: list[str] = []
    for key in sorted(columns):
        child = columns[key]
        paths += _paths(child, f"{prefix}{key}.") if isinstance(child, dict) else [prefix + key]
    return paths


class _Grabbing(gymnasium.ActionWrapper[Any, Any, Any]):
    """Writes to the action that it is given, as an environment with in-place arithmetic does."""

    def action(self, action: Any) -> Any:
        given = action.copy()
        action += 7.0
        return given


@clause(
    "B4.given-actions",
    says="Actions are cast before step, never clipped; what is then written to one is not recorded.",
    why="The recorded action must be the one whose probability the policy knows.",
    causes="recording after step, or without a copy; clipping to the bounds of the space.",
)
def given_actions(lab: Lab) -> None:
    """Run a policy that uses one buffer, beyond the bounds, in an environment that writes to its actions."""
    space = spaces.Box(-1, 1, (2,), np.float32)
    chosen = [np.array([t, -3.5 * t]) for t in range(4)]
    env = EchoEnv(counting(5), action_space=space)
    wanted = np.array(chosen, np.float32)
    policy = ScriptedPolicy(chosen, one_buffer=True)
    # float64 actions in a float32 space: the cast warns once.
    with (
        warnings.catch_warnings(action="ignore"),
        lab.sampler(policy, _Wrapped(env), episodes_of=4) as sampler,
    ):
        batch = sampler.obtain_samples(0, 8)
    seen = np.asarray(batch.env_infos["seen"])
    for name, column in (("what the environment was given", seen), ("actions", np.asarray(batch.actions))):
        got = column[:4]
        require(
            column.dtype == np.float32 and np.array_equal(got, wanted),
            f"episode 0: expected {name} {wanted.tolist()} (float32), got {got.tolist()} ({column.dtype})",
        )


class _Wrapped:
    def __init__(self, env: EchoEnv) -> None:
        self.env = env

    def __call__(self) -> gymnasium.Env[Any, Any]:
        return _Grabbing(self.env)


@clause(
    "B4.changing-keys",
    says="A key that is present on some steps only is zero-filled, with a boolean mask under _key beside it.",
    why="gymnasium's vector environments do so: one convention, and a missing value is not taken for 0.",
    causes="keys of the first step only; NaN or None for what is missing; columns that are too short.",
)
def changing_keys(lab: Lab) -> None:
    """Run infos whose keys come, go, and are absent from whole episodes."""
    infos: list[dict[str, Any]] = [
        {"late": np.float32(1.5)} if t == 2 else {"early": t, "deep": {"x": np.int8(t)}} for t in range(3)
    ]
    env = EchoEnv(counting(4), infos=infos)
    # A second episode without any key, where workers may have environments of their own; else the same again.
    each = bool(lab.subject.capabilities.get("per_worker_envs"))
    envs = [env, EchoEnv(env.observations)] if each else env
    with lab.sampler(ScriptedPolicy([0]), envs, episodes_of=3) as sampler:
        batch = sampler.obtain_samples(0, 6)

    def twice(values: list[Any], dtype: Any = None) -> np.ndarray:
        return np.array(values + (values if not each else [0] * 3), dtype)

    early, late = twice([True, True, False], bool), twice([False, False, True], bool)
    wanted: dict[str, Any] = {
        "seen": np.zeros(6, np.int64),
        "early": twice([0, 1, 0]),
        "_early": early,
        "deep": {"x": twice([0, 1, 0], np.int8)},
        "_deep": early,
        "late": twice([0, 0, 1.5], np.float32),
        "_late": late,
    }
    what = column_violation(wanted, batch.env_infos, "env_infos")
    require(what is None, str(what))
