"""Snapshots of a training run: when they are kept, how they are written, and how they are found again.

A snapshot is a local file: one line of magic, one line of JSON (format, epoch, checksum), then a pickle.
The checksum, of epoch and pickle, tells damage, not forgery. Unpickling runs code: load only snapshots that
you, or somebody you trust, wrote.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import cloudpickle

from samplerkit.errors import SamplerKitError
from samplerkit.sampling import check_count
from samplerkit.trainer.files import write_atomically

SNAPSHOT_MODES = ("all", "last", "gap", "gap_and_last", "gap_overwrite", "none")
SNAPSHOT_FORMAT = 2
"""1 had no checksum."""

_MAGIC = b"samplerkit-snapshot\n"
_LAST_NAME = "params.pkl"
_ADVICE = "Restore an earlier epoch, or move this file away: the last of the others is then taken."
_logger = logging.getLogger(__name__)


class SnapshotError(SamplerKitError):
    """There is no such snapshot, or the file is no snapshot that this version can read."""


@dataclass(frozen=True)
class SnapshotConfig:
    """Where and when snapshots are kept.

    Attributes:
        snapshot_dir: The run's folder, made when something is first written.
        snapshot_mode: ``"all"`` epochs as itr_N.pkl; the ``"last"`` one as params.pkl; every
            ``snapshot_gap``-th (``"gap"``) as itr_N.pkl; both (``"gap_and_last"``); every
            ``snapshot_gap``-th as params.pkl (``"gap_overwrite"``); or ``"none"``.
        snapshot_gap: At least 1; above 1 for "gap_overwrite", 1 for "last".

    Raises:
        ValueError: An unknown mode, or a gap that does not fit it.
        TypeError: A gap that is no integer.
    """

    snapshot_dir: str | Path
    snapshot_mode: str = "last"
    snapshot_gap: int = 1

    def __post_init__(self) -> None:
        if self.snapshot_mode not in SNAPSHOT_MODES:
            raise ValueError(
                f"There is no snapshot mode {self.snapshot_mode!r}: pass one of {', '.join(SNAPSHOT_MODES)}."
            )
        check_count("snapshot_gap", self.snapshot_gap)
        if self.snapshot_mode == "gap_overwrite" and self.snapshot_gap == 1:
            raise ValueError('snapshot_mode="gap_overwrite" needs a snapshot_gap above 1, or pass "last".')
        if self.snapshot_mode == "last" and self.snapshot_gap != 1:
            raise ValueError('snapshot_mode="last" needs snapshot_gap=1, or pass "gap_overwrite".')


class Snapshotter:
    """Writes and finds the snapshots of one folder. Arguments as for `SnapshotConfig`.

    Only complete snapshots are ever seen: each is written under a temporary name, synced, and renamed.
    """

    def __init__(
        self,
        snapshot_dir: str | Path = Path("data", "local", "experiment"),
        snapshot_mode: str = "last",
        snapshot_gap: int = 1,
    ) -> None:
        self._config = SnapshotConfig(snapshot_dir, snapshot_mode, snapshot_gap)

    @property
    def snapshot_dir(self) -> Path:
        """The folder."""
        return Path(self._config.snapshot_dir)

    @property
    def snapshot_mode(self) -> str:
        """The mode."""
        return self._config.snapshot_mode

    @property
    def snapshot_gap(self) -> int:
        """The gap."""
        return self._config.snapshot_gap

    def save_itr_params(
        self, itr: int, params: Mapping[str, Any], *, outside: Mapping[str, object] | None = None
    ) -> list[Path]:
        """Write the snapshot of epoch ``itr`` if the mode keeps it.

        Args:
            itr: The epoch.
            params: What to keep; pickled by value where it comes from the main module.
            outside: Objects that are not pickled wherever they occur: a name stands in their place.

        Returns:
            The files written, none or one or two.

        Raises:
            Exception: What pickling raises; the snapshots of before stay as they were.
        """
        names = self._names(itr)
        for name in names:
            self.snapshot_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(self.snapshot_dir / name, lambda file: _dump(file, itr, params, outside or {}))
        return [self.snapshot_dir / name for name in names]

    def _names(self, itr: int) -> list[str]:
        mode, own_name = self.snapshot_mode, f"itr_{itr}.pkl"
        at_gap = itr % self.snapshot_gap == 0
        if mode == "all":
            return [own_name]
        if mode == "last":
            return [_LAST_NAME]
        if mode == "gap":
            return [own_name] if at_gap else []
        if mode == "gap_and_last":
            return [own_name, _LAST_NAME] if at_gap else [_LAST_NAME]
        if mode == "gap_overwrite":
            return [_LAST_NAME] if at_gap else []
        return []

    def load(
        self, load_dir: str | Path, itr: int | str = "last", *, outside: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Load a snapshot. It is a pickle, which can run any code: load only your own.

        Args:
            load_dir: A run's folder, or one snapshot file.
            itr: ``"first"``, ``"last"`` or an epoch's number, among the snapshots that are there.
            outside: What to put where the names of `save_itr_params` stand; None where a name is missing.

        Raises:
            ValueError: ``itr`` is none of these.
            SnapshotError: No such snapshot, or the file is not one, or it is damaged.
            Exception: What unpickling raises, such as ImportError for a module that is missing here.
        """
        path = find_snapshot(load_dir, itr)
        with path.open("rb") as file:
            _check(file, _read_header(file, path), path)
            try:
                loaded = _Unpickler(file, outside or {}).load()
            except (pickle.UnpicklingError, EOFError) as error:
                raise SnapshotError(f"{path} is damaged: {error}. {_ADVICE}") from error
        _logger.info("loaded %s", path)
        return dict(loaded)


def snapshot_epochs(folder: str | Path) -> dict[Path, int]:
    """The snapshots in a folder with their epochs, in order of epochs; files of another kind are left out."""
    epochs = {}
    for path in Path(folder).glob("*.pkl"):
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                epochs[path] = _read_header(file, path).epoch
        except SnapshotError:
            continue
    return dict(sorted(epochs.items(), key=lambda item: (item[1], item[0].name)))


def find_snapshot(load_dir: str | Path, itr: int | str = "last") -> Path:
    """The file of one snapshot; see `Snapshotter.load`."""
    folder = Path(load_dir)
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise SnapshotError(f"There is no folder {folder}.")
    wanted = _wanted(itr)
    epochs = snapshot_epochs(folder)
    if not epochs:
        found = ", ".join(sorted(path.name for path in folder.glob("*.pkl")))
        also = f" ({found}: of another kind)" if found else ""
        raise SnapshotError(
            f"{folder} holds no snapshot{also}: pass a folder that a run with snapshots wrote."
        )
    if wanted == "first":
        return next(iter(epochs))
    if wanted == "last":
        return list(epochs)[-1]
    for path, epoch in epochs.items():
        if epoch == wanted:
            return path
    there = ", ".join(str(epoch) for epoch in sorted(set(epochs.values())))
    raise SnapshotError(f"{folder} holds no snapshot of epoch {wanted}: there are {there}.")


def remove_snapshots_after(folder: str | Path, epoch: int) -> None:
    """Drop the snapshots of a future that a run resumed at an earlier epoch has left behind; after -1, all.

    The latest goes first, so that at any moment those that are left are without a gap.
    """
    for path, its_epoch in reversed(snapshot_epochs(folder).items()):
        if its_epoch > epoch:
            _logger.warning("removed %s: the run goes on with epoch %d", path, epoch + 1)
            path.unlink()


def can_be_saved(value: object, outside: Mapping[str, object]) -> bool:
    """Whether a value pickles; for error messages, after a snapshot has failed."""
    try:
        _Pickler(io.BytesIO(), outside).dump(value)
    except Exception:
        return False
    return True


def _wanted(itr: int | str) -> int | str:
    if isinstance(itr, str) and itr in ("first", "last"):
        return itr
    if isinstance(itr, bool) or not str(itr).isdigit():
        raise ValueError(f"The epoch is {itr!r}: pass 'first', 'last' or a number.")
    return int(itr)


@dataclass(frozen=True)
class _Header:
    """The first two lines."""

    format: int
    epoch: int
    checksum: str

    def lines(self) -> bytes:
        fields = {"format": self.format, "epoch": self.epoch, "sha256": self.checksum}
        return _MAGIC + json.dumps(fields).encode() + b"\n"

    def begin_sum(self) -> hashlib._Hash:
        """A checksum of what this says; that of the pickle is added."""
        return hashlib.sha256(b"%d %d\n" % (self.format, self.epoch))


class _Summed:
    """A file that adds to a checksum what is written to it."""

    def __init__(self, file: BinaryIO, checksum: hashlib._Hash) -> None:
        self._file, self._checksum = file, checksum

    def write(self, data: Any) -> int:
        self._checksum.update(data)
        return self._file.write(data)


def _dump(file: BinaryIO, epoch: int, params: Mapping[str, Any], outside: Mapping[str, object]) -> None:
    header = _Header(SNAPSHOT_FORMAT, epoch, checksum="0" * 64)
    checksum = header.begin_sum()
    file.write(header.lines())
    _Pickler(_Summed(file, checksum), outside).dump(dict(params))
    # Only now, in its place: to have it first, the pickle would have to be held in memory.
    file.seek(0)
    file.write(replace(header, checksum=checksum.hexdigest()).lines())


def _read_header(file: BinaryIO, path: Path) -> _Header:
    """The header; leaves the file at the pickle."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise SnapshotError(f"{path} is no samplerkit snapshot.")
    try:
        fields = json.loads(file.readline(1_000))
        written, epoch = int(fields["format"]), int(fields["epoch"])
        checksum = fields.get("sha256", "")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise SnapshotError(f"{path} is damaged: its header cannot be read.") from error
    if written > SNAPSHOT_FORMAT:
        raise SnapshotError(
            f"{path} has snapshot format {written}, this samplerkit reads up to {SNAPSHOT_FORMAT}: update it."
        )
    return _Header(written, epoch, checksum)


def _check(file: BinaryIO, header: _Header, path: Path) -> None:
    """Read the pickle as mere bytes first: damaged, it may raise anything, or load as something else."""
    if header.format == 1:
        return
    start, checksum = file.tell(), header.begin_sum()
    while chunk := file.read(1 << 20):
        checksum.update(chunk)
    if checksum.hexdigest() != header.checksum:
        raise SnapshotError(f"{path} is damaged: its checksum is wrong. {_ADVICE}")
    file.seek(start)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: Any, outside: Mapping[str, object]) -> None:
        super().__init__(file)
        self._names = {id(thing): name for name, thing in outside.items()}

    def persistent_id(self, obj: object) -> str | None:
        return self._names.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, outside: Mapping[str, object]) -> None:
        super().__init__(file)
        self._outside = outside

    def persistent_load(self, name: str) -> object:
        return self._outside.get(name)
