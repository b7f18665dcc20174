"""`folder:PATH`: image files in a folder and its subfolders."""

import array
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from colorgan.errors import UserError

# Of the formats of `transforms.FORMATS`. Files are read by their content: a wrong suffix of these does no harm.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
)
MAX_FILE_BYTES = 2 * 2**30  # a 16-bit RGB image of `transforms.MAX_PIXELS` has 1.2 GB


class FolderSource:
    """Image files in a folder and its subfolders, in the order of `find_images`.

    Args:
      folder: a path; a leading ~ is expanded.

    Raises:
      UserError: the folder does not exist, or contains no images.
    """

    def __init__(self, folder: str) -> None:
        self._root = os.path.expanduser(folder)
        if not os.path.isdir(self._root):
            raise UserError(f"there is no folder {folder!r} to read images from")
        # One string of all names, not a list: 200,000 objects would take 30 MB here and in every worker.
        names, ends = bytearray(), array.array("Q")
        for name in find_images(self._root):
            names += os.fsencode(name)
            ends.append(len(names))
        self._names, self._ends = bytes(names), ends

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, index: int) -> bytes:
        """See `source.Source`."""
        return read_image_file(Path(self._root, self.name(index)))

    def name(self, index: int) -> str:
        """See `source.Source`."""
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._names[start : self._ends[index]])


def find_images(folder: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Iterator[str]:
    """Yields the paths of the image files in a folder and its subfolders, without hidden files.

    Files and subfolders are sorted by name within each folder, so the order does not depend on the file system.
    Symbolic links to folders are followed, and each folder is visited once.

    Args:
      folder: an existing folder.
      suffixes: lower-case file name suffixes to look for; files match in either case.

    Yields:
      Paths relative to `folder`.

    Raises:
      UserError: there is no such file.
    """
    seen, found = set(), False
    for parent, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back into the tree
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(suffixes) and not file.startswith("."):
                found = True
                yield os.path.relpath(os.path.join(parent, file), folder)
    if not found:
        raise UserError(f"folder {folder!r} holds no images ({', '.join(suffixes)})")


def read_image_file(path: Path) -> bytes:
    """Returns the bytes of an image file.

    Raises:
      OSError: the file cannot be read, is larger than `MAX_FILE_BYTES`, or is a pipe or device, which might never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise OSError(f"larger than {MAX_FILE_BYTES / 2**30:g} GiB")
    return path.read_bytes()
