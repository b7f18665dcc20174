"""Colored videos keep the times, audio, size, rotation and luma of the video.

The videos are synthetic; the network is a function of the gray frame.
"""

from fractions import Fraction

import numpy as np
import pytest
from videos import (
    HEIGHT,
    ORANGE,
    TIMES,
    WIDTH,
    av,
    chroma,
    colorize_synthetic,
    read_frames,
    read_packets,
    scene,
    tint,
    write_video,
)

from colorgan import color
from colorgan.inference import video
from colorgan.inference.colorizer import Colorizer
from colorgan.media import video_file
from colorgan.media.temporal_smoothing import ChromaSmoother
from colorgan.media.video_frames import FrameFormat


@pytest.mark.parametrize("suffix", video_file.WRITTEN_SUFFIXES)
def test_times_and_audio_are_kept(tmp_path, suffix):
    codec, sound = ("libvpx-vp9", "libopus") if suffix == ".webm" else ("libx264", "aac")
    source = write_video(
        tmp_path / f"video{suffix}", [scene()] * 24, codec, sound, options={"cpu-used": "8", "crf": "10"}
    )
    shares: list[float] = []
    target, report = colorize_synthetic(source, progress_fn=shares.append)
    colored = read_frames(target)
    assert [frame.time for frame in colored] == [time / 1000 for time in TIMES]
    assert (colored[0].width, colored[0].height, colored[0].format.name) == (WIDTH, HEIGHT, "yuv420p")
    assert len(read_packets(target, "audio")) > 40
    assert read_packets(target, "audio") == read_packets(source, "audio")
    assert (report.num_frames, report.num_cuts) == (24, 0)
    assert shares == sorted(shares)
    assert len(shares) == 25
    assert (shares[0] < 0.2, shares[-1]) == (True, 1.0)
    assert list(target.parent.iterdir()) == [target]
    if suffix in (".mp4", ".m4v", ".mov"):  # a browser shows it before it has loaded
        assert target.read_bytes().index(b"moov") < target.read_bytes().index(b"mdat")
    np.testing.assert_allclose(chroma(colored[5]).mean(axis=(0, 1)), 127.5 * ORANGE, atol=2)


@pytest.mark.parametrize("shape", [(32, 48), (31, 48), (32, 47), (33, 49), (18, 130)])
def test_size_and_luma_are_kept(tmp_path, shape):
    source = write_video(tmp_path / "video.mp4", [scene(*shape)] * 3)
    target, _ = colorize_synthetic(source)
    before, after = read_frames(source), read_frames(target)
    assert (after[0].height, after[0].width) == shape
    for one, other in zip(before, after, strict=True):
        difference = one.to_ndarray(format="gray").astype(int) - other.to_ndarray(format="gray")
        assert abs(difference).mean() < 1  # of H.264 at crf 18
    np.testing.assert_allclose(chroma(after[0]).mean(axis=(0, 1)), 127.5 * ORANGE, atol=2)


def _color_frames(frames, network=tint):
    frame_format = FrameFormat.of(next(_gray_frames([scene()])), is_vp9=True)
    return video.color_frames(frames, Colorizer(network, 32), ChromaSmoother(0.0), frame_format)


def _gray_frames(grays):
    for n, gray in enumerate(grays):
        frame = av.VideoFrame.from_ndarray(gray, "gray").reformat(format="yuv420p", dst_color_range=1)
        frame.pts, frame.time_base, frame.pict_type = n, Fraction(1, 25), 1  # a decoder sets the type of each frame
        yield frame


def test_the_encoder_gets_the_exact_luma_and_chooses_key_frames():
    grays = [scene(33, 47), scene(33, 47, 0, 255)]
    for frame, colored in zip(_gray_frames(grays), _color_frames(_gray_frames(grays)), strict=True):
        luma = [np.frombuffer(x.planes[0], np.uint8).reshape(33, -1)[:, :47] for x in (frame, colored)]
        np.testing.assert_array_equal(luma[0], luma[1])
        assert np.ptp(chroma(colored), axis=-1).max() > 50
        assert (colored.pict_type, colored.pts) == (0, frame.pts)


def test_at_most_a_batch_of_frames_is_read_ahead():
    num_taken = 0

    def counted():
        nonlocal num_taken
        for frame in _gray_frames([scene()] * 40):
            num_taken += 1
            yield frame

    sizes = set()

    def network(gray):
        sizes.add(gray.shape)
        return tint(gray)

    for num_given, _ in enumerate(_color_frames(counted(), network), start=1):
        assert num_taken <= num_given + video.BATCH_SIZE
    assert num_given == 40
    assert len(list(_color_frames(_gray_frames([scene()] * 3), network))) == 3
    assert sizes == {(video.BATCH_SIZE, 32, 32, 1)}  # the last batch has the same size


def test_a_rotated_video_is_seen_upright_and_stays_rotated(tmp_path):
    seen = []

    def network(gray):
        seen.append(gray)
        top = np.linspace(1, 0, 32, dtype=np.float32)[None, :, None, None]  # orange above, gray below
        return np.clip(color.chroma_to_rgb(gray, top * ORANGE), -1, 1)

    upright = scene(48, 32)
    upright[:24] = 220
    source = write_video(
        tmp_path / "video.mp4", [np.rot90(upright, -1).copy()] * 3, rotation=90, sample_aspect_ratio=Fraction(4, 3)
    )
    target = tmp_path / "colored.mp4"
    video.colorize_video(source, target, Colorizer(network, 32))
    assert seen[0][0, :14, 8:24].mean() > 0.6 > 0.4 > seen[0][0, 18:, 8:24].mean()
    frame = read_frames(target)[0]
    assert (frame.rotation, frame.width, frame.height) == (90, 48, 32)
    with av.open(target) as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    rows = np.rot90(chroma(frame)[..., 1]).mean(axis=1)
    assert rows[4] > rows[24] > rows[44]


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("colorspace", [1, 6])
def test_matrix_and_range_are_kept_and_used(tmp_path, colorspace, color_range):
    tags = {"colorspace": colorspace, "color_range": color_range, "color_primaries": 1, "color_trc": 1}
    source = write_video(tmp_path / "video.mp4", [scene()] * 3, **tags)
    target, _ = colorize_synthetic(source)
    frame = read_frames(target)[0]
    assert {name: getattr(frame, name) for name in tags} == tags
    rgb = frame.to_ndarray(format="rgb24", src_colorspace={1: 1, 6: 5}[colorspace], src_color_range=color_range)
    gray = scene()[..., None] / np.float32(127.5) - 1
    expected = 127.5 * (color.chroma_to_rgb(gray, np.broadcast_to(ORANGE, (HEIGHT, WIDTH, 2))) + 1)
    # The same difference of blue and red whatever the matrix.
    error = (rgb[..., 2] - rgb[..., 0].astype(int)) - (expected[..., 2] - expected[..., 0])
    assert abs(error).mean() < 3


def test_colors_do_not_cross_a_cut(tmp_path):
    dark = 240 - scene()
    dark[:, :8] = scene()[:, :8]  # these columns are the same in both scenes
    dark[:, 8:] //= 2
    source = write_video(tmp_path / "video.mp4", [scene()] * 12 + [dark] * 12)
    target, report = colorize_synthetic(source)
    frames = read_frames(target)
    assert report.num_cuts == 1
    for frame, sign in ((frames[11], 1), (frames[12], -1)):
        assert (sign * chroma(frame)[4:-4, 4:-4, 1]).min() > 15


def test_flicker_is_reduced(tmp_path):
    rng = np.random.default_rng(0)

    def network(gray):
        noise = rng.normal(0, 0.05, (len(gray), 1, 1, 2)).astype(np.float32)
        return np.clip(color.chroma_to_rgb(gray, (ORANGE + noise).repeat(32, 1).repeat(32, 2)), -1, 1)

    source = write_video(tmp_path / "video.mp4", [scene()] * 24)
    target = tmp_path / "colored.mp4"
    report = video.colorize_video(source, target, Colorizer(network, 32))
    assert report.flicker_before > 4
    assert report.flicker_after < report.flicker_before / 5
    levels = np.stack([chroma(frame).mean(axis=(0, 1)) for frame in read_frames(target)])
    assert np.linalg.norm(np.diff(levels, axis=0), axis=1).mean() < report.flicker_before / 4


def test_strength_and_saturation_are_applied(tmp_path):
    source = write_video(tmp_path / "video.mp4", [scene()] * 3)
    for arguments, share in (({"strength": 0.0}, 0), ({"saturation": 0.5}, 0.5), ({"strength": 0.5}, 0.5)):
        target, _ = colorize_synthetic(source, **arguments)
        np.testing.assert_allclose(chroma(read_frames(target)[0]).mean(axis=(0, 1)), share * 127.5 * ORANGE, atol=2)


def test_subtitles_titles_and_chapters_are_kept(tmp_path):
    plain = write_video(tmp_path / "plain.mkv", [scene()] * 24)
    source = tmp_path / "video.mkv"
    with av.open(plain) as file, av.open(source, "w") as out:
        out.metadata["title"] = "The Garden"
        out.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        copies = {stream.index: out.add_stream_from_template(stream) for stream in file.streams}
        copies[1].metadata["language"], copies[1].disposition = "fre", av.stream.Disposition.comment
        text = out.add_mux_stream("subrip")
        packet = av.Packet(b"Bonjour")
        packet.pts = packet.dts = 100
        packet.duration, packet.time_base, packet.stream = 400, Fraction(1, 1000), text
        out.mux(packet)
        for packet in file.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    target, _ = colorize_synthetic(source)
    assert read_packets(target, "subtitles") == read_packets(source, "subtitles")
    assert read_packets(target, "subtitles")[0][:2] == (b"Bonjour", Fraction(1, 10))
    assert read_packets(target, "audio")[0] == read_packets(source, "audio")[0]
    assert read_packets(target, "audio")[0][2] == "fre"
    with av.open(target) as file:
        assert file.metadata["title"] == "The Garden"
        assert file.streams.audio[0].disposition == av.stream.Disposition.comment
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == ["One"]
