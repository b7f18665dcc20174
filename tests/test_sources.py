"""Every kind of data source, and the error messages."""

import fcntl
import functools
import http.server
import io
import logging
import os
import pickle
import re
import resource
import socket
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_launch import wait_until
from tiny_photos import tiny_photos_dataset_builder as tiny_photos

from colorgan.data import array_record, open_files, sources, transforms
from colorgan.data import tfds as tfds_source
from colorgan.data.folder import IMAGE_SUFFIXES, find_images
from colorgan.data.shards import write_shards
from colorgan.errors import UserError
from colorgan.inference.find_inputs import find_files
from colorgan.media import photo_file
from configs import tpu


def test_procedural_images_differ_between_training_and_validation():
    train, validation = (sources.open_source("procedural:5", 32, seed) for seed in (0, 1))
    assert len(train) == 5
    assert np.shape(train.read(2)) == (32, 32, 3)
    np.testing.assert_array_equal(train.read(2), sources.open_source("procedural:9", 32, 0).read(2))
    assert not np.array_equal(train.read(2), validation.read(2))


def test_folder_is_read_recursively_in_a_fixed_order(photographs):
    source = sources.open_source(f"folder:{photographs}", 32)
    names = [source.name(n) for n in range(len(source))]
    assert len(names) == 12
    assert names == sorted(names)
    assert names[0] == "class_0/image_00.jpg"
    assert source.read(0) == (photographs / names[0]).read_bytes()


def test_folder_order_does_not_depend_on_the_file_system(tmp_path):
    names = [f"{folder}/{file}.png" for folder in "qbxaldmc" for file in "tofue"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_images(str(tmp_path))) == sorted(names)


ALL_SUFFIXES = (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES))


def test_results_beside_their_originals_are_left_out(tmp_path, caplog):
    """As `colorgan colorize` leaves them out."""
    results = [f"{suffix[1:]}/a-colorized{photo_file.suffix_of_result(suffix)}" for suffix in ALL_SUFFIXES]
    results += ["b-colorized.jpg", "b-colorized-colorized.jpg", "scan-colorized.png", "IMG.HEIC-colorized.jpg"]
    originals = [f"{suffix[1:]}/a{suffix}" for suffix in ALL_SUFFIXES] + ["b.jpg", "IMG.HEIC", "IMG.jpg"]
    others = ["only-colorized.jpg", "-colorized.png", "c.jpg", "c-colorized.png", "d-colorized/e.jpg", "d.jpg"]
    others += ["f-colorized2.jpg", "f.jpg", "g.jpg/h.jpg", "g-colorized.jpg"]
    for name in (*results, *originals, *others, "scan", "clip.mp4", "clip-colorized.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with caplog.at_level(logging.INFO, "colorgan"):
        source = sources.open_source(f"folder:{tmp_path}", 32)
    names = {source.name(n) for n in range(len(source))}
    assert names == {*originals, *others, "clip-colorized.jpg"}
    assert [path for path, _ in find_files([tmp_path], None) if path.name != "clip.mp4"] == [
        tmp_path / source.name(n) for n in range(len(source))
    ]
    line = f"left out of folder:{tmp_path}, as results that have their original beside them: {len(results)}"
    assert caplog.messages == [line]
    assert len(sources.open_source(f"folder:{tmp_path}", 32, with_results=True)) == len(source) + len(results)
    assert caplog.messages == [line]


def test_a_folder_of_results_only_is_reported(tmp_path):
    (tmp_path / "scan").touch()
    (tmp_path / "scan-colorized.jpg").touch()
    with pytest.raises(UserError, match="holds no images but results of `colorgan colorize`"):
        sources.open_source(f"folder:{tmp_path}", 32)


def test_only_names_of_results_cost_a_look_at_the_disk(tmp_path, monkeypatch):
    for n in range(20):
        (tmp_path / f"{n}.jpg").touch()
    (tmp_path / "7-colorized.jpg").touch()
    looks = []

    def is_file(path):
        looks.append(path.name)
        return path.exists()

    monkeypatch.setattr(Path, "is_file", is_file)
    assert len(sources.open_source(f"folder:{tmp_path}", 32)) == 20
    assert looks == ["7.jpg"]


def test_links_to_folders_are_followed_once(photographs, tmp_path):
    (tmp_path / "linked").symlink_to(photographs)
    (tmp_path / "back").symlink_to(tmp_path)
    names = list(find_images(str(tmp_path)))
    assert len(names) == 12
    assert names[0] == "linked/class_0/image_00.jpg"


def test_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.png").touch()
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("closed"))
    with pytest.raises(UserError, match=f"cannot read the folder {tmp_path}/closed: Permission denied"):
        sources.open_source(f"folder:{tmp_path}", 32)


def test_home_folder_in_names_of_sources(photographs, tmp_path, monkeypatch):
    write_shards(sources.open_source(f"folder:{photographs}", 32), tmp_path / "shards", num_shards=2)
    monkeypatch.setenv("HOME", str(photographs.parent))
    assert len(sources.open_source(f"folder:~/{photographs.name}", 32)) == 12
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(sources.open_source("array_record:~/shards", 32)) == 12


def test_array_record_has_the_bytes_and_names_of_the_folder(photographs, tmp_path):
    folder = sources.open_source(f"folder:{photographs}", 32)
    write_shards(folder, tmp_path / "shards", num_shards=3)
    for pattern in (f"{tmp_path}/shards/*.array_record", f"{tmp_path}/shards"):
        records = sources.open_source(f"array_record:{pattern}", 32)
        assert len(records) == 12
        assert [records.name(n) for n in range(12)] == [folder.name(n) for n in range(12)]
        assert [records.read(n) for n in range(12)] == [folder.read(n) for n in range(12)]


@pytest.mark.parametrize("kind", ["procedural", "folder", "array_record"])
def test_sources_can_be_pickled(kind, photographs, tmp_path):
    if kind == "array_record":
        write_shards(sources.open_source("procedural:4", 32), tmp_path / "shards", num_shards=2)
    place = {"procedural": "4", "folder": photographs, "array_record": tmp_path / "shards"}[kind]
    source = sources.open_source(f"{kind}:{place}", 32)
    unpickled = pickle.loads(pickle.dumps(source))
    assert len(unpickled) == len(source)
    np.testing.assert_array_equal(unpickled.read(1), source.read(1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photos", "unknown data source 'photos'"),
        ("zip:photos", "unknown data source"),
        ("folder:", "unknown data source"),
        ("procedural:many", "needs a number of images"),
        ("procedural:0", "needs a number of images"),
        ("tfds:imagenette", "needs a dataset and a split"),
        ("folder:/no/such/place", "there is no folder '/no/such/place'"),
        ("array_record:/no/such/*.place", "no file matches"),
        ("tfds:no_such_set/train", "no_such_set not found"),
    ],
)
def test_errors_name_the_problem(name, message):
    with pytest.raises(UserError, match=message):
        sources.open_source(name, 32)


@pytest.mark.parametrize("name", ["procedural:1", "folder:/no/such/place", "array_record:/no/such/*", "tfds:none/x"])
def test_check_name_opens_nothing(name):
    sources.check_name(name)


@pytest.mark.parametrize("name", ["photos", "zip:photos", "folder:", "procedural:many", "procedural:0", "tfds:none"])
def test_check_name_finds_wrong_syntax(name):
    with pytest.raises(UserError, match="data source"):
        sources.check_name(name)


def test_path_of_a_folder_without_its_kind_gets_a_hint(tmp_path):
    with pytest.raises(UserError, match=f"did you mean folder:{tmp_path}"):
        sources.check_name(str(tmp_path))


def test_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        sources.open_source(f"folder:{tmp_path}", 32)


def test_file_that_is_not_an_array_record_is_an_error(tmp_path):
    (tmp_path / "a.array_record").write_bytes(b"nonsense" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        sources.open_source(f"array_record:{tmp_path}/*", 32)


def test_damaged_shard_without_a_recorded_count_is_an_error(photographs, tmp_path):
    write_shards(sources.open_source(f"folder:{photographs}", 32), tmp_path / "shards", num_shards=2)
    shard = tmp_path / "shards" / "images-00001-of-00002.array_record"
    os.truncate(shard, 70_000)
    for counts in (None, "no JSON", "[]", "{}"):
        if counts is None:
            (tmp_path / "shards" / "shards.json").unlink()
        else:
            (tmp_path / "shards" / "shards.json").write_text(counts)
        with pytest.raises(UserError, match=rf"the shard {shard} cannot be read \(.*\), and no shards.json"):
            sources.open_source(f"array_record:{tmp_path}/shards", 32)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reads a file of Linux that answers with EIO")
def test_shard_that_may_not_be_read_is_not_a_damaged_one(tmp_path):
    (tmp_path / "a.array_record").symlink_to("/proc/self/mem")
    (tmp_path / "shards.json").write_text('{"a.array_record": 3}')  # of a damaged shard the images would count as bad
    with pytest.raises(UserError, match=r"cannot read the shard .*a\.array_record: Input/output error"):
        sources.open_source(f"array_record:{tmp_path}", 32)


@pytest.fixture
def file_limit(monkeypatch):
    """A function that sets the limit of open files, as `ulimit -n` does: this process cannot raise it again."""
    set_limit, (soft, hard) = resource.setrlimit, resource.getrlimit(resource.RLIMIT_NOFILE)

    def change(limit):
        set_limit(resource.RLIMIT_NOFILE, (limit, hard))
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, limit))

    yield change
    set_limit(resource.RLIMIT_NOFILE, (soft, hard))


def _next_free_file():
    with open(os.devnull) as file:
        return file.fileno()


def test_more_shards_than_open_files(tmp_path, monkeypatch, caplog, file_limit):
    """As with `ulimit -n 256` and 300 shards, with smaller numbers: every record is read, in data workers too."""
    source = sources.open_source("procedural:300", 16)
    write_shards(source, tmp_path / "shards", num_shards=300)
    monkeypatch.setattr(open_files, "_RESERVED", 30)
    file_limit(_next_free_file() + 60)
    with caplog.at_level(logging.WARNING, "colorgan"):
        records = sources.open_source(f"array_record:{tmp_path}/shards", 32)
    assert re.search("has 300 shards, of which [0-9]+ can be open: .* `ulimit -n 4096`", caplog.text)
    for opened in (records, pickle.loads(pickle.dumps(records))):
        assert [opened.name(n) for n in range(300)] == [source.name(n) for n in range(300)]


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows(monkeypatch):
    limits = [256, 1000]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, new: limits.__setitem__(slice(None), new))
    assert open_files.raise_limit(100) == 100
    assert limits == [256, 1000]
    assert open_files.raise_limit(300) == 300
    assert limits == [1000, 1000]
    assert open_files.raise_limit(2000) < 1000


def test_shards_without_a_free_file_name_the_limit(tmp_path, file_limit):
    """They do not count as damaged."""
    write_shards(sources.open_source("procedural:4", 16), tmp_path / "shards", num_shards=4)
    records = array_record.ArrayRecordSource(f"{tmp_path}/shards")
    file_limit(_next_free_file())
    with pytest.raises(OSError, match="too many open files: raise the limit with `ulimit -n"):
        records.read(0)
    with pytest.raises(UserError, match="too many open files; raise the limit with `ulimit -n"):
        array_record._count_records(records._paths[0])


@pytest.fixture
def tfds(monkeypatch, tmp_path):
    import tensorflow_datasets
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path))
    return tensorflow_datasets


@pytest.mark.filterwarnings("default")  # TFDS and its dependencies warn
def test_tfds_prepares_a_dataset_and_reads_its_bytes(tfds, tmp_path):
    source = sources.open_source("tfds:tiny_photos/train", 32)
    assert len(source) == tiny_photos.NUM_IMAGES
    expected = {tiny_photos.encoded_image(n) for n in range(tiny_photos.NUM_IMAGES)}
    assert {source.read(n) for n in range(len(source))} == expected
    unpickled = pickle.loads(pickle.dumps(source))
    assert unpickled.read(1) == source.read(1)
    assert "tensorflow" not in sys.modules
    with pytest.raises(UserError, match="tfds:tiny_photos/nosplit"):
        sources.open_source("tfds:tiny_photos/nosplit", 32)
    # A truncated shard: TFDS has recorded how many records it had.
    (shard,) = tmp_path.glob("tiny_photos/*/*.array_record*")
    os.truncate(shard, 65536)
    damaged = sources.open_source("tfds:tiny_photos/train", 32)
    assert len(damaged) == tiny_photos.NUM_IMAGES
    with pytest.raises(ValueError, match="not an image"):
        transforms.decode_image(damaged.read(1))


@pytest.mark.filterwarnings("default")
def test_tfds_in_another_format_is_one_sentence(tfds, tmp_path):
    """As `tfds.load` of TensorFlow prepares it."""
    sources.open_source("tfds:tiny_photos/train", 32)
    (folder,) = tmp_path.glob("tiny_photos/1.0.0")
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(UserError, match=f"was prepared as tfrecord in {folder}, but .*TFDS_DATA_DIR") as caught:
        sources.open_source("tfds:tiny_photos/train", 32)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("default")
def test_tfds_with_more_shards_than_open_files_names_the_limit(tfds, file_limit):
    sources.open_source("tfds:tiny_photos/train", 32)
    file_limit(open_files._RESERVED)
    with pytest.raises(UserError, match=r"tfds:tiny_photos needs more open files .*\(1\): .*ulimit -n"):
        sources.open_source("tfds:tiny_photos/train", 32)


@pytest.mark.filterwarnings("default")
def test_one_process_prepares_a_dataset_while_others_wait(tfds, tmp_path, caplog):
    folder = tmp_path / "tiny_photos"
    folder.mkdir()
    opened = []
    thread = threading.Thread(target=lambda: opened.append(sources.open_source("tfds:tiny_photos/train", 32)))
    with open(folder / ".colorgan.lock", "ab") as lock_file, caplog.at_level(logging.INFO, "colorgan"):
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # as the first process holds it
        thread.start()
        wait_until(lambda: "another process prepares" in caplog.text)
        assert not list(folder.glob("*/*.array_record*"))
        tfds.builder("tiny_photos", file_format="array_record").download_and_prepare()
    thread.join(timeout=60)
    assert len(opened[0]) == tiny_photos.NUM_IMAGES
    assert "downloading" not in caplog.text


@pytest.mark.filterwarnings("default")
def test_tfds_downloads_the_dataset_of_the_configs(tfds, monkeypatch, tmp_path):
    """Runs TFDS's own builder, from the download to the records, with a small archive from a local server."""
    from tensorflow_datasets.datasets.imagenette import imagenette_dataset_builder

    with tarfile.open(tmp_path / "imagenette2-320.tgz", "w:gz") as archive:
        for n in range(8):
            split, label = ("train", "val")[n % 2], ("n01440764", "n02102040")[n // 4]
            image = tiny_photos.encoded_image(n)
            member = tarfile.TarInfo(f"imagenette2-320/{split}/{label}/image_{n}.JPEG")
            member.size = len(image)
            archive.addfile(member, io.BytesIO(image))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(imagenette_dataset_builder, "_URL_PREFIX", f"http://127.0.0.1:{server.server_port}/")
        config = tpu.get_config()
        train = sources.open_source(config.data.train, 32)
        server.shutdown()
    validation = sources.open_source(config.data.validation, 32)  # prepared already
    assert {train.read(n) for n in range(len(train))} == {tiny_photos.encoded_image(n) for n in (0, 2, 4, 6)}
    assert len(validation) == 4
    assert "tensorflow" not in sys.modules


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("answers", [False, None], ids=["refuses", "is silent"])
def test_tfds_without_a_network_is_reported_at_once(tfds, monkeypatch, answers):
    from tensorflow_datasets.datasets.imagenette import imagenette_dataset_builder

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tfds_source, "_ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if answers is False:
            server.close()
        monkeypatch.setattr(imagenette_dataset_builder, "_URL_PREFIX", f"http://127.0.0.1:{port}/")
        start = time.monotonic()
        message = (
            f"tfds:imagenette/320px-v2/train cannot be opened: 127.0.0.1:{port} cannot be reached; check the network"
        )
        with pytest.raises(UserError, match=message):
            sources.open_source("tfds:imagenette/320px-v2/train", 32)
        assert time.monotonic() - start < 8


@pytest.mark.filterwarnings("default")
def test_tfds_mock(tfds, monkeypatch):
    from tensorflow_datasets.core.features import image_feature

    # The mock encodes its random images with TensorFlow, which is not installed.
    encode = lambda encoder, image: tiny_photos.encode(image)  # noqa: E731
    monkeypatch.setattr(image_feature._ImageEncoder, "encode_image_or_path", encode)
    with tfds.testing.mock_data(num_examples=5):
        source = sources.open_source("tfds:imagenette/320px-v2/train", 32)
        assert len(source) == 5
        assert transforms.decode_image(source.read(3)).mode == "RGB"
