"""A Cloud TPU VM or pod slice: bfloat16, 150 epochs, data-parallel over every chip of every host."""

import ml_collections

from configs import seed


def get_config() -> ml_collections.ConfigDict:
    config = seed.get_config()
    config.platform = "tpu"
    config.precision = "bfloat16"
    config.batch_size = 256
    config.data.load_size = 144
    config.data.num_workers = 16
    config.data.num_threads = 1
    return config
