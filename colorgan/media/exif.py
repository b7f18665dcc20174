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
_BIG_TYPE_BYTES = {16: 8, 17: 8, 18: 8}  # of BigTIFF: integers of 64 bits, which become those of 32 bits
_CLASSIC_TYPES = {16: (4, "Q", "L"), 17: (9, "q", "l"), 18: (4, "Q", "L")}

NONE = b"II*\0\x08\0\0\0" + bytes(6)  # empty EXIF


class Entry(NamedTuple):
    """An entry of a directory.

    Attributes:
      kind: the type of the values, a key of `_TYPE_BYTES`.
      num_values: how many there are.
      value: their bytes, in the byte order of the TIFF.
    """

    kind: int
    num_values: int
    value: bytes


Directory = dict[int, Entry]  # by tag


def byte_order(tiff: bytes) -> Literal["<", ">"]:
    """The byte order, "<" or ">" as in `struct`. Raises ValueError if it is neither a TIFF nor a BigTIFF."""
    if tiff[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        raise ValueError("not a TIFF")
    return "<" if tiff[:2] == b"II" else ">"


def read_directory(tiff: bytes, offset: int | None = None) -> Directory:
    """The entries of a directory, by default the first, that are valid for other pixels, by tag.

    Those of a BigTIFF have the types of TIFF.

    Raises:
      ValueError, struct.error: it is damaged.
    """
    order = byte_order(tiff)
    is_big = b"+" in tiff[:4]
    # The layouts of an offset, of the number of entries, and of an entry.
    place, number, entry = (order + part for part in (("Q", "Q", "HHQ8s") if is_big else ("L", "H", "HHL4s")))
    types = _TYPE_BYTES | (_BIG_TYPE_BYTES if is_big else {})
    if offset is None:
        (offset,) = struct.unpack_from(place, tiff, 8 if is_big else 4)
    (num_entries,) = struct.unpack_from(number, tiff, offset)
    first, entries = offset + struct.calcsize(number), {}
    for n in range(num_entries):
        tag, kind, count, value = struct.unpack_from(entry, tiff, first + struct.calcsize(entry) * n)
        size = count * types.get(kind, 0)
        if size > len(value):
            (at,) = struct.unpack(place, value)
            value = tiff[at : at + size]
        if tag not in _LEFT_OUT and 0 < size <= len(value):
            entries[tag] = _as_classic(Entry(kind, count, value[:size]), order)
    return entries


def _as_classic(entry: Entry, order: str) -> Entry:
    """An entry of a BigTIFF with a type of TIFF."""
    if entry.kind not in _CLASSIC_TYPES:
        return entry
    kind, big, classic = _CLASSIC_TYPES[entry.kind]
    values = struct.unpack(f"{order}{entry.num_values}{big}", entry.value)
    return Entry(kind, entry.num_values, struct.pack(f"{order}{entry.num_values}{classic}", *values))


def copy_exif(tiff: bytes) -> bytes:
    """EXIF, or that of a TIFF's first page, without orientation, thumbnail and tags of its pixels; b"" if none.

    Raises:
      ValueError, struct.error: it is damaged.
    """
    entries = read_directory(tiff)
    order = byte_order(tiff)
    header = struct.pack(order + "2sHL", tiff[:2], 42, 8)
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
