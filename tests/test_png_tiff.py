"""16-bit PNG and TIFF through `photo_file`: exact values, damaged files."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile

from colorgan.media.photo_file import Photo, read_photo, write_photo

DEEP = np.random.default_rng(0).integers(0, 65536, (5, 7, 4), np.uint16)


@pytest.mark.parametrize("channels", [[0], [0, 3], [0, 1, 2], [0, 1, 2, 3]], ids=["gray", "gray+alpha", "rgb", "rgba"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_bit_and_alpha_are_kept(tmp_path, suffix, channels, dtype):
    pixels = DEEP.astype(dtype)[..., channels[:1] if len(channels) < 3 else channels[:3]].squeeze()
    alpha = DEEP[..., 3].astype(dtype) if 3 in channels else None
    write_photo(tmp_path / f"photo{suffix}", Photo(DEEP.astype(dtype)[..., channels].squeeze()))
    photo = read_photo(tmp_path / f"photo{suffix}")
    np.testing.assert_array_equal(photo.pixels, pixels, strict=True)
    assert (photo.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(photo.alpha, alpha, strict=True)
        np.asarray(photo.alpha)[:] = 0


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "lzw"}, {"compression": "lzw", "predictor": True}, {"tile": (16, 16)}, {"byteorder": ">"}],
)
def test_sixteen_bit_tiff_of_other_programs(tmp_path, options):
    path = tmp_path / "photo.tif"
    for pixels in (DEEP[..., :3], DEEP[..., 0]):
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
        np.testing.assert_array_equal(read_photo(path).pixels, pixels, strict=True)
    tifffile.imwrite(path, np.moveaxis(DEEP[..., :3], -1, 0), photometric="rgb", planarconfig="separate", **options)
    np.testing.assert_array_equal(read_photo(path).pixels, DEEP[..., :3], strict=True)
    if "byteorder" not in options:  # Pillow does not open that
        tifffile.imwrite(path, 65535 - DEEP[..., 0], photometric="miniswhite", **options)
        np.testing.assert_array_equal(read_photo(path).pixels, DEEP[..., 0], strict=True)
    premultiplied = DEEP // 2 + (0, 0, 0, 32768)
    scaled = np.round(premultiplied[..., :3] * (premultiplied[..., 3:] / 65535)).astype(np.uint16)
    stored = np.concatenate([scaled, premultiplied[..., 3:]], -1).astype(np.uint16)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"], **options)
    np.testing.assert_allclose(read_photo(path).pixels.astype(int), premultiplied[..., :3], atol=1)


def _tiff(cut: int | None = None, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, DEEP[..., :3], photometric="rgb", **options)
    return file.getvalue()[:cut]


def _tiff_header(**changes: int) -> bytes:
    """A TIFF of 16-bit gray whose pixels are missing."""
    tags = {256: 20, 257: 20, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: 20, 279: 800}
    tags |= {int(tag[1:]): value for tag, value in changes.items()}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHLH", b"II", 42, 8, len(tags)) + entries + bytes(2000)


def _png_header(side: int) -> bytes:
    header = b"IHDR" + struct.pack(">LLBBBBB", side, side, 16, 2, 0, 0, 0)
    crc = struct.pack(">L", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + crc + b"\0\0\0\0IDAT"


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        ("png", _png_header(15_000), "more than 200 megapixels"),
        ("tif", _tiff_header(t256=15_000, t257=15_000), "more than 200 megapixels"),
        ("tif", _tiff_header(t32997=1_000_000), "more than 200 megapixels"),
        ("tif", _tiff_header(t322=16_000, t323=16_000, t324=8, t325=800), "more than 200 megapixels"),
        ("tif", _tiff_header(t259=7), "compression 7 is not supported"),
        ("tif", _tiff(-100), "truncated"),
        ("tif", _tiff(-10, compression="lzw", rowsperstrip=1), "truncated"),
        ("tif", _tiff_header(t278=2), "truncated"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as transforms says for all programs
def test_refused(tmp_path, suffix, data, reason):
    path = tmp_path / f"photo.{suffix}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_photo(path)
