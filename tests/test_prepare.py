"""Shards written from every kind of image, what is refused, and file names that are not trusted."""

import argparse
import io
import json
import logging

import numpy as np
import pytest
from PIL import Image

from colorgan import prepare
from colorgan.data import sources
from colorgan.data.shards import write_shards
from colorgan.errors import UserError


def test_images_are_resized_on_request(photographs, tmp_path):
    refused = write_shards(sources.open_source(f"folder:{photographs}", 32), tmp_path / "out", 2, image_size=24)
    assert refused == []
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["images-00000-of-00002.array_record", "images-00001-of-00002.array_record", "shards.json"]
    counts = json.loads((tmp_path / "out" / "shards.json").read_text())
    assert counts == dict.fromkeys(files[:2], 6)
    source = sources.open_source(f"array_record:{tmp_path}/out", 32)
    sizes = {Image.open(io.BytesIO(bytes(source.read(n)))).size for n in range(len(source))}
    assert sizes == {(24, 24)}


def test_synthetic_images_are_stored_without_loss(tmp_path):
    source = sources.open_source("procedural:3", 32)
    write_shards(source, tmp_path / "out", 1)
    records = sources.open_source(f"array_record:{tmp_path}/out", 32)
    for n in range(3):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(bytes(records.read(n))))), source.read(n))


def test_unreadable_images_are_listed(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_text("not an image")
    refused = write_shards(sources.open_source(f"folder:{tmp_path}/in", 32), tmp_path / "out", 1)
    assert capsys.readouterr().err == ""  # no progress bar in a pipe
    assert len(refused) == 1
    assert refused[0].startswith("bad.png: not an image")
    assert (tmp_path / "out" / "refused.txt").read_text() == refused[0] + "\n"
    assert len(sources.open_source(f"array_record:{tmp_path}/out", 32)) == 1


def test_command_lists_refused_images_and_ends_with_a_line_of_json(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_text("not an image")
    flags = {"source": f"folder:{tmp_path}/in", "output": tmp_path / "out", "num_shards": 1, "image_size": None}
    prepare.main(argparse.Namespace(**flags))
    refused, result = capsys.readouterr().out.splitlines()
    assert refused == "refused bad.png: not an image of a known format"
    data = f"array_record:{tmp_path}/out/*.array_record"
    assert json.loads(result) == {"num_records": 1, "num_refused": 1, "data": data}
    assert len(sources.open_source(data, 32)) == 1


def test_results_of_colorize_are_left_out_with_a_line(tmp_path, caplog):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a-colorized.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name)
    flags = {"source": f"folder:{tmp_path}/in", "output": tmp_path / "out", "num_shards": 1, "image_size": None}
    with caplog.at_level(logging.INFO, "colorgan"):
        prepare.main(argparse.Namespace(**flags))
    assert [line for line in caplog.messages if line.endswith("as results that have their original beside them: 1")]
    assert len(sources.open_source(f"array_record:{tmp_path}/out", 32)) == 1


def test_wrong_arguments(tmp_path):
    source = sources.open_source("procedural:3", 32)
    with pytest.raises(UserError, match="from 1 to the number of images, 3"):
        write_shards(source, tmp_path / "out", 4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="not an empty folder"):
        write_shards(source, tmp_path / "full", 1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_text("not an image")
    with pytest.raises(UserError, match="no image can be read, of 1;"):
        write_shards(sources.open_source(f"folder:{tmp_path}/in", 32), tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.incomplete").exists()


class HarmfulNames:
    """A source of images with harmful names."""

    NAMES = (
        "../../up.jpg",
        "/tmp/absolute.jpg",
        "..",
        "line\nbreak.png",
        "latin_\udce9.png",
        "\x1b[31mred.png",
        "\udce9",
    )

    def __len__(self):
        return len(self.NAMES)

    def read(self, index):
        return b"not an image" if index >= 5 else np.zeros((8, 8, 3), np.uint8)

    def name(self, index):
        return self.NAMES[index]


def test_image_names_do_not_become_paths(tmp_path):
    output = tmp_path / "a" / "b" / "shards"
    refused = write_shards(HarmfulNames(), output, num_shards=1)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    names = ("images-00000-of-00001.array_record", "refused.txt", "shards.json")
    assert written == {f"a/b/shards/{name}" for name in names}
    assert (output / "refused.txt").read_text().splitlines() == refused
    assert [line.partition(":")[0] for line in refused] == ["\\x1b[31mred.png", "\\udce9"]
    records = sources.open_source(f"array_record:{output}", 32)
    assert [records.name(n) for n in range(len(records))] == list(HarmfulNames.NAMES[:5])
