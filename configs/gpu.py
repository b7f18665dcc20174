"""A machine with a GPU: the `pretrained` config in bfloat16, larger batches, a public dataset, 150 epochs."""

import ml_collections

from colorgan.configs import pretrained


def get_config() -> ml_collections.ConfigDict:
    config = pretrained.get_config()
    config.platform = "gpu"
    config.precision = "bfloat16"
    config.batch_size = 64
    config.num_epochs = 150
    config.data.cache = "auto"
    config.data.num_workers = -1
    config.data.num_threads = 1
    config.optimizer.generator_learning_rate = 1.4e-3
    config.log_every_steps = 100
    config.checkpoint_every_epochs = 5
    return config
