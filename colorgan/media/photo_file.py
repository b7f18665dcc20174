"""Reads and writes photographs with their metadata."""

import dataclasses
import io
import logging
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin

from colorgan.data import png_chunks, transforms
from colorgan.data.folder import RESULT_SUFFIXES, read_image_file
from colorgan.errors import printable
from colorgan.media import color_profiles, exif, jpeg2000, png_tiff
from colorgan.run import storage

log = logging.getLogger(__name__)

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_FORMATS |= {".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".avif": "AVIF", ".jp2": "JPEG2000"}
WRITTEN_SUFFIXES = tuple(_FORMATS)
_BIG_ENDIAN_BIGTIFF = b"MM\0+"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", _BIG_ENDIAN_BIGTIFF)
# Color at full resolution, which matters here. Each format uses the options that it knows.
_OPTIONS = {"quality": 95, "subsampling": 0, "exact": True}
_ROWS = 256  # converted at a time, which keeps copies small
_MAX_JPEG_SEGMENT_BYTES = 65_000  # for EXIF, XMP, IPTC, comments: a little less than the maximum
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>')
_IPTC = 0x0404  # Photoshop's number of the resource with captions and rights


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph, upright.

    Attributes:
      samples: uint8 or uint16, gray [H,W], gray and alpha [H,W,2], RGB [H,W,3] or RGBA [H,W,4]: one array, as in
        decoders and encoders, since a copy of a large one is a gigabyte.
      metadata: everything else in the file, as arguments of Pillow's `save`: `exif` without orientation and thumbnail,
        `icc_profile` of RGB, `dpi`, `xmp`, `comment`, `extra` (IPTC of a JPEG), `lossless` (WebP); and `text` of a PNG,
        by keyword.
    """

    samples: np.ndarray
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def pixels(self) -> np.ndarray:
        """The part of `samples` that is gray [H,W] or RGB [H,W,3]."""
        if self.samples.ndim == 2:
            return self.samples
        return self.samples[..., 0] if self.samples.shape[2] == 2 else self.samples[..., :3]

    @property
    def alpha(self) -> np.ndarray | None:
        """The part of `samples` that is alpha, [H,W], or None where it is opaque."""
        return self.samples[..., -1] if self.samples.shape[2:] in ((2,), (4,)) else None

    def as_rgb(self) -> "Photo":
        """Itself, or for a gray photograph a new one with three channels."""
        if self.pixels.ndim == 3:
            return self
        channels = [self.pixels] * 3 + ([] if self.alpha is None else [self.alpha])
        return dataclasses.replace(self, samples=np.stack(channels, axis=-1))


def suffix_of_result(suffix: str) -> str:
    """The suffix of the file that is written for one with `suffix`: its own, or of the nearest format."""
    return RESULT_SUFFIXES.get(suffix.lower(), suffix)


def suffix_of_content(path: Path) -> str:
    """The suffix of the result for a file whose own says nothing, by its format; "" if it is no photograph."""
    try:
        image_format = transforms.open_image(read_image_file(path)).format
    except Exception:  # decoders raise exceptions of many types
        return ""
    suffixes = {image_format: suffix for suffix, image_format in reversed(_FORMATS.items())}
    return suffixes.get(image_format or "", ".png" if image_format == "GIF" else ".jpg")


def is_animated_gif(path: Path) -> bool:
    """Whether the file is a GIF of several frames, which is a video; False if it cannot be read."""
    if not path.is_file():  # a pipe might never end
        return False
    try:
        with open(path, "rb") as file:
            if not file.read(6).startswith(b"GIF8"):
                return False
        with Image.open(path, formats=["GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # of many types, from the decoder
        return False


def read_photo(path: str | Path, max_pixels: int = transforms.MAX_PIXELS) -> Photo:
    """Reads a photograph, upright; of several pages the first.

    Values are those of the file, with 16 bits if it has more than 8; palettes and CMYK become RGB. Gray values with a
    profile become those of sRGB that look the same. Arrays are writable.

    Args:
      path: the file, in any format of `transforms.FORMATS`, whatever its suffix.
      max_pixels: at most `transforms.MAX_PIXELS`.

    Raises:
      transforms.UnknownFormatError, transforms.TooManyPixelsError: before it is decoded.
      Exception: of many types, from the decoder, for files that `transforms.decode_image` does not read either.
    """
    samples, orientation, metadata = _decode(Path(path), max_pixels)
    rows = slice(None, None, -1 if orientation in (3, 4, 6, 7) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 7, 8) else 1)
    samples = samples[rows, columns]
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    return Photo(np.ascontiguousarray(samples), metadata)


def write_photo(path: str | Path, photo: Photo) -> None:
    """Writes a file atomically, in the format of the suffix of `path`.

    What the format cannot hold is left out: JPEG, WebP, AVIF and BMP get 8 bits, and JPEG and BMP a white background.

    Raises:
      ValueError: the suffix is not that of a format.
      OSError: it cannot be written.
    """
    path = Path(path)
    image_format = _FORMATS.get(path.suffix.lower(), "")
    if not image_format:
        raise ValueError(f"{path.suffix!r} is not the suffix of a format: use one of {', '.join(_FORMATS)}")
    samples, metadata = photo.samples, dict(photo.metadata)
    if photo.pixels.ndim == 2:
        metadata.pop("icc_profile", None)
    if image_format not in ("PNG", "TIFF", "JPEG2000"):
        samples = eight_bits(samples)
    with storage.whole_file(path) as scratch, open(scratch, "xb") as file:
        if image_format == "TIFF":
            png_tiff.write_tiff(file, samples, metadata)
        elif image_format == "JPEG2000":
            jpeg2000.write(file, samples, metadata)
        elif samples.dtype == np.uint16:
            pixel = io.BytesIO()
            _save(Image.new("L", (1, 1)), pixel, "PNG", metadata)
            png_tiff.write_png(file, samples, pixel.getvalue())
        else:
            _save(Image.fromarray(samples), file, image_format, metadata)


def eight_bits(samples: np.ndarray) -> np.ndarray:
    """uint8 or uint16 of any shape as uint8, rounded."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _save(image: Image.Image, file: IO[bytes], image_format: str, metadata: Mapping[str, Any]) -> None:
    options = _OPTIONS | dict(metadata)
    if image_format in ("JPEG", "BMP") and image.mode in ("LA", "RGBA"):
        image = transforms.to_rgb(image)
    if image_format == "JPEG":
        keys = ("exif", "xmp", "comment")
        options |= {key: b"" for key in keys if len(options.get(key, b"")) > _MAX_JPEG_SEGMENT_BYTES}
    if image_format == "AVIF":
        options |= {"subsampling": "4:4:4", "speed": 9}  # an eighth of the time of the default, and 5% larger
    if image_format == "PNG":
        options["pnginfo"] = texts = PngImagePlugin.PngInfo()
        comment = {"Comment": options["comment"].decode("utf-8", "replace")} if "comment" in options else {}
        for key, text in (comment | options.pop("text", {})).items():
            texts.add_text(key, text)
        if "xmp" in options:
            texts.add_itxt("XML:com.adobe.xmp", options["xmp"].decode("utf-8", "replace"))
    image.save(file, image_format, **options)


def _decode(path: Path, max_pixels: int) -> tuple[np.ndarray, int, dict[str, Any]]:
    """The samples as stored, in the layout of `Photo.samples`; their EXIF orientation, 1 to 8; and the metadata."""
    data, large_texts = png_chunks.without_large_texts(read_image_file(path))
    for keyword in large_texts:
        log.warning("%s: its text %r is left out, since it is too large", path, printable(keyword))
    image: Image.Image | None
    try:
        # Pillow 13.0 takes a big-endian BigTIFF for a damaged TIFF.
        image = None if data.startswith(_BIG_ENDIAN_BIGTIFF) else transforms.open_image(data)
    except transforms.UnknownFormatError:
        if data[:4] not in _TIFF_SIGNATURES:
            raise
        image = None  # perhaps one that tifffile reads
    if image and image.width * image.height > max_pixels:
        raise transforms.TooManyPixelsError(max_pixels)
    try:
        samples = png_tiff.decode(image, data, str(path), max_pixels)
    except (IndexError, OverflowError, TypeError, struct.error) as error:  # from tifffile
        raise ValueError("the TIFF is truncated or damaged") from error
    if image is None:
        image = png_tiff.read_tags(data)
    elif samples is None and image.format == "JPEG2000":
        samples = jpeg2000.decode(image, data)
    if samples is None:
        samples = _decode_with_pillow(image)  # it rotates a TIFF itself and removes the orientation
    elif image.format == "PNG":
        image = transforms.open_image(png_tiff.png_without_pixels(data))
    if image.format == "JPEG2000":
        image.info.update(jpeg2000.read_metadata(data))
    _convert_brightness(samples, image)
    metadata = _read_metadata(image, data)
    try:
        # Not the method of PNG, which would decode the pixels first.
        orientation = int(Image.Image.getexif(image).get(exif.ORIENTATION, 1))
    except Exception:  # damaged EXIF, which is common, is no reason to refuse a photograph
        orientation = 1
    if (num_pages := _count_pages(image, data)) > 1:
        log.warning("%s holds %d pages or frames: only the first is read", path, num_pages)
    return samples, orientation if 1 <= orientation <= 8 else 1, metadata


def _convert_brightness(samples: np.ndarray, image: Image.Image) -> None:
    """Replaces gray values by those of sRGB that look the same, by the profile or the gamma of the file.

    The result has no gray profile, which would be wrong for it, and no gamma.
    """
    profile = image.info.get("icc_profile")
    table = None
    if profile and samples.shape[2:] in ((), (2,)):
        table = color_profiles.table_of_gray(profile)
    elif image.format == "PNG" and not profile and "srgb" not in image.info:
        table = color_profiles.table_of_gamma(image.info.get("gamma", 0))
    if table is not None:
        color_profiles.apply_table(table, Photo(samples).pixels)


def _count_pages(image: Image.Image, data: bytes) -> int:
    """The number of pages of a TIFF, or frames of an animation; 1 for a JPEG, in which cameras hide further images."""
    if image.format in ("JPEG", "MPO"):
        return 1
    try:
        if not isinstance(image, ImageFile.ImageFile):
            return png_tiff.count_pages(data)
        return getattr(transforms.open_image(data), "n_frames", 1)
    except Exception:  # damaged after the first
        return 1


def _decode_with_pillow(image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode.startswith(("F", "I")):
        return np.asarray(transforms.sixteen_bits(image)).astype(np.uint16)
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        mode += "A"
    to_srgb = color_profiles.create_srgb_transform(image.mode, image.info.get("icc_profile"))
    width, height = image.size
    samples = np.empty((height, width, len(mode)) if len(mode) > 1 else (height, width), np.uint8)
    for top in range(0, height, _ROWS):
        strip = image.crop((0, top, width, min(top + _ROWS, height)))
        strip = ImageCms.applyTransform(strip, to_srgb) if to_srgb else strip.convert(mode)  # type: ignore[assignment]
        samples[top : top + _ROWS] = np.asarray(strip)
    return samples


def _read_metadata(image: Image.Image, data: bytes) -> dict[str, Any]:
    """`Photo.metadata` of a Pillow image and its file."""
    info = image.info
    metadata: dict[str, Any] = {
        key: info[key] for key in ("icc_profile", "xmp", "comment") if isinstance(info.get(key), bytes)
    }
    # Gray values are used as they are and CMYK becomes sRGB: their profiles would be wrong for the result.
    if metadata.get("icc_profile", b"")[16:20] != b"RGB ":
        metadata.pop("icc_profile", None)
    if image.format == "MPO":  # its XMP describes a second image, which is not written
        metadata.pop("xmp", None)
    if "xmp" in metadata:
        metadata["xmp"] = _XMP_ORIENTATION.sub(b"", metadata["xmp"])
    has_dpi = not isinstance(image, TiffImagePlugin.TiffImageFile) or exif.RESOLUTION[0] in image.tag_v2
    dpi = tuple(float(value) for value in info.get("dpi", ()) if has_dpi)  # Pillow invents one for a TIFF
    if len(dpi) == 2 and all(0 < value < 65536 for value in dpi):  # damaged files have other values, also NaN
        metadata["dpi"] = dpi
    if image.format == "PNG":  # strings are texts; EXIF and XMP in texts are handled elsewhere
        texts = {str(key): text for key, text in info.items() if isinstance(text, str)}
        others = ("XML:com.adobe.xmp", "Raw profile type ")
        metadata["text"] = {key: text for key, text in texts.items() if not key.startswith(others)}
    iptc = dict(info.get("photoshop") or {}).get(_IPTC, b"")
    if 0 < len(iptc) < _MAX_JPEG_SEGMENT_BYTES:
        block = struct.pack(">14s4sHHL", b"Photoshop 3.0", b"8BIM", _IPTC, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
        metadata["extra"] = struct.pack(">HH", 0xFFED, len(block) + 2) + block
    if image.format == "WEBP":
        metadata["lossless"] = _is_lossless_webp(data)
    try:
        tiff = data if image.format == "TIFF" else info.get("exif") or Image.Image.getexif(image).tobytes()
        if copied := exif.copy_exif(tiff.removeprefix(b"Exif\0\0")):
            metadata["exif"] = b"Exif\0\0" + copied
    except Exception:  # only EXIF is damaged
        pass
    return metadata


def _is_lossless_webp(data: bytes) -> bool:
    chunk = 12
    while data[chunk : chunk + 4] in (b"VP8X", b"ICCP"):  # chunks that may precede the pixels
        size = int.from_bytes(data[chunk + 4 : chunk + 8], "little")
        chunk += 8 + size + size % 2
    return data[chunk : chunk + 4] == b"VP8L"
