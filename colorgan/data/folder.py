"""`folder:PATH`: image files in a folder and its subfolders."""

import array
import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from colorgan.errors import UserError, printable

# Of the formats of `transforms.FORMATS`. Files are read by their content: a wrong suffix of these does no harm.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
)
# Lower-case names of folders in which NAS and operating systems keep previews, deleted files and snapshots.
SYSTEM_FOLDERS = frozenset(
    ("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp")  # Synology, QNAP
    + ("$recycle.bin", "system volume information", "__macosx", "lost+found")
)
# Results of `colorgan colorize`: the ending of their names beside the originals, and the nearest format that is written
# for those that are not. HEIC has no free encoder, GIF 256 colors, MPO two images.
RESULT_ENDING = "-colorized"
RESULT_SUFFIXES = {".heic": ".jpg", ".heif": ".jpg", ".hif": ".jpg", ".mpo": ".jpg", ".gif": ".png"}
RESULT_SUFFIXES |= dict.fromkeys((".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), ".jp2")
MAX_FILE_BYTES = 2 * 2**30  # a 16-bit RGB image of `transforms.MAX_PIXELS` has 1.2 GB

log = logging.getLogger(__name__)


class FolderSource:
    """Image files in a folder and its subfolders, in the order of `find_images`.

    Args:
      folder: a path; a leading ~ is expanded.
      with_results: whether images are read that `is_result` finds; if not, their number is logged.

    Raises:
      UserError: the folder does not exist, it or a subfolder cannot be read, or it contains no images.
    """

    def __init__(self, folder: str, with_results: bool = False) -> None:
        self._root = os.path.expanduser(folder)
        if not os.path.isdir(self._root):
            raise UserError(f"there is no folder {folder!r} to read images from")
        # One string of all names, not a list: 200,000 objects would take 30 MB here and in every worker.
        names, ends, num_results = bytearray(), array.array("Q"), 0
        for name in find_images(self._root):
            if not with_results and RESULT_ENDING in name and is_result(Path(self._root, name)):
                num_results += 1
                continue
            names += os.fsencode(name)
            ends.append(len(names))
        if not ends:
            raise UserError(f"folder {folder!r} holds no images but results of `colorgan colorize`")
        if num_results:
            message = "left out of folder:%s, as results that have their original beside them: %d"
            log.info(message, printable(folder), num_results)
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


def find_images(
    folder: str,
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[str]:
    """Yields the paths of the image files in a folder and its subfolders, in the order of `find_files`.

    Args:
      folder: an existing folder.
      suffixes: lower-case file name suffixes to look for; files match in either case.
      on_error: called with the error of each folder that cannot be read, which is then left out.

    Yields:
      Paths relative to `folder`.

    Raises:
      UserError: there is no such file or, without `on_error`, a folder cannot be read.
    """
    found = False

    def report(error: OSError) -> None:
        nonlocal found
        if on_error is None:
            raise UserError(f"cannot read the folder {error.filename}: {error.strerror}") from error
        found = True  # perhaps
        on_error(error)

    for name in find_files(folder, report):
        if name.lower().endswith(suffixes):
            found = True
            yield name
    if not found:
        raise UserError(f"folder {folder!r} holds no images ({', '.join(suffixes)})")


def find_files(folder: str, on_error: Callable[[OSError], None]) -> Iterator[str]:
    """Yields the paths of the files in a folder and its subfolders, without hidden ones and `SYSTEM_FOLDERS`.

    Files and subfolders are sorted by name within each folder, so the order does not depend on the file system.
    Symbolic links to folders are followed, and each folder is visited once.

    Args:
      folder: an existing folder, which may itself be hidden.
      on_error: called with the error of each folder that cannot be read, which is then left out.

    Yields:
      Paths relative to `folder`.
    """
    seen = set()
    for parent, folders, files in os.walk(folder, onerror=on_error, followlinks=True):
        if (real := os.path.realpath(parent)) in seen:  # a link back into the tree
            folders.clear()
            continue
        seen.add(real)
        if not os.access(parent, os.X_OK):  # its names can be listed, but nothing in it can be opened
            folders.clear()
            on_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES), parent))
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and name.lower() not in SYSTEM_FOLDERS)
        for file in sorted(files):
            if not file.startswith("."):
                yield os.path.relpath(os.path.join(parent, file), folder)


def original_stem(path: Path) -> str:
    """The name, without suffix, of the file of which `path` would be the result; "" if it has not the name of one."""
    stem = path.stem.removesuffix(RESULT_ENDING)
    return "" if stem in (".", "..", path.stem) else stem


def suffixes_with_result(suffix: str, result_suffixes: Mapping[str, str] = RESULT_SUFFIXES) -> list[str]:
    """The other suffixes whose results have `suffix`, in lower and in upper case."""
    lower = [other for other, result in result_suffixes.items() if result == suffix.lower()]
    return lower + [other.upper() for other in lower]


def is_result(path: Path, result_suffixes: Mapping[str, str] = RESULT_SUFFIXES) -> bool:
    """Whether a file is the result of `colorgan colorize` for one beside it: a-colorized.jpg for a.jpg or a.HEIC.

    Only files whose names have the ending cost a look at the disk. Videos made of animated GIFs are not found.
    """
    original = original_stem(path)
    suffixes = (path.suffix, "", *suffixes_with_result(path.suffix, result_suffixes))
    return bool(original) and any(path.with_name(original + suffix).is_file() for suffix in suffixes)


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
