"""The order of the batches, the parts of processes, and records that cannot be read."""

import logging

import numpy as np
import pytest

from colorgan.data import pipeline, sources
from colorgan.errors import UserError


class Numbers:
    """A source whose image n is filled with the value n. Records in `bad` cannot be read."""

    def __init__(self, count, bad=()):
        self.count, self.bad = count, frozenset(bad)

    def __len__(self):
        return self.count

    def read(self, index):
        if index in self.bad:
            raise OSError("damaged")
        return np.full((8, 8, 3), index % 256, np.uint8)

    def name(self, index):
        return f"number_{index}.png"


def _images(count, bad=(), max_bad_fraction=0.1):
    return pipeline.Images(Numbers(count, bad), 8, max_bad_fraction)


def _draw(images, num_batches, batch_size=4, seed=0, first_batch=0, **loading):
    batches = pipeline.TrainBatches(images, batch_size, seed, first_batch, pipeline.Loading(**loading))
    try:
        return np.concatenate([next(batches).image[:, 0, 0, 0] for _ in range(num_batches)])
    finally:
        batches.close()


def test_every_epoch_is_a_new_permutation():
    drawn = _draw(_images(20), 15).reshape(3, 20)
    assert all(sorted(epoch) == list(range(20)) for epoch in drawn)
    assert len({tuple(epoch) for epoch in drawn}) == 3


def test_batches_can_span_two_epochs():
    drawn = _draw(_images(10), 5)
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))


def test_order_depends_only_on_the_seed():
    order = _draw(_images(20), 10)
    np.testing.assert_array_equal(order, _draw(_images(20), 10, num_threads=1))
    assert not np.array_equal(order, _draw(_images(20), 10, seed=1))


def test_training_can_start_at_any_batch():
    order = _draw(_images(20), 12)
    np.testing.assert_array_equal(order[7 * 4 :], _draw(_images(20), 5, first_batch=7))


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_get_contiguous_parts_of_the_same_batches(process_count):
    whole = _draw(_images(20), 6, first_batch=3).reshape(6, 4)
    parts = [
        _draw(_images(20), 6, first_batch=3, process_index=p, process_count=process_count).reshape(6, -1)
        for p in range(process_count)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))


def test_workers_do_not_change_the_batches():
    # Workers unpickle the source, so they must be able to import its class.
    images = pipeline.Images(sources.open_source("procedural:12", 8), 8, 0.1)
    whole = _draw(images, 5, first_batch=2).reshape(5, 4)
    np.testing.assert_array_equal(whole, _draw(images, 5, first_batch=2, num_workers=1).reshape(5, 4))
    second = _draw(images, 5, first_batch=2, num_workers=2, process_index=1, process_count=2)
    np.testing.assert_array_equal(whole[:, 2:], second.reshape(5, 2))


def test_bad_record_is_replaced_and_logged_and_counted_once(caplog):
    caplog.set_level(logging.WARNING)
    images = _images(20, bad=[7])
    batches = pipeline.TrainBatches(images, 4, 0, 0, pipeline.Loading())
    drawn = np.concatenate([next(batches).image[:, 0, 0, 0] for _ in range(10)])
    batches.close()
    assert batches.metrics() == {"data/bad_records": 1}
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["bad record replaced by a neighbor: number_7.png (damaged)"]
    # Number 8 replaces number 7, and all other images are unchanged.
    expected = _draw(_images(20), 10)
    np.testing.assert_array_equal(drawn, np.where(expected == 7, 8, expected))


def test_too_many_bad_records_end_the_run():
    with pytest.raises(
        UserError, match=r"at least 3 of 20 images cannot be read, such as .*number_\d+.png \(damaged\); .* allows 2"
    ):
        _draw(_images(20, bad=[3, 9, 15]), 10)


def test_source_without_a_good_record_ends_the_run_at_once():
    with pytest.raises(UserError, match="cannot be read"):
        _draw(_images(20, bad=range(20)), 1)


class CountedNumbers(Numbers):
    num_reads = 0

    def read(self, index):
        self.num_reads += 1
        return super().read(index)


def test_long_run_of_bad_records_costs_few_reads_and_gets_different_neighbors():
    source = CountedNumbers(10_000, bad=range(3000, 4250))
    images = pipeline.Images(source, 8, 0.125)
    drawn = images.load(np.arange(10_000))
    assert (np.flatnonzero(drawn.bad == pipeline.BAD) == np.arange(3000, 4250)).all()
    assert source.num_reads < 10_000 + 1250 * 13
    assert len(np.unique(drawn.image[3000:4250, 0, 0, 0])) > 200


def test_search_for_a_good_record_fails_only_once_per_batch():
    source = CountedNumbers(10_000, bad=range(10_000))
    drawn = pipeline.Images(source, 8, 0.1).load(np.arange(100))
    assert drawn.bad[0] == pipeline.TOO_MANY_BAD
    assert not drawn.image.any()
    assert source.num_reads < 1100


def test_only_good_record_within_the_limit_is_found():
    for good in range(8):
        images = _images(8, bad=set(range(8)) - {good}, max_bad_fraction=7 / 8)
        assert (images.load(np.arange(8)).image == good).all()


def test_without_a_limit_any_number_of_bad_records_is_left_out(caplog):
    images = _images(10, bad=[0, *range(2, 10)], max_bad_fraction=None)
    (batch,) = pipeline.ordered_batches(images, 10, pipeline.Loading())
    np.testing.assert_array_equal(batch.mask, np.arange(10) == 1)
    assert not batch.image[~batch.mask].any()
    assert caplog.text.count("bad record left out: number_") == 9


@pytest.mark.parametrize("process_count", [1, 2])
def test_validation_counts_every_image_once(process_count):
    seen = []
    for index in range(process_count):
        loading = pipeline.Loading(process_index=index, process_count=process_count)
        for batch in pipeline.ordered_batches(_images(10, bad=[4]), 4, loading):
            assert batch.image.shape == (4 // process_count, 8, 8, 3)
            seen += list(batch.image[batch.mask][:, 0, 0, 0])
    assert sorted(seen) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
