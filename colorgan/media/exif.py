"""Copies EXIF from one photograph to another, byte by byte.

Pillow decodes and encodes it again, which turns "©" into "?" and guesses the types.
"""

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

# EXIF is a TIFF without pixels, and its tags are TIFF's.
ORIENTATION, XMP, ICC_PROFILE = 274, 700, 34675
RESOLUTION = (282, 283, 296)
Directories: TypeAlias = Mapping[int, "Directories"]  # by the tags that point to them
_DIRECTORIES: Directories = {34665: {40965: {}}, 34853: {}}  # EXIF, which contains interoperability; GPS
# Tags that describe the stored pixels, that are written elsewhere, or that contain the photograph again (SubIFDs,
# Photoshop's thumbnail and layers).
_LEFT_OUT = {*range(254, 269), *range(273, 282), 284, *range(288, 294), 301, *range(317, 348), *range(512, 533)}
_LEFT_OUT |= {400, XMP, *range(32995, 32999), 34377, ICC_PROFILE, 37724, 40962, 40963}
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}

NONE = b"II*\0\x08\0\0\0" + bytes(6)  # empty EXIF


class Entry(NamedTuple):
    """An entry of a directory.

    Attributes:
      kind: the type of the values, a key of `_TYPE_BYTES`.
      count: how many values there are.
      value: their bytes, in the byte order of the TIFF.
    """

    kind: int
    count: int
    value: bytes


Directory = dict[int, Entry]  # by tag


def byte_order(tiff: bytes) -> Literal["<", ">"]:
    """The byte order, "<" or ">" as in `struct`. Raises ValueError if it is not a TIFF (or a BigTIFF)."""
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        raise ValueError("not a TIFF")
    return "<" if tiff[:2] == b"II" else ">"


def read_directory(tiff: bytes, offset: int | None = None) -> Directory:
    """The entries of a directory, by default the first, that are valid for other pixels, by tag.

    Raises:
      ValueError, struct.error: it is damaged.
    """
    order = byte_order(tiff)
    if offset is None:
        (offset,) = struct.unpack_from(order + "L", tiff, 4)
    (num_entries,) = struct.unpack_from(order + "H", tiff, offset)
    entries = {}
    for n in range(num_entries):
        tag, kind, count, value = struct.unpack_from(order + "HHL4s", tiff, offset + 2 + 12 * n)
        size = count * _TYPE_BYTES.get(kind, 0)
        if size > 4:
            (at,) = struct.unpack(order + "L", value)
            value = tiff[at : at + size]
        if tag not in _LEFT_OUT and 0 < size <= len(value):
            entries[tag] = Entry(kind, count, value[:size])
    return entries


def copy_exif(tiff: bytes) -> bytes:
    """EXIF, or that of a TIFF's first page, without orientation, thumbnail and tags of its pixels; b"" if none.

    Raises:
      ValueError, struct.error: it is damaged.
    """
    entries = read_directory(tiff)
    header = tiff[:4] + struct.pack(byte_order(tiff) + "L", 8)
    return header + _pack(tiff, entries, 8, _DIRECTORIES) if entries else b""


def _pack(tiff: bytes, entries: Directory, place: int, directories: Directories) -> bytes:
    """The bytes of a directory at `place`, followed by what it points to; `directories` are the tags of directories."""
    order = byte_order(tiff)
    inner: dict[int, Directory] = {}
    for tag in directories.keys() & entries.keys():
        try:
            inner[tag] = read_directory(tiff, *struct.unpack(order + "L", entries[tag].value))
        except struct.error:  # an invalid pointer, which Pillow itself writes at times
            entries = {other: entry for other, entry in entries.items() if other != tag}
    head, rest = struct.pack(order + "H", len(entries)), b""
    behind = place + 2 + 12 * len(entries) + 4
    for tag, (kind, count, value) in sorted(entries.items()):
        if tag in inner:
            value = _pack(tiff, inner[tag], behind + len(rest), directories[tag])
        if tag in inner or len(value) > 4:
            value, rest = struct.pack(order + "L", behind + len(rest)), rest + value + bytes(len(value) % 2)
        head += struct.pack(order + "HHL4s", tag, kind, count, value)
    return head + bytes(4) + rest
