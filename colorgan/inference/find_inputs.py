"""The photographs and videos in files and folders, and the paths of their results."""

import collections
import functools
import mimetypes
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from colorgan.data.folder import (
    IMAGE_SUFFIXES,
    RESULT_ENDING,
    RESULT_SUFFIXES,
    find_images,
    is_result,
    original_stem,
    suffixes_with_result,
)
from colorgan.data.folder import find_files as find_folder_files
from colorgan.errors import UserError, printable
from colorgan.inference import hints
from colorgan.media import photo_file, video_file
from colorgan.media.video_file import VIDEO_SUFFIXES, WRITTEN_SUFFIXES

SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
_RESULT_SUFFIXES = {**RESULT_SUFFIXES, **video_file.RESULT_SUFFIXES}


def find_files(
    inputs: Sequence[Path], output: Path | None, failures: list[str] | None = None
) -> Iterator[tuple[Path, Path]]:
    """Every file in `inputs`, and every photograph and video in its folders, with the path of its result.

    Without `output` the result of NAME.EXT is NAME-colorized.EXT beside it. Such results are left out, and where
    `output` is inside a folder of `inputs`, the files in it. The same pair comes once. A format that cannot be written
    becomes the nearest that can, and an animated GIF an MP4.

    Args:
      inputs: files and folders.
      output: the folder for the results or, for one file, the result itself (`is_file_name`).
      failures: gets a line for each input that does not exist and for each folder that cannot be read.

    Raises:
      UserError: no input exists, one is the output, or is a folder without photographs and videos; or, without
        `failures`, an input does not exist or a folder cannot be read.
    """
    missing = [_describe_missing(path) for path in inputs if not _exists(path)]
    if missing and (failures is None or len(missing) == len(inputs)):
        raise UserError(missing[0])
    if failures is not None:
        failures += missing
    inputs = [path for path in inputs if _exists(path)]
    is_file = output is not None and is_file_name(inputs, output)
    below = real_path(output) if output else None
    same = [below == real_path(path if is_file or path.is_dir() else path.parent) for path in inputs]
    if all(same) or any(is_same and path.is_dir() for is_same, path in zip(same, inputs, strict=True)):
        raise UserError(f"{printable(str(output))} is both the input and the output: choose another --output")
    if output and is_file:
        yield inputs[0], output
        return

    on_error = None if failures is None else functools.partial(_report, failures)
    seen = set()
    for path in inputs:
        names = find_images(str(path), SUFFIXES, on_error) if path.is_dir() else [""]
        left_out = below if below and below.is_relative_to(real_path(path)) else None
        for name in names:
            source = path / name
            result = _name_result(source)
            target = output / Path(name).parent / result if output else source.with_name(_insert_ending(result))
            real = real_path(source)
            if not ((real, target) in seen or _is_result(source) or (left_out and real.is_relative_to(left_out))):
                seen.add((real, target))
                yield source, target


def is_file_name(inputs: Sequence[Path], output: Path) -> bool:
    """Whether `output` names a file, not a folder: it has the suffix of one. There must be one input then, a file.

    Raises:
      UserError: it has the suffix of a file but there are several inputs or a folder, or the format cannot be written.
    """
    if output.suffix.lower() not in SUFFIXES or output.is_dir():
        if len(inputs) == 1 and inputs[0].is_file() and mimetypes.guess_type(output.name)[0] and not output.is_dir():
            raise UserError(f"--output={printable(str(output))}: {output.suffix} is no format that can be written")
        return False
    if len(inputs) != 1 or not inputs[0].is_file():
        raise UserError(
            f"--output={printable(str(output))} is a file, for one photograph: for more name a folder, or none for "
            "results beside the originals"
        )
    result = _name_result(inputs[0])
    expected, suffix = Path(result).suffix.lower(), output.suffix.lower()
    is_video = expected in VIDEO_SUFFIXES
    is_written = suffix in WRITTEN_SUFFIXES if is_video else photo_file.suffix_of_result(suffix) == suffix
    if expected in SUFFIXES and not (is_written and (suffix in VIDEO_SUFFIXES) == is_video):
        written = WRITTEN_SUFFIXES if is_video else photo_file.WRITTEN_SUFFIXES
        raise UserError(f"--output={printable(str(output))} must end in one of {', '.join(written)}")
    return True


def _exists(path: Path) -> bool:
    """Whether there is a file or folder. Raises UserError where that cannot be known."""
    try:
        return stat.S_IFMT(path.stat().st_mode) in (stat.S_IFREG, stat.S_IFDIR)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"cannot read {printable(str(path))}: {error.strerror}") from error


def _describe_missing(path: Path) -> str:
    name = printable(str(path))
    return f"{name} is neither a file nor a folder" if path.exists() else f"there is no file or folder {name}"


def _report(failures: list[str], error: OSError) -> None:
    failures.append(printable(f"{error.filename}: {error.strerror}"))


def real_path(path: Path) -> Path:
    """`path` without links. Unlike `Path.resolve` it accepts loops of links, which Python 3.13 accepts too."""
    return Path(os.path.realpath(path))


def _name_result(source: Path) -> str:
    """The name of a file's result in another folder: its own, but for the suffix if its format cannot be written."""
    if source.suffix.lower() in VIDEO_SUFFIXES:
        suffix = _RESULT_SUFFIXES.get(source.suffix.lower(), source.suffix)
    elif photo_file.is_animated_gif(source):
        suffix = ".mp4"
    elif source.suffix.lower() in IMAGE_SUFFIXES:
        suffix = photo_file.suffix_of_result(source.suffix)
    else:  # a file that was named, such as a photograph without a suffix
        suffix = photo_file.suffix_of_content(source) or video_file.suffix_of_content(source) or source.suffix
    if suffix == source.suffix:
        return source.name
    others = [suffix, suffix.upper(), *suffixes_with_result(suffix, _RESULT_SUFFIXES)]
    is_taken = any(source.with_suffix(other).exists() for other in others if other != source.suffix)
    is_free = source.suffix.lower() in SUFFIXES and not is_taken
    return (source.stem if is_free else source.name) + suffix


def _insert_ending(name: str) -> str:
    return f"{Path(name).stem}{RESULT_ENDING}{Path(name).suffix}"


def _is_result(path: Path) -> bool:
    """Whether it is the result of a file beside it."""
    if is_result(path, _RESULT_SUFFIXES):
        return True
    original = original_stem(path) if path.suffix == ".mp4" else ""
    animations = (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)) if original else ()
    return any(photo_file.is_animated_gif(path.with_name(original + suffix)) for suffix in animations)


def describe_files(inputs: Sequence[Path], files: Sequence[tuple[Path, Path]]) -> list[str]:
    """What differs from a file to its result and what is left out, in lines for the user.

    Args:
      inputs: of the command.
      files: of `find_files`.
    """
    changes = collections.Counter(
        (source.suffix.lower() or "no suffix", target.suffix)
        for source, target in files
        if source.suffix.lower() != target.suffix.lower()
    )
    counts = ", ".join(f"{count} {printable(old)} as {new}" for (old, new), count in sorted(changes.items()))
    lines = [f"results in another format: {counts}"] if changes else []
    folders = [path for path in inputs if path.is_dir()]
    names = ((folder, name) for folder in folders for name in find_folder_files(str(folder), lambda error: None))
    found = [path for folder, name in names if not name.endswith(hints.SUFFIX) and (path := folder / name).is_file()]
    others = collections.Counter(path.suffix or "no suffix" for path in found if path.suffix.lower() not in SUFFIXES)
    counts = ", ".join(f"{count} {printable(suffix)}" for suffix, count in sorted(others.items()))
    lines += [f"left out, as neither photographs nor videos by their suffixes: {counts}"] if others else []
    if num_results := sum(map(_is_result, {*found, *inputs})):
        lines.append(f"left out, as results that have their original beside them: {num_results}")
    return lines
