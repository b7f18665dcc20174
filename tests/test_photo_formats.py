"""Photographs in every format that cameras, phones, scanners and archives write, from their files and back."""

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import ROOT
from PIL import Image, ImageCms, PngImagePlugin

from colorgan.data import transforms
from colorgan.data.folder import IMAGE_SUFFIXES, FolderSource
from colorgan.media import jpeg2000
from colorgan.media.photo_file import Photo, read_photo, suffix_of_result, write_photo

ORIENTATION, MAKE = 274, 271
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
Y, X = np.mgrid[:48, :64]
GRAY = np.clip(40 + 2 * X + (Y > 24) * 40, 0, 255).astype(np.uint8)
RGB = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], -1)
# GRAY as RGB, with SRGB, the orientation 6 and the make "Leica": pillow-heif 1.8.1, save(..., quality=90, exif=...,
# icc_profile=...). The library that colorgan uses cannot write HEIC.
HEIC = (ROOT / "tests" / "tiny_photos" / "leica.heic").read_bytes()


def _exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Leica"
    return exif.tobytes()


def _encoded(pixels: np.ndarray, image_format: str, **options) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), image_format, **options)
    return file.getvalue()


def _read(path: Path, data: bytes | bytearray) -> Photo:
    path.write_bytes(data)
    return read_photo(path)


@pytest.mark.parametrize("suffix", [".heic", ".HIF", ".jpg"])
def test_heic_is_read_upright_with_its_metadata_and_written_as_jpeg(tmp_path, suffix):
    photo = _read(tmp_path / f"photo{suffix}", HEIC)
    assert np.abs(photo.pixels.astype(int) - np.rot90(GRAY, -1)[..., None]).max() < 12
    write_photo(tmp_path / f"colored{suffix_of_result(suffix)}", photo)
    with Image.open(tmp_path / "colored.jpg") as written:
        assert (written.format, written.getexif()[MAKE]) == ("JPEG", "Leica")
        assert ORIENTATION not in written.getexif()
        assert written.info["icc_profile"] == photo.metadata["icc_profile"]


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".JPG", ".Jfif"])
def test_every_suffix_has_a_format_to_write_and_any_content(tmp_path, suffix):
    photo = _read(tmp_path / f"photo{suffix}", _encoded(RGB, "JPEG", quality=95, subsampling=0))
    result = tmp_path / f"result{suffix_of_result(suffix)}"
    write_photo(result, photo)
    assert np.abs(read_photo(result).pixels.astype(int) - RGB).max() < 16


def test_formats_that_cannot_be_written_become_the_nearest():
    changed = {suffix: suffix_of_result(suffix) for suffix in IMAGE_SUFFIXES if suffix_of_result(suffix) != suffix}
    assert changed == {
        **dict.fromkeys((".heic", ".heif", ".hif", ".mpo"), ".jpg"),
        **dict.fromkeys((".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), ".jp2"),
        ".gif": ".png",
    }
    assert suffix_of_result(".HEIC") == ".jpg"
    assert suffix_of_result(".JPE") == ".JPE"


@pytest.mark.parametrize("transparent", [False, True])
def test_avif_is_kept(tmp_path, transparent):
    samples = np.dstack([RGB, GRAY]) if transparent else RGB
    data = _encoded(samples, "AVIF", quality=95, subsampling="4:4:4", exif=_exif(), icc_profile=SRGB, xmp=XMP)
    photo = _read(tmp_path / "photo.avif", data)
    for _ in range(2):
        assert np.abs(photo.samples.astype(int) - np.rot90(samples, -1)).max() < 16
        assert (photo.metadata["icc_profile"], photo.metadata["xmp"]) == (SRGB, XMP)
        write_photo(tmp_path / "again.avif", photo)
        photo = read_photo(tmp_path / "again.avif")
    with Image.open(tmp_path / "again.avif") as written:
        assert (written.format, dict(written.getexif())) == ("AVIF", {MAKE: "Leica"})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [[0], [0, 3], [0, 1, 2], [0, 1, 2, 3]], ids=["gray", "gray+alpha", "rgb", "rgba"])
def test_jpeg_2000_keeps_every_bit_and_metadata(tmp_path, dtype, channels):
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 50, 4)).astype(dtype)
    samples = samples[..., channels].squeeze()
    metadata = {"exif": b"Exif\0\0" + b"MM\0*" + _exif()[10:], "xmp": XMP, "icc_profile": SRGB}
    write_photo(tmp_path / "photo.jp2", Photo(samples, metadata))
    photo = read_photo(tmp_path / "photo.jp2")
    expected = np.rot90(samples, -1)
    np.testing.assert_array_equal(photo.samples, expected, strict=True)
    assert photo.metadata["xmp"] == XMP
    assert ("icc_profile" in photo.metadata) == (len(channels) > 2)
    write_photo(tmp_path / "photo.jp2", photo)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.jp2").samples, expected, strict=True)


def test_jpeg_2000_of_other_programs(tmp_path):
    twelve = (GRAY.astype(np.uint16) << 4) | (GRAY >> 4)
    for pixels, expected in ((twelve, twelve), (np.dstack([twelve, twelve[::-1], twelve]), None)):
        photo = _read(tmp_path / "a.jp2", imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, bitspersample=12))
        assert np.abs(photo.pixels / 65535 - pixels / 4095).max() < 1 / 4000
        assert expected is None or photo.pixels.ndim == 2
    codestream = imagecodecs.jpeg2k_encode(RGB, level=0, reversible=True, codecformat="j2k")
    np.testing.assert_array_equal(_read(tmp_path / "a.j2k", codestream).pixels, RGB)
    lossy = _encoded(RGB, "JPEG2000", quality_mode="rates", quality_layers=[8], irreversible=True)
    assert np.abs(_read(tmp_path / "a.jp2", lossy).pixels.astype(int) - RGB).mean() < 8
    with pytest.raises(Exception):  # noqa: B017, PT011 - of many types
        _read(tmp_path / "a.jp2", lossy[:100])


def test_a_gif_is_read_exactly_with_its_transparency_and_comment(tmp_path):
    photo = _read(tmp_path / "photo.gif", _encoded(GRAY, "GIF", comment=b"1931"))
    np.testing.assert_array_equal(photo.pixels.reshape(48, 64, -1)[..., 0], GRAY)
    write_photo(tmp_path / "photo.png", photo)
    with Image.open(tmp_path / "photo.png") as written:
        assert written.info["Comment"] == "1931"
    photo = _read(tmp_path / "photo.jpg", _encoded(GRAY, "GIF", comment=b"1931 " * 20_000))
    write_photo(tmp_path / "photo.jpg", photo)  # too long for a JPEG
    assert "comment" not in read_photo(tmp_path / "photo.jpg").metadata
    photo = _read(tmp_path / "photo.gif", _encoded(GRAY, "GIF", transparency=int(GRAY[0, 0])))
    np.testing.assert_array_equal(np.asarray(photo.alpha) == 0, np.equal(GRAY, GRAY[0, 0]))


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb", "separated"])
@pytest.mark.parametrize(
    "extrasamples",
    [["unspecified"], ["unassalpha"], ["assocalpha"], ["unspecified", "unassalpha"], ["assocalpha", "unspecified"]],
    ids="+".join,
)
def test_tiff_with_extra_channels(tmp_path, photometric, extrasamples, dtype, planarconfig):
    num_colors = {"minisblack": 1, "rgb": 3, "separated": 4}[photometric]
    most = np.iinfo(dtype).max
    stored = np.empty((64, 64, num_colors + len(extrasamples)), dtype)
    stored[..., :num_colors] = most // 5 * np.arange(1, num_colors + 1)
    for n, kind in enumerate(extrasamples, num_colors):
        stored[..., n] = most // 7 if kind == "unspecified" else most - most // 10  # infrared, for example
    options: dict[str, Any] = {"photometric": photometric, "planarconfig": planarconfig, "extrasamples": extrasamples}
    tifffile.imwrite(tmp_path / "a.tif", stored if planarconfig == "contig" else np.moveaxis(stored, -1, 0), **options)
    photo = read_photo(tmp_path / "a.tif")
    colors = stored[0, 0, :num_colors] / most
    if "assocalpha" in extrasamples:
        colors = colors / 0.9
    if photometric == "separated":
        colors = (1 - np.minimum(colors[:3], 1)) * (1 - min(colors[3], 1))
    most = np.iinfo(photo.samples.dtype).max
    assert photo.pixels.shape == ((64, 64) if num_colors == 1 else (64, 64, 3))
    np.testing.assert_allclose(photo.pixels[5, 5] / most, np.minimum(colors, 1).squeeze(), atol=0.006)
    assert photo.samples.dtype == dtype or photometric == "separated"
    has_alpha = extrasamples != ["unspecified"]
    assert (photo.alpha is not None) == has_alpha
    if has_alpha:
        np.testing.assert_allclose(np.asarray(photo.alpha) / most, 0.9, atol=0.006)


@pytest.mark.parametrize(
    ("values", "black", "white"),
    [([0.1, 0.9], 0, 1), ([3, 240], 0, 255), ([9, 60_000], 0, 65535), ([0, 3.5], 0, 3.5), ([-2, 6], -2, 6)],
)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floating_point_tiff_by_its_range(tmp_path, caplog, dtype, values, black, white):
    path = tmp_path / "a.tif"
    values = np.array(values, dtype).astype(float)
    for num_channels in (1, 3, 4):
        pixels = np.resize(np.array(values, dtype), (600, 4))
        pixels[5, 1] = np.nan
        extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if num_channels == 4 else {}
        stored = np.dstack([pixels] * num_channels).squeeze() if num_channels > 1 else pixels
        if num_channels == 4:
            stored[..., 3] = 0.5
        tifffile.imwrite(path, stored, photometric="minisblack" if num_channels == 1 else "rgb", **extra)
        photo = read_photo(path)
        assert photo.samples.dtype == np.uint16
        read = photo.pixels[599] if num_channels == 1 else photo.pixels[599, :, 1]
        np.testing.assert_allclose(read[:2] / 65535, (values - black) / (white - black), atol=1e-4)
        assert np.all(photo.pixels[5, 1] == 0)
        assert num_channels < 4 or np.all(np.asarray(photo.alpha) == 32768)
    assert f"{path} has floating-point values: {black:g} becomes black and {white:g} white" in caplog.messages


def test_tiff_of_twelve_bits_is_as_bright(tmp_path):
    twelve = (GRAY.astype(np.uint16) << 4) | (GRAY >> 4)
    packed = _pack_twelve(twelve)
    entries = {256: 64, 257: 48, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 48, 279: len(packed)}
    at = 8 + len(packed)
    entries[273] = 8
    head = struct.pack("<2sHL", b"II", 42, at)
    tags = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    photo = _read(tmp_path / "a.tif", head + packed + struct.pack("<H", len(entries)) + tags + bytes(4))
    assert np.abs(photo.pixels / 65535 - twelve / 4095).max() < 1e-4


def _pack_twelve(values: np.ndarray) -> bytes:
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    return np.packbits(bits).tobytes()


def test_lab_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 8, 3), (128, 0, 0), np.uint8), photometric="cielab")
    assert np.abs(read_photo(tmp_path / "a.tif").pixels.astype(int) - 119).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tags_of_bigtiff_are_kept(tmp_path, dtype, byteorder):
    tags = [
        (MAKE, 2, 6, "Leica\0", True),
        (315, 2, 26, "somebody with a long name\0", True),
        (ORIENTATION, 3, 1, 6, True),
    ]
    tags.append((65000, 16, 2, (7, 8), True))  # integers of 64 bits, which TIFF does not have
    options: dict[str, Any] = {"bigtiff": True, "byteorder": byteorder, "extratags": tags, "resolution": (300, 300)}
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(dtype), photometric="rgb", iccprofile=SRGB, **options)
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, np.rot90(RGB, -1).astype(dtype), strict=True)
    for suffix in (".tif", ".jpg"):
        write_photo(tmp_path / f"b{suffix}", photo)
        with Image.open(tmp_path / f"b{suffix}") as written:
            exif = written.getexif()
            assert (exif[MAKE], exif[315], exif[65000]) == ("Leica", "somebody with a long name", (7, 8))
            assert ORIENTATION not in exif
            assert written.info["icc_profile"] == SRGB
            assert written.info["dpi"] == pytest.approx((300, 300))


def test_metadata_of_a_tiff_that_pillow_does_not_open_is_kept(tmp_path, caplog):
    tags = [(MAKE, 2, 6, "Leica\0", True), (ORIENTATION, 3, 1, 6, True), (700, 1, len(XMP), XMP, True)]
    options: dict[str, Any] = {
        "photometric": "rgb",
        "extrasamples": ["unspecified"] * 2,
        "extratags": tags,
        "iccprofile": SRGB,
    }
    stored = np.dstack([RGB, GRAY, GRAY]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, resolution=(100, 100), resolutionunit="CENTIMETER", **options)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, append=True)
    photo = read_photo(tmp_path / "a.tif")
    assert caplog.messages == [f"{tmp_path / 'a.tif'} holds 2 pages or frames: only the first is read"]
    np.testing.assert_array_equal(photo.pixels, np.rot90(RGB, -1))
    assert (photo.metadata["xmp"], photo.metadata["icc_profile"]) == (XMP, SRGB)
    assert photo.metadata["dpi"] == pytest.approx((254, 254))
    assert b"Leica" in photo.metadata["exif"]


@pytest.mark.parametrize(
    ("stored", "options", "reason"),
    [
        (np.zeros((4, 4, 3), np.uint32), {"photometric": "rgb"}, "beyond 16 bits"),
        (np.zeros((4, 4, 3), np.int16), {"photometric": "rgb"}, "signed"),
        (np.zeros((16, 16, 3), np.uint16), {"photometric": "cielab"}, "color space 8 is not supported"),
    ],
)
def test_tiff_that_is_refused_in_one_sentence(tmp_path, stored, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    with pytest.raises(ValueError, match=reason):
        read_photo(tmp_path / "a.tif")


def test_a_floating_point_tiff_that_needs_too_much_memory_is_refused(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.float64), photometric="rgb", compression="lzw")
    monkeypatch.setattr("colorgan.media.png_tiff._MAX_TIFF_BYTES", 10**4)
    with pytest.raises(ValueError, match="GB of pixels: save it with 16 bits"):
        read_photo(tmp_path / "a.tif")


def _text(kind: str, num_bytes: int) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Café")
    if kind == "itxt":
        texts.add_itxt("workflow", "x" * num_bytes, zip=True)
    else:
        texts.add_text("workflow", "x" * num_bytes, zip=kind == "ztxt")
    return texts


@pytest.mark.parametrize(("kind", "num_bytes"), [("ztxt", 2_000_000), ("itxt", 2_000_000), ("text", 70_000_000)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_large_texts_of_a_png_are_left_out(tmp_path, caplog, kind, num_bytes, dtype):
    data = _encoded(GRAY.astype(dtype), "PNG", pnginfo=_text(kind, num_bytes))
    behind = data.index(b"IDAT") - 4
    begin = data.index(b"workflow\0") - 8
    end = begin + 12 + struct.unpack_from(">L", data, begin)[0]
    moved = data[:begin] + data[end:-12] + data[begin:end] + data[-12:]
    for variant in (data, moved):  # before and behind the pixels
        assert end <= behind
        caplog.clear()
        photo = _read(tmp_path / "a.png", variant)
        np.testing.assert_array_equal(photo.pixels, GRAY.astype(dtype), strict=True)
        assert photo.metadata["text"] == {"Title": "Café"}
        assert caplog.messages == [f"{tmp_path / 'a.png'}: its text 'workflow' is left out, since it is too large"]
        assert transforms.decode_image(variant).size == (64, 48)  # in training too


def test_a_large_profile_of_a_png_is_left_out(tmp_path, caplog):
    photo = _read(tmp_path / "a.png", _encoded(RGB, "PNG", icc_profile=SRGB + bytes(2_000_000)))
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert "left out" in caplog.text


def _restart_markers(data: bytearray) -> list[int]:
    start = data.index(b"\xff\xda")
    return [n for n in range(start, len(data) - 1) if data[n] == 0xFF and 0xD0 <= data[n + 1] <= 0xD7]


@pytest.mark.parametrize("damage", ["garbage", "no end", "number", "missing", "zeroed", "segment"])
def test_jpeg_with_garbage_or_wrong_restart_markers_is_read(tmp_path, damage):
    smooth = np.full((128, 64), 120, np.uint8) + Y[:1, :1].astype(np.uint8)
    data = bytearray(_encoded(smooth, "JPEG", restart_marker_rows=1))
    at = _restart_markers(data)
    if damage == "garbage":
        data += bytes(1000) + b"\xff\xd8\xff\xe0 a second picture"
    elif damage == "no end":
        data[-2:] = b"text of a broken program" * 40
    elif damage == "number":
        data[at[2] + 1] = 0xD0 + (data[at[2] + 1] + 3) % 8
    elif damage == "missing":
        del data[at[2] : at[2] + 2]
    elif damage == "zeroed":
        data[at[2] : at[2] + 2] = b"\0\0"
    else:
        del data[at[2] + 2 : at[3]]
    pixels = _read(tmp_path / "a.jpg", bytes(data)).pixels
    assert pixels.shape == (128, 64)
    assert np.median(np.abs(pixels.astype(int) - smooth)) <= 2


def _gray_profile(gamma: float | None) -> bytes:
    """An ICC profile of gray with a gamma, or with the curve of sRGB."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    if gamma:
        curve = b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256)) + bytes(2)
    else:
        parameters = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para\0\0\0\0" + struct.pack(">H2x5i", 3, *(round(65536 * value) for value in parameters))
    tags = (
        struct.pack(">L", 2) + struct.pack(">4sLL", b"wtpt", 156, 20) + struct.pack(">4sLL", b"kTRC", 176, len(curve))
    )
    size = 156 + len(white) + len(curve)
    head = struct.pack(">L4sL4s4s4s12x4s28x", size, b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    return head + struct.pack(">3i48x", 63190, 65536, 54061) + tags + white + curve


def _linear(values: np.ndarray) -> np.ndarray:
    """The light of sRGB values, both in [0,1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize(
    ("suffix", "image_format", "dtype"),
    [
        (".jpg", "JPEG", np.uint8),
        (".png", "PNG", np.uint8),
        (".png", "PNG", np.uint16),
        (".tif", "TIFF", np.uint8),
        (".tif", "TIFF", np.uint16),
        (".jp2", "JPEG2000", np.uint16),
    ],
)
def test_gray_with_a_profile_is_written_as_bright_as_it_was(tmp_path, suffix, image_format, dtype, gamma):
    path, stored = tmp_path / f"a{suffix}", np.tile(np.linspace(0.05, 1, 64), (48, 1))
    most = np.iinfo(dtype).max
    values = np.rint(stored * most).astype(dtype)
    if image_format == "JPEG2000":
        with open(path, "wb") as file:
            jpeg2000.write(file, values, {"icc_profile": _gray_profile(gamma)})
    else:
        Image.fromarray(values).save(path, image_format, icc_profile=_gray_profile(gamma), quality=100)
    photo = read_photo(path).as_rgb()
    light = _linear(photo.pixels[..., 0] / most)
    np.testing.assert_allclose(light, stored**gamma, atol=0.02)
    assert "icc_profile" not in photo.metadata


@pytest.mark.parametrize("num_channels", [1, 3, 4])
def test_gamma_of_a_png_is_applied(tmp_path, num_channels):
    pixels = RGB if num_channels == 3 else np.dstack([RGB, GRAY]) if num_channels == 4 else GRAY
    data = _encoded(pixels, "PNG")
    for gamma, expected in ((45455, pixels / 255), (100_000, (pixels / 255) ** (1 / 2.2))):
        chunk = PngImagePlugin.PngInfo()
        chunk.add(b"gAMA", struct.pack(">L", gamma))
        photo = _read(tmp_path / "a.png", _encoded(pixels, "PNG", pnginfo=chunk))
        colors = expected[..., :3] if num_channels > 1 else expected
        np.testing.assert_allclose(photo.pixels / 255, colors, atol=0.003)
        assert photo.alpha is None or np.array_equal(photo.alpha, GRAY)
    assert _read(tmp_path / "a.png", data).pixels.shape == pixels[..., :3].shape if num_channels > 1 else (48, 64)


def test_gray_with_a_profile_of_rgb_keeps_both(tmp_path):
    photo = _read(tmp_path / "a.png", _encoded(GRAY, "PNG", icc_profile=SRGB))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    write_photo(tmp_path / "a.png", photo.as_rgb())
    assert read_photo(tmp_path / "a.png").metadata["icc_profile"] == SRGB


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_with_the_brightness_of_srgb_keeps_its_values(tmp_path, dtype):
    pixels = GRAY.astype(dtype) * (np.iinfo(dtype).max // 255) + np.arange(64, dtype=dtype) // 9
    for profile in (_gray_profile(None), SRGB[:16] + b"GRAY" + SRGB[20:], b"damaged", None):
        photo = _read(tmp_path / "a.png", _encoded(pixels, "PNG", icc_profile=profile))
        np.testing.assert_array_equal(photo.pixels, pixels, strict=True)


def test_training_takes_the_same_still_formats(tmp_path):
    contents = {
        "a.heic": HEIC,
        "b.avif": _encoded(RGB, "AVIF", exif=_exif()),
        "c.jp2": _encoded(RGB, "JPEG2000"),
        "d.GIF": _encoded(GRAY, "GIF"),
        "e.jfif": _encoded(RGB, "JPEG"),
        "f.jpe": HEIC,
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    source = FolderSource(str(tmp_path))
    assert [source.name(n) for n in range(len(source))] == list(contents)
    decoded = [transforms.decode_image(source.read(n), 32) for n in range(len(source))]
    assert {image.mode for image in decoded} == {"RGB"}
    assert [image.size for image in decoded] == [(48, 64), (48, 64), (64, 48), (64, 48), (64, 48), (48, 64)]


def test_a_video_is_no_photograph(tmp_path):
    with pytest.raises(ValueError, match="not an image of a known format"):
        _read(tmp_path / "a.heic", struct.pack(">L8sL4s", 20, b"ftypisom", 512, b"mp41") + bytes(100))
