"""A machine with a GPU: wide networks at 128 px in bfloat16, random crops, a public dataset, 150 epochs."""

import ml_collections

from colorgan.configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.platform = "gpu"
    config.precision = "bfloat16"
    config.image_size = 128
    config.batch_size = 64
    config.num_epochs = 150
    config.data.train = "tfds:imagenette/320px-v2/train"
    config.data.validation = "tfds:imagenette/320px-v2/validation"
    config.data.load_size = 144
    config.data.num_workers = 8
    config.data.num_threads = 1
    config.model.width = 64
    config.model.max_width = 512
    # The baseline's, for networks of the same width; 1e-3 was tried with narrow networks only.
    config.optimizer.generator_learning_rate = 2e-4
    config.ema_decay = 0.999
    config.log_every_steps = 100
    config.checkpoint_every_epochs = 5
    return config
