from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samplerkit.trainer import CsvOutput, LearningCurve, RunStart, TensorBoardOutput, read_progress
from samplerkit.trainer.files import write_text_atomically
from samplerkit.trainer.progress import PlainProgress, RichProgress, clock, progress_display


def rows(n: int, **more: float) -> list[dict[str, float]]:
    return [
        {"Epoch": i, "TotalEnvSteps": 100 * (i + 1), "Train/AverageReturn": i / 3, **more} for i in range(n)
    ]


def fill(output: Any, folder: Path, these: list[dict[str, float]], *, start: int = 0) -> None:
    output.open(RunStart(folder, n_epochs=len(these), start_epoch=start, rows=these[:start]))
    for row in these[start:]:
        output.write(row)
    output.close()


# ---- progress.csv


def test_numbers_read_from_the_csv_are_those_written(tmp_path: Path) -> None:
    these = rows(3, Tiny=5e-324, Third=1 / 3, Big=2**53 + 1, Infinite=float("inf"))
    fill(CsvOutput(), tmp_path, these)
    assert read_progress(tmp_path) == these
    assert isinstance(read_progress(tmp_path)[0]["Epoch"], int)


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\u2028b", 'a,"b"'])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    these = rows(2, **{name: 1.5})
    fill(CsvOutput(), tmp_path, these)
    assert read_progress(tmp_path) == these


def test_a_new_column_leaves_empty_cells_in_earlier_rows(tmp_path: Path) -> None:
    these = [*rows(2), *rows(4, Late=1.5)[2:]]
    fill(CsvOutput(), tmp_path, these)
    assert read_progress(tmp_path) == these
    assert (tmp_path / "progress.csv").read_text().splitlines()[1].endswith(",")


def test_a_missing_value_is_an_empty_cell(tmp_path: Path) -> None:
    these = [rows(1, Now=1.0)[0], rows(2)[1]]
    fill(CsvOutput(), tmp_path, these)
    assert read_progress(tmp_path) == these


def test_every_row_is_on_disk_before_the_next_epoch(tmp_path: Path) -> None:
    output = CsvOutput()
    output.open(RunStart(tmp_path, 3))
    for number, row in enumerate(rows(3), start=1):
        output.write(row)
        assert len(read_progress(tmp_path)) == number


def test_a_resumed_csv_holds_only_the_rows_it_goes_on_from(tmp_path: Path) -> None:
    fill(CsvOutput(), tmp_path, rows(5))
    kept = read_progress(tmp_path, before_epoch=2)
    output = CsvOutput()
    output.open(RunStart(tmp_path, 5, 2, kept))
    assert read_progress(tmp_path) == rows(5)[:2]
    output.write(rows(5)[2])
    assert read_progress(tmp_path) == rows(5)[:3]


def test_every_row_is_synced_before_its_snapshot_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        file = os.fstat(descriptor)
        synced.append((file.st_ino, file.st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    output = CsvOutput()
    output.open(RunStart(tmp_path, 3))
    for row in rows(3):
        output.write(row)
        file = (tmp_path / "progress.csv").stat()
        assert (file.st_ino, file.st_size) in synced


def test_a_torn_last_row_is_not_read(tmp_path: Path) -> None:
    fill(CsvOutput(), tmp_path, rows(3))
    path = tmp_path / "progress.csv"
    path.write_text(path.read_text()[:-5])
    assert read_progress(tmp_path) == rows(3)[:2]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n1,", "\nsecond,"),
        (",0.0\n", ",0.0,7,7\n"),
        ("Epoch,TotalEnvSteps,Train/AverageReturn\n", ""),
        ("TotalEnvSteps", "Steps"),
        ("Epoch", "\0\r"),
        (",200,", ",\udcff,"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, before: str, after: str) -> None:
    fill(CsvOutput(), tmp_path, rows(3))
    path = tmp_path / "progress.csv"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after), errors="surrogateescape")
    with pytest.raises(ValueError, match=r"progress\.csv is damaged: .*move it away"):
        read_progress(tmp_path, before_epoch=2)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == []


def test_a_csv_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="open"):
        CsvOutput().write(rows(1)[0])


def test_a_text_replaces_the_old_one_whole(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "a.txt", "one")
    write_text_atomically(tmp_path / "a.txt", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "two"


# ---- TensorBoard


def events_of(folder: Path) -> list[Any]:
    """Read the record format by hand: length, checksum, data, checksum."""
    from tensorboard.compat.proto import event_pb2

    events = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return events


def test_events_carry_every_number_at_its_steps(tmp_path: Path) -> None:
    fill(TensorBoardOutput(), tmp_path, rows(3, Loss=0.5))
    events = events_of(tmp_path)
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[1:]] == [100, 200, 300]
    values = {value.tag: value.simple_value for value in events[3].summary.value}
    assert values["Train/AverageReturn"] == pytest.approx(2 / 3)
    assert values["Run/Loss"] == 0.5


def test_tensorboard_itself_reads_the_events(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    fill(TensorBoardOutput(), tmp_path, rows(3))
    (path,) = tmp_path.glob("events.*")
    assert len(list(loader.LegacyEventFileLoader(str(path)).Load())) == 4


def test_a_resumed_run_hides_events_of_epochs_that_run_again(tmp_path: Path) -> None:
    fill(TensorBoardOutput(), tmp_path, rows(5), start=2)
    restarts = [event for event in events_of(tmp_path) if event.HasField("session_log")]
    assert [event.step for event in restarts] == [201]


def test_writing_events_imports_no_tensorflow(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from samplerkit.trainer import *\n"
        "output = TensorBoardOutput(); output.open(RunStart(Path(sys.argv[1]), 1))\n"
        "output.write({'Epoch': 0, 'TotalEnvSteps': 5}); output.close()\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60).returncode == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_without_tensorboard_one_warning_and_no_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    monkeypatch.setattr(TensorBoardOutput, "_told", False)
    fill(TensorBoardOutput(), tmp_path, rows(2))
    fill(TensorBoardOutput(), tmp_path, rows(2))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not list(tmp_path.iterdir())


# ---- learning_curve.png


def test_the_picture_is_there_at_the_end(tmp_path: Path) -> None:
    fill(LearningCurve(references={"best": 1.0}), tmp_path, rows(3))
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_named_axes_and_reference_lines(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    curve = LearningCurve(y_label="return (points)", title="a title", references={"best": 1.0})
    curve.open(RunStart(tmp_path, 2))
    for row in rows(2):
        curve.write(row)
    axes = Figure().add_subplot()
    curve._plot(axes)
    assert axes.get_xlabel() == "environment steps"
    assert axes.get_ylabel() == "return (points)"
    assert axes.get_title() == "a title"
    assert list(axes.lines[0].get_xdata()) == [100, 200]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["best: 1"]


@pytest.mark.parametrize(
    ("settings", "label"),
    [({}, "mean return per episode"), ({"y": "Loss"}, "Loss"), ({"y": "Loss", "y_label": "nats"}, "nats")],
)
def test_the_picture_of_another_column_is_not_labelled_as_returns(
    settings: dict[str, str], label: str
) -> None:
    from matplotlib.figure import Figure

    curve = LearningCurve(**settings)  # type: ignore[arg-type]
    curve._points = [(100, 1.0)]
    axes = Figure().add_subplot()
    curve._plot(axes)
    assert axes.get_ylabel() == label


def test_a_resumed_picture_shows_the_earlier_epochs(tmp_path: Path) -> None:
    curve = LearningCurve()
    curve.open(RunStart(tmp_path, 5, 3, rows(3)))
    curve.write(rows(4)[3])
    assert len(curve._points) == 4


def test_the_picture_is_drawn_every_so_often(tmp_path: Path) -> None:
    curve = LearningCurve(every_seconds=0.0)
    curve.open(RunStart(tmp_path, 5))
    curve.write(rows(1)[0])
    assert (tmp_path / "learning_curve.png").exists()


def test_without_the_column_there_is_no_picture(tmp_path: Path) -> None:
    fill(LearningCurve(y="Other"), tmp_path, rows(3))
    assert not list(tmp_path.iterdir())


def test_a_column_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(LearningCurve(y="Other"), tmp_path, rows(3))
    (told,) = caplog.messages
    assert told.startswith("no learning_curve.png: no row has a number in the column 'Other'; there are ")
    assert "Train/AverageReturn" in told


def test_a_run_without_epochs_is_not_told_about_its_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(LearningCurve(y="Other"), tmp_path, [])
    assert not caplog.messages


def test_without_matplotlib_one_warning_and_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(LearningCurve, "_told", False)
    fill(LearningCurve(), tmp_path, rows(2))
    fill(LearningCurve(), tmp_path, rows(2))
    assert len(caplog.records) == 1
    assert not list(tmp_path.iterdir())


# ---- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    output = progress_display(stream=stream)
    assert isinstance(output, PlainProgress)
    fill(output, tmp_path, rows(3))
    lines = stream.getvalue().splitlines()
    assert lines[-1].startswith("epoch 3/3  steps 300  steps/s ")
    assert "average return 0.67" in lines[-1]
    assert "time left 0:00" in lines[-1]
    assert "\x1b" not in stream.getvalue(), "no control characters in a file"


def test_plain_lines_come_at_most_once_a_second_but_the_last_always(tmp_path: Path) -> None:
    stream = io.StringIO()
    fill(PlainProgress(y="Train/AverageReturn", stream=stream), tmp_path, rows(200))
    lines = stream.getvalue().splitlines()
    assert len(lines) < 20
    assert lines[-1].startswith("epoch 200/200")


def test_an_interrupted_run_still_shows_its_last_epoch(tmp_path: Path) -> None:
    stream = io.StringIO()
    output = PlainProgress(y="Train/AverageReturn", stream=stream)
    output.open(RunStart(tmp_path, 100))
    for row in rows(5):
        output.write(row)
    output.close()
    assert stream.getvalue().splitlines()[-1].startswith("epoch 5/100")


def test_on_a_terminal_progress_is_a_bar_with_the_same_figures(tmp_path: Path) -> None:
    stream = Terminal()
    output = progress_display(stream=stream)
    assert isinstance(output, RichProgress)
    fill(output, tmp_path, rows(3))
    assert "\x1b" in stream.getvalue()
    assert "3/3" in stream.getvalue()


def test_in_a_narrow_terminal_no_figure_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    fill(progress_display(stream=stream), tmp_path, rows(3))
    assert "epoch 3/3  steps 300  steps/s" in stream.getvalue()


def test_without_the_return_a_dash_stands_there(tmp_path: Path) -> None:
    stream = io.StringIO()
    fill(progress_display(y="Other", stream=stream), tmp_path, rows(1))
    assert "  Other -  " in stream.getvalue()


@pytest.mark.parametrize("stream_type", [io.StringIO, Terminal])
def test_another_column_is_shown_by_its_own_name(tmp_path: Path, stream_type: type[io.StringIO]) -> None:
    stream = stream_type()
    these = [{"Epoch": 0, "TotalEnvSteps": 100, "PPO/Entropy[0]": 1.25}]
    fill(progress_display(y="PPO/Entropy[0]", stream=stream), tmp_path, these)
    assert "Entropy[0] 1.25" in stream.getvalue()
    assert "return" not in stream.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75, "1:15"), (3675, "1:01:15")])
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
