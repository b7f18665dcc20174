"""Damage in a video is reported, and nothing is overwritten."""

import logging
import sys
from fractions import Fraction

import numpy as np
import pytest
from videos import TIMES, av, colorize_synthetic, read_frames, scene, tint, write_video

from colorgan.errors import UserError
from colorgan.inference import video
from colorgan.inference.colorizer import Colorizer


def test_a_broken_frame_is_left_out(tmp_path, caplog):
    grays = [scene(low=100 + n) for n in range(24)]
    source = write_video(tmp_path / "video.mkv", grays, options={"qp": "0", "g": "1"})
    with av.open(source) as file:
        packets = [packet for packet in file.demux(video=0) if packet.dts is not None]
    data = bytearray(source.read_bytes())
    at = data.index(bytes(packets[10]))
    data[at : at + packets[10].size] = bytes(packets[10].size)
    source.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        target, report = colorize_synthetic(source)
    assert report.num_frames == 23
    assert [frame.time for frame in read_frames(target)] == [time / 1000 for time in TIMES[:10] + TIMES[11:]]
    assert [record.message for record in caplog.records] == [
        f"{source}: 1 broken frames are left out; the others keep their times"
    ]


def test_a_truncated_video_is_reported(tmp_path, caplog):
    source = _write_jpegs(tmp_path / "video.mkv", [(4 * n, (48, 32)) for n in range(30)])
    colorize_synthetic(source)
    assert not caplog.records
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    _, report = colorize_synthetic(source)
    assert 10 < report.num_frames < 20
    (message,) = caplog.messages
    assert message.startswith(f"{source}: its frames end at {(report.num_frames - 1) * 4 / 25:.1f} s of 4.7 s")


def _fails(source, message):
    with pytest.raises(UserError, match=message):
        colorize_synthetic(source)
    assert list((source.parent / "out").iterdir()) == []


def test_other_files_are_reported(tmp_path):
    source = tmp_path / "video.mp4"
    source.write_text("no video")
    _fails(source, "cannot be read or written as a video: Invalid data")
    _fails(tmp_path / "nothing.mp4", "cannot be read or written as a video: No such file")
    with av.open(source, "w") as file:
        tone = file.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 48000
        file.mux([*tone.encode(samples), *tone.encode(None)])
    _fails(source, "has no video that can be read")
    write_video(source, [scene()], options={"qp": "0"})
    with av.open(source) as file:
        (picture,) = (bytes(packet) for packet in file.demux(video=0) if packet.dts is not None)
    source.write_bytes(source.read_bytes().replace(picture, bytes(len(picture))))
    _fails(source, "has no frame")


def _write_jpegs(path, frames):
    """A video of JPEG frames, each with its time and (width, height)."""
    with av.open(path, "w") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
        for time, (width, height) in frames:
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 25)
            for packet in encoder.encode(av.VideoFrame(width, height, "yuvj420p")):
                packet.pts = packet.dts = time
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                file.mux(packet)
    return path


def test_frames_of_another_size_are_refused(tmp_path):
    frames = enumerate([(48, 32)] * 9 + [(64, 48)] * 2)
    _fails(_write_jpegs(tmp_path / "video.mkv", frames), "changes its size at 0.4 s")


def test_the_first_of_two_frames_at_the_same_time_is_kept(tmp_path):
    target, report = colorize_synthetic(_write_jpegs(tmp_path / "video.mkv", [(n, (48, 32)) for n in (0, 1, 1, 2)]))
    assert [frame.time for frame in read_frames(target)] == [0, 0.04, 0.08]
    assert report.num_frames == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no more room")])
def test_a_failed_run_leaves_the_old_file(tmp_path, error):
    def network(gray):
        if len(entries) == 2:
            raise error
        entries.append(len(list(tmp_path.iterdir())))
        return tint(gray)

    entries: list[int] = []
    source, target = write_video(tmp_path / "video.mp4", [scene()] * 24), tmp_path / "out.mp4"
    target.write_text("old")
    with pytest.raises((KeyboardInterrupt, OSError)):
        video.colorize_video(source, target, Colorizer(network, 32))
    assert entries == [3, 3]  # on the target's disk, so that it can be renamed
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"video.mp4", "out.mp4"}


def test_a_missing_library_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'colorgan\[video\]'"):
        colorize_synthetic(tmp_path / "video.mp4")
