"""PNG and TIFF files that Pillow does not support: 16 bits per channel, and compressed TIFF with EXIF.

Pillow 13.0 reads only the high byte of 16-bit color (https://github.com/python-pillow/Pillow/issues/7723), cannot write
it, and does not compress a TIFF with EXIF directories. imagecodecs is used for PNG, tifffile for TIFF. Samples are gray
[H,W], gray and alpha [H,W,2], RGB or RGBA.
"""

import io
import math
from typing import IO, Any, Literal

import imagecodecs
import numpy as np
import tifffile
from PIL import ImageFile, TiffImagePlugin

from colorgan import library_patches
from colorgan.data import transforms
from colorgan.media import exif

_ROWS = 256  # converted at a time
_BUFFER_BYTES = 2**24  # of strips, read or written at a time; tifffile's default is 256 MB
_PNG_HEADER_BYTES = 33  # signature and IHDR
_PNG_LEVEL = 3  # the size of level 6 for photographs, and a quarter faster
# Lossless ones without a size of their own: none, LZW, deflate, PackBits, deflate, LZMA, Zstandard.
_TIFF_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
library_patches.open_gray_alpha_tiff()


def decode(image: ImageFile.ImageFile, data: bytes) -> np.ndarray | None:
    """The samples, as stored, of a PNG or TIFF with 16 bits; None for other files, which Pillow reads.

    Args:
      image: from `transforms.open_image`, not decoded.
      data: the file.

    Raises:
      Exception: of many types, for files that are damaged or too large.
    """
    if image.format == "PNG" and data[24] == 16:
        return imagecodecs.png_decode(data)
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.mode == "CMYK":
        return None
    bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ())
    kinds = image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
    return _decode_tiff(image, data) if set(bits) == {16} and set(kinds) == {1} else None


def _decode_tiff(image: TiffImagePlugin.TiffImageFile, data: bytes) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        if page.compression not in _TIFF_COMPRESSIONS:
            raise ValueError(f"16-bit TIFF with compression {page.compression} is not supported")
        # Its depth and its tiles have their own sizes.
        if max(page.size, math.prod(page.chunks)) > page.samplesperpixel * transforms.MAX_PIXELS:
            raise ValueError(f"more than {transforms.MAX_PIXELS // 10**6} megapixels")
        # Missing strips would be black.
        ends = np.array(page.dataoffsets, np.int64) + np.array(page.databytecounts, np.int64)
        if len(ends) != math.prod(page.chunked) or 0 in page.databytecounts or np.max(ends) > len(data):
            raise ValueError("the TIFF is truncated or damaged")
        samples = page.asarray(buffersize=_BUFFER_BYTES)
    if page.planarconfig == 2 and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, -1)
    if page.photometric == 0:  # white is zero
        np.invert(samples, out=samples)
    if samples.ndim == 2:
        return samples
    if not image.mode.endswith("A"):  # Pillow knows which extra channels are alpha
        return samples[..., :3]
    if tuple(page.extrasamples) == (1,):  # the colors are multiplied by it
        for top in range(0, len(samples), _ROWS):
            rows = samples[top : top + _ROWS]
            colors, alpha = rows[..., :-1], rows[..., -1:].astype(np.uint32)
            colors[:] = np.minimum((colors * np.uint32(65535) + alpha // 2) // np.maximum(alpha, 1), 65535)
    return samples


def png_without_pixels(png: bytes) -> bytes:
    """A PNG without its pixels, so that Pillow finds what comes after them without decoding."""
    chunks, at = [png[:8]], 8
    while at < len(png):
        size = 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] not in (b"IDAT", b"IEND"):
            chunks.append(png[at : at + size])
        at += size
    return b"".join(chunks) + b"\0\0\0\0IDAT"


def write_png(file: IO[bytes], samples: np.ndarray, like: bytes) -> None:
    """Writes a PNG of uint16 samples with the metadata of `like`, a PNG of one pixel."""
    # Space for the filter byte of each row and the maximum that zlib and chunks add; otherwise there are two copies. An
    # array, unlike the bytearray of the type hints, takes memory only where it is written to.
    room: Any = np.empty(samples.nbytes + samples.nbytes // 50 + len(samples) + 2**16, np.uint8)
    encoded = memoryview(imagecodecs.png_encode(np.ascontiguousarray(samples), level=_PNG_LEVEL, out=room))
    file.write(encoded[:_PNG_HEADER_BYTES])
    file.write(like[_PNG_HEADER_BYTES : like.rindex(b"IDAT") - 4])
    file.write(encoded[_PNG_HEADER_BYTES:])


def write_tiff(file: IO[bytes], samples: np.ndarray, metadata: dict[str, Any]) -> None:
    """Writes a TIFF of uint8 or uint16 samples with the `exif`, `xmp`, `dpi` and `icc_profile` of `metadata`."""
    # EXIF is a TIFF with absolute offsets. It comes first in the file, where they stay valid.
    tiff = metadata.get("exif", b"").removeprefix(b"Exif\0\0") or exif.NONE
    # tifffile refuses tags that point to directories by their numbers.
    names = {34665: "ExifTag", 34853: "GPSTag"}
    entries = {tag: entry for tag, entry in exif.read_directory(tiff).items() if tag not in exif.RESOLUTION}
    tags: list[Any] = [(names.get(tag, tag), *entry, True) for tag, entry in entries.items()]
    if xmp := metadata.get("xmp"):
        tags.append((exif.XMP, 1, len(xmp), xmp, True))
    order: Literal["<", ">"] = exif.byte_order(tiff)
    num_channels = math.prod(samples.shape[2:])
    with tifffile.TiffWriter(file, byteorder=order) as writer:
        writer.filehandle.write(tiff[8:])
        writer.write(
            samples,
            photometric="rgb" if num_channels > 2 else "minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"] if num_channels in (2, 4) else None,
            compression="adobe_deflate",
            predictor=True,
            resolution=metadata.get("dpi"),
            iccprofile=metadata.get("icc_profile"),
            extratags=tags,
            metadata=None,
            software=False,
            buffersize=_BUFFER_BYTES,
        )
