"""The original model with its bugs fixed: its networks, losses, optimizer, batch size and 150 epochs at 128 px.

The original is ColorizerGAN by Gruhit13. On your own photographs:

colorgan train --config=baseline --config.data.train=folder:PATH
"""

import ml_collections

from colorgan.configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.image_size = 128
    config.num_epochs = 150
    config.data.train = "tfds:imagenette/320px-v2/train"
    config.data.validation = "tfds:imagenette/320px-v2/validation"
    config.data.load_size = 128
    config.data.num_threads = 8
    config.model.width = 64
    config.model.max_width = 512
    config.model.output = "rgb"
    config.model.critic = "dense"
    config.loss.palette_weight = 0.0
    config.loss.histogram_weight = 0.0
    config.optimizer.schedule = "constant"
    config.optimizer.generator_learning_rate = 2e-4
    config.ema_decay = 0.999
    config.log_every_steps = 100
    config.checkpoint_every_epochs = 5
    return config
