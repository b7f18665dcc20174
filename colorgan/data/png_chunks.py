"""Chunks of PNG files that Pillow refuses for their size."""

import struct
import zlib

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def without_large_texts(png: bytes) -> tuple[bytes, list[str]]:
    """Leaves out texts and profiles for which Pillow would refuse a PNG: some programs store megabytes in them.

    Args:
      png: a file. Others than PNG, and those without such chunks, are returned as they are.

    Returns:
      The file, and the keywords of what is left out.
    """
    if not png.startswith(SIGNATURE):
        return png, []
    parts, keywords, kept, at, num_bytes = [], [], 0, len(SIGNATURE), 0
    while at + 8 <= len(png):
        size, kind = struct.unpack_from(">L4s", png, at)
        end = at + 12 + size
        if kind in _TEXTS:
            keyword, _, body = png[at + 8 : end - 4].partition(b"\0")
            text_bytes, is_larger = _measure(kind, body)
            if is_larger or num_bytes + text_bytes > PngImagePlugin.MAX_TEXT_MEMORY:
                keywords.append(keyword.decode("latin-1"))
                parts.append(png[kept:at])
                kept = end
            else:
                num_bytes += text_bytes
        at = end
    return (b"".join([*parts, png[kept:]]), keywords) if keywords else (png, [])


def _measure(kind: bytes, body: bytes) -> tuple[int, bool]:
    """The size of a text in bytes, and whether it is compressed and larger than Pillow's limit for those."""
    if kind == b"tEXt" or (kind == b"iTXt" and body[:1] != b"\1"):
        return len(body), False
    packed = body[1:] if kind != b"iTXt" else body[2:].split(b"\0", 2)[-1]
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:  # Pillow ignores it
        return 0, False
    return len(text), bool(unpacker.unconsumed_tail)
