"""The numbers of a config that the compiled training step takes as arguments."""

import numpy as np
from flax import struct


class Hyperparameters(struct.PyTreeNode):
    """Scalars, float32 unless noted. Runs that differ only in these share one compiled program.

    Attributes:
      key_data: of the random key of `config.seed`, uint32 [2].
      num_steps: of the learning rate's schedule, int32.
      generator_rate: the generator's learning rate before the schedule.
      critic_rate: the critic's.
      loss_weights: by name, only of the losses that are computed.
      ema_decay: of the generator's moving average, reached after about 10 / (1 - ema_decay) steps.
      degrade: the share of the images that is degraded like old photographs; None for a program that degrades none.
    """

    key_data: np.ndarray
    num_steps: np.ndarray
    generator_rate: np.ndarray
    critic_rate: np.ndarray
    loss_weights: dict[str, np.ndarray]
    ema_decay: np.ndarray
    degrade: np.ndarray | None
