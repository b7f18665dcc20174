"""Colors photographs and videos, several photographs at a time; one that fails does not stop the others."""

import collections
import contextlib
import dataclasses
import logging
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from colorgan.data import transforms
from colorgan.data.folder import IMAGE_SUFFIXES
from colorgan.data.workers import num_cores
from colorgan.errors import printable, reason
from colorgan.inference import color_detection, hints, video
from colorgan.inference.find_inputs import real_path
from colorgan.inference.hints import Hint
from colorgan.media import photo_file
from colorgan.media.video_file import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer

log = logging.getLogger(__name__)
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
      hints: of the one photograph; None for those in files beside photographs.
    """

    strength: float = 1.0
    saturation: float = 1.0
    smoothing: float = video.DEFAULT_SMOOTHING
    overwrite: bool = False
    border: str = "auto"
    levels: str = "keep"
    skip_color: bool = False
    hints: Sequence[Hint] | None = None


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
      files: of `find_inputs.find_files`.
      output: the folder for the results, which exists, if they are not beside the originals.
      colorizer: predicts the colors.
      settings: how.
      result: updated after each file in their order, so that it is up to date after an interruption.
    """
    taken = {real_path(source): source for source, _ in files}
    pending: collections.deque[tuple[Path, Path, Future[bool]]] = collections.deque()
    num_threads = min(MAX_THREADS, num_cores())
    threads, large = ThreadPoolExecutor(num_threads), threading.Lock()
    try:
        for source, target in tqdm(files, unit=" files", dynamic_ncols=True, disable=None):  # no bar in a pipe
            with _recording_failure(source, target, result):
                _check_target(target, output or target.parent, taken)
                taken[real_path(target)] = source
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
    if other := taken.get(real_path(target)):
        raise FileExistsError(f"{target} is used by {other}: choose another --output")
    if not real_path(target).is_relative_to(real_path(output)):
        raise FileExistsError(f"{target} is a link that leads out of the output folder")


def _colorize_photograph(
    source: Path, target: Path, colorizer: "Colorizer", settings: Settings, large: threading.Lock
) -> bool:
    """Returns whether the photograph has color already. `large` is held by the one large photograph in work."""
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError("neither a photograph nor a video that can be read: save it as JPEG or MP4")
    try:
        return _colorize_pixels(photo_file.read_photo(source, _MAX_SHARED_PIXELS), source, target, colorizer, settings)
    except transforms.TooManyPixelsError:
        with large:
            return _colorize_pixels(photo_file.read_photo(source), source, target, colorizer, settings)


def _find_hints(source: Path, colorizer: "Colorizer", settings: Settings) -> Sequence[Hint]:
    """The hints of a photograph. Those beside it do nothing for a network that takes none."""
    if settings.hints is not None:
        return settings.hints
    path = hints.find_beside(source)
    if path and not colorizer.takes_hints:
        log.warning("%s is not used: this network takes no hints", printable(str(path)))
        return ()
    return hints.read_hints(path) if path else ()


def _colorize_pixels(
    photo: photo_file.Photo, source: Path, target: Path, colorizer: "Colorizer", settings: Settings
) -> bool:
    had_color = color_detection.has_color(photo.pixels)
    if had_color and settings.skip_color:
        return True
    colored = photo.as_rgb()
    options = settings.strength, settings.saturation, colored.pixels, settings.border, settings.levels
    colorizer.colorize(photo.pixels, *options, _find_hints(source, colorizer, settings))
    del photo  # if it was gray, it is not in memory while the file is encoded
    photo_file.write_photo(target, colored)
    return had_color


def _colorize_video(source: Path, target: Path, colorizer: "Colorizer", settings: Settings) -> video.VideoReport:
    if settings.hints is not None:
        raise ValueError("a video takes no hints, which are for one photograph")
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
