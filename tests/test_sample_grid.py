import jax
import numpy as np

from colorgan import color, sample_grid, sharding, train_state
from colorgan.data import pipeline, sources


def test_grid_shows_every_image_in_its_column_and_its_probability():
    gray, fake, real = (np.full((2, 32, 32, 3), value, np.uint8) for value in (50, 100, 150))
    sheet = np.asarray(sample_grid.draw_grid(gray, fake, real, [0.25, 0.5], [0.75, 1.0]))
    cell = 160
    assert sheet.shape == (28 + 2 * (cell + 28), 3 * (cell + 8) + 8, 3)
    for row in range(2):
        for column, value in enumerate((50, 100, 150)):
            top, left = 28 + row * (cell + 28), 8 + column * (cell + 8)
            assert (sheet[top : top + cell, left : left + cell] == value).all()
            caption = sheet[top + cell : top + cell + 20, left : left + cell]
            assert (caption < 128).any() == (column > 0)  # the input is nobody's guess
    other = np.asarray(sample_grid.draw_grid(gray, fake, real, [0.26, 0.5], [0.75, 1.0]))
    assert (sheet != other).any()


def test_large_images_are_not_magnified():
    images = np.zeros((1, 200, 200, 3), np.uint8)
    assert sample_grid.draw_grid(images, images, images, [0.5], [0.5]).width == 3 * 208 + 8


def test_sampler_shows_what_the_average_makes_of_images_all_over_the_set(tiny_gan, monkeypatch):
    images = pipeline.Images(sources.open_source("procedural:12", 32), 32, 0.0)
    mesh = sharding.create_mesh(jax.devices()[:1])
    draw_samples = sample_grid.create_sampler(tiny_gan, mesh, images, 3)
    state = train_state.create_state(tiny_gan, 0, sharding.replicated(mesh))
    average = jax.tree.map(lambda x: 2 * x, state.generator_ema)
    drawn = []
    monkeypatch.setattr(sample_grid, "draw_grid", lambda *arguments: drawn.append(arguments))
    draw_samples(state.replace(generator_ema=average))
    ((_, fake, real, *_),) = drawn
    np.testing.assert_array_equal(real, [images[n]["image"] for n in (0, 4, 8)])
    predicted = jax.jit(tiny_gan.generator.apply)(average, color.luma(color.to_signed(real)))
    np.testing.assert_allclose(fake.astype(int), color.to_pixels(predicted), atol=1)
