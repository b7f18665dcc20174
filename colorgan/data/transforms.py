"""Encoded bytes to uint8 RGB: decode, bring to RGB, cut to a square, resize."""

import io
import warnings
from typing import cast

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# Pillow warns of large photographs and odd metadata; here an image is either good or an error. Said once for the
# process, since changing the filters around each image would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Nothing else that Pillow knows: it would start Ghostscript for an EPS named .jpg. JPEG includes the MPO of phones.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# What the largest phones and medium-format cameras take; up to 16 bytes a pixel, 3.2 GB, while one is decoded.
MAX_PIXELS = 200_000_000
# Pillow raises above twice its own limit, for an image, a TIFF's tile or a WebP's canvas, before it makes room for it.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

# How much larger than its target the decoder leaves a JPEG: Pillow's own choice for thumbnails, `reducing_gap`.
_DRAFT_GAP = 2
# 16-bit gray to 8 bit, rounded.
_SIXTEEN_TO_EIGHT = [(value * 255 + 32767) // 65535 for value in range(65536)]


def decode_image(image: bytes | np.ndarray, target_size: int | None = None) -> Image.Image:
    """An encoded image, or an array [H,W], [H,W,1] or [H,W,3] of uint8, to an upright 8-bit RGB image.

    Gray, palette, CMYK and 16-bit images become RGB; what is transparent is laid on white; EXIF orientation is
    applied. With `target_size`, the side in pixels that `square` is to bring it to, a JPEG much larger than that is
    decoded at a half, a quarter or an eighth, which takes a fraction of the time.

    Raises:
      Exception: of many kinds, from the decoder, for anything that is not a whole image of `FORMATS` with at most
        `MAX_PIXELS`.
    """
    if isinstance(image, np.ndarray):
        opened = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)
    else:
        opened = open_image(image)
        if target_size:
            opened.draft(None, (_DRAFT_GAP * target_size, _DRAFT_GAP * target_size))  # for other formats nothing
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
    return to_rgb(opened)


def open_image(encoded: bytes) -> ImageFile.ImageFile:
    """An encoded image whose pixels are not decoded yet.

    Raises:
      Exception: of many kinds, for what does not begin like an image of `FORMATS` with at most `MAX_PIXELS`.
    """
    try:
        opened = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except UnidentifiedImageError as error:  # its own text is of memory addresses
        raise ValueError("not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MAX_PIXELS // 10**6} megapixels") from error
    if any(part[0] == "bmp_rle" for part in opened.tile):
        # Unpacked by a loop in Python: 60 bytes could keep it busy for 20 seconds.
        raise ValueError("run-length encoded BMP is not supported")
    return opened


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to "RGB".

    Raises:
      ValueError: floating-point pixels, or whole numbers beyond 16 bits, whose range nobody knows.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image  # convert() would copy it
    if image.mode.startswith(("F", "I")):  # a plain convert() would clip at 255
        return sixteen_bits(image).point(_SIXTEEN_TO_EIGHT, "L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")  # convert() would copy it
        on_white = Image.new("RGB", image.size, "white")
        on_white.paste(image, mask=image)
        return on_white
    return image.convert("RGB")


def sixteen_bits(image: Image.Image) -> Image.Image:
    """A gray image of Pillow's modes "F", "I" or "I;16" as mode "I" with values from 0 to 65535.

    Raises:
      ValueError: floating-point pixels, or whole numbers beyond 16 bits, whose range nobody knows.
    """
    if image.mode == "F":
        raise ValueError("images of floating-point numbers are not supported")
    image = image.convert("I")
    low, high = cast(tuple[int, int], image.getextrema())
    if low < 0 or high > 65535:
        raise ValueError("images of whole numbers beyond 16 bits are not supported")
    return image


def square(image: Image.Image, size: int) -> np.ndarray:
    """The central square of an RGB image at `size` pixels, antialiased: uint8 [size,size,3]."""
    width, height = image.size
    side = min(width, height)
    if (width, height) != (size, size):
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(image)
