"""What the log says about training sets that are too few, small, gray, or used for validation too."""

import io

import numpy as np
import pytest
from PIL import Image

from colorgan.data import sources
from colorgan.data.check import check_images, is_monochrome, warn_about_gray
from colorgan.data.shards import write_shards

CROP = 64


class Photographs:
    """A source of JPEG files with smooth random colors."""

    def __init__(self, count, size=(100, 80), change=lambda pixels, index: pixels, names="photo_{:04d}.jpg", seed=0):
        self.count, self.size, self.change, self.names, self.seed = count, size, change, names, seed

    def __len__(self):
        return self.count

    def read(self, index):
        rng = np.random.default_rng((self.seed, index))
        smooth = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize(self.size, Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        Image.fromarray(self.change(np.asarray(smooth), index)).save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    def name(self, index):
        return self.names.format(index)


def _gray(pixels, index=0):
    return np.repeat(pixels.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)


def _sepia(pixels, index=0):
    return np.clip(_gray(pixels) * [1.07, 0.95, 0.8] + [10, 0, 0], 0, 255).astype(np.uint8)


def _share_of(share, change):
    return lambda pixels, index: change(pixels) if index % 100 < 100 * share else pixels


OTHERS = Photographs(40, seed=1)


def _check(train, validation=OTHERS):
    return list(check_images(train, validation, CROP))


def test_only_new_networks_are_advised_to_start_trained():
    for is_fine_tuning in (False, True):
        (sentence,) = check_images(Photographs(24), OTHERS, CROP, is_fine_tuning)
        assert ("--config.init_from=shipped" in sentence) != is_fine_tuning


@pytest.mark.parametrize(
    "train",
    [
        Photographs(300),
        Photographs(300, size=(64, 90)),
        sources.open_source("procedural:300", 68, sources.TRAIN_SEED),
    ],
)
def test_a_good_set_has_no_problem(train):
    assert _check(train) == []
    assert _check(train, sources.open_source("procedural:300", 64, sources.VALIDATION_SEED)) == []


@pytest.mark.parametrize(
    ("train", "sentence"),
    [
        (Photographs(24), "few training images (24)"),
        (Photographs(300, size=(63, 90)), "100% of the training images (64 of 64 that were looked at) are smaller"),
        (Photographs(300, size=(90, 63)), "smaller than the crop of 64 pixels (config.image_size)"),
        (Photographs(300, change=_gray), "100% of the training images (64 of 64 that were looked at) are gray"),
        (Photographs(300, change=_share_of(0.5, _gray)), "of the training images"),
        (Photographs(300, change=_sepia), "are gray or of one tint"),
        (
            Photographs(300, seed=1),
            "100% of the validation images (40 of 40 that were looked at) are training",
        ),
        (Photographs(300, names="album/photo_{:04d}.jpg", seed=1), "set --config.data.validation to other images"),
    ],
)
def test_one_sentence_for_each_problem(train, sentence):
    (problem,) = _check(train)
    assert sentence in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    "train",
    [
        Photographs(300, change=_share_of(0.5, _gray), names="{}\n.jpg"),
        Photographs(300, size=(60, 60), names="{}\n.jpg"),
        Photographs(300, names="{}\n.jpg", seed=1),
    ],
    ids=["gray", "small", "shared"],
)
def test_a_sentence_names_the_first_images(train):
    validation = Photographs(300, names="{}\n.jpg", seed=1)
    (problem,) = _check(train, validation)
    assert problem.endswith(r"; such as 0\n.jpg, 4\n.jpg, 9\n.jpg")


def test_gray_validation_photographs_are_reported_once():
    gray = Photographs(40, change=_gray, seed=1)
    (problem,) = _check(Photographs(300), gray)
    assert "100% of the validation images (40 of 40 that were looked at) are gray" in problem
    (problem,) = _check(Photographs(300, change=_gray), gray)
    assert "of the training images" in problem


@pytest.mark.parametrize(("share", "is_reported"), [(0.5, True), (0.1, False)])
def test_gray_photographs_of_an_evaluation(caplog, share, is_reported):
    warn_about_gray(Photographs(100, change=_share_of(share, _gray)))
    sentence = "50% of the evaluation images (32 of 64 that were looked at) are gray or of one tint, and metrics of"
    assert (sentence in caplog.text) == is_reported
    assert caplog.text.count("\n") == is_reported


def test_gray_photographs_of_a_small_set_are_all_looked_at():
    problems = _check(Photographs(24, size=(40, 40), change=_gray))
    assert len(problems) == 3
    assert "100% of the training images (24 of 24" in problems[2]


def test_a_few_gray_photographs_are_no_problem():
    assert _check(Photographs(300, change=_share_of(0.1, _gray))) == []


def test_one_small_image_of_few_is_found():
    class OneSmall(Photographs):
        def read(self, index):
            return Photographs(1, size=(30, 30)).read(0) if index == 7 else super().read(index)

    few, small = _check(OneSmall(60))
    assert "few training images (60)" in few
    assert "2% of the training images (1 of 60 that were looked at) are smaller" in small


def test_other_images_of_the_same_names_are_no_problem():
    """As cameras number them."""
    assert _check(Photographs(300), Photographs(300, seed=2)) == []


def test_the_same_photographs_in_a_folder_and_in_shards(tmp_path):
    photographs = Photographs(300)
    for index in range(300):
        path = tmp_path / "photographs" / f"album_{index % 2}" / photographs.name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photographs.read(index))
    folder = sources.open_source(f"folder:{tmp_path}/photographs", 64)
    write_shards(folder, tmp_path / "shards", num_shards=2, image_size=70)
    shards = sources.open_source(f"array_record:{tmp_path}/shards", 64)
    part = sources.open_source(f"folder:{tmp_path}/photographs/album_1", 64)
    for train, validation in ((folder, folder), (shards, folder), (folder, part)):
        (problem,) = _check(train, validation)
        assert "100% of the validation images" in problem


def test_images_that_cannot_be_read_are_left_to_the_pipeline():
    class Broken(Photographs):
        def read(self, index):
            if index % 2:
                raise OSError("damaged")
            return b"no image"

    assert _check(Broken(300)) == []
    assert _check(Photographs(300, seed=1), Broken(40)) == []


@pytest.mark.parametrize(("change", "expected"), [(_gray, True), (_sepia, True), (lambda pixels: pixels, False)])
def test_monochrome_images(change, expected):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert is_monochrome(change(pixels)) == expected
    assert is_monochrome(np.zeros((64, 64, 3), np.uint8))
