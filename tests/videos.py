"""Synthetic videos for tests, and a network that is a function of the gray frame."""

from fractions import Fraction

import numpy as np
import pytest

from colorgan import color
from colorgan.inference import video
from colorgan.inference.colorizer import Colorizer
from colorgan.media import video_file

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'colorgan[video]'")

WIDTH, HEIGHT = 48, 32
# 24 uneven times, in milliseconds, which every container can hold.
TIMES = np.cumsum(np.random.default_rng(0).integers(15, 80, 24)).tolist()
ORANGE = np.array((-0.3, 0.3), np.float32)


def tint(gray):
    """A network: orange, or blue where the whole frame is dark."""
    is_dark = gray.mean(axis=(1, 2, 3), keepdims=True) < 0
    return np.clip(color.chroma_to_rgb(gray, np.where(is_dark, -ORANGE, ORANGE).repeat(gray.shape[1], 1)), -1, 1)


def scene(height=HEIGHT, width=WIDTH, low=100, high=180):
    """Soft shapes, uint8 [height,width], which H.264 keeps well."""
    y, x = np.mgrid[:height, :width] / 5
    return np.uint8(low + (high - low) * (2 + np.sin(x + 0.3 * y) + np.cos(y)) / 4)


def write_video(
    path,
    grays,
    codec="libx264",
    sound="aac",
    rotation=0,
    options=None,
    pixels="yuv420p",
    container=None,
    times=TIMES,
    time_base=Fraction(1, 1000),
    **tags,
):
    """A video of these frames at `times`, in units of `time_base`, as YUV, with a tone."""
    with av.open(path, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25, options={"qp": "0", "bf": "2"} if options is None else options)
        stream.width, stream.height = grays[0].shape[1], grays[0].shape[0]
        is_odd = any(side % 2 for side in grays[0].shape) and codec == "libx264"
        stream.pix_fmt = "yuv444p" if is_odd else pixels
        stream.time_base = stream.codec_context.time_base = time_base
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        tone = file.add_stream(sound, rate=48000, layout="mono", bit_rate=64000)
        for gray, time in zip(grays, times, strict=False):
            frame = av.VideoFrame.from_ndarray(gray, "gray" if gray.dtype == np.uint8 else "gray16le").reformat(
                format=stream.pix_fmt, dst_color_range=tags.get("color_range", 1)
            )
            frame.pts, frame.time_base = time, time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        begin, end = (int(48000 * time * time_base) for time in (times[0], times[-1]))
        for start in range(begin, end, 960):
            wave = np.sin(np.arange(start, min(start + 960, end)) / 9).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, start, Fraction(1, 48000)
            file.mux(tone.encode(samples))
        file.mux(tone.encode(None))
    return path


def read_frames(path):
    with av.open(path) as file:
        return list(file.decode(video=0))


def read_packets(path, kind):
    with av.open(path) as file:
        packets = file.demux(getattr(file.streams, kind))
        return [(bytes(p), p.pts * p.time_base, p.stream.language) for p in packets if p.dts is not None]


def chroma(frame):
    """(Cb, Cr) [H,W,2] in steps of 255 around 0."""
    return 127.5 * color.rgb_to_chroma(frame.to_ndarray(format="rgb24") / np.float32(127.5) - 1)


def colorize_synthetic(source, **arguments):
    """The colored video, in a folder `out`, and its report."""
    (source.parent / "out").mkdir(exist_ok=True)
    target = (
        source.parent / "out" / (source.stem + video_file.RESULT_SUFFIXES.get(source.suffix.lower(), source.suffix))
    )
    return target, video.colorize_video(source, target, Colorizer(tint, 32), **arguments)
