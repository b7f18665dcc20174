"""Streamed and cached batches are the same."""

import logging

import jax
import numpy as np
import pytest
from test_pipeline import Numbers

from colorgan import sharding
from colorgan.configs import default
from colorgan.data import pipeline, workers
from colorgan.errors import UserError
from colorgan.training import batches as batches_lib
from colorgan.training import build

NUM_IMAGES, BATCH_SIZE = 22, 8


def _draw(cache, num_devices=8, bad=(), first_batch=0, num_batches=6, max_bad_fraction=0.1):
    images = pipeline.Images(Numbers(NUM_IMAGES, bad), 8, max_bad_fraction)
    mesh = sharding.create_mesh(jax.devices()[:num_devices])
    config = default.get_config()
    config.batch_size, config.data.cache, config.seed = BATCH_SIZE, cache, 5
    batches = build.create_train_batches(config, images, first_batch, mesh)
    try:
        return [next(batches) for _ in range(num_batches)], batches.metrics()
    finally:
        batches.close()


@pytest.mark.parametrize("num_devices", [1, 8])
def test_cached_batches_are_the_streamed_ones(num_devices):
    streamed, _ = _draw("none", num_devices)
    cached, _ = _draw("device", num_devices)
    for expected, actual in zip(streamed, cached, strict=True):
        assert expected.shape == (BATCH_SIZE, 8, 8, 3)
        assert (actual.dtype, actual.sharding) == (np.uint8, expected.sharding)
        np.testing.assert_array_equal(actual, expected)
    later, _ = _draw("device", num_devices, first_batch=4, num_batches=2)
    np.testing.assert_array_equal(np.stack(later), np.stack(streamed[4:]))


def test_cache_replaces_and_counts_bad_records(caplog):
    with caplog.at_level(logging.WARNING):
        cached, data_metrics = _draw("device", bad=[3, 21])
    streamed, _ = _draw("none", bad=[3, 21])
    np.testing.assert_array_equal(np.stack(cached), np.stack(streamed))
    assert data_metrics == {"data/bad_records": 2}
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("bad record replaced by a neighbor: number_21.png (damaged)") == 2  # cached and streamed
    with pytest.raises(UserError, match="cannot be read"):
        _draw("device", bad=[1, 5, 9])


def test_devices_do_not_exchange_images():
    mesh = sharding.create_mesh()
    images = pipeline.Images(Numbers(NUM_IMAGES), 8, 0.1)
    batches = batches_lib.CachedBatches(images, BATCH_SIZE, 0, 0, pipeline.Loading(), mesh)
    indices = sharding.to_global(mesh, np.zeros(BATCH_SIZE, np.int32))
    program = batches._choose_fn.lower(batches._cache, indices).compile().as_text() or ""
    batches.close()
    assert "(u8[256,192]{1,0}, s32[1]{0})->u8[1,8,8,3]" in program  # from a copy of the set to a part of the batch
    assert not [name for name in ("all-gather", "all-reduce", "collective", "all-to-all") if name in program]


def test_too_large_a_set_is_refused_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr(batches_lib, "_CACHE_SHARE", 1e-12)
    with pytest.raises(UserError, match=r"takes 0.00 GB on each device, but cpu has only 0.00 GB .*load_size"):
        _draw("device", bad=range(NUM_IMAGES))


@pytest.mark.parametrize(("memory_bytes", "num_passes"), [(10**9, 1), (1000, 2)])
def test_validation_images_are_decoded_once_if_they_fit(monkeypatch, memory_bytes, num_passes):
    monkeypatch.setattr(batches_lib, "_memory_bytes", lambda mesh: memory_bytes)
    source = Numbers(NUM_IMAGES, bad=[4])
    images = pipeline.Images(source, 8, 0.1)
    decoded: list[int] = []

    def decode(index, original=images.decode):
        decoded.append(index)
        return original(index)

    monkeypatch.setattr(images, "decode", decode)
    batches = batches_lib.ValidationBatches(images, BATCH_SIZE, pipeline.Loading(), sharding.create_mesh())
    first, second = (
        [(np.asarray(image)[np.asarray(mask)], int(mask.sum())) for image, mask in batches] for _ in range(2)
    )
    assert [count for _, count in first] == [7, 8, 6]  # one is bad, and the last batch has 6 images
    for (expected, _), (actual, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert decoded.count(0) == num_passes * 2  # itself, and as the padding of the last batch


def test_an_automatic_cache_is_used_if_the_images_fit(monkeypatch, caplog):
    images, mesh = pipeline.Images(Numbers(NUM_IMAGES), 8, 0.1), sharding.create_mesh()
    size = NUM_IMAGES * 8 * 8 * 3
    for memory_bytes, chosen in ((4 * size, "device"), (2 * size, "none")):
        monkeypatch.setattr(batches_lib, "_memory_bytes", lambda mesh, memory_bytes=memory_bytes: memory_bytes)
        with caplog.at_level(logging.INFO, "colorgan"):
            assert batches_lib.choose_cache("auto", images, mesh) == chosen
        assert f"here '{chosen}'" in caplog.messages[-1]
    assert batches_lib.choose_cache("none", images, mesh) == "none"
    automatic, _ = _draw("auto")
    streamed, _ = _draw("none")
    np.testing.assert_array_equal(np.stack(automatic), np.stack(streamed))


def test_the_number_of_workers_follows_the_cores(monkeypatch):
    config = default.get_config()
    config.data.num_workers = -1
    for num_cores, num_workers in ((3, 3), (64, 16)):
        monkeypatch.setattr(workers, "num_cores", lambda num_cores=num_cores: num_cores)
        assert build.create_loading(config).num_workers == num_workers


def test_too_little_shared_memory_is_one_sentence_at_the_start(monkeypatch):
    """Docker's default is 64 MB."""
    usage = workers.shutil._ntuple_diskusage(64 * 10**6, 0, 64 * 10**6)
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(workers.os.path, "isdir", lambda path: True)
    images = pipeline.Images(Numbers(NUM_IMAGES), 144, 0.1)
    with pytest.raises(
        UserError, match=r"data workers \(8\) need \d+ MB in /dev/shm, where 64 MB are free: .*--shm-size"
    ):
        pipeline.TrainBatches(images, 64, 0, 0, pipeline.Loading(num_workers=8))
    workers.check_shared_memory(10**9, 0)
    workers.check_shared_memory(5 * 10**6, 3)
