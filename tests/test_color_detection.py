"""Color photographs are told from black-and-white, toned and faded ones."""

import io

import numpy as np
import pytest
from PIL import Image

from colorgan.data.synthetic import scenes
from colorgan.inference.color_detection import has_color

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 180, 240
Y, X = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
TEXTURE = Image.fromarray(RNG.integers(10, 245, (12, 16), np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
GRAY = np.asarray(TEXTURE, np.float32)[..., None]  # [H,W,1] in [0,255]


def _as_jpeg(rgb: np.ndarray) -> np.ndarray:
    """After compression, whose noise has colors."""
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(file := io.BytesIO(), "JPEG", quality=60)
    return np.asarray(Image.open(file))


def _stains() -> np.ndarray:
    """Blotches, [H,W,1] in [0,1]."""
    blotches = Image.fromarray(RNG.integers(0, 256, (6, 6), np.uint8)).resize((WIDTH, HEIGHT))
    return np.asarray(blotches, np.float32)[..., None] / 255


ONE_TONE = {
    "gray": np.repeat(GRAY, 3, axis=-1),
    "noise of a color scanner": GRAY + RNG.normal(0, 8, (HEIGHT, WIDTH, 3)),
    "color cast": GRAY * (0.95, 1.0, 1.06),
    "sepia": GRAY * (1.07, 0.95, 0.74),
    "duotone": (40, 20, 10) + np.array((215, 220, 190)) * (GRAY / 255) ** (0.8, 1, 1.2),
    "yellowed at one side": GRAY / 255 * (np.array((235, 215, 170)) + (X[..., None] - 0.5) * (20, 40, 70)) + 10,
    "stained": GRAY / 255 * (np.array((240, 225, 190)) - _stains() * (10, 35, 70)) + 12,
    "faded": 60 + GRAY / 255 * (160, 130, 100) + X[..., None] * (10, 0, -10),
    "a colored date": np.where(((Y > 0.7) & (X > 0.86))[..., None], (240, 120, 20), GRAY),
}


@pytest.mark.parametrize("pixels", ONE_TONE.values(), ids=ONE_TONE)
def test_black_and_white_and_toned_photographs_have_no_color(pixels):
    assert not has_color(_as_jpeg(pixels))
    assert not has_color((np.clip(pixels, 0, 255) * 257).astype(np.uint16))


def test_photographs_with_colors_have_color():
    found = [has_color(_as_jpeg(scenes.create_image(n, 128))) for n in range(24)]
    assert sum(found) >= 22, found  # fog has hardly any color
    two_hues = GRAY * np.where(X[..., None] < 0.5, (1, 0.7, 0.5), (0.5, 0.7, 1))
    assert has_color(_as_jpeg(two_hues))
    assert has_color((two_hues * 257).astype(np.uint16))
    assert has_color(np.where((X < 0.2)[..., None], (200, 40, 40), GRAY).astype(np.uint8))  # a colored object


def test_the_border_of_a_scan_is_not_looked_at():
    scan = np.full((HEIGHT + 60, WIDTH + 60, 3), (20, 30, 160), np.uint8)
    scan[30:-30, 30:-30] = GRAY
    assert not has_color(scan)
    scan[30:-30, 30:-30] = GRAY * np.where(X[..., None] < 0.5, (1, 0.7, 0.5), (0.5, 0.7, 1))
    assert has_color(scan)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 2), (3, 3)])
def test_any_size(shape):
    assert not has_color(np.full(shape, 90, np.uint8))
    assert not has_color(np.full((*shape, 3), 90, np.uint8))
