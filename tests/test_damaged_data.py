"""Damaged and harmful files are logged and counted, and change nothing else.

`python tests/test_damaged_data.py 50000` decodes 50,000 mutated files.
"""

import collections
import io
import json
import logging
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from colorgan.data import pipeline, sources, transforms
from colorgan.data.shards import write_shards
from colorgan.errors import UserError

SIZE, NUM_PHOTOGRAPHS, NUM_BATCHES = 16, 24, 12
FUZZ_PIXELS = 2_000_000
FUZZ_SECONDS = 10  # limit for one file; the largest take 0.05 s


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, data: bytes, interlaced: bool = False) -> bytes:
    """An 8-bit gray PNG. `data` has the rows, each after a byte for its filter."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")


def _run_length_bmp(width: int, height: int) -> bytes:
    header = struct.pack("<2sIHHI", b"BM", 1082, 0, 0, 1078)
    return header + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 0, 0) + bytes(1024) + b"\2\5\0\0"


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for n in range(NUM_PHOTOGRAPHS):
        smooth = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
        smooth.resize((60, 50), Image.Resampling.BICUBIC).save(folder / f"image_{n:02d}.jpg")
    return folder


# How image_NN.jpg is damaged after the folder was listed, and the message about it.
DAMAGE = {
    1: (lambda path: os.truncate(path, path.stat().st_size - 100), "image file is truncated"),
    4: (lambda path: path.write_text("not an image"), "not an image of a known format"),
    5: (lambda path: os.truncate(path, 0), "not an image of a known format"),
    6: (lambda path: path.write_bytes(_png(30000, 30000, b"")), "more than 200 megapixels"),
    9: (lambda path: path.unlink(), "No such file or directory"),
    11: (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not an image of a known"),
    12: (lambda path: path.write_bytes(_run_length_bmp(100_000_000, 1)), "run-length encoded BMP"),
    15: (lambda path: (path.unlink(), subprocess.run(["mkfifo", path])), "not a regular file"),
    17: (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "not a regular file"),
    20: (lambda path: os.truncate(path, 3 * 2**30), "larger than 2 GiB"),  # a sparse file: takes no space
    23: (lambda path: path.write_bytes(os.urandom(1000)), "not an image of a known format"),
}


def _open(source, max_bad_fraction=0.6):
    return pipeline.Images(source, SIZE, max_bad_fraction)


def _train(images, num_workers=0):
    batches = pipeline.TrainBatches(images, 8, 5, 0, pipeline.Loading(num_workers))
    try:
        drawn = [next(batches) for _ in range(NUM_BATCHES)]
        return pipeline.TrainBatch(*map(np.concatenate, zip(*drawn, strict=True))), batches.metrics()
    finally:
        batches.close()


def _assert_others_unchanged(images, undamaged, bad, num_workers=0):
    """Training and ordered batches equal those of `undamaged`, except for the records `bad`, which are all marked."""
    (drawn, metrics), (expected, _) = _train(images, num_workers), _train(undamaged)
    np.testing.assert_array_equal(drawn.record_index, expected.record_index)
    np.testing.assert_array_equal(drawn.bad != pipeline.GOOD, np.isin(drawn.record_index, bad))
    good = drawn.bad == pipeline.GOOD
    np.testing.assert_array_equal(drawn.image[good], expected.image[good])
    assert good.any()
    assert metrics == {"data/bad_records": len(bad)}
    loading = pipeline.Loading(num_workers)
    ordered = np.concatenate([batch.image[batch.mask] for batch in pipeline.ordered_batches(images, 8, loading)])
    others = np.setdiff1d(np.arange(len(images)), bad)
    np.testing.assert_array_equal(ordered, [undamaged.decode(index) for index in others])


def _messages(caplog):
    return [record.getMessage() for record in caplog.records if record.name == pipeline.__name__]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_damaged_files_are_logged_and_change_nothing_else(originals, tmp_path, caplog, num_workers):
    caplog.set_level(logging.WARNING)
    undamaged = _open(sources.open_source(f"folder:{originals}", SIZE))
    shutil.copytree(originals, tmp_path / "damaged")
    source = sources.open_source(f"folder:{tmp_path}/damaged", SIZE)
    for n, (damage, _) in DAMAGE.items():
        damage(tmp_path / "damaged" / source.name(n))
    _assert_others_unchanged(_open(source), undamaged, list(DAMAGE), num_workers)
    messages = _messages(caplog)
    for n, (_, reason) in DAMAGE.items():  # once in training and once in validation
        named = [message for message in messages if f": image_{n:02d}.jpg (" in message]
        assert len(named) == 2
        assert reason in named[0]
    assert len(messages) == 2 * len(DAMAGE)
    with pytest.raises(UserError, match=r"at least 7 of 24 images .* such as image_\d\d.jpg \(.*\)"):
        _train(_open(source, 0.25))


@pytest.fixture(scope="module")
def shards(originals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "shards"
    write_shards(sources.open_source(f"folder:{originals}", SIZE), folder, num_shards=4)
    return folder


def _truncate(path):
    os.truncate(path, path.stat().st_size - 100)


def _truncate_to_a_block(path):  # here ArrayRecord's error has no message
    os.truncate(path, 65536)


SHARD = "images-00002-of-00004.array_record"
LOST = list(range(12, 18))


@pytest.mark.parametrize(
    ("num_workers", "damage"),
    [
        (0, _truncate),
        (1, _truncate),
        (0, _truncate_to_a_block),
        (0, lambda path: os.truncate(path, 0)),
        (0, Path.unlink),
    ],
)
def test_records_of_a_lost_shard_keep_their_indices(originals, shards, tmp_path, caplog, num_workers, damage):
    caplog.set_level(logging.WARNING)
    shutil.copytree(shards, tmp_path / "shards")
    if damage is Path.unlink:  # deleted after it was opened; before, it would not be missed
        source = sources.open_source(f"array_record:{tmp_path}/shards", SIZE)
        damage(tmp_path / "shards" / SHARD)
    else:
        damage(tmp_path / "shards" / SHARD)
        source = sources.open_source(f"array_record:{tmp_path}/shards", SIZE)
        assert f"{SHARD} is cut short or damaged: all its images count as bad: 6 (" in caplog.text
    _assert_others_unchanged(_open(source), _open(sources.open_source(f"folder:{originals}", SIZE)), LOST, num_workers)
    messages = _messages(caplog)
    named = collections.Counter(message.partition(" (")[0] for message in messages)
    log_texts = ("replaced by a neighbor", "left out")  # in training and in validation
    assert named == {f"bad record {text}: record {n} of {SHARD}": 1 for n in range(6) for text in log_texts}
    assert all("the shard is cut short" in message for message in messages)
    with pytest.raises(UserError, match=f"record . of {SHARD}"):
        _train(_open(source, 0.2))


def test_shard_truncated_while_it_is_read(shards, tmp_path):
    undamaged = sources.open_source(f"array_record:{shards}", SIZE)
    shutil.copytree(shards, tmp_path / "shards")
    source = sources.open_source(f"array_record:{tmp_path}/shards", SIZE)
    source.read(LOST[0])
    os.truncate(tmp_path / "shards" / SHARD, 3000)
    lost = {}
    for index in range(len(source)):
        try:
            assert source.read(index) == undamaged.read(index)
        except OSError as error:
            lost[index] = str(error)
    assert len(lost) >= 3
    assert set(lost) <= set(LOST)
    assert all("cut short" in text for text in lost.values())


def test_overwritten_bytes_in_a_shard_make_only_their_record_bad(shards, tmp_path):
    undamaged = sources.open_source(f"array_record:{shards}", SIZE)
    shutil.copytree(shards, tmp_path / "shards")
    with open(tmp_path / "shards" / SHARD, "r+b") as file:
        file.seek(3000)
        file.write(bytes(range(50)))
    images = _open(sources.open_source(f"array_record:{tmp_path}/shards", SIZE))
    drawn = images.load(np.arange(len(images)))
    (bad,) = np.flatnonzero(drawn.bad)
    assert bad in LOST
    assert images.source.name(bad) == f"record {bad - LOST[0]} of {SHARD}"
    _assert_others_unchanged(images, _open(undamaged), [bad])


def test_colored_photographs_stay_in_the_output_folder(originals, tmp_path, monkeypatch):
    from colorgan.inference.find_inputs import find_files

    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("sub/..jpg.png", "sub/a\nb.png", "latin_\udce9.png", "...png"):
        (folder / name).touch()
    (folder / "linked").symlink_to(originals)
    (folder / "link.jpg").symlink_to(originals / "image_00.jpg")
    monkeypatch.chdir(folder)
    relative = [Path(name) for name in (".", "sub/../link.jpg", "../in/linked", "sub/..")]
    inputs = [folder, originals / "image_00.jpg", *relative]
    output = tmp_path / "out"
    targets = [target for _, target in find_files(inputs, output)]
    assert output / "linked/image_03.jpg" in targets
    assert all(output in target.resolve().parents for target in targets)


def _valid_files() -> dict[str, bytes]:
    """A small image of each format, mode and compression, by its description."""
    smooth = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    rgba = Image.fromarray(smooth).resize((37, 41), Image.Resampling.BICUBIC)
    rgb, gray, deep = rgba.convert("RGB"), rgba.convert("L"), Image.fromarray(np.asarray(rgba.convert("I"), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    extras = {"exif": exif.tobytes(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    # Rows of the seven passes of an interlaced PNG.
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [row for x, y, dx, dy in passes for row in np.asarray(gray)[y::dy, x::dx] if row.size]
    kinds: list[tuple[str, Image.Image, dict]] = [
        ("jpeg", rgb, extras),
        ("jpeg", rgb, {"progressive": True}),
        ("jpeg", rgba.convert("CMYK"), {"restart_marker_blocks": 2}),
        ("mpo", rgb, {"save_all": True, "append_images": [rgb]}),
        ("png", rgba, extras),
        ("png", deep, {}),
        ("png", rgb.quantize(16), {"transparency": bytes([0, 100, 200])}),
        ("webp", rgba, extras | {"quality": 50}),
        ("webp", rgb, {"lossless": True}),
        ("webp", rgba, {"save_all": True, "append_images": [rgba.rotate(90), rgba.rotate(180)]}),
        ("bmp", rgb, {}),
        ("bmp", gray, {}),
        *(("tiff", rgb, {"compression": c}) for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
        ("tiff", deep, extras),
        ("tiff", gray.convert("1"), {"compression": "group4"}),
        ("gif", rgb.quantize(16), {"save_all": True, "append_images": [rgb.rotate(90).quantize(16)]}),
        ("avif", rgba, extras),
        ("jpeg2000", rgb, {}),
        ("jpeg2000", deep, {"irreversible": True}),
    ]
    files = {"png interlaced": _png(37, 41, b"".join(b"\0" + row.tobytes() for row in rows), interlaced=True)}
    for kind, image, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[f"{kind} {image.mode} {' '.join(map(str, options.values()))[:30]!r}"] = buffer.getvalue()
    files["heic"] = (Path(__file__).parent / "tiny_photos" / "leica.heic").read_bytes()
    # As large as the limit, and larger.
    for kind, mode, side in (("png", "RGBA", 1400), ("webp", "RGBA", 1400), ("png", "L", 4000)):
        buffer = io.BytesIO()
        Image.new(mode, (side, side)).save(buffer, kind, lossless=True)
        files[f"{kind} {side}"] = buffer.getvalue()
    return files


def _mutated(rng: random.Random, file: bytes) -> bytes:
    data = bytearray(file)
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(len(data))
        end = start + rng.choice((1, 4, 16, 200))
        match rng.randrange(6):
            case 0:
                data[start] ^= 1 << rng.randrange(8)
            case 1:
                del data[start + 1 :]
            case 2:
                data[start:start] = rng.randbytes(end - start)
            case 3:
                data[start:end] = rng.randbytes(end - start)
            case 4:
                data[end:end] = data[start:end]
            case 5:
                for side in (37, 41):
                    form = rng.choice(("<H", ">H", "<I", ">I"))
                    at = data.find(struct.pack(form, side))
                    if at >= 0:
                        large = rng.choice((0, 1, 1400, 20_000, 65535, 2**31 - 1, 2**32 - 1))
                        struct.pack_into(form, data, at, large % 2 ** (8 * struct.calcsize(form)))
    if data.startswith(b"\x89PNG") and rng.random() < 0.8:  # with correct checksums, or few would be decoded
        at = 8
        while (end := at + 8 + int.from_bytes(data[at : at + 4])) + 4 <= len(data):
            data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
            at = end + 4
    return bytes(data)


def _peak_bytes() -> int:
    """Peak memory of this process; getrusage would include that of the parent process."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _fuzz(count: int) -> None:
    """Prints the name of each image before it is decoded, and the results at the end."""
    Image.MAX_IMAGE_PIXELS = FUZZ_PIXELS // 2
    files = _valid_files()
    outcomes, slowest, before = collections.Counter[str](), 0.0, _peak_bytes()
    for n in range(count):
        rng = random.Random(n)
        kind = rng.choice(list(files))
        image = _mutated(rng, files[kind])
        os.write(1, f"image {n}: {kind}\n".encode())
        signal.alarm(FUZZ_SECONDS)  # ends the process, also within a library
        start = time.perf_counter()
        try:
            decoded = transforms.decode_image(image, rng.choice((None, SIZE)))
            pixels = transforms.square(decoded, SIZE)
        except Exception as error:
            outcomes[type(error).__name__] += 1
        else:
            assert decoded.mode == "RGB"
            assert decoded.width * decoded.height <= FUZZ_PIXELS
            assert pixels.shape == (SIZE, SIZE, 3)
            outcomes["decoded"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    results = {"outcomes": outcomes, "slowest_seconds": slowest, "bytes": _peak_bytes() - before}
    print(json.dumps(results))


@pytest.mark.skipif(sys.platform != "linux", reason="reads its peak memory from /proc")
def test_mutated_images_do_not_crash_hang_or_exhaust_memory():
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parent.parent))
    done = subprocess.run(
        [sys.executable, __file__, "3000"], env=environment, capture_output=True, text=True, timeout=120
    )
    *_, last = done.stdout.splitlines()
    assert done.returncode == 0, f"{last}: exit code {done.returncode}\n{done.stderr}"
    results = json.loads(last)
    assert 300 < results["outcomes"]["decoded"] < 2700
    # 16 bytes a pixel (`transforms.MAX_PIXELS`), and a margin for the libraries.
    assert results["bytes"] < 16 * FUZZ_PIXELS + 2**24


if __name__ == "__main__":
    _fuzz(int(sys.argv[1]))
