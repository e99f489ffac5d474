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
T = TypeVar("T", bound=type[Any])


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
        return self._as("slots_type", (), self.in_worker(name, *killers))

    def in_recorder(self, name: str, *killers: str) -> Callable[[R], R]:
        """Register a defect of what records the slots."""
        return self._as("recorder_type", (Slots,), self.in_slots(name, *killers))

    def in_native(self, name: str, *killers: str) -> Callable[[N], N]:
        """Register a defect of what steps a vector environment whose slots are seeded one by one."""
        return self._as("native_type", (), self.in_worker(name, *killers))

    def in_native_recorder(self, name: str, *killers: str) -> Callable[[NR], NR]:
        """Register a defect of what records such slots."""
        return self._as("recorder_type", (NativeSlots,), self.in_native(name, *killers))

    @staticmethod
    def _as(attribute: str, bases: tuple[type[Any], ...], register: Callable[[Any], Any]) -> Callable[[T], T]:
        """Register a class with nothing of its own but an attribute, which is the decorated class."""

        def registered(defect: T) -> T:
            namespace = {attribute: defect, "__doc__": defect.__doc__, "__module__": defect.__module__}
            register(type(defect.__name__, bases, namespace))
            return defect

        return registered
