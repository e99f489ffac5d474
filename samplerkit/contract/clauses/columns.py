"""Clause B3: dtypes, shapes and bits come through as the spaces say."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import EchoEnv, ScriptedPolicy, counting
from samplerkit.contract.script import MANY_UNITS, Script
from samplerkit.contract.views import column_violation
from samplerkit.episodes.columns import Column, arrays_of, rows_of

_FIELDS = ("lengths", "observations", "last_observations", "actions", "rewards", "step_types", "env_infos")


@clause(
    "B3.spaces",
    kind="script",
    says="Structure, dtypes and shapes are those of the spaces and infos, in arrays of numpy's own type; "
    "rewards are float64.",
    why="A column that is widened costs memory, one that is narrowed loses bits, one of objects everything.",
    causes="np.array of a list of Python numbers; flattening; tuples that turn into lists on the way.",
)
def spaces_kept(lab: Lab, script: Script) -> None:
    """Compare each array's dtype and shape with the reference's, as it was returned: copies are plain."""
    trace = lab.trace(script)
    for call in trace.calls:
        if not call.as_long_as_wanted:  # there may be other keys: B2.length says so
            continue
        for name in _FIELDS:
            wanted = _kinds(getattr(call.wanted.batch, name), name)
            got = _kinds(getattr(trace.batches[call.index], name), name)
            for path in {**wanted, **got}:
                require(
                    wanted.get(path) == got.get(path),
                    f"call {call.index}, {path}: expected {wanted.get(path, 'no such array')}, "
                    f"got {got.get(path, 'no such array')}",
                )


def _kinds(column: Any, name: str) -> dict[str, str]:
    return {
        path: f"{_what(array)}{array.dtype}, shape (n, *{array.shape[1:]})"
        for path, array in arrays_of(column, name)
    }


def _what(array: Any) -> str:
    """Name the type of an array that is more, or less, than one of numpy's."""
    return "" if type(array) is np.ndarray else f"{type(array).__name__} of "


@clause(
    "B3.dtypes",
    says="Every dtype, in Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple, nested, is kept.",
    why="Images are uint8 and rewards are not: a batch that is four times as large does not fit.",
    causes="a default dtype; Dict and Tuple flattened or put in another order.",
)
def dtypes(lab: Lab) -> None:
    """Run observations of all dtypes at once."""
    boxes: dict[str, spaces.Space[Any]] = {
        name: _box(name, (3,)) for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    }
    boxes["flags"] = spaces.Box(0, 1, (2,), np.bool_)
    inner = spaces.Dict({"z": spaces.MultiBinary(3), "a": spaces.MultiDiscrete([4, 5])})
    space = spaces.Dict({**boxes, "nested": spaces.Tuple((spaces.Discrete(9), inner))})
    space.seed(0)
    _check_echo(lab, [space.sample() for _ in range(4)], space)


def _box(dtype: str, shape: tuple[int, ...]) -> spaces.Box:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return spaces.Box(-np.inf, np.inf, shape, kind.type)
    return spaces.Box(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind.type)


@clause(
    "B3.special-floats",
    says="NaN (with its payload), infinities, -0.0 and subnormal numbers come through unchanged.",
    why="A NaN that becomes 0 hides the environment's fault; a reward that becomes NaN invents one.",
    causes="nan_to_num; text on the way; comparing or adding to zeros.",
)
def special_floats(lab: Lab) -> None:
    """Run observations and rewards of special numbers."""
    space = spaces.Dict({name: _box(name, (6,)) for name in ("f2", "f4", "f8")})
    observations = [{name: _special(name) for name in ("f2", "f4", "f8")} for _ in range(6)]
    rewards = [float(value) for value in _special("f8")[:5]]
    _check_echo(lab, observations, space, rewards=rewards)


def _special(dtype: str) -> np.ndarray:
    kind = np.finfo(np.dtype(dtype))
    values = np.array([np.nan, np.inf, -np.inf, -0.0, kind.smallest_subnormal, np.nan], dtype)
    values.view(f"u{values.itemsize}")[-1] |= 0b101  # another payload
    return values


@clause(
    "B3.rewards",
    says="Rewards of any real type are recorded as float64, and those that are no number are refused.",
    why="A float32 reward that is summed in float32 is another return.",
    causes="a column of the first reward's type: True, then 0.1, makes True.",
)
def rewards(lab: Lab) -> None:
    """Run rewards of several types, and then one that is text."""
    given = [True, 3, np.float32(0.1), np.int64(-(2**40)), np.float16(0.5), 1e-300]
    _check_echo(lab, counting(7), spaces.Box(-np.inf, np.inf, (1,), np.float32), rewards=given)
    try:
        with lab.sampler(ScriptedPolicy([0]), EchoEnv(counting(2), rewards=["1"]), episodes_of=1) as sampler:
            batch = sampler.obtain_samples(0, 1)
    except Exception as error:
        require("reward" in str(error), f"reward '1': expected an error that says reward, got: {error}")
        return
    raise Violation(f"reward '1': expected an error, got rewards {batch.rewards!r}")


@clause(
    "B3.odd-spaces",
    says="Scalar and zero-size boxes, and keys of any text, work like others.",
    why="A robot without joints in one of two groups is no reason to lose an experiment.",
    causes="reshape(n, -1); `if column.size`; keys made into identifiers or file names.",
)
def odd_spaces(lab: Lab) -> None:
    """Run scalars, nothing at all, and keys in other scripts."""
    space = spaces.Dict(
        {
            "größe": _box("f4", ()),
            "観測 1": _box("u1", (0,)),
            "a.b/c['d']": _box("f8", (2, 0, 3)),
            "_": spaces.Discrete(3, start=-1),
        }
    )
    space.seed(0)
    _check_echo(lab, [space.sample() for _ in range(3)], space)


@clause(
    "B3.actions",
    says="Actions of every kind of space are cast to it, given to step so, and recorded so.",
    why="An environment that gets float64 where it said float32 computes something else.",
    causes="flattening nested actions; Discrete actions as arrays; start of a Discrete space added twice.",
)
def actions(lab: Lab) -> None:
    """Run nested actions of all kinds."""
    space = spaces.Dict(
        {
            "box": _box("f4", (2,)),
            "one": spaces.Discrete(4, start=3),
            "both": spaces.Tuple((spaces.MultiBinary(2), spaces.MultiDiscrete([3, 4]))),
        }
    )
    space.seed(0)
    chosen = [space.sample() for _ in range(3)]
    env = EchoEnv(counting(4), action_space=space)
    with lab.sampler(ScriptedPolicy(chosen), env, episodes_of=3) as sampler:
        batch = sampler.obtain_samples(0, 6)
    wanted = _stacked(chosen, space)
    for episode, rows in enumerate((slice(0, 3), slice(3, 6))):
        _require_equal(f"episode {episode}", wanted, rows_of(batch.actions, rows), "actions")
        for path, array in arrays_of(wanted, "env_infos['seen']"):
            # Infos know no tuples: the probe reports their entries under "0" and "1".
            named = path.replace("[0]", "['0']").replace("[1]", "['1']")
            found = dict(arrays_of(batch.env_infos["seen"], "env_infos['seen']")).get(named)
            require(
                found is not None and np.array_equal(found[rows], array),
                f"episode {episode}: expected that the environment is given {array.tolist()}, it saw "
                f"{None if found is None else found[rows].tolist()} ({named})",
            )


@clause(
    "B3.casts",
    says="A value of another dtype than its space is cast within its kind, or refused, and its key named.",
    why="A float in an integer space would be cut to a whole number in silence.",
    causes="assigning to an array of the space's dtype; dtype=object for what does not fit.",
)
def casts(lab: Lab) -> None:
    """Run float64 for float32, and then a float for an integer."""
    space = spaces.Dict({"fine": _box("f4", (2,)), "count": _box("i4", (1,))})
    values = [{"fine": np.array([t, 0.1]), "count": np.array([t])} for t in range(3)]
    _check_echo(lab, values, space)
    bad = [{"fine": np.float32([0, 1]), "count": np.array([0.5 * t])} for t in range(3)]  # type: ignore[arg-type]
    try:
        with lab.sampler(ScriptedPolicy([0]), EchoEnv(bad, space), episodes_of=2) as sampler:
            batch = sampler.obtain_samples(0, 2)
    except Exception as error:
        require(
            "count" in str(error),
            "float64 for an int32 space: expected an error that names the key 'count', "
            f"got {type(error).__name__}: {error}",
        )
        return
    got = batch.observations["count"]  # type: ignore[call-overload]
    raise Violation(f"float64 for an int32 space: expected an error, got observations['count'] {got!r}")


@clause(
    "B3.refused-spaces",
    says="Text, Sequence and Graph spaces are refused by name.",
    why="They have no rows of one shape: what came of them would be objects.",
    causes="dtype=object; an error from deep inside that names no space.",
)
def refused_spaces(lab: Lab) -> None:
    """Make samplers of them."""
    for space in (spaces.Text(5), spaces.Sequence(spaces.Discrete(2)), spaces.Graph(_box("f4", (1,)), None)):
        name = type(space).__name__
        try:
            with lab.sampler(ScriptedPolicy([0]), EchoEnv([space.sample()] * 2, space)) as sampler:
                sampler.obtain_samples(0, 1)
        except Exception as error:
            require(
                name in str(error),
                f"expected an error that names {name}, got {type(error).__name__}: {error}",
            )
        else:
            raise Violation(f"expected that an observation space of type {name} is refused, got a batch")


@clause(
    "B3.large",
    says="Steps and units larger than any pipe come through.",
    why="A write that does not fit blocks until somebody reads: a classic deadlock, seen with images only.",
    causes="a queue that both sides write to before they read; a fixed buffer; messages cut at 64 KiB.",
)
def large(lab: Lab) -> None:
    """Run observations of 1.5 MiB."""
    row = np.arange(3 << 19, dtype=np.uint32).astype(np.uint8)
    _check_echo(lab, [row + np.uint8(t) for t in range(3)], spaces.Box(0, 255, row.shape, np.uint8))


@clause(
    "B3.many-small",
    says="Hundreds of units of one step each come through, on every layout.",
    why="Results that nobody reads yet fill a queue, and whoever writes to it waits for ever.",
    causes="a bounded queue of results; reading only after everything was sent.",
)
def many_small(lab: Lab) -> None:
    """Run 300 one-step episodes."""
    trace = lab.trace(MANY_UNITS)
    trace.all_returned()
    keys = {episode.key for call in trace.calls for episode in call.episodes}
    least = sum(len(call.wanted.batch.lengths) for call in trace.calls)
    require(
        len(keys) == least, f"{least} episodes of one step: expected as many of their own, got {len(keys)}"
    )


def _check_echo(
    lab: Lab, observations: Sequence[Any], space: spaces.Space[Any], rewards: Sequence[Any] | None = None
) -> None:
    """Run an environment that gives these observations, twice, and compare each episode, bit for bit."""
    length = len(observations) - 1
    env = EchoEnv(observations, space, rewards=rewards)
    # A cast warns once; what is wrong with it the comparison says.
    with (
        warnings.catch_warnings(action="ignore"),
        lab.sampler(ScriptedPolicy([1, 0]), env, episodes_of=length) as sampler,
    ):
        batch = sampler.obtain_samples(0, 2 * length)
    wanted = _stacked(observations, space)
    for episode, got_length in enumerate(batch.lengths.tolist()[:2]):
        require(got_length == length, f"episode {episode}: expected {length} steps, got {got_length}")
        where, rows = f"episode {episode}", slice(episode * length, (episode + 1) * length)
        _require_equal(where, rows_of(wanted, slice(0, length)), rows_of(batch.observations, rows))
        last = rows_of(batch.last_observations, slice(episode, episode + 1))
        before = rows_of(wanted, slice(length - 1, length))
        if column_violation(before, last, "") is not None:  # else it is one of another step: B1 says so
            _require_equal(where, rows_of(wanted, slice(length, None)), last, "last_observations")
        given = np.array([0.0] * length if rewards is None else [float(it) for it in rewards])
        _require_equal(where, given, batch.rewards[rows], "rewards")


def _require_equal(where: str, wanted: Column, got: Column, name: str = "observations") -> None:
    what = column_violation(wanted, got, name)
    require(what is None, f"{where}, {what}")


def _stacked(values: Sequence[Any], space: spaces.Space[Any]) -> Column:
    """Return the column that these values of a space make."""
    if isinstance(space, spaces.Dict):
        return {key: _stacked([value[key] for value in values], space[key]) for key in space.spaces}
    if isinstance(space, spaces.Tuple):
        return tuple(_stacked([value[i] for value in values], child) for i, child in enumerate(space.spaces))
    return np.array([np.asarray(value) for value in values]).astype(space.dtype)
