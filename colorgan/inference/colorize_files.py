"""Photographs and videos from files and folders, in color, to an output folder or beside the originals."""

import collections
import contextlib
import dataclasses
import functools
import mimetypes
import os
import stat
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from colorgan.data import transforms
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
from colorgan.data.workers import num_cores
from colorgan.errors import UserError, printable, reason
from colorgan.inference import color_detection, video
from colorgan.media import photo_file, video_file
from colorgan.media.video_file import VIDEO_SUFFIXES, WRITTEN_SUFFIXES

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer

SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
_RESULT_SUFFIXES = {**RESULT_SUFFIXES, **video_file.RESULT_SUFFIXES}
MAX_THREADS = 8
_MAX_SHARED_PIXELS = 16_000_000  # of photographs that are in memory together: up to 0.1 GB each, 0.3 GB with 16 bits


@dataclasses.dataclass(frozen=True)
class Settings:
    """How files are colored.

    Attributes:
      strength, saturation, border, levels: see `Colorizer.__call__`; the latter two are for photographs.
      smoothing: see `video.colorize_video`.
      overwrite: whether existing files are replaced.
      skip_color: whether photographs that have color already are left.
    """

    strength: float = 1.0
    saturation: float = 1.0
    smoothing: float = video.DEFAULT_SMOOTHING
    overwrite: bool = False
    border: str = "auto"
    levels: str = "keep"
    skip_color: bool = False


@dataclasses.dataclass
class Result:
    """What was done, so far if it was interrupted.

    Attributes:
      num_colored: the number of files colored.
      num_there: the number of files that existed already and were kept.
      had_color: the photographs that had color already, which were colored anew or left.
      last: the result that was written last.
      failures: a printable line for each file that failed, and for each folder that cannot be read.
      videos: a report for each video, by name.
    """

    num_colored: int = 0
    num_there: int = 0
    had_color: list[Path] = dataclasses.field(default_factory=list)
    last: Path | None = None
    failures: list[str] = dataclasses.field(default_factory=list)
    videos: dict[str, video.VideoReport] = dataclasses.field(default_factory=dict)


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
            result = _name_result(source)
            target = output / Path(name).parent / result if output else source.with_name(_insert_ending(result))
            real = _real(source)
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


def _real(path: Path) -> Path:
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
    found = [path for folder, name in names if (path := folder / name).is_file()]
    others = collections.Counter(path.suffix or "no suffix" for path in found if path.suffix.lower() not in SUFFIXES)
    counts = ", ".join(f"{count} {printable(suffix)}" for suffix, count in sorted(others.items()))
    lines += [f"left out, as neither photographs nor videos by their suffixes: {counts}"] if others else []
    if num_results := sum(map(_is_result, {*found, *inputs})):
        lines.append(f"left out, as results that have their original beside them: {num_results}")
    return lines


def describe_result(result: Result, settings: Settings, output: Path | None) -> list[str]:
    """How many files were colored and what was not done as for these, in lines for the user."""
    where = f"into {output}" if output else "beside the originals"
    lines = [printable(f"colored, {where}: {result.num_colored}, the last one {result.last}")] if result.last else []
    lines += [f"failed: {failure}" for failure in result.failures]
    if result.num_there:
        lines.append(f"already there and kept (--overwrite replaces them): {result.num_there}")
    if count := len(result.had_color):
        what = "left" if settings.skip_color else "colored anew (--skip-color leaves them)"
        lines.append(
            f"photographs that had color already, {what}: {count}, the last one {printable(str(result.had_color[-1]))}"
        )
    return lines


def colorize_files(
    files: Sequence[tuple[Path, Path]], output: Path | None, colorizer: "Colorizer", settings: Settings, result: Result
) -> None:
    """Colors files, with a progress bar on a terminal. One that fails does not stop the others.

    Photographs are read, painted and written in several threads, up to one of more than `_MAX_SHARED_PIXELS` at a time.

    Args:
      files: of `find_files`.
      output: the folder for the results, which exists, if they are not beside the originals.
      colorizer: predicts the colors.
      settings: how.
      result: updated after each file in their order, so that it is up to date after an interruption.
    """
    taken = {_real(source): source for source, _ in files}
    pending: collections.deque[tuple[Path, Path, Future[bool]]] = collections.deque()
    num_threads = min(MAX_THREADS, num_cores())
    threads, large = ThreadPoolExecutor(num_threads), threading.Lock()
    try:
        for source, target in tqdm(files, unit=" files", dynamic_ncols=True, disable=None):  # no bar in a pipe
            with _recording_failure(source, target, result):
                _check_target(target, output or target.parent, taken)
                taken[_real(target)] = source
                if target.exists() and not settings.overwrite:
                    result.num_there += 1
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.suffix.lower() in VIDEO_SUFFIXES:
                    name = str(target.relative_to(output) if output else target)
                    result.videos[name] = _colorize_video(source, target, colorizer, settings)
                    result.num_colored, result.last = result.num_colored + 1, target
                else:
                    work = threads.submit(_colorize_photograph, source, target, colorizer, settings, large)
                    pending.append((source, target, work))
            while len(pending) > num_threads:
                _finish(*pending.popleft(), settings, result)
    finally:
        if is_interrupted := isinstance(sys.exception(), KeyboardInterrupt):
            threads.shutdown(cancel_futures=True)
        for source, target, work in pending:
            if not (is_interrupted and work.cancelled()):
                _finish(source, target, work, settings, result)
        threads.shutdown()


def _finish(source: Path, target: Path, work: "Future[bool]", settings: Settings, result: Result) -> None:
    """Waits for a photograph, and adds it to the result."""
    with _recording_failure(source, target, result):
        had_color = work.result()
        if had_color:
            result.had_color.append(source)
        if not (had_color and settings.skip_color):
            result.num_colored, result.last = result.num_colored + 1, target


@contextlib.contextmanager
def _recording_failure(source: Path, target: Path, result: Result) -> Iterator[None]:
    try:
        yield
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


def _colorize_photograph(
    source: Path, target: Path, colorizer: "Colorizer", settings: Settings, large: threading.Lock
) -> bool:
    """Returns whether the photograph has color already. `large` is held by the one large photograph in work."""
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError("neither a photograph nor a video that can be read: save it as JPEG or MP4")
    try:
        return _colorize_pixels(photo_file.read_photo(source, _MAX_SHARED_PIXELS), target, colorizer, settings)
    except transforms.TooManyPixelsError:
        with large:
            return _colorize_pixels(photo_file.read_photo(source), target, colorizer, settings)


def _colorize_pixels(photo: photo_file.Photo, target: Path, colorizer: "Colorizer", settings: Settings) -> bool:
    had_color = color_detection.has_color(photo.pixels)
    if had_color and settings.skip_color:
        return True
    colored = photo.as_rgb()
    options = settings.strength, settings.saturation, colored.pixels, settings.border, settings.levels
    colorizer.colorize(photo.pixels, *options)
    del photo  # if it was gray, it is not in memory while the file is encoded
    photo_file.write_photo(target, colored)
    return had_color


def _colorize_video(source: Path, target: Path, colorizer: "Colorizer", settings: Settings) -> video.VideoReport:
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
