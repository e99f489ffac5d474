"""TensorBoard events, without TensorFlow."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from samplerkit.trainer.records import EPOCH, TOTAL_ENV_STEPS, Number, RunStart

_logger = logging.getLogger(__name__)


class TensorBoardOutput:
    """Writes an event file into the run's folder: every column over environment steps.

    Needs the package ``tensorboard`` (in ``samplerkit[cli]``); where it is missing there are no events, and
    a warning says so once. The record format is written directly: tensorboard's own file writer
    starts a thread and may import TensorFlow.
    """

    _told = False

    def __init__(self) -> None:
        self._writer: Any = None

    def open(self, start: RunStart) -> None:
        """Begin a new event file; a resumed run hides the events of epochs that it runs again."""
        try:
            from tensorboard.compat.proto import event_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            self._tell_once()
            return
        name = (
            f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{start.start_epoch}"
        )
        self._writer = RecordWriter((start.folder / name).open("wb"))
        self._add(file_version="brain.Event:2")
        if start.rows:
            session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(step=int(start.rows[-1][TOTAL_ENV_STEPS]) + 1, session_log=session)

    def write(self, row: Mapping[str, Number]) -> None:
        """Add the row's numbers at its environment steps."""
        if self._writer is None:
            return
        from tensorboard.compat.proto import summary_pb2

        keys = [key for key in row if key != TOTAL_ENV_STEPS]
        values = [summary_pb2.Summary.Value(tag=_tag(key), simple_value=float(row[key])) for key in keys]
        self._add(step=int(row[TOTAL_ENV_STEPS]), summary=summary_pb2.Summary(value=values))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, **fields: Any) -> None:
        from tensorboard.compat.proto import event_pb2

        self._writer.write(event_pb2.Event(wall_time=time.time(), **fields).SerializeToString())

    @classmethod
    def _tell_once(cls) -> None:
        if not cls._told:
            cls._told = True
            _logger.warning("no TensorBoard events: run `pip install tensorboard` to have them")


def _tag(key: str) -> str:
    return key if "/" in key or key == EPOCH else f"Run/{key}"
