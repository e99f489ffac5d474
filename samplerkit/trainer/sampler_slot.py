"""The trainer's sampler: made by name and stopped by the trainer, or handed over and left alone."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from samplerkit.errors import SamplerKitError
from samplerkit.interfaces import Sampler
from samplerkit.plugins.worker_options import worker_options
from samplerkit.workers import DefaultWorker, WorkerFactory

_FACTORY_FIELDS = tuple(it.name for it in fields(WorkerFactory))

COMMON_OPTIONS = (*_FACTORY_FIELDS, "worker_factory", "stateful", "reseed")
"""Arguments of `samplerkit.make_sampler` that mean the same for every backend."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SamplerRecord:
    """What a snapshot keeps of a sampler; never the sampler itself.

    Attributes:
        name: The backend's name; None for a sampler that was handed over as an object.
        options: What `samplerkit.make_sampler` was given besides agents and environments; of an object, what
            it would have to be given.
        n_workers: Number of logical workers; part of the state.
        seed: The seed, also where the sampler drew it.
        state: `Sampler.get_state`, the same on every backend.
    """

    name: str | None
    options: dict[str, Any]
    n_workers: int
    seed: int
    state: dict[str, Any]


@dataclass
class SamplerSlot:
    """Holds the sampler between its start and its end.

    Attributes:
        name: The backend that `start` asks for; None for an object.
        options: Arguments of `samplerkit.make_sampler`.
        sampler: The running sampler, or the one handed over.
        kept: What the next sampler goes on from, and a snapshot holds until then.
        stopped: The sampler that was last stopped here; the algorithm may still refer to it.
    """

    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    sampler: Sampler | None = None
    kept: SamplerRecord | None = None
    stopped: Sampler | None = None

    @classmethod
    def of(cls, sampler: Sampler | str | None, options: Mapping[str, Any] | None) -> SamplerSlot:
        """A slot for what `Trainer.setup` was given.

        Raises:
            TypeError: It is neither a sampler nor a name; or options came without a name.
        """
        if isinstance(sampler, str):
            return cls(name=sampler, options=dict(options or {}))
        if options:
            raise TypeError("sampler_options are for a sampler given by its name: pass sampler='local', say.")
        if sampler is not None and not callable(getattr(sampler, "obtain_samples", None)):
            raise TypeError(f"sampler must be a Sampler or the name of a backend, not {sampler!r}.")
        return cls(sampler=sampler)

    def resumed(
        self, record: SamplerRecord, sampler: Sampler | str | None, options: Mapping[str, Any] | None
    ) -> SamplerSlot:
        """A slot that goes on from a snapshot's record, on the same or on another backend.

        Raises:
            TypeError: The run's sampler was an object, and none is given now.
            ValueError: The number of workers or the seed would change; they are part of the state.
        """
        if sampler is None and record.name is None:
            raise TypeError(
                "This run's sampler was handed over as an object, which a snapshot does not keep: pass "
                "sampler=, a new Sampler object or the name of a backend."
            )
        if sampler is not None and not isinstance(sampler, str):
            slot = SamplerSlot.of(sampler, options)
        else:
            name = sampler or record.name
            assert name is not None, "checked above"
            given = dict(options or {})
            slot = SamplerSlot(
                name=name, options=_with_identity({**_kept_options(record, name, given), **given}, record)
            )
        slot.kept = record
        return slot

    @property
    def owned(self) -> bool:
        """Whether the trainer makes the sampler, and therefore stops it."""
        return self.name is not None

    def start(self, agents: Any, envs: Any) -> Sampler | None:
        """Make the sampler, unless it is there already, and bring it to the kept state."""
        if self.sampler is None and self.name is not None:
            import samplerkit

            self.sampler = samplerkit.make_sampler(self.name, agents=agents, envs=envs, **self.options)
        if self.sampler is not None and self.kept is not None:
            self._go_on(self.sampler, self.kept)
            self.kept = None
        return self.sampler

    def _go_on(self, sampler: Sampler, kept: SamplerRecord) -> None:
        try:
            sampler.set_state(kept.state)
        except BaseException:
            self.stop()
            self.kept = kept
            raise

    def stop(self) -> None:
        """Shut down a sampler that was made here; used again, the slot goes on where it stopped."""
        if not self.owned or self.sampler is None:
            return
        with contextlib.suppress(SamplerKitError):
            self.kept = self.record()
        self.stopped, self.sampler = self.sampler, None
        self.stopped.shutdown_worker()

    def record(self) -> SamplerRecord | None:
        """What goes into a snapshot: the running sampler, or else what the next one goes on from."""
        sampler = self.sampler
        if sampler is None:
            return self.kept
        options = dict(self.options) if self.owned else _options_of(sampler)
        return SamplerRecord(self.name, options, sampler.n_workers, sampler.seed, sampler.get_state())


def _options_of(sampler: Sampler) -> dict[str, Any]:
    """What decides about the episodes of a sampler that was handed over, where it tells its factory."""
    factory = getattr(sampler, "worker_factory", None)
    if not isinstance(factory, WorkerFactory):
        return {}
    options = {
        "max_episode_length": factory.max_episode_length,
        "is_tf_worker": factory.is_tf_worker or None,
        # The default is not named: a kind of worker that gives the same episodes may be asked for.
        "worker_class": None if factory.worker_class is DefaultWorker else factory.worker_class,
        "worker_args": dict(factory.worker_args or {}) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _kept_options(record: SamplerRecord, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded options that a sampler of this name goes on with, beside those given now."""
    kept = dict(record.options)
    if name != record.name:
        kept = kept_on_another(kept, record.name, name)
    if given.get("worker_factory") is not None:
        return {key: value for key, value in kept.items() if key not in _FACTORY_FIELDS}
    if name != record.name and "worker_class" in kept:
        return _without_named_class(kept, name, given)
    return kept


def kept_on_another(options: Mapping[str, Any], before: str | None, now: str) -> dict[str, Any]:
    """The options that mean the same when the backend changes; those that are its own go with it.

    Args:
        options: Arguments of `samplerkit.make_sampler`.
        before: The backend's name so far; None for a sampler that was handed over as an object.
        now: The other one's.
    """
    common = {*COMMON_OPTIONS, *_worker_options(before, now)}
    return {key: value for key, value in options.items() if key in common}


def _worker_options(before: str | None, now: str) -> tuple[str, ...]:
    """The options of the kind of worker that two different names have in common, if they have."""
    kind = now.rpartition("+")[2]
    if before is None or before.rpartition("+")[2] != kind:
        return ()
    import samplerkit

    return worker_options(samplerkit.get_backend(kind))


def _without_named_class(kept: dict[str, Any], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out a class of workers that the name says already, and its arguments that are given by name."""
    import samplerkit

    if kept["worker_class"] is not samplerkit.get_backend(name.rpartition("+")[2]):
        return kept
    arguments = {key: value for key, value in (kept.get("worker_args") or {}).items() if key not in given}
    return {**kept, "worker_class": None, "worker_args": arguments}


def _with_identity(options: dict[str, Any], record: SamplerRecord) -> dict[str, Any]:
    """The options with the recorded number of workers and seed, also where those were drawn."""
    identity = {"n_workers": record.n_workers, "seed": record.seed}
    for key, value in identity.items():
        if options.get(key) not in (None, value):
            raise ValueError(
                f"{key} of this run is {value} and part of its state: it cannot become {options[key]}."
            )
    factory = options.get("worker_factory")
    if factory is not None:
        return {**options, "worker_factory": factory.completed(**identity)}
    return {**options, **identity}
