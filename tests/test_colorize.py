"""Photographs of any size, whatever the network predicts."""

import numpy as np
import pytest
from conftest import run_command
from PIL import Image

from colorgan.colorize import colorize_image, find_photographs
from colorgan.errors import UserError


def _orange(gray):
    """Stands in for a network: adds orange to any gray."""
    return np.clip(gray[..., None].astype(int) + (60, 10, -60), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(50, 30), (30, 50), (33, 47), (200, 9), (1, 1), (32, 32)])
def test_size_and_luma_are_the_photographs(size):
    noise = np.random.default_rng(0).integers(80, 170, (size[1], size[0]), np.uint8)
    photo = Image.fromarray(noise).convert("RGB")
    colored = colorize_image(photo, _orange, 32)
    assert colored.size == size
    pixels = np.asarray(colored).astype(float)
    np.testing.assert_allclose(pixels @ (0.299, 0.587, 0.114), noise, atol=2)
    assert (pixels[..., 0] > pixels[..., 2] + 60).all()


def test_colours_of_the_input_are_not_looked_at():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    gray = photo.convert("YCbCr").getchannel(0).convert("RGB")
    difference = np.asarray(colorize_image(photo, _orange, 32), int) - np.asarray(colorize_image(gray, _orange, 32))
    assert abs(difference).max() <= 2


def test_the_network_sees_the_whole_photograph_unstretched():
    seen = []

    def color_fn(gray):
        seen.append(gray)
        return _orange(gray)

    y, x = np.mgrid[:60, :120]
    disc = ((x - 60) ** 2 + (y - 30) ** 2 < 24**2) * np.uint8(255)
    colorize_image(Image.fromarray(disc).convert("RGB"), color_fn, 32)
    (gray,) = seen
    assert gray.shape == (32, 32)
    middle = gray[8:24] > 127  # the photograph; above and below it is mirrored
    assert middle.any(axis=0).sum() == middle.any(axis=1).sum() == 12


def test_folders_keep_their_structure(photographs):
    found = list(find_photographs([photographs, photographs / "class_0" / "image_00.jpg"]))
    assert len(found) == 13
    assert str(found[0][1]) == "class_0/image_00.jpg"
    assert str(found[-1][1]) == "image_00.jpg"


def test_missing_input_is_said(tmp_path):
    with pytest.raises(UserError, match="there is no file or folder"):
        list(find_photographs([tmp_path / "nothing"]))
    with pytest.raises(UserError, match="holds no images"):
        list(find_photographs([tmp_path]))


def test_a_link_in_the_output_folder_is_not_followed_out_of_it(finished_run, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8), "gray").save(tmp_path / "in" / "x.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").symlink_to(tmp_path / "elsewhere.png")
    arguments = (f"--workdir={finished_run}", f"--output={tmp_path / 'out'}", "--overwrite", str(tmp_path / "in"))
    done = run_command("colorgan.colorize", *arguments, check=False)
    assert done.returncode == 1
    assert "a link that leads out of the output folder" in done.stderr
    assert not (tmp_path / "elsewhere.png").exists()
