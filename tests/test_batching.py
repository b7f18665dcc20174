"""Images of several threads reach the network together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from colorgan.inference.batching import BatchedPredict


class _Network:
    """Doubles its input and adds hints. The first call waits until `is_free` is set."""

    def __init__(self):
        self.sizes, self.hints = [], []
        self.is_called, self.is_free = threading.Event(), threading.Event()

    def __call__(self, images, hints=None):
        self.sizes.append(len(images))
        self.hints.append(hints)
        self.is_called.set()
        assert self.is_free.wait(20)
        if (images < 0).any():
            raise ValueError("negative")
        return 2 * images + (0 if hints is None else hints)


def _predict(network, max_size, images, hints=None):
    """Predictions of the images, the first of which is in the network while the others arrive."""
    predict, hints = BatchedPredict(network, max_size), hints or [None] * len(images)
    with ThreadPoolExecutor(len(images)) as threads:
        work = [threads.submit(predict, images[0], hints[0])]
        assert network.is_called.wait(20)
        work += [threads.submit(predict, *inputs) for inputs in zip(images[1:], hints[1:], strict=True)]
        while len(predict._waiting) < len(images) - 1:
            pass
        network.is_free.set()
    return work


@pytest.mark.parametrize(("max_size", "sizes"), [(1, [1] * 6), (4, [1, 4, 1]), (8, [1, 8])])
def test_images_that_wait_are_predicted_together(max_size, sizes):
    network = _Network()
    images = [np.full((1, 2, 2), n, np.float32) for n in range(6)]
    work = _predict(network, max_size, images)
    assert network.sizes == sizes  # one, or as many as the program is compiled for
    for image, done in zip(images, work, strict=True):
        np.testing.assert_array_equal(done.result(), 2 * image)


def test_an_error_reaches_every_thread_of_a_batch():
    images = [np.full((1, 2), n, np.float32) for n in (1, -1, 2)]
    first, *others = _predict(_Network(), 4, images)
    assert first.result()[0, 0] == 2
    for done in others:
        with pytest.raises(ValueError, match="negative"):
            done.result()


def test_several_images_of_one_call_stay_together():
    network = _Network()
    network.is_free.set()
    assert BatchedPredict(network, 4)(np.ones((3, 2))).shape == (3, 2)
    assert network.sizes == [3]


@pytest.mark.parametrize(("max_size", "sizes"), [(1, [1] * 6), (4, [1, 4, 1]), (8, [1, 8])])
def test_images_with_and_without_hints_are_predicted_together(max_size, sizes):
    network = _Network()
    images = [np.full((1, 2, 2), n, np.float32) for n in range(6)]
    hints = [np.full((1, 2, 2), 10 * n, np.float32) if n % 2 else None for n in range(6)]
    work = _predict(network, max_size, images, hints)
    assert network.sizes == sizes
    for image, planes, done in zip(images, hints, work, strict=True):
        np.testing.assert_array_equal(done.result(), 2 * image + (0 if planes is None else planes))
    assert network.hints[0] is None


def test_a_batch_without_hints_is_predicted_as_before():
    network = _Network()
    images = [np.full((1, 2), n, np.float32) for n in range(4)]
    _predict(network, 4, images, [None, None, None, np.ones((1, 2), np.float32)])
    assert [hints is None for hints in network.hints] == [True, False]
    alone = _Network()
    _predict(alone, 2, images, [None, None, None, np.ones((1, 2), np.float32)])
    assert [hints is None for hints in alone.hints] == [True, True, False]


def test_several_images_with_hints_of_one_call():
    network = _Network()
    network.is_free.set()
    predict = BatchedPredict(network, 4)
    np.testing.assert_array_equal(predict(np.ones((3, 2)), np.full((3, 2), 5.0)), np.full((3, 2), 7.0))
    assert network.sizes == [3]
