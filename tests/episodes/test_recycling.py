"""Memory for large batches, used again."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from samplerkit.episodes import recycling
from samplerkit.episodes.recycling import RecycledMemory

BYTE = np.dtype(np.uint8)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Let every array count as large."""
    monkeypatch.setattr(recycling, "_SMALLEST", 1)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_it_is_dropped():
    memory = RecycledMemory()
    array = memory.array((100,), BYTE)
    place = address(array)
    del array
    assert address(memory.array((80,), BYTE)) == place


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[3:5],
        lambda array: array[10:][::2][:3],
        lambda array: array.reshape(10, 10).T[2],
        lambda array: memoryview(array)[5:],
        lambda array: np.frombuffer(array, np.float32)[1:],
        lambda array: array.view(np.int16),
        lambda array: {"deep": (array[:1].reshape(1, 1),)},
    ],
)
def test_any_view_keeps_the_memory(view):
    memory = RecycledMemory()
    array = memory.array((100,), BYTE)
    place = address(array)
    kept = view(array)
    del array
    gc.collect()
    other = memory.array((100,), BYTE)
    assert address(other) != place
    del kept
    assert address(memory.array((100,), BYTE)) == place


def test_arrays_are_like_any_other():
    array = RecycledMemory().array((4, 3), np.dtype(np.float32))
    assert (array.shape, array.dtype) == ((4, 3), np.float32)
    assert array.flags.writeable
    assert array.flags.c_contiguous
    array[...] = 7
    assert array.sum() == 84


def test_two_at_a_time_never_share_memory():
    memory = RecycledMemory()
    arrays = [memory.array((50,), BYTE) for _ in range(4)]
    for value, array in enumerate(arrays):
        array[...] = value
    assert [array[0] for array in arrays] == [0, 1, 2, 3]
    del arrays[1], array
    arrays.append(memory.array((50,), BYTE))
    arrays[-1][...] = 9
    assert [array[0] for array in arrays] == [0, 2, 3, 9]


def test_a_block_that_is_far_too_large_is_left_alone():
    memory = RecycledMemory()
    array = memory.array((1000,), BYTE)
    place = address(array)
    del array
    assert address(memory.array((10,), BYTE)) != place
    assert address(memory.array((600,), BYTE)) == place


def test_no_more_than_three_blocks_are_kept():
    memory = RecycledMemory()
    arrays = [memory.array((100,), BYTE) for _ in range(5)]
    arrays.clear()
    assert len(memory._free) == 3


def test_a_closed_one_keeps_nothing_and_leaves_what_is_lent():
    memory = RecycledMemory()
    dropped, kept = memory.array((100,), BYTE), memory.array((100,), BYTE)
    kept[...] = 5
    del dropped
    memory.close()
    assert memory._free == []
    assert kept.sum() == 500
    del kept
    assert memory._free == []


def test_objects_and_small_arrays_are_the_allocators(monkeypatch):
    monkeypatch.setattr(recycling, "_SMALLEST", 1000)
    assert RecycledMemory().array((10,), BYTE).flags.owndata
    assert RecycledMemory().array((1000,), np.dtype(object)).flags.owndata


def test_whoever_needs_one_block_at_a_time_keeps_one():
    memory = RecycledMemory(most_kept=1)
    arrays = [memory.array((100,), BYTE) for _ in range(5)]
    arrays.clear()
    assert len(memory._free) == 1


def test_from_which_size_on_memory_is_kept_can_be_said(monkeypatch):
    monkeypatch.setattr(recycling, "_SMALLEST", 1000)
    memory = RecycledMemory(smallest=10)
    arrays = [memory.array((size,), BYTE) for size in (9, 10)]
    arrays.clear()
    assert [block.nbytes for block in memory._free] == [10]
