"""Photographs and videos from files and folders to an output folder, in color."""

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
      failures: a line for each file that failed.
      videos: a report for each video, by name.
    """

    num_colored: int = 0
    num_there: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    videos: dict[str, video.VideoReport] = dataclasses.field(default_factory=dict)


def find_files(inputs: Sequence[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    """Every file in `inputs`, and every photograph and video in its folders, with its path below `output`.

    Where `output` is inside such a folder, the files in it are left out.

    Raises:
      UserError: an input does not exist, is the output, or is a folder without photographs and videos.
    """
    below = output.resolve()
    for path in inputs:
        if path.is_file():
            yield path, Path(path.name)
        elif path.is_dir():
            if below == path.resolve():
                raise UserError(f"{path} is both the input and the output: choose another --output")
            is_within = below.is_relative_to(path.resolve())
            for name in find_images(str(path), SUFFIXES):
                if not (is_within and (path / name).resolve().is_relative_to(below)):
                    yield path / name, Path(name)
        else:
            raise UserError(f"there is no file or folder {path}")


def describe_others(inputs: Sequence[Path]) -> str:
    """The files of other types in the folders, which are left out, as "2 .heic, 1 no suffix"; empty if none."""
    files = (path for folder in inputs if folder.is_dir() for path in folder.rglob("[!.]*") if path.is_file())
    others = collections.Counter(path.suffix or "no suffix" for path in files if path.suffix.lower() not in SUFFIXES)
    return ", ".join(f"{count} {printable(suffix)}" for suffix, count in sorted(others.items()))


def colorize_files(
    files: Sequence[tuple[Path, Path]], output: Path, colorizer: Colorizer, settings: Settings, result: Result
) -> None:
    """Colors files, with a progress bar on a terminal. One that fails does not stop the others.

    Args:
      files: of `find_files`.
      output: the folder for the results, which exists.
      colorizer: predicts the colors.
      settings: how.
      result: updated after each file, so that it is up to date after an interruption.
    """
    taken = {source.resolve(): source for source, _ in files}
    for source, name in tqdm(files, unit=" files", dynamic_ncols=True, disable=None):  # no bar in a pipe
        target = output / name
        try:
            _check_target(target, output, taken)
            taken[target.resolve()] = source
            if target.exists() and not settings.overwrite:
                result.num_there += 1
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix.lower() in VIDEO_SUFFIXES:
                result.videos[str(name)] = _colorize_video(source, target, colorizer, settings)
            else:
                _colorize_photograph(source, target, colorizer, settings)
            result.num_colored += 1
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
    colorizer.colorize(photo.pixels, settings.strength, settings.saturation, out=colored.pixels)
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
