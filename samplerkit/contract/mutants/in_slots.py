"""Registering defects of workers that step slots, at the depth to which they belong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import TickRecorder
from samplerkit.episodes.native_recorder import NativeRecorder
from samplerkit.workers.native_slots import NativeSlots
from samplerkit.workers.slots import Slots

S = TypeVar("S", bound=type[Slots])
R = TypeVar("R", bound=type[TickRecorder])
N = TypeVar("N", bound=type[NativeSlots])
NR = TypeVar("NR", bound=type[NativeRecorder])


class SlotDefects:
    """Decorators for defects of one kind of worker.

    Args:
        base: the kind; see `BASES`.
    """

    def __init__(self, base: str) -> None:
        self._base = base

    def in_worker(self, name: str, *killers: str) -> Callable[[Any], Any]:
        """Register a defect of the worker itself."""
        return mutant(name, *killers, bases=(self._base,))

    def in_slots(self, name: str, *killers: str) -> Callable[[S], S]:
        """Register a defect of what steps the environments."""

        def register(slots: S) -> S:
            namespace = {"slots_type": slots, "__doc__": slots.__doc__, "__module__": slots.__module__}
            self.in_worker(name, *killers)(type(slots.__name__, (), namespace))
            return slots

        return register

    def in_recorder(self, name: str, *killers: str) -> Callable[[R], R]:
        """Register a defect of what records the slots."""

        def register(recorder: R) -> R:
            namespace = {
                "recorder_type": recorder,
                "__doc__": recorder.__doc__,
                "__module__": recorder.__module__,
            }
            self.in_slots(name, *killers)(type(recorder.__name__, (Slots,), namespace))
            return recorder

        return register

    def in_native(self, name: str, *killers: str) -> Callable[[N], N]:
        """Register a defect of what steps a vector environment whose slots are seeded one by one."""

        def register(slots: N) -> N:
            namespace = {"native_type": slots, "__doc__": slots.__doc__, "__module__": slots.__module__}
            self.in_worker(name, *killers)(type(slots.__name__, (), namespace))
            return slots

        return register

    def in_native_recorder(self, name: str, *killers: str) -> Callable[[NR], NR]:
        """Register a defect of what records such slots."""

        def register(recorder: NR) -> NR:
            namespace = {
                "recorder_type": recorder,
                "__doc__": recorder.__doc__,
                "__module__": recorder.__module__,
            }
            self.in_native(name, *killers)(type(recorder.__name__, (NativeSlots,), namespace))
            return recorder

        return register
