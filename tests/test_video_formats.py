"""Videos of cameras, discs, broadcasts and old programs are colored with their times, tracks and tags."""

import logging
import shutil
from fractions import Fraction

import numpy as np
import pytest
from videos import ORANGE, av, chroma, colorize_synthetic, read_frames, read_packets, scene, tint, write_video

from colorgan.inference import find_inputs, video
from colorgan.inference.colorizer import Colorizer
from colorgan.media import video_file

_GRAYS = [scene(low=110 + 4 * n, high=160 + 4 * n) for n in range(24)]
_RATE = Fraction(1, 25)


def _write(path, codec, sound, container=None, num_frames=24, start=0, **arguments):
    arguments["options"] = {}
    if codec in ("mpeg4", "mpeg2video", "libx264"):
        arguments["options"] = {"bf": "2"}
    times = range(start, start + num_frames)
    return write_video(
        path, _GRAYS[:num_frames], codec, sound, container=container, times=times, time_base=_RATE, **arguments
    )


def _times(path):
    return [round(frame.time, 3) for frame in read_frames(path)]


@pytest.mark.parametrize(
    ("name", "codec", "sound", "container", "result"),
    [
        ("a.avi", "mpeg4", "libmp3lame", None, ".mkv"),
        ("b.AVI", "mjpeg", "pcm_s16le", "avi", ".mkv"),
        ("c.avi", "libx264", "ac3", None, ".mkv"),
        ("d.divx", "msmpeg4", "libmp3lame", "avi", ".mkv"),
        ("e.mpg", "mpeg2video", "mp2", None, ".mkv"),
        ("f.mpeg", "mpeg1video", "mp2", None, ".mkv"),
        ("g.vob", "mpeg2video", "ac3", "vob", ".mkv"),
        ("h.mod", "mpeg2video", "ac3", "mpeg", ".mkv"),
        ("i.mts", "libx264", "ac3", "mpegts", ".mkv"),
        ("j.m2ts", "libx264", "aac", "mpegts", ".mkv"),
        ("k.wmv", "wmv2", "wmav2", "asf", ".mkv"),
        ("l.asf", "wmv1", "wmav2", "asf", ".mkv"),
        ("m.flv", "flv", "libmp3lame", None, ".mkv"),
        ("n.mxf", "mpeg2video", "pcm_s16le", None, ".mkv"),
        ("o.3gp", "libx264", "aac", "3gp", ".mp4"),
        ("p.f4v", "libx264", "aac", None, ".mp4"),
        ("q.qt", "libx264", "pcm_s16le", "mov", ".mov"),
    ],
)  # fmt: skip
def test_other_containers_become_the_nearest_with_all_frames_and_sound(tmp_path, name, codec, sound, container, result):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = _write(tmp_path / name, codec, sound, container, pixels=pixels)
    target, report = colorize_synthetic(source)
    before, after = _times(source), _times(target)
    assert target.suffix == result
    assert report.num_frames == len(after) == len(before) >= 23  # FFmpeg leaves out the last one of an MXF
    np.testing.assert_allclose(np.diff(after), np.diff(sorted(before)), atol=0.0011)
    if sound != "wmav2":
        packets = zip(read_packets(source, "audio"), read_packets(target, "audio"), strict=True)
        assert all(one[0].endswith(other[0]) for one, other in packets)  # AAC has no headers of its own in MKV
    frames = read_frames(target)
    np.testing.assert_allclose(chroma(frames[5]).mean(axis=(0, 1)), 127.5 * ORANGE, atol=2)
    brightness = [frame.to_ndarray(format="gray").mean() for frame in frames]
    assert np.all(np.diff(brightness) > 0)  # none is shown at the time of another


def test_a_file_without_a_known_suffix_is_read_by_its_content(tmp_path):
    for name, container, result in (("a", "avi", ".mkv"), ("b.ts", "mpegts", ".mkv"), ("c.video", "mp4", ".mp4")):
        source = _write(tmp_path / name, "libx264", "aac", container, num_frames=3)
        assert video_file.suffix_of_content(source) == result
    source.write_text("no video")
    assert video_file.suffix_of_content(source) == ""
    assert video_file.suffix_of_content(tmp_path / "nothing") == ""


def test_results_of_videos_are_named_and_found_again(tmp_path):
    for name in ("a.avi", "b.AVI", "b.mkv", "c.3gp", "d.webm", "e.avi", "e.vob", "a-colorized.mkv", "c-colorized.mp4"):
        (tmp_path / name).touch()
    names = [target.name for _, target in find_inputs.find_files([tmp_path], None)]
    assert names == [
        "a-colorized.mkv",
        "b.AVI-colorized.mkv",
        "b-colorized.mkv",
        "c-colorized.mp4",
        "d-colorized.webm",
        "e.avi-colorized.mkv",
        "e.vob-colorized.mkv",
    ]


def _join(target, *parts):
    with open(target, "wb") as file:
        for part in parts:
            file.write(part.read_bytes())
    return target


@pytest.mark.parametrize(("suffix", "container"), [(".mts", "mpegts"), (".vob", "vob")])
def test_a_recording_starts_at_zero_and_continues_over_joined_parts(tmp_path, suffix, container):
    starts = (900_000, 0, 25_000)  # ten hours, nothing, a quarter of an hour
    parts = [
        _write(tmp_path / f"{start}{suffix}", "mpeg2video", "mp2", container, start=start, num_frames=12)
        for start in starts
    ]
    source = _join(tmp_path / f"video{suffix}", *parts)
    target, report = colorize_synthetic(source)
    times = _times(target)
    assert report.num_frames == len(times) == 36
    assert times[0] < 0.1
    assert np.diff(times).min() > 0
    assert times[-1] < 36 / 25 + 0.5
    sound = [float(time) for _, time, _ in read_packets(target, "audio")]
    assert sound[0] < 0.1
    assert sound[-1] < 36 / 25 + 0.5


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "flac"), (".mp4", "aac"), (".webm", "opus")])
def test_sound_that_the_format_cannot_hold_is_encoded_again(tmp_path, caplog, suffix, codec):
    source = _write(tmp_path / "video.wmv", "wmv2", "wmav2", "asf")
    target = tmp_path / f"colored{suffix}"
    with caplog.at_level(logging.WARNING):
        video.colorize_video(source, target, Colorizer(tint, 32))
    sounds = []
    for path in (source, target):
        with av.open(path) as file:
            frames = list(file.decode(audio=0))
            name = file.streams.audio[0].codec_context.name
        sound = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])[4096:20480]
        sounds.append(sound / np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    assert name == codec
    middle = sounds[0][2048:-2048]
    assert np.correlate(sounds[1], middle).max() > 0.97 * np.square(middle).sum()
    (message,) = caplog.messages
    assert message.startswith(f"{source}: encoded again, as ")
    assert message.endswith("audio (stream 1, wmav2)")


def test_tags_that_are_not_utf_8_are_kept(tmp_path):
    plain, source = tmp_path / "plain.mkv", tmp_path / "video.mkv"
    _write(plain, "libx264", "aac")
    with av.open(plain) as file, av.open(source, "w") as out:
        out.metadata["title"] = "caf\u00e9"
        copies = [out.add_stream_from_template(stream) for stream in file.streams]
        copies[1].metadata["title"] = "gar\u00e7on"
        for packet in file.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    data = source.read_bytes()
    assert data.count(b"\xc3\xa9") == data.count(b"\xc3\xa7") == 1
    source.write_bytes(data.replace(b"\xc3\xa9", b"\xe9 ").replace(b"\xc3\xa7", b"\xe7 "))
    target, _ = colorize_synthetic(source)
    assert b"caf\xe9 " in target.read_bytes()
    assert b"gar\xe7 on" in target.read_bytes()


def _add_tracks(source, plain):
    """Copies `plain` into `source` with a second sound, a second and a cover picture, subtitles and an attachment."""
    with av.open(plain) as file, av.open(source, "w") as out:
        video, sound = file.streams
        copies = {0: [out.add_stream_from_template(video)], 1: [out.add_stream_from_template(sound) for _ in "ab"]}
        for copy, language in zip(copies[1], ("eng", "fre"), strict=True):
            copy.metadata["language"] = language
        copies[0].append(out.add_stream_from_template(video))
        text = out.add_mux_stream("subrip") if source.suffix == ".mkv" else None
        if text:
            out.add_attachment("font.ttf", "font/ttf", b"a font")
        for packet in file.demux():
            if not packet.size:
                continue
            for copy in copies[packet.stream.index]:
                other = av.Packet(bytes(packet))
                other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
                other.time_base, other.stream, other.is_keyframe = packet.time_base, copy, packet.is_keyframe
                out.mux(other)
        if text:
            packet = av.Packet(b"Bonjour")
            packet.pts = packet.dts = 100
            packet.duration, packet.time_base, packet.stream = 400, Fraction(1, 1000), text
            out.mux(packet)
    return source


def test_every_track_is_kept_or_named(tmp_path, caplog):
    source = _add_tracks(tmp_path / "video.mkv", _write(tmp_path / "plain.mkv", "libx264", "aac"))
    with caplog.at_level(logging.WARNING):
        target, _ = colorize_synthetic(source)
    with av.open(target) as file:
        assert [(stream.type, stream.language) for stream in file.streams] == [
            ("video", None), ("audio", "eng"), ("audio", "fre"), ("subtitle", None)
        ]  # fmt: skip
    assert read_packets(target, "audio") == read_packets(source, "audio")
    assert caplog.messages == [
        f"{source}: left out: a further video (stream 3, h264)",
        f"{source}: left out: attachment (stream 5, font.ttf)",
    ]


def test_tracks_that_the_format_cannot_hold_are_named(tmp_path, caplog):
    mkv = _add_tracks(tmp_path / "video.mkv", _write(tmp_path / "plain.mkv", "libx264", "pcm_s16le"))
    source = shutil.copy(mkv, tmp_path / "video.webm")  # read by its content
    caplog.clear()
    target, report = colorize_synthetic(source)
    assert report.num_frames == 24
    with av.open(target) as file:
        assert [stream.type for stream in file.streams] == ["video", "audio", "audio"]
    assert caplog.messages[:3] == [
        f"{source}: encoded again, as libopus: audio (stream 1, pcm_s16le, eng)",
        f"{source}: encoded again, as libopus: audio (stream 2, pcm_s16le, fre)",
        f"{source}: left out: a further video (stream 3, h264)",
    ]
    assert f"{source}: left out: subtitles (stream 4, srt)" in caplog.messages


@pytest.mark.parametrize("rotation", [90, 180])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_rotation_and_ten_bits_are_kept(tmp_path, suffix, rotation):
    y, x = np.mgrid[:64, :96]
    grays = [np.uint16(65535 * (0.5 + 0.3 * (x + y + n) / 160)) for n in range(3)]
    source = write_video(tmp_path / f"video{suffix}", grays, "libx264", "aac", rotation, {"qp": "0"}, "yuv420p10le")
    target, _ = colorize_synthetic(source)
    before, after = read_frames(source), read_frames(target)
    assert after[0].format.name == "yuv420p10le"
    assert {abs(frame.rotation) for frame in after} == {rotation}
    assert [frame.rotation for frame in after] == [frame.rotation for frame in before]
    for one, other in zip(before, after, strict=True):
        luma = [np.frombuffer(frame.planes[0], "<u2").reshape(64, -1)[:, :96].astype(int) for frame in (one, other)]
        assert abs(luma[0] - luma[1]).mean() < 3
        assert len(set((luma[1] % 4).ravel())) == 4
        np.testing.assert_allclose(chroma(other).mean(axis=(0, 1)), 127.5 * ORANGE, atol=2)


def test_interlaced_frames_are_deinterlaced(tmp_path):
    """A bright bar moves to the right between the two fields of a frame, which comb its edges."""
    grays = []
    for n in range(12):
        fields = [np.full((16, 96), 60, np.uint8) for _ in "ab"]
        for second, field in enumerate(fields):
            field[:, 4 * (2 * n + second) : 4 * (2 * n + second) + 12] = 200
        grays.append(np.stack(fields, axis=1).reshape(32, 96))
    options = {"flags": "+ildct+ilme", "field_order": "tt", "qmax": "2"}
    source = write_video(
        tmp_path / "video.mpg", grays, "mpeg2video", "mp2", options=options, times=range(12), time_base=_RATE
    )
    before = read_frames(source)
    assert before[5].interlaced_frame
    target, report = colorize_synthetic(source)
    after = read_frames(target)
    assert report.num_frames == len(after) == len(before)
    np.testing.assert_allclose(np.diff(_times(target)), 0.04, atol=0.0011)

    def combing(frame):
        gray = frame.to_ndarray(format="gray")[4:-4].astype(int)
        return abs(2 * gray[1:-1] - gray[:-2] - gray[2:]).mean()

    assert combing(after[5]) < combing(before[5]) / 3
    assert not after[5].interlaced_frame
