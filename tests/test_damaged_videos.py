"""What is wrong with a film is told, or left out, and nothing is written over it."""

import logging
import sys
from fractions import Fraction

import numpy as np
import pytest
from videos import TIMES, av, colorize_film, read_frames, scene, tint, write_film

from colorgan.errors import UserError
from colorgan.inference import video
from colorgan.inference.colorizer import Colorizer


def test_a_broken_frame_is_left_out(tmp_path, caplog):
    grays = [scene(low=100 + n) for n in range(24)]
    source = write_film(tmp_path / "film.mkv", grays, options={"qp": "0", "g": "1"})
    with av.open(source) as film:
        packets = [packet for packet in film.demux(video=0) if packet.dts is not None]
    data = bytearray(source.read_bytes())
    at = data.index(bytes(packets[10]))
    data[at : at + packets[10].size] = bytes(packets[10].size)
    source.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        target, report = colorize_film(source)
    assert report.num_frames == 23
    assert [frame.time for frame in read_frames(target)] == [time / 1000 for time in TIMES[:10] + TIMES[11:]]
    assert [record.message for record in caplog.records] == [
        f"{source}: 1 broken frames were left out; the others keep their times"
    ]


def test_a_film_that_was_cut_short_is_told(tmp_path, caplog):
    source = _write_jpegs(tmp_path / "film.mkv", [(4 * n, (48, 32)) for n in range(30)])
    colorize_film(source)
    assert not caplog.records
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    _, report = colorize_film(source)
    assert 10 < report.num_frames < 20
    (told,) = caplog.messages
    assert told.startswith(f"{source}: its pictures end at {(report.num_frames - 1) * 4 / 25:.1f} s of 4.7 s")


def _fails(source, message):
    with pytest.raises(UserError, match=message):
        colorize_film(source)
    assert list((source.parent / "out").iterdir()) == []


def test_what_is_no_film_is_said(tmp_path):
    source = tmp_path / "film.mp4"
    source.write_text("no film")
    _fails(source, "cannot be read or written as a film: Invalid data")
    _fails(tmp_path / "nothing.mp4", "cannot be read or written as a film: No such file")
    with av.open(source, "w") as film:
        tone = film.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 48000
        film.mux([*tone.encode(samples), *tone.encode(None)])
    _fails(source, "has no pictures")
    write_film(source, [scene()], options={"qp": "0"})
    with av.open(source) as film:
        (picture,) = (bytes(packet) for packet in film.demux(video=0) if packet.dts is not None)
    source.write_bytes(source.read_bytes().replace(picture, bytes(len(picture))))
    _fails(source, "has no frame")


def _write_jpegs(path, frames):
    """A film of JPEG frames, each with its time and (width, height)."""
    with av.open(path, "w") as film:
        pictures = film.add_stream("mjpeg", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuvj420p"
        for time, (width, height) in frames:
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 25)
            for packet in encoder.encode(av.VideoFrame(width, height, "yuvj420p")):
                packet.pts = packet.dts = time
                packet.stream, packet.time_base = pictures, Fraction(1, 25)
                film.mux(packet)
    return path


def test_frames_of_another_size_end_it(tmp_path):
    frames = enumerate([(48, 32)] * 9 + [(64, 48)] * 2)
    _fails(_write_jpegs(tmp_path / "film.mkv", frames), "changes its size at 0.4 s")


def test_of_two_frames_at_one_time_the_first_stays(tmp_path):
    target, report = colorize_film(_write_jpegs(tmp_path / "film.mkv", [(n, (48, 32)) for n in (0, 1, 1, 2)]))
    assert [frame.time for frame in read_frames(target)] == [0, 0.04, 0.08]
    assert report.num_frames == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no more room")])
def test_a_failed_run_leaves_the_old_file(tmp_path, error):
    def network(gray):
        if len(entries) == 2:
            raise error
        entries.append(len(list(tmp_path.iterdir())))
        return tint(gray)

    entries = []
    source, target = write_film(tmp_path / "film.mp4", [scene()] * 24), tmp_path / "out.mp4"
    target.write_text("old")
    with pytest.raises((KeyboardInterrupt, OSError)):
        video.colorize_video(source, target, Colorizer(network, 32))
    assert entries == [3, 3]  # on the target's disk, so that it can be renamed
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "out.mp4"}


def test_a_missing_library_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[video\]'"):
        colorize_film(tmp_path / "film.mp4")
