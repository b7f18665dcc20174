"""Frames and streams of video files, with PyAV, which includes FFmpeg: `pip install 'colorgan[video]'`."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from colorgan.errors import UserError

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

# Containers that keep the time of every frame and the rotation. AVI has no times, MPEG-TS no rotation.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
CONTAINER_OPTIONS = {"movflags": "faststart"}  # the index of an MP4 comes first, so that browsers play while loading

# H.264 plays everywhere, but takes no odd sizes in 4:2:0. WebM has neither H.264 nor its scale of quality.
_H264 = ("libx264", {"crf": "18", "preset": "medium"})
_VP9 = ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"})

# FFmpeg's numbers of the tag, AVColorSpace, and of the matrix with which swscale converts, SWS_CS.
_BT709, _SMPTE170M = 1, 6
_MATRICES = {_BT709: 1, 4: 4, 5: 5, _SMPTE170M: 5, 7: 7, 9: 9}
_LIMITED, _FULL = 1, 2  # AVColorRange


class FrameFormat(NamedTuple):
    """The format in which frames are written.

    Attributes:
      pixel_format: "yuv420p" or "yuv444p".
      colorspace: the matrix between YUV and RGB, a key of `_MATRICES`.
      color_range: `_LIMITED` or `_FULL`.
      quarter_turns: counterclockwise rotation by a player; the network sees frames upright.
    """

    pixel_format: str
    colorspace: int
    color_range: int
    quarter_turns: int

    @classmethod
    def of(cls, frame: "av.VideoFrame", target: Path) -> "FrameFormat":
        """The format for the file `target` of a video that begins with `frame`."""
        is_odd = frame.width % 2 or frame.height % 2
        colorspace = frame.colorspace
        if colorspace not in _MATRICES:  # untagged, or no YUV: what players assume
            colorspace = _BT709 if frame.width >= 1280 or frame.height > 576 else _SMPTE170M
        return cls(
            "yuv444p" if is_odd and _encoder(target) is _H264 else "yuv420p",
            colorspace,
            _FULL if frame.color_range == _FULL else _LIMITED,
            round(frame.rotation / 90),
        )


def _encoder(target: Path) -> tuple[str, dict[str, str]]:
    return _VP9 if target.suffix.lower() == ".webm" else _H264


def first_frame(source: Path) -> "av.VideoFrame":
    """The first frame, which has the rotation and the colors of the video.

    Raises:
      UserError: no frame can be read.
    """
    import av

    with av.open(source) as video:
        for frame in read_frames(video):
            return frame
    raise UserError("the video has no frame that can be read")


def read_frames(
    video: "av.container.InputContainer", other_packet_fn: Callable[["av.Packet"], None] = lambda packet: None
) -> Iterator["av.VideoFrame"]:
    """The frames in the order in which they are shown. Packets of other streams go to `other_packet_fn`.

    A broken frame is left out, and the number of them is logged; so is a video that ends well before its length.

    Raises:
      UserError: the video has no frames, or they change their size.
    """
    import av

    stream = video.streams.best("video")
    if stream is None:
        raise UserError("the file has no video that can be read")
    size, last, num_broken = None, None, 0
    for packet in video.demux():
        if packet.stream is not stream:
            if packet.dts is not None:  # else the end of the stream
                other_packet_fn(packet)
            continue
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            num_broken += 1
            continue
        for frame in frames:
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise UserError(f"the video changes its size at {frame.time:.1f} s: cut it there, and color the parts")
            if frame.pts is None or (last is not None and frame.pts <= last):
                num_broken += 1
                continue
            last = frame.pts
            yield frame
    length = stream.duration and float(stream.duration * stream.time_base)
    length = length or (video.duration or 0) / av.time_base
    end = 0.0 if last is None else float(last * stream.time_base)
    if end < 0.9 * length - 1:
        log.warning("%s: its frames end at %.1f s of %.1f s: the file may be truncated", video.name, end, length)
    if num_broken:
        log.warning("%s: %d broken frames are left out; the others keep their times", video.name, num_broken)


def add_video_stream(
    target: "av.container.OutputContainer",
    video: "av.container.InputContainer",
    path: Path,
    first: "av.VideoFrame",
    frame_format: FrameFormat,
) -> "av.VideoStream":
    """Adds the stream for colored frames, with the tags of `video`. `path` is that of `target`."""
    stream = video.streams.best("video")
    codec, options = _encoder(path)
    out = target.add_stream(codec, rate=stream.average_rate or 25, options=options)
    out.width, out.height, out.pix_fmt = first.width, first.height, frame_format.pixel_format
    out.time_base = out.codec_context.time_base = stream.time_base
    out.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio or 1
    out.codec_context.colorspace, out.codec_context.color_range = frame_format.colorspace, frame_format.color_range
    out.codec_context.color_primaries, out.codec_context.color_trc = first.color_primaries, first.color_trc
    if matrix := first.side_data.get("DISPLAYMATRIX"):
        out.set_display_matrix(np.frombuffer(matrix, np.int32))
    target.metadata.update(video.metadata)
    target.set_chapters(video.chapters())
    return out


def copy_other_streams(
    target: "av.container.OutputContainer", video: "av.container.InputContainer"
) -> Callable[["av.Packet"], None]:
    """Adds the audio and subtitles of `video`, and returns the function that writes a packet of theirs."""
    copies = {}
    for stream in (*video.streams.audio, *video.streams.subtitles):
        try:
            copies[stream.index] = copy = target.add_stream_from_template(stream)
        except ValueError as error:
            log.warning("%s: its %s is left out: %s", video.name, stream.type, error)
            continue
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition

    def write_packet(packet: "av.Packet") -> None:
        if copy := copies.get(packet.stream_index):
            packet.stream = copy
            target.mux(packet)

    return write_packet


def luma(frame: "av.VideoFrame", frame_format: FrameFormat, width: int, height: int) -> np.ndarray:
    """Full-range luma of a frame at a size, uint8 [height,width]."""
    gray = frame.reformat(
        width, height, "gray", interpolation="AREA", src_color_range=frame_format.color_range, dst_color_range=_FULL
    )
    return gray.to_ndarray()


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
      paint_fn: from the luma at the size of the chroma planes, uint8 [H,W], to RGB, uint8 [H,W,3].
    """
    import av

    matrix = _MATRICES[frame_format.colorspace]
    tags = {"src_colorspace": matrix, "dst_colorspace": matrix, "dst_color_range": frame_format.color_range}
    colored = frame.reformat(format=frame_format.pixel_format, src_color_range=frame_format.color_range, **tags)
    colored.make_writable()  # the decoder may need its own again
    colored.pict_type = 0  # chosen by the encoder
    rgb = paint_fn(luma(frame, frame_format, colored.planes[1].width, colored.planes[1].height))
    painted = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv444p", **tags)
    for n in (1, 2):
        _pixels(colored.planes[n])[:] = _pixels(painted.planes[n])
    return colored


def _pixels(plane: "av.video.plane.VideoPlane") -> np.ndarray:
    """uint8 [H,W], the memory of the plane."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
