"""Video files and their streams, with PyAV, which includes FFmpeg: `pip install 'colorgan[video]'`."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from colorgan.errors import printable
from colorgan.media.video_frames import FrameFormat

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

# Containers that keep the time of every frame and the rotation: those that are written.
WRITTEN_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
# What is not written, and the nearest that is. MKV holds nearly every kind of sound and subtitles.
RESULT_SUFFIXES = {".qt": ".mov"} | dict.fromkeys((".3gp", ".3g2", ".f4v"), ".mp4")
RESULT_SUFFIXES |= dict.fromkeys((".avi", ".divx", ".wmv", ".asf", ".flv", ".ogv", ".dv", ".mxf"), ".mkv")
RESULT_SUFFIXES |= dict.fromkeys((".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".mod", ".mts", ".m2ts"), ".mkv")
VIDEO_SUFFIXES = (*WRITTEN_SUFFIXES, *RESULT_SUFFIXES)
# FFmpeg's names of these formats, and of MPEG-TS in a .ts, a suffix that other files have too.
_READ_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "asf", "flv", "ogg", "dv", "mxf"}
_READ_FORMATS |= {"mpeg", "mpegvideo", "mpegts"}

_OPTIONS = {"movflags": "faststart"}  # the index of an MP4 comes first, so that browsers play while loading

# H.264 plays everywhere, but with 8 bits only; it and HEVC take no odd sizes in 4:2:0. WebM has neither.
_H264 = ("libx264", {"crf": "18", "preset": "medium"})
_HEVC = ("libx265", {"crf": "20", "preset": "fast", "x265-params": "log-level=error"})
_VP9 = ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"})
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # of sound that is encoded, by the number of channels


def suffix_of_content(path: Path) -> str:
    """The suffix of the result for a file whose own says nothing; "" if it is no video, or PyAV is missing."""
    try:
        with open_video(path) as video:
            is_video = video.format.name in _READ_FORMATS and video.streams.best("video") is not None
    except (ImportError, OSError, ValueError):
        return ""
    return (".mp4" if "mp4" in video.format.name else ".mkv") if is_video else ""


def is_vp9(target: Path) -> bool:
    """Whether the file `target` is written as VP9."""
    return target.suffix.lower() == ".webm"


def open_video(source: Path) -> "av.container.InputContainer":
    """The container of a file, to be closed. Raises `av.error.FFmpegError`."""
    import av

    return av.open(source, **_metadata_options())


def create_video(target: Path) -> "av.container.OutputContainer":
    """A new file in the format of its suffix, to be closed. Raises `av.error.FFmpegError`."""
    import av

    return av.open(target, "w", container_options=_OPTIONS, **_metadata_options())


def _metadata_options() -> dict[str, str]:
    """Options with which tags are copied byte by byte, whatever their encoding. PyAV does this from version 19 on."""
    import av

    is_earlier = int(av.__version__.partition(".")[0]) < 19
    return {"metadata_errors": "surrogateescape"} if is_earlier else {}


def add_video_stream(
    target: "av.container.OutputContainer",
    video: "av.container.InputContainer",
    path: Path,
    first: "av.VideoFrame",
    frame_format: FrameFormat,
) -> "av.VideoStream":
    """Adds the stream for colored frames, with the tags of `video`. `path` is that of `target`."""
    stream = video.streams.best("video")
    codec, options = _VP9 if is_vp9(path) else _HEVC if frame_format.num_bits > 8 else _H264
    out = target.add_stream(codec, rate=stream.average_rate or 25, options=options)
    if codec == "libx265" and path.suffix.lower() != ".mkv":
        out.codec_context.codec_tag = "hvc1"  # the one that Apple's players know
    out.width, out.height, out.pix_fmt = first.width, first.height, frame_format.pixel_format
    out.time_base = out.codec_context.time_base = first.time_base
    out.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio or 1
    out.codec_context.colorspace, out.codec_context.color_range = frame_format.colorspace, frame_format.color_range
    out.codec_context.color_primaries, out.codec_context.color_trc = first.color_primaries, first.color_trc
    if matrix := first.side_data.get("DISPLAYMATRIX"):
        out.set_display_matrix(np.frombuffer(matrix, np.int32))
    out.metadata.update({name: stream.metadata[name] for name in ("language", "title") if name in stream.metadata})
    target.metadata.update(video.metadata)
    target.set_chapters(video.chapters())
    return out


def copy_other_streams(
    target: "av.container.OutputContainer", video: "av.container.InputContainer"
) -> Callable[["av.Packet | None"], None]:
    """Adds the audio and subtitles of `video`, and returns the function that writes a packet of theirs.

    That function takes None at the end. Audio that the format cannot hold is encoded again. Other streams that it
    cannot hold, other pictures, data and attachments are named in warnings.
    """
    import av

    colored, name = video.streams.best("video"), printable(video.name)
    writers: dict[int, _Copy | _Transcoder] = {}
    for stream in video.streams:
        if stream is colored:
            continue
        if stream.type in ("audio", "subtitle") and _can_hold(target, stream):
            writers[stream.index] = _Copy(target, stream)
        elif stream.type == "audio" and stream.codec_context:
            writers[stream.index] = transcoder = _Transcoder(target, stream)
            log.warning("%s: encoded again, as %s: %s", name, transcoder.codec, _describe(stream))
        else:
            log.warning("%s: left out: %s", name, _describe(stream))

    def write_packet(packet: "av.Packet | None") -> None:
        for index, writer in writers.items():
            if packet is None or index == packet.stream_index:
                try:
                    writer.write(packet)
                except (av.error.ArgumentError, av.error.InvalidDataError) as error:  # a broken packet
                    log.debug("%s: a packet of stream %d is left out: %s", name, index, error)

    return write_packet


class _Copy:
    """A copy of a stream. `write` takes its packets, which change."""

    def __init__(self, target: "av.container.OutputContainer", stream: "av.stream.Stream") -> None:
        self._target, self._copy = target, target.add_stream_from_template(stream)
        self._copy.metadata.update(stream.metadata)
        self._copy.disposition = stream.disposition

    def write(self, packet: "av.Packet | None") -> None:
        if packet is not None:
            packet.stream = self._copy
            self._target.mux(packet)


class _Transcoder:
    """An audio stream that is encoded again: without loss in an MKV. `write` takes its packets, and None at the end."""

    def __init__(self, target: "av.container.OutputContainer", stream: "av.AudioStream") -> None:
        self.codec = {"matroska": "flac", "webm": "libopus"}.get(target.format.name, "aac")
        rate = 48000 if self.codec == "libopus" else stream.rate
        layout = _LAYOUTS.get(stream.layout.nb_channels, stream.layout.name)  # that of a WMV is not stated
        self._target, self._stream = target, stream
        self._out = target.add_stream(self.codec, rate=rate, layout=layout)
        self._out.metadata.update(stream.metadata)
        self._out.disposition = stream.disposition

    def write(self, packet: "av.Packet | None") -> None:
        for frame in self._stream.decode(packet):
            self._target.mux(self._out.encode(frame))
        if packet is None:
            self._target.mux(self._out.encode(None))


def _can_hold(target: "av.container.OutputContainer", stream: "av.stream.Stream") -> bool:
    """Whether a file of the format of `target` can begin with a copy of the stream."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=target.format.name) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _describe(stream: "av.stream.Stream") -> str:
    """For a message: the kind of a stream, its number, codec and language."""
    kind = {"subtitle": "subtitles", "video": "a further video"}.get(stream.type, stream.type)
    if stream.type == "video" and stream.disposition & stream.disposition.attached_pic:
        kind = "a cover picture"
    codec = stream.codec_context.name if stream.codec_context else stream.name
    details = [f"stream {stream.index}", codec, stream.language]
    return printable(f"{kind} ({', '.join(filter(None, details))})")
