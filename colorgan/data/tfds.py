"""Sets of TensorFlow Datasets as a source, without TensorFlow."""

import logging

import numpy as np

from colorgan import library_patches
from colorgan.errors import UserError

log = logging.getLogger(__name__)


class TfdsSource:
    """The images of one split of a TensorFlow Datasets set, kept as ArrayRecord; needs no TensorFlow.

    The set is downloaded and prepared on first use, in TFDS's own folder (TFDS_DATA_DIR, ~/tensorflow_datasets).
    """

    def __init__(self, name: str) -> None:
        self._set, _, self._split = name.rpartition("/")
        try:
            self._open(prepare=True)
        except UserError:
            raise
        except Exception as error:  # unknown sets, splits and every failure of a download
            cause: BaseException = error
            while cause.__cause__:  # TFDS wraps errors in long texts; the first one says what happened
                cause = cause.__cause__
            reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            raise UserError(f"tfds:{name} cannot be opened: {reason}") from error

    def _open(self, prepare: bool) -> None:
        # Imported here: it takes seconds, and most runs and all their workers do without.
        import tensorflow_datasets as tfds

        builder = tfds.builder(self._set, file_format="array_record")
        keys = [key for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]
        if not keys:
            raise UserError(f"tfds:{self._set} has no images")
        self._key = "image" if "image" in keys else keys[0]
        if prepare and not builder.data_path.exists():
            log.info("fetching tfds:%s (%s) to %s", self._set, builder.info.download_size, builder.data_path)
            with library_patches.tfds_without_tensorflow():
                builder.download_and_prepare()
        self._records = builder.as_data_source(split=self._split, decoders={self._key: tfds.decode.SkipDecoding()})

    def __getstate__(self) -> dict[str, str]:
        return {"set": self._set, "split": self._split}

    def __setstate__(self, state: dict[str, str]) -> None:
        self._set, self._split = state["set"], state["split"]
        self._open(prepare=False)

    def __len__(self) -> int:
        return len(self._records)

    def read(self, index: int) -> bytes | np.ndarray:
        return self._records[index][self._key]

    def name(self, index: int) -> str:
        return f"{self._set.replace('/', '_')}_{self._split}_{index:07d}.png"
