"""Paths of flags, and files that are replaced atomically."""

import argparse
import os
from pathlib import Path

import pytest

from colorgan.run.storage import parse_local_path, parse_path, whole_file


def test_the_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / f"{'x' * 250}.jpg"  # the longest possible name
    path.write_text("old")
    with whole_file(path) as scratch:
        assert (scratch.parent, scratch.suffix, scratch.name[0]) == (tmp_path, ".jpg", ".")
        scratch.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no more room")])
def test_a_failure_keeps_the_old_file(tmp_path, error):
    def write():
        with whole_file(tmp_path / "x.jpg") as scratch:
            scratch.write_text("half")
            raise error

    (tmp_path / "x.jpg").write_text("old")
    with pytest.raises((KeyboardInterrupt, OSError)):
        write()
    assert (tmp_path / "x.jpg").read_text() == "old"
    assert os.listdir(tmp_path) == ["x.jpg"]


def test_a_file_that_is_never_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "x.jpg"):
        pass


def test_paths_of_flags():
    for parse in (parse_path, parse_local_path):
        assert parse("~/runs/a") == type(parse("a"))(Path.home(), "runs", "a")
    assert str(parse_path("gs://bucket/run")) == "gs://bucket/run"
    with pytest.raises(argparse.ArgumentTypeError, match="gs://bucket/run is not on a disk of this machine"):
        parse_local_path("gs://bucket/run")


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "missing" / "x.png"
    with pytest.raises(FileNotFoundError) as caught, whole_file(path) as scratch:
        open(scratch, "xb").close()
    assert caught.value.filename == str(path)
