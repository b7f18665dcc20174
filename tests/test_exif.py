"""EXIF is kept byte by byte, without orientation and thumbnail, through `photo_file`."""

import dataclasses
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD

from colorgan.media.photo_file import Photo, read_photo, write_photo

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, TITLE, MAKE, COPYRIGHT = 274, 269, 271, 33432
EXIF, INTEROPERABILITY, GPS, THUMBNAIL = IFD.Exif, IFD.Interop, IFD.GPSInfo, IFD.IFD1
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6">Café</a></x:xmpmeta>'


def _exif() -> bytes:
    """EXIF with directories in it and behind it, the last one a thumbnail's."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[TITLE], exif[MAKE] = 6, "Album 3", "Leica"
    exif[COPYRIGHT] = "© Müller".encode()
    exif[EXIF] = {40962: 7, 36867: "1999:01:02 03:04:05", 37500: b"maker's note", INTEROPERABILITY: {1: "R98"}}
    exif[GPS] = {1: "N", 2: (1.0, 2.0, 3.5)}
    tiff = exif.tobytes()[6:]
    behind = 10 + 12 * struct.unpack(">H", tiff[8:10])[0]
    thumbnail = struct.pack(">HHHL4sL", 1, 259, 3, 1, b"\0\6", 0)
    return b"Exif\0\0" + tiff[:behind] + struct.pack(">L", len(tiff)) + tiff[behind + 4 :] + thumbnail


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_metadata_is_kept(tmp_path, suffix, dtype):
    path, in_tiff = tmp_path / f"photo{suffix}", Image.Exif()
    in_tiff.load(_exif())
    in_tiff[700] = XMP.encode()
    exif = in_tiff if suffix == ".tif" else _exif()
    Image.fromarray(RGB).save(path, exif=exif, xmp=XMP.encode(), dpi=(300, 150), icc_profile=SRGB)
    for _ in range(2):  # what we write, we read
        photo = read_photo(path)
        write_photo(path, dataclasses.replace(photo, samples=photo.samples.astype(dtype)))
    with Image.open(path) as written:
        written.load()
        if suffix != ".webp":
            np.testing.assert_allclose([float(value) for value in written.info["dpi"]], (300, 150), rtol=1e-4)
        if suffix == ".bmp":
            return
        kept = written.getexif()
        assert (kept[TITLE], kept[MAKE], ORIENTATION in kept) == ("Album 3", "Leica", False)
        assert kept[COPYRIGHT].encode("latin-1") == "© Müller".encode() or suffix == ".tif"  # there Pillow wrote "?"
        assert kept.get_ifd(EXIF)[36867] == "1999:01:02 03:04:05"
        assert kept.get_ifd(EXIF)[37500] == b"maker's note"
        assert 40962 not in kept.get_ifd(EXIF)  # the width, which turning changes
        assert suffix == ".tif" or kept.get_ifd(INTEROPERABILITY) == {1: "R98"}  # there Pillow wrote none
        assert kept.get_ifd(GPS) == {1: "N", 2: (1.0, 2.0, 3.5)}
        assert not kept.get_ifd(THUMBNAIL)
        assert written.info["icc_profile"] == SRGB
        assert suffix == ".png" or written.info["xmp"].decode() == XMP.replace('tiff:Orientation="6"', "")


def test_damaged_exif_is_ignored(tmp_path):
    write_photo(tmp_path / "photo.png", Photo(RGB, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12"}))
    photo = read_photo(tmp_path / "photo.png")
    np.testing.assert_array_equal(photo.pixels, RGB)


def test_a_tiff_without_a_resolution_gets_none(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "photo.tif")
    with Image.open(tmp_path / "photo.tif") as image:
        assert 282 not in image.tag_v2  # type: ignore[attr-defined]
    photo = read_photo(tmp_path / "photo.tif")
    assert "dpi" not in photo.metadata
    write_photo(tmp_path / "photo.tif", photo)
    with Image.open(tmp_path / "photo.tif") as image:
        assert image.tag_v2.get(296, 1) == 1  # type: ignore[attr-defined]
