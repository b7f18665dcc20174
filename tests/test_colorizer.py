"""Photographs of any size, bit depth and mode, with any prediction."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT, follow_hints
from PIL import Image, ImageCms

import colorgan
from colorgan import color
from colorgan.errors import UserError
from colorgan.inference import paint
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.guided_upsampling import GuidedChroma
from colorgan.media import photo_file

LUMA = (0.299, 0.587, 0.114)


def _orange(gray):
    """A network that predicts the same orange for any gray."""
    rgb = color.chroma_to_rgb(gray, np.broadcast_to(np.array((-0.3, 0.3), np.float32), (*gray.shape[:3], 2)))
    return np.clip(rgb, -1, 1)


def _noise(shape, dtype=np.uint8, low=0.3, high=0.7):
    most = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(int(low * most), int(high * most), shape, dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(50, 30), (30, 50), (33, 47, 1), (200, 9), (1, 1), (32, 32)])
def test_size_depth_and_luma_are_the_photographs(shape, dtype):
    gray = _noise(shape, dtype)
    colored = Colorizer(_orange, 32)(gray)
    assert colored.shape == (*shape[:2], 3)
    assert colored.dtype == dtype
    np.testing.assert_allclose(colored @ LUMA, gray.reshape(shape[:2]), atol=0.501)
    red, blue = colored[..., 0].astype(int), colored[..., 2].astype(int)
    assert (red - blue > 0.2 * np.iinfo(dtype).max).all()


def test_strips_give_the_same_result_as_the_whole(monkeypatch):
    gray = _noise((301, 97))
    whole = Colorizer(_orange, 32)(gray)
    small = paint.shrink(gray, 32)
    monkeypatch.setattr(paint, "_STRIP_PIXELS", 1000)
    np.testing.assert_allclose(paint.shrink(gray, 32), small, atol=1e-6)
    difference = Colorizer(_orange, 32)(gray).astype(int) - whole
    assert abs(difference).max() <= 1
    assert (difference != 0).mean() < 1e-3  # rounded differently


def test_a_photograph_can_be_overwritten():
    pixels = _noise((40, 30, 3))
    expected = Colorizer(_orange, 32)(pixels)
    rgba = np.dstack([pixels, pixels[..., 0]])
    for whole in (pixels, rgba):
        out = Colorizer(_orange, 32).colorize(whole[..., :3], out=whole[..., :3])
        assert np.shares_memory(out, whole)
        np.testing.assert_array_equal(whole[..., :3], expected)


def test_colors_of_the_input_are_not_used():
    photo = _noise((20, 30, 3), low=0.0, high=1.0)
    gray = np.rint(photo @ LUMA).astype(np.uint8)
    difference = Colorizer(_orange, 32)(photo).astype(int) - Colorizer(_orange, 32)(gray)
    assert abs(difference).max() <= 2


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 4), (4, 4, 3, 1), (0, 4)])
def test_arrays_that_are_no_photographs_are_refused(shape):
    with pytest.raises(ValueError, match=r"a photograph is uint8 or uint16 \[H,W\], .*, not uint8 \["):
        Colorizer(_orange, 32)(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"a photograph is uint8 or uint16 .*, not float64 \[4, 4\]"):
        Colorizer(_orange, 32)(np.zeros((4, 4)))


def test_any_byte_order():
    pixels = _noise((20, 30), np.uint16)
    colored = Colorizer(_orange, 32)(pixels.astype(">u2"))
    assert colored.dtype == np.uint16
    np.testing.assert_array_equal(colored, Colorizer(_orange, 32)(pixels))


def test_other_types_and_values_out_of_range_are_refused():
    colorize = Colorizer(_orange, 32)
    with pytest.raises(TypeError, match="a path, a Pillow image or a NumPy array, not bytes"):
        colorize(b"grandmother.jpg")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="saturation from 0 to 2, not 1.0 and nan"):
        colorize(_noise((4, 4)), saturation=float("nan"))


def test_strength_and_saturation_go_from_gray_to_more_than_predicted():
    gray = _noise((20, 30))
    colorize = Colorizer(_orange, 32)
    np.testing.assert_array_equal(colorize(gray, strength=0.0), np.repeat(gray[..., None], 3, axis=-1))
    np.testing.assert_array_equal(colorize(gray, saturation=0.0), colorize(gray, strength=0.0))
    spread = [np.ptp(colorize(gray, saturation=factor).astype(int), axis=-1).mean() for factor in (0.5, 1, 1.25)]
    assert spread == pytest.approx([0.5 * spread[1], spread[1], 1.25 * spread[1]], rel=0.02)
    half = np.ptp(colorize(gray, strength=0.5).astype(int), axis=-1).mean()
    assert half == pytest.approx(0.5 * spread[1], rel=0.02)


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        *((mode, "RGB") for mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I")),
        *((mode, "RGBA") for mode in ("LA", "La", "PA", "RGBA", "RGBa")),
    ],
)
def test_pillow_images_of_every_mode(mode, result):
    image = Image.new(mode, (30, 20))
    if mode == "RGBA":
        image.putalpha(7)
    colored = Colorizer(_orange, 32)(image)
    assert (colored.mode, colored.size) == (result, (30, 20))
    if mode == "RGBA":
        assert colored.getchannel("A").getextrema() == (7, 7)


def test_a_path_is_read_upright_in_any_format(tmp_path):
    colorize, gray = Colorizer(_orange, 32), _noise((20, 30))
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.fromarray(gray).save(tmp_path / "a.png", exif=exif)
    expected = colorize(np.rot90(gray, -1))
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(np.asarray(colorize(path)), expected)
    assert colorize(ROOT / "tests" / "tiny_photos" / "leica.heic").size == (48, 64)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = np.dstack([_noise((20, 30, 3), np.uint16), np.full((20, 30), 32768, np.uint16)])
    photo_file.write_photo(tmp_path / "b.tif", photo_file.Photo(deep, {"icc_profile": profile}))
    colored = colorize(tmp_path / "b.tif", strength=0.5)
    assert (colored.mode, colored.info["icc_profile"]) == ("RGBA", profile)
    np.testing.assert_allclose(
        np.asarray(colored)[..., :3], colorize(deep[..., :3], strength=0.5) / 257, rtol=0, atol=0.51
    )
    assert colored.getchannel("A").getextrema() == (128, 128)
    with pytest.raises(FileNotFoundError):
        colorize(tmp_path / "nothing.jpg")


def test_sixteen_bit_pillow_images_become_eight_bit():
    gray = _noise((20, 30), np.uint16)
    image = Image.fromarray(gray)
    for transparency in (None, 0):
        image.info = {} if transparency is None else {"transparency": transparency}
        colored = np.asarray(Colorizer(_orange, 32)(image))
        np.testing.assert_allclose(colored @ LUMA, gray / 257, atol=1.01)


def test_the_network_sees_the_whole_photograph_unstretched():
    seen = []

    def predict(gray):
        seen.append(gray)
        return _orange(gray)

    y, x = np.mgrid[:60, :120]
    disc = ((x - 60) ** 2 + (y - 30) ** 2 < 24**2) * np.uint8(255)
    Colorizer(predict, 32)(disc)
    (gray,) = seen
    assert gray.shape == (1, 32, 32, 1)
    assert gray.dtype == np.float32
    middle = gray[0, 8:24, :, 0] > 0  # the photograph; it is mirrored above and below
    assert middle.any(axis=0).sum() == middle.any(axis=1).sum() == 12


def test_the_network_sees_no_luma_out_of_range():
    """Bicubic interpolation goes beyond black and white at edges, where a network of chroma gives arbitrary colors."""
    lines = np.zeros((320, 320), np.uint8)
    lines[:, 100:130] = lines[200:207] = 255
    small = paint.shrink(lines, 32)
    assert (small.min(), small.max()) == (-1, 1)


def test_the_network_sees_images_like_those_of_training():
    """Block means and then bicubic give the same as Pillow for the whole."""
    gray = np.asarray(Image.fromarray(_noise((9, 7), low=0.0, high=1.0)).resize((700, 900), Image.Resampling.BICUBIC))
    whole = np.asarray(Image.fromarray(gray.astype(np.float32)).resize((25, 32), Image.Resampling.BICUBIC))
    whole = np.clip(whole, 0, 255)  # as in 8 bits
    np.testing.assert_allclose((paint.shrink(gray, 32) + 1) * 127.5, whole, atol=1.5)


def test_chroma_edges_are_at_the_edges_of_the_luma():
    y, x = np.mgrid[:256, :256]
    inside = ((x - 120) ** 2 + (y - 140) ** 2 < 80**2)[..., None]
    gray, chroma = np.where(inside, 0.6, -0.4)[..., 0], np.where(inside, (0.2, -0.1), (-0.3, 0.2))

    def reduce(plane):
        return plane.reshape(32, 8, 32, 8, -1).mean(axis=(1, 3)).astype(np.float32)

    small_gray, small_chroma = reduce(gray[..., None]), reduce(chroma)
    guided = GuidedChroma(small_gray[..., 0], small_chroma, (256, 256)).rows(gray.astype(np.float32), 0)
    flat = GuidedChroma(0 * small_gray[..., 0], small_chroma, (256, 256)).rows(0 * gray.astype(np.float32), 0)
    errors = [np.sqrt(((found - chroma) ** 2).mean()) for found in (guided, flat)]
    assert errors[0] < 0.6 * errors[1]


def test_the_package_alone_imports_nothing_heavy():
    code = "import sys, colorgan; assert not {'jax', 'numpy', 'PIL'} & sys.modules.keys(); colorgan.Colorizer"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Colorist'"):
        colorgan.Colorist  # noqa: B018


def test_hints_for_arrays_pillow_images_and_files(tmp_path):
    colorizer, gray = Colorizer(follow_hints, 32, takes_hints=True), _noise((40, 60))
    hints = [colorgan.Hint(15, 10, "#a06050", size=0.1, unit="pixel"), colorgan.Hint(0.75, 0.75, "#5060a0", size=0.1)]
    colored = colorizer(gray, hints=hints)
    np.testing.assert_array_equal(colorizer.colorize(gray, hints=hints), colored)
    brown, blue = colored[10, 15].astype(int), colored[30, 45].astype(int)
    assert brown[0] - brown[2] > 20
    assert blue[2] - blue[0] > 20
    assert np.ptp(colored[36:, :8].astype(int), axis=-1).max() <= 2
    np.testing.assert_allclose(colored @ LUMA, gray, atol=0.501)
    Image.fromarray(gray).save(tmp_path / "a.png")
    rgba = Image.fromarray(np.dstack([gray] * 4))
    for image in (Image.fromarray(gray), tmp_path / "a.png", str(tmp_path / "a.png"), rgba):
        np.testing.assert_array_equal(np.asarray(colorizer(image, hints=hints))[..., :3], colored)
    pale = np.ptp(colorizer(gray, hints=hints, strength=0.5)[10, 15].astype(int))
    assert pale == pytest.approx(np.ptp(brown) / 2, abs=2)
    np.testing.assert_array_equal(colorizer(gray, hints=[]), colorizer(gray))


def test_a_network_without_hints_refuses_them():
    colorizer = Colorizer(_orange, 32)
    assert not colorizer.takes_hints
    with pytest.raises(UserError, match="^this network takes no hints: it was trained without config.model.hints$"):
        colorizer(_noise((20, 30)), hints=[colorgan.Hint(0.5, 0.5, "red")])


def test_photographs_of_threads_with_and_without_hints_are_colored_as_alone():
    colorizer = Colorizer(follow_hints, 32, takes_hints=True)
    photos = [_noise((20 + n, 30)) for n in range(12)]
    given = [[colorgan.Hint(0.5, 0.5, f"hsl({30 * n}, 50%, 50%)", size=0.2)] if n % 2 else [] for n in range(12)]
    expected = [colorizer(photo, hints=hints) for photo, hints in zip(photos, given, strict=True)]
    colorizer.set_batch_size(4)
    with ThreadPoolExecutor(12) as threads:
        results = threads.map(lambda inputs: colorizer(inputs[0], hints=inputs[1]), zip(photos, given, strict=True))
        for result, alone in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, alone)
