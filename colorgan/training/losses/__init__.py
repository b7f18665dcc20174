"""The generator's losses by name; `config.loss.NAME_weight` is the weight of each.

A loss is a pure function of the real and the generated images, float32 [B,S,S,3] in [-1,1], and returns a float32
scalar, a mean over the global batch. It is logged as train/generator/NAME. A loss of the generated images alone ignores
the real ones.

A new loss needs a module here, an entry in `LOSSES`, and its weight in configs/default.py; in runs of earlier versions
the weight is 0. docs/extending.md has an example.
"""

from collections.abc import Callable, Mapping

import jax

from colorgan.errors import UserError
from colorgan.training.losses.color_distribution import histogram_loss, palette_loss
from colorgan.training.losses.pixel import l1_loss

ADVERSARIAL = "adversarial"  # the loss by the critic, in losses/adversarial.py; without it no critic is trained
FEATURE = "feature"  # the loss by a pretrained encoder, in losses/feature.py
LossFn = Callable[[jax.Array, jax.Array], jax.Array]

LOSSES: dict[str, LossFn] = {
    "l1": l1_loss,
    "palette": palette_loss,
    "histogram": histogram_loss,
}


def loss_weights(keys: Mapping[str, float]) -> dict[str, float]:
    """The weight of each loss in use, from {"NAME_weight": weight}; L1 is always computed.

    Raises:
      UserError: a key belongs to no loss.
    """
    weights = {key.removesuffix("_weight"): weight for key, weight in keys.items()}
    names = (*LOSSES, ADVERSARIAL, FEATURE)
    for name in weights:
        if name not in names:
            raise UserError(f"config.loss.{name}_weight belongs to no loss; there are {', '.join(names)}")
    return {name: weight for name, weight in weights.items() if weight or name == "l1"}
