"""Photographs and videos from files and folders, in color, to an output folder or beside the originals."""

import collections
import dataclasses
import functools
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from colorgan.data.folder import IMAGE_SUFFIXES, find_images
from colorgan.data.folder import find_files as find_folder_files
from colorgan.errors import UserError, printable, reason
from colorgan.inference import video
from colorgan.inference.colorizer import Colorizer
from colorgan.media import photo_file
from colorgan.media.video_file import VIDEO_SUFFIXES

SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
_ENDING = "-colorized"  # of the names of results beside the originals


@dataclasses.dataclass(frozen=True)
class Settings:
    """How files are colored.

    Attributes:
      strength, saturation: see `Colorizer.__call__`.
      smoothing: see `video.colorize_video`.
      overwrite: whether existing files are replaced.
    """

    strength: float = 1.0
    saturation: float = 1.0
    smoothing: float = video.DEFAULT_SMOOTHING
    overwrite: bool = False


@dataclasses.dataclass
class Result:
    """What was done, so far if it was interrupted.

    Attributes:
      num_colored: the number of files colored.
      num_there: the number of files that existed already and were kept.
      last: the result that was written last.
      failures: a printable line for each file that failed, and for each folder that cannot be read.
      videos: a report for each video, by name.
    """

    num_colored: int = 0
    num_there: int = 0
    last: Path | None = None
    failures: list[str] = dataclasses.field(default_factory=list)
    videos: dict[str, video.VideoReport] = dataclasses.field(default_factory=dict)


def find_files(
    inputs: Sequence[Path], output: Path | None, failures: list[str] | None = None
) -> Iterator[tuple[Path, Path]]:
    """Every file in `inputs`, and every photograph and video in its folders, with the path of its result.

    Without `output` the result of NAME.EXT is NAME-colorized.EXT beside it. Such results are left out, and where
    `output` is inside a folder of `inputs`, the files in it. The same pair comes once.

    Args:
      inputs: files and folders.
      output: the folder for the results or, for one file, the result itself (`is_file_name`).
      failures: gets a line for each folder that cannot be read.

    Raises:
      UserError: an input does not exist, is the output, or is a folder without photographs and videos; or, without
        `failures`, a folder cannot be read.
    """
    if missing := [path for path in inputs if not _exists(path)]:
        raise UserError(f"there is no file or folder {printable(str(missing[0]))}")
    is_file = output is not None and is_file_name(inputs, output)
    below = _real(output) if output else None
    same = [below == _real(path if is_file or path.is_dir() else path.parent) for path in inputs]
    if all(same) or any(is_same and path.is_dir() for is_same, path in zip(same, inputs, strict=True)):
        raise UserError(f"{printable(str(output))} is both the input and the output: choose another --output")
    if output and is_file:
        yield inputs[0], output
        return

    on_error = None if failures is None else functools.partial(_report, failures)
    seen = set()
    for path in inputs:
        names = find_images(str(path), SUFFIXES, on_error) if path.is_dir() else [""]
        left_out = below if below and below.is_relative_to(_real(path)) else None
        for name in names:
            source = path / name
            target = output / (name or path.name) if output else source.with_stem(source.stem + _ENDING)
            real = _real(source)
            if not ((real, target) in seen or _is_result(source) or (left_out and real.is_relative_to(left_out))):
                seen.add((real, target))
                yield source, target


def is_file_name(inputs: Sequence[Path], output: Path) -> bool:
    """Whether `output` names a file, not a folder: it has the suffix of one. There must be one input then, a file.

    Raises:
      UserError: it has the suffix of a file but there are several inputs or a folder, or the format is another one.
    """
    if output.suffix.lower() not in SUFFIXES or output.is_dir():
        return False
    if len(inputs) != 1 or not inputs[0].is_file():
        raise UserError(
            f"--output={printable(str(output))} is a file, for one photograph: for more name a folder, or none for "
            "results beside the originals"
        )
    suffix, other = inputs[0].suffix.lower(), output.suffix.lower()
    if suffix in SUFFIXES and (suffix in VIDEO_SUFFIXES or other in VIDEO_SUFFIXES) and suffix != other:
        raise UserError(f"--output={printable(str(output))} must end in {suffix}, as {printable(inputs[0].name)} does")
    return True


def _exists(path: Path) -> bool:
    """Whether there is a file or folder. Raises UserError where that cannot be known."""
    try:
        return stat.S_IFMT(path.stat().st_mode) in (stat.S_IFREG, stat.S_IFDIR)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"cannot read {printable(str(path))}: {error.strerror}") from error


def _report(failures: list[str], error: OSError) -> None:
    failures.append(printable(f"{error.filename}: {error.strerror}"))


def _real(path: Path) -> Path:
    """`path` without links. Unlike `Path.resolve` it accepts loops of links, which Python 3.13 accepts too."""
    return Path(os.path.realpath(path))


def _is_result(path: Path) -> bool:
    """Whether it is the result of a file beside it."""
    original = path.stem.removesuffix(_ENDING)
    return original not in ("", path.stem) and path.with_stem(original).exists()


def describe_others(inputs: Sequence[Path]) -> list[str]:
    """What is left out, in lines for the user: files of other types in the folders, and results of this command."""
    folders = [path for path in inputs if path.is_dir()]
    names = ((folder, name) for folder in folders for name in find_folder_files(str(folder), lambda error: None))
    files = [path for folder, name in names if (path := folder / name).is_file()]
    others = collections.Counter(path.suffix or "no suffix" for path in files if path.suffix.lower() not in SUFFIXES)
    counts = ", ".join(f"{count} {printable(suffix)}" for suffix, count in sorted(others.items()))
    lines = [f"left out, as neither photographs nor videos ({', '.join(SUFFIXES)}): {counts}"] if others else []
    if num_results := sum(map(_is_result, {*files, *inputs})):
        lines.append(f"left out, as results that have their original beside them: {num_results}")
    return lines


def colorize_files(
    files: Sequence[tuple[Path, Path]], output: Path | None, colorizer: Colorizer, settings: Settings, result: Result
) -> None:
    """Colors files, with a progress bar on a terminal. One that fails does not stop the others.

    Args:
      files: of `find_files`.
      output: the folder for the results, which exists, if they are not beside the originals.
      colorizer: predicts the colors.
      settings: how.
      result: updated after each file, so that it is up to date after an interruption.
    """
    taken = {_real(source): source for source, _ in files}
    for source, target in tqdm(files, unit=" files", dynamic_ncols=True, disable=None):  # no bar in a pipe
        try:
            _check_target(target, output or target.parent, taken)
            taken[_real(target)] = source
            if target.exists() and not settings.overwrite:
                result.num_there += 1
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix.lower() in VIDEO_SUFFIXES:
                name = str(target.relative_to(output) if output else target)
                result.videos[name] = _colorize_video(source, target, colorizer, settings)
            else:
                _colorize_photograph(source, target, colorizer, settings)
            result.num_colored += 1
            result.last = target
        except PermissionError as error:
            where = f"{target.parent}; choose another --output" if error.filename != str(source) else str(source)
            result.failures.append(printable(f"{source}: {error.strerror}: {where}"))
        except Exception as error:  # decoders raise exceptions of many types
            result.failures.append(printable(f"{source}: {reason(error)}"))


def _check_target(target: Path, output: Path, taken: Mapping[Path, Path]) -> None:
    """Raises FileExistsError where nothing may be written; `taken` has the input that uses each path."""
    if other := taken.get(_real(target)):
        raise FileExistsError(f"{target} is used by {other}: choose another --output")
    if not _real(target).is_relative_to(_real(output)):
        raise FileExistsError(f"{target} is a link that leads out of the output folder")


def _colorize_photograph(source: Path, target: Path, colorizer: Colorizer, settings: Settings) -> None:
    if source.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"neither a photograph nor a video by its suffix ({', '.join(SUFFIXES)}); "
            "save other photographs (such as HEIC) as JPEG, and videos with ffmpeg -i VIDEO -c copy video.mkv"
        )
    photo = photo_file.read_photo(source)
    colored = photo.as_rgb()
    colorizer.colorize(photo.pixels, settings.strength, settings.saturation, out=colored.pixels)
    del photo  # if it was gray, it is not in memory while the file is encoded
    photo_file.write_photo(target, colored)


def _colorize_video(source: Path, target: Path, colorizer: Colorizer, settings: Settings) -> video.VideoReport:
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left"
    options: dict[str, Any] = {"leave": False, "dynamic_ncols": True, "disable": None}
    with tqdm(total=1.0, desc=printable(source.name), bar_format=bar_format, file=sys.stderr, **options) as bar:
        return video.colorize_video(
            source,
            target,
            colorizer,
            strength=settings.strength,
            saturation=settings.saturation,
            smoothing=settings.smoothing,
            progress_fn=lambda share: bar.update(share - bar.n),
        )
