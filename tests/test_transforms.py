"""Decoding to upright RGB, and resizing to a square."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageFile

from colorgan.data import transforms

RED_LEFT = np.zeros((6, 8, 3), np.uint8)
RED_LEFT[:, :4] = (255, 0, 0)
RED_LEFT[:, 4:] = (0, 0, 255)


def _encode(image: Image.Image, image_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _decode(image: Image.Image, image_format: str, **options) -> np.ndarray:
    decoded = transforms.decode_image(_encode(image, image_format, **options))
    assert decoded.mode == "RGB"
    return np.asarray(decoded)


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_formats(image_format):
    options = {"lossless": True} if image_format == "WEBP" else {}
    pixels = _decode(Image.fromarray(RED_LEFT), image_format, **options).astype(int)
    tolerance = 90 if image_format == "JPEG" else 0
    assert np.abs(pixels - RED_LEFT)[:, [0, 7]].max() <= tolerance


def test_palette():
    np.testing.assert_array_equal(_decode(Image.fromarray(RED_LEFT).quantize(4), "PNG"), RED_LEFT)


def test_gray():
    gray = np.arange(48, dtype=np.uint8).reshape(6, 8)
    np.testing.assert_array_equal(_decode(Image.fromarray(gray), "PNG"), np.stack([gray] * 3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_become_white(mode):
    image = Image.new(mode, (4, 4), (10, 20, 30, 0) if mode == "RGBA" else (10, 0))
    assert (_decode(image, "PNG") == 255).all()


def test_half_transparent_pixels_are_blended_with_white():
    assert abs(int(_decode(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")[0, 0, 0]) - 127) <= 1


def test_palette_with_transparency():
    image = Image.fromarray(RED_LEFT).quantize(4)
    red = image.getpixel((0, 0))
    pixels = _decode(image, "PNG", transparency=red)
    assert (pixels[:, :4] == 255).all()
    np.testing.assert_array_equal(pixels[:, 4:], RED_LEFT[:, 4:])


def test_cmyk():
    pixels = _decode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG").astype(int)
    assert np.abs(pixels - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_sixteen_bit_gray_is_scaled_not_clipped(image_format):
    deep = np.array([[0, 256, 32768, 65535]], np.uint16)
    pixels = _decode(Image.fromarray(deep), image_format)
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])


def test_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6  # upright after a rotation by 270 degrees
    pixels = _decode(Image.fromarray(RED_LEFT), "PNG", exif=exif)
    assert pixels.shape == (8, 6, 3)
    assert (pixels[0] == (255, 0, 0)).all()
    assert (pixels[-1] == (0, 0, 255)).all()


@pytest.mark.parametrize("damaged", [b"", b"not an image", None])
def test_incomplete_image_raises(damaged):
    if damaged is None:
        whole = _encode(Image.effect_noise((64, 64), 50), "JPEG")
        damaged = whole[: len(whole) // 2]
    with pytest.raises((OSError, ValueError)):  # the type depends on the decoder
        transforms.decode_image(damaged)


@pytest.mark.parametrize("image_format", ["EPS", "PPM", "PCX", "ICO", "TGA"])
def test_other_formats_are_refused(image_format):
    with pytest.raises(ValueError, match="not an image of a known format"):
        _decode(Image.fromarray(RED_LEFT), image_format)


def test_first_image_of_an_mpo_file_is_read():
    image = Image.fromarray(RED_LEFT)
    assert _decode(image, "MPO", save_all=True, append_images=[image]).shape == (6, 8, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as transforms does for programs
def test_hundred_megapixels_are_decoded_and_nine_hundred_refused(monkeypatch):
    scan = _encode(Image.new("L", (10_000, 10_200)), "JPEG", quality=1)
    assert transforms.decode_image(scan, 64).size == (1250, 1275)
    bomb = bytearray(_encode(Image.new("L", (64, 64)), "BMP"))
    bomb[18:26] = struct.pack("<ii", 30_000, -30_000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decodes the bomb"))
    with pytest.raises(ValueError, match="more than 200 megapixels"):
        transforms.decode_image(bytes(bomb))


def test_integers_beyond_sixteen_bits_are_refused():
    with pytest.raises(ValueError, match="beyond 16 bits"):
        transforms.decode_image(_encode(Image.fromarray(np.full((2, 2), 100_000, np.int32)), "TIFF"))


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="floating-point"):
        transforms.decode_image(_encode(Image.new("F", (4, 4)), "TIFF"))


def test_square_is_the_center_and_is_not_stretched():
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200  # exactly the middle square
    square = transforms.square(Image.fromarray(pixels), 10)
    assert square.shape == (10, 10, 3)
    assert square.dtype == np.uint8
    assert (square[:, 2:-2] == 200).all()
    assert square.min() > 180  # the cubic kernel reaches a pixel beyond the edge
    # A circle stays as wide as high.
    y, x = np.mgrid[:40, :90]
    disc = ((x - 45) ** 2 + (y - 20) ** 2 < 15**2)[..., None] * np.uint8(255) * np.ones(3, np.uint8)
    inside = transforms.square(Image.fromarray(disc), 20)[..., 0] > 127
    assert inside.any(axis=0).sum() == inside.any(axis=1).sum()


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    resized = transforms.square(Image.fromarray(stripes), 8)
    assert np.max(abs(resized.astype(int) - 127)) <= 12


def test_square_of_the_right_size_is_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(transforms.square(Image.fromarray(pixels), 16), pixels)


def test_large_jpegs_are_decoded_at_reduced_size_with_almost_equal_results():
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    photograph = Image.fromarray(noise).resize((800, 600), Image.Resampling.BICUBIC)
    encoded = _encode(photograph, "JPEG", quality=90)
    assert transforms.decode_image(encoded, 64).size == (200, 150)  # 1/4; 1/8 would be below 2 x 64
    assert transforms.decode_image(encoded, 256).size == transforms.decode_image(encoded).size == (800, 600)
    assert transforms.decode_image(_encode(photograph, "PNG"), 64).size == (800, 600)
    expected = transforms.square(transforms.decode_image(encoded), 64).astype(int)
    assert np.abs(transforms.square(transforms.decode_image(encoded, 64), 64) - expected).mean() < 1
