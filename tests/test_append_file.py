"""Files that are appended to: nothing is lost when a disk or a bucket fails for a while. A folder mocks the bucket."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from etils import epath

from colorgan.run import append_file, storage
from colorgan.run.append_file import AppendFile
from colorgan.run.storage import bucket_errors, check_bucket, write_whole


class Bucket:
    """A folder whose files are treated as objects of a bucket, which are replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.writes, self.is_asked = epath.Path(folder), 0, False
        self.failure: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self._real = type(self.folder).write_bytes

    def write_bytes(self, path: epath.Path, data: bytes) -> int:
        self.is_asked = not self.answers.is_set()
        self.answers.wait(30)
        if self.failure:
            raise self.failure
        self.writes += 1
        return self._real(path, data)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    bucket = Bucket(tmp_path)
    for module in (append_file, storage):
        monkeypatch.setattr(module, "is_remote", lambda path: True)
    monkeypatch.setattr(type(bucket.folder), "write_bytes", lambda path, data: bucket.write_bytes(path, data))
    monkeypatch.setattr(append_file, "_COPY_SECONDS", 0.02)
    monkeypatch.setattr(append_file, "_WAIT_SECONDS", 5.0)
    yield bucket
    bucket.answers.set()


def soon(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = epath.Path(tmp_path / "log.txt")
    for text in (b"one\n", b"two\n"):
        file = AppendFile(path)
        file.write(text)
        assert not path.read_bytes().endswith(text)
        file.flush()
        assert path.read_bytes().endswith(text)
        file.close()
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"
    AppendFile(path, truncate=True).close()
    assert path.read_bytes() == b""


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        AppendFile(epath.Path(tmp_path / "nowhere" / "log.txt"))


def test_a_full_disk_is_reported_once_and_data_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, room, write = epath.Path(tmp_path / "metrics.jsonl"), 7, os.write

    def write_some(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(28, "No space left on device")
        size = write(descriptor, data[:room])
        room -= size
        return size

    monkeypatch.setattr(append_file.os, "write", write_some)
    file = AppendFile(path)
    for _ in range(3):
        file.write(b"12345")
        file.flush()
        file.sync()
    assert path.read_bytes() == b"1234512"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    room = 100
    file.write(b"6")
    file.flush()
    assert path.read_bytes() == b"123451234512345" + b"6"
    room = 0
    file.write(b"7")
    file.close()
    assert len(caplog.records) == 2  # the disk had space in between


def test_a_file_in_a_bucket_is_copied_as_it_grows(bucket: Bucket) -> None:
    path = bucket.folder / "log.txt"
    path.write_bytes(b"before\n")
    file = AppendFile(path)
    file.write(b"now\n")
    file.flush()
    assert soon(lambda: path.read_bytes() == b"before\nnow\n")
    writes = bucket.writes
    time.sleep(0.1)
    assert bucket.writes == writes  # a file that did not grow is not copied
    file.close()
    file.close()
    file = AppendFile(path, truncate=True)
    assert path.read_bytes() == b""
    file.close()


def test_sync_and_close_return_when_the_bucket_has_everything(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_file, "_COPY_SECONDS", 1000.0)
    path = bucket.folder / "metrics.jsonl"
    file = AppendFile(path)
    file.write(b"1")
    file.flush()
    assert path.read_bytes() == b""
    file.sync()
    assert path.read_bytes() == b"1"
    bucket.answers.clear()
    file.write(b"2")
    other = threading.Thread(target=file.sync)
    other.start()
    assert soon(lambda: bucket.is_asked)
    file.write(b"3")  # while "12" is being copied
    threading.Timer(0.1, bucket.answers.set).start()
    file.sync()
    assert path.read_bytes() == b"123"
    other.join()
    file.write(b"4")
    file.close()
    assert path.read_bytes() == b"1234"
    assert soon(lambda: not any("copies of" in thread.name for thread in threading.enumerate()))


def test_a_bucket_that_fails_for_a_while_gets_everything_afterwards(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "colorgan")
    path = bucket.folder / "metrics.jsonl"
    file = AppendFile(path)
    bucket.failure = RuntimeError("503\nService Unavailable")
    for _ in range(5):
        file.write(b"12345")
        file.sync()
        time.sleep(0.05)
    assert path.read_bytes() == b""
    (message,) = caplog.messages
    assert "metrics.jsonl (the bucket does not answer: 503 Service Unavailable)" in message
    bucket.failure = None
    assert soon(lambda: path.read_bytes() == b"12345" * 5)
    assert soon(lambda: "is written again" in caplog.text)
    file.close()
    assert len(caplog.records) == 2


def test_a_bucket_that_does_not_answer_delays_no_writer(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_file, "_WAIT_SECONDS", 0.2)
    path = bucket.folder / "log.txt"
    file = AppendFile(path)
    bucket.answers.clear()
    file.write(b"1")
    file.sync()
    assert "no answer" in caplog.text
    assert all(thread.daemon for thread in threading.enumerate() if "copies of" in thread.name)
    start = time.monotonic()
    for _ in range(100):
        file.write(b"1")
        file.sync()  # a bucket that is known to fail is not waited for again
    assert time.monotonic() - start < 1
    file.close()
    assert "is lost" in caplog.messages[-1]
    bucket.answers.set()  # the run did not wait, and the thread still has a file to read
    assert soon(lambda: path.read_bytes() == b"1")


def test_a_bucket_that_refuses_is_an_os_error_in_one_line(bucket: Bucket) -> None:
    bucket.failure = RuntimeError("Forbidden: b/o\nyou may not")
    with pytest.raises(OSError, match="^Forbidden: b/o you may not$"):
        AppendFile(bucket.folder / "log.txt")
    with pytest.raises(OSError, match="^Forbidden: b/o you may not$"):
        write_whole(bucket.folder / "config.json", b"{}")


def test_errors_of_a_bucket_and_of_a_disk() -> None:
    remote, local = epath.Path("gs://bucket/run"), epath.Path("/run")
    with pytest.raises(OSError, match=r"pip install 'colorgan\[gcs\]'"), bucket_errors(remote):
        raise ImportError("no module named gcsfs")
    with pytest.raises(FileNotFoundError), bucket_errors(remote):
        raise FileNotFoundError("b/o")
    with pytest.raises(OSError, match="^KeyError$"), bucket_errors(remote):
        raise KeyError
    for error in (ValueError, ImportError, PermissionError):
        with pytest.raises(error), bucket_errors(local):
            raise error


def test_check_bucket_asks_for_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def get_bucket(self, name: str) -> None:
            if name != "mine":
                raise LookupError(f"404 there is no {name}")

    storage: Any = ModuleType("google.cloud.storage")
    storage.Client = Client
    cloud: Any = ModuleType("google.cloud")
    cloud.storage = storage
    monkeypatch.setitem(sys.modules, "google.cloud", cloud)
    check_bucket(epath.Path("/run"))
    check_bucket(epath.Path("gs://mine/runs/1"))
    with pytest.raises(OSError, match="404 there is no other"):
        check_bucket(epath.Path("gs://other/runs/1"))
    with pytest.raises(OSError, match="not in a bucket of Google"):
        check_bucket(epath.Path("s3://mine/runs/1"))
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    with pytest.raises(OSError, match="pip install"):
        check_bucket(epath.Path("gs://mine/runs/1"))


def test_a_file_is_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = epath.Path(tmp_path / "config.json")
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(append_file.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"newer")
    assert path.read_bytes() == b"new"
    AppendFile(path).close()  # a disk that cannot be synchronized does not end the run
    assert path.read_bytes() == b"new"


def test_temporary_errors_are_distinguished_from_permanent_ones() -> None:
    remote = epath.Path("gs://bucket/run")
    with pytest.raises(append_file.Unreachable), bucket_errors(remote):
        raise RuntimeError("503 GET https://storage: Service Unavailable")
    with pytest.raises(OSError, match="403") as refused, bucket_errors(remote):
        raise RuntimeError("403 you may not")
    assert not isinstance(refused.value, append_file.Unreachable)
