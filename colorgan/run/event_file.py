"""The file that TensorBoard reads."""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboardX import event_file_writer, record_writer, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from colorgan.run import dashboard
from colorgan.run.append_file import AppendFile

_HPARAM_TYPES = {str: api_pb2.DATA_TYPE_STRING, bool: api_pb2.DATA_TYPE_BOOL}


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
        self._described: set[str] = set()
        self._write(first_step + 1, session_log=SessionLog(status=SessionLog.START))

    def open(self, path: str) -> AppendFile:
        """The file that receives the bytes of this writer."""
        self._file = AppendFile(epath.Path(path.partition(":")[2]), truncate=True)
        return self._file

    def scalars(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes scalars of a step, the first one of each tag with its description."""
        written = summary_pb2.Summary()
        for name, metric in dashboard.shown(metrics).items():
            value = written.value.add(tag=dashboard.tag(name), simple_value=metric)
            if name not in self._described:
                self._described.add(name)
                value.metadata.summary_description = dashboard.describe(name)
                # Without these TensorBoard's fast loader drops the description.
                value.metadata.plugin_data.plugin_name = "scalars"
                value.metadata.data_class = summary_pb2.DATA_CLASS_SCALAR
        self._write_summary(step, written)

    def layout(self, step: int) -> None:
        """Writes the charts of the Custom Scalars page."""
        of_type = {
            category: {title: ["Multiline", tags] for title, tags in charts.items()}
            for category, charts in dashboard.CHARTS.items()
        }
        self._write(step, summary=summary.custom_scalars(of_type))

    def start_session(self, step: int, hyperparameters: Mapping[str, bool | float | str]) -> None:
        """Writes hyperparameters for the HParams page. TensorBoard keeps the first ones of a folder."""
        experiment = api_pb2.Experiment()
        for name, value in hyperparameters.items():
            # The page lists those that differ between runs first, and shows a column for five.
            info = experiment.hparam_infos.add(name=name, differs=name in dashboard.FIRST_HYPERPARAMETERS)
            info.type = _HPARAM_TYPES.get(type(value), api_pb2.DATA_TYPE_FLOAT64)
        for name in dashboard.COMPARED_METRICS:
            experiment.metric_infos.add(name=api_pb2.MetricName(tag=name), description=dashboard.describe(name))
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in hyperparameters.items():
            field = {str: "string_value", bool: "bool_value"}.get(type(value), "number_value")
            setattr(start.hparams[name], field, value)
        self._write_hparams(step, "experiment", experiment=experiment)
        self._write_hparams(step, "session_start_info", session_start_info=start)

    def end_session(self, step: int) -> None:
        """Marks the run as complete on the HParams page."""
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        self._write_hparams(step, "session_end_info", session_end_info=end)

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

    def _write_hparams(self, step: int, tag: str, **content: Any) -> None:
        written = summary_pb2.Summary()
        value = written.value.add(tag=f"_hparams_/{tag}")
        value.metadata.plugin_data.plugin_name = "hparams"
        value.metadata.plugin_data.content = plugin_data_pb2.HParamsPluginData(**content).SerializeToString()
        self._write_summary(step, written)

    def _write_summary(self, step: int, written: summary_pb2.Summary) -> None:
        """Writes a summary of TensorBoard's type, which has fields that tensorboardX's lacks and keeps."""
        self._write(step, summary=Summary.FromString(written.SerializeToString()))

    def _write(self, step: int, **content: Any) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, **content))
        self._events.flush()
