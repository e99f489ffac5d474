"""progress.csv: a row for each epoch, complete after every epoch, and continued by a resumed run."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from samplerkit.trainer.files import write_text_atomically
from samplerkit.trainer.records import EPOCH, TOTAL_ENV_STEPS, Number, Row, RunStart

PROGRESS_CSV = "progress.csv"


class CsvOutput:
    """Writes ``progress.csv`` in the run's folder.

    Columns may appear at any epoch: the file is then rewritten, earlier rows having an empty cell. Floats
    are written so that reading them gives the same number.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._columns: list[str] = []
        self._rows: list[Row] = []

    def open(self, start: RunStart) -> None:
        """Keep the earlier rows of a resumed run, and nothing else."""
        self._path = start.folder / PROGRESS_CSV
        self._rows = list(start.rows)
        self._columns = list(dict.fromkeys(key for row in self._rows for key in row))
        if self._rows:
            self._rewrite()
        else:
            self._path.unlink(missing_ok=True)

    def write(self, row: Mapping[str, Number]) -> None:
        """Append the row, in one write; it is on the disk when this returns."""
        path = self._opened()
        self._rows.append(dict(row))
        new_columns = [key for key in row if key not in self._columns]
        if new_columns:
            self._columns += new_columns
            self._rewrite()
        else:
            with path.open("a", newline="", encoding="utf-8") as file:
                file.write(_lines(self._columns, [row]))
                file.flush()
                # The epoch's snapshot, which comes next, is synced: it must not outlive its row.
                os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing is held open."""
        self._path = None

    def _rewrite(self) -> None:
        header = _lines(self._columns, [dict(zip(self._columns, self._columns, strict=True))])
        write_text_atomically(self._opened(), header + _lines(self._columns, self._rows))

    def _opened(self) -> Path:
        if self._path is None:
            raise RuntimeError("The output is not open: call open(start) first.")
        return self._path


def read_progress(folder: str | Path, *, before_epoch: int | None = None) -> list[Row]:
    """The rows of a run's progress.csv; numbers as they were recorded, empty cells left out.

    Args:
        folder: The run's folder; no file, no rows.
        before_epoch: Leave out this epoch's row and all later ones.

    Raises:
        ValueError: The file is damaged.
    """
    path = Path(folder) / PROGRESS_CSV
    if not path.exists():
        return []
    try:
        text = path.read_bytes().decode()
        # A process killed while it wrote may leave a line without its end, and half a number in it.
        whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        rows = [_parsed(row) for row in csv.DictReader(whole)]
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is damaged: {error}. Mend it, or move it away to go on without its rows."
        ) from error
    return [row for row in rows if before_epoch is None or row[EPOCH] < before_epoch]


def _parsed(cells: Mapping[str | None, str | None]) -> Row:
    if None in cells or not (cells.get(EPOCH) and cells.get(TOTAL_ENV_STEPS)):
        raise ValueError(
            f"a row has not just the columns of the first line, with {EPOCH} and {TOTAL_ENV_STEPS}"
        )
    return {key: _number(cell) for key, cell in cells.items() if key is not None and cell}


def _number(cell: str) -> Number:
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def _lines(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue()
