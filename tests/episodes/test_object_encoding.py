from __future__ import annotations

import copy
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest

from samplerkit.episodes.objects import encode


@dataclass
class Point:
    x: float
    y: object = None


class Linked:
    def __init__(self):
        self.me = self

    def method(self): ...


VALUES = [
    None, True, 1, 1.0, -0.0, 0.0, 1j, "1", b"1", (1,), [1], {1}, frozenset({1}), {1: 2}, {"a": [1, (2,)]},
    [[1], [2]], [[1, 2]], np.zeros(2), np.zeros(3), np.zeros(2, np.float32), np.float32(0), Point(1.0),
    Point(2.0), np.array([None, 1]), Point(1.0, Point(1.0)), OrderedDict(a=1), {"a": 1}, Point, int, len,
    "", [], (), {}, Linked.__init__, {1}.add, Linked.method, Point(np.sin),
    np.array([1, None]), Linked(), ["ab", "c"], ["a", "bc"],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_copies_are_encoded_alike(value):
    assert encode(copy.deepcopy(value)) == encode(value)


def test_different_values_are_encoded_differently():
    codes = [encode(value) for value in VALUES]
    for i, one in enumerate(codes):
        for j, other in enumerate(codes[:i]):
            assert one != other, f"{VALUES[i]!r} and {VALUES[j]!r}"


def test_sharing_does_not_count():
    part = [1, 2]
    assert encode([part, part]) == encode([[1, 2], [1, 2]])


def test_what_lies_beside_the_values_of_an_array_does_not_count():
    long = np.full(3, np.longdouble(1) / 3)
    fields = [("few", np.int8), ("many", np.float64), ("long", np.longdouble)]
    gaps = np.zeros(3, np.dtype(fields, align=True))
    dirty = np.frombuffer(bytearray(b"\xaa" * gaps.nbytes), gaps.dtype)
    for name in gaps.dtype.names:
        dirty[name] = gaps[name]
    assert dirty.tobytes() != gaps.tobytes(), "its fields are aligned, with room between them"
    assert encode(dirty) == encode(gaps)
    assert encode(dirty[0]) == encode(gaps[0])
    if np.finfo(np.longdouble).nmant == 63:  # 10 bytes of 16
        dirty = long.copy()
        dirty.view(np.uint8).reshape(3, -1)[:, 10:] = 0xAA
        assert dirty.tobytes() != long.tobytes()
        for one, other in ((dirty, long), (dirty[0], long[0]), (dirty + 1j, long + 1j)):
            assert encode(one) == encode(other)
    assert encode(long) != encode(np.nextafter(long, 2))


def test_the_hash_seed_does_not_count():
    code = "from samplerkit.episodes.objects import encode; print(encode({'a', 'b', 'c', 'd', 'e'}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1
