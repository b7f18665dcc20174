"""Figures of a set of images do not depend on how it is split over steps, devices and processes."""

import shutil

import jax
import numpy as np
import pytest

from colorgan import evaluate, sharding, train_state
from colorgan.data import pipeline, sources


@pytest.fixture(scope="module")
def images(photographs, tmp_path_factory):
    """12 photographs and, in the middle, a file that is none."""
    folder = shutil.copytree(photographs, tmp_path_factory.mktemp("images") / "mixed")
    (folder / "class_0" / "image_05.jpg").write_text("no image")
    return pipeline.Images(sources.open_source(f"folder:{folder}", 32), 32, max_bad_fraction=0.1)


def _figures(gan, images, batch_size, num_devices, process_count=1):
    """As of `process_count` processes, whose slices are put together here."""
    mesh = sharding.create_mesh(jax.devices()[:num_devices])
    variables = train_state.create_state(gan, 3, sharding.replicated(mesh)).generator_ema
    loadings = [pipeline.Loading(process_index=n, process_count=process_count) for n in range(process_count)]
    slices = [pipeline.ordered_batches(images, batch_size, loading) for loading in loadings]
    batches = [
        {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} for parts in zip(*slices, strict=True)
    ]
    return evaluate.evaluate(evaluate.create_eval_step(gan.generator, mesh), variables, batches, mesh)


@pytest.fixture(scope="module")
def one_by_one(tiny_gan, images):
    return _figures(tiny_gan, images, batch_size=1, num_devices=1)


@pytest.mark.parametrize(
    ("batch_size", "num_devices", "process_count"), [(13, 1, 1), (5, 1, 1), (8, 8, 1), (64, 8, 1), (6, 2, 2), (8, 4, 4)]
)
def test_every_image_counts_once_on_every_topology(
    tiny_gan, images, one_by_one, batch_size, num_devices, process_count
):
    figures = _figures(tiny_gan, images, batch_size, num_devices, process_count)
    assert figures["num_images"] == one_by_one["num_images"] == 12
    assert figures == pytest.approx(one_by_one, rel=1e-5)


def test_another_image_is_another_figure(tiny_gan, images, one_by_one):
    """The comparison above can fail."""
    fewer = pipeline.Images(images.source, 32, max_bad_fraction=0.1)
    fewer.decode = lambda index: images.decode(0 if index == 3 else index)
    assert _figures(tiny_gan, fewer, 13, 1) != pytest.approx(one_by_one, rel=1e-5)
