"""Films for tests, made on the spot, and a network that is a function of the gray frame."""

from fractions import Fraction

import numpy as np
import pytest

from colorgan import color
from colorgan.inference import video
from colorgan.inference.colorizer import Colorizer

av = pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[video]'")

WIDTH, HEIGHT = 48, 32
# 24 uneven times, in milliseconds, which every container can hold.
TIMES = np.cumsum(np.random.default_rng(0).integers(15, 80, 24)).tolist()
ORANGE = np.float32((-0.3, 0.3))


def tint(gray):
    """Stands in for a network: orange, or blue where the frame as a whole is dark."""
    is_dark = gray.mean(axis=(1, 2, 3), keepdims=True) < 0
    return np.clip(color.chroma_to_rgb(gray, np.where(is_dark, -ORANGE, ORANGE).repeat(gray.shape[1], 1)), -1, 1)


def scene(height=HEIGHT, width=WIDTH, low=100, high=180):
    """Soft shapes, uint8 [height,width], which H.264 keeps well."""
    y, x = np.mgrid[:height, :width] / 5
    return np.uint8(low + (high - low) * (2 + np.sin(x + 0.3 * y) + np.cos(y)) / 4)


def write_film(path, grays, codec="libx264", sound="aac", rotation=0, options=None, **tags):
    """A film of these frames at `TIMES`, as YUV, with a tone."""
    with av.open(path, "w") as film:
        pictures = film.add_stream(codec, rate=25, options=options or {"qp": "0", "bf": "2"})
        pictures.width, pictures.height = grays[0].shape[1], grays[0].shape[0]
        is_odd = any(side % 2 for side in grays[0].shape) and codec == "libx264"
        pictures.pix_fmt = "yuv444p" if is_odd else "yuv420p"
        pictures.time_base = pictures.codec_context.time_base = Fraction(1, 1000)
        for name, value in tags.items():
            setattr(pictures.codec_context, name, value)
        if rotation:
            pictures.set_display_rotation(rotation)
        tone = film.add_stream(sound, rate=48000, layout="mono")
        for gray, time in zip(grays, TIMES, strict=False):
            frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(
                format=pictures.pix_fmt, dst_color_range=tags.get("color_range", 1)
            )
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            film.mux(pictures.encode(frame))
        film.mux(pictures.encode(None))
        wave = np.sin(np.arange(48 * TIMES[-1], dtype=np.float32) / 9)[None]
        for start in range(0, wave.shape[1], 960):
            samples = av.AudioFrame.from_ndarray(wave[:, start : start + 960].copy(), "fltp", "mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, start, Fraction(1, 48000)
            film.mux(tone.encode(samples))
        film.mux(tone.encode(None))
    return path


def read_frames(path):
    with av.open(path) as film:
        return list(film.decode(video=0))


def read_packets(path, kind):
    with av.open(path) as film:
        packets = film.demux(getattr(film.streams, kind))
        return [(bytes(p), p.pts * p.time_base, p.stream.language) for p in packets if p.dts is not None]


def colorize_film(source, **arguments):
    (source.parent / "out").mkdir(exist_ok=True)
    target = source.parent / "out" / source.name
    return target, video.colorize_video(source, target, Colorizer(tint, 32), **arguments)
