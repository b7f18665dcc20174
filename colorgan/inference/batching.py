"""One call of a network for the images of several threads."""

import collections
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np


class BatchedPredict:
    """Passes images that threads predict at the same time to the network together.

    The thread that finds the network free takes all images that wait by then. A batch has one image or `max_size`, up
    to which it is filled with copies of its last, so that at most two programs are compiled.

    Attributes:
      max_size: the number of images in a batch; with 1, one thread after the other calls the network.
    """

    def __init__(self, predict_fn: Callable[[np.ndarray], np.ndarray], max_size: int = 1) -> None:
        """`predict_fn` takes an array [B,...] to another, [B,...]."""
        self._predict_fn, self.max_size = predict_fn, max_size
        self._waiting: collections.deque[tuple[np.ndarray, Future[np.ndarray]]] = collections.deque()
        self._lock = threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The prediction for [B,...]: of one image maybe in a batch with others, of several alone."""
        if len(images) > 1:
            with self._lock:
                return self._predict_fn(images)
        prediction: Future[np.ndarray] = Future()
        self._waiting.append((images, prediction))
        with self._lock:
            while not prediction.done():
                self._predict_waiting()
        return prediction.result()

    def _predict_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self.max_size, len(self._waiting)))]
        images = [image for image, _ in batch]
        if len(images) > 1:
            images += images[-1:] * (self.max_size - len(images))
        try:
            predictions = self._predict_fn(np.concatenate(images))
        except BaseException as error:
            for _, prediction in batch:
                prediction.set_exception(error)
        else:
            for n, (_, prediction) in enumerate(batch):
                prediction.set_result(predictions[n : n + 1])
