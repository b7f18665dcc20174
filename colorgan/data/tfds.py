"""`tfds:NAME/SPLIT`: datasets of TensorFlow Datasets, without TensorFlow."""

import contextlib
import fcntl
import functools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from colorgan import library_patches
from colorgan.data import open_files
from colorgan.errors import UserError, reason
from colorgan.run.storage import is_remote

_ANSWER_SECONDS = 8  # for the server of a dataset
_LOCK_FILE = ".colorgan.lock"
_FORMAT = "array_record"
log = logging.getLogger(__name__)


@contextlib.contextmanager
def _one_at_a_time(folder: epath.Path) -> Iterator[None]:
    """Lets one process of those that see the same folder in at a time; the others wait. Not in buckets."""
    with contextlib.ExitStack() as stack:
        if not is_remote(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock_file = stack.enter_context(open(folder / _LOCK_FILE, "ab"))
            with contextlib.suppress(OSError):  # a file system without locks
                try:
                    fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    log.info("another process prepares %s", folder)
                    fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield


class TfdsSource:
    """The images of one split of a TensorFlow Datasets dataset, stored as ArrayRecord.

    The dataset is downloaded and prepared on first use, in TFDS's own folder (TFDS_DATA_DIR, ~/tensorflow_datasets).

    Args:
      name: dataset, config if any, and split, as in "imagenette/320px-v2/train".

    Raises:
      UserError: the dataset or split is unknown, has no images, cannot be downloaded, is there in another format, or
        has more shards than files can be open.
    """

    def __init__(self, name: str) -> None:
        self._dataset, _, self._split = name.rpartition("/")
        try:
            self._open(prepare=True)
        except UserError:
            raise
        except Exception as error:  # for an unknown dataset or split, and for every kind of failed download
            cause: BaseException = error
            while cause.__cause__:  # TFDS wraps errors in long messages; the first error says what happened
                cause = cause.__cause__
            raise UserError(f"tfds:{name} cannot be opened: {reason(cause)}") from error

    @staticmethod
    def check(name: str) -> None:
        """Raises UserError unless `name` has the form DATASET/SPLIT. Opens nothing."""
        if "/" not in name:
            source = f"tfds:{name}"
            raise UserError(f"data source {source!r} needs a dataset and a split, as in tfds:imagenette/320px-v2/train")

    def _open(self, prepare: bool) -> None:
        # Imported here because it takes seconds, and most runs and all their workers do without it.
        import tensorflow_datasets as tfds

        create = functools.partial(tfds.builder, self._dataset, file_format=_FORMAT)
        try:
            builder = create()
        except ValueError:
            self._refuse_other_format(tfds.builder(self._dataset))
            raise
        keys = [key for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]
        if not keys:
            raise UserError(f"tfds:{self._dataset} has no images")
        self._key = "image" if "image" in keys else keys[0]
        if prepare and not builder.data_path.exists():
            with _one_at_a_time(builder.data_path.parent):
                builder = create()  # again: another process may have prepared it meanwhile
                if not builder.data_path.exists():
                    size, path = builder.info.download_size, builder.data_path
                    log.info("downloading tfds:%s (%s) to %s", self._dataset, size, path)
                    without_waiting = library_patches.tfds_without_waiting(_ANSWER_SECONDS)
                    with library_patches.tfds_without_tensorflow(), without_waiting:
                        builder.download_and_prepare()
        # All shards of a split that is named, such as train in "train[:10%]" and in "train+test".
        named = [split for name, split in builder.info.splits.items() if name in self._split or self._split == "all"]
        num_shards = sum(split.num_shards for split in named)
        if open_files.raise_limit(num_shards) < num_shards:
            raise UserError(
                f"tfds:{self._dataset} needs more open files than allowed, one for each shard ({num_shards}): "
                f"{open_files.HINT}"
            )
        self._records = builder.as_data_source(split=self._split, decoders={self._key: tfds.decode.SkipDecoding()})

    def _refuse_other_format(self, builder: Any) -> None:
        """Raises UserError if the dataset is there in another format, which TFDS reads with TensorFlow only."""
        prepared = builder.info.file_format.value
        if prepared != _FORMAT:
            raise UserError(
                f"tfds:{self._dataset} was prepared as {prepared} in {builder.data_path}, but colorgan reads "
                f"{_FORMAT}: move that folder away or set TFDS_DATA_DIR to another one, and it is prepared again"
            )

    def __getstate__(self) -> tuple[str, str]:
        return self._dataset, self._split

    def __setstate__(self, state: tuple[str, str]) -> None:
        self._dataset, self._split = state
        self._open(prepare=False)

    def __len__(self) -> int:
        return len(self._records)

    def read(self, index: int) -> bytes | np.ndarray:
        """See `source.Source`."""
        return self._records[index][self._key]

    def name(self, index: int) -> str:
        """See `source.Source`."""
        return f"{self._dataset.replace('/', '_')}_{self._split}_{index:07d}.png"
