"""Photographs from files and to files, with what the files say about them."""

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

from colorgan.data import transforms
from colorgan.data.folder import read_image_file
from colorgan.media import exif, png_tiff
from colorgan.run import storage

log = logging.getLogger(__name__)

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF"}
_FORMATS[".tiff"] = "TIFF"
# Colour at its full resolution: it is what this is about. Each format takes what it knows.
_OPTIONS = {"quality": 95, "subsampling": 0, "exact": True}
_ROWS = 256  # are converted at a time, which keeps copies small
_MAX_JPEG_SEGMENT_BYTES = 65_000  # for EXIF, XMP, IPTC: a little less than there is room for
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>')
_IPTC = 0x0404  # Photoshop's number for captions and rights


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph, upright.

    Attributes:
      samples: uint8 or uint16, gray [H,W], gray and alpha [H,W,2], RGB [H,W,3] or RGBA [H,W,4]: one array, as decoders
        and encoders have it, since a copy of a large one is a gigabyte.
      metadata: what else the file held, as arguments of Pillow's `save`: `exif` without orientation and thumbnail,
        `icc_profile` if it is of RGB, `dpi`, `xmp`, `comment`, `extra` (a JPEG's IPTC), `lossless` (WebP); and
        `text`, a PNG's, by keyword.
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
        """Itself, or of a gray one a new one that has room for colours."""
        if self.pixels.ndim == 3:
            return self
        channels = [self.pixels] * 3 + ([] if self.alpha is None else [self.alpha])
        return dataclasses.replace(self, samples=np.stack(channels, axis=-1))


def read_photo(path: Path) -> Photo:
    """A photograph as it is to be seen; of several pages the first.

    Values are the file's, 16 bits where it has more than 8; palettes and CMYK become RGB. Arrays can be written to.

    Raises:
      Exception: of many kinds, from the decoder, for anything that `transforms.decode_image` would not read either.
    """
    samples, orientation, metadata = _decode(path)
    rows = slice(None, None, -1 if orientation in (3, 4, 6, 7) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 7, 8) else 1)
    samples = samples[rows, columns]
    if orientation >= 5:
        samples = samples.swapaxes(0, 1)
    return Photo(np.ascontiguousarray(samples), metadata)


def write_photo(path: Path, photo: Photo) -> None:
    """Writes a file in the format that the suffix of `path` names, whole or not at all.

    What the format cannot hold is left out: JPEG, WebP and BMP get 8 bits, JPEG and BMP what is transparent on white.

    Raises:
      ValueError: the suffix names no format.
      OSError: it cannot be written.
    """
    image_format = _FORMATS.get(path.suffix.lower(), "")
    if not image_format:
        raise ValueError(f"{path.suffix!r} names no format to write: use one of {', '.join(_FORMATS)}")
    samples, metadata = photo.samples, dict(photo.metadata)
    if photo.pixels.ndim == 2:
        metadata.pop("icc_profile", None)
    if samples.dtype == np.uint16 and image_format not in ("PNG", "TIFF"):
        samples = ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    with storage.whole_file(path) as scratch, open(scratch, "xb") as file:
        if image_format == "TIFF":
            png_tiff.write_tiff(file, samples, metadata)
        elif samples.dtype == np.uint16:
            pixel = io.BytesIO()
            _save(Image.new("L", (1, 1)), pixel, "PNG", metadata)
            png_tiff.write_png(file, samples, pixel.getvalue())
        else:
            _save(Image.fromarray(samples), file, image_format, metadata)


def _save(image: Image.Image, file: IO[bytes], image_format: str, metadata: Mapping[str, Any]) -> None:
    options = _OPTIONS | dict(metadata)
    if image_format in ("JPEG", "BMP") and image.mode in ("LA", "RGBA"):
        image = transforms.to_rgb(image)
    if image_format == "JPEG":
        options |= {key: b"" for key in ("exif", "xmp") if len(options.get(key, b"")) > _MAX_JPEG_SEGMENT_BYTES}
    if image_format == "PNG":
        options["pnginfo"] = texts = PngImagePlugin.PngInfo()
        for key, text in options.pop("text", {}).items():
            texts.add_text(key, text)
        if "xmp" in options:
            texts.add_itxt("XML:com.adobe.xmp", options["xmp"].decode("utf-8", "replace"))
    image.save(file, image_format, **options)


def _decode(path: Path) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Samples, as `beyond_pillow` has them, the EXIF orientation that they are stored with, and the metadata."""
    data = read_image_file(path)
    image = transforms.open_image(data)
    samples = png_tiff.decode(image, data)
    if samples is None:
        samples = _decode_with_pillow(image)  # it turns a TIFF itself, which then has no orientation any more
    elif image.format == "PNG":
        image = transforms.open_image(png_tiff.png_without_pixels(data))
    metadata = _read_metadata(image, data)
    try:
        # Not PNG's own method, which would decode the pixels first.
        orientation = int(Image.Image.getexif(image).get(exif.ORIENTATION, 1))
    except Exception:  # damaged EXIF, of which there is much, is no reason to refuse a photograph
        orientation = 1
    if (num_pages := _count_pages(data)) > 1:
        log.warning("%s holds %d pages or frames: only the first is read", path, num_pages)
    return samples, orientation if 1 <= orientation <= 8 else 1, metadata


def _count_pages(data: bytes) -> int:
    """Of a TIFF, or of what moves; 1 for a JPEG, in which cameras and phones hide others."""
    image = transforms.open_image(data)
    try:
        return 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    except Exception:  # damaged behind the first
        return 1


def _decode_with_pillow(image: ImageFile.ImageFile) -> np.ndarray:
    image.load()
    if image.mode.startswith(("F", "I")):
        return np.asarray(transforms.sixteen_bits(image)).astype(np.uint16)
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        mode += "A"
    to_srgb = _create_srgb_transform(image)
    width, height = image.size
    samples = np.empty((height, width, len(mode)) if len(mode) > 1 else (height, width), np.uint8)
    for top in range(0, height, _ROWS):
        strip = image.crop((0, top, width, min(top + _ROWS, height)))
        strip = ImageCms.applyTransform(strip, to_srgb) if to_srgb else strip.convert(mode)  # type: ignore[assignment]
        samples[top : top + _ROWS] = np.asarray(strip)
    return samples


def _create_srgb_transform(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """From CMYK by its profile; None if it has none, or a damaged one, and for other modes."""
    if image.mode != "CMYK" or not (profile := image.info.get("icc_profile")):
        return None
    try:
        return ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _read_metadata(image: ImageFile.ImageFile, data: bytes) -> dict[str, Any]:
    """`Photo.metadata` of an image of Pillow's and its file."""
    info = image.info
    metadata: dict[str, Any] = {
        key: info[key] for key in ("icc_profile", "xmp", "comment") if isinstance(info.get(key), bytes)
    }
    # Gray values are taken as they are and CMYK becomes sRGB: their profiles would be wrong for what comes out.
    if metadata.get("icc_profile", b"")[16:20] != b"RGB ":
        metadata.pop("icc_profile", None)
    if image.format == "MPO":  # its XMP tells of a second image, which will not be there
        metadata.pop("xmp", None)
    if "xmp" in metadata:
        metadata["xmp"] = _XMP_ORIENTATION.sub(b"", metadata["xmp"])
    has_dpi = not isinstance(image, TiffImagePlugin.TiffImageFile) or exif.RESOLUTION[0] in image.tag_v2
    dpi = tuple(float(value) for value in info.get("dpi", ()) if has_dpi)  # Pillow makes one up for a TIFF
    if len(dpi) == 2 and all(0 < value < 65536 for value in dpi):  # damaged files have others, NaN too
        metadata["dpi"] = dpi
    if image.format == "PNG":  # what is a string there is a text; EXIF and XMP in disguise have been seen to
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
    except Exception:  # damaged; the photograph is not
        pass
    return metadata


def _is_lossless_webp(data: bytes) -> bool:
    chunk = 12
    while data[chunk : chunk + 4] in (b"VP8X", b"ICCP"):  # these may stand before the pixels
        size = int.from_bytes(data[chunk + 4 : chunk + 8], "little")
        chunk += 8 + size + size % 2
    return data[chunk : chunk + 4] == b"VP8L"
