"""The luma and chroma planes of video frames, at 8 or 10 bits, with PyAV."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import av

# FFmpeg's numbers of the tag, AVColorSpace, and of the matrix with which swscale converts, SWS_CS.
_BT709, _SMPTE170M = 1, 6
_MATRICES = {_BT709: 1, 4: 4, 5: 5, _SMPTE170M: 5, 7: 7, 9: 9}
_LIMITED, _FULL = 1, 2  # AVColorRange
_MIN_SIDE = 64  # of frames with 10 bits: libx265 4.2 writes beyond its memory if they are smaller


class FrameFormat(NamedTuple):
    """The format in which frames are written.

    Attributes:
      num_bits: 8, or 10 for frames of more than 8.
      is_subsampled: whether chroma has half the size of luma (4:2:0), else the same size (4:4:4).
      colorspace: the matrix between YUV and RGB, a key of `_MATRICES`.
      color_range: `_LIMITED` or `_FULL`.
      quarter_turns: counterclockwise rotation by a player; the network sees frames upright.
    """

    num_bits: int
    is_subsampled: bool
    colorspace: int
    color_range: int
    quarter_turns: int

    @classmethod
    def of(cls, frame: "av.VideoFrame", is_vp9: bool) -> "FrameFormat":
        """The format for a video that begins with `frame`, and is written as VP9, or as H.264 or HEVC.

        VP9 takes odd sizes in 4:2:0, and in PyAV's build of libvpx only 8 bits.
        """
        is_odd = frame.width % 2 or frame.height % 2
        colorspace = frame.colorspace
        if colorspace not in _MATRICES:  # untagged, or no YUV: what players assume
            colorspace = _BT709 if frame.width >= 1280 or frame.height > 576 else _SMPTE170M
        is_deep = max(component.bits for component in frame.format.components) > 8
        return cls(
            10 if is_deep and not is_vp9 and min(frame.width, frame.height) >= _MIN_SIDE else 8,
            is_vp9 or not is_odd,
            colorspace,
            _FULL if frame.color_range == _FULL else _LIMITED,
            round(frame.rotation / 90),
        )

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name, such as "yuv420p" or "yuv444p10le"."""
        return ("yuv420p" if self.is_subsampled else "yuv444p") + self._depth

    @property
    def _depth(self) -> str:
        return "10le" if self.num_bits == 10 else ""


def small_luma(frame: "av.VideoFrame", frame_format: FrameFormat) -> np.ndarray:
    """Full-range luma of a frame at its size, uint8 [H,W], for the network."""
    return _luma(frame, frame_format, frame.width, frame.height, "gray")


def _luma(frame: "av.VideoFrame", frame_format: FrameFormat, width: int, height: int, pixels: str) -> np.ndarray:
    ranges = {"src_color_range": frame_format.color_range, "dst_color_range": _FULL}
    return frame.reformat(width, height, pixels, interpolation="AREA", **ranges).to_ndarray()


def with_chroma(
    frame: "av.VideoFrame", frame_format: FrameFormat, paint_fn: Callable[[np.ndarray], np.ndarray]
) -> "av.VideoFrame":
    """The frame with other chroma planes and its own luma plane.

    Painted colors have the frame's luma by Rec. 601. With another matrix their luma differs from it; since the luma
    plane stays, R, G and B are then shown shifted by that difference. The rounding to RGB changes chroma by at most one
    step.

    Args:
      frame: of the video.
      frame_format: the format in which it is written.
      paint_fn: from the luma at the size of the chroma planes, uint8 or with 10 bits uint16 [H,W], to RGB of the same
        type, [H,W,3].
    """
    import av

    matrix = _MATRICES[frame_format.colorspace]
    tags = {"src_colorspace": matrix, "dst_colorspace": matrix, "dst_color_range": frame_format.color_range}
    colored = frame.reformat(format=frame_format.pixel_format, src_color_range=frame_format.color_range, **tags)
    colored.make_writable()  # the decoder may need its own again
    colored.pict_type = 0  # chosen by the encoder
    gray, rgb, dtype = ("gray16le", "rgb48le", "<u2") if frame_format.num_bits > 8 else ("gray", "rgb24", "u1")
    pixels = paint_fn(_luma(frame, frame_format, colored.planes[1].width, colored.planes[1].height, gray))
    painted = av.VideoFrame.from_ndarray(pixels, rgb).reformat(format="yuv444p" + frame_format._depth, **tags)
    for n in (1, 2):
        _pixels(colored.planes[n], dtype)[:] = _pixels(painted.planes[n], dtype)
    return colored


def _pixels(plane: "av.video.plane.VideoPlane", dtype: str) -> np.ndarray:
    """The memory of the plane, [H,W]."""
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
    return rows[: plane.height, : plane.width]
