"""How well a generator colours a set of images; also the command `python -m colorgan.evaluate`."""

import argparse
import functools
import json
from collections.abc import Callable, Iterable

import jax
from jax.sharding import Mesh

from colorgan import command_line, runtime, sharding, trained
from colorgan.data import pipeline, sources
from colorgan.models import Generator
from colorgan.train_state import Variables
from colorgan.train_step import Metrics, eval_step

EvalStepFn = Callable[[Variables, jax.Array, jax.Array], Metrics]


def create_eval_step(generator: Generator, mesh: Mesh) -> EvalStepFn:
    """`eval_step` for global batches on `mesh`."""
    data, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    return jax.jit(
        functools.partial(eval_step, generator=generator),
        in_shardings=(everywhere, data, data),
        out_shardings=everywhere,
    )


def evaluate(
    eval_step_fn: EvalStepFn, variables: Variables, batches: Iterable[pipeline.Batch], mesh: Mesh
) -> dict[str, float]:
    """Means over all images of `batches` of every figure of `eval_step`, and "num_images".

    Args:
      eval_step_fn: from `create_eval_step`.
      variables: the generator's.
      batches: this process's slices, from `pipeline.ordered_batches`.
      mesh: the devices.
    """
    sums: dict[str, float] = {}
    for batch in batches:
        arrays = [sharding.to_global(mesh, batch[key]) for key in ("image", "mask")]
        for name, value in jax.device_get(eval_step_fn(variables, *arrays)).items():
            sums[name] = sums.get(name, 0.0) + float(value)
    count = sums.pop("count")
    return {name: value / max(count, 1.0) for name, value in sums.items()} | {"num_images": int(count)}


def main(arguments: argparse.Namespace) -> None:
    """Prints one line of JSON."""
    runtime.select_platform("")
    run = trained.load_trained(arguments.workdir, arguments.checkpoint)
    mesh = sharding.create_mesh()
    size = run.config.image_size
    images = pipeline.Images(sources.open_source(arguments.data, size), size, run.config.data.max_bad_fraction)
    batch_size = -(-run.config.batch_size // mesh.size) * mesh.size
    batches = pipeline.ordered_batches(images, batch_size, pipeline.Loading())
    figures = evaluate(create_eval_step(run.generator, mesh), run.variables, batches, mesh)
    print(json.dumps({**figures, "step": run.step, "data": arguments.data}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m colorgan.evaluate", description=__doc__)
    trained.add_arguments(parser)
    parser.add_argument("--data", required=True, help=f"the images: one of {', '.join(sources.KINDS)}")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
