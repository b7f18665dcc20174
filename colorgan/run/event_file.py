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


class Board:
    """Writes what TensorBoard shows. tensorboardX's own writer has a thread, in which a full disk would be its end.

    Steps that an earlier run of this folder wrote too are shown once: from its first step on, the new file counts.
    """

    def __init__(self, folder: epath.Path, first_step: int) -> None:
        """Raises OSError if the folder cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        record_writer.register_writer_factory("append", self)  # it asks `open` for every file that begins so
        # The suffix keeps two writers that start within a second apart.
        suffix = f".{first_step}.{os.getpid()}"
        self._events = event_file_writer.EventsWriter(f"append:{folder / 'events'}", suffix)
        self._write(first_step + 1, session_log=SessionLog(status=SessionLog.START))

    def open(self, path: str) -> AppendFile:
        """The file that this writer's bytes go to."""
        self._file = AppendFile(epath.Path(path.partition(":")[2]), truncate=True)
        return self._file

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        values = [value for name, figure in figures.items() for value in summary.scalar(name, figure).value]
        self._write(step, summary=Summary(value=values))

    def text(self, step: int, name: str, text: str) -> None:
        self._write(step, summary=summary.text(name, text))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        self._write(step, summary=summary.image(name, image, dataformats="HWC"))

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._events.close()

    def _write(self, step: int, **content: Any) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, **content))
        self._events.flush()
