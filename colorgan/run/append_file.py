"""Files that grow during a run: metrics, log messages and TensorBoard events; on a disk or in a bucket."""

import contextlib
import logging
import os
import tempfile
import threading
from typing import Any

from etils import epath

from colorgan.errors import Unreachable
from colorgan.run.storage import bucket_errors, is_remote, write_whole

log = logging.getLogger(__name__)

_COPY_SECONDS = 60.0  # between copies of a growing file to a bucket
_WAIT_SECONDS = 60.0  # for a bucket that does not answer, where its client would wait half an hour


class AppendFile:
    """A file that is written at its end. What cannot be written (a full disk) waits in memory for the next try.

    A file in a bucket grows on the local disk, and a thread copies it to its place every minute; a bucket that fails
    for a while holds nobody up, and gets it all afterwards.
    """

    def __init__(self, path: epath.Path, truncate: bool = False) -> None:
        """Goes on with the file at `path`, or begins it anew. Raises OSError if it cannot be opened."""
        self._path, self._waiting, self._is_told = path, b"", False
        self._copies: _Copies | None = None
        if is_remote(path):
            begun = b"" if truncate else _read(path)
            write_whole(path, begun)
            self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed in close)
            self._waiting = begun
            self.flush()
            self._copies = _Copies(path, self._file.fileno(), len(begun))
        else:
            self._file = open(path, "wb" if truncate else "ab", buffering=0)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Adds `data`, on disk after the next `flush`."""
        self._waiting += data

    def flush(self) -> None:
        """Writes what waits."""
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._file.fileno(), self._waiting) :]
            self._is_told = False
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                log.warning("cannot write %s (%s): kept in memory until it can", self._path, error)

    def sync(self) -> None:
        """Returns when the file is in its place, whatever happens to this machine, or its place has failed."""
        self.flush()
        if self._copies:
            self._copies.wait()
        else:
            with contextlib.suppress(OSError):  # a disk that fails tells it to the next write
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Writes what waits and closes."""
        if not self._file.closed:
            self.sync()
            if self._copies:
                self._copies.end()
            self._file.close()


class _Copies(threading.Thread):
    """Copies a growing local file to a bucket: every minute, and when asked."""

    def __init__(self, path: epath.Path, file: int, size: int) -> None:
        """`file` is a descriptor, `size` how many bytes are in place already."""
        super().__init__(name=f"copies of {path}", daemon=True)  # no run's end waits for a bucket that hangs
        self._path, self._file, self._size = path, os.dup(file), size
        self._asked, self._answered, self._is_ending, self._is_failing = 0, 0, False, False
        self._change = threading.Condition()
        self.start()

    def run(self) -> None:
        while not self._is_ending:
            with self._change:
                self._change.wait_for(lambda: self._asked > self._answered or self._is_ending, _COPY_SECONDS)
                asked = self._asked
            self._copy()
            with self._change:
                self._answered = asked
                self._change.notify_all()
        os.close(self._file)

    def wait(self) -> None:
        """Until all that the file holds is in its place; not for a bucket that is known to fail."""
        asked = self._ask()
        with self._change:
            if not self._change.wait_for(lambda: self._answered >= asked or self._is_failing, _WAIT_SECONDS):
                self._tell(f"no answer in {_WAIT_SECONDS:.0f} s")

    def end(self) -> None:
        """Copies for the last time."""
        asked = self._ask()
        with self._change:
            self._change.wait_for(lambda: self._answered >= asked, _WAIT_SECONDS)
            if self._size < os.fstat(self._file).st_size:
                log.warning("cannot write %s: what was new in it since the last copy is lost", self._path)
            self._is_ending = True
            self._change.notify_all()

    def _ask(self) -> int:
        with self._change:
            self._asked += 1
            self._change.notify_all()
            return self._asked

    def _copy(self) -> None:
        size = os.fstat(self._file).st_size
        if size <= self._size:
            return
        try:
            write_whole(self._path, os.pread(self._file, size, 0))
        except (OSError, Unreachable) as error:
            self._tell(error)
            return
        self._size = size
        if self._is_failing:
            self._is_failing = False
            log.info("%s is written again, nothing is missing", self._path)

    def _tell(self, error: object) -> None:
        if not self._is_failing:
            self._is_failing = True
            log.warning("cannot write %s (%s): kept on this machine until it can", self._path, error)


def _read(path: epath.Path) -> bytes:
    with bucket_errors(path):
        return path.read_bytes() if path.exists() else b""
