"""One GPU box: the seed's networks in bfloat16, larger batches, random crops, photographs that are fetched by name."""

import ml_collections

from configs import seed


def get_config() -> ml_collections.ConfigDict:
    config = seed.get_config()
    config.platform = "gpu"
    config.precision = "bfloat16"
    config.batch_size = 64
    config.data.load_size = 144
    config.data.num_workers = 8
    config.data.num_threads = 1
    return config
