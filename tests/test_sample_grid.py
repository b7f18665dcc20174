import numpy as np

from colorgan import sample_grid


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
