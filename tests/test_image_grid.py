import jax
import numpy as np

from colorgan import color, sharding
from colorgan.data import pipeline, sources
from colorgan.evaluation import image_grid
from colorgan.training import state as train_state


def test_grid_shows_every_image_in_its_column_and_its_caption():
    gray, fake, real = (np.full((2, 32, 32, 3), value, np.uint8) for value in (50, 100, 150))
    captions = [("", "true: 25.0%", "true: 75.0%"), ("", "true: 50.0%", "true: 100.0%")]
    sheet = np.asarray(image_grid.draw_grid(gray, fake, real, captions))
    cell = 160
    assert sheet.shape == (28 + 2 * (cell + 28), 3 * (cell + 8) + 8, 3)
    for row in range(2):
        for column, value in enumerate((50, 100, 150)):
            top, left = 28 + row * (cell + 28), 8 + column * (cell + 8)
            assert (sheet[top : top + cell, left : left + cell] == value).all()
            caption = sheet[top + cell : top + cell + 20, left : left + cell]
            assert (caption < 128).any() == (column > 0)
    other = np.asarray(image_grid.draw_grid(gray, fake, real, [("", "true: 26.0%", captions[0][2]), captions[1]]))
    assert (sheet != other).any()


def test_large_images_are_not_magnified():
    images = np.zeros((1, 200, 200, 3), np.uint8)
    assert image_grid.draw_grid(images, images, images, [("", "", "")]).width == 3 * 208 + 8


def test_images_of_different_shapes_stand_in_the_middle_of_equal_cells_below_a_heading():
    images = [np.full(shape, value, np.uint8) for shape, value in (((200, 100, 3), 50), ((100, 200, 3), 100))]
    sheet = np.asarray(image_grid.draw_grid(images, images, images, [("", "", "")] * 2, "what this is"))
    assert sheet.shape == (28 + 28 + 2 * 228, 3 * 208 + 8, 3)
    assert (sheet[:28] < 128).any()
    for row, (top, left, height, width) in enumerate(((0, 50, 200, 100), (50, 0, 100, 200))):
        top, left = top + 56 + row * 228, left + 8 + 208
        assert (sheet[top : top + height, left : left + width] == (50, 100)[row]).all()
        assert (sheet[top - 1, left : left + width] == 255).all()
        assert (sheet[top : top + height, left - 1] == 255).all()


def test_sampler_shows_what_the_average_makes_of_images_all_over_the_set(tiny_gan, monkeypatch):
    images = pipeline.Images(sources.open_source("procedural:12", 32), 32, 0.0)
    mesh = sharding.create_mesh(jax.devices()[:1])
    draw_samples = image_grid.create_sampler(tiny_gan, mesh, images, 3)
    state = train_state.create_state(tiny_gan, 0, sharding.replicated(mesh))
    average = jax.tree.map(lambda x: 2 * x, state.generator_ema)
    drawn = []
    monkeypatch.setattr(image_grid, "draw_grid", lambda *arguments: drawn.append(arguments))
    draw_samples(state.replace(generator_ema=average))
    ((_, fake, real, captions),) = drawn
    assert [[text.partition(" ")[0] for text in row] for row in captions] == [["", "true:", "true:"]] * 3
    np.testing.assert_array_equal(real, [images[n].image for n in (0, 4, 8)])
    predicted = jax.jit(tiny_gan.generator.apply)(average, color.luma(color.to_signed(np.stack(real))))
    np.testing.assert_allclose(np.array(fake, int), color.to_pixels(predicted), atol=1)
