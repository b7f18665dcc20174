"""What visitors of the page upload and get: for each a folder that nobody else can guess, and when it is deleted."""

import contextlib
import dataclasses
import os
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from colorgan.data import transforms
from colorgan.data.folder import IMAGE_SUFFIXES
from colorgan.errors import UserError, reason
from colorgan.inference import find_inputs, video
from colorgan.inference.hints import Hint
from colorgan.inference.paint import Prediction, paint, shrink
from colorgan.media import video_file
from colorgan.media.photo_file import Photo, read_photo, write_photo

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer, Prepared

MAX_PHOTOS = 50  # of one visitor
MAX_VIDEO_SECONDS = 60
_VISITS = "visits"  # the folder with those of the visitors
_KEPT_SECONDS, _KEPT_AFTER_LEAVING = 3600, 300
_KEPT_UPLOADS, _KEPT_UPLOADS_IF_FULL = 900, 60  # seconds, for those that wait for their turn
_MAX_BYTES = 10 * 10**9  # of all visitors together
_BYTES_PER_PIXEL = 20  # of the rare photographs that take most: docs/photographs.md
_PREVIEW_SIZE, _THUMBNAIL_SIZE = 1600, 320  # pixels; the first is for large screens


@dataclasses.dataclass
class Opened:
    """A photograph with its predicted colors, which `paint` can apply with any strength and saturation.

    Attributes:
      source: the upload.
      name: of the result.
      prediction: with the hints.
      prepared: what another prediction needs.
      unhinted: the chroma of the prediction without hints, as `Prediction.chroma`.
      gray: a file with what the browser shows, in gray.
      colored: the same in color.
      thumbnail: small, in color.
      strength: that of `colored`.
      saturation: that of `colored`.
      hints: those of `prediction`, with fractions.
      revision: of the last `page_hints.Message`.
      place: of the last `page_hints.Message`.
    """

    source: Path
    name: str
    prediction: Prediction
    prepared: "Prepared"
    unhinted: np.ndarray
    gray: Path
    colored: Path
    thumbnail: Path
    strength: float = 1.0
    saturation: float = 1.0
    hints: list[Hint] = dataclasses.field(default_factory=list)
    revision: int = 0
    place: tuple[float, float] | None = None


@dataclasses.dataclass
class Visit:
    """A visitor.

    Attributes:
      folder: for all files of this visitor.
      photos: by a key that the browser sends back.
      shown: the key of the one that was chosen last.
      messages: about the last uploads.
      used: the time of the last event.
      left: the time at which the page was closed, or lost its connection.
      downloads: the folders of the last files for download, one for photographs and one for videos.
    """

    folder: Path
    photos: dict[str, Opened] = dataclasses.field(default_factory=dict)
    shown: str = ""
    messages: list[str] = dataclasses.field(default_factory=list)
    used: float = 0.0
    left: float | None = None
    downloads: dict[str, Path] = dataclasses.field(default_factory=dict)

    def take(self, upload: Path) -> Path:
        """An upload under its name in a new folder. The upload itself stays: Gradio has one for equal files."""
        self.used = time.time()  # many large photographs take their time
        path = Path(tempfile.mkdtemp(dir=self.folder), upload.name)
        try:
            os.link(upload, path)
        except FileNotFoundError as error:
            raise UserError(f"{upload.name} has been deleted from this machine: drop it again.") from error
        except OSError:  # a file system without links
            shutil.copy(upload, path)
        return path

    def new_download(self, name: str, kind: str = "photographs") -> Path:
        """A path for a file for download, which replaces the one before of its kind."""
        self._delete_download(kind)
        self.downloads[kind] = Path(tempfile.mkdtemp(dir=self.folder))
        return self.downloads[kind] / name

    def _delete_download(self, kind: str) -> None:
        if folder := self.downloads.pop(kind, None):
            shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Deletes the photographs. A video may be in work, or be played."""
        self._delete_download("photographs")
        for opened in self.photos.values():
            shutil.rmtree(opened.source.parent, ignore_errors=True)
        self.photos, self.shown, self.messages = {}, "", []


class Visits:
    """The visitors by the name of their session, which each browser draws and sends to this server only."""

    def __init__(self, root: Path) -> None:
        """`root` is the folder that Gradio serves and uploads to."""
        self._root, self._visits, self._lock = root, dict[str, Visit](), threading.Lock()
        (root / _VISITS).mkdir(exist_ok=True)

    def of(self, session: str) -> Visit:
        """The visitor, who is not gone."""
        with self._lock:
            if session not in self._visits:
                folder = self._root / _VISITS / secrets.token_urlsafe(16)
                folder.mkdir()
                self._visits[session] = Visit(folder)
            visit = self._visits[session]
            visit.used, visit.left = time.time(), None
            return visit

    def leave(self, session: str) -> None:
        """The page was closed, or a phone has lost its connection and comes back."""
        if visit := self._visits.get(session):
            visit.left = time.time()

    def sweep(self, kept: Collection[str] = (), now: float | None = None, max_bytes: int = _MAX_BYTES) -> None:
        """Deletes what is not needed any more, and the visitors used longest ago while all take more than `max_bytes`.

        Args:
          kept: names in the folder that stay.
          now: the time, by default of the clock.
          max_bytes: of all files.
        """
        now = now or time.time()
        num_bytes = _num_bytes(self._root)
        seconds = _KEPT_UPLOADS if num_bytes <= max_bytes else _KEPT_UPLOADS_IF_FULL
        for path in self._root.iterdir():
            if path.name not in (_VISITS, *kept):
                delete_older(path, seconds, now)
        with self._lock:
            longest_ago = sorted(self._visits.items(), key=lambda item: item[1].used)
            for session, visit in longest_ago:
                is_gone = visit.left is not None and now - visit.left > _KEPT_AFTER_LEAVING
                if is_gone or now - visit.used > _KEPT_SECONDS or num_bytes > max_bytes:
                    num_bytes -= _num_bytes(visit.folder)
                    del self._visits[session]
                    shutil.rmtree(visit.folder, ignore_errors=True)


def _num_bytes(folder: Path) -> int:
    """The size of all files, where names of the same file count once."""
    sizes = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # it does not exist any more
                status = Path(parent, name).stat()
                sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def delete_older(path: Path, seconds: float, now: float) -> None:
    """Deletes a file, or the files in a folder, created so long before `now`; and folders empty for as long."""
    inside = [
        Path(parent, name)
        for parent, folders, files in os.walk(path, topdown=False)  # unlike rglob, handles deletions
        for name in files + folders
    ]
    for each in (*inside, path):
        with contextlib.suppress(OSError):  # it does not exist any more, or is not empty
            if now - each.stat().st_ctime > seconds:
                (Path.rmdir if each.is_dir() else Path.unlink)(each)


def max_megapixels(num_bytes: float) -> int:
    """The largest photograph, in megapixels, for a machine with so much free memory: as the command, or less."""
    return int(min(max(num_bytes / _BYTES_PER_PIXEL, 10**6), transforms.MAX_PIXELS) / 10**6)


def read_upload(path: Path, megapixels: int) -> Photo:
    """Reads a photograph.

    Raises:
      UserError: it was deleted, is not a photograph, or has more than `megapixels`, which are not decoded.
    """
    try:
        return read_photo(path, megapixels * 10**6)
    except FileNotFoundError as error:
        raise UserError(f"{path.name} has been deleted from this machine: drop it again.") from error
    except transforms.UnknownFormatError as error:
        raise UserError(f"{path.name} is not a photograph of a known format.") from error
    except transforms.TooManyPixelsError as error:
        raise UserError(f"{path.name} has more than {megapixels} megapixels: make it smaller first.") from error
    except Exception as error:  # decoders raise exceptions of many types
        raise UserError(f"{path.name} cannot be read: {reason(error)}") from error


def open_photo(colorizer: "Colorizer", source: Path, megapixels: int) -> Opened:
    """Predicts the colors of a photograph, and draws its previews beside it.

    Raises:
      UserError: those of `read_upload`, or it is a video.
    """
    ((_, target),) = find_inputs.find_files([source], None)
    if target.suffix.lower() in video_file.VIDEO_SUFFIXES:
        raise UserError(f"{source.name} is a video: drop it on the tab Video.")
    pixels = read_upload(source, megapixels).pixels
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise UserError(f"{source.name} is not a photograph of a known format.")
    preview = shrink(pixels, min(_PREVIEW_SIZE, max(pixels.shape[:2])))
    gray = Image.fromarray(np.clip(np.rint((preview + 1) * 127.5), 0, 255).astype(np.uint8))
    folder = Path(tempfile.mkdtemp(dir=source.parent))
    gray_path, colored_path, thumbnail = (folder / name for name in ("gray.jpg", "colored-0.jpg", "thumbnail.jpg"))
    prepared = colorizer.prepare(pixels)
    predicted = colorizer.predict_prepared(prepared)
    opened = Opened(source, target.name, predicted, prepared, predicted.chroma, gray_path, colored_path, thumbnail)
    gray.save(opened.gray, quality=95)
    _draw(opened)
    with Image.open(opened.colored) as colored:
        colored.thumbnail((_THUMBNAIL_SIZE, _THUMBNAIL_SIZE))
        colored.save(opened.thumbnail, quality=90)
    return opened


def add_photo(colorizer: "Colorizer", visit: Visit, upload: Path, megapixels: int) -> str:
    """Opens an upload as a further photograph of a visitor, and returns its key. Raises the errors of `open_photo`."""
    source = visit.take(upload)
    try:
        opened = open_photo(colorizer, source, megapixels)
    except BaseException:
        shutil.rmtree(source.parent, ignore_errors=True)
        raise
    key = opened.gray.parent.name  # a new one for each upload
    visit.photos[key] = opened
    return key


def repaint(opened: Opened, strength: float, saturation: float) -> None:
    """Draws the preview again, from its prediction. Deletes the one before the last: the browser may load the last."""
    number = int(opened.colored.stem.partition("-")[2])
    opened.colored.with_name(f"colored-{number - 1}.jpg").unlink(missing_ok=True)
    opened.colored = opened.colored.with_name(f"colored-{number + 1}.jpg")
    opened.strength, opened.saturation = strength, saturation
    _draw(opened)


def _draw(opened: Opened) -> None:
    with Image.open(opened.gray) as gray:
        colored = paint(np.asarray(gray), opened.prediction, opened.strength, opened.saturation)
    Image.fromarray(colored).save(opened.colored, quality=95, subsampling=0)


def write_colored(opened: Opened, path: Path, megapixels: int) -> None:
    """Writes the photograph in color, at its own size and with its metadata. Raises the errors of `read_upload`."""
    photo = read_upload(opened.source, megapixels)
    colored = photo.as_rgb()
    paint(photo.pixels, opened.prediction, opened.strength, opened.saturation, out=colored.pixels)
    del photo  # as in `colorize_files`
    write_photo(path, colored)


def write_zip(visit: Visit, megapixels: int, progress_fn: Callable[[int], None] = lambda number: None) -> Path:
    """Writes all photographs of a visitor, in color, into a zip; of equal names the later ones get a number.

    `progress_fn` gets the number of each photograph, from 1. Raises the errors of `read_upload`.
    """
    if not visit.photos:
        raise UserError("The photographs have been deleted from this machine: drop them again.")
    path, names = visit.new_download("photographs-colorized.zip"), set[str]()
    with zipfile.ZipFile(path, "w") as file:
        for number, opened in enumerate(visit.photos.values(), 1):
            progress_fn(number)
            stem, suffix = Path(opened.name).stem, Path(opened.name).suffix
            numbered = (f"{stem} ({n}){suffix}" for n in range(2, MAX_PHOTOS + 2))
            name = next(name for name in (opened.name, *numbered) if name not in names)
            names.add(name)
            scratch = path.with_name(f"photograph{suffix}")
            write_colored(opened, scratch, megapixels)
            file.write(scratch, name)
            scratch.unlink()
    return path


def color_video(colorizer: "Colorizer", visit: Visit, upload: Path, progress_fn: Callable[[float], None]) -> Path:
    """Writes a video in color, as MP4 or WebM, which browsers play.

    Stops when the visitor is gone. `progress_fn` gets the fraction that is done.

    Raises:
      UserError: it is not a video, too long, or cannot be read; or PyAV is missing.
    """
    source = visit.take(upload)
    ((_, target),) = find_inputs.find_files([source], None)
    if target.suffix.lower() not in video_file.VIDEO_SUFFIXES:
        raise UserError(f"{source.name} is not a video of a known format.")
    if _num_seconds(source) > MAX_VIDEO_SECONDS:
        raise UserError(
            f"{source.name} is longer than {MAX_VIDEO_SECONDS} seconds: colorgan colorize takes any length."
        )
    suffix = ".webm" if target.suffix.lower() == ".webm" else ".mp4"
    path = visit.new_download(target.with_suffix(suffix).name, "video")

    def report(share: float) -> None:
        if not path.parent.exists():
            raise UserError("the visitor is gone")
        visit.used = time.time()
        progress_fn(share)

    try:
        video.colorize_video(source, path, colorizer, progress_fn=report)
    except UserError as error:
        raise UserError(f"{source.name}: {error}.") from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be written: {reason(error)}.") from error
    finally:
        shutil.rmtree(source.parent, ignore_errors=True)
    return path


def _num_seconds(path: Path) -> float:
    """The length of a video by its packets: some files do not state it. 0 if it cannot be read."""
    try:
        with video_file.open_video(path) as container:
            stream = container.streams.best("video")
            packets = container.demux(stream) if stream else ()
            times = [float(packet.dts * packet.time_base) for packet in packets if packet.dts is not None]
    except ImportError as error:
        raise UserError("videos need PyAV: pip install 'colorgan[video]'.") from error
    except (OSError, ValueError):
        return 0.0
    return max(times, default=0.0) - min(times, default=0.0)
