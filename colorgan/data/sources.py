"""The kinds of data source, and how the string of a flag or a config names one.

procedural:COUNT      synthetic images
folder:PATH           JPEG, PNG, WebP, BMP and TIFF files, subfolders included
array_record:GLOB     shards written by `colorgan prepare`
tfds:NAME/SPLIT       a dataset of TensorFlow Datasets, downloaded on first use

A new kind is a class with the methods of `source.Source`, and one line in `_KINDS`.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from colorgan.data.array_record import ArrayRecordSource
from colorgan.data.folder import FolderSource
from colorgan.data.source import Source
from colorgan.data.synthetic.source import ProceduralSource
from colorgan.data.tfds import TfdsSource
from colorgan.errors import UserError

TRAIN_SEED, VALIDATION_SEED = 0, 1  # of synthetic images


def _accept(argument: str) -> None:
    """Accepts every string, for kinds whose string can only be checked by opening the source."""
    del argument


class _Kind(NamedTuple):
    """A kind of data source.

    Attributes:
      syntax: what follows the colon, for messages.
      create: a function of the string after the colon, the image size in pixels and the random seed. Only synthetic
        images use the last two. Raises UserError.
      check: raises UserError if the syntax of the string after the colon is wrong, without opening anything.
      is_own: whether the images are the user's own: neither synthetic nor of a public dataset.
    """

    syntax: str
    create: Callable[[str, int, int], Source]
    check: Callable[[str], None] = _accept
    is_own: bool = True


_KINDS = {
    "procedural": _Kind("COUNT", ProceduralSource, ProceduralSource.check, is_own=False),
    "folder": _Kind("PATH", lambda path, size, seed: FolderSource(path)),
    "array_record": _Kind("GLOB", lambda pattern, size, seed: ArrayRecordSource(pattern)),
    "tfds": _Kind("NAME/SPLIT", lambda name, size, seed: TfdsSource(name), TfdsSource.check, is_own=False),
}
KINDS = tuple(f"{name}:{kind.syntax}" for name, kind in _KINDS.items())


def check_name(name: str) -> None:
    """Checks the string of a data source without opening it.

    Raises:
      UserError: the kind is unknown, or the syntax is wrong.
    """
    _parse(name)


def is_own(name: str) -> bool:
    """Whether a data source holds the user's own images. Raises the errors of `check_name`."""
    kind, _ = _parse(name)
    return kind.is_own


def open_source(name: str, size: int, seed: int = VALIDATION_SEED, with_results: bool = False) -> Source:
    """Opens a data source.

    Args:
      name: a string in the form of one of `KINDS`.
      size: side of synthetic images in pixels. Other images keep their own size.
      seed: random seed of synthetic images. Separates training images from validation images.
      with_results: see `FolderSource`.

    Raises:
      UserError: the string is wrong, there is no such data, or it contains no images.
    """
    kind, argument = _parse(name)
    if with_results and kind is _KINDS["folder"]:
        return FolderSource(argument, with_results=True)
    return kind.create(argument, size, seed)


def _parse(name: str) -> tuple[_Kind, str]:
    kind, _, argument = name.partition(":")
    if kind not in _KINDS or not argument:
        hint = f"; did you mean folder:{name}?" if os.path.isdir(name) else ""
        raise UserError(f"unknown data source {name!r}: use one of {', '.join(KINDS)}{hint}")
    _KINDS[kind].check(argument)
    return _KINDS[kind], argument
