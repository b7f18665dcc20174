"""Videos in color: every frame is decoded, colored and encoded again; everything else in the file is copied."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from colorgan.errors import UserError
from colorgan.inference.paint import Prediction, paint, shrink
from colorgan.media import video_file, video_reading
from colorgan.media.temporal_smoothing import ChromaSmoother
from colorgan.media.video_frames import FrameFormat, small_luma, with_chroma
from colorgan.run.storage import whole_file

if TYPE_CHECKING:
    import av

    from colorgan.inference.colorizer import Colorizer

BATCH_SIZE = 8  # frames that the network colors at once, and that are in memory
DEFAULT_SMOOTHING = 0.9  # less flicker than 0.8 for the same error, on the videos of `temporal_smoothing._TOLERANCE`


@dataclasses.dataclass(frozen=True)
class VideoReport:
    """What was done to a video.

    Attributes:
      num_frames: the number of colored frames.
      num_cuts: the number of places where one scene follows another.
      flicker_before: as predicted, see `ChromaSmoother.flicker`: steps of 255.
      flicker_after: the same after smoothing.
    """

    num_frames: int
    num_cuts: int
    flicker_before: float
    flicker_after: float


def colorize_video(
    source: Path,
    target: Path,
    colorizer: "Colorizer",
    strength: float = 1.0,
    saturation: float = 1.0,
    smoothing: float = DEFAULT_SMOOTHING,
    progress_fn: Callable[[float], None] = lambda share: None,
) -> VideoReport:
    """Writes the video `source`, treated as gray, in color to `target`.

    Frames are written as 8-bit H.264 in 4:2:0, which plays everywhere, or VP9 in a .webm. H.264 has no odd sizes in
    4:2:0: those are written in 4:4:4, which fewer players support. Times, size, rotation, matrix and range are kept,
    and the encoder gets the luma of the video, exactly where that has 8 bits; audio and subtitles are copied.

    Args:
      source: a file of `video_file.VIDEO_SUFFIXES`.
      target: with the suffix of `source`, in a folder that exists; replaced at the end, or left as it was.
      colorizer: predicts the colors.
      strength: see `Colorizer.__call__`.
      saturation: see `Colorizer.__call__`.
      smoothing: weight of the previous frames for the colors of what does not move: 0 for none, below 1.
      progress_fn: called after every frame with the fraction of the video that is done, 0 to 1.

    Raises:
      UserError: PyAV is missing, `source` is not a video that can be read, or its frames change their size.
      OSError: `target` cannot be written.
    """
    try:
        import av
    except ImportError as error:
        raise UserError("this is a video, and videos need PyAV: pip install 'colorgan[video]'") from error
    smoother, num_frames = ChromaSmoother(smoothing), 0
    with whole_file(target) as scratch:
        try:
            first = video_reading.first_frame(source)
            frame_format = FrameFormat.of(first, video_file.is_vp9(target))
            with video_file.open_video(source) as video, video_file.create_video(scratch) as colored:
                out = video_file.add_video_stream(colored, video, target, first, frame_format)
                write_packet = video_file.copy_other_streams(colored, video)
                frames = video_reading.read_frames(video, write_packet)
                paint_fn = functools.partial(paint, strength=strength, saturation=saturation)
                for frame in color_frames(frames, colorizer, smoother, frame_format, paint_fn):
                    colored.mux(out.encode(frame))
                    num_frames += 1
                    if video.duration:
                        progress_fn(min(1.0, max(0.0, frame.time * av.time_base / video.duration)))
                colored.mux(out.encode(None))
                write_packet(None)
        except av.error.FFmpegError as error:
            raise UserError(f"it cannot be read or written as a video: {error.strerror}") from error
    progress_fn(1.0)
    return VideoReport(num_frames, smoother.num_cuts, *smoother.flicker)


def color_frames(
    frames: Iterable["av.VideoFrame"],
    colorizer: "Colorizer",
    smoother: ChromaSmoother,
    frame_format: FrameFormat,
    paint_fn: Callable[..., np.ndarray] = paint,
) -> Iterator["av.VideoFrame"]:
    """The frames in color, in order and with their times. Reads `BATCH_SIZE` at a time."""
    frames = iter(frames)
    while batch := list(itertools.islice(frames, BATCH_SIZE)):
        small = [shrink(small_luma(frame, frame_format), colorizer.image_size) for frame in batch]
        upright = [np.rot90(gray, frame_format.quarter_turns) for gray in small]
        # The last batch is filled up: the network would be compiled again for another size.
        chroma = colorizer.predict_chroma(np.stack(upright + upright[-1:] * (BATCH_SIZE - len(batch))))
        for frame, gray, predicted in zip(
            batch, small, np.rot90(chroma, -frame_format.quarter_turns, (1, 2)), strict=False
        ):
            paint_frame = functools.partial(paint_fn, prediction=Prediction(gray, smoother(gray, predicted)))
            yield with_chroma(frame, frame_format, paint_frame)
