"""An environment's chain of wrappers, and the same environment without some of them."""

from __future__ import annotations

import itertools
from collections.abc import Set

from samplerkit.interfaces import Env, EnvUpdate, layers_of
from samplerkit.sampling.packing import pack


def chain_text(env: Env) -> str:
    """Return the chain in the form in which gymnasium prints it: ``TimeLimit<CartPoleEnv>``."""
    names = [type(layer).__name__ for layer in layers_of(env)]
    return "<".join(names) + ">" * (len(names) - 1)


class WithoutLayers(EnvUpdate):
    """Makes an environment and leaves some of its layers out.

    Args:
        make: makes the whole environment.
        removed: indices into `layers_of` of it; the last layer, the environment itself, has to stay.
    """

    def __init__(self, make: EnvUpdate, removed: Set[int]) -> None:
        self._make = make
        self._removed = frozenset(removed)

    def __call__(self, old_env: Env | None = None) -> Env:
        """Return what is left."""
        layers = layers_of(self._make(None))
        kept = [layer for index, layer in enumerate(layers) if index not in self._removed]
        for outer, inner in itertools.pairwise(kept):
            vars(outer)["env"] = inner
        return kept[0]


class PickledCopy(EnvUpdate):
    """Makes an environment, and returns a copy of it that was pickled and unpickled."""

    def __init__(self, make: EnvUpdate) -> None:
        self._make = make

    def __call__(self, old_env: Env | None = None) -> Env:
        """Return the copy."""
        env = self._make(None)
        try:
            copy: Env = pack(env, "the environment").load()
        finally:
            env.close()
        return copy
