"""A film's frames in colour: the chroma planes are painted, the luma plane stays the film's own."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from colorgan.inference.colorizer import Colorizer, paint, shrink
from colorgan.media.temporal_smoothing import ChromaSmoother

if TYPE_CHECKING:
    import av

BATCH_SIZE = 8  # frames that the network sees at once, and that are held

# FFmpeg's numbers of what a film is tagged with, AVColorSpace, and of what swscale converts with, SWS_CS.
_BT709, _SMPTE170M = 1, 6
_MATRICES = {_BT709: 1, 4: 4, 5: 5, _SMPTE170M: 5, 7: 7, 9: 9}
_LIMITED, _FULL = 1, 2  # AVColorRange


class Look(NamedTuple):
    """What frames are written as.

    Attributes:
      pixel_format: "yuv420p" or "yuv444p".
      colorspace: the matrix between YUV and RGB, a key of `_MATRICES`.
      color_range: `_LIMITED` or `_FULL`.
      quarter_turns: counterclockwise, that a player gives them: the network sees them upright.
    """

    pixel_format: str
    colorspace: int
    color_range: int
    quarter_turns: int

    @classmethod
    def of(cls, frame: "av.VideoFrame", takes_odd_sizes: bool) -> "Look":
        """The look of a film that begins with `frame`."""
        is_odd = frame.width % 2 or frame.height % 2
        colorspace = frame.colorspace
        if colorspace not in _MATRICES:  # not tagged, or no YUV: what players take it for
            colorspace = _BT709 if frame.width >= 1280 or frame.height > 576 else _SMPTE170M
        return cls(
            "yuv444p" if is_odd and not takes_odd_sizes else "yuv420p",
            colorspace,
            _FULL if frame.color_range == _FULL else _LIMITED,
            round(frame.rotation / 90),
        )


def color_frames(
    frames: Iterable["av.VideoFrame"],
    colorizer: Colorizer,
    smoother: ChromaSmoother,
    look: Look,
    paint_fn: Callable[..., np.ndarray] = paint,
) -> Iterator["av.VideoFrame"]:
    """The frames in colour, one after the other, with the times that they had. Takes `BATCH_SIZE` at a time."""
    frames = iter(frames)
    while batch := list(itertools.islice(frames, BATCH_SIZE)):
        small = [shrink(_luma(frame, look, frame.width, frame.height), colorizer.image_size) for frame in batch]
        upright = [np.rot90(gray, look.quarter_turns) for gray in small]
        # The last batch is filled up: for another size the network would be compiled again.
        chroma = colorizer.predict_chroma(np.stack(upright + upright[-1:] * (BATCH_SIZE - len(batch))))
        for frame, gray, predicted in zip(batch, small, np.rot90(chroma, -look.quarter_turns, (1, 2)), strict=False):
            yield _with_chroma(frame, look, functools.partial(paint_fn, small=gray, chroma=smoother(gray, predicted)))


def _with_chroma(frame: "av.VideoFrame", look: Look, paint_fn: Callable[[np.ndarray], np.ndarray]) -> "av.VideoFrame":
    """The frame with other chroma planes: what `paint_fn` makes of its luma at their size.

    Painted colours have the film's luma by Rec. 601. Another matrix reads another luma from them; since the film's own
    luma plane stays, R, G and B are then shown shifted alike, by that difference. Rounding to RGB in between moves
    chroma by at most a step.
    """
    import av

    matrix = _MATRICES[look.colorspace]
    tags = {"src_colorspace": matrix, "dst_colorspace": matrix, "dst_color_range": look.color_range}
    colored = frame.reformat(format=look.pixel_format, src_color_range=look.color_range, **tags)
    colored.make_writable()  # the decoder may need its own once more
    colored.pict_type = 0  # the encoder chooses
    rgb = paint_fn(_luma(frame, look, colored.planes[1].width, colored.planes[1].height))
    painted = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv444p", **tags)
    for n in (1, 2):
        _pixels(colored.planes[n])[:] = _pixels(painted.planes[n])
    return colored


def _luma(frame: "av.VideoFrame", look: Look, width: int, height: int) -> np.ndarray:
    """Full-range luma of a frame at this size, uint8 [H,W]."""
    gray = frame.reformat(
        width, height, "gray", interpolation="AREA", src_color_range=look.color_range, dst_color_range=_FULL
    )
    return gray.to_ndarray()


def _pixels(plane: "av.video.plane.VideoPlane") -> np.ndarray:
    """uint8 [H,W], the plane's own memory."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
