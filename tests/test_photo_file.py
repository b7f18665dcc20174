"""Photographs are read from files as they were written, with their metadata."""

import io
import os
import struct
import unittest.mock
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin

from colorgan.media.photo_file import Photo, read_photo, write_photo
from colorgan.run import storage

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7, 4), np.uint16)
ORIENTATION, MAKE = 274, 271
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6">Café</a></x:xmpmeta>'
XMP_UPRIGHT = XMP.replace('tiff:Orientation="6"', "")


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Leica"
    return exif.tobytes()


def _written(path, samples, **metadata) -> Photo:
    write_photo(path, Photo(samples, metadata))
    return read_photo(path)


@pytest.mark.parametrize("pixels", [RGB, RGB[..., 0]], ids=["rgb", "gray"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".bmp", ".webp"])
def test_lossless_formats_keep_pixels(tmp_path, suffix, pixels):
    photo = _written(tmp_path / f"photo{suffix}", pixels, lossless=True)
    expected = np.stack([pixels] * 3, -1) if suffix == ".webp" and pixels.ndim == 2 else pixels
    np.testing.assert_array_equal(photo.pixels, expected, strict=True)
    assert photo.alpha is None
    photo.pixels[:] = 0  # raises where they are read-only


def test_jpeg_has_full_color_resolution_and_gray_one_byte_per_pixel(tmp_path):
    smooth = np.asarray(Image.fromarray(RGB).resize((50, 40), Image.Resampling.BICUBIC))
    photo = _written(tmp_path / "photo.jpg", smooth)
    assert np.abs(photo.pixels.astype(int) - smooth).max() < 12
    with Image.open(tmp_path / "photo.jpg") as written:
        assert JpegImagePlugin.get_sampling(written) == 0
    assert _written(tmp_path / "photo.jpeg", smooth[..., 0]).pixels.shape == (40, 50)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(tmp_path, orientation):
    Image.fromarray(RGB).save(tmp_path / "photo.png", exif=_exif(orientation))
    with Image.open(tmp_path / "photo.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    tags = [(ORIENTATION, 3, 1, orientation, True)]
    for dtype in (np.uint8, np.uint16):
        pixels = RGB.astype(dtype)
        tifffile.imwrite(tmp_path / "photo.tif", pixels, photometric="rgb", extratags=tags)
        write_photo(tmp_path / "photo.png", Photo(pixels, {"exif": _exif(orientation)}))
        for suffix in (".png", ".tif"):
            photo = read_photo(tmp_path / f"photo{suffix}")
            np.testing.assert_array_equal(photo.pixels, expected.astype(dtype), strict=True)
            again = _written(tmp_path / f"again{suffix}", photo.samples, **photo.metadata)
            np.testing.assert_array_equal(again.pixels, expected.astype(dtype), strict=True)


def test_captions_are_kept(tmp_path):
    iptc = b"\x1c\x02\x78\0\7caption"
    resources = b"Photoshop 3.0\0" + struct.pack(">4sHHL", b"8BIM", 0x0404, 0, len(iptc)) + iptc
    segment = struct.pack(">HH", 0xFFED, len(resources) + 2) + resources
    Image.fromarray(RGB).save(tmp_path / "photo.jpg", comment=b"a comment", extra=segment)
    write_photo(tmp_path / "photo.jpg", read_photo(tmp_path / "photo.jpg"))
    with Image.open(tmp_path / "photo.jpg") as written:
        assert written.info["comment"] == b"a comment"
        assert written.info["photoshop"][0x0404] == iptc


@pytest.mark.parametrize("pixels", [RGB, RGB.astype(np.uint16)], ids=["8 bit", "16 bit"])
def test_texts_of_a_png_are_kept(tmp_path, pixels):
    path = tmp_path / "photo.png"
    write_photo(path, Photo(pixels, {"text": {"Title": "Café"}, "xmp": XMP.encode()}))
    chunk = b"tEXtAuthor\0somebody"
    chunk = struct.pack(">L", len(chunk) - 4) + chunk + struct.pack(">L", zlib.crc32(chunk))
    path.write_bytes(path.read_bytes()[:-12] + chunk + path.read_bytes()[-12:])  # behind the pixels, as others do
    photo = read_photo(path)
    assert photo.pixels.shape == (7, 5, 3)  # the XMP says that it lies
    metadata = _written(path, pixels, **photo.metadata).metadata
    assert metadata["text"] == {"Title": "Café", "Author": "somebody"}
    assert metadata["xmp"].decode() == XMP_UPRIGHT


def test_profiles_of_gray_are_left_out(tmp_path):
    gray_profile = SRGB[:16] + b"GRAY" + SRGB[20:]
    Image.fromarray(RGB[..., 0]).save(tmp_path / "photo.png", icc_profile=gray_profile)
    assert "icc_profile" not in read_photo(tmp_path / "photo.png").metadata
    assert "icc_profile" not in _written(tmp_path / "photo.png", RGB[..., 0], icc_profile=SRGB).metadata


def _black_ink_profile() -> bytes:
    """An ICC profile of a press whose colored inks are invisible."""
    ramp = bytes(range(256))
    table = struct.pack(">4s4xBBBx9i", b"mft1", 4, 3, 2, *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536])
    table += ramp * 4 + bytes([255, 128, 128, 0, 128, 128]) * 8 + ramp * 3
    tags = struct.pack(">L4sLL", 1, b"A2B0", 144, len(table))
    head = struct.pack(">L4sL4s4s4s12x4s28x", 144 + len(table), b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    return head + struct.pack(">3i48x", 63190, 65536, 54061) + tags + table


@pytest.mark.parametrize(
    ("profile", "color"), [(None, (255, 0, 0)), (b"damaged", (255, 0, 0)), (_black_ink_profile(), (255, 255, 255))]
)
def test_cmyk(tmp_path, profile, color):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "photo.jpg", icc_profile=profile)
    photo = read_photo(tmp_path / "photo.jpg")
    assert np.abs(photo.pixels.astype(int) - color).max() <= 3
    assert "icc_profile" not in photo.metadata


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (4, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "photo.png", transparency=1)
    photo = read_photo(tmp_path / "photo.png")
    assert (photo.pixels[0, 1].tolist(), np.asarray(photo.alpha)[0, :2].tolist()) == ([255, 0, 0], [0, 255])


def test_pairs_of_images_of_phones_become_one_jpeg(tmp_path):
    path, image = tmp_path / "photo.jpg", Image.fromarray(RGB)
    image.save(path, "MPO", save_all=True, append_images=[image], xmp=XMP.encode(), exif=_exif(6))
    photo = read_photo(path)
    assert (photo.pixels.shape, "xmp" in photo.metadata) == ((7, 5, 3), False)
    write_photo(path, photo)
    with Image.open(path) as written:
        assert (written.format, written.getexif()[MAKE]) == ("JPEG", "Leica")


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
def test_further_pages_are_reported(tmp_path, suffix, caplog):
    path = tmp_path / f"album{suffix}"
    Image.new("L", (8, 8), 90).save(path)
    read_photo(path)
    assert not caplog.messages
    pages = [Image.new("L", (8, 8), level) for level in (120, 200)]
    Image.new("L", (8, 8), 90).save(path, save_all=True, append_images=pages)
    assert (read_photo(path).pixels == 90).all()
    assert caplog.messages == [f"{path} holds 3 pages or frames: only the first is read"]


def test_webp_stays_lossless_or_lossy(tmp_path):
    transparent = np.dstack([RGB, np.zeros_like(RGB[..., 0])])
    for lossless in (False, True):
        photo = _written(tmp_path / "photo.webp", transparent, icc_profile=SRGB, lossless=lossless)
        assert photo.metadata["lossless"] == lossless
    np.testing.assert_array_equal(photo.pixels, RGB)  # also where it is transparent


def test_what_a_format_cannot_hold(tmp_path):
    deep = np.array([[0, 128, 129, 32768, 65535]], np.uint16)
    assert _written(tmp_path / "photo.bmp", deep).pixels.tolist() == [[0, 0, 1, 128, 255]]
    for name in ("photo.bmp", "photo.jpg"):
        photo = _written(tmp_path / name, np.full((8, 8, 4), (0, 0, 0, 55), np.uint8))
        assert photo.pixels.shape == (8, 8, 3)
        assert np.abs(photo.pixels.astype(int) - 200).max() <= 2
    with pytest.raises(ValueError, match="is not the suffix of a format"):
        write_photo(tmp_path / "photo.gif", Photo(RGB))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(b"what was there")
    failure = unittest.mock.Mock(side_effect=OSError("No space left"))
    monkeypatch.setattr(storage.os, "fsync", failure)
    with pytest.raises(OSError, match="No space left"):
        write_photo(path, Photo(DEEP[..., :3]))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"what was there"


def _encoded(image: Image.Image, image_format: str) -> bytes:
    image.save(file := io.BytesIO(), image_format)
    return file.getvalue()


BMP = _encoded(Image.new("L", (8, 8)), "BMP")
RUN_LENGTH_BMP = BMP[:30] + b"\1" + BMP[31:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (RUN_LENGTH_BMP, "run-length"),
        (b"no image", "not an image of a known format"),
        (_encoded(Image.new("F", (4, 4), float("nan")), "TIFF"), "floating-point"),
        (_encoded(Image.fromarray(np.full((2, 2), 100_000, np.int32)), "TIFF"), "beyond 16 bits"),
        (None, "not a regular file"),
    ],
)
def test_refused(tmp_path, data, reason):
    path = tmp_path / "photo.tif"
    path.write_bytes(data) if data else os.mkfifo(path)
    with pytest.raises((ValueError, OSError), match=reason):
        read_photo(path)
