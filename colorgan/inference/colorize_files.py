"""Photographs and videos from files and folders, in color, to an output folder or beside the originals."""

import collections
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from colorgan.data.folder import IMAGE_SUFFIXES, find_images
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
      strength, saturation, border, levels: see `Colorizer.__call__`; the latter two are for photographs.
      smoothing: see `video.colorize_video`.
      overwrite: whether existing files are replaced.
    """

    strength: float = 1.0
    saturation: float = 1.0
    smoothing: float = video.DEFAULT_SMOOTHING
    overwrite: bool = False
    border: str = "auto"
    levels: str = "keep"


@dataclasses.dataclass
class Result:
    """What was done, so far if it was interrupted.

    Attributes:
      num_colored: the number of files colored.
      num_there: the number of files that existed already and were kept.
      last: the result that was written last.
      failures: a line for each file that failed.
      videos: a report for each video, by name.
    """

    num_colored: int = 0
    num_there: int = 0
    last: Path | None = None
    failures: list[str] = dataclasses.field(default_factory=list)
    videos: dict[str, video.VideoReport] = dataclasses.field(default_factory=dict)


def find_files(inputs: Sequence[Path], output: Path | None) -> Iterator[tuple[Path, Path]]:
    """Every file in `inputs`, and every photograph and video in its folders, with the path of its result.

    Without `output` the result of NAME.EXT is NAME-colorized.EXT beside it. Such results are left out, and where
    `output` is inside a folder of `inputs`, the files in it.

    Raises:
      UserError: an input does not exist, is the output, or is a folder without photographs and videos.
    """
    below = output.resolve() if output else None
    for path in inputs:
        if path.is_dir():
            if below == path.resolve():
                raise UserError(f"{path} is both the input and the output: choose another --output")
            found = [(path / name, name) for name in find_images(str(path), SUFFIXES)]
        elif path.is_file():
            found = [(path, path.name)]
        else:
            raise UserError(f"there is no file or folder {path}")
        left_out = below if below and below.is_relative_to(path.resolve()) else None
        for source, name in found:
            if not (_is_result(source) or (left_out and source.resolve().is_relative_to(left_out))):
                yield source, output / name if output else source.with_stem(source.stem + _ENDING)


def _is_result(path: Path) -> bool:
    """Whether it is the result of a file beside it."""
    original = path.stem.removesuffix(_ENDING)
    return original not in ("", path.stem) and path.with_stem(original).exists()


def describe_others(inputs: Sequence[Path]) -> list[str]:
    """What is left out, in lines for the user: files of other types in the folders, and results of this command."""
    files = [path for folder in inputs if folder.is_dir() for path in folder.rglob("[!.]*") if path.is_file()]
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
    taken = {source.resolve(): source for source, _ in files}
    for source, target in tqdm(files, unit=" files", dynamic_ncols=True, disable=None):  # no bar in a pipe
        try:
            _check_target(target, output or target.parent, taken)
            taken[target.resolve()] = source
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
            result.failures.append(f"{source}: {error.strerror}: {where}")
        except Exception as error:  # decoders raise exceptions of many types
            result.failures.append(f"{source}: {reason(error)}")


def _check_target(target: Path, output: Path, taken: Mapping[Path, Path]) -> None:
    """Raises FileExistsError where nothing may be written; `taken` has the input that uses each path."""
    if other := taken.get(target.resolve()):
        raise FileExistsError(f"{target} is used by {other}: choose another --output")
    if not target.resolve().is_relative_to(output.resolve()):
        raise FileExistsError(f"{target} is a link that leads out of the output folder")


def _colorize_photograph(source: Path, target: Path, colorizer: Colorizer, settings: Settings) -> None:
    if source.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"neither a photograph nor a video by its suffix ({', '.join(SUFFIXES)}); "
            "save other photographs (such as HEIC) as JPEG, and videos with ffmpeg -i VIDEO -c copy video.mkv"
        )
    photo = photo_file.read_photo(source)
    colored = photo.as_rgb()
    options = settings.strength, settings.saturation, colored.pixels, settings.border, settings.levels
    colorizer.colorize(photo.pixels, *options)
    del photo  # if it was gray, it is not in memory while the file is encoded
    photo_file.write_photo(target, colored)


def _colorize_video(source: Path, target: Path, colorizer: Colorizer, settings: Settings) -> video.VideoReport:
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left"
    options: dict[str, Any] = {"leave": False, "dynamic_ncols": True, "disable": None}
    with tqdm(total=1.0, desc=source.name, bar_format=bar_format, file=sys.stderr, **options) as bar:
        return video.colorize_video(
            source,
            target,
            colorizer,
            strength=settings.strength,
            saturation=settings.saturation,
            smoothing=settings.smoothing,
            progress_fn=lambda share: bar.update(share - bar.n),
        )
