import io

import numpy as np
import pytest
from PIL import Image

from colorgan.data import sources
from colorgan.errors import UserError
from colorgan.prepare import prepare


def test_images_are_resized_if_asked(photographs, tmp_path):
    refused = prepare(sources.open_source(f"folder:{photographs}", 32), tmp_path / "out", 2, image_size=24)
    assert refused == []
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["images-00000-of-00002.array_record", "images-00001-of-00002.array_record"]
    source = sources.open_source(f"array_record:{tmp_path}/out", 32)
    sizes = {Image.open(io.BytesIO(source.read(n))).size for n in range(len(source))}
    assert sizes == {(24, 24)}


def test_made_images_are_kept_to_the_bit(tmp_path):
    source = sources.open_source("procedural:3", 32)
    prepare(source, tmp_path / "out", 1)
    records = sources.open_source(f"array_record:{tmp_path}/out", 32)
    for n in range(3):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(records.read(n)))), source.read(n))


def test_what_cannot_be_read_is_listed(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_text("no image")
    refused = prepare(sources.open_source(f"folder:{tmp_path}/in", 32), tmp_path / "out", 1)
    assert len(refused) == 1
    assert refused[0].startswith("bad.png: not an image")
    assert (tmp_path / "out" / "refused.txt").read_text() == refused[0] + "\n"
    assert len(sources.open_source(f"array_record:{tmp_path}/out", 32)) == 1


def test_misuse(tmp_path):
    source = sources.open_source("procedural:3", 32)
    with pytest.raises(UserError, match="from 1 to the number of images, 3"):
        prepare(source, tmp_path / "out", 4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="not an empty folder"):
        prepare(source, tmp_path / "full", 1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_text("no image")
    with pytest.raises(UserError, match="none of the 1 images"):
        prepare(sources.open_source(f"folder:{tmp_path}/in", 32), tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.incomplete").exists()
