"""Messages in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import RecycledMemory
from samplerkit.sampling.framing import joined

MB = 1 << 20


@given(st.lists(st.binary(max_size=50)), st.integers(0, MB), st.integers(0, 10))
def test_a_message_is_its_parts_one_after_the_other_wherever_it_is_put(parts, n_large, where):
    parts.insert(where, np.arange(n_large, dtype=np.uint8).data)
    assert bytes(joined(parts, RecycledMemory())) == bytes(joined(parts)) == b"".join(parts)


def test_a_large_message_goes_where_one_was_that_nobody_looks_at():
    blocks: list[int] = []

    def new_block(size):
        blocks.append(size)
        return np.empty(size, np.uint8)

    memory = RecycledMemory(new_block)
    held = np.frombuffer(joined([bytes(MB), b"1"], memory), np.uint8)
    joined([bytes(MB), b"2"], memory)
    joined([bytes(MB), b"3"], memory)
    assert blocks == [MB + 1, MB + 1]
    assert bytes(held[-1:]) == b"1"


@pytest.mark.parametrize(("size", "memory"), [(100, RecycledMemory()), (2 * MB, None)])
def test_a_small_message_is_bytes_and_every_one_where_nothing_else_will_do(size, memory):
    assert isinstance(joined([bytes(size)], memory), bytes)
