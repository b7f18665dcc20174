"""Films in colour: every frame is decoded, coloured and encoded again; all else in the file is copied.

Needs PyAV, which brings FFmpeg's libraries: `pip install -e '.[video]'`.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from colorgan.errors import UserError
from colorgan.inference.colorizer import Colorizer, paint
from colorgan.media.temporal_smoothing import ChromaSmoother
from colorgan.media.video_frames import Look, color_frames
from colorgan.run import storage

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

# Containers that keep the time of every frame, and how it is turned. AVI has no times, MPEG-TS no turns.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
DEFAULT_SMOOTHING = 0.9  # less flicker than 0.8 for the same error, on the films of `smoothing._TOLERANCE`

# What plays everywhere. WebM knows neither H.264 nor its scale of quality.
_H264 = ("libx264", {"crf": "18", "preset": "medium"})
_VP9 = ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"})

_FASTSTART = {"movflags": "faststart"}  # an MP4's index comes first, so that browsers show it while it loads


@dataclasses.dataclass(frozen=True)
class VideoReport:
    """What was done to a film.

    Attributes:
      num_frames: frames coloured.
      num_cuts: places where one scene follows another.
      flicker_before: as predicted, see `ChromaSmoother.flicker`: steps of 255.
      flicker_after: the same as smoothed.
    """

    num_frames: int
    num_cuts: int
    flicker_before: float
    flicker_after: float


def colorize_video(
    source: Path,
    target: Path,
    colorizer: Colorizer,
    strength: float = 1.0,
    saturation: float = 1.0,
    smoothing: float = DEFAULT_SMOOTHING,
    progress_fn: Callable[[float], None] = lambda share: None,
) -> VideoReport:
    """Writes the film `source`, taken as gray, in colour to `target`.

    The pictures are written as 8-bit H.264 in 4:2:0, which plays everywhere, or VP9 in a .webm. H.264 has no odd sizes
    in 4:2:0: those are written in 4:4:4, which fewer players know. Times, size, rotation, matrix and range stay as they
    are, and the encoder gets the film's own luma, to the bit where that has 8; sound and subtitles are copied.

    Args:
      source: a file of `VIDEO_SUFFIXES`.
      target: with the suffix of `source`, in a folder that exists; replaced when all is done, or left as it was.
      colorizer: what predicts the colours.
      strength: see `Colorizer.__call__`.
      saturation: see there.
      smoothing: how much the frames before count for the colours of what does not move: 0 for nothing, below 1.
      progress_fn: is told the share of the film that is done, 0 to 1, after every frame.

    Raises:
      UserError: PyAV is missing, or `source` is not a film that can be read, or its frames change their size.
      OSError: `target` cannot be written.
    """
    try:
        import av
    except ImportError as error:
        raise UserError("films need PyAV: pip install -e '.[video]' brings it") from error
    encoder = _VP9 if target.suffix.lower() == ".webm" else _H264
    smoother, num_frames = ChromaSmoother(smoothing), 0
    with storage.whole_file(target) as scratch:
        try:
            first = _first_frame(source)
            look = Look.of(first, takes_odd_sizes=encoder != _H264)
            with av.open(source) as film, av.open(scratch, "w", container_options=_FASTSTART) as colored:
                out = _add_pictures(colored, film, encoder, first, look)
                frames = _frames(film, _copy_others(colored, film))
                paint_fn = functools.partial(paint, strength=strength, saturation=saturation)
                for frame in color_frames(frames, colorizer, smoother, look, paint_fn):
                    colored.mux(out.encode(frame))
                    num_frames += 1
                    if film.duration:
                        progress_fn(min(1.0, max(0.0, frame.time * av.time_base / film.duration)))
                colored.mux(out.encode(None))
        except av.error.FFmpegError as error:
            raise UserError(f"it cannot be read or written as a film: {error.strerror}") from error
    progress_fn(1.0)
    return VideoReport(num_frames, smoother.num_cuts, *smoother.flicker)


def _first_frame(source: Path) -> "av.VideoFrame":
    """What says how a film is turned and what its colours are; it is read once more as part of the film."""
    import av

    with av.open(source) as film:
        for frame in _frames(film):
            return frame
    raise UserError("the film has no frame that can be read")


def _frames(
    film: "av.container.InputContainer", pass_on: Callable[["av.Packet"], None] = lambda packet: None
) -> Iterator["av.VideoFrame"]:
    """The film's frames as they are shown. Packets of other streams go to `pass_on` when they come up."""
    import av

    pictures = film.streams.best("video")
    if pictures is None:
        raise UserError("the film has no pictures that can be read")
    size, last, num_broken = None, None, 0
    for packet in film.demux():
        if packet.stream is not pictures:
            if packet.dts is not None:  # else the end of the stream
                pass_on(packet)
            continue
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            num_broken += 1
            continue
        for frame in frames:
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise UserError(f"the film changes its size at {frame.time:.1f} s: cut it there, and colour the parts")
            if frame.pts is None or (last is not None and frame.pts <= last):
                num_broken += 1
                continue
            last = frame.pts
            yield frame
    length = pictures.duration and float(pictures.duration * pictures.time_base)
    length = length or (film.duration or 0) / av.time_base
    end = 0.0 if last is None else float(last * pictures.time_base)
    if end < 0.9 * length - 1:
        log.warning("%s: its pictures end at %.1f s of %.1f s: the file may be cut short", film.name, end, length)
    if num_broken:
        log.warning("%s: %d broken frames were left out; the others keep their times", film.name, num_broken)


def _add_pictures(
    colored: "av.container.OutputContainer",
    film: "av.container.InputContainer",
    encoder: tuple[str, dict[str, str]],
    first: "av.VideoFrame",
    look: Look,
) -> "av.VideoStream":
    """The stream for coloured frames, tagged as the film's."""
    pictures = film.streams.best("video")
    codec, options = encoder
    out = colored.add_stream(codec, rate=pictures.average_rate or 25, options=options)
    out.width, out.height, out.pix_fmt = first.width, first.height, look.pixel_format
    out.time_base = out.codec_context.time_base = pictures.time_base
    out.codec_context.sample_aspect_ratio = pictures.sample_aspect_ratio or 1
    out.codec_context.colorspace, out.codec_context.color_range = look.colorspace, look.color_range
    out.codec_context.color_primaries, out.codec_context.color_trc = first.color_primaries, first.color_trc
    if matrix := first.side_data.get("DISPLAYMATRIX"):
        out.set_display_matrix(np.frombuffer(matrix, np.int32))
    colored.metadata.update(film.metadata)
    colored.set_chapters(film.chapters())
    return out


def _copy_others(
    colored: "av.container.OutputContainer", film: "av.container.InputContainer"
) -> Callable[["av.Packet"], None]:
    """Adds the film's sound and subtitles, and returns what writes a packet of theirs."""
    copies = {}
    for stream in (*film.streams.audio, *film.streams.subtitles):
        try:
            copies[stream.index] = copy = colored.add_stream_from_template(stream)
        except ValueError as error:
            log.warning("%s: its %s is left out: %s", film.name, stream.type, error)
            continue
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition

    def pass_on(packet: "av.Packet") -> None:
        if copy := copies.get(packet.stream_index):
            packet.stream = copy
            colored.mux(packet)

    return pass_on
