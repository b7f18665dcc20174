"""`tfds:NAME/SPLIT`: datasets of TensorFlow Datasets, without TensorFlow."""

import logging

import numpy as np

from colorgan import library_patches
from colorgan.errors import UserError, reason

log = logging.getLogger(__name__)


class TfdsSource:
    """The images of one split of a TensorFlow Datasets dataset, stored as ArrayRecord.

    The dataset is downloaded and prepared on first use, in TFDS's own folder (TFDS_DATA_DIR, ~/tensorflow_datasets).

    Args:
      name: dataset, config if any, and split, as in "imagenette/320px-v2/train".

    Raises:
      UserError: the dataset or split is unknown, has no images, or cannot be downloaded.
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

        builder = tfds.builder(self._dataset, file_format="array_record")
        keys = [key for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]
        if not keys:
            raise UserError(f"tfds:{self._dataset} has no images")
        self._key = "image" if "image" in keys else keys[0]
        if prepare and not builder.data_path.exists():
            log.info("downloading tfds:%s (%s) to %s", self._dataset, builder.info.download_size, builder.data_path)
            with library_patches.tfds_without_tensorflow():
                builder.download_and_prepare()
        self._records = builder.as_data_source(split=self._split, decoders={self._key: tfds.decode.SkipDecoding()})

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
