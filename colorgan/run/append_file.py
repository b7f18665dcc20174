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
_WAIT_SECONDS = 60.0  # for a bucket that does not answer; its client would wait half an hour


class AppendFile:
    """A file that is appended to. What cannot be written (a full disk) stays in memory for the next attempt.

    A file in a bucket grows on the local disk, and a thread copies it to the bucket every minute. A bucket that fails
    for a while delays nothing, and gets everything afterwards.
    """

    def __init__(self, path: epath.Path, truncate: bool = False) -> None:
        """Appends to the file at `path`, or starts it again. Raises OSError if it cannot be opened."""
        self._path, self._waiting, self._is_reported = path, b"", False
        self._copies: _Copies | None = None
        if is_remote(path):
            existing = b"" if truncate else _read(path)
            write_whole(path, existing)
            self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed in close)
            self._waiting = existing
            self.flush()
            self._copies = _Copies(path, self._file.fileno(), len(existing))
        else:
            self._file = open(path, "wb" if truncate else "ab", buffering=0)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Adds `data`; it is on disk after the next `flush`."""
        self._waiting += data

    def flush(self) -> None:
        """Writes what is pending."""
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._file.fileno(), self._waiting) :]
            self._is_reported = False
        except OSError as error:
            if not self._is_reported:
                self._is_reported = True
                log.warning("cannot write %s (%s): kept in memory until it can be written", self._path, error)

    def sync(self) -> None:
        """Returns when the file is on disk or in its bucket, or when that has failed."""
        self.flush()
        if self._copies:
            self._copies.wait()
        else:
            with contextlib.suppress(OSError):  # a disk that fails raises again at the next write
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Writes what is pending and closes the file."""
        if not self._file.closed:
            self.sync()
            if self._copies:
                self._copies.end()
            self._file.close()


class _Copies(threading.Thread):
    """Copies a growing local file to a bucket: every minute, and when asked."""

    def __init__(self, path: epath.Path, file: int, size: int) -> None:
        """`file` is a descriptor, `size` the number of bytes that are in the bucket already."""
        super().__init__(
            name=f"copies of {path}", daemon=True
        )  # the end of a run does not wait for a bucket that hangs
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
        """Waits until the bucket has the whole file; not for a bucket that is known to fail."""
        asked = self._ask()
        with self._change:
            if not self._change.wait_for(lambda: self._answered >= asked or self._is_failing, _WAIT_SECONDS):
                self._report(f"no answer in {_WAIT_SECONDS:.0f} s")

    def end(self) -> None:
        """Copies for the last time and ends the thread."""
        asked = self._ask()
        with self._change:
            self._change.wait_for(lambda: self._answered >= asked, _WAIT_SECONDS)
            if self._size < os.fstat(self._file).st_size:
                log.warning("cannot write %s: what was added since the last copy is lost", self._path)
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
            self._report(error)
            return
        self._size = size
        if self._is_failing:
            self._is_failing = False
            log.info("%s is written again and complete", self._path)

    def _report(self, error: object) -> None:
        if not self._is_failing:
            self._is_failing = True
            log.warning("cannot write %s (%s): kept on this machine until it can be written", self._path, error)


def _read(path: epath.Path) -> bytes:
    with bucket_errors(path):
        return path.read_bytes() if path.exists() else b""
