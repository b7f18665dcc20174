"""One call of a network for the images of several threads."""

import collections
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np


class BatchedPredict:
    """Passes images that threads predict at the same time to the network together.

    The thread that finds the network free takes all images that wait by then. A batch has one image or `max_size`, up
    to which it is filled with copies of its last, so that at most two programs are compiled, and two
    for hints.

    Attributes:
      max_size: the number of images in a batch; with 1, one thread after the other calls the network.
    """

    def __init__(self, predict_fn: Callable[..., np.ndarray], max_size: int = 1) -> None:
        """`predict_fn` takes an array [B,...], and maybe planes of hints [B,...], to another, [B,...]."""
        self._predict_fn, self.max_size = predict_fn, max_size
        self._waiting: collections.deque[tuple[np.ndarray, np.ndarray | None, Future[np.ndarray]]]
        self._waiting = collections.deque()
        self._lock = threading.Lock()

    def __call__(self, images: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
        """The prediction for [B,...]: of one image maybe in a batch with others, of several alone."""
        if len(images) > 1:
            with self._lock:
                return self._predict(images, hints)
        prediction: Future[np.ndarray] = Future()
        self._waiting.append((images, hints, prediction))
        with self._lock:
            while not prediction.done():
                self._predict_waiting()
        return prediction.result()

    def _predict_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self.max_size, len(self._waiting)))]
        images, hints = [image for image, _, _ in batch], [planes for _, planes, _ in batch]
        if len(images) > 1:
            missing = self.max_size - len(images)
            images, hints = images + images[-1:] * missing, hints + hints[-1:] * missing
        try:
            predictions = self._predict(np.concatenate(images), _concatenate(hints))
        except BaseException as error:
            for _, _, prediction in batch:
                prediction.set_exception(error)
        else:
            for n, (_, _, prediction) in enumerate(batch):
                prediction.set_result(predictions[n : n + 1])

    def _predict(self, images: np.ndarray, hints: np.ndarray | None) -> np.ndarray:
        return self._predict_fn(images) if hints is None else self._predict_fn(images, hints)


def _concatenate(hints: list[np.ndarray | None]) -> np.ndarray | None:
    """The planes of a batch, 0 for images without hints; None if none has any."""
    shape = next((planes.shape for planes in hints if planes is not None), None)
    if shape is None:
        return None
    return np.concatenate([np.zeros(shape, np.float32) if planes is None else planes for planes in hints])
