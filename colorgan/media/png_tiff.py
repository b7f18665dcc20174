"""PNG and TIFF files that Pillow does not support: 16 bits, floating point, extra channels; compressed TIFF with EXIF.

Pillow 13.0 reads only the high byte of 16-bit color (https://github.com/python-pillow/Pillow/issues/7723), cannot write
it, and does not compress a TIFF with EXIF directories. imagecodecs is used for PNG, tifffile for TIFF. Samples are gray
[H,W], gray and alpha [H,W,2], RGB or RGBA.
"""

import io
import logging
import math
from typing import IO, Any, Literal

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms, TiffImagePlugin

from colorgan import library_patches
from colorgan.data import transforms
from colorgan.media import color_profiles, exif

log = logging.getLogger(__name__)

_ROWS = 256  # converted at a time
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it reports what it ignores, in terms of its code
_BUFFER_BYTES = 2**24  # of strips, read or written at a time; tifffile's default is 256 MB
_PNG_HEADER_BYTES = 33  # signature and IHDR
_PNG_LEVEL = 3  # the size of level 6 for photographs, and a quarter faster
# Lossless ones without a size of their own: none, LZW, deflate, PackBits, deflate, LZMA, Zstandard.
_TIFF_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
_MAX_TIFF_BYTES = 8 * transforms.MAX_PIXELS  # of pixels in memory: RGBA of 16 bits
_NUM_COLORS = {0: 1, 1: 1, 2: 3, 5: 4}  # by color space: gray where white or black is zero, RGB, CMYK
_EXTRA_SAMPLES, _FLOAT = 338, 3  # the tag, and the sample format
library_patches.open_gray_alpha_tiff()


def decode(
    image: Image.Image | None, data: bytes, name: str = "", max_pixels: int = transforms.MAX_PIXELS
) -> np.ndarray | None:
    """The samples, as stored, of a PNG or TIFF that Pillow does not read with all of its bits; None for other files.

    Floating-point values become 16 bits, and CMYK becomes RGB.

    Args:
      image: from `transforms.open_image`, not decoded; None for a TIFF that Pillow does not open.
      data: the file.
      name: of the file, for messages.
      max_pixels: of a TIFF; more are refused.

    Raises:
      Exception: of many types, for files that are damaged or too large.
    """
    if image is None:
        return _decode_tiff(image, data, name, max_pixels)
    if image.format == "PNG" and data[24] == 16:
        return imagecodecs.png_decode(data)
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    if image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and _EXTRA_SAMPLES in image.tag_v2:
        return _decode_tiff(image, data, name, max_pixels)
    bits = set(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ()))
    kinds = set(image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,)))
    is_deep = kinds == {_FLOAT} or (kinds == {1} and len(bits) == 1 and 8 < max(bits) <= 16)
    return _decode_tiff(image, data, name, max_pixels) if is_deep and image.mode != "CMYK" else None


def _decode_tiff(image: Image.Image | None, data: bytes, name: str, max_pixels: int) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        num_colors = _NUM_COLORS.get(page.photometric, 0)
        if page.compression not in _TIFF_COMPRESSIONS or not num_colors or page.dtype is None:
            what = f"compression {page.compression:d}" if num_colors else f"color space {page.photometric:d}"
            raise ValueError(f"a TIFF of this depth with {what} is not supported: save it as RGB with LZW")
        # Its depth and its tiles have their own sizes.
        if max(page.size, math.prod(page.chunks)) > page.samplesperpixel * max_pixels:
            raise transforms.TooManyPixelsError(max_pixels)
        if max(page.nbytes, math.prod(page.chunks) * page.dtype.itemsize) > _MAX_TIFF_BYTES:
            raise ValueError(f"more than {_MAX_TIFF_BYTES / 1e9:g} GB of pixels: save it with 16 bits")
        # Missing strips would be black.
        ends = np.array(page.dataoffsets, np.int64) + np.array(page.databytecounts, np.int64)
        if len(ends) != math.prod(page.chunked) or 0 in page.databytecounts or np.max(ends) > len(data):
            raise ValueError("the TIFF is truncated or damaged")
        samples = page.asarray(buffersize=_BUFFER_BYTES)
        profile = page.tags.valueof(exif.ICC_PROFILE)
    if samples.ndim == 2:
        samples = samples[..., None]
    elif page.planarconfig == 2:
        samples = np.moveaxis(samples, 0, -1)
    # Extra channels may be anything, such as infrared; 1 and 2 are alpha.
    alpha = next((n for n, kind in enumerate(page.extrasamples, num_colors) if kind in (1, 2)), None)
    if alpha is None and image is not None and image.mode.endswith("A"):  # Pillow knows what other programs write
        alpha = num_colors
    is_associated = alpha is not None and page.extrasamples[alpha - num_colors :][:1] == (1,)
    if alpha is not None and alpha > num_colors:
        samples[..., num_colors] = samples[..., alpha]
    samples = samples[..., : num_colors + (alpha is not None)]
    samples = _as_integers(samples, num_colors, page.bitspersample, name)
    if page.photometric == 0:  # white is zero
        np.invert(samples[..., :1], out=samples[..., :1])
    if is_associated:
        _divide_by_alpha(samples)
    if num_colors == 4:
        return _cmyk_to_rgb(samples, profile)
    return samples[..., 0] if samples.shape[2] == 1 else samples


def _as_integers(samples: np.ndarray, num_colors: int, num_bits: int, name: str) -> np.ndarray:
    """uint8 or uint16 [H,W,C] of samples of any type, whose first channels are colors, the others alpha."""
    if samples.dtype in (np.uint8, np.uint16) and num_bits in (8, 16):
        return samples
    low, high = 0.0, float(2**num_bits - 1)
    if samples.dtype.kind == "f":
        low, high = _find_range(samples[..., :num_colors])
        log.warning("%s has floating-point values: %g becomes black and %g white", name, low, high)
    elif samples.dtype not in (np.uint8, np.uint16):
        raise ValueError("a TIFF of integers that are signed or beyond 16 bits is not supported: save it with 16 bits")
    integers = np.empty(samples.shape, np.uint16)
    for top in range(0, len(samples), _ROWS):
        rows = samples[top : top + _ROWS].astype(np.float64)
        rows[..., :num_colors] = (rows[..., :num_colors] - low) / (high - low)
        if samples.dtype.kind != "f":
            rows[..., num_colors:] /= high
        integers[top : top + _ROWS] = np.rint(np.clip(np.nan_to_num(rows), 0, 1) * 65535)
    return integers


def _find_range(colors: np.ndarray) -> tuple[float, float]:
    """The floating-point values of black and white: of 0 to 1, 255 or 65535 what fits, else the darkest and brightest.

    Raises:
      ValueError: no value is finite.
    """
    lows, highs = [], []
    for top in range(0, len(colors), _ROWS):
        rows = colors[top : top + _ROWS]
        if (finite := rows[np.isfinite(rows)]).size:
            lows.append(finite.min())
            highs.append(finite.max())
    if not lows:
        raise ValueError("a floating-point TIFF without a finite value is not supported")
    low, high = float(min(lows)), float(max(highs))
    white = 1.0 if high <= 1 else next((most for most in (255.0, 65535.0) if most / 2 < high <= most), high)
    return min(low, 0.0), white


def _divide_by_alpha(samples: np.ndarray) -> None:
    """Undoes the multiplication of the colors by alpha, the last channel."""
    most = np.uint32(np.iinfo(samples.dtype).max)
    for top in range(0, len(samples), _ROWS):
        rows = samples[top : top + _ROWS]
        colors, alpha = rows[..., :-1], rows[..., -1:].astype(np.uint32)
        colors[:] = np.minimum((colors * most + alpha // 2) // np.maximum(alpha, 1), most)


def _cmyk_to_rgb(samples: np.ndarray, profile: bytes | None) -> np.ndarray:
    """RGB or RGBA, uint8, of CMYK and alpha [H,W,4 or 5]."""
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    to_srgb = color_profiles.create_srgb_transform("CMYK", profile)
    rgb = np.empty((*samples.shape[:2], samples.shape[2] - 1), np.uint8)
    for top in range(0, len(samples), _ROWS):
        rows = Image.fromarray(np.ascontiguousarray(samples[top : top + _ROWS, :, :4]), "CMYK")
        rgb[top : top + _ROWS, :, :3] = ImageCms.applyTransform(rows, to_srgb) if to_srgb else rows.convert("RGB")
        rgb[top : top + _ROWS, :, 3:] = samples[top : top + _ROWS, :, 4:]
    return rgb


def read_tags(tiff: bytes) -> Image.Image:
    """The metadata of a TIFF that Pillow does not open, as that of a Pillow image of one pixel."""
    image = Image.new("L", (1, 1))
    image.format = "TIFF"
    with tifffile.TiffFile(io.BytesIO(tiff)) as file:
        tags = file.pages.first.tags
        for key, tag in (("icc_profile", exif.ICC_PROFILE), ("xmp", exif.XMP)):
            if value := tags.valueof(tag):
                image.info[key] = bytes(value)
        unit = {2: 1.0, 3: 2.54}.get(tags.valueof(exif.RESOLUTION[2], 2))
        resolution = [tags.valueof(tag) for tag in exif.RESOLUTION[:2]]
        if unit and all(resolution):
            image.info["dpi"] = tuple(unit * value[0] / max(value[1], 1) for value in resolution)
        image.getexif()[exif.ORIENTATION] = tags.valueof(exif.ORIENTATION, 1)
    return image


def count_pages(tiff: bytes) -> int:
    """The number of pages of a TIFF."""
    with tifffile.TiffFile(io.BytesIO(tiff)) as file:
        return len(file.pages)


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
