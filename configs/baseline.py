"""The original model with its bugs fixed: its networks, losses, optimizer, batch size and 150 epochs at 128 px.

The original is ColorizerGAN by Gruhit13. On your own photographs:

colorgan train --config=baseline --config.data.train=folder:PATH --config.data.validation=folder:PATH
"""

import ml_collections

from colorgan.configs import gpu


def get_config() -> ml_collections.ConfigDict:
    config = gpu.get_config()
    config.platform = ""
    config.precision = "float32"
    config.batch_size = 16
    config.data.load_size = 128
    config.data.num_workers = 0
    config.data.num_threads = 8
    config.model.output = "rgb"
    config.model.critic = "dense"
    config.loss.palette_weight = 0.0
    config.loss.histogram_weight = 0.0
    config.optimizer.schedule = "constant"
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.critic_learning_rate = 2e-4
    return config
