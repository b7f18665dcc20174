"""Frames of video files in the order in which they are shown, progressive and with times that increase, with PyAV."""

import heapq
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from colorgan.errors import UserError, printable
from colorgan.media import video_file

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

_MAX_GAP = 10.0  # seconds: where times jump by more, they continue from where they were, as in the program ffmpeg


def first_frame(source: Path) -> "av.VideoFrame":
    """The first frame, which has the rotation and the colors of the video.

    Raises:
      UserError: no frame can be read.
    """
    with video_file.open_video(source) as video:
        for frame in read_frames(video):
            return frame
    raise UserError("the video has no frame that can be read")


def read_frames(
    video: "av.container.InputContainer", other_packet_fn: Callable[["av.Packet"], None] = lambda packet: None
) -> Iterator["av.VideoFrame"]:
    """The frames in the order in which they are shown. Packets of other streams go to `other_packet_fn`.

    Interlaced frames are deinterlaced. A broken frame is left out, and the number of them is logged; so is a video that
    ends well before its length.

    Raises:
      UserError: the video has no frames, or they change their size.
    """
    import av

    size, last, num_broken = None, None, 0
    decoded = _Decoder(video, other_packet_fn)
    for frame in _deinterlaced(decoded):
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            raise UserError(f"the video changes its size at {frame.time:.1f} s: cut it there, and color the parts")
        if frame.pts is None or (last is not None and frame.time <= last):
            num_broken += 1
            continue
        last = frame.time
        yield frame
    length = decoded.stream.duration and float(decoded.stream.duration * decoded.stream.time_base)
    length = length or (video.duration or 0) / av.time_base
    end = last or 0.0
    name = printable(video.name)
    if end < 0.9 * length - 1:
        log.warning("%s: its frames end at %.1f s of %.1f s: the file may be truncated", name, end, length)
    num_broken += decoded.num_broken
    if num_broken:
        log.warning("%s: %d broken frames are left out; the others keep their times", name, num_broken)


class _Decoder:
    """The frames of a video's best stream, as they are stored.

    Attributes:
      stream: that stream.
      num_broken: the number of packets so far that could not be decoded.
    """

    def __init__(self, video: "av.container.InputContainer", other_packet_fn: Callable[["av.Packet"], None]) -> None:
        self._video, self._other_packet_fn = video, other_packet_fn
        self.num_broken = 0
        stream = video.streams.best("video")
        if stream is None:
            raise UserError("the file has no video that can be read")
        self.stream = stream

    def __iter__(self) -> Iterator["av.VideoFrame"]:
        import av

        timeline = _Timeline(self._video)
        # An AVI has no times of display: the times of its packets, in order, are those of its frames.
        times: list[int] | None = [] if self._video.format.name == "avi" else None
        for packet in self._video.demux():
            if packet.stream is not self.stream:
                if packet.dts is not None:  # else the end of the stream
                    timeline.adjust_packet(packet)
                    self._other_packet_fn(packet)
                continue
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.num_broken += 1
                continue
            if times is not None and packet.size:
                heapq.heappush(times, packet.pts if packet.pts is not None else packet.dts)
            for frame in frames:
                if times:
                    frame.pts = heapq.heappop(times)
                timeline.adjust_frame(frame)
                yield frame


class _Timeline:
    """Makes times continuous and start at 0, for formats whose times may jump (MPEG).

    Recordings of broadcasts begin at any time, and joined parts, as on a DVD, begin again. Each of these jumps is seen
    once by every stream, so that streams stay synchronous although their packets alternate around it.
    """

    def __init__(self, video: "av.container.InputContainer") -> None:
        import av

        self._jumps = bool(video.format.flags & av.format.Flags.ts_discont.value)
        self._offset = -(video.start_time or 0) / av.time_base  # in seconds, added to all times
        self._ends: dict[int | None, float] = {}  # in seconds, by the index of a stream, None for the frames

    def adjust_frame(self, frame: "av.VideoFrame") -> None:
        """Changes the time of the next frame of the colored stream."""
        if self._jumps and frame.pts is not None:
            self._follow(None, frame.time, float((frame.duration or 0) * frame.time_base))
            frame.pts += round(self._offset / frame.time_base)

    def adjust_packet(self, packet: "av.Packet") -> None:
        """Changes the times of the next packet, which has a dts, of another stream."""
        if not self._jumps:
            return
        if packet.stream.type == "audio":  # subtitles are rare: a gap is no jump
            duration = float((packet.duration or 0) * packet.time_base)
            self._follow(packet.stream_index, float(packet.dts * packet.time_base), duration)
        shift = round(self._offset / packet.time_base)
        packet.dts += shift
        if packet.pts is not None:
            packet.pts += shift

    def _follow(self, index: int | None, time: float, duration: float) -> None:
        """Changes the offset if the times of a stream jump here."""
        end = self._ends.get(index, time + self._offset)
        if abs(time + self._offset - end) > _MAX_GAP:
            self._offset = end - time
        self._ends[index] = time + self._offset + duration


def _deinterlaced(frames: Iterable["av.VideoFrame"]) -> Iterator["av.VideoFrame"]:
    """The frames, and from the first interlaced one on those that FFmpeg's bwdif makes of them, as many."""
    import av

    graph = None
    for frame in frames:
        if graph is None and frame.interlaced_frame:
            graph = av.filter.Graph()
            buffer = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            graph.link_nodes(
                buffer, graph.add("bwdif", "send_frame:auto:interlaced"), graph.add("buffersink")
            ).configure()
        if graph is None:
            yield frame
        else:
            graph.vpush(frame)
            yield from _pull(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _pull(graph)


def _pull(graph: "av.filter.Graph") -> Iterator["av.VideoFrame"]:
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):  # it needs more frames, or has no more
            return
