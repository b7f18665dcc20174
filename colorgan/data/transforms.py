"""From encoded images to uint8 RGB: decode, convert to RGB, crop to a square, resize."""

import io
from typing import cast

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from colorgan import library_patches
from colorgan.data import png_chunks

library_patches.ignore_pillow_warnings()

# Pillow's other formats are refused: for an EPS file named .jpg it would start Ghostscript. JPEG includes the MPO files
# of phones. The first formats are Pillow's fast path; those in ISO containers begin with "ftyp".
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000")
_CONTAINER_FORMATS = ("AVIF", "HEIF")
FORMATS = _FORMATS + _CONTAINER_FORMATS
# Enough for the largest phones and medium-format cameras. Decoding takes up to 16 bytes a pixel, 3.2 GB.
MAX_PIXELS = 200_000_000
# Pillow raises an error above twice its own limit, for an image, a TIFF tile or a WebP canvas, before it allocates it.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

# A JPEG is decoded at no less than this many times the target size, as with `reducing_gap` of Pillow's `thumbnail`.
_DRAFT_GAP = 2
# Table from 16-bit to 8-bit gray, rounded.
_SIXTEEN_TO_EIGHT = [(value * 255 + 32767) // 65535 for value in range(65536)]


class UnknownFormatError(ValueError):
    """The data is not an image of `FORMATS`."""

    def __init__(self) -> None:
        super().__init__("not an image of a known format")


class TooManyPixelsError(ValueError):
    """The image has more than so many pixels."""

    def __init__(self, max_pixels: int) -> None:
        super().__init__(f"more than {max_pixels // 10**6} megapixels")


def decode_image(image: bytes | np.ndarray, target_size: int | None = None) -> Image.Image:
    """Decodes an image to upright 8-bit RGB.

    Gray, palette, CMYK and 16-bit images become RGB, transparent parts are blended with white, and EXIF orientation is
    applied.

    Args:
      image: an encoded image, or uint8 pixels [H,W], [H,W,1] or [H,W,3].
      target_size: the side in pixels to which `square` will resize the result. A JPEG much larger than that is decoded
        at 1/2, 1/4 or 1/8 of its size, in a fraction of the time.

    Raises:
      Exception: of many types, from the decoder, for anything that is not a complete image of `FORMATS` with at most
        `MAX_PIXELS`.
    """
    if isinstance(image, np.ndarray):
        opened = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)
    else:
        opened = open_image(image)
        if target_size:
            opened.draft(None, (_DRAFT_GAP * target_size, _DRAFT_GAP * target_size))  # no effect on other formats
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
    return to_rgb(opened)


def open_image(encoded: bytes) -> ImageFile.ImageFile:
    """Opens an encoded image without decoding its pixels, in the format of its content.

    Texts of a PNG that Pillow refuses for their size are left out.

    Raises:
      UnknownFormatError, TooManyPixelsError: by its beginning.
      Exception: of many types, for other data that does not begin like an image of `FORMATS` with at most `MAX_PIXELS`.
    """
    if not encoded:  # also None, which TFDS has for a damaged record
        raise UnknownFormatError
    encoded, _ = png_chunks.without_large_texts(encoded)
    formats: tuple[str, ...] = _FORMATS
    if encoded[4:8] == b"ftyp":
        import pi_heif  # here, since few folders have such files

        pi_heif.register_heif_opener()
        formats = _CONTAINER_FORMATS
    try:
        opened = Image.open(io.BytesIO(encoded), formats=formats)
    except UnidentifiedImageError as error:  # its own message contains a memory address
        raise UnknownFormatError from error
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(MAX_PIXELS) from error
    if any(part[0] == "bmp_rle" for part in opened.tile):
        # Pillow decodes it with a loop in Python: 60 bytes can take 20 seconds.
        raise ValueError("run-length encoded BMP is not supported")
    return opened


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any Pillow mode to mode "RGB". Transparent parts are blended with white.

    Raises:
      ValueError: the pixels are floating-point, or integers of more than 16 bits, so their range is unknown.
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
    """Converts a gray image of Pillow's modes "F", "I" or "I;16" to mode "I" with values from 0 to 65535.

    Raises:
      ValueError: the pixels are floating-point, or integers of more than 16 bits, so their range is unknown.
    """
    if image.mode == "F":
        raise ValueError("floating-point images are not supported")
    image = image.convert("I")
    low, high = cast(tuple[int, int], image.getextrema())
    if low < 0 or high > 65535:
        raise ValueError("images with integers beyond 16 bits are not supported")
    return image


def square(image: Image.Image, size: int) -> np.ndarray:
    """Returns the central square of an RGB image, resized with antialiasing: uint8 [size,size,3]."""
    width, height = image.size
    side = min(width, height)
    if (width, height) != (size, size):
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(image)
