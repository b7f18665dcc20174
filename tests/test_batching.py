"""Images of several threads reach the network together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from colorgan.inference.batching import BatchedPredict


class _Network:
    """Doubles its input. The first call waits until `is_free` is set."""

    def __init__(self):
        self.sizes, self.is_called, self.is_free = [], threading.Event(), threading.Event()

    def __call__(self, images):
        self.sizes.append(len(images))
        self.is_called.set()
        assert self.is_free.wait(20)
        if (images < 0).any():
            raise ValueError("negative")
        return 2 * images


def _predict(network, max_size, images):
    """Predictions of the images, the first of which is in the network while the others arrive."""
    predict = BatchedPredict(network, max_size)
    with ThreadPoolExecutor(len(images)) as threads:
        work = [threads.submit(predict, images[0])]
        assert network.is_called.wait(20)
        work += [threads.submit(predict, image) for image in images[1:]]
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
