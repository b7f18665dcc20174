"""Films in, the same films in colour out: times, sound, size, turn and luma are the film's own.

Films are made on the spot; the network is a function of the gray frame.
"""

import logging
import sys
from fractions import Fraction

import numpy as np
import pytest

from colorgan import color
from colorgan.colorizer import Colorizer
from colorgan.errors import UserError
from colorgan.photos import video, video_frames
from colorgan.photos.smoothing import ChromaSmoother

av = pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[video]'")

WIDTH, HEIGHT = 48, 32
# 24 uneven times, in milliseconds, which every container can hold.
TIMES = np.cumsum(np.random.default_rng(0).integers(15, 80, 24)).tolist()
ORANGE = np.float32((-0.3, 0.3))


def _tint(gray):
    """Stands in for a network: orange, or blue where the frame as a whole is dark."""
    is_dark = gray.mean(axis=(1, 2, 3), keepdims=True) < 0
    return np.clip(color.chroma_to_rgb(gray, np.where(is_dark, -ORANGE, ORANGE).repeat(gray.shape[1], 1)), -1, 1)


def _scene(height=HEIGHT, width=WIDTH, low=100, high=180):
    """Soft shapes, uint8 [height,width], which H.264 keeps well."""
    y, x = np.mgrid[:height, :width] / 5
    return np.uint8(low + (high - low) * (2 + np.sin(x + 0.3 * y) + np.cos(y)) / 4)


def _write(path, grays, codec="libx264", sound="aac", rotation=0, options=None, **tags):
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


def _read(path):
    with av.open(path) as film:
        return list(film.decode(video=0))


def _packets(path, kind):
    with av.open(path) as film:
        packets = film.demux(getattr(film.streams, kind))
        return [(bytes(p), p.pts * p.time_base, p.stream.language) for p in packets if p.dts is not None]


def _colorize(source, **arguments):
    (source.parent / "out").mkdir(exist_ok=True)
    target = source.parent / "out" / source.name
    return target, video.colorize_video(source, target, Colorizer(_tint, 32), **arguments)


def _chroma(frame):
    """(Cb, Cr) [H,W,2] in steps of 255 around 0."""
    return 127.5 * color.rgb_to_chroma(frame.to_ndarray(format="rgb24") / np.float32(127.5) - 1)


@pytest.mark.parametrize("suffix", video.VIDEO_SUFFIXES)
def test_times_and_sound_are_the_films(tmp_path, suffix):
    codec, sound = ("libvpx-vp9", "libopus") if suffix == ".webm" else ("libx264", "aac")
    source = _write(tmp_path / f"film{suffix}", [_scene()] * 24, codec, sound, options={"cpu-used": "8", "crf": "10"})
    shares = []
    target, report = _colorize(source, progress_fn=shares.append)
    coloured = _read(target)
    assert [frame.time for frame in coloured] == [time / 1000 for time in TIMES]
    assert (coloured[0].width, coloured[0].height, coloured[0].format.name) == (WIDTH, HEIGHT, "yuv420p")
    assert len(_packets(target, "audio")) > 40
    assert _packets(target, "audio") == _packets(source, "audio")
    assert (report.num_frames, report.num_cuts) == (24, 0)
    assert shares == sorted(shares)
    assert len(shares) == 25
    assert (shares[0] < 0.2, shares[-1]) == (True, 1.0)
    assert list(target.parent.iterdir()) == [target]
    if suffix in (".mp4", ".m4v", ".mov"):  # a browser shows it before it has loaded
        assert target.read_bytes().index(b"moov") < target.read_bytes().index(b"mdat")
    np.testing.assert_allclose(_chroma(coloured[5]).mean(axis=(0, 1)), 127.5 * ORANGE, atol=2)


@pytest.mark.parametrize("shape", [(32, 48), (31, 48), (32, 47), (33, 49), (18, 130)])
def test_size_and_luma_are_the_films(tmp_path, shape):
    source = _write(tmp_path / "film.mp4", [_scene(*shape)] * 3)
    target, _ = _colorize(source)
    before, after = _read(source), _read(target)
    assert (after[0].height, after[0].width) == shape
    for one, other in zip(before, after, strict=True):
        difference = one.to_ndarray(format="gray").astype(int) - other.to_ndarray(format="gray")
        assert abs(difference).mean() < 1  # of H.264 at crf 18
    np.testing.assert_allclose(_chroma(after[0]).mean(axis=(0, 1)), 127.5 * ORANGE, atol=2)


def _color_frames(frames, network=_tint):
    look = video_frames.Look.of(next(_gray_frames([_scene()])), takes_odd_sizes=True)
    return video_frames.color_frames(frames, Colorizer(network, 32), ChromaSmoother(0.0), look)


def _gray_frames(grays):
    for n, gray in enumerate(grays):
        frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(format="yuv420p", dst_color_range=1)
        frame.pts, frame.time_base, frame.pict_type = n, Fraction(1, 25), 1  # as a decoder says of each what it was
        yield frame


def test_the_encoder_gets_the_luma_to_the_bit_and_chooses_key_frames():
    grays = [_scene(33, 47), _scene(33, 47, 0, 255)]
    for frame, colored in zip(_gray_frames(grays), _color_frames(_gray_frames(grays)), strict=True):
        luma = [np.frombuffer(x.planes[0], np.uint8).reshape(33, -1)[:, :47] for x in (frame, colored)]
        np.testing.assert_array_equal(*luma)
        assert np.ptp(_chroma(colored), axis=-1).max() > 50
        assert (colored.pict_type, colored.pts) == (0, frame.pts)


def test_no_more_frames_are_taken_than_a_batch():
    num_taken = 0

    def counted():
        nonlocal num_taken
        for frame in _gray_frames([_scene()] * 40):
            num_taken += 1
            yield frame

    sizes = set()

    def network(gray):
        sizes.add(gray.shape)
        return _tint(gray)

    for num_given, _ in enumerate(_color_frames(counted(), network), start=1):
        assert num_taken <= num_given + video_frames.BATCH_SIZE
    assert num_given == 40
    assert len(list(_color_frames(_gray_frames([_scene()] * 3), network))) == 3
    assert sizes == {(video_frames.BATCH_SIZE, 32, 32, 1)}  # the last batch is no other


def test_a_turned_film_is_seen_upright_and_stays_turned(tmp_path):
    seen = []

    def network(gray):
        seen.append(gray)
        top = np.linspace(1, 0, 32, dtype=np.float32)[None, :, None, None]  # orange above, gray below
        return np.clip(color.chroma_to_rgb(gray, top * ORANGE), -1, 1)

    upright = _scene(48, 32)
    upright[:24] = 220
    source = _write(
        tmp_path / "film.mp4", [np.rot90(upright, -1).copy()] * 3, rotation=90, sample_aspect_ratio=Fraction(4, 3)
    )
    target = tmp_path / "coloured.mp4"
    video.colorize_video(source, target, Colorizer(network, 32))
    assert seen[0][0, :14, 8:24].mean() > 0.6 > 0.4 > seen[0][0, 18:, 8:24].mean()
    frame = _read(target)[0]
    assert (frame.rotation, frame.width, frame.height) == (90, 48, 32)
    with av.open(target) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    rows = np.rot90(_chroma(frame)[..., 1]).mean(axis=1)
    assert rows[4] > rows[24] > rows[44]


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("colorspace", [1, 6])
def test_matrix_and_range_are_kept_and_meant(tmp_path, colorspace, color_range):
    tags = {"colorspace": colorspace, "color_range": color_range, "color_primaries": 1, "color_trc": 1}
    source = _write(tmp_path / "film.mp4", [_scene()] * 3, **tags)
    target, _ = _colorize(source)
    frame = _read(target)[0]
    assert {name: getattr(frame, name) for name in tags} == tags
    rgb = frame.to_ndarray(format="rgb24", src_colorspace={1: 1, 6: 5}[colorspace], src_color_range=color_range)
    gray = _scene()[..., None] / np.float32(127.5) - 1
    expected = 127.5 * (color.chroma_to_rgb(gray, np.broadcast_to(ORANGE, (HEIGHT, WIDTH, 2))) + 1)
    # The same difference of blue and red whatever the matrix.
    error = (rgb[..., 2] - rgb[..., 0].astype(int)) - (expected[..., 2] - expected[..., 0])
    assert abs(error).mean() < 3


def test_colours_do_not_cross_a_cut(tmp_path):
    dark = 240 - _scene()
    dark[:, :8] = _scene()[:, :8]  # nobody sees from these that the scene is another
    dark[:, 8:] //= 2
    source = _write(tmp_path / "film.mp4", [_scene()] * 12 + [dark] * 12)
    target, report = _colorize(source)
    frames = _read(target)
    assert report.num_cuts == 1
    for frame, sign in ((frames[11], 1), (frames[12], -1)):
        assert (sign * _chroma(frame)[4:-4, 4:-4, 1]).min() > 15


def test_flicker_falls_to_a_fraction(tmp_path):
    rng = np.random.default_rng(0)

    def network(gray):
        noise = rng.normal(0, 0.05, (len(gray), 1, 1, 2)).astype(np.float32)
        return np.clip(color.chroma_to_rgb(gray, (ORANGE + noise).repeat(32, 1).repeat(32, 2)), -1, 1)

    source = _write(tmp_path / "film.mp4", [_scene()] * 24)
    target = tmp_path / "coloured.mp4"
    report = video.colorize_video(source, target, Colorizer(network, 32))
    assert report.flicker_before > 4
    assert report.flicker_after < report.flicker_before / 5
    levels = np.stack([_chroma(frame).mean(axis=(0, 1)) for frame in _read(target)])
    assert np.linalg.norm(np.diff(levels, axis=0), axis=1).mean() < report.flicker_before / 4


def test_strength_and_saturation_reach_the_film(tmp_path):
    source = _write(tmp_path / "film.mp4", [_scene()] * 3)
    for arguments, share in (({"strength": 0.0}, 0), ({"saturation": 0.5}, 0.5), ({"strength": 0.5}, 0.5)):
        target, _ = _colorize(source, **arguments)
        np.testing.assert_allclose(_chroma(_read(target)[0]).mean(axis=(0, 1)), share * 127.5 * ORANGE, atol=2)


def test_subtitles_titles_and_chapters_are_kept(tmp_path):
    plain = _write(tmp_path / "plain.mkv", [_scene()] * 24)
    source = tmp_path / "film.mkv"
    with av.open(plain) as film, av.open(source, "w") as out:
        out.metadata["title"] = "The Garden"
        out.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        copies = {stream.index: out.add_stream_from_template(stream) for stream in film.streams}
        copies[1].metadata["language"], copies[1].disposition = "fre", av.stream.Disposition.comment
        text = out.add_mux_stream("subrip")
        packet = av.Packet(b"Bonjour")
        packet.pts = packet.dts = 100
        packet.duration, packet.time_base, packet.stream = 400, Fraction(1, 1000), text
        out.mux(packet)
        for packet in film.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    target, _ = _colorize(source)
    assert _packets(target, "subtitles") == _packets(source, "subtitles")
    assert _packets(target, "subtitles")[0][:2] == (b"Bonjour", Fraction(1, 10))
    assert _packets(target, "audio")[0] == _packets(source, "audio")[0]
    assert _packets(target, "audio")[0][2] == "fre"
    with av.open(target) as film:
        assert film.metadata["title"] == "The Garden"
        assert film.streams.audio[0].disposition == av.stream.Disposition.comment
        assert [chapter["metadata"]["title"] for chapter in film.chapters()] == ["One"]


def test_a_broken_frame_is_left_out(tmp_path, caplog):
    grays = [_scene(low=100 + n) for n in range(24)]
    source = _write(tmp_path / "film.mkv", grays, options={"qp": "0", "g": "1"})
    with av.open(source) as film:
        packets = [packet for packet in film.demux(video=0) if packet.dts is not None]
    data = bytearray(source.read_bytes())
    at = data.index(bytes(packets[10]))
    data[at : at + packets[10].size] = bytes(packets[10].size)
    source.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        target, report = _colorize(source)
    assert report.num_frames == 23
    assert [frame.time for frame in _read(target)] == [time / 1000 for time in TIMES[:10] + TIMES[11:]]
    assert [record.message for record in caplog.records] == [
        f"{source}: 1 broken frames were left out; the others keep their times"
    ]


def _fails(source, message):
    with pytest.raises(UserError, match=message):
        _colorize(source)
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
    _write(source, [_scene()], options={"qp": "0"})
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
    target, report = _colorize(_write_jpegs(tmp_path / "film.mkv", [(n, (48, 32)) for n in (0, 1, 1, 2)]))
    assert [frame.time for frame in _read(target)] == [0, 0.04, 0.08]
    assert report.num_frames == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no more room")])
def test_a_failed_run_leaves_the_old_file(tmp_path, error):
    def network(gray):
        if len(entries) == 2:
            raise error
        entries.append(len(list(tmp_path.iterdir())))
        return _tint(gray)

    entries = []
    source, target = _write(tmp_path / "film.mp4", [_scene()] * 24), tmp_path / "out.mp4"
    target.write_text("old")
    with pytest.raises((KeyboardInterrupt, OSError)):
        video.colorize_video(source, target, Colorizer(network, 32))
    assert entries == [3, 3]  # on the target's disk, so that it can be renamed
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "out.mp4"}


def test_a_missing_library_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install -e '.\[video\]'"):
        _colorize(tmp_path / "film.mp4")
