"""An environment whose observations are large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from samplerkit.contract.probes.tattoo import TattooEnv

UPRIGHT, TURNED = (128, 128, 8), (8, 128, 128)
"""Shapes of as many bytes."""


class PictureEnv(TattooEnv):
    """A `TattooEnv` that shows its four numbers, and a picture made of nothing but these, 128 KiB each.

    Args:
        lengths: as for `TattooEnv`.
        shape: of a picture.
    """

    def __init__(self, lengths: Sequence[int], shape: tuple[int, int, int] = UPRIGHT) -> None:
        super().__init__(lengths=lengths, layout="dict", dtype="int64", infos="none")
        mark = self.observation_space["mark"]  # type: ignore[index]
        self.observation_space = spaces.Dict({"mark": mark, "picture": spaces.Box(0, 255, shape, np.uint8)})
        self._shape = shape

    def _observe(self) -> Any:
        mark = super()._observe()["mark"]
        return {"mark": mark, "picture": np.resize(mark.view(np.uint8), self._shape)}


def differing_pictures(observations: Any) -> list[int]:
    """Return the rows whose picture is not made of the four numbers beside it."""
    marks = np.ascontiguousarray(observations["mark"]).view(np.uint8)
    pictures = observations["picture"].reshape(len(marks), -1, marks.shape[1])
    rows: list[int] = np.flatnonzero((pictures != marks[:, None]).any((1, 2))).tolist()
    return rows
