"""JPEG 2000 with more than 8 bits and with metadata, neither of which Pillow 13.0 reads or writes in color.

A file consists of boxes (ISO 15444-1, annex I): a length, a type of four letters, and the content.
"""

import struct
from collections.abc import Iterator
from typing import IO, Any

import imagecodecs
import numpy as np
from PIL import Image

_EXIF_ID = b"JpgTiffExif->JP2"
_XMP_ID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SIZE_MARKER = b"\xff\x4f\xff\x51"  # of a codestream, at its beginning
_NUM_COMPONENTS, _COMPONENTS = 40, 42  # their places after the marker
_SRGB, _GRAY = 16, 17  # color spaces
_ICC_METHOD = 2


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The type, the begin of the content and the end of each box."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">L4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        stop = start + size if size else end
        if size and size < head:
            return
        yield kind, start + head, min(stop, end)
        start = stop


def _is_file(data: bytes) -> bool:
    """Whether it has boxes; otherwise it is a codestream alone."""
    return data[4:8] == b"jP  "


def decode(image: Image.Image, data: bytes) -> np.ndarray | None:
    """The samples of a photograph with more than 8 bits, uint16; None for others, which Pillow reads.

    Args:
      image: Pillow's, not decoded.
      data: the file.

    Raises:
      Exception: of many types, for files that are damaged.
    """
    start = data.find(_SIZE_MARKER)
    components = data[start + _COMPONENTS :][: 3 * data[start + _NUM_COMPONENTS + 1]]
    depths = set(components[::3])  # one less than the bits; 128 is added where they are signed
    if len(depths) != 1 or not 8 <= max(depths) < 16 or set(components) - depths - {1}:
        return None
    if image.mode not in ("I;16", "LA", "RGB", "RGBA") or _color_space(data) not in (_SRGB, _GRAY, None):
        return None
    samples = imagecodecs.jpeg2k_decode(data[start:], numthreads=0)  # without boxes: OpenJPEG would apply the profile
    if samples.dtype != np.uint16 or samples.shape[2:] not in ((), (2,), (3,), (4,)):
        return None
    most = 2 ** (max(depths) + 1) - 1
    if most < 65535:
        samples = ((samples.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)
    return samples


def _color_space(data: bytes) -> int | None:
    """The number of the color space; None where there is a profile or a codestream alone."""
    for at, _ in _color_boxes(data):
        if data[at] != _ICC_METHOD:
            return struct.unpack_from(">L", data, at + 3)[0]
    return None


def _color_boxes(data: bytes) -> Iterator[tuple[int, int]]:
    for kind, at, end in _boxes(data) if _is_file(data) else ():
        if kind == b"jp2h":
            yield from ((begin, stop) for inner, begin, stop in _boxes(data, at, end) if inner == b"colr")


def read_metadata(data: bytes) -> dict[str, bytes]:
    """The `icc_profile`, `exif` and `xmp` of a file, as in `info` of Pillow's images."""
    metadata = {}
    for at, end in _color_boxes(data):
        if data[at] == _ICC_METHOD:
            metadata["icc_profile"] = data[at + 3 : end]
    for kind, at, end in _boxes(data) if _is_file(data) else ():
        key = {_EXIF_ID: "exif", _XMP_ID: "xmp"}.get(data[at : at + 16])
        if kind == b"uuid" and key:
            metadata[key] = data[at + 16 : end]
    return metadata


def write(file: IO[bytes], samples: np.ndarray, metadata: dict[str, Any]) -> None:
    """Writes a lossless file of uint8 or uint16 samples with the `icc_profile`, `exif` and `xmp` of `metadata`."""
    encoded = bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(samples), level=0, reversible=True, numthreads=0))
    profile = metadata.get("icc_profile")
    for kind, at, end in _boxes(encoded):
        content = encoded[at:end]
        if kind == b"jp2h" and profile:
            inner = [(name, encoded[begin:stop]) for name, begin, stop in _boxes(encoded, at, end)]
            colr = bytes([_ICC_METHOD, 0, 0]) + profile
            content = b"".join(_box(name, colr if name == b"colr" else part) for name, part in inner)
        if kind == b"jp2c":  # the pixels, the last box
            exif = metadata.get("exif", b"").removeprefix(b"Exif\0\0")
            for identifier, value in ((_EXIF_ID, exif), (_XMP_ID, metadata.get("xmp", b""))):
                file.write(_box(b"uuid", identifier + value) if value else b"")
        file.write(_box(kind, content))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L4s", len(content) + 8, kind) + content
