"""The file that TensorBoard reads."""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from tensorboardX import event_file_writer, record_writer, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from colorgan.run.append_file import AppendFile


class EventFile:
    """Writes TensorBoard events.

    tensorboardX's own writer has a thread, which ends when the disk is full.

    TensorBoard ignores steps of earlier files from the first step of this file on.
    """

    def __init__(self, folder: epath.Path, first_step: int) -> None:
        """Raises OSError if the folder cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        record_writer.register_writer_factory("append", self)  # its `open` is called for files with this prefix
        # The suffix distinguishes two writers that start within the same second.
        suffix = f".{first_step}.{os.getpid()}"
        self._events = event_file_writer.EventsWriter(f"append:{folder / 'events'}", suffix)
        self._write(first_step + 1, session_log=SessionLog(status=SessionLog.START))

    def open(self, path: str) -> AppendFile:
        """The file that receives the bytes of this writer."""
        self._file = AppendFile(epath.Path(path.partition(":")[2]), truncate=True)
        return self._file

    def scalars(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes scalars of a step."""
        values = [value for name, metric in metrics.items() for value in summary.scalar(name, metric).value]
        self._write(step, summary=Summary(value=values))

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text in Markdown."""
        self._write(step, summary=summary.text(name, text))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes an image, uint8 [H,W,3]."""
        self._write(step, summary=summary.image(name, image, dataformats="HWC"))

    def sync(self) -> None:
        """Returns when all events are on disk."""
        self._file.sync()

    def close(self) -> None:
        """Writes what is pending and closes the file."""
        self._events.close()

    def _write(self, step: int, **content: Any) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, **content))
        self._events.flush()
