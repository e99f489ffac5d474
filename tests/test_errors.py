"""Errors: their fields, their sentences, and that they travel."""

from __future__ import annotations

import pickle
import signal

import pytest

from samplerkit import errors

WORKER_ERROR = errors.WorkerError(3, 17, "mod.Odd", "it broke", 'File "x.py", line 1, in step\n')
WORKER_DIED = errors.WorkerDied(3, 17, -signal.SIGKILL, 4, "Look there.")


def test_a_worker_error_says_who_where_and_what():
    text = str(WORKER_ERROR)
    for part in ("worker 3", "unit 17", "mod.Odd", "it broke", "in step"):
        assert part in text


def test_an_error_outside_units_says_so():
    assert "while it was built or updated" in str(errors.WorkerError(0, None, "E", "m", ""))
    assert "while it was built or updated" in str(errors.WorkerDied(0, None, 1, 1, ""))


def test_a_death_says_who_how_and_how_often():
    text = str(WORKER_DIED)
    for part in ("worker 3", "unit 17", "SIGKILL", "4 deaths", "Look there."):
        assert part in text


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (WORKER_ERROR, ("worker", "unit", "error_type", "message", "remote_traceback")),
        (WORKER_DIED, ("worker", "unit", "exitcode", "deaths", "hint")),
    ],
)
def test_errors_with_fields_travel(error, fields):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert [getattr(copy, name) for name in fields] == [getattr(error, name) for name in fields]


@pytest.mark.parametrize(
    ("exitcode", "words"),
    [(None, "vanished"), (0, "status 0"), (7, "status 7"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-250, "250")],
)
def test_exits_in_words(exitcode, words):
    assert words in errors.describe_exit(exitcode)


def test_every_error_is_a_samplerkit_error():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, errors.SamplerKitError) for kind in kinds)


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (errors.UnknownBackend, LookupError),
        (errors.BackendUnavailable, ImportError),
        (errors.SamplerBusy, errors.SamplerError),
        (errors.SamplerClosed, errors.SamplerError),
        (errors.BackendBroken, errors.BackendError),
    ],
)
def test_errors_are_caught_by_the_usual_names_too(kind, also):
    assert issubclass(kind, also)
