"""The original system: its networks, losses, optimiser, batch and 150 epochs at 128 px, on any photographs.

python -m colorgan.main --config=configs/seed.py --config.data.train=folder:PATH --config.data.validation=folder:PATH
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.image_size = 128
    config.batch_size = 16
    config.num_epochs = 150
    config.data.train = "tfds:imagenette/320px-v2/train"
    config.data.validation = "tfds:imagenette/320px-v2/validation"
    config.data.load_size = 128
    config.data.num_threads = 8
    config.model.width = 64
    config.model.max_width = 512
    config.optimizer.generator_learning_rate = 2e-4
    config.optimizer.critic_learning_rate = 2e-4
    config.ema_decay = 0.999
    config.log_every_steps = 100
    config.checkpoint_every_epochs = 5
    return config
