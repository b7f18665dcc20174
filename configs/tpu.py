"""A Cloud TPU VM or pod slice: the `gpu` config, data-parallel over all chips of all hosts."""

import ml_collections

from colorgan.configs import gpu


def get_config() -> ml_collections.ConfigDict:
    config = gpu.get_config()
    config.platform = "tpu"
    config.batch_size = 256
    return config
