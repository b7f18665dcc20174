"""The border of a scan, and levels of a faded photograph."""

import numpy as np
import pytest
from PIL import Image

from colorgan.inference.colorizer import Colorizer
from colorgan.inference.paint import paint, shrink
from colorgan.inference.scan_border import find_photograph

HEIGHT, WIDTH, SIZE = 240, 320, 32


def _photograph(height=HEIGHT, width=WIDTH, seed=0):
    """Something smooth: uint8 [height,width], from 20 to 235."""
    small = np.random.default_rng(seed).integers(20, 236, (6, 8)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def _scan(border, margins=(24, 24, 24, 24), seed=0):
    """The photograph on a `border` of one value or an array, with `margins` top, bottom, left, right."""
    top, bottom, left, right = margins
    scan = np.empty((HEIGHT + top + bottom, WIDTH + left + right), np.uint8)
    scan[:] = border
    scan[top : top + HEIGHT, left : left + WIDTH] = _photograph(seed=seed)
    return scan


def _noise(scale, seed=1):
    return np.random.default_rng(seed).normal(0, scale, (HEIGHT + 48, WIDTH + 48))


def _rebate():
    """Black, with perforations and a number."""
    film = np.full((HEIGHT + 48, WIDTH + 48), 15)
    for left in range(10, WIDTH + 48, 60):
        film[6:14, left : left + 6] = film[-14:-6, left : left + 6] = 250
    return film


@pytest.mark.parametrize(
    "border",
    [
        pytest.param(252, id="white"),
        pytest.param(4, id="black"),
        pytest.param(np.clip(110 + _noise(8), 0, 255), id="album page"),
        pytest.param(_rebate(), id="film"),
    ],
)
def test_a_border_is_found(border):
    scan = _scan(border)
    for pixels in (scan, np.repeat(scan[..., None], 3, axis=-1), scan.astype(np.uint16) * 257):
        assert find_photograph(pixels) == pytest.approx((24, 24 + HEIGHT, 24, 24 + WIDTH), abs=1)


def test_a_deckled_edge():
    scan = _scan(250)
    depths = np.random.default_rng(2).integers(0, 5, WIDTH)
    for column, depth in enumerate(depths):
        scan[24 : 24 + depth, 24 + column] = 250
    box = find_photograph(scan)
    assert box == pytest.approx((26, 24 + HEIGHT, 24, 24 + WIDTH), abs=3)


def test_a_border_on_two_sides():
    assert find_photograph(_scan(0, (30, 30, 0, 0))) == pytest.approx((30, 30 + HEIGHT, 0, WIDTH), abs=1)
    assert find_photograph(_scan(0, (0, 0, 30, 20))) == pytest.approx((0, HEIGHT, 30, 30 + WIDTH), abs=1)


def test_a_white_sky_below_a_white_border():
    """The photograph's edge cannot be seen there: the border is as wide as across."""
    scan = _scan(252)
    for column in range(WIDTH):
        scan[24 : 40 + column // 4, 24 + column] = 252
    assert find_photograph(scan) == pytest.approx((24, 24 + HEIGHT, 24, 24 + WIDTH), abs=1)


def _on_white():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.where((y - 120) ** 2 + (x - 160) ** 2 < 90**2, 60, 255).astype(np.uint8)


def _sky_and_street():
    scene = _photograph().copy()
    scene[:60], scene[-40:] = 200, 190
    return scene


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(_photograph(), id="none"),
        pytest.param(_scan(254, (40, 0, 0, 0)), id="one side, such as a white sky"),
        pytest.param(_sky_and_street(), id="even sky and street"),
        pytest.param(_on_white(), id="a thing on white"),
        pytest.param(np.full((HEIGHT, WIDTH), 128, np.uint8), id="one value"),
        pytest.param(np.eye(8, dtype=np.uint8), id="tiny"),
        pytest.param(_scan(250)[: HEIGHT // 12], id="a strip"),
        pytest.param(np.tri(200, dtype=np.uint8) * 255, id="black and white"),
        pytest.param(np.repeat([[0, 255]], 100, axis=0).repeat(60, axis=1).astype(np.uint8), id="two halves"),
    ],
)
def test_no_border(pixels):
    height, width = pixels.shape
    assert find_photograph(pixels) == (0, height, 0, width)


class _Network:
    """Its colors depend on everything that it sees. `gray` is what it saw last."""

    gray: np.ndarray

    def __call__(self, gray):
        self.gray = gray
        tint = gray.mean(axis=(1, 2, 3), keepdims=True)
        return np.concatenate([gray + 0.4 + tint, gray, gray - 0.4 - tint], axis=-1)


@pytest.fixture
def network():
    return _Network()


@pytest.fixture
def colorizer(network):
    return Colorizer(network, SIZE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_photograph_is_colored_as_without_the_border(colorizer, dtype):
    scale = np.iinfo(dtype).max // 255
    scan, alone = _scan(252).astype(dtype) * scale, _photograph().astype(dtype) * scale
    colored = colorizer(scan)
    inside = colored[24 : 24 + HEIGHT, 24 : 24 + WIDTH]
    np.testing.assert_array_equal(inside, colorizer(alone))
    outside = np.ones(scan.shape, bool)
    outside[24 : 24 + HEIGHT, 24 : 24 + WIDTH] = False
    np.testing.assert_array_equal(colored[outside], np.repeat(scan[outside][:, None], 3, axis=1))
    everything = colorizer(scan, border="color")
    assert np.ptp(everything[outside].astype(int), axis=-1).max() > 5 * scale
    assert (everything[24 : 24 + HEIGHT, 24 : 24 + WIDTH] != inside).any()


def test_a_preview_has_the_same_border(colorizer):
    """As on the page, where one prediction is applied to two sizes."""
    scan = _scan(252)
    prediction = colorizer.predict(scan)
    preview = np.clip((shrink(scan, 184) + 1) * 127.5, 0, 255).astype(np.uint8)
    chroma = np.ptp(paint(preview, prediction).astype(int), axis=-1)
    assert chroma[:11].max() == chroma[:, :11].max() == 0
    assert chroma[13:-13, 13:-13].min() > 0


def test_in_place(colorizer):
    scan = np.repeat(_scan(252)[..., None], 3, axis=-1)
    expected = colorizer(scan)
    assert colorizer.colorize(scan, out=scan) is scan
    np.testing.assert_array_equal(scan, expected)


def test_levels_of_a_faded_photograph(colorizer, network):
    full = _photograph()
    faded = (90 + full / 255 * 60).astype(np.uint8)
    kept = colorizer(faded)
    assert np.ptp(network.gray) < 0.5
    automatic = colorizer(faded, levels="auto")
    assert np.ptp(network.gray) == pytest.approx(2, abs=0.01)
    assert (automatic != kept).any()
    for colored in (kept, automatic):
        luma = colored @ [0.299, 0.587, 0.114]
        assert np.abs(luma - faded)[(colored > 0).all(-1) & (colored < 255).all(-1)].max() < 1.5
    written = colorizer(faded, levels="write")
    for weights in ([-0.5, -0.5, 1], [1, -0.5, -0.5]):  # colors as strong as the square root of the contrast
        strength = np.abs(automatic @ weights).mean() / np.abs(written @ weights).mean()
        assert strength == pytest.approx(np.sqrt(60 / 255), abs=0.05)
    written = written @ [0.299, 0.587, 0.114]
    assert (written.min(), written.max()) == pytest.approx((0, 255), abs=12)


def test_levels_of_one_value_change_nothing(colorizer):
    flat = np.full((HEIGHT, WIDTH), 77, np.uint8)
    np.testing.assert_array_equal(colorizer(flat, levels="write"), colorizer(flat))


@pytest.mark.parametrize("options", [{"border": "none"}, {"levels": "full"}])
def test_wrong_options(colorizer, options):
    with pytest.raises(ValueError, match="border is one of .* and levels one of"):
        colorizer(_photograph(), **options)
