import jax
import numpy as np

from colorgan import color, sharding
from colorgan.data import pipeline, sources
from colorgan.evaluation import image_grid
from colorgan.training import samples
from colorgan.training import state as train_state


def test_sampler_colors_evenly_spaced_images_with_the_average(tiny_gan, monkeypatch):
    images = pipeline.Images(sources.open_source("procedural:12", 32), 32, 0.0)
    mesh = sharding.create_mesh(jax.devices()[:1])
    sampler = samples.Sampler(tiny_gan, mesh, images, 3)
    state = train_state.create_state(tiny_gan, 0, sharding.replicated(mesh))
    average = jax.tree.map(lambda x: 2 * x, state.generator_ema)
    drawn = []
    monkeypatch.setattr(image_grid, "draw_grid", lambda *arguments: drawn.append(arguments))
    sampler.draw(state.replace(generator_ema=average))
    ((_, fake, real, captions, heading),) = drawn
    assert "near 50%" in heading
    assert [[text.partition(" ")[0] for text in row] for row in captions] == [["", "real:", "real:"]] * 3
    np.testing.assert_array_equal(real, [images[n].image for n in (0, 4, 8)])
    predicted = jax.jit(tiny_gan.generator.apply)(average, color.luma(color.to_signed(jax.numpy.stack(real))))
    np.testing.assert_allclose(np.array(fake, int), color.to_pixels(predicted), atol=1)


def test_sampler_draws_chosen_images(tiny_gan, monkeypatch):
    images = pipeline.Images(sources.open_source("procedural:12", 32), 32, 0.0)
    mesh = sharding.create_mesh(jax.devices()[:1])
    sampler = samples.Sampler(tiny_gan, mesh, images, 3)
    state = train_state.create_state(tiny_gan, 0, sharding.replicated(mesh))
    drawn = []
    monkeypatch.setattr(image_grid, "draw_grid", lambda *arguments: drawn.append(arguments))
    sampler.draw_images(state, [7, 2], [("a", "b", "c")] * 2)  # fewer than the program takes
    ((gray, fake, real, captions),) = drawn
    assert len(gray) == len(fake) == len(captions) == 2
    np.testing.assert_array_equal(real, [images[n].image for n in (7, 2)])
    predicted = jax.jit(tiny_gan.generator.apply)(
        state.generator_ema, color.luma(color.to_signed(jax.numpy.stack(real)))
    )
    np.testing.assert_allclose(np.array(fake, int), color.to_pixels(predicted), atol=1)
