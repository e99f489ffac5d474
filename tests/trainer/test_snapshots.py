from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.trainer import SnapshotConfig, SnapshotError, Snapshotter
from samplerkit.trainer.snapshots import SNAPSHOT_MODES, snapshot_epochs


class CannotBePickled:
    def __reduce__(self) -> Any:
        raise TypeError("no")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("mode", "gap", "files"),
    [
        ("all", 1, {"itr_0.pkl", "itr_1.pkl", "itr_2.pkl", "itr_3.pkl", "itr_4.pkl"}),
        ("last", 1, {"params.pkl"}),
        ("gap", 2, {"itr_0.pkl", "itr_2.pkl", "itr_4.pkl"}),
        ("gap_and_last", 2, {"itr_0.pkl", "itr_2.pkl", "itr_4.pkl", "params.pkl"}),
        ("gap_overwrite", 2, {"params.pkl"}),
        ("none", 1, set()),
    ],
)
def test_each_mode_keeps_the_epochs_it_says(tmp_path: Path, mode: str, gap: int, files: set[str]) -> None:
    snapshotter = Snapshotter(tmp_path, mode, gap)
    for epoch in range(5):
        snapshotter.save_itr_params(epoch, {"epoch": epoch})
    assert names(tmp_path) == files


@pytest.mark.parametrize(
    ("mode", "gap", "first", "last"),
    [
        ("all", 1, 0, 4),
        ("last", 1, 4, 4),
        ("gap", 2, 0, 4),
        ("gap_and_last", 2, 0, 4),
        ("gap_and_last", 3, 0, 4),
    ],
)
def test_first_and_last_are_really_first_and_last(
    tmp_path: Path, mode: str, gap: int, first: int, last: int
) -> None:
    snapshotter = Snapshotter(tmp_path, mode, gap)
    for epoch in range(5):
        snapshotter.save_itr_params(epoch, {"epoch": epoch})
    assert snapshotter.load(tmp_path, "first")["epoch"] == first
    assert snapshotter.load(tmp_path, "last")["epoch"] == last


def test_an_epoch_is_found_by_number_whatever_its_file_is_called(tmp_path: Path) -> None:
    snapshotter = Snapshotter(tmp_path, "last")
    snapshotter.save_itr_params(7, {"epoch": 7})
    assert snapshotter.load(tmp_path, 7)["epoch"] == 7
    assert snapshotter.load(tmp_path, "7")["epoch"] == 7


def test_a_missing_epoch_names_those_that_are_there(tmp_path: Path) -> None:
    snapshotter = Snapshotter(tmp_path, "gap", 2)
    for epoch in range(4):
        snapshotter.save_itr_params(epoch, {})
    with pytest.raises(SnapshotError, match=r"no snapshot of epoch 3: there are 0, 2"):
        snapshotter.load(tmp_path, 3)


def test_a_newer_file_of_another_mode_is_the_last(tmp_path: Path) -> None:
    Snapshotter(tmp_path, "last").save_itr_params(3, {"epoch": 3})
    Snapshotter(tmp_path, "all").save_itr_params(4, {"epoch": 4})
    assert Snapshotter(tmp_path).load(tmp_path)["epoch"] == 4


@pytest.mark.parametrize(
    ("mode", "gap"), [("every", 1), ("last", 2), ("gap_overwrite", 1), ("gap", 0), ("all", -1)]
)
def test_a_mode_or_gap_that_makes_no_sense_is_refused_at_construction(
    tmp_path: Path, mode: str, gap: int
) -> None:
    with pytest.raises(ValueError):
        Snapshotter(tmp_path, mode, gap)
    with pytest.raises(ValueError):
        SnapshotConfig(tmp_path, mode, gap)


@pytest.mark.parametrize("gap", [2.5, 2.0, True])
def test_a_gap_is_an_integer(tmp_path: Path, gap: Any) -> None:
    with pytest.raises(TypeError, match=f"snapshot_gap must be an integer of at least 1, not {gap}"):
        SnapshotConfig(tmp_path, "gap", gap)
    assert SnapshotConfig(tmp_path, "gap", np.int64(2)).snapshot_gap == 2


@given(st.sampled_from(["all", "gap", "gap_and_last"]), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=15)
def test_first_is_the_lowest_and_last_the_highest_kept(
    tmp_path_factory: pytest.TempPathFactory, mode: str, gap: int, n_epochs: int
) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    snapshotter = Snapshotter(folder, mode, gap)
    kept = [epoch for epoch in range(n_epochs) if snapshotter.save_itr_params(epoch, {"epoch": epoch})]
    assert snapshotter.load(folder, "first")["epoch"] == 0
    assert snapshotter.load(folder, "last")["epoch"] == kept[-1]


def test_an_error_while_pickling_leaves_the_snapshot_of_before(tmp_path: Path) -> None:
    snapshotter = Snapshotter(tmp_path)
    snapshotter.save_itr_params(0, {"epoch": 0})
    with pytest.raises(TypeError):
        snapshotter.save_itr_params(1, {"big": b"x" * 1_000_000, "bad": CannotBePickled()})
    assert names(tmp_path) == {"params.pkl"}, "no temporary file may stay"
    assert snapshotter.load(tmp_path)["epoch"] == 0


def test_a_process_killed_in_mid_write_leaves_the_snapshot_of_before(tmp_path: Path) -> None:
    script = """
        import os, signal, sys
        from samplerkit.trainer import Snapshotter

        class KillsItsProcess:
            def __reduce__(self):
                os.kill(os.getpid(), signal.SIGKILL)

        snapshotter = Snapshotter(sys.argv[1])
        snapshotter.save_itr_params(0, {"epoch": 0})
        snapshotter.save_itr_params(1, {"big": b"x" * 1_000_000, "bad": KillsItsProcess()})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    snapshotter = Snapshotter(tmp_path)
    assert snapshotter.load(tmp_path)["epoch"] == 0
    snapshotter.save_itr_params(2, {"epoch": 2})
    assert snapshotter.load(tmp_path)["epoch"] == 2, "what the killed process left must not be in the way"


def test_the_file_and_its_folder_are_synced_before_the_snapshot_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        real_sync(descriptor)

    def replace(source: Any, target: Any) -> None:
        events.append("rename")
        assert Path(source).parent == Path(target).parent, "a rename is atomic within one folder only"
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    Snapshotter(tmp_path).save_itr_params(0, {})
    assert events == ["file", "rename", "folder"]


def test_a_pickle_of_another_kind_is_refused_without_being_loaded(tmp_path: Path) -> None:
    class Explodes:
        def __reduce__(self) -> Any:
            return (exec, ("raise AssertionError('it was unpickled')",))

    (tmp_path / "params.pkl").write_bytes(pickle.dumps(Explodes()))
    with pytest.raises(SnapshotError, match="holds no snapshot"):
        Snapshotter(tmp_path).load(tmp_path)
    with pytest.raises(SnapshotError, match="no samplerkit snapshot"):
        Snapshotter(tmp_path).load(tmp_path / "params.pkl")


def test_what_is_called_a_snapshot_and_is_no_file_is_left_out(tmp_path: Path) -> None:
    Snapshotter(tmp_path).save_itr_params(0, {})
    (tmp_path / "data.pkl").mkdir()
    (tmp_path / "gone.pkl").symlink_to(tmp_path / "nowhere")
    assert list(snapshot_epochs(tmp_path)) == [tmp_path / "params.pkl"]


def test_a_truncated_snapshot_says_that_it_is_damaged(tmp_path: Path) -> None:
    Snapshotter(tmp_path).save_itr_params(0, {"numbers": list(range(1000))})
    path = tmp_path / "params.pkl"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SnapshotError, match="damaged"):
        Snapshotter(tmp_path).load(tmp_path)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot with something of everything in it."""
    folder = tmp_path_factory.mktemp("intact")
    params = {"weights": np.arange(60.0), "names": ["a", "ä"], "seed": 1 << 70, "class": SnapshotConfig}
    Snapshotter(folder).save_itr_params(12, params)
    return folder / "params.pkl"


def assert_refused(path: Path) -> None:
    """By itself, and found in its folder."""
    for place in (path, path.parent):
        with pytest.raises(SnapshotError):
            Snapshotter(path.parent).load(place)


@given(st.data())
@settings(max_examples=300)
def test_a_snapshot_with_any_bit_flipped_is_refused(
    tmp_path_factory: pytest.TempPathFactory, intact: Path, data: st.DataObject
) -> None:
    content = bytearray(intact.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.mktemp("flipped") / "params.pkl"
    path.write_bytes(content)
    assert_refused(path)


def test_a_snapshot_with_any_bit_of_its_header_flipped_is_refused(tmp_path: Path, intact: Path) -> None:
    path = tmp_path / "params.pkl"
    magic, line, _ = intact.read_bytes().split(b"\n", 2)
    for bit in range(8 * (len(magic) + len(line) + 2)):
        content = bytearray(intact.read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        assert_refused(path)


@given(st.data())
@settings(max_examples=50)
def test_a_snapshot_cut_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, intact: Path, data: st.DataObject
) -> None:
    content = intact.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "params.pkl"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert_refused(path)


def test_a_snapshot_of_the_format_without_a_checksum_still_loads(tmp_path: Path) -> None:
    head = b'samplerkit-snapshot\n{"format": 1, "epoch": 3}\n'
    (tmp_path / "params.pkl").write_bytes(head + pickle.dumps({"epoch": 3}))
    assert Snapshotter(tmp_path).load(tmp_path, 3) == {"epoch": 3}
    (tmp_path / "params.pkl").write_bytes(head + pickle.dumps({"epoch": 3})[:-1])
    with pytest.raises(SnapshotError, match="damaged"):
        Snapshotter(tmp_path).load(tmp_path, 3)


def test_a_module_that_is_missing_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone_since.py").write_text("class Algorithm: ...")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        Snapshotter(tmp_path).save_itr_params(0, {"algo": importlib.import_module("gone_since").Algorithm()})
    del sys.modules["gone_since"]
    with pytest.raises(ModuleNotFoundError, match="gone_since"):
        Snapshotter(tmp_path).load(tmp_path)


def test_a_snapshot_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    Snapshotter(tmp_path).save_itr_params(0, {})
    path = tmp_path / "params.pkl"
    path.write_bytes(path.read_bytes().replace(b'"format": 2', b'"format": 9'))
    with pytest.raises(SnapshotError, match="format 9"):
        Snapshotter(tmp_path).load(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="nowhere"):
        Snapshotter(tmp_path).load(tmp_path / "nowhere")


@pytest.mark.parametrize("epoch", ["middle", "-1", 1.5, True, None])
def test_an_epoch_that_is_none_is_refused(tmp_path: Path, epoch: Any) -> None:
    Snapshotter(tmp_path).save_itr_params(0, {})
    with pytest.raises(ValueError, match="'first', 'last' or a number"):
        Snapshotter(tmp_path).load(tmp_path, epoch)


def test_objects_from_outside_are_named_and_not_pickled(tmp_path: Path) -> None:
    outside = CannotBePickled()
    snapshotter = Snapshotter(tmp_path)
    snapshotter.save_itr_params(0, {"nested": [outside]}, outside={"it": outside})
    assert snapshotter.load(tmp_path)["nested"] == [None]
    assert snapshotter.load(tmp_path, outside={"it": 5})["nested"] == [5]


def test_every_mode_can_be_constructed() -> None:
    for mode in SNAPSHOT_MODES:
        SnapshotConfig("folder", mode, 2 if mode == "gap_overwrite" else 1)
