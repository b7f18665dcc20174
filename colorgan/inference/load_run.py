"""Loads a trained generator from a run's folder."""

from etils import epath

from colorgan import sharding
from colorgan.errors import UserError
from colorgan.inference.load_weights import LoadedGenerator
from colorgan.models.build import abstract_variables, create_generator
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import Checkpoints


def load_run(workdir: epath.Path, which: str) -> LoadedGenerator:
    """The generator of the "latest" or the "best" checkpoint, on all devices.

    Raises:
      UserError: there is no run in `workdir`, it has no checkpoint yet, or all are damaged.
    """
    config = workdir_lib.read_config(workdir)
    mesh = sharding.create_mesh()
    generator = create_generator(config, sharding.platform_of(mesh), str(workdir / workdir_lib.CONFIG_FILE))
    abstract = {"generator_ema": abstract_variables(generator, sharding.replicated(mesh))}
    with Checkpoints(workdir, config.get("best_metric", "validation/score")) as checkpoints:
        found = checkpoints.first_good(checkpoints.steps(which), lambda step: checkpoints.restore(step, abstract))
    if found is None:
        raise UserError(f"{workdir} has no checkpoint yet; train it first")
    step, restored = found
    return LoadedGenerator(config, step, which, generator, restored["generator_ema"])
